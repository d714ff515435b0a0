"""The stochastic differential equation: dX = -grad f(X + e(X)) dt + sqrt(lr C) dW, in the Ito sense."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.compute import batch, checks
from samdyn.compute.checks import Array
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.landscapes.landscape import Landscape, hessian_of
from samdyn.rules.rule import Rule
from samdyn.rules.schedules import Coefficient, check_coefficient, value_at
from samdyn.systems.batch_gaussian import gaussian_model, is_linear, positive_root
from samdyn.systems.flow import velocity
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.noise import Noise
from samdyn.systems.system import System, check_ingredients, split_parameters


class Diffusion(System):
    """The SDE model of stochastic SAM (of SGD when the rule is GD).

    Parameters
    ----------
    loss : Landscape
        What is minimised.
    rule : Rule
        How the weights are perturbed.
    lr : float or schedule
        Learning rate, > 0: it scales the noise. A schedule lr(k) is read at step k = t / lr(0); with
        u = lr(k) / lr(0) it scales the drift by u and the noise to u sqrt(lr(0) C), as in the algorithm's
        steps.
    noise : Noise
        Model of the gradient noise; its covariance is C.

    Notes
    -----
    Time equals lr times the number of steps of the algorithm that the diffusion models. With
    ``probe="full"`` the noise of a step is that of the descent gradient, of covariance C(x + e(x)). With
    "same" and "independent" the perturbation is noisy as well and the diffusion carries that to first order
    in the noise (`Minibatch` has models of its own): with A = H(x + e) De, the derivative of the descent
    gradient with respect to the ascent gradient, the covariance is (I + A) C (I + A)^T and C + A C A^T. For
    USAM A = rho H. Normalised rules have no such linearisation near g = 0 and are refused: simulate the `Map`
    there.

    References
    ----------
    Kim et al. (arXiv 2301.06308); Monzio Compagnoni et al. (arXiv 2301.08203).

    Examples
    --------
    >>> import samdyn as sd
    >>> sde = sd.Diffusion(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.01, noise=sd.GaussianNoise(std=2.0))
    >>> sde.drift([[-1.0], [0.5]]), sde.covariance([0.5])
    (array([[0.   ],
           [0.273]]), array([[0.04]]))
    """

    def __init__(self, loss: Landscape, rule: Rule, lr: Coefficient, noise: Noise) -> None:
        check_ingredients(loss, rule)
        lr = check_coefficient("lr", lr, above=0)
        if not isinstance(noise, Noise):
            raise TypeError(f"noise must be a noise model such as sd.GaussianNoise(std=1.0), got {noise!r}")
        noise.check_loss(loss)
        sampled = isinstance(noise, Minibatch)
        if sampled:
            is_linear(rule)  # asked now: `gaussian_model` makes use of it while a step is traced
        if not sampled and noise.probe != "full" and rule.jumps:  # type: ignore[attr-defined]
            raise ValueError(
                f"noise.probe must be 'full' in a Diffusion with the normalised rule {rule!r}: "
                f"near a vanishing gradient its noise has no "
                "Gaussian limit; simulate the Map with that noise instead"
            )
        self.landscape: Landscape = loss
        self.rule: Rule = rule
        self.lr = lr
        self.noise = noise
        self.dim, self.box = loss.dim, loss.box
        self.name = f"{type(rule).__name__} diffusion on {loss.name}"

    @property
    def n_normals(self) -> int:
        """Standard normals that one step uses."""
        return self.noise.n_normals(self.dim)

    @property
    def scheduled(self) -> bool:
        """Whether any coefficient depends on time."""
        return callable(self.lr) or self.rule.scheduled

    def coefficients(self, step: int = 0) -> dict[str, float]:
        """Values at a step of the rule's coefficients and of lr."""
        return {**self.rule.coefficients(step), "lr": value_at(self.lr, step)}

    def point_drift(self, x: Tensor, **coefficients: Any) -> Tensor:
        """The drift at one point, in torch, with given coefficients."""
        lr = coefficients.pop("lr", None)
        if isinstance(self.noise, Minibatch):
            assert isinstance(self.landscape, FiniteSum)
            field = -gaussian_model(self.landscape, self.rule, self.noise, x, **coefficients)[0]
        else:
            field = velocity(self.landscape.one_point, self.rule, "perturbed", **coefficients)(x)
        return field * (lr / value_at(self.lr, 0)) if callable(self.lr) else field

    def point_noise(self, x: Tensor, normals: Tensor, *, lr: Any, **coefficients: Any) -> Tensor:
        """sqrt(lr C) times standard normals at one point, in torch; linear in the normals."""
        loss, dim = self.landscape.one_point, self.dim
        gradient, hessian = torch.func.grad(loss), hessian_of(loss)
        if callable(self.lr):
            root = lr / value_at(self.lr, 0) ** 0.5
        else:
            root = lr**0.5 if isinstance(lr, float) else torch.sqrt(lr)
        if isinstance(self.noise, Minibatch):
            assert isinstance(self.landscape, FiniteSum)
            covariance = gaussian_model(self.landscape, self.rule, self.noise, x, **coefficients)[1]
            return root * positive_root(covariance, normals)
        g = gradient(x)
        y = x + self.rule.perturbation(x, g, **coefficients)
        descent = self.noise.root(hessian, y, normals[:dim])
        if self.noise.probe == "full":  # type: ignore[attr-defined]
            return root * descent
        ascent = self.noise.root(hessian, x, normals[-dim:])

        def of_ascent_gradient(ascent_gradient: Tensor) -> Tensor:
            return self.rule.descent(x, lambda _: ascent_gradient, gradient, **coefficients)

        carried = torch.func.jacrev(of_ascent_gradient)(g) @ ascent
        return root * (descent + carried)

    def point_function(self, step: int = 0) -> Callable[[Tensor], Tensor]:
        """The drift as a torch function of one point."""
        coefficients = self.coefficients(step)
        return lambda x: self.point_drift(x, **coefficients)

    def drift(self, x: npt.ArrayLike, step: int = 0) -> Array:
        """The drift -grad f(x + e(x)) at points (..., dim): shape (..., dim)."""
        return self.evaluate(x, step)

    def covariance(self, x: npt.ArrayLike, step: int = 0) -> Array:
        """The covariance lr C of the noise per unit of time at points (..., dim): shape (..., dim, dim)."""
        coefficients = self.coefficients(step)
        basis = torch.eye(self.n_normals, dtype=torch.float64, device="cpu")

        def at(point: Tensor) -> Tensor:
            # linear in the normals: its values at the unit vectors are the columns of the root
            root = torch.stack([self.point_noise(point, z, **coefficients) for z in basis], dim=1)
            return root @ root.T

        return batch.evaluate(at, checks.points("x", x, self.dim, finite=False))

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the loss, the rule and the noise, and lr."""
        rule = {name: getattr(self.rule, name) for name in self.rule.coefficient_names}
        return {**self.landscape.parameters, **rule, "lr": self.lr, **self.noise.parameters}

    def with_parameters(self, **parameters: Any) -> Self:
        """A copy with some parameters changed."""
        of_loss, of_rule, rest = split_parameters(self, parameters)
        loss = self.landscape.with_parameters(**of_loss) if of_loss else self.landscape
        rule = dataclasses.replace(self.rule, **of_rule) if of_rule else self.rule
        lr = rest.pop("lr", self.lr)
        noise = dataclasses.replace(self.noise, **rest) if rest else self.noise
        return type(self)(loss, rule, lr=lr, noise=noise)

    def __repr__(self) -> str:
        return f"Diffusion({self.landscape.name}, {self.rule}, lr={self.lr}, noise={self.noise})"

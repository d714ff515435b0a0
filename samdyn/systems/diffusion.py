"""The stochastic differential equation: dX = -grad f(X + e(X)) dt + sqrt(lr C) dW, in the Ito sense; or
dX = b(X) dt + B(X) dW with any drift b and noise root B.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.landscapes.landscape import Landscape, hessian_of
from samdyn.rules.rule import Rule
from samdyn.rules.schedules import Coefficient, check_coefficient, value_at
from samdyn.systems.batch_gaussian import gaussian_model, is_linear, positive_root
from samdyn.systems.flow import Flow, velocity
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.noise import Noise
from samdyn.systems.noise_root import NoiseRoot, Selected, check_taken
from samdyn.systems.system import FromFunction, System, check_flow, check_ingredients, split_parameters
from samdyn.trace import batch


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
    ``probe="full"`` the noise of a step is the noise of the descent gradient, of covariance C(x + e(x)). With
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

    @checked
    def __init__(self, loss: Landscape, rule: Rule, lr: Coefficient, noise: Noise) -> None:
        rule = check_ingredients(loss, rule)
        check_flow("a Diffusion", rule)
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
        if rule.memory and (sampled or noise.probe != "full"):  # type: ignore[attr-defined]
            raise ValueError(
                f"noise must have probe='full' and not be sd.Minibatch in a Diffusion with {rule!r}, whose "
                f"memory averages it over steps, got {noise!r}; simulate the Map with that noise instead"
            )
        if sampled and not _has_gaussian_model(rule):
            raise ValueError(
                f"noise must not be sd.Minibatch in a Diffusion with {rule!r}, whose direction is made in "
                f"another way than from the gradients at x and x + e, got {noise!r}; simulate the Map instead"
            )
        self.landscape: Landscape | None = loss
        self.rule: Rule | None = rule
        self.lr: Coefficient | None = lr
        self.noise: Noise | None = noise
        self.dim, self.box = loss.dim, loss.box
        self.name = f"{type(rule).__name__} diffusion on {loss.name}"
        self._function: FromFunction | None = None
        self._root: NoiseRoot | None = None

    @classmethod
    @checked
    def from_function(
        cls,
        drift: Callable[..., Tensor],
        noise_root: Callable[..., Tensor] | npt.ArrayLike,
        dim: int,
        parameters: Mapping[str, Any] | None = None,
        box: Sequence[Sequence[float]] | None = None,
        name: str | None = None,
    ) -> Diffusion:
        """Any other stochastic differential equation dX = b(X) dt + B(X) dW, in the Ito sense.

        Parameters
        ----------
        drift : callable
            b: ``drift(w, **parameters)`` takes one point, a torch tensor of shape (dim,), and returns the
            drift there, of the same shape.
        noise_root : callable or array_like
            B: a matrix of shape (dim, m), or a function ``noise_root(w, **parameters)`` of one point that
            returns one; the covariance of the noise per unit of time is B B^T, and m is the number of
            independent noises.
        dim : int
            Number of coordinates.
        parameters : dict, optional
            Numbers that `drift` and `noise_root` take as keyword arguments, kept apart so that they can be
            varied. A function gets those that it names.
        box : sequence of (lower, upper), optional
            Where analyses look by default.
        name : str, optional
            For titles.

        Notes
        -----
        There is no learning rate to take for a step: `exit_times` and the other verbs that simulate take a
        hundredth of the shortest time scale of the drift unless `dt` is given
        (`samdyn.dynamics.step_length`).

        References
        ----------
        Maier & Stein, Physical Review E 48 (1993) 931-938, for the example.

        Examples
        --------
        >>> import torch
        >>> import samdyn as sd
        >>> def maier_stein(w, mu):
        ...     return torch.stack([w[0] - w[0]**3 - mu * w[0] * w[1]**2, -(1 + w[0]**2) * w[1]])
        >>> sde = sd.Diffusion.from_function(maier_stein, [[0.3, 0.0], [0.0, 0.3]], dim=2,
        ...                                  parameters={"mu": 10.0})
        >>> sde.drift([0.5, 0.1]), sde.covariance([0.5, 0.1])
        (array([ 0.325, -0.125]), array([[0.09, 0.  ],
               [0.  , 0.09]]))
        """
        self = cls.__new__(cls)
        self.dim = checks.integer("dim", dim, at_least=1)
        self.box = None if box is None else checks.box("box", box, self.dim)
        for key, value in (parameters or {}).items():
            if callable(value):
                raise ValueError(
                    f"parameters must be constant in Diffusion.from_function, got a schedule for {key!r}"
                )
        if not callable(drift):
            raise TypeError(f"drift must be a function of one point, got {drift!r}")
        self._root = NoiseRoot(noise_root, self.dim, parameters)
        selected = Selected(drift)
        check_taken(list(parameters or {}), selected, self._root)
        self._function = FromFunction(selected, self.dim, parameters, "drift")
        self.name = name or str(getattr(drift, "__name__", "diffusion"))
        self.landscape, self.rule, self.lr, self.noise = None, None, None, None
        return self

    @property
    def n_normals(self) -> int:
        """Standard normals that one step uses."""
        if self._root is not None:
            return self._root.n_normals
        assert self.noise is not None
        return self.noise.n_normals(self.dim)

    @property
    def noisy(self) -> bool:
        """True, unless the noise root has no columns."""
        return self.n_normals > 0

    @property
    def silent(self) -> bool:
        """Whether the noise root is the constant 0, or the noise model is 0 for this loss."""
        if self._root is not None:
            return not self.noisy or self._root.silent
        return self.noise is None or self.noise.silent(self.landscape)

    @property
    def step_length(self) -> float | None:
        """Time of one step of the algorithm, lr(0); None for `from_function`."""
        return None if self.lr is None else value_at(self.lr, 0, "lr")

    @property
    def scheduled(self) -> bool:
        """Whether any coefficient depends on time."""
        return callable(self.lr) or (self.rule is not None and self.rule.scheduled)

    def coefficients(self, step: int = 0) -> dict[str, float]:
        """Values at a step of the rule's coefficients and of lr; none for `from_function`."""
        if self.rule is None or self.lr is None:
            return {}
        return {**self.rule.coefficients(step), "lr": value_at(self.lr, step, "lr")}

    def as_flow(self) -> Flow:
        """The drift as a Flow."""
        if self._function is not None:
            function = self._function
            flow = Flow.from_function(function.function, self.dim, function.parameters, name=self.name)
            flow.box = self.box
            return flow
        assert self.landscape is not None and self.rule is not None
        return Flow(self.landscape, self.rule)

    def point_drift(self, x: Tensor, **coefficients: Any) -> Tensor:
        """The drift at one point, in torch, with given coefficients."""
        if self._function is not None:
            return self._function.point_function(0)(x)
        assert self.landscape is not None and self.rule is not None
        lr = coefficients.pop("lr", None)
        if isinstance(self.noise, Minibatch):
            assert isinstance(self.landscape, FiniteSum)
            field = -gaussian_model(self.landscape, self.rule, self.noise, x, **coefficients)[0]
        else:
            field = velocity(self.landscape.oracle, self.rule, "perturbed", **coefficients)(x)
        return field * (lr / value_at(self.lr, 0, "lr")) if callable(self.lr) else field

    def point_root(self, x: Tensor, **coefficients: Any) -> Tensor:
        """The noise root B at one point, in torch, of shape (dim, n_normals)."""
        if self._root is not None:
            return self._root(x)
        # linear in the normals: its values at the unit vectors are the columns
        if isinstance(self.noise, Minibatch):
            return self._batch_model(x, **coefficients)[1]
        basis = torch.eye(self.n_normals, dtype=x.dtype, device=x.device)
        return self.point_noise(x, basis, **coefficients)

    def point_drift_and_root(self, x: Tensor, **coefficients: Any) -> tuple[Tensor, Tensor]:
        """`point_drift` and `point_root` together: of sampled batches one model gives both."""
        if self._function is None and isinstance(self.noise, Minibatch):
            return self._batch_model(x, **coefficients)
        return self.point_drift(x, **coefficients), self.point_root(x, **coefficients)

    def _batch_model(self, x: Tensor, *, lr: Any = None, **coefficients: Any) -> tuple[Tensor, Tensor]:
        """Drift and noise root of the Gaussian model of batches at one point."""
        assert isinstance(self.landscape, FiniteSum) and isinstance(self.noise, Minibatch)
        assert self.rule is not None
        mean, covariance = gaussian_model(self.landscape, self.rule, self.noise, x, **coefficients)
        basis = torch.eye(self.n_normals, dtype=x.dtype, device=x.device)
        root = self._noise_scale(lr) * torch.stack([positive_root(covariance, z) for z in basis], dim=1)
        return (-mean * (lr / value_at(self.lr, 0, "lr")) if callable(self.lr) else -mean), root

    def _noise_scale(self, lr: Any) -> Any:
        """sqrt(lr) at a step; over lr of the first step, the time unit, where lr is on a schedule."""
        if callable(self.lr):
            return lr / value_at(self.lr, 0, "lr") ** 0.5
        return lr**0.5 if isinstance(lr, float) else torch.sqrt(lr)

    def point_noise(self, x: Tensor, normals: Tensor, *, lr: Any = None, **coefficients: Any) -> Tensor:
        """B times standard normals at one point, in torch; B is the root of lr C. Several draws may stand
        side by side, as columns, but for `Minibatch`.
        """
        if self._root is not None:
            return self._root(x) @ normals
        assert self.landscape is not None and self.rule is not None and self.noise is not None
        loss, dim = self.landscape.one_point, self.dim
        gradient, hessian = self.landscape.oracle, hessian_of(loss)
        root = self._noise_scale(lr)
        if isinstance(self.noise, Minibatch):
            assert isinstance(self.landscape, FiniteSum)
            covariance = gaussian_model(self.landscape, self.rule, self.noise, x, **coefficients)[1]
            return root * positive_root(covariance, normals)
        if not self.rule.plain:
            # to first order in the noise of every gradient that the rule looks at
            noise, rule = self.noise, self.rule

            def of_normals(z: Tensor) -> Tensor:
                draw, other = z[:dim], z[-dim:]
                descent = gradient.with_gradient(lambda y: gradient(y) + noise.root(hessian, y, draw))
                ascent = gradient.with_gradient(lambda y: gradient(y) + noise.root(hessian, y, other))
                full = noise.probe == "full"  # type: ignore[attr-defined]
                return rule.descent(x, gradient if full else ascent, descent, **coefficients)

            none = torch.zeros(len(normals), dtype=x.dtype, device=x.device)
            return root * (torch.func.jacrev(of_normals)(none) @ normals)
        g = gradient(x)
        y = x + self.rule.perturbation(x, g, **coefficients)
        descent = self.noise.root(hessian, y, normals[:dim])
        if self.noise.probe == "full":  # type: ignore[attr-defined]
            return root * descent
        ascent = self.noise.root(hessian, x, normals[-dim:])

        rule = self.rule

        def of_ascent_gradient(ascent_gradient: Tensor) -> Tensor:
            return rule.descent(x, lambda _: ascent_gradient, gradient, **coefficients)

        carried = torch.func.jacrev(of_ascent_gradient)(g) @ ascent
        return root * (descent + carried)

    def point_function(self, step: int = 0) -> Callable[[Tensor], Tensor]:
        """The drift as a torch function of one point."""
        coefficients = self.coefficients(step)
        return lambda x: self.point_drift(x, **coefficients)

    def field_of_direction(self, step: int = 0) -> tuple[float, float, float | None] | None:
        """-d(x), times lr(step) / lr(0); see `System.field_of_direction`."""
        if self._function is not None or isinstance(self.noise, Minibatch):
            return None
        return 0.0, -value_at(self.lr, step, "lr") / value_at(self.lr, 0, "lr"), None  # type: ignore[arg-type]

    def drift(self, x: checks.PointLike, step: int = 0) -> Array:
        """The drift -grad f(x + e(x)), or the given one, at points (..., dim): shape (..., dim)."""
        return self.evaluate(x, step)

    def covariance(self, x: checks.PointLike, step: int = 0) -> Array:
        """The covariance lr C of the noise per unit of time, or B B^T, at points (..., dim): shape
        (..., dim, dim).
        """
        coefficients = self.coefficients(step)

        def at(point: Tensor) -> Tensor:
            root = self.point_root(point, **coefficients)
            return root @ root.T

        return batch.evaluate(at, checks.points("x", x, self.dim, finite=False))

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the loss, the rule and the noise, and lr; or the parameters of the functions."""
        if self._function is not None:
            return dict(self._function.parameters)
        assert self.landscape is not None and self.rule is not None and self.noise is not None
        rule = self.rule.parameters
        return {**self.landscape.parameters, **rule, "lr": self.lr, **self.noise.parameters}

    def with_parameters(self, **parameters: Any) -> Self:
        """A copy with some parameters changed."""
        of_loss, of_rule, rest = split_parameters(self, parameters)
        if self._function is not None and self._root is not None:
            result = type(self).__new__(type(self))
            result.__dict__.update(self.__dict__)
            result._function = self._function.with_parameters(**parameters)
            result._root = self._root.with_parameters(**parameters)
            return result
        assert self.landscape is not None and self.rule is not None and self.noise is not None
        loss = self.landscape.with_parameters(**of_loss) if of_loss else self.landscape
        rule = self.rule.with_parameters(**of_rule) if of_rule else self.rule
        lr = rest.pop("lr", self.lr)
        noise = self.noise.with_parameters(**rest) if rest else self.noise
        view: dict[str, Any] = {"lr": lr, "noise": noise}
        return type(self)(loss, rule, **view)

    def __repr__(self) -> str:
        if self._function is not None:
            return f"Diffusion.from_function({self.name}, dim={self.dim})"
        assert self.landscape is not None
        return f"Diffusion({self.landscape.name}, {self.rule}, lr={self.lr}, noise={self.noise})"


def _has_gaussian_model(rule: Rule) -> bool:
    """Whether the models of `samdyn.systems.batch_gaussian` hold: of a direction made of g and P alone."""
    kind = type(rule)
    return not rule.perturbs or (kind.descent is Rule.descent and kind.update is Rule.update)

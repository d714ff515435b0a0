"""The algorithm itself: x' = x - lr * P, with P the gradient at the perturbed point, heavy-ball momentum,
and optional noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import Landscape, hessian_of
from samdyn.rules.rule import Rule
from samdyn.rules.schedules import Coefficient, check_coefficient, value_at
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.noise import Noise
from samdyn.systems.step_of_rule import check_noise, given_to, next_state
from samdyn.systems.system import FromFunction, System, check_ingredients, check_limit, split_parameters
from samdyn.trace import batch


class Map(System):
    """A discrete-time optimiser as a map on R^dim.

    One step is ``x' = x - lr * grad f(x + e(x))``; with heavy-ball momentum ``v' = momentum * v + grad f(x
    + e(x))``, ``x' = x - lr * v'``. With a noise model each gradient that the rule sees carries its draw
    (see the model's `probe`).

    Parameters
    ----------
    loss : Landscape
        What is minimised.
    rule : Rule
        How the weights are perturbed.
    lr : float or schedule
        Learning rate, > 0.
    momentum : float
        Heavy-ball coefficient in [0, 1).
    noise : Noise, optional
        Gradient noise. `Map(x)` and `jacobian` belong to the noiseless step; `trajectory` and
        `exit_times` draw the noise.

    Notes
    -----
    Time is the integer step. With momentum the state is (x, v), of length 2 dim, and a rule's memory
    (moments, averages, last directions) stands behind: called on points of shape (..., dim) the map takes a
    first step, from rest, and returns points; called on states (..., state_dim) it returns states.
    `jacobian` is the Jacobian of the state map; a point stands there for a state whose memory has settled.

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.saddle(2.0, 2.0), sd.SAM(0.5), lr=0.01)
    >>> step([-3.0, 0.0])
    array([-2.93,  0.  ])
    """

    @checked
    def __init__(
        self,
        loss: Landscape,
        rule: Rule,
        lr: Coefficient,
        momentum: float = 0.0,
        noise: Noise | None = None,
    ) -> None:
        rule = check_ingredients(loss, rule)
        lr = check_coefficient("lr", lr, above=0)
        if checks.number("momentum", momentum, at_least=0) >= 1:
            raise ValueError(f"momentum must be a number in [0, 1), got {momentum!r}")
        if noise is not None:
            if not isinstance(noise, Noise):
                raise TypeError(
                    f"noise must be a noise model such as sd.GaussianNoise(std=1.0), got {noise!r}"
                )
            noise.check_loss(loss)
            check_noise(loss, rule, noise)
        self.landscape: Landscape | None = loss
        self.rule: Rule | None = rule
        self.lr = lr
        self.momentum = float(momentum)
        self.noise = noise
        self.dim, self.box = loss.dim, loss.box
        self.name = f"{type(rule).__name__} on {loss.name}"
        self._function: FromFunction | None = None

    @classmethod
    @checked
    def from_function(
        cls,
        step: Callable[..., Tensor],
        dim: int,
        parameters: Mapping[str, Any] | None = None,
        box: Sequence[Sequence[float]] | None = None,
        name: str | None = None,
    ) -> Map:
        """Any other map x -> x'.

        Parameters
        ----------
        step : callable
            ``step(w, **parameters)`` takes one point, a torch tensor of shape (dim,), and returns the next
            one.
        dim : int
            Number of coordinates.
        parameters : dict, optional
            Keyword arguments of `step`, kept apart so that they can be varied.
        box : sequence of (lower, upper), optional
            Where analyses look by default.
        name : str, optional
            For titles.

        Examples
        --------
        >>> import torch
        >>> import samdyn as sd
        >>> henon = sd.Map.from_function(
        ...     lambda w, a, b: torch.stack([1 - a * w[0]**2 + w[1], b * w[0]]), dim=2, parameters={"a":
        ...     1.4, "b": 0.3})
        >>> henon([0.0, 0.0])
        array([1., 0.])
        """
        self = cls.__new__(cls)
        self.dim = checks.integer("dim", dim, at_least=1)
        self.box = None if box is None else checks.box("box", box, self.dim)
        self._function = FromFunction(step, self.dim, parameters, "step")
        self.name = name or str(getattr(step, "__name__", "map"))
        self.landscape, self.rule, self.noise, self.lr, self.momentum = None, None, None, 1.0, 0.0
        return self

    @property
    def state_dim(self) -> int:
        """`dim`, and dim more with momentum, and the length of the rule's memory."""
        own = 0 if self.rule is None else self.rule.memory_length(self.dim)
        return self.dim + (self.dim if self.momentum else 0) + own

    @property
    def has_memory(self) -> bool:
        """Whether a state holds anything besides the point: a velocity, or the memory of the rule."""
        return bool(self.momentum) or (self.rule is not None and self.rule.memory)

    @property
    def n_normals(self) -> int:
        """Standard normals that one step uses: the normals of the noise, then the normals of the rule."""
        own = 0 if self.rule is None else self.rule.n_normals(self.dim)
        if self.noise is None or isinstance(self.noise, Minibatch):
            return own
        return self.noise.n_normals(self.dim) + own

    @property
    def discrete(self) -> bool:
        """True: time is the step."""
        return True

    @property
    def noisy(self) -> bool:
        """Whether there is a noise model, or a rule that draws random numbers."""
        return self.noise is not None or self.n_normals > 0

    @property
    def silent(self) -> bool:
        """Whether the rule draws nothing, and there is no noise model or one that is 0 for this loss."""
        drawn = self.rule is not None and self.rule.n_normals(self.dim) > 0
        return not drawn and (self.noise is None or self.noise.silent(self.landscape))

    @property
    def step_length(self) -> float:
        """1: time is the step."""
        return 1.0

    def without_noise(self) -> Map:
        """The map without noise: the full gradient at every step."""
        if self.noise is None:
            return self
        assert self.landscape is not None and self.rule is not None
        return Map(self.landscape, self.rule, self.lr, self.momentum)

    @property
    def scheduled(self) -> bool:
        """Whether any coefficient depends on the step."""
        if self._function is not None:
            return any(callable(value) for value in self._function.parameters.values())
        return callable(self.lr) or (self.rule is not None and self.rule.scheduled)

    def coefficients(self, step: int = 0) -> dict[str, float]:
        """Values at a step of the rule's coefficients and of lr."""
        if self.rule is None:
            return {}
        return {**self.rule.coefficients(step), "lr": value_at(self.lr, step, "lr")}

    def advance(
        self, state: Tensor, normals: Tensor | None, *, lr: Any = None, **coefficients: Any
    ) -> Tensor:
        """One step of one state, in torch, with given coefficients and standard normals.

        Parameters
        ----------
        state : Tensor, shape (state_dim,)
        normals : Tensor, shape (n_normals,), or None
            Without them the step is noiseless.
        lr : float or Tensor
            Learning rate of this step.
        **coefficients
            The rule's coefficients.
        """
        if self._function is not None:
            return self._function.point_function(0)(state)
        assert self.landscape is not None and self.rule is not None
        loss, dim = self.landscape.one_point, self.dim
        gradient = self.landscape.oracle
        ascent, descent = gradient, gradient
        own = self.rule.n_normals(dim)
        if own:
            if normals is None:
                check_limit("a step without noise", self.rule)
            assert normals is not None
            coefficients["normals"] = normals[len(normals) - own :]
        if self.noise is not None and normals is not None:
            noise, hessian = self.noise, hessian_of(loss)
            random = normals[: len(normals) - own]
            draw, other = random[:dim], random[-dim:]
            descent = gradient.with_gradient(lambda y: gradient(y) + noise.root(hessian, y, draw))
            if noise.probe != "full":  # type: ignore[attr-defined]
                ascent = gradient.with_gradient(lambda x: gradient(x) + noise.root(hessian, x, other))
        return next_state(self.rule, dim, self.momentum, state, [(ascent, descent)], lr, coefficients)

    def at_rest(self, x: Array) -> Array:
        """States before a first step: velocities are 0, the rule's memory is what it begins with."""
        if self.rule is None or not self.has_memory:
            return x
        rule, states = self.rule, np.zeros((*x.shape[:-1], self.state_dim))
        states[..., : self.dim] = x
        at = self.state_dim - rule.memory_length(self.dim)
        for name in (*rule.vectors, *rule.numbers):
            width = self.dim if name in rule.vectors else 1
            states[..., at : at + width] = rule.initial.get(name, 0.0)
            at += width
        return states

    def settled(self, x: Array) -> Array:
        """States after standing still at x: the rule's memory is what a step leaves as it is there."""
        if self.rule is None or not self.rule.memory:
            return self.at_rest(x)
        assert self.landscape is not None
        rule, gradient, dim = self.rule, self.landscape.oracle, self.dim
        check_limit("settled memory", rule)
        coefficients = given_to(rule, self.coefficients())

        def memory(w: Tensor) -> Tensor:
            settled = rule.settled(w, gradient, **coefficients)
            return torch.cat([settled[name].reshape(-1) for name in (*rule.vectors, *rule.numbers)])

        states = self.at_rest(x)
        states[..., states.shape[-1] - rule.memory_length(dim) :] = batch.evaluate(memory, x)
        return states

    def point_function(self, step: int = 0) -> Callable[[Tensor], Tensor]:
        """The noiseless step as a torch function of one state."""
        if self._function is not None:
            return self._function.point_function(step)
        coefficients = self.coefficients(step)
        return lambda state: self.advance(state, None, **coefficients)

    def __call__(self, x: checks.PointLike, step: int = 0) -> Array:
        """One noiseless step, a first one from points (..., dim), or from states (..., state_dim)."""
        if self.has_memory and np.shape(checks.point_of(x))[-1:] == (self.dim,):
            states = self.at_rest(checks.points("x", x, self.dim, finite=False))
            return self.evaluate(states, step)[..., : self.dim]
        return self.evaluate(x, step)

    def jacobian(self, x: checks.PointLike) -> Array:
        """Jacobian of one noiseless step; with momentum or a rule that has memory it is the Jacobian of the
        state map, (state_dim, state_dim), taken with settled memory where `x` holds points.
        """
        return super().jacobian(self.states(x))

    def field_of_direction(self, step: int = 0) -> tuple[float, float, float | None] | None:
        """x - lr d(x), or with momentum the step of (x, v); see `System.field_of_direction`."""
        if self.rule is None or self.rule.memory or self.rule.uses_lr:
            return None
        return 1.0, -value_at(self.lr, step, "lr"), self.momentum or None

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the loss and the rule, lr, momentum and the noise's; or the function's parameters."""
        if self._function is not None:
            return dict(self._function.parameters)
        assert self.landscape is not None and self.rule is not None
        rule = self.rule.parameters
        noise = {} if self.noise is None else self.noise.parameters
        return {**self.landscape.parameters, **rule, "lr": self.lr, "momentum": self.momentum, **noise}

    def with_parameters(self, **parameters: Any) -> Self:
        """A copy with some parameters changed.

        Examples
        --------
        >>> import samdyn as sd
        >>> sd.Map(sd.landscapes.beale(), sd.SAM(0.5), lr=0.01).with_parameters(rho=0.1).rule
        SAM(rho=0.1)
        """
        of_loss, of_rule, rest = split_parameters(self, parameters)
        if self._function is not None:
            result = type(self).__new__(type(self))
            result.__dict__.update(self.__dict__)
            result._function = self._function.with_parameters(**parameters)
            return result
        assert self.landscape is not None and self.rule is not None
        loss = self.landscape.with_parameters(**of_loss) if of_loss else self.landscape
        rule = self.rule.with_parameters(**of_rule) if of_rule else self.rule
        noise = self.noise
        if noise is not None:
            noise = noise.with_parameters(**{k: rest.pop(k) for k in list(rest) if k in noise.parameters})
        view: dict[str, Any] = {"lr": self.lr, "momentum": self.momentum, "noise": noise, **rest}
        return type(self)(loss, rule, **view)

    def __repr__(self) -> str:
        if self._function is not None:
            return f"Map.from_function({self.name}, dim={self.dim})"
        assert self.landscape is not None
        extra = f", momentum={self.momentum:g}" if self.momentum else ""
        extra += f", noise={self.noise}" if self.noise is not None else ""
        return f"Map({self.landscape.name}, {self.rule}, lr={self.lr}{extra})"

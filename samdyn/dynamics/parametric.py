"""A system as a function of its state AND some of its parameters, with both Jacobians.

Continuation needs the step of a map or the field of a flow, its Jacobian in the state and its derivative in
the parameters, thousands of times at single points. Here the parameters become further inputs of the torch
function of one point; value and Jacobians are traced together and printed as plain Python (see
`samdyn.trace.printed.printing`), which costs some ten microseconds a point where eager torch takes
milliseconds.

Derivatives are exact (reverse mode), in the parameters too. Two fallbacks, slower: functions that cannot be
traced go through torch.vmap; functions that do not take a tensor for a parameter (``math.sin(a)``) get
their derivative in the parameters from central differences with a step of 1e-6 (1 + |p|), whose error is
about 1e-10 of the third derivative's size.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.results import storable
from samdyn.rules.oracle import Oracle
from samdyn.systems.flow import Flow, velocity
from samdyn.systems.map import Map
from samdyn.systems.step_of_rule import next_state
from samdyn.systems.system import System, check_limit
from samdyn.trace.printed.printing import numpy_form, printed_form
from samdyn.trace.tracing import NotTraceable, batched_form, coordinate_form, traced_or_batched

Evaluation = tuple[Array, Array, Array]


@storable
class Parametric:
    """The k-fold map, or the field, of a system in its state and parameters.

    Parameters
    ----------
    system : Map or Flow
    names : sequence of str
        The parameters that vary, m of them.
    period : int
        k: the map is composed with itself k times.

    Attributes
    ----------
    n, m : int
        Length of a state, number of parameters. With momentum, or when momentum is one of the parameters,
        a state is (x, v).
    discrete : bool
        Whether the system is a map.
    """

    stored = ("system", "names", "period")

    def __init__(self, system: System, names: Sequence[str], period: int = 1) -> None:
        self.system, self.names, self.period = system, tuple(names), period
        self.discrete = isinstance(system, Map)
        self.n = length_of_state(system, self.names)
        self.m = len(self.names)
        function = function_of(system, self.names, self.n)
        both = with_jacobian(function)
        size = self.n + self.m
        self._scalar: Callable[..., tuple[float, ...]] | None = None
        self._arrays: Callable[..., Sequence[Any]] | None = None
        self._differences = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of tensors that are made numbers: found out below
            try:
                printed = printed_form(coordinate_form(both, size))
                self._scalar, self._arrays = printed.scalar, printed.arrays
            except NotTraceable:
                self._form = batched_form(both, size)
                try:
                    trial = np.full(size, 0.3)
                    trial[self.n :] = [float(system.parameters[name]) for name in self.names]
                    self._through_torch(trial)
                except Exception:  # whatever the user's function raises on a tensor in place of a number
                    self._differences = True

    def with_period(self, period: int) -> Parametric:
        """The same traced step, composed with itself `period` times."""
        result = copy.copy(self)
        result.period = period
        return result

    def step(self, z: Array, p: Array) -> Evaluation:
        """One step (or the velocity) at one state, its Jacobian (n, n) and its derivative (n, m)."""
        n, m = self.n, self.m
        if self._scalar is not None:
            flat = np.array(self._scalar(*z.tolist(), *p.tolist()))
        elif self._differences:
            return self._by_differences(z, p)
        else:
            flat = self._through_torch(np.concatenate([z, p]))
        table = flat.reshape(n, 1 + n + m)
        return table[:, 0], table[:, 1 : 1 + n], table[:, 1 + n :]

    def orbit(self, z: Array, p: Array) -> Array:
        """The states z, Phi(z), ... of one period: shape (period, n)."""
        states = [z]
        for _ in range(self.period - 1):
            states.append(self.step(states[-1], p)[0])
        return np.array(states)

    def evaluate(self, z: Array, p: Array) -> Evaluation:
        """The k-fold map (or the velocity) at one state, its Jacobian, its derivative in the parameters."""
        if self.period == 1:
            return self.step(z, p)
        jacobian, slope = np.eye(self.n), np.zeros((self.n, self.m))
        for _ in range(self.period):
            z, a, b = self.step(z, p)
            jacobian, slope = a @ jacobian, a @ slope + b
        return z, jacobian, slope

    def residual(self, z: Array, p: Array) -> Evaluation:
        """What vanishes at a fixed point, Phi^k(z) - z or the velocity, and its two Jacobians."""
        value, jacobian, slope = self.evaluate(z, p)
        if not self.discrete:
            return value, jacobian, slope
        return value - z, jacobian - np.eye(self.n), slope

    def batch(self, z: Array, p: Array) -> tuple[Array, Array]:
        """One step at states (N, n) with parameters (N, m) or (m,): (N, n), and its Jacobians (N, n, n)."""
        p = np.broadcast_to(p, (len(z), self.m))
        if self._arrays is None:
            rows = [self.step(a, b)[:2] for a, b in zip(z, p, strict=True)]
            return np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
        columns = np.ascontiguousarray(np.concatenate([z, p], axis=1).T)
        outputs = self._arrays(*columns)
        table = np.stack([np.broadcast_to(v, len(z)) for v in outputs], axis=1)
        table = table.reshape(len(z), self.n, 1 + self.n + self.m)
        return table[:, :, 0], table[:, :, 1 : 1 + self.n]

    def _through_torch(self, y: Array) -> Array:
        outputs = self._form(*torch.from_numpy(y[:, None]))
        return np.array([float(v.detach()) for v in outputs])

    def _by_differences(self, z: Array, p: Array) -> Evaluation:
        def at(values: Array) -> tuple[Array, Array]:
            fixed = self.system.with_parameters(**dict(zip(self.names, values.tolist(), strict=True)))
            function = fixed.point_function()
            point = torch.from_numpy(z.copy())
            jacobian = torch.func.jacrev(function)(point)
            return function(point).detach().numpy(), jacobian.detach().numpy()

        value, jacobian = at(p)
        slope = np.empty((self.n, self.m))
        for j in range(self.m):
            h = np.zeros(self.m)
            h[j] = 1e-6 * (1 + abs(p[j]))
            slope[:, j] = (at(p + h)[0] - at(p - h)[0]) / (2 * h[j])
        return value, jacobian, slope


def with_jacobian(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function (n,) -> (m,) with its Jacobian: (n,) -> (m, 1 + n)."""
    both = torch.func.jacrev(lambda y: (value := function(y), value), has_aux=True)

    def packed(y: Tensor) -> Tensor:
        jacobian, value = both(y)
        return torch.cat([value[:, None], jacobian], dim=1)

    return packed


def function_of(system: System, names: Sequence[str], n: int) -> Callable[[Tensor], Tensor]:
    """The step or the velocity as a torch function of one vector (state, parameters).

    Examples
    --------
    >>> import torch
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.saddle(1.0, 1.0), sd.USAM(2.0))
    >>> function_of(flow, ["rho"], 2)(torch.tensor([1.0, 1.0, 3.0]))
    tensor([-4., -2.])
    """
    if system.landscape is None:
        given = system._function  # type: ignore[attr-defined]
        fixed = {k: v for k, v in given.parameters.items() if k not in names}

        def of_function(y: Tensor) -> Tensor:
            return given.function(y[:n], **fixed, **dict(zip(names, y[n:], strict=True)))

        return of_function

    def of_loss(y: Tensor) -> Tensor:
        loss, coefficients, lr, momentum = ingredients(system, dict(zip(names, y[n:], strict=True)))
        assert system.rule is not None
        oracle = Oracle(torch.func.grad(loss), loss)
        if isinstance(system, Flow):
            return velocity(oracle, system.rule, system.form, **coefficients)(y[:n])
        # a velocity is there where momentum varies, whatever it is now
        heavy_ball = n > system.dim + system.rule.memory_length(system.dim)
        check_limit("a step without noise", system.rule)
        return next_state(
            system.rule, system.dim, momentum, y[:n], [(oracle, oracle)], lr, coefficients, heavy_ball
        )

    return of_loss


def ingredients(
    system: System, values: dict[str, Any]
) -> tuple[Callable[[Tensor], Tensor], dict[str, Any], Any, Any]:
    """The loss of one point, the rule's coefficients, lr and momentum, with some parameters replaced."""
    landscape, rule = system.landscape, system.rule
    assert landscape is not None and rule is not None
    of_loss = {k: values.get(k, v) for k, v in landscape.parameters.items()}
    coefficients = {k: values.get(k, v) for k, v in rule.coefficients().items()}
    lr = values.get("lr", getattr(system, "lr", 1.0))
    momentum = values.get("momentum", getattr(system, "momentum", 0.0))
    function = landscape.function
    return (lambda w: function(w, **of_loss)), coefficients, lr, momentum


def length_of_state(system: System, names: Sequence[str]) -> int:
    """Length of a state: with a velocity where momentum is among the parameters that vary."""
    heavy_ball = isinstance(system, Map) and not system.momentum and "momentum" in names
    return system.state_dim + system.dim if heavy_ball else system.state_dim


def full_state(system: System, names: Sequence[str], state: Array) -> Array:
    """States (..., n) from points, taken with settled memory, or from states without a velocity at rest."""
    states = system.settled(state) if state.shape[-1] == system.dim else state
    n, dim = length_of_state(system, names), system.dim
    if states.shape[-1] == n:
        return states
    velocity = np.zeros((*states.shape[:-1], dim))
    return np.concatenate([states[..., :dim], velocity, states[..., dim:]], axis=-1)


def stepper(system: System, names: Sequence[str]) -> tuple[Callable[[Array, Array], Array], int]:
    """The step of a map (or the field of a flow) for many states at once, and the length of a state.

    Returns
    -------
    step : callable
        States (n, N) and parameters (m, N) to the next states (n, N).
    n : int

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> step, n = stepper(sd.Map(sd.landscapes.saddle(1.0, 1.0), sd.GD(), lr=0.1), ["lr"])
    >>> step(np.ones((n, 2)), np.array([[0.1, 0.2]]))
    array([[0.9, 0.8],
           [1.1, 1.2]])
    """
    n = length_of_state(system, names)
    form = numpy_form(traced_or_batched(function_of(system, tuple(names), n), n + len(names)))

    def step(state: Array, parameters: Array) -> Array:
        size = state.shape[1]
        return np.array([np.broadcast_to(v, size) for v in form(*state, *parameters)])

    return step, n

"""Steps of many copies of a map, without noise, in which any of its parameters varies from copy to copy.

What varies is an input of the traced step: momentum too, which is no coefficient of the other kinds of steps,
since with it a state gains a velocity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.dynamics.contract import Coefficients, Step
from samdyn.dynamics.draws import NormalDraws, Stream
from samdyn.dynamics.parametric import stepper
from samdyn.systems.batch_samplers import Index
from samdyn.systems.map import Map


class ParametricStep(Step):
    """Steps of the noiseless map, whose coefficients are its varying parameters.

    Parameters
    ----------
    system : Map
    names : sequence of str
        The parameters.

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.dynamics.driver import advanced
    >>> system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.5)
    >>> step, momentum = ParametricStep(system, ["momentum"]), np.array([0.0, 0.5])
    >>> rest = np.array([[1.0, 0.0], [1.0, 0.0]])  # position and velocity
    >>> advanced(system, rest, 2, step=step, coefficients=lambda _: {"momentum": momentum})
    array([[0.25],
           [0.  ]])
    """

    pointwise = True

    def __init__(self, system: Map, names: Sequence[str]) -> None:
        self.dim, self.names = system.dim, tuple(names)
        self.step, self.state_dim = stepper(system, self.names)

    def stream(self, seed: int, paths: Index, end: int) -> Stream:
        """Without random inputs."""
        return Stream(NormalDraws(0).steps, 0, seed, paths, end)

    def load(self, state: Array) -> Array:
        """The states by coordinates, (state_dim, n)."""
        return np.ascontiguousarray(state.T)

    def points(self, loaded: Array) -> Array:
        """The points."""
        return loaded[: self.dim].T

    def states(self, loaded: Array) -> Array:
        """The states."""
        return loaded.T

    def advance(
        self,
        loaded: Array,
        stream: Stream,
        step: int,
        n_steps: int,
        values: Callable[[int], Coefficients],
        dt: float | None = None,
    ) -> Array:
        """See `Step.advance`."""
        with np.errstate(all="ignore"):
            for j in range(step, step + n_steps):
                own = values(j)
                parameters = np.stack([np.broadcast_to(own[name], loaded.shape[1]) for name in self.names])
                loaded = self.step(loaded, parameters)
        return loaded

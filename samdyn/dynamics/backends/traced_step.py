"""Steps of many copies by the traced step: of maps, with any noise, and of diffusions (Euler-Maruyama).

The step runs as printed numpy code, or through torch where it has no pointwise form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.dynamics.contract import Coefficients, Step
from samdyn.dynamics.draws import Stream
from samdyn.dynamics.step import array_step
from samdyn.dynamics.steppers import build_stepper
from samdyn.systems.batch_samplers import Index
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map


class TracedStep(Step):
    """Steps by the traced form of a system.

    Parameters
    ----------
    system : Map or Diffusion
    dt : float, optional
        Length of a Diffusion's step: by default its lr, of a schedule the first, in whose steps time goes on.
    varied : sequence of str
        Numbers of the loss that are coefficients too, which `advance` is told then.

    Examples
    --------
    >>> import samdyn as sd
    >>> step = TracedStep(sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1))
    >>> stream = step.stream(seed=0, paths=np.array([0]), end=1)
    >>> step.advance(np.array([[0.5]]), stream, step=0, n_steps=1, values=lambda step: {"lr": 0.1})
    array([[0.5375]])
    """

    def __init__(self, system: Map | Diffusion, dt: float | None = None, varied: Sequence[str] = ()) -> None:
        self.dim, self.state_dim = system.dim, system.state_dim
        self.stepper = build_stepper(system, varied)
        self.step = array_step(self.stepper)
        self.pointwise = self.stepper.traced and self.stepper.noise is None
        self.dt = dt
        if not system.discrete and dt is None:
            if system.step_length is None:
                raise ValueError(f"system must have a learning rate, the length of its step, got {system!r}")
            if callable(system.lr):
                self.dt = system.step_length

    def stream(self, seed: int, paths: Index, end: int) -> Stream:
        """See `Step.stream`."""
        draws = self.stepper.draws
        return Stream(draws.steps, draws.n_inputs, seed, paths, end)

    def load(self, state: Array) -> Array:
        """Separate coordinates, (state_dim, n)."""
        return np.ascontiguousarray(state.T)

    def points(self, loaded: Array) -> Array:
        """The points."""
        return np.ascontiguousarray(loaded[: self.dim].T)

    def states(self, loaded: Array) -> Array:
        """The states."""
        return np.ascontiguousarray(loaded.T)

    def advance(
        self,
        loaded: Array,
        stream: Stream,
        step: int,
        n_steps: int,
        values: Callable[[int], Coefficients],
        dt: float | None = None,
    ) -> Array:
        """See `Step.advance`; `dt` is the length of these steps where they differ from the others."""
        current: Any = loaded
        names = self.stepper.names
        dt = self.dt if dt is None else dt
        with np.errstate(all="ignore"):
            for j in range(step, step + n_steps):
                own = values(j)
                length = own["lr"] if dt is None and self.stepper.continuous else dt
                current = self.step(current, stream(j), [np.float64(own[name]) for name in names], length)
        return np.stack([np.broadcast_to(x, loaded[0].shape) for x in current])

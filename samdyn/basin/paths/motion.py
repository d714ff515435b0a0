"""How states move between two looks of a basin computation: the steps of a map, the strides of a flow, the
steps of a diffusion.

- Map: whole steps, printed as numpy code with its coefficients as constants. On a schedule, and with noise,
  the steps of `samdyn.dynamics.backends.traced_step`, which `trajectory` takes too.
- Diffusion: Euler-Maruyama steps of the same module; without noise the steps of its drift as a Flow.
- Flow of a smooth field: strides of fixed length, by Dormand-Prince 5(4) with a step for each path
  (`samdyn.dynamics.dormand_prince`).
- Flow of a normalised rule, or on a loss with kinks: strides by the linearly implicit Rosenbrock method
  2(3) of `samdyn.dynamics.rosenbrock`, whose field jumps at critical points or kinks. Near a jump no
  step size meets the tolerance: steps are not cut below a 20th of the stride, or what takes a path a
  quarter of `HOVER` where it is faster, so that a path hovers about a trapping point within `HOVER`.

All of it is pointwise: what a path does does not depend on the paths beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from samdyn.arguments.checks import Array
from samdyn.basin.paths.contract import Motion, Paths
from samdyn.basin.paths.motion_on_device import MotionOnDevice
from samdyn.dynamics.adaptive_steps import follow
from samdyn.dynamics.backends.native_step import NativeStep
from samdyn.dynamics.backends.traced_step import TracedStep
from samdyn.dynamics.clock import coefficients_at
from samdyn.dynamics.dormand_prince import ExplicitFlow, Tolerance
from samdyn.dynamics.driver import build_step
from samdyn.dynamics.kinks import has_kinks
from samdyn.dynamics.rosenbrock import AcrossJumps
from samdyn.dynamics.step_length import default_dt
from samdyn.numerics.scales import diagonal_of
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

ACCURATE = 1e-10, 1e-12  # relative and absolute: where differences of paths are Jacobians
IMPLICIT_RELATIVE = 1e-6  # digits of a path that jumps are fewer, since at jumps they are lost
SHORTEST = 1 / 20  # of a stride, for a field that jumps
HOVER = 2e-3  # of the box's diagonal
STRIDES_ACROSS = 50  # default stride: a box diagonal takes so many at the median speed

Coordinates = Sequence[Array]


def build_motion(
    system: System,
    *,
    stride: float | None,
    noisy: bool,
    seed: int,
    box: Array,
    device: str = "cpu",
    compiled: bool = False,
) -> Motion:
    """The motion of a system; `noisy`: a Map or Diffusion draws its noise; `compiled`: in compiled steps."""
    if device != "cpu":
        assert isinstance(system, Map | Diffusion)
        if isinstance(system, Diffusion):
            return MotionOnDevice(system, device, seed, middle_dt(system) if stride is None else stride)
        return MotionOnDevice(system if noisy else system.without_noise(), device, seed)
    if isinstance(system, Map):
        moved = system if noisy else system.without_noise()
        if moved.scheduled or moved.noisy or compiled:
            return _Steps(moved, seed, compiled=compiled)
        return _PlainMap(moved)
    if isinstance(system, Diffusion):
        if noisy:
            return _Steps(system, seed, middle_dt(system) if stride is None else stride, compiled)
        return _Flow(as_flow(system), stride, box)
    assert isinstance(system, Flow)
    return _Flow(system, stride, box)


def as_flow(system: System) -> Flow:
    """The drift of a Diffusion as a Flow."""
    if isinstance(system, Diffusion):
        return system.as_flow()
    assert isinstance(system, Flow)
    return system


class _PlainMap(Motion):
    every, unit, hover, repeats = 8, 1.0, 0.0, True

    def __init__(self, system: Map) -> None:
        self.step = numpy_form(traced_or_batched(system.point_function(), system.state_dim))

    def __call__(self, state: Array, path: Paths, step: int, n_steps: int) -> Array:
        current: Coordinates = list(state)
        for _ in range(n_steps):
            current = self.step(*current)
        return _stack(current, state)


class _Steps(Motion):
    every, hover, repeats = 8, 0.0, False

    def __init__(
        self, system: Map | Diffusion, seed: int, dt: float | None = None, compiled: bool = False
    ) -> None:
        step = build_step(system, dt, math.inf if compiled else 0.0)
        # states come by coordinates, which is how these two keep them
        self.step = step if isinstance(step, TracedStep) else TracedStep(system, dt)
        self.native = self.step if isinstance(self.step, NativeStep) else None
        self.seed = seed
        self.unit = 1.0 if dt is None else dt
        self.coefficients = coefficients_at(system, dt)

    def __call__(self, state: Array, path: Paths, step: int, n_steps: int) -> Array:
        stream = self.step.stream(self.seed, path, step + n_steps)
        return self.step.advance(state, stream, step, n_steps, self.coefficients)

    def orbit(self, state: Array, path: Paths, step: int, n_records: int, spacing: int) -> Array:
        """See `Motion.orbit`; compiled steps keep the states on the way."""
        stream = self.step.stream(self.seed, path, step + n_records * spacing)
        kept: Array = self.step.orbit(state, stream, step, n_records, spacing, self.coefficients)
        return kept


def middle_dt(system: Diffusion) -> float:
    """The default step of a Diffusion whose paths start all over its box."""
    at = np.zeros((1, system.dim)) if system.box is None else system.box.mean(axis=1)[None]
    return default_dt(system, at)


class _Flow(Motion):
    every, repeats = 1, False

    def __init__(self, system: Flow, stride: float | None, box: Array) -> None:
        dim, function = system.dim, system.point_function()
        velocity = numpy_form(traced_or_batched(function, dim))
        self.field = _stacked(velocity, dim)
        self.jumps = system.rule is not None and system.rule.jumps
        self.jumps |= system.landscape is not None and has_kinks(system.landscape)
        self.hover = HOVER if self.jumps else 0.0
        self.unit = default_stride(self.field, box) if stride is None else stride
        if self.jumps:
            form = numpy_form(traced_or_batched(torch.func.jacrev(function), dim))
            self.across = AcrossJumps(
                self.field,
                _stacked(form, dim * dim),
                SHORTEST * self.unit,
                HOVER / 4 * diagonal_of(box),
                Tolerance(box, IMPLICIT_RELATIVE),
            )
        self.explicit = ExplicitFlow(velocity, box, self.unit)
        self.accurate = ExplicitFlow(velocity, box, self.unit, Tolerance(box, *ACCURATE))

    def __call__(self, state: Array, path: Paths, step: int, n_steps: int) -> Array:
        with np.errstate(all="ignore"):
            if not self.jumps:
                return self.explicit.advance(np.ascontiguousarray(state), n_steps * self.unit)
            return self._implicit(np.ascontiguousarray(state), n_steps * self.unit)

    def advance(self, x: Array, duration: float | Array) -> Array:
        """Points (n, dim) after a time; of a smooth field also after times (n,)."""
        with np.errstate(all="ignore"):
            columns = np.ascontiguousarray(x.T)
            ends = (
                self._implicit(columns, float(duration))
                if self.jumps
                else self.explicit.advance(columns, duration)
            )
            return np.ascontiguousarray(ends.T)

    def _implicit(self, x: Array, duration: float) -> Array:
        """Points (dim, n) after a time, nan where a path is lost."""
        return follow(self.across, x, duration, np.full(x.shape[1], duration / 8)).x


def _stack(current: Coordinates, state: Array) -> Array:
    return np.stack([np.broadcast_to(x, state[0].shape) for x in current])


def _stacked(form: Callable[..., Sequence[Array]], size: int) -> Callable[[Array], Array]:
    def at(x: Array) -> Array:
        out = np.empty((len(x), size))
        for i, column in enumerate(form(*np.ascontiguousarray(x.T))):
            out[:, i] = column
        return out

    return at


def default_stride(field: Callable[[Array], Array], box: Array) -> float:
    """Time in which the median speed in the box covers 1/50 of its diagonal."""
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        speed = np.linalg.norm(field(rng.uniform(box[:, 0], box[:, 1], (4096, len(box)))), axis=1)
    moving = np.isfinite(speed) & (speed > 0)
    typical = np.median(speed[moving]) if moving.any() else 1.0
    return float(diagonal_of(box) / STRIDES_ACROSS / typical)


def time_scale(motion: Motion, states: Array) -> float:
    """The time that exponents are compared with: a step, or that in which a flow's orbit covers its extent.

    A stride will not do, since it depends on the box.
    """
    if motion.every > 1:
        return motion.unit
    speed = float(np.median(np.linalg.norm(motion.field(states), axis=1)))  # type: ignore[attr-defined]
    extent = float(np.linalg.norm(states - states.mean(axis=0), axis=1).max())
    return extent / speed if speed > 0 and np.isfinite(extent / speed) else motion.unit

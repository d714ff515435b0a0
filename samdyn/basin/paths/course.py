"""Where paths of a basin computation start, how they move and when they are given up.

Both travel to workers as data: a process builds the motion of a course once (`motion_of`).
"""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.basin.grid import Grid
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.motion import build_motion
from samdyn.basin.paths.native_arrival import CompiledLooks, compiled_looks
from samdyn.dynamics.driver import COMPILE_FROM
from samdyn.jobs.kept import Kept
from samdyn.numerics.scales import units_of
from samdyn.results import storable
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.system import System

Index = npt.NDArray[np.int64]

# An attractor on the boundary is approached from inside, to where the search takes it as standing still.
ROUNDING = 1e-6
EXPECTED_STEPS = 400  # that a path takes to an attractor, roughly


@dataclass(frozen=True)
class Starts:
    """Where paths start: the cells of a grid, each `replicas` times, or given points.

    Attributes
    ----------
    source : Grid or ndarray, shape (n, dim)
    replicas : int
    memory : ndarray, shape (state_dim - dim,)
        What stands behind the point in a state before the first step.
    """

    source: Grid | Array
    replicas: int
    memory: Array

    def __len__(self) -> int:
        n = self.source.n_cells if isinstance(self.source, Grid) else len(self.source)
        return n * self.replicas

    def states(self, paths: Index) -> Array:
        """States (state_dim, n) at the start of these paths."""
        at = paths // self.replicas
        x = self.source.points(at) if isinstance(self.source, Grid) else self.source[at]
        return np.concatenate([x.T, np.repeat(self.memory[:, None], len(paths), axis=1)])


def memory_at_rest(system: System) -> Array:
    """What stands behind a point in a state before the first step, the same at every point."""
    return system.at_rest(np.zeros(system.dim))[system.dim :]


@storable
@dataclass(frozen=True)
class Course:
    """How paths move and when they are given up; picklable where the system is.

    Attributes
    ----------
    system : System
    box : ndarray, shape (dim, 2)
    stride : float or None
        Length of a flow's stride or a diffusion's step.
    noisy : bool
    seed : int
    far : float
        Distance from the middle of the box, in its widths, beyond which a path has diverged.
    device : str
        Where steps are taken.
    compiled : bool
        Whether steps of a map or a diffusion are compiled, where they can be.
    key : str
        Tells apart the courses that a worker has seen.
    """

    stored: ClassVar[tuple[str, ...]] = ("system", "box", "stride", "noisy", "seed", "far")
    """What files hold: the rest is of the machine that a job runs on."""

    system: System
    box: Array
    stride: float | None
    noisy: bool
    seed: int
    far: float
    device: str = "cpu"
    compiled: bool = False
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @functools.cached_property
    def scale(self) -> Array:
        """Factors of the coordinates of a state in distances.

        Those of its box (`samdyn.numerics.scales.units_of`) for a point; a velocity counts by the step that
        it makes.
        """
        units = units_of(self.box)
        memory = self.system.state_dim - self.system.dim
        if not memory:
            return units
        lr = float(self.system.coefficients()["lr"])  # type: ignore[attr-defined]
        of_memory = lr * units if memory == len(units) else np.full(memory, lr)
        return np.concatenate([units, of_memory])

    def without_noise(self) -> Course:
        """The course without noise, on the CPU; of a Diffusion the drift, in strides of a flow."""
        if not self.noisy and self.device == "cpu":
            return self
        stride = None if isinstance(self.system, Diffusion) else self.stride
        key = self.key + ", without noise"
        return replace(self, noisy=False, stride=stride, device="cpu", key=key)

    def lost(self, state: Array) -> npt.NDArray[np.bool_]:
        """Which states (state_dim, n) are not finite, or far away."""
        x = state[: len(self.box)]
        middle, reach = self.bounds
        with np.errstate(all="ignore"):
            near = (np.abs(x - middle[:, None]) <= reach[:, None]).all(axis=0)
        return np.asarray(~near | ~np.isfinite(state).all(axis=0))

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The middle of the box, and how far from there along each coordinate a path is lost, (dim,) each."""
        return self.box.mean(axis=1), self.far * (self.box[:, 1] - self.box[:, 0])

    def inside(self, state: Array) -> npt.NDArray[np.bool_]:
        """Which states lie in the box, its boundary included, to `ROUNDING` of its width."""
        x = state[: len(self.box)]
        margin = ROUNDING * (self.box[:, 1:] - self.box[:, :1])
        return np.asarray(((x >= self.box[:, :1] - margin) & (x <= self.box[:, 1:] + margin)).all(axis=0))


def course_of(
    system: System,
    box: Array,
    dt: float | None,
    noisy: bool,
    seed: int,
    far: float,
    device: str = "cpu",
    n_paths: int = 0,
) -> Course:
    """The course of a system's paths, of which there are `n_paths` or some more."""
    stride = None if dt is None else float(dt)
    compiled = n_paths * EXPECTED_STEPS >= COMPILE_FROM
    return Course(system, box, stride, noisy, int(seed), float(far), device, compiled)


_motions: Kept[Motion] = Kept(most=4)


def motion_of(course: Course) -> Motion:
    """The motion of a course, built once in a process."""
    return _motions(
        course.key,
        lambda: build_motion(
            course.system,
            stride=course.stride,
            noisy=course.noisy,
            seed=course.seed,
            box=course.box,
            device=course.device,
            compiled=course.compiled,
        ),
    )


def quiet_motion(course: Course) -> Motion:
    """The motion without noise in which attractors are looked for.

    A flow's strides are at most the default ones: longer ones, a whole period of a cycle for example, cost
    more and show less.
    """
    calm = course.without_noise()
    if calm.stride is not None and not isinstance(calm.system, Map):
        default = motion_of(replace(calm, stride=None, key=calm.key + ", default stride"))
        if default.unit < calm.stride:
            return default
    return motion_of(calm)


_looks: Kept[CompiledLooks | None] = Kept(most=4)


def looks_of(course: Course) -> CompiledLooks | None:
    """The compiled loop of a course, built once in a process; None where its steps are not compiled."""
    return _looks(
        course.key,
        lambda: compiled_looks(getattr(motion_of(course), "native", None), course.scale, *course.bounds),
    )

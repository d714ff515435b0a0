"""Where starts end: batches of paths, followed until each has arrived at a known attractor.

Algorithm
---------
1. Starts are cut into pieces, whose size depends on their number alone, and each piece runs by itself,
   here or in a worker. A path's numbers do not depend on the paths beside it, so nothing depends on that.
2. A piece looks at its paths every few steps (`Motion.every`). A path that is within the tested radius of an
   attractor is given its label; one that is no longer finite, or more than `far` box widths away, is given
   up. Both leave the batch (compaction).
3. After a limit the paths that are still under way come back with their states, so that the next, longer
   round has full batches again.
4. After the last round they are labelled by where they are.

A path that diverged in the usual way has been far away before it overflows. One that is nan at a step from
within that distance says that the map itself returns nan there.

Memory: 8 bytes a cell for labels and steps, and (8 state_dim + 8) bytes for each path under way between
rounds.
"""

from __future__ import annotations

import functools
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.basin.grid import Grid
from samdyn.basin.motion import Motion, build_motion
from samdyn.basin.proximity import Proximity, Target
from samdyn.compute.checks import Array
from samdyn.ensemble import workers
from samdyn.systems.system import System

LEFT, DIVERGED, OUT_OF_STEPS, NOT_A_NUMBER = -1, -2, -3, -4
REASONS = {
    LEFT: "left the box",
    DIVERGED: "diverged",
    OUT_OF_STEPS: "out of steps",
    NOT_A_NUMBER: "not a number",
}
TILE = 1 << 14
FIRST_LIMIT, GROWTH = 16, 8  # looks of the first round, and how much longer each next one is

Labels = npt.NDArray[np.int16]
Steps = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Starts:
    """Where paths start: the cells of a grid, each `replicas` times, or given points.

    Attributes
    ----------
    source : Grid or ndarray, shape (n, dim)
    replicas : int
    state_dim : int
        Coordinates beyond the point's own start at 0.
    """

    source: Grid | Array
    replicas: int
    state_dim: int

    def __len__(self) -> int:
        n = self.source.n_cells if isinstance(self.source, Grid) else len(self.source)
        return n * self.replicas

    def states(self, paths: Index) -> Array:
        """States (state_dim, n) at the start of these paths."""
        at = paths // self.replicas
        x = self.source.points(at) if isinstance(self.source, Grid) else self.source[at]
        state = np.zeros((self.state_dim, len(paths)))
        state[: x.shape[1]] = x.T
        return state


@dataclass(frozen=True)
class Course:
    """How paths move and when they are given up; picklable where the system is.

    Attributes
    ----------
    system : System
    box : ndarray, shape (dim, 2)
    scale : ndarray, shape (state_dim,)
        Factors of the coordinates in distances.
    stride : float or None
        Length of a flow's stride or a diffusion's step.
    noisy : bool
    seed : int
    far : float
        Distance from the middle of the box, in its widths, beyond which a path has diverged.
    key : str
        Tells apart the courses that a worker has seen.
    """

    system: System
    box: Array
    scale: Array
    stride: float | None
    noisy: bool
    seed: int
    far: float
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def without_noise(self) -> Course:
        """The same, along the drift alone."""
        return replace(self, noisy=False, key=self.key + ", without noise") if self.noisy else self

    def lost(self, state: Array) -> npt.NDArray[np.bool_]:
        """Which states (state_dim, n) are not finite, or far away."""
        x = state[: len(self.box)]
        middle, width = self.box.mean(axis=1), self.box[:, 1] - self.box[:, 0]
        with np.errstate(all="ignore"):
            near = (np.abs(x - middle[:, None]) <= (self.far * width)[:, None]).all(axis=0)
        return np.asarray(~near | ~np.isfinite(state).all(axis=0))

    def inside(self, state: Array) -> npt.NDArray[np.bool_]:
        """Which states lie in the box."""
        x = state[: len(self.box)]
        return np.asarray(((x >= self.box[:, :1]) & (x <= self.box[:, 1:])).all(axis=0))


class Outcome(NamedTuple):
    """Of a piece: label and step of arrival of each path (0 and -1 if under way), and states of those."""

    labels: Labels
    steps: Steps
    states: Array


class Piece(NamedTuple):
    """Paths by number; their states, or None at the start."""

    paths: Index
    states: Array | None
    step: int
    until: int


_motions: dict[str, Motion] = {}
_lock = threading.Lock()


def motion_of(course: Course) -> Motion:
    """The motion of a course, built once in a process."""
    with _lock:
        if course.key not in _motions:
            while len(_motions) > 3:
                del _motions[next(iter(_motions))]
            _motions[course.key] = build_motion(
                course.system, stride=course.stride, noisy=course.noisy, seed=course.seed, box=course.box
            )
        return _motions[course.key]


def run_piece(course: Course, targets: tuple[Target, ...], starts: Starts, piece: Piece) -> Outcome:
    """Follow the paths of a piece, tile by tile."""
    motion, near = motion_of(course), Proximity(targets, course.scale)
    labels = np.zeros(len(piece.paths), dtype=np.int16)
    steps = np.full(len(piece.paths), -1, dtype=np.int32)
    left = []
    for a in range(0, len(piece.paths), TILE):
        tile = slice(a, a + TILE)
        paths = piece.paths[tile]
        state = starts.states(paths) if piece.states is None else piece.states[:, tile]
        left.append(_run_tile(course, motion, near, state, piece, paths, labels[tile], steps[tile]))
    return Outcome(labels, steps, np.concatenate(left, axis=1))


def _run_tile(
    course: Course,
    motion: Motion,
    near: Proximity,
    state: Array,
    piece: Piece,
    paths: Index,
    labels: Labels,
    steps: Steps,
) -> Array:
    at = np.arange(len(paths))
    step = piece.step
    while True:
        found = near(state)
        if found.any():
            labels[at[found > 0]], steps[at[found > 0]] = found[found > 0], step
            state, at = state[:, found == 0], at[found == 0]
        if step >= piece.until or len(at) == 0:
            return state
        n_steps = min(motion.every, piece.until - step)
        following = motion(state, paths[at], step, n_steps)
        lost = course.lost(following)
        if lost.any():
            gone = at[lost]
            labels[gone] = _why(course, motion, state[:, lost], paths[gone], step, n_steps)
            steps[gone] = step + n_steps
            following, at = following[:, ~lost], at[~lost]
        state = following
        step += n_steps


def _why(course: Course, motion: Motion, state: Array, paths: Index, step: int, n_steps: int) -> Labels:
    """Diverged, or not a number at a step from nearby."""
    reason = np.full(len(paths), DIVERGED, dtype=np.int16)
    open_ = np.ones(len(paths), dtype=bool)
    for j in range(n_steps):
        state = motion(state, paths, step + j, 1)
        undefined = np.isnan(state).any(axis=0)
        reason[open_ & undefined] = NOT_A_NUMBER
        open_ &= ~course.lost(state)
        if not open_.any():
            break
    return reason


@dataclass
class Followed:
    """A job under way.

    Attributes
    ----------
    labels, steps : ndarray, shape (n_paths,)
        0 and -1 for paths under way.
    paths : ndarray of int
        Those under way.
    states : ndarray, shape (state_dim, n), or None
        Their states; None at the start.
    step : int
        Steps that they have taken.
    """

    labels: Labels
    steps: Steps
    paths: Index
    states: Array | None
    step: int

    @classmethod
    def of(cls, n_paths: int) -> Followed:
        """All paths at the start."""
        return cls(
            np.zeros(n_paths, dtype=np.int16),
            np.full(n_paths, -1, dtype=np.int32),
            np.arange(n_paths),
            None,
            0,
        )


def advance_round(
    followed: Followed,
    course: Course,
    targets: tuple[Target, ...],
    starts: Starts,
    until: int,
    *,
    n_workers: int = 1,
    executor: Executor | None = None,
    report: Callable[[int], None] | None = None,
) -> bool:
    """One round: every path under way goes on to step `until`, or arrives. False after Ctrl-C."""
    paths, states = followed.paths, followed.states
    cuts = workers.ranges(len(paths))
    pieces = {
        i: Piece(paths[a:b], None if states is None else states[:, a:b], followed.step, until)
        for i, (a, b) in enumerate(cuts)
    }
    kept: dict[int, tuple[Index, Array]] = {}

    def receive(i: int, outcome: Outcome) -> None:
        own = pieces[i].paths
        followed.labels[own], followed.steps[own] = outcome.labels, outcome.steps
        under_way = outcome.labels == 0
        kept[i] = own[under_way], outcome.states
        if report is not None:
            report(int((~under_way).sum()))

    whole = workers.run_pieces(
        functools.partial(run_piece, course, targets, starts),
        pieces,
        receive,
        complete=lambda outcome: True,
        workers=n_workers if len(pieces) > 1 else 1,
        executor=executor,
    )
    if whole:
        followed.paths = np.concatenate([kept[i][0] for i in range(len(cuts))])
        followed.states = np.concatenate([kept[i][1] for i in range(len(cuts))], axis=1)
        followed.step = until
    return whole


def limits(every: int, max_steps: int) -> list[int]:
    """Steps at which the rounds end.

    Examples
    --------
    >>> limits(8, 10_000)
    [128, 1024, 8192, 10000]
    """
    result, limit = [], FIRST_LIMIT * every
    while limit < max_steps:
        result.append(limit)
        limit *= GROWTH
    return [*result, max_steps]

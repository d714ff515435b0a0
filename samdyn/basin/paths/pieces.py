"""Where starts end: batches of paths, followed until each has arrived at a known attractor.

Algorithm
---------
1. A piece, a range of paths with their states, is followed tile by tile, here or in a worker. A path's
   numbers do not depend on the paths beside it, so that nothing depends on the cut.
2. A tile looks at its paths every few steps (`Motion.every`), in numpy or in a compiled loop
   (`samdyn.basin.paths.native_arrival`). A path that is within the tested radius of an
   attractor is given its label; one that is no longer finite, or more than `far` box widths away, is given
   up. Both leave the batch (compaction).
3. At a limit the paths that are still under way come back with their states.

A path that diverged in the usual way has been far away before it overflows. One that is nan at a step from
within that distance says that the map itself returns nan there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.basin.paths.arrival import Proximity, Target
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import Course, Index, Starts, looks_of, motion_of
from samdyn.basin.paths.native_arrival import LOST, UNDEFINED, CompiledLooks, Tables, tables_of
from samdyn.jobs import workers
from samdyn.jobs.kept import Kept

LEFT, DIVERGED, OUT_OF_STEPS, NOT_A_NUMBER = -1, LOST, -3, UNDEFINED
REASONS = {
    LEFT: "left the box",
    DIVERGED: "diverged",
    OUT_OF_STEPS: "out of steps",
    NOT_A_NUMBER: "not a number",
}
TILE = 1 << 14  # paths moved together on a CPU; chosen
FEWEST_LOOKS, MOST_LOOKS = (
    4,
    64,
)  # of a call of the compiled loop: the first, and a few hundredths of a second

Labels = npt.NDArray[np.int16]
Steps = npt.NDArray[np.int32]


def name_of(label: Any, names: Mapping[int, Any]) -> str:
    """What a label stands for: the name of its attractor, or the reason why there is none.

    Raises
    ------
    TypeError, ValueError
        The label is no integer, or is not one of this result.
    """
    label = checks.integer("label", label)
    if label in REASONS:
        return REASONS[label]
    if label not in names:
        raise ValueError(f"label must be one of {[*names, *REASONS]}, got {label!r}")
    return str(names[label].name)


class Outcome(NamedTuple):
    """Labels and steps of arrival of a piece (0 and -1: under way), and the states of paths under way."""

    labels: Labels
    steps: Steps
    states: Array


class Piece(NamedTuple):
    """Paths by number; their states, or None at the start."""

    paths: Index
    states: Array | None
    step: int
    until: int


def run_piece(course: Course, targets: tuple[Target, ...], starts: Starts, piece: Piece) -> Outcome:
    """Follow the paths of a piece, tile by tile."""
    motion, looks = motion_of(course), looks_of(course)
    near, tables, _ = _tests(str(id(targets)), lambda: _tests_of(targets, course))
    labels = np.zeros(len(piece.paths), dtype=np.int16)
    steps = np.full(len(piece.paths), -1, dtype=np.int32)
    left = []
    size = TILE if course.device == "cpu" else max(len(piece.paths), 1)  # a GPU wants much at a time
    for a in range(0, len(piece.paths), size):
        tile = slice(a, a + size)
        paths = piece.paths[tile]
        state = starts.states(paths) if piece.states is None else piece.states[:, tile]
        if looks is not None and tables is not None:
            ends = _run_compiled(motion, looks, tables, state, piece, paths, labels[tile], steps[tile])
        else:
            ends = _run_tile(course, motion, near, state, piece, paths, labels[tile], steps[tile])
        left.append(ends)
    return Outcome(labels, steps, np.concatenate(left, axis=1))


_tests: Kept[tuple[Proximity, Tables | None, Any]] = Kept(most=2)
"""The tests of some targets, which are kept with them, so that no other targets have their identity."""


def _tests_of(targets: tuple[Target, ...], course: Course) -> tuple[Proximity, Tables | None, Any]:
    tables = None if looks_of(course) is None else tables_of(targets, len(course.scale))
    return Proximity(targets, course.scale), tables, targets


def _run_compiled(
    motion: Any,
    looks: CompiledLooks,
    tables: Tables,
    state: Array,
    piece: Piece,
    paths: Index,
    labels: Labels,
    steps: Steps,
) -> Array:
    """What `_run_tile` does, in calls of several looks; what has ended leaves between them."""
    at, step, n_looks = np.arange(len(paths)), piece.step, FEWEST_LOOKS
    while True:
        if workers.stopping():
            raise KeyboardInterrupt
        end = min(step + n_looks * motion.every, piece.until)
        label, ended, state = looks(
            state, tables, motion.seed, paths[at], step, end, motion.every, motion.coefficients
        )
        done = label != 0
        if done.any():
            labels[at[done]], steps[at[done]] = label[done], ended[done]
            state, at = state[:, ~done], at[~done]
        step, n_looks = end, min(2 * n_looks, MOST_LOOKS)
        if step >= piece.until or len(at) == 0:
            return state


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
        if workers.stopping():
            raise KeyboardInterrupt
        found = near(state)
        if found.any():
            labels[at[found > 0]], steps[at[found > 0]] = found[found > 0], step
            state, at = state[:, found == 0], at[found == 0]
        if step >= piece.until or len(at) == 0:
            return state
        n_steps = min(motion.every, piece.until - step)
        following = motion(state, paths[at], step, n_steps)
        if motion.repeats and np.array_equal(following, state):
            return state  # all of them stand still, or go round a cycle, away from the attractors for ever
        lost = course.lost(following)
        if lost.any():
            gone = at[lost]
            labels[gone] = why_lost(course, motion, state[:, lost], paths[gone], step, n_steps)
            steps[gone] = step + n_steps
            following, at = following[:, ~lost], at[~lost]
        state = following
        step += n_steps


def why_lost(course: Course, motion: Motion, state: Array, paths: Index, step: int, n_steps: int) -> Labels:
    """Why the next steps from these states lead away: diverged, or not a number at a step from nearby."""
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

"""Where starts end: batches of paths, followed until each has arrived at a known attractor.

Algorithm
---------
1. A leg, some paths with their states and the step to which they go on, is a job (`samdyn.jobs.job`): its
   pieces are followed tile by tile, here, on threads where steps and looks are one compiled loop, or in
   other processes. A path's numbers do not depend on the paths beside it, so that nothing depends on the
   cut.
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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.basin.paths.arrival import Proximity, Target
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import Course, Index, Starts, looks_of, motion_of
from samdyn.basin.paths.native_arrival import LOST, UNDEFINED, CompiledLooks, Tables, tables_of
from samdyn.jobs.job import Arrays, Job, Report
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


@dataclass(frozen=True)
class LegJob(Job):
    """Paths that go on to a step, or arrive before.

    The legs of a round share their targets, and the `key`. Pieces give `labels` and `steps` of arrival (0
    and -1 of paths under way), and the `states` (state_dim, m) of those under way.

    Attributes
    ----------
    course : Course
    targets : tuple of Target
    starts : Starts
    paths : ndarray of int, shape (n,)
        The paths by number.
    states : ndarray, shape (state_dim, n), or None
        Where they are; None at the start.
    step, until : int
        The step that they have come to, and the step that they are followed to.
    first : int
        Place of the first of `paths`, in a part of a job.
    """

    course: Course
    targets: tuple[Target, ...]
    starts: Starts
    paths: Index
    states: Array | None
    step: int
    until: int
    first: int = 0

    @property
    def n(self) -> int:
        """The paths."""
        return len(self.paths)

    @property
    def on_threads(self) -> bool:
        """Whether steps and looks are one compiled loop."""
        return looks_of(self.course) is not None

    def describe(self) -> dict[str, Any]:
        """How far which paths go; the file of the whole computation is described by
        `samdyn.basin.checkpoint`, and legs have none of their own.
        """
        return {"paths": self.paths.tolist(), "step": self.step, "until": self.until}

    def part(self, first: int, last: int) -> LegJob:
        """See `Job.part`: without the other paths, and with the starts of these alone."""
        own = slice(first - self.first, last - self.first)
        states = None if self.states is None else self.states[:, own]
        return replace(self, paths=self.paths[own], states=states, first=first)

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """Follow a range of paths, tile by tile."""
        course, motion, looks = self.course, motion_of(self.course), looks_of(self.course)
        near, tables = _tests(self.key, lambda: _tests_of(self.targets, course))
        own = slice(first - self.first, last - self.first)
        numbers = self.paths[own]
        labels = np.zeros(len(numbers), dtype=np.int16)
        steps = np.full(len(numbers), -1, dtype=np.int32)
        left = []
        size = TILE if course.device == "cpu" else max(len(numbers), 1)  # a GPU wants much at a time
        for a in range(0, len(numbers), size):
            tile = slice(a, a + size)
            paths = numbers[tile]
            state = self.starts.states(paths) if self.states is None else self.states[:, own][:, tile]
            if looks is not None and tables is not None:
                ends = _run_compiled(
                    self, motion, looks, tables, state, paths, labels[tile], steps[tile], report
                )
            else:
                ends = _run_tile(self, motion, near, state, paths, labels[tile], steps[tile], report)
            left.append(ends)
        return {"labels": labels, "steps": steps, "states": np.concatenate(left, axis=1)}


_tests: Kept[tuple[Proximity, Tables | None]] = Kept(most=2)
"""The tests of the targets of a round."""


def _tests_of(targets: tuple[Target, ...], course: Course) -> tuple[Proximity, Tables | None]:
    tables = None if looks_of(course) is None else tables_of(targets, len(course.scale))
    return Proximity(targets, course.scale), tables


def _run_compiled(
    leg: LegJob,
    motion: Any,
    looks: CompiledLooks,
    tables: Tables,
    state: Array,
    paths: Index,
    labels: Labels,
    steps: Steps,
    report: Report,
) -> Array:
    """What `_run_tile` does, in calls of several looks; what has ended leaves between them."""
    at, step, n_looks = np.arange(len(paths)), leg.step, FEWEST_LOOKS
    while True:
        report(0.0)
        end = min(step + n_looks * motion.every, leg.until)
        label, ended, state = looks(
            state, tables, motion.seed, paths[at], step, end, motion.every, motion.coefficients
        )
        done = label != 0
        if done.any():
            labels[at[done]], steps[at[done]] = label[done], ended[done]
            state, at = state[:, ~done], at[~done]
        step, n_looks = end, min(2 * n_looks, MOST_LOOKS)
        if step >= leg.until or len(at) == 0:
            return state


def _run_tile(
    leg: LegJob,
    motion: Motion,
    near: Proximity,
    state: Array,
    paths: Index,
    labels: Labels,
    steps: Steps,
    report: Report,
) -> Array:
    at, step, course = np.arange(len(paths)), leg.step, leg.course
    while True:
        report(0.0)
        found = near(state)
        if found.any():
            labels[at[found > 0]], steps[at[found > 0]] = found[found > 0], step
            state, at = state[:, found == 0], at[found == 0]
        if step >= leg.until or len(at) == 0:
            return state
        n_steps = min(motion.every, leg.until - step)
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

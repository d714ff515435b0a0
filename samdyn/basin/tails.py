"""The last points of many paths, from which features are made: a job in pieces of starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.basin.checkpoint import description
from samdyn.basin.paths.course import Course, Starts, memory_at_rest, motion_of
from samdyn.basin.paths.pieces import DIVERGED, why_lost
from samdyn.jobs.job import Arrays, Job, Report


@dataclass(frozen=True)
class TailJob(Job):
    """Paths that are followed for some steps, and then for `tail` steps that are kept.

    Attributes
    ----------
    course : Course
    x : ndarray, shape (n, dim)
        Starts.
    max_steps, tail : int
    """

    course: Course
    x: Array
    max_steps: int
    tail: int

    @property
    def n(self) -> int:
        """The starts."""
        return len(self.x)

    @property
    def pointwise(self) -> bool:
        """Motions are: see `samdyn.basin.paths.motion`."""
        return True

    def work(self, first: int, last: int) -> float:
        """Steps of paths."""
        return (last - first) * float(self.max_steps + self.tail)

    def describe(self) -> dict[str, Any]:
        """The course, and how far it is followed."""
        lengths = {"n": len(self.x), "max_steps": self.max_steps, "tail": self.tail}
        return {"verb": "basin_fractions", **description(self.course, "features", None), **lengths}

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """Labels below zero of paths that are lost, and the last points (n, tail, dim) of the others."""
        motion, dim = motion_of(self.course), len(self.course.box)
        numbers = np.arange(first, last)
        state = Starts(self.x, 1, memory_at_rest(self.course.system)).states(numbers)
        labels = np.zeros(last - first, dtype=np.int16)
        for step in range(0, self.max_steps, motion.every):
            n_steps = min(motion.every, self.max_steps - step)
            following = motion(state, numbers, step, n_steps)
            lost = self.course.lost(following)
            if lost.any():
                labels[numbers[lost] - first] = why_lost(
                    self.course, motion, state[:, lost], numbers[lost], step, n_steps
                )
                following, numbers = following[:, ~lost], numbers[~lost]
            state = following
            report((last - first) * n_steps)
        kept = np.full((last - first, self.tail, dim), np.nan)
        for j in range(self.tail):
            state = motion(state, numbers, self.max_steps + j, 1)
            kept[numbers - first, j] = state[:dim].T
        report((last - first) * self.tail)
        labels[~np.isfinite(kept).all(axis=(1, 2)) & (labels == 0)] = DIVERGED
        return {"labels": labels, "kept": kept}

"""Replicas of the settings of a convergence experiment, moved and watched in pieces.

The rows of a job are all replicas of its first setting, then all replicas of the second, and so on. A row's
random numbers belong to its replica. What is recorded of a row is evaluated with the other rows of its piece,
many points at a time; pieces are the same whoever runs them, so that the numbers are the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.dynamics.path_job import PathJob
from samdyn.dynamics.system_description import describe_system
from samdyn.jobs.job import Arrays, Report
from samdyn.rates.observation import WINDOW, Watcher
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map

DESCRIBED = ("kind", "period", "centre", "extent", "final")
"""What is known of each row at its end."""


@dataclass(frozen=True, kw_only=True)
class ReplicaJob(PathJob):
    """Replicas of settings that share an ensemble: they differ in numbers of the rule, or in lr.

    Attributes
    ----------
    settings : tuple of Map or Diffusion
        `system` is the first of them; `x0` has a start for each of the `n_paths` replicas of a setting.
    reference : tuple of ndarray, shape (k, dim), and float
        The minimisers and the infimum.
    steps : ndarray of int
        Steps at which to record.
    record : tuple of str
    noisy : bool
    """

    settings: tuple[Map | Diffusion, ...]
    reference: tuple[Array, float]
    steps: npt.NDArray[np.int64]
    record: tuple[str, ...]
    noisy: bool

    @property
    def n(self) -> int:
        """The replicas of all settings."""
        return self.n_paths * len(self.settings)

    @property
    def path_steps(self) -> float:
        """Steps of all replicas."""
        return self.n * float(self.n_steps)

    def part(self, first: int, last: int) -> ReplicaJob:
        """Rows of several settings share their starts: they travel together."""
        return self

    def describe(self) -> dict[str, Any]:
        """Every setting, what is recorded, and what that refers to."""
        each = [describe_system(one, self.x0, self.n_steps, self.seed) for one in self.settings]
        return {
            "verb": "convergence",
            "n_replicas": self.n_paths,
            "settings": each,
            "times": self.steps.tolist(),
            "record": list(self.record),
            "minimum": [np.asarray(self.reference[0]).tolist(), float(self.reference[1])],
        }

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """Curves (steps, rows), limit sets and last points of some rows."""
        rows = np.arange(first, last)
        setting, replica = np.divmod(rows, self.n_paths)
        n = last - first
        curves = {
            q: np.full((1, len(self.steps) if q in self.record else 0, n), np.nan)
            for q in ("gap", "gradient_norm", "distance")
        }
        window = np.arange(max(self.n_steps - WINDOW, 0), self.n_steps + 1)
        watcher = Watcher(
            self.system.landscape, self.reference, self.steps, window, np.zeros(n, np.int64), np.arange(n),
            curves,
        )  # fmt: skip
        names = list(self.system.coefficients())

        def values(step: int) -> dict[str, Array]:
            table = [one.coefficients(step) for one in self.settings]
            return {name: np.array([row[name] for row in table])[setting] for name in names}

        final = self.drive(replica, watcher, report, coefficients=values if len(self.settings) > 1 else None)
        watcher.flush()
        described = watcher.limit_sets(self.noisy)
        return {
            **{q: curves[q][0] for q in self.record},
            **dict(zip(DESCRIBED, (*described, final), strict=True)),
        }

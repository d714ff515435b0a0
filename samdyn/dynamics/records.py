"""Points of many paths after chosen steps, as a job in pieces: the trajectories of maps and diffusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.dynamics.observers import Record
from samdyn.dynamics.path_job import PathJob
from samdyn.jobs.job import Arrays, Report


def kept_steps(n_steps: int, every: int) -> npt.NDArray[np.int64]:
    """The steps after which points are stored: 0, every, 2 every, ... and the last."""
    return np.unique(np.append(np.arange(0, n_steps, every), n_steps))


@dataclass(frozen=True, kw_only=True)
class RecordJob(PathJob):
    """Paths whose points are kept after some steps.

    Attributes
    ----------
    at : ndarray of int
        The steps, in increasing order.
    last : float or None
        Length of a Diffusion's last step, where that is not `dt`.
    """

    at: npt.NDArray[np.int64]
    last: float | None = None

    @property
    def pointwise(self) -> bool:
        """Whether the step is."""
        return self.step().pointwise

    def describe(self) -> dict[str, Any]:
        """The paths, and what is kept."""
        kept = {"at": self.at.tolist(), "last": self.last}
        return {"verb": "trajectory", **super().describe(), **kept}

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """The points (n_at, n, dim) of a range of paths."""
        looks, lengths = self.at, None
        if self.last is not None and self.dt is not None:
            # a look before the last step is where its length begins to count
            looks = np.union1d(self.at, [self.n_steps - 1])
            lengths = np.where(looks == self.n_steps, self.last, self.dt).tolist()
        record = Record(looks, last - first, self.system.dim, keep=self.at)
        self.drive(np.arange(first, last), record, report, lengths=lengths)
        return record.state()

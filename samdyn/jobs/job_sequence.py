"""Several jobs as one: run in turn, under one checkpoint and one bar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samdyn.jobs.job import Arrays, Job, Report


@dataclass(frozen=True)
class JobsInTurn(Job):
    """Jobs whose units are numbered through, one job after the other.

    Attributes
    ----------
    jobs : tuple of Job
    """

    jobs: tuple[Job, ...]

    @property
    def n(self) -> int:
        """The units of all jobs."""
        return sum(job.n for job in self.jobs)

    @property
    def on_threads(self) -> bool:
        """Whether all jobs leave the interpreter lock alone."""
        return all(job.on_threads for job in self.jobs)

    @property
    def _starts(self) -> list[int]:
        """The first unit of each job."""
        return [0, *np.cumsum([job.n for job in self.jobs])[:-1].tolist()]

    def cut(self) -> Sequence[tuple[int, int]]:
        """The pieces of all jobs: none spans two of them."""
        return [
            (start + a, start + b)
            for start, job in zip(self._starts, self.jobs, strict=True)
            for a, b in job.cut()
        ]

    def describe(self) -> dict[str, Any]:
        """The descriptions of all jobs."""
        return {"jobs": [job.describe() for job in self.jobs]}

    def _own(self, first: int, last: int) -> tuple[Job, int, int]:
        """The job of a piece, and the piece in the job's own numbers."""
        number = int(np.searchsorted(self._starts, first, side="right")) - 1
        start = self._starts[number]
        return self.jobs[number], first - start, last - start

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """A piece of one of the jobs."""
        job, a, b = self._own(first, last)
        return job.run(a, b, report)

    def work(self, first: int, last: int) -> float:
        """The work of a piece, or of all."""
        if (first, last) == (0, self.n):
            return sum(job.work(0, job.n) for job in self.jobs)
        job, a, b = self._own(first, last)
        return job.work(a, b)

    def split(self, parts: Sequence[Arrays]) -> Iterator[list[Arrays]]:
        """What `run_job` gave, by job."""
        rest = list(parts)
        for job in self.jobs:
            count = len(job.cut())
            yield rest[:count]
            rest = rest[count:]

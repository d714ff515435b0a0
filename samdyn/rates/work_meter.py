"""Progress of a job of replica-steps: a bar, and the cost of the whole as soon as a part of it is done."""

from __future__ import annotations

import time

from samdyn.compute.cost import announce
from samdyn.compute.progress import PartsBar

SAMPLE_SECONDS = 0.5
"""Work after which the time of the rest is estimated."""


class WorkMeter:
    """Counts replica-steps; says once what the whole will cost, if that is long.

    Parameters
    ----------
    verb : str
    total : int
        Replica-steps of the job.
    progress : bool
        Show a bar.
    """

    def __init__(self, verb: str, total: int, progress: bool) -> None:
        self.verb, self.total, self.done, self.said = verb, total, 0, False
        self.bar = PartsBar(progress, verb, total, "replica-step")
        self.began: float | None = None
        self.before = 0

    def __call__(self, work: int) -> None:
        self.done += work
        self.bar.update(work)
        now = time.perf_counter()
        if self.began is None:  # the first steps build what is kept
            self.began, self.before = now, self.done
        elif not self.said and now - self.began > SAMPLE_SECONDS:
            self.said = True
            rest = (now - self.began) / (self.done - self.before) * (self.total - self.done)
            announce(self.verb, rest, "pass fewer n_steps or n_replicas")

    def close(self) -> None:
        """The job is done."""
        self.bar.__exit__()

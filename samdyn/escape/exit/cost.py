"""What a first-exit job will cost, said as soon as its own first steps tell it.

The first sweeps of a job are timed. From their speed, and from how many paths left in the last of them, the
work ahead is what `samdyn.jobs.progress.expected_work` makes of it; where that is more than ten seconds it
is announced, once. A job none of whose paths has left after two seconds is taken for one whose paths all stay
until t_max.
"""

from __future__ import annotations

import time

from samdyn.jobs.cost import LONG_SECONDS, announce
from samdyn.jobs.progress import expected_work

# seconds of work after which paths that leave, or that none leaves, tell what is ahead
FIRST_LOOK, PATIENCE = 0.5, 2.0
# so many exits in a sweep give their rate to a quarter
ENOUGH = 16
CHEAPER = (
    "lower n_paths or t_max, raise dt, or pass workers= (sd.mean_exit_time and sd.rare_exit_time need no "
    "long runs)"
)


class CostWatch:
    """Announces the cost of a job on its way.

    Parameters
    ----------
    n_paths, n_steps : int
        Paths inside at the start, and steps until they are given up.
    """

    def __init__(self, n_paths: int, n_steps: int) -> None:
        self.n_steps, self.inside, self.step = n_steps, n_paths, 0
        self.done, self.of_sweep, self.left = 0.0, 0.0, 0
        self.start, self.silent = time.perf_counter(), False

    def begin(self) -> None:
        """The steps are compiled and begin: compiling says nothing of their speed."""
        self.start = time.perf_counter()

    def tile(self, path_steps: float) -> None:
        """A tile has taken so many path-steps."""
        self.done += path_steps
        self.of_sweep += path_steps
        if time.perf_counter() - self.start > LONG_SECONDS:  # in its first sweep
            self._look()

    def sweep(self, step: int, inside: int) -> None:
        """All paths have taken `step` steps, after which `inside` of them are left."""
        self.left, self.inside, self.step = self.inside - inside, inside, step
        self._look()
        self.of_sweep = 0.0

    def _look(self) -> None:
        elapsed = time.perf_counter() - self.start
        if self.silent or elapsed < (FIRST_LOOK if self.left >= ENOUGH else PATIENCE):
            return
        left = self.left if self.left >= ENOUGH else 0
        ahead = expected_work(self.of_sweep, left, self.inside, self.n_steps - self.step)
        self.silent = elapsed > 2 * LONG_SECONDS  # nobody needs to hear it late
        seconds = ahead * elapsed / self.done if self.done else 0.0
        if seconds > LONG_SECONDS:
            self.silent = True
            announce("exit_times", seconds, CHEAPER)

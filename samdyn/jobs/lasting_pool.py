"""A pool of local worker processes for a job of several rounds.

A process takes a second or more to start, so that rounds share one pool. It starts with the first task. When
it breaks, because a worker died, the next task starts a new one: `samdyn.jobs.workers.run_pieces` submits
again what was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from samdyn.jobs.processes import worker_context
from samdyn.jobs.workers import _start_worker


class LastingPool(Executor):
    """An executor over local processes that outlives the death of its workers.

    Parameters
    ----------
    n_workers : int

    Examples
    --------
    >>> with LastingPool(2) as pool:  # nothing is started for nothing
    ...     pool.n_workers
    2
    """

    starts_processes = True  # which takes seconds

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._context = worker_context()
        self._stop: Any = None
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Run a function in a worker."""
        try:
            return self._running().submit(function, *args, **options)
        except BrokenProcessPool:
            self.shutdown()
            return self._running().submit(function, *args, **options)

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._stop = self._context.Event()
            self._pool = ProcessPoolExecutor(
                self.n_workers, mp_context=self._context, initializer=_start_worker, initargs=(self._stop,)
            )
        return self._pool

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Tell the workers to stop, and wait for them."""
        if self._pool is not None:
            self._stop.set()
            self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._pool = None

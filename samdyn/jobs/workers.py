"""Pieces of a job on several processes or machines, put together whatever happens to the workers.

Algorithm
---------
1. The path numbers are cut into ranges whose size depends on their number alone. A path's random numbers
   belong to its number, so that a piece gives the same numbers wherever and whenever it runs, and the whole
   does not depend on the number of workers.
2. All pieces are submitted. Those that come back are handed over; those that are lost (a worker died, the
   pool broke, a task was cancelled, a piece came back unfinished) are submitted again, for local processes
   to a new pool.
3. After `ATTEMPTS` rounds in a row from which no piece came back, what is missing runs in this process.
   An error that a piece itself raises is raised here. Local processes take seconds to start: where they die
   before they can do anything, as in a script without ``if __name__ == "__main__":``, nothing is tried again,
   and where none has ever given back a piece, there are `FIRST_ATTEMPTS` rounds.

Ctrl-C: local workers are told to stop and hand over what they have; on an executor of the user, pieces that
are not finished are cancelled.

A worker process is not forked from this one, whose threads would not survive that
(`samdyn.jobs.processes`). It uses one thread, ignores Ctrl-C, which is its parent's business, and ends when
its parent dies. Work that leaves Python's interpreter lock alone, such as compiled sweeps, runs on threads of
this process instead, which start at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from typing import Any, TypeVar

import torch

from samdyn.arguments import checks
from samdyn.jobs.cost import outside
from samdyn.jobs.processes import worker_context
from samdyn.jobs.travel import not_picklable

P = TypeVar("P")
T = TypeVar("T")

ATTEMPTS = 3  # a worker that dies by chance is worth another round; the work itself then runs here
FIRST_ATTEMPTS = 2  # fewer where no worker has ever given a piece back: it may be unable to start at all
# pieces: of about USUAL paths, which fill a tile, at least 8 where there are enough paths; at most N_PIECES
# of them while they are not larger than LARGEST
N_PIECES, SMALLEST, USUAL, LARGEST = 64, 64, 32768, 65536

_stop: Any = None  # in a local worker process: the event that tells it to stop
_of_thread = threading.local()  # in a local worker thread: the same, as its `stop`


def ranges(n_paths: int, smallest: int = SMALLEST) -> list[tuple[int, int]]:
    """First and last path (exclusive) of each piece of a job, of `smallest` paths or more.

    Examples
    --------
    >>> ranges(100), ranges(200), len(ranges(10**4)), len(ranges(10**6)), len(ranges(10**7))
    ([(0, 100)], [(0, 66), (66, 133), (133, 200)], 8, 30, 153)
    """
    count = min(max(n_paths // USUAL, 8), N_PIECES, max(n_paths // smallest, 1))
    count = max(count, -(-n_paths // LARGEST))
    return [(i * n_paths // count, (i + 1) * n_paths // count) for i in range(count)]


def stopping() -> bool:
    """In a local worker: whether its work is no longer wanted."""
    stop = getattr(_of_thread, "stop", _stop)
    return stop is not None and bool(stop.is_set())


def count_workers(workers: Any, executor: Any) -> int:
    """The number of workers, which is 1 with an executor; others are refused, and what is no executor."""
    workers = checks.integer("workers", workers, at_least=1)
    if executor is not None:
        if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
            raise TypeError(f"executor must be a concurrent.futures executor, got {executor!r}")
        if workers > 1:
            raise ValueError(f"workers must be 1 when an executor is given, got {workers}")
    return workers


def run_pieces(
    task: Callable[[P], T],
    pieces: Mapping[int, P],
    receive: Callable[[int, T], None],
    *,
    complete: Callable[[T], bool],
    workers: int = 1,
    executor: Executor | None = None,
    threads: bool = False,
) -> bool:
    """Run a task on every piece.

    Parameters
    ----------
    task : callable
        Of one piece. Task, pieces and results travel between processes.
    pieces : dict
        Pieces by number.
    receive : callable
        Called with the number and the result of each piece, in this process, in any order; twice for the same
        piece if Ctrl-C comes meanwhile.
    complete : callable
        Whether a result belongs to the whole piece. Results of parts are received after Ctrl-C only.
    workers : int
        Number of local processes or threads; 1 means this process.
    threads : bool
        Whether local workers are threads of this process.
    executor : concurrent.futures.Executor, optional
        Where to run instead. It stays open.

    Returns
    -------
    bool
        False if Ctrl-C came before all pieces were complete.

    Warns
    -----
    RuntimeWarning
        Workers failed repeatedly, and the rest runs in this process.

    Examples
    --------
    >>> found = {}
    >>> run_pieces(abs, {0: -3, 1: 4}, found.__setitem__, complete=lambda value: True)
    True
    >>> found
    {0: 3, 1: 4}
    """
    missing = dict(pieces)
    parallel = workers > 1 or executor is not None
    spawned = not threads and (executor is None or getattr(executor, "starts_processes", False))
    failures, limit, reason = 0, FIRST_ATTEMPTS if spawned else ATTEMPTS, ""
    try:
        while parallel and missing and failures < limit:
            before = len(missing)
            with _pool(executor, min(workers, before), threads) as (pool, stop):
                dead = _dead(pool) if spawned and failures == 0 else ""
                if dead:
                    failures, limit, reason = 1, 1, dead
                    break
                reason = _round(pool, stop, task, missing, receive, complete) or reason
            if len(missing) < before:
                failures, limit = 0, ATTEMPTS
            else:
                failures += 1
            if failures and executor is not None:
                time.sleep(0.1 * 2**failures)
        if parallel and missing:
            times = "1 time" if failures == 1 else f"{failures} times in a row"
            warnings.warn(
                f"workers failed {times} ({reason}): the remaining {len(missing)} of "
                f"{len(pieces)} pieces run in this process. A script that starts workers must do so below "
                "`if __name__ == '__main__':`",
                RuntimeWarning,
                stacklevel=outside(),
            )
        for i in list(missing):
            value = task(missing[i])
            receive(i, value)
            if not complete(value):
                return False
            del missing[i]
    except KeyboardInterrupt:
        return False
    return True


@contextlib.contextmanager
def _pool(executor: Executor | None, workers: int, threads: bool) -> Iterator[tuple[Executor, Any]]:
    """The executor to use, and the event that stops its workers where they are ours."""
    if executor is not None:
        yield executor, None
        return
    stop: Any
    pool: Executor
    if threads:
        stop = threading.Event()
        pool = ThreadPoolExecutor(workers, initializer=_of_thread.__setattr__, initargs=("stop", stop))
    else:
        context = worker_context()
        stop = context.Event()
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(stop,))
    try:
        yield pool, stop
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _dead(pool: Executor) -> str:
    """Why local processes cannot do anything at all, or nothing where one answers."""
    try:
        future = pool.submit(os.getpid)
        while True:
            try:
                future.result(timeout=1.0)  # with a time limit, for Ctrl-C to come through on every system
                return ""
            except TimeoutError:
                if future.done():
                    raise
    except Exception as error:
        return _lost(error)


def _round(
    pool: Executor,
    stop: Any,
    task: Callable[[P], T],
    missing: dict[int, P],
    receive: Callable[[int, T], None],
    complete: Callable[[T], bool],
) -> str:
    """Submit what is missing and take what comes back; why pieces were lost, if any were."""
    futures: dict[Future[Any], int] = {}
    reason = ""
    try:
        for i, piece in missing.items():
            # the label makes tasks differ: Dask would hand out the old failure of an equal one
            label = f"{os.getpid()}-{time.monotonic_ns()}"
            future = pool.submit(_attempt, task, piece, label)
            if not callable(getattr(future, "cancel", None)):
                break
            futures[future] = i
    except Exception as error:  # the pool is broken or shut down: whatever runs already is still welcome
        reason = _lost(error)
    if len(futures) < len(missing) and not reason:
        raise TypeError(
            f"executor must have a submit that returns a Future, got {type(pool).__name__}, whose submit "
            f"returned {checks.shown(future)}"
        )
    waiting = set(futures)
    try:
        while waiting:
            # with a time limit, for Ctrl-C to come through on every system
            done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                value, failure = _outcome(future)
                if isinstance(failure, BaseException):
                    raise failure
                if failure is not None:
                    reason = failure
                elif complete(value):
                    receive(futures[future], value)
                    del missing[futures[future]]
                else:
                    reason = "a worker was interrupted"
    except KeyboardInterrupt:
        for future in futures:
            future.cancel()
        if stop is not None:
            stop.set()
            wait(futures)
        for future, i in futures.items():
            if i in missing and future.done() and not future.cancelled():
                value, failure = _outcome(future)
                if failure is None:
                    receive(i, value)
        raise
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return reason


def _outcome(future: Future[Any]) -> tuple[Any, BaseException | str | None]:
    """Value of a piece, or the error that it raised, or the reason why it is lost."""
    try:
        value, error = future.result()
    except (CancelledError, Exception) as lost:
        return None, _lost(lost)
    return value, error


def _lost(error: BaseException) -> str:
    """Why a piece is lost; what cannot be sent will not be sent by trying again."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, pickle.PicklingError) or "pickle" in text.lower() or "serialize" in text.lower():
        raise not_picklable(text) from error
    return text


def _attempt(task: Callable[[P], T], piece: P, label: str) -> tuple[T | None, BaseException | str | None]:
    """One piece in a worker: its result, or what it raised. A worker that dies gives neither."""
    try:
        return task(piece), None
    except KeyboardInterrupt:
        return None, "a worker was interrupted"
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return None, RuntimeError(f"a piece of the job failed in a worker:\n{text}")
        error.add_note(f"in a worker:\n{text}")
        return None, error


def _start_worker(stop: Any) -> None:
    """Prepare a local worker process."""
    global _stop
    _stop = stop
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # nobody is left to take the result

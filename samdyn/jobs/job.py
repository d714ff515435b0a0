"""The contract of sampled work, and its run: in this process, on workers or an executor, with a checkpoint.

Algorithm
---------
1. A `Job` says what is computed, as data that travel. Its `n` units (paths, replicas, starts, repeats) have
   numbers, and the random numbers of a unit belong to its number.
2. The units are cut into ranges by the job alone (`Job.cut`), never by the number of workers. A job whose
   units do not feel each other bit by bit (`Job.pointwise`) stays whole where nothing asks for pieces: with
   one worker, no executor and no checkpoint. All other jobs are always cut, and so give the same bits
   whoever runs them.
3. Pieces run here one after the other, or elsewhere (`samdyn.jobs.workers`), on threads where the work
   is a compiled loop, which leaves Python's interpreter lock alone.
4. The checkpoint holds the arrays of finished pieces; those under way start afresh. The job's description,
   which names all that its numbers depend on, heads the file: a file of another job is refused.
5. The arrays come back in the order of the pieces, and the verb merges them.

After Ctrl-C the finished pieces are in the checkpoint, if there is one, and KeyboardInterrupt is raised.
"""

from __future__ import annotations

import functools
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.jobs import workers as pool
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.jobs.progress import PartsBar
from samdyn.jobs.travel import check_travel

Arrays = dict[str, npt.NDArray[Any]]
Report = Callable[[float], None]
"""Called with the work that was done since the call before, in the job's own unit."""


@dataclass(frozen=True)
class Run:
    """Where and how a job runs; made by `check_run`, and the same for every verb.

    Attributes
    ----------
    workers : int
    executor : concurrent.futures.Executor or None
    checkpoint : str, path or None
    progress : bool
    """

    workers: int = 1
    executor: Executor | None = None
    checkpoint: str | os.PathLike[str] | None = None
    progress: bool = False

    @property
    def elsewhere(self) -> bool:
        """Whether pieces run on workers."""
        return self.workers > 1 or self.executor is not None

    @property
    def in_pieces(self) -> bool:
        """Whether something asks for pieces."""
        return self.elsewhere or self.checkpoint is not None


def check_run(workers: Any, executor: Any, checkpoint: Any, progress: Any) -> Run:
    """The run group of a verb, checked.

    Raises
    ------
    TypeError, ValueError
        One of them is of the wrong kind, or both workers and an executor are given.

    Examples
    --------
    >>> check_run(2, None, None, False).in_pieces
    True
    """
    workers, progress = pool.count_workers(workers, executor), checks.flag("progress", progress)
    if checkpoint is not None and not isinstance(checkpoint, str | os.PathLike):
        raise TypeError(f"checkpoint must be the path of a file, got {checkpoint!r}")
    return Run(workers, executor, checkpoint, progress)


@dataclass(frozen=True)
class Job(ABC):
    """What is sampled, as data: a subclass is a frozen dataclass whose fields can be pickled.

    Attributes
    ----------
    key : str
        Tells apart the jobs that a process has seen, for what it builds once (`samdyn.jobs.kept`).
    """

    key: str = field(default_factory=lambda: uuid.uuid4().hex, kw_only=True)

    @property
    def pointwise(self) -> bool:
        """Whether a unit's numbers are the same bits whichever units are computed along with it."""
        return False

    @property
    @abstractmethod
    def n(self) -> int:
        """The number of units."""

    @property
    def on_threads(self) -> bool:
        """Whether local workers are threads: for work that does not hold Python's interpreter lock."""
        return False

    def cut(self) -> Sequence[tuple[int, int]]:
        """First and last unit (exclusive) of each piece; a function of the job alone."""
        return pool.ranges(self.n)

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """All that the numbers depend on, as JSON: the head of the checkpoint."""

    @abstractmethod
    def run(self, first: int, last: int, report: Report) -> Arrays:
        """The arrays of the units first .. last - 1.

        `report` is called on the way, at least every second or so: it raises KeyboardInterrupt in a worker
        that is told to stop.
        """

    def work(self, first: int, last: int) -> float:
        """The work of these units, in the unit that `report` counts."""
        return float(last - first)


def run_job(job: Job, run: Run, bar: PartsBar) -> list[Arrays]:
    """The arrays of all pieces of a job, in their order.

    Parameters
    ----------
    job : Job
    run : Run
    bar : PartsBar
        Gets the work that is done.

    Raises
    ------
    ValueError
        The job cannot be sent to workers, or the checkpoint is damaged or of another job; before any work.
    KeyboardInterrupt
        Ctrl-C; what is finished is in the checkpoint.
    """
    whole = not job.n or (job.pointwise and not run.in_pieces)
    pieces = dict(enumerate([(0, job.n)] if whole else job.cut()))
    saved = None
    if run.checkpoint is not None:
        saved = Checkpoint(run.checkpoint, {**job.describe(), "pieces": list(pieces.values())})
    check_travel(job, run.workers, run.executor, threads=job.on_threads)
    done = {} if saved is None else _restored(saved, len(pieces))
    if done:
        bar.resume(sum(job.work(*pieces[i]) for i in done))

    def receive(i: int, arrays: Arrays) -> None:
        done[i] = arrays
        if run.elsewhere:
            bar.update(job.work(*pieces[i]))
        if saved is not None and saved.due():
            _save(saved, done)

    task: Callable[[tuple[int, int]], Arrays]
    if run.elsewhere:
        task = functools.partial(run_piece, job)
    else:

        def task(piece: tuple[int, int]) -> Arrays:
            return job.run(*piece, bar.update)

    finished = pool.run_pieces(
        task,
        {i: piece for i, piece in pieces.items() if i not in done},
        receive,
        complete=lambda arrays: True,
        workers=run.workers,
        executor=run.executor,
        threads=job.on_threads,
    )
    if saved is not None:
        _save(saved, done)
    if not finished:
        raise KeyboardInterrupt
    return [done[i] for i in pieces]


def run_piece(job: Job, piece: tuple[int, int]) -> Arrays:
    """A piece in a worker."""

    def stop_when_told(work: float) -> None:
        if pool.stopping():
            raise KeyboardInterrupt

    return job.run(*piece, stop_when_told)


def joined(parts: Sequence[Arrays], name: str, axis: int = 0) -> npt.NDArray[Any]:
    """One of the arrays of all pieces, put together along an axis."""
    return parts[0][name] if len(parts) == 1 else np.concatenate([part[name] for part in parts], axis=axis)


def _save(saved: Checkpoint, done: dict[int, Arrays]) -> None:
    arrays = {f"{i} {name}": array for i, part in done.items() for name, array in part.items()}
    saved.write({"pieces": sorted(done)}, arrays)


def _restored(saved: Checkpoint, n_pieces: int) -> dict[int, Arrays]:
    """The finished pieces of the file, if there is one."""
    if saved.meta is None:
        return {}
    try:
        done: dict[int, Arrays] = {int(i): {} for i in saved.meta["pieces"]}
        for name, array in saved.arrays.items():
            number, own = name.split(" ", 1)
            done[int(number)][own] = array
    except (KeyError, TypeError, ValueError) as error:
        raise saved.damaged("the list of pieces does not fit") from error
    if any(not 0 <= i < n_pieces for i in done):
        raise saved.damaged("the list of pieces does not fit")
    saved.arrays = {}  # the job owns them now
    return done

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
   is a compiled loop, which leaves Python's interpreter lock alone. To another process goes the job with the
   data of the piece alone (`Job.part`).
4. The checkpoint holds the arrays of finished pieces; those under way start afresh. The job's description,
   which names all that its numbers depend on, heads the file: a file of another job is refused.
5. The arrays come back in the order of the pieces, and the verb merges them.

After Ctrl-C the finished pieces are in the checkpoint, if there is one, and KeyboardInterrupt is raised. A
verb that gives what is done so far takes it from `run_to_the_end`, which does not raise.

A job in several rounds, each of which begins where the one before has left the paths, is several jobs: its
verb keeps its own checkpoint and runs the pieces of each round by `run_pieces_of`.
"""

from __future__ import annotations

import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
Range = tuple[int, int]
"""The first unit of a piece, and the last one, exclusive."""
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


ALONE = Run()
"""In this process, without a checkpoint."""


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

    def cut(self) -> Sequence[Range]:
        """First and last unit (exclusive) of each piece; a function of the job alone."""
        return pool.ranges(self.n)

    def part(self, first: int, last: int) -> Job:
        """What is sent to another process for these units, which it runs under the same numbers.

        It is the job itself, unless it holds much that belongs to other units.
        """
        return self

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """All that the numbers depend on, as JSON: the head of the checkpoint."""

    @abstractmethod
    def run(self, first: int, last: int, report: Report) -> Arrays:
        """The arrays of the units first .. last - 1.

        `report` is called on the way, at least every second or so: it raises KeyboardInterrupt in a worker
        that is told to stop.
        """

    def complete(self, arrays: Arrays) -> bool:
        """Whether arrays are all that a piece gives: a job may hand over what it has after Ctrl-C."""
        return True

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
    saved = None if run.checkpoint is None else Checkpoint(run.checkpoint, job.describe())
    found = run_to_the_end(job, run, bar, saved)
    done = [arrays for _, arrays in found if arrays is not None and job.complete(arrays)]
    if len(done) < len(found):
        raise KeyboardInterrupt
    return done


def run_to_the_end(
    job: Job,
    run: Run,
    bar: PartsBar,
    saved: Checkpoint | None = None,
    receive: Callable[[Range, Arrays, bool], None] | None = None,
    cut: bool = False,
) -> list[tuple[Range, Arrays | None]]:
    """All pieces of a job with their arrays; after Ctrl-C with what there is of them.

    Parameters
    ----------
    job, run, bar
        As of `run_job`.
    saved : Checkpoint, optional
        The file of the run, opened with the job's description.
    receive : callable, optional
        Called with each piece that is complete, its arrays, and whether they come from the checkpoint.
    cut : bool
        Whether the job is cut into pieces though nothing in `run` asks for them.

    Returns
    -------
    list of (range, arrays)
        Arrays are None for pieces that did not come back, and may be incomplete for one.
    """
    whole = not job.n or (not cut and not run.in_pieces and job.pointwise)
    pieces: dict[int, Range] = dict(enumerate([(0, job.n)] if whole else job.cut()))
    if run.elsewhere and pieces:
        check_travel(job.part(*pieces[0]), run.workers, run.executor, threads=job.on_threads)
    done = {} if saved is None else _restored(saved, list(pieces.values()))
    cut_short: dict[int, Arrays] = {}
    if done:
        bar.resume(sum(job.work(*pieces[i]) for i in done))
        for i, arrays in done.items():
            if receive is not None:
                receive(pieces[i], arrays, True)
    if saved is not None and saved.meta is None:  # a file that cannot be written is known at once
        _save(saved, pieces, done)

    def take(i: int, arrays: Arrays) -> None:
        if not job.complete(arrays):
            cut_short[i] = arrays
            return
        done[i] = arrays
        if run.elsewhere:
            bar.update(job.work(*pieces[i]))
        if receive is not None:
            receive(pieces[i], arrays, False)
        if saved is not None and saved.due():
            _save(saved, pieces, done)

    run_pieces_of(job, {i: piece for i, piece in pieces.items() if i not in done}, run, take, bar.update)
    if saved is not None:
        _save(saved, pieces, done)
    return [(piece, done.get(i, cut_short.get(i))) for i, piece in pieces.items()]


def run_pieces_of(
    job: Job, pieces: Mapping[int, Range], run: Run, receive: Callable[[int, Arrays], None], report: Report
) -> bool:
    """Run some pieces of a job, here or elsewhere. False after Ctrl-C.

    Parameters
    ----------
    job : Job
    pieces : dict of int to (first, last)
        Pieces by number.
    run : Run
        Its workers and its executor count.
    receive : callable
        Called with a piece's number and arrays, as of `samdyn.jobs.workers.run_pieces`.
    report : callable
        Gets the work of pieces that run here.
    """
    parts: Mapping[int, tuple[Job, Range]]
    if run.elsewhere:
        parts = {i: (job.part(*piece), piece) for i, piece in pieces.items()}
    else:
        parts = {i: (job, piece) for i, piece in pieces.items()}

    def here(part: tuple[Job, Range]) -> Arrays:
        return job.run(*part[1], report)

    return pool.run_pieces(
        _run_part if run.elsewhere else here,
        parts,
        receive,
        complete=job.complete,
        workers=run.workers,
        executor=run.executor,
        threads=job.on_threads,
    )


def _run_part(part: tuple[Job, Range]) -> Arrays:
    """A piece in a worker."""

    def stop_when_told(work: float) -> None:
        if pool.stopping():
            raise KeyboardInterrupt

    job, piece = part
    return job.run(*piece, stop_when_told)


def joined(parts: Sequence[Arrays], name: str, axis: int = 0) -> npt.NDArray[Any]:
    """One of the arrays of all pieces, put together along an axis."""
    return parts[0][name] if len(parts) == 1 else np.concatenate([part[name] for part in parts], axis=axis)


def _save(saved: Checkpoint, pieces: Mapping[int, Range], done: Mapping[int, Arrays]) -> None:
    arrays = {f"{i} {name}": array for i, part in done.items() for name, array in part.items()}
    saved.write({"cut": list(pieces.values()), "pieces": sorted(done)}, arrays)


def in_pieces(saved: Checkpoint) -> bool:
    """Whether a file holds finished pieces."""
    return saved.meta is not None and "cut" in saved.meta


def _restored(saved: Checkpoint, pieces: Sequence[Range]) -> dict[int, Arrays]:
    """The finished pieces of the file, if there is one."""
    if saved.meta is None:
        return {}
    try:
        cut = [tuple(piece) for piece in saved.meta["cut"]]
        done: dict[int, Arrays] = {int(i): {} for i in saved.meta["pieces"]}
        for name, array in saved.arrays.items():
            number, own = name.split(" ", 1)
            done[int(number)][own] = array
    except (KeyError, TypeError, ValueError) as error:
        raise saved.damaged("the list of pieces does not fit") from error
    if cut != list(pieces):
        raise ValueError(
            f"checkpoint {str(saved.path)!r} must be of the pieces made here, got {len(cut)} others: "
            "they depend on whether steps can be compiled; resume it on a machine like the first, or delete "
            "the file to start afresh"
        )
    if any(not 0 <= i < len(pieces) for i in done):
        raise saved.damaged("the list of pieces does not fit")
    saved.arrays = {}  # the job owns them now
    return done

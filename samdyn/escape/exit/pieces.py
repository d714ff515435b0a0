"""A first-exit job in pieces: ranges of paths that run anywhere and are put together by path number.

Every piece is a task of its own (`run_piece`), which `samdyn.jobs.workers` runs on workers or in this
process. The checkpoint of such a job holds the finished pieces; pieces that were under way start afresh.

After Ctrl-C a piece may come back in part. Its paths then are censored at the step until which all of them
were followed, and the paths of pieces that did not come back at step 0.
"""

from __future__ import annotations

import functools
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.escape.exit.job import Job, prepare
from samdyn.escape.kernel.exit_replay import Exits
from samdyn.escape.kernel.exits import first_exits
from samdyn.jobs import workers
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.jobs.progress import WorkBar
from samdyn.numerics.random import STEPS_PER_BLOCK


class Piece(NamedTuple):
    """A range of rows of the ensemble; starts has one start for all or one for each."""

    first: int
    n_paths: int
    starts: Array

    @property
    def paths(self) -> slice:
        """Their places in an array over all rows."""
        return slice(self.first, self.first + self.n_paths)


def run_piece(job: Job, piece: Piece) -> Exits:
    """The exits of a range of paths."""

    def stop_when_told(step: int, inside: int) -> None:
        if workers.stopping():
            raise KeyboardInterrupt

    starts = np.broadcast_to(piece.starts, (piece.n_paths, piece.starts.shape[1]))
    return first_exits(*prepare(job), starts, first_row=piece.first, progress=stop_when_told, **job.options())


def cut(job: Job, starts: Array) -> dict[int, Piece]:
    """The pieces of a job."""
    return {
        i: Piece(a, b - a, starts if len(starts) == 1 else starts[a:b])
        for i, (a, b) in enumerate(workers.ranges(job.n_rows))
    }


def run_apart(
    job: Job,
    pieces: dict[int, Piece],
    n_workers: int,
    executor: Executor | None,
    saved: Checkpoint | None,
    progress: bool,
) -> Exits:
    """All pieces, on workers if there are any; after Ctrl-C the steps that each path was followed for."""
    n_paths = job.n_rows
    followed = np.zeros(n_paths, dtype=np.int64)
    result = Exits.of(n_paths, job.system.dim, followed)
    done = np.zeros(len(pieces), dtype=bool)
    if saved is not None:
        if saved.meta is not None:
            result.restore(saved)
            done = saved.arrays.pop("done", done[:0])
            if done.shape != (len(pieces),) or done.dtype != bool:
                raise saved.damaged("the list of pieces does not fit")
            for i, piece in pieces.items():
                if done[i]:
                    followed[piece.paths] = job.n_steps
                else:  # what Ctrl-C left of it starts afresh
                    fresh = Exits.of(piece.n_paths, job.system.dim, 0)
                    for name, array in fresh.arrays().items():
                        result.arrays()[name][piece.paths] = array
        _save(saved, result, done)
    before = np.repeat(done, [piece.n_paths for piece in pieces.values()])
    left = int((result.step >= 0).sum())
    work, finished = _work(result, before, job), int(before.sum())
    with WorkBar(progress, n_paths, job.n_steps, 0, n_paths - left, work, finished) as bar:

        def receive(i: int, part: Exits) -> None:
            paths = pieces[i].paths
            for name, array in part.arrays().items():
                result.arrays()[name][paths] = array
            followed[paths] = part.n_steps
            if part.n_steps == job.n_steps:
                done[i] = True
                if saved is not None and saved.due():
                    _save(saved, result, done)
            bar.report_piece(
                _work(part, np.ones(len(part.step), dtype=bool), job), (part.step >= 0).sum(), len(part.step)
            )

        whole = workers.run_pieces(
            functools.partial(run_piece, job),
            {i: piece for i, piece in pieces.items() if not done[i]},
            receive,
            complete=lambda part: part.n_steps == job.n_steps,
            threads=job.on_threads,
            workers=n_workers,
            executor=executor,
        )
    if whole:
        result.n_steps = job.n_steps
    if saved is not None:
        _save(saved, result, done)
    return result


def _save(saved: Checkpoint, result: Exits, done: npt.NDArray[np.bool_]) -> None:
    saved.write({"kind": "pieces"}, {**result.arrays(), "done": done})


def _work(result: Exits, which: npt.NDArray[np.bool_], job: Job) -> float:
    """Path-steps of the paths of finished pieces."""
    steps = result.step[which]
    return float(np.where(steps >= 0, steps + 1, job.n_steps).sum())


def standing(job: Job, saved: Checkpoint) -> tuple[int, int, float]:
    """Where a job that runs as one pool stands: completed steps, paths inside, path-steps done."""
    if saved.meta is None:
        return 0, job.n_rows, 0.0
    try:
        step = min(STEPS_PER_BLOCK * int(saved.meta["block"]), job.n_steps)
        inside, left = len(saved.arrays["rows"]), saved.arrays["step"]
    except (KeyError, TypeError, ValueError) as error:
        raise saved.damaged("the pool is missing") from error
    return step, inside, float(inside * step + (left[left >= 0] + 1).sum())

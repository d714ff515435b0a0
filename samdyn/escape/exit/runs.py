"""The run of a first-exit job: as one pool or piece by piece, and its results, one for each system.

All paths run as one ensemble (`samdyn.escape.kernel.exits`), or, with workers, in pieces that are put
together by number (`samdyn.escape.exit.pieces`). Where the step has no pointwise form the bits of a path may
depend on the paths beside it; then the job runs in the same pieces without workers too.
"""

from __future__ import annotations

import warnings
from concurrent.futures import Executor
from dataclasses import replace
from os import PathLike

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.escape.exit.cost import CHEAPER, CostWatch
from samdyn.escape.exit.description import describe
from samdyn.escape.exit.job import Job, forget, is_pointwise, prepare
from samdyn.escape.exit.pieces import cut, run_apart, standing
from samdyn.escape.kernel.exit_replay import Exits
from samdyn.escape.kernel.exits import SWEEP, TILE, first_exits
from samdyn.escape.statistics.result import ExitTimes
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.jobs.cost import announce, outside, seconds_of
from samdyn.jobs.progress import WorkBar
from samdyn.jobs.travel import check_travel
from samdyn.systems.map import Map


def run(
    job: Job,
    starts: Array,
    *,
    workers: int,
    executor: Executor | None,
    checkpoint: str | PathLike[str] | None,
    progress: bool,
) -> list[ExitTimes]:
    """Run a job: the exit times of each of its systems.

    Parameters
    ----------
    job : Job
    starts : ndarray, shape (1, state_dim) or (n_paths, state_dim)
        States at the start of the paths of every system.
    workers, executor, checkpoint, progress
        As for `exit_times`.
    """
    systems = len(job.systems)
    every = np.tile(starts, (systems, 1)) if systems > 1 and len(starts) > 1 else starts
    try:
        saved = None if checkpoint is None else Checkpoint(checkpoint, describe(job, every))
        exits = _run(job, every, workers, executor, saved, progress)
    finally:
        forget(job)
    points = np.broadcast_to(starts, (job.n_paths, starts.shape[1]))[:, : job.system.dim]
    results = [_result(_part(exits, job, i), job, i, points) for i in range(systems)]
    if (
        not any(result.n_exited or result.n_diverged for result in results)
        and np.min(exits.n_steps) == job.n_steps
    ):
        noise = ", or the noise" if job.system.noisy else ""
        t_max = max(result.t_max for result in results)
        warnings.warn(
            f"none of {job.n_rows} paths left by t_max = {t_max:g}, so that the mean exit time has "
            f"a lower bound only: raise t_max{noise}",
            UserWarning,
            stacklevel=outside(),
        )
    return results


# path-steps from which a job in pieces is worth timing
TIMED_FROM = 1e8


def announce_pieces(job: Job, starts: Array, workers: int) -> None:
    """Time some steps of a few paths, and say what all of them will take if none leaves early."""
    few = min(job.n_rows, TILE)
    states = np.broadcast_to(starts, (job.n_rows, starts.shape[1]))[:few]
    stepper, test, finish, coefficients = prepare(job)
    short = replace(coefficients, n_steps=tuple(min(n, 4 * SWEEP) for n in coefficients.n_steps))
    options = job.options()
    first_exits(stepper, test, finish, short, states, **options)  # compiles
    seconds = seconds_of(lambda: first_exits(stepper, test, finish, short, states, **options))
    work = job.n_rows * float(job.n_steps) / (few * max(short.n_steps))
    announce("exit_times", seconds * work / workers, CHEAPER)


def _run(
    job: Job,
    starts: Array,
    workers: int,
    executor: Executor | None,
    saved: Checkpoint | None,
    progress: bool,
) -> Exits:
    """All rows as one pool, or piece by piece."""
    pieces = cut(job, starts)
    kind = None if saved is None or saved.meta is None else saved.meta.get("kind")
    apart = executor is not None or (
        len(pieces) > 1 and (workers > 1 or kind == "pieces" or not is_pointwise(job))
    )
    if saved is not None and apart and kind == "pool":
        raise ValueError(
            f"checkpoint {str(saved.path)!r} must come from a run with workers or an executor, "
            "got one without: resume it with workers=1"
        )
    if apart:
        check_travel(job, workers, executor, threads=job.on_threads)
        if job.n_rows * float(job.n_steps) > TIMED_FROM:
            announce_pieces(job, starts, workers)
        return run_apart(job, pieces, workers, executor, saved, progress)
    cost = CostWatch(job.n_rows, job.n_steps)
    states = np.broadcast_to(starts, (job.n_rows, starts.shape[1]))
    step, inside, done = (0, job.n_rows, 0.0) if saved is None else standing(job, saved)
    with WorkBar(progress, job.n_rows, job.n_steps, step, inside, done) as bar:
        report = bar.report if progress else None
        options = job.options()
        return first_exits(*prepare(job), states, progress=report, checkpoint=saved, cost=cost, **options)


def _part(exits: Exits, job: Job, i: int) -> Exits:
    """The rows of one system."""
    if len(job.systems) == 1:
        return exits
    rows = slice(i * job.n_paths, (i + 1) * job.n_paths)
    followed = exits.n_steps if isinstance(exits.n_steps, int) else exits.n_steps[rows]
    arrays = {name: array[rows] for name, array in exits.arrays().items()}
    limit = np.minimum(followed, job.limits[i])
    return Exits(**arrays, n_steps=int(limit) if limit.ndim == 0 else limit)


def _result(exits: Exits, job: Job, i: int, points: Array) -> ExitTimes:
    dt, system = job.dts[i], job.systems[i]
    exited = (exits.step >= 0) & ~exits.diverged
    # a path that diverged was watched until then
    watched = np.where(exits.step >= 0, (exits.step + exits.fraction) * dt, exits.n_steps * dt)
    # the last step may reach beyond t_max: an exit there is one of a path that was inside at t_max
    late = watched > job.t_max
    exited, diverged = exited & ~late, exits.diverged & ~late
    watched = np.minimum(watched, job.t_max)
    interrupted = bool((np.minimum(exits.n_steps, job.limits[i]) < job.limits[i]).any())
    return ExitTimes(
        times=np.where(exited, watched, np.nan),
        exited=exited,
        exit_points=np.where(exited[:, None], exits.point, np.nan),
        diverged=diverged,
        faces=np.where(exited, exits.face, -1),
        watched=watched,
        face_names=tuple(face.name for face in job.region.faces),
        t_max=min(int(np.max(exits.n_steps)) * dt, job.t_max),
        dt=dt,
        seed=job.seed,
        correction="bridge" if job.bridge else None,
        discrete=isinstance(system, Map),
        system=repr(system),
        region=repr(job.region),
        interrupted=interrupted,
        problem=(system, job.region, points),
    )

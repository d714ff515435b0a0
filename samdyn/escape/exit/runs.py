"""The run of a first-exit job: as one pool or piece by piece, and its results, one for each system.

All paths run as one ensemble (`samdyn.escape.kernel.exits`), whose state is what the checkpoint holds; or,
with workers, in pieces (`samdyn.jobs.job`), of which it holds the finished ones. Where the step has no
pointwise form the bits of a path may depend on the paths beside it; then the job runs in the same pieces
without workers too.

After Ctrl-C the paths of pieces that did not come back are censored at step 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.escape.exit.cost import CHEAPER, CostWatch
from samdyn.escape.exit.job import ExitJob, forget, prepare
from samdyn.escape.kernel.exit_replay import Exits
from samdyn.escape.kernel.exits import SWEEP, TILE, first_exits
from samdyn.escape.statistics.result import ExitTimes
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.jobs.cost import announce, outside, seconds_of
from samdyn.jobs.job import Arrays, Range, Run, in_pieces, run_to_the_end
from samdyn.jobs.progress import PartsBar, WorkBar
from samdyn.numerics.random import STEPS_PER_BLOCK
from samdyn.systems.map import Map


def run_exits(job: ExitJob, how: Run) -> list[ExitTimes]:
    """Run a job: the exit times of each of its systems.

    Parameters
    ----------
    job : ExitJob
    how : Run
        Workers, executor, checkpoint and progress, as for `exit_times`.
    """
    systems = len(job.systems)
    try:
        saved = None if how.checkpoint is None else Checkpoint(how.checkpoint, job.describe())
        exits = _run(job, how, saved)
    finally:
        forget(job)
    points = np.broadcast_to(job.starts[: job.n_paths], (job.n_paths, job.starts.shape[1]))
    points = points[:, : job.system.dim]
    results = [_result(_part(exits, job, i), job, i, points) for i in range(systems)]
    if (
        not any(result.n_exited or result.n_diverged for result in results)
        and np.min(exits.n_steps) == job.n_steps
    ):
        noise = ", or the noise" if job.system.noisy else ""
        t_max = max(result.t_max for result in results)
        warnings.warn(
            f"none of {job.n} paths left by t_max = {t_max:g}, so that the mean exit time has "
            f"a lower bound only: raise t_max{noise}",
            UserWarning,
            stacklevel=outside(),
        )
    return results


# path-steps from which a job in pieces is worth timing
TIMED_FROM = 1e8


def announce_pieces(job: ExitJob, workers: int) -> None:
    """Time some steps of a few paths, and say what all of them will take if none leaves early."""
    few = min(job.n, TILE)
    states = job.states(0, few)
    stepper, test, finish, coefficients = prepare(job)
    short = replace(coefficients, n_steps=tuple(min(n, 4 * SWEEP) for n in coefficients.n_steps))
    options = job.options()
    first_exits(stepper, test, finish, short, states, **options)  # compiles
    seconds = seconds_of(lambda: first_exits(stepper, test, finish, short, states, **options))
    work = job.n * float(job.n_steps) / (few * max(short.n_steps))
    announce("exit_times", seconds * work / workers, CHEAPER)


def _run(job: ExitJob, how: Run, saved: Checkpoint | None) -> Exits:
    """All rows as one pool, or piece by piece."""
    apart = how.executor is not None or (
        len(job.cut()) > 1
        and (how.workers > 1 or (saved is not None and in_pieces(saved)) or not job.pointwise)
    )
    if saved is not None and saved.meta is not None and apart and not in_pieces(saved):
        raise ValueError(
            f"checkpoint {str(saved.path)!r} must come from a run with workers or an executor, "
            "got one without: resume it with workers=1"
        )
    if apart:
        return _run_apart(job, how, saved)
    cost = CostWatch(job.n, job.n_steps)
    step, inside, done = (0, job.n, 0.0) if saved is None else _standing(job, saved)
    with WorkBar(how.progress, job.n, job.n_steps, step, inside, done) as bar:
        report = bar.report if how.progress else None
        states, options = job.states(0, job.n), job.options()
        return first_exits(*prepare(job), states, progress=report, checkpoint=saved, cost=cost, **options)


def _run_apart(job: ExitJob, how: Run, saved: Checkpoint | None) -> Exits:
    """All pieces; after Ctrl-C the steps that each path was followed for."""
    if job.n * float(job.n_steps) > TIMED_FROM:
        announce_pieces(job, how.workers)
    with WorkBar(how.progress, job.n, job.n_steps) as bar:

        def receive(piece: Range, arrays: Arrays, restored: bool) -> None:
            left = arrays["step"]
            work = float(np.where(left >= 0, left + 1, job.n_steps).sum())
            bar.report_piece(work, int((left >= 0).sum()), len(left), restored=restored)

        silent = PartsBar(False, "exit_times", None)
        found = run_to_the_end(job, replace(how, checkpoint=None), silent, saved, receive, cut=True)
    return _joined(job, found)


def _joined(job: ExitJob, found: Sequence[tuple[Range, Arrays | None]]) -> Exits:
    """The exits of all pieces."""
    followed: npt.NDArray[np.int64] = np.zeros(job.n, dtype=np.int64)
    result = Exits.of(job.n, job.system.dim, followed)
    for (first, last), arrays in found:
        if arrays is not None:
            for name, array in result.arrays().items():
                array[first:last] = arrays[name]
            followed[first:last] = arrays["n_steps"]
    if (followed == job.n_steps).all():
        result.n_steps = job.n_steps
    return result


def _standing(job: ExitJob, saved: Checkpoint) -> tuple[int, int, float]:
    """Where a job that runs as one pool stands: completed steps, paths inside, path-steps done."""
    if saved.meta is None:
        return 0, job.n, 0.0
    try:
        step = min(STEPS_PER_BLOCK * int(saved.meta["block"]), job.n_steps)
        inside, left = len(saved.arrays["rows"]), saved.arrays["step"]
    except (KeyError, TypeError, ValueError) as error:
        raise saved.damaged("the pool is missing") from error
    return step, inside, float(inside * step + (left[left >= 0] + 1).sum())


def _part(exits: Exits, job: ExitJob, i: int) -> Exits:
    """The rows of one system."""
    if len(job.systems) == 1:
        return exits
    rows = slice(i * job.n_paths, (i + 1) * job.n_paths)
    followed = exits.n_steps if isinstance(exits.n_steps, int) else exits.n_steps[rows]
    arrays = {name: array[rows] for name, array in exits.arrays().items()}
    limit = np.minimum(followed, job.limits[i])
    return Exits(**arrays, n_steps=int(limit) if limit.ndim == 0 else limit)


def _result(exits: Exits, job: ExitJob, i: int, points: Array) -> ExitTimes:
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

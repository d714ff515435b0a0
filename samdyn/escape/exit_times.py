"""First exit times from a region, by simulation of many paths at once.

The scheme is Euler-Maruyama for a Diffusion and the map itself for a Map. For a Diffusion each step is
tested with the crossing probability of the Brownian bridge between its ends, and the crossing time is drawn
from its exact law (`samdyn.escape.crossing`), which reduces the bias of the mean exit time from order
sqrt(dt) to order dt; without the correction the plain chain is watched at whole steps.

All paths run as one ensemble (`samdyn.ensemble.exits`), or, with workers, in pieces that are put together by
path number (`samdyn.escape.exit_pieces`). Where the step has no pointwise form the
bits of a path may depend on the paths beside it; then the job runs in the same pieces without workers too.
"""

from __future__ import annotations

import warnings
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from os import PathLike

import numpy as np
import numpy.typing as npt

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.compute.device import choose_device
from samdyn.compute.progress import WorkBar
from samdyn.compute.random import split_seed
from samdyn.ensemble.checkpoint import Checkpoint
from samdyn.ensemble.exits import first_exits
from samdyn.ensemble.kernel import COMPILE_FROM, can_compile
from samdyn.ensemble.replay import Exits
from samdyn.ensemble.workers import check_picklable
from samdyn.escape.exit_job import PRECISIONS, Job, describe, forget, is_pointwise, prepare
from samdyn.escape.exit_pieces import cut, run_apart, standing
from samdyn.escape.regions import OpenSet
from samdyn.escape.statistics import ExitTimes
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map

CORRECTIONS = ("bridge", None)


def exit_times(
    system: Diffusion | Map,
    x0: npt.ArrayLike,
    region: OpenSet,
    n_paths: int | None = None,
    *,
    t_max: float,
    dt: float | None = None,
    seed: int = 0,
    correction: str | None = "bridge",
    device: str | None = None,
    precision: str | None = None,
    compile: bool | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool = False,
) -> ExitTimes:
    """First exit times of paths from a region.

    Parameters
    ----------
    system : Diffusion or Map
        What moves. The step of a Diffusion is Euler-Maruyama.
    x0 : array_like, shape (dim,) or (n, dim)
        One start for all paths, or one for each.
    region : Ball, Box, HalfSpace, Region or a combination
        The open set in which a path lives; the exit is the first time outside.
    n_paths : int, optional
        Number of paths; 10 000 by default, or the number of starts.
    t_max : float
        When a path is given up as censored: in time for a Diffusion, in steps for a Map.
    dt : float, optional
        Step of a Diffusion, in time; its lr by default (one step of the algorithm). Not for a Map.
    seed : int
        The random numbers are a function of (seed, path number, step): the same paths on every device, in
        any tile.
    correction : {"bridge", None}
        "bridge": exits within a step of a Diffusion are tested for and timed. None: the chain is watched at
        whole steps. A Map has no time between steps and is always watched at whole steps.
    device : str, optional
        "cpu" or "cuda"; the GPU by default where there is one.
    precision : {"single", "double"}, optional
        Precision of states and noise. By default double for small jobs and single for compiled ones.
    compile : bool, optional
        Whether to compile the step (torch.compile). By default for jobs large enough to repay the
        compilation, if a compiler is present. The paths are the same to rounding.
    workers : int
        Number of local processes. More than one needs a system and a region that can be pickled, and, in a
        script, a call below ``if __name__ == "__main__":``.
    executor : concurrent.futures.Executor, optional
        Where to run instead: any executor of PEP 3148, such as a ProcessPoolExecutor, Dask's
        ``client.get_executor()`` or an MPIPoolExecutor of mpi4py. It stays open.
    checkpoint : str or path, optional
        A file that holds the state of the job. It is written every half minute and at the end. If it exists
        already, the job goes on from it, to the very numbers of an uninterrupted run.
    progress : bool
        Show a progress bar over path-steps; the total is an estimate, renewed as paths leave.

    Returns
    -------
    ExitTimes

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, a start is not inside the region, the device is
        not there, system and region cannot be sent to workers, the checkpoint is damaged or of another job.
        Before any work.

    Warns
    -----
    UserWarning
        No path left: the mean has a lower bound only.
    RuntimeWarning
        Workers failed repeatedly, and the rest of the job ran in this process.

    Notes
    -----
    The result is the same, to the last bit, with any number of workers, with any executor and after a resume.
    The paths of a worker that dies are computed again.

    Ctrl-C returns what is done so far: paths still inside are censored at the time until which they were
    followed. Local workers hand over their part likewise. On an executor the pieces that are not finished are
    cancelled, and their paths count as watched for no time: they change neither exits nor exposure, so that
    the mean is that of the finished pieces. Which pieces are finished by then may depend a little on how long
    their paths stayed.

    Bias of the mean exit time at step dt: with the bridge a few tenths of a percent at dt = 0.01 of the
    time scale 1/curvature, shrinking as dt; without it 6-14 % there, shrinking as sqrt(dt). Against the
    plain chain itself ``correction=None`` is exact.

    References
    ----------
    Gobet, Stochastic Processes and their Applications 87 (2000) 167-197, for the bridge test; Gobet &
    Menozzi, ibid. 120 (2010) 130-162.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=6.0))
    >>> exits = sd.exit_times(sgd, [-1.0], sd.HalfSpace([1.0], 0.0), n_paths=2000, t_max=200.0)
    >>> bool(exits.exited.all())
    True
    """
    if not isinstance(system, Diffusion | Map):
        raise TypeError(f"system must be a Diffusion or a Map, got {system!r}")
    if isinstance(system, Map) and system.landscape is None:
        raise TypeError(f"system must be made from a loss and a rule, got {system!r}")
    if not isinstance(region, OpenSet):
        raise TypeError(f"region must be a samdyn region such as sd.Ball(center, radius), got {region!r}")
    region = region.with_dim(system.dim)
    starts, n_paths = _starts(system, x0, region, n_paths)
    continuous = isinstance(system, Diffusion)
    t_max = checks.number("t_max", t_max, above=0)
    if continuous:
        dt = float(system.coefficients()["lr"]) if dt is None else checks.number("dt", dt, above=0)
    elif dt is not None:
        raise ValueError(f"dt must not be given for a Map, whose time is its step, got {dt!r}")
    else:
        dt = 1.0
    if dt > t_max:
        raise ValueError(f"dt must be at most t_max, got dt={dt!r} and t_max={t_max!r}")
    split_seed(seed)
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be 'bridge' or None, got {correction!r}")
    where = choose_device(device)
    n_steps = int(np.ceil(t_max / dt * (1 - 1e-12)))
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(f"precision must be 'single' or 'double', got {precision!r}")
    workers = _check_workers(workers, executor)
    job = Job(
        system, region, n_steps, dt, int(seed), continuous and correction == "bridge", str(where), "double",
        compile=False,
    )  # fmt: skip
    traced = prepare(job).stepper.traced
    if compile is None:
        large = where.type == "cuda" or n_paths * float(n_steps) >= COMPILE_FROM
        compile = large and traced and can_compile(where)
    elif compile and not traced:
        raise ValueError(
            "compile must be False: the loss has no pointwise form (it uses an operation "
            "that cannot be traced)"
        )
    job = replace(job, precision=precision or ("single" if compile else "double"), compile=compile)
    saved = None if checkpoint is None else Checkpoint(checkpoint, describe(job, starts, n_paths))
    try:
        exits = _run(job, starts, n_paths, workers, executor, saved, progress)
    finally:
        forget(job)
    if (exits.step < 0).all() and np.min(exits.n_steps) == n_steps:
        noise = ", or the noise" if system.n_normals else ""
        warnings.warn(
            f"none of {n_paths} paths left by t_max = {n_steps * dt:g}, so that the mean exit time has "
            f"a lower bound only: raise t_max{noise}",
            UserWarning,
            stacklevel=2,
        )
    return _result(exits, job, np.broadcast_to(starts, (n_paths, starts.shape[1])), continuous)


def _starts(
    system: Diffusion | Map, x0: npt.ArrayLike, region: OpenSet, n_paths: int | None
) -> tuple[Array, int]:
    """States at the start, one for all paths or one for each, and the number of paths."""
    x = checks.points("x0", x0, system.dim)
    if x.ndim > 2:
        raise ValueError(f"x0 must have shape ({system.dim},) or (n, {system.dim}), got shape {x.shape}")
    if n_paths is not None:
        n_paths = checks.integer("n_paths", n_paths, at_least=1)
    if x.ndim == 2:
        if len(x) == 0:
            raise ValueError("x0 must hold at least one start, got none")
        if n_paths is not None and n_paths != len(x):
            raise ValueError(f"n_paths must equal the number of starts in x0 ({len(x)}), got {n_paths}")
        n_paths = len(x)
    inside = region.contains(x)
    if not np.all(inside):
        first = np.atleast_2d(x)[~np.atleast_1d(inside)][0]
        distance = float(region.signed_distance(first))
        raise ValueError(
            f"x0 must lie inside the region, got {first} at signed distance {distance:.3g} of {region!r}"
        )
    x = np.atleast_2d(x)
    rest = system.state_dim - system.dim
    states = np.concatenate([x, np.zeros((len(x), rest))], axis=1) if rest else x
    return states, 10_000 if n_paths is None else n_paths


def _check_workers(workers: int, executor: Executor | None) -> int:
    workers = checks.integer("workers", workers, at_least=1)
    if executor is not None:
        if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
            raise TypeError(f"executor must be a concurrent.futures executor, got {executor!r}")
        if workers > 1:
            raise ValueError(f"workers must be 1 when an executor is given, got {workers}")
    return workers


def _run(
    job: Job,
    starts: Array,
    n_paths: int,
    workers: int,
    executor: Executor | None,
    saved: Checkpoint | None,
    progress: bool,
) -> Exits:
    """All paths as one pool, or piece by piece."""
    pieces = cut(job, starts, n_paths)
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
        if workers > 1 or isinstance(executor, ProcessPoolExecutor):
            check_picklable(job, spawned=executor is None)
        return run_apart(job, pieces, n_paths, workers, executor, saved, progress)
    states = np.broadcast_to(starts, (n_paths, starts.shape[1]))
    step, inside, done = (0, n_paths, 0.0) if saved is None else standing(job, saved, n_paths)
    with WorkBar(progress, n_paths, job.n_steps, step, inside, done) as bar:
        report = bar.report if progress else None
        return first_exits(*prepare(job), states, progress=report, checkpoint=saved, **job.options())


def _result(exits: Exits, job: Job, starts: Array, continuous: bool) -> ExitTimes:
    dt, dim = job.dt, job.system.dim
    exited = (exits.step >= 0) & ~exits.diverged
    # a path that diverged was watched until then
    watched = np.where(exits.step >= 0, (exits.step + exits.fraction) * dt, exits.n_steps * dt)
    return ExitTimes(
        times=np.where(exited, watched, np.nan),
        exited=exited,
        exit_points=np.where(exited[:, None], exits.point, np.nan),
        diverged=exits.diverged,
        faces=np.where(exited, exits.face, -1),
        watched=watched,
        face_names=tuple(face.name for face in job.region.faces),
        t_max=int(np.max(exits.n_steps)) * dt,
        dt=dt,
        seed=job.seed,
        correction="bridge" if job.bridge else None,
        discrete=not continuous,
        system=repr(job.system),
        region=repr(job.region),
        problem=(job.system, job.region, starts[:, :dim]),
    )

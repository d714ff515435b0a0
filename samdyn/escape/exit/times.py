"""First exit times from a region, by simulation of many paths at once.

The scheme is Euler-Maruyama for a Diffusion and the map itself for a Map. For a Diffusion each step is
tested with the crossing probability of the Brownian bridge between its ends, and the crossing time is drawn
from its exact law (`samdyn.escape.kernel.crossing`), which reduces the bias of the mean exit time from order
sqrt(dt) to order dt; without the correction the plain chain is watched at whole steps.

Arguments are checked and made into a job (`samdyn.escape.exit.arguments`), which runs as one ensemble or in
pieces (`samdyn.escape.exit.runs`).
"""

from __future__ import annotations

from concurrent.futures import Executor
from os import PathLike
from typing import TypedDict

import numpy.typing as npt

from samdyn.escape.exit.arguments import check_system, make_job
from samdyn.escape.exit.runs import run_exits
from samdyn.escape.region import OpenSet
from samdyn.escape.statistics.result import ExitTimes
from samdyn.jobs.job import check_run
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map


class ExitOptions(TypedDict, total=False):
    """Arguments of `exit_times` that verbs which call it pass on."""

    dt: float | None
    correction: str | None
    device: str | None
    precision: str | None
    compile: bool | str | None
    workers: int
    executor: Executor | None
    checkpoint: str | PathLike[str] | None


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
    compile: bool | str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool = False,
) -> ExitTimes:
    """First exit times of paths from a region.

    Parameters
    ----------
    system : Diffusion or Map
        What moves. The step of a Diffusion is Euler-Maruyama. A `Map.from_function` is watched step by step
        like any other map; a Flow has no step of its own and is refused.
    x0 : array_like, shape (dim,) or (n, dim)
        One start for all paths, or one for each.
    region : Ball, Box, HalfSpace, Region or a combination
        The open set in which a path lives; the exit is the first time outside.
    n_paths : int, optional
        Number of paths; by default the number of starts, or 10 000 from one start (1 without noise).
    t_max : float
        When a path is given up as censored: in time for a Diffusion, in steps for a Map. A chain that is
        watched at whole steps is given up at the last of them before t_max.
    dt : float, optional
        Step of a Diffusion, in time. By default its lr, one step of the algorithm; for `from_function` a
        hundredth of the shortest time scale of the drift at x0 and in the box. Not for a Map.
    seed : int
        The random numbers are a function of (seed, path number, step): the same paths on every device, in
        any tile.
    correction : {"bridge", None}
        "bridge": exits within a step of a Diffusion are tested for and timed. None: the chain is watched at
        whole steps. A Map has no time between steps and is always watched at whole steps.
    device : str, optional
        "cpu" or "cuda"; the GPU by default where there is one.
    precision : {"single", "double"}, optional
        Precision of states and noise. By default double, and single for compiled jobs of 2 * 10^9 path-steps
        or more (all on a GPU), unless the steps or the distance to the boundary are short against the spacing
        of single-precision numbers at x0.
    compile : bool or "auto", optional
        Whether to compile the step: as C++ on the CPU (half a second), as CUDA on a GPU (a second, with the
        packages of ``pip install 'samdyn[cuda]'``). By default ("auto") always on a GPU, and on the CPU for
        jobs large enough to repay it, if there is a compiler. The paths are the same to rounding.
    workers : int
        Number of local workers: threads where the job is compiled for the CPU, else processes. Processes
        need a system and a region that can be pickled, and, in a script, a call below
        ``if __name__ == "__main__":``.
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
        An argument is of the wrong kind or out of range, a start is not inside the region, the step is not
        finite at any start, t_max is more than 2^34 steps, the device is not there, system and region cannot
        be sent to workers, the checkpoint is damaged or of another job. Before any work.

    Warns
    -----
    CostWarning
        The job is going to take longer than ten seconds, by the speed of its first steps and the share of
        paths that leave in them; where no path has left, if none leaves before t_max.
    RuntimeWarning
        The compiler fails, or the packages for a GPU are missing: the step runs without being compiled.
    UserWarning
        No path left: the mean has a lower bound only. Or t_max is more than 10^9 steps.
    RuntimeWarning
        Workers failed repeatedly, and the rest of the job ran in this process.

    Notes
    -----
    The result is the same, to the last bit, with any number of workers, with any executor and after a resume.
    The paths of a worker that dies are computed again.

    Ctrl-C returns what is done so far, with ``interrupted`` set, at which a loop over settings stops: paths
    still inside are censored at the time until which they were followed. Local workers hand over theirs as
    well. On an executor the pieces that are not finished are cancelled, and their paths count as watched for
    no time: they change neither exits nor exposure, so that the mean belongs to the finished pieces. Which
    pieces are finished by then may depend a little on how long their paths stayed.

    Bias of the mean exit time at step dt, against the mean exit time of the equation: with the bridge it
    shrinks as dt, without it as sqrt(dt), and it grows with the height of the barrier. Measured at dt = 0.01
    / curvature: at the saddle of the double well a few tenths of a percent with the bridge and 6-14 %
    without; leaving a minimum over a barrier of 9 noise levels (SAM(0.4) on x^2/2, |x| < 1) -7 % with and +33
    % without, and -42 % and +64 % at dt = 0.1. ``ExitTimes.step_bias`` says
    its size, and ``ExitTimes.refine`` extrapolates to step 0. Against the plain chain itself
    ``correction=None`` is exact.

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
    check_system(system)
    how = check_run(workers, executor, checkpoint, progress)
    job = make_job(
        [system], (), x0, region, n_paths, t_max=t_max, dt=dt, seed=seed, correction=correction,
        device=device, precision=precision, compile=compile,
    )  # fmt: skip
    return run_exits(job, how)[0]

"""Mean squared displacement of an ensemble of paths: how fast noise carries SAM away from a point.

Paths start at one point and move with the step of the system: the Map's own, or Euler-Maruyama for a
Diffusion, with the draws of (seed, path, step), the same as in `trajectory`. At the requested times the
squared displacement and the coordinates enter running moments (`samdyn.dynamics.observers.Moments`); nothing
else is kept. The pieces of a job are the same whoever runs them, so that the result does not depend on that.

Beside a critical point of the loss unnormalised SAM is a linear recursion, whose covariance is known at every
step; these exact figures are in `samdyn.escape.spread.linearised_noise`.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.dynamics.clock import algorithm_step
from samdyn.dynamics.contract import Coefficients
from samdyn.dynamics.observers import Moments, merge_moments
from samdyn.dynamics.path_job import PathJob, check_device
from samdyn.dynamics.step_length import default_dt
from samdyn.escape.exit.arguments import MOST_PATHS, MOST_STEPS
from samdyn.escape.spread.linearised_noise import step_schedule
from samdyn.escape.spread.result import Displacement
from samdyn.jobs.job import Arrays, Report, check_run, run_job
from samdyn.jobs.progress import path_bar
from samdyn.numerics.random import split_seed
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map


@checked
def mean_squared_displacement(
    system: Diffusion | Map,
    x0: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    n_paths: int = 10_000,
    dt: float | None = None,
    seed: int = 0,
    direction: npt.ArrayLike | None = None,
    device: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Displacement:
    """Mean squared displacement of noisy paths from their start.

    Parameters
    ----------
    system : Diffusion or Map
        What moves; a Map needs a noise model. With momentum the paths start from rest.
    x0 : array_like, shape (dim,)
        Start of every path.
    t : number or increasing sequence
        When to look: whole steps for a Map, times (lr times steps) for a Diffusion.
    n_paths : int
        Number of paths, at least 2.
    dt : float, optional
        Longest Euler-Maruyama step of a Diffusion, in time; its lr by default. Steps are shortened to end at
        the times asked for. Not for a Map.
    seed : int
        The random numbers are a function of (seed, path number, step).
    direction : array_like, shape (dim,), optional
        Look at the displacement along this vector (of any length) only.
    device : str, optional
        "cuda" takes the steps of a map or a diffusion on a GPU; "cpu" by default, where results do not depend
        on the machine.
    workers : int
        Number of local workers: threads where the steps are compiled, else processes. The result is the same
        with any number.
    executor : concurrent.futures.Executor, optional
        Where to run instead.
    checkpoint : str or path, optional
        A file that holds the finished pieces of the job: written every 30 s, after Ctrl-C and at the end. If
        it exists, the job goes on from it, to the same result as in one go.
    progress : bool
        Show a progress bar over path-steps.

    Returns
    -------
    Displacement
        Its `theory` is the exact mean where the start is a critical point of a quadratic loss.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, the system has no noise, the checkpoint is damaged
        or of another job, or the job cannot be sent to workers.

    Warns
    -----
    CostWarning
        The work will take more than ten seconds, by the time of its first steps.

    Notes
    -----
    One pass with running moments: memory does not grow with the number of steps, and but little with the
    number of paths. A path that diverges makes the mean inf from then on.

    References
    ----------
    Kim et al. (arXiv 2301.06308), Theorem 2 [second-hand]; Chan, Golub and LeVeque, The American
    Statistician 37, 242 (1983), for the merging of moments.

    Examples
    --------
    >>> import samdyn as sd
    >>> noise = sd.CurvatureNoise(batch_size=1, probe="same")
    >>> sam = sd.Map(sd.landscapes.saddle(1, 1), sd.USAM(0.5), lr=0.01, noise=noise)
    >>> result = sd.mean_squared_displacement(sam, [0.0, 0.0], [50, 100], direction=[0.0, 1.0])
    >>> bool((abs(result.mean - result.theory) < 4 * result.standard_error).all())
    True
    """
    if not isinstance(system, Diffusion | Map):
        raise TypeError(f"system must be a Diffusion or a Map, got {system!r}")
    if not system.noisy:
        raise ValueError(f"system must have noise, such as noise=sd.GaussianNoise(std=1.0), got {system!r}")
    start = checks.points("x0", x0, system.dim)
    if start.ndim != 1:
        raise ValueError(f"x0 must be one point of shape ({system.dim},), got shape {start.shape}")
    discrete = isinstance(system, Map)
    times = _times(t, discrete)
    if discrete and dt is not None:
        raise ValueError(f"dt must not be given for a Map, whose time is its step, got {dt!r}")
    if dt is not None:
        longest = dt
    elif isinstance(system, Diffusion):
        longest = default_dt(system, start[None])
    else:
        longest = 1.0
    longest = checks.number("dt", longest, above=0)
    if dt is not None and longest > times[-1]:
        raise ValueError(f"dt must be at most the last time, got dt={dt!r} and t={t!r}")
    if isinstance(n_paths, int) and n_paths >= MOST_PATHS:
        raise ValueError(f"n_paths must be below 2^40, got {checks.shown(n_paths)}")
    n = checks.integer("n_paths", n_paths, at_least=2, below=MOST_PATHS)
    run, where = check_run(workers, executor, checkpoint, progress), check_device(device, system)
    split_seed(seed)
    along = None
    if direction is not None:
        along = checks.points("direction", direction, system.dim)
        if along.ndim != 1 or not along.any():
            raise ValueError(f"direction must be one vector other than 0, got {direction!r}")
        along = along / np.abs(along).max()
        along = along / np.linalg.norm(along)
    if times[-1] / longest > MOST_STEPS:
        raise ValueError(
            f"t must be at most 2^34 steps of {longest:g}, got {times[-1]:g}: pass earlier times or a "
            "larger dt"
        )
    schedule = step_schedule(times, longest, discrete)
    looks = np.cumsum([count for count, _ in schedule])
    job = _DisplacementJob(
        system, start[None], n, int(looks[-1]), int(seed), schedule[-1][1], times=times, along=along,
        looks=looks, lengths=tuple(length for _, length in schedule), device=where,
    )  # fmt: skip
    total = n * float(looks[-1])
    cheaper = "pass fewer n_paths, earlier times, a larger dt or workers="
    with np.errstate(all="ignore"), path_bar(progress, "mean_squared_displacement", total, cheaper) as bar:
        parts = run_job(job, run, bar)
        moments = functools.reduce(
            merge_moments, [(int(part["n"]), part["mean"], part["square"]) for part in parts]
        )
    lost = np.sum([part["lost"] for part in parts], axis=0)
    variance = moments[2] / (n - 1)
    return Displacement(
        times=times,
        mean=np.where(lost > 0, np.inf, moments[1][:, -1]),
        standard_error=np.where(lost > 0, np.nan, np.sqrt(variance[:, -1] / n)),
        displacement=moments[1][:, :-1],
        variance=variance[:, :-1],
        diverged=lost,
        x0=start,
        direction=along,
        n_paths=n,
        dt=longest,
        seed=int(seed),
        discrete=discrete,
        system=repr(system),
        problem=system,
    )


def _times(t: npt.ArrayLike, discrete: bool) -> Array:
    try:
        times = np.atleast_1d(np.asarray(t, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(f"t must be a number or an increasing sequence of numbers, got {t!r}") from error
    bad = times.ndim != 1 or not times.size or not np.isfinite(times).all() or times[0] < 0
    if bad or (np.diff(times) <= 0).any() or times[-1] == 0:
        raise ValueError(f"t must be a number > 0 or an increasing sequence of numbers >= 0, got {t!r}")
    if discrete and (times != np.round(times)).any():
        raise ValueError(f"t must be whole steps for a Map, got {t!r}")
    return times


@dataclass(frozen=True, kw_only=True)
class _DisplacementJob(PathJob):
    """Moments of the displacement of ranges of paths."""

    times: Array
    along: Array | None
    looks: npt.NDArray[np.int64]
    lengths: tuple[float, ...]

    def describe(self) -> dict[str, Any]:
        """The paths, the looks and the direction."""
        looks = {"t": self.times.tolist(), "direction": None if self.along is None else self.along.tolist()}
        return {"verb": "mean_squared_displacement", **super().describe(), **looks}

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """The moments of a range of paths."""
        observer = Moments(self.looks, self.x0[0], self.along)
        with np.errstate(all="ignore"):
            self.drive(
                np.arange(first, last), observer, report, coefficients=self._coefficients,
                lengths=self.lengths,
            )  # fmt: skip
        return {"n": np.array(last - first), **observer.state()}

    def _coefficients(self, step: int) -> Coefficients:
        leg = int(np.searchsorted(self.looks, step, side="right"))
        begin, before = (self.times[leg - 1], self.looks[leg - 1]) if leg else (0.0, 0)
        at = algorithm_step(begin + (step - before) * self.lengths[leg], self.system)
        return self.system.coefficients(at)

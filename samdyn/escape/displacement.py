"""Mean squared displacement of an ensemble of paths: how fast noise carries SAM away from a point.

Paths start at one point and move with the step of the system: the Map's own, or Euler-Maruyama for a
Diffusion, with the draws of (seed, path, step), the same as in `trajectory`. At the requested times the
squared displacement and the coordinates enter running moments; nothing else is kept. Paths go in tiles of
`TILE`, whose moments are merged by the pairwise update of Chan, Golub and LeVeque.

Beside a critical point of the loss unnormalised SAM is a linear recursion, whose covariance is known at every
step; these exact figures are in `samdyn.escape.linear_model`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.compute.cost import announce
from samdyn.compute.progress import PartsBar
from samdyn.compute.random import split_seed, standard_normal
from samdyn.compute.signature import checked
from samdyn.compute.vector import Coordinates
from samdyn.ensemble.step import Stepper, build_stepper, combine
from samdyn.ensemble.step_length import default_dt
from samdyn.escape.displacement_result import Displacement
from samdyn.escape.exit_arguments import MOST_PATHS
from samdyn.escape.linear_model import step_schedule
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map

TILE = 1 << 14
NOISE_CHUNK = 1 << 20  # normals drawn at a time
TIMED = 10  # steps whose time gives the estimate of the cost


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
    progress : bool
        Show a progress bar over steps (of tiles of 16384 paths).

    Returns
    -------
    Displacement
        Its `theory` is the exact mean where the start is a critical point of a quadratic loss.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or the system has no noise.

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
    if not system.n_normals:
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
    progress = checks.flag("progress", progress)
    split_seed(seed)
    along = None
    if direction is not None:
        along = checks.points("direction", direction, system.dim)
        if along.ndim != 1 or not along.any():
            raise ValueError(f"direction must be one vector other than 0, got {direction!r}")
        along = along / np.abs(along).max()
        along = along / np.linalg.norm(along)
    stepper = build_stepper(system).eager()
    moments: tuple[int, Array, Array] | None = None
    lost = np.zeros(len(times), dtype=np.int64)
    n_steps = sum(steps for steps, _ in step_schedule(times, longest, discrete)) * math.ceil(n / TILE)
    with np.errstate(all="ignore"), PartsBar(progress, "mean_squared_displacement", n_steps, "step") as bar:
        meter = _Meter(bar, n_steps)
        for first in range(0, n, TILE):
            paths = np.arange(first, min(first + TILE, n))
            mean, square, gone = _tile(system, stepper, start, times, longest, paths, seed, along, meter)
            moments, lost = _merge(moments, (len(paths), mean, square)), lost + gone
        assert moments is not None
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


@dataclass
class _Meter:
    """Counts the steps of all tiles, and says what they will cost once the first ones are timed."""

    bar: PartsBar
    n_steps: int
    done: int = 0
    drawing: float = 0.0  # seconds that the normals of a step take
    start: float = 0.0

    def drew(self, seconds: float, steps: int) -> None:
        if not self.done:
            self.drawing = seconds / steps

    def stepped(self) -> None:
        self.done += 1
        self.bar.update()
        if self.done == 1:  # the first step prepares more than it does
            self.start = time.perf_counter()
        if self.done == 1 + TIMED:
            each = self.drawing + (time.perf_counter() - self.start) / TIMED
            cheaper = "pass fewer n_paths, earlier times or a larger dt"
            announce("mean_squared_displacement", each * (self.n_steps - self.done), cheaper)


def _tile(
    system: Diffusion | Map,
    stepper: Stepper,
    start: Array,
    times: Array,
    dt: float,
    paths: npt.NDArray[np.int64],
    seed: int,
    along: Array | None,
    meter: _Meter,
) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Means and sums of squared deviations, (n_t, dim + 1), of the displacement by coordinate and of its
    square, and the numbers of paths that are not finite.
    """
    dim, k = stepper.dim, stepper.n_normals
    mean, square = np.empty((len(times), dim + 1)), np.empty((len(times), dim + 1))
    lost = np.zeros(len(times), dtype=np.int64)
    rest = [0.0] * (stepper.state_dim - dim)
    state = Coordinates(
        torch.full((len(paths),), float(v), dtype=torch.float64, device="cpu") for v in [*start, *rest]
    )
    chunk = max(1, NOISE_CHUNK // (len(paths) * k))
    schedule = step_schedule(times, dt, not stepper.continuous)
    n_steps, done = sum(n for n, _ in schedule), 0
    coefficients = _coefficients(system, stepper)
    noise: npt.NDArray[np.floating] = np.empty((0, len(paths), k))
    for i, (n, length) in enumerate(schedule):
        begin = times[i - 1] if i else 0.0
        for j in range(n):
            if done % chunk == 0:
                steps = np.arange(done, min(done + chunk, n_steps))
                now = time.perf_counter()
                noise = standard_normal(seed, paths, steps[:, None], k)
                meter.drew(time.perf_counter() - now, len(steps))
            draw = np.ascontiguousarray(noise[done % chunk].T)
            normals = [torch.from_numpy(z) for z in draw]
            state = advance(stepper, state, normals, coefficients(begin + j * length), length)
            done += 1
            meter.stepped()
        moved = np.stack([x.numpy() for x in state[:dim]]) - start[:, None]
        squared = (moved**2).sum(axis=0) if along is None else (along @ moved) ** 2
        looked_at = np.vstack([moved, squared])
        lost[i] = (~np.isfinite(moved).all(axis=0)).sum()
        mean[i] = looked_at.mean(axis=1)
        square[i] = ((looked_at - mean[i][:, None]) ** 2).sum(axis=1)
    return mean, square, lost


def _coefficients(system: Diffusion | Map, stepper: Stepper) -> Callable[[float], list[torch.Tensor]]:
    """Coefficients at a time, which a Diffusion counts in units of its first lr."""

    def tensors(step: int) -> list[torch.Tensor]:
        return [
            torch.tensor([value], dtype=torch.float64, device="cpu")
            for value in system.coefficients(step).values()
        ]

    unit = 1.0 / (system.step_length or 1.0)
    if system.scheduled:
        return lambda time: tensors(int(time * unit + 1e-9))
    fixed = tensors(0)
    return lambda time: fixed


def advance(
    stepper: Stepper,
    state: Coordinates,
    normals: Sequence[torch.Tensor],
    coefficients: Sequence[torch.Tensor],
    dt: float,
) -> Coordinates:
    """One step of all paths: the map, or Euler-Maruyama with step dt."""
    if not stepper.continuous:
        return stepper.iterate(state, normals, coefficients)
    drift, columns = stepper.local(state, coefficients)
    noise, root = combine(columns, normals), math.sqrt(dt)
    return Coordinates(x + dt * b + root * s for x, b, s in zip(state, drift, noise, strict=True))


def _merge(one: tuple[int, Array, Array] | None, other: tuple[int, Array, Array]) -> tuple[int, Array, Array]:
    """Counts, means and sums of squared deviations of two samples together."""
    if one is None:
        return other
    n, share = one[0] + other[0], other[0] / (one[0] + other[0])
    gap = other[1] - one[1]
    return n, one[1] + share * gap, one[2] + other[2] + one[0] * share * gap**2

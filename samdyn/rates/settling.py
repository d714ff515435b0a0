"""Whether curves of many replicas have come down to a plateau, and how many steps that takes.

The mean over the last steps of a curve that still falls is no plateau, however small its scatter. Three
things are asked of noisy curves, in this order.

1. Do the two halves of the tail agree? The differences of the replicas' half means are compared with their
   own scatter (Student's t) and with their signs, of which each is as likely as the other at rest. If not,
   the curve is "moving".
2. What can be left of the start? Where the relaxation times of the optimiser are known (`relaxation`), second
   moments lose what they differ from their limit as exp(-t/second), and the mean as exp(-t/mean). From the
   first value of the curve this bounds what is left in the tail. If that is above half a standard error, the
   curve is "undecided": it may still move by more than the error says.
3. Where they are not known, the tail must be long against the correlation time of the curves, at least
   `INDEPENDENT` times its integrated autocorrelation. A slower motion that the fluctuations do not show is
   then not excluded.

Only a "settled" curve has an error. The steps that a run would need are such that the bound of 2 falls below
half a percent of the plateau in the first half of the run; the plateau is read off a fit of the tail by
P + A exp(-t/second), and where no time is known it is taken from how the curve bends.

References
----------
Sokal, "Monte Carlo methods in statistical mechanics" (1997), for the autocorrelation. The bound: derived.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.rates.affine_steps import forces_near, moment_radius
from samdyn.rates.fits import Estimate, integrated_time, plateau, series_error
from samdyn.rates.forces import moving_forces
from samdyn.rates.moments import Moments
from samdyn.results import Table
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.matrix_root import covariance_root
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.noise import GaussianNoise, Noise

SIGNIFICANT = 3.3
"""Standard errors, or normal deviates of signs, above which a difference is no chance: one in a thousand."""
INDEPENDENT = 20.0
"""Integrated autocorrelation times that a tail must have where no relaxation time is known."""
KNOWN_TIMES = 8.0
"""Least length of a block of a single curve in known relaxation times of second moments."""
EXACT_DIM = 40
"""Largest dimension in which the spectral radius of second moments is computed on the way."""
CONVEX = 0.1
"""Share of a minimiser's least curvature that replicas must have where its relaxation time is used."""
SETTLED = 0.005
"""Share of the plateau that may be left of the start after the steps that are said to be needed."""
STATES = ("settled", "moving", "undecided")


@dataclass(frozen=True, eq=False, repr=False)
class Plateau(Estimate):
    """The mean of a curve's tail, and whether it is a plateau.

    Attributes
    ----------
    value : float
        Mean over the tail, whatever the state.
    standard_error, degrees : float
        See `Estimate`; nan unless the state is "settled".
    state : {"settled", "moving", "undecided"}
        See `samdyn.rates.settling`.
    steps_needed : float
        Steps of a run that would settle, about; nan where nothing is known of them or none are needed.
    """

    state: str = "settled"
    steps_needed: float = math.nan

    def table(self) -> Table:
        """The value and its error, or how far the curve is from a plateau."""
        if self.state == "settled":
            return super().table()
        steps = f", needs about {self.steps_needed:.2g} steps" if math.isfinite(self.steps_needed) else ""
        return Table(f"{self.state} ({self.value:.4g} now{steps})")


def judge(
    steps: npt.NDArray[np.int64],
    curves: Array,
    tail: float,
    times: tuple[float, float, float],
    *,
    squared: bool,
) -> Plateau:
    """The plateau of noisy curves.

    Parameters
    ----------
    steps : ndarray of int, shape (n_times,)
    curves : ndarray, shape (n_times, n_replicas)
    tail : float
        The share of the steps that is averaged.
    times : (second, mean, bias)
        Relaxation times in steps, nan where they are not known, and the gap of the limit of the mean.
    squared : bool
        Whether the quantity is of second degree, as the gap is, and not a norm.
    """
    last, first = int(steps[-1]), (1 - tail) * int(steps[-1])
    inside = steps >= first
    values, at = curves[inside], steps[inside]
    one = values.shape[1] == 1
    if one:  # blocks that are long against the correlations too, where these are known
        keep = _evenly(at)
        values, at = values[keep], at[keep]
        spacing = float(np.diff(at).mean()) if len(at) > 1 else 1.0
        least = KNOWN_TIMES * times[0] / spacing if math.isfinite(times[0]) else 0.0
        simple = Estimate(float(values.mean()), *series_error(values[:, 0], least))
    else:
        simple = plateau(values)
    if not np.isfinite(values).all():
        return Plateau(simple.value, math.nan, state="moving")
    fitted, now = _limit(at, values.mean(axis=1), times[0]), abs(simple.value)
    start = float(abs(curves[0].mean() - fitted)) if steps[0] == 0 else math.nan
    if len(values) > 1 and _drifts(at, values):
        return Plateau(
            simple.value, math.nan, state="moving", steps_needed=_needed(start, fitted, times, last, squared)
        )
    if math.isfinite(times[0]):
        left = _left(start, max(now, 1e-300), times, first, last, squared)
        if left <= 0.5 * simple.standard_error:
            return Plateau(simple.value, simple.standard_error, simple.degrees)
        needed = _needed(start, now, times, last, squared)
        return Plateau(simple.value, math.nan, state="undecided", steps_needed=needed)
    even = values if one else values[_evenly(at)]
    if len(even) >= INDEPENDENT and math.isfinite(simple.standard_error):
        many = len(even) / integrated_time(even)
        if many >= INDEPENDENT:
            return Plateau(simple.value, simple.standard_error, simple.degrees)
        return Plateau(
            simple.value, math.nan, state="undecided", steps_needed=last * 1.5 * INDEPENDENT / many
        )
    return Plateau(simple.value, math.nan, state="undecided")


def at_rest(steps: npt.NDArray[np.int64], curves: Array, tail: float, resting: bool) -> Plateau:
    """The plateau of curves without noise, whose replicas have all come to a fixed point or cycle, or not.

    The error takes in what the tail still changes from its first half to its second.
    """
    inside = steps >= (1 - tail) * int(steps[-1])
    values = curves[inside]
    mean = float(values.mean())
    if not resting or not np.isfinite(values).all():
        return Plateau(mean, math.nan, state="moving")
    own = values.mean(axis=0)
    scatter = float(own.std(ddof=1)) / len(own) ** 0.5 if len(own) > 1 else 0.0
    half = len(values) // 2
    change = abs(float(values[:half].mean() - values[half:].mean())) if half else 0.0
    return Plateau(mean, math.hypot(scatter, change))


def _evenly(at: npt.NDArray[np.int64]) -> list[int]:
    """Records at nearly even distances: those that come soon after the last one are left out."""
    if len(at) < 3:
        return list(range(len(at)))
    least, keep = 0.75 * float(np.median(np.diff(at))), [0]
    for i in range(1, len(at)):
        if at[i] - at[keep[-1]] >= least:
            keep.append(i)
    return keep


def _drifts(at: npt.NDArray[np.int64], values: Array) -> bool:
    """Whether the halves of the tail differ by more than chance."""
    early = at < (at[0] + at[-1]) / 2
    if early.all() or not early.any():
        return False
    change = values[~early].mean(axis=0) - values[early].mean(axis=0)
    n = len(change)
    if n == 1:
        error = math.hypot(series_error(values[early, 0])[0], series_error(values[~early, 0])[0])
        return abs(float(change[0])) > SIGNIFICANT * error  # no difference is seen where the error is nan
    up = int((change > 0).sum()) - int((change < 0).sum())
    if abs(up) > SIGNIFICANT * math.sqrt(n):
        return True
    error = float(change.std(ddof=1)) / math.sqrt(n)
    few = SIGNIFICANT * (1 + 8 / n**1.5) if n < 20 else SIGNIFICANT  # about Student's t at one in a thousand
    return abs(float(change.mean())) > few * error


def _limit(at: npt.NDArray[np.int64], mean: Array, second: float) -> float:
    """The plateau that the bend of a mean curve points to: at least a hundredth of the last value."""
    now = float(mean[-max(len(mean) // 4, 1) :].mean())
    if len(at) < 6:
        return now
    if not math.isfinite(second):
        thirds = [part.mean() for part in np.array_split(mean, 3)]
        first, then = thirds[1] - thirds[0], thirds[2] - thirds[1]
        bends = first != 0 and 0 < then / first < 1
        return max(float(thirds[2] - then**2 / (then - first)) if bends else now, 0.01 * abs(now))
    shape = np.exp(-(at - at[0]) / second)
    design = np.stack([np.ones_like(shape), shape], axis=1)
    found = float(np.linalg.lstsq(design, mean, rcond=None)[0][0])
    return max(found, 0.01 * abs(now))


def _left(
    start: float, level: float, times: tuple[float, float, float], first: float, last: float, squared: bool
) -> float:
    """Bound on what is left in the mean of the tail of a start that is `start` away from the limit."""
    second, mean, bias = times
    if not math.isfinite(start):
        return math.inf
    if start == 0 and level <= 1e-300:
        return 0.0

    def average(time: float) -> float:
        span = (last - first) / time
        return math.exp(-first / time) * (-math.expm1(-span) / span if span > 0 else 1.0)

    # a norm near its limit P: sqrt(P^2 + C^2 s) is at most P + C^2 s / (2 P)
    amplitude = start if squared else start**2 / (2 * level) + start * min(1.0, level / max(start, 1e-300))
    cross = 2 * math.sqrt(max(start, level) * bias) * average(mean) if squared and bias else 0.0
    return max(amplitude, level) * average(second) + cross


def _needed(start: float, level: float, times: tuple[float, float, float], last: int, squared: bool) -> float:
    """Steps after whose first half what is left is below `SETTLED` of the level; more than were run."""
    if not math.isfinite(times[0]) or not math.isfinite(start) or level <= 0:
        return math.nan
    steps = float(last)
    while _left(start, level, times, steps / 2, steps / 2, squared) > SETTLED * level:
        steps *= 1.1
        if steps > 1e18:
            return math.inf
    return float(f"{max(steps, 1.5 * last):.2g}")


def relaxation(system: Map | Diffusion, minimisers: Array, points: Array) -> tuple[float, float]:
    """Relaxation times, in steps, of second moments and of the mean near the one minimiser; nan if unknown.

    Notes
    -----
    From the spectral radii of K and of E J (see `samdyn.rates.moments`) for sampled batches of quadratic
    components in up to `EXACT_DIM` dimensions; otherwise from the curvatures of the loss at the minimiser and
    the step's linear part, with the square of the mean's radius for second moments. The normalised part of a
    rule is left out: on convex losses it pulls in besides, so that the times are upper bounds for it.
    Curvatures of 0 are left out where the noise does not act along them; where it does nothing is known: the
    weights wander, or are held by terms of higher order. Nothing is known either where the loss at one of
    `points`, the last of the replicas, has a direction that pulls less than `CONVEX` times the weakest at the
    minimiser: between wells times are those of hopping.
    """
    unknown = (math.nan, math.nan)
    if system.scheduled or len(minimisers) != 1 or system.landscape is None or system.rule is None:
        return unknown
    loss, lr = system.landscape, float(system.coefficients()["lr"])
    momentum = float(getattr(system, "momentum", 0.0))
    quadratic = isinstance(loss, FiniteSum) and (loss.squares is not None or loss.quadratics is not None)
    try:
        radius = moment_radius(system.rule)
    except ValueError:
        radius = 0.0
    if (
        isinstance(system, Map)
        and isinstance(system.noise, Minibatch)
        and quadratic
        and loss.dim <= EXACT_DIM
    ):
        try:
            moments = Moments(moving_forces(forces_near(system)), lr, momentum)
            return _time(moments.spectral_radius), _time(moments.mean_radius)
        except (ValueError, RuntimeError):
            pass
    hessian = np.asarray(loss.hessian(minimisers[0]))
    if not np.isfinite(hessian).all():
        return unknown
    curvatures, directions = np.linalg.eigh(hessian)
    flat = curvatures <= 1e-12 * curvatures[-1]
    if flat.all() or curvatures[0] < -1e-9 * abs(curvatures[-1]):
        return unknown
    if _acts_along(system.noise, directions[:, flat]):
        return unknown
    if not quadratic and loss.dim <= EXACT_DIM:
        there = np.linalg.eigvalsh(np.asarray(loss.hessian(points[np.isfinite(points).all(axis=1)])))
        if there.size and not there[:, flat.sum()].min() >= CONVEX * curvatures[~flat].min():
            return unknown
    pulls = lr * curvatures[~flat]
    pulls = pulls * (1 + radius * pulls / lr)
    half = (1 + momentum - pulls) / 2
    root = np.sqrt((half**2 - momentum).astype(np.complex128))
    factor = float(np.maximum(np.abs(half + root), np.abs(half - root)).max(initial=0.0))
    mean = _time(factor)
    return mean / 2, mean


def _acts_along(noise: Noise | None, directions: Array) -> bool:
    """Whether Gaussian noise moves the weights along any of the directions, the columns."""
    if not isinstance(noise, GaussianNoise) or not directions.size:
        return False
    if noise.cov is not None:
        spread = np.linalg.norm(covariance_root(np.array(noise.cov)) @ directions, axis=0)
    else:
        spread = np.linalg.norm(np.reshape(noise.std, (-1, 1)) * directions, axis=0)
    return bool((spread > 1e-12 * np.max(noise.std)).any())


def _time(radius: float) -> float:
    if radius <= 0:
        return 1e-3
    return -1 / math.log(radius) if radius < 1 else math.nan


def gap_of_mean(loss: Any, final: Array, minimum: float) -> float:
    """The gap at the mean of the last points, less what the scatter of that mean adds to it."""
    finite = final[np.isfinite(final).all(axis=1)]
    if not len(finite):
        return math.inf
    inside = float(loss.value(finite.mean(axis=0))) - minimum
    scatter = (float(np.mean(loss.value(finite))) - minimum - inside) / max(len(finite) - 1, 1)
    return max(inside - 2 * scatter, 0.0) if len(finite) > 1 else max(inside, 0.0)

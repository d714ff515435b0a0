"""The mean of censored exit times, its standard error and its confidence intervals.

The mean is the total time watched over the number of exits; without censoring that is the sample mean. With
censoring it is the maximum-likelihood mean of an exponential law. Whatever the law, it estimates
E[min(T, c)] / P(T <= c) for censoring at c, which is the mean where the hazard is constant. Its standard
error is the error of a ratio, sqrt(sum (w_i - m d_i)^2) / sum d_i with w the watched times and d the exit
flags; without censoring that is the usual standard deviation over sqrt(n).

Intervals
---------
By default the interval is the one that fits the data.

- No exit: the exact lower bound sum w / -log(1 - level), and inf.
- Fewer than 10 exits, others censored: "exact". 2 sum w / mean is chi-squared with 2 sum d degrees of freedom
  where the times are exponential; with censoring by time the other end takes one event more, which makes the
  interval conservative.
- More exits, some paths censored: mean exp(+- t s.e. / mean). The estimate divides by a random number of
  exits, so that its law leans to the right, and its logarithm is closer to a normal one.
- All paths left, fewer than 100: from mean - t s.e. to mean exp(t s.e. / mean), with Student's t for n - 1
  degrees of freedom. The upper end makes up for the skewness of exit times; nothing is assumed of their law.
- All paths left, 100 or more: mean +- z s.e.; t and the skewness change the ends by 1 or 2 % there.

"normal" is mean +- t s.e. (z from 100 paths on) whatever the numbers, cut off at 0. "bootstrap": percentiles
over resamples of the paths, from 10 exits on: with fewer the resamples do not show the upper tail.

How often each of them holds the true mean: the page "Calibration" of the manual.

References
----------
Cox & Oakes, Analysis of Survival Data (1984), section 3.2. Efron & Tibshirani, An Introduction to the
Bootstrap (1993), chapter 13.
"""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.escape.statistics.tail import checks_level
from samdyn.jobs.cost import announce

METHODS = ("normal", "exact", "bootstrap")
PICKED_AT_ONCE = 1 << 20  # times drawn at once, for the memory of a resample to be bounded
N_RESAMPLES = 2000  # of the bootstrap: its quantiles near 2.5 % then rest on 50 resamples
FEW = (
    10  # exits below which the number of exits, not the scatter of times, decides how well the mean is known
)
MANY = 100  # paths from which on Student's t is the normal law to 1.3 %

Flags = npt.NDArray[np.bool_]


def exposure_mean(watched: Array, exited: Flags) -> float:
    """Time watched over the number of exits; inf without an exit.

    Examples
    --------
    >>> exposure_mean(np.array([1.0, 2.0, 3.0]), np.array([True, True, False]))
    3.0
    """
    n = int(exited.sum())
    return float(np.sum(watched, dtype=np.float64) / n) if n else math.inf


def mean_error(watched: Array, exited: Flags) -> float:
    """Standard error of `exposure_mean`; inf without an exit, and of a single path, which has no spread.

    Examples
    --------
    >>> mean_error(np.array([1.0, 2.0, 3.0]), np.array([True, True, True])) == (1 / 3) ** 0.5
    True
    """
    n = int(exited.sum())
    if not n or len(watched) < 2:
        return math.inf
    deviation = watched - exposure_mean(watched, exited) * exited
    scale = len(watched) / (len(watched) - 1)
    return float(math.sqrt(scale * (deviation**2).sum()) / n)


def mean_interval(
    watched: Array, exited: Flags, level: float = 0.95, method: str | None = None, seed: int = 0
) -> tuple[float, float]:
    """Confidence interval of the mean.

    Parameters
    ----------
    watched : ndarray, shape (n,)
        Exit or censoring times.
    exited : ndarray of bool, shape (n,)
        Which of them are exits.
    level : float
        Coverage, in (0, 1).
    method : {None, "normal", "exact", "bootstrap"}
        None chooses by the number of exits; see the module.
    seed : int
        Of the resamples.

    Returns
    -------
    (lower, upper) : tuple of float
        Never negative.

    Raises
    ------
    ValueError
        No such method or level, or "bootstrap" with fewer than 10 exits.

    Examples
    --------
    >>> low, high = mean_interval(np.array([5.0, 5.0]), np.array([False, False]), 0.95)
    >>> round(low, 4), high  # ten units of time without an exit
    (3.3381, inf)
    """
    level = checks_level(level)
    if method is not None and not (isinstance(method, str) and method in METHODS):
        raise ValueError(
            f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}; None chooses one"
        )
    watched = np.asarray(watched, dtype=np.float64)
    exposure, events = float(watched.sum()), int(exited.sum())
    tail = (1 - level) / 2
    if method == "bootstrap" and events < FEW:
        raise ValueError(
            f'method "bootstrap" needs at least {FEW} exits, got {events}: resamples of so few do not show '
            "how long the mean can be; leave method out"
        )
    if events == 0:
        return exposure / float(-math.log1p(-level)), math.inf
    censored = events < len(watched)
    if method == "exact" or (method is None and censored and events < FEW):
        more = 2 * events + 2 * censored
        lower, upper = stats.chi2.ppf(1 - tail, more), stats.chi2.ppf(tail, 2 * events)
        return 2 * exposure / float(lower), 2 * exposure / float(upper)
    if len(watched) < 2:  # one path says nothing about the spread
        return 0.0, math.inf
    if method == "bootstrap":
        low, high = np.quantile(
            _resampled_means(watched, exited, checks.seed("seed", seed)), [tail, 1 - tail]
        )
        return float(low), float(high)
    mean = exposure / events
    reach = student(len(watched) - 1, level) * mean_error(watched, exited)
    below, above = max(mean - reach, 0.0), mean + reach
    if method is None and mean > 0:
        stretch = math.exp(min(reach / mean, 700.0))
        if censored:
            return mean / stretch, mean * stretch
        if len(watched) < MANY:
            return below, mean * stretch
    return below, above


def student(freedom: float, level: float) -> float:
    """Half-width of a two-sided interval in standard errors: Student's t, normal from 99 degrees on."""
    tail = (1 - level) / 2
    return float(stats.norm.isf(tail) if freedom >= MANY - 1 else stats.t.isf(tail, freedom))


def mean_deviation(watched: Array, exited: Flags, expected: float, error: float = 0.0) -> float:
    """How far the mean is from an expected one, as a standard normal deviate.

    Parameters
    ----------
    watched, exited : ndarray, shape (n,)
    expected : float
        Mean that the sample should have.
    error : float
        Standard error of `expected`.

    Returns
    -------
    float
        (mean - expected) / standard error, both errors combined, for 100 paths or more with 10 exits or
        more. With fewer paths Student's t is turned into the normal deviate of the same probability; with
        fewer than 10 exits and censored paths the number of exits is compared with its Poisson law. nan for
        one path.

    Examples
    --------
    >>> one_exit = np.arange(1000) == 7
    >>> round(mean_deviation(np.ones(1000), one_exit, 5000.0), 2)  # one exit where 0.2 were expected
    -1.28
    """
    mean, own = exposure_mean(watched, exited), mean_error(watched, exited)
    n, events = len(watched), int(exited.sum())
    if events < FEW and not exited.all():
        count = stats.poisson(float(watched.sum()) / expected)
        z = float(stats.norm.isf(count.cdf(events) - count.pmf(events) / 2))
        return z / math.hypot(1.0, error / own) if events else z
    z = (mean - expected) / math.hypot(own, error)
    if n >= MANY:
        return float(z)
    if n < 2:
        return math.nan
    return float(math.copysign(stats.norm.isf(stats.t.sf(abs(z), n - 1)), z))


def _resampled_means(watched: Array, exited: Flags, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    means, n, start = np.empty(N_RESAMPLES), len(watched), time.perf_counter()
    rows = max(1, PICKED_AT_ONCE // n)
    for first in range(0, N_RESAMPLES, rows):
        pick = rng.integers(0, n, (min(rows, N_RESAMPLES - first), n))
        events = exited[pick].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            some = np.where(events > 0, watched[pick].sum(axis=1) / events, math.inf)
        means[first : first + rows] = some
        if first == 0:
            spent = (time.perf_counter() - start) / len(pick)
            announce("confidence_interval", spent * N_RESAMPLES, "leave method out")
    return means

"""The mean of censored exit times, its standard error and its confidence intervals.

The mean is the total time watched over the number of exits; without censoring that is the sample mean. With
censoring it is the maximum-likelihood mean of an exponential law. Whatever the law, it estimates
E[min(T, c)] / P(T <= c) for censoring at c, which is the mean where the hazard is constant. Its standard
error is that of a ratio, sqrt(sum (w_i - m d_i)^2) / sum d_i with w the watched times and d the exit flags;
without censoring that is the usual standard deviation over sqrt(n).

Intervals
---------
"normal": mean +- z standard errors. "exact": 2 sum w / mean is chi-squared with 2 sum d degrees of freedom
where the times are exponential; with censoring by time the other end takes one event more, which makes the
interval conservative. "bootstrap": percentiles over resamples of the paths. Without any exit all of them are
the exact lower bound sum w / -log(1 - level), and inf.

References
----------
Cox & Oakes, Analysis of Survival Data (1984), section 3.2. Efron & Tibshirani, An Introduction to the
Bootstrap (1993), chapter 13.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.compute.checks import Array
from samdyn.escape.tail import checks_level

METHODS = ("normal", "exact", "bootstrap")
N_RESAMPLES = 2000

Flags = npt.NDArray[np.bool_]


def exposure_mean(watched: Array, exited: Flags) -> float:
    """Time watched over the number of exits; inf without an exit.

    Examples
    --------
    >>> exposure_mean(np.array([1.0, 2.0, 3.0]), np.array([True, True, False]))
    3.0
    """
    n = int(exited.sum())
    return float(watched.sum() / n) if n else math.inf


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
    watched: Array, exited: Flags, level: float = 0.95, method: str = "normal", seed: int = 0
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
    method : {"normal", "exact", "bootstrap"}
        See the module.
    seed : int
        Of the resamples.

    Returns
    -------
    (lower, upper) : tuple of float

    Examples
    --------
    >>> low, high = mean_interval(np.array([5.0, 5.0]), np.array([False, False]), 0.95)
    >>> round(low, 4), high  # ten units of time without an exit
    (3.3381, inf)
    """
    level = checks_level(level)
    if not (isinstance(method, str) and method in METHODS):
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    exposure, events = float(watched.sum()), int(exited.sum())
    tail = (1 - level) / 2
    if events == 0:
        return exposure / float(-math.log(1 - level)), math.inf
    if method == "exact":
        more = 2 * events + (0 if exited.all() else 2)
        lower, upper = stats.chi2.ppf(1 - tail, more), stats.chi2.ppf(tail, 2 * events)
        return 2 * exposure / float(lower), 2 * exposure / float(upper)
    if len(watched) < 2:  # one path says nothing about the spread
        return 0.0, math.inf
    if method == "bootstrap":
        low, high = np.quantile(_resampled_means(watched, exited, seed), [tail, 1 - tail])
        return float(low), float(high)
    reach = float(stats.norm.ppf(1 - tail)) * mean_error(watched, exited)
    mean = exposure / events
    return mean - reach, mean + reach


def _resampled_means(watched: Array, exited: Flags, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    means = np.empty(N_RESAMPLES)
    for i in range(N_RESAMPLES):  # one resample at a time: memory stays at one index array
        pick = rng.integers(0, len(watched), len(watched))
        means[i] = watched[pick].sum() / max(int(exited[pick].sum()), 1)
    return means

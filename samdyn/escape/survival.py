"""Survival curve of censored exit times: Kaplan-Meier with the log-log band, and quantiles from it.

The estimate and the band are those of scipy.stats.ecdf. A quantile is the first time at which the curve is
down at 1 - q, and its interval lies where the band crosses that level (Brookmeyer and Crowley).

References
----------
Kaplan & Meier, Journal of the American Statistical Association 53 (1958) 457-481. Brookmeyer & Crowley,
Biometrics 38 (1982) 29-41.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.compute.checks import Array


@dataclass(frozen=True, eq=False)
class Survival:
    """Kaplan-Meier estimate of the probability that a path is still inside.

    Attributes
    ----------
    times : ndarray, shape (m,)
        Exit times, sorted, after a leading 0.
    probability, lower, upper : ndarray, shape (m,)
        Estimate and confidence band at and after each time.
    """

    times: Array
    probability: Array
    lower: Array
    upper: Array

    def __call__(self, t: npt.ArrayLike) -> Array:
        """The estimate at times t."""
        at = np.searchsorted(self.times, _numbers("t", t), side="right") - 1
        return np.asarray(np.where(at < 0, 1.0, self.probability[np.maximum(at, 0)]))

    def first_time(self, curve: Array, level: npt.ArrayLike) -> Array:
        """First of `times` at which a curve over them is at or below a level; nan where it never is."""
        # the curve is a product of shares, 0.6000000000000001 where it should be 0.6
        falling = 1e-12 - np.minimum.accumulate(curve)
        index = np.searchsorted(falling, -np.asarray(level, dtype=float), side="left")
        return np.where(index < len(self.times), self.times[np.minimum(index, len(self.times) - 1)], np.nan)

    def quantile(self, q: npt.ArrayLike) -> Array:
        """Times by which the shares q have left; nan where the curve does not come down that far."""
        return self.first_time(self.probability, 1 - shares("q", q))

    def quantile_interval(self, q: npt.ArrayLike) -> tuple[Array, Array]:
        """Where the lower and the upper end of the band come down to 1 - q; nan where they do not."""
        wanted = 1 - shares("q", q)
        return self.first_time(self.lower, wanted), self.first_time(self.upper, wanted)


def kaplan_meier(watched: Array, exited: npt.NDArray[np.bool_], level: float = 0.95) -> Survival:
    """Survival curve with its confidence band.

    Parameters
    ----------
    watched : ndarray, shape (n,)
        Exit or censoring times.
    exited : ndarray of bool, shape (n,)
        Which of them are exits.
    level : float
        Coverage of the band at each time.

    Returns
    -------
    Survival

    Examples
    --------
    >>> kaplan_meier(np.array([1.0, 2.0, 3.0]), np.array([True, False, True])).probability.round(3)
    array([1.   , 0.667, 0.667, 0.   ])
    """
    if not exited.any():
        one = np.ones(1)
        return Survival(np.zeros(1), one, one * 0, one)
    data = stats.CensoredData(uncensored=watched[exited], right=watched[~exited])
    curve = stats.ecdf(data).sf
    with np.errstate(all="ignore"), warnings.catch_warnings():
        # the log-log band is undefined where all paths are inside, or none
        warnings.simplefilter("ignore", RuntimeWarning)
        band = curve.confidence_interval(level, method="log-log")
    probability = curve.probabilities
    lower, upper = band.low.probabilities, band.high.probabilities
    # before the first exit it starts at 1, after the last its limits are 0 and the previous upper end
    last = np.nanmin(upper) if np.isfinite(upper).any() else 1.0
    lower = np.where(np.isnan(lower), np.where(probability == 1, 1.0, 0.0), lower)
    upper = np.where(np.isnan(upper), np.where(probability == 1, 1.0, last), upper)
    lead = np.zeros(1)
    return Survival(
        np.concatenate([lead, curve.quantiles]),
        np.concatenate([lead + 1, probability]),
        np.concatenate([lead + 1, lower]),
        np.concatenate([lead + 1, upper]),
    )


def shares(name: str, q: npt.ArrayLike) -> Array:
    """Numbers in [0, 1], or an error that names the argument."""
    result = _numbers(name, q)
    if not ((result >= 0) & (result <= 1)).all():
        raise ValueError(f"{name} must be in [0, 1], got {q!r}")
    return result


def _numbers(name: str, value: npt.ArrayLike) -> Array:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number or an array of numbers, got {value!r}") from error

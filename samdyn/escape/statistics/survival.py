"""Survival curve of censored exit times: Kaplan-Meier with its band, and quantiles from it.

The estimate comes from scipy.stats.ecdf, and so does the band where some paths have left and some have not:
Greenwood's variance, normal in log(-log S). Greenwood's formula says nothing where no path has left yet, for
its variance is 0 there. With n paths still watched and none gone, the band reaches down to the exact binomial
limit, the S with S^n = (1 - level)/2; and its upper end is 1. After an exit of the last path the lower end is
0 and the upper end stays at its previous value, or 1 - ((1 - level)/2)^(1/n) if all n paths left at once.

A quantile is the first time at which the curve is down at 1 - q, and its interval lies where the band
crosses that level (Brookmeyer and Crowley). So the lower end of a quantile that no path can show (q below
about 3.7/n at 95 %) is 0.

References
----------
Kaplan & Meier, Journal of the American Statistical Association 53 (1958) 457-481. Brookmeyer & Crowley,
Biometrics 38 (1982) 29-41. Clopper & Pearson, Biometrika 26 (1934) 404-413.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.results import Result, Table

SHOWN = (0.9, 0.75, 0.5, 0.25, 0.1, 0.05)  # rows of the printed curve, besides its ends


@dataclass(frozen=True, eq=False, repr=False)
class Survival(Result):
    """Kaplan-Meier estimate of the probability that a path is still inside.

    Attributes
    ----------
    times : ndarray, shape (m,)
        Exit times, sorted, after a leading 0.
    probability, lower, upper : ndarray, shape (m,)
        Estimate and confidence band at and after each time.
    level : float
        Coverage of the band at each time.
    n_paths, n_exits : int
        Paths that the curve comes from, and how many of them left.
    unit : str
        "time" or "steps".
    """

    cited = ("kaplan1958", "brookmeyer1982")
    row = "time"

    times: Array
    probability: Array
    lower: Array
    upper: Array
    level: float = 0.95
    n_paths: int = 0
    n_exits: int = 0
    unit: str = "time"

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
        """Times at which the ends of the band, lower and upper, come down to 1 - q; nan where they do not."""
        wanted = 1 - shares("q", q)
        return self.first_time(self.lower, wanted), self.first_time(self.upper, wanted)

    def table(self) -> Table:
        """The curve where it has come down by a tenth, to nine tenths and so on, and its end."""
        rows = []
        first = (np.flatnonzero(self.probability <= p + 1e-12)[:1] for p in SHOWN)
        for i in np.unique(np.concatenate([[0], *first, [len(self.times) - 1]]).astype(int)):
            band = f"({self.lower[i]:.4f}, {self.upper[i]:.4f})"
            rows.append((f"{self.times[i]:.6g}", f"{self.probability[i]:.4f}", band))
        title = f"Survival: {self.n_exits} exits of {self.n_paths} paths"
        head = (self.unit, "still inside", f"{100 * self.level:g} % band")
        return Table(title, rows, head, right=True)


def kaplan_meier(
    watched: Array, exited: npt.NDArray[np.bool_], level: float = 0.95, unit: str = "time"
) -> Survival:
    """Survival curve with its confidence band.

    Parameters
    ----------
    watched : ndarray, shape (n,)
        Exit or censoring times.
    exited : ndarray of bool, shape (n,)
        Which of them are exits.
    level : float
        Coverage of the band at each time.
    unit : str
        Of the times, for the printed form.

    Returns
    -------
    Survival

    Examples
    --------
    >>> curve = kaplan_meier(np.array([1.0, 2.0, 3.0]), np.array([True, False, True]))
    >>> curve.probability.round(3)
    array([1.   , 0.667, 0.667, 0.   ])
    >>> curve.lower[0].round(3)  # three paths inside show no more than 0.025^(1/3)
    np.float64(0.292)
    """
    watched = np.asarray(watched, dtype=np.float64)
    n, tail = len(watched), (1 - level) / 2
    if exited.any():
        data = stats.CensoredData(uncensored=watched[exited], right=watched[~exited])
        curve = stats.ecdf(data).sf
        with np.errstate(all="ignore"), warnings.catch_warnings():
            # the log-log band is undefined where all paths are inside, or none
            warnings.simplefilter("ignore", RuntimeWarning)
            band = curve.confidence_interval(level, method="log-log")
        times, probability = curve.quantiles, curve.probabilities
        lower, upper = band.low.probabilities, band.high.probabilities
    else:
        times = np.unique(watched[watched > 0])
        probability = lower = upper = np.ones(len(times))
    times, probability = np.append(0.0, times), np.append(1.0, probability)
    lower, upper = np.append(1.0, lower), np.append(1.0, upper)
    ordered = np.sort(watched)
    inside = n - np.searchsorted(ordered, times, side="right")  # watched for longer
    inside = np.where(inside > 0, inside, n - np.searchsorted(ordered, times, side="left"))
    full, empty = probability == 1, probability == 0
    # where nobody has left the limit rests on the paths that are still watched
    limit = tail ** (1 / np.maximum(inside, 1))
    lower = np.where(full, limit, np.where(empty, 0.0, lower))
    between = upper[~full & ~empty]
    last = float(between.min()) if len(between) else 1 - tail ** (1 / n)
    upper = np.where(full, 1.0, np.where(empty, last, upper))
    return Survival(times, probability, lower, upper, level, n, int(exited.sum()), unit)


def shares(name: str, q: npt.ArrayLike) -> Array:
    """Numbers in [0, 1], or an error that names the argument."""
    result = _numbers(name, q)
    if not ((result >= 0) & (result <= 1)).all():
        raise ValueError(f"{name} must be in [0, 1], got {result.tolist()}")
    return result


def _numbers(name: str, value: npt.ArrayLike) -> Array:
    return checks.array(name, value, finite=False)

"""Shares of basins, with intervals.

A share k/n of independent starts has the Wilson score interval, the set of p with
|k/n - p| <= z sqrt(p (1 - p) / n), which keeps its coverage for shares near 0 and 1. A grid is no sample:
its error is the share of cells on the boundary, usually less than the interval of as many random starts.

References
----------
Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212. Brown, Cai & DasGupta, Statistical Science 16 (2001) 101-133.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.results import storable


@storable
class Fraction(float):
    """A share: a float with the counts that it comes from and an interval.

    Attributes
    ----------
    count, n : float
        The share is count / n.
    lower, upper : float
        The 95 % Wilson interval.

    Examples
    --------
    >>> import samdyn as sd
    >>> share = sd.basin.Fraction(9, 10)
    >>> float(share), round(share.lower, 3), round(share.upper, 3)
    (0.9, 0.596, 0.982)
    """

    stored: ClassVar[tuple[str, ...]] = ("count", "n")

    count: float
    n: float
    lower: float
    upper: float

    def __new__(cls, count: float, n: float) -> Fraction:
        """The share count / n."""
        lower, upper = wilson_interval(count, n)  # checks both
        # as Python numbers: 100 / 200 of small integer types overflows on the way
        count, n = plain(count), plain(n)
        self = super().__new__(cls, count / n if n else float("nan"))
        self.count, self.n = count, n
        self.lower, self.upper = lower, upper
        return self

    @checked
    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The Wilson interval of another coverage."""
        return wilson_interval(self.count, self.n, level)

    def __getnewargs__(self) -> tuple[Any, ...]:
        """For copies and pickles."""
        return self.count, self.n

    def __repr__(self) -> str:
        return f"{float(self):.4f} [{self.lower:.4f}, {self.upper:.4f}]"


@checked
def wilson_interval(count: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a share.

    Parameters
    ----------
    count, n : float
        `count` successes in `n` independent trials.
    level : float
        Coverage.

    Returns
    -------
    tuple of 2 float

    Raises
    ------
    ValueError
        The counts are not 0 <= count <= n, or the level is not between 0 and 1.

    Examples
    --------
    >>> import samdyn as sd
    >>> [round(end, 4) for end in sd.basin.wilson_interval(0, 100)]
    [0.0, 0.037]
    """
    given = count, n, level
    n, count, level = (
        checks.number("n", n, at_least=0),
        checks.number("count", count),
        checks.number("level", level),
    )
    if not 0 <= count <= n:
        raise ValueError(f"count must be between 0 and n, got {given[0]!r} of {given[1]!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, got {given[2]!r}")
    if n == 0:
        return 0.0, 1.0
    z = float(stats.norm.isf((1 - level) / 2))
    p = count / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # exact at the ends, where the formula leaves rounding
    return (0.0 if count == 0 else float(middle - half)), (1.0 if count == n else float(middle + half))


def plain(value: Any) -> float:
    """A Python int or float of the same value.

    Examples
    --------
    >>> plain(np.uint8(200))
    200
    """
    number: float = value.item() if isinstance(value, np.ndarray | np.generic) else value
    return number


def shares(labels: npt.NDArray[Any], ids: Iterable[int]) -> dict[int, Fraction]:
    """The share of each label: those in `ids`, in order, then all others that occur."""
    values, counts = np.unique(labels, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    wanted = list(ids)
    order = [*wanted, *sorted((v for v in found if v not in wanted), reverse=True)]
    return {k: Fraction(found.get(k, 0), labels.size) for k in order}

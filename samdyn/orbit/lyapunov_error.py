"""How far a time average may be off: batches of one orbit, and what they say when they are correlated.

Algorithm
---------
The orbit is cut into `N_FINE` equal stretches, whose means are at hand.

1. Independent batches. Means over `N_BATCHES` longer stretches; their standard deviation over the square root
   of their number is the standard error, and an interval takes Student's factor with one degree of freedom
   less than batches. The batches must be long against the correlation time.
2. Whether they are: the correlation of neighbours among `N_TEST` shorter stretches. If it is above
   `CORRELATED` (four standard deviations of what independent ones give), the batches are not independent, or
   the mean still moves, as it does where directions turn slowly: log(n)/n for a shear. Then the half-width
   is one and a half times the range of the means of the four quarters, which exceeds the rest of a mean that
   moves like 1/t or log(t)/t, and six standard errors of independent quarters.

References
----------
Law, Simulation Modeling and Analysis (5th ed., 2015), ch. 9 (batch means). The second rule: own derivation,
checked in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.arguments.checks import Array

N_FINE = 512
N_BATCHES = 20
N_TEST = 64
CORRELATED = 0.5
WIDER = 3.0  # times half the range of the quarters


@dataclass(frozen=True, eq=False)
class AverageError:
    """Error of time averages, each of shape (..., k).

    Attributes
    ----------
    standard_error : ndarray
        Of independent batches; half the range of the quarters where they are correlated.
    correlated : ndarray of bool
    n_batches : int
    """

    standard_error: Array
    correlated: npt.NDArray[np.bool_]
    n_batches: int

    def half_width(self, level: float) -> Array:
        """Half the width of an interval of this confidence."""
        factor = stats.t.ppf((1 + level) / 2, max(self.n_batches - 1, 1))
        return np.where(
            self.correlated, max(WIDER, factor) * self.standard_error, factor * self.standard_error
        )


def average_error(means: Array) -> AverageError:
    """The error of the mean over equal stretches (..., m, k) of an orbit, in their order in time."""
    m = means.shape[-2]
    if m < 2:
        nothing = np.full(means.shape[:-2] + means.shape[-1:], np.nan)
        return AverageError(nothing, np.zeros(nothing.shape, dtype=bool), 1)
    batches = _merged(means, min(N_BATCHES, m))
    count = batches.shape[-2]
    error = batches.std(axis=-2, ddof=1) / count**0.5
    test = _merged(means, min(N_TEST, m))
    centred = test - test.mean(axis=-2, keepdims=True)
    variance = (centred**2).sum(axis=-2)
    together = (centred[..., 1:, :] * centred[..., :-1, :]).sum(axis=-2)
    size = np.abs(means).mean(axis=-2)
    some = variance > (1e-14 * size) ** 2 * test.shape[-2]  # beyond rounding
    correlation = np.where(some, together / np.where(variance > 0, variance, 1.0), 0.0)
    threshold = max(CORRELATED, 4 / test.shape[-2] ** 0.5)
    correlated = correlation > threshold
    quarters = _merged(means, min(4, m))
    spread = quarters.max(axis=-2) - quarters.min(axis=-2)
    return AverageError(np.where(correlated, spread / 2, error), correlated, count)


def _merged(means: Array, count: int) -> Array:
    """Means over `count` equal stretches; the first few that do not fit are left out."""
    each = means.shape[-2] // count
    kept = means[..., means.shape[-2] - each * count :, :]
    return np.asarray(kept.reshape(*kept.shape[:-2], count, each, kept.shape[-1]).mean(axis=-2))

"""Strides of a smooth flow: Dormand & Prince's method of order 5(4), with a step for each path
(`samdyn.dynamics.adaptive_steps`).

Accuracy: the error of a step is at most `RELATIVE` times a coordinate's size, or half a width of the box
where that is less, plus `ABSOLUTE` times the width. So a problem and its copy in other units, or at another
place, are followed equally well.

A path is nan from where its steps fall below `SINGULAR` of the unit: its field has a pole there, or it runs
to infinity in finite time; and where more than `MAX_ROUNDS` steps are needed for one unit of time, since the
field is too stiff for an explicit method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.dynamics.adaptive_steps import ARRIVED, Attempt, StepFormula, follow

RELATIVE, ABSOLUTE = 1e-7, 5e-10
THIN = 1e-6  # of the widest side: what a side counts for at least, where the box is a section
MAX_ROUNDS = 4000
SINGULAR = 1e-11  # a jump of the field is passed by steps of 1e-8 of a stride and more

# the tableau of Dormand & Prince (1980): rows of stages, then the error weights
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_ROWS = (*_STAGES, _ERROR)


class Tolerance:
    """The error of a step that is allowed, from its two ends (dim, n).

    Parameters
    ----------
    box : ndarray, shape (dim, 2)
    relative, absolute : float
        Of a coordinate's size, and of the box's width.

    Examples
    --------
    >>> allowed = Tolerance(np.array([[-1.0, 1.0]]))
    >>> allowed(np.array([[0.5, 0.0]]), np.array([[0.25, 0.0]])).round(10)
    array([[5.1e-08, 1.0e-09]])
    """

    def __init__(self, box: Array, relative: float = RELATIVE, absolute: float = ABSOLUTE) -> None:
        width = box[:, 1:] - box[:, :1]
        self.middle, self.half, self.relative = box.mean(axis=1)[:, None], width / 2, relative
        self.least = absolute * np.maximum(width, THIN * width.max())

    def __call__(self, x: Array, new: Array) -> Array:
        """Shape (dim, n)."""
        size = np.maximum(np.abs(x), np.abs(new))
        # away from the origin digits are counted from the box
        size = np.minimum(size, np.maximum(self.half, np.abs(x - self.middle)))
        return np.asarray(self.least + self.relative * size)


class DormandPrince(StepFormula):
    """A smooth field by coordinates: `dim` arrays (n,) to as many, or to numbers.

    Parameters
    ----------
    form : callable
    tolerance : Tolerance
    longest : float
        What is narrow is not stepped over.
    """

    order, safety, least_error = 5, 0.9, 1e-10

    def __init__(self, form: Callable[..., Sequence[Array]], tolerance: Tolerance, longest: float) -> None:
        self.form, self.tolerance, self.longest = form, tolerance, longest

    def begin(self, x: Array) -> Array:
        """The field."""
        out = np.empty(x.shape)
        for i, column in enumerate(self.form(*x)):
            out[i] = column
        return out

    def step(self, x: Array, carried: Array, length: Array) -> Attempt:
        """One step; the field at its end is the next step's first stage."""
        k = np.empty((len(_ROWS), *x.shape))
        k[0] = carried
        new = x
        for i, row in enumerate(_ROWS[:-1]):
            new = x + length * _weighted(row, k)
            k[i + 1] = self.begin(new)
        error = np.abs(length * _weighted(_ROWS[-1], k)) / self.tolerance(x, new)
        # the sum is finite only where the new point and all stages are
        return Attempt(new, k[-1], np.where(np.isfinite(error).all(axis=0), error.max(axis=0), np.inf))


class ExplicitFlow:
    """A smooth field, followed for given times.

    Parameters
    ----------
    form : callable
        The field by coordinates: `dim` arrays (n,) to as many, or to numbers.
    box : ndarray, shape (dim, 2)
    unit : float
        The longest step.
    tolerance : Tolerance, optional

    Examples
    --------
    >>> decay = ExplicitFlow(lambda x: (-x,), np.array([[-1.0, 1.0]]), 0.1)
    >>> x = decay.advance(np.array([[1.0, 0.5]]), np.array([1.0, 2.0]))
    >>> bool(np.abs(x - np.exp([[-1.0, -2.0]]) * [[1.0, 0.5]]).max() < 1e-6)
    True
    """

    def __init__(
        self,
        form: Callable[..., Sequence[Array]],
        box: Array,
        unit: float,
        tolerance: Tolerance | None = None,
    ) -> None:
        self.unit = unit
        self.tolerance = tolerance or Tolerance(box)
        self.formula = DormandPrince(form, self.tolerance, unit)

    def advance(self, x: Array, duration: float | Array) -> Array:
        """Points (dim, n) after a time, or after times (n,)."""
        if x.shape[1] == 0:
            return np.empty(x.shape)
        times = np.broadcast_to(np.asarray(duration, dtype=np.float64), x.shape[1])
        first = np.minimum(self.unit, times)  # it is cut where it is too long
        tries = MAX_ROUNDS * max(1.0, float(times.max()) / self.unit)
        followed = follow(
            self.formula, x, times, first, most_tries=tries, shortest=SINGULAR * first
        )  # fmt: skip
        return np.asarray(np.where(followed.status == ARRIVED, followed.x, np.nan))


def _weighted(row: Sequence[float], k: Array) -> Array:
    """The sum of the stages k (m, dim, n) with the weights of a row, term by term: arrays of few paths are
    added faster than numpy reduces them, and the order does not depend on their number.
    """
    result: Array = row[0] * k[0]
    for weight, stage in zip(row[1:], k[1:], strict=False):
        result += weight * stage
    return result

"""Strides of a smooth flow: Dormand & Prince's method of order 5(4), with a step for each path.

What a path does does not depend on the paths beside it: all arithmetic is by element, and a path's step
follows its own error alone.

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
        self.form, self.unit, self.tolerance = form, unit, tolerance or Tolerance(box)

    def advance(self, x: Array, duration: float | Array) -> Array:
        """Points (dim, n) after a time, or after times (n,)."""
        result, at = np.full(x.shape, np.nan), np.arange(x.shape[1])
        left = np.broadcast_to(np.asarray(duration, dtype=np.float64), at.shape).copy()
        end, h = 1e-12 * left, np.minimum(self.unit, left)  # the first step is cut where it is too long
        shortest = SINGULAR * h
        if x.shape[1] == 0:
            return result
        rounds = MAX_ROUNDS * max(1.0, float(left.max()) / self.unit)
        first = self._field(x)
        while len(at) and rounds > 0:
            rounds -= 1
            step = np.minimum(h, np.minimum(left, self.unit))  # what is narrow is not stepped over
            new, last, error = self._step(x, first, step)
            good = error <= 1
            left = np.where(good, left - step, left)
            x, first = np.where(good, new, x), np.where(good, last, first)
            factor = np.minimum(np.maximum(0.9 * np.maximum(error, 1e-10) ** -0.2, 0.2), 5.0)
            # a step cut short by the end says nothing against the longer one
            h = np.where(good & (step < h), np.maximum(step * factor, h), step * factor)
            over = (left <= end) | (h < shortest)
            if over.any():
                there = left <= end
                result[:, at[there]] = x[:, there]
                on = ~over
                at, x, first = at[on], x[:, on], first[:, on]
                left, end, h, shortest = left[on], end[on], h[on], shortest[on]
        return result

    def _field(self, x: Array) -> Array:
        out = np.empty(x.shape)
        for i, column in enumerate(self.form(*x)):
            out[i] = column
        return out

    def _step(self, x: Array, first: Array, h: Array) -> tuple[Array, Array, Array]:
        """The new points, the field there, and the error over the tolerance (n,); inf where not finite."""
        k = np.empty((len(_ROWS), *x.shape))
        k[0] = first
        new = x
        for i, row in enumerate(_ROWS[:-1]):
            new = x + h * _weighted(row, k)
            k[i + 1] = self._field(new)
        error = np.abs(h * _weighted(_ROWS[-1], k)) / self.tolerance(x, new)
        # the sum is finite only where the new point and all stages are
        return new, k[-1], np.where(np.isfinite(error).all(axis=0), error.max(axis=0), np.inf)


def _weighted(row: Sequence[float], k: Array) -> Array:
    """The sum of the stages k (m, dim, n) with the weights of a row, term by term: arrays of few paths are
    added faster than numpy reduces them, and the order does not depend on their number.
    """
    result: Array = row[0] * k[0]
    for weight, stage in zip(row[1:], k[1:], strict=False):
        result += weight * stage
    return result

"""Starts beyond the basins of Newton's method: iterates of the field, and sign changes on a line.

Newton's method needs the function to be nearly linear around a zero. Beside a steep layer (tanh(w/c) with a
small c, or g/sqrt(abs(g)^2 + 1e-12)) that is a tiny basin, while the dynamics itself may be drawn into it
from everywhere.

1. `iterates`: from Sobol points, steps along F and along -F of a length that shrinks geometrically from
   `FIRST` of the box's diagonal to rounding. They end at what attracts in forward or in backward time,
   however steep it is.
2. `between_zeros` (one dimension): F has opposite signs on the two sides of a simple zero, so between two
   neighbouring zeros at which it falls there is one at which it rises. Every sign change on a grid, and
   between the zeros found, is bisected to rounding; one at which F does not vanish is a jump and no zero, and
   one towards which F grows from both sides is a pole.

References
----------
Parity of zeros on a line: the intermediate value theorem (degree theory in one dimension).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.equilibria.roots_1d import nodes, sign_changes
from samdyn.numerics.scales import diagonal_of

FIRST = 0.03  # of the box's diagonal; chosen
SHRINK = 0.9  # of the step; 0.9^200 = 7e-10, so that the steps end far below the first
N_STEPS = 200  # see `SHRINK`
N_NODES = 4096  # cells in which a sign change is seen; chosen

Evaluation = Callable[[Array], tuple[Array, Array]]


def iterates(evaluate: Evaluation, starts: Array, box: Array) -> Array:
    """Where shrinking steps along F and -F from starts (n, dim) end, in the box (m, dim).

    Ends at which F is larger than at every start are left out: steps against the field lead into poles.
    """
    diagonal = diagonal_of(box)
    x = np.concatenate([starts, starts])
    sign = np.repeat([1.0, -1.0], len(starts))[:, None]
    step = FIRST * diagonal
    with np.errstate(all="ignore"):
        for _ in range(N_STEPS):
            value = evaluate(x)[0]
            size = np.linalg.norm(value, axis=1, keepdims=True)
            moved = x + sign * step * np.where(size > 0, value / size, 0.0)
            x = np.where(np.isfinite(moved).all(axis=1, keepdims=True), moved, x)
            step *= SHRINK
    with np.errstate(all="ignore"):
        at_start, at_end = (np.linalg.norm(evaluate(points)[0], axis=1) for points in (starts, x))
    largest = float(at_start[np.isfinite(at_start)].max(initial=0.0))
    inside = ((x >= box[:, 0]) & (x <= box[:, 1])).all(axis=1)
    return np.asarray(x[inside & (at_end <= largest)])


def between_zeros(evaluate: Evaluation, zeros: Array, box: Array) -> Array:
    """Sign changes (m, 1) of a function on a line that are not among its known zeros (n, 1)."""
    low, high = box[0]
    known = np.sort(zeros[:, 0])
    near = 1e-6 * np.diff(known, prepend=low, append=high)
    # just beside a known zero, on a scale of the gap to its neighbour
    beside = np.concatenate([known - near[:-1], known + near[1:]])
    grid = np.unique(np.concatenate([nodes(low, high, N_NODES), beside[(beside > low) & (beside < high)]]))
    with np.errstate(all="ignore"):
        found = sign_changes(lambda x: np.nan_to_num(evaluate(x[:, None])[0][:, 0]), grid)
    if len(found) > 2:  # where the function is 0 on an interval, its ends stand for the nodes between them
        with np.errstate(all="ignore"):
            flat = evaluate(((found[1:] + found[:-1]) / 2)[:, None])[0][:, 0] == 0
        found = found[np.concatenate([[True], ~(flat[1:] & flat[:-1]), [True]])]
    if len(known) and len(found):
        place = np.searchsorted(known, found)
        before, behind = known[np.maximum(place - 1, 0)], known[np.minimum(place, len(known) - 1)]
        gap = np.minimum(np.abs(found - before), np.abs(found - behind))
        found = found[gap > 1e-9 * (high - low)]
    return np.asarray(found[~_is_pole(evaluate, found, high - low)][:, None])


def _is_pole(evaluate: Evaluation, x: Array, width: float) -> npt.NDArray[np.bool_]:
    """Whether |F| grows towards the points (n,) from both sides: a pole changes its sign without a zero."""

    def least(distance: float) -> Array:
        with np.errstate(all="ignore"):
            sides = [np.abs(evaluate((x + s * distance)[:, None])[0][:, 0]) for s in (-1, 1)]
        return np.asarray(np.nan_to_num(np.minimum(*sides), nan=np.inf))

    if len(x) == 0:
        return np.zeros(0, dtype=bool)
    return np.asarray(least(1e-9 * width) > 2 * least(1e-6 * width))

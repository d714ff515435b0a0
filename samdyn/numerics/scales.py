"""Lengths that belong to the problem, next to which a displacement or a gradient counts as small.

A number like 1e-6 is small only in the user's unit of length. The box of a loss tells its unit; without one
there is only the size of the point itself, and 1 for a point at the origin.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array

ACCURACY = 1e-6
"""Of the problem's length: how far off a point may be that a user wrote down with six digits."""
ROUNDING = 1e-14
"""Of a position's size: what some tens of operations leave of it in float64."""


def diagonal_of(box: Array) -> float:
    """Length of the diagonal of a box (dim, 2).

    Examples
    --------
    >>> import numpy as np
    >>> diagonal_of(np.array([[0.0, 3.0], [1.0, 5.0]]))
    5.0
    """
    return float(np.linalg.norm(box[:, 1] - box[:, 0]))


SAME_UNIT = 20.0
"""Times that a side of the box may be longer than another before its coordinate has another unit."""


def units_of(box: Array) -> Array:
    """Factors (dim,) of coordinates in distances between points of a box (dim, 2).

    All 1; but where one side is more than `SAME_UNIT` times as long as another, coordinates have different
    units, and count by their share of their side, times the longest.

    Examples
    --------
    >>> import numpy as np
    >>> units_of(np.array([[0.0, 3.0], [1.0, 5.0]])), units_of(np.array([[0.0, 1.0], [0.0, 1000.0]]))
    (array([1., 1.]), array([1000.,    1.]))
    """
    sides = box[:, 1] - box[:, 0]
    return np.asarray(sides.max() / sides if sides.max() > SAME_UNIT * sides.min() else np.ones(len(sides)))


def length_scale(box: Array | None, x: npt.ArrayLike) -> Array:
    """Length (...) of the problem at points (..., dim): the diagonal of its box, or 1 + |x| without one.

    Examples
    --------
    >>> import numpy as np
    >>> float(length_scale(np.array([[0.0, 3e-6], [0.0, 4e-6]]), [0.0, 0.0]))
    5e-06
    """
    size = np.linalg.norm(np.asarray(x, dtype=np.float64), axis=-1)
    if box is None:
        return np.asarray(1 + size)
    return np.full(size.shape, diagonal_of(box))


def displacement_tolerance(box: Array | None, x: npt.ArrayLike, share: float) -> Array:
    """How far (...) points (..., dim) may be from where they should be: a share of the problem's length.

    The rounding of a position far from the origin comes on top: nothing nearer can be written down.

    Examples
    --------
    >>> import numpy as np
    >>> box = np.array([[1e6, 1e6 + 1]])
    >>> float(displacement_tolerance(box, [1e6], 1e-6)) < 2e-6
    True
    """
    size = np.linalg.norm(np.asarray(x, dtype=np.float64), axis=-1)
    return np.asarray(share * length_scale(box, x) + ROUNDING * size)

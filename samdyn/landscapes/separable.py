"""Test functions that are sums over the coordinates of one function on the line.

Their critical points are the products of those on the line, which were polished by Newton's method in 40
digits and rounded to the nearest double. A product is a minimum (maximum) where all its factors are, else a
saddle.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import CriticalPoint, Landscape

#: lists of critical points longer than this are left out
MAX_LISTED = 1000

# the roots of 4 x^3 - 32 x + 5
_STYBLINSKI_TANG = (
    (-2.903534027771177, "minimum"),
    (0.1567312567803401, "maximum"),
    (2.746802770990837, "minimum"),
)

# the roots x >= 0 of x + 10 pi sin(2 pi x) below 5.12; minima and maxima take turns
_RASTRIGIN = (
    0.0,
    0.5025460365546747,
    0.9949586376523348,
    1.5076407318703584,
    1.9899122337085495,
    2.512743318200085,
    2.984855701039481,
    3.517859138170441,
    3.9797838603007536,
    4.522993659584519,
    4.974691390895051,
)


def _styblinski_tang(w: Tensor) -> Tensor:
    return (w**4 - 16 * w**2 + 5 * w).sum() / 2


def _rastrigin(w: Tensor) -> Tensor:
    return (w**2 + 10 - 10 * torch.cos(2 * math.pi * w)).sum()


def _separable(on_the_line: Sequence[tuple[float, str]], dim: int) -> list[CriticalPoint]:
    """Critical points of a sum over coordinates of one function with these on the line, if not too many."""
    if len(on_the_line) ** dim > MAX_LISTED:
        return []
    points = []
    for combination in itertools.product(on_the_line, repeat=dim):
        kinds = {kind for _, kind in combination}
        kind = kinds.pop() if len(kinds) == 1 else "saddle"
        points.append(CriticalPoint(tuple(x for x, _ in combination), kind))
    return points


@checked
def styblinski_tang(dim: int = 2) -> Landscape:
    """The Styblinski-Tang function, the sum over coordinates of (w_i^4 - 16 w_i^2 + 5 w_i) / 2.

    Parameters
    ----------
    dim : int
        Number of coordinates.

    Returns
    -------
    Landscape
        On the box [-5, 5]^dim. 3^dim critical points, 2^dim of them minima: every coordinate is one of
        -2.903534, 0.156731 and 2.746803. They are listed up to dim = 6; above that the list is empty.

    Raises
    ------
    TypeError, ValueError
        dim is not an integer >= 1.

    References
    ----------
    Styblinski and Tang (1990), Neural Networks 3, 467-483.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.landscapes.styblinski_tang()
    >>> len(loss.critical_points), round(float(loss.value(loss.critical_points[0].x)), 5)
    (9, -78.33233)
    """
    dim = checks.integer("dim", dim, at_least=1)
    return Landscape(
        _styblinski_tang,
        dim,
        box=[(-5.0, 5.0)] * dim,
        name="Styblinski-Tang",
        critical_points=_separable(_STYBLINSKI_TANG, dim),
    )


@checked
def rastrigin(dim: int = 2) -> Landscape:
    """The Rastrigin function, the sum over coordinates of w_i^2 + 10 - 10 cos(2 pi w_i).

    Parameters
    ----------
    dim : int
        Number of coordinates.

    Returns
    -------
    Landscape
        On the box [-5.12, 5.12]^dim. 21^dim critical points, 11^dim of them minima, the lowest at the origin.
        They are listed for dim = 1 and 2; above that the list is empty.

    Raises
    ------
    TypeError, ValueError
        dim is not an integer >= 1.

    References
    ----------
    Rastrigin (1974), Systems of Extremal Control, Nauka (in Russian), in two dimensions; Muehlenbein,
    Schomisch and Born (1991), Parallel Computing 17, 619-632, in any.

    Examples
    --------
    >>> import samdyn as sd
    >>> len(sd.landscapes.rastrigin().critical_points)
    441
    """
    dim = checks.integer("dim", dim, at_least=1)
    right = [(x, "maximum" if k % 2 else "minimum") for k, x in enumerate(_RASTRIGIN)]
    left = [(-x, kind) for x, kind in reversed(right[1:])]
    return Landscape(
        _rastrigin,
        dim,
        box=[(-5.12, 5.12)] * dim,
        name="Rastrigin",
        critical_points=_separable(left + right, dim),
    )

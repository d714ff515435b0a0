"""Zeros of functions on a line: every sign change on a grid, refined to rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.landscapes.landscape import Landscape

BISECTIONS = 64  # more than the 53 bits of a double


def critical_points_1d(loss: Landscape, low: float, high: float, resolution: int) -> Array:
    """Zeros of f' in [low, high] at which it changes sign, to rounding, shape (n,)."""
    return sign_changes(lambda x: loss.gradient(x[:, None])[:, 0], nodes(low, high, resolution))


def nodes(low: float, high: float, n: int) -> Array:
    """Both ends and n points between them at irrational fractions, where no symmetric loss has a zero."""
    inner = (np.arange(n) + 0.6180339887498949) / n
    return np.concatenate([[low], low + (high - low) * inner, [high]])


def sign_changes(function: Callable[[Array], Array], *pieces: Array) -> Array:
    """Where a function changes sign between neighbours, by bisection to rounding.

    `pieces` are nodes in ascending order, and the function is continuous within each of them; all are refined
    together, since a call of an untraced function costs more than its points.
    """
    pieces = tuple(x for x in pieces if len(x) > 1)
    if not pieces:
        return np.empty(0)
    values = _together(function, pieces)
    # between two nodes of one sign a pair of zeros may hide where |value| has a minimum: look closer there
    finer = []
    for x, value in zip(pieces, values, strict=True):
        size = np.abs(value)
        dip = np.flatnonzero((size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:])) + 1
        finer.append(
            np.unique(np.concatenate([x, *(np.linspace(x[i - 1], x[i + 1], 66)[1:-1] for i in dip)]))
        )
    if sum(map(len, finer)) > sum(map(len, pieces)):
        pieces = tuple(finer)
        values = _together(function, pieces)
    exact = [x[value == 0] for x, value in zip(pieces, values, strict=True)]
    change = [np.flatnonzero(np.sign(value[:-1]) * np.sign(value[1:]) < 0) for value in values]
    a = np.concatenate([x[at] for x, at in zip(pieces, change, strict=True)])
    b = np.concatenate([x[at + 1] for x, at in zip(pieces, change, strict=True)])
    sign = np.sign(np.concatenate([value[at] for value, at in zip(values, change, strict=True)]))
    for _ in range(BISECTIONS if len(a) else 0):
        middle = (a + b) / 2
        left = np.sign(function(middle)) == sign
        a, b = np.where(left, middle, a), np.where(left, b, middle)
    zeros = np.concatenate([*exact, (a + b) / 2])
    extent = pieces[-1][-1] - pieces[0][0]
    zeros[np.abs(zeros) < 1e-16 * extent] = 0.0  # bisection towards 0 never ends
    return np.unique(zeros)


def _together(function: Callable[[Array], Array], pieces: Sequence[Array]) -> list[Array]:
    """The function at the nodes of each piece, by one call."""
    return np.split(function(np.concatenate(pieces)), np.cumsum([len(x) for x in pieces])[:-1])

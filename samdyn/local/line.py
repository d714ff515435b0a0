"""Zeros of functions on a line: every sign change on a grid, refined to rounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samdyn.compute.checks import Array
from samdyn.landscapes.landscape import Landscape

BISECTIONS = 64


def critical_points_1d(loss: Landscape, low: float, high: float, resolution: int) -> Array:
    """Zeros of f' in [low, high] at which it changes sign, to rounding, shape (n,)."""
    return sign_changes(lambda x: loss.gradient(x[:, None])[:, 0], nodes(low, high, resolution))


def nodes(low: float, high: float, n: int) -> Array:
    """Both ends and n points between them at irrational fractions, where no symmetric loss has a zero."""
    inner = (np.arange(n) + 0.6180339887498949) / n
    return np.concatenate([[low], low + (high - low) * inner, [high]])


def sign_changes(function: Callable[[Array], Array], x: Array) -> Array:
    """Where a continuous function changes sign between neighbours of x, by bisection to rounding."""
    value = function(x)
    # between two nodes of one sign a pair of zeros may hide where |value| has a minimum: look closer there
    size = np.abs(value)
    dip = np.flatnonzero((size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:])) + 1
    if len(dip):
        finer = [np.linspace(x[i - 1], x[i + 1], 66)[1:-1] for i in dip]
        x = np.unique(np.concatenate([x, *finer]))
        value = function(x)
    exact = x[value == 0]
    change = np.flatnonzero(np.sign(value[:-1]) * np.sign(value[1:]) < 0)
    a, b, sign = x[change].copy(), x[change + 1].copy(), np.sign(value[change])
    for _ in range(BISECTIONS):
        middle = (a + b) / 2
        left = np.sign(function(middle)) == sign
        a, b = np.where(left, middle, a), np.where(left, b, middle)
    zeros = np.concatenate([exact, (a + b) / 2])
    zeros[np.abs(zeros) < 1e-16 * (x[-1] - x[0])] = 0.0  # bisection towards 0 never ends
    return np.unique(zeros)

"""Ways of a drift from many points at once, as polygons, for searches that need where they lead and no more.

Each way takes steps of Euler's linearly implicit method, x + (1/h - J)^(-1) b (explicit in more than
`LARGEST_TRACED_DIM` dimensions), one of h and two of h/2, and goes on from 2 x_two - x_one, which is of
second order and follows stiff valleys. The difference of the two is kept below `PRECISE` of the length unit,
or of a tenth of the way gone, by the length of h; and h times the fastest rate at which neighbours part stays
below `PARTING`, since a longer implicit step goes back to the point at rest that it comes from. A way ends
where it is at rest, at a length, or after `MOST_STEPS`.
"""

from __future__ import annotations

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.newton import LARGEST_TRACED_DIM
from samdyn.escape.rare.action_field import ActionField

PRECISE = 1e-3  # of the length unit: of one step
LONGEST = 0.2  # of the length unit, or of a tenth of the way gone: a step
PARTING = 0.3
MOST_STEPS = 500
AT_REST = 1e-6  # of the largest speed that was met


def follow_drift(field: ActionField, starts: Array, unit: float, length: float) -> list[Array]:
    """Polygons (n, dim) along the drift from points (k, dim), each at most about `length` long."""
    x = np.array(starts, dtype=float)
    tracks = [[point] for point in x.copy()]
    gone, fastest = np.zeros(len(x)), np.zeros(len(x))
    h = np.full(len(x), np.inf)
    going = np.arange(len(x))
    for _ in range(MOST_STEPS):
        with np.errstate(all="ignore"):
            drift, jacobian = _drift_and_slope(field, x[going])
            speed = np.linalg.norm(drift, axis=1)
            fastest[going] = np.fmax(fastest[going], speed)
            room = unit + 0.1 * gone[going]
            parting = np.linalg.eigvals(jacobian).real.max(axis=1) if jacobian.any() else np.zeros(len(going))
            most = PARTING / np.maximum(parting, 1e-300)
            h[going] = np.where(np.isinf(h[going]), 0.01 * unit / speed, h[going])
            step = np.minimum(h[going], most)
            new, error = _step(field, x[going], drift, jacobian, step)
            move = np.linalg.norm(new - x[going], axis=1)
            excess = np.maximum(error / (PRECISE * room), (move / (LONGEST * room)) ** 2)
            fine = (excess <= 1.0) & np.isfinite(new).all(axis=1)
            growth = np.where(np.isfinite(excess), 0.8 / np.sqrt(np.maximum(excess, 1e-300)), 0.2)
            h[going] = step * np.clip(growth, 0.2, 5.0)
        for row in np.flatnonzero(fine):
            tracks[going[row]].append(new[row])
        x[going[fine]] = new[fine]
        gone[going[fine]] += move[fine]
        rests = fine & ((speed <= AT_REST * fastest[going]) | (move <= 1e-9 * unit))
        lost = ~np.isfinite(speed) | ~(h[going] > 0) | (speed == 0)
        going = going[~(rests | lost | (gone[going] >= length))]
        if not len(going):
            break
    return [np.array(track) for track in tracks]


def _step(field: ActionField, x: Array, drift: Array, jacobian: Array, h: Array) -> tuple[Array, Array]:
    """Points after a step of length h (k,), and how far one step and two halves of it lie apart."""
    one = x + _implicit(drift, jacobian, h)
    half = x + _implicit(drift, jacobian, h / 2)
    two = half + _implicit(*_drift_and_slope(field, half), h / 2)
    return 2 * two - one, np.linalg.norm(two - one, axis=1)


def _drift_and_slope(field: ActionField, x: Array) -> tuple[Array, Array]:
    """The drift and its Jacobian, with 0 where that does not exist or takes too long."""
    if field.dim > LARGEST_TRACED_DIM:
        return field.drift(x), np.zeros((*x.shape, field.dim))
    drift, jacobian = field.both(x)
    return drift, np.where(np.isfinite(jacobian).all(axis=(1, 2), keepdims=True), jacobian, 0.0)


def _implicit(drift: Array, jacobian: Array, h: Array) -> Array:
    """(1/h - J)^(-1) b."""
    if not jacobian.any():
        return h[:, None] * drift
    matrix = np.eye(drift.shape[1]) - h[:, None, None] * jacobian
    right = h[:, None] * drift
    usable = np.isfinite(matrix).all(axis=(1, 2)) & np.isfinite(right).all(axis=1)
    move = np.full_like(drift, np.nan)
    move[usable] = np.linalg.solve(matrix[usable], right[usable, :, None])[..., 0]
    return move

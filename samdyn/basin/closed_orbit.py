"""Limit cycles of a flow: the closed orbit that an orbit settles on, or none.

An orbit is sampled at uneven times (`uneven_times`), so that no period is a multiple of the time between two
looks: at a stride of just the period a limit cycle would look like a point.

Algorithm
---------
1. From a state x0 of the sample: later states that pass it, at a distance across the flow of less than a
   tenth of the extent, give times of return T, in ascending order.
2. For each of the first `N_RETURNS`, Newton's method solves phi_T(x) = x with x in the plane through x0
   across the flow. Jacobians are forward differences.
3. It is accepted if the multipliers across the flow are below 1 in size, to the integrator's accuracy, and if
   the sample goes to it: its last quarter is nearer than half of the distance of the first, or lies on it to
   1e-3 of the extent.

Without such an orbit the sample is that of a torus or of a chaotic set.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from samdyn.basin.motion import Motion
from samdyn.basin.proximity import closed_curve
from samdyn.compute.checks import Array

N_RETURNS = 6
N_POINTS = 512  # of a closed orbit
NEWTON_STEPS = 8
ACCURATE = 2e-5  # of the extent: what the integrator's tolerance leaves of a return
MOST_DIM = 24


def uneven_times(n: int, unit: float) -> Array:
    """Times between looks, from half of the stride to one and a half, in an order without a period."""
    return np.asarray(unit * np.random.default_rng(3).uniform(0.5, 1.5, n))


def closed_orbit(motion: Motion, tail: Array, steps: Array) -> Array | None:
    """Points (m, dim) of the attracting closed orbit that a sample (n, dim) goes to, evenly in time, or None.

    Parameters
    ----------
    motion : Motion
        Of a flow.
    tail : ndarray, shape (n, dim)
    steps : ndarray, shape (n,)
        Time before each of its points, since the one before it.
    """
    flow: Any = motion
    x0 = tail[len(tail) // 4]
    extent = float(np.linalg.norm(tail - tail.mean(axis=0), axis=1).max())
    speed = float(np.linalg.norm(flow.field(x0[None])[0]))
    if tail.shape[1] > MOST_DIM or speed * flow.unit <= 1e-9 * extent or not np.isfinite(tail).all():
        return None
    with np.errstate(all="ignore"):
        for period in _returns(flow, tail, steps, x0, extent)[:N_RETURNS]:
            found = _newton(flow, x0, period, extent)
            if found is None:
                continue
            x, period, jacobian = found
            multipliers = np.linalg.eigvals(jacobian)
            across = np.delete(multipliers, np.argmin(np.abs(multipliers - 1)))
            if len(across) and np.abs(across).max() > 1 + 1e-3:
                continue
            orbit = _sampled(flow, x, period)
            distance = closed_curve(orbit, True)(tail)
            quarter = len(tail) // 4
            first, last = distance[:quarter].max(), distance[-quarter:].max()
            if np.isfinite(orbit).all() and (last <= 0.5 * first or last <= 1e-3 * extent):
                return orbit
    return None


def _returns(flow: Any, tail: Array, steps: Array, x0: Array, extent: float) -> list[float]:
    at = len(tail) // 4
    times = np.cumsum(steps[at + 1 :])
    way = tail[at + 1 :] - x0
    velocity = flow.field(x0[None])[0]
    ahead = way @ velocity / (velocity @ velocity)  # time since it passed x0
    across = np.linalg.norm(way - ahead[:, None] * velocity, axis=1)
    near = (np.abs(ahead) <= flow.unit) & (across <= 0.1 * extent) & (times > 1.5 * flow.unit)
    result: list[float] = []
    for t in (times - ahead)[near]:
        if not result or t - result[-1] > flow.unit:
            result.append(float(t))
    return result


def _advance(flow: Any, x: Array, duration: float) -> Array:
    n = max(1, int(np.ceil(duration / flow.unit)))
    for _ in range(n):
        x = flow.advance(x, duration / n)
    return x


def _newton(flow: Any, x0: Array, period: float, extent: float) -> tuple[Array, float, Array] | None:
    size = len(x0)
    normal = flow.field(x0[None])[0]
    normal = normal / np.linalg.norm(normal)
    x, h = x0.copy(), 1e-4 * extent
    best = np.inf
    for _ in range(NEWTON_STEPS):
        cloud = np.concatenate([x[None], x + h * np.eye(size)])
        image = _advance(flow, cloud, period)
        g = image[0] - x
        if not np.isfinite(image).all():
            return None
        jacobian = ((image[1:] - image[0]) / h).T
        miss = float(np.linalg.norm(g))
        if miss <= ACCURATE * extent or (miss <= 10 * ACCURATE * extent and miss > 0.5 * best):
            return x, period, jacobian
        best = min(best, miss)
        matrix = np.zeros((size + 1, size + 1))
        matrix[:size, :size] = jacobian - np.eye(size)
        matrix[:size, size] = flow.field(image[:1])[0]
        matrix[size, :size] = normal
        step = np.linalg.lstsq(matrix, -np.append(g, normal @ (x - x0)), rcond=None)[0]
        length = float(np.linalg.norm(step[:size]))
        step *= min(1.0, 0.2 * extent / max(length, 1e-300))
        x, period = x + step[:size], period + float(step[size])
        if not period > 0.5 * flow.unit or not np.isfinite(x).all():
            return None
    return None


def _sampled(flow: Any, x: Array, period: float) -> Array:
    points, state = [x], x[None]
    for _ in range(N_POINTS - 1):
        state = flow.advance(state, period / N_POINTS)
        points.append(state[0])
    return np.array(points)

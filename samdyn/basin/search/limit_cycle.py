"""Limit cycles of a flow: the closed orbit that an orbit settles on, or none.

An orbit is sampled at uneven times (`uneven_times`), so that no period is a multiple of the time between two
looks: at a stride of just the period a limit cycle would look like a point.

Algorithm
---------
1. From the end of the sample the orbit is followed on (Dormand & Prince's method of order 8(5,3)), for
   `SHORT` strides. A section lies across the flow through x0, the fastest point of the first quarter.
2. Passages of the section, in the direction of the flow, that come within a tenth of the extent of x0, and
   nearer than all before, give periods T in ascending order: an orbit that winds k times before it closes is
   found at its k-th passage or later.
3. For each of the first `N_RETURNS`, Newton's method closes the orbit: it is cut into segments of about
   `SEGMENT` strides, whose starts and whose common length are the unknowns (multiple shooting). One segment
   of a long orbit would magnify an error too much for the orbit to be seen.
4. The closed orbit is accepted if it attracts (the multipliers across the flow are below 1 in size), and if
   the orbit that was followed goes to it: over its last period it is nearer than over its first, at least by
   half as much as the multipliers say, or on it already. With a multiplier of 1, to `MARGINAL`, it must come
   nearer by a tenth, since the orbits of a torus may all be closed, and none of them attracts.
5. Where there is none, the orbit is followed on for four times as many strides, up to `long` if wanted.

Without a closed orbit the sample belongs to a torus or to a chaotic set. Orbits of which a period is longer
than `LONG` strides are not found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from samdyn.arguments.checks import Array
from samdyn.basin.paths.arrival import closed_curve
from samdyn.basin.paths.contract import Motion

SHORT, LONG, LONGER = 1024, 16384, 4
N_RETURNS = 12
NEAR = 0.1  # of the extent: how close a passage comes to where the orbit was
FEWEST, MOST_POINTS = 512, 4096  # of a closed orbit
POLYGON = 3e-4  # of the extent: how far the orbit may lie from the polygon through its points
SEGMENT, MOST_SEGMENTS = 32, 64
NEWTON_STEPS = 12
ACCURATE = 1e-8  # of the extent: the last Newton step
MARGINAL = 1e-5  # multipliers this close to 1 are not told from 1 by differences of paths
ON = 1e-6  # of the extent: what is this near is on the orbit
DIFFERENCE = 1e-5  # of the extent: between paths of which the difference is a Jacobian
STILL = 1e-7  # of the box: an orbit no larger has come to a point
MOST_DIM = 24

Path = Callable[[Array], Array]


class _Closed(NamedTuple):
    """A closed orbit: points (m, dim), its period, and the largest multiplier across the flow in size."""

    points: Array
    period: float
    largest: float


def uneven_times(n: int, unit: float) -> Array:
    """Times between looks, from half of the stride to one and a half, in an order without a period."""
    return np.asarray(unit * np.random.default_rng(3).uniform(0.5, 1.5, n))


def closed_orbit(motion: Motion, tail: Array, long: bool = False) -> Array | None:
    """Points (m, dim) of the attracting closed orbit that a sample (n, dim) goes to, evenly in time, or None.

    Parameters
    ----------
    motion : Motion
        Of a smooth flow.
    tail : ndarray, shape (n, dim)
    long : bool
        Whether to follow the orbit for up to `LONG` strides instead of `SHORT`.
    """
    flow: Any = motion
    if tail.shape[1] > MOST_DIM or not np.isfinite(tail).all():
        return None
    x, strides = tail[-1], SHORT
    with np.errstate(all="ignore"):
        while strides <= (LONG if long else SHORT):
            duration = strides * flow.unit
            path = _followed(flow, x, duration)
            if path is None:
                return None
            found = _closed(flow, path, duration, strides)
            if found is not None:
                return found
            x, strides = path(np.array([duration]))[0], LONGER * strides
    return None


def _followed(flow: Any, x: Array, duration: float) -> Path | None:
    """The orbit through x as a function of times (n,), to points (n, dim)."""
    allowed = flow.accurate.tolerance
    result = solve_ivp(
        lambda _, y: flow.field(y[None])[0],
        (0.0, duration),
        x,
        method="DOP853",
        rtol=10 * allowed.relative,
        atol=10 * allowed.least[:, 0],
        max_step=16 * flow.unit,
        dense_output=True,
    )
    if result.status != 0 or not np.isfinite(result.y).all():
        return None
    return lambda t: np.asarray(result.sol(t).T)


def _closed(flow: Any, path: Path, duration: float, strides: int) -> Array | None:
    times = np.linspace(0, duration, 2 * strides + 1)
    states = path(times)
    extent = float(np.linalg.norm(states - states.mean(axis=0), axis=1).max())
    first = int(np.argmax(np.linalg.norm(flow.field(states[: strides // 2]), axis=1)))
    x0, velocity = states[first], flow.field(states[first : first + 1])[0]
    speed = float(np.linalg.norm(velocity))
    if not speed * flow.unit > 1e-9 * extent or extent <= STILL * flow.accurate.tolerance.half.max():
        return None
    start = times[first]
    for period in _returns(path, times[first:], states[first:], x0, velocity / speed, extent)[:N_RETURNS]:
        found = _newton(flow, path, start, period, extent)
        if found is None or found.largest > 1 + MARGINAL:
            continue
        orbit = _sampled(flow, found, extent)
        if orbit is not None and _is_approached(path, (start, duration), found, orbit, extent):
            return orbit
    return None


def _returns(path: Path, times: Array, states: Array, x0: Array, normal: Array, extent: float) -> list[float]:
    """Times from x0 to passages of the section there, each nearer to x0 than all before."""
    height = (states - x0) @ normal
    up = np.flatnonzero((height[:-1] < 0) & (height[1:] >= 0))
    low, high = times[up], times[up + 1]
    for _ in range(30):  # to 1e-9 of a stride
        middle = (low + high) / 2
        below = (path(middle) - x0) @ normal < 0 if len(up) else np.empty(0, dtype=bool)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    apart = np.linalg.norm(path(high) - x0, axis=1) if len(up) else np.empty(0)
    result: list[float] = []
    nearest = NEAR * extent
    for t, distance in zip(high, apart, strict=True):
        # below rounding of the paths one passage is as near as another
        if distance <= nearest and (nearest > ON * extent or not result):
            result.append(float(t - times[0]))
            nearest = float(distance)
    return result


def _newton(flow: Any, path: Path, start: float, period: float, extent: float) -> _Closed | None:
    """The closed orbit near a stretch of a path that nearly closes."""
    m = int(np.clip(np.ceil(period / (SEGMENT * flow.unit)), 1, MOST_SEGMENTS))
    x = path(start + period * np.arange(m) / m)
    reference, size = x[0].copy(), x.shape[1]
    normal = flow.field(x[:1])[0]
    normal = normal / np.linalg.norm(normal)
    h, guess, shortest = DIFFERENCE * extent, period, np.inf
    away = np.concatenate([np.zeros((1, size)), h * np.eye(size), -h * np.eye(size)])
    for _ in range(NEWTON_STEPS):
        cloud = (x[:, None] + away).reshape(-1, size)
        ends = flow.accurate.advance(np.ascontiguousarray(cloud.T), period / m).T.reshape(m, -1, size)
        if not np.isfinite(ends).all():
            return None
        jacobians = ((ends[:, 1 : size + 1] - ends[:, size + 1 :]) / (2 * h)).transpose(0, 2, 1)
        gap = ends[:, 0] - np.roll(x, -1, axis=0)
        matrix = np.zeros((m * size + 1, m * size + 1))
        blocks = matrix[:-1, :-1].reshape(m, size, m, size)
        at = np.arange(m)
        blocks[at, :, at, :] += jacobians
        blocks[at, :, (at + 1) % m, :] -= np.eye(size)
        matrix[:-1, -1] = flow.field(ends[:, 0]).ravel() / m
        matrix[-1, :size] = normal
        right = -np.append(gap.ravel(), normal @ (x[0] - reference))
        try:
            step = np.linalg.solve(matrix, right)
        except np.linalg.LinAlgError:  # an orbit of a family of closed ones: the shortest correction
            step = np.linalg.lstsq(matrix, right, rcond=None)[0]
        move = step[:-1].reshape(m, size)
        length = float(np.linalg.norm(move, axis=1).max())
        if length <= ACCURATE * extent:
            product = np.eye(size)
            for jacobian in jacobians:
                product = jacobian @ product
            multipliers = np.linalg.eigvals(product)
            across = np.delete(multipliers, np.argmin(np.abs(multipliers - 1)))
            return _Closed(x, period, float(np.abs(across).max()) if len(across) else 0.0)
        if not length <= 4 * shortest:
            return None  # it leads away
        shortest = min(shortest, length)
        share = min(1.0, 0.2 * extent / length)
        x, period = x + share * move, period + share * float(step[-1])
        if not 0.5 * guess < period < 2 * guess or not np.isfinite(x).all():
            return None
    return None


def _is_approached(
    path: Path, span: tuple[float, float], orbit: _Closed, points: Array, extent: float
) -> bool:
    """Whether the path goes to a closed orbit, of which points are given, as its multipliers say."""
    largest = orbit.largest
    start, end = span
    n_periods = (end - start) / orbit.period - 1
    if n_periods < 0:
        return False
    distance = closed_curve(points, True)
    share = np.arange(len(points)) / len(points)
    first, last = (float(distance(path(t + orbit.period * share)).max()) for t in (start, end - orbit.period))
    # what the polygon through the points leaves is no distance
    if largest >= 1 - MARGINAL:
        return last <= 0.9 * first and first > POLYGON * extent
    if last <= POLYGON * extent:
        return True
    return n_periods >= 0.5 and last <= first * (1 - 0.5 * (1 - largest**n_periods))


def _sampled(flow: Any, orbit: _Closed, extent: float) -> Array | None:
    """Points of a closed orbit evenly in time, as many as the polygon through them needs."""
    path = _followed(flow, orbit.points[0], orbit.period)
    if path is None:
        return None
    n = FEWEST
    while n < MOST_POINTS:
        points = path(orbit.period * np.arange(2 * n) / (2 * n))
        chord = (points[::2] + np.roll(points[::2], -1, axis=0)) / 2
        if np.linalg.norm(points[1::2] - chord, axis=1).max() <= POLYGON * extent:
            break
        n *= 2
    return path(orbit.period * np.arange(n) / n)

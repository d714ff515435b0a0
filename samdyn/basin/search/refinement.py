"""Attracting cycles of a map to the last digits, from orbits that are still on their way to them.

Algorithm
---------
The end of an orbit that has settled, a tail of n states, may still spiral about a cycle: with multipliers
rho e^{i theta} and rho close to 1 it needs many more steps than were followed, and its returns say nothing of
the period. So the cycle is looked for before it has a name.

1. Periods k ascend: all up to `ALL_PERIODS`, and of the longer ones up to `LARGEST_PERIOD` those after which
   the tail comes back to within a third of its extent.
2. For each, Newton's method on Phi^k(x) = x starts from the mean of every k-th state of the second half of
   the tail (the middle of a spiral), and from the last state. Jacobians are central differences of Phi^k. All
   periods are iterated together.
3. The first k is taken whose zero attracts (all multipliers of Phi^k below 1 in size) and is what the tail
   goes to: its distance from the cycle, in the norm in which the linear map contracts, shrinks along the tail
   as the multipliers say, at least half as much, or is nothing already.

Zeros that repel, such as the cycles within a chaotic set or the fixed point within an invariant circle, and
cycles that the orbit does not approach are passed over: a tail without a cycle is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import Course
from samdyn.numerics.scales import diagonal_of

ALL_PERIODS, LARGEST_PERIOD = 32, 512
MOST_LONG = 24  # periods above `ALL_PERIODS` that are tried for one tail
NEWTON_STEPS = 14
MOST_DIM = 24
MARGINAL = 1e-7  # multipliers this close to 1 in size are not told from 1 by differences


@dataclass(frozen=True)
class Cycle:
    """An attracting cycle.

    Attributes
    ----------
    states : ndarray, shape (k, state_dim)
        Its points, in order of time.
    radius : float
        The largest multiplier of Phi^k in size.
    """

    states: Array
    radius: float


def cycle_of(motion: Motion, course: Course, tail: Array) -> Cycle | None:
    """The attracting cycle that a tail (n, state_dim) of a map's orbit goes to, if there is one.

    Parameters
    ----------
    motion : Motion
        Of a map, without noise and without a schedule.
    course : Course
    tail : ndarray, shape (n, state_dim)
        Consecutive states.

    Returns
    -------
    Cycle or None
    """
    size = tail.shape[1]
    if size > MOST_DIM or motion.every == 1 or getattr(course.system, "scheduled", False):
        return None
    y = tail * course.scale
    extent = float(np.linalg.norm(y - y.mean(axis=0), axis=1).max())
    diagonal = diagonal_of(course.box)
    if extent <= 1e-9 * diagonal or not np.isfinite(y).all():
        return None  # the states are one point already
    periods = _periods(y, extent)
    edges = np.searchsorted(periods, [9, ALL_PERIODS + 1])
    for some in np.split(periods, edges):  # most cycles are short: the long ones are tried last
        found = _attracting(motion, course, tail, some, extent) if len(some) else None
        if found is not None:
            return found
    return None


def _attracting(
    motion: Motion, course: Course, tail: Array, periods: npt.NDArray[np.int64], extent: float
) -> Cycle | None:
    y, size = tail * course.scale, tail.shape[1]
    starts = np.concatenate([_middles(tail, periods), np.repeat(tail[-1:], len(periods), axis=0)])
    ks = np.tile(periods, 2)
    with np.errstate(all="ignore"):
        x, jacobian, good = _newton(motion, course, starts, ks, extent)
        order = np.lexsort((np.arange(len(ks)), ks))
        for i in order[good[order]]:
            values, vectors = np.linalg.eig(jacobian[i])
            radius = float(np.abs(values).max())
            if radius > 1 + MARGINAL:
                continue
            points = _least(_orbit(motion, x[i], int(ks[i])), course, extent)
            if not np.isfinite(points).all():
                continue
            if len(points) < ks[i]:  # a shorter cycle that a shorter search had missed
                power = len(points) / int(ks[i])
                vectors, radius = np.eye(size), radius**power
            if _approaches(y, points * course.scale, vectors, radius, extent, course.scale):
                return Cycle(points, radius)
    return None


def is_cycle(motion: Motion, course: Course, states: Array) -> bool:
    """Whether the states are the points of a cycle, each once and in order of time."""
    if motion.every == 1 or len(states) > LARGEST_PERIOD or len(states) < 2:
        return False
    y = states * course.scale
    extent = float(np.linalg.norm(y - y.mean(axis=0), axis=1).max())
    with np.errstate(all="ignore"):
        after = motion(np.ascontiguousarray(states.T), np.arange(len(states)), 0, 1).T * course.scale
        return bool(np.linalg.norm(after - np.roll(y, -1, axis=0), axis=1).max() <= 1e-6 * extent)


def _periods(y: Array, extent: float) -> npt.NDArray[np.int64]:
    n = len(y)
    last = y[-min(n // 4, 256) :]
    longest = min(LARGEST_PERIOD, n // 2 - 1)
    short = np.arange(1, min(ALL_PERIODS, longest) + 1)
    long = np.arange(ALL_PERIODS + 1, longest + 1)
    back = np.array([np.median(np.linalg.norm(last - y[n - len(last) - k : n - k], axis=1)) for k in long])
    near = long[back <= extent / 3] if len(long) else long
    if len(near) > MOST_LONG:
        near = near[np.argsort(back[back <= extent / 3], kind="stable")[:MOST_LONG]]
    return np.concatenate([short, np.sort(near)])


def _middles(tail: Array, periods: npt.NDArray[np.int64]) -> Array:
    """For each k the mean of every k-th state of the second half, backwards from the last."""
    half = tail[len(tail) // 2 :]
    return np.stack([half[::-1][::k].mean(axis=0) for k in periods])


def _orbit(motion: Motion, x: Array, period: int) -> Array:
    following = motion.orbit(x[:, None], np.zeros(1, dtype=np.int64), 0, period - 1, 1)
    return np.concatenate([x[None], following[:, :, 0]])


def _least(points: Array, course: Course, extent: float) -> Array:
    """A cycle's points without repetitions."""
    y, k = points * course.scale, len(points)
    for d in range(1, k // 2 + 1):
        if k % d == 0 and np.linalg.norm(np.roll(y, -d, axis=0) - y, axis=1).max() <= 1e-7 * extent:
            return points[:d]
    return points


def _iterate(motion: Motion, x: Array, ks: npt.NDArray[np.int64]) -> Array:
    """Phi^k of states (n, state_dim), each with its k; the ks must not ascend."""
    state, result = np.ascontiguousarray(x.T), np.empty_like(x)
    for j in range(int(ks[0])):
        n = int(np.searchsorted(-ks, -j, side="left"))  # those with k > j come first
        state = motion(state[:, :n], np.arange(n), j, 1)
        done = ks[:n] == j + 1
        result[:n][done] = state[:, done].T
    return result


def _newton(
    motion: Motion, course: Course, x: Array, ks: npt.NDArray[np.int64], extent: float
) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Zeros of Phi^k - 1 from starts (n, state_dim), with Jacobians of Phi^k, and which converged."""
    size, scale = x.shape[1], course.scale
    diagonal = diagonal_of(course.box)
    h = 1e-5 * min(max(extent, 1e-4 * diagonal), diagonal) / scale
    order = np.argsort(-ks, kind="stable")
    x, ks = x[order].copy(), ks[order]
    one = np.eye(size)
    away = np.concatenate([np.zeros((1, size)), one * h, -one * h])
    active = np.arange(len(x))
    jacobian = np.zeros((len(x), size, size))
    good = np.zeros(len(x), dtype=bool)
    for _ in range(NEWTON_STEPS):
        if len(active) == 0:
            break
        cloud = (x[active][:, None] + away).reshape(-1, size)
        image = _iterate(motion, cloud, np.repeat(ks[active], len(away))).reshape(len(active), -1, size)
        g = image[:, 0] - x[active]
        j = ((image[:, 1 : size + 1] - image[:, size + 1 :]) / (2 * h)[None, :, None]).transpose(0, 2, 1)
        usable = np.isfinite(g).all(axis=1) & np.isfinite(j).all(axis=(1, 2))
        active, g, j = active[usable], g[usable], j[usable]
        if len(active) == 0:
            break
        step = -(np.linalg.pinv(j - one, rcond=1e-14) @ g[:, :, None])[:, :, 0]
        length = np.linalg.norm(step * scale, axis=1)
        size_of = np.linalg.norm(x[active] * scale, axis=1)
        # steps shrink to what rounding leaves of a zero with this Jacobian
        done = (length <= 1e-9 * extent) | (length <= 1e-13 * size_of)
        good[active[done]] = True
        jacobian[active] = j
        x[active] += step * np.minimum(1.0, extent / np.maximum(length, 1e-300))[:, None]
        active = active[~done]
    back = np.argsort(order)
    return x[back], jacobian[back], good[back]


def _approaches(y: Array, cycle: Array, vectors: Array, radius: float, extent: float, scale: Array) -> bool:
    """Whether a tail (n, state_dim) goes to a cycle (k, state_dim), both scaled."""
    n, k = len(y), len(cycle)
    ends = y[n - min(n, max(k, 8)) :]
    count = len(ends)
    apart = [
        np.linalg.norm(ends - cycle[(p + np.arange(-count + 1, 1)) % k], axis=1).mean() for p in range(k)
    ]
    phase = int(np.argmin(apart))  # of the last state
    own = cycle[(phase + np.arange(-n + 1, 1)) % k]
    distance = np.linalg.norm(y - own, axis=1)
    separation = np.linalg.norm(cycle - np.roll(cycle, 1, axis=0), axis=1).min() if k > 1 else extent
    if distance[n // 2 :].max() <= 1e-7 * separation:
        return True
    if n // k >= 16:
        # the states in the phase of the first point, in coordinates in which the linear map is diagonal
        rows = _in_phase(y, phase, k)
        d = (rows - cycle[0]) / scale
        if np.linalg.cond(vectors) < 1e8:
            d = np.abs(np.linalg.solve(vectors, d.T.astype(complex))).T
        distance = np.linalg.norm(d, axis=1)
        periods = 0.75 * len(distance)
    else:
        periods = 0.75 * n / k
    quarter = max(1, len(distance) // 4)
    first, last = distance[:quarter].max(), distance[-quarter:].max()
    if radius >= 1 - MARGINAL:
        return bool(last <= 0.9 * first)
    return bool(last <= first * (1 - 0.5 * (1 - radius**periods)))


def _in_phase(y: Array, phase: int, k: int) -> Array:
    """The states that lie at the first point of a cycle whose phase at the last state is given."""
    at = (phase - (len(y) - 1 - np.arange(len(y)))) % k
    return y[at == 0]

"""Paths from which a search for the path of least action begins.

A descent finds the minimum beside its start, and on a line of symmetry a saddle of the action. So the search
begins from several paths at once:

1. the straight line, and lines bowed to either side, in up to `MOST_NORMALS` directions across it;
2. the way that the drift goes from the start to where it comes nearest to the end, and a straight line on;
3. the way that the drift goes from the end, and from either side of it along its unstable directions, to
   where it comes nearest to the start, taken backwards: uphill on the track of the way down, which is the
   path of least action of a gradient;
4. in two and three dimensions, the way of least action on a grid (`samdyn.escape.rare.action_grid`), which
   is on the right side of obstacles that the grid resolves: give the system a box that holds all ways, and no
   larger one.

Ways of the drift are followed by arc length, all at once (Heun's method), until they turn back on
themselves, which they do at a point at rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.escape.rare.action_grid import grid_path
from samdyn.escape.rare.action_polygon import respaced
from samdyn.systems.flow import Flow

MOST_NORMALS = 6
BOWS = (0.25, 0.6)  # of the distance between the ends
ORBIT = 12.0  # length of a followed way, in distances between the ends
ROUND = 4.0  # lengths of a box's diagonal, or scales of the drift, for a way all round
ORBIT_STEPS = 800  # steps along a followed way; chosen
NUDGE = 1e-3  # of the distance between the ends, off a point at rest
AT_REST = 1e-6  # of the largest speed on the straight line


def first_paths(system: Any, first: Array, last: Array, n: int) -> Array:
    """Paths (k, n, dim) from first to last; the straight line is the first of them."""
    dim, span = len(first), float(np.linalg.norm(last - first))
    t = np.linspace(0, 1, n)[:, None]
    line = first + t * (last - first)
    if dim == 1:  # every path is the line
        return line[None]
    paths = [line]
    for normal in _normals((last - first) / span):
        paths += [line + sign * bow * span * np.sin(np.pi * t) * normal for bow in BOWS for sign in (1, -1)]
    paths += [respaced(path, n) for path in _ways(system, first, last, span)]
    on_grid = grid_path(system, first, last)
    if on_grid is not None:
        paths.append(respaced(on_grid, n))
    return np.array([path for path in paths if np.isfinite(path).all()])


def _normals(along: Array) -> Array:
    """Orthonormal directions (m, dim) across a unit vector, the same every time."""
    dim = len(along)
    others = np.random.default_rng(0).standard_normal((dim, min(dim - 1, MOST_NORMALS)))
    basis = np.linalg.qr(np.column_stack([along, others]))[0]
    return np.asarray(basis[:, 1:].T)


def _drift(system: Any, x: Array) -> Array:
    return np.asarray(system(x) if isinstance(system, Flow) else system.drift(x))


def _ways(system: Any, first: Array, last: Array, span: float) -> list[Array]:
    """Paths made of ways of the drift."""
    line = first + np.linspace(0, 1, 33)[:, None] * (last - first)
    fastest = float(np.linalg.norm(_drift(system, line), axis=1).max())
    box = getattr(system, "box", None)
    length = ORBIT * span
    if box is not None:
        length = max(length, ROUND * float(np.linalg.norm(np.ptp(np.asarray(box), axis=1))))
    else:  # of the length on which the drift changes: a cycle can be long beside the distance of the ends
        slope = np.asarray(system.jacobian(first))
        change = float(np.linalg.norm(_drift(system, first[None])[0])) / max(
            float(np.abs(slope).max()), 1e-300
        )
        length = max(length, ORBIT * ROUND * change) if np.isfinite(change) else length
    from_last = [last, *(last + NUDGE * span * side for side in _unstable(system, last, fastest))]
    orbits = _followed(system, np.array([first, *from_last]), length, fastest)
    ways = [_joined(orbits[0], first, last), *(_joined(orbit, last, first)[::-1] for orbit in orbits[1:])]
    return ways


def _rests(system: Any, x: Array, fastest: float) -> bool:
    return float(np.linalg.norm(_drift(system, x))) <= max(AT_REST * fastest, 1e-300)


def _unstable(system: Any, x: Array, fastest: float) -> list[Array]:
    """Both ways along every unstable direction of a point at rest; none of another point."""
    if not _rests(system, x, fastest):
        return []
    jacobian = np.asarray(system.jacobian(x))
    if not np.isfinite(jacobian).all():
        return []
    values, vectors = np.linalg.eig(jacobian)
    chosen = np.flatnonzero(values.real > 1e-9 * np.abs(values).max(initial=0.0))[:MOST_NORMALS]
    sides = [vectors[:, k].real / max(float(np.linalg.norm(vectors[:, k].real)), 1e-300) for k in chosen]
    return [sign * side for side in sides for sign in (1, -1)]


def _followed(system: Any, x: Array, length: float, fastest: float) -> list[Array]:
    """Where the drift leads from points (k, dim): polygons of at most that length."""
    step = length / ORBIT_STEPS
    track, going = [x], np.ones(len(x), dtype=bool)
    ends = np.full(len(x), ORBIT_STEPS)

    def heading(y: Array) -> Array:
        b = _drift(system, y)
        return b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12 * fastest + 1e-300)

    before = heading(x)
    for k in range(ORBIT_STEPS):
        with np.errstate(invalid="ignore", over="ignore"):
            ahead = heading(x + step * before)
            x = np.where(going[:, None], x + step * (before + ahead) / 2, x)
            now = heading(x)
            # at rest the way overshoots and turns back; far away it may not be finite
            on = np.isfinite(now).all(axis=1) & ((before * now).sum(axis=1) > 0) & np.isfinite(x).all(axis=1)
        ends[going & ~on] = k
        going &= on
        track.append(x)
        before = np.where(going[:, None], now, 0.0)
        if not going.any():
            break
    points = np.stack(track, axis=1)
    return [orbit[: max(int(end), 1) + 1] for orbit, end in zip(points, ends, strict=True)]


def _joined(orbit: Array, start: Array, goal: Array) -> Array:
    """start, the orbit up to where it is nearest to the goal, and the goal."""
    nearest = int(np.nanargmin(np.linalg.norm(orbit - goal, axis=1)))
    return np.concatenate([start[None], orbit[: nearest + 1], goal[None]])

"""Paths from which a search for the path of least action begins.

A descent finds the minimum beside its start, and on a line of symmetry a saddle of the action. So the search
begins from several paths at once:

1. the straight line, and lines bowed to either side, in up to `MOST_NORMALS` directions across it;
2. the way that the drift goes from the start to where it comes nearest to the end, and a straight line on;
3. the way that the drift goes from the end, and from either side of it along its unstable directions, to
   where it comes nearest to the start, taken backwards: uphill on the track of the way down, which is the
   path of least action of a gradient;
4. in up to twelve dimensions, routes through the points at rest that were found
   (`samdyn.escape.rare.rest_ways`), and through critical points of the loss along its gradient, where the
   drift is made of them by a rule, also moved onto the floor of the drift's valley
   (`samdyn.escape.rare.valley_floor`) where they cost less there;
5. in two and three dimensions, ways of least action on grids (`samdyn.escape.rare.action_grid`): one that
   just holds the ends and those routes, and one over the box of the system or, without a box, around the
   ends.
"""

from __future__ import annotations

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.newton import LARGEST_TRACED_DIM
from samdyn.escape.rare.action_field import ActionField
from samdyn.escape.rare.action_grid import grid_path, grid_windows
from samdyn.escape.rare.rest_ways import routes_over_rests
from samdyn.escape.rare.valley_floor import onto_floor
from samdyn.rules.family import GD
from samdyn.systems.flow import Flow

MOST_NORMALS = 6
BOWS = (0.25, 0.6)  # of the distance between the ends
LINE = 65  # corners of a line


def first_paths(field: ActionField, first: Array, last: Array) -> list[Array]:
    """Polygons (m, dim) from first to last, of different numbers of corners, the straight line before all."""
    dim, span = len(first), float(np.linalg.norm(last - first))
    t = np.linspace(0, 1, LINE)[:, None]
    line = first + t * (last - first)
    if dim == 1:  # every path is the line
        return [line]
    paths = [line]
    for normal in _normals((last - first) / span):
        paths += [line + sign * bow * span * np.sin(np.pi * t) * normal for bow in BOWS for sign in (1, -1)]
    routes, (ahead, *back) = routes_over_rests(field, first, last)
    loss, rule = field.system.landscape, field.system.rule
    if loss is not None and rule is not None and rule.perturbs:
        for route in routes_over_rests(ActionField(Flow(loss, GD()), span), first, last)[0]:
            on_floor = onto_floor(field, route) if dim <= LARGEST_TRACED_DIM else None
            routes += [route] if on_floor is None else [route, on_floor]
    paths += [_joined(ahead, first, last), *(_joined(way, last, first)[::-1] for way in back), *routes]
    for window in grid_windows(field.system, np.concatenate([line, *routes])):
        on_grid = grid_path(field, window, first, last)
        if on_grid is not None:
            paths.append(on_grid)
    return [path for path in paths if np.isfinite(path).all()]


def _normals(along: Array) -> Array:
    """Orthonormal directions (m, dim) across a unit vector, the same every time."""
    dim = len(along)
    others = np.random.default_rng(0).standard_normal((dim, min(dim - 1, MOST_NORMALS)))
    basis = np.linalg.qr(np.column_stack([along, others]))[0]
    return np.asarray(basis[:, 1:].T)


def _joined(orbit: Array, start: Array, goal: Array) -> Array:
    """start, the orbit up to where it is nearest to the goal, and the goal."""
    nearest = int(np.nanargmin(np.linalg.norm(orbit - goal, axis=1)))
    return np.concatenate([start[None], orbit[: nearest + 1], goal[None]])

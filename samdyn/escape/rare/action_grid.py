"""The way of least action on a grid: a start for the search of a path that is right up to small moves.

A descent of the action keeps its path on the side of an obstacle on which it began. On a grid of nodes all
sides within it are looked at, as finely as it is: every node is joined with the nodes around it by straight
edges. An edge s costs its action, |s| |b| - <s, b> with the drift b at its middle, and Dijkstra's algorithm
(scipy) finds the way of least cost from one end to the other. The cost of the way is above the least action
by the coarseness of the grid, so it is a start and no answer; of two ways whose actions are closer than that
it may be the wrong one, and of a valley that is narrower than its sides it sees nothing.

A grid covers a box (`grid_windows`). Its number of nodes grows with the power of the dimension: it is made in
two and three dimensions only (`NODES`).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from samdyn.arguments.checks import Array
from samdyn.escape.rare.action_field import ActionField

NODES = {2: 65, 3: 21}  # on a side, by dimension: some thousand nodes, a tenth of a second
REACH = {2: 3, 3: 2}  # steps of the grid an edge spans at most: 32 and 98 directions
MARGIN = 0.25  # of the box's sides, kept free around the ends
ALONE = 1.5  # of the distance of the ends, the same where there is no box; chosen
DETOUR = 1e-6  # of |s| |b|, added to each edge: among ways that cost nothing the shorter one is taken


def grid_windows(system: Any, points: Array) -> list[Array]:
    """Boxes (dim, 2) for grids: around points (m, dim) with room to spare, and one that just needs the ends.

    The second is the box of the system, enlarged where the points lie near its border or beyond it; without
    a box, `ALONE` times the distance of the ends around them.
    """
    if points.shape[1] not in NODES:
        return []
    low, high = points.min(axis=0), points.max(axis=0)
    room = MARGIN * float(np.linalg.norm(high - low))
    near = np.stack([low - room, high + room], axis=1)
    own = getattr(system, "box", None)
    first, last = points[0], points[-1]
    if own is None:
        room = ALONE * float(np.linalg.norm(last - first))
        wide = np.stack([np.minimum(first, last) - room, np.maximum(first, last) + room], axis=1)
    else:
        margin = MARGIN * np.ptp(own, axis=1)
        wide = np.stack([np.minimum(low - margin, own[:, 0]), np.maximum(high + margin, own[:, 1])], axis=1)
    return [near, wide]


def grid_path(field: ActionField, window: Array, first: Array, last: Array) -> Array | None:
    """The way (m, dim) of least action on a grid over a box (dim, 2), its ends replaced by the points.

    None where the ends lie in one cell, or no way joins them.
    """
    dim = field.dim
    count = NODES[dim]
    axes = [np.linspace(a, b, count) for a, b in window]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim)
    spacing = np.array([axis[1] - axis[0] for axis in axes])
    numbers = np.arange(count**dim).reshape((count,) * dim)
    # the middles of edges lie on the grid of half the spacing
    halves = [np.linspace(a, b, 2 * count - 1) for a, b in window]
    points = np.stack(np.meshgrid(*halves, indexing="ij"), axis=-1).reshape(-1, dim)
    with np.errstate(invalid="ignore", over="ignore"):
        drift, inverse = field.drift(points), field.inverse(points)
        flat = np.einsum("nij,nj->ni", inverse, drift)
        speed = np.sqrt(np.einsum("ni,ni->n", drift, flat))
    halfway = np.arange((2 * count - 1) ** dim).reshape((2 * count - 1,) * dim)
    tails, heads, costs = [], [], []
    for offset in _offsets(dim):
        tail = tuple(slice(max(0, -o), count - max(0, o)) for o in offset)
        head = tuple(slice(max(0, o), count - max(0, -o)) for o in offset)
        middle = tuple(slice(abs(o), 2 * count - 1 - abs(o), 2) for o in offset)
        a, b, m = numbers[tail].ravel(), numbers[head].ravel(), halfway[middle].ravel()
        side = np.array(offset) * spacing
        with np.errstate(invalid="ignore", over="ignore"):
            size = np.sqrt(np.einsum("i,nij,j->n", side, inverse[m], side)) * speed[m]
            along = flat[m] @ side  # both ways along an edge differ in its sign alone
        fits = np.isfinite(size) & np.isfinite(along)
        floor = DETOUR * size + np.finfo(float).tiny
        for sign, start, end in ((1, a, b), (-1, b, a)):
            tails.append(start[fits])
            heads.append(end[fits])
            costs.append((np.maximum(size - sign * along, 0.0) + floor)[fits])
    ends = [int(np.argmin(np.linalg.norm((nodes - x) / spacing, axis=1))) for x in (first, last)]
    graph = coo_array(
        (np.concatenate(costs), (np.concatenate(tails), np.concatenate(heads))), shape=(len(nodes),) * 2
    ).tocsr()
    found, before = dijkstra(graph, indices=ends[0], return_predecessors=True)
    if not np.isfinite(found[ends[1]]) or ends[0] == ends[1]:
        return None
    way = [ends[1]]
    while way[-1] != ends[0]:
        way.append(int(before[way[-1]]))
    return np.concatenate([first[None], nodes[way[::-1]][1:-1], last[None]])


def _offsets(dim: int) -> list[tuple[int, ...]]:
    """Half of the directions of edges, in steps of the grid: no two are multiples of each other."""
    steps = itertools.product(range(-REACH[dim], REACH[dim] + 1), repeat=dim)
    return [s for s in steps if s > (0,) * dim and math.gcd(*s) == 1]

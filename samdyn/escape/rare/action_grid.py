"""The way of least action on a grid: a start for the search of a path that is right up to small moves.

A descent of the action keeps its path on the side of an obstacle on which it began. On a grid of nodes all
sides within it are looked at, as finely as it is: every node is joined with the nodes around it by straight
edges. An edge s costs its action, |s| |b| - <s, b> with the drift b at its middle, and Dijkstra's algorithm
(scipy) finds the way of least cost from one end to the other. The cost of the way is above the least action
by the coarseness of the grid, so it is a start and no answer; of two ways whose actions are closer than that
it may be the wrong one, and of a valley that is narrower than its sides it sees nothing.

The grid covers the box of the system, enlarged where the ends lie near its border or beyond it. Its number of
nodes grows with the power of the dimension: it is made in two and three dimensions only (`NODES`).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from samdyn.arguments.checks import Array
from samdyn.escape.rare.action_polygon import field

NODES = {2: 65, 3: 21}  # on a side, by dimension: some thousand nodes, a tenth of a second
REACH = {2: 3, 3: 2}  # steps of the grid an edge spans at most: 32 and 98 directions
MARGIN = 0.25  # of the box's sides, kept free around the ends
ALONE = 1.5  # of the distance of the ends, the same where there is no box; chosen
DETOUR = 1e-6  # of |s| |b|, added to each edge: among ways that cost nothing the shorter one is taken


def grid_path(system: Any, first: Array, last: Array) -> Array | None:
    """The way (m, dim) of least action on the grid, its ends replaced by the points, or None."""
    dim = len(first)
    if dim not in NODES:
        return None
    axes = _axes(system, first, last)
    shape = tuple(len(axis) for axis in axes)
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim)
    numbers = np.arange(len(nodes)).reshape(shape)
    tails, heads, costs = [], [], []
    for offset in _offsets(dim):
        tail = numbers[tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, shape, strict=True))]
        head = numbers[tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, shape, strict=True))]
        a, b = tail.ravel(), head.ravel()
        middle, side = (nodes[a] + nodes[b]) / 2, nodes[b] - nodes[a]
        with np.errstate(invalid="ignore", over="ignore"):
            drift, inverse = field(system, middle)
            side_flat = np.einsum("nij,nj->ni", inverse, side)
            size = np.sqrt((side * side_flat).sum(axis=1) * np.einsum("ni,nij,nj->n", drift, inverse, drift))
            # both ways along an edge differ in the sign of <s, b> alone
            along = (side_flat * drift).sum(axis=1)
        fits = np.isfinite(size) & np.isfinite(along)
        floor = DETOUR * size + np.finfo(float).tiny
        for sign, start, end in ((1, a, b), (-1, b, a)):
            tails.append(start[fits])
            heads.append(end[fits])
            costs.append((np.maximum(size - sign * along, 0.0) + floor)[fits])
    ends = [int(np.argmin(np.linalg.norm((nodes - x) / _spacing(axes), axis=1))) for x in (first, last)]
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


def _axes(system: Any, first: Array, last: Array) -> list[Array]:
    """Coordinates of the nodes along each axis."""
    low, high = np.minimum(first, last), np.maximum(first, last)
    own = getattr(system, "box", None)
    if own is None:
        margin = ALONE * float(np.linalg.norm(last - first))
        low, high = low - margin, high + margin
    else:
        margin = MARGIN * np.ptp(own, axis=1)
        low, high = np.minimum(low - margin, own[:, 0]), np.maximum(high + margin, own[:, 1])
    return [np.linspace(a, b, NODES[len(first)]) for a, b in zip(low, high, strict=True)]


def _spacing(axes: list[Array]) -> Array:
    return np.array([axis[1] - axis[0] for axis in axes])


def _offsets(dim: int) -> list[tuple[int, ...]]:
    """Half of the directions of edges, in steps of the grid: no two are multiples of each other."""
    steps = itertools.product(range(-REACH[dim], REACH[dim] + 1), repeat=dim)
    return [s for s in steps if s > (0,) * dim and math.gcd(*s) == 1]

"""Ways of small action through points at rest: up the track of a way down, over a saddle, and down again.

A descent of the action keeps its path on the side of an obstacle on which it began; which sides there are,
the points at rest of the drift tell.

1. Points at rest are searched by Newton's method in boxes of several sizes around the ends, from `PER_BOX`
   starts each, in the box of the system too (`samdyn.equilibria.newton.zeros_from`).
2. From each of them the drift is followed along its unstable directions, both ways, and from both ends
   (`samdyn.escape.rare.drift_ways`).
3. A graph joins the point at which a way begins with those that it comes near to, and with both ends: along
   the way and a straight line, and back on the same track. An edge costs its action.
4. The `MOST_WAYS` cheapest routes without repeats from one end to the other are given (Yen's algorithm, of
   networkx).

Of a gradient the cheapest route is the path of least action, if all saddles on it were found and the arms of
neighbouring ones meet in minima; of another drift it is a start, whose action is above the least.
"""

from __future__ import annotations

import itertools
from typing import Any

import networkx as nx
import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.newton import (
    LARGEST_TRACED_DIM,
    sobol_starts,
    zeros_from,
)
from samdyn.escape.rare.action_field import ActionField
from samdyn.escape.rare.action_polygon import actions, path_length, respaced
from samdyn.escape.rare.drift_ways import follow_drift

PER_BOX = 256  # starts of Newton's method; a power of two
SIZES = (0.75, 3.0)  # of the distance between the ends, added to them on every side
MOST_BOXES = 4
MOST_RESTS = 40  # the nearest to the middle between the ends
MOST_UNSTABLE = 6  # directions of one point at rest
MOST_WAYS = 4
NUDGE = 1e-3  # of the distance between the ends, off a point at rest
NEAR = 0.02  # of the distance between the ends: nearer than that a way meets a point at rest
ORBIT = 12.0  # lengths of the distance of the ends, or of the box's diagonal over three, of a way
CORNERS = 201  # of a way whose action is taken


def search_boxes(system: Any, first: Array, last: Array) -> list[Array]:
    """Boxes (dim, 2) around two points, from small to large, the last the system's own if it has one."""
    low, high = np.minimum(first, last), np.maximum(first, last)
    span = float(np.linalg.norm(last - first))
    boxes = [np.stack([low - size * span, high + size * span], axis=1) for size in SIZES]
    own = getattr(system, "box", None)
    if own is not None:
        own = np.stack([np.minimum(low, own[:, 0]), np.maximum(high, own[:, 1])], axis=1)
        inside = [
            np.stack([np.maximum(b[:, 0], own[:, 0]), np.minimum(b[:, 1], own[:, 1])], axis=1) for b in boxes
        ]
        boxes = inside
        while len(boxes) < MOST_BOXES - 1 and np.ptp(own, axis=1).max() > 8 * np.ptp(boxes[-1], axis=1).max():
            grown = boxes[-1].mean(axis=1, keepdims=True) + 4 * (boxes[-1] - boxes[-1].mean(1, keepdims=True))
            boxes.append(
                np.stack([np.maximum(grown[:, 0], own[:, 0]), np.minimum(grown[:, 1], own[:, 1])], 1)
            )
        boxes.append(own)
    return boxes


def points_at_rest(field: ActionField, first: Array, last: Array) -> Array:
    """Points (n, dim) at which the drift is 0, near two points and in the system's box."""
    system, dim = field.system, field.dim
    if dim > LARGEST_TRACED_DIM:
        return np.empty((0, dim))
    found = [np.empty((0, dim))]
    for box in search_boxes(system, first, last):
        if (np.ptp(box, axis=1) > 0).all():
            found.append(zeros_from(field.both, box, sobol_starts(box, PER_BOX)))
    rests = np.concatenate(found)
    span = float(np.linalg.norm(last - first))
    kept: list[Array] = []
    for k in np.argsort(np.linalg.norm(rests - (first + last) / 2, axis=1), kind="stable"):
        others = [first, last, *kept]
        if min(float(np.linalg.norm(rests[k] - x)) for x in others) > NUDGE * span:
            kept.append(rests[k])
        if len(kept) == MOST_RESTS:
            break
    return np.array(kept).reshape(-1, dim)


def routes_over_rests(field: ActionField, first: Array, last: Array) -> tuple[list[Array], list[Array]]:
    """Routes through points at rest, the cheapest first, and the ways of the drift from first and last.

    The second has the way from `first`, the way from `last`, and those along the unstable directions of
    `last`, each from the point on.
    """
    span = float(np.linalg.norm(last - first))
    box = getattr(field.system, "box", None)
    length = (
        ORBIT * span if box is None else max(ORBIT * span, ORBIT / 3 * float(np.linalg.norm(np.ptp(box, 1))))
    )
    nodes = np.concatenate([[first, last], points_at_rest(field, first, last)])
    begins, sources = [first, last], [0, 1]
    for k, x in enumerate(nodes):
        for side in _unstable(field, x, span):
            begins.append(x + NUDGE * span * side)
            sources.append(k)
    tracks = follow_drift(field, np.array(begins), span, max(length, _cycle_length(field, first)))
    tracks = [np.concatenate([nodes[k][None], track]) for k, track in zip(sources, tracks, strict=True)]
    edges: dict[tuple[int, int], list[Array]] = {}
    for k, track in zip(sources, tracks, strict=True):
        away = np.linalg.norm(track[:, None] - nodes, axis=2)
        where, distance = np.nanargmin(away, axis=0), np.nanmin(away, axis=0)
        meets = distance <= NEAR * span
        meets[np.nanargmin(away[-1])] = True  # where it ends
        meets[:2] = True
        for other in np.flatnonzero(meets):
            if other != k:
                way = np.concatenate([track[: where[other] + 1], nodes[other][None]])
                edges.setdefault((k, int(other)), []).append(way)
                edges.setdefault((int(other), k), []).append(way[::-1])
    graph = nx.DiGraph()
    listed = [(pair, way) for pair, ways in edges.items() for way in ways if path_length(way) > 0]
    if listed:
        with np.errstate(all="ignore"):
            costs, _, _ = actions(field, np.array([respaced(way, CORNERS) for _, way in listed]))
        for (pair, way), cost in zip(listed, costs, strict=True):
            if np.isfinite(cost) and not (graph.has_edge(*pair) and graph.edges[pair]["cost"] <= cost):
                graph.add_edge(*pair, cost=max(float(cost), 0.0), way=way)
    if not (graph.has_node(0) and graph.has_node(1) and nx.has_path(graph, 0, 1)):
        return [], tracks
    routes = itertools.islice(nx.shortest_simple_paths(graph, 0, 1, weight="cost"), MOST_WAYS)
    result = [
        np.concatenate([graph.edges[pair]["way"] for pair in itertools.pairwise(route)]) for route in routes
    ]
    own = [track for k, track in zip(sources, tracks, strict=True) if k < 2]
    return result, own


def _unstable(field: ActionField, x: Array, span: float) -> list[Array]:
    """Both ways along every unstable direction of a point at rest; none of another point."""
    with np.errstate(all="ignore"):
        drift, jacobian = field.both(x[None])
    matrix = jacobian[0]
    if not np.linalg.norm(drift) <= NUDGE * span * np.linalg.norm(matrix):
        return []
    if not np.isfinite(matrix).all():
        return []
    values, vectors = np.linalg.eig(matrix)
    chosen = np.flatnonzero(values.real > 1e-9 * np.abs(values).max(initial=0.0))[:MOST_UNSTABLE]
    sides = [vectors[:, k].real / max(float(np.linalg.norm(vectors[:, k].real)), 1e-300) for k in chosen]
    return [sign * side for side in sides for sign in (1, -1)]


def _cycle_length(field: ActionField, x: Array) -> float:
    """A length that goes round a cycle on which the drift changes as it does at x; 0 where not known."""
    with np.errstate(all="ignore"):
        drift, jacobian = field.both(x[None])
        change = np.linalg.norm(drift) / max(float(np.abs(jacobian).max()), 1e-300)
    return 4 * ORBIT * float(change) if np.isfinite(change) else 0.0

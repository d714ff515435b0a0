"""The basin graph: attractors, joined through the saddles or edge states between their basins.

1. Two attractors are joined where cells of their basins touch.
2. The point that joins them is a fixed point with one unstable direction (a saddle; in one dimension any that
   repels) that leads to one of them either way: the system's fixed points are pushed a little along it, both
   ways, and each arm is followed until it is beside an attractor. Of several the one of least loss counts,
   or of least distance where there is no loss. Where there is none, it is the edge state
   (`samdyn.basin.boundary.edge_states.edge_state`), which may be a cycle, of which the point of least loss
   counts, or a kink of the boundary. If that lies between other basins, or its own arms end in others, the
   two are not joined: their cells touch at isolated points, along a layer thinner than a cell, or along a
   stretch of boundary from which everything goes to the corner with a third basin.
3. Barriers are differences of the loss, and, if asked for, the least action from the attractor to that point
   (`samdyn.escape.rare.least_action`): the exponent of the rate, exp(-action), for a Diffusion; for a Map or
   a Flow the exponent of a flow with unit noise.

With a Diffusion the graph can carry rates (`rate_graph`).
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Iterable
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.basin.boundary.edge_states import edge_state
from samdyn.basin.mapping import Basins
from samdyn.basin.paths.course import quiet_motion
from samdyn.basin.paths.motion import as_flow
from samdyn.basin.paths.pieces import OUT_OF_STEPS
from samdyn.equilibria.search import FixedPoint, fixed_points
from samdyn.escape.rare.least_action import minimum_action
from samdyn.jobs.cost import CostWarning, announce, part_of
from samdyn.jobs.progress import PartsBar
from samdyn.numerics.scales import diagonal_of
from samdyn.results import Absent
from samdyn.results.graphs import BasinGraph
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map

NUDGE = 1e-4  # of the box's diagonal, along an unstable direction
BESIDE = 0.01  # of the box's diagonal: nearer than that an arm is beside an attractor
MOST_ROUNDS, STEPS = 200, 64  # for which an arm is followed on; if it is still on its way, its label holds


@checked
def basin_graph(basins: Basins, *, action: bool = False, progress: bool = False) -> BasinGraph:
    """Graph of the attractors of a system, joined through the saddles between their basins.

    Parameters
    ----------
    basins : Basins
        Of a system without noise, or of a Diffusion (then of its drift's attractors), not of states with
        momentum.
    action : bool
        Compute the least action of every transition as well: two searches an edge, of some seconds each. It
        needs a Diffusion, a Flow, or a Map of a loss and a rule.
    progress : bool
        Show a bar over the edges and actions.

    Returns
    -------
    BasinGraph
        A graph of networkx that can be saved, and has a table and a picture. Nodes are the ids of the
        attractors, with `position` (dim,), `kind`, `name`, `fraction` (with Wilson
        interval) and `loss` (nan without a landscape). Edges have `position` (dim,) of the saddle or edge
        state, `kind` ("saddle", "hallucinated", ... of a fixed point, else "edge state", "edge cycle", or
        "edge track" if it did not settle), `loss`, and for either end a dict by id: `barrier` (rise of the
        loss), `distance`, and `action` (where asked for).

    Raises
    ------
    TypeError, ValueError
        Not a Basins, or one without its system.

    Notes
    -----
    Cost: the search for fixed points in the box (some seconds), and with ``action=True`` two searches for a
    path of least action an edge. The first action is timed, and a `CostWarning` says what the others will
    take if that is more than ten seconds.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.double_well(), sd.GD())
    >>> graph = sd.basin_graph(sd.basins(flow, [(-2, 2)], resolution=100), action=True)
    >>> edge = graph.edges[1, 2]
    >>> edge["kind"], round(edge["barrier"][1], 6), round(edge["action"][1], 3)
    ('maximum', 0.25, 0.5)
    """
    if not isinstance(basins, Basins):
        raise TypeError(f"basins must be a Basins, got {type(basins).__name__}")
    for word, value in (("action", action), ("progress", progress)):
        if not isinstance(value, bool):
            raise TypeError(f"{word} must be True or False, got {value!r}")
    system = basins.system
    if isinstance(system, Absent) or basins.course is None:
        raise ValueError("basins must know its system: load it with system=...")
    if system.state_dim > system.dim:
        raise ValueError(f"basins must be of a system without momentum, got {system!r}")
    graph = BasinGraph(system=repr(system))
    shares = basins.fractions
    for k, attractor in basins.attractors.items():
        graph.add_node(
            k,
            position=attractor.position,
            kind=attractor.kind,
            name=attractor.name,
            fraction=shares.get(k),
            loss=_loss(system, attractor.position),
        )
    labels = _settled(basins.labels)
    touching = [pair for pair in itertools.combinations(basins.attractors, 2) if _touch(labels, *pair)]
    joining = _joining_points(basins) if touching else {}
    near = 1e-3 * diagonal_of(basins.box)
    for a, b in touching:
        ends = {k: graph.nodes[k]["position"] for k in (a, b)}
        points = joining.get(frozenset((a, b)), ())
        if points:
            point = min(points, key=lambda p: _height(system, np.asarray(p.x), ends.values()))
            position, kind = np.asarray(point.x), str(point.kind)
        else:
            known = [np.asarray(p.x) for pair in joining.values() for p in pair]
            edge = _edge_state(basins, a, b)
            if edge is None or any(np.linalg.norm(edge[0] - x) < near for x in known):
                continue  # the boundary there belongs to another pair
            if edge[1] == "edge state" and not _may_join(basins, edge[0], {a, b}):
                continue  # its unstable manifold leads to others
            position, kind = edge
        loss = _loss(system, position)
        data: dict[str, Any] = {
            "position": position,
            "kind": kind,
            "loss": loss,
            "barrier": {k: loss - graph.nodes[k]["loss"] for k in ends},
            "distance": {k: float(np.linalg.norm(position - x)) for k, x in ends.items()},
        }
        graph.add_edge(a, b, **data)
    if action:
        _add_actions(graph, _mover(system), progress)
    return graph


def _add_actions(graph: nx.Graph, mover: Diffusion | Flow | None, progress: bool) -> None:
    """The least action from either end of every edge to its point."""
    if mover is None:
        return
    wanted = [(data, k) for a, b, data in graph.edges(data=True) for k in (a, b)]
    with PartsBar(progress, "basin_graph: actions", len(wanted), "path") as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", CostWarning)  # the whole is announced here, not every path
        for n, (data, k) in enumerate(wanted):
            start = time.perf_counter()
            path = minimum_action(mover, graph.nodes[k]["position"], data["position"])
            data.setdefault("action", {})[k] = path.action
            bar.update()
            if n == 0:
                ahead = (len(wanted) - 1) * (time.perf_counter() - start)
                with warnings.catch_warnings():
                    warnings.simplefilter("default", CostWarning)
                    announce("basin_graph", ahead, "pass action=False for the graph without actions")


def _loss(system: Any, x: npt.ArrayLike) -> float:
    return float("nan") if system.landscape is None else float(system.landscape.value(np.asarray(x)))


def _mover(system: Any) -> Diffusion | Flow | None:
    """What carries the path of least action: the system, or the flow that a map follows."""
    if isinstance(system, Diffusion | Flow):
        return system
    if isinstance(system, Map) and system.landscape is not None and system.rule is not None:
        return Flow(system.landscape, system.rule)
    return None


def _height(system: Any, x: Array, ends: Iterable[Array]) -> float:
    """What the lowest of several passes has least of: the loss, or the way to it."""
    return sum(float(np.linalg.norm(x - y)) for y in ends) if system.landscape is None else _loss(system, x)


def _edge_state(basins: Basins, a: int, b: int) -> tuple[Array, str] | None:
    """The edge state between two basins and its kind; None if others meet there."""
    try:
        edge = edge_state(basins, a, b)
    except ValueError:
        return None  # cells of a noisy system that touch by chance, or an unsettled cell between the two
    if edge.labels != (a, b):
        return None
    lowest = min(edge.points, key=lambda x: _loss(basins.system, x))
    kind = "edge track" if not edge.converged else "edge cycle" if len(edge.points) > 1 else "edge state"
    return lowest, kind


def _settled(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels, with cells that ran out of steps (their point is on a boundary) given to the nearest others."""
    open_ = labels == OUT_OF_STEPS
    if not open_.any() or open_.all():
        return labels
    nearest = ndimage.distance_transform_edt(open_, return_distances=False, return_indices=True)
    return np.asarray(labels[tuple(nearest)])


def _touch(labels: npt.NDArray[Any], a: int, b: int) -> bool:
    """Whether cells of the two lie side by side."""
    for axis in range(labels.ndim):
        one, other = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        if (((one == a) & (other == b)) | ((one == b) & (other == a))).any():
            return True
    return False


@part_of("basin_graph", "basins of a smaller box make it cheaper")
def _joining_points(basins: Basins) -> dict[frozenset[int], list[FixedPoint]]:
    """Fixed points that, pushed either way along their unstable direction, go to two different attractors."""
    system, box = basins.system, basins.box
    assert not isinstance(system, Absent)  # checked by the caller
    if isinstance(system, Diffusion):
        system = as_flow(system)
    found = fixed_points(system, box)
    diagonal = diagonal_of(box)
    starts, owners = [], []
    for point in found:
        x = np.asarray(point.x)
        direction = _unstable_direction(system, x)
        if direction is not None:
            starts += [x + NUDGE * diagonal * direction, x - NUDGE * diagonal * direction]
            owners.append(point)
    result: dict[frozenset[int], list[FixedPoint]] = {}
    if starts:
        ends = _ends(basins, np.array(starts)).reshape(-1, 2)
        for point, (one, other) in zip(owners, ends.tolist(), strict=True):
            if one > 0 and other > 0 and one != other:
                result.setdefault(frozenset((one, other)), []).append(point)
    return result


def _ends(basins: Basins, starts: Array) -> npt.NDArray[Any]:
    """Labels of the attractors that paths from starts (n, dim) come to; 0 where one comes to another.

    A label is given where a path enters what drew all probes onto an attractor. Here a path is followed on,
    until it is beside one, and that has to be the one of its label.
    """
    labels = np.array(basins.label_at(starts), dtype=np.int64)
    assert basins.course is not None
    motion = quiet_motion(basins.course)
    beside = BESIDE * diagonal_of(basins.box)
    state = np.ascontiguousarray(starts.T)
    ids = np.array(sorted(basins.attractors), dtype=np.int64)
    following = labels > 0
    for _ in range(MOST_ROUNDS):
        if not following.any():
            break
        with np.errstate(all="ignore"):
            state = motion(state, np.arange(len(labels)), 0, STEPS)
        here = np.where(np.isfinite(state).all(axis=0), state, np.inf).T
        distance = np.stack(
            [np.linalg.norm(here[:, None] - basins.attractors[k].points, axis=2).min(axis=1) for k in ids]
        )
        there = following & (distance.min(axis=0) <= beside)
        labels[there & (ids[distance.argmin(axis=0)] != labels)] = 0
        following &= ~there
    return labels


def _may_join(basins: Basins, x: Array, pair: set[int]) -> bool:
    """Whether the arms of a point on a boundary end in both of a pair, as far as they can be followed."""
    system = as_flow(basins.system) if isinstance(basins.system, Diffusion) else basins.system
    assert not isinstance(system, Absent)  # checked by the caller
    direction = _unstable_direction(system, x)
    if direction is None:
        return True
    nudge = NUDGE * diagonal_of(basins.box) * direction
    ends = set(_ends(basins, np.array([x + nudge, x - nudge])).tolist())
    return ends == pair


def _unstable_direction(system: Any, x: Array) -> Array | None:
    """The eigenvector of the one unstable eigenvalue at a fixed point; None if there are more, or none.

    A boundary of basins is of one dimension less than the space: the stable manifold of a point with one
    unstable direction. Where the field jumps there is no Jacobian, and no direction.
    """
    jacobian = np.asarray(system.jacobian(x))
    if not np.isfinite(jacobian).all():
        return None
    values, vectors = np.linalg.eig(jacobian)
    unstable = np.flatnonzero(np.abs(values) > 1 if isinstance(system, Map) else values.real > 0)
    if len(unstable) != 1:
        return None
    direction: Array = vectors[:, unstable[0]].real
    return direction / np.linalg.norm(direction)

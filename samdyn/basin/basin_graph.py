"""The basin graph: attractors, joined through the saddles or edge states between their basins.

1. Two attractors are joined where cells of their basins touch.
2. The point that joins them is a fixed point with one unstable direction (a saddle; in one dimension any that
   repels) that leads to one of them either way: the system's fixed points are pushed a little along it and
   followed. Of several the one of least loss counts, or of least distance where there is no loss. Where there
   is none, it is the edge state (`samdyn.basin.edges.edge_state`), which may be a cycle, of which the point
   of least loss counts, or a kink of the boundary. If that lies between other basins, the two are not joined:
   their cells touch at isolated points, along a layer thinner than a cell, or along a stretch of boundary
   from which everything goes to the corner with a third basin.
3. Barriers are differences of the loss, and the least action from the attractor to that point
   (`samdyn.escape.minimum_action`): the exponent of the rate, exp(-action), for a Diffusion; for a Map or a
   Flow that of a flow with unit noise.

With a Diffusion the graph can carry rates (`rate_graph`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from samdyn.basin.basins import Basins
from samdyn.basin.edges import edge_state
from samdyn.basin.motion import as_flow
from samdyn.basin.settle import OUT_OF_STEPS
from samdyn.compute.checks import Array
from samdyn.escape.minimum_action import minimum_action
from samdyn.local.fixed_points import FixedPoint, fixed_points
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map

NUDGE = 1e-4  # of the box's diagonal, along an unstable direction


def basin_graph(basins: Basins, *, action: bool = True) -> nx.Graph:
    """Graph of the attractors of a system, joined through the saddles between their basins.

    Parameters
    ----------
    basins : Basins
        Of a system without noise, or of a Diffusion (then of its drift's attractors), not of states with
        momentum.
    action : bool
        Compute the least action of every transition as well. It needs a Diffusion, a Flow, or a Map of a loss
        and a rule.

    Returns
    -------
    networkx.Graph
        Nodes are the ids of the attractors, with `position` (dim,), `kind`, `name`, `fraction` (with Wilson
        interval) and `loss` (nan without a landscape). Edges have `position` (dim,) of the saddle or edge
        state, `kind` ("saddle", "hallucinated", ... of a fixed point, else "edge state", "edge cycle", or
        "edge track" if it did not settle), `loss`, and for either end a dict by id: `barrier` (rise of the
        loss), `distance`, and `action` (where asked for).

    Raises
    ------
    TypeError, ValueError
        Not a Basins, or one without its system.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.double_well(), sd.GD())
    >>> graph = sd.basin_graph(sd.basins(flow, [(-2, 2)], resolution=100))
    >>> edge = graph.edges[1, 2]
    >>> edge["kind"], round(edge["barrier"][1], 6), round(edge["action"][1], 3)
    ('maximum', 0.25, 0.5)
    """
    if not isinstance(basins, Basins):
        raise TypeError(f"basins must be a Basins, got {type(basins).__name__}")
    if not isinstance(action, bool):
        raise TypeError(f"action must be True or False, got {action!r}")
    system = basins.system
    if system is None or basins.course is None:
        raise ValueError("basins must know its system: load it with system=...")
    if system.state_dim > system.dim:
        raise ValueError(f"basins must be of a system without momentum, got {system!r}")
    graph = nx.Graph(system=repr(system))
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
    mover = _mover(system) if action else None
    near = 1e-3 * float(np.linalg.norm(basins.box[:, 1] - basins.box[:, 0]))
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
            position, kind = edge
        loss = _loss(system, position)
        data: dict[str, Any] = {
            "position": position,
            "kind": kind,
            "loss": loss,
            "barrier": {k: loss - graph.nodes[k]["loss"] for k in ends},
            "distance": {k: float(np.linalg.norm(position - x)) for k, x in ends.items()},
        }
        if mover is not None:
            data["action"] = {k: minimum_action(mover, x, position).action for k, x in ends.items()}
        graph.add_edge(a, b, **data)
    return graph


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


def _joining_points(basins: Basins) -> dict[frozenset[int], list[FixedPoint]]:
    """Fixed points that, pushed either way along their unstable direction, go to two different attractors."""
    system, box = basins.system, basins.box
    assert system is not None  # checked by the caller
    if isinstance(system, Diffusion):
        system = as_flow(system)
    found = fixed_points(system, box)
    diagonal = float(np.linalg.norm(box[:, 1] - box[:, 0]))
    starts, owners = [], []
    for point in found:
        x = np.asarray(point.x)
        direction = _unstable_direction(system, x)
        if direction is not None:
            starts += [x + NUDGE * diagonal * direction, x - NUDGE * diagonal * direction]
            owners.append(point)
    result: dict[frozenset[int], list[FixedPoint]] = {}
    if starts:
        ends = basins.label_at(np.array(starts)).reshape(-1, 2)
        for point, (one, other) in zip(owners, ends.tolist(), strict=True):
            if one > 0 and other > 0 and one != other:
                result.setdefault(frozenset((one, other)), []).append(point)
    return result


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

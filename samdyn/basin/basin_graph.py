"""The basin graph: attractors, joined through the saddles or edge states between their basins.

1. Two attractors are joined where cells of their basins touch.
2. The point that joins them is the saddle (in one dimension: the repelling point) of least loss whose
   unstable directions lead to one each: the system's fixed points are pushed a little either way along them
   and followed. Where there is none, it is the edge state (`samdyn.basin.edges.edge_state`), which may be a
   cycle or a kink of the boundary.
3. Barriers are differences of the loss, and the least action from the attractor to that point
   (`samdyn.escape.minimum_action`): the exponent of the rate, exp(-action), for a Diffusion; for a Map or a
   Flow that of a flow with unit noise.

With a Diffusion the graph can carry rates (`rate_graph`).
"""

from __future__ import annotations

import itertools
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from samdyn.basin.basins import Basins
from samdyn.basin.edges import edge_state
from samdyn.basin.motion import as_flow
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
        state, `kind` ("saddle", "hallucinated", "fixed point", "edge state", ...), `loss`, and for either
        end a dict by id: `barrier` (rise of the loss), `distance`, and `action` (where asked for).

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
    touching = [pair for pair in itertools.combinations(basins.attractors, 2) if _touch(basins, *pair)]
    joining = _joining_points(basins) if touching else {}
    mover = _mover(system) if action else None
    near = 1e-3 * float(np.linalg.norm(basins.box[:, 1] - basins.box[:, 0]))
    for a, b in touching:
        point = min(joining.get(frozenset((a, b)), ()), key=lambda p: _loss(system, p.x), default=None)
        if point is not None:
            position, kind = np.asarray(point.x), str(point.kind)
        else:
            edge = _edge_state(basins, a, b)
            known = [np.asarray(p.x) for pair in joining.values() for p in pair]
            if edge is None or any(np.linalg.norm(edge - x) < near for x in known):
                continue  # they meet at isolated points only: the boundary there belongs to another pair
            position, kind = edge, "edge state"
        ends = {k: graph.nodes[k]["position"] for k in (a, b)}
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


def _edge_state(basins: Basins, a: int, b: int) -> Array | None:
    """The edge state between two basins; None where cells of a noisy system touch by chance."""
    try:
        return edge_state(basins, a, b).x
    except ValueError:
        if basins.probabilities is None:
            raise
        return None


def _touch(basins: Basins, a: int, b: int) -> bool:
    """Whether cells of the two lie side by side."""
    labels = basins.labels
    for axis in range(labels.ndim):
        one, other = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        if (((one == a) & (other == b)) | ((one == b) & (other == a))).any():
            return True
    return False


def _joining_points(basins: Basins) -> dict[frozenset[int], list[FixedPoint]]:
    """Fixed points that, pushed either way along an unstable direction, go to two different attractors."""
    system, box = basins.system, basins.box
    assert system is not None  # checked by the caller
    if isinstance(system, Diffusion):
        system = as_flow(system)
    candidates = [
        point for point in fixed_points(system, box) if point.stability in ("saddle", "repelling", "marginal")
    ]
    diagonal = float(np.linalg.norm(box[:, 1] - box[:, 0]))
    starts, owners = [], []
    for i, point in enumerate(candidates):
        for direction in _unstable_directions(system, np.asarray(point.x)):
            starts += [point.x + NUDGE * diagonal * direction, point.x - NUDGE * diagonal * direction]
            owners.append(i)
    result: dict[frozenset[int], list[FixedPoint]] = {}
    if starts:
        ends = basins.label_at(np.array(starts)).reshape(-1, 2)
        for i, (one, other) in zip(owners, ends.tolist(), strict=True):
            if one > 0 and other > 0 and one != other:
                result.setdefault(frozenset((one, other)), []).append(candidates[i])
    return result


def _unstable_directions(system: Any, x: Array) -> list[Array]:
    """Real eigenvectors of the unstable eigenvalues at a fixed point; none where the field jumps."""
    jacobian = np.asarray(system.jacobian(x))
    if not np.isfinite(jacobian).all():
        return []
    values, vectors = np.linalg.eig(jacobian)
    growth = np.abs(values) - 1 if isinstance(system, Map) else values.real
    chosen = vectors[:, (growth > 0) & (np.abs(values.imag) < 1e-12)].real
    return list((chosen / np.linalg.norm(chosen, axis=0)).T)

"""Stability of critical points under a normalised rule, where the field jumps and no Jacobian exists.

At a critical point z of the loss a normalised perturbation has the length r however small the gradient is, so
that the field just beside z jumps. The decision, for a list of points and along a parameter alike
(`label_at_jump`):

1. "marginal": the rule's directions beside z span no more than a hyperplane, so that it rests on a curve
   through z. A rule whose direction is the gradient itself, and a map with memory, are not asked.
2. "trapping": of a flow, where it is drawn onto z (`is_drawn`: the field beside z points inwards in every
   direction of attraction, `samdyn.systems.jump.attracts`; where the Hessian vanishes but for rounding it
   cannot say so, and there must be a ball that is drawn onto z, `samdyn.equilibria.stability.captured_ball`).
   Of a map its own orbits decide: they hover about z (`samdyn.equilibria.stability.hovering`), and need not
   do what the flow does.
3. "repelling" where all directions beside z lead away, and where the flow is drawn onto a point that is no
   saddle of the loss but the map leaves; else "saddle".

The ball of a trapping point belongs to the flow of its rule, where there is one: a lower bound by sampling,
and nan where the flow is not drawn onto the point.
"""

from __future__ import annotations

import math

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.stability.captured_ball import (
    Evaluation,
    capture_radius,
    check_size,
    evaluation,
    reach_of,
)
from samdyn.equilibria.stability.critical_kinds import kind_of
from samdyn.equilibria.stability.hovering import chatter_radii, first_moves, has_memory
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.sphere import directions
from samdyn.rules.rule import Rule
from samdyn.systems.flow import Flow
from samdyn.systems.jump import attracts, descent_beside, jump_length
from samdyn.systems.map import Map
from samdyn.systems.system import System

NO_HESSIAN = 1e-8  # of its size at the distance r: a Hessian below it is rounding
CONFINED = 1e-9  # ratio of the singular values of directions that span no more than a hyperplane


def jump_stability(system: System, z: Array, reach: float | None = None) -> list[tuple[str, float, float]]:
    """Stability of critical points (n, dim) under a rule that jumps there, with their capture and chatter
    radii.
    """
    check_size(system.dim)
    flow = flow_of(system)
    evaluate = None if flow is None or len(z) <= 2 else evaluation(flow, many=True)
    chatter = _chatter(system, z)
    return [
        stability_at_jump(system, point, far, reach=reach, evaluate=evaluate)
        for point, far in zip(z, chatter.tolist(), strict=True)
    ]


def jump_words(system: System, z: Array) -> list[tuple[str, float, float]]:
    """The same without capture radii, which take most of the time: they are nan."""
    check_size(system.dim)
    words = [
        (label_at_jump(system, point, far), far) for point, far in zip(z, _chatter(system, z), strict=True)
    ]
    return [(word, math.nan, float(far) if word == "trapping" else math.nan) for word, far in words]


def _chatter(system: System, z: Array) -> Array:
    """Within which distance of points (n, dim) the orbits of a map hover; 0 of a flow."""
    return chatter_radii(system, z) if isinstance(system, Map) else np.zeros(len(z))


def stability_at_jump(
    system: System,
    z: Array,
    chatter: float,
    *,
    reach: float | None = None,
    evaluate: Evaluation | None = None,
) -> tuple[str, float, float]:
    """Label, capture radius and chatter radius of one critical point z (dim,); nan for what does not exist.

    Parameters
    ----------
    system : Map or Flow
        Of a rule that jumps at critical points.
    z : ndarray, shape (dim,)
    chatter : float
        Within which distance of z the orbits of a map hover, inf where they leave; not read of a flow.
    reach : float, optional
        How far capture is tested; `reach_of` by default.
    evaluate : callable, optional
        What `evaluation` returns for the flow.
    """
    label, capture, flow = label_at_jump(system, z, chatter), float("nan"), flow_of(system)
    if label != "trapping":
        return label, capture, float("nan")
    if flow is not None and (has_memory(system) or is_drawn(flow, z)):
        assert system.rule is not None
        far = reach_of(system, jump_length(system.rule, z)) if reach is None else reach
        capture = capture_radius(flow, z, float(far), evaluate)
        if has_memory(system) and capture == 0:  # nothing says that the flow attracts
            capture = float("nan")
    return label, capture, chatter


def label_at_jump(system: System, z: Array, chatter: float) -> str:
    """The word alone: "marginal", "trapping", "repelling" or "saddle"; see `stability_at_jump`."""
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    if not rule.plain and not has_memory(system) and _confined(loss, rule, z):
        return "marginal"
    flow = flow_of(system)
    if np.isfinite(chatter) if isinstance(system, Map) else flow is not None and is_drawn(flow, z):
        return "trapping"
    beside = z + 1e-6 * (jump_length(rule, z) or 1.0) * directions(system.dim)
    if isinstance(system, Map) and (flow is None or rule.memory):
        moves = first_moves(system, beside)
    else:
        assert flow is not None
        moves = flow(beside)
    if ((moves * (beside - z)).sum(axis=-1) > 0).all():
        return "repelling"
    beyond = has_memory(system) or (isinstance(system, Map) and flow is not None and is_drawn(flow, z))
    return "repelling" if beyond and kind_of(loss.hessian(z)) != "saddle" else "saddle"


def is_drawn(flow: Flow, z: Array) -> bool:
    """Whether a flow is drawn onto a critical point z (dim,)."""
    loss, rule = flow.landscape, flow.rule
    assert loss is not None and rule is not None
    length = jump_length(rule, z)
    around = np.abs(loss.hessian(z + length * directions(loss.dim))).max()
    if np.abs(loss.hessian(z)).max() <= NO_HESSIAN * around:
        return capture_radius(flow, z, reach_of(flow, length)) > 0
    return attracts(loss, rule, z, flow.form)


def flow_of(system: System) -> Flow | None:
    """The flow of a system's rule, itself for a flow; None where the rule has none."""
    if isinstance(system, Flow):
        return system
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    return None if rule.without_flow else Flow(loss, rule)


def _confined(loss: Landscape, rule: Rule, z: Array) -> bool:
    """Whether the rule's direction stays in a hyperplane beside z, so that it rests on a curve through z."""
    size = np.linalg.svd(descent_beside(loss, rule, z, directions(loss.dim)), compute_uv=False)
    return bool(size[-1] <= CONFINED * size[0])

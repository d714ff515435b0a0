"""Entries of a list of fixed points at which the field jumps: on kinks of the loss, and where a rule's own
field is discontinuous away from the critical points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.kinks import LARGEST_TRACED_DIM
from samdyn.equilibria.fixed_point import FixedPoint
from samdyn.equilibria.kinks.following_orbits import (
    RADIUS,
    Field,
    field_jumps,
    field_of,
    followed_stability,
    hover_radius,
    slope_jumps,
)
from samdyn.equilibria.kinks.index import kind_around
from samdyn.equilibria.kinks.points import BESIDE, in_hull, search_kinks
from samdyn.equilibria.newton import Evaluation, sobol_starts
from samdyn.equilibria.search_seeds import between_zeros
from samdyn.numerics.scales import diagonal_of
from samdyn.systems.map import Map
from samdyn.systems.system import System

MAY_HAVE = "the loss may have kinks (its gradient chooses between branches)"
"""What a trace shows: whether the branches differ, and within the box, it does not."""
AT_REST = 1e-6  # of the field's usual size: a larger one at a critical point is no rounding


def kinked_entries(
    system: System,
    displacement: Callable[[Tensor], Tensor],
    box: Array,
    *,
    perturbed: bool,
    kinks: bool | None,
    summed: bool = False,
) -> tuple[list[FixedPoint], list[str]]:
    """Fixed points on kinks of the loss, and what must be said about kinks.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Made from a loss.
    displacement : callable
        The field of its flow, of one point.
    box : ndarray, shape (dim, 2)
    perturbed : bool
        Whether that is another field than the negative gradient.
    kinks : bool or None
        Whether the loss has kinks, if that is known (`samdyn.dynamics.kinks.kinks_of`).
    summed : bool
        Whether index sums have found what rests on kinks (`samdyn.equilibria.kinks.index`): they need no
        search.
    """
    loss = system.landscape
    assert loss is not None
    if loss.dim > LARGEST_TRACED_DIM:
        return [], [
            f"kinks of the loss are not searched in more than {LARGEST_TRACED_DIM} coordinates: points at "
            "rest where the gradient jumps (abs, maximum, relu) would be missing"
        ]
    if kinks is None:
        text = "are found by the index sum only" if summed else "would be missing"
        return [], [
            "the loss cannot be traced, so that kinks (abs, maximum, relu) go unnoticed: points at rest on "
            f"them {text}"
        ]
    if not kinks:
        return [], []
    if summed:
        return [], [
            f"{MAY_HAVE}: points at rest on them are found by the index sum, which "
            "pairs of opposite index in one cell may escape"
        ]
    found = search_kinks(loss, displacement, box, perturbed)
    missing = "points at rest there (such as the minimum of |w|) are not listed; follow trajectories"
    if found.refused:
        return [], [f"{MAY_HAVE}, which are not searched: {found.refused}; {missing}"]
    notes = [f"{MAY_HAVE}: {len(found.points)} points at rest on them, by a search that may miss others"]
    if found.n_in_families:
        notes.append(
            "the loss may have kinks on which points at rest form curves or surfaces: these are not listed"
        )
    if found.only_loss:
        notes.append(
            "points whose perturbed point is on a kink of the loss are not searched for: too many kinks"
        )
    if system.rule is not None and system.rule.jumps:
        notes.append(
            "under a normalised rule a point can rest on a kink without being critical: such points are "
            "listed only where the search came across them"
        )
    field = field_of(displacement, system.dim)
    return [_entry(system, field, p.x, p.kind, box) for p in found.points], notes


def resting_entries(
    system: System,
    displacement: Callable[[Tensor], Tensor],
    box: Array,
    critical: Array,
    others: Array,
    known: Array,
    *,
    kinks: bool,
) -> list[FixedPoint]:
    """Entries for points at rest that index sums found in the plane: critical ones (n, 2), and hallucinated
    ones (m, 2), but for those that are near the points `known` (k, 2). Without `kinks` of the loss it is the
    rule that jumps there.
    """
    loss = system.landscape
    assert loss is not None
    diagonal = diagonal_of(box)
    field = field_of(displacement, system.dim)
    result: list[FixedPoint] = []
    for n, x in enumerate(np.concatenate([critical, others])):
        taken = np.concatenate([known, *(p.x[None] for p in result)])
        if len(taken) and np.linalg.norm(taken - x, axis=1).min() <= 1e-6 * diagonal:
            continue
        if not in_hull(field, x, BESIDE * diagonal):
            continue  # a critical point at which this rule does not rest
        kind = kind_around(loss, x, diagonal) if n < len(critical) else "hallucinated"
        result.append(_entry(system, field, x, kind, box) if kinks else _own_jump(system, x))
    return result


def crossed_jumps(
    system: System,
    evaluate: Evaluation,
    box: Array,
    known: Array,
    critical: Callable[[Array], npt.NDArray[np.bool_]],
) -> list[FixedPoint]:
    """Entries for points on a line at which the field of a rule changes its sign by a jump, away from
    critical points and from the points `known` (n, 1). As of all points at which a rule itself jumps, nothing
    is said of their stability.
    """
    crossings = between_zeros(evaluate, known, box)
    if len(crossings):
        crossings = crossings[~critical(crossings)]
    if len(crossings):
        crossings = crossings[field_jumps(lambda x: evaluate(x)[0], crossings, diagonal_of(box))]
    return [_own_jump(system, x) for x in crossings]


def reflected_entries(
    system: System, displacement: Callable[[Tensor], Tensor], box: Array, points: list[FixedPoint]
) -> list[FixedPoint]:
    """Entries for reflections of points at which the rule itself jumps, through the origin and each
    coordinate plane, where it jumps and rests there too: a search that meets a jump at one point by chance
    need not meet it at the other one of a symmetric loss.
    """
    jumping = [p.x for p in points if p.kind == "hallucinated" and p.stability == "jump"]
    if not jumping:
        return []
    flips = np.concatenate([-np.ones((1, system.dim)), 1 - 2 * np.eye(system.dim)])
    images = (np.array(jumping)[:, None] * flips + 0.0).reshape(-1, system.dim)
    images = images[((images >= box[:, 0]) & (images <= box[:, 1])).all(axis=1)]
    field, diagonal = field_of(displacement, system.dim), diagonal_of(box)
    known, result = np.array([p.x for p in points]), []
    for x in images[field_jumps(field, images, diagonal)]:
        if np.linalg.norm(known - x, axis=1).min() <= 1e-6 * diagonal:
            continue
        if in_hull(field, x, BESIDE * diagonal):
            known = np.concatenate([known, x[None]])
            result.append(_own_jump(system, x))
    return result


def _own_jump(system: System, x: Array) -> FixedPoint:
    """A point where the rule itself jumps: nothing is said of its stability."""
    return FixedPoint(x, "hallucinated", "jump", np.full(system.state_dim, np.nan), 0.0)


def resting_at(
    system: System, displacement: Callable[[Tensor], Tensor], points: list[FixedPoint], box: Array
) -> list[FixedPoint]:
    """The critical points at which a rule that sees samples rests: its direction need not vanish
    with the gradient of the mean. Where its field jumps it rests by convention, as other rules do.
    """
    if not points:
        return []
    x, field = np.array([p.x for p in points]), field_of(displacement, system.dim)
    size = np.linalg.norm(field(x), axis=1)
    around = np.linalg.norm(field(sobol_starts(box, 64)), axis=1)
    moves = (size > AT_REST * np.nanmedian(around)) & ~field_jumps(field, x, diagonal_of(box))
    return [point for point, leaves in zip(points, moves, strict=True) if not leaves]


def jumping_entry(
    system: System,
    displacement: Callable[[Tensor], Tensor],
    point: FixedPoint,
    box: Array,
    kinks: bool | None,
) -> FixedPoint:
    """The entry of a point with the stability that orbits show if the field, or its Jacobian, jumps there."""
    rule = system.rule
    if point.dimension or rule is None or np.isnan(point.eigenvalues).any():
        return point
    if type(rule).__module__.split(".")[0] == "samdyn" and kinks is False:
        return point  # the rules of samdyn jump at critical points only
    field = field_of(displacement, system.dim)
    diagonal = diagonal_of(box)
    x = point.x[None]
    if not (field_jumps(field, x, diagonal)[0] or (kinks and slope_jumps(field, x, diagonal)[0])):
        return point
    return replace(_entry(system, field, point.x, point.kind, box), on_kink=False, residual=point.residual)


def _entry(system: System, field: Field, x: Array, kind: str, box: Array) -> FixedPoint:
    """A point where the field jumps."""
    diagonal = diagonal_of(box)
    stability, hover = followed_stability(field, x, diagonal), 0.0
    if stability == "trapping" and isinstance(system, Map):
        hover = hover_radius(system, field, x, diagonal)
        if not np.isfinite(hover):
            stability = "jump"  # the flow is captured, the map is not held nearby
    traps = stability == "trapping"
    return FixedPoint(
        x,
        kind,
        stability,
        np.full(system.state_dim, np.nan),
        0.0,
        capture_radius=RADIUS * diagonal if traps else float("nan"),
        chatter_radius=hover if traps else float("nan"),
        on_kink=True,
    )

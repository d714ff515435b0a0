"""Fixed points of a map, a flow or a drift in a box: found, classified, and proven complete on request.

Algorithm
---------
1. Genuine points, the critical points of the loss: batched Newton on the gradient with deflation
   (`samdyn.equilibria.newton`). They are fixed points of every rule, since e = 0 where g = 0.
2. Hallucinated points: the same on grad f(x + e(x)); zeros with a vanishing gradient belong to step 1 and
   are dropped.
3. Zeros with a singular Jacobian are tried for curves and surfaces (`samdyn.equilibria.solution_sets`): one
   entry each, with its dimension and sample points.
4. Kind, from the Hessian's eigenvalues at a critical point: "minimum", "saddle", "maximum", or "degenerate"
   if one is below 1e-6 of the largest in modulus.
5. Stability, from the Jacobian where there is one; at a critical point under a normalised rule from the
   capture set (`samdyn.equilibria.stability.captured_ball`).
6. With ``certify=True``: a certificate for every isolated point, and a subdivision of the box that excludes
   any other (`samdyn.equilibria.proof.krawczyk`). A point that the proof finds and the search did not joins
   the list.
7. In two dimensions the indices of the zeros must add up to the winding numbers of the field
   along the cells of a grid; where they do not, cells are split and searched until they do, or the coverage
   says how many more zeros there must be (`samdyn.equilibria.proof.index_check`, and
   `samdyn.equilibria.kinks.index` with kinks). In three to six dimensions they must add up to the degree on
   the box's boundary, where that is known and the loss has no kinks
   (`samdyn.equilibria.proof.boundary_index`): the coverage says how many more there must be, or why this is
   not checked.
8. A rule may jump away from the critical points: at ties of eigenvalues, where a part of the gradient
   vanishes, or, in a layer as wide as its eps, where an entry does. Where the indices of step 7 do not add up
   in two dimensions they are summed across such jumps too (`samdyn.equilibria.kinks.index`), which locates a
   point at rest to 1e-6 of the box, or better where no other jump is near. Reflections of such points in the
   coordinate planes and the origin are tried, in any number of dimensions.

Systems given by a function skip 1 and 4.

Losses with kinks (abs, maximum, relu): points at rest on a kink, in Filippov's sense, are searched for apart
(`samdyn.equilibria.kinks.points`), for losses of up to 12 coordinates with up to 32 kinks and comparisons;
others, and losses that cannot be traced or have more than 64 coordinates, are named in the result's `notes`.
Their stability comes from orbits (`samdyn.equilibria.kinks.following_orbits`), as it does at hallucinated
points where a rule that is not samdyn's makes its own field jump. Where a rule of samdyn does, and the loss
has no kinks, nothing is said of stability ("jump").

Without step 6 the search is complete with high probability, not certainly; how high, the `coverage` says
(`samdyn.equilibria.coverage`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.dynamics.kinks import kinks_of
from samdyn.equilibria.fixed_point import FixedPoint, FixedPoints
from samdyn.equilibria.kinks.following_orbits import field_jumps
from samdyn.equilibria.kinks.index import boxes_about
from samdyn.equilibria.kinks.jump_entries import (
    crossed_jumps,
    jumping_entry,
    kinked_entries,
    reflected_entries,
    resting_at,
    resting_entries,
)
from samdyn.equilibria.kinks.points import BESIDE, in_hull
from samdyn.equilibria.newton import (
    perturbed_evaluation,
    sobol_starts,
    value_and_jacobian,
)
from samdyn.equilibria.proof.enclosure import critical_field, shift_coefficients, zero_field
from samdyn.equilibria.search_watch import SearchWatch
from samdyn.equilibria.stability.at_jumps import jump_stability, jump_words
from samdyn.equilibria.stability.critical_kinds import kind_of
from samdyn.equilibria.stability.linearization import motion_at, scales_of, stability_of
from samdyn.equilibria.zero_search import (
    Options,
    Zeros,
    checked_search,
    critical_among,
    proven,
    undefined_share,
    with_undefined,
)
from samdyn.numerics.scales import diagonal_of
from samdyn.rules.rule import Rule
from samdyn.systems.flow import velocity
from samdyn.systems.map import Map
from samdyn.systems.system import System, check_limit
from samdyn.trace import batch
from samdyn.trace.tracing import NotTraceable

__all__ = ["FixedPoint", "FixedPoints", "fixed_points"]

TOLERANCE = 1e-12  # of a residual, relative: some thousand times rounding
MOST_DIMENSIONS = 6
"""Above it no box can be subdivided to the end: `certify` is refused."""


@checked
def fixed_points(
    system: System,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    period: int = 1,
    *,
    n_starts: int | None = None,
    tolerance: float | None = None,
    certify: bool = False,
    progress: bool = False,
) -> FixedPoints:
    """All fixed points (or cycles) of a system in a box: genuine and hallucinated, isolated and in families.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Of a Diffusion the zeros of the drift. The coefficients must be constant: a schedule has no fixed
        points.
    box : sequence of (lower, upper), optional
        Where to look; the system's own box by default.
    period : int
        1 for fixed points; k > 1 for the cycles of a map of least period k (see `cycles`).
    n_starts : int, optional
        Newton starts (2048 by default; of cycles 256), rounded up to a power of two; up to four times as
        many are spent while a point was found fewer than ten times.
    tolerance : float, optional
        Largest residual accepted, relative to 1 + |J| (1 + |x|): 1e-12 by default, of cycles 1e-11.
    certify : bool
        Prove the list complete by interval subdivision, or name the boxes left `undecided`. In up to six
        dimensions, for losses that can be traced into scalar operations.
    progress : bool
        Show a progress bar over Newton steps of all starts, and generations of boxes of the proof; how many
        there will be is not known.

    Returns
    -------
    FixedPoints
        A sequence of `FixedPoint`, with `genuine`, `hallucinated`, `families`, `coverage` and, with
        ``certify=True``, `certified` and `undecided`.

    Raises
    ------
    TypeError, ValueError
        No box, bounds reversed, a scheduled coefficient, period > 1 for a flow, a system that is infinite or
        nan all over the box, a loss that cannot be certified.

    Warns
    -----
    CostWarning
        The search, or the proof, will take more than ten seconds: by the time of its first batch of starts
        (within a factor of two for the rules of samdyn in the plane, otherwise rougher), by the levels of
        cells where indices do not add up, or by the growth of the number of boxes (rougher still).

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.equilibria.search`). Parts of the box where the
    loss is infinite or nan are searched as far as Newton paths start outside them; `coverage` says how many
    starts were lost. The proof of completeness concerns isolated points: along a family boxes stay
    undecided. Near a critical point under a normalised rule, where the field jumps, hallucinated points are
    excluded for every direction of ascent.

    Examples
    --------
    >>> import samdyn as sd
    >>> points = sd.fixed_points(sd.Flow(sd.landscapes.double_well(), sd.SAM(0.2)), certify=True)
    >>> [(round(float(p.x[0]), 6), p.kind, p.stability) for p in points.genuine]
    [(-1.0, 'minimum', 'trapping'), (0.0, 'maximum', 'trapping'), (1.0, 'minimum', 'trapping')]
    >>> len(points.hallucinated), points.certified
    (2, True)
    """
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if box is None and system.box is None:
        raise ValueError(f"box must be given: {system.name} has none of its own")
    region = checks.box("box", system.box if box is None else box, system.dim)
    period = checks.integer("period", period, at_least=1)
    given: dict[str, Any] = {"n_starts": n_starts, "tolerance": tolerance}
    n_starts = 2048 if n_starts is None else checks.integer("n_starts", n_starts, at_least=1)
    tolerance = TOLERANCE if tolerance is None else checks.number("tolerance", tolerance, above=0)
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients to have fixed points, got {system!r}")
    check_limit("fixed points", system.rule)
    if period > 1:
        if not isinstance(system, Map):
            raise ValueError(
                f"period must be 1 for a {type(system).__name__}: only maps have cycles of a given period"
            )
        if certify:
            raise ValueError(f"certify must be False for cycles, got True with period={period}")
        from samdyn.equilibria.cycle_search import cycles  # which starts from the fixed points

        options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        found = cycles(system, region, period=period, progress=progress, **options)
        return FixedPoints(tuple(p for p in found if p.period == period), system, region)
    if certify and system.dim > MOST_DIMENSIONS:
        raise ValueError(
            f"certify must be False in more than {MOST_DIMENSIONS} dimensions, got dim={system.dim}"
        )
    try:
        with _watch(system, progress) as watch:
            return _found(system, Options(region, n_starts, tolerance, watch), certify)
    except NotTraceable as error:
        raise ValueError(
            f"certify must be False for {system.name}: it cannot be evaluated on intervals ({error})"
        ) from error


def points_to_name(system: System, box: Array, n_starts: int) -> FixedPoints:
    """The fixed points in a box, for names of attractors: without the balls that trapping points capture,
    whose measurement is a third of the search of a rule that jumps.

    Examples
    --------
    >>> import samdyn as sd
    >>> well = sd.Flow(sd.landscapes.double_well(), sd.SAM(0.2))
    >>> [p.stability for p in points_to_name(well, well.box, 64)][:3]
    ['trapping', 'trapping', 'trapping']
    """
    check_limit("fixed points", system.rule)
    with _watch(system, False) as watch:
        return _found(system, Options(box, n_starts, TOLERANCE, watch, radii=False), certify=False)


def _watch(system: System, progress: bool) -> SearchWatch:
    return SearchWatch(
        progress,
        "fixed_points",
        2 if system.rule is not None and _perturbs(system.rule) else 1,
        "pass a smaller n_starts",
        "a smaller box, or certify=False, is cheaper",
    )


RESTING = 1e-8
"""How far a state with settled memory may move in a step and still be called fixed."""


def _found(system: System, options: Options, certify: bool) -> FixedPoints:
    box = options.box
    displacement = displacement_of(system)
    loss = system.landscape
    if loss is None:
        search, _ = checked_search(value_and_jacobian(displacement, system.dim), options)
        if certify:
            search = proven(search, zero_field(system, displacement), options)
        points = _described(system, search, "fixed point") + _as_families(system, search, "fixed point")
        return FixedPoints(
            tuple(points),
            system,
            box,
            {"all": search.coverage},
            {"all": search.proof} if search.proof else {},
        )
    undefined = undefined_share(loss, options)
    evaluate_gradient = value_and_jacobian(torch.func.grad(loss.one_point), system.dim)
    kinks, diagonal = kinks_of(loss), diagonal_of(box)

    may_jump = kinks is not False

    def no_zeros(zeros: Array) -> npt.NDArray[np.bool_]:
        # on a kink torch's derivative of abs is 0, so that the gradient can seem to vanish there
        jumps = field_jumps(lambda x: evaluate_gradient(x)[0], zeros, diagonal) if may_jump else False
        return np.asarray(~np.isfinite(loss.value(zeros)) | jumps)

    genuine, resting = checked_search(evaluate_gradient, options, no_zeros, kinks=may_jump)
    genuine = replace(genuine, coverage=with_undefined(genuine.coverage, undefined))
    if certify:
        genuine = proven(genuine, critical_field(loss), options)
    kinds = _kinds(genuine, box)
    points = _described_critical(system, genuine, kinds, options) + _as_families(
        system, genuine, "degenerate"
    )
    others = np.empty((0, system.dim))
    coverage, proofs = {"genuine": genuine.coverage}, {}
    if genuine.proof is not None:
        proofs["genuine"] = genuine.proof
    perturbs = system.rule is not None and _perturbs(system.rule)
    if system.rule is not None and perturbs:
        critical = np.concatenate([genuine.x, *(family.points for family in genuine.families)])
        coefficients = shift_coefficients(system)
        if coefficients is None:
            evaluate = value_and_jacobian(displacement, system.dim)
        else:  # from the gradient and the Hessian, which are traced already
            evaluate = perturbed_evaluation(genuine.evaluate, *coefficients)

        def is_critical(zeros: Array) -> npt.NDArray[np.bool_]:
            return critical_among(genuine.evaluate, zeros, critical, box)

        known = np.concatenate([genuine.x, resting])
        hallucinated, others = checked_search(
            evaluate,
            options,
            is_critical,
            genuine=replace(genuine, x=known),
            jumps=system.rule.jumps,
            kinks=may_jump,
            closely=tuple(boxes_about(system, known, box)) if may_jump and system.dim == 2 else (),
            radius=None if coefficients is None else coefficients[1],
        )
        if certify:
            # a smooth field vanishes at the critical points too: there they are known zeros
            known = np.empty((0, system.dim)) if system.rule.jumps else genuine.x
            hallucinated = proven(hallucinated, zero_field(system, displacement), options, known)
        hallucinated = replace(hallucinated, coverage=with_undefined(hallucinated.coverage, undefined))
        if "samples" in system.rule.needs:
            points = resting_at(system, displacement, points, box)
        points += _described(system, hallucinated, "hallucinated")
        if system.dim == 1 and system.rule.jumps_elsewhere:
            listed = np.concatenate([known, hallucinated.x])
            points += crossed_jumps(system, evaluate, box, listed, is_critical)
        points += _as_families(system, hallucinated, "hallucinated")
        coverage["hallucinated"] = hallucinated.coverage
        if hallucinated.proof is not None:
            proofs["hallucinated"] = hallucinated.proof
    points = [
        jumping_entry(system, displacement, p, box, kinks) if p.kind == "hallucinated" or kinks else p
        for p in points
    ]
    summed = system.dim == 2 and all(c.index is not None and c.index.complete for c in coverage.values())
    kinked, notes = kinked_entries(system, displacement, box, perturbed=perturbs, kinks=kinks, summed=summed)
    if len(resting) or len(others):
        known = np.array([p.x for p in (*points, *kinked)]).reshape(-1, system.dim)
        kinked += resting_entries(system, displacement, box, resting, others, known, kinks=may_jump)
    if system.rule is not None and system.rule.memory and isinstance(system, Map):
        # a step from settled memory may look elsewhere than the field of settled memory does
        points = [p for p in points if _step_rests(system, p, diagonal)]
    if system.rule is not None and system.rule.jumps_elsewhere:
        points = _without_jacobians(system, displacement, points, diagonal)
    points = [p for p in points if all(np.linalg.norm(p.x - q.x) > 1e-7 * diagonal for q in kinked)]
    kinked += reflected_entries(system, displacement, box, [*points, *kinked])
    return FixedPoints((*points, *kinked), system, box, coverage, proofs, tuple(notes))


def _step_rests(system: System, point: FixedPoint, diagonal: float) -> bool:
    """Whether a step from settled memory moves nowhere, or to and fro across a jump."""
    if point.residual <= RESTING * (1 + np.linalg.norm(point.x)):
        return True

    def motion(x: Array) -> Array:
        return motion_at(system, x)

    jumps = not point.dimension and bool(field_jumps(motion, point.x[None], diagonal)[0])
    return jumps and in_hull(motion, point.x, BESIDE * diagonal)


def _perturbs(rule: Rule) -> bool:
    """Whether a rule perturbs at all: one with coefficients that are all 0 does not."""
    values = rule.coefficients().values()
    return rule.perturbs and (not values or any(values))


def _without_jacobians(
    system: System, displacement: Callable[[Tensor], Tensor], points: list[FixedPoint], diagonal: float
) -> list[FixedPoint]:
    """Hallucinated points at which the field jumps have no eigenvalues, and nothing is said of their
    stability: the rule looks at a point where something that it normalises vanishes.
    """
    own = [i for i, p in enumerate(points) if p.kind == "hallucinated"]
    if not own:
        return points
    zeros = np.array([points[i].x for i in own])
    jumps = field_jumps(lambda x: batch.evaluate(displacement, x), zeros, diagonal)
    none, result = np.full(system.state_dim, np.nan), list(points)
    for i, jump in zip(own, np.broadcast_to(jumps, len(own)), strict=True):
        if jump:
            result[i] = replace(points[i], stability="jump", eigenvalues=none)
    return result


def displacement_of(system: System) -> Callable[[Tensor], Tensor]:
    """A torch function of one POINT whose zeros are the fixed points."""
    function = system.point_function()
    if not isinstance(system, Map):
        return function
    if system.landscape is not None:  # independent of momentum, and better scaled than x' - x
        assert system.rule is not None
        coefficients = system.rule.coefficients()
        if system.rule.uses_lr and system.rule.memory:  # what settles depends on it
            coefficients |= {"lr": system.coefficients()["lr"]}
        return velocity(system.landscape.oracle, system.rule, "perturbed", **coefficients)
    return lambda x: function(x) - x


# ---------------------------------------------------------------------- description


def _kinds(genuine: Zeros, box: Array) -> list[str]:
    """Kinds of the critical points; a Hessian that rounding alone keeps from zero makes one degenerate."""
    hessian = genuine.evaluate(genuine.x)[1]
    around = genuine.evaluate(sobol_starts(box, 64))[1]
    scale = np.nanmedian(np.where(np.isfinite(around), np.abs(around), np.nan).max(axis=(1, 2)))
    flat = np.abs(hessian).max(axis=(1, 2)) <= 1e-8 * scale
    return ["degenerate" if zero else kind_of(matrix) for zero, matrix in zip(flat, hessian, strict=True)]


def _residuals(system: System, x: Array) -> Array:
    """|x' - x| of a map, |velocity| otherwise, at points (n, dim)."""
    return np.asarray(np.linalg.norm(motion_at(system, x), axis=-1))


def _described(system: System, search: Zeros, kind: str | list[str]) -> list[FixedPoint]:
    """Entries for isolated points with a Jacobian."""
    if len(search.x) == 0:
        return []
    kinds = [kind] * len(search.x) if isinstance(kind, str) else kind
    discrete = isinstance(system, Map)
    result = []
    for x, its_kind, jacobian, residual, scale, proof in zip(
        search.x,
        kinds,
        system.jacobian(search.x),
        _residuals(system, search.x),
        scales_of(system, search.x),
        search.certificates,
        strict=True,
    ):
        values = np.linalg.eigvals(jacobian)
        values = values[np.argsort(-(np.abs(values) if discrete else values.real), kind="stable")]
        # a zero eigenvalue of the Hessian is one of the field, which rounding must not give a sign
        stability = "marginal" if its_kind == "degenerate" else stability_of(values, discrete, scale)
        result.append(FixedPoint(x, its_kind, stability, values, float(residual), certificate=proof))
    return result


def _described_critical(
    system: System, search: Zeros, kinds: list[str], options: Options
) -> list[FixedPoint]:
    """Entries for isolated critical points, which trap where the rule jumps."""
    assert system.rule is not None
    if not system.rule.jumps or len(search.x) == 0:
        return _described(system, search, kinds)
    if options.radii:
        stabilities = jump_stability(system, search.x, reach=diagonal_of(options.box))
    else:
        stabilities = jump_words(system, search.x)
    residuals = np.linalg.norm(search.evaluate(search.x)[0], axis=1)
    none = np.full(system.state_dim, np.nan)
    return [
        FixedPoint(
            point,
            kind,
            stability,
            none,
            float(residual),
            capture_radius=capture,
            chatter_radius=chatter,
            certificate=proof,
        )
        for point, kind, residual, proof, (stability, capture, chatter) in zip(
            search.x, kinds, residuals, search.certificates, stabilities, strict=True
        )
    ]


def _as_families(system: System, search: Zeros, kind: str) -> list[FixedPoint]:
    """One entry for each curve or surface of fixed points, at the sample nearest to its centre."""
    result = []
    for family in search.families:
        cloud = family.points
        centre = cloud[[int(np.argmin(np.linalg.norm(cloud - cloud.mean(axis=0), axis=1)))]]
        jumps = kind == "degenerate" and system.rule is not None and system.rule.jumps
        if jumps:
            residual = float(np.linalg.norm(search.evaluate(centre)[0]))
            none = np.full(system.state_dim, np.nan)
            one = FixedPoint(centre[0], kind, "marginal", none, residual)
        else:
            (one,) = _described(system, replace(search, x=centre, certificates=[None]), kind)
        result.append(replace(one, dimension=family.dimension, points=cloud))
    return result

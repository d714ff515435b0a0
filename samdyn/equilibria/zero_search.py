"""Zeros of a field in a box, with what is known about the completeness of their list.

Newton's method from many starts (`samdyn.equilibria.newton`), curves and surfaces apart
(`samdyn.equilibria.solution_sets`), the index sum in the plane (`samdyn.equilibria.proof.index_check`,
`samdyn.equilibria.kinks.index`), and certificates with a proof by subdivision
(`samdyn.equilibria.proof.krawczyk`). `samdyn.fixed_points` searches the gradient of a loss and the field of
its flow in this way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from samdyn.arguments.checks import Array
from samdyn.equilibria.coverage import Coverage
from samdyn.equilibria.kinks.index import rest_points
from samdyn.equilibria.newton import Evaluation, newton_steps, search_zeros, sobol_starts, zeros_from
from samdyn.equilibria.proof.boundary_index import check_boundary, indices_of_jumps, signs
from samdyn.equilibria.proof.enclosure import Field
from samdyn.equilibria.proof.index_check import IndexCheck, check_index
from samdyn.equilibria.proof.krawczyk import Certificate, Proof, certificates, exhaust
from samdyn.equilibria.search_watch import SearchWatch
from samdyn.equilibria.solution_sets import FEWEST, LINK, Family, split_families
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.scales import diagonal_of

__all__ = [
    "Options",
    "Zeros",
    "checked_search",
    "critical_among",
    "proven",
    "undefined_share",
    "with_undefined",
]

PROOF_ROUNDS = 3
MORE_ROUNDS = 2
"""How often starts are quadrupled where the index sum above two dimensions says that zeros are missing."""


@dataclass(frozen=True)
class Options:
    """Where and how zeros are searched for; see `samdyn.fixed_points`.

    `watch` hears of the work as it is done; `radii` says whether balls that are captured are measured.
    """

    box: Array
    n_starts: int
    tolerance: float
    watch: SearchWatch | None = None
    radii: bool = True


@dataclass(frozen=True)
class Zeros:
    """Isolated zeros x (n, dim), families, and what is known about their completeness."""

    evaluate: Evaluation
    x: Array
    families: list[Family]
    coverage: Coverage
    certificates: list[Certificate | None]
    proof: Proof | None = None


def _search(
    evaluate: Evaluation,
    options: Options,
    excluded: Callable[[Array], npt.NDArray[np.bool_]] | None = None,
    starts: Array | None = None,
    on_kinks: bool = False,
) -> Zeros:
    box = options.box
    zeros, coverage = search_zeros(
        evaluate,
        box,
        n_starts=options.n_starts,
        tolerance=options.tolerance,
        excluded=excluded,
        starts=starts,
        watch=options.watch,
    )
    if coverage.n_undefined == coverage.n_starts:
        raise _nowhere_finite(coverage.n_starts, box)
    isolated, families = split_families(evaluate, zeros, box)
    if excluded is not None and on_kinks:  # walks along null directions may have ended on kinks
        families = [replace(f, points=f.points[~excluded(f.points)]) for f in families]
        families = [f for f in families if len(f.points) >= FEWEST]
        alone = ~np.isin(np.arange(len(zeros)), isolated)
        if alone.any():
            near = np.concatenate([np.empty((0, len(box))), *(f.points for f in families)])
            reach = LINK * diagonal_of(box)
            if len(near):
                alone[alone] = cKDTree(near).query(zeros[alone])[0] > reach
            isolated = np.sort(np.concatenate([isolated, np.flatnonzero(alone)]))
    counts = coverage.counts[isolated]
    if families:  # a family counts as one point, found as often as its members
        members = coverage.counts.sum() - counts.sum()
        counts = np.append(counts, np.full(len(families), members // len(families)))
    return Zeros(
        evaluate, zeros[isolated], families, replace(coverage, counts=counts), [None] * len(isolated)
    )


def checked_search(
    evaluate: Evaluation,
    options: Options,
    excluded: Callable[[Array], npt.NDArray[np.bool_]] | None = None,
    *,
    genuine: Zeros | None = None,
    jumps: bool = False,
    kinks: bool = False,
    closely: Sequence[Array] = (),
    radius: float | None = None,
) -> tuple[Zeros, Array]:
    """Zeros of a field, with the index sum: those that it shows to be missing are searched for.

    `genuine` are critical points, which are known and not searched for; `jumps` says that the field is
    discontinuous there, by perturbations of length `radius` along g (None: of another form), `kinks` that it
    may be so elsewhere; `closely` are boxes (2, 2) whose indices are summed on grids of their own. Also
    returned are points at rest (n, dim) where the field jumps.
    """
    search = _search(evaluate, options, excluded, on_kinks=kinks and genuine is None)
    none = np.empty((0, len(options.box)))
    if len(options.box) == 1 or (len(options.box) > 2 and kinks):
        return search, none
    if len(options.box) > 2:
        index = _boundary(search, options, genuine, jumps, radius)
        for _ in range(MORE_ROUNDS):
            if not index.missing:
                break
            options = replace(options, n_starts=4 * options.n_starts)
            search = _search(evaluate, options, excluded)
            index = _boundary(search, options, genuine, jumps, radius)
        return replace(search, coverage=replace(search.coverage, index=index)), none
    known = none if genuine is None else genuine.x
    curves = np.concatenate([none, *(f.points for z in (search, genuine) if z for f in z.families)])
    resting = none
    if kinks:
        listed = np.concatenate([search.x, known])
        check, new, resting = rest_points(evaluate, options.box, listed, curves, closely, options.watch)
    else:
        exact = None
        if genuine is not None and jumps:  # a degenerate critical point is not known to rounding
            size = np.linalg.svd(genuine.evaluate(known)[1], compute_uv=False)
            exact = size[:, 1] > 1e-4 * size[:, 0]
        check, new = check_index(
            evaluate,
            options.box,
            search.x if jumps else np.concatenate([search.x, known]),
            known if jumps else none,
            curves,
            lambda starts: zeros_from(evaluate, options.box, starts, options.tolerance),
            tight=exact,
            watch=options.watch,
        )
    if len(new):
        search = _search(evaluate, options, excluded, new, kinks and genuine is None)
    if genuine is not None and not kinks and not check.complete and not len(curves):
        # a rule may jump in places of its own, and rest there without a zero for Newton's method to find
        listed = np.concatenate([search.x, known])
        check, resting = _across_jumps(evaluate, options, listed, curves, check)
    return replace(search, coverage=replace(search.coverage, index=check)), resting


def _across_jumps(
    evaluate: Evaluation, options: Options, listed: Array, curves: Array, check: IndexCheck
) -> tuple[IndexCheck, Array]:
    """The better of an index sum and another one across jumps, with the points at rest (n, 2) where the field
    jumps that the latter adds to the list (k, 2).
    """
    across, zeros, jumps = rest_points(evaluate, options.box, listed, curves, watch=options.watch)
    resting = np.concatenate([zeros, jumps])
    open_before = (check.missing + len(check.jumps), check.n_cells - check.n_checked)
    open_after = (across.missing + len(across.jumps), across.n_cells - across.n_checked)
    return (across if len(resting) or open_after < open_before else check), resting


def _boundary(
    search: Zeros, options: Options, genuine: Zeros | None, jumps: bool, radius: float | None
) -> IndexCheck:
    """The index sum above two dimensions."""
    curves = any(z.families for z in (search, genuine) if z)
    indices = signs(search.evaluate(search.x)[1])
    if genuine is not None and not curves:
        if not jumps:
            known = signs(search.evaluate(genuine.x)[1])
        elif radius is None:
            known = np.full(len(genuine.x), np.nan)
        else:
            known = indices_of_jumps(genuine.x, genuine.evaluate(genuine.x)[1], radius, options.box)
        indices = np.concatenate([indices, known])
    return check_boundary(search.evaluate, options.box, indices, curves)


def undefined_share(loss: Landscape, options: Options) -> float:
    """The share of starts at which the loss itself is infinite or nan; its traced gradient need not be."""
    starts = sobol_starts(options.box, options.n_starts)
    finite = np.isfinite(loss.value(starts))
    if not finite.any():
        raise _nowhere_finite(len(starts), options.box)
    return float(1 - finite.mean())


def with_undefined(coverage: Coverage, share: float) -> Coverage:
    """The coverage with the share of starts at which the field is not finite."""
    return replace(coverage, n_undefined=max(coverage.n_undefined, round(share * coverage.n_starts)))


def _nowhere_finite(n_starts: int, box: Array) -> ValueError:
    return ValueError(
        f"system must be finite in the box, got infinity or nan at all {n_starts} starts in {box.tolist()}"
    )


def proven(search: Zeros, field: Field, options: Options, others: Array | None = None) -> Zeros:
    """The zeros with certificates and a proof of completeness; `others` are further known zeros."""
    box = options.box
    reach = diagonal_of(box)
    others = np.empty((0, len(box))) if others is None else others
    their_proofs = certificates(field, others, reach)
    x, coverage = search.x, search.coverage
    for _ in range(PROOF_ROUNDS):
        proofs = certificates(field, x, reach)
        proof = exhaust(
            field,
            box,
            np.concatenate([x, others]),
            proofs + their_proofs,
            watch=options.watch,
        )
        if len(proof.missing) == 0:
            break
        missing = _polished(search.evaluate, proof.missing)
        if len(x):  # what polishes to a point of the list is no new one
            gap = cKDTree(x).query(missing)[0]
            missing = missing[gap > 1e-9 * float(np.ptp(box, axis=1).max())]
        if len(missing) == 0:
            break
        x = np.concatenate([x, missing])
        order = np.lexsort(np.round(x, 9).T[::-1])
        x = x[order]
        counts = coverage.counts
        isolated, rest = counts[: len(x) - len(missing)], counts[len(x) - len(missing) :]
        isolated = np.append(isolated, np.zeros(len(missing), dtype=np.int64))[order]
        coverage = replace(coverage, counts=np.append(isolated, rest))
    if len(proofs) != len(x):  # points came to light in the last round too
        proofs = certificates(field, x, reach)
    return replace(search, x=x, coverage=coverage, certificates=proofs, proof=proof)


def _polished(evaluate: Evaluation, x: Array) -> Array:
    for _ in range(8):
        x = x + newton_steps(*evaluate(x))
    return x


def critical_among(gradient: Evaluation, zeros: Array, critical: Array, box: Array) -> npt.NDArray[np.bool_]:
    """Which zeros of the field are critical points of the loss."""
    value, hessian = gradient(zeros)
    diagonal = diagonal_of(box)
    away = np.full(len(zeros), np.inf) if len(critical) == 0 else cKDTree(critical).query(zeros)[0]
    flat = np.linalg.norm(value, axis=-1) <= 1e-7 * np.abs(hessian).max(axis=(-1, -2)) * diagonal
    return np.asarray(flat | (away <= 1e-7 * diagonal))

"""The other branch through a bifurcation point.

Algorithm
---------
Branch point, pitchfork: the null space of the Jacobian [F_x F_p] has two dimensions, N = (n_1, n_2), and the
branches leave along the roots of the quadratic form ``psi . G''(N a, N a) = 0``, psi the left null vector
(the algebraic branching equation; G'' from central differences of the exact Jacobian). The root less
aligned with the branch at hand is taken; the corrector starts at `OFFSET` from the point both ways, and at
larger offsets where it falls back onto the old branch.

Flip: for the 2k-fold map the flip of a k-cycle is a pitchfork, and the doubled cycles leave along the
critical eigenvector. Both ways hold the same cycles, so one is followed.

Border: from a hallucinated branch to the critical points that it meets, and back. In the second direction
the start solves the border equations with a small positive gradient.

References
----------
Keller (1977); Allgower & Georg (2003), ch. 8; Kuznetsov (2004), ch. 10.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import Point, correct
from samdyn.bifurcation.assembly import assemble
from samdyn.bifurcation.bifurcations import Bifurcation, Curve
from samdyn.bifurcation.border import BorderEquations, Borders
from samdyn.bifurcation.branch import Branch
from samdyn.bifurcation.branches import continuation
from samdyn.bifurcation.defining_systems import Scale, null_vector
from samdyn.bifurcation.following import Way, announce_following, follow
from samdyn.bifurcation.start import check_parameter, region_of
from samdyn.jobs.progress import PartsBar
from samdyn.numerics.scales import length_scale

OFFSET = 2e-4  # scaled distance from the bifurcation at which a new branch is looked for first
SWITCHABLE = ("branch point", "pitchfork", "flip", "border")


def switch_branch(
    branch: Branch,
    bifurcation: Bifurcation,
    *,
    bounds: Sequence[float] | None = None,
    max_step: float = 0.005,
    max_points: int = 4000,
    box: Sequence[Sequence[float]] | None = None,
    progress: bool = False,
) -> Branch:
    """Follow the other branch through a bifurcation point of a branch.

    Parameters
    ----------
    branch : Branch
    bifurcation : Bifurcation
        One of ``branch.bifurcations``: a branch point, a pitchfork, a flip (the result are the cycles of
        twice the period) or a border (the result are the critical points, or from those the hallucinated
        ones).
    bounds : (float, float), optional
        Range of the parameter; the bounds of the branch by default.
    max_step, max_points, box, progress
        As in `continuation`.

    Returns
    -------
    Branch
        Through the point both ways; from a flip or a border one way.

    Raises
    ------
    ValueError
        The point is not of the branch, no other branch of fixed points or cycles leaves from it (a fold,
        Hopf, Neimark-Sacker), or none is found.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Examples
    --------
    >>> import torch
    >>> import samdyn as sd
    >>> logistic = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 2.5}, box=[(0, 1)])
    >>> branch = sd.continuation(logistic, [0.6], "r", (1.5, 4.0))
    >>> doubled = sd.bifurcation.switch_branch(branch, branch.bifurcations[-1])
    >>> doubled.period, [round(b.value, 6) for b in doubled.bifurcations]
    (2, [3.44949])
    """
    if not isinstance(branch, Branch):
        raise TypeError(f"branch must be a Branch, got {branch!r}")
    if not any(bifurcation is b for b in branch.bifurcations):
        raise ValueError(f"bifurcation must be one of branch.bifurcations, got {bifurcation!r}")
    if bifurcation.kind not in SWITCHABLE:
        raise ValueError(
            f"bifurcation must be one of {', '.join(SWITCHABLE)}, from which a branch of fixed points or "
            f"cycles leaves, got a {bifurcation.kind}"
        )
    name = branch.parameter
    low, high = check_parameter(branch.system, name, branch.bounds if bounds is None else bounds)
    if not low <= bifurcation.value <= high:
        raise ValueError(
            f"bounds must hold the bifurcation at {name} = {bifurcation.value:g}, got ({low:g}, {high:g})"
        )
    max_step = checks.number("max_step", max_step, above=0)
    max_points = checks.integer("max_points", max_points, at_least=2)
    if bifurcation.kind == "border":
        return _across_border(branch, bifurcation, (low, high), box, max_step, max_points, progress)
    assert branch.curve is not None
    field = branch.curve.field
    flip = bifurcation.kind == "flip"
    if flip:
        field = field.with_period(2 * branch.period)
    curve = Curve.of(
        field,
        Scale(branch.curve.scale.state, np.array([low]), np.array([high - low]), branch.curve.scale.origin),
    )
    u = curve.scale.join(bifurcation.state, np.array([bifurcation.value]))
    jacobian = curve.equations(u)[1]
    along = np.append(bifurcation.tangent[:-1] / curve.scale.state, bifurcation.tangent[-1] / (high - low))
    along /= np.linalg.norm(along)
    tangent = (
        np.append(np.real(bifurcation.direction), 0.0) if flip else _other_tangent(curve, u, jacobian, along)
    )
    tangent /= np.linalg.norm(tangent)
    origin = Point(u, tangent, jacobian, 0)
    jumps = (
        branch.system.landscape is not None and branch.system.rule is not None and branch.system.rule.jumps
    )
    border = Borders(branch.system, name, curve) if jumps else None
    region = region_of(branch.system, box)
    announce_following("switch_branch", curve, u, max_step, max_points)
    ways = []
    with PartsBar(progress, "switch_branch", None, "point") as bar:
        for sign in (-1.0, 1.0):
            first = _leave(curve, origin, sign * tangent, along)
            if first is None:
                ways.append(Way([origin], [], "lost"))
                continue
            way = follow(
                curve, first, name, max_step, max_points, region, border, first_step=10 * OFFSET, bar=bar
            )
            way.points.insert(0, origin)
            way.bifurcations = [(s + 1, b) for s, b in way.bifurcations]
            ways.append(way)
    if all(len(way.points) == 1 for way in ways):
        raise ValueError(f"no other branch is found at {bifurcation!r}")
    if flip:
        longer = max(ways, key=lambda way: len(way.points))
        ways = [Way([origin], [], "start"), longer]
    return assemble(curve, (ways[0], ways[1]), name, (low, high), border)


def _other_tangent(curve: Curve, u: Array, jacobian: Array, along: Array) -> Array:
    """The branch direction at u that is less aligned with `along`."""
    null = np.linalg.svd(jacobian)[2][-2:]
    left = np.real(null_vector(jacobian, left=True))
    h = 1e-4
    form = np.empty((2, 2))
    for i in range(2):
        change = (curve.equations(u + h * null[i])[1] - curve.equations(u - h * null[i])[1]) / (2 * h)
        form[i] = null @ (left @ change)
    form = (form + form.T) / 2
    across = null @ along
    across /= np.linalg.norm(across)
    perpendicular = np.array([-across[1], across[0]])
    # in the basis (along the branch, across it) the first is a root: what is left is linear
    mixed, pure = across @ form @ perpendicular, perpendicular @ form @ perpendicular
    root = perpendicular if mixed == 0 else perpendicular - across * pure / (2 * mixed)
    return root @ null


def _leave(curve: Curve, origin: Point, tangent: Array, along: Array) -> Point | None:
    """A point of the new branch beside the bifurcation."""
    for offset in OFFSET * np.array([1.0, 4.0, 16.0, 64.0]):
        found = correct(curve.equations, origin.u + offset * tangent, tangent, reach=2 * float(offset))
        if found is None:
            continue
        away = found.u - origin.u
        if float(np.linalg.norm(away - along * (along @ away))) > 0.2 * float(offset) * np.sqrt(
            max(0.0, 1 - float(along @ tangent) ** 2)
        ):
            return (
                found if found.tangent @ tangent > 0 else dataclasses.replace(found, tangent=-found.tangent)
            )
    return None


def _across_border(
    branch: Branch,
    point: Bifurcation,
    bounds: tuple[float, float],
    box: Sequence[Sequence[float]] | None,
    max_step: float,
    max_points: int,
    progress: bool,
) -> Branch:
    name, dim = branch.parameter, branch.system.dim
    at = branch.system.with_parameters(**{name: point.value})
    if branch.curve is not None:
        return continuation(
            at, point.x, name, bounds, max_step=max_step, max_points=max_points, box=box, progress=progress
        )
    if np.isnan(point.direction).any():
        raise ValueError(f"no branch of fixed points ends at {point!r}: the map's cycle around it changes")
    equations = BorderEquations(branch.system, name)
    assert at.landscape is not None
    hessian = at.landscape.hessian(point.x)
    inverse = np.linalg.pinv(hessian)
    width = bounds[1] - bounds[0]
    for share in (1e-3, 1e-4, 1e-2):
        length = float(length_scale(branch.system.box, point.x))
        size = share * float(np.abs(np.linalg.eigvalsh(hessian)).max()) * length
        beside = point.x + size * inverse @ point.direction
        solved = equations.solve(beside, point.direction, point.value, width, size)
        if solved is None or not bounds[0] <= solved[2] <= bounds[1]:
            continue
        start = branch.system.with_parameters(**{name: solved[2]})
        try:
            return continuation(
                start,
                solved[0][:dim],
                name,
                bounds,
                max_step=max_step,
                max_points=max_points,
                box=box,
                progress=progress,
            )
        except ValueError:
            continue
    raise ValueError(f"no branch of hallucinated points is found at {point!r}")

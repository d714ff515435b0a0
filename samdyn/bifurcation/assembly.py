"""A branch from the two ways that were followed: one order, eigenvalues, stability, what lies at its ends."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.bifurcation.bifurcations import Bifurcation, Curve
from samdyn.bifurcation.border import Borders
from samdyn.bifurcation.branch import Branch
from samdyn.bifurcation.detection import NEAR, locate
from samdyn.bifurcation.following import AT_END, Way
from samdyn.equilibria.stability.critical_kinds import kind_of
from samdyn.equilibria.stability.linearization import stability_of


def assemble(
    curve: Curve,
    ways: tuple[Way, Way],
    name: str,
    bounds: tuple[float, float],
    border: Borders | None,
) -> Branch:
    """One branch from two ways that start at the same point, the first one reversed."""
    system, field = curve.field.system, curve.field
    back, ahead = ways
    u = np.array([p.u for p in back.points[::-1]] + [p.u for p in ahead.points[1:]])
    n_back = len(back.points) - 1
    located = [(n_back - s, b) for s, b in back.bifurcations] + [
        (n_back + s, b) for s, b in ahead.bifurcations
    ]
    bifurcations = [b for _, b in sorted(located, key=lambda pair: pair[0])]
    states = curve.scale.states(u[:, :-1])
    values = np.clip(bounds[0] + (bounds[1] - bounds[0]) * u[:, -1], *bounds)  # of rounding at the bounds
    eigenvalues = np.array([curve.eigenvalues(row) for row in u])
    stability = [stability_of(row, field.discrete) for row in eigenvalues]
    orbits = np.array(
        [field.orbit(z, np.array([p]))[:, : system.dim] for z, p in zip(states, values, strict=True)]
    )
    for at_start, way in ((True, back), (False, ahead)):
        last = _end_point(curve, way, name, bifurcations)
        if last is not None:
            bifurcations.insert(0 if at_start else len(bifurcations), last)
        if way.limit is None:
            continue
        # the collision belongs to the branch, but has no Jacobian
        where = 0 if at_start else len(values)
        values = np.insert(values, where, way.limit.value)
        states = np.insert(states, where, way.limit.state, axis=0)
        orbits = np.insert(orbits, where, orbits[0 if at_start else -1], axis=0)
        orbits[0 if at_start else -1, 0] = way.limit.x
        eigenvalues = np.insert(eigenvalues, where, np.nan, axis=0)
        stability.insert(where, "marginal")
        bifurcations.insert(0 if at_start else len(bifurcations), at_end(way.limit))
    width = bounds[1] - bounds[0]
    bifurcations = [
        at_end(b) if min(abs(b.value - bounds[0]), abs(b.value - bounds[1])) <= AT_END * width else b
        for b in bifurcations
    ]
    none = np.full(len(values), np.nan)
    return Branch(
        parameter=name,
        values=values,
        x=states[:, : system.dim].copy(),
        stability=np.array(stability),
        eigenvalues=eigenvalues,
        bifurcations=tuple(bifurcations),
        ends=(back.end, ahead.end),
        kind=_kinds(curve, u, len(values), border, name),
        period=field.period,
        points=orbits,
        capture_radius=none,
        chatter_radius=none.copy(),
        system=system,
        bounds=bounds,
        curve=curve,
    )


def _end_point(curve: Curve, way: Way, name: str, known: list[Bifurcation]) -> Bifurcation | None:
    """A bifurcation that lies at the end of a way, to `AT_END` of the range."""
    last = way.points[-1]
    if not way.end.endswith("bound"):
        return None
    values = curve.eigenvalues(last.u)
    if float(np.abs(curve.growth(values)).min()) > 1e-2 * max(1.0, float(np.abs(values).max())):
        return None
    turned = abs(last.tangent[-1]) < 1e-2
    point = locate(curve, last, (True, turned, False), 1.0, name)[0]
    width = float(curve.scale.width[0])
    end = float(curve.split(last.u)[1][0])
    if point is None or point.error > AT_END * width or abs(point.value - end) > AT_END * width:
        return None
    for i, other in enumerate(known):
        apart = float(np.abs(other.x - point.x).max()) / curve.scale.state
        if abs(other.value - point.value) < AT_END * width and apart < NEAR:
            known[i] = at_end(other)
            return None
    return at_end(point)


def _kinds(curve: Curve, u: Array, n: int, border: Borders | None, name: str) -> npt.NDArray[np.str_]:
    system = curve.field.system
    if curve.field.period > 1:
        return np.array(["cycle"] * n)
    if system.landscape is None:
        return np.array(["fixed point"] * n)
    if border is not None:
        return np.array(["hallucinated"] * n)
    look = Borders(system, name, curve)
    kinds = []
    for row in u:
        gradient, hessian = look.gradients(row)[0], look.hessian(row)
        scale = float(np.linalg.norm(hessian)) * curve.scale.state
        kinds.append("hallucinated" if np.linalg.norm(gradient) > 1e-9 * scale else kind_of(hessian))
    return np.array(kinds)


def at_end(point: Bifurcation) -> Bifurcation:
    """The same point, marked as the end of its branch."""
    return dataclasses.replace(point, at_end=True)

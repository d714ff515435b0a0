"""Bifurcation points between two neighbouring points of a branch: found, located, named.

Algorithm
---------
1. Where the signatures of neighbours differ (`samdyn.bifurcation.bifurcations`), the arc between them is
   bisected, with a corrector at every evaluation, down to 1e-10 of the step: one bracket for each change,
   several in one step if need be.
2. Name: a branch point if the determinant changed, a fold if the parameter turned; else by the eigenvalue
   nearest to the border of stability: near +1 (or 0) a branch point, near -1 a flip, a complex pair a
   Neimark-Sacker or Hopf point. A branch point at which the second branch leaves at a fixed parameter value
   (no quadratic term) is a pitchfork.
3. Newton on the point's defining system from there (`samdyn.bifurcation.defining_systems`). Where it does not
   converge (several eigenvalues cross at once) the bracket's middle is kept.
4. Every point is verified. A branch point is one if the equations hold there to `RESIDUAL` of their size
   along the step (the equations of a branch point that is unfolded, however slightly, hold only on the
   branches beside it), or if their Jacobian is singular at a point of the curve. Any other bifurcation is one
   if Newton converged inside the step, or if both ends of its bracket lie on the curve, as near to each other
   as the bracket is narrow. Where this fails the step has led from one branch to another: it is refused, and
   the caller takes a shorter one.

Error of the value: `Bifurcation.error` is Newton's last correction, or the bracket's width.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import SAME, Point, advance, scaled_rows, tangent_of
from samdyn.bifurcation.bifurcations import MARGIN, Bifurcation, Curve, Signature
from samdyn.bifurcation.defining_systems import COMPLEX, DefiningSystem, null_vector, size_of
from samdyn.bifurcation.normal_forms import complex_coefficient, eigenvalue_speed, real_coefficients

BRACKET = 1e-10  # of the step
LINEAR = 1e-8  # a cubic coefficient below this, in units of the state and of time, is none: a linear map
NO_QUADRATIC_TERM = 1e-5
NEAR = 1e-3  # how far, in scaled units, the polished point may lie from the end of a branch
SAME_POINT = 1e-3  # of the step: a fold nearer than this to a branch point is that point
RESIDUAL = 1e-11  # of the derivatives along the step: above it the equations do not hold
SINGULAR = 1e-7  # of the derivatives along the step

Changes = tuple[bool, bool, bool]
Bracket = tuple[float, float, Changes, bool]


def between(
    curve: Curve, a: Point, b: Point, ds: float, before: Signature, after: Signature, name: str
) -> tuple[list[tuple[float, Bifurcation]], bool]:
    """The bifurcation points on the arc from a to b (at arclength ds from a), with their arclengths, and
    whether all of them are verified: if not, b may lie on another branch than a.
    """
    sizes = np.maximum(curve.sizes(a.u), curve.sizes(b.u))
    found: list[tuple[float, Bifurcation]] = []
    verified = True
    for low, high, changes, sound in _merged(_brackets(curve, a, b, ds, before, after), ds):
        middle = _at(curve, a, b, ds, (low + high) / 2)[0]
        if changes[2]:  # at a branch point the tangent is not defined by the Jacobian, but by the points
            mean = a.tangent + b.tangent
            middle = dataclasses.replace(middle, tangent=mean / float(np.linalg.norm(mean)))
        width = (high - low) + BRACKET * ds
        result, true = locate(curve, middle, changes, width, name, sizes, max(ds / 2, 1e-7), sound)
        verified &= true
        if result is not None and not any(_same(curve, result, other) for _, other in found):
            found.append(((low + high) / 2, result))
    # where the parameter turns on a pitchfork's arms the fold is not another point
    branching = [s for s, point in found if point.kind in ("pitchfork", "branch point")]
    points = [
        (s, point)
        for s, point in found
        if point.kind != "fold" or all(abs(s - other) > SAME_POINT * ds for other in branching)
    ]
    return points, verified


def _same(curve: Curve, a: Bifurcation, b: Bifurcation) -> bool:
    """Whether two brackets have led to one point: its eigenvalue and its determinant change apart, by what
    rounding makes of zero.
    """
    apart = np.append((a.state - b.state) / curve.scale.state, (a.value - b.value) / curve.scale.width[0])
    return a.kind == b.kind and float(np.linalg.norm(apart)) <= SAME


def _at(curve: Curve, a: Point, b: Point, ds: float, s: float) -> tuple[Point, bool]:
    """The point at arclength s between a and b, and whether it is one of the curve: where the corrector
    fails (branch points) it lies on the chord.
    """
    if s == 0 or s == ds:
        return (a if s == 0 else b), True
    point = advance(curve.equations, a, s)
    if point is not None:
        return point, True
    u = a.u + (b.u - a.u) * s / ds
    jacobian = scaled_rows(*curve.equations(u))[1]
    tangent = tangent_of(jacobian, a.tangent)
    return Point(u, a.tangent if tangent is None else tangent, jacobian, 0), False


def _brackets(
    curve: Curve, a: Point, b: Point, ds: float, before: Signature, after: Signature
) -> list[Bracket]:
    stack = [(0.0, before, (a, True), ds, after, (b, True))]
    result: list[Bracket] = []
    while stack:
        low, first, start, high, last, stop = stack.pop()
        if first == last:
            continue
        if high - low <= BRACKET * ds or len(result) > 20:
            changes = (
                first.unstable != last.unstable,
                first.parameter != last.parameter,
                first.orientation != last.orientation,
            )
            gap = float(np.linalg.norm(stop[0].u - start[0].u))
            near = gap <= 100 * (high - low) + 1e-9 * (1 + float(np.linalg.norm(a.u)))
            result.append((low, high, changes, start[1] and stop[1] and near))
            continue
        middle = (low + high) / 2
        point = _at(curve, a, b, ds, middle)
        signature = curve.signature(point[0])
        stack += [(middle, signature, point, high, last, stop), (low, first, start, middle, signature, point)]
    return sorted(result)


def _merged(brackets: list[Bracket], ds: float) -> list[Bracket]:
    """Brackets of changes that belong to one point: closer than 1e-5 of the step."""
    result: list[Bracket] = []
    for low, high, changes, sound in brackets:
        if result and low - result[-1][1] < 1e-5 * ds:
            old = result.pop()
            both = tuple(x or y for x, y in zip(old[2], changes, strict=True))
            result.append((old[0], high, both, sound and old[3]))  # type: ignore[arg-type]
        else:
            result.append((low, high, changes, sound))
    return result


def locate(
    curve: Curve,
    point: Point,
    changes: Changes,
    width: float,
    name: str,
    sizes: Array | None = None,
    near: float = NEAR,
    sound: bool = False,
) -> tuple[Bifurcation | None, bool]:
    """Name the point near which the signature changes, polish it, and say whether it is verified.

    Parameters
    ----------
    curve : Curve
    point : Point
        Inside the bracket.
    changes : tuple of bool
        Whether the number of unstable eigenvalues, the direction of the parameter and the orientation
        changed.
    width : float
        Of the bracket, in scaled arclength.
    name : str
        Of the parameter.
    sizes : ndarray, shape (n,), optional
        Derivatives of the equations along the step, by default those at the point.
    near : float
        How far the polished point may lie from `point`.
    sound : bool
        Whether both ends of the bracket lie on the curve and next to each other.
    """
    sizes = curve.sizes(point.u) if sizes is None else sizes
    values = curve.eigenvalues(point.u)
    critical = complex(values[int(np.argmin(np.abs(curve.growth(values))))])
    kind = _kind(changes, critical, values, curve)
    polished = _polish(curve, kind, point, critical, sizes, near)
    verified = polished is not None or (
        _is_singular(curve, point.u, sizes, near) if kind == "branch point" else sound
    )
    u, error = (point.u, width + MARGIN) if polished is None else polished
    if kind == "fold" and not changes[0] and polished is None:
        return None, True  # a parameter that does not change at all along the branch, to rounding
    z, p = curve.split(u)
    values = curve.eigenvalues(u)
    critical = complex(values[int(np.argmin(np.abs(values - critical)))])
    a = curve.linear(u)
    target = -1.0 if kind == "flip" else 1.0 if curve.field.discrete else 0.0
    shift = critical if kind in COMPLEX else target
    direction = null_vector(a - shift * np.eye(len(a)))
    distance = values - (1.0 if curve.field.discrete else 0.0)
    crossing = int((np.abs(curve.growth(values)) < 1e-6 * max(float(np.abs(distance).max()), 1e-300)).sum())
    number = 2 if kind in COMPLEX else 1
    # where there are no others, nothing is left to compare the critical ones with
    simple = crossing == number or len(values) == number
    jacobian = scaled_rows(*curve.equations(u))[1]
    tangent = point.tangent if kind in ("branch point", "fold") else tangent_of(jacobian, point.tangent)
    tangent = point.tangent if tangent is None else tangent
    quadratic, coefficient = _coefficients(curve, kind, z, p, critical) if simple else (np.nan, np.nan)
    speed = _speed(curve, u, tangent, critical) if simple else complex(np.nan)
    if kind == "branch point" and simple and _is_pitchfork(curve, z, p, quadratic, complex(coefficient).real):
        kind = "pitchfork"
    if kind in ("branch point", "fold"):
        coefficient = quadratic
    elif abs(complex(coefficient).real) * curve.scale.state**2 <= LINEAR * _rate(curve, values, speed):
        coefficient = 0.0
    result = Bifurcation(
        kind,
        name,
        float(p[0]),
        z[: curve.field.system.dim],
        critical,
        complex(coefficient),
        speed,
        float(error * curve.scale.width[0]),
        False,
        z,
        np.append(tangent[:-1] * curve.scale.state, tangent[-1] * curve.scale.width[0]),
        direction,
    )
    return result, verified


def _kind(changes: Changes, critical: complex, values: npt.NDArray[np.complex128], curve: Curve) -> str:
    if changes[2]:
        return "branch point"
    if changes[1]:
        return "fold"
    # of a complex pair both are equally near; a real pair that meets at -1 has no imaginary part
    # multipliers are compared with 1, rates with the largest of them: their unit is the user's
    unit = max(1.0, abs(critical)) if curve.field.discrete else float(np.abs(values).max())
    if abs(critical.imag) > 1e-6 * unit:
        return "Neimark-Sacker" if curve.field.discrete else "Hopf"
    if curve.field.discrete and critical.real < 0:
        return "flip"
    return "branch point"


def _polish(
    curve: Curve, kind: str, point: Point, critical: complex, sizes: Array, near: float
) -> tuple[Array, float] | None:
    field, scale = curve.field, curve.scale
    n = field.n
    a = curve.linear(point.u)
    one = np.eye(n)
    frequency = 0.0
    reference: npt.NDArray[Any]
    if kind in COMPLEX:
        reference = null_vector(a - critical * one)
        frequency = float(np.angle(critical)) if field.discrete else critical.imag
    elif kind == "branch point":
        reference = null_vector(curve.equations(point.u)[1], left=True)
    else:
        target = -1.0 if kind == "flip" else 1.0 if field.discrete else 0.0
        reference = null_vector(a - target * one)
    system = DefiningSystem(kind, field, scale, reference, size_of(field, scale, point.u))
    solved = system.solve(system.unknowns(point.u, frequency), reach=1e-2)
    if solved is None:
        return None
    w, error = solved
    u = w[: n + 1]
    if kind == "branch point" and not _holds(curve, u, sizes):
        return None  # the unfolded system's solution: no branch point
    return (u, error) if float(np.linalg.norm(u - point.u)) < near else None


def _holds(curve: Curve, u: Array, sizes: Array) -> bool:
    """Whether each of the equations holds at u, to rounding of its size along the step."""
    return bool((np.abs(curve.equations(u)[0]) <= (RESIDUAL + curve.scale.rounding) * sizes).all())


def _is_singular(curve: Curve, u: Array, sizes: Array, near: float) -> bool:
    """Whether the curve has a point near u at which its Jacobian has not full rank."""
    rows = np.where(sizes > 0, sizes, 1.0)
    found = u
    for _ in range(30):  # Newton's shortest correction; it halves the distance at a singular point
        value, jacobian = curve.equations(found)
        found = found - np.linalg.lstsq(jacobian / rows[:, None], value / rows, rcond=1e-10)[0]
        if not float(np.linalg.norm(found - u)) <= near:
            return False
    if not _holds(curve, found, rows):
        return False
    singular = np.linalg.svd(curve.equations(found)[1] / rows[:, None], compute_uv=False)
    return bool(singular[-1] <= SINGULAR)


def _coefficients(curve: Curve, kind: str, z: Array, p: Array, critical: complex) -> tuple[float, complex]:
    def jacobian(state: Array) -> Array:
        return curve.field.evaluate(state, p)[1]

    try:
        if kind in COMPLEX:
            size = curve.scale.state
            return float("nan"), complex_coefficient(jacobian, z, critical, size, curve.field.discrete)
        return real_coefficients(kind, jacobian, z, curve.scale.state, curve.field.discrete)
    except np.linalg.LinAlgError:
        return float("nan"), complex(np.nan)


def _is_pitchfork(curve: Curve, z: Array, p: Array, quadratic: float, cubic: float) -> bool:
    """Whether the second derivative along the null vector vanishes beside the third's."""
    size = max(abs(cubic) * curve.scale.state, float(np.abs(curve.field.evaluate(z, p)[1]).max()) * 1e-3)
    return abs(quadratic) <= NO_QUADRATIC_TERM * size


def _rate(curve: Curve, values: npt.NDArray[np.complex128], speed: complex) -> float:
    """What a coefficient is compared with: 1 for a map, a typical eigenvalue for a flow."""
    if curve.field.discrete:
        return 1.0
    along = abs(speed) * float(curve.scale.width[0])
    return max(float(np.abs(values).max()), along if np.isfinite(along) else 0.0)


def _speed(curve: Curve, u: Array, tangent: Array, critical: complex) -> complex:
    if abs(tangent[-1]) < 1e-8:
        return complex(np.nan)
    step = 1e-5 * tangent / tangent[-1]
    change = (curve.linear(u + step) - curve.linear(u - step)) / (2e-5 * curve.scale.width[0])
    return eigenvalue_speed(curve.linear(u), change, critical)

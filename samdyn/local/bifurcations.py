"""Bifurcation points between two neighbouring points of a branch: found, located, named.

Algorithm
---------
1. Signature of a point: the number of unstable eigenvalues (outside the unit circle, or with a positive real
   part), the sign of the tangent's parameter component (it changes at a fold), and the sign of
   ``det [F_x F_p; t]`` (it changes at a branch point). The first catches what the others miss, such as two
   multipliers that leave through -1 together.
2. Where the signatures of neighbours differ, the arc between them is bisected, with a corrector at every
   evaluation, down to 1e-10 of the step: one bracket for each change, several in one step if need be.
3. Name: a branch point if the determinant changed, a fold if the parameter turned; else by the eigenvalue
   nearest to the border of stability: near +1 (or 0) a branch point, near -1 a flip, a complex pair a
   Neimark-Sacker or Hopf point. A branch point at which the second branch leaves at a fixed parameter value
   (no quadratic term) is a pitchfork.
4. Newton on the point's defining system from there (`samdyn.local.defining_systems`). Where it does not
   converge (several eigenvalues cross at once) the bracket's middle is kept.

Error of the value: `Bifurcation.error` is Newton's last correction, or the bracket's width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.compute.checks import Array
from samdyn.local.arclength import Point, advance, scaled_rows, tangent_of
from samdyn.local.defining_systems import (
    COMPLEX,
    DefiningSystem,
    Scale,
    fixed_point_equations,
    null_vector,
    size_of,
)
from samdyn.local.normal_forms import complex_coefficient, eigenvalue_speed, real_coefficients
from samdyn.local.parametric import Parametric

KINDS = ("fold", "flip", "pitchfork", "branch point", "Neimark-Sacker", "Hopf", "border")
MARGIN = 1e-11  # by which an eigenvalue must be past the border of stability to count
BRACKET = 1e-10  # of the step
NO_QUADRATIC_TERM = 1e-5
NEAR = 1e-3  # how far, in scaled units, the polished point may lie from the bracket
SAME_POINT = 1e-3  # of the step: a fold nearer than this to a branch point is that point
LINEAR = 1e-8  # a cubic coefficient below this is none: a linear map


@dataclass(frozen=True)
class Bifurcation:
    """A bifurcation point of a branch.

    Attributes
    ----------
    kind : str
        "fold", "flip", "pitchfork", "branch point" (where branches cross and none is vertical:
        transcritical), "Neimark-Sacker", "Hopf", or "border" (the branch meets the set {grad f = 0} on
        which the field of a normalised rule jumps; on a branch of critical points: where their trap is
        lost or won).
    parameter : str
    value : float
        Of the parameter.
    x : ndarray, shape (dim,)
        Position (of one point of a cycle).
    eigenvalue : complex
        The one that is critical; nan at a border.
    coefficient : complex
        Of the normal form (`samdyn.local.normal_forms`): cubic, quadratic at a fold or branch point; nan at
        a border and where several eigenvalues cross at once.
    speed : complex
        Derivative of the critical eigenvalue in the parameter, along the branch; nan where the branch is
        vertical.
    error : float
        Of `value`: Newton's last correction, or the width of the bracket.
    at_end : bool
        Whether the point lies at an end of the branch, or of the range of the parameter (to 1e-8 of it).
    state : ndarray
        x, or (x, v) with momentum.
    tangent : ndarray, shape (n + 1,)
        Of the branch, in (state, parameter).
    direction : ndarray
        Null vector or critical eigenvector in the state's space; at a border the direction of the gradient.
    """

    kind: str
    parameter: str
    value: float
    x: Array
    eigenvalue: complex
    coefficient: complex
    speed: complex
    error: float
    at_end: bool
    state: Array
    tangent: Array
    direction: npt.NDArray[Any]

    @property
    def criticality(self) -> str:
        """Whether what is born is stable if the rest is ("supercritical") or not ("subcritical"); "" where
        neither applies, or where the coefficient vanishes.
        """
        if self.kind not in ("flip", "pitchfork", *COMPLEX) or not abs(self.coefficient.real) > LINEAR:
            return ""
        stable = self.coefficient.real > 0 if self.kind == "flip" else self.coefficient.real < 0
        return "supercritical" if stable else "subcritical"

    def __repr__(self) -> str:
        position = ", ".join(f"{v:.6g}" if abs(v) > 1e-14 else "0" for v in self.x)
        extra = f", {self.criticality}" if self.criticality else ""
        end = ", at the end" if self.at_end else ""
        return (
            f"Bifurcation({self.kind} at {self.parameter} = {self.value:.10g}, x = ({position}){extra}{end})"
        )


@dataclass(frozen=True)
class Signature:
    """What changes at bifurcation points."""

    unstable: int
    parameter: int
    orientation: int


@dataclass(frozen=True)
class Curve:
    """The equations of a branch with all that is needed to look for its bifurcations.

    Attributes
    ----------
    field : Parametric
    scale : Scale
    equations : callable
        Of the scaled vector.
    """

    field: Parametric
    scale: Scale
    equations: Callable[[Array], tuple[Array, Array]]

    @classmethod
    def of(cls, field: Parametric, scale: Scale) -> Curve:
        """The fixed-point equations of a field."""
        return cls(field, scale, fixed_point_equations(field, scale))

    def split(self, u: Array) -> tuple[Array, Array]:
        """State and parameters of a scaled vector."""
        return self.scale.split(u, self.field.n)

    def linear(self, u: Array) -> Array:
        """The Jacobian of the k-fold map or of the field."""
        return self.field.evaluate(*self.split(u))[1]

    def eigenvalues(self, u: Array) -> npt.NDArray[np.complex128]:
        """Its eigenvalues, from the most to the least unstable."""
        values = np.linalg.eigvals(self.linear(u)).astype(complex)
        growth = np.abs(values) if self.field.discrete else values.real
        return values[np.argsort(-growth, kind="stable")]

    def growth(self, values: npt.NDArray[np.complex128]) -> Array:
        """How far eigenvalues are past the border of stability."""
        return np.abs(values) - 1 if self.field.discrete else values.real

    def signature(self, point: Point) -> Signature:
        """Of a point of the curve."""
        values = self.eigenvalues(point.u)
        margin = MARGIN * max(1.0 if self.field.discrete else 0.0, float(np.abs(values).max()))
        orientation = np.linalg.slogdet(np.vstack([point.jacobian, point.tangent]))[0]
        unstable = int((self.growth(values) > margin).sum())
        return Signature(unstable, 1 if point.tangent[-1] > 0 else -1, int(orientation))


def between(
    curve: Curve, a: Point, b: Point, ds: float, before: Signature, after: Signature, name: str
) -> list[tuple[float, Bifurcation]]:
    """The bifurcation points on the arc from a to b (at arclength ds from a), with their arclengths."""
    brackets = _brackets(curve, a, b, ds, before, after)
    found = []
    for low, high, changes in _merged(brackets, ds):
        middle = _at(curve, a, b, ds, (low + high) / 2)
        result = locate(curve, middle, changes, (high - low) + BRACKET * ds, name)
        if result is not None:
            found.append(((low + high) / 2, result))
    # where the parameter turns on a pitchfork's arms the fold is not another point
    branching = [s for s, point in found if point.kind in ("pitchfork", "branch point")]
    return [
        (s, point)
        for s, point in found
        if point.kind != "fold" or all(abs(s - other) > SAME_POINT * ds for other in branching)
    ]


Changes = tuple[bool, bool, bool]
Bracket = tuple[float, float, Changes]


def _at(curve: Curve, a: Point, b: Point, ds: float, s: float) -> Point:
    """The point at arclength s between a and b; on the chord where the corrector fails (branch points)."""
    point = advance(curve.equations, a, s)
    if point is not None:
        return point
    u = a.u + (b.u - a.u) * s / ds
    jacobian = scaled_rows(*curve.equations(u))[1]
    tangent = tangent_of(jacobian, a.tangent)
    return Point(u, a.tangent if tangent is None else tangent, jacobian, 0)


def _brackets(
    curve: Curve, a: Point, b: Point, ds: float, before: Signature, after: Signature
) -> list[Bracket]:
    stack = [(0.0, before, ds, after)]
    result: list[Bracket] = []
    while stack:
        low, first, high, last = stack.pop()
        if first == last:
            continue
        if high - low <= BRACKET * ds or len(result) > 20:
            changes = (
                first.unstable != last.unstable,
                first.parameter != last.parameter,
                first.orientation != last.orientation,
            )
            result.append((low, high, changes))
            continue
        middle = (low + high) / 2
        signature = curve.signature(_at(curve, a, b, ds, middle))
        stack += [(middle, signature, high, last), (low, first, middle, signature)]
    return sorted(result)


def _merged(brackets: list[Bracket], ds: float) -> list[Bracket]:
    """Brackets of changes that belong to one point: closer than 1e-5 of the step."""
    result: list[Bracket] = []
    for low, high, changes in brackets:
        if result and low - result[-1][1] < 1e-5 * ds:
            old = result.pop()
            both = tuple(x or y for x, y in zip(old[2], changes, strict=True))
            result.append((old[0], high, both))  # type: ignore[arg-type]
        else:
            result.append((low, high, changes))
    return result


def locate(curve: Curve, point: Point, changes: Changes, width: float, name: str) -> Bifurcation | None:
    """Name the point near which the signature changes, and polish it.

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
    """
    values = curve.eigenvalues(point.u)
    critical = complex(values[int(np.argmin(np.abs(curve.growth(values))))])
    kind = _kind(changes, critical, values, curve)
    polished = _polish(curve, kind, point, critical)
    u, error = (point.u, width + MARGIN) if polished is None else polished
    crossing = int((np.abs(curve.growth(curve.eigenvalues(u))) < 1e-6 * max(1.0, abs(critical))).sum())
    if kind == "fold" and not changes[0] and polished is None:
        return None  # a parameter that does not change at all along the branch, to rounding
    z, p = curve.split(u)
    values = curve.eigenvalues(u)
    critical = complex(values[int(np.argmin(np.abs(values - critical)))])
    a = curve.linear(u)
    target = -1.0 if kind == "flip" else 1.0 if curve.field.discrete else 0.0
    shift = critical if kind in COMPLEX else target
    direction = null_vector(a - shift * np.eye(len(a)))
    simple = crossing == (2 if kind in COMPLEX else 1)
    jacobian = scaled_rows(*curve.equations(u))[1]
    tangent = point.tangent if kind in ("branch point", "fold") else tangent_of(jacobian, point.tangent)
    tangent = point.tangent if tangent is None else tangent
    quadratic, coefficient = _coefficients(curve, kind, z, p, critical) if simple else (np.nan, np.nan)
    if kind == "branch point" and simple and _is_pitchfork(curve, z, p, quadratic, complex(coefficient).real):
        kind = "pitchfork"
    if kind in ("branch point", "fold"):
        coefficient = quadratic
    return Bifurcation(
        kind,
        name,
        float(p[0]),
        z[: curve.field.system.dim],
        critical,
        complex(coefficient),
        _speed(curve, u, tangent, critical) if simple else complex(np.nan),
        float(error * curve.scale.width[0]),
        False,
        z,
        np.append(tangent[:-1] * curve.scale.state, tangent[-1] * curve.scale.width[0]),
        direction,
    )


def _kind(changes: Changes, critical: complex, values: npt.NDArray[np.complex128], curve: Curve) -> str:
    if changes[2]:
        return "branch point"
    if changes[1]:
        return "fold"
    # of a complex pair both are equally near; a real pair that meets at -1 has no imaginary part
    if abs(critical.imag) > 1e-6 * max(1.0, abs(critical)):
        return "Neimark-Sacker" if curve.field.discrete else "Hopf"
    if curve.field.discrete and critical.real < 0:
        return "flip"
    return "branch point"


def _polish(curve: Curve, kind: str, point: Point, critical: complex) -> tuple[Array, float] | None:
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
    if kind == "branch point" and abs(w[-1]) > 1e-9:
        return None  # the unfolded system's solution: no branch point
    return (u, error) if float(np.linalg.norm(u - point.u)) < NEAR else None


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


def _speed(curve: Curve, u: Array, tangent: Array, critical: complex) -> complex:
    if abs(tangent[-1]) < 1e-8:
        return complex(np.nan)
    step = 1e-5 * tangent / tangent[-1]
    change = (curve.linear(u + step) - curve.linear(u - step)) / (2e-5 * curve.scale.width[0])
    return eigenvalue_speed(curve.linear(u), change, critical)

"""Bifurcation points, and the curve on which they lie: its eigenvalues and its signature.

Signature of a point of a branch: the number of unstable eigenvalues (outside the unit circle, or with a
positive real part), the sign of the tangent's parameter component (it changes at a fold), and the sign of
``det [F_x F_p; t]``. The last is constant along a smooth curve: where it changes there is a branch point, or
the step has led onto another curve. How the points are found and named is in `samdyn.bifurcation.detection`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import Point
from samdyn.bifurcation.defining_systems import COMPLEX, FixedPointEquations, Scale
from samdyn.dynamics.parametric import Parametric
from samdyn.results import Result, Table, storable

KINDS = ("fold", "flip", "pitchfork", "branch point", "Neimark-Sacker", "Hopf", "border")
MARGIN = 1e-11  # by which an eigenvalue must be past the border of stability to count


@dataclass(frozen=True, eq=False, repr=False)
class Bifurcation(Result):
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
        Of the normal form (`samdyn.bifurcation.normal_forms`): cubic, quadratic at a fold or branch point;
        nan at a border and where several eigenvalues cross at once.
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

    cited = ("kuznetsov2004",)
    row = "coordinate"

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
        if self.kind not in ("flip", "pitchfork", *COMPLEX) or not abs(self.coefficient.real) > 0:
            return ""
        stable = self.coefficient.real > 0 if self.kind == "flip" else self.coefficient.real < 0
        return "supercritical" if stable else "subcritical"

    def table(self) -> Table:
        """Its kind and where it is."""
        position = ", ".join(f"{v:.6g}" if abs(v) > 1e-14 else "0" for v in self.x)
        extra = f", {self.criticality}" if self.criticality else ""
        end = ", at the end" if self.at_end else ""
        at = f"{self.parameter} = {self.value:.10g}, x = ({position})"
        return Table(f"Bifurcation({self.kind} at {at}{extra}{end})")


@dataclass(frozen=True)
class Signature:
    """What changes at bifurcation points."""

    unstable: int
    parameter: int
    orientation: int


@storable
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
        return cls(field, scale, FixedPointEquations(field, scale))

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

    def sizes(self, u: Array) -> Array:
        """The largest derivative of each of the equations at a scaled vector, shape (n,)."""
        return np.asarray(np.abs(self.equations(u)[1]).max(axis=1))

    def signature(self, point: Point) -> Signature:
        """The signature of a point of the curve."""
        values = self.eigenvalues(point.u)
        margin = MARGIN * max(1.0 if self.field.discrete else 0.0, float(np.abs(values).max()))
        orientation = np.linalg.slogdet(np.vstack([point.jacobian, point.tangent]))[0]
        unstable = int((self.growth(values) > margin).sum())
        return Signature(unstable, 1 if point.tangent[-1] > 0 else -1, int(orientation))

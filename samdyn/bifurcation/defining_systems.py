r"""The equations whose regular zeros are bifurcation points, in the state, one parameter and a null vector.

With F the residual of fixed points, A the Jacobian of the map or the field, and c a fixed vector:

===============  =====================================================================================
fold             :math:`F = 0,\ (A - s) v = 0,\ c \cdot v = 1`, with s = 1 for maps and 0 for flows
flip             :math:`F = 0,\ (A + 1) v = 0,\ c \cdot v = 1`
Neimark-Sacker   :math:`F = 0,\ A v = e^{i w} v,\ c \cdot v = 1`, v complex
Hopf             :math:`F = 0,\ A v = i w v,\ c \cdot v = 1`
branch point     :math:`F + m c = 0,\ F_x^T v = 0,\ F_p \cdot v = 0,\ c \cdot v = 1`, with m = 0 there
Bogdanov-Takens  :math:`F = 0,\ A v = 0,\ A v' = v,\ c \cdot v = 1,\ c \cdot v' = 0`, two parameters
1:1 resonance    the same with A - 1, of maps
1:2 resonance    with A + 1 and -v
===============  =====================================================================================

Newton converges on them to rounding although the fixed-point equation itself is singular at a fold or a
branch point. The residuals are exact; only Newton's matrix is made of central differences of them, which
costs convergence speed and not accuracy. A second parameter may be among the unknowns: that gives one more
unknown than equations, and curves in the plane of two parameters.

References
----------
Moore & Spence (1980), Griewank & Reddien (1984) for folds and Hopf points; Moore (1980) for branch points;
Kuznetsov, Elements of Applied Bifurcation Theory (2004), ch. 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import scaled_rows
from samdyn.dynamics.parametric import Parametric
from samdyn.results import storable

REAL = {"fold": 1.0, "flip": -1.0}
COMPLEX = ("Neimark-Sacker", "Hopf")
BRANCHING = ("branch point", "pitchfork")
DOUBLE = {"Bogdanov-Takens": (0.0, 1.0), "1:1 resonance": (1.0, 1.0), "1:2 resonance": (-1.0, -1.0)}
"""Where curves of Hopf and Neimark-Sacker points end: the double eigenvalue, and the factor of v."""
DIFFERENCE = 1e-6  # relative step of central differences
POSITION_ROUNDING = 1e-15  # relative, of a few operations on a coordinate


@storable
@dataclass(frozen=True)
class Scale:
    """Units of the state and of the parameters, so that arclength treats them alike.

    Attributes
    ----------
    state : float
    low, width : ndarray, shape (m,)
        A parameter p has the coordinate (p - low) / width.
    origin : ndarray, shape (n,)
        A state z has the coordinates (z - origin) / state: far from 0 a tolerance or the step of a difference
        relative to z itself would be as long as the problem is wide.
    """

    state: float
    low: Array
    width: Array
    origin: Array

    @property
    def rounding(self) -> float:
        """What rounding leaves of a state's coordinates."""
        return POSITION_ROUNDING * float(np.abs(self.origin).max()) / self.state

    def states(self, w: Array) -> Array:
        """States (..., n) of their coordinates."""
        return self.origin + w * self.state

    def split(self, u: Array, n: int) -> tuple[Array, Array]:
        """State and parameters of a scaled vector (n + m,)."""
        return self.states(u[:n]), self.low + self.width * u[n:]

    def join(self, z: Array, p: Array) -> Array:
        """The scaled vector of a state and parameters."""
        return np.concatenate([(z - self.origin) / self.state, (p - self.low) / self.width])


@storable
@dataclass(frozen=True)
class FixedPointEquations:
    """F and its Jacobian as functions of the scaled vector (state, parameters)."""

    field: Parametric
    scale: Scale

    @property
    def rounding(self) -> float:
        """What rounding leaves of the unknowns."""
        return self.scale.rounding

    def __call__(self, u: Array) -> tuple[Array, Array]:
        value, by_state, by_parameter = self.field.residual(*self.scale.split(u, self.field.n))
        return value, np.concatenate([by_state * self.scale.state, by_parameter * self.scale.width], axis=1)


@dataclass(frozen=True)
class DefiningSystem:
    """A defining system with its own start.

    Attributes
    ----------
    kind : str
    field : Parametric
    scale : Scale
    reference : ndarray
        The vector c, complex for Hopf and Neimark-Sacker points.
    size : float
        Of the derivatives of F, by which F is divided.
    anchors : ndarray, shape (k, number of unknowns), optional
        Directions in which the unknowns may not leave `anchored_at`: those in which the zeros of the system
        are not isolated (of a linear map every multiple of the null vector is a branch point).
    """

    kind: str
    field: Parametric
    scale: Scale
    reference: npt.NDArray[Any]
    size: float = 1.0
    anchors: Array | None = None
    anchored_at: Array | None = None

    def unknowns(self, u: Array, frequency: float = 0.0) -> Array:
        """The start: scaled state and parameters u, then the null vector, then what else is unknown."""
        c = self.reference
        v = c / float(np.vdot(c, c).real)
        if self.kind in COMPLEX:
            return np.concatenate([u, v.real, v.imag, [frequency]])
        if self.kind in BRANCHING:
            return np.concatenate([u, v.real, [0.0]])
        return np.concatenate([u, v.real])

    def residual(self, w: Array) -> Array:
        """The equations; one fewer than unknowns for each parameter beyond the first."""
        field, n, m = self.field, self.field.n, self.field.m
        z, p = self.scale.split(w[: n + m], n)
        value, a, slope = field.evaluate(z, p)
        rest, c = w[n + m :], self.reference
        one = np.eye(n)
        f, fz = (value - z, a - one) if field.discrete else (value, a)
        if self.kind in COMPLEX:
            v = rest[:n] + 1j * rest[n : 2 * n]
            turn = np.exp(1j * rest[-1]) if field.discrete else 1j * rest[-1]
            eigen, norm = a @ v - turn * v, np.vdot(c, v) - 1
            return np.concatenate([f / self.size, eigen.real, eigen.imag, [norm.real, norm.imag]])
        v = rest[:n]
        norm = np.real(np.vdot(c, v)) - 1
        if self.kind in DOUBLE:
            (double, factor), second = DOUBLE[self.kind], rest[n:]
            chain = (a - double * one) @ second - factor * v
            return np.concatenate([f / self.size, (a - double * one) @ v, chain, [norm, c.real @ second]])
        if self.kind in BRANCHING:
            # for two parameters the branch point is one of the first, along the second
            along = np.concatenate(
                [v @ fz / self.size, [v @ (slope[:, 0] * self.scale.width[0] / self.size)]]
            )
            return np.concatenate([f / self.size + rest[-1] * c.real, along, [norm]])
        shift = REAL[self.kind] if field.discrete else 0.0
        return np.concatenate([f / self.size, (a - shift * one) @ v, [norm]])

    def equations(self, w: Array) -> tuple[Array, Array]:
        """The residual and its Jacobian by central differences."""
        columns = []
        for i in range(len(w)):
            h = np.zeros(len(w))
            h[i] = DIFFERENCE * max(1.0, abs(w[i]))
            columns.append((self.residual(w + h) - self.residual(w - h)) / (2 * h[i]))
        value, jacobian = self.residual(w), np.array(columns).T
        if self.anchors is None or self.anchored_at is None:
            return value, jacobian
        return (
            np.concatenate([value, self.anchors @ (w - self.anchored_at)]),
            np.concatenate([jacobian, self.anchors]),
        )

    def solve(self, w: Array, reach: float) -> tuple[Array, float] | None:
        """Newton from w: the zero and the size of the last correction, or None if it does not converge."""
        last, rounding = np.inf, 10 * self.scale.rounding
        for _ in range(12):
            value, jacobian = self.equations(w)
            if not (np.isfinite(value).all() and np.isfinite(jacobian).all()):
                return None
            value, jacobian = scaled_rows(value, jacobian)
            try:
                correction = np.linalg.solve(jacobian, -value)
            except np.linalg.LinAlgError:
                return None
            size = float(np.abs(correction[: self.field.n + self.field.m]).max())
            if not size <= reach:
                return None
            w = w + correction
            if size <= 1e-14 or (size <= 1e-11 + rounding and size > last / 2):
                return w, size
            last = size
        return (w, last) if last <= 1e-10 + rounding else None


def size_of(field: Parametric, scale: Scale, u: Array) -> float:
    """The largest derivative of the fixed-point equations at u, or 1 where all vanish."""
    _, by_state, slope = field.residual(*scale.split(u, field.n))
    largest = max(float(np.abs(by_state).max()) * scale.state, float(np.abs(slope * scale.width).max()))
    return largest if largest > 0 else 1.0


def null_vector(matrix: npt.NDArray[Any], left: bool = False) -> npt.NDArray[Any]:
    """Right (or left) singular vector of the smallest singular value."""
    u, _, vh = np.linalg.svd(matrix)
    return u[:, -1] if left else vh[-1].conj()

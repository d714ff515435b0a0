"""Which steps along a branch are accepted, beside what `bifurcation.arclength` asks of the geometry.

1. Change of the eigenvalues. The real parts and the imaginary parts of the eigenvalues of the residual's
   Jacobian, each in order of size, are continuous along a branch. A step in which one of them changes by
   more than `SPECTRAL` of the largest modulus that it has had is refused, as long as it is longer than
   `RESOLVED` of the largest step: eigenvalues that change within a narrow stretch (a boundary layer, the
   neighbourhood of an unfolded branch point) shorten the steps there.
2. Two changes within one step. At both ends of the step the signatures may agree although the parameter
   turns twice between them, or an eigenvalue crosses the border of stability and comes back. The parameter
   and the growth of each eigenvalue are interpolated by a cubic with the values and slopes at both ends;
   where its extremum lies past the border, or nearly, the signature there is computed, and the step is
   refused if it differs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import Point, advance
from samdyn.bifurcation.bifurcations import Curve, Signature

SPECTRAL = 0.25  # of the largest modulus, by which an eigenvalue may change in a step; chosen
RESOLVED = 1e-3  # of the largest step: shorter steps are not refused for their eigenvalues
FAINT = 1e-3  # of the largest eigenvalue: below it a change is no change
SLOPE = 1e-6  # scaled arclength over which the slope of an eigenvalue is taken
NEARLY = 0.1  # of the smaller end value: an extremum as near to the border is looked at


class StepControl:
    """The checks of the steps of one way along a branch.

    Parameters
    ----------
    curve : Curve
    first : Point
    max_step : float
        The largest step.
    """

    def __init__(self, curve: Curve, first: Point, max_step: float) -> None:
        self.curve, self.max_step = curve, max_step
        self._parts = _parts(curve, first.u)
        self._largest = np.abs(self._parts)

    def allowed(self, old: Point, new: Point) -> bool:
        """Whether no eigenvalue changes by too much; remembers the eigenvalues of the new point if so."""
        parts = _parts(self.curve, new.u)
        if not np.isfinite(parts).all():
            return False
        largest = np.maximum(self._largest, np.abs(parts))
        floor = FAINT * float(largest.max())
        scale = np.maximum(largest, floor)
        scale[1] = max(float(largest.max()), 1e-300)  # imaginary parts begin as a square root of the distance
        short = float(np.linalg.norm(new.u - old.u)) <= RESOLVED * self.max_step
        if not short and (np.abs(parts - self._parts) > SPECTRAL * scale).any():
            return False
        self._candidate = parts, largest
        return True

    def accept(self) -> None:
        """Take the point that was allowed last as the old point of the next step."""
        self._parts, self._largest = self._candidate

    def hides(self, old: Point, new: Point, ds: float, signature: Signature) -> bool:
        """Whether the signature, which is the same at both ends, differs somewhere within the step."""
        if ds <= RESOLVED * RESOLVED * self.max_step:
            return False
        share = _extremum(old.tangent[-1], new.tangent[-1], (new.u[-1] - old.u[-1]) / ds)
        shares = [] if share is None else [share]
        before, after = (self._growth(p.u) for p in (old, new))
        left = (self._growth(old.u + SLOPE * old.tangent) - before) / SLOPE
        right = (after - self._growth(new.u - SLOPE * new.tangent)) / SLOPE
        for a, b, slope_a, slope_b in zip(before, after, left * ds, right * ds, strict=True):
            shares += _returns(float(a), float(b), float(slope_a), float(slope_b))
        for share in shares:
            point = advance(self.curve.equations, old, share * ds)
            if point is not None and self.curve.signature(point) != signature:
                return True
        return False

    def _growth(self, u: Array) -> Array:
        return self.curve.growth(self.curve.eigenvalues(u))


def _parts(curve: Curve, u: Array) -> Array:
    """Real and imaginary parts of the residual's eigenvalues, each sorted: (2, n)."""
    values: npt.NDArray[np.complex128] = curve.eigenvalues(u) - (1.0 if curve.field.discrete else 0.0)
    return np.stack([np.sort(values.real), np.sort(values.imag)])


def _extremum(slope_a: float, slope_b: float, mean: float) -> float | None:
    """Where the derivative of a cubic, given at both ends and in the mean, is extremal, if it comes near 0.

    Of the unit interval; None if the derivative keeps its sign clearly.
    """
    # derivative: a + (6 m - 4 a - 2 b) t + 3 (a + b - 2 m) t^2
    linear, square = 6 * mean - 4 * slope_a - 2 * slope_b, 3 * (slope_a + slope_b - 2 * mean)
    if slope_a * slope_b <= 0 or square == 0:
        return None
    t = -linear / (2 * square)
    if not 0 < t < 1:
        return None
    least = (slope_a + linear * t + square * t * t) * np.sign(slope_a)
    return float(t) if least < NEARLY * min(abs(slope_a), abs(slope_b)) else None


def _returns(a: float, b: float, slope_a: float, slope_b: float) -> list[float]:
    """Where a cubic with values a, b of one sign and slopes at both ends comes near 0 within (0, 1)."""
    if a * b <= 0 or not np.isfinite([slope_a, slope_b]).all():
        return []
    cubic = np.array([slope_a + slope_b - 2 * (b - a), 3 * (b - a) - 2 * slope_a - slope_b, slope_a, a])
    roots = np.roots(np.polyder(cubic)) if np.abs(cubic[:3]).max() > 0 else np.empty(0)
    inside = [float(t.real) for t in roots if abs(t.imag) < 1e-12 and 0 < t.real < 1]
    near = NEARLY * min(abs(a), abs(b))
    return [t for t in inside if float(np.polyval(cubic, t)) * np.sign(a) < near]

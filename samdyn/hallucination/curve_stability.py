"""Eigenvalues along a branch of hallucinated points, and the places where rho turns back or the stability
changes, by golden section and bisection along the curve.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.hallucination.attraction import lr_bound, shift_jacobian
from samdyn.hallucination.proximal_curves import Derivatives, Family

BISECTIONS = 40  # halve an interval to 1e-12 of itself


def eigenvalues_along(derivatives: Derivatives, x: Array, y: Array) -> npt.NDArray[Any]:
    """Eigenvalues (n, dim) of H(y) B(x) at hallucinated points, in order of their real parts."""
    gradient, hessian = derivatives(x)
    with np.errstate(all="ignore"):
        product = derivatives(y[None])[1] @ shift_jacobian(gradient, hessian, np.linalg.norm(x - y, axis=1))
    values = np.full(x.shape, np.nan, dtype=complex)
    good = np.isfinite(product).all(axis=(1, 2))
    values[good] = np.linalg.eigvals(product[good])
    values = np.take_along_axis(values, np.argsort(values.real, axis=1), axis=1)
    real = np.abs(values.imag) <= 1e-14 * np.abs(values)
    return values.real if real[good].all() else values


def bound_along(eigenvalues: npt.NDArray[Any], tangent: int) -> Array:
    """The largest learning rate at which each point attracts, across the set of endpoints."""
    across = np.take_along_axis(eigenvalues, np.argsort(np.abs(eigenvalues), axis=1), axis=1)[:, tangent:]
    return lr_bound(across)


def n_stable(eigenvalues: npt.NDArray[Any], tangent: int) -> npt.NDArray[np.int_]:
    """Number of directions, across the set of endpoints, in which the flow attracts."""
    across = np.take_along_axis(eigenvalues, np.argsort(np.abs(eigenvalues), axis=1), axis=1)[:, tangent:]
    return np.asarray((across.real > 0).sum(axis=1))


def refined(family: Family, derivatives: Derivatives, y: Array, z: Array, tangent: int) -> Array:
    """The points z (n, dim + 1) along a curve with those where rho is extremal, and pairs of points on
    either side of changes of stability, put in between.
    """

    def signs(points: Array) -> tuple[Array, npt.NDArray[np.int_]]:
        of = np.zeros(len(points), dtype=int)
        x, _ = family.point(points, of)
        return np.linalg.norm(x - y, axis=1), n_stable(eigenvalues_along(derivatives, x, y), tangent)

    rho, stable = signs(z)
    added: list[tuple[float, Array]] = [(float(i), point) for i, point in enumerate(z)]
    rise = np.diff(rho)
    for i in np.flatnonzero(rise[:-1] * rise[1:] < 0):  # golden section over two intervals
        top = 1.0 if rise[i] > 0 else -1.0
        added.append((i + 1 + 1e-6, _extremum(family, signs, z[i : i + 3], top)))
    for i in np.flatnonzero(stable[:-1] != stable[1:]):
        low, high = z[i], z[i + 1]
        for _ in range(BISECTIONS):
            middle = _between(family, low, high, 0.5)
            if signs(middle[None])[1][0] == stable[i]:
                low = middle
            else:
                high = middle
        added += [(i + 0.4, low), (i + 0.6, high)]
    # by their place along the chord
    points = np.array([point for _, point in sorted(added, key=lambda pair: pair[0])])
    return points[_in_order(points, z)]


def _in_order(points: Array, z: Array) -> npt.NDArray[np.int_]:
    """Indices that sort points by their arclength along the polygon z, dropping repeated ones."""
    start, side = z[:-1], np.diff(z, axis=0)
    length = np.linalg.norm(side, axis=1)
    before = np.concatenate([[0.0], np.cumsum(length)])
    share = np.einsum("pki,ki->pk", points[:, None] - start, side) / length**2
    share = np.clip(share, 0, 1)
    gap = np.linalg.norm(points[:, None] - start - share[..., None] * side, axis=2)
    best = gap.argmin(axis=1)
    along = before[best] + share[np.arange(len(points)), best] * length[best]
    order = np.argsort(along, kind="stable")
    return order[np.concatenate([[True], (np.diff(points[order], axis=0) != 0).any(axis=1)])]


def _between(family: Family, low: Array, high: Array, share: float) -> Array:
    """The point of the curve over a place on the chord between two of its points."""
    z = (low + share * (high - low))[None]
    length = float(np.linalg.norm(high - low))
    corrected, good = family.correct(z, (high - low)[None] / max(length, 1e-300), np.zeros(1, dtype=int))
    # at a branch point the corrector is singular, and may lead to the other curve
    near = bool(good[0]) and np.linalg.norm(corrected - z) <= 0.1 * length
    return corrected[0] if near else z[0]


def _extremum(family: Family, signs: Any, three: Array, top: float) -> Array:
    """The point of largest (top = 1) or smallest rho on the curve through three of its points."""
    low, high = 0.0, 1.0
    golden = (5**0.5 - 1) / 2

    def value(share: float) -> tuple[float, Array]:
        point = _between(family, three[0], three[2], share)
        return top * float(signs(point[None])[0][0]), point

    left, right = value(high - golden), value(golden)
    a, b = high - golden, golden
    for _ in range(BISECTIONS):
        if left[0] > right[0]:
            high, b, right = b, a, left
            a = high - golden * (high - low)
            left = value(a)
        else:
            low, a, left = a, b, right
            b = low + golden * (high - low)
            right = value(b)
    return left[1] if left[0] > right[0] else right[1]

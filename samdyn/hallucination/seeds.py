"""Where the branches of hallucinated points begin: at every ordered pair of critical points.

The steps are 2-5 of the algorithm in `samdyn.hallucination.curves`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.search import FixedPoint, FixedPoints
from samdyn.equilibria.stability.critical_kinds import FLAT, kind_of
from samdyn.hallucination.proximal_curves import Curve, Derivatives, Family, follow, solve

N_ENDPOINTS = 32  # points of a set that stand for it as endpoints; chosen
N_SAMPLES = 256  # points of a set that are looked at; chosen
SMALL_NU = 2e-4  # of the smallest curvature across a set, at which branches from it begin


class Starts:
    """Where curves begin: for each one its endpoint, its first point and its direction."""

    def __init__(self, derivatives: Derivatives, critical: FixedPoints, region: Array) -> None:
        self.derivatives, self.critical = derivatives, critical
        self.length = float(np.linalg.norm(np.ptp(region, axis=1)))
        # endpoints: isolated points, and a few of every set, with the dimension of the set
        self.endpoints: list[tuple[Array, str, int]] = []
        for c in critical:
            for y in spread(c.points, N_ENDPOINTS) if c.dimension else c.x[None]:
                flat = nullity(derivatives(y[None])[1][0]) if c.dimension else 0
                self.endpoints.append((y, c.kind, flat))
        self.rows: list[tuple[int, Array, float, Array, float, str, Array]] = []

    def around(self, c: FixedPoint) -> None:
        """The curves that begin near the critical point, or set, c."""
        for j, (y, _, _) in enumerate(self.endpoints):
            if c.dimension:
                self._from_set(c, j, y)
            elif np.array_equal(c.x, y):
                self._from_endpoint(c, j)
            elif c.kind != "degenerate":
                hessian = self.derivatives(c.x[None])[1][0]
                scale = smallest_curvature(hessian)
                slope = -np.linalg.solve(hessian, c.x - y)
                along = np.append(slope * scale / self.length, 1.0)
                self.rows.append((j, c.x, 0.0, along, scale, c.kind, c.x))

    def _from_endpoint(self, c: FixedPoint, j: int) -> None:
        values, vectors = np.linalg.eigh(self.derivatives(c.x[None])[1][0])
        for value, vector in zip(values, vectors.T, strict=True):
            if value < -1e-6 * np.abs(values).max():
                for sign in (1.0, -1.0):
                    along = np.append(sign * vector, 0.0)
                    start = c.x + 1e-4 * self.length * sign * vector
                    self.rows.append((j, start, -value, along, np.abs(values).min(), "endpoint", c.x))

    def _from_set(self, c: FixedPoint, j: int, y: Array) -> None:
        from scipy.spatial import cKDTree

        points = spread(c.points, N_SAMPLES)
        distance = np.linalg.norm(points - y, axis=1)
        if np.ptp(distance) <= 1e-6 * self.length:  # a sphere around y: every point of it is stationary
            points, distance = points[: 2 * c.dimension], distance[: 2 * c.dimension]
        around = distance[cKDTree(points).query(points, k=min(2 * c.dimension + 1, len(points)))[1]]
        stationary = (distance <= around.min(axis=1)) | (distance >= around.max(axis=1))
        x = points[stationary & (distance > 1e-2 * self.length)]
        if len(x) == 0:
            return
        scale = min(smallest_curvature(hessian) for hessian in self.derivatives(x)[1])
        first, second = (self._proximal(x, y, factor * SMALL_NU * scale) for factor in (1.0, 0.5))
        limits = 2 * second - first
        known: list[Array] = []
        for near, limit, sample in zip(first, limits, x, strict=True):
            close = np.linalg.norm(limit - sample) < 0.1 * self.length  # False where not finite
            apart = all(np.linalg.norm(limit - other) > 1e-6 * self.length for other in [y, *known])
            if close and apart:
                known.append(limit)
                along = np.append((near - limit) / self.length, SMALL_NU)
                self.rows.append((j, near, SMALL_NU * scale, along, scale, c.kind, limit))

    def _proximal(self, x: Array, y: Array, nu: float) -> Array:
        """Newton for the critical points of f + (nu/2) |. - y|^2 from x (n, dim); nan where it fails."""
        step = np.full_like(x, np.inf)
        for _ in range(30):
            gradient, hessian = self.derivatives(x)
            step = solve(hessian + nu * np.eye(x.shape[1]), -(gradient + nu * (x - y)))
            size = np.linalg.norm(step, axis=1, keepdims=True)
            x = x + step * np.minimum(1.0, 0.05 * self.length / np.maximum(size, 1e-300))
        return np.where(np.linalg.norm(step, axis=1, keepdims=True) < 1e-12 * self.length, x, np.nan)

    def follow(
        self, region: Array, n_steps: int, report: Callable[[float, int], None] | None = None
    ) -> list[tuple[Curve, Array, str, int, str, str]]:
        """The followed curves, each once, with their endpoints (place, kind, dimension) and ends.

        `report` as in `samdyn.hallucination.proximal_curves.follow`.
        """
        if not self.rows:
            return []
        j, x, nu, along, scale = (np.array([row[i] for row in self.rows]) for i in range(5))
        y = np.array([self.endpoints[i][0] for i in j])
        family = Family(self.derivatives, y, self.length, scale)
        # off the curve by rounding, or, near an endpoint, by the square of the distance
        z, good = family.correct(
            family.scaled(x, nu), along / np.linalg.norm(along, axis=1, keepdims=True), np.arange(len(x))
        )
        moved = nu > 0  # the others begin at critical points, which are known to rounding
        corrected = family.point(z, np.arange(len(x)))
        x[moved], nu[moved] = corrected[0][moved], corrected[1][moved]
        # beside an endpoint with nearly equal curvatures the curve has turned away from the eigenvector
        beside = np.array([row[5] == "endpoint" for row in self.rows]) & good
        turned = family.tangent(z, along / np.linalg.norm(along, axis=1, keepdims=True), np.arange(len(x)))[0]
        beside &= np.isfinite(turned).all(axis=1)
        along[beside] = turned[beside]
        curves = follow(family, x, nu, along, region, n_steps=n_steps, report=report)
        result: list[tuple[Curve, Array, str, int, str, str]] = []
        seen: list[tuple[int, _End, _End]] = []
        for row, curve, ok in zip(self.rows, curves, good, strict=True):
            if not ok or len(curve.x) < 3:
                continue
            place, kind, dimension = self.endpoints[row[0]]
            start, limit = row[5], row[6]
            near = 1e-6 * self.length
            ends = _End(limit, curve.x[1] - limit), _End(curve.x[-1], curve.x[-2] - curve.x[-1])
            if any(j == row[0] and ends[0].near(b, near) and ends[1].near(a, near) for j, a, b in seen):
                continue  # followed before, from its other end
            seen.append((row[0], *ends))
            if np.linalg.norm(limit - curve.x[0]) > 1e-9 * self.length:
                first_nu = curve.nu[0] if start == "endpoint" else 0.0
                curve = Curve(np.vstack([limit, curve.x]), np.append(first_nu, curve.nu), curve.end)
            result.append((curve, place, kind, dimension, start, self._name(curve)))
        return result

    def _name(self, curve: Curve) -> str:
        return kind_of(self.derivatives(curve.x[-1:])[1][0]) if curve.end == "critical point" else curve.end


@dataclass(frozen=True)
class _End:
    """An end of a curve, and the direction in which the curve leaves it."""

    x: Array
    direction: Array

    def near(self, other: _End, distance: float) -> bool:
        close = np.linalg.norm(self.x - other.x) <= distance
        cosine = self.direction @ other.direction
        return bool(close and cosine > 0.5 * np.linalg.norm(self.direction) * np.linalg.norm(other.direction))


def smallest_curvature(hessian: Array) -> float:
    """The smallest modulus of the eigenvalues that are not zero: the scale on which nu first matters."""
    size = np.abs(np.linalg.eigvalsh(hessian))
    return float(size[size > 1e-6 * size.max()].min())


def nullity(hessian: Array) -> int:
    """Number of eigenvalues that are 0 next to the largest one."""
    size = np.abs(np.linalg.eigvalsh(hessian))
    return int((size <= FLAT * size.max()).sum())


def spread(points: Array, n: int) -> Array:
    """At most n points, each the farthest from those before."""
    if len(points) <= n:
        return points
    chosen = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    for _ in range(n - 1):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]

"""A diffusion in the plane as a jump process on a rectangular grid: exponentially fitted differences.

L u = b . grad u + (1/2) a : hess u is written as a jump process between neighbouring nodes, so that the
matrix of -L is an M-matrix (positive diagonal, no positive entry off it): the discrete solution obeys the
maximum principle however strong the drift.

1. Towards a neighbour at distance h the rate is a/(h (h + h')) B(-P), with h' the distance to the opposite
   neighbour, B(z) = z/(e^z - 1) and P = (2 int b - change of a) / a along the edge (Scharfetter and Gummel
   1969). The drift along an edge is integrated by Simpson's rule, and by 64 midpoints where it jumps. For
   gradient drift and constant noise the stationary law of the jump process is exp(-V/D) to fourth order.
2. A neighbour beyond the boundary is replaced by the point where the edge leaves the region, found by
   bisection: the distance h shrinks (Shortley and Weller 1938).
3. A mixed term a_xy is carried by the diagonal neighbours, |a_xy|/(2 hx hy) each, with as much less along
   the axes: this keeps the M-matrix where |a_xy| < min(a_xx hy/hx, a_yy hx/hy), else ValueError. The cells'
   shape is chosen for it unless the resolution is a pair. On reflecting walls the mixed term is left out.
4. Walls of the box that are not absorbing reflect (half a cell).

References
----------
Scharfetter and Gummel, IEEE Transactions on Electron Devices 16, 64 (1969). Shortley and Weller, Journal of
Applied Physics 9, 334 (1938). Kushner and Dupuis, Numerical Methods for Stochastic Control Problems in
Continuous Time (Markov-chain approximations, the mixed term).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.escape.domain import Absorbed, Exit, coefficients

MAX_CELLS = 1_000_000


def _bernoulli(z: Array) -> Array:
    """z / (exp(z) - 1)."""
    small = np.abs(z) < 1e-5
    safe = np.where(small, 1.0, np.clip(z, -700, 700))
    return np.where(small, 1 - z / 2 + z**2 / 12, safe / np.expm1(safe))


@dataclass(frozen=True)
class Grid:
    """Nodes of one level: which are free, and the jump process between them."""

    axes: tuple[Array, Array]
    distance: Array
    boundary_value: Array
    free: Array
    matrix: sparse.csc_array
    boundary: Array

    def on_grid(self, values: Array) -> Array:
        """Values of free nodes on the whole grid, boundary values elsewhere."""
        result = self.boundary_value.copy()
        result[self.free] = values
        return result


def cells(resolution: Any, box: Array, covariance: Any) -> tuple[int, int]:
    """Cells along each side, multiples of 4."""
    width = box[:, 1] - box[:, 0]
    if np.iterable(resolution) and not isinstance(resolution, str | bytes):
        sides = list(resolution)
        if len(sides) != 2:
            raise ValueError(f"resolution must be an integer or a pair of integers, got {resolution!r}")
        pair = [checks.integer(f"resolution[{i}]", n, at_least=16) for i, n in enumerate(sides)]
    else:
        n = checks.integer("resolution", resolution, at_least=16)
        x = np.stack(np.meshgrid(*[np.linspace(low, high, 33) for low, high in box], indexing="ij"), axis=-1)
        a = np.asarray(covariance(x), dtype=np.float64)
        mixed = np.abs(a[..., 0, 1])
        ratio = 1.0  # hx / hy
        if mixed.any():
            some = mixed > 1e-12 * a[..., 0, 0]
            low = float((mixed / a[..., 1, 1])[some].max(initial=0.0))
            high = float((a[..., 0, 0] / np.where(some, mixed, 1.0))[some].min(initial=math.inf))
            ratio = 1.0 if low >= high or 1.1 * low < 1.0 < 0.9 * high else math.sqrt(low * high)
        h = max(width[0] / ratio, width[1]) / n
        pair = [max(16, round(float(width[0] / (ratio * h)))), max(16, round(float(width[1] / h)))]
    nx, ny = (4 * math.ceil(n / 4) for n in pair)
    if nx * ny > MAX_CELLS:
        raise ValueError(f"resolution must give at most {MAX_CELLS} cells, got {nx} x {ny}")
    return nx, ny


def _edge_drift(drift: Any, start: Array, end: Array, axis: int) -> Array:
    """Mean over each edge of the drift along its axis."""
    left, middle, right = (
        np.asarray(drift(start + t * (end - start)), dtype=np.float64)[:, axis] for t in (0, 0.5, 1)
    )
    mean = (left + 4 * middle + right) / 6
    bend = np.abs(left + right - 2 * middle)
    rough = np.flatnonzero(bend > 0.02 * (np.abs(left) + np.abs(right) + np.abs(middle)))
    # where it bends most; on a fine grid these are the edges that a jump crosses
    rough = rough[np.argsort(-bend[rough], kind="stable")][: 40 * math.isqrt(len(left)) + 40]
    if rough.size:
        t = ((np.arange(64) + 0.5) / 64)[:, None]
        inside = start[rough][:, None] + t * (end - start)[rough][:, None]
        mean[rough] = np.asarray(drift(inside), dtype=np.float64)[..., axis].mean(axis=1)
    result: Array = mean
    return result


def _leave(absorbed: Absorbed, start: Array, end: Array) -> tuple[Array, Array]:
    """Fraction of the way from free to absorbed points where the region ends, and the boundary value."""
    low, high = np.zeros(len(start)), np.ones(len(start))
    value = absorbed.distance_and_value(end)[1]
    for _ in range(48):
        middle = (low + high) / 2
        s, here = absorbed.distance_and_value(start + middle[:, None] * (end - start))
        out = s >= 0
        value = np.where(out, here, value)
        low, high = np.where(out, low, middle), np.where(out, middle, high)
    return np.maximum(high, 1e-6), value


def build(diffusion: Any, exits: tuple[Exit, ...], box: Array, size: tuple[int, int]) -> Grid:
    """The matrix of -L on the free nodes of one grid, and what the boundary values add."""
    drift, covariance = coefficients(diffusion)
    absorbed = Absorbed(exits)
    axes = (np.linspace(box[0, 0], box[0, 1], size[0] + 1), np.linspace(box[1, 0], box[1, 1], size[1] + 1))
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    h = np.array([axis[1] - axis[0] for axis in axes])
    shape = x.shape[:2]
    s, value = (v.reshape(shape) for v in absorbed.distance_and_value(x.reshape(-1, 2)))
    free = s < -1e-9 * h.min()
    if not free.any():
        raise ValueError(
            f"region must have an inside in the box {box.tolist()}, at the resolution of its grid"
        )
    number = np.full(shape, -1)
    number[free] = np.arange(free.sum())
    index = np.argwhere(free)
    points = x[free]
    a = np.asarray(covariance(points), dtype=np.float64)
    determinant = a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] ** 2
    if not (
        np.isfinite(a).all() and (a[:, 0, 0] > 0).all() and (a[:, 1, 1] > 0).all() and (determinant > 0).all()
    ):
        raise ValueError("covariance must be finite and positive definite everywhere in the region")
    unknown = ~np.isfinite(np.asarray(drift(points), dtype=np.float64)).all(axis=1)
    if unknown.any():
        raise ValueError(
            f"diffusion must have a finite drift everywhere in the region, got nan or infinity at "
            f"{points[unknown][0]} and {unknown.sum() - 1} more of {len(points)} nodes: the gradient of the "
            "loss is not finite there"
        )
    wall = ((index == 0) | (index == np.array(shape) - 1)).any(axis=1)

    def along(matrix: Array, axis: int) -> Array:
        """Variance along an axis, less what the diagonals carry."""
        return matrix[..., axis, axis] - np.abs(matrix[..., 0, 1]) * h[axis] / h[1 - axis]

    own = np.stack([np.where(wall, a[:, i, i], along(a, i)) for i in (0, 1)], axis=1)
    if (own <= 0).any():
        worst = points[int(own.min(axis=1).argmin())]
        raise ValueError(
            f"covariance has a mixed term too large for cells of {h[0]:g} x {h[1]:g} near {worst}: "
            "give resolution as a pair with hx/hy near sqrt(a_xx/a_yy), or turn the coordinates"
        )
    rows: list[npt.NDArray[np.intp]] = []
    columns: list[npt.NDArray[np.intp]] = []
    rates: list[Array] = []
    diagonal, boundary = np.zeros(len(points)), np.zeros(len(points))

    def arms(step: tuple[int, int]) -> tuple[Array, Array, Array]:
        """Neighbour's number (-1: absorbed, -2: beyond the wall), fraction of the step, boundary value."""
        target = index + np.array(step)
        beyond = ((target < 0) | (target >= np.array(shape))).any(axis=1)
        clipped = np.clip(target, 0, np.array(shape) - 1)
        neighbour = np.where(beyond, -2, number[clipped[:, 0], clipped[:, 1]])
        fraction, end_value = np.ones(len(points)), np.zeros(len(points))
        out = np.flatnonzero(neighbour == -1)
        if out.size:
            fraction[out], end_value[out] = _leave(absorbed, points[out], points[out] + np.array(step) * h)
        return neighbour, fraction, end_value

    def add(neighbour: Array, rate: Array, end_value: Array) -> None:
        rate = np.where(neighbour == -2, 0.0, rate)
        to = np.flatnonzero(neighbour >= 0)
        rows.append(to)
        columns.append(neighbour[to].astype(np.intp))
        rates.append(-rate[to])
        diagonal[:] += rate
        boundary[:] += np.where(neighbour == -1, rate * end_value, 0.0)

    for axis in (0, 1):
        unit = np.eye(2, dtype=int)[axis]
        both = [(sign, *arms((sign * unit[0], sign * unit[1]))) for sign in (1, -1)]
        lengths = [np.where(n == -2, 0.0, fraction * h[axis]) for _, n, fraction, _ in both]
        for (sign, neighbour, fraction, end_value), length in zip(both, lengths, strict=True):
            move = (fraction * h[axis] * sign)[:, None] * unit
            end, middle = points + move, points + move / 2
            inside = neighbour != -2  # nothing beyond the wall is evaluated
            end, middle = np.where(inside[:, None], end, points), np.where(inside[:, None], middle, points)
            a_middle, a_end = (np.asarray(covariance(p), dtype=np.float64) for p in (middle, end))
            if (a_middle[:, 0, 1] != 0).any():
                a_middle, a_end = (
                    np.where(wall, m[:, axis, axis], np.maximum(along(m, axis), 1e-3 * m[:, axis, axis]))
                    for m in (a_middle, a_end)
                )
            else:
                a_middle, a_end = a_middle[:, axis, axis], a_end[:, axis, axis]
            push = sign * _edge_drift(drift, points, end, axis) * fraction * h[axis]
            peclet = (2 * push - (a_end - own[:, axis])) / a_middle
            span = np.where(inside, length * (lengths[0] + lengths[1]), 1.0)
            add(neighbour, a_middle / span * _bernoulli(-peclet), end_value)
    mixed = np.where(wall, 0.0, a[:, 0, 1])
    for direction in (1, -1):
        strength = np.maximum(direction * mixed, 0.0)
        if not strength.any():
            continue
        (n1, f1, v1), (n2, f2, v2) = arms((1, direction)), arms((-1, -direction))
        for n, f, v in ((n1, f1, v1), (n2, f2, v2)):
            add(n, np.where(strength > 0, strength / (h[0] * h[1]) / (f * (f1 + f2)), 0.0), v)
    every = np.arange(len(points))
    entries = (
        np.concatenate([*rates, diagonal]),
        (np.concatenate([*rows, every]), np.concatenate([*columns, every])),
    )
    matrix = sparse.csc_array(entries, shape=(len(points), len(points)))
    return Grid(axes, s, value, free, matrix, boundary)

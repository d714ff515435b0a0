"""The backward Kolmogorov equation in two dimensions: exponentially fitted differences on a rectangular grid.

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
5. Three grids, with n/4, n/2 and n cells a side: the result is u_n + (u_n - u_(n/2))/3, and the error
   estimate is its difference from the same extrapolation one level lower, plus the rounding of the sparse LU
   solution.

Second order in h where the drift is smooth and fourth or third after extrapolation; across a curve where the
drift jumps between first and second.

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
from scipy.sparse.linalg import LinearOperator, eigs, splu

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.escape.domain import Absorbed, Exit, coefficients, solve_box
from samdyn.escape.field import CubicInterpolant, Field

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


def _cells(resolution: Any, box: Array, covariance: Any) -> tuple[int, int]:
    """Cells along each side, multiples of 4."""
    width = box[:, 1] - box[:, 0]
    if np.ndim(resolution) == 1:
        if len(resolution) != 2:
            raise ValueError(f"resolution must be an integer or a pair of integers, got {resolution!r}")
        pair = [checks.integer(f"resolution[{i}]", n, at_least=16) for i, n in enumerate(resolution)]
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


def build(diffusion: Any, exits: tuple[Exit, ...], box: Array, cells: tuple[int, int]) -> Grid:
    """The matrix of -L on the free nodes of one grid, and what the boundary values add."""
    drift, covariance = coefficients(diffusion)
    absorbed = Absorbed(exits)
    axes = (np.linspace(box[0, 0], box[0, 1], cells[0] + 1), np.linspace(box[1, 0], box[1, 1], cells[1] + 1))
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


def _levels(
    diffusion: Any, exits: tuple[Exit, ...], box: npt.ArrayLike | None, resolution: Any
) -> list[Grid]:
    """Grids with n/4, n/2 and n cells a side."""
    region = solve_box(diffusion, exits, box)
    nx, ny = _cells(resolution, region, coefficients(diffusion)[1])
    return [build(diffusion, exits, region, (nx // k, ny // k)) for k in (4, 2, 1)]


def solve(
    diffusion: Any,
    exits: tuple[Exit, ...],
    box: npt.ArrayLike | None,
    resolution: Any,
    moment: int,
    name: str,
    unit: str,
) -> Field:
    """E[tau^moment], or with moment 0 the mean boundary value where a path is absorbed (the committor)."""
    levels = _levels(diffusion, exits, box, resolution)
    solutions, rounding = [], 0.0
    for grid in levels:
        lu = splu(grid.matrix)
        u = lu.solve(grid.boundary) if moment == 0 else np.ones(len(grid.boundary))
        for k in range(1, moment + 1):
            u = lu.solve(k * u)
        if moment == 1:  # of the LU solution: one correction step shows its size
            rounding = float(np.abs(lu.solve(grid.matrix @ u - 1)).max())
        if not np.isfinite(u).all() or (u < 0).any():
            raise ValueError(
                "the exit time is too long, in units of the grid's fastest jump, "
                "for double precision (or nothing absorbs the paths of some part of the "
                "region); lower the resolution, or give more noise"
            )
        solutions.append(grid.on_grid(u))
    coarse, middle, fine = solutions
    correction = (fine[::2, ::2] - middle) / 3
    better = fine[::2, ::2] + correction
    before = middle[::2, ::2] + (middle[::2, ::2] - coarse) / 3
    last = levels[-1]
    x = np.stack(np.meshgrid(*last.axes, indexing="ij"), axis=-1).reshape(-1, 2)

    def spread(values: Array, axes: tuple[Array, Array]) -> Array:
        return CubicInterpolant(axes, values)(x).reshape(fine.shape)

    values = np.where(last.free, fine + spread(correction, levels[1].axes), fine)
    # extrapolation may overshoot what the maximum principle allows
    values = np.clip(values, 0.0, 1.0) if moment == 0 else np.maximum(values, 0.0)
    difference = np.abs(spread(better[::2, ::2] - before, levels[0].axes)) + rounding + 1e-12 * np.abs(values)
    error = np.where(last.free, difference, 0.0)
    extended = extend(
        values, last.distance, last.boundary_value, float(min(np.diff(axis)[0] for axis in last.axes))
    )
    return Field(name, unit, last.axes, values, error, CubicInterpolant(last.axes, extended), Absorbed(exits))


def extend(values: Array, distance: Array, boundary_value: Array, h: float) -> Array:
    """Values continued smoothly over the boundary, two nodes deep.

    The quotient w = (u - g) / s, with s the signed distance and g the boundary value, is smooth up to the
    boundary; it is extrapolated linearly from nodes more than h/4 inside, and u = g + s w.
    """
    on_boundary = np.abs(distance) <= 1e-9 * h
    known = distance < -h / 4
    w = np.where(known, (values - boundary_value) / np.where(known, distance, 1.0), 0.0)
    wanted = ~known & ~on_boundary & (distance < 4 * h)
    for _ in range(3):
        total, weight = np.zeros_like(w), np.zeros_like(w)
        padded_w, padded_known = np.pad(w, 2), np.pad(known, 2)
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                if (i, j) == (0, 0):
                    continue
                near, far = (
                    (slice(2 + k * i, 2 + k * i + w.shape[0]), slice(2 + k * j, 2 + k * j + w.shape[1]))
                    for k in (1, 2)
                )
                two = padded_known[near] & padded_known[far]
                total += np.where(two, 2 * padded_w[near] - padded_w[far], 0.0)
                weight += two
        new = wanted & ~known & (weight > 0)
        w = np.where(new, total / np.maximum(weight, 1), w)
        known = known | new
    filled = wanted & known
    return np.where(filled, boundary_value + distance * w, values)


def slowest_rate(
    diffusion: Any, exits: tuple[Exit, ...], box: npt.ArrayLike | None, resolution: Any
) -> tuple[float, float]:
    """Smallest eigenvalue of -L and an estimate of its error."""
    found = []
    for grid in _levels(diffusion, exits, box, resolution):
        lu = splu(grid.matrix)
        inverse = LinearOperator(grid.matrix.shape, matvec=lu.solve, dtype=np.float64)
        # the eigenvalue of an M-matrix nearest 0 is real (Perron and Frobenius)
        largest = eigs(inverse, k=1, which="LM", v0=np.ones(grid.matrix.shape[0]), return_eigenvectors=False)
        found.append(1 / float(largest[0].real))
    coarse, middle, fine = found
    better, before = fine + (fine - middle) / 3, middle + (middle - coarse) / 3
    return better, abs(better - before)

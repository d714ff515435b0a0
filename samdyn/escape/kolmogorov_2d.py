"""The backward Kolmogorov equation in two dimensions: exponentially fitted differences on three grids.

On each grid the generator becomes that of a jump process (`samdyn.escape.jump_process`), whose sparse matrix
is solved by LU. With n/4, n/2 and n cells a side the result is u_n + (u_n - u_(n/2))/3, and the error
estimate is its difference from the same extrapolation one level lower, plus the rounding of the LU solution.

Second order in h where the drift is smooth and fourth or third after extrapolation; across a curve where the
drift jumps between first and second.

The slowest rate is the smallest eigenvalue, by inverse iteration (ARPACK), extrapolated alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, eigs, splu

from samdyn.compute.checks import Array
from samdyn.escape.domain import Absorbed, Exit, TooLongError, check_targets, coefficients, solve_box
from samdyn.escape.field import CubicInterpolant, Field
from samdyn.escape.jump_process import Grid, build, cells


def _levels(
    diffusion: Any, exits: tuple[Exit, ...], box: npt.ArrayLike | None, resolution: Any
) -> list[Grid]:
    """Grids with n/4, n/2 and n cells a side."""
    region = solve_box(diffusion, exits, box)
    nx, ny = cells(resolution, region, coefficients(diffusion)[1])
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
    last = levels[-1]
    x = np.stack(np.meshgrid(*last.axes, indexing="ij"), axis=-1).reshape(-1, 2)
    if moment == 0:
        check_targets(exits, x)
    elif (last.distance < -1e-9 * min(float(np.diff(axis)[0]) for axis in last.axes)).all():
        raise ValueError(
            f"region must have a boundary in the box from {x[0]} to {x[-1]}, or no path exits: "
            "give a larger box"
        )
    solutions, rounding = [], 0.0
    for grid in levels:
        lu = splu(grid.matrix)
        u = lu.solve(grid.boundary) if moment == 0 else np.ones(len(grid.boundary))
        for k in range(1, moment + 1):
            u = lu.solve(k * u)
        if moment == 1:  # of the LU solution: one correction step shows its size
            rounding = float(np.abs(lu.solve(grid.matrix @ u - 1)).max())
        if not np.isfinite(u).all() or (u < 0).any():
            raise TooLongError(
                "the exit time is too long, in units of the grid's fastest jump, "
                "for double precision (or nothing absorbs the paths of some part of the "
                "region); lower the resolution, or give more noise"
            )
        solutions.append(grid.on_grid(u))
    coarse, middle, fine = solutions
    correction = (fine[::2, ::2] - middle) / 3
    better = fine[::2, ::2] + correction
    before = middle[::2, ::2] + (middle[::2, ::2] - coarse) / 3

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

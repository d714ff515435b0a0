"""The backward Kolmogorov equation in two dimensions: two discretisations on three grids.

On each grid the generator becomes the generator of a jump process
(`samdyn.escape.solver.fitted_differences`), whose sparse matrix is solved by LU: exponentially fitted
("fitted"), and with central differences of the drift ("central").

1. With n/4, n/2 and n cells a side a discretisation gives u_n + (u_n - u_(n/2))/3. Its grids differ by the
   change from the same extrapolation one level lower, plus the rounding of the LU solution.
2. The fitted solution obeys the maximum principle, but where the drift outweighs the noise in a cell on all
   three grids it has settled on the solution of a more diffusive problem, and its grids agree on that. The
   central solution has no numerical diffusion, and oscillates where layers are not resolved, so that its
   grids disagree. The error estimate of the fitted solution is therefore the difference of its grids plus its
   difference from the central solution. The error estimate of the central solution is the difference of its
   own grids, without extrapolation.
3. The result is the fitted solution, unless its error is not `NEGLIGIBLE` and the central solution has an
   error estimate that is `BETTER` times as small, in the mean, and keeps to the maximum principle.
4. Where the estimate is beyond `NOT_CONVERGED` of the largest value, the grids have not converged: the error
   is the value itself or more, and a warning names the resolution at which the drift no longer outweighs the
   noise.

Second order in h where the drift is smooth and fourth or third after extrapolation; across a curve where the
drift jumps between first and second.

The slowest rate is the smallest eigenvalue, by inverse iteration (ARPACK), extrapolated and estimated alike.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs, splu

from samdyn.arguments.checks import Array
from samdyn.escape.solver.domain import Absorbed, Exit, ItoDiffusion, TooLongError, check_targets, solve_box
from samdyn.escape.solver.field import CubicInterpolant, Field
from samdyn.escape.solver.fitted_differences import Grid, build, cells
from samdyn.jobs.cost import announce, outside
from samdyn.jobs.progress import PartsBar

BETTER = 3.0  # the fitted solution, which obeys the maximum principle, is preferred up to this factor
NEGLIGIBLE = 0.005  # mean error, of the largest value, below which the fitted solution is good enough
NOT_CONVERGED = 0.3  # of the largest value: the leading digit is not known
OVERSHOOT = 0.02  # of the largest value, by which a usable central solution may break the maximum principle
RESOLVED = 2.0  # |P| up to which the central jump process has rates >= 0
LEVELS = (4, 2, 1)


class NotConvergedWarning(UserWarning):
    """The grids of a deterministic solver disagree by as much as the value."""


@dataclass(frozen=True)
class Problem:
    """What is solved, and how the run is reported."""

    diffusion: ItoDiffusion
    exits: tuple[Exit, ...]
    box: npt.ArrayLike | None
    resolution: Any
    verb: str
    progress: bool = False

    def levels(self, solve: Callable[[Grid], Any]) -> tuple[list[Grid], list[Any]]:
        """Grids with n/4, n/2 and n cells a side, and what `solve` makes of each."""
        region = solve_box(self.diffusion, self.exits, self.box)
        nx, ny = cells(self.resolution, region)
        grids, results = [], []
        with PartsBar(self.progress, self.verb, len(LEVELS), "grid") as bar:
            for k in LEVELS:
                start = time.perf_counter()
                grids.append(build(self.diffusion, self.exits, region, (nx // k, ny // k)))
                built = time.perf_counter()
                results.append(solve(grids[-1]))
                bar.update(note=f"{nx // k} x {ny // k} cells")
                if k == LEVELS[0]:
                    # four times the nodes at every level, and LU takes eight times as long
                    ahead = (4 + 16) * (built - start) + (8 + 64) * (time.perf_counter() - built)
                    cheaper = f"pass resolution={max(16, max(nx, ny) // 2)} for about a sixth of that"
                    announce(self.verb, ahead, cheaper)
        return grids, results


def solve(problem: Problem, moment: int, name: str, unit: str) -> Field:
    """E[tau^moment], or with moment 0 the mean boundary value where a path is absorbed (the committor)."""
    exits = problem.exits

    def both(grid: Grid) -> tuple[Array, Array, float]:
        _check_grid(grid, exits, moment)
        fitted, rounding = _solution(grid.matrix, grid.boundary, moment)
        if not np.isfinite(fitted).all() or (fitted < 0).any():
            raise TooLongError(
                "the exit time is too long, in units of the grid's fastest jump, "
                "for double precision (or nothing absorbs the paths of some part of the "
                "region); lower the resolution, or give more noise"
            )
        central, _ = _solution(grid.central_matrix, grid.central_boundary, moment)
        return grid.on_grid(fitted), grid.on_grid(central), rounding

    levels, found = problem.levels(both)
    last = levels[-1]
    x = np.stack(np.meshgrid(*last.axes, indexing="ij"), axis=-1).reshape(-1, 2)
    fitted, central, rounding = [f for f, _, _ in found], [c for _, c, _ in found], found[-1][2]

    def spread(values: Array, axes: tuple[Array, Array]) -> Array:
        return CubicInterpolant(axes, values)(x).reshape(last.free.shape)

    def extrapolated(u: list[Array]) -> tuple[Array, Array, Array]:
        """Values on the finest grid, and their change by a level, with and without extrapolation."""
        coarse, middle, fine = u
        correction = (fine[::2, ::2] - middle) / 3
        better, before = fine[::2, ::2] + correction, middle[::2, ::2] + (middle[::2, ::2] - coarse) / 3
        change = spread(np.abs(better[::2, ::2] - before), levels[0].axes)
        raw = np.maximum(np.abs(change), np.abs(spread(fine[::2, ::2] - middle, levels[1].axes)))
        return np.where(last.free, fine + spread(correction, levels[1].axes), fine), np.abs(change), raw

    (values, change, _), (other, _, own) = extrapolated(fitted), extrapolated(central)
    top = 1.0 if moment == 0 else float(np.abs(values).max())
    low, high = -OVERSHOOT * top, (1 + OVERSHOOT) * top if moment == 0 else math.inf
    keeps = all(np.isfinite(c).all() and low <= c.min() and c.max() <= high for c in (*central[1:], other))
    # a central solution that breaks the maximum principle says no more than that nothing is known
    apart = np.abs(values - other) if keeps else np.fmin(np.abs(values - other), top)
    error = change + apart
    rough, smooth = (float(e[last.free].mean()) for e in (error, own))
    if keeps and rough > NEGLIGIBLE * top and BETTER * smooth < rough:
        values, error = other, own
    # extrapolation may overshoot what the maximum principle allows
    values = np.clip(values, 0.0, 1.0) if moment == 0 else np.maximum(values, 0.0)
    error = error + rounding + 1e-12 * np.abs(values)
    top = 1.0 if moment == 0 else float(values.max())
    worst = float(error[last.free].max())
    if worst > NOT_CONVERGED * top:
        open_ = error > NOT_CONVERGED * np.maximum(values, 0.1 * top)
        error = np.where(open_, np.maximum(error, top if moment == 0 else values), error)
        _warn(problem, last, name, worst, top)
    error = np.where(last.free, error, 0.0)
    extended = extend(
        values, last.distance, last.boundary_value, float(min(np.diff(axis)[0] for axis in last.axes))
    )
    return Field(name, unit, last.axes, values, error, CubicInterpolant(last.axes, extended), Absorbed(exits))


def _check_grid(grid: Grid, exits: tuple[Exit, ...], moment: int) -> None:
    """Refuse a committor's sets that the grid does not see, and a region that no path leaves."""
    corner = [(float(axis[0]), float(axis[-1])) for axis in grid.axes]
    if moment == 0:
        check_targets(exits, np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1).reshape(-1, 2))
    elif (grid.distance < -1e-9 * min(float(np.diff(axis)[0]) for axis in grid.axes)).all():
        raise ValueError(
            f"region must have a boundary in the box {corner}, or no path exits: give a larger box"
        )


def _solution(matrix: Any, boundary: Array, moment: int) -> tuple[Array, float]:
    """The solution on the free nodes, and the size of its rounding; nan where the matrix is singular."""
    try:
        lu = splu(matrix)
    except RuntimeError:
        return np.full(len(boundary), np.nan), 0.0
    u = lu.solve(boundary) if moment == 0 else np.ones(len(boundary))
    for k in range(1, moment + 1):
        u = lu.solve(k * u)
    # one correction step of the LU solution shows its size
    return u, float(np.abs(lu.solve(matrix @ u - 1)).max()) if moment == 1 else 0.0


def _warn(problem: Problem, grid: Grid, name: str, error: float, top: float) -> None:
    """Say that the grids disagree, and which resolution would be needed."""
    n = max(len(axis) - 1 for axis in grid.axes)
    cell = float(np.percentile(grid.peclet, 90))
    needed = 4 * math.ceil(n * cell / RESOLVED / 4)
    if needed > n:
        where = f"the drift outweighs the noise {cell / RESOLVED:.2g} times over a cell"
        advice = f"resolution={needed} would resolve it" + (
            "" if needed <= 800 else ", which is out of reach: sample (sd.exit_times), or give a smaller box"
        )
    else:
        where, advice = "layers of the solution are thinner than a cell", f"try resolution={2 * n}"
    warnings.warn(
        f"{problem.verb}: the {name} has not converged on grids of up to {n} cells a side ({where}): they "
        f"differ by {error:.2g} of {top:.3g}, and the error says so; {advice}",
        NotConvergedWarning,
        stacklevel=outside(),
    )


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


def slowest_rate(problem: Problem) -> tuple[float, float]:
    """Smallest eigenvalue of -L and an estimate of its error."""
    levels, found = problem.levels(lambda grid: (_lowest(grid.matrix), _lowest(grid.central_matrix)))
    (coarse, middle, fine), (rough, other, best) = zip(*found, strict=True)
    better, before = fine + (fine - middle) / 3, middle + (middle - coarse) / 3
    central = best + (best - other) / 3
    own = max(abs(best - other), abs(central - other - (other - rough) / 3))
    known = math.isfinite(central) and central > 0
    error = abs(better - before) + (abs(better - central) if known else abs(better))
    if known and BETTER * own < error:
        better, error = central, own
    better = better if better > 0 else fine  # extrapolation may overshoot where grids have not converged
    if error > NOT_CONVERGED * better:
        error = max(error, better)
        _warn(problem, levels[-1], "rate", error, better)
    return better, error


def _lowest(matrix: Any) -> float:
    """The eigenvalue of least modulus; nan where it is complex, or cannot be found."""
    try:
        lu = splu(matrix)
        inverse = LinearOperator(matrix.shape, matvec=lu.solve, dtype=np.float64)
        # the eigenvalue of an M-matrix nearest 0 is real (Perron and Frobenius)
        largest = eigs(inverse, k=1, which="LM", v0=np.ones(matrix.shape[0]), return_eigenvectors=False)
    except (RuntimeError, ArpackError):
        return math.nan
    value = 1 / complex(largest[0])
    return value.real if abs(value.imag) <= 1e-6 * abs(value) else math.nan

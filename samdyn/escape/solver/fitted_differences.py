"""A diffusion in the plane as a jump process on a rectangular grid: exponentially fitted differences.

L u = b . grad u + (1/2) a : hess u is written as a jump process between nodes of the lattice, so that the
matrix of -L is an M-matrix (positive diagonal, no positive entry off it): the discrete solution obeys the
maximum principle however strong the drift and however oblique the noise.

1. At every node a = sum of rho_k e_k e_k^T with non-negative weights and lattice vectors e_k, by Selling's
   reduction (`samdyn.escape.solver.lattice`); where a has no mixed term, the e_k are the two axes. The arms
   of a node are +e_k and -e_k.
2. With v = a^-1 b the drift is b = sum of rho_k e_k (e_k . v): every arm carries its own share. Towards
   the end of an arm, a fraction f of e_k away, the rate is rho_k / (f (f + f')) B(-P), with f' the fraction
   of the opposite arm, B(z) = z/(e^z - 1) and P = 2 int v . dx - (change of rho_k) / rho_k along the arm
   (Scharfetter and Gummel 1969). The integral is Simpson's, and by 64 midpoints where v jumps. For b = -a
   grad U with constant a the stationary law of the jump process is exp(-2 U) to fourth order, at any angle.
3. An arm ends where it first leaves the region, found by samples along it and bisection: f shrinks (Shortley
   and Weller 1938).
4. Walls of the box that do not absorb reflect: what lies beyond them is the mirror image of what lies inside.
5. `central_matrix` is the same with B(-P) replaced by 1 + P/2: central differences of the drift. It has no
   numerical diffusion, but no maximum principle either where |P| > 2. The two discretisations differ by the
   numerical diffusion (P/2 coth(P/2) - 1) rho_k e_k e_k^T of the first, which does not show in grids of one
   discretisation while |P| is large on all of them.

References
----------
Scharfetter and Gummel, IEEE Transactions on Electron Devices 16, 64 (1969). Shortley and Weller, Journal of
Applied Physics 9, 334 (1938). Kushner and Dupuis, Numerical Methods for Stochastic Control Problems in
Continuous Time (Markov-chain approximations). Bonnans, Bonnet and Mirebeau, Calcolo 59 (2022) (Selling's
reduction for such schemes).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.escape.solver.domain import Absorbed, Exit, coefficients
from samdyn.escape.solver.lattice import directions, superbases, weights

MAX_CELLS = 1_000_000  # unknowns of a sparse LU: it bounds memory; chosen
SMALLEST_FRACTION = 1e-6  # of an arm; a node nearer to the boundary than that is taken as that far away
SAMPLES = 32  # most places along an arm where the region is looked at


def _bernoulli(z: Array) -> Array:
    """z / (exp(z) - 1)."""
    small = np.abs(z) < 1e-5
    safe = np.where(small, 1.0, np.clip(z, -700, 700))
    return np.where(small, 1 - z / 2 + z**2 / 12, safe / np.expm1(safe))


@dataclass(frozen=True)
class Grid:
    """Nodes of one level: which are free, and the jump process between them.

    Attributes
    ----------
    axes : two ndarrays, (nx,) and (ny,)
    distance, boundary_value : ndarray, shape (nx, ny)
        Signed distance to the nearest exit and its boundary value.
    free : ndarray of bool, shape (nx, ny)
    matrix, boundary : (n, n) and (n,)
        Of -L on the free nodes, and what the boundary values add.
    central_matrix, central_boundary
        The same with central differences of the drift.
    peclet : ndarray, shape (n,)
        Largest |P| over the arms of each node: the drift over the noise, in a cell.
    """

    axes: tuple[Array, Array]
    distance: Array
    boundary_value: Array
    free: npt.NDArray[np.bool_]
    matrix: sparse.csc_array
    boundary: Array
    central_matrix: sparse.csc_array
    central_boundary: Array
    peclet: Array

    def on_grid(self, values: Array) -> Array:
        """Values of free nodes on the whole grid, boundary values elsewhere."""
        result = self.boundary_value.copy()
        result[self.free] = values
        return result


def cells(resolution: Any, box: Array) -> tuple[int, int]:
    """Cells along each side, multiples of 4."""
    width = box[:, 1] - box[:, 0]
    if np.iterable(resolution) and not isinstance(resolution, str | bytes):
        sides = list(resolution)
        if len(sides) != 2:
            raise ValueError(f"resolution must be an integer or a pair of integers, got {resolution!r}")
        pair = [checks.integer(f"resolution[{i}]", n, at_least=16) for i, n in enumerate(sides)]
    else:
        n = checks.integer("resolution", resolution, at_least=16)
        pair = [max(16, round(float(side * n / width.max()))) for side in width]
    nx, ny = (4 * math.ceil(n / 4) for n in pair)
    if nx * ny > MAX_CELLS:
        raise ValueError(f"resolution must give at most {MAX_CELLS} cells, got {nx} x {ny}")
    return nx, ny


def _tensors(covariance: Callable[[Array], Array], x: Array, box: Array) -> Array:
    """The tensor at points (n, 2), mirrored beyond the walls of the box."""
    inside, flip = _folded(x, box)
    a = np.asarray(covariance(inside), dtype=np.float64)
    return a * flip[..., :, None] * flip[..., None, :]


def _folded(x: Array, box: Array) -> tuple[Array, Array]:
    """Points (..., 2) beyond a wall mirrored into the box, and the signs that vectors there change by."""
    outside = (x < box[:, 0]) | (x > box[:, 1])
    if not outside.any():
        return x, np.ones_like(x)
    width = box[:, 1] - box[:, 0]
    turn = np.mod(x - box[:, 0], 2 * width)
    back = turn > width
    mirrored = box[:, 0] + np.where(back, 2 * width - turn, turn)
    return np.where(outside, np.clip(mirrored, box[:, 0], box[:, 1]), x), np.where(outside & back, -1.0, 1.0)


def _push(slope: Callable[[Array], Array], start: Array, first: Array, move: Array) -> Array:
    """Integral of v . dx along each arm, with v at its start."""

    def along(x: Array, step: Array) -> Array:
        return np.asarray((slope(x) * step).sum(axis=-1))

    left = np.asarray((first * move).sum(axis=-1))
    middle, right = (along(start + t * move, move) for t in (0.5, 1))
    total = (left + 4 * middle + right) / 6
    bend = np.abs(left + right - 2 * middle)
    rough = np.flatnonzero(bend > 0.02 * (np.abs(left) + np.abs(right) + np.abs(middle)))
    # where it bends most; on a fine grid these are the arms that a jump crosses
    rough = rough[np.argsort(-bend[rough], kind="stable")][: 40 * math.isqrt(len(left)) + 40]
    if rough.size:
        t = ((np.arange(64) + 0.5) / 64)[:, None]
        points = start[rough][:, None] + t * move[rough][:, None]
        total[rough] = (
            along(points.reshape(-1, 2), np.repeat(move[rough], 64, axis=0)).reshape(-1, 64).mean(1)
        )
    result: Array = total
    return result


def _leave(
    absorbed: Absorbed, start: Array, move: Array, n_samples: int, box: Array, slack: float
) -> tuple[npt.NDArray[np.bool_], Array, Array]:
    """Which arms leave the region, at which fraction of the way, and the boundary value there."""

    def look(t: Array, rows: Any = slice(None)) -> tuple[npt.NDArray[np.bool_], Array]:
        x = _folded(start[rows] + t[:, None] * move[rows], box)[0]
        s, here = absorbed.distance_and_value(x)
        return s >= -slack, here

    # places between nodes, where an arm is long, and on the walls, which absorb where the region ends there
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = np.stack([(side - start) / move for side in box.T])
    walls = np.where((walls > 0) & (walls < 1), walls, 1.0).min(axis=0)
    n = max(1, min(n_samples, SAMPLES))
    places = np.concatenate([np.tile(np.arange(1, n + 1) / n, (len(start), 1)), walls], axis=1)
    places.sort(axis=1)
    low, high, value = np.zeros(len(start)), np.ones(len(start)), np.zeros(len(start))
    left = np.zeros(len(start), dtype=bool)
    for t in places.T:
        going = np.flatnonzero(~left)
        out, here = look(t[going], going)
        left[going[out]] = True
        high[going[out]], value[going[out]] = t[going[out]], here[out]
        low[going[~out]] = t[going[~out]]
    rows = np.flatnonzero(left)
    for _ in range(48):
        middle = (low[rows] + high[rows]) / 2
        out, here = look(middle, rows)
        value[rows] = np.where(out, here, value[rows])
        low[rows], high[rows] = np.where(out, low[rows], middle), np.where(out, middle, high[rows])
    return left, np.where(left, np.maximum(high, SMALLEST_FRACTION), 1.0), value


def _checked(drift: Any, covariance: Any, points: Array) -> Array:
    """The tensor at the free nodes; refuses drift and noise that cannot be used."""
    a = np.asarray(covariance(points), dtype=np.float64)
    determinant = a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] ** 2
    size = np.maximum(a[:, 0, 0], a[:, 1, 1])
    if not np.isfinite(a).all() or (size <= 0).any():
        raise ValueError("covariance must be finite and positive definite everywhere in the region")
    if (determinant <= 1e-12 * size**2).any():
        worst = points[int((determinant / size**2).argmin())]
        raise ValueError(
            f"covariance must be positive definite everywhere in the region, got one that is singular, to "
            f"rounding, near {worst}: the solver needs noise in every direction; sample with sd.exit_times"
        )
    unknown = ~np.isfinite(np.asarray(drift(points), dtype=np.float64)).all(axis=1)
    if unknown.any():
        raise ValueError(
            f"system must have a finite drift everywhere in the region, got nan or infinity at "
            f"{points[unknown][0]} and {unknown.sum() - 1} more of {len(points)} nodes: the gradient of the "
            "loss is not finite there"
        )
    return a


def build(diffusion: Any, exits: tuple[Exit, ...], box: Array, size: tuple[int, int]) -> Grid:
    """The matrix of -L on the free nodes of one grid, and what the boundary values add."""
    drift, covariance = coefficients(diffusion)
    absorbed = Absorbed(exits)
    axes = (np.linspace(box[0, 0], box[0, 1], size[0] + 1), np.linspace(box[1, 0], box[1, 1], size[1] + 1))
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    h = np.array([axis[1] - axis[0] for axis in axes])
    shape, slack = x.shape[:2], 1e-9 * float(h.min())
    s, value = (v.reshape(shape) for v in absorbed.distance_and_value(x.reshape(-1, 2)))
    free = s < -slack
    if not free.any():
        raise ValueError(
            f"region must have an inside in the box {box.tolist()}, at the resolution of its grid"
        )
    number = np.full(shape, -1)
    number[free] = np.arange(free.sum())
    index, points = np.argwhere(free), x[free]
    a = _checked(drift, covariance, points)
    base = superbases(a / (h[:, None] * h))
    steps, own = directions(base), weights(base, a / (h[:, None] * h))

    constant = bool((np.abs(a - a[:1]) <= 1e-14 * np.abs(a[0]).max()).all())

    def slope(p: Array) -> Array:
        """v = a^-1 b, mirrored beyond the walls."""
        inside, flip = _folded(p, box)
        tensor = a[0] if constant else np.asarray(covariance(inside), dtype=np.float64)
        b = np.asarray(drift(inside), dtype=np.float64)
        return np.asarray(np.linalg.solve(tensor, b[..., None])[..., 0] * flip)

    n, last, at_nodes = len(points), np.array(shape) - 1, slope(points)
    rows: list[npt.NDArray[np.intp]] = []
    columns: list[npt.NDArray[np.intp]] = []
    rates: dict[str, list[Array]] = {"fitted": [], "central": []}
    diagonal = {name: np.zeros(n) for name in rates}
    boundary = {name: np.zeros(n) for name in rates}
    largest = np.zeros(n)
    for k in range(3):
        used = np.flatnonzero(own[:, k] > 1e-12 * own.sum(axis=1))
        if not used.size:
            continue
        step, here = steps[used, k], points[used]
        n_samples = int(np.abs(step).max())
        arms = {sign: _leave(absorbed, here, sign * step * h, n_samples, box, slack) for sign in (1, -1)}
        total = arms[1][1] + arms[-1][1]
        for sign, (left, fraction, end_value) in arms.items():
            move = sign * step * h * fraction[:, None]
            peclet, middle = 2 * _push(slope, here, at_nodes[used], move), own[used, k]
            if not constant:
                between, end = (
                    weights(base[used], _tensors(covariance, here + t * move, box) / (h[:, None] * h))[:, k]
                    for t in (0.5, 1.0)
                )
                middle = np.maximum(between, 1e-3 * own[used, k])
                peclet = peclet - (end - own[used, k]) / middle
            largest[used] = np.maximum(largest[used], np.abs(peclet))
            target = np.mod(index[used] + sign * step, 2 * last)
            target = np.where(target > last, 2 * last - target, target)
            neighbour = np.where(left, -1, number[target[:, 0], target[:, 1]])
            inside = neighbour >= 0
            rows.append(used[inside])
            columns.append(neighbour[inside].astype(np.intp))
            factors = {"fitted": _bernoulli(-peclet), "central": 1 + peclet / 2}
            for name, factor in factors.items():
                rate = middle / (fraction * total) * factor
                rates[name].append(-rate[inside])
                diagonal[name][used] += rate
                boundary[name][used] += np.where(inside, 0.0, rate * end_value)
    every = np.arange(n)
    places = np.concatenate([*rows, every]), np.concatenate([*columns, every])
    fitted, central = (
        sparse.csc_array((np.concatenate([*rates[name], diagonal[name]]), places), shape=(n, n))
        for name in ("fitted", "central")
    )
    return Grid(axes, s, value, free, fitted, boundary["fitted"], central, boundary["central"], largest)

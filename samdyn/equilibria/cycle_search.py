r"""Cycles of a map: all orbits of a given least period that a search by stabilising transformations finds.

Algorithm
---------
The points of period k are the zeros of g(x) = Phi^k(x) - x. Newton's basins shrink exponentially with k;
Davidchack and Lai replace its matrix by

.. math:: x' = x + (\beta |g| C^T - Dg)^{-1} g, \qquad C \text{ a signed permutation matrix},

which far from a zero is a small step along C g, stable for one C or another at every zero, and close to it
turns into Newton's.

1. Seeds: a Sobol sequence over the box, the fixed points, and the cycles of the periods found before (their
   points are dense on chaotic sets).
2. Every seed runs with every C (all 2^dim dim! of them up to dim 2; the identity, its negative and random
   ones above) and every beta, in one batch, for `N_STEPS` steps, and then takes Newton steps.
3. Zeros in the box whose residual is at most `tolerance` relative to ``1 + |D Phi^k|`` are candidates. That
   bound is worth nothing where |D Phi^k| is huge: all k points are refined together
   (`samdyn.equilibria.shooting`), and a cycle is kept only if the last Newton correction of every point is
   below `CORRECTION` of the box's diagonal and every step of the map leads to the next point, to `tolerance`
   relative to the step's own slope. Its least period is k; points of one cycle are one entry.
4. For a normalised rule there are further seeds around each critical point z of the loss, at the amplitude
   ``lr r |h| / (2 - lr h - lr c h^2)`` of the 2-cycle along each eigenvector of the Hessian (eigenvalue h, r
   the jump's length, c the unnormalised coefficient), which are exact on quadratics.

The search is complete with high probability, not certainly; more seeds find more.

References
----------
Davidchack & Lai, Phys. Rev. E 60 (1999) 6172-6175. Bartlett, Long & Bousquet (2022) for the 2-cycle of
normalised SAM.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.dynamics.parametric import Parametric
from samdyn.equilibria.newton import newton_zeros, sobol_starts
from samdyn.equilibria.search import FixedPoint, FixedPoints, fixed_points
from samdyn.equilibria.shooting import refined_cycles
from samdyn.equilibria.stability.linearization import stability_of
from samdyn.jobs.cost import announce, part_of, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.systems.jump import jump_length
from samdyn.systems.map import Map

N_STEPS = 60
BETAS = (0.0, 3.0, 30.0)
MOST_MATRICES = 8
MOST_STEPS = 257  # the work grows as the square of the period: 100 takes half a minute, 256 minutes
LARGEST_TOLERANCE = 1e-6  # anything nearly settled would pass for a cycle
TILE = 1 << 16  # numbers of Jacobians held at a time
CORRECTION = 1e-9  # of the box's diagonal: how well every point of a cycle must be known


@checked
def cycles(
    system: Map,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    period: int = 2,
    *,
    n_starts: int = 256,
    tolerance: float = 1e-11,
    progress: bool = False,
) -> FixedPoints:
    """All cycles of a least period that the search finds in a box.

    Parameters
    ----------
    system : Map
        Without momentum, of a rule without memory.
    box : sequence of (lower, upper), optional
        Where to look; the system's own box by default.
    period : int
        At least 1 and at most 256; the time grows as its square (half a minute at 100).
    n_starts : int
        Sobol seeds, rounded up to a power of two.
    tolerance : float
        Largest ``|Phi(x_i) - x_{i+1}|`` accepted, relative to ``(1 + |D Phi(x_i)|) (1 + |x_i|)``; at most
        1e-6.
    progress : bool
        Show a bar over the periods.

    Returns
    -------
    FixedPoints
        One entry for each cycle with a point in the box: `points` are its points in the order of the map,
        `eigenvalues` its multipliers, `residual` the largest distance of the map of one point from the next.

    Raises
    ------
    TypeError, ValueError
        Not a map, momentum or memory, a schedule, no box.

    Warns
    -----
    CostWarning
        Its own estimate exceeds ten seconds: periods up to `period`, each of some seventy steps of all seeds.

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.equilibria.cycle_search`). The periods below
    `period` are searched first, for their seeds. On a symmetric 2-cycle, x' = -x, the multipliers of one step
    are the eigenvalues of ``sd.linearize(system, cycle.x)``, of which those given here are the squares.

    Examples
    --------
    >>> import samdyn as sd
    >>> logistic = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 3.9}, box=[(0, 1)])
    >>> [len(sd.cycles(logistic, period=k)) for k in (1, 2, 3, 4)]
    [2, 1, 2, 1]
    """
    if not isinstance(system, Map):
        raise TypeError(f"system must be a Map, got {system!r}: only maps have cycles of a given period")
    period = checks.integer("period", period, at_least=1, below=MOST_STEPS)
    n_starts = checks.integer("n_starts", n_starts, at_least=1)
    tolerance = checks.number("tolerance", tolerance, above=0)
    if tolerance > LARGEST_TOLERANCE:
        raise ValueError(f"tolerance must be a number > 0 and <= {LARGEST_TOLERANCE:g}, got {tolerance:g}")
    if system.state_dim > system.dim:
        raise ValueError(
            f"system must have no momentum and no memory to have cycles of points, got {system!r}"
        )
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients to have cycles, got {system!r}")
    if box is None and system.box is None:
        raise ValueError(f"box must be given: {system.name} has none of its own")
    region = checks.box("box", system.box if box is None else box, system.dim)
    field = Parametric(system, ())
    matrices = _matrices(system.dim)
    seeds = [sobol_starts(region, n_starts)]
    rule = system.rule
    smooth = system.landscape is None or rule is None or not rule.jumps
    if not smooth:
        seeds.append(_seeds_at_jumps(system, region))
    found: list[FixedPoint] = []
    first = 1 if smooth else period  # a normalised rule's lie around critical points, whose seeds are there
    _announce(field, len(np.concatenate(seeds)) * _n_combos(matrices), first, period)
    with PartsBar(progress, "cycles", period - first + 1, "period") as bar:
        for k in range(first, period + 1):
            if k == 1 and system.landscape is not None:
                with part_of("cycles", "pass a smaller box"):
                    found = list(fixed_points(system, region))
            else:
                found = _of_period(field, k, region, np.concatenate(seeds), matrices, tolerance)
            seeds += [
                point.points if point.period > 1 else point.x[None] for point in found if not point.dimension
            ]
            bar.update(note=f"period {k}: {len(found)}")
    return FixedPoints(tuple(found), system, region)


def _n_combos(matrices: Array) -> int:
    return 1 + len(matrices) * (len(BETAS) - 1)


def _announce(field: Parametric, n: int, first: int, last: int) -> None:
    """Say what the search costs, from one evaluation of a sample."""
    sample = np.full((min(n, 4096), field.n), 0.1)
    with np.errstate(all="ignore"):
        one = seconds_of(lambda: field.batch(sample, np.empty(0))) * n / len(sample)
    steps = sum(range(first, last + 1))
    announce("cycles", one * (N_STEPS + 12) * steps, "pass a smaller n_starts or a smaller period")


def _matrices(dim: int) -> Array:
    """Signed permutation matrices (n, dim, dim)."""
    if dim <= 2:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=dim)))
        orders = np.array(list(itertools.permutations(range(dim))))
        return np.array([np.eye(dim)[order] * sign[:, None] for order in orders for sign in signs])
    rng = np.random.default_rng(0)
    some = [np.eye(dim), -np.eye(dim)]
    while len(some) < MOST_MATRICES:
        some.append(np.eye(dim)[rng.permutation(dim)] * rng.choice([-1.0, 1.0], dim)[:, None])
    return np.array(some)


def _iterated(field: Parametric, x: Array, period: int) -> tuple[Array, Array]:
    """Phi^k at points (N, dim), and its Jacobians (N, dim, dim)."""
    none = np.empty(0)
    y, jacobian = field.batch(x, none)
    for _ in range(period - 1):
        y, a = field.batch(y, none)
        jacobian = a @ jacobian
    return y, jacobian


def _of_period(
    field: Parametric, period: int, box: Array, seeds: Array, matrices: Array, tolerance: float
) -> list[FixedPoint]:
    dim, width = len(box), box[:, 1] - box[:, 0]
    diagonal = float(np.linalg.norm(width))
    combos = [(c, beta) for beta in BETAS for c in (matrices if beta else matrices[:1])]
    results = []
    per_tile = max(1, TILE // (len(combos) * dim * dim))
    for low in range(0, len(seeds), per_tile):
        tile = seeds[low : low + per_tile]
        x = np.tile(tile, (len(combos), 1))
        c = np.repeat(np.array([c.T for c, _ in combos]), len(tile), axis=0)
        beta = np.repeat([b for _, b in combos], len(tile)) / diagonal
        results.append(_search(field, period, box, x, c, beta, diagonal, tolerance))
    zeros = np.concatenate(results)
    return _gather(field, zeros, period, box, diagonal, tolerance)


def _search(
    field: Parametric,
    period: int,
    box: Array,
    x: Array,
    c: Array,
    beta: Array,
    diagonal: float,
    tolerance: float,
) -> Array:
    """Points of period k from starts x, each with its matrix and beta."""
    one = np.eye(len(box))
    with np.errstate(all="ignore"):
        for k in range(N_STEPS + 12):
            y, jacobian = _iterated(field, x, period)
            g = y - x
            size = np.linalg.norm(g, axis=1)
            strength = beta * size * np.linalg.norm(jacobian - one, axis=(1, 2)) if k < N_STEPS else 0 * size
            matrix = strength[:, None, None] * c - (jacobian - one)
            usable = np.isfinite(matrix).all(axis=(1, 2)) & np.isfinite(g).all(axis=1)
            x, c, beta, g, matrix = x[usable], c[usable], beta[usable], g[usable], matrix[usable]
            if len(x) == 0:
                return x
            step = _solve(matrix, g)
            length = np.linalg.norm(step, axis=1)
            x = x + step * np.minimum(1.0, 0.1 * diagonal / np.where(length > 0, length, 1.0))[:, None]
            near = ((x >= box[:, 0] - 0.5 * diagonal) & (x <= box[:, 1] + 0.5 * diagonal)).all(axis=1)
            x, c, beta = x[near], c[near], beta[near]
        y, jacobian = _iterated(field, x, period)
        steepness = np.linalg.norm(jacobian, axis=(1, 2))
        size = np.linalg.norm(y - x, axis=1)
        precise = size <= tolerance * (1 + steepness) * (1 + np.linalg.norm(x, axis=1))
        precise &= np.isfinite(size) & np.isfinite(steepness)
    margin = 1e-9 * (box[:, 1] - box[:, 0])
    inside = ((x >= box[:, 0] - margin) & (x <= box[:, 1] + margin)).all(axis=1)
    return np.asarray(x[precise & inside])


def _solve(matrix: Array, g: Array) -> Array:
    if matrix.shape[-1] == 1:
        return np.asarray(np.nan_to_num(g / matrix[:, 0]))
    if matrix.shape[-1] == 2:
        (a, b), (c, d) = matrix.transpose(1, 2, 0)
        solved = np.stack([d * g[:, 0] - b * g[:, 1], a * g[:, 1] - c * g[:, 0]], axis=1)
        return np.nan_to_num(solved / (a * d - b * c)[:, None])
    return np.asarray(np.einsum("nij,nj->ni", np.linalg.pinv(matrix), g))


def _gather(
    field: Parametric, zeros: Array, period: int, box: Array, diagonal: float, tolerance: float
) -> list[FixedPoint]:
    """One entry for each cycle of least period k."""
    if len(zeros) == 0:
        return []
    none = np.empty(0)
    # one zero of many copies: those that agree when rounded, then those that are close
    zeros = zeros[np.unique(np.round(zeros / (1e-9 * diagonal)), axis=0, return_index=True)[1]]
    orbit = [zeros]
    with np.errstate(all="ignore"):
        for _ in range(period - 1):
            orbit.append(field.batch(orbit[-1], none)[0])
        points, correction, residual, jacobians = refined_cycles(
            lambda x: field.batch(x, none), np.stack(orbit, axis=1)
        )
        slopes = np.linalg.norm(jacobians, axis=(2, 3)).max(axis=1)
        lengths = np.linalg.norm(points, axis=2).max(axis=1)
        real = (correction <= CORRECTION * diagonal) & (residual <= tolerance * (1 + slopes) * (1 + lengths))
    margin = 1e-9 * (box[:, 1] - box[:, 0])
    inside = np.asarray((points >= box[:, 0] - margin) & (points <= box[:, 1] + margin))
    real &= np.any(np.all(inside, axis=2), axis=1)
    points, residual, jacobians = points[real], residual[real], jacobians[real]
    order = np.argsort(residual, kind="stable")
    taken: list[Array] = []
    result: list[FixedPoint] = []
    tree: cKDTree | None = None
    divisors = [d for d in range(1, period) if period % d == 0]
    for i in order:
        cycle = points[i]
        shorter = any(np.linalg.norm(cycle[d] - cycle[0]) < 1e-7 * diagonal for d in divisors)
        if shorter or (tree is not None and tree.query(cycle[0])[0] < 1e-7 * diagonal):
            continue
        taken.append(cycle)
        tree = cKDTree(np.concatenate(taken))
        product = np.eye(field.n)
        for jacobian in jacobians[i]:
            product = jacobian @ product
        values = np.linalg.eigvals(product)
        values = values[np.argsort(-np.abs(values), kind="stable")]
        kind = "fixed point" if period == 1 else "cycle"
        within = ((cycle >= box[:, 0] - margin) & (cycle <= box[:, 1] + margin)).all(axis=1)
        # the points inside the box come first, in the order of their coordinates
        first = int(np.lexsort((*np.round(cycle / diagonal, 9).T[::-1], ~within))[0])
        cycle = np.roll(cycle, -first, axis=0)
        stability = stability_of(values, True)
        result.append(FixedPoint(cycle[0], kind, stability, values, float(residual[i]), period, points=cycle))
    return sorted(result, key=lambda p: tuple(np.round(p.x / diagonal, 9)))


def _seeds_at_jumps(system: Map, box: Array) -> Array:
    """Points of the 2-cycles that a normalised rule has around critical points, exact on quadratics."""
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    critical = newton_zeros(torch.func.grad(loss.one_point), box, n_starts=512)
    lr, parts = system.coefficients()["lr"], rule.parts()
    seeds = []
    for z in critical:
        length = jump_length(rule, z)
        smooth = 0.0 if parts is None else float(parts[0])
        eigenvalues, vectors = np.linalg.eigh(loss.hessian(z))
        for h, vector in zip(eigenvalues, vectors.T, strict=True):
            below = 2 - lr * h - lr * smooth * h * h
            amplitude = lr * length * abs(h) / (below if below > 1e-3 else 1e-3)
            seeds += [z + amplitude * vector * (1 + shift) for shift in (0.0, 1e-3, -1e-3)]
    return np.array(seeds).reshape(-1, system.dim)

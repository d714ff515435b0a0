"""Batched multi-start Newton for the zeros of a torch function of one point.

Algorithm
---------
1. Starts: a scrambled Sobol sequence over the box, so that they fill it evenly and are the same every time.
2. Every start takes Newton steps with a minimum-norm least-squares solve (the Jacobian may be singular
   along a curve of zeros). A step is cut to a tenth of the box's diagonal, which keeps iterates near their
   start, and is halved up to `HALVINGS` times while it would raise |F|; if no cut lowers |F| the shortest
   is taken, since Newton paths to saddles may climb first. A start is done when its step falls below 1e-13
   of the diagonal, and is given up when it is half a diagonal outside the box.
   A quarter of the starts also run with the damping |F|^2 of Levenberg and Marquardt, which is drawn to the
   nearest point of a curve of zeros, where undamped Newton may slide along it.
3. Iterates whose last step is below 1e-4 of the diagonal are polished by full steps while |F| falls.
4. Kept: those in the box (a margin of 1e-9 of its width is allowed) whose Newton correction is at most 1e-8
   of the diagonal and whose residual is at most tolerance * (1 + |J| (1 + |x|)): what rounding x to the
   nearest float can leave.
5. Duplicates, closer than `separation` times the diagonal, are merged; the one with the smallest residual
   stays. How many plain starts ended at each is counted (`samdyn.equilibria.coverage`); while one was found
   fewer than `OFTEN` times, further batches of starts follow, up to `BATCHES` in all.
6. Deflation: `DEFLATED` further starts search for zeros of ``F(x) prod_z (1 + (s/|x - z|)^2)``, z those
   known (not those on curves of zeros, which cannot be divided out). Its Newton step is the plain step
   times 1/(1 - w . step), w the gradient of the logarithm of the product, so that it costs no more.
   Repeated while it finds new zeros, up to `ROUNDS` times.
7. Iterates of the field and, on a line, its sign changes between the zeros found are further starts
   (`samdyn.equilibria.search_seeds`): they reach steep zeros that have hardly any Newton basin.

The function and its Jacobian are traced into numpy code where that is possible
(`samdyn.trace.printed.printing`). Cost: n_starts * (n_steps + polish) Jacobians, in one batch each; no Python
loop over starts.

References
----------
Nocedal & Wright, Numerical Optimization, ch. 11 (Newton for equations with a line search). Yamashita &
Fukushima, Computing Suppl. 15 (2001) 239-249 (the damping). Farrell, Birkisson & Funke, SIAM J. Sci. Comput.
37 (2015) A2026-A2045 (deflation).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from scipy.stats import qmc
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.equilibria.coverage import OFTEN, Coverage
from samdyn.equilibria.search_seeds import between_zeros, iterates
from samdyn.equilibria.search_watch import SearchWatch
from samdyn.jobs.cost import Stopwatch
from samdyn.numerics.scales import diagonal_of
from samdyn.trace import batch
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import NotTraceable, coordinate_form

HALVINGS = 4  # of a step that would raise |F|; the shortest is taken all the same
SEPARATION = 1e-6  # of the box's diagonal: closer zeros are one
DEFLATED = 512  # starts of a round; a power of two, as Sobol points want
ROUNDS = 3
BATCHES = 4
N_ITERATED = 128  # Sobol points from which the field is iterated; a power of two
FLAT = 1e-7
"""Ratio of singular values below which a Jacobian counts as singular."""
LARGEST_TRACED_DIM = 12
"""Above it a traced Jacobian is too long a program: torch evaluates it in batches."""

Evaluation = Callable[[Array], tuple[Array, Array]]
Flags = npt.NDArray[np.bool_]


def sobol_starts(box: Array, n_starts: int, seed: int = 0) -> Array:
    """`n_starts` points (n_starts, dim) that fill a box evenly; n_starts is rounded up to a power of two."""
    dim = len(box)
    sampler = qmc.Sobol(dim, scramble=True, rng=seed)
    unit = sampler.random_base2(int(np.ceil(np.log2(max(2, n_starts)))))
    return np.asarray(qmc.scale(unit, box[:, 0], box[:, 1]))


def value_and_jacobian(function: Callable[[Tensor], Tensor], dim: int) -> Evaluation:
    """A function R^dim -> R^dim on numpy points (n, dim): values (n, dim) and Jacobians (n, dim, dim)."""
    both = torch.func.jacrev(lambda x: (value := function(x), value), has_aux=True)

    def packed(x: Tensor) -> Tensor:  # one call for the value and the Jacobian
        jacobian, value = both(x)
        return torch.cat([value[:, None], jacobian], dim=1)

    try:
        if dim > LARGEST_TRACED_DIM:
            raise NotTraceable("the Jacobian has too many elements")
        form = numpy_form(coordinate_form(packed, dim))
    except NotTraceable:

        def batched(points: Array) -> tuple[Array, Array]:
            result = batch.evaluate(packed, points)
            return result[..., 0], result[..., 1:]

        return batched

    def evaluate(points: Array) -> tuple[Array, Array]:
        columns = form(*(np.ascontiguousarray(column) for column in points.T))
        rows = np.empty((len(points), dim * (dim + 1)))
        for k, column in enumerate(columns):
            rows[:, k] = column
        result = rows.reshape(-1, dim, dim + 1)
        return result[..., 0], result[..., 1:]

    return evaluate


def perturbed_evaluation(gradient: Evaluation, smooth: float, normalised: float) -> Evaluation:
    """grad f(x + a g + r g/|g|) and its Jacobian from grad f and its Hessian, a and r being numbers.

    The Jacobian is H(x + e) (I + a H + (r/|g|) (I - u u^T) H), u = g/|g|: nan where g = 0 and r is not.
    """

    def evaluate(points: Array) -> tuple[Array, Array]:
        g, hessian = gradient(points)
        moved = np.eye(points.shape[1]) + smooth * hessian
        shift = smooth * g
        if normalised:
            size = np.linalg.norm(g, axis=1, keepdims=True)
            unit = g / size
            shift = shift + normalised * unit
            along = np.einsum("ni,nij->nj", unit, hessian)
            moved = moved + (normalised / size)[..., None] * (hessian - unit[:, :, None] * along[:, None])
        value, seen = gradient(points + shift)
        return value, seen @ moved

    return evaluate


def newton_zeros(function: Callable[[Tensor], Tensor], box: Array, **options: Any) -> Array:
    """Zeros of a function R^dim -> R^dim in a box, (n_zeros, dim); see `search_zeros` for the options."""
    return search_zeros(value_and_jacobian(function, len(box)), box, **options)[0]


def search_zeros(
    evaluate: Evaluation,
    box: Array,
    *,
    n_starts: int = 2048,
    n_steps: int = 60,
    tolerance: float = 1e-12,
    starts: Array | None = None,
    separation: float = SEPARATION,
    excluded: Callable[[Array], Flags] | None = None,
    watch: SearchWatch | None = None,
) -> tuple[Array, Coverage]:
    """Zeros of a function R^dim -> R^dim in a box, and how thoroughly it was searched.

    Parameters
    ----------
    evaluate : callable
        Values (n, dim) and Jacobians (n, dim, dim) at points (n, dim): `value_and_jacobian`.
    box : ndarray, shape (dim, 2)
        Where to look.
    n_starts : int
        Number of Sobol starts in a batch (rounded up to a power of two).
    n_steps : int
        Newton steps before the polish.
    tolerance : float
        Largest accepted residual, relative to 1 + |J| (1 + |x|).
    starts : ndarray, shape (n, dim), optional
        Further starts, after the Sobol ones.
    separation : float
        Zeros closer than this times the box's diagonal are one.
    excluded : callable, optional
        Which zeros (n, dim) are not wanted; they are neither returned nor counted.
    watch : SearchWatch, optional
        Hears of every Newton step of a batch, and of the end of the first batch.

    Returns
    -------
    zeros : ndarray, shape (n_zeros, dim)
        Sorted by their coordinates.
    coverage : Coverage
        With counts in the order of the zeros.
    """
    diagonal = diagonal_of(box)
    search = _Search(evaluate, box, diagonal, n_steps, tolerance, watch)
    plain = sobol_starts(box, n_starts)
    extra = np.empty((0, len(box))) if starts is None else starts
    nothing = np.empty((0, len(box)))
    with np.errstate(all="ignore"):
        undefined = int((~np.isfinite(evaluate(plain)[0]).all(axis=1)).sum())
        work = Stopwatch()
        first = search.run(plain, damped=False, known=nothing)
        if watch is not None:
            watch.batch(work.seconds())
        others = [search.run(extra, damped=False, known=nothing)] if len(extra) else []
        others.append(search.run(plain[: len(plain) // 4], damped=True, known=nothing))
        ends, n_plain = first[0], len(plain)
        zeros, size, singular = _distinct([first, *others], separation * diagonal)
        for seed in range(1, BATCHES):
            counts = _counts(zeros[~singular], ends, separation * diagonal)
            if len(counts) == 0 or counts.min() >= OFTEN or n_starts < DEFLATED:
                break
            more = search.run(sobol_starts(box, n_starts, seed), damped=False, known=nothing)
            ends, n_plain = np.concatenate([ends, more[0]]), n_plain + len(plain)
            zeros, size, singular = _distinct([(zeros, size, singular), more], separation * diagonal)
        for round_number in range(ROUNDS):
            isolated = zeros[~singular]
            if len(isolated) > DEFLATED or n_starts < DEFLATED:
                break
            found = search.run(
                sobol_starts(box, DEFLATED, BATCHES + round_number), damped=False, known=isolated
            )
            zeros, size, singular = _distinct([(zeros, size, singular), found], separation * diagonal)
            if int((~singular).sum()) <= len(isolated):
                break
    with np.errstate(all="ignore"):
        seeds = iterates(evaluate, plain[:N_ITERATED], box)
        if len(box) == 1:
            seeds = np.concatenate([seeds, between_zeros(evaluate, zeros, box)])
        if len(seeds):
            found = search.run(seeds, damped=False, known=nothing)
            zeros, size, singular = _distinct([(zeros, size, singular), found], separation * diagonal)
    if excluded is not None and len(zeros):
        zeros = zeros[~excluded(zeros)]
    zeros = zeros[np.lexsort(np.round(zeros, 9).T[::-1])]
    counts = _counts(zeros, ends, separation * diagonal)
    return zeros, Coverage(n_plain, int(counts.sum()), undefined, counts)


def zeros_from(evaluate: Evaluation, box: Array, starts: Array, tolerance: float = 1e-12) -> Array:
    """Zeros (n, dim) in a box at which Newton's method ends from starts (m, dim), each once."""
    diagonal = diagonal_of(box)
    search = _Search(evaluate, box, diagonal, n_steps=60, tolerance=tolerance)
    with np.errstate(all="ignore"):
        zeros, size, _ = search.run(starts, damped=False, known=np.empty((0, len(box))))
    return np.asarray(zeros[merge_index(zeros, size, SEPARATION * diagonal)])


def _counts(zeros: Array, ends: Array, distance: float) -> npt.NDArray[np.int64]:
    """How many of the ends lie at each zero."""
    if len(zeros) == 0 or len(ends) == 0:
        return np.zeros(len(zeros), dtype=np.int64)
    away, nearest = cKDTree(zeros).query(ends)
    return np.bincount(nearest[away <= 2 * distance], minlength=len(zeros))


def _distinct(parts: list[tuple[Array, Array, Flags]], distance: float) -> tuple[Array, Array, Flags]:
    """Zeros, residuals and singularity of several runs together, without repeats."""
    zeros, size, singular = (np.concatenate([part[k] for part in parts]) for k in range(3))
    keep = merge_index(zeros, size, distance)
    return zeros[keep], size[keep], singular[keep]


class _Search:
    """Newton iterations of a batch of starts, for one function and box."""

    def __init__(
        self,
        evaluate: Evaluation,
        box: Array,
        diagonal: float,
        n_steps: int,
        tolerance: float,
        watch: SearchWatch | None = None,
    ):
        self.evaluate, self.box, self.diagonal = evaluate, box, diagonal
        self.n_steps, self.tolerance, self.watch = n_steps, tolerance, watch

    def run(self, x: Array, damped: bool, known: Array) -> tuple[Array, Array, Flags]:
        """Zeros that the starts x (n, dim) end at, with repeats; their residuals; whether the Jacobian is
        singular there.
        """
        box, diagonal = self.box, self.diagonal
        settled = [np.empty((0, len(box)))]
        value, jacobian = self.evaluate(x)
        for _ in range(self.n_steps):
            work = Stopwatch()
            step = newton_steps(value, jacobian, damped)
            if len(known):
                step = _deflated(step, x, known, 0.1 * diagonal)
            length = np.linalg.norm(step, axis=1, keepdims=True)
            step *= np.minimum(1.0, 0.1 * diagonal / np.where(length > 0, length, 1.0))
            size = np.linalg.norm(value, axis=1)
            trial = x + step
            value, jacobian = self.evaluate(trial)
            worse = np.arange(len(x))
            for _ in range(HALVINGS if len(known) == 0 else 0):  # deflated paths must be free to climb
                worse = worse[~(np.linalg.norm(value[worse], axis=1) <= size[worse])]
                if len(worse) == 0:
                    break
                step[worse] /= 2
                trial[worse] = x[worse] + step[worse]
                value[worse], jacobian[worse] = self.evaluate(trial[worse])
            near = ((trial >= box[:, 0] - 0.5 * diagonal) & (trial <= box[:, 1] + 0.5 * diagonal)).all(axis=1)
            done = length[:, 0] <= 1e-13 * diagonal
            settled.append(trial[near & done])
            going = near & ~done
            x, value, jacobian = trial[going], value[going], jacobian[going]
            if self.watch is not None:
                self.watch.step(work.seconds())
            if len(x) == 0:
                break
        return self._polished(np.concatenate([*settled, x]))

    def _polished(self, x: Array) -> tuple[Array, Array, Flags]:
        value, jacobian = self.evaluate(x)
        step = newton_steps(value, jacobian)
        close = np.linalg.norm(step, axis=1) <= 1e-4 * self.diagonal
        x, value, jacobian, step = x[close], value[close], jacobian[close], step[close]
        for _ in range(8):
            if len(x) == 0:
                break
            trial = x + step
            new_value, new_jacobian = self.evaluate(trial)
            better = np.linalg.norm(new_value, axis=1) < np.linalg.norm(value, axis=1)
            if not better.any():
                break
            x[better], value[better], jacobian[better] = (
                trial[better],
                new_value[better],
                new_jacobian[better],
            )
            step[better] = newton_steps(value[better], jacobian[better])
        size = np.linalg.norm(value, axis=1)
        steepness = np.linalg.norm(jacobian, axis=(1, 2))
        margin = 1e-9 * (self.box[:, 1] - self.box[:, 0])
        good = ((x >= self.box[:, 0] - margin) & (x <= self.box[:, 1] + margin)).all(axis=1)
        good &= size <= self.tolerance * (1 + steepness * (1 + np.linalg.norm(x, axis=1)))
        good &= np.linalg.norm(step, axis=1) <= 1e-8 * self.diagonal
        values = np.linalg.svd(jacobian[good], compute_uv=False)
        flat = values[:, -1] <= FLAT * np.maximum(values[:, 0], 1e-300)
        return x[good], size[good], flat


def newton_steps(value: Array, jacobian: Array, damped: bool = False) -> Array:
    """Newton steps (n, dim) from values (n, dim) and Jacobians (n, dim, dim); nan where they are not finite.

    `damped` adds |F|^2 to the normal equations.
    """
    usable = np.isfinite(jacobian).all(axis=(1, 2)) & np.isfinite(value).all(axis=1)
    step = np.full_like(value, np.nan)
    dim = value.shape[1]
    if damped:
        transposed = jacobian[usable].transpose(0, 2, 1)
        regular = (value[usable] ** 2).sum(axis=1)[:, None, None] * np.eye(dim) + transposed @ jacobian[
            usable
        ]
        regular += 1e-300 * np.eye(dim)
        right = np.einsum("nij,nj->ni", transposed, value[usable])
        step[usable] = -np.einsum("nij,nj->ni", np.linalg.pinv(regular, rcond=1e-15, hermitian=True), right)
        return step
    # a determinant far from zero, relative to the rows, needs no singular values
    rows = np.linalg.norm(jacobian, axis=2).prod(axis=1)
    regular_ones = usable & (np.abs(np.linalg.det(jacobian)) > 1e-5 * rows) & np.isfinite(rows)
    step[regular_ones] = -np.linalg.solve(jacobian[regular_ones], value[regular_ones][..., None])[..., 0]
    others = usable & ~regular_ones
    if others.any():
        # a relative cut-off of singular values: on curves of zeros the Jacobian has a null direction, along
        # which Newton must not run off
        step[others] = -np.einsum("nij,nj->ni", np.linalg.pinv(jacobian[others], rcond=1e-10), value[others])
    return step


def _deflated(step: Array, x: Array, known: Array, scale: float) -> Array:
    """Newton steps of F prod (1 + scale^2/|x - z|^2) from the Newton steps of F."""
    offset = x[:, None] - known
    square = (offset**2).sum(axis=-1)
    # the gradient of log(1 + s^2/r^2) is -2 s^2 / (r^2 (r^2 + s^2)) times the offset
    weight = -2 * scale**2 / np.maximum(square * (square + scale**2), 1e-300)
    slope = (weight * np.einsum("nzi,ni->nz", offset, step)).sum(axis=1)
    return np.asarray(step / np.where(np.abs(1 - slope) > 1e-3, 1 - slope, 1e-3)[:, None])


def merge_index(x: Array, size: Array, distance: float) -> npt.NDArray[np.int64]:
    """Indices of one representative, the point of smallest `size`, of every group of points that hang
    together at `distance`.
    """
    order = np.argsort(size, kind="stable")
    if len(x) == 0:
        return order
    # coarse cells first: thousands of copies of a few zeros would make millions of pairs
    cells = np.round(x[order] / (0.1 * distance))
    _, first = np.unique(cells, axis=0, return_index=True)
    order = order[np.sort(first)]
    pairs = cKDTree(x[order]).query_pairs(distance, output_type="ndarray")
    keep = np.ones(len(order), dtype=bool)
    if len(pairs):
        keep[pairs.max(axis=1)] = False  # a later point has a larger residual and an earlier neighbour
    return order[keep]

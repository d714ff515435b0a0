"""Whether the indices of the zeros found in a plane box add up, and a search where they do not.

The winding number of a planar field along a closed curve is the sum of the indices of the zeros inside
(`samdyn.equilibria.proof.degree`). What it says about a list of zeros that Newton's method found does not
depend on Newton's basins: a zero in a layer as thin as rounding counts like any other.

Algorithm
---------
1. Indices of the points found: the sign of det J at a regular zero; at one that is nearly degenerate, and at
   a point at which the field jumps (a critical point under a normalised rule), the winding number along a
   small square, if it is the same along one an eighth as large.
2. A grid of `CELLS` x `CELLS` cells over the box, its lines as far from the points found as can be. Cells
   without a winding number (the field vanishes or jumps on an edge), with a point that has no index, or with
   a part of a curve of zeros are not checked.
3. A cell whose winding number is not the sum of the indices in it is split into four, and so on, `DEPTH`
   times. At the first `EVERY` levels and every `EVERY`-th one after them Newton starts from 3 x 3 points in
   each such cell (one that is smaller than a zero's basin lies in it); zeros that are new count from then on.
4. What is left at the end, or in a cell below `LOCATED` of the box that has no cut without a jump by a half
   turn, is a point where the field jumps or is infinite, if it is no smaller on the last
   cell than at a distance; otherwise so many zeros are missing.

Zeros of opposite index in one cell cancel: that the indices add up is no proof that the list is complete,
and what is printed says so.

References
----------
Deimling, Nonlinear Functional Analysis (1985), ch. 1. Kearfott, Numer. Math. 32 (1979) 109-127 (zeros by
bisection and degrees).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from samdyn.arguments.checks import Array
from samdyn.equilibria.proof.degree import FIRST, Evaluation, grid_windings, windings
from samdyn.equilibria.search_watch import SearchWatch
from samdyn.equilibria.stability.wording import listed
from samdyn.jobs.cost import Stopwatch
from samdyn.numerics.scales import diagonal_of
from samdyn.results import Result, Table

__all__ = ["IndexCheck", "check_index"]

CELLS = 32
DEPTH = 34  # the last cells are 2e-12 of the box wide, thousands of roundings of its coordinates
EVERY = 3
CUTS = (0.488, 0.439, 0.541, 0.397, 0.587)  # where cells are split; not in the middle, for symmetric fields
SQUARE = 1e-3  # of the box's diagonal: half the width of the square around a point without a Jacobian
TIGHT = 1e-6  # the same where the point is known to rounding: hallucinated points may be closer than SQUARE
FINE = 128  # samples of an edge whose winding number is contradicted
REGULAR = 1e-7  # ratio of the singular values
SMALL = 1e-4  # of |J| at half a square's width: smaller singular values may belong to a degenerate zero
SAME = 1e-6  # of the diagonal: closer zeros are one, as in `samdyn.equilibria.newton`
MOST_CELLS = 2048
LOCATED = 1e-6  # of the box: a cell that no cut divides, as where the field jumps along one direction only


@dataclass(frozen=True, eq=False, repr=False)
class IndexCheck(Result):
    """What the index sum says about a list of zeros in a box.

    Attributes
    ----------
    n_cells, n_checked : int
        Cells of the grid, and how many of them have a winding number to compare with.
    missing : int
        How many more zeros there must be at least, degenerate ones counted by their index: the sum over cells
        of the index that no zero explains.
    jumps : ndarray, shape (n, 2)
        Points with an index at which the field does not vanish: it jumps or is infinite there.
    reason : str
        Where the sum is one over the whole box and is not checked: why.
    on_boundary : bool
        Whether the sum is compared with the degree of the field on the box's boundary, as above two
        dimensions (`samdyn.equilibria.proof.boundary_index`), and not in each cell of a grid.

    Examples
    --------
    >>> import numpy as np
    >>> IndexCheck(1024, 1024, 0, np.empty((0, 2)))
    the indices add up in all 1024 cells of a grid (two zeros of opposite index in one cell cancel)
    """

    row = "jump"

    n_cells: int
    n_checked: int
    missing: int
    jumps: Array
    reason: str = ""
    on_boundary: bool = False

    @property
    def complete(self) -> bool:
        """Whether all cells were checked, and all indices add up."""
        return self.n_checked == self.n_cells and not self.missing and len(self.jumps) == 0

    def table(self) -> Table:
        """Whether the indices add up, and where they cannot be checked."""
        parts = []
        if self.missing:
            parts.append(f"the index sum says at least {self.missing} more")
        if self.on_boundary and not self.missing:
            text = (
                "the indices add up to the degree of the field on the box's boundary (two further zeros of "
                "opposite index cancel)"
            )
            parts.append(text if self.n_checked else f"the index sum is not checked: {self.reason}")
        elif self.n_checked == 0:
            parts.append("the index sum is not checked: the field vanishes or jumps on every curve tried")
        elif not self.missing:
            where = f"all {self.n_cells}" if self.n_checked == self.n_cells else f"{self.n_checked}"
            of = "" if self.n_checked == self.n_cells else f" of {self.n_cells}"
            parts.append(
                f"the indices add up in {where}{of} cells of a grid (two zeros of opposite index in one cell "
                "cancel)"
            )
        if self.n_checked and self.n_checked < self.n_cells:
            parts.append(
                f"{self.n_cells - self.n_checked} cells are not checked: the field vanishes or jumps there"
            )
        if len(self.jumps):
            at = ", ".join(listed(x) for x in self.jumps[:3])
            more = f" and {len(self.jumps) - 3} more points" if len(self.jumps) > 3 else ""
            parts.append(f"the field jumps or is infinite at {at}{more}, where something may rest")
        return Table("; ".join(parts))


def check_index(
    evaluate: Evaluation,
    box: Array,
    zeros: Array,
    others: Array,
    curves: Array,
    newton: Callable[[Array], Array],
    *,
    tight: npt.NDArray[np.bool_] | None = None,
    convex: bool = False,
    watch: SearchWatch | None = None,
) -> tuple[IndexCheck, Array]:
    """Compare winding numbers with the zeros found, and search where they differ.

    Parameters
    ----------
    evaluate : callable
        Values (n, 2) and Jacobians (n, 2, 2) of the field.
    box : ndarray, shape (2, 2)
    zeros : ndarray, shape (n, 2)
        Zeros found.
    others : ndarray, shape (m, 2)
        Points at which the field may jump, and which are accounted for.
    curves : ndarray, shape (k, 2)
        Samples of curves of zeros.
    newton : callable
        From starts (j, 2) to zeros.
    tight : ndarray of bool, shape (m,), optional
        Which of `others` are known to rounding.
    convex : bool
        Whether jumps of the field are turned through the angle between their sides
        (`samdyn.equilibria.proof.degree`).
    watch : SearchWatch, optional
        Hears of every level of cells.

    Returns
    -------
    IndexCheck
    ndarray, shape (i, 2)
        The zeros that are new.

    Examples
    --------
    >>> import numpy as np
    >>> def layer(x):  # three zeros, of which Newton knows one
    ...     value = np.stack([np.tanh(1e6 * x[:, 0]) - x[:, 0], -x[:, 1]], axis=1)
    ...     rows = np.zeros((len(x), 2, 2))
    ...     rows[:, 0, 0], rows[:, 1, 1] = 1e6 / np.cosh(np.clip(1e6 * x[:, 0], -300, 300)) ** 2 - 1, -1
    ...     return value, rows
    >>> none = np.empty((0, 2))
    >>> box = np.array([[-2.0, 2.0], [-2.0, 2.0]])
    >>> check_index(layer, box, np.array([[1.0, 0.0], [-1.0, 0.0]]), none, none, lambda starts: none)[0]
    the index sum says at least 1 more
    """
    check = _Check(evaluate, box, curves, convex)
    check.add(zeros, regular=True)
    check.add(others, regular=False, tight=tight)
    n_known = len(check.x)
    x, y = (check.lines(axis) for axis in range(2))
    winding = grid_windings(evaluate, x, y, convex=convex)
    corners = np.stack(np.meshgrid(np.arange(CELLS), np.arange(CELLS), indexing="ij"), axis=-1).reshape(-1, 2)
    cells = np.stack(
        [np.stack([line[corners[:, k]], line[corners[:, k] + 1]], axis=-1) for k, line in enumerate((x, y))],
        axis=1,
    )
    deficit = winding.ravel() - check.sums(cells)
    checked = np.isfinite(deficit)
    wrong = checked & (deficit != 0)
    missing, n_unclear, jumps = check.refine(cells[wrong], winding.ravel()[wrong], newton, watch)
    return IndexCheck(len(cells), int(checked.sum()) - n_unclear, missing, jumps), check.x[n_known:]


class _Check:
    """Known points x (n, 2) with their indices (nan where unknown)."""

    def __init__(self, evaluate: Evaluation, box: Array, curves: Array, convex: bool) -> None:
        self.evaluate, self.box, self.curves, self.convex = evaluate, box, curves, convex
        self.diagonal = diagonal_of(box)
        self.x, self.index = np.empty((0, 2)), np.empty(0)

    def add(self, x: Array, *, regular: bool, tight: npt.NDArray[np.bool_] | None = None) -> None:
        """Take points in; `regular` says that the sign of det J is their index where J is regular."""
        self.x = np.concatenate([self.x, x])
        if len(x) == 0:
            return
        index, sign = np.full(len(x), np.nan), np.full(len(x), np.nan)
        away = cKDTree(self.x).query(x, 2)[0][:, 1]  # infinite where there is no other
        half = np.minimum(SQUARE * self.diagonal, 0.25 * away)
        if tight is not None:
            half[tight] = np.minimum(TIGHT * self.diagonal, half[tight])
        if regular:
            with np.errstate(all="ignore"):
                jacobian, beside = (
                    np.nan_to_num(self.evaluate(y)[1]) for y in (x, x + half[:, None] * [0.8, 0.6])
                )
            size = np.linalg.svd(jacobian, compute_uv=False)
            least = REGULAR * size[:, 0]
            sign = np.where(size[:, 1] > least, np.sign(np.linalg.det(jacobian)), np.nan)
            # Newton's method stops near a degenerate zero, where J is small but need not be singular
            plain = size[:, 1] > np.maximum(least, SMALL * np.linalg.norm(beside, axis=(1, 2)))
            index[plain] = sign[plain]
        open_ = np.flatnonzero(np.isnan(index))
        if len(open_):
            # not symmetric: a kink through the point must not pass through a sample of an edge
            sides = half[open_, None, None] * np.array([-0.9817, 1.0])
            large, small = (
                windings(self.evaluate, x[open_, :, None] + sides / shrink, convex=self.convex)
                for shrink in (1, 8)
            )
            index[open_] = np.where(large == small, large, sign[open_])
        self.index = np.concatenate([self.index, index])

    def lines(self, axis: int) -> Array:
        """Lines of the grid (CELLS + 1,): between fixed ends, away from the points known."""
        low, high = self.box[axis]
        known = np.concatenate([self.x, self.curves])[:, axis]
        width = (high - low) / CELLS
        # irrational shares of a cell, on which no symmetric field has a zero; others on the second axis of a
        # field that may jump, which it can do on a diagonal of a square
        odd = -0.0447 if self.convex and axis else 0.0318
        shifts = width * (np.array([0.0, 0.2, -0.2, 0.1, -0.1, 0.3, -0.3]) + odd)
        nominal = low + width * np.arange(1, CELLS)
        tried = nominal[:, None] + shifts
        if len(known):
            gap = np.abs(tried[..., None] - known).min(axis=-1)
            # the first that is far enough from all, or else the farthest
            good = np.argmax(np.where(gap > 0.05 * width, 1.0, gap / width * 0.5), axis=1)
            inner = tried[np.arange(len(nominal)), good]
        else:
            inner = tried[:, 0]
        return np.concatenate([[low], inner, [high]])

    def sums(self, cells: Array) -> Array:
        """Sums of the indices of the known points in cells (m, 2, 2); nan where one is unknown."""
        result = np.zeros(len(cells))
        for points, index in ((self.x, self.index), (self.curves, np.full(len(self.curves), np.nan))):
            for k in range(0, len(cells), 64):  # bounds the table
                part = cells[k : k + 64, None]
                inside = ((points >= part[..., 0]) & (points <= part[..., 1])).all(axis=-1)
                result[k : k + 64] += np.where(inside, index, 0.0).sum(axis=1)
        return result

    def refine(
        self,
        cells: Array,
        winding: Array,
        newton: Callable[[Array], Array],
        watch: SearchWatch | None = None,
    ) -> tuple[int, int, Array]:
        """How many zeros stay missing in cells with wrong sums, in how many of these the winding numbers
        contradict each other, and where the field jumps.
        """
        missing, n_unclear, jumps = 0, 0, []
        work = Stopwatch()
        for depth in range(DEPTH + 1):
            if watch is not None and depth:
                watch.level(work.seconds(), depth, DEPTH)
            if len(cells) and (depth < EVERY or depth % EVERY == 0 or depth == DEPTH):
                share = np.array([0.21, 0.49, 0.77])
                x, y = (cells[:, k, 0, None] + share * np.ptp(cells[:, k], axis=1)[:, None] for k in range(2))
                starts = np.stack(np.broadcast_arrays(x[:, :, None], y[:, None, :]), axis=-1)
                self._take(newton(starts.reshape(-1, 2)))
            deficit = winding - self.sums(cells)
            wrong = deficit != 0  # a new point without an index leaves the deficit open
            cells, winding, deficit = cells[wrong], winding[wrong], deficit[wrong]
            deficit = np.nan_to_num(deficit)
            if len(cells) == 0:
                break
            if depth == DEPTH or len(cells) > MOST_CELLS:
                jump = self._jumps(cells) if depth == DEPTH else np.zeros(len(cells), dtype=bool)
                jumps += [cell.mean(axis=1) for cell in cells[jump]]
                missing += int(np.abs(deficit[~jump]).sum())
                break
            parts, numbers = self._split(cells)
            odd = np.flatnonzero(numbers.sum(axis=1) != winding)  # nan is unequal
            if len(odd):  # an edge may turn between its samples
                finer = windings(self.evaluate, cells[odd], convex=self.convex, first=FINE)
                deficit[odd] += finer - winding[odd]
                winding[odd] = finer
                parts[odd], numbers[odd] = self._split(cells[odd], FINE)
            uncut = np.isnan(numbers).any(axis=1) & np.isfinite(winding)
            small = uncut & (np.ptp(cells, axis=2) < LOCATED * np.ptp(self.box, axis=1)).all(axis=1)
            small[small] = self._jumps(cells[small])
            jumps += [cell.mean(axis=1) for cell in cells[small]]
            missing += int(np.abs(deficit[uncut & ~small]).sum())
            good = numbers.sum(axis=1) == winding
            n_unclear += int((~good & ~uncut).sum())
            parts, numbers = parts[good].reshape(-1, 2, 2), numbers[good].ravel()
            wrong = numbers != self.sums(parts)
            cells, winding = parts[wrong], numbers[wrong]
        return missing, n_unclear, np.array(jumps).reshape(-1, 2)

    def _take(self, found: Array) -> None:
        if len(found) and len(self.x):
            found = found[cKDTree(self.x).query(found)[0] > SAME * self.diagonal]
        self.add(found, regular=True)

    def _split(self, cells: Array, first: int = FIRST) -> tuple[Array, Array]:
        """Four parts (m, 4, 2, 2) of each cell and their winding numbers (m, 4), by the first cut to work."""
        parts, numbers = np.empty((len(cells), 4, 2, 2)), np.full((len(cells), 4), np.nan)
        for cut in CUTS:
            open_ = np.flatnonzero(np.isnan(numbers).any(axis=1))
            if len(open_) == 0:
                break
            low, high = cells[open_, :, 0], cells[open_, :, 1]
            middle = low + cut * (high - low)
            for k, (right, top) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
                for axis, upper in enumerate((right, top)):
                    parts[open_, k, axis, 0] = (middle if upper else low)[:, axis]
                    parts[open_, k, axis, 1] = (high if upper else middle)[:, axis]
            tried = windings(self.evaluate, parts[open_].reshape(-1, 2, 2), convex=self.convex, first=first)
            numbers[open_] = tried.reshape(-1, 4)
        return parts, numbers

    def _jumps(self, cells: Array) -> npt.NDArray[np.bool_]:
        """Whether the field is as large at tiny cells as farther away from them."""
        middle = cells.mean(axis=2)
        with np.errstate(all="ignore"):
            at, beside = (
                np.linalg.norm(self.evaluate(middle + d * self.diagonal)[0], axis=1)
                for d in (np.array([1e-11, 0.6e-11]), np.array([1e-4, 0.6e-4]))
            )
        return np.asarray(~(at < 0.1 * beside))

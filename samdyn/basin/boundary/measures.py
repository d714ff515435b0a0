"""How fractal a basin boundary is: uncertainty exponent, box dimension, basin entropy.

All take labels on a grid (a `Basins`, or an integer array of any dimension) and measure lengths in cells.

- Uncertainty exponent alpha: a cell is uncertain at distance r if a cell within r of it (in each
  coordinate) has another label; the share of uncertain cells grows as r^alpha. alpha = 1 for a smooth
  boundary, less for a fractal one.
- Box dimension D: boxes of side r whose r + 1 points along each side (neighbours share those on their faces)
  have more than one label number r^-D. D = d - alpha.
- Basin entropy: the mean over boxes of r^d cells of the Gibbs entropy of the labels within; the boundary
  entropy Sbb is the mean over boxes with more than one label.

The errors of entropies come from strips of boxes across the picture, at most `MOST_STRIPS` along each side:
what the strips' sums differ from the mean, as if strips were independent, along the side where they differ
most. Boxes beside each other are alike, and along a straight boundary all of them are; whole strips are
nearly independent along one side at least, unless the boundary is as coarse as the picture.

Exponents are slopes of least-squares lines in logarithmic coordinates. The points of one line come from one
picture: they are not independent, and at coarse sizes they are not on the line yet. The error of the slope
holds the scatter about the line (with the factor of Student's t over the normal law for so few points), the
change of the slope if the coarser half of the sizes is left out, and one box more or less of the N boxes of
the coarsest size that meet the boundary, which is what the ends of the picture leave open,
1 / (N log(r_max / r_min)).

References
----------
Grebogi, McDonald, Ott & Yorke, Physics Letters A 99 (1983) 415-418. Daza, Wagemakers, Georgeot, Guery-Odelin
& Sanjuan, Scientific Reports 6 (2016) 31416.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import integrate, ndimage, special, stats

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.results import Result, Table

MOST_STRIPS = 16
"""Strips of boxes along a side: fewer are more independent, and more know their own scatter better."""
ALIKE = 1e-12
"""Nats by which entropies of equal boxes differ by rounding."""

AnyLabels = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class Exponent(Result):
    """A scaling exponent.

    Attributes
    ----------
    value, standard_error : float
        ``float(exponent)`` is the value. The error is described in `samdyn.basin.boundary.measures`.
    sizes, values : ndarray
        What the line was fitted to.
    """

    cited = ("grebogi1983",)
    row = "size"

    value: float
    standard_error: float
    sizes: Array
    values: Array

    def __float__(self) -> float:
        return self.value

    @checked
    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """An interval for the exponent: so many errors to both sides, by the normal law."""
        level = checks.number("level", level, above=0, below=1)
        half = float(stats.norm.isf((1 - level) / 2)) * self.standard_error
        return self.value - half, self.value + half

    def table(self) -> Table:
        """The exponent with its interval."""
        low, high = self.interval()
        return Table(f"Exponent {self.value:.4g} [{low:.4g}, {high:.4g}] from {len(self.sizes)} sizes")


@dataclass(frozen=True, eq=False, repr=False)
class BasinEntropy(Result):
    """Basin entropy at one size of box.

    Attributes
    ----------
    entropy : float
        Mean over all boxes, in nats.
    boundary_entropy : float
        Mean over boxes with more than one label; nan without any. Above log 2 the boundary is fractal.
    n_boxes, n_boundary : int
    n_labels : int
    standard_error, boundary_error : float
        Of the two means, from strips of boxes (`samdyn.basin.boundary.measures`); nan where fewer than two
        strips hold such boxes, or all these are alike.
    n_strips, n_boundary_strips : int
        How many strips they come from: one more than the degrees of freedom.
    """

    cited = ("daza2016",)

    entropy: float
    boundary_entropy: float
    n_boxes: int
    n_boundary: int
    n_labels: int
    standard_error: float
    boundary_error: float
    n_strips: int
    n_boundary_strips: int

    @checked
    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """An interval for the entropy of the boundary's kind, at this size of cells and boxes."""
        return self._interval(self.entropy, self.standard_error, self.n_strips, level)

    @checked
    def boundary_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the boundary entropy; nan without a boundary."""
        return self._interval(self.boundary_entropy, self.boundary_error, self.n_boundary_strips, level)

    def _interval(self, value: float, error: float, n_strips: int, level: float) -> tuple[float, float]:
        level = checks.number("level", level, above=0, below=1)
        most = float(np.log(max(self.n_labels, 1)))
        if np.isnan(value):
            return value, value
        if np.isnan(error):  # nothing but the range is known
            return 0.0, most
        half = float(stats.t.isf((1 - level) / 2, n_strips - 1)) * error
        return max(value - half, 0.0), min(value + half, most)

    def table(self) -> Table:
        """Both entropies with their intervals, and the boxes that they are means over."""
        (low, high), (below, above) = self.interval(), self.boundary_interval()
        return Table(
            f"BasinEntropy {self.entropy:.4g} [{low:.4g}, {high:.4g}] over {self.n_boxes} boxes, "
            f"{self.boundary_entropy:.4g} [{below:.4g}, {above:.4g}] over the {self.n_boundary} at a boundary"
        )


def integer_labels(basins: Any) -> AnyLabels:
    """The labels of a `Basins`, or an array of integers as it is."""
    labels = checks.labels("basins", getattr(basins, "labels", basins))
    if labels.ndim == 0:
        raise ValueError(f"basins must be a Basins or an array of integer labels, got {labels!r}")
    return labels


@checked
def boundary_cells(basins: Any, distance: int = 1) -> npt.NDArray[np.bool_]:
    """Cells with a differently labelled cell within `distance` cells in each coordinate.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> sd.basin.boundary_cells(np.array([1, 1, 1, 2, 2])).astype(int)
    array([0, 0, 1, 1, 0])
    """
    labels = integer_labels(basins)
    size = 2 * min(checks.integer("distance", distance, at_least=1), max(labels.shape)) + 1
    high = ndimage.maximum_filter(labels, size, mode="nearest")
    low = ndimage.minimum_filter(labels, size, mode="nearest")
    return np.asarray(high != low)


@checked
def uncertainty_exponent(basins: Any, distances: Sequence[int] | None = None) -> Exponent:
    """Exponent of the share of cells that are uncertain at a distance.

    Parameters
    ----------
    basins : Basins or integer array
    distances : sequence of int, optional
        In cells; 1, 2, 4, ... up to a 32nd of the shortest side by default.

    Returns
    -------
    Exponent

    Raises
    ------
    ValueError
        Fewer than two distances, or no boundary.

    Notes
    -----
    The share counts cells within ``distance + 1/2`` of the boundary, at half the distance on a lattice:
    the fit is against ``distance`` itself, exact for a straight boundary.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> half = np.repeat([[1] * 64 + [2] * 64], 128, axis=0)
    >>> round(float(sd.basin.uncertainty_exponent(half)), 6)
    1.0
    """
    labels = integer_labels(basins)
    if distances is None:
        distances = _doublings(min(n for n in labels.shape if n > 1) // 32, "distances")
    sizes = np.array(checks.integers("distances", distances, at_least=1))
    share = np.array([boundary_cells(labels, int(r)).mean() for r in sizes])
    widest = min(2 * int(sizes.max()), min(n for n in labels.shape if n > 1) - 1)
    return _fit(sizes, share, "uncertain cells", float(_cut_boxes(labels, widest)))


@checked
def box_dimension(basins: Any, sizes: Sequence[int] | None = None) -> Exponent:
    """Box-counting dimension of the basin boundary.

    Parameters
    ----------
    basins : Basins or integer array
    sizes : sequence of int, optional
        Sides of the boxes, in cells; 2, 4, 8, ... up to a 16th of the shortest side by default.

    Returns
    -------
    Exponent

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> half = np.repeat([[1] * 65 + [2] * 64], 129, axis=0)
    >>> round(float(sd.basin.box_dimension(half)), 6)
    1.0
    """
    labels = integer_labels(basins)
    if sizes is None:
        sizes = [2 * n for n in _doublings(min(n for n in labels.shape if n > 1) // 32, "sizes")]
    sides = np.array(checks.integers("sizes", sizes, at_least=1))
    counts = np.array([float(_cut_boxes(labels, int(r))) for r in sides])
    fitted = _fit(sides, counts, "boxes with two labels", float(counts[np.argmax(sides)]))
    return Exponent(-fitted.value, fitted.standard_error, fitted.sizes, fitted.values)


@checked
def basin_entropy(basins: Any, size: int = 5) -> BasinEntropy:
    """Basin entropy and boundary basin entropy for boxes of size^d cells.

    Parameters
    ----------
    basins : Basins or integer array
    size : int
        Side of the boxes, in cells; what is left over at the upper sides is ignored.

    Returns
    -------
    BasinEntropy
        With intervals: how far another piece, as large, of the same kind of boundary may differ. What the
        number of cells in a box leaves open is not in them.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> half = np.repeat([[1] * 5 + [2] * 5], 10, axis=0)
    >>> round(sd.basin.basin_entropy(half, 10).entropy, 4)  # log 2
    0.6931
    """
    labels, size = integer_labels(basins), checks.integer("size", size, at_least=1)
    boxes = _boxes(labels, size)
    if len(boxes) == 0:
        raise ValueError(f"size must be at most the shortest side of the grid, got {size!r}")
    entropy, values = np.zeros(len(boxes)), np.unique(boxes)
    for value in values:
        share = (boxes == value).mean(axis=1)
        entropy -= special.xlogy(share, share)
    mixed = _mixed(boxes)
    whole, on_boundary = float(entropy.mean()), float(entropy[mixed].mean()) if mixed.any() else float("nan")
    shape = tuple(n // size if n > 1 else 1 for n in labels.shape)
    error, n_strips = _strip_error((entropy - whole).reshape(shape), np.ones(shape, dtype=bool))
    of_boundary = np.where(mixed, entropy - on_boundary, 0.0).reshape(shape)
    boundary_error, n_of_boundary = _strip_error(of_boundary, mixed.reshape(shape))
    return BasinEntropy(
        whole,
        on_boundary,
        len(boxes),
        int(mixed.sum()),
        len(values),
        error,
        boundary_error,
        n_strips,
        n_of_boundary,
    )


def _strip_error(deviations: Array, used: npt.NDArray[np.bool_]) -> tuple[float, int]:
    """Standard error of the mean over the boxes used, from deviations from it (counts along each side), and
    the number of strips with such boxes that it comes from.

    Of boxes that are all alike, as along one straight boundary, it is nan: they may be one observation.
    """
    best, count = (float("nan"), 1), int(used.sum())
    if not count or np.abs(deviations).max() <= ALIKE:
        return best
    for axis, n in enumerate(deviations.shape):
        k = min(n, MOST_STRIPS)
        first = np.arange(k) * n // k
        of_strips = (
            np.add.reduceat(np.moveaxis(x, axis, 0).reshape(n, -1).sum(axis=1), first)
            for x in (np.where(used, deviations, 0.0), used.astype(np.float64))
        )
        sums, counts = of_strips
        k = int((counts > 0).sum())
        if k < 2:
            continue
        error = float(np.sqrt(k / (k - 1) * (sums**2).sum())) / count
        if not error <= best[0]:
            best = error, k
    return best


@checked
def smooth_boundary_entropy(dim: int) -> float:
    """Mean entropy of a ball cut in two by a plane at a uniform offset: what a smooth boundary gives.

    Examples
    --------
    >>> import samdyn as sd
    >>> [round(sd.basin.smooth_boundary_entropy(d), 4) for d in (1, 2, 3)]
    [0.5, 0.4395, 0.3961]
    """
    dim = checks.integer("dim", dim, at_least=1)

    def entropy(t: float) -> float:
        # share of the ball beyond a plane at distance t from its middle
        p = 0.5 * float(special.betainc((dim + 1) / 2, 0.5, 1 - t * t))
        return float(-special.xlogy(p, p) - special.xlogy(1 - p, 1 - p))

    return float(integrate.quad(entropy, 0, 1)[0])


def _boxes(labels: AnyLabels, size: int) -> AnyLabels:
    """The labels box by box: (n_boxes, size^d). Sides of a single cell are sections and not boxed."""
    sizes = [size if n > 1 else 1 for n in labels.shape]
    counts = [n // s for n, s in zip(labels.shape, sizes, strict=True)]
    cut = labels[tuple(slice(0, c * s) for c, s in zip(counts, sizes, strict=True))]
    split = cut.reshape([k for pair in zip(counts, sizes, strict=True) for k in pair])
    d = labels.ndim
    return split.transpose([*range(0, 2 * d, 2), *range(1, 2 * d, 2)]).reshape(
        int(np.prod(counts)), int(np.prod(sizes))
    )


def _cut_boxes(labels: AnyLabels, size: int) -> int:
    """Number of boxes with size + 1 points along each side, shared with their neighbours, of two labels."""
    high = low = labels
    for axis, n in enumerate(labels.shape):
        if n == 1:
            continue
        first = np.arange((n - 1) // size) * size
        high = functools.reduce(np.maximum, (np.take(high, first + k, axis) for k in range(size + 1)))
        low = functools.reduce(np.minimum, (np.take(low, first + k, axis) for k in range(size + 1)))
    return int((high != low).sum())


def _mixed(boxes: AnyLabels) -> npt.NDArray[np.bool_]:
    return np.asarray(boxes.min(axis=1) != boxes.max(axis=1)) if boxes.shape[1] else np.zeros(0, dtype=bool)


def _doublings(most: int, name: str) -> list[int]:
    result = [2**k for k in range(20) if 2**k <= most]
    if len(result) < 2:
        raise ValueError(f"{name} must be given for a grid with fewer than 64 cells along a side")
    return result


def _fit(sizes: npt.NDArray[Any], values: Array, what: str, n_coarse: float) -> Exponent:
    """The slope, with an error; `n_coarse` boxes of the coarsest size meet the boundary."""
    if len(np.unique(sizes)) < 2 or not (values > 0).all():
        raise ValueError(
            f"basins must have a boundary and two sizes to measure it, got {what} {values} at sizes {sizes}"
        )
    x, y = np.log(sizes), np.log(values)
    (slope, _), residuals = np.polyfit(x, y, 1), y - np.polyval(np.polyfit(x, y, 1), x)
    error = np.sqrt((residuals**2).sum() / max(len(x) - 2, 1) / ((x - x.mean()) ** 2).sum())
    # away from the finest sizes a boundary is not yet what it is in the limit
    fine = np.argsort(x)[: max(2, (len(x) + 1) // 2)]
    bend = np.polyfit(x[fine], y[fine], 1)[0] - slope if len(np.unique(x[fine])) > 1 else 0.0
    few = stats.t.isf(0.025, max(len(x) - 2, 1)) / stats.norm.isf(0.025)
    ends = 1 / (max(n_coarse, 1.0) * np.ptp(x))
    error = np.sqrt((few * error) ** 2 + bend**2 + ends**2)
    return Exponent(float(slope), float(error), np.asarray(sizes, dtype=float), values)

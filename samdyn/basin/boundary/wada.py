"""Whether basins have the Wada property, that all share one boundary, by merging.

Algorithm
---------
1. For each basin all others are merged into one. A cell is on the boundary of that picture of two basins if
   one of its 3^d - 1 neighbours has the other label.
2. The basins are Wada if these boundaries are one and the same: every cell of each lies within `radius` cells
   (Euclidean) of every other.

A grid shows a boundary to within a cell or two, so that a radius of 1 or 2 that suffices at one resolution
must suffice at a finer one too before the property is believed. It can be refuted at one resolution: a share
that does not fall as the grid is refined belongs to a boundary of two basins only.

References
----------
Daza, Wagemakers & Sanjuan, Scientific Reports 8 (2018) 9954.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.basin.boundary.measures import boundary_cells, integer_labels
from samdyn.results import Result, Table


@dataclass(frozen=True, eq=False, repr=False)
class WadaMerge(Result):
    """How far apart the boundaries of single basins are.

    Attributes
    ----------
    share : float
        Largest share of the grid's cells that lie on the boundary of one basin and farther than `radius`
        from the boundary of another; 0 for Wada basins. ``float(result)`` is the share.
    radius : float
        In cells.
    ids : tuple of int
        The labels compared.
    shares : ndarray, shape (n, n)
        The share for each pair: on the boundary of the first, far from the boundary of the second.
    distances : ndarray, shape (n, n)
        Largest distance, in cells, from the boundary of the first to the boundary of the second.
    """

    cited = ("daza2018",)

    share: float
    radius: float
    ids: tuple[int, ...]
    shares: Array = field(repr=False)
    distances: Array = field(repr=False)

    def __float__(self) -> float:
        return self.share

    @property
    def is_wada(self) -> bool:
        """Whether all boundaries agree to within the radius."""
        return self.share == 0

    def table(self) -> Table:
        """The share and what it says, and the distances between single boundaries."""
        verdict = "Wada" if self.is_wada else "not Wada"
        title = (
            f"WadaMerge of {len(self.ids)} basins: {verdict} at {self.radius:g} cells, share {self.share:.4g}"
        )
        names = [str(k) for k in self.ids]
        rows = [(a, *(f"{d:.4g}" for d in row)) for a, row in zip(names, self.distances, strict=True)]
        return Table(title, rows, ("distance from", *(f"to {name}" for name in names)))


@checked
def wada_merge(basins: Any, radius: float = 1, ids: Sequence[int] | None = None) -> WadaMerge:
    """Test basins for the Wada property.

    Parameters
    ----------
    basins : Basins or integer array, of any dimension
    radius : float
        Distance, in cells, to which boundaries must agree.
    ids : sequence of int, optional
        The basins compared; all labels that occur by default, those below zero included.

    Returns
    -------
    WadaMerge

    Raises
    ------
    TypeError, ValueError
        Fewer than three labels, or one without cells, or a negative radius.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> stripes = np.repeat([[1, 2, 3]], 4, axis=1) * np.ones((12, 1), dtype=int)
    >>> mixed = np.tile([1, 2, 3], (12, 4))
    >>> float(sd.basin.wada_merge(stripes)) * 12**2, float(sd.basin.wada_merge(mixed))
    (24.0, 0.0)
    """
    labels = integer_labels(basins)
    radius = checks.number("radius", radius, at_least=0)
    there = np.unique(labels).tolist()
    ids = None if ids is None else checks.integers("ids", ids)
    if ids is not None and not set(ids) <= set(there):
        raise ValueError(f"ids must be labels that occur, {there}, got {ids!r}")
    chosen = tuple(there if ids is None else dict.fromkeys(int(k) for k in ids))
    if len(chosen) < 3:
        raise ValueError(f"basins must be at least three to share a boundary, got {list(chosen)}")
    boundaries = [boundary_cells((labels == k).astype(np.int8)) for k in chosen]
    shares, distances = np.zeros((len(chosen), len(chosen))), np.zeros((len(chosen), len(chosen)))
    for j, other in enumerate(boundaries):
        far = ndimage.distance_transform_edt(~other)
        for i, one in enumerate(boundaries):
            apart = far[one]
            shares[i, j] = np.count_nonzero(apart > radius) / labels.size
            distances[i, j] = apart.max()
    return WadaMerge(float(shares.max()), radius, chosen, shares, distances)

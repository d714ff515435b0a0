"""The smallest kick out of an attractor into another basin.

1. The nearest cells of other basins to points of the attractor give directions.
2. Along each, the first point that goes elsewhere is found by repeated division into `N_PARTS` parts.
3. From the best, directions are varied at random with shrinking spread, `N_ROUNDS` times.

The result is an upper bound: the kick does lead out, but a shorter one in a direction not tried may.

References
----------
Halekotte & Feudel, Scientific Reports 10 (2020) 11783.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.basin.boundary.edge_states import check_known
from samdyn.basin.mapping import Basins
from samdyn.basin.search.attractors import place
from samdyn.jobs.cost import announce
from samdyn.jobs.progress import PartsBar
from samdyn.results import Result, Table

N_PARTS, N_DIVISIONS = 16, 5
N_ROUNDS, N_DIRECTIONS = 8, 64


@dataclass(frozen=True, eq=False, repr=False)
class Kick(Result):
    """A displacement that takes an attractor's point into another basin.

    Attributes
    ----------
    start, end : ndarray, shape (dim,)
        A point of the attractor, and where the kick leads: just inside the other basin.
    distance : float
        Length of the kick.
    error : float
        How much shorter it could be along the same direction.
    origin, label : int
        The attractor, and where the kicked point goes.
    """

    cited = ("halekotte2020",)
    row = "coordinate"

    start: Array
    end: Array
    distance: float
    error: float
    origin: int
    label: int

    def table(self) -> Table:
        """How long it is, from where and where to."""
        start, end = (place(x) for x in (self.start, self.end))
        return Table(
            f"Kick of length {self.distance:.4g} (at most {self.error:.1g} shorter in its direction): from "
            f"{start} of attractor {self.origin} to {end}, which goes to {self.label}"
        )


@checked
def smallest_kick(
    basins: Basins, attractor: int, target: int | None = None, *, seed: int = 0, progress: bool = False
) -> Kick:
    """The shortest displacement found from an attractor into another basin.

    Parameters
    ----------
    basins : Basins
    attractor : int
        Where the kick starts; any of its points.
    target : int, optional
        The basin that it must reach (a reason below zero counts); any other by default.
    seed : int
        Of the random directions.
    progress : bool
        Show a progress bar over rounds of directions.

    Returns
    -------
    Kick

    Raises
    ------
    ValueError
        No such attractor, or no cell of another basin.

    Notes
    -----
    Some 10 000 points are followed to their ends. If that takes longer than ten seconds by the time of the
    first of them, `samdyn.CostWarning` says so at the start.

    Examples
    --------
    >>> import samdyn as sd
    >>> result = sd.basins(sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1), [(-2, 2)], 100)
    >>> round(sd.basin.smallest_kick(result, 1).distance, 4)
    1.0
    """
    check_known(basins, attractor=attractor)
    seed = checks.seed("seed", seed)
    own = basins.attractors[attractor].points
    other = basins.labels != attractor if target is None else basins.labels == target
    cells = np.flatnonzero(other.ravel())
    if target == attractor or len(cells) == 0:
        raise ValueError(f"target must be another basin with cells in the box, got {target!r}")
    # the nearest cells of all, without a tree over the whole grid in memory at once
    tree = cKDTree(own)
    nearest: list[tuple[Array, Array]] = []
    for piece in np.array_split(cells, max(1, len(cells) // (1 << 18))):
        distance, at = tree.query(basins.grid.points(piece))
        few = np.argsort(distance)[:N_DIRECTIONS]
        nearest.append((np.column_stack([distance[few], at[few]]), basins.grid.points(piece[few])))
    table, ends = (np.concatenate(part) for part in zip(*nearest, strict=True))
    order = np.argsort(table[:, 0])[:N_DIRECTIONS]
    starts, ends = own[table[order, 1].astype(int)], ends[order]

    def leads(x: Array) -> npt.NDArray[np.bool_]:
        labels = basins.label_at(x)
        return np.asarray(labels != attractor if target is None else labels == target)

    began = time.perf_counter()
    leads(ends)  # a round follows up to 16 times as many points
    seconds = (time.perf_counter() - began) * N_PARTS
    announce(
        "smallest_kick", seconds * (N_DIVISIONS + 1.25 * N_ROUNDS), "pass a basin result with fewer max_steps"
    )
    with PartsBar(progress, "smallest_kick", 1 + N_ROUNDS, "round") as bar:
        return _search(attractor, starts, ends, leads, basins, seed, target, bar)


def _search(
    attractor: int,
    starts: Array,
    ends: Array,
    leads: Callable[[Array], npt.NDArray[np.bool_]],
    basins: Basins,
    seed: int,
    target: int | None,
    bar: PartsBar,
) -> Kick:
    rng = np.random.default_rng(seed)
    length, width = _first_exits(starts, ends, leads)
    bar.update()
    best = int(np.argmin(length))
    if not np.isfinite(length[best]):
        raise ValueError(f"target must be a basin that paths without noise reach, got {target!r}")
    spread = 0.5
    for _ in range(N_ROUNDS):
        start, way = starts[best], ends[best] - starts[best]
        unit = way / np.linalg.norm(way)
        directions = unit + spread * rng.standard_normal((N_DIRECTIONS, len(unit)))
        directions[0] = unit
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        reach = length[best] + width[best]
        new_starts = np.repeat(start[None], N_DIRECTIONS, axis=0)
        new_ends = new_starts + reach * directions
        new_length, new_width = _first_exits(new_starts, new_ends, leads, float(length[best]))
        bar.update()
        starts, ends, length, width = new_starts, new_ends, new_length, new_width
        best = int(np.argmin(length))
        spread *= 0.5
    unit = (ends[best] - starts[best]) / np.linalg.norm(ends[best] - starts[best])
    end = starts[best] + length[best] * unit
    label = int(basins.label_at(end))
    return Kick(starts[best], end, float(length[best]), float(width[best]), attractor, label)


def _first_exits(
    starts: Array,
    ends: Array,
    leads: Callable[[Array], npt.NDArray[np.bool_]],
    below: float = np.inf,
) -> tuple[Array, Array]:
    """Distance from each start towards its end of the first point found that leads elsewhere (inf if none),
    and the width that it is known to.

    After the first division only those directions are divided on that can come below a distance.
    """
    way = ends - starts
    size = np.linalg.norm(way, axis=1)
    low, high = np.zeros(len(starts)), np.full(len(starts), np.nan)
    top = np.ones(len(starts))
    rows = np.arange(len(starts))
    for _ in range(N_DIVISIONS):
        if len(rows) == 0:
            break
        part = np.arange(1, N_PARTS + 1) / N_PARTS
        share = low[rows, None] + (top - low)[rows, None] * part
        x = starts[rows, None] + share[:, :, None] * way[rows, None]
        out = leads(x)
        found, first = out.any(axis=1), out.argmax(axis=1)
        at = np.arange(len(rows))
        before = np.where(first > 0, share[at, np.maximum(first - 1, 0)], low[rows])
        high[rows] = np.where(found, share[at, first], np.nan)
        low[rows] = np.where(found, before, low[rows])
        top[rows] = np.where(found, high[rows], top[rows])
        rows = rows[found & ((low * size)[rows] < below)]
    return np.where(np.isnan(high), np.inf, high * size), (top - low) * size

"""Recurrent boxes by adaptive subdivision: coarse boxes first, then halves of those that recur.

1. A grid of at least `COARSE` boxes is the first level, or, without subdivision, the only one.
2. The recurrent boxes of a level are bisected along one side after the other, down to the resolution asked
   for; the graph of each level has the halves alone as boxes. Nothing recurrent is lost where images are
   outer bounds.
3. A small component of the last level may be an artefact of the size of its boxes: it is bisected further, on
   its own, and dropped when nothing recurrent is left of it.
"""

from __future__ import annotations

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.basin.grid import make_grid
from samdyn.jobs.progress import PartsBar
from samdyn.morse.partition import Level, children
from samdyn.morse.recurrence import BoxGraph, BoxImage, box_graph

COARSE = 1 << 12  # boxes that an adaptive subdivision starts from, at least
UNIFORM = 1 << 18  # most boxes that are not subdivided adaptively by default
BYTES_PER_BOX = 200  # of a uniform grid: image, corners, and some thirty edges
GROWTH = 8  # a component that has so many times the boxes tried for is kept


def halvings(shape: tuple[int, ...], adaptive: bool | None) -> int:
    """How often every side is bisected: down to a grid of at least COARSE boxes.

    Examples
    --------
    >>> halvings((1024, 1024), None), halvings((256, 256), None), halvings((256, 256), True)
    (4, 0, 2)
    """
    size = int(np.prod(shape, dtype=object))
    if adaptive is False or (adaptive is None and size <= UNIFORM):
        return 0
    result, start = 0, np.array(shape)
    while (start % 2 == 0).all() and int(np.prod(start // 2, dtype=object)) >= COARSE:
        start, result = start // 2, result + 1
    if adaptive and not result and size > COARSE:
        raise ValueError(
            f"resolution must be divisible by 2 along every side for an adaptive subdivision, got {shape}"
        )
    return result


def subdivided(
    region: Array, shape: tuple[int, ...], adaptive: bool | None, bound: BoxImage, progress: bool = False
) -> list[BoxGraph]:
    """Graphs of all levels, from a cover of the box to the recurrent boxes at the finest resolution.

    Parameters
    ----------
    region : ndarray, shape (dim, 2)
    shape : tuple of int
        Boxes along each side at the finest level.
    adaptive : bool or None
        As in `morse_graph`.
    bound : callable
        Corners of boxes to corners of their images.
    progress : bool
        Show a bar over the bisections.

    Raises
    ------
    ValueError
        More boxes than fit into memory, or a resolution that cannot be halved.
    """
    times = halvings(shape, adaptive)
    if not times:
        make_grid(region, shape, BYTES_PER_BOX)
    level = Level(region, tuple(n >> times for n in shape))
    index = np.stack(np.unravel_index(np.arange(level.n_boxes), level.shape), axis=1)
    levels = [box_graph(level, index, bound)]
    steps = [axis for _ in range(times) for axis in range(len(shape))]
    with PartsBar(progress, "morse_graph", len(steps), "bisection") as bar:
        for axis in steps:
            levels.append(_bisected(levels[-1], axis, bound))
            bar.update(note=f"{len(levels[-1].index)} boxes")
    return levels


def lasting(graph: BoxGraph, bound: BoxImage, times: int, below: int) -> list[int]:
    """Components that keep recurrent boxes through `times` more bisections; large ones are not tried."""
    numbers = range(graph.n_components)
    return [c for c in numbers if not times or _lasts(graph, c, bound, times, below)]


def _bisected(graph: BoxGraph, axis: int, bound: BoxImage, only: int | None = None) -> BoxGraph:
    chosen = graph.component >= 0 if only is None else graph.component == only
    return box_graph(graph.level.bisected(axis), children(graph.index[chosen], axis), bound)


def _lasts(graph: BoxGraph, component: int, bound: BoxImage, times: int, below: int) -> bool:
    if np.count_nonzero(graph.component == component) > below:
        return True
    dim = len(graph.level.shape)
    graph = _bisected(graph, 0, bound, only=component)
    for axis in [k % dim for k in range(1, times)]:
        if not graph.n_components:
            return False
        if np.count_nonzero(graph.component >= 0) > GROWTH * below:
            return True
        graph = _bisected(graph, axis, bound)
    return graph.n_components > 0

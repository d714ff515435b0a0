"""The box graph of one level and its strongly connected components.

The graph has an edge from a box to every member box that its image meets. A box is recurrent when it lies
on a cycle: in a component of more than one box, or with an edge to itself. Where the images are outer
bounds every recurrent point of the map in the members lies in a recurrent box (Kalies, Mischaikow and
VanderVorst, Found. Comput. Math. 5 (2005) 409-449).

The edges are a scipy.sparse matrix with four bytes each for an edge; components are scipy.sparse.csgraph's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from samdyn.arguments.checks import Array
from samdyn.basin.grid import available_memory
from samdyn.morse.partition import Index, Level, Members, meeting, n_meetings
from samdyn.results import storable

BoxImage = Callable[[Array, Array], tuple[Array, Array]]

IMAGE_TILE = 1 << 18  # boxes whose images are computed at a time
BYTES_PER_EDGE = 30  # at the peak, in the search for components


@storable
@dataclass(frozen=True)
class BoxGraph:
    """Boxes of one level, their images and the graph.

    Attributes
    ----------
    level : Level
    index : ndarray of int, shape (n, dim)
        In increasing order of their codes.
    lower, upper : ndarray, shape (n, dim)
        Corners of the images.
    leaves : ndarray of bool, shape (n,)
        Whether a part of the image lies outside the whole box.
    edges : scipy.sparse.csr_array
        Between places in `index`.
    component : ndarray of int, shape (n,)
        Number of the box's recurrent component, -1 for the others.
    members : Members
        The boxes by their codes.
    """

    level: Level
    index: Index
    lower: Array
    upper: Array
    leaves: npt.NDArray[np.bool_]
    edges: sparse.csr_array
    component: npt.NDArray[np.int64]
    members: Members

    @property
    def n_components(self) -> int:
        return int(self.component.max(initial=-1)) + 1


def images(level: Level, index: Index, image: BoxImage) -> tuple[Array, Array]:
    """Image rectangles (n, dim) of boxes, computed a tile at a time."""
    lower, upper = np.empty(index.shape), np.empty(index.shape)
    for start in range(0, len(index), IMAGE_TILE):
        part = slice(start, start + IMAGE_TILE)
        lower[part], upper[part] = image(*level.corners(index[part]))
    return lower, upper


def box_graph(level: Level, index: Index, image: BoxImage) -> BoxGraph:
    """The graph of the boxes with these indices (n, dim), which are put in the order of their codes."""
    codes = level.codes(index)
    if (np.diff(codes) <= 0).any():
        order = np.argsort(codes, kind="stable")
        index, codes = index[order], codes[order]
    lower, upper = images(level, index, image)
    first, last, leaves = level.blocks(lower, upper)
    members = Members(level, codes)
    n_edges = n_meetings(first, last, members)
    if n_edges * BYTES_PER_EDGE > available_memory():
        raise ValueError(
            f"the images of {len(index)} boxes of a grid {level.shape} meet {n_edges:.2g} boxes, "
            "more than fit into memory: take a smaller box, a coarser resolution, or fewer iterates"
        )
    counts, targets = [], []
    for _, count, places in meeting(level, first, last, members):
        counts.append(count)
        targets.append(places.astype(np.int32))
    pointers = np.concatenate([[0], np.cumsum(np.concatenate(counts) if counts else [])])
    column = np.concatenate(targets) if targets else np.empty(0, dtype=np.int32)
    small = len(column) < np.iinfo(np.int32).max
    pointers = pointers.astype(np.int32 if small else np.int64)
    n = len(index)
    data = np.ones(len(column), dtype=np.int8)
    edges = sparse.csr_array((data, column if small else column.astype(np.int64), pointers), shape=(n, n))
    return BoxGraph(level, index, lower, upper, leaves, edges, _recurrent_components(edges), members)


def _recurrent_components(edges: sparse.csr_array) -> npt.NDArray[np.int64]:
    if not edges.shape[0]:
        return np.empty(0, dtype=np.int64)
    count, label = csgraph.connected_components(edges, directed=True, connection="strong")
    recurrent = np.bincount(label, minlength=count) > 1
    recurrent[label[edges.diagonal() != 0]] = True
    number = np.where(recurrent, np.cumsum(recurrent) - 1, -1)
    return np.asarray(number[label], dtype=np.int64)

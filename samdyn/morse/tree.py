"""A box partition of mixed sizes, as a graph: leaves, refined boxes, and the box outside everything.

The levels of an adaptive subdivision leave transient boxes behind; with the boxes of the last level they
cover the whole box. The graph has an edge from a leaf to every leaf that its image meets. Its size is kept
linear by the boxes that were refined: where an image covers one wholly there is an edge to it, and it has
edges to its parts; only refined boxes that an image cuts are looked into. What is reachable is the same as
with an edge to every leaf.

Where images are outer bounds every orbit of the map follows edges of the graph, so that what the graph
cannot reach the map cannot reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from samdyn.arguments.checks import Array
from samdyn.morse.partition import Index, Level, Members, every, meeting
from samdyn.morse.recurrence import BoxGraph
from samdyn.results import storable


@storable
@dataclass(frozen=True)
class BoxTree:
    """Nodes and edges of the partition's graph.

    Attributes
    ----------
    levels : tuple of BoxGraph
        From the coarsest to the finest. The recurrent boxes of each, but for the last, are refined in the
        next.
    offset : ndarray of int, shape (n_levels,)
        Number of the first node of each level.
    backwards : scipy.sparse.csr_array
        Over the boxes of all levels, in this order, and at the end the node for everything outside: edges,
        from where they end to where they start.
    """

    levels: tuple[BoxGraph, ...]
    offset: Index
    backwards: sparse.csr_array

    @property
    def outside(self) -> int:
        """Node of all points outside the box."""
        return int(self.backwards.shape[0] - 1)

    def leaf(self) -> npt.NDArray[np.bool_]:
        """Whether each node is a leaf, the outside not among them."""
        parts = [graph.component < 0 for graph in self.levels[:-1]]
        return np.concatenate([*parts, np.ones(len(self.levels[-1].index), dtype=bool), [False]])

    def corners(self, nodes: Index) -> tuple[Array, Array]:
        """Corners (n, dim) of the boxes of these nodes, in increasing order."""
        parts = np.split(nodes, np.searchsorted(nodes, self.offset[1:]))
        pairs = [
            graph.level.corners(graph.index[part - start])
            for graph, start, part in zip(self.levels, self.offset, parts, strict=True)
        ]
        lower, upper = zip(*pairs, strict=True)
        return np.concatenate(lower), np.concatenate(upper)

    def leading_to(self, nodes: Index) -> npt.NDArray[np.bool_]:
        """Nodes from which one of these is reachable, themselves included."""
        return _reachable(self.backwards, nodes)


def _reachable(edges: sparse.csr_array, nodes: Index) -> npt.NDArray[np.bool_]:
    """Nodes that a breadth-first search from `nodes` finds."""
    n = edges.shape[0]
    # one more node, which leads to all of them
    pointers = np.append(edges.indptr, edges.indptr[-1] + len(nodes))
    indices = np.concatenate([edges.indices, nodes.astype(edges.indices.dtype)])
    data = np.ones(len(indices), dtype=np.int8)
    joined = sparse.csr_array((data, indices, pointers), shape=(n + 1, n + 1))
    order = csgraph.breadth_first_order(joined, n, directed=True, return_predecessors=False)
    found = np.zeros(n + 1, dtype=bool)
    found[order] = True
    return found[:n]


def box_tree(levels: Sequence[BoxGraph]) -> BoxTree:
    """The graph over all leaves of an adaptive subdivision.

    Parameters
    ----------
    levels : sequence of BoxGraph
        From the coarsest, which covers the box, to the finest, each made of the halves of the recurrent
        boxes of the one before.
    """
    sizes = [len(graph.index) for graph in levels]
    offset = np.concatenate([[0], np.cumsum(sizes)])
    outside = int(offset[-1])
    n = outside + 1
    if len(levels) == 1:
        start, end = _with_outside(levels[0], 0, outside)
        inner = levels[0].edges.tocoo()
        start, end = np.concatenate([inner.row, start]), np.concatenate([inner.col, end])
    else:
        members = [graph.members for graph in levels]
        pieces = [_parts(levels, offset, k, members) for k in range(len(levels) - 1)]
        for k, graph in enumerate(levels):
            leaves = np.arange(sizes[k]) if k == len(levels) - 1 else np.flatnonzero(graph.component < 0)
            pieces.append(_with_outside(graph, offset[k], outside))
            pieces.extend(_to_coarser(levels, offset, members, k, leaves))
            pieces.extend(_descend(levels, offset, members, k, leaves))
        start, end = (np.concatenate(ends) for ends in zip(*pieces, strict=True))
    data = np.ones(len(start), dtype=np.int8)
    backwards = sparse.csr_array(sparse.coo_array((data, (end, start)), shape=(n, n)))
    backwards.data[:] = 1
    return BoxTree(tuple(levels), np.asarray(offset[:-1]), backwards)


def _with_outside(graph: BoxGraph, offset: int, outside: int) -> tuple[Index, Index]:
    leaving = np.flatnonzero(graph.leaves) + offset
    return leaving, np.full(len(leaving), outside)


def _parts(
    levels: Sequence[BoxGraph], offset: Index, k: int, members: Sequence[Members]
) -> tuple[Index, Index]:
    """Edges from the refined boxes of a level to their parts at the next."""
    finer = levels[k + 1]
    ratio = np.asarray(finer.level.shape) // np.asarray(levels[k].level.shape)
    parents = members[k].places(levels[k].level.codes(finer.index // ratio))
    return parents + offset[k], np.arange(len(finer.index)) + offset[k + 1]


def _to_coarser(
    levels: Sequence[BoxGraph], offset: Index, members: Sequence[Members], k: int, sources: Index
) -> Iterator[tuple[Index, Index]]:
    """Edges from boxes `sources` of level k to the leaves of coarser levels."""
    low, high = levels[k].lower[sources], levels[k].upper[sources]
    for coarse in range(k):
        graph = levels[coarse]
        first, last, _ = graph.level.blocks(low, high)
        for rows, counts, places in meeting(graph.level, first, last, members[coarse]):
            owner = np.repeat(np.arange(rows.start, rows.stop), counts)
            leaf = graph.component[places] < 0
            yield sources[owner[leaf]] + offset[k], places[leaf] + offset[coarse]


def _descend(
    levels: Sequence[BoxGraph], offset: Index, members: Sequence[Members], k: int, sources: Index
) -> Iterator[tuple[Index, Index]]:
    """Edges from boxes `sources` of level k to leaves of it and finer levels, and to covered boxes."""
    graph = levels[k]
    rows = graph.edges[sources]
    owner, box = np.repeat(np.arange(len(sources)), np.diff(rows.indptr)), rows.indices.astype(np.int64)
    low, high = graph.lower[sources], graph.upper[sources]
    nodes = sources + offset[k]
    for finer in range(k, len(levels)):
        current = levels[finer]
        open_ = np.flatnonzero((current.component[box] >= 0) & (finer < len(levels) - 1))
        lower, upper = current.level.corners(current.index[box[open_]])
        mine = owner[open_]
        covered = every((low[mine] <= lower) & (upper <= high[mine]))
        cut = np.zeros(len(box), dtype=bool)
        cut[open_[~covered]] = True
        yield nodes[owner[~cut]], box[~cut] + offset[finer]
        owner, box = owner[cut], box[cut]
        if not len(owner):
            break
        owner, box = _halves(current, levels[finer + 1], members[finer + 1], owner, box)
        touches = _meets(levels[finer + 1].level, levels[finer + 1].index[box], low[owner], high[owner])
        owner, box = owner[touches], box[touches]


def _halves(
    coarse: BoxGraph, fine: BoxGraph, members: Members, owner: Index, box: Index
) -> tuple[Index, Index]:
    """Every pair of an owner and a box replaced by those with the parts of the box."""
    ratio = np.asarray(fine.level.shape) // np.asarray(coarse.level.shape)
    steps = np.stack(np.meshgrid(*(np.arange(r) for r in ratio), indexing="ij"), axis=-1).reshape(
        -1, len(ratio)
    )
    index = (coarse.index[box] * ratio)[:, None] + steps
    places = members.places(fine.level.codes(index.reshape(-1, len(ratio))))
    return np.repeat(owner, len(steps)), places


def _meets(level: Level, index: Index, low: Array, high: Array) -> npt.NDArray[np.bool_]:
    first, last, _ = level.blocks(low, high)
    return every((index >= first) & (index <= last))

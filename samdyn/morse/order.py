"""What leads to what among the recurrent components of a box partition.

1. Set i leads to set j if a path of the partition's graph (`box_tree`) does. One breadth-first search,
   backwards, for each set finds all that leads to it.
2. Sets that lead to each other are one. It happens only where images are no outer bounds.
3. A set that leads to no other and not out of the box attracts. A leaf that leads to one attracting set
   only, to no other set that leads nowhere else, and not outside, belongs to its region of attraction. If it
   leads to no other set at all, what starts there can rest nowhere else: it lies in the basin for certain.

Cost: for each set, one search through all edges. Beyond `MOST_SETS` sets the order says little and takes
long; that many are a sign of boxes that are larger than a step of the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csgraph

from samdyn.arguments.checks import Array
from samdyn.morse.partition import Index
from samdyn.morse.tree import BoxTree
from samdyn.results import storable

Flags = npt.NDArray[np.bool_]

MOST_SETS = 4096  # more sets than this are mostly artefacts of boxes, and their order takes long
KEEP = 1 << 27  # bytes of searches kept
UNDECIDED, LEAVING = -1, -2


@storable
@dataclass(frozen=True)
class MorseOrder:
    """Sets, what they lead to, and where the leaves of a partition lead.

    Attributes
    ----------
    sets : list of ndarray of int
        Nodes of the tree; those that attract come first, then what leads to them.
    reach : ndarray of bool, shape (n, n)
        Whether set i leads to set j, i != j.
    leaves_box : ndarray of bool, shape (n,)
        Whether a path leads from a set out of the box.
    leaves : ndarray of int, shape (n_leaves,)
        Nodes of the tree that are leaves.
    destination : ndarray of int, shape (n_leaves,)
        The attracting set in whose region of attraction a leaf lies, `LEAVING` or `UNDECIDED`.
    certain : ndarray of bool, shape (n_leaves,)
        Whether a leaf leads to its destination and to no other set.
    """

    sets: list[Index]
    reach: Flags
    leaves_box: Flags
    leaves: Index
    destination: Index
    certain: Flags

    @property
    def kinds(self) -> list[str]:
        """What each set is: "attracting", "repelling" or "intermediate"."""
        ends: Flags = ~(np.asarray(self.reach.any(axis=1)) | self.leaves_box)
        entered: Flags = np.asarray(self.reach.any(axis=0))
        return [
            "attracting" if ends[k] else "intermediate" if entered[k] else "repelling"
            for k in range(len(self.sets))
        ]

    def edges(self, reduced: bool) -> list[tuple[int, int]]:
        """Pairs (i, j) of which i leads to j; reduced, those without a set between."""
        shown = self.reach & ~_product(self.reach, self.reach) if reduced else self.reach
        return [(int(i), int(j)) for i, j in zip(*np.nonzero(shown), strict=True)]


def morse_order(tree: BoxTree, components: list[Index]) -> MorseOrder:
    """The order among components of the finest level, given as nodes of the tree.

    Raises
    ------
    ValueError
        There are more than `MOST_SETS` of them.
    """
    n = len(components)
    if n > MOST_SETS:
        raise ValueError(
            f"the map has {n} recurrent sets of boxes at this resolution, more than {MOST_SETS}: boxes are "
            "larger than its steps, and each touches its own image; use iterates=, discard=, or smaller boxes"
        )
    heads = np.array([nodes[0] for nodes in components], dtype=np.int64)
    reach = np.zeros((n, n), dtype=bool)
    kept: list[Flags] = []  # a few searches are worth their memory
    for j, nodes in enumerate(components):
        found = tree.leading_to(nodes)
        reach[:, j] = found[heads]
        if n * len(found) <= KEEP:
            kept.append(found)
    leaving = tree.leading_to(np.array([tree.outside]))
    sets, reach, group = _merged(components, reach)
    kept = [kept[k] for k in np.argsort(group)] if len(sets) == len(kept) else []
    heads = np.array([nodes[0] for nodes in sets], dtype=np.int64)
    order = np.lexsort((heads, reach.sum(axis=1)))
    sets, reach = [sets[k] for k in order], reach[np.ix_(order, order)]
    leaves_box = leaving[heads[order]] if n else np.zeros(0, dtype=bool)
    leaves = np.flatnonzero(tree.leaf())
    destination = np.full(len(leaves), UNDECIDED, dtype=np.int64)
    certain = np.zeros(len(leaves), dtype=bool)
    n_ends = np.zeros(len(leaves), dtype=np.int64)
    searches = [kept[k] for k in order] if kept else None
    for k in np.flatnonzero(~reach.any(axis=1)).tolist():
        here = (searches[k] if searches else tree.leading_to(sets[k]))[leaves]
        n_ends += here
        if not leaves_box[k]:
            destination[here] = k
            certain |= here & ~_leading_to_others(tree, sets, searches, k)[leaves]
    destination[n_ends != 1] = UNDECIDED
    destination[leaving[leaves]] = LEAVING
    certain &= destination >= 0
    return MorseOrder(sets, reach, leaves_box, leaves, destination, certain)


def _leading_to_others(tree: BoxTree, sets: list[Index], searches: list[Flags] | None, k: int) -> Flags:
    """Nodes that lead to another set than k."""
    if searches:
        result = np.zeros_like(searches[k])
        for j, found in enumerate(searches):
            if j != k:
                result |= found
        return result
    nodes = [found for j, found in enumerate(sets) if j != k]
    return tree.leading_to(np.concatenate([*nodes, np.empty(0, dtype=np.int64)]))


def _merged(components: list[Index], reach: Flags) -> tuple[list[Index], Flags, Index]:
    """Components that lead to each other put together, the closed, irreflexive order of what is left, and the
    set of each component.
    """
    n_groups, group = csgraph.connected_components(reach, directed=True, connection="strong")
    sets = (
        [
            np.sort(np.concatenate([nodes for nodes, g in zip(components, group, strict=True) if g == k]))
            for k in range(n_groups)
        ]
        if n_groups < len(components)
        else [components[k] for k in np.argsort(group)]
    )
    order = np.zeros((n_groups, n_groups), dtype=bool)
    i, j = np.nonzero(reach)
    order[group[i], group[j]] = True
    np.fill_diagonal(order, False)
    while True:
        longer = order | _product(order, order)
        if (longer == order).all():
            return sets, order, np.asarray(group, dtype=np.int64)
        order = longer


def _product(a: Flags, b: Flags) -> Flags:
    """Whether there is a k with a[i, k] and b[k, j]."""
    one: Array = a.astype(np.float64)
    return np.asarray(one @ b.astype(np.float64) > 0)

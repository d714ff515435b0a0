"""Morse graphs: an outer approximation of all recurrent dynamics in a box, and what leads to what.

Algorithm
---------
1. The box is covered by closed boxes, and an edge leads from each to all that the image of it meets
   (`box_image`, `recurrent_boxes`). The strongly connected components with an edge are the Morse sets.
2. With `adaptive`, coarse boxes come first and only recurrent ones are bisected, one side after the other,
   down to the resolution asked for. Where the image of a box contains those of its parts, as with
   intervals, the Morse sets are the same as without.
3. Small Morse sets may be artefacts of the box size: with `discard` they are bisected that many times more,
   and those in which nothing recurrent is left are dropped.
4. Set i leads to set j if a path of the partition's graph does (`box_tree`), through leaves of all levels;
   a set may leave the box if a path leads outside. A leaf whose paths lead to one attracting Morse set
   only, and not outside, belongs to its region of attraction.

With images that are outer bounds ("interval", "lipschitz") every recurrent point of the map in the box
whose orbit stays there lies in a Morse set, and no orbit goes from one set to another that the graph does
not join: the graph is a proof. Its edges need not be orbits.

References
----------
Arai, Kalies, Kokubu, Mischaikow, Oka and Pilarczyk, A database schema for the analysis of global dynamics of
multiparameter systems, SIAM J. Appl. Dyn. Syst. 8 (2009) 757-789.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from samdyn.basin.box_image import RIGOROUS, box_image, iterated, time_map
from samdyn.basin.box_partition import Index, Level, children
from samdyn.basin.box_tree import BoxTree, box_tree
from samdyn.basin.grid import make_grid
from samdyn.basin.recurrent_boxes import BoxGraph, BoxImage, box_graph
from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.local.newton import sobol_starts
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map

COARSE = 1 << 12  # boxes that an adaptive subdivision starts from, at least
UNIFORM = 1 << 18  # most boxes that are not subdivided adaptively by default
BYTES_PER_BOX = 200  # of a uniform grid: image, corners, and some thirty edges
UNDECIDED, LEAVING = -1, -2


@dataclass(frozen=True, eq=False)
class MorseGraph:
    """Morse sets of a map in a box, and the order among them.

    Attributes
    ----------
    graph : networkx.DiGraph
        Nodes 0, 1, ...; an edge (i, j) where set i leads to set j and to no set between them (transitive
        reduction). Nodes carry `kind`, `n_boxes`, `volume`, `center` and `leaves_box`.
    reachability : networkx.DiGraph
        All pairs (i, j), i != j, of which i leads to j.
    sets : dict of int to ndarray, shape (n, dim, 2)
        The boxes of each set, lower and upper ends by coordinate.
    kind : dict of int to str
        "attracting": leads to no other set and not out of the box. "repelling": leads elsewhere, and nothing
        leads to it. "intermediate": the others.
    image : str
        How images of boxes were bounded: "interval", "lipschitz", "padded" or "corners".
    box : ndarray, shape (dim, 2)
    resolution : tuple of int
        Boxes along each side at the finest level.
    n_images : int
        Boxes whose image was computed.
    n_discarded : int
        Sets that were found to hold nothing recurrent, and dropped.
    system : str
        What was analysed, as text.
    """

    graph: nx.DiGraph
    reachability: nx.DiGraph
    sets: dict[int, Array]
    kind: dict[int, str]
    image: str
    box: Array
    resolution: tuple[int, ...]
    n_images: int
    n_discarded: int
    system: str
    tree: BoxTree = field(repr=False)
    leaves: Index = field(repr=False)
    destination: npt.NDArray[np.int64] = field(repr=False)

    @property
    def rigorous(self) -> bool:
        """Whether the images are outer bounds, so that the graph is a proof."""
        return self.image in RIGOROUS

    def region_of_attraction(self, node: int) -> Array:
        """Boxes (n, dim, 2) from which every path stays in the box and leads to this set alone.

        Raises
        ------
        ValueError
            The node is not an attracting set.
        """
        if self.kind.get(node) != "attracting":
            attracting = [k for k, kind in self.kind.items() if kind == "attracting"]
            raise ValueError(f"node must be an attracting set, one of {attracting}, got {node!r}")
        return np.stack(self.tree.corners(self.leaves[self.destination == node]), axis=-1)

    def volume(self, boxes: Array) -> float:
        """Share of the whole box that boxes (n, dim, 2) take."""
        whole = np.prod(self.box[:, 1] - self.box[:, 0])
        return float(np.prod(boxes[..., 1] - boxes[..., 0], axis=1).sum() / whole)

    def __len__(self) -> int:
        return len(self.sets)

    def __repr__(self) -> str:
        bound = "outer bounds" if self.rigorous else "no outer bounds"
        shape = " x ".join(map(str, self.resolution))
        lines = [
            f"MorseGraph of {self.system}: {len(self)} sets on {shape} boxes, {self.image} images ({bound})"
        ]
        for node, boxes in list(self.sets.items())[:20]:
            to = sorted(self.graph.successors(node))
            center = ", ".join(f"{c:.4g}" for c in self.graph.nodes[node]["center"])
            lines.append(
                f"  {node}: {self.kind[node]}, {len(boxes)} boxes around ({center})"
                + (f" -> {', '.join(map(str, to))}" if to else "")
                + (", may leave the box" if self.graph.nodes[node]["leaves_box"] else "")
            )
        if len(self) > 20:
            lines.append(f"  ... and {len(self) - 20} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{node}</td><td>{self.kind[node]}</td><td>{len(boxes)}</td>"
            f"<td>{', '.join(map(str, sorted(self.graph.successors(node)))) or '-'}</td></tr>"
            for node, boxes in self.sets.items()
        )
        return f"<table><tr><th>set</th><th>kind</th><th>boxes</th><th>leads to</th></tr>{rows}</table>"

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Morse sets and regions of attraction in the box, with the graph; see `samdyn.plot.morse_graph`."""
        from samdyn.plot.morse_graph import morse_graph as draw

        return draw(self, ax=ax, **options)


def morse_graph(
    system: Map | Flow,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    resolution: int | Sequence[int] = 256,
    image: str = "interval",
    *,
    adaptive: bool | None = None,
    iterates: int = 1,
    discard: int = 0,
    discard_below: int = 10_000,
    duration: float | None = None,
    progress: bool = False,
) -> MorseGraph:
    """Morse graph of a map, or of the time-`duration` map of a flow, in a box.

    Parameters
    ----------
    system : Map or Flow
        Without noise. With momentum the box is one of states (x, v).
    box : sequence of (lower, upper), optional
        The system's own box by default.
    resolution : int or sequence of int
        Boxes along every side, or along each, at the finest level.
    image : {"interval", "lipschitz", "padded", "corners"}
        How the image of a box is bounded (`samdyn.basin.box_image`). A map that cannot be traced, and a
        flow, get "padded" instead of the first two, with a warning.
    adaptive : bool, optional
        Subdivide recurrent boxes only. By default above 2^18 boxes, if the resolution can be halved often
        enough. The sets are the same for monotone images; what leads to what is judged on coarser boxes
        outside the sets.
    iterates : int
        Look at the map applied that often. A map that moves points by less than a box, as one with a small
        learning rate does, leaves artefacts all over: boxes whose images touch themselves. Its iterates
        have the same recurrent points and move further; their images are those of images.
    discard : int
        Further bisections, of one side after the other, in which small sets must stay recurrent; 0 keeps all.
    discard_below : int
        Largest number of boxes of a set that is tried.
    duration : float, optional
        Time between looks at a flow.
    progress : bool
        Show a bar over the levels of an adaptive subdivision.

    Returns
    -------
    MorseGraph

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or there are more boxes than fit into memory.

    Notes
    -----
    Closed boxes: an image that touches a box meets it. Cost: the image of every box that is looked at, and
    its edges, four bytes each; adaptive subdivision looks at the halves of recurrent boxes only.

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    >>> result = sd.morse_graph(step, [(-1.22, 1.2)], resolution=100, iterates=20)
    >>> [result.kind[node] for node in result.sets], sorted(result.graph.edges)
    (['attracting', 'attracting', 'repelling'], [(2, 0), (2, 1)])
    """
    if not isinstance(system, Map | Flow):
        raise TypeError(f"system must be a Map or a Flow without noise, got {system!r}")
    if getattr(system, "n_normals", 0):
        raise ValueError(f"system must have no noise, got {system!r}")
    if getattr(system, "scheduled", False):
        raise ValueError(f"system must have constant coefficients, got {system!r}")
    given = system.box if box is None and system.state_dim == system.dim else box
    if given is None:
        raise ValueError(
            f"box must be given, for {system.state_dim} coordinates: {system.name} has none of its own"
        )
    region = checks.box("box", given, system.state_dim)
    if not np.isfinite(system(sobol_starts(region, 1024))).all(axis=-1).any():
        raise ValueError(
            "system must be finite in the box, got infinity or nan at all 1024 points tried in "
            f"{region.tolist()}"
        )
    discard = checks.integer("discard", discard, at_least=0)
    iterates = checks.integer("iterates", iterates, at_least=1)
    if not (adaptive is None or isinstance(adaptive, bool)):
        raise TypeError(f"adaptive must be True, False or None, got {adaptive!r}")
    discard_below = checks.integer("discard_below", discard_below, at_least=0)
    if isinstance(system, Flow):
        bound, kind = box_image(time_map(system, duration), image)
    else:
        if duration is not None:
            raise ValueError(
                f"duration must not be given for a Map, whose time is its step, got {duration!r}"
            )
        bound, kind = box_image(system, image)
    bound = iterated(bound, iterates)
    shape = make_grid(region, resolution, 8).shape
    halvings = _halvings(shape, adaptive)
    if not halvings:
        make_grid(region, resolution, BYTES_PER_BOX)
    level = Level(region, tuple(n >> halvings for n in shape))
    index = np.stack(np.unravel_index(np.arange(level.n_boxes), level.shape), axis=1)
    levels = [box_graph(level, index, bound)]
    steps = [axis for _ in range(halvings) for axis in range(len(shape))]
    for axis in tqdm(steps, disable=not progress, desc="bisections"):
        levels.append(_bisect(levels[-1], axis, bound))
    numbers = range(levels[-1].n_components)
    kept = [c for c in numbers if not discard or _lasts(levels[-1], c, bound, discard, discard_below)]
    return _result(system, kind, levels, kept, len(numbers) - len(kept))


def _halvings(shape: tuple[int, ...], adaptive: bool | None) -> int:
    """How often every side is bisected: down to a grid of at least COARSE boxes."""
    size = int(np.prod(shape, dtype=object))
    if adaptive is False or (adaptive is None and size <= UNIFORM):
        return 0
    halvings, start = 0, np.array(shape)
    while (start % 2 == 0).all() and int(np.prod(start // 2, dtype=object)) >= COARSE:
        start, halvings = start // 2, halvings + 1
    if adaptive and not halvings and size > COARSE:
        raise ValueError(
            f"resolution must be divisible by 2 along every side for an adaptive subdivision, got {shape}"
        )
    return halvings


def _bisect(graph: BoxGraph, axis: int, bound: BoxImage, only: int | None = None) -> BoxGraph:
    chosen = graph.component >= 0 if only is None else graph.component == only
    return box_graph(graph.level.bisected(axis), children(graph.index[chosen], axis), bound)


def _lasts(graph: BoxGraph, component: int, bound: BoxImage, discard: int, below: int) -> bool:
    """Whether a component keeps recurrent boxes through more bisections; a large one is not tried."""
    if np.count_nonzero(graph.component == component) > below:
        return True
    dim = len(graph.level.shape)
    graph = _bisect(graph, 0, bound, only=component)
    for axis in [k % dim for k in range(1, discard)]:
        if not graph.n_components:
            return False
        if np.count_nonzero(graph.component >= 0) > 8 * below:
            return True
        graph = _bisect(graph, axis, bound)
    return graph.n_components > 0


def _result(
    system: Map | Flow, kind: str, levels: list[BoxGraph], kept: list[int], dropped: int
) -> MorseGraph:
    tree, finest = box_tree(levels), levels[-1]
    members = [np.flatnonzero(finest.component == c) + tree.offset[-1] for c in kept]
    heads = np.array([nodes[0] for nodes in members], dtype=np.int64)
    leading = [tree.leading_to(nodes) for nodes in members]
    leaving = tree.leading_to(np.array([tree.outside]))
    reach = nx.DiGraph()
    reach.add_nodes_from(range(len(kept)))
    reach.add_edges_from(
        (i, j) for j, found in enumerate(leading) for i in np.flatnonzero(found[heads]) if i != j
    )
    # sets that lead to each other are one: only images that are no outer bounds can split them
    groups = sorted(nx.strongly_connected_components(reach), key=min)
    condensed = nx.condensation(reach, groups)
    # attracting sets come first, then what leads to them, each rank in the order of their boxes
    rank = {node: max((1 + len(nx.descendants(condensed, node)),), default=0) for node in condensed}
    order = sorted(
        condensed, key=lambda node: (rank[node], min(heads[list(condensed.nodes[node]["members"])]))
    )
    name = {node: k for k, node in enumerate(order)}
    reachability = nx.relabel_nodes(nx.transitive_closure_dag(condensed), name)
    result = nx.DiGraph()
    result.add_nodes_from(range(len(order)))
    result.add_edges_from(nx.transitive_reduction(reachability).edges)
    plain = nx.DiGraph()
    plain.add_nodes_from(range(len(order)))
    plain.add_edges_from(reachability.edges)
    sets, kinds = {}, {}
    leaves = np.flatnonzero(tree.leaf())
    destination = np.full(len(leaves), UNDECIDED, dtype=np.int64)
    n_choices = np.zeros(len(leaves), dtype=np.int64)
    for node in order:
        k, group = name[node], sorted(condensed.nodes[node]["members"])
        nodes = np.sort(np.concatenate([members[i] for i in group]))
        sets[k] = np.stack(tree.corners(nodes), axis=-1)
        leaves_box = bool(leaving[nodes[0]])
        if not plain.out_degree(k) and not leaves_box:
            kinds[k] = "attracting"
            here = leading[group[0]][leaves]
            destination[here], n_choices[here] = k, n_choices[here] + 1
        else:
            kinds[k] = "intermediate" if plain.in_degree(k) else "repelling"
        volume = float(np.prod(sets[k][..., 1] - sets[k][..., 0], axis=1).sum())
        result.nodes[k].update(
            kind=kinds[k],
            n_boxes=len(nodes),
            volume=volume,
            center=sets[k].mean(axis=(0, 2)),
            leaves_box=leaves_box,
        )
    # a leaf that can also end at a set that is not attracting for good belongs to nobody
    others = np.zeros(len(leaves), dtype=bool)
    for node in order:
        if not plain.out_degree(name[node]) and kinds[name[node]] != "attracting":
            others |= leading[min(condensed.nodes[node]["members"])][leaves]
    destination[(n_choices != 1) | others] = UNDECIDED
    destination[leaving[leaves]] = LEAVING
    return MorseGraph(
        graph=result,
        reachability=plain,
        sets=sets,
        kind=kinds,
        image=kind,
        box=finest.level.box,
        resolution=finest.level.shape,
        n_images=sum(len(graph.index) for graph in levels),
        n_discarded=dropped,
        system=system.name,
        tree=tree,
        leaves=leaves,
        destination=destination,
    )

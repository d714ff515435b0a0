"""Morse graphs: an outer approximation of all recurrent dynamics in a box, and what leads to what.

Algorithm
---------
1. The box is covered by closed boxes, and an edge leads from each to all that the image of it meets
   (`box_image`, `recurrent_boxes`). The strongly connected components with an edge are the Morse sets.
2. With `adaptive`, coarse boxes come first and only recurrent ones are bisected, and with `discard` small
   sets are put to the test by further bisections (`subdivision`).
3. What leads to what, and which boxes lead to one attracting set only, is read off the graph of the
   partition (`box_tree`, `morse_order`).

With images that are outer bounds ("interval", "lipschitz") every recurrent point of the map in the box
whose orbit stays there lies in a Morse set, and no orbit goes from one set to another that the graph does
not join: the graph is a proof. Its edges need not be orbits.

References
----------
Arai, Kalies, Kokubu, Mischaikow, Oka and Pilarczyk, A database schema for the analysis of global dynamics of
multiparameter systems, SIAM J. Appl. Dyn. Syst. 8 (2009) 757-789.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import networkx as nx
import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.basin.grid import make_grid
from samdyn.equilibria.newton import sobol_starts
from samdyn.jobs.cost import announce, outside
from samdyn.morse.images import RIGOROUS, box_image, iterated, time_map
from samdyn.morse.order import LEAVING, MorseOrder, morse_order
from samdyn.morse.partition import Level
from samdyn.morse.recurrence import BoxGraph, BoxImage
from samdyn.morse.subdivision import UNIFORM, lasting, subdivided
from samdyn.morse.tree import BoxTree, box_tree
from samdyn.results import Result, Rows, Table
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map

SAMPLE = 512  # boxes whose images are looked at before the work
SECONDS_PER_EDGE = 4e-8  # to list an edge and to find components
COVERING = 0.1  # of the whole box: larger images of ordinary boxes tell nothing


@dataclass(frozen=True, eq=False, repr=False)
class MorseGraph(Result):
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

    cited = ("arai2009",)
    row = "set"

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
    order: MorseOrder = field(repr=False)

    @property
    def rigorous(self) -> bool:
        """Whether the images are outer bounds, so that the graph is a proof."""
        return self.image in RIGOROUS

    @property
    def stays_inside(self) -> bool:
        """Whether no path leads out of the box: where images are outer bounds, no orbit does."""
        return not bool((self.order.destination == LEAVING).any())

    def region_of_attraction(self, node: int) -> Array:
        """Boxes (n, dim, 2) from which every path stays in the box and can reach no other attracting set.

        An orbit from there ends in this set, unless it stays in one of the sets that lead to it. This can be
        more than the stable manifold of a saddle: boxes that are too large to separate an attractor (a
        saddle that traps SAM, say) from its surroundings make an intermediate set of it, and all of its basin
        may lie in this region. See `inner_basin` for boxes without such an exception.

        Raises
        ------
        ValueError
            The node is not an attracting set.
        """
        return self._leaves(self._attracting(node))

    def inner_basin(self, node: int) -> Array:
        """Boxes (n, dim, 2) from which no path leads to another Morse set, nor out of the box.

        Where images are outer bounds, every orbit from there ends in this set: an inner bound on its basin.

        Raises
        ------
        ValueError
            The node is not an attracting set.
        """
        return self._leaves(self._attracting(node) & self.order.certain)

    def _attracting(self, node: int) -> npt.NDArray[np.bool_]:
        attracting = [k for k, kind in self.kind.items() if kind == "attracting"]
        if isinstance(node, bool) or not isinstance(node, int | np.integer) or node not in attracting:
            raise ValueError(f"node must be an attracting set, one of {attracting}, got {node!r}")
        return np.asarray(self.order.destination == node)

    def _leaves(self, chosen: npt.NDArray[np.bool_]) -> Array:
        return np.stack(self.tree.corners(self.order.leaves[chosen]), axis=-1)

    def volume(self, boxes: Array) -> float:
        """Share of the whole box that boxes (n, dim, 2) take."""
        whole = np.prod(self.box[:, 1] - self.box[:, 0])
        return float(np.prod(boxes[..., 1] - boxes[..., 0], axis=1).sum() / whole)

    def __len__(self) -> int:
        return len(self.sets)

    def table(self) -> Table:
        """The sets, what kind each is and what it leads to."""
        bound = "outer bounds" if self.rigorous else "no outer bounds"
        shape = " x ".join(map(str, self.resolution))
        title = (
            f"MorseGraph of {self.system}: {len(self)} sets on {shape} boxes, {self.image} images ({bound})"
        )

        def row(i: int) -> tuple[str, str]:
            node = list(self.sets)[i]
            to = sorted(self.graph.successors(node))
            center = ", ".join(f"{c:.4g}" for c in self.graph.nodes[node]["center"])
            text = f"{self.kind[node]}, {len(self.sets[node])} boxes around ({center})"
            text += f" -> {', '.join(map(str, to))}" if to else ""
            return str(node), text + (", may leave the box" if self.graph.nodes[node]["leaves_box"] else "")

        return Table(title, Rows(len(self), row))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Morse sets and regions of attraction in the box, with the graph; see `samdyn.plot.morse_graphs`."""
        return self._draw(ax=ax, **options)

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        columns: dict[str, list[Any]] = {"set": list(self.sets), "kind": [self.kind[k] for k in self.sets]}
        for name in ("n_boxes", "volume", "leaves_box"):
            columns[name] = [self.graph.nodes[k][name] for k in self.sets]
        columns["leads_to"] = [sorted(self.graph.successors(k)) for k in self.sets]
        return columns, {"system": self.system, "image": self.image, "rigorous": self.rigorous}


class GraphOptions(TypedDict, total=False):
    """Arguments of `morse_graph` that verbs which call it pass on."""

    adaptive: bool | None
    iterates: int
    discard: int
    discard_below: int
    duration: float | None


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
        How the image of a box is bounded (`samdyn.morse.images`). A map that cannot be traced, and a
        flow, get "padded" instead of the first two, with a warning.
    adaptive : bool, optional
        Subdivide recurrent boxes only. By default above 2^18 boxes, if the resolution can be halved often
        enough. The sets are the same for monotone images; what leads to what is judged on coarser boxes
        outside the sets.
    iterates : int
        Look at the map applied that often. A map that moves points by less than a box, as one with a small
        learning rate does, leaves artefacts all over: boxes whose images touch themselves. Its iterates
        have the same recurrent points and move further; the image of a box is then the image of an image. The
        graph describes the iterate: a cycle falls into as many sets as its period and `iterates` have in
        common, and orbits are looked at, inside the box, every so many steps only.
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
        An argument is of the wrong kind or out of range, or there are more boxes than fit into memory, or
        more sets than can be put in order (`samdyn.morse.order.MOST_SETS`).

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Notes
    -----
    Closed boxes: an image that touches a box meets it. With iterates, images are images of images (cut into
    parts no wider than the first box, 16 at most), whose
    excess grows with every one: a warning says when the images of ordinary boxes cover a tenth of the box.
    Fewer iterates at a higher resolution, with ``adaptive=True``, then say more. Under a normalised rule
    the image of a box that may hold a critical point holds all ascent directions, and is about twice lr
    times the curvature times rho wide; sets around it are that wide at least, whatever is inside. Cost: the
    image of every box that is looked at, and its edges, four bytes each; adaptive subdivision looks at the
    halves of recurrent boxes only.

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
    if system.noisy:
        raise ValueError(f"system must have no noise, got {system!r}")
    if system.scheduled:
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
    bound = iterated(bound, iterates, narrow=kind in RIGOROUS)
    # a level of an adaptive subdivision takes memory for its recurrent boxes alone
    shape = make_grid(region, resolution, 1).shape
    _check_images(bound, Level(region, shape), iterates)
    levels = subdivided(region, shape, adaptive, bound, progress)
    kept = lasting(levels[-1], bound, discard, discard_below)
    return _result(system, kind, levels, kept, levels[-1].n_components - len(kept))


def _check_images(bound: BoxImage, level: Level, iterates: int) -> None:
    """Time the images of some boxes, say what all will cost, and warn where they cover the box."""
    chosen = np.random.default_rng(0).integers(0, np.array(level.shape), (SAMPLE, len(level.shape)))
    lower, upper = level.corners(chosen)
    start = time.perf_counter()
    low, high = bound(lower, upper)
    seconds = (time.perf_counter() - start) / SAMPLE
    first, last, _ = level.blocks(low, high)
    met = np.maximum(last - first + 1, 0).astype(np.float64).prod(axis=1)
    n = min(level.n_boxes, UNIFORM)
    announce(
        "morse_graph",
        n * (seconds + SECONDS_PER_EDGE * float(met.mean())),
        "pass a smaller resolution, or fewer iterates",
    )
    share = float(np.median(met[met > 0])) / level.n_boxes if (met > 0).any() else 0.0
    if share > COVERING:
        cause = (
            f"the bounds of images of images grow with every one of iterates={iterates}: take fewer"
            if iterates > 1
            else "give a smaller box, or more boxes along each side"
        )
        warnings.warn(
            f"morse_graph: the image of an ordinary box covers {100 * share:.0f} % of the whole box, so that "
            f"sets cannot be told apart; {cause}, with a higher resolution",
            stacklevel=outside(),
        )


def _result(
    system: Map | Flow, kind: str, levels: list[BoxGraph], kept: list[int], dropped: int
) -> MorseGraph:
    tree, finest = box_tree(levels), levels[-1]
    order = morse_order(tree, [np.flatnonzero(finest.component == c) + tree.offset[-1] for c in kept])
    kinds = dict(enumerate(order.kinds))
    sets = {k: np.stack(tree.corners(nodes), axis=-1) for k, nodes in enumerate(order.sets)}
    graphs = []
    for reduced in (True, False):
        graph = nx.DiGraph()
        graph.add_nodes_from(kinds)
        graph.add_edges_from(order.edges(reduced))
        graphs.append(graph)
    for k, boxes in sets.items():
        graphs[0].nodes[k].update(
            kind=kinds[k],
            n_boxes=len(boxes),
            volume=float(np.prod(boxes[..., 1] - boxes[..., 0], axis=1).sum()),
            center=boxes.mean(axis=(0, 2)),
            leaves_box=bool(order.leaves_box[k]),
        )
    return MorseGraph(
        graph=graphs[0],
        reachability=graphs[1],
        sets=sets,
        kind=kinds,
        image=kind,
        box=finest.level.box,
        resolution=finest.level.shape,
        n_images=sum(len(graph.index) for graph in levels),
        n_discarded=dropped,
        system=system.name,
        tree=tree,
        order=order,
    )

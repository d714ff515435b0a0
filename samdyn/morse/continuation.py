"""Morse graphs along a parameter, with the sets of one value named after the sets of the value before.

Each value has a graph of its own on the same boxes; `match_sets` gives a set the name of the one it shares
most boxes with, larger overlaps first, and new names to the rest. Matching is a separate step: it can be
repeated with another threshold without a graph being computed again. A change of the set of names between
two values is where a bifurcation of the outer approximation lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.cost import part_of
from samdyn.jobs.progress import paced
from samdyn.morse.graph import GraphOptions, MorseGraph, morse_graph
from samdyn.morse.partition import Index, Level
from samdyn.results import Result, Rows, Table
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map


@dataclass(frozen=True, eq=False, repr=False)
class MorseContinuation(Result):
    """Morse graphs over the values of a parameter.

    Attributes
    ----------
    parameter : str
    values : ndarray, shape (n,)
    graphs : tuple of MorseGraph
    names : tuple of dict of int to int
        For each graph the name of every node; a name means the same set at all values.
    """

    cited = ("arai2009",)
    row = "value"

    parameter: str
    values: Array
    graphs: tuple[MorseGraph, ...]
    names: tuple[dict[int, int], ...]

    def changes(self) -> list[tuple[float, float, set[int], set[int]]]:
        """Values between which sets appear or vanish: (before, after, names lost, names gained)."""
        found = []
        for i in range(len(self.values) - 1):
            old, new = set(self.names[i].values()), set(self.names[i + 1].values())
            if old != new:
                found.append((float(self.values[i]), float(self.values[i + 1]), old - new, new - old))
        return found

    def table(self) -> Table:
        """The number of sets and the attracting ones at each value."""

        def row(i: int) -> tuple[str, str]:
            graph, names = self.graphs[i], self.names[i]
            attracting = sorted(names[node] for node, kind in graph.kind.items() if kind == "attracting")
            words = ", ".join(map(str, attracting)) or "none"
            return f"{self.values[i]:.6g}", f"{len(graph)} sets, attracting: {words}"

        title = f"MorseContinuation over {self.parameter}, {len(self.values)} values"
        return Table(title, Rows(len(self.values), row))

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        kinds = ("attracting", "repelling", "intermediate")
        counts = {kind: [list(g.kind.values()).count(kind) for g in self.graphs] for kind in kinds}
        return {self.parameter: self.values, "sets": [len(g) for g in self.graphs], **counts}, {}


@checked
def match_sets(graphs: Sequence[MorseGraph], threshold: float = 0.0) -> tuple[dict[int, int], ...]:
    """Names for the nodes of successive graphs, by shared boxes.

    Parameters
    ----------
    graphs : sequence of MorseGraph
        On the same boxes.
    threshold : float
        Share of the smaller of two sets that must be common, at most 1; at 0 one common box is enough.

    Returns
    -------
    tuple of dict of int to int

    Raises
    ------
    TypeError, ValueError
        Not graphs, graphs on different boxes, or a threshold beyond 1.

    Examples
    --------
    >>> import samdyn as sd
    >>> steps = [sd.Map(sd.landscapes.double_well(), sd.USAM(rho), lr=0.1) for rho in (0.0, 0.1)]
    >>> graphs = [sd.morse_graph(step, [(-1.22, 1.2)], resolution=100, iterates=20) for step in steps]
    >>> sd.morse.match_sets(graphs)
    ({0: 0, 1: 1, 2: 2}, {0: 0, 1: 1, 2: 2})
    """
    _check_threshold(threshold)
    given = list(graphs) if isinstance(graphs, Sequence) else [None]
    if not all(isinstance(graph, MorseGraph) for graph in given):
        raise TypeError(f"graphs must be a sequence of MorseGraph, got {graphs!r}")
    for graph in given[1:]:
        if graph.resolution != given[0].resolution or not np.array_equal(graph.box, given[0].box):
            raise ValueError(
                f"graphs must be on the same boxes, got {given[0].resolution} of {given[0].box.tolist()} and "
                f"{graph.resolution} of {graph.box.tolist()}"
            )
    names: list[dict[int, int]] = []
    previous = _Cells(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), {})
    fresh = 0
    for graph in given:
        current = _cells(graph)
        found: dict[int, int] = {}
        for node, other, shared in current.overlaps(previous):
            name = names[-1][other]
            enough = shared >= threshold * min(current.sizes[node], previous.sizes[other])
            if enough and node not in found and name not in found.values():
                found[node] = name
        for node in graph.sets:
            if node not in found:
                found[node], fresh = fresh, fresh + 1
        names.append(dict(sorted(found.items())))
        previous = current
    return tuple(names)


@dataclass(frozen=True)
class _Cells:
    """The boxes of all sets of a graph: codes in increasing order, and the node of each."""

    codes: Index
    nodes: Index
    sizes: dict[int, int]

    def overlaps(self, other: _Cells) -> list[tuple[int, int, int]]:
        """(node, node of the other, boxes in common), the largest first."""
        _, here, there = np.intersect1d(self.codes, other.codes, assume_unique=True, return_indices=True)
        pairs = np.stack([self.nodes[here], other.nodes[there]], axis=1)
        kinds, counts = np.unique(pairs, axis=0, return_counts=True)
        order = np.lexsort((kinds[:, 1], kinds[:, 0], -counts))
        return [(int(kinds[k, 0]), int(kinds[k, 1]), int(counts[k])) for k in order]


def _cells(graph: MorseGraph) -> _Cells:
    level = Level(graph.box, graph.resolution)
    codes = [np.empty(0, dtype=np.int64)]
    for boxes in graph.sets.values():
        codes.append(level.codes(np.rint((boxes[..., 0] - graph.box[:, 0]) / level.sides).astype(np.int64)))
    sizes = {node: len(boxes) for node, boxes in graph.sets.items()}
    nodes = np.repeat(np.array(list(sizes), dtype=np.int64), list(sizes.values()))
    joined = np.concatenate(codes)
    order = np.argsort(joined)
    return _Cells(joined[order], nodes[order], sizes)


def _check_threshold(threshold: Any) -> None:
    if checks.number("threshold", threshold, at_least=0) > 1:
        raise ValueError(f"threshold must be a share, at most 1, got {threshold!r}")


def morse_continuation(
    system: Map | Flow,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    resolution: int | Sequence[int] = 256,
    image: str = "interval",
    *,
    parameters: Mapping[str, npt.ArrayLike],
    threshold: float = 0.0,
    progress: bool = False,
    **options: Unpack[GraphOptions],
) -> MorseContinuation:
    """Morse graphs of a system over the values of one of its parameters.

    Parameters
    ----------
    system : Map or Flow
    box, resolution, image
        As in `morse_graph`.
    parameters : dict of str to sequence of float
        One name among ``system.parameters`` (rho, lr, momentum, batch_size, or a parameter of the loss) and
        its values.
    threshold : float
        As in `match_sets`.
    progress : bool
        Show a progress bar over values.
    **options
        Passed on to `morse_graph`.

    Returns
    -------
    MorseContinuation

    Warns
    -----
    CostWarning
        The work will take more than ten seconds, by the time of its first graph.

    Raises
    ------
    TypeError, ValueError
        The system has no such parameter, there are no values, or as in `morse_graph`.

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.double_well(), sd.USAM(0.5), lr=0.1)
    >>> over = sd.morse_continuation(step, [(-1.52, 1.5)], parameters={"rho": [0.5, 1.5]}, resolution=300)
    >>> [sum(kind == "attracting" for kind in graph.kind.values()) for graph in over.graphs]
    [2, 3]
    """
    if not isinstance(system, Map | Flow):
        raise TypeError(f"system must be a Map or a Flow without noise, got {system!r}")
    parameter, values = checks.one_sweep(parameters, system.parameters)
    try:
        grid = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(f"parameters must hold finite numbers, got {values!r}") from error
    if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all():
        raise ValueError(f"parameters must hold finite numbers, one or more, got {values!r}")
    _check_threshold(threshold)
    systems = [system.with_parameters(**{parameter: float(value)}) for value in grid]  # all before any work
    checks.flag("progress", progress)
    cheaper = "pass fewer values or a smaller resolution"
    each = paced(systems, "morse_continuation", len(systems), cheaper, show=progress, unit="value")
    graphs = []
    for one in each:
        with part_of("morse_continuation", cheaper):
            graphs.append(morse_graph(one, box, resolution, image, **options))
    return MorseContinuation(parameter, grid, tuple(graphs), match_sets(graphs, threshold))

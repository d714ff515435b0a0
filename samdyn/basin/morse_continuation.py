"""Morse graphs along a parameter, with the sets of one value named after those of the one before.

Each value has a graph of its own on the same boxes; `match_sets` gives a set the name of the one it shares
most boxes with, larger overlaps first, and new names to the rest. Matching is a separate step: it can be
repeated with another threshold without a graph being computed again. A change of the set of names between
two values is where a bifurcation of the outer approximation lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.basin.morse_graph import MorseGraph, morse_graph
from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map


@dataclass(frozen=True, eq=False)
class MorseContinuation:
    """Morse graphs over the values of a parameter.

    Attributes
    ----------
    parameter : str
    values : ndarray, shape (n,)
    graphs : tuple of MorseGraph
    names : tuple of dict of int to int
        For each graph the name of every node; a name means the same set at all values.
    """

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

    def __repr__(self) -> str:
        lines = [f"MorseContinuation over {self.parameter}, {len(self.values)} values"]
        for value, graph, names in list(zip(self.values, self.graphs, self.names, strict=True))[:20]:
            attracting = sorted(names[node] for node, kind in graph.kind.items() if kind == "attracting")
            lines.append(
                f"  {value:.6g}: {len(graph)} sets, attracting: {', '.join(map(str, attracting)) or 'none'}"
            )
        return "\n".join(lines)


def match_sets(graphs: Sequence[MorseGraph], threshold: float = 0.0) -> tuple[dict[int, int], ...]:
    """Names for the nodes of successive graphs, by shared boxes.

    Parameters
    ----------
    graphs : sequence of MorseGraph
        On the same boxes.
    threshold : float
        Share of the smaller of two sets that must be common; at 0 one common box is enough.

    Returns
    -------
    tuple of dict of int to int
    """
    checks.number("threshold", threshold, at_least=0)
    names: list[dict[int, int]] = []
    previous: dict[int, set[tuple[float, ...]]] = {}
    fresh = 0
    for graph in graphs:
        current = {node: set(map(tuple, boxes[..., 0].tolist())) for node, boxes in graph.sets.items()}
        overlaps = sorted(
            (
                (len(boxes & old), node, name)
                for node, boxes in current.items()
                for name, old in previous.items()
            ),
            key=lambda entry: (-entry[0], entry[1], entry[2]),
        )
        given: dict[int, int] = {}
        for shared, node, name in overlaps:
            enough = shared and shared >= threshold * min(len(current[node]), len(previous[name]))
            if enough and node not in given and name not in given.values():
                given[node] = name
        for node in current:
            if node not in given:
                given[node], fresh = fresh, fresh + 1
        names.append(dict(sorted(given.items())))
        previous = {given[node]: boxes for node, boxes in current.items()}
    return tuple(names)


def morse_continuation(
    system: Map | Flow,
    parameter: str,
    values: npt.ArrayLike,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    resolution: int | Sequence[int] = 256,
    image: str = "interval",
    *,
    threshold: float = 0.0,
    **options: Any,
) -> MorseContinuation:
    """Morse graphs of a system over the values of one of its parameters.

    Parameters
    ----------
    system : Map or Flow
    parameter : str
        One of `system.parameters`.
    values : array_like, shape (n,)
    box, resolution, image
        As in `morse_graph`.
    threshold : float
        As in `match_sets`.
    **options
        Passed on to `morse_graph`.

    Returns
    -------
    MorseContinuation

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.double_well(), sd.USAM(0.5), lr=0.1)
    >>> over = sd.morse_continuation(step, "rho", [0.5, 1.5], [(-1.52, 1.5)], resolution=300)
    >>> [sum(kind == "attracting" for kind in graph.kind.values()) for graph in over.graphs]
    [2, 3]
    """
    grid = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all():
        raise ValueError(f"values must be finite numbers, got {values!r}")
    graphs = tuple(
        morse_graph(system.with_parameters(**{parameter: float(value)}), box, resolution, image, **options)
        for value in grid
    )
    return MorseContinuation(parameter, grid, graphs, match_sets(graphs, threshold))

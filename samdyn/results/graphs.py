"""Graphs as results: graphs of networkx that also have a table, files, frames and a picture.

They are made and used as any graph of networkx; every algorithm of networkx takes them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import networkx as nx

from samdyn.results.encoding import storable
from samdyn.results.result import Result, _graph_parts, same
from samdyn.results.table import Table


class GraphResult(Result):
    """What results that are graphs share.

    Nodes are ids, and what is known of nodes and edges are their attributes. A row of the data frame is an
    edge, in one direction.
    """

    row: ClassVar[str] = "edge"
    stored: ClassVar[tuple[str, ...]] = ("incoming_graph_data",)

    @property
    def incoming_graph_data(self) -> Any:
        """A plain graph of networkx with the same nodes and edges, from which this one can be made."""
        graph: Any = self
        plain = nx.DiGraph() if graph.is_directed() else nx.Graph()
        plain.graph.update(graph.graph)
        plain.add_nodes_from(graph.nodes(data=True))
        plain.add_edges_from(graph.edges(data=True))
        return plain

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def equals(self, other: object) -> bool:
        """Whether another graph has the same nodes and edges with the same attributes."""
        return self is other or (type(self) is type(other) and same(_graph_parts(self), _graph_parts(other)))

    def table(self) -> Table:
        """The nodes and, below them, the edges."""
        graph: Any = self
        rows = [(str(node), _words(data)) for node, data in graph.nodes(data=True)]
        arrow = " -> " if graph.is_directed() else " - "
        notes = [f"{u}{arrow}{v}: {_words(data)}" for u, v, data in graph.edges(data=True)]
        system = graph.graph.get("system", "")
        size = f"{graph.number_of_nodes()} attractors, {graph.number_of_edges()} edges"
        return Table(f"{type(self).__name__} of {system}: {size}", rows, ("id", "attractor"), notes)

    def to_dict(self) -> dict[str, Any]:
        """The graph as lists of nodes and edges with their attributes."""
        from samdyn.results.export import plain

        graph: Any = self
        nodes = [{"id": node, **data} for node, data in graph.nodes(data=True)]
        edges = [{"from": u, "to": v, **data} for u, v, data in graph.edges(data=True)]
        found = {"class": type(self).__name__, **graph.graph, "nodes": nodes, "edges": edges}
        return {key: plain(value) for key, value in found.items()}

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        graph: Any = self
        rows: list[dict[str, Any]] = []
        for u, v, data in graph.edges(data=True):
            for a, b in [(u, v)] if graph.is_directed() else [(u, v), (v, u)]:
                row = {"from": a, "to": b}
                for key, value in data.items():
                    if isinstance(value, dict):  # of the edge as seen from one end
                        row[key] = value.get(a)
                    elif isinstance(value, bool | int | float | str):
                        row[key] = value
                rows.append(row)
        names = dict.fromkeys(["from", "to", *(key for row in rows for key in row)])
        return {name: [row.get(name) for row in rows] for name in names}, dict(graph.graph)


@storable
class BasinGraph(nx.Graph, GraphResult):
    """Attractors, joined through what lies between their basins: the result of `basin_graph`."""

    __str__ = GraphResult.__repr__


@storable
class RateGraph(nx.DiGraph, GraphResult):
    """Attractors with the rates of escape between them: the result of `rate_graph`."""

    __str__ = GraphResult.__repr__


def _words(data: dict[str, Any]) -> str:
    """Attributes of a node or an edge in a line: its texts and numbers."""
    words: list[str] = []
    for key, value in data.items():
        if isinstance(value, str):
            words = [word for word in words if not value.startswith(f"{word} ")]  # "minimum (3, 2)" has it
            words.append(value)
        elif isinstance(value, dict):
            numbers = [f"{float(v):.4g}" for v in value.values() if isinstance(v, float | int)]
            words.append(f"{key} {' / '.join(numbers)}") if numbers else None
        elif isinstance(value, float | int) and not isinstance(value, bool):
            words.append(f"{key} {float(value):.4g}")
    return ", ".join(words)

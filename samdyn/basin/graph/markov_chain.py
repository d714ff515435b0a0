"""A Markov chain with waiting times over a few states: long-run shares, passage times, dominant transitions.

State i is held for a mean time tau_i and left for j with probability p_ij. With v p = v the share of time
in state i is proportional to tau_i v_i; the mean time from i until j is entered is T_ij = tau_i + sum over
k != j of p_ik T_kj.
"""

from __future__ import annotations

import networkx as nx
import numpy as np

from samdyn.arguments.checks import Array


def stationary(p: Array) -> Array:
    """Left fixed vector of a stochastic matrix."""
    n = len(p)
    system = np.vstack([p.T - np.eye(n), np.ones(n)])
    return np.asarray(np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0])


def passage_times(tau: Array, p: Array) -> Array:
    """Mean times from i until j of the chain; 0 on the diagonal, infinite where i may never get to j."""
    n = len(tau)
    result = np.zeros((n, n))
    steps = ((p > 0) | np.eye(n, dtype=bool)).astype(float)
    for j in range(n):
        rest = np.flatnonzero(np.arange(n) != j)
        # before j is entered
        inner = np.linalg.matrix_power(steps[np.ix_(rest, rest)], n) > 0
        leads = (inner & (p[rest, j] > 0)).any(axis=1)
        sure = ~(inner & ~leads).any(axis=1)
        result[rest, j] = np.inf
        kept = rest[sure]
        if len(kept):
            result[kept, j] = np.linalg.solve(np.eye(len(kept)) - p[np.ix_(kept, kept)], tau[kept])
    return result


def dominant_tree(graph: nx.DiGraph) -> list[tuple[int, int]] | None:
    """Transitions into the most probable attractor along which the product of the rates is largest.

    None if it cannot be reached from all: where sampled paths were too few to see some transition.
    """
    root = max(graph, key=lambda k: graph.nodes[k]["stationary"])
    # an arborescence leads away from its root: turn the edges round, and forbid those into the root
    turned = nx.DiGraph()
    turned.add_nodes_from(graph)
    for i, j, data in graph.edges(data=True):
        if i != root:
            turned.add_edge(j, i, weight=float(np.log(data["rate"])))
    try:
        tree = nx.maximum_spanning_arborescence(turned)
    except nx.NetworkXException:
        return None
    return sorted((i, j) for j, i in tree.edges)

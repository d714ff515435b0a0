r"""Escape rates on a basin graph: a Markov chain over the attractors of a Diffusion.

Each attractor has a core, a ball around it. From the middle of core i the process runs until it enters
another core: the mean time tau_i of that and the probability p_ij that it is core j give the chain, with
the rates r_ij, the stationary distribution pi_i and the mean first-passage times T_ij

.. math::

    r_{ij} = \frac{p_{ij}}{\tau_i}, \qquad
    \pi_i \propto \tau_i v_i \text{ with } v p = v, \qquad
    T_{ij} = \tau_i + \sum_{k \ne j} p_{ik} T_{kj}.

It is exact but for one thing: after a transition the process stands on the edge of a core and not in its
middle. The error is the chance of leaving the core's basin from its edge, of the order exp(-rise of the
potential to the core's edge): small cores in deep basins are safe. With the solver the mean first-passage
times are solved for, one problem for each core, and not taken from the chain; the largest relative difference
between the two is that error, `lumping_error`.

tau and p come from the backward Kolmogorov equation ("solver", one and two dimensions: `mean_exit_time`,
`committor`) or from sampled paths ("sampling", any dimension: `exit_times`), with standard errors for the
latter. The tree of dominant transitions is the spanning tree into the most probable attractor with the
largest product of rates (Freidlin and Wentzell's graphs; `samdyn.basin.graph.markov_chain`).
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any, Unpack

import networkx as nx
import numpy as np

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.basin.graph.markov_chain import dominant_tree, passage_times, stationary
from samdyn.basin.mapping import Basins
from samdyn.escape import Ball, committor, exit_times, mean_exit_time
from samdyn.escape.exit.times import ExitOptions
from samdyn.escape.region import OpenSet
from samdyn.escape.solver.domain import TooLongError
from samdyn.jobs.cost import part_of
from samdyn.jobs.progress import paced
from samdyn.results.graphs import RateGraph
from samdyn.systems.diffusion import Diffusion

METHODS = ("solver", "sampling")
CHEAPER = "pass a smaller resolution, or fewer n_paths"


@checked
def rate_graph(
    graph: nx.Graph,
    basins: Basins,
    *,
    method: str | None = None,
    core: float | None = None,
    resolution: int = 256,
    n_paths: int = 2000,
    t_max: float | None = None,
    seed: int = 0,
    progress: bool = False,
    **options: Unpack[ExitOptions],
) -> RateGraph:
    """Directed graph of the attractors of a Diffusion, with the rates of going from one to another.

    Parameters
    ----------
    graph : networkx.Graph
        From `basin_graph`.
    basins : Basins
        Of the same Diffusion.
    method : {"solver", "sampling"}, optional
        "solver" in one and two dimensions by default.
    core : float, optional
        Radius of the cores; by default 0.3 of the distance from an attractor to the nearest saddle.
    resolution : int
        Cells along each side of the solver's grid.
    n_paths : int
        Paths from each attractor.
    t_max : float, optional
        For sampling: when a path is given up; needed.
    seed : int
    progress : bool
        Show a progress bar over attractors.
    **options
        Passed on to `exit_times`.

    Returns
    -------
    networkx.DiGraph
        Nodes as in `graph` with `stationary` (probability) and `mean_exit_time` (to any other core), and its
        `standard_error` where sampled. Edges (i, j) with `rate`, `probability` (that j comes next) and,
        where they are joined in `graph`, its data. `graph.graph` holds `mean_first_passage_times` (dict by
        pair; infinite where no path was seen to lead there; taken from the chain where the solver has none:
        too long for double precision, or to a core that its coarsest grid does not see), `lumping_error` (of
        the others; nan where sampled), `tree`
        (edges of the dominant transitions; None where not every attractor leads to the most probable one) and
        `method`.

    Raises
    ------
    TypeError, ValueError
        Not the basins of a Diffusion or not their graph, fewer than two attractors, cores that overlap or
        hold no node of the solver's grid, or another argument out of range.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Examples
    --------
    >>> import samdyn as sd
    >>> sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    >>> found = sd.basins(sde, [(-2, 2)], resolution=50, n_paths=4)
    >>> rates = sd.rate_graph(sd.basin_graph(found, action=False), found)
    >>> [round(rates.nodes[k]["stationary"], 6) for k in rates]
    [0.5, 0.5]
    """
    if not isinstance(basins, Basins):
        raise TypeError(f"basins must be a Basins, got {type(basins).__name__}")
    system = basins.system
    if not isinstance(system, Diffusion):
        raise TypeError(f"basins must belong to a Diffusion, got basins of {system!r}")
    if not isinstance(graph, nx.Graph):
        raise TypeError(f"graph must be the basin_graph of these basins, got {type(graph).__name__}")
    if set(graph) != set(basins.attractors):
        raise ValueError("graph must be the basin_graph of these basins")
    if len(graph) < 2:
        raise ValueError(f"graph must have two attractors or more, got {len(graph)}")
    method = ("solver" if system.dim <= 2 else "sampling") if method is None else method
    if method not in METHODS:
        raise ValueError(f"method must be 'solver' or 'sampling', got {method!r}")
    if method == "sampling" and t_max is None:
        raise ValueError("t_max must be given for method='sampling': the time after which a path is given up")
    if method == "solver" and options:
        raise TypeError(f"options must be left out for method='solver', got {sorted(options)}")
    checks.integer("n_paths", n_paths, at_least=2)
    checks.integer("resolution", resolution, at_least=16)
    if t_max is not None:
        checks.number("t_max", t_max, above=0)
    ids = sorted(graph)
    cores = {k: Ball(graph.nodes[k]["position"], _core_radius(graph, k, core)) for k in ids}
    for i, j in itertools.combinations(ids, 2):
        apart = float(np.linalg.norm(np.subtract(cores[i].center, cores[j].center)))
        if cores[i].radius + cores[j].radius >= apart:
            raise ValueError(
                f"core must leave the cores apart, got radii {cores[i].radius:g} and {cores[j].radius:g} of "
                f"attractors {i} and {j} at distance {apart:.3g}"
            )
    tau, p, error = np.zeros(len(ids)), np.zeros((len(ids), len(ids))), np.full(len(ids), np.nan)
    checks.flag("progress", progress)
    each = paced(list(enumerate(ids)), "rate_graph", len(ids), CHEAPER, show=progress, unit="attractor")
    for i, k in each:
        others = [j for j in ids if j != k]
        x0 = graph.nodes[k]["position"]
        if method == "solver":
            tau[i], chance = _solved(system, x0, cores, others, basins.box, resolution)
        else:
            tau[i], error[i], chance = _sampled(system, x0, cores, others, n_paths, t_max, seed + i, options)
        p[i, [ids.index(j) for j in others]] = chance
    result = RateGraph(system=repr(system), method=method)
    weight = stationary(p) * tau
    for i, k in enumerate(ids):
        extra = {} if method == "solver" else {"standard_error": float(error[i])}
        result.add_node(
            k,
            **graph.nodes[k],
            stationary=float(weight[i] / weight.sum()),
            mean_exit_time=float(tau[i]),
            **extra,
        )
    for i, k in enumerate(ids):
        for j, other in enumerate(ids):
            if i != j and p[i, j] > 0:
                shared = graph.edges[k, other] if graph.has_edge(k, other) else {}
                result.add_edge(k, other, **shared, rate=float(p[i, j] / tau[i]), probability=float(p[i, j]))
    passage, chain = passage_times(tau, p), np.nan
    if method == "solver":
        lumped, solved = passage, _solved_passages(system, graph, cores, basins.box, resolution)
        passage = np.where(np.isnan(solved), lumped, solved)
        pairs = np.nonzero(np.nan_to_num(solved))
        chain = float(np.abs(lumped[pairs] / solved[pairs] - 1).max(initial=0.0)) if len(pairs[0]) else np.nan
    result.graph["lumping_error"] = chain
    result.graph["mean_first_passage_times"] = {
        (k, other): float(passage[i, j]) for i, k in enumerate(ids) for j, other in enumerate(ids) if i != j
    }
    result.graph["tree"] = dominant_tree(result)
    return result


def _core_radius(graph: nx.Graph, k: int, core: float | None) -> float:
    if core is not None:
        return checks.number("core", core, above=0)
    distances = [data["distance"][k] for _, _, data in graph.edges(k, data=True)]
    if distances:
        return 0.3 * min(distances)
    x = graph.nodes[k]["position"]
    return 0.15 * min(float(np.linalg.norm(x - graph.nodes[j]["position"])) for j in graph if j != k)


@part_of("rate_graph", CHEAPER)
def _solved(
    system: Diffusion, x0: Array, cores: dict[int, Ball], others: list[int], box: Array, resolution: int
) -> tuple[float, list[float]]:
    options = _options(system, box, resolution)
    outside = ~_union([cores[j] for j in others])
    mean = float(mean_exit_time(system, outside, **options)(x0))
    if len(others) == 1:
        return mean, [1.0]
    chances = []
    for j in others:
        rest = _union([cores[m] for m in others if m != j])
        chances.append(float(committor(system, rest, cores[j], **options)(x0)))
    total = sum(chances)  # 1 up to the error of the solver
    return mean, [chance / total for chance in chances]


@part_of("rate_graph", CHEAPER)
def _solved_passages(
    system: Diffusion, graph: nx.Graph, cores: dict[int, Ball], box: Array, resolution: int
) -> Array:
    """Mean times from the middle of core i until core j is entered; 0 on the diagonal, nan where the solver
    has none.
    """
    options, ids = _options(system, box, resolution), list(cores)
    result = np.zeros((len(ids), len(ids)))
    for j, k in enumerate(ids):
        try:
            field = mean_exit_time(system, ~cores[k], **options)
        except TooLongError:
            result[np.arange(len(ids)) != j, j] = np.nan
            continue
        for i, other in enumerate(ids):
            if i != j:
                result[i, j] = float(field(graph.nodes[other]["position"]))
    return result


def _options(system: Diffusion, box: Array, resolution: int) -> dict[str, Any]:
    return {"resolution": resolution} | ({"box": box} if system.dim == 2 else {})


@part_of("rate_graph", CHEAPER)
def _sampled(
    system: Diffusion,
    x0: Array,
    cores: dict[int, Ball],
    others: list[int],
    n_paths: int,
    t_max: float | None,
    seed: int,
    options: ExitOptions,
) -> tuple[float, float, list[float]]:
    outside = ~_union([cores[j] for j in others])
    assert t_max is not None  # checked by the caller
    found = exit_times(system, x0, outside, n_paths=n_paths, t_max=t_max, seed=seed, **options)
    if found.interrupted:  # Ctrl-C is meant for the whole graph, not for one of its nodes
        raise KeyboardInterrupt
    ends = found.exit_points[found.exited]
    if not len(ends):
        raise ValueError(
            f"t_max must be larger: no path from {np.asarray(x0)} reached another core within {t_max:g}"
        )
    distance = np.stack(
        [np.linalg.norm(ends - np.array(cores[j].center), axis=1) - cores[j].radius for j in others]
    )
    counts = np.bincount(distance.argmin(axis=0), minlength=len(others))
    return found.mean, found.standard_error, (counts / counts.sum()).tolist()


def _union(parts: Sequence[OpenSet]) -> OpenSet:
    return functools.reduce(operator.or_, parts)

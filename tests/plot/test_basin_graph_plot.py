"""Pictures of basin graphs: every node, edge and pass is there, and says what the graph says."""

from __future__ import annotations

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pytest

import samdyn as sd


@pytest.fixture(scope="module")
def graph() -> nx.Graph:
    return sd.basin_graph(
        sd.basins(sd.Flow(sd.landscapes.himmelblau(), sd.GD()), resolution=16), action=False
    )


def of(ax: plt.Axes, start: str) -> list[str]:
    artists = [*ax.lines, *ax.collections, *ax.patches]
    return sorted({str(a.get_gid()) for a in artists if str(a.get_gid()).startswith(start)})


def test_all_that_the_graph_holds(graph: nx.Graph) -> None:
    flow = sd.Flow(sd.landscapes.himmelblau(), sd.GD())
    below = sd.plot.phase_portrait(flow, nullclines=False, legend=False, fixed_points=False, resolution=30)
    limits = below.get_xlim(), below.get_ylim()
    ax = sd.plot.basin_graph(graph, below)
    assert ax is below
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    assert of(ax, "node") == [f"node {k}" for k in graph]
    assert of(ax, "pass") == sorted(f"pass {a} {b}" for a, b in graph.edges)
    for a, b, data in graph.edges(data=True):
        mark = next(line for line in ax.lines if line.get_gid() == f"pass {a} {b}")
        assert np.ravel(mark.get_xydata()) == pytest.approx(data["position"])
    written = {text.get_text() for text in ax.texts}
    assert {f"{data['barrier'][a]:.3g}" for a, _, data in graph.edges(data=True)} <= written
    entries = [t.get_text() for t in ax.get_legend().get_texts()]
    assert "pass: saddle" in entries
    assert any(entry.startswith("1: minimum (-3.779, -3.283), 2") for entry in entries)


def test_rates_and_their_tree() -> None:
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    found = sd.basins(sde, [(-2, 2)], resolution=40, n_paths=2)
    rates = sd.rate_graph(sd.basin_graph(found, action=False), found, core=0.2)
    ax = sd.plot.basin_graph(rates)
    assert of(ax, "edge") == ["edge 1 2", "edge 2 1"]
    heavy = [p for p in ax.patches if str(p.get_gid()).startswith("edge") and p.get_linewidth() > 2]
    assert [p.get_gid() for p in heavy] == [f"edge {a} {b}" for a, b in rates.graph["tree"]]
    assert sum("of the time" in t.get_text() for t in ax.get_legend().get_texts()) == 2
    assert ax.get_ylabel() == "loss"


def test_one_dimension_and_labels() -> None:
    """The points of two cells lie on repelling points and settle nowhere: the basins beside them touch."""
    found = sd.basins(sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.01), [(-2, 2)], resolution=100)
    assert (found.labels == -3).sum() == 2
    graph = sd.basin_graph(found, action=True)
    assert graph.number_of_edges() == 2
    ax = sd.plot.basin_graph(graph, label="action", legend=False)
    assert {f"{value:.3g}" for _, _, d in graph.edges(data=True) for value in d["action"].values()} <= {
        text.get_text() for text in ax.texts
    }
    bare = sd.plot.basin_graph(graph, label=False)
    assert {text.get_text() for text in bare.texts} == {"1", "2", "3"}


def test_bad_input(graph: nx.Graph) -> None:
    with pytest.raises(TypeError, match="graph must be"):
        sd.plot.basin_graph(nx.path_graph(3))
    with pytest.raises(TypeError, match="graph must be"):
        sd.plot.basin_graph(3)
    with pytest.raises(ValueError, match="graph must have a node"):
        sd.plot.basin_graph(nx.Graph())
    with pytest.raises(ValueError, match=r"label must be on every edge.*barrier, distance"):
        sd.plot.basin_graph(graph, label="action")
    with pytest.raises(ValueError, match="label must be one of"):
        sd.plot.basin_graph(graph, label="height")
    with pytest.raises(ValueError, match="coordinates"):
        sd.plot.basin_graph(graph, coordinates=(0, 0))
    with pytest.raises(TypeError, match="ax must be"):
        sd.plot.basin_graph(graph, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="legend must be"):
        sd.plot.basin_graph(graph, legend="left of it")


def test_ten_attractors_in_a_shared_legend_are_in_the_order_of_their_numbers() -> None:
    """By number, not by letter: 10 comes after 2."""
    figure, axes = plt.subplots(1, 2)
    for ax, ids in zip(axes, ((1, 10), (2, 3)), strict=True):
        graph = nx.Graph()
        for k in ids:
            graph.add_node(k, position=np.array([float(k), 0.0]), name=f"minimum ({k}, 0)")
        sd.plot.basin_graph(graph, ax)
    (legend,) = figure.legends
    assert [text.get_text()[:2] for text in legend.get_texts()] == ["1:", "2:", "3:", "10"]

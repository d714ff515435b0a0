"""Pictures say what they show, follow matplotlib's settings, and hide nothing under legends or labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import samdyn as sd
from samdyn.plot.appearance.placement import overlap
from samdyn.plot.appearance.titles import labels_by_difference, title_of

SADDLE = sd.landscapes.saddle()
WELL = sd.landscapes.double_well()


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def exits(rule: sd.Rule, radius: float = 0.5) -> sd.escape.ExitTimes:
    system = sd.Diffusion(SADDLE, rule, lr=0.05, noise=sd.GaussianNoise(1.0))
    return sd.exit_times(system, [0.0, 0.0], sd.Ball([0.0, 0.0], radius), 60, t_max=50.0)


@pytest.fixture(scope="module")
def three() -> list[sd.escape.ExitTimes]:
    return [exits(rule) for rule in (sd.GD(), sd.USAM(0.1), sd.USAM(0.3))]


def draw_some(three: list[sd.escape.ExitTimes], axes: Any = None) -> list[Any]:
    given = [None] * 4 if axes is None else list(axes)
    return [
        sd.plot.survival(three, ax=given[0]),
        sd.plot.exit_density(three[0], ax=given[1]),
        sd.plot.phase_portrait(sd.Flow(SADDLE, sd.SAM(0.2)), resolution=20, ax=given[2]),
        sd.hallucination_intervals(WELL, [(-2, 2)]).plot(ax=given[3]),
    ]


def test_sizes_follow_the_settings(three: list[sd.escape.ExitTimes]) -> None:
    """Kind: pictures that ignore matplotlib's settings. Text of 5 points, lines and markers of half size."""
    usual = draw_some(three)
    small = {"font.size": 5.0, "lines.linewidth": 0.75, "lines.markersize": 3.0}
    with plt.rc_context(small):
        changed = draw_some(three, [plt.figure().add_subplot() for _ in range(4)])
    for before, after in zip(usual, changed, strict=True):
        assert after.xaxis.label.get_size() == 5.0
        assert after.xaxis.get_ticklabels()[0].get_size() == 5.0
        assert after.title.get_size() == 6.0
        assert before.xaxis.label.get_size() > 10.0
        widths = [line.get_linewidth() for line in before.lines]
        np.testing.assert_allclose([line.get_linewidth() for line in after.lines], np.array(widths) / 2)
        marks = [
            line.get_markersize() for line in before.lines if line.get_marker() not in ("None", None, "")
        ]
        halves = [
            line.get_markersize() for line in after.lines if line.get_marker() not in ("None", None, "")
        ]
        np.testing.assert_allclose(halves, np.array(marks) / 2)


def test_curves_take_the_colours_of_the_cycle(three: list[sd.escape.ExitTimes]) -> None:
    """Kind: pictures that do not obey matplotlib's settings. Right: red, lime, blue in turn."""
    with plt.rc_context({"axes.prop_cycle": plt.cycler(color=["red", "lime", "blue"])}):
        ax = sd.plot.survival(three)
    assert [line.get_color() for line in ax.lines] == ["red", "lime", "blue"]
    assert sd.plot.survival(three).lines[0].get_color() == "#0072B2"


def test_titles_name_system_and_radius() -> None:
    """Kind: a title that is the same for two radii."""
    for rho in (0.1, 0.3):
        title = sd.plot.phase_portrait(sd.Flow(SADDLE, sd.SAM(rho)), resolution=20, legend=False).get_title()
        assert title == rf"SAM flow on saddle, $\rho = {rho:g}$"
    assert title_of(sd.Map(SADDLE, sd.UnifiedSAM(0.1, 0.5), lr=0.1)).count("$") == 4
    assert "on a schedule" in title_of(sd.Map(SADDLE, sd.SAM(sd.schedules.PowerDecay(0.1)), lr=0.1))


def test_curves_are_labelled_by_what_differs(three: list[sd.escape.ExitTimes]) -> None:
    """Kind: curves labelled by their means alone. Right: the rule where the rules differ, the region else."""
    texts = [text.get_text() for text in sd.plot.survival(three).get_legend().get_texts()]
    assert [text.split(":")[0] for text in texts] == ["GD()", "USAM(rho=0.1)", "USAM(rho=0.3)"]
    two = [text.get_text() for text in sd.plot.survival(three[1:]).get_legend().get_texts()]
    assert [text.split(":")[0] for text in two] == ["rho=0.1", "rho=0.3"]
    balls = [exits(sd.GD(), radius) for radius in (0.3, 0.5)]
    named = [text.get_text() for text in sd.plot.survival(balls).get_legend().get_texts()]
    assert ["0.3" in text.split(":")[0] for text in named] == [True, False]
    assert labels_by_difference(["same", "same"]) == ["same", "same"]


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_panels_share_a_legend_and_keep_their_size(layout: str | None) -> None:
    """Kind: legends that cover the field or squeeze the axes. Right: one legend."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout=layout)
    for ax, rho in zip(axes, (0.1, 0.3, 0.6), strict=True):
        sd.plot.phase_portrait(sd.Flow(SADDLE, sd.USAM(rho)), ax=ax, resolution=20)
    figure.canvas.draw()
    (box,) = figure.legends
    assert all(ax.get_legend() is None for ax in axes)
    assert box.get_window_extent().y0 >= 0
    for ax in axes:
        assert overlap(ax.get_window_extent(), box.get_window_extent()) == 0
        assert ax.get_window_extent().width > 150
    texts = [text.get_text() for text in box.get_texts()]
    assert len(set(texts)) == len(texts)


def test_a_manifold_keeps_the_legend_of_the_portrait() -> None:
    """Kind: a legend that is replaced."""
    flow = sd.Flow(sd.landscapes.coupled_double_well(), sd.GD())
    ax = sd.plot.phase_portrait(flow, resolution=20, separatrices=False)
    before = {text.get_text() for text in ax.get_legend().get_texts()}
    sd.plot.manifolds([sd.manifold(flow, [0.0, 0.0])], ax)
    assert before | {"unstable manifold"} <= {text.get_text() for text in ax.get_legend().get_texts()}


def test_numbers_of_a_basin_graph_lie_beside_each_other() -> None:
    """Kind: labels that lie on each other. Two passes a tenth apart between the same nodes."""
    import networkx as nx

    graph = nx.Graph()
    for k, x in ((1, -1.0), (2, 1.0), (3, 1.2)):
        graph.add_node(k, position=np.array([x, 0.1 * k]), name=f"m{k}", fraction=1 / 3)
    for a, b in ((1, 2), (1, 3), (2, 3)):
        middle = (graph.nodes[a]["position"] + graph.nodes[b]["position"]) / 2
        barrier = {a: 1.2345, b: 2.3456}
        graph.add_edge(a, b, position=middle, kind="saddle", barrier=barrier, distance=barrier)
    ax = sd.plot.basin_graph(graph)
    ax.figure.canvas.draw()
    numbers = [text for text in ax.texts if text.get_gid() != "number of a node"]
    boxes = [text.get_window_extent() for text in numbers]
    assert len(boxes) == 6
    assert max(overlap(a, b) for a, b in itertools.combinations(boxes, 2)) < 1.0


def test_attracting_morse_sets_are_not_hidden_by_artefacts() -> None:
    """Kind: one object drawn over another. Of 25 sets one attracts, and it has a number, an own colour and a
    place above the grey ones; with three numbers allowed it is the first of them.
    """

    def corner(w: Any) -> Any:
        return w / (2 - w)  # attracts to 0 from below 1 in each coordinate, 1 repels

    graph = sd.morse_graph(
        sd.Map.from_function(corner, 2, box=[(-0.31, 1.3), (-0.31, 1.3)]), resolution=32, image="padded"
    )
    attracting = [str(node) for node, kind in graph.kind.items() if kind == "attracting"]
    assert len(graph) > 3 > len(attracting) > 0
    ax = graph.plot()
    ax.clear()
    sd.plot.morse_graph(graph, ax, largest=3)
    assert set(attracting) <= {text.get_text() for text in ax.texts}
    assert len([text for text in ax.texts if text.get_text().isdigit()]) == 3


def test_every_interval_of_radii_is_seen() -> None:
    """Kind: one object drawn over another. Right: four bars at four places where their radii overlap."""
    found = sd.hallucination_intervals(sd.landscapes.two_gaussian_well())
    ax = found.plot()
    bars = [line.get_xydata() for line in ax.lines]
    assert len(bars) == len(found)
    for a, b in itertools.combinations(bars, 2):
        apart = a[0, 1] != b[0, 1]
        assert apart or min(a[1, 0], b[1, 0]) <= max(a[0, 0], b[0, 0])


def test_paths_of_a_flow_are_smooth_where_fast_and_end_at_rest() -> None:
    """Kind: a path stored at equal times. Right: short steps, the end at the minimum."""
    stiff = sd.Landscape(
        lambda w: 25 * w[0] ** 2 + 0.05 * w[1] ** 2, dim=2, box=[(-1, 1), (-1, 1)], name="stiff"
    )
    ax = sd.plot.phase_portrait(
        sd.Flow(stiff, sd.GD()), trajectories=[[0.9, 0.9]], resolution=20, fixed_points=False, legend=False
    )
    (line,) = [line for line in ax.lines if line.get_gid() == "trajectory"]
    path = line.get_xydata()
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 0.1
    assert np.linalg.norm(path[-1]) < 0.02


def test_an_attractor_has_one_colour_in_the_panels_of_a_figure() -> None:
    """Kind: one attractor in two colours. The numbers of the second result are swapped by its start."""
    first = sd.basins(sd.Map(WELL, sd.GD(), lr=0.1), [(-2, 1.9)], resolution=40, n_starts=16)
    second = sd.basins(sd.Map(WELL, sd.GD(), lr=0.1), [(-1.9, 2)], resolution=40, n_starts=16, seed=5)
    _, axes = plt.subplots(2, 1)
    colors = []
    for ax, found in zip(axes, (first, second), strict=True):
        picture = sd.plot.basins(found, ax, legend=False).images[0].get_array()
        colors.append((picture[0, 2], picture[0, -3]))
    np.testing.assert_allclose(colors[0], colors[1])
    left = [min(r.attractors, key=lambda k, r=r: r.attractors[k].position[0]) for r in (first, second)]
    ids = {left[1]: left[0], **{k: 9 for k in second.attractors if k != left[1]}}
    again = sd.plot.basins(second, ids=ids, legend=False).images[0].get_array()
    np.testing.assert_allclose(again[0, 2], colors[0][0])


def test_ticks_of_a_narrow_logarithmic_axis_are_plain() -> None:
    """Kind: ticks such as 2.4 x 10^0."""
    from samdyn.plot.appearance.style import log_ticks

    _, ax = plt.subplots()
    ax.set(yscale="log", ylim=(2.2, 3.1))
    log_ticks(ax.yaxis)
    ax.figure.canvas.draw()
    shown = [text.get_text() for text in ax.get_yticklabels() if text.get_text()]
    assert len(shown) >= 3
    assert all(float(text) for text in shown)

"""Morse graphs against published box counts, and against what intervals must guarantee."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.morse.continuation import match_sets
from samdyn.morse.partition import Level, Members, meeting


def leslie(w: torch.Tensor) -> torch.Tensor:
    return torch.stack([(19.6 * w[0] + 23.68 * w[1]) * torch.exp(-0.1 * (w[0] + w[1])), 0.7 * w[0]])


def mobius(w: torch.Tensor) -> torch.Tensor:
    return w / (2 - w)


LESLIE = sd.Map.from_function(leslie, dim=2, box=[(-0.001, 90), (-0.001, 70)], name="Leslie")


def product_map(dim: int) -> sd.Map:
    return sd.Map.from_function(mobius, dim=dim, box=[(0, 1.2)] * dim)


def sizes(graph: sd.morse.MorseGraph) -> list[int]:
    return sorted(len(boxes) for boxes in graph.sets.values())


@pytest.mark.parametrize(("dim", "resolution", "reach", "reduced"), [(2, 64, 119, 40), (3, 32, 1603, 300)])
def test_grid_of_fixed_points(dim: int, resolution: int, reach: int, reduced: int) -> None:
    """x / (2 - x) in each coordinate: five recurrent boxes on a line (CMGDB 1.5.2 has the same counts)."""
    graph = sd.morse_graph(product_map(dim), resolution=resolution, image="corners")
    assert sizes(graph) == [1] * 5**dim
    assert graph.reachability.number_of_edges() == reach
    assert graph.graph.number_of_edges() == reduced


def test_artefacts_are_discarded() -> None:
    """Of the 25 sets four hold fixed points, at the corners of the unit square."""
    graph = sd.morse_graph(product_map(2), resolution=64, image="corners", discard=4)
    assert sizes(graph) == [1] * 4
    assert graph.n_discarded == 21
    ends = {tuple(np.round(graph.graph.nodes[k]["center"]).astype(int)) for k in graph.sets}
    assert ends == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert graph.graph.number_of_edges() == 4


@pytest.mark.parametrize(("resolution", "large"), [(64, 1128), (128, 3542)])
def test_leslie_on_uniform_grids(resolution: int, large: int) -> None:
    graph = sd.morse_graph(LESLIE, resolution=resolution, image="padded")
    assert sizes(graph) == [1, large]
    assert list(graph.graph.edges) == [(1, 0)]


def test_leslie_adaptive() -> None:
    """20 bisections, small sets followed through 24: four sets with padded images.

    CMGDB reports six reachable pairs, since it lets parts of sets inherit what the whole reaches; the graph
    on the uniform grid has five, as here.
    """
    padded = sd.morse_graph(LESLIE, resolution=1024, image="padded", discard=4)
    assert sizes(padded) == [1, 427, 1261, 64417]
    assert padded.graph.number_of_edges() == 3
    assert padded.reachability.number_of_edges() == 5
    interval = sd.morse_graph(LESLIE, resolution=1024, discard=4)
    assert len(interval) == 4
    assert interval.rigorous
    assert not padded.rigorous
    assert 45372 in sizes(sd.morse_graph(LESLIE, resolution=1024, image="corners", discard=4))


def test_adaptive_and_uniform_agree() -> None:
    """With intervals the sets are the same, and what reaches what is at most coarser."""
    uniform = sd.morse_graph(LESLIE, resolution=256, adaptive=False)
    adaptive = sd.morse_graph(LESLIE, resolution=256, adaptive=True)
    assert adaptive.n_images < uniform.n_images / 3
    one, other = (sorted(boxes.tolist() for boxes in graph.sets.values()) for graph in (uniform, adaptive))
    assert one == other
    position = {tuple(map(float, uniform.graph.nodes[k]["center"])): k for k in uniform.sets}
    name = {k: position[tuple(map(float, adaptive.graph.nodes[k]["center"]))] for k in adaptive.sets}
    found = {(name[i], name[j]) for i, j in adaptive.reachability.edges}
    assert set(uniform.reachability.edges) <= found


def test_orbits_follow_the_graph() -> None:
    """Starts in a region of attraction end in its set; no orbit leaves the box from there."""
    graph = sd.morse_graph(LESLIE, resolution=1024, discard=4)
    rng = np.random.default_rng(1)
    for node in (k for k, kind in graph.kind.items() if kind == "attracting"):
        boxes = graph.region_of_attraction(node)
        chosen = boxes[rng.integers(len(boxes), size=500)]
        x = rng.uniform(chosen[..., 0], chosen[..., 1])
        for _ in range(500):
            x = LESLIE(x)
            assert (x >= graph.box[:, 0]).all()
            assert (x <= graph.box[:, 1]).all()
        inside = graph.sets[node]
        hit = [((inside[..., 0] <= p) & (p <= inside[..., 1])).all(axis=1).any() for p in x[:100]]
        assert all(hit)


def test_inner_basins_hold_without_exception() -> None:
    """Points of an inner basin end in its set; around another set that leads there only, none is promised."""
    graph = sd.morse_graph(LESLIE, resolution=256)
    node = next(k for k, kind in graph.kind.items() if kind == "attracting")
    inner, region = graph.inner_basin(node), graph.region_of_attraction(node)
    own, others = graph.sets[node], [graph.sets[k] for k in graph.sets if k != node]
    assert not graph.stays_inside  # below zero the origin repels
    assert len(own) < len(inner) < len(region)
    as_rows = [set(map(tuple, boxes[..., 0].tolist())) for boxes in (inner, region, own)]
    assert as_rows[2] <= as_rows[0] <= as_rows[1]
    for boxes in others:  # the other sets lead to the attractor, and hold fixed points of their own
        assert not set(map(tuple, boxes[..., 0].tolist())) & as_rows[0]
    x = np.random.default_rng(3).uniform(inner[..., 0], inner[..., 1])
    for _ in range(300):
        x = LESLIE(x)
    cells = np.floor((x - graph.box[:, 0]) / (graph.box[:, 1] - graph.box[:, 0]) * 256)
    known = np.rint((own[..., 0] - graph.box[:, 0]) / (graph.box[:, 1] - graph.box[:, 0]) * 256)
    assert set(map(tuple, cells.tolist())) <= set(map(tuple, known.tolist()))


def test_two_attractors_share_no_region() -> None:
    """x -> x - lr (x^3 - x): the wells' regions are the half lines up to the boxes of the maximum."""
    step = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    graph = sd.morse_graph(step, [(-1.22, 1.2)], resolution=100, iterates=20)
    left, right = (graph.region_of_attraction(k)[:, 0] for k in (0, 1))
    maximum = graph.sets[2][:, 0]
    # beside the maximum's boxes are those whose images still meet them
    assert left.max() == pytest.approx(maximum.min(), abs=0.03)
    assert right.min() == pytest.approx(maximum.max(), abs=0.03)
    assert graph.inner_basin(0).shape == graph.region_of_attraction(0).shape
    assert graph.stays_inside


def test_too_many_sets_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samdyn.morse.order.MOST_SETS", 10)
    step = sd.Map(sd.landscapes.double_well(), sd.USAM(1.5), lr=0.1)
    with pytest.raises(ValueError, match=r"recurrent sets of boxes.*more than 10.*iterates="):
        sd.morse_graph(step, [(-1.52, 1.5)], resolution=300)


def test_trapping_maximum_under_sam() -> None:
    """Double well: the maximum attracts from within 2 rho, and the proof is by intervals."""
    rho = 0.3
    step = sd.Map(sd.landscapes.double_well(), sd.SAM(rho), lr=0.01)
    graph = sd.morse_graph(step, [(-1.6, 1.6)], resolution=6400)
    middle = next(
        k for k, c in graph.graph.nodes(data="center") if abs(c[0]) < 0.02 and graph.kind[k] == "attracting"
    )
    low, high = graph.region_of_attraction(middle)[:, 0].T
    assert -rho <= low.min() < -0.9 * rho + 0.1
    assert 0 < high.max() <= rho
    assert graph.rigorous
    assert len([k for k in graph.kind.values() if k == "attracting"]) == 3


def test_flow_by_its_time_map() -> None:
    flow = sd.Flow(sd.landscapes.double_well(), sd.GD())
    with pytest.warns(UserWarning, match="padded"):
        graph = sd.morse_graph(flow, [(-2.0, 2.1)], resolution=64, duration=2.0)
    attracting = [graph.graph.nodes[k]["center"][0] for k, kind in graph.kind.items() if kind == "attracting"]
    assert sorted(np.round(attracting)) == [-1, 1]
    assert graph.image == "padded"


def test_map_that_cannot_be_traced() -> None:
    def halved(w: torch.Tensor) -> torch.Tensor:
        return 0.5 * torch.sort(w).values

    with pytest.warns(UserWarning, match="intervals"):
        graph = sd.morse_graph(sd.Map.from_function(halved, dim=2), [(-1.0, 1.1)] * 2, resolution=16)
    assert graph.image == "padded"


def test_iterates_remove_artefacts_of_small_steps() -> None:
    step = sd.Map(sd.landscapes.double_well(), sd.USAM(1.5), lr=0.1)
    once = sd.morse_graph(step, [(-1.52, 1.5)], resolution=300)
    often = sd.morse_graph(step, [(-1.52, 1.5)], resolution=300, iterates=20)
    assert len(often) < 10 < 50 < len(once)
    attracting = sorted(
        often.graph.nodes[k]["center"][0] for k, kind in often.kind.items() if kind == "attracting"
    )
    assert attracting == pytest.approx([-1, 0, 1], abs=0.01)


def test_along_a_parameter() -> None:
    """The maximum of the double well becomes an attractor of USAM at rho = 1."""
    step = sd.Map(sd.landscapes.double_well(), sd.USAM(0.5), lr=0.1)
    over = sd.morse_continuation(
        step, [(-1.52, 1.5)], parameters={"rho": [0.5, 0.8, 1.3]}, resolution=300, iterates=20
    )
    counts = [sum(kind == "attracting" for kind in graph.kind.values()) for graph in over.graphs]
    assert counts == [2, 2, 3]
    assert over.changes()[-1][:2] == (0.8, 1.3)
    wells = [
        {names[k] for k in graph.sets if abs(abs(graph.graph.nodes[k]["center"][0]) - 1) < 0.02}
        for graph, names in zip(over.graphs, over.names, strict=True)
    ]
    assert wells[0] <= wells[1] | wells[0]
    assert len(wells[0] & wells[2]) == 2  # the minima keep their names
    assert match_sets(over.graphs[:1]) == ({k: k for k in over.graphs[0].sets},)
    assert "rho" in repr(over)


def test_blocks_of_closed_boxes() -> None:
    level = Level(np.array([[0.0, 1.0], [0.0, 2.0]]), (4, 4))
    first, last, outside = level.blocks(
        np.array([[0.3, 0.6], [0.25, 0.5], [-1.0, 0.1], [1.5, 0.1], [np.nan, 0.0]]),
        np.array([[0.4, 0.9], [0.5, 0.5], [0.1, 0.2], [1.6, 0.2], [1.0, 1.0]]),
    )
    assert first[:3].tolist() == [[1, 1], [0, 0], [0, 0]]
    assert last[:3].tolist() == [[1, 1], [2, 1], [0, 0]]  # what touches a face meets both sides
    assert (last[3] < first[3]).any()
    assert outside.tolist() == [False, False, True, True, True]
    assert first[4].tolist() == [0, 0]
    assert last[4].tolist() == [3, 2]
    wide = Members(level, np.array([0, 5, 15]))
    listed = list(meeting(level, first, last, wide))
    assert np.concatenate([counts for _, counts, _ in listed]).tolist() == [1, 2, 1, 0, 2]
    assert np.concatenate([places for _, _, places in listed]).tolist() == [1, 0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": "convex"}, "image must be one of"),
        ({"resolution": 0}, "resolution"),
        ({"resolution": (4, 4, 4)}, "resolution"),
        ({"resolution": 10**6, "adaptive": False}, "fit"),
        ({"resolution": 1001, "adaptive": True}, "divisible"),
        ({"box": [(0, 0), (0, 1)]}, "box"),
        ({"duration": 1.0}, "duration"),
        ({"discard": -1}, "discard"),
        ({"iterates": 0}, "iterates"),
        ({"adaptive": "yes"}, "adaptive must be"),
    ],
    ids=[
        "image",
        "zero",
        "length",
        "memory",
        "odd",
        "flat box",
        "duration",
        "discard",
        "iterates",
        "adaptive",
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        sd.morse_graph(LESLIE, **arguments)  # type: ignore[arg-type]


def test_bad_systems() -> None:
    loss = sd.landscapes.double_well()
    with pytest.raises(ValueError, match="noise"):
        sd.morse_graph(sd.Map(loss, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.0)))
    with pytest.raises(TypeError, match="Map or a Flow"):
        sd.morse_graph(loss)  # type: ignore[arg-type]
    undefined = sd.Map.from_function(lambda w: (-1 - w**2).sqrt(), 1, box=[(-1, 1)])
    with pytest.raises(ValueError, match="finite in the box"):
        sd.morse_graph(undefined, resolution=16)
    with pytest.raises(ValueError, match="constant coefficients"):
        sd.morse_graph(sd.Map(loss, sd.SAM(sd.schedules.PowerDecay(0.1)), lr=0.1))
    with pytest.raises(ValueError, match="box must be given"):
        sd.morse_graph(sd.Map(loss, sd.GD(), lr=0.1, momentum=0.5))
    with pytest.raises(ValueError, match="duration"):
        sd.morse_graph(sd.Flow(loss, sd.GD()))
    graph = sd.morse_graph(sd.Map(loss, sd.GD(), lr=0.1), [(-1.52, 1.5)], resolution=64)
    for ask in (graph.region_of_attraction, graph.inner_basin):
        for node in (99, True, "a"):
            with pytest.raises(ValueError, match="node must be an attracting set"):
                ask(node)


def test_everything_leaves() -> None:
    graph = sd.morse_graph(sd.Map.from_function(lambda w: w + 10.0, dim=1), [(0.0, 1.0)], resolution=16)
    assert len(graph) == 0
    assert "0 sets" in repr(graph)


def test_pictures() -> None:
    graph = sd.morse_graph(LESLIE, resolution=128)
    ax = graph.plot()
    assert ax.get_xlim() == pytest.approx((-0.001, 90))
    assert "Morse sets" in ax.get_title()
    assert "<table>" in graph._repr_html_()
    cube = sd.morse_graph(product_map(3), resolution=16, image="corners")
    assert cube.plot(coordinates=(0, 2)).get_ylabel() == "$x_{2}$"
    with pytest.raises(ValueError, match="coordinates"):
        cube.plot(coordinates=(1, 1))
    with pytest.raises(TypeError, match="ax must be"):
        graph.plot(ax=3)


def test_names_go_by_shared_boxes() -> None:
    step = sd.Map(sd.landscapes.double_well(), sd.USAM(0.5), lr=0.1)
    graphs = [
        sd.morse_graph(step.with_parameters(rho=r), [(-1.52, 1.5)], 300, iterates=20) for r in (0.5, 0.6)
    ]
    one, other = match_sets(graphs)
    for node, name in other.items():
        partner = next((k for k, n in one.items() if n == name), None)
        lower = [
            set(g.sets[k][:, 0, 0].tolist())
            for g, k in ((graphs[1], node), (graphs[0], partner))
            if k is not None
        ]
        assert partner is None or lower[0] & lower[1]
    # all of the smaller set: only equal or nested ones keep their name
    strict = match_sets(graphs, 1.0)
    for node, name in strict[1].items():
        if name in strict[0].values():
            partner = next(k for k, n in strict[0].items() if n == name)
            a, b = (set(g.sets[k][:, 0, 0].tolist()) for g, k in ((graphs[1], node), (graphs[0], partner)))
            assert a <= b or b <= a


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"parameters": {"sigma": [0.1]}}, ValueError, "parameters must name one of"),
        ({"parameters": 3}, TypeError, "parameters must be a dict"),
        ({"parameters": {"rho": []}}, ValueError, "parameters must hold"),
        ({"parameters": {"rho": [0.1, np.nan]}}, ValueError, "parameters must hold"),
        ({"parameters": {"rho": "small"}}, TypeError, "parameters must hold"),
        ({"threshold": 2}, ValueError, "threshold must be"),
        ({"system": None}, TypeError, "system must be"),
        ({"parameters": {"rho": [0.1, -1.0]}}, ValueError, "rho must be"),
    ],
)
def test_bad_continuations(change: dict[str, object], error: type[Exception], message: str) -> None:
    step = sd.Map(sd.landscapes.double_well(), sd.USAM(0.5), lr=0.1)
    arguments: dict[str, object] = {"system": step, "parameters": {"rho": [0.1]}}
    with pytest.raises(error, match=message):
        sd.morse_continuation(**(arguments | change))  # type: ignore[arg-type]


def test_bad_graphs_to_match() -> None:
    step = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    graphs = [sd.morse_graph(step, [(-1.52, 1.5)], n) for n in (32, 64)]
    with pytest.raises(ValueError, match="graphs must be on the same boxes"):
        match_sets(graphs)
    with pytest.raises(TypeError, match="graphs must be"):
        match_sets([1])  # type: ignore[list-item]


def test_legend_says_what_tints_mean() -> None:
    step = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    ax = sd.morse_graph(step, [(-1.22, 1.2)], resolution=100, iterates=20).plot()
    entries = [t.get_text() for t in ax.get_legend().get_texts()]
    assert "leads to this set and no other" in entries
    assert "several, or may leave the box" in entries
    assert sum("attracting" in entry for entry in entries if entry[0].isdigit()) == 2

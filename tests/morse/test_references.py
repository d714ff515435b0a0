"""Morse graphs against published ones: counts of boxes, sets and edges, and CMGDB itself, set by set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import samdyn as sd


def leslie(w: torch.Tensor) -> torch.Tensor:
    return torch.stack([(19.6 * w[0] + 23.68 * w[1]) * torch.exp(-0.1 * (w[0] + w[1])), 0.7 * w[0]])


def mobius(w: torch.Tensor) -> torch.Tensor:
    return w / (2 - w)


def henon_delay(w: torch.Tensor) -> torch.Tensor:
    return torch.stack([1 - 1.4 * w[0] ** 2 + 0.3 * w[1], w[0], w[1]])


LESLIE = sd.Map.from_function(leslie, dim=2, box=[(-0.001, 90), (-0.001, 70)], name="Leslie")
HENON = sd.Map.from_function(henon_delay, dim=3, box=[(-1.5, 1.5)] * 3)


def product_map(dim: int) -> sd.Map:
    return sd.Map.from_function(mobius, dim=dim, box=[(0, 1.2)] * dim)


def sizes(graph: sd.morse.MorseGraph) -> list[int]:
    return sorted(len(boxes) for boxes in graph.sets.values())


# ---- published counts


def test_three_dimensions() -> None:
    """A Henon map with a delay: 12 bisections, 15 for small sets."""
    henon = sd.morse_graph(HENON, resolution=16, image="padded", discard=3)
    assert sizes(henon) == [2617]
    assert henon.reachability.number_of_edges() == 0


def test_adaptive_grid_of_fixed_points() -> None:
    """Six bisections and ten for small sets: the four fixed points."""
    graph = sd.morse_graph(product_map(2), resolution=8, image="corners", discard=4)
    assert sizes(graph) == [1] * 4
    assert (graph.reachability.number_of_edges(), graph.graph.number_of_edges()) == (5, 4)


def pairs(graph: sd.morse.MorseGraph) -> np.ndarray:
    """Whether set i leads to set j, as a matrix."""
    result = np.zeros((len(graph), len(graph)), dtype=bool)
    result[tuple(np.array(graph.reachability.edges).T)] = True
    return result


def test_four_dimensions() -> None:
    """16 bisections from 14, 18 for small sets: CMGDB has 225 sets and 7623 pairs.

    It lets sets of level 16 inherit what the sets of levels 14 and 15 reach that they are parts of: its pairs
    follow from the graphs of the three levels. Without that there are 4959.
    """
    fine = sd.morse_graph(product_map(4), resolution=16, image="corners", discard=2)
    assert sizes(fine) == [1] * 225
    own = pairs(fine)
    middles = np.array([fine.graph.nodes[k]["center"] for k in fine.sets])
    inherited, open_ = own.copy(), np.ones_like(own)
    for shape in ((16, 16, 8, 8), (16, 16, 16, 8)):
        coarse = sd.morse_graph(product_map(4), resolution=shape, image="corners")
        parent = np.empty(len(fine), dtype=int)
        for node, boxes in coarse.sets.items():
            inside = (boxes[:, None, :, 0] < middles) & (middles < boxes[:, None, :, 1])
            parent[inside.all(axis=2).any(axis=0)] = node
        apart = open_ & (parent[:, None] != parent)
        inherited[apart] = pairs(coarse)[parent[:, None], parent][apart]
        open_ &= ~apart
    assert int(inherited.sum()) == 7623
    assert int(own.sum()) == 4959
    assert (inherited | ~own).all()


def test_resolution_of_two_to_the_24() -> None:
    """Only a fourteenth of the 2^24 boxes is looked at; the sets nest in those of 2^20."""
    coarse = sd.morse_graph(LESLIE, resolution=1024, discard=4)
    fine = sd.morse_graph(LESLIE, resolution=4096, discard=4)
    assert fine.resolution == (4096, 4096)
    assert fine.n_images < 4096**2 / 14
    assert len(fine) == len(coarse) == 4
    assert sorted(fine.graph.edges) == sorted(coarse.graph.edges)
    for node, boxes in fine.sets.items():
        assert fine.volume(boxes) < coarse.volume(coarse.sets[node])
        middles, ends = boxes.mean(axis=2), coarse.sets[node]
        cells = np.floor((middles - coarse.box[:, 0]) / (coarse.box[:, 1] - coarse.box[:, 0]) * 1024)
        known = np.rint((ends[..., 0] - coarse.box[:, 0]) / (coarse.box[:, 1] - coarse.box[:, 0]) * 1024)
        assert set(map(tuple, cells.tolist())) <= set(map(tuple, known.tolist()))


# ---- CMGDB beside it


def as_sets(
    rectangles: list[np.ndarray], system: sd.Map, resolution: int
) -> list[frozenset[tuple[int, ...]]]:
    """Sets of boxes (n, dim, 2) as sets of integer cells."""
    box = np.asarray(system.box)
    side = (box[:, 1] - box[:, 0]) / resolution
    cells = [np.floor((r.mean(axis=2) - box[:, 0]) / side).astype(int) for r in rectangles]
    return [frozenset(map(tuple, c.tolist())) for c in cells]


@pytest.mark.parametrize(
    ("system", "step", "resolution", "image"),
    [
        (LESLIE, leslie, 64, "padded"),
        (LESLIE, leslie, 128, "padded"),
        (product_map(2), mobius, 64, "corners"),
        (product_map(3), mobius, 32, "corners"),
    ],
    ids=["Leslie 64", "Leslie 128", "2-D product", "3-D product"],
)
def test_same_graph_as_cmgdb(
    system: sd.Map, step: Callable[[torch.Tensor], torch.Tensor], resolution: int, image: str
) -> None:
    """On uniform grids: the same sets, the same pairs, the same edges."""
    CMGDB = pytest.importorskip("CMGDB")
    box = np.asarray(system.box)
    depth = len(box) * int(np.log2(resolution))

    def rectangle(r: list[float]) -> list[float]:
        return list(CMGDB.BoxMap(lambda x: system(np.array(x)).tolist(), r, padding=image == "padded"))

    def batch(r: np.ndarray) -> np.ndarray:
        return np.asarray(CMGDB.BoxMapBatch(system, r, padding=image == "padded"))

    model = CMGDB.Model(depth, depth, depth, 10_000, box[:, 0].tolist(), box[:, 1].tolist(), rectangle)
    model.set_batch_map(batch)
    theirs, _ = CMGDB.ComputeMorseGraph(model)
    boxes = [
        np.reshape(theirs.morse_set_boxes(v), (-1, 2, len(box))).transpose(0, 2, 1)
        for v in range(theirs.num_vertices())
    ]
    sets = as_sets(boxes, system, resolution)
    ours = sd.morse_graph(system, resolution=resolution, image=image)
    own = as_sets(list(ours.sets.values()), system, resolution)
    assert set(own) == set(sets)
    reached = {(sets[i], sets[j]) for i, j in theirs.edges_unreduced()}
    assert {(own[i], own[j]) for i, j in ours.reachability.edges} == reached
    assert {(own[i], own[j]) for i, j in ours.graph.edges} == {(sets[i], sets[j]) for i, j in theirs.edges()}

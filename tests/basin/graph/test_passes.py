"""Edges of a basin graph lead through saddles that lie between the two basins."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd


@pytest.mark.parametrize("seed", [0, 1])
def test_the_arms_of_a_saddle_end_in_the_two_attractors(seed: int) -> None:
    """Kind: a label before it is established: an edge went through a saddle beside its basins.

    Right: gradient descent in numpy from both sides of the saddle, along its unstable direction, ends in the
    two attractors that the edge joins.
    """
    rng = np.random.default_rng(seed)
    centres, heights = rng.uniform(-1.5, 1.5, (6, 2)), rng.uniform(0.5, 1.5, 6)
    c, h = torch.from_numpy(centres), torch.from_numpy(heights)
    loss = sd.Landscape(
        lambda w: -(h * torch.exp(-((w - c) ** 2).sum(1) / 0.4)).sum() + 0.05 * w @ w, 2, box=[(-2, 2)] * 2
    )
    found = sd.basins(sd.Map(loss, sd.GD(), lr=0.05), resolution=40, n_starts=64)
    graph = sd.basin_graph(found)
    assert graph.number_of_edges() >= 2
    for a, b, data in graph.edges(data=True):
        if data["kind"] != "saddle":
            continue
        place = np.asarray(data["position"])
        direction = np.linalg.eigh(loss.hessian(place))[1][:, 0]
        x = place + np.array([[1e-4], [-1e-4]]) * direction
        for _ in range(6000):
            away = x[:, None] - centres
            weight = heights * np.exp(-(away**2).sum(2) / 0.4) * 5.0
            x = x - 0.05 * ((weight[..., None] * away).sum(1) + 0.1 * x)
        reached = {
            min(found.attractors, key=lambda k, y=y: float(np.linalg.norm(found.attractors[k].position - y)))
            for y in x
        }
        assert reached == {a, b}

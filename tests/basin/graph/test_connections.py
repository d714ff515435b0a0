"""Basin graphs: the right saddles, barriers and actions; rates against the backward Kolmogorov equation."""

from __future__ import annotations

import importlib
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.basin.graph.markov_chain import dominant_tree, passage_times, stationary
from samdyn.escape.rare.action_field import ActionField
from samdyn.escape.rare.action_polygon import actions
from samdyn.escape.solver.domain import TooLongError

WELL = sd.landscapes.double_well()


def diffusion(loss: sd.Landscape, rule: sd.Rule, std: float) -> sd.Diffusion:
    return sd.Diffusion(loss, rule, lr=0.1, noise=sd.GaussianNoise(std=std))


def test_himmelblau_under_gradient_descent() -> None:
    """Four minima in a ring, joined by the four saddles; minima across the maximum are not joined."""
    found = sd.basins(sd.Flow(sd.landscapes.himmelblau(), sd.GD()), resolution=32)
    graph = sd.basin_graph(found, action=False)
    assert sorted(dict(graph.degree()).values()) == [2, 2, 2, 2]
    loss = sd.landscapes.himmelblau()
    saddles = np.array([p.x for p in loss.critical_points if p.kind == "saddle"])
    for a, b, data in graph.edges(data=True):
        assert data["kind"] == "saddle"
        assert np.linalg.norm(saddles - data["position"], axis=1).min() < 1e-6
        assert data["barrier"][a] == pytest.approx(loss.value(data["position"]))  # all minima are at zero
        assert data["distance"][b] == pytest.approx(
            np.linalg.norm(data["position"] - graph.nodes[b]["position"])
        )
    assert sum(float(f) for _, f in graph.nodes(data="fraction")) == pytest.approx(1, abs=0.01)


def test_sam_joins_through_hallucinated_points() -> None:
    """Between a well and the trapping maximum of the double well stands the point at distance rho."""
    found = sd.basins(sd.Map(WELL, sd.SAM(0.3), lr=0.01), [(-2, 2)], resolution=200)
    graph = sd.basin_graph(found, action=True)
    assert graph.number_of_edges() == 2
    for _, _, data in graph.edges(data=True):
        assert data["kind"] == "hallucinated"
        assert abs(data["position"][0]) == pytest.approx(0.3, abs=1e-9)
        assert all(value > 0 for value in data["action"].values())


@pytest.mark.slow
def test_himmelblau_under_sam() -> None:
    """At this learning rate pairs on a boundary hop about hallucinated points: the edge states are cycles.

    Every edge lies between the two basins that it joins; cells that touch by chance join nothing.
    """
    found = sd.basins(sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.5), lr=0.01), resolution=60)
    graph = sd.basin_graph(found, action=False)
    named = {k: data["name"] for k, data in graph.nodes(data=True)}
    kinds = {frozenset((named[a], named[b])): data["kind"] for a, b, data in graph.edges(data=True)}
    upper, left = "minimum (-2.805, 3.131)", "trapping saddle (-3.073, -0.08135)"
    assert kinds[frozenset((upper, left))] == "edge cycle"
    assert kinds[frozenset((upper, "trapping maximum (-0.2708, -0.923)"))] == "hallucinated"
    assert frozenset((left, "trapping maximum (-0.2708, -0.923)")) not in kinds
    rng = np.random.default_rng(0)
    for a, b, data in graph.edges(data=True):
        beside = data["position"] + 1e-4 * rng.standard_normal((40, 2))
        assert set(found.label_at(beside).tolist()) == {a, b}


def test_edge_cycle_and_a_system_without_a_loss() -> None:
    """x grows away from 0 to -1 or 1; on x = 0 the other coordinate hops between -1/sqrt(2) and 1/sqrt(2)."""

    def hop(w: torch.Tensor) -> torch.Tensor:
        return torch.stack([w[0] + 0.5 * (w[0] - w[0] ** 3), -1.5 * w[1] + w[1] ** 3])

    found = sd.basins(sd.Map.from_function(hop, 2), [(-1.4, 1.4), (-0.9, 0.9)], resolution=20)
    left, right = (found.label_at([x, 0.1]).item() for x in (-1.0, 1.0))
    edge = sd.basin.edge_state(found, left, right)
    assert edge.converged
    assert edge.labels == (left, right)
    assert np.abs(edge.points[:, 0]).max() < 1e-6
    assert np.sort(edge.points[:, 1]) == pytest.approx([-(0.5**0.5), 0.5**0.5], abs=1e-6)
    graph = sd.basin_graph(found, action=False)
    (data,) = (d for _, _, d in graph.edges(data=True))
    assert data["kind"] == "edge cycle"
    assert np.isnan(data["loss"])
    # at rest on the boundary in the end: one saddle
    still = sd.Map.from_function(lambda w: hop(w) * torch.tensor([1.0, 0.5]), 2)
    calm = sd.basins(still, [(-1.4, 1.4), (-0.9, 0.9)], resolution=20)
    (data,) = (d for _, _, d in sd.basin_graph(calm, action=False).edges(data=True))
    assert data["position"] == pytest.approx([0, 0], abs=1e-6)
    assert len(sd.basin.edge_state(calm, 1, 2).points) == 1


def test_least_action_of_a_gradient_is_twice_the_barrier() -> None:
    path = sd.minimum_action(diffusion(WELL, sd.GD(), std=1.0), [-1.0], [0.0])
    assert path.action == pytest.approx(2 * 0.25 / 0.1, rel=1e-3)
    assert path.converged
    assert abs(path.action - 5.0) < 3 * path.error + 1e-3
    downhill = sd.minimum_action(diffusion(WELL, sd.GD(), std=1.0), [0.0], [-1.0])
    assert downhill.action < 0.02 * path.action


@pytest.mark.parametrize(("epsilon", "action"), [(0.1, 0.1798), (1.0, 0.1789)])
def test_least_action_without_a_potential(epsilon: float, action: float) -> None:
    """FitzHugh-Nagumo, node to origin (the value of geometric minimum action codes)."""

    def field(w: torch.Tensor, e: float) -> torch.Tensor:
        return torch.stack([(w[0] - w[0] ** 3 - w[1]) / e, w[0] - 3 * w[1]])

    flow = sd.Flow.from_function(field, dim=2, parameters={"e": epsilon})
    y = np.sqrt(2 / 27)
    path = sd.minimum_action(flow, [-3 * y, -y], [0.0, 0.0])
    assert path.action == pytest.approx(action, abs=1e-4)


def test_action_with_noise_that_depends_on_the_point() -> None:
    """One dimension: the exponent is the integral of 2 |b| / a, whatever a is."""
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.CurvatureNoise(batch_size=1))
    # away from x = 1/sqrt(3), where the noise vanishes
    x = np.linspace(-1.0, -0.7, 20001)[:, None]
    rate = 2 * np.abs(sde.drift(x)[:, 0]) / sde.covariance(x)[:, 0, 0]
    exact = float(np.trapezoid(rate, x[:, 0]))
    # on a line every polygon from start to end is the path
    assert actions(ActionField(sde, 1.0), x[None, ::100])[0][0] == pytest.approx(exact, rel=1e-4)


def test_rates_of_the_double_well() -> None:
    """Symmetric: equal weights, and first-passage times of the solver between the cores."""
    sde = diffusion(WELL, sd.GD(), std=1.0)
    found = sd.basins(sde, [(-2, 2)], resolution=40, n_paths=2)
    rates = sd.rate_graph(sd.basin_graph(found, action=False), found, core=0.2)
    assert [rates.nodes[k]["stationary"] for k in rates] == pytest.approx([0.5, 0.5], abs=1e-9)
    far = sd.mean_exit_time(sde, sd.HalfSpace([1.0], 0.8))
    assert rates.nodes[1]["mean_exit_time"] == pytest.approx(float(far([-1.0])), rel=1e-6)
    assert rates.edges[1, 2]["rate"] == pytest.approx(1 / float(far([-1.0])), rel=1e-6)
    assert rates.graph["mean_first_passage_times"][1, 2] == pytest.approx(float(far([-1.0])), rel=1e-6)
    assert rates.graph["lumping_error"] < 1e-9  # of two attractors: the start is the middle


def test_passages_too_long_for_the_solver_are_those_of_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("samdyn.basin.graph.rates")  # the package has the function by that name
    original, calls = module.mean_exit_time, []

    def third_fails(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:  # after the mean exit times from two attractors, the passages to the first
            raise TooLongError
        return original(*arguments, **options)

    sde = diffusion(WELL, sd.GD(), std=1.0)
    found = sd.basins(sde, [(-2, 2)], resolution=40, n_paths=2)
    graph = sd.basin_graph(found, action=False)
    monkeypatch.setattr(module, "mean_exit_time", third_fails)
    rates = sd.rate_graph(graph, found, core=0.2)
    passages = rates.graph["mean_first_passage_times"]
    assert passages[2, 1] == pytest.approx(rates.nodes[2]["mean_exit_time"], rel=1e-12)
    assert passages[1, 2] == pytest.approx(passages[2, 1], rel=1e-6)
    assert rates.graph["lumping_error"] < 1e-9


def test_rates_by_sampling_agree_with_the_solver() -> None:
    sde = diffusion(WELL, sd.GD(), std=2.0)
    found = sd.basins(sde, [(-2, 2)], resolution=40, n_paths=2)
    graph = sd.basin_graph(found, action=False)
    solved = sd.rate_graph(graph, found, core=0.2)
    sampled = sd.rate_graph(graph, found, core=0.2, method="sampling", n_paths=300, t_max=500.0, dt=0.02)
    for k in solved:
        gap = sampled.nodes[k]["mean_exit_time"] - solved.nodes[k]["mean_exit_time"]
        # four standard errors, and the bias of the step inside the region
        assert abs(gap) < 4 * sampled.nodes[k]["standard_error"] + 0.01 * solved.nodes[k]["mean_exit_time"]


@pytest.mark.slow
def test_rates_of_three_wells() -> None:
    """Stationary weights against the density exp(-2 U / s^2) over the basins, passages against the solver.

    What the chain errs by falls with the cores: it starts from their middles.
    """
    loss = sd.landscapes.three_well()
    sde = diffusion(loss, sd.GD(), std=2.5)
    found = sd.basins(sde, resolution=40, n_paths=2)
    graph = sd.basin_graph(found, action=False)
    fine = sd.basins(sd.Flow(loss, sd.GD()), found.box, resolution=96)
    cells = fine.grid.points(np.arange(fine.labels.size))
    density = np.exp(-2 * loss.value(cells) / (0.1 * 2.5**2))
    name = {
        k: min(graph, key=lambda j: np.linalg.norm(graph.nodes[j]["position"] - a.position))
        for k, a in fine.attractors.items()
    }
    labels = fine.labels.ravel()
    weights = {name[k]: density[labels == k].sum() / density.sum() for k in fine.attractors}
    errors = []
    for core in (0.3, 0.15):
        rates = sd.rate_graph(graph, found, resolution=64, core=core)
        assert len(rates) == 3
        for k in rates:
            assert rates.nodes[k]["stationary"] == pytest.approx(weights[k], abs=5e-4)
        errors.append(rates.graph["lumping_error"])
        assert len(rates.graph["tree"]) == 2
    passages = rates.graph["mean_first_passage_times"]  # to the smaller cores, which are harder to solve for
    for j in rates:
        region = ~sd.Ball(rates.nodes[j]["position"], core)
        field = sd.mean_exit_time(sde, region, box=found.box, resolution=96)
        for i in set(rates) - {j}:
            # at another resolution of the solver
            assert passages[i, j] == pytest.approx(float(field(rates.nodes[i]["position"])), rel=1e-3)
    assert errors[0] < 0.04
    assert errors[1] < 0.4 * errors[0]


def test_chains_that_do_not_lead_everywhere() -> None:
    """Of a chain whose last state is never left towards the first, seen in too few paths."""
    tau = np.array([1.0, 2.0, 3.0])
    p = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]])
    times = passage_times(tau, p)
    assert stationary(p) == pytest.approx([0.25, 0.5, 0.25])
    # by hand: from 0 to 2 it takes 1 + 2 and, half of the times, all of it again
    assert times[0, 2] == pytest.approx(6)
    assert times[2, 0] == pytest.approx(10)
    assert times[0, 1] == 1
    stuck = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    times = passage_times(tau, stuck)
    assert np.isinf(times[1, 0])
    assert np.isinf(times[2, 0])
    assert times[0, 2] == 3
    graph = nx.DiGraph([(1, 2, {"rate": 1.0})])
    nx.set_node_attributes(graph, {1: 0.9, 2: 0.1}, "stationary")
    assert dominant_tree(graph) is None


def test_bad_arguments() -> None:
    found = sd.basins(sd.Flow(WELL, sd.GD()), [(-2, 2)], resolution=20)
    graph = sd.basin_graph(found, action=False)
    with pytest.raises(TypeError, match="Diffusion"):
        sd.rate_graph(graph, found)
    with pytest.raises(TypeError, match="Basins"):
        sd.basin_graph(graph)  # type: ignore[arg-type]
    noisy = sd.basins(diffusion(WELL, sd.GD(), std=1.0), [(-2, 2)], resolution=20, n_paths=2)
    ours = sd.basin_graph(noisy, action=False)
    with pytest.raises(ValueError, match="method"):
        sd.rate_graph(ours, noisy, method="guess")
    with pytest.raises(ValueError, match="t_max"):
        sd.rate_graph(ours, noisy, method="sampling")
    for core in (-1.0, 5.0):
        with pytest.raises(ValueError, match="core"):
            sd.rate_graph(ours, noisy, core=core)
    with pytest.raises(TypeError, match="basins must be a Basins"):
        sd.rate_graph(ours, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="graph must be the basin_graph"):
        sd.rate_graph(None, noisy)
    with pytest.raises(ValueError, match="resolution"):
        sd.rate_graph(ours, noisy, resolution=0)
    with pytest.raises(TypeError, match="options must be left out"):
        sd.rate_graph(ours, noisy, n_path=5)
    with pytest.raises(TypeError, match="action must be"):
        sd.basin_graph(noisy, action="yes")  # type: ignore[arg-type]
    undefined = sd.Landscape(lambda w: (-1 - w[0] ** 2).sqrt(), dim=1)
    with pytest.raises(ValueError, match="finite on the path"):
        sd.minimum_action(sd.Flow(undefined, sd.GD()), [-1.0], [0.0])
    with pytest.raises(ValueError, match="n_points"):
        sd.minimum_action(sd.Flow(WELL, sd.GD()), [-1.0], [0.0], n_points=2)
    with pytest.raises(TypeError, match="system"):
        sd.minimum_action(WELL, [-1.0], [0.0])  # type: ignore[arg-type]
    assert sd.minimum_action(sd.Flow(WELL, sd.GD()), [-1.0], [-1.0]).action == 0

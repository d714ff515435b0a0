"""Paths of least action and basin graphs: minima instead of saddles of the action, edges whose arms end
right.

The kinds of fault: an optimum that is only stationary and called converged; a label given before it is
established; a cost that nobody is told before.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.escape.rare.action_field import ActionField
from samdyn.escape.rare.action_polygon import actions, softest_bend, unevenness


def maier_stein(alpha: float) -> sd.Flow:
    return sd.Flow.from_function(
        lambda w: torch.stack([w[0] - w[0] ** 3 - alpha * w[0] * w[1] ** 2, -(1 + w[0] ** 2) * w[1]]),
        2,
        box=[(-1.5, 1.5), (-1, 1)],
    )


def ring(*slopes: float) -> sd.Flow:
    """Gradient descent on (|w|^2 - 1)^2 / 4 plus a slope across the first axis."""
    weights = torch.tensor([0.0, *slopes], dtype=torch.float64)
    dim = len(weights)
    loss = sd.Landscape(lambda w: (w @ w - 1) ** 2 / 4 + (weights * w**2).sum(), dim, box=[(-1.5, 1.5)] * dim)
    return sd.Flow(loss, sd.GD())


@pytest.mark.parametrize(("alpha", "action"), [(10.0, 0.340083), (1.0, 0.5)])
def test_the_straight_path_is_left_where_it_is_a_saddle_of_the_action(alpha: float, action: float) -> None:
    """Maier and Stein's field: beyond alpha = 4 the straight path costs 0.5, and a bowed one less."""
    path = sd.minimum_action(maier_stein(alpha), [-1, 0], [0, 0], n_points=51)
    assert path.action == pytest.approx(action, abs=2e-4)
    assert path.converged


@pytest.mark.parametrize(("slopes", "barrier"), [((0.1,), 0.09), ((0.1, 0.05), 0.0475)])
def test_over_the_saddle_and_not_over_the_maximum(slopes: tuple[float, ...], barrier: float) -> None:
    """From one side of a ring to the other it costs twice the rise to the saddle; straight, 0.5."""
    dim = len(slopes) + 1
    ends = np.eye(dim)[0]
    path = sd.minimum_action(ring(*slopes), -ends, ends, n_points=26)
    assert path.action == pytest.approx(2 * barrier, rel=0.01)
    assert path.converged


@pytest.mark.parametrize("angle", [1.5, 6.2])
def test_along_a_cycle_it_costs_nothing(angle: float) -> None:
    """The cycle of r' = r (1 - r^2), angle' = 1: forward along it the action is 0, and that has converged."""
    flow = sd.Flow.from_function(lambda w: w * (1 - w @ w) + torch.stack([-w[1], w[0]]), 2)
    path = sd.minimum_action(flow, [1, 0], [math.cos(angle), math.sin(angle)], n_points=51)
    assert path.action < 2e-4
    assert path.converged


def test_the_second_variation_has_the_sign_it_should() -> None:
    """Below zero on the straight path beyond the threshold alpha = 4, not below it."""
    line = np.stack([np.linspace(-1, 0, 26), np.zeros(26)], axis=1)
    assert softest_bend(ActionField(maier_stein(10.0), 1.0), line)[0] < -1e-3
    assert softest_bend(ActionField(maier_stein(1.0), 1.0), line)[0] > -1e-7


def test_derivatives_by_the_corners() -> None:
    """Of the action and of the unevenness of sides, against differences."""
    rng = np.random.default_rng(0)
    x = np.cumsum(0.2 * rng.standard_normal((2, 6, 2)), axis=1)
    field = ActionField(maier_stein(3.0), 1.0)
    for function in (lambda y: actions(field, y)[:2], unevenness):
        _, slope = function(x)
        v = rng.standard_normal(x.shape)
        high, low = (function(x + sign * 1e-5 * v)[0] for sign in (1, -1))
        assert (high - low) / 2e-5 == pytest.approx((slope * v).sum(axis=(1, 2)), rel=1e-5)


def test_actions_are_computed_only_when_asked_for() -> None:
    """They take most of the time of a graph: off by default."""
    found = sd.basins(sd.Flow(sd.landscapes.double_well(), sd.GD()), [(-2, 2)], resolution=40)
    ((_, _, data),) = sd.basin_graph(found).edges(data=True)
    assert "action" not in data
    ((_, _, data),) = sd.basin_graph(found, action=True).edges(data=True)
    assert data["action"][1] == pytest.approx(0.5, rel=1e-3)
    with pytest.raises(TypeError, match="progress must be True or False"):
        sd.basin_graph(found, progress="yes")  # type: ignore[arg-type]


@pytest.mark.slow
def test_edges_join_what_both_arms_end_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that is given too early does not make an edge: each arm is followed until it is beside its
    attractor. Here a third of the labels is wrong on purpose.
    """
    loss = sd.landscapes.three_well()
    found = sd.basins(sd.Map(loss, sd.GD(), lr=0.1), resolution=32)
    graph = sd.basin_graph(found)
    assert graph.number_of_edges() >= 2
    for a, b, data in graph.edges(data=True):
        _, vectors = np.linalg.eigh(loss.hessian(data["position"]))
        x = data["position"] + 1e-4 * np.array([[1.0], [-1.0]]) * vectors[:, 0]
        assert isinstance(found.system, sd.Map)
        x = sd.trajectory(found.system, x, n_steps=3000)[-1]
        ends = [
            min(found.attractors, key=lambda k: np.linalg.norm(found.attractors[k].position - y)) for y in x
        ]
        assert set(ends) == {a, b}
    one = next(iter(found.attractors))
    true = type(found).label_at

    def early(self: Any, x: Any) -> Any:
        labels = true(self, x)
        return np.where(np.arange(labels.size).reshape(labels.shape) % 3 == 0, one, labels)

    starts = np.array([found.attractors[k].position + 0.01 for k in found.attractors])
    right = true(found, starts)
    monkeypatch.setattr(type(found), "label_at", early)
    module = importlib.import_module("samdyn.basin.graph.connections")
    ends_found = module._ends(found, starts)
    wrong = early(found, starts) != right
    assert (ends_found[wrong] == 0).all()
    assert (ends_found[~wrong] == right[~wrong]).all()

"""Points at rest on kinks of the loss are listed, with what the flow or the map does there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd

ABS = sd.Landscape(lambda w: w[0].abs() + w[1] ** 2 / 2, 2, [(-2, 2)] * 2)


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.1), sd.SAM(0.1)], ids=repr)
def test_the_minimum_on_a_kink_is_found(rule: sd.Rule) -> None:
    """A fixed point lost: the list of |w0| + w1^2/2 was empty. Right: the origin, a minimum, trapping.

    The map takes steps of lr = .05 across the kink and hovers within one of them.
    """
    for system in (sd.Flow(ABS, rule), sd.Map(ABS, rule, lr=0.05)):
        found = sd.fixed_points(system, n_starts=64)
        np.testing.assert_allclose(found.x, [[0.0, 0.0]], atol=1e-9)
        assert (found[0].kind, found[0].stability, found[0].on_kink) == ("minimum", "trapping", True)
        assert np.isnan(found[0].eigenvalues).all()
    assert 0.03 < found[0].chatter_radius <= 0.0501
    assert "on a kink of the loss" in repr(found)


@pytest.mark.parametrize(
    ("function", "points"),
    [
        # a saddle: down along the kink
        (lambda w: w[0].abs() - w[1] ** 2 / 2, [((0, 0), "saddle", "saddle")]),
        # at rest on a tilted kink: the gradient's sides are (1, 0) and (-2, 0)
        (
            lambda w: torch.maximum(w[0] - 0.3, 0.6 - 2 * w[0]) + (w[1] - w[0]) ** 2,
            [((0.3, 0.3), "minimum", "trapping")],
        ),
        # a corner of three kinks
        (lambda w: w.abs().max(), [((0, 0), "minimum", "trapping")]),
        # |w0| + (w0 - 1)^2 is smooth at its minimum 1/2
        (lambda w: w.abs().sum() + (w[0] - 1) ** 2, [((0.5, 0), "minimum", "trapping")]),
        (
            lambda w: (w[0].abs() - 1).abs() + w[1] ** 2,
            [
                ((-1, 0), "minimum", "trapping"),
                ((0, 0), "saddle", "repelling"),
                ((1, 0), "minimum", "trapping"),
            ],
        ),
        (lambda w: torch.relu(w[0]) + torch.relu(-2 * w[0]) + w[1] ** 2, [((0, 0), "minimum", "trapping")]),
    ],
    ids=["saddle", "tilted", "corner", "lasso", "wells", "relu"],
)
def test_other_kinks(function: Callable[[torch.Tensor], torch.Tensor], points: list[Any]) -> None:
    """Other instances of the same kind: Filippov's condition, by hand."""
    found = sd.fixed_points(sd.Flow(sd.Landscape(function, 2, [(-2, 2)] * 2), sd.GD()), n_starts=64)
    assert [(p.kind, p.stability) for p in found] == [(kind, stability) for _, kind, stability in points]
    np.testing.assert_allclose(found.x, [x for x, *_ in points], atol=1e-8)


def test_a_maximum_on_a_kink_under_perturbed_rules() -> None:
    """Right, on -|w| with rho = .1: beside 0 the rules look across it and are drawn in; +-.1 look at 0."""
    loss = sd.Landscape(lambda w: -w[0].abs(), 1, [(-2, 2)])
    for rule in (sd.USAM(0.1), sd.SAM(0.1)):
        found = sd.fixed_points(sd.Flow(loss, rule), n_starts=64)
        np.testing.assert_allclose(found.x[:, 0], [-0.1, 0, 0.1], atol=1e-9)
        assert [(p.kind, p.stability) for p in found] == [
            ("hallucinated", "repelling"),
            ("maximum", "trapping"),
            ("hallucinated", "repelling"),
        ]
    (alone,) = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=64)
    assert (alone.kind, alone.stability) == ("maximum", "repelling")


@pytest.mark.parametrize("size", [1e-6, 1e6])
@pytest.mark.parametrize("length", [1e-3, 1e3])
def test_units_do_not_matter(size: float, length: float) -> None:
    """Decisions by magnitudes: the same loss in other units of its values and weights."""
    loss = sd.Landscape(
        lambda w: size * ((w[0] / length).abs() + (w[1] / length) ** 2 / 2),
        2,
        [(-2 * length, 2 * length)] * 2,
    )
    (origin,) = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=64)
    np.testing.assert_allclose(origin.x / length, [0, 0], atol=1e-9)
    assert (origin.kind, origin.stability) == ("minimum", "trapping")


def test_what_is_not_served_is_named() -> None:
    """A list that reads as complete. Right: curves of points at rest, and too many kinks, are named."""
    valley = sd.Landscape(lambda w: w[0].abs() + 0 * w[1], 2, [(-2, 2)] * 2)
    found = sd.fixed_points(sd.Flow(valley, sd.GD()), n_starts=64)
    assert len(found) == 0
    assert "curves or surfaces" in repr(found)
    rows = torch.linspace(-1, 1, 40, dtype=torch.float64)
    many = sd.Landscape(lambda w: torch.relu(rows * w[0] - rows**2).sum() + w[0] ** 2, 1, [(-2, 2)])
    assert "not searched" in repr(sd.fixed_points(sd.Flow(many, sd.GD()), n_starts=64))
    assert "kinks" not in repr(sd.fixed_points(sd.Flow(sd.landscapes.beale(), sd.GD()), n_starts=64))


@pytest.mark.slow
@pytest.mark.parametrize("flow", [True, False])
def test_basins_name_the_kink(flow: bool) -> None:
    """One object under another name: "43-cycle" for the minimum on a kink. Right: the minimum, all of it."""
    system = sd.Flow(ABS, sd.GD()) if flow else sd.Map(ABS, sd.GD(), lr=0.05)
    result = sd.basins(system, resolution=12)
    assert [a.name for a in result.attractors.values()] == ["minimum (0, 0)"]
    assert result.fractions[next(iter(result.attractors))] == 1.0

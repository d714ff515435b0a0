"""SAM as training code writes it, g/(|g| + 1e-12), traps as SAM does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd


@dataclass(frozen=True)
class Trained(sd.Rule):
    """As in training code."""

    rho: float
    eps: float = 1e-12

    def perturbation(self, x: Any, gradient: Any, rho: float, eps: float) -> Any:
        """Rho g/(|g| + eps)."""
        return rho * gradient / (torch.linalg.vector_norm(gradient, dim=-1, keepdim=True) + eps)


@dataclass(frozen=True)
class Rooted(sd.Rule):
    """Another way to write it."""

    rho: float

    def perturbation(self, x: Any, gradient: Any, rho: float) -> Any:
        """Rho g/sqrt(|g|^2 + 1e-20)."""
        return rho * gradient / torch.sqrt((gradient**2).sum(-1, keepdim=True) + 1e-20)


RULES = [Trained(0.3), Rooted(0.3), sd.SAM(0.3, eps=1e-12), sd.UnifiedSAM(0.3, 1.0, eps=1e-10)]


@pytest.mark.parametrize(
    ("rule", "size"),
    [(RULES[0], 1e-6), (RULES[1], 1.0), (RULES[2], 1e6), (RULES[3], 1.0)],
    ids=repr,
)
def test_a_small_number_in_the_norm_changes_no_label(rule: sd.Rule, size: float) -> None:
    """A decision by a magic magnitude: a length of 1e-88 was compared with 1e-90.

    Right: all three critical points of the double well trap its flow, the maximum from rho = .3.
    """
    loss = sd.Landscape(lambda w: size * (w[0] ** 2 - 1) ** 2 / 4, 1, [(-2, 2)])
    assert rule.jumps
    for x, captures in ((-1.0, 0.7), (0.0, 0.3), (1.0, 0.7)):
        at = sd.linearize(sd.Flow(loss, rule), [x])
        assert at.stability == "trapping"
        assert at.capture_radius == pytest.approx(captures, rel=1e-2)
        step = sd.linearize(sd.Map(loss, rule, lr=0.05 / size), [x])
        exact = sd.linearize(sd.Map(loss, sd.SAM(0.3), lr=0.05 / size), [x])
        assert step.stability == exact.stability == "trapping"
        assert step.chatter_radius == pytest.approx(exact.chatter_radius, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES[:3], ids=repr)
def test_basins_and_fixed_points_agree(rule: sd.Rule) -> None:
    """One object under two names: "43-cycle" for what is a trapping saddle. Right: the names of SAM."""
    loss = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2, 2, [(-2, 2), (-1, 1)])
    step = sd.Map(loss, rule, lr=0.05)
    names = [a.name for a in sd.basins(step, resolution=16).attractors.values()]
    assert names == ["minimum (-1, 0)", "trapping saddle (0, 0)", "minimum (1, 0)"]
    found = sd.fixed_points(step)
    assert [(p.kind, p.stability) for p in found.genuine] == [
        ("minimum", "trapping"),
        ("saddle", "trapping"),
        ("minimum", "trapping"),
    ]
    np.testing.assert_allclose(np.abs(found.hallucinated.x[:, 0]), 0.3, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "jumps"),
    [
        (sd.SAM(0.3, eps=0.01), False),
        (Trained(0.3, 0.1), False),
        (Trained(0.3, 1e-8), True),
        (sd.SAM(1e-7), True),
        (sd.SAM(0.0), False),
        (sd.UnifiedSAM(0.3, 1e-9), True),
        (sd.UnifiedSAM(0.3, 0.0), False),
        (sd.USAM(1e5), False),
        (sd.WarmStart(sd.SAM(0.3), 10), True),
    ],
    ids=repr,
)
def test_which_rules_jump(rule: sd.Rule, jumps: bool) -> None:
    """The same kind: coefficients set to 1 made a rule with eps smooth. Right: as its own numbers say."""
    assert rule.jumps is jumps


def test_a_wide_layer_is_smooth() -> None:
    """Right: with eps = .01 the flow near a critical point is that of USAM(30): -h (1 + 30 h)."""
    loss = sd.landscapes.quadratic(np.diag([2.0, -1.0]))
    at = sd.linearize(sd.Flow(loss, sd.SAM(0.3, eps=0.01)), [0.0, 0.0])
    assert at.stability == "attracting"
    np.testing.assert_allclose(np.sort(at.eigenvalues), [-122.0, -29.0], rtol=1e-9)
    # a loss whose gradients all lie within the layer of 1e-12 sees a smooth rule
    faint = sd.landscapes.quadratic(np.diag([2e-13, -1e-13]))
    assert sd.linearize(sd.Flow(faint, sd.SAM(0.3, eps=1e-12)), [0.0, 0.0]).exists


def test_the_step_is_that_of_training_code() -> None:
    """Right: x - lr H (x + rho g/(|g| + eps)), also where batches of least squares have a fused step."""
    loss = sd.landscapes.quadratic(np.diag([2.0, 5.0]))
    x, rho, eps = np.array([0.3, -0.2]), 0.4, 0.05
    g = np.array([0.6, -1.0])
    expected = x - 0.1 * np.array([2.0, 5.0]) * (x + rho * g / (np.linalg.norm(g) + eps))
    np.testing.assert_allclose(sd.Map(loss, sd.SAM(rho, eps), lr=0.1)(x), expected, rtol=1e-14)
    np.testing.assert_allclose(sd.Map(loss, Trained(rho, eps), lr=0.1)(x), expected, rtol=1e-14)
    assert repr(sd.SAM(rho, eps)) == "SAM(rho=0.4, eps=0.05)"
    assert repr(sd.SAM(rho)) == "SAM(rho=0.4)"
    with pytest.raises(ValueError, match="eps must be"):
        sd.SAM(0.3, eps=-1.0)
    rows = np.array([[1.0, 0.5], [-0.3, 2.0]])
    sum_ = sd.FiniteSum.least_squares(rows, np.array([1.0, 2.0]))
    paths = [
        sd.trajectory(sd.Map(sum_, rule, lr=0.1, noise=sd.Minibatch(1)), [0.3, 0.1], n_steps=20, seed=3)
        for rule in (sd.SAM(rho, 0.5), Trained(rho, 0.5))
    ]
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-10)

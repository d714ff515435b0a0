"""The rules: their perturbations, their limits, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import problems
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import samdyn as sd
from samdyn.numerics.vector import Coordinates, unit

LOSSES = [
    sd.landscapes.beale(),
    sd.landscapes.double_well(),
    sd.landscapes.coupled_double_well(),
    sd.landscapes.ring(4),
]
ZERO_RADIUS = [
    sd.USAM(0.0),
    sd.SAM(0.0),
    sd.UnifiedSAM(0.0, 0.0),
    sd.UnifiedSAM(0.0, 0.4),
    sd.UnifiedSAM(0, 1),
]
radii = st.floats(0, 2)
seeds = st.integers(0, 10**6)


def points(loss: sd.Landscape, seed: int, n: int = 5) -> np.ndarray:
    assert loss.box is not None
    return np.random.default_rng(seed).uniform(loss.box[:, 0], loss.box[:, 1], (n, loss.dim))


def views(loss: sd.Landscape, rule: sd.Rule, x: np.ndarray) -> list[np.ndarray]:
    """What every view makes of the rule at points x."""
    noise = sd.CurvatureNoise(batch_size=2.0)
    sde = sd.Diffusion(loss, rule, lr=0.1, noise=noise)
    flows = [sd.Flow(loss, rule, form=form)(x) for form in ("perturbed", "first-order")]
    maps = [sd.Map(loss, rule, lr=0.1)(x), sd.Map(loss, rule, lr=0.1, momentum=0.5)(x)]
    return [*maps, *flows, sde.drift(x), sde.covariance(x)]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("rule", ZERO_RADIUS, ids=repr)
@settings(max_examples=15)
@given(seed=seeds)
def test_radius_zero_is_gradient_descent(loss: sd.Landscape, rule: sd.Rule, seed: int) -> None:
    x = points(loss, seed)
    for got, expected in zip(views(loss, rule, x), views(loss, sd.GD(), x), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    assert not rule.jumps


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@settings(max_examples=15)
@given(seed=seeds, rho=radii)
def test_the_ends_of_the_family(loss: sd.Landscape, seed: int, rho: float) -> None:
    x = points(loss, seed)
    for rule, end in ((sd.UnifiedSAM(rho, 0.0), sd.USAM(rho)), (sd.UnifiedSAM(rho, 1.0), sd.SAM(rho))):
        for got, expected in zip(views(loss, rule, x), views(loss, end, x), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)
        assert rule.jumps == end.jumps


@given(seed=seeds, rho=radii, lam=st.floats(0, 1))
def test_perturbations(seed: int, rho: float, lam: float) -> None:
    g = torch.from_numpy(np.random.default_rng(seed).standard_normal((4, 3)))
    size = torch.linalg.vector_norm(g, dim=-1, keepdim=True)
    torch.testing.assert_close(sd.USAM(rho).perturbation(g, g, rho=rho), rho * g)
    torch.testing.assert_close(sd.SAM(rho).perturbation(g, g, rho=rho), rho * g / size)
    unified = sd.UnifiedSAM(rho, lam).perturbation(g, g, rho=rho, lam=lam)
    torch.testing.assert_close(unified, rho * (1 - lam + lam / size) * g)


@given(exponent=st.integers(-300, 300), rho=st.floats(0.01, 2))
def test_sam_looks_rho_away_at_any_gradient(exponent: int, rho: float) -> None:
    g = torch.tensor([0.6, -0.8], dtype=torch.float64) * 10.0**exponent
    e = sd.SAM(rho).perturbation(g, g, rho=rho)
    np.testing.assert_allclose(e, [0.6 * rho, -0.8 * rho], rtol=1e-12)


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.3), sd.SAM(0.3), sd.UnifiedSAM(0.3, 0.5)], ids=repr)
def test_critical_points_are_fixed_under_every_rule(rule: sd.Rule) -> None:
    for loss in (
        sd.landscapes.double_well(),
        sd.landscapes.coupled_double_well(),
        sd.landscapes.embedded_saddle(),
    ):
        x = np.array([point.x for point in loss.critical_points])
        np.testing.assert_allclose(sd.Map(loss, rule, lr=0.1)(x), x, atol=1e-15)
        np.testing.assert_allclose(sd.Flow(loss, rule)(x), 0, atol=1e-15)


def test_both_layouts_agree() -> None:
    g = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    apart = Coordinates(g.unbind(-1))
    for rule in (sd.USAM(0.3), sd.SAM(0.3), sd.UnifiedSAM(0.3, 0.4)):
        together = rule.perturbation(g, g, **rule.coefficients())
        separate = rule.perturbation(apart, apart, **rule.coefficients())  # type: ignore[arg-type]
        torch.testing.assert_close(torch.stack(tuple(separate), dim=-1), together)


@dataclass(frozen=True)
class Extragradient(sd.Rule):
    """A member from outside: looks against the gradient and mixes both gradients."""

    rho: float
    share: float = 0.5

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        return -rho * unit(gradient)

    def combine(self, gradient: Tensor, perturbed: Tensor, share: Any = 0.0, **others: Any) -> Tensor:
        return (1 - share) * gradient + share * perturbed


def test_a_new_member_goes_through_every_view() -> None:
    loss, rule = sd.landscapes.quadratic([[2.0, 0.0], [0.0, 1.0]]), Extragradient(0.1, share=0.25)
    x = np.array([0.3, 0.4])
    g = np.array([0.6, 0.4])
    expected = g - 0.25 * 0.1 * np.array([2.0, 1.0]) * g / np.linalg.norm(g)
    np.testing.assert_allclose(sd.Map(loss, rule, lr=0.1)(x), x - 0.1 * expected)
    for form in ("perturbed", "first-order"):  # they agree on quadratics
        np.testing.assert_allclose(sd.Flow(loss, rule, form=form)(x), -expected)
    assert rule.coefficient_names == ("rho", "share")
    path = sd.trajectory(sd.Map(loss, rule, lr=0.1), x, n_steps=5)
    np.testing.assert_allclose(path[1], x - 0.1 * expected)


@pytest.mark.parametrize("make", [sd.USAM, sd.SAM, lambda rho: sd.UnifiedSAM(rho, 0.5)])
@pytest.mark.parametrize(
    ("rho", "error", "match"),
    [
        (-0.1, ValueError, "rho must be a finite number >= 0, got -0.1"),
        (math.nan, ValueError, "rho must be a finite number >= 0, got nan"),
        (math.inf, ValueError, "rho must be a finite number >= 0, got inf"),
        ("big", TypeError, "rho must be a number or a schedule .* got 'big'"),
        (None, TypeError, "rho must be a number or a schedule"),
        (True, TypeError, "rho must be"),
        (lambda step: -1.0, ValueError, "at step 0 must be a finite number >= 0, got -1.0"),
        (lambda step: math.nan, ValueError, "at step 0 must be a finite number >= 0, got nan"),
    ],
)
def test_bad_radius(make: Any, rho: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make(rho)


@pytest.mark.parametrize(
    ("lam", "match"),
    [
        (-0.1, "lam must be a finite number >= 0, got -0.1"),
        (1.1, r"lam must be a number in \[0, 1\]"),
        (math.nan, "lam must be"),
    ],
)
def test_bad_lam(lam: float, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        sd.UnifiedSAM(0.1, lam)


def test_warm_start() -> None:
    rule = sd.WarmStart(sd.SAM(0.5), 10)
    assert [rule.coefficients(t)["rho"] for t in (0, 9, 10, 100)] == [0, 0, 0.5, 0.5]
    loss = sd.landscapes.beale()
    warm = sd.trajectory(sd.Map(loss, rule, lr=1e-3), [1.0, 2.0], n_steps=20)
    plain = sd.trajectory(sd.Map(loss, sd.GD(), lr=1e-3), [1.0, 2.0], n_steps=20)
    np.testing.assert_allclose(warm[:11], plain[:11], rtol=1e-12)
    assert np.abs(warm[11] - plain[11]).max() > 1e-3
    with pytest.raises(TypeError, match=r"rule must be a samdyn rule, got 0\.5"):
        sd.WarmStart(0.5, 10)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"rule must have a perturbation radius rho to delay, got GD\(\)"):
        sd.WarmStart(sd.GD(), 10)
    with pytest.raises(ValueError, match="steps must be an integer >= 0, got -1"):
        sd.WarmStart(sd.SAM(0.5), -1)


def test_rules_are_values() -> None:
    assert sd.SAM(0.5) == sd.SAM(0.5) != sd.USAM(0.5)
    assert len({sd.SAM(0.5), sd.SAM(0.5), sd.GD()}) == 2
    assert problems.cycle_amplitude(0.1, 3.0, 0.05) == pytest.approx(problems.CYCLE_AMPLITUDE, abs=1e-8)

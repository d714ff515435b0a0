"""Extragradient: SAM with the sign of the radius turned, and its single-call form."""

from __future__ import annotations

from typing import Any

import numpy as np
import problems
import pytest
import torch

import samdyn as sd
from samdyn.rules.extragradient import multipliers

CURVATURES = np.array([-1.5, 0.3, 1.0, 8.0])


@pytest.mark.parametrize(
    "rule",
    [sd.GD(), sd.USAM(0.05), sd.Extragradient(0.05), sd.PastExtragradient(0.05)],
    ids=lambda rule: type(rule).__name__,
)
def test_multipliers_are_the_eigenvalues_of_the_step(rule: Any) -> None:
    for h in CURVATURES:
        jacobian = sd.Map(sd.landscapes.quadratic([[h]]), rule, lr=0.1).jacobian([0.0])
        expected = np.sort_complex(np.linalg.eigvals(jacobian).astype(complex))
        np.testing.assert_allclose(np.sort_complex(multipliers(rule, h, 0.1)), expected, atol=1e-12)


def test_extragradient_is_usam_with_the_sign_turned() -> None:
    beale = sd.landscapes.beale()
    x = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    g = beale.gradient(x)
    step = sd.Map(beale, sd.Extragradient(0.01), lr=0.1)(x)
    np.testing.assert_allclose(step, x - 0.1 * beale.gradient(x - 0.01 * g), rtol=1e-13)
    assert not sd.Extragradient(0.1).jumps
    assert not sd.PastExtragradient(0.1).jumps


def test_past_extragradient_by_hand() -> None:
    beale = sd.landscapes.beale()
    system = sd.Map(beale, sd.PastExtragradient(0.02), lr=0.01)
    x, v = np.array([1.0, 0.5]), np.zeros(2)
    for _ in range(5):
        v = beale.gradient(x - 0.02 * v)
        x = x - 0.01 * v
    np.testing.assert_allclose(sd.trajectory(system, [1.0, 0.5], n_steps=5)[-1], x, rtol=1e-13)
    assert system.state_dim == 4
    assert system([1.0, 0.5]).shape == (2,)


def test_past_and_true_extragradient_have_one_flow() -> None:
    beale = sd.landscapes.beale()
    x = [[1.0, 0.5], [0.2, -0.3]]
    flows = [sd.Flow(beale, rule)(x) for rule in (sd.Extragradient(0.02), sd.PastExtragradient(0.02))]
    np.testing.assert_allclose(flows[0], flows[1], rtol=1e-13)
    np.testing.assert_allclose(flows[0], -beale.gradient(np.array(x) - 0.02 * beale.gradient(x)), rtol=1e-12)


@pytest.mark.parametrize("probe", ["same", "independent"])
def test_stochastic_extragradient_has_its_law(probe: str) -> None:
    noise = sd.Minibatch(1, probe=probe)
    system = sd.Map(problems.r6(), sd.Extragradient(0.01), lr=0.01, noise=noise)
    law = sd.stationary_law(system)
    result = sd.convergence(system, law.mean, 300, 2000, times=[300])
    gap = result.curves()[-1]
    assert abs(gap.mean() - law.gap) < 4 * gap.std(ddof=1) / 2000**0.5


def test_extragradient_turns_the_bias() -> None:
    """To first order in rho the stationary means of USAM and extragradient lie opposite each other."""
    rho, loss = 1e-5, problems.r6()
    means = [
        sd.stationary_law(sd.Map(loss, rule, lr=1e-3, noise=sd.Minibatch(1))).mean - loss.minimum().x
        for rule in (sd.USAM(rho), sd.Extragradient(rho))
    ]
    np.testing.assert_allclose(means[0], -means[1], atol=1e-3 * np.abs(means[0]).max())


def test_dnsam_is_sam_with_the_full_gradient() -> None:
    beale = sd.landscapes.beale()
    x = [[1.0, 0.5], [3.0, 0.5]]
    same = [sd.Map(beale, rule, lr=0.1)(x) for rule in (sd.SAM(0.1), sd.DNSAM(0.1))]
    np.testing.assert_allclose(same[0], same[1], rtol=1e-13)
    assert sd.DNSAM(0.1).jumps
    assert not sd.DNSAM(0.0).jumps
    g, whole = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0])
    torch.testing.assert_close(sd.DNSAM(0.1).perturbation(g, g, rho=0.1, full_gradient=whole), g * 0.05)


def test_refusals() -> None:
    with pytest.raises(TypeError, match="rule must be GD"):
        multipliers(sd.SAM(0.1), 1.0, 0.1)
    with pytest.raises(ValueError, match="rho must be"):
        sd.Extragradient(-0.1)

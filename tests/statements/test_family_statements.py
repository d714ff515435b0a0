"""Statements about members of the family that were false, and calls that ended inside."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import samdyn as sd

LAND = sd.Landscape(
    lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2, dim=2, box=[(-2, 2), (-1, 1)], name="land"
)


def test_a_minimum_that_steps_shrink_onto_attracts() -> None:
    """Kind (b): StableSAM's minima were "repelling", since orbits that reach them have no swing there."""
    step = sd.Map(LAND, sd.StableSAM(0.1), lr=0.1)
    starts = np.array([1.0, 0.0]) + 1e-3 * np.random.default_rng(0).normal(size=(20, 2))
    ends = sd.trajectory(step, starts, n_steps=300)[-1]
    assert np.abs(ends - [1.0, 0.0]).max() < 1e-14
    assert sd.linearize(step, [1.0, 0.0]).stability == "trapping"
    stability = {tuple(np.round(p.x, 6) + 0.0): p.stability for p in sd.fixed_points(step)}
    assert stability[1.0, 0.0] == stability[-1.0, 0.0] == "trapping"
    assert sd.refine(step, [0.9, 0.1]).stability == "trapping"


def test_a_start_without_a_covariance_is_refused() -> None:
    """Kind (a): at a critical point, and there alone, the noise was 0: "mean above 1669", beside it .095."""
    sde = sd.Diffusion(LAND, sd.XSAM(0.1), lr=0.1, noise=sd.GaussianNoise(1.0))
    ball = sd.Ball([0.0, 0.0], 0.5)
    with pytest.raises(ValueError, match="x0 must be where the covariance of the noise is defined"):
        sd.exit_times(sde, [0.0, 0.0], ball, 50, t_max=50.0, dt=0.01)
    assert sd.exit_times(sde, [1e-3, 1e-3], ball, 50, t_max=50.0, dt=0.01).n_exited == 50
    plain = sd.Diffusion(LAND, sd.SAM(0.1), lr=0.1, noise=sd.GaussianNoise(1.0))
    assert len(sd.exit_times(plain, [0.0, 0.0], ball, 5, t_max=1.0, dt=0.01)) == 5


@pytest.mark.parametrize(
    "rule",
    [
        sd.AESAM(0.1),
        sd.AdaSAM(0.1),
        sd.LookSAM(0.1),
        sd.FriendlySAM(0.1),
        sd.VaSSO(0.1),
        sd.MSAM(0.1),
        sd.XSAM(0.1),
    ],
    ids=repr,
)
def test_cycles_of_states_with_memory_are_refused(rule: sd.Rule) -> None:
    """Twelve rules ended inside, with sizes of tensors and counts of arguments."""
    step = sd.Map(LAND, rule, lr=0.1)
    if step.state_dim == step.dim:
        pytest.skip("without memory")
    with pytest.raises(ValueError, match="system must have no momentum and no memory"):
        sd.cycles(step, n_starts=16)


@pytest.mark.parametrize(
    "rule",
    [sd.AESAM(0.1), sd.BSAM(0.1), sd.AdaSAM(0.1), sd.Sassha(0.1), sd.DetSAM(), sd.TraceSAM()],
    ids=repr,
)
def test_refine_refuses_what_is_no_function_of_the_point(rule: sd.Rule) -> None:
    step: Any = sd.Map(LAND, rule, lr=0.1)
    if step.rule.without_limit is None:
        assert sd.refine(step, [0.9, 0.1]).x.shape == (2,)
        return
    with pytest.raises(ValueError, match="rule must be a function of the point for refine"):
        sd.refine(step, [0.9, 0.1])


@pytest.mark.parametrize("rule", [sd.BSAM(0.1), sd.DetSAM(), sd.SAMON(0.1), sd.FunctionalSAM(0.1)], ids=repr)
def test_no_critical_radius_of_rules_that_have_none(rule: sd.Rule) -> None:
    """They had the radius 0 or inf on losses that every other verb refuses them on."""
    with pytest.raises(ValueError, match=r"^(rule|loss) must"):
        sd.critical_rho(LAND, [0.0, 0.0], rule)


def test_a_search_that_does_not_settle_says_what_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind (g): basins of InfoSAM searched for most of a minute without a word."""
    monkeypatch.setattr("samdyn.basin.search.recurrences.PATIENCE", 0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sd.CostWarning)
        with pytest.raises(sd.CostWarning, match="basins will take about"):
            sd.basins(sd.Map(LAND, sd.InfoSAM(0.1), lr=0.1), resolution=8, n_starts=16)


def test_a_history_belongs_to_its_run() -> None:
    """The statistics of one run and the gradient of another made one verdict."""
    step = sd.Map(LAND, sd.SAM(0.1), lr=0.1)
    run = sd.trajectory(step, [0.3, 0.5], n_steps=60)
    assert sd.diagnose(step, run[-1], run[-40:-1]).verdict
    with pytest.raises(ValueError, match="history must end at x or just before it"):
        sd.diagnose(step, [-1.5, 0.9], run[-40:])

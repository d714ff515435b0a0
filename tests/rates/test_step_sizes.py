"""The papers' step sizes, and runs with them."""

from __future__ import annotations

import numpy as np
import problems
import pytest

import samdyn as sd
from samdyn.rates.step_sizes import (
    DecreasingRadius,
    DecreasingRate,
    constant_steps,
    horizon_convex,
    horizon_strongly_convex,
)

# H = diag(1, 0.2), rho = 0.1 from (1, 1): steps, learning rate, loss at the end
HORIZONS = [(100, 0.28255, 1.3532e-4), (400, 0.09374, 1.2091e-5), (1600, 0.02921, 1.0985e-6),
            (6400, 0.00875, 9.648e-8)]  # fmt: skip


@pytest.mark.parametrize(("n_steps", "lr", "loss"), HORIZONS)
def test_tuned_sam_on_a_strongly_convex_loss(n_steps: int, lr: float, loss: float) -> None:
    tuned = horizon_strongly_convex(n_steps, mu=0.2, beta=1.0, rho=0.1, initial_gap=0.6)
    assert np.isclose(tuned, lr, atol=6e-6)
    quadratic = sd.landscapes.quadratic(np.diag([1.0, 0.2]))
    end = sd.trajectory(
        sd.Map(quadratic, sd.SAM(0.1), lr=tuned), [1.0, 1.0], n_steps=n_steps, save_every=n_steps
    )[-1]
    assert np.isclose(float(quadratic.value(end)), loss, rtol=1e-4)


CONSTANTS = [
    ((0.1, 10.0, 0.0, 1.0), 0.0, 0.0166667, 0.0236842105),
    ((0.1, 10.0, 0.0, 1.0), 0.3, 0.0252525253 / 2, 0.0235295530),
    ((0.1, 10.0, 0.0, 1.0), 0.7, 0.0423728814 / 2, 0.0242173368),
    ((0.1, 10.0, 0.0, 1.0), 1.0, 0.05, 0.025),
    ((0.031, 3.1165727892355504, 3.1165727892355504, 0.0), 0.0, 7.939489551e-4, 7.978878199e-4),
    ((0.031, 3.1165727892355504, 3.1165727892355504, 0.0), 0.5, 3.129336345e-3, 7.978596452e-4),
    ((0.031, 3.1165727892355504, 3.1165727892355504, 0.0), 1.0, 0.1604326399, 7.978975903e-4),
]


@pytest.mark.parametrize(("constants", "lam", "rho", "rate"), CONSTANTS)
def test_constant_steps(constants: tuple[float, ...], lam: float, rho: float, rate: float) -> None:
    mu, smoothness, a, b = constants
    found = constant_steps(mu=mu, smoothness=smoothness, A=a, B=b, lam=lam)
    if lam in (0.3, 0.7):  # these radii are stated as thresholds or halves of them: the rate decides
        assert min(abs(found[0] / rho - 1), abs(found[0] / (2 * rho) - 1)) < 1e-6
    else:
        assert np.isclose(found[0], rho, rtol=3e-6)
    assert np.isclose(found[1], rate, rtol=1e-8)


def test_decreasing_steps_reach_the_minimiser() -> None:
    """The gap falls like 1/t with the same constant for every lam: t gap = 0.333 at t = 20000."""
    loss = problems.r6()
    mu, largest = 2.546017007, 20.116701917
    for lam in (0.0, 1.0):
        rho, _ = constant_steps(mu=mu, smoothness=largest, A=largest, B=0.0, lam=lam, share=0.999)
        _, rate = constant_steps(mu=mu, smoothness=largest, A=largest, B=0.0, lam=lam)
        rule = sd.UnifiedSAM(DecreasingRadius(rho), lam)
        system = sd.Map(loss, rule, lr=DecreasingRate(rate, mu=mu), noise=sd.Minibatch(1))
        result = sd.convergence(system, problems.R6_START, 20_000, 200, times=[20_000])
        t_gap = 20_000 * result.curves()[-1]
        assert abs(t_gap.mean() - 0.333) < 4 * t_gap.std(ddof=1) / 200**0.5


def test_limits_of_the_horizon_rules() -> None:
    assert horizon_strongly_convex(1, mu=1.0, beta=2.0, rho=0.1, initial_gap=1.0) == 0.25
    assert horizon_strongly_convex(10, mu=1.0, beta=2.0, rho=0.0, initial_gap=1.0) == 0.25
    assert horizon_strongly_convex(10, mu=1.0, beta=2.0, rho=1.0, initial_gap=1.0, sigma=1.0) == 0.25
    noisy = horizon_strongly_convex(10_000, mu=1.0, beta=2.0, rho=0.0, initial_gap=1.0, sigma=1.0)
    assert noisy == pytest.approx(np.log(5000) / 10_000)
    assert horizon_convex(10, beta=2.0, rho=0.0, initial_gap=1.0) == 0.25
    assert horizon_convex(800, beta=1.0, rho=0.0, initial_gap=1.0, sigma=1.0) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: horizon_convex(0, beta=1.0, rho=0.1, initial_gap=1.0), "n_steps must be"),
        (
            lambda: horizon_strongly_convex(9, mu=2.0, beta=1.0, rho=0.1, initial_gap=1.0),
            "mu must be at most",
        ),
        (lambda: constant_steps(mu=1.0, smoothness=1.0, A=0.0, B=0.0, lam=0.0), "must not both be 0"),
        (
            lambda: constant_steps(mu=1.0, smoothness=1.0, A=1.0, B=0.0, lam=2.0),
            r"lam must be a number in \[0",
        ),
        (
            lambda: constant_steps(mu=1.0, smoothness=1.0, A=1.0, B=0.0, lam=0.0, share=1.0),
            "share must be < 1",
        ),
        (
            lambda: constant_steps(mu=2.0, smoothness=1.0, A=1.0, B=0.0, lam=0.0),
            "mu must be at most smoothness",
        ),
        (lambda: horizon_convex(10, beta=-1.0, rho=0.1, initial_gap=1.0), "beta must be"),
        (lambda: DecreasingRadius(-1.0), "largest must be"),
        (lambda: DecreasingRate(1.0, mu=0.0), "mu must be"),
    ],
    ids=["steps", "mu", "constants", "lam", "share", "mu above", "beta", "radius", "rate"],
)
def test_out_of_range(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]

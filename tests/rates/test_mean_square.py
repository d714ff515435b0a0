"""Second moments of sampled steps: stability, critical learning rates, exact stationary laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import problems
import pytest
from hypothesis import given
from hypothesis import strategies as st

import samdyn as sd
from samdyn.rates.affine_steps import RandomSteps, moment_radius, random_steps
from samdyn.rates.forces import ListedForces
from samdyn.rates.mean_square import moment_identity
from samdyn.rates.moments import Moments


def batches(loss: sd.FiniteSum, rule: Any, lr: float = 0.1, momentum: float = 0.0, **more: Any) -> sd.Map:
    return sd.Map(loss, rule, lr=lr, momentum=momentum, noise=sd.Minibatch(**more))


def moved(steps: RandomSteps, covariance: np.ndarray) -> np.ndarray:
    """K C, from the listed steps."""
    jacobians = steps.jacobians
    return np.einsum("m,mij,jk,mlk->il", steps.probability, jacobians, covariance, jacobians, optimize=True)


def operator(steps: RandomSteps) -> np.ndarray:
    """K as a matrix, from the listed steps."""
    return sum(p * np.kron(j, j) for p, j in zip(steps.probability, steps.jacobians, strict=True))


def diagonal() -> sd.FiniteSum:
    """H_1 = diag(4, 0) and H_2 = diag(0, 2)."""
    return sd.FiniteSum(lambda w, s: s @ w**2 / 2, [[4.0, 0.0], [0.0, 2.0]], dim=2)


# batches without replacement of size 1, 2, 4; (rho, probe, micro-batch)
CRITICAL = {
    (0.0, "same", None): (0.17789367, 0.32564887, 0.55507797),
    (0.05, "same", None): (0.10609079, 0.24082158, 0.47034332),
    (0.05, "full", None): (0.15082977, 0.27605268, 0.47034332),
    (0.05, "same", 1): (0.10609079, 0.19852652, 0.35156340),
    (0.05, "independent", None): (0.1437354, 0.27158779, 0.47034332),
    (0.2, "same", None): (0.04781418, 0.13495158, 0.32260356),
    (0.2, "full", None): (0.10356105, 0.18947305, 0.32260356),
    (0.2, "same", 1): (0.04781418, 0.09126698, 0.16705234),
}


@pytest.mark.parametrize("case", CRITICAL, ids=str)
def test_critical_learning_rates_of_s4(case: tuple[float, str, int | None]) -> None:
    rho, probe, micro = case
    for size, expected in zip((1, 2, 4), CRITICAL[case], strict=True):
        system = batches(problems.s4(), sd.USAM(rho), batch_size=size, probe=probe, micro_batch=micro)
        assert np.isclose(sd.critical_learning_rate(system), expected, atol=1.1e-8)


def test_radius_around_the_critical_rate() -> None:
    system = batches(problems.s4(), sd.USAM(0.05))
    critical = sd.critical_learning_rate(system)
    expected = {0.95: (0.94275, 6.0449e-3), 1.05: (1.06328, 7.6951), 1.3: (1.47021, 1.928e9)}
    for factor, (radius, moment) in expected.items():
        near = system.with_parameters(lr=factor * critical)
        assert np.isclose(sd.mean_square_stability(near).spectral_radius, radius, atol=6e-6)
        second = np.ones((2, 2))
        steps = random_steps(near, [0.0, 0.0])
        for _ in range(60):
            second = moved(steps, second)
        assert np.isclose(np.trace(second), moment, rtol=3e-4)


@pytest.mark.parametrize(("rho", "expected"), [(0.0, 0.17053885), (0.05, 0.10359356)])
def test_one_step_criterion(rho: float, expected: float) -> None:
    """Stricter than the spectral radius, and where E[J^2] has the eigenvalue 1."""
    system = batches(problems.s4(), sd.USAM(rho))
    critical = sd.critical_learning_rate(system, criterion="one step")
    assert critical == pytest.approx(expected, abs=5.1e-9)
    rows = problems.s4().data[0]
    h = rows[:, :, None] * rows[:, None, :]
    j = np.eye(2) - critical * h @ (np.eye(2) + rho * h)
    assert np.isclose(np.linalg.eigvalsh((j @ j).mean(axis=0))[-1], 1, atol=1e-9)
    assert critical < sd.critical_learning_rate(system)


@pytest.mark.parametrize("rho", [0.0, 0.1])
def test_diagonal_problem(rho: float) -> None:
    single, whole = (batches(diagonal(), sd.USAM(rho), batch_size=b) for b in (1, 2))
    assert np.isclose(sd.critical_learning_rate(single), 2 / (4 * (1 + 4 * rho)))
    assert np.isclose(sd.critical_learning_rate(whole), 2 / (2 * (1 + 2 * rho)))
    assert np.isclose(sd.critical_learning_rate(whole, criterion="mean"), 2 / (2 * (1 + 2 * rho)))


def test_matrix_free_radius_agrees() -> None:
    rng = np.random.default_rng(0)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((60, 30)) / 5, np.zeros(60))
    system = batches(loss, sd.USAM(0.1), lr=0.3)
    dense = np.abs(np.linalg.eigvals(operator(random_steps(system)))).max()
    assert np.isclose(sd.mean_square_stability(system).spectral_radius, dense, rtol=1e-8)


def test_flat_directions_do_not_count() -> None:
    loss = sd.FiniteSum.least_squares([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]], [0.0, 0.0])
    flat = sd.mean_square_stability(batches(loss, sd.GD(), lr=0.5))
    bare = sd.FiniteSum.least_squares([[1.0, 1.0], [0.0, 1.0]], [0.0, 0.0])
    assert np.isclose(
        flat.spectral_radius, sd.mean_square_stability(batches(bare, sd.GD(), lr=0.5)).spectral_radius
    )
    assert flat.stable


def test_normalised_part_does_not_decide() -> None:
    loss = problems.s4()
    rates = [
        sd.critical_learning_rate(batches(loss, r)) for r in (sd.GD(), sd.SAM(0.3), sd.UnifiedSAM(0.3, 1.0))
    ]
    np.testing.assert_allclose(rates, rates[0], rtol=1e-9)
    half = sd.critical_learning_rate(batches(loss, sd.UnifiedSAM(0.1, 0.5)))
    assert np.isclose(half, CRITICAL[(0.05, "same", None)][0], atol=1.1e-8)
    assert moment_radius(sd.Extragradient(0.2)) == pytest.approx(-0.2)


def test_extragradient_is_stable_longer() -> None:
    rates = [
        sd.critical_learning_rate(batches(problems.s4(), rule))
        for rule in (sd.USAM(0.02), sd.GD(), sd.Extragradient(0.02))
    ]
    assert rates[0] < rates[1] < rates[2]


R6_LAWS = {
    "uniform": ("without replacement", 0.949960, 3.935857e-3, 4.38303e-6),
    "importance": ("importance", 0.949895, 8.137541e-3, 5.04e-10),
}


@pytest.mark.parametrize("case", R6_LAWS)
def test_stationary_law_of_r6(case: str) -> None:
    sampling, radius, variance, bias = R6_LAWS[case]
    law = sd.stationary_law(batches(problems.r6(), sd.USAM(0.002), lr=0.01, sampling=sampling))
    assert np.isclose(law.spectral_radius, radius, atol=6e-7)
    assert np.isclose(law.gap_of_variance, variance, rtol=2e-7)
    assert np.isclose(law.gap_of_mean, bias, rtol=2e-3)
    assert law.exact


def test_stationary_law_at_the_theorems_steps() -> None:
    law = sd.stationary_law(batches(problems.r6(), sd.USAM(1.4792433e-3), lr=1.5700710e-3))
    assert np.isclose(law.gap, 5.881892e-4, rtol=1e-6)
    assert np.isclose(law.gap_of_mean, 2.4296e-6, rtol=2e-5)
    system = batches(problems.r6(), sd.USAM(3.9931712e-3), lr=4.6968906e-3, sampling="importance")
    law = sd.stationary_law(system)
    assert np.isclose(law.gap, 3.804368e-3, rtol=1e-6)
    assert np.isclose(law.gap_of_mean, 2e-9, rtol=0.2)


def test_importance_sampling_without_weights_is_biased() -> None:
    system = batches(problems.r6(), sd.USAM(0.002), lr=0.01, sampling="importance", reweight=False)
    law = sd.stationary_law(system)
    np.testing.assert_allclose(law.mean, [-0.14198516, 0.09533765], atol=6e-9)
    assert np.isclose(law.gap_of_mean, 1.0963102e-2, rtol=1e-7)


def test_bias_is_of_order_rho_squared() -> None:
    found = [
        sd.stationary_law(batches(problems.r6(), sd.USAM(rho), lr=1e-4)).gap_of_mean / rho**2
        for rho in (1e-3, 2e-3, 4e-3, 8e-3)
    ]
    np.testing.assert_allclose(found, [1.1241, 1.0958, 1.0426, 0.9486], atol=6e-5)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"sampling": "importance"},
        {"batch_size": 2},
        {"batch_size": 2, "probe": "independent"},
        {"batch_size": 3, "probe": "full", "sampling": "with replacement"},
        {"batch_size": 4, "micro_batch": 2},
        {"batch_size": 6, "micro_batch": 2},  # the whole data: what is random is who shares a part
        {"momentum": 0.8},
    ],
    ids=lambda more: ", ".join(f"{k}={v}" for k, v in more.items()) or "single",
)
def test_simulation_agrees_with_the_law(more: dict[str, Any]) -> None:
    loss, n = problems.r6(), 3000
    system = batches(loss, sd.USAM(0.02), lr=0.01, **more)
    law = sd.stationary_law(system)
    result = sd.convergence(system, law.mean, 300, n, times=[300], seed=4)
    x = result.final[0]
    spread = np.sqrt(np.diag(law.covariance) / n)
    assert (np.abs(x.mean(axis=0) - law.mean) < 4 * spread).all()
    gap = result.curves()[-1]
    assert abs(gap.mean() - law.gap) < 4 * gap.std(ddof=1) / math.sqrt(n)
    products = (x - law.mean)[:, :, None] * (x - law.mean)[:, None, :]
    error = products.std(axis=0, ddof=1) / math.sqrt(n)
    assert (np.abs(products.mean(axis=0) - law.covariance) < 4 * error).all()


def test_matrix_free_covariance_agrees() -> None:
    rng = np.random.default_rng(1)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((40, 30)) / 5, rng.standard_normal(40), ridge=0.2)
    system = batches(loss, sd.USAM(0.05), lr=0.2)
    law = sd.stationary_law(system)
    steps = random_steps(system)
    kick = steps.jacobians @ law.mean + steps.offsets - law.mean
    source = np.einsum("m,mi,mj->ij", steps.probability, kick, kick)
    left = law.covariance - moved(steps, law.covariance) - source
    assert np.abs(left).max() < 1e-10 * np.abs(law.covariance).max()


def test_lyapunov_exponent_of_a_diagonal_problem() -> None:
    lr, rho = 0.4, 0.05
    estimate = sd.sampling_lyapunov_exponent(
        batches(sd.FiniteSum(lambda w, s: s[0] * w[0] ** 2 / 2, [[4.0], [1.0]], dim=1), sd.USAM(rho), lr=lr),
        n_steps=1000,
    )
    exact = sum(math.log(abs(1 - lr * h * (1 + rho * h))) for h in (4.0, 1.0)) / 2
    assert abs(estimate.value - exact) < 4 * estimate.standard_error


def test_almost_sure_stability_is_weaker() -> None:
    """At lr = 0.6 the factors are -1.4 and 0.4: their squares average to 1.06, their logarithms to -0.29."""
    loss = sd.FiniteSum(lambda w, s: s[0] * w[0] ** 2 / 2, [[4.0], [1.0]], dim=1)
    system = batches(loss, sd.GD(), lr=0.6)
    assert np.isclose(sd.mean_square_stability(system).spectral_radius, 1.06)
    estimate = sd.sampling_lyapunov_exponent(system, n_steps=1000)
    assert abs(estimate.value - math.log(0.56) / 2) < 4 * estimate.standard_error


def test_a_product_that_vanishes_has_no_finite_exponent() -> None:
    loss = sd.FiniteSum(lambda w, s: s[0] * w[0] ** 2 / 2, [[4.0], [1.0]], dim=1)
    estimate = sd.sampling_lyapunov_exponent(batches(loss, sd.GD(), lr=0.25), n_steps=100)
    assert (estimate.value, estimate.standard_error) == (-math.inf, 0.0)


@given(st.integers(0, 10_000), st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_moment_identity(seed: int, lr: float, rho: float) -> None:
    m = np.random.default_rng(seed).standard_normal((4, 3, 3))
    direct, by_moments = moment_identity(m + m.swapaxes(1, 2), lr, rho)
    np.testing.assert_allclose(direct, by_moments, rtol=1e-10, atol=1e-10 * np.abs(direct).max())


def test_radius_of_k_without_directions() -> None:
    empty = ListedForces(np.ones(1), np.empty((1, 0, 0)), np.empty((1, 0)), True)
    assert Moments(empty, 0.1).spectral_radius == 0


def test_sampled_law_says_so() -> None:
    rng = np.random.default_rng(0)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((40, 2)), np.zeros(40))
    parts = batches(loss, sd.USAM(0.1), lr=0.1, batch_size=20, micro_batch=10)
    assert not sd.mean_square_stability(parts).exact
    assert sd.mean_square_stability(batches(loss, sd.GD(), lr=0.1, batch_size=20)).exact


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sd.stationary_law(batches(problems.r6(), sd.SAM(0.1))), ValueError, "rule must be linear"),
        (lambda: sd.stationary_law(batches(problems.r6(), sd.GD(), lr=3.0)), ValueError, "spectral radius"),
        (
            lambda: sd.mean_square_stability(sd.Map(sd.landscapes.beale(), sd.GD(), lr=0.1)),  # type: ignore[arg-type]
            TypeError,
            "system must be an sd.Map with sd.Minibatch noise",
        ),
        (
            lambda: sd.mean_square_stability(batches(problems.r6(), sd.USAM(sd.schedules.PowerDecay(0.1)))),
            ValueError,
            "do not depend on the step",
        ),
        (
            lambda: sd.mean_square_stability(batches(problems.r6(), sd.PastExtragradient(0.1))),
            ValueError,
            "rule must perturb along",
        ),
        (
            lambda: sd.critical_learning_rate(batches(problems.r6(), sd.GD()), criterion="sure"),
            ValueError,
            "criterion must be one of",
        ),
        (
            lambda: sd.stationary_law(
                batches(sd.FiniteSum(lambda w, s: s * w[0] ** 4, [1.0], dim=1, box=[(-1, 1)]), sd.GD())
            ),
            ValueError,
            "quadratic components",
        ),
    ],
    ids=["normalised", "unstable", "no batches", "schedule", "memory", "criterion", "quartic"],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_representations() -> None:
    system = batches(problems.r6(), sd.USAM(0.002), lr=0.01)
    assert "stable in mean square" in repr(sd.mean_square_stability(system))
    assert "bias" in repr(sd.stationary_law(system))


def test_curvature_of_the_reference_sum() -> None:
    np.testing.assert_allclose(
        np.linalg.eigvalsh(problems.s4().hessian(np.zeros(2))), [2.58917824, 3.60309744], atol=5e-9
    )

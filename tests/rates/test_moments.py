"""Moments of random forces against the listed steps, and the matrix-free solvers against dense matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.rates import moments as module
from samdyn.rates.affine_steps import forces_near, random_steps
from samdyn.rates.forces import ListedForces, moving_forces
from samdyn.rates.moments import Moments
from samdyn.rates.structured_forces import PairedForces, SquareForces


def ridge(n: int = 8, dim: int = 6, strength: float = 0.1) -> sd.FiniteSum:
    rng = np.random.default_rng(n)
    return sd.FiniteSum.least_squares(rng.standard_normal((n, dim)), rng.standard_normal(n), ridge=strength)


def curved(n: int = 5, dim: int = 6) -> sd.FiniteSum:
    """Quadratics of full rank: no squares."""
    rng = np.random.default_rng(0)
    m = rng.standard_normal((n, dim, dim)) / dim**0.5
    return sd.FiniteSum(
        lambda w, s: w @ s[0] @ w / 2 - s[1] @ w,
        (m @ m.swapaxes(1, 2), rng.standard_normal((n, dim))),
        dim=dim,
    )


P = tuple(np.arange(1, 9) / 36)
CASES: dict[str, tuple[sd.FiniteSum, Any, float, dict[str, Any]]] = {
    "single": (ridge(), sd.USAM(0.05), 0.0, {}),
    "importance": (ridge(), sd.USAM(0.05), 0.0, {"sampling": "importance"}),
    "extragradient": (ridge(), sd.Extragradient(0.05), 0.0, {"sampling": P}),
    "no weights": (ridge(), sd.USAM(0.05), 0.0, {"sampling": P, "reweight": False}),
    "momentum": (ridge(), sd.USAM(0.05), 0.7, {}),
    "half": (ridge(), sd.UnifiedSAM(0.1, 0.5), 0.0, {"batch_size": 3}),
    "micro": (ridge(), sd.USAM(0.05), 0.5, {"batch_size": 4, "micro_batch": 2}),
    "independent": (ridge(), sd.USAM(0.05), 0.0, {"batch_size": 2, "probe": "independent"}),
    "independent, momentum": (curved(), sd.USAM(0.05), 0.6, {"probe": "independent"}),
    "full": (ridge(), sd.USAM(0.05), 0.0, {"batch_size": 2, "probe": "full"}),
    # E F is not symmetric: the mean of the batches is not that of the probe
    "full, no weights": (ridge(), sd.USAM(0.2), 0.4, {"sampling": P, "probe": "full", "reweight": False}),
    "full rank": (curved(), sd.USAM(0.2), 0.0, {"sampling": "with replacement", "batch_size": 2}),
}


def build(case: str, lr: float) -> sd.Map:
    loss, rule, momentum, more = CASES[case]
    return sd.Map(loss, rule, lr=lr, momentum=momentum, noise=sd.Minibatch(**more))


def dense(system: sd.Map) -> np.ndarray:
    """K as a matrix, from the listed steps."""
    steps = random_steps(system)
    return sum(p * np.kron(j, j) for p, j in zip(steps.probability, steps.jacobians, strict=True))


def test_each_form_is_used() -> None:
    forms = {case: type(forces_near(build(case, 0.1))) for case in CASES}
    assert forms["single"] is forms["importance"] is forms["no weights"] is SquareForces
    assert forms["independent"] is PairedForces
    assert forms["half"] is forms["full"] is forms["full rank"] is ListedForces


@pytest.mark.parametrize("case", CASES)
def test_moments_are_those_of_the_steps(case: str) -> None:
    system = build(case, 0.05)
    steps, moments = random_steps(system), Moments(forces_near(system), 0.05, system.momentum)
    p, j = steps.probability, steps.jacobians
    size = moments.state_dim
    m = np.random.default_rng(1).standard_normal((size, size))
    c = m @ m.T
    np.testing.assert_allclose(
        moments.apply(c), np.einsum("m,mij,jk,mlk->il", p, j, c, j, optimize=True), rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(moments.matrix(), dense(system), atol=1e-12)
    np.testing.assert_allclose(moments.mean_step, np.einsum("m,mij->ij", p, j), atol=1e-13)
    gram = np.einsum("m,mki,mkj->ij", p, j, j)
    assert moments.one_step() == pytest.approx(np.linalg.eigvalsh(gram)[-1], rel=1e-12)
    x = np.arange(1.0, 7.0)
    at = j @ np.concatenate([x, np.zeros(size - 6)]) + steps.offsets
    at = at - p @ at
    kick = moments._kick(moments.forces.covariance(x))
    np.testing.assert_allclose(kick, np.einsum("m,mi,mj->ij", p, at, at), atol=1e-12)


@pytest.mark.parametrize("lr", [1e-6, 0.02, 0.1])
@pytest.mark.parametrize("case", CASES)
def test_matrix_free_answers_are_the_dense_ones(
    case: str, lr: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = build(case, lr)
    K = dense(system)
    radius = float(np.abs(np.linalg.eigvals(K)).max())
    monkeypatch.setattr(module, "DENSE", 0)
    monkeypatch.setattr(module, "SMALL", 0)
    moments = Moments(forces_near(system), lr, system.momentum)
    assert moments.spectral_radius == pytest.approx(radius, abs=1e-9 if lr > 1e-3 else 1e-12)
    assert moments.dies_out() == (radius < 1)
    if radius < 1:
        m = np.random.default_rng(2).standard_normal((6, 6))
        y = m @ m.T
        size = moments.state_dim
        exact = np.linalg.solve(np.eye(size**2) - K, moments._kick(y).ravel()).reshape(size, size)[:6, :6]
        # the dense solve is good to rounding over lr
        near = max(1e-10, 1e-12 / lr) * np.abs(exact).max()
        np.testing.assert_allclose(moments.stationary(y), exact, rtol=0, atol=near)


@pytest.mark.parametrize("case", ["single", "full rank", "independent", "momentum"])
def test_what_does_not_die_out(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    critical = sd.critical_learning_rate(build(case, 0.1))
    monkeypatch.setattr(module, "DENSE", 0)
    monkeypatch.setattr(module, "SMALL", 0)
    for factor, stable in ((0.99, True), (1.01, False), (1.5, False)):
        system = build(case, factor * critical)
        moments = Moments(forces_near(system), factor * critical, system.momentum)
        assert moments.dies_out() is stable
        radius = float(np.abs(np.linalg.eigvals(dense(system))).max())
        assert moments.spectral_radius == pytest.approx(radius, rel=1e-8)
        if not stable:
            with pytest.raises(ValueError, match="stable in mean square"):
                sd.stationary_law(system)


@pytest.mark.parametrize("lr", [1e-9, 1e-3, 0.2])
def test_small_rates_in_a_hundred_dimensions(lr: float) -> None:
    """As lr goes to 0 the covariance is that of H C + C H = lr Cov(g), and 1 - radius is 2 lr mu."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((100, 100)) / 10
    loss = sd.FiniteSum.least_squares(rows, rows @ np.ones(100) + rng.standard_normal(100), ridge=0.03)
    law = sd.stationary_law(sd.Map(loss, sd.USAM(0.002), lr=lr, noise=sd.Minibatch(1)))
    forces = forces_near(sd.Map(loss, sd.USAM(0.002), lr=lr, noise=sd.Minibatch(1)))
    c, force = law.covariance, forces.mean
    left = force @ c + c @ force - lr * forces.second(c) - lr * forces.covariance(law.mean)
    assert np.abs(left).max() < 1e-12 * np.abs(c).max()
    mu = np.linalg.eigvalsh(force)[0]
    assert 1 - law.spectral_radius == pytest.approx(2 * lr * mu, rel=1e-6 if lr < 1e-6 else 0.02)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.05)], ids=["GD", "USAM"])
@pytest.mark.parametrize("size", [1, 2])
def test_more_parameters_than_samples(seed: int, rule: Any, size: int) -> None:
    """The same batches in the span of the rows give the same critical rate; the rest does not move."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((3, 5))
    wide = sd.FiniteSum.least_squares(rows, np.zeros(3))
    span = np.linalg.svd(rows, full_matrices=False)[2]
    narrow = sd.FiniteSum.least_squares(rows @ span.T, np.zeros(3))
    rates = [
        sd.critical_learning_rate(sd.Map(loss, rule, lr=0.1, noise=sd.Minibatch(size)))
        for loss in (wide, narrow)
    ]
    assert rates[0] == pytest.approx(rates[1], rel=1e-8)
    stable = sd.Map(wide, rule, lr=0.5 * rates[0], noise=sd.Minibatch(size))
    assert sd.mean_square_stability(stable).stable
    assert sd.sampling_lyapunov_exponent(stable, n_steps=100, n_paths=20).value < 0
    with pytest.raises(ValueError, match="curvature in every direction"):
        sd.stationary_law(stable)


def test_nearly_flat_directions_are_not_flat() -> None:
    rows = np.diag([1.0, 1e-8]) @ np.linalg.qr(np.random.default_rng(0).standard_normal((2, 2)))[0]
    system = sd.Map(sd.FiniteSum.least_squares(rows, [1.0, 1.0]), sd.GD(), lr=0.1, noise=sd.Minibatch(1))
    assert moving_forces(forces_near(system)).mean.shape == (2, 2)


def test_a_sample_that_is_drawn_rarely() -> None:
    """Of curvature 1/p once in 1/p draws: E J^2 = 1 - 2 lr + lr^2 / p and so the critical rate is 2 p."""
    p = 1e-9
    loss = sd.FiniteSum(lambda w, s: s * w[0] ** 2 / 2, [1.0, 0.0], dim=1)
    system = sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(sampling=(p, 1 - p)))
    assert sd.critical_learning_rate(system) == pytest.approx(4 * p, rel=1e-9)  # the sample has weight 1/(2p)
    strong = sd.Map(problem := ridge(), sd.USAM(1e6), lr=0.1, noise=sd.Minibatch(8))
    h = np.linalg.eigvalsh(problem.hessian(np.zeros(6)))[-1]
    assert sd.critical_learning_rate(strong) == pytest.approx(2 / (h * (1 + 1e6 * h)), rel=1e-8)


def test_many_least_squares_have_their_law_without_a_list_of_hessians(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loss = ridge()
    expected = sd.stationary_law(sd.Map(loss, sd.USAM(0.05), lr=0.05, noise=sd.Minibatch(1)))
    monkeypatch.setattr("samdyn.landscapes.sampled_landscape.DETECT_LIMIT", 0)
    bare = ridge()
    assert bare.quadratics is None
    law = sd.stationary_law(sd.Map(bare, sd.USAM(0.05), lr=0.05, noise=sd.Minibatch(1)))
    np.testing.assert_allclose(law.covariance, expected.covariance, rtol=1e-12)
    np.testing.assert_allclose(law.minimiser, expected.minimiser, rtol=1e-12)
    np.testing.assert_allclose(bare.smoothness().values, loss.smoothness().values)


@pytest.mark.parametrize("lr", [1e-6, 1e-3, 0.1, 0.45, 0.499, 0.5, 0.501, 0.6, 1.0])
@pytest.mark.parametrize("repeated", [False, True])
def test_the_leading_direction_may_be_any_one(lr: float, repeated: bool) -> None:
    """One sample for each coordinate: K is diagonal, and which of its entries leads changes with lr."""
    n = 30
    h = np.repeat([0.5, 1.0, 4.0], 10) if repeated else np.random.default_rng(0).uniform(0.01, 4, n)
    loss = sd.FiniteSum.least_squares(np.diag(np.sqrt(h)), np.zeros(n))
    entries = 1 - lr / n * (h[:, None] + h)
    np.fill_diagonal(entries, 1 - 1 / n + (1 - lr * h) ** 2 / n)
    found = sd.mean_square_stability(sd.Map(loss, sd.GD(), lr=lr, noise=sd.Minibatch(1))).spectral_radius
    assert found == pytest.approx(np.abs(entries).max(), abs=1e-11)

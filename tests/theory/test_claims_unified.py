"""Claims on Unified SAM and its relatives that no other test pins: potentials, reductions, identities."""

from __future__ import annotations

import math

import numpy as np
import problems
import pytest
import torch

import samdyn as sd
from samdyn.theory import bartlett, compagnoni
from samdyn.theory import oikonomou_loizou as theory


def smooth(w: torch.Tensor) -> torch.Tensor:
    return torch.log(torch.cosh(w[0] + 2 * w[1])) + w[0] ** 4 / 4 + w[1] ** 2 / 2


@pytest.mark.parametrize(
    ("lam", "expected"), [(0.0, (1.1930e-2, 2.8632e-3, 6.998e-4)), (1.0, (2.2296e-2, 5.2962e-3, 1.2856e-3))]
)
def test_the_potential_is_right_to_second_order(lam: float, expected: tuple[float, ...]) -> None:
    """The perturbed gradient against that of f + rho ((1-lam)/2 |g|^2 + lam |g|), for three radii."""
    loss, x, h = sd.Landscape(smooth, dim=2), np.array([0.7, -0.2]), 1e-5
    ends = x + h * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    errors = []
    for rho in (0.1, 0.05, 0.025):
        up, down, right, left = theory.potential(loss.value(ends), loss.gradient(ends)[:, None], rho, lam)
        slope = np.array([up - down, right - left]) / (2 * h)
        errors.append(np.linalg.norm(-sd.Flow(loss, sd.UnifiedSAM(rho, lam))(x) - slope))
    assert errors == pytest.approx(expected, rel=2e-4)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.04)


@pytest.mark.parametrize("sampling", ["with replacement", "importance"])
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_the_sampled_potential_is_exact_on_quadratics(lam: float, sampling: str) -> None:
    """The mean of the perturbed, reweighted gradients, by enumeration, is its gradient, at any rho."""
    loss, x, rho, h = problems.r6(), np.array([1.3, -0.4]), 0.3, 1e-5
    law = sd.Minibatch(1, sampling=sampling).sampler(loss).batches()
    which, weight, p = law.index[:, 0], law.weights[:, 0], law.probability
    ends = x + h * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    gradients = weight[:, None] * loss.sample_gradients(ends)[:, which]
    up, down, right, left = theory.potential(loss.value(ends), gradients, rho, lam, weights=p)
    g = weight[:, None] * loss.sample_gradients(x)[which]
    y = x + rho * (1 - lam + lam / np.linalg.norm(g, axis=1, keepdims=True)) * g
    moved = [weight[i] * loss.sample_gradients(y[i])[which[i]] for i in range(len(which))]
    np.testing.assert_allclose(np.array([up - down, right - left]) / (2 * h), p @ np.array(moved), rtol=1e-7)


def test_potential_is_what_the_regularised_losses_say() -> None:
    """With one batch the regularised losses are f + rho/2 |g|^2 and f + rho |g|; with more, the potential."""
    loss, x, rho = sd.Landscape(smooth, dim=2), np.array([0.7, -0.2]), 0.1
    g, f = loss.gradient(x), float(loss.value(x))
    samples, p = np.array([[1.0, 2.0], [0.0, -3.0]]), [0.3, 0.7]
    for rule, lam in (("USAM", 0.0), ("SAM", 1.0)):
        expected = compagnoni.regularised_loss(f, samples, rho, rule, p)
        assert theory.potential(f, samples, rho, lam, p) == pytest.approx(expected, rel=1e-14)
    assert compagnoni.regularised_loss(f, g[None], rho, "USAM") == pytest.approx(f + rho / 2 * g @ g)
    assert compagnoni.regularised_loss(f, g[None], rho, "SAM") == pytest.approx(f + rho * np.linalg.norm(g))


def test_the_whole_family_on_one_quadratic() -> None:
    """One step, largest learning rates, and the cycle, for H = diag(1, 3, 10)."""
    loss = sd.landscapes.quadratic(np.diag([1.0, 3.0, 10.0]))
    start = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(sd.Map(loss, sd.USAM(0.05), lr=0.1)(start), [0.895, -1.31, -0.25], atol=1e-14)
    steep = sd.landscapes.quadratic([[10.0]])
    for lam, largest in ((0.0, 0.133333), (0.5, 0.16), (0.9, 0.190476), (1.0, 0.2)):
        for factor, bounded in ((0.99, True), (1.01, False)):
            system = sd.Map(
                steep, sd.UnifiedSAM(0.05, lam), lr=factor * 2 / (10 * (1 + 0.05 * (1 - lam) * 10))
            )
            end = abs(sd.trajectory(system, [0.3], n_steps=2000)[-1, 0])
            assert bool(end < 10) is bounded
        with pytest.raises(ValueError, match="lr"):
            bartlett.cycle_amplitude(10.0, 0.05, largest * 1.001, lam)
        assert bartlett.cycle_amplitude(10.0, 0.05, largest * 0.999, lam) >= 0
    assert bartlett.cycle_amplitude(10.0, 0.05, 0.15) == pytest.approx(0.15)


def test_cycles_of_lower_modes_are_left() -> None:
    loss = sd.landscapes.quadratic(np.diag([1.0, 3.0, 10.0]))
    second = bartlett.cycle_amplitude(3.0, 0.05, 0.1, 0.5)
    system = sd.Map(loss, sd.UnifiedSAM(0.05, 0.5), lr=0.1)
    end = sd.trajectory(system, [0.0, second, 1e-8], n_steps=3000)[-1]
    np.testing.assert_allclose(
        np.abs(end), [0, 0, bartlett.cycle_amplitude(10.0, 0.05, 0.1, 0.5)], atol=1e-10
    )


@pytest.mark.parametrize(("lam", "threshold"), [(1.0, 0.1), (0.5, 0.0526316)])
def test_threshold_at_a_maximum(lam: float, threshold: float) -> None:
    """h = -1, lr = rho = 0.1: below rho lam / (1 - rho (1 - lam)) the maximum holds the iterate."""
    cap = sd.Map(sd.landscapes.quadratic([[-1.0]]), sd.UnifiedSAM(0.1, lam), lr=0.1)
    assert 0.1 * lam / (1 - 0.1 * (1 - lam)) == pytest.approx(threshold, abs=5e-8)
    inside, outside = (sd.trajectory(cap, [f * threshold], n_steps=500)[-1, 0] for f in (0.99, 1.01))
    assert abs(inside) < threshold
    assert abs(outside) > 10


def test_usam_is_attracted_to_a_sharp_maximum() -> None:
    step = sd.Map(sd.landscapes.quadratic([[-15.0]]), sd.USAM(0.1), lr=0.01)
    assert float(step([1.0])[0]) == pytest.approx(0.925, abs=1e-14)


def test_single_sample_step_is_descent_on_another_loss() -> None:
    """(1 + rho (1-lam) s) r^2 / 2 + rho lam sqrt(s) |r|, s = |a|^2."""
    a, b, x = np.array([1.0, -2.0, 0.5]), 0.3, np.array([0.2, 0.1, -0.4])
    rho, lam, lr = 0.1, 0.3, 0.05
    loss = sd.FiniteSum.least_squares(a[None], [b])
    after = sd.Map(loss, sd.UnifiedSAM(rho, lam), lr=lr)(x)
    np.testing.assert_allclose(after, [0.2376244318, 0.0247511365, -0.3811877841], atol=5e-11)
    r, s = a @ x - b, a @ a
    slope = ((1 + rho * (1 - lam) * s) * r + rho * lam * math.sqrt(s) * np.sign(r)) * a
    np.testing.assert_allclose(after, x - lr * slope, atol=1e-14)


def test_reductions_within_the_family() -> None:
    """The ends of the family and the zero radius, with samples, on one trajectory of random batches."""
    loss = problems.r6()

    def path(rule: sd.Rule, **more: object) -> np.ndarray:
        noise = sd.Minibatch(2, **more)  # type: ignore[arg-type]
        return sd.trajectory(sd.Map(loss, rule, lr=0.01, noise=noise), [2.0, -1.0], n_steps=200, seed=3)

    pairs = [
        (path(sd.UnifiedSAM(0.05, 0.0)), path(sd.USAM(0.05))),
        (path(sd.UnifiedSAM(0.05, 1.0)), path(sd.SAM(0.05))),
        (path(sd.UnifiedSAM(0.0, 0.5)), path(sd.GD())),
        (path(sd.SAM(0.05)), path(sd.SAM(0.05), micro_batch=2)),
        (path(sd.Extragradient(0.0)), path(sd.GD())),
    ]
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=1e-12)
    assert np.abs(path(sd.SAM(0.05)) - path(sd.SAM(0.05), micro_batch=1)).max() > 1e-4


def test_full_batch_dnsam_is_sam() -> None:
    loss = problems.r6()
    ends = [
        sd.trajectory(sd.Map(loss, rule, lr=0.05, noise=sd.Minibatch(6)), [2.0, -1.0], n_steps=100)
        for rule in (sd.DNSAM(0.05), sd.SAM(0.05))
    ]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-12)


def test_expected_residual_of_tau_nice_batches_is_an_identity() -> None:
    """E |g_S|^2 = B |g|^2 + (n - tau) / (tau (n-1)) mean |g_i|^2, and that with replacement."""
    loss, x = problems.r6(), np.array([1.3, -0.4])
    g = loss.sample_gradients(x)
    squares, mean = (g**2).sum(axis=1).mean(), (g.mean(axis=0) ** 2).sum()
    for tau in (1, 2, 3, 6):
        for sampling in ("without replacement", "with replacement"):
            law = sd.Minibatch(tau, sampling=sampling).sampler(loss).batches()
            if not law.exact:
                continue
            batch = (law.weights[:, :, None] * g[law.index]).mean(axis=1)
            found = law.probability @ (batch**2).sum(axis=1)
            if sampling == "with replacement":
                expected = squares / tau + (1 - 1 / tau) * mean
            else:
                constants = theory.nice_sampling(loss.smoothness().values, tau)
                expected = constants.B * mean + (6 - tau) / (tau * 5) * squares
            assert found == pytest.approx(expected, rel=1e-12)


def test_importance_sampled_usam_is_descent_with_one_rate() -> None:
    """Rank-one terms, p_i ~ |a_i|^2, reweighted: each step is SGD's with the rate lr (1 + rho mean L)."""
    rows = np.random.default_rng(0).standard_normal((5, 2))
    loss = sd.FiniteSum.least_squares(rows, np.arange(5.0))
    noise, mean_l = sd.Minibatch(1, sampling="importance"), (rows**2).sum(axis=1).mean()
    usam = sd.Map(loss, sd.USAM(0.1), lr=0.05, noise=noise)
    sgd = sd.Map(loss, sd.GD(), lr=0.05 * (1 + 0.1 * mean_l), noise=noise)
    one, other = (sd.trajectory(s, [1.0, 1.0], n_steps=300, seed=2) for s in (usam, sgd))
    np.testing.assert_allclose(one, other, atol=1e-11)
    law = sd.stationary_law(usam)
    np.testing.assert_allclose(law.mean, law.minimiser, atol=1e-11)


def test_penalties_of_random_probes_on_a_quadratic() -> None:
    """Var f(x + rho v), E f(x + rho v) - f and Cov(f, g) for Gaussian v, by exact third-order quadrature."""
    H, x, rho = np.array([[2, 0.5, 0], [0.5, 1, 0.3], [0, 0.3, 3]]), np.array([0.2, -0.1, 0.3]), 0.3
    loss = sd.landscapes.quadratic(H)
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights = weights / weights.sum()
    v = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    w = np.einsum("i,j,k->ijk", weights, weights, weights).ravel()
    f, gradients, g = loss.value(x + rho * v), loss.gradient(x + rho * v), H @ x
    mean = w @ f
    variance = w @ (f - mean) ** 2
    assert variance == pytest.approx(0.139329, abs=5e-7)
    assert variance == pytest.approx(rho**2 * g @ g + rho**4 / 2 * (H**2).sum(), rel=1e-12)
    assert (mean - float(loss.value(x))) / rho**2 == pytest.approx(3.0, rel=1e-12)
    covariance = (w * (f - mean)) @ (gradients - g) / rho**2
    np.testing.assert_allclose(covariance, H @ g, rtol=1e-11)
    np.testing.assert_allclose(covariance, [0.745, 0.526, 2.637], atol=5e-4)


def test_bias_of_early_stopping() -> None:
    """Five steps on h = (1, 0.3, 0.05): USAM forgets the start and fits noise faster in every mode."""
    loss = sd.landscapes.quadratic(np.diag([1.0, 0.3, 0.05]))
    gd, usam = (
        sd.trajectory(sd.Map(loss, rule, lr=0.5), [1.0, 1.0, 1.0], n_steps=5)[-1]
        for rule in (sd.GD(), sd.USAM(0.5))
    )
    np.testing.assert_allclose(gd, [0.03125, 0.443705, 0.881096], atol=6e-7)
    np.testing.assert_allclose(usam, [0.000977, 0.388007, 0.878275], atol=6e-7)
    assert ((1 - usam) ** 2 > (1 - gd) ** 2).all()


@pytest.mark.parametrize(
    ("case", "expected", "printed"),
    [
        (("uniform", 0.0), 6.6e-4, 0.227),
        (("uniform", 0.5), 6.9e-4, 0.220),
        (("uniform", 1.0), 1.37e-3, 0.319),
        (("importance", 0.0), 4.0e-3, 0.215),
        (("importance", 0.5), 4.1e-3, 0.205),
        (("importance", 1.0), 4.3e-3, 0.332),
    ],
    ids=str,
)
def test_gaps_at_the_theorems_steps(case: tuple[str, float], expected: float, printed: float) -> None:
    """Two hundred replicas of R6 after 5000 steps: the true gap, 50 to 400 times below the bound."""
    scheme, lam = case
    loss = problems.r6()
    smoothness = loss.smoothness().values
    p = np.full(6, 1 / 6) if scheme == "uniform" else smoothness / smoothness.sum()
    residual = float(loss.minimum().value - loss.sample_infima().mean())
    constants = theory.single_element(smoothness, p, residual=residual)
    mu = float(np.linalg.eigvalsh(loss.hessian([0.0, 0.0]))[0])
    rho = theory.largest_radius(constants, strong_convexity=mu, lam=lam) / 2
    lr = theory.largest_learning_rate(constants, strong_convexity=mu, rho=rho, lam=lam)
    noise = sd.Minibatch(1, sampling="importance" if scheme == "importance" else "without replacement")
    run = sd.convergence(
        sd.Map(loss, sd.UnifiedSAM(rho, lam), lr=lr, noise=noise),
        [2.0, -1.0],
        5000,
        1000,
        times=[5000],
        record=["gap"],
    )
    gaps = run.curves("gap")[-1]
    bound = theory.neighbourhood(constants, strong_convexity=mu, rho=rho, lr=lr, lam=lam)
    assert bound == pytest.approx(printed, abs=5.1e-4)
    # the reference is the mean of 200 replicas
    error = gaps.std() * math.sqrt(1 / 1000 + 1 / 200)
    assert abs(gaps.mean() - expected) < 4 * error
    assert 30 < bound / gaps.mean() < 500

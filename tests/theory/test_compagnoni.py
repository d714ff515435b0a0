"""Drift and noise of the equations of SAM against enumerated and sampled batches."""

from __future__ import annotations

import numpy as np
import pytest

from samdyn.theory import compagnoni, luo

RNG = np.random.default_rng(0)
N, DIM = 40, 3
FACTORS = RNG.normal(size=(N, DIM, DIM))
H = np.einsum("nij,nkj->nik", FACTORS, FACTORS) / DIM
G = RNG.normal(size=(N, DIM)) + np.array([1.0, 0.5, 0.0])


def descent(rho: float, rule: str) -> np.ndarray:
    """The descent gradients of quadratic components with these gradients and Hessians, exactly."""
    scale = {
        "USAM": np.ones(N),
        "SAM": np.linalg.norm(G, axis=1),
        "DNSAM": np.full(N, np.linalg.norm(G.mean(0))),
    }[rule]
    return G + rho * np.einsum("nij,nj->ni", H, G) / scale[:, None]


@pytest.mark.parametrize("rule", compagnoni.RULES)
def test_drift_and_noise_on_quadratic_components(rule: str) -> None:
    for rho in (1e-2, 0.3):
        step = descent(rho, rule)
        assert compagnoni.drift(G, H, rho, rule) == pytest.approx(step.mean(0), rel=1e-12)
        exact = np.cov(step.T, bias=True)
        assert compagnoni.noise_covariance(G, H, rho, rule, order=2) == pytest.approx(exact, rel=1e-10)
    remainders = []
    for rho in (1e-2, 1e-3):
        first = compagnoni.noise_covariance(G, H, rho, rule)
        remainders.append(np.abs(first - np.cov(descent(rho, rule).T, bias=True)).max() / rho**2)
    assert remainders[0] == pytest.approx(remainders[1], rel=1e-6)  # exactly of second order
    assert remainders[0] > 1e-3
    assert compagnoni.noise_covariance(G, H, 0.3, rule, order=0) == pytest.approx(np.cov(G.T, bias=True))


@pytest.mark.parametrize("rule", ["USAM", "SAM"])
def test_drift_is_the_gradient_of_the_regularised_loss(rule: str) -> None:
    """Quadratic components c_n + G_n x + x H_n x / 2, differentiated at 0 by central differences."""
    rho, d = 0.2, 1e-5

    def potential(x: np.ndarray) -> float:
        values = G @ x + np.einsum("i,nij,j->n", x, H, x) / 2
        return compagnoni.regularised_loss(float(values.mean()), G + H @ x, rho, rule)

    slope = [(potential(d * e) - potential(-d * e)) / (2 * d) for e in np.eye(DIM)]
    assert slope == pytest.approx(compagnoni.drift(G, H, rho, rule), rel=1e-7)


def test_drift_of_dnsam_is_no_gradient_in_general() -> None:
    """Its curl does not vanish, as that of rho grad ||grad f|| does; with one Hessian it is that."""
    rho, d = 1e-2, 1e-5

    def field(x: np.ndarray, hessians: np.ndarray) -> np.ndarray:
        return compagnoni.drift(G + hessians @ x, hessians, rho, "DNSAM")

    def curl(hessians: np.ndarray) -> float:
        J = np.array([(field(d * e, hessians) - field(-d * e, hessians)) / (2 * d) for e in np.eye(DIM)])
        return float(np.abs(J - J.T).max())

    assert curl(H) > 1e-4
    assert curl(np.broadcast_to(H.mean(0), H.shape)) < 1e-8
    g, mean = G.mean(0), H.mean(0)
    same = compagnoni.drift(G, np.broadcast_to(mean, H.shape), rho, "DNSAM")
    assert same == pytest.approx(g + rho * mean @ g / np.linalg.norm(g))
    with pytest.raises(ValueError, match="potential"):
        compagnoni.regularised_loss(0.0, G, 0.1, "DNSAM")


def test_weights_are_probabilities() -> None:
    p = np.arange(1, N + 1) / (N * (N + 1) / 2)
    assert compagnoni.drift(G, H, 0.1, "USAM", p) == pytest.approx(p @ descent(0.1, "USAM"))
    for bad in (p * 2, -p, p[:-1]):
        with pytest.raises(ValueError, match="weights"):
            compagnoni.drift(G, H, 0.1, "USAM", bad)
    with pytest.raises(ValueError, match="rule"):
        compagnoni.drift(G, H, 0.1, "sam")
    with pytest.raises(ValueError, match="shape"):
        compagnoni.drift(G, H[0], 0.1, "SAM")


def test_smoothed_jump_against_draws() -> None:
    lam, x, sigma, rho = 2.0, 0.3, 0.5, 0.2
    noise = np.random.default_rng(1).normal(size=400_000) * sigma
    steps = -(lam * (x + rho * np.sign(lam * x + noise)) + noise)
    value = compagnoni.sam_gaussian_drift(x, lam, rho, sigma)
    assert value == pytest.approx(-0.907944, abs=5e-7)
    assert abs(steps.mean() - value) < 4 * steps.std() / np.sqrt(noise.size)


def test_stationary_variance_of_usam() -> None:
    """The recursion x' = (1 - lr h (1 + rho h)) x + lr (1 + rho h) noise, iterated to its fixed point."""
    h, rho, lr, sigma = 1.0, 0.5, 0.01, 1.0
    a, b = 1 - lr * h * (1 + rho * h), lr * (1 + rho * h) * sigma
    exact = b**2 / (1 - a**2)
    assert compagnoni.usam_discrete_variance(h, rho, lr, sigma) == pytest.approx(exact, rel=1e-12)
    assert compagnoni.usam_stationary_variance(h, 0.0, lr, sigma) == pytest.approx(0.005)
    with pytest.raises(ValueError, match=r"2 / \(h"):
        compagnoni.usam_discrete_variance(h, rho, 2.0, sigma)


def test_flow_of_usam() -> None:
    path = compagnoni.usam_path([1.0, 2.0], [1.0, -2.0], 0.6, [0.0, 1.0])
    assert path[0] == pytest.approx([1.0, 2.0])
    assert path[1] == pytest.approx([np.exp(-1.6), 2 * np.exp(2 * (1 - 1.2))])


@pytest.mark.parametrize("order", ["full", "linear", "none"])
def test_weak_order(order: str) -> None:
    """Error of Var / lr of USAM at time 1, rho = sqrt(lr): order 1 with the full noise, 1/2 without."""
    h, sigma = 2.0, 1.0
    errors = []
    rates = np.array([0.01, 0.005, 0.0025])
    for lr in rates:
        rho = np.sqrt(lr)
        gain = {"full": (1 + rho * h) ** 2, "linear": 1 + 2 * rho * h, "none": 1.0}[order]
        a = 1 - lr * h * (1 + rho * h)
        discrete = lr * (1 + rho * h) ** 2 * (1 - a ** (2 * round(1 / lr))) / (1 - a**2)
        k = h * (1 + rho * h)
        errors.append(abs(sigma**2 * (gain * (1 - np.exp(-2 * k)) / (2 * k) - discrete)))
    slope = np.polyfit(np.log(rates), np.log(errors), 1)[0]
    assert slope == pytest.approx({"full": 1.0, "linear": 1.0, "none": 0.5}[order], abs=0.15)
    if order == "full":
        assert errors[0] == pytest.approx(0.003756, rel=1e-3)
        assert errors[2] == pytest.approx(0.000790, rel=1e-2)
    if order == "none":
        assert errors[0] == pytest.approx(0.09467, rel=1e-3)


def test_penalty_of_micro_batches() -> None:
    """Values at one point of six least-squares losses, for micro-batches of 1, 2, 3 and 6."""
    i = np.arange(1, 7)
    a = np.cos(np.outer(i, [1, 2])) * (0.5 + 0.5 * i)[:, None]
    best = np.array([-0.06021442, 0.05782337])
    x = best + np.array([0.3, -0.2])
    gradients = a * (a @ x - np.sin(i))[:, None] + 0.1 * x
    norms = [luo.normalised_penalty(gradients, 1.0, m) for m in (1, 2, 3, 6)]
    assert norms == pytest.approx([1.948649, 1.493601, 1.253044, 0.938130], abs=2e-6)
    squares = [luo.unnormalised_penalty(gradients, 2.0, m, replacement=False) for m in (1, 2, 3, 6)]
    assert squares == pytest.approx([5.556573, 2.750682, 1.815384, 0.880087], abs=2e-6)
    assert luo.normalised_penalty(gradients, 1.0, None) == pytest.approx(norms[-1])
    pairs = (gradients[:, None] + gradients[None]) / 2
    assert luo.unnormalised_penalty(gradients, 2.0, 2) == pytest.approx((pairs**2).sum(-1).mean())
    with pytest.raises(ValueError, match="at most the number"):
        luo.normalised_penalty(gradients, 1.0, 7)
    with pytest.raises(ValueError, match="too many"):
        luo.normalised_penalty(np.ones((60, 2)), 1.0, 20)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="x0 and eigenvalues must have the same shape"):
        compagnoni.usam_path([1.0, 1.0, 1.0], [1.0, 2.0], 0.1, 1.0)
    with pytest.raises(ValueError, match="gradients must have shape"):
        compagnoni.regularised_loss(1.0, 3.0, 0.1, "SAM")
    with pytest.raises(TypeError, match="gradients must be a number or an array of numbers"):
        compagnoni.drift("steep", [[[1.0]]], 0.1, "SAM")

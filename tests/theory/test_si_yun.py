"""The bounds of Si and Yun against SAM run on random losses: no instance may exceed one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from samdyn.theory import si_yun

Gradient = Callable[[np.ndarray], np.ndarray]
FULL = {"noise_std": 0.0, "probe": "full"}


def unit(g: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(g, axis=-1, keepdims=True)
    return np.divide(g, norm, out=np.zeros_like(g), where=norm > 0)


def sam(gradient: Gradient, x: np.ndarray, rho: float, lr: float, steps: int) -> np.ndarray:
    path = [x]
    for _ in range(steps):
        x = x - lr * gradient(x + rho * unit(gradient(x)))
        path.append(x)
    return np.array(path)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.001, 2), st.floats(0.02, 1))
def test_gap_on_random_strongly_convex_losses(seed: int, rho: float, share: float) -> None:
    """Quadratics plus log-cosh terms: curvature between mu and beta, minimum at 0."""
    rng = np.random.default_rng(seed)
    mu, dim = 0.1, 3
    directions = rng.normal(size=(4, dim))
    weights = rng.uniform(0, 1, 4)
    beta = mu + np.linalg.eigvalsh((weights[:, None] * directions).T @ directions)[-1]

    def value(x: np.ndarray) -> np.ndarray:
        return mu / 2 * (x**2).sum(-1) + (weights * np.log(np.cosh(x @ directions.T))).sum(-1)

    def gradient(x: np.ndarray) -> np.ndarray:
        return mu * x + (weights * np.tanh(x @ directions.T)) @ directions

    x0 = rng.normal(size=dim) * 10 ** rng.uniform(-3, 1)
    lr = share / (2 * beta)
    f = value(sam(gradient, x0, rho, lr, 300))
    curvatures = {"smoothness": beta, "strong_convexity": mu}
    bound = [si_yun.strongly_convex_gap(t, f[0], rho=rho, lr=lr, **curvatures) for t in range(301)]
    assert (f <= np.array(bound) * (1 + 1e-12) + 1e-15).all()


def test_gap_falls_as_the_square_of_the_horizon() -> None:
    H, rho = np.array([1.0, 0.2]), 0.1
    curvatures = {"smoothness": 1.0, "strong_convexity": 0.2, "rho": rho}
    expected = {
        100: (0.28255, 1.3532e-4),
        400: (0.09374, 1.2091e-5),
        1600: (0.02921, 1.0985e-6),
        6400: (0.00875, 9.648e-8),
    }
    for steps, (rate, gap) in expected.items():
        lr = si_yun.strongly_convex_learning_rate(steps, 0.6, **curvatures)
        assert lr == pytest.approx(rate, abs=5e-6)
        end = sam(lambda x: H * x, np.ones(2), rho, lr, steps)[-1]
        assert (H * end**2).sum() / 2 == pytest.approx(gap, rel=1e-4)
        assert gap < si_yun.strongly_convex_gap(steps, 0.6, lr=lr, **curvatures)
    # f T^2 / log^2 levels off
    constants = [gap * (T / math.log(0.6 * 0.2**3 * T**2 / rho**2)) ** 2 for T, (_, gap) in expected.items()]
    assert constants[-1] == pytest.approx(0.0140, abs=5e-5)
    assert constants[-2] / constants[-1] < 1.03


def test_lower_bound_over_learning_rates() -> None:
    """Of three quadratics the worst stays above the bound for every learning rate: ratio at least one."""
    beta, mu, rho = 1.0, 0.2, 0.1
    ratios = []
    for steps in (2, 5, 20, 100, 400):
        bound = si_yun.strongly_convex_gap_lower(steps, smoothness=beta, strong_convexity=mu, rho=rho)
        for lr in np.geomspace(1e-3, 3, 60):
            if lr >= 2 / beta:
                h, start = beta, beta * rho / (mu * steps)
            elif lr >= 1 / (mu * steps):
                h, start = beta, lr * beta * rho / (2 - lr * beta)
            else:
                reach = math.sqrt(beta**3 * rho**2 / (4 * mu**3 * steps**2))
                h, start = mu, 4 * (reach + rho) - rho
            path = sam(lambda x, h=h: h * x, np.array([start]), rho, lr, steps)
            ratios.append(float((h * path**2 / 2).min() / bound))
    assert min(ratios) >= 1
    assert min(ratios) < 1.5  # and the bound is not idle


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 1), st.floats(0.02, 1))
def test_gradient_on_random_convex_losses(seed: int, rho: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    directions, centres = rng.normal(size=(5, 2)), rng.normal(size=5)
    beta = np.linalg.eigvalsh(directions.T @ directions)[-1]

    def slope(x: np.ndarray) -> np.ndarray:
        return np.tanh(x @ directions.T - centres) @ directions

    def value(x: np.ndarray) -> np.ndarray:
        return np.log(np.cosh(x @ directions.T - centres)).sum(-1)

    lowest = optimize.minimize(value, np.zeros(2), jac=slope, tol=1e-12).fun
    lr, steps = share / (2 * beta), 200
    path = sam(slope, rng.normal(size=2) * 3, rho, lr, steps)
    squared = (slope(path[:-1]) ** 2).sum(-1)
    gap = float(value(path[0]) - lowest)
    assert squared.mean() <= si_yun.convex_gradient(steps, gap, smoothness=beta, rho=rho, lr=lr) * (1 + 1e-9)
    assert squared.min() <= si_yun.convex_best(steps, gap, smoothness=beta, rho=rho, lr=lr) * (1 + 1e-9)


def test_tuned_convex_rate_gives_the_closed_form() -> None:
    steps, gap, beta, rho = 10_000, 2.0, 3.0, 0.1
    bound = si_yun.convex_gradient(steps, gap, smoothness=beta, rho=rho)
    assert bound <= 8 / 3 * beta * gap / steps + 4 / 3 * math.sqrt(2 * gap * beta**3 * rho**2 / steps)
    assert si_yun.convex_learning_rate(steps, gap, smoothness=beta, rho=0.0) == 0.5 / beta


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 2), st.floats(0.05, 1))
def test_gradient_on_random_cosine_mixtures(seed: int, rho: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    waves, phases, weights = rng.normal(size=(6, 2)), rng.uniform(0, 6, 6), rng.uniform(-1, 1, 6)
    beta = float((np.abs(weights) * (waves**2).sum(1)).sum())

    def value(x: np.ndarray) -> np.ndarray:
        return np.cos(x @ waves.T + phases) @ weights

    def slope(x: np.ndarray) -> np.ndarray:
        return -(np.sin(x @ waves.T + phases) * weights) @ waves

    lr, steps = share / beta, 200
    path = sam(slope, rng.normal(size=2), rho, lr, steps)
    gap = float(value(path[0]) + np.abs(weights).sum())  # to a lower bound of the loss
    bound = si_yun.nonconvex_gradient(steps, gap, smoothness=beta, rho=rho, lr=lr)
    assert (slope(path[:-1]) ** 2).sum(-1).mean() <= bound * (1 + 1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from(["same", "independent"]), st.floats(0.05, 1), st.floats(0.02, 1)
)
def test_one_sampled_step(seed: int, probe: str, share: float, rho: float) -> None:
    """The one-step inequality behind both sampled bounds, its expectation taken by enumeration."""
    rng = np.random.default_rng(seed)
    n = 5
    waves, phases, weights = rng.normal(size=(n, 3, 2)), rng.uniform(0, 6, (n, 3)), rng.uniform(-1, 1, (n, 3))
    beta = float((np.abs(weights) * (waves**2).sum(-1)).sum(1).max())
    sigma = 2 * float(
        (np.abs(weights) * np.linalg.norm(waves, axis=-1)).sum(1).max()
    )  # at least the true one

    def slopes(x: np.ndarray) -> np.ndarray:  # (..., n, 2): every component's gradient
        angle = np.einsum("...i,nki->...nk", x, waves) + phases
        return np.einsum("...nk,nki->...ni", -np.sin(angle) * weights, waves)

    def value(x: np.ndarray) -> np.ndarray:
        return (np.cos(np.einsum("...i,nki->...nk", x, waves) + phases) * weights).sum(-1).mean(-1)

    lr = share / beta
    x = rng.normal(size=2) * 2
    ascent = x + rho * unit(slopes(x))  # one perturbed point for each component
    descent = slopes(ascent)  # [perturbing component, descending component]
    after = value(x - lr * descent)
    expected = np.diagonal(after).mean() if probe == "same" else after.mean()
    squared = float((slopes(x).mean(0) ** 2).sum())
    excess = si_yun.stochastic_gradient(1, 0.0, smoothness=beta, rho=rho, lr=lr, noise_std=sigma, probe=probe)
    assert expected <= value(x) - lr / 2 * squared + lr / 2 * excess + 1e-12


def test_sampled_gap_of_a_quadratic() -> None:
    """Two centres: the floor of the bound lies above the exact one, and the bound falls to it."""
    arguments = {"smoothness": 1.0, "strong_convexity": 1.0, "rho": 0.5, "lr": 0.1, "noise_std": 1.0}
    same, other = (si_yun.stochastic_gap(10_000, 3.0, probe=p, **arguments) for p in ("same", "independent"))
    assert same == pytest.approx((0.25 + 0.1 * 1.5**2) / 2)
    assert other == pytest.approx((0.25 + 0.1) / 2)
    assert si_yun.stochastic_learning_rate(
        100, 3.0, smoothness=1.0, strong_convexity=0.2, rho=2.0, noise_std=1.0
    ) == pytest.approx(0.5)


def test_table_names_functions_that_exist() -> None:
    from samdyn.theory import si_yun_traps

    for row in si_yun.TABLE:
        for name in row.functions:
            owner = si_yun_traps if "." in name else si_yun
            assert callable(getattr(owner, name.rpartition(".")[2]))
        assert row.status.startswith("memory")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: si_yun.strongly_convex_gap(9, 1, smoothness=1, strong_convexity=0.1, rho=1, lr=0.6),
            "lr must be .*0.5",
        ),
        (
            lambda: si_yun.strongly_convex_gap(9, 1, smoothness=1, strong_convexity=2, rho=1, lr=0.1),
            "strong_convexity",
        ),
        (
            lambda: si_yun.strongly_convex_gap_lower(9, smoothness=1, strong_convexity=0.9, rho=1),
            "smoothness / 2",
        ),
        (lambda: si_yun.nonconvex_gradient(9, 1, smoothness=2, rho=1, lr=0.6), "1 / smoothness"),
        (lambda: si_yun.nonconvex_gradient(0, 1, smoothness=2, rho=1, lr=0.5), "steps"),
        (lambda: si_yun.convex_gradient(9, math.nan, smoothness=2, rho=1, lr=0.1), "gap"),
        (
            lambda: si_yun.stochastic_gradient(9, 1, smoothness=2, rho=1, lr=0.5, noise_std=1, probe="m"),
            "probe",
        ),
        (lambda: si_yun.nonconvex_gradient(9, 1, smoothness=2, rho=-1, lr=0.5), "rho"),
    ],
    ids=["lr", "mu", "kappa", "lr-nonconvex", "steps", "gap", "probe", "rho"],
)
def test_outside_the_range(call: Callable[[], float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

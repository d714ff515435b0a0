"""Cycles, multipliers, drift and edges against the maps themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samdyn.theory import bartlett


def step(x: np.ndarray, H: np.ndarray, rho: float, lr: float, lam: float) -> np.ndarray:
    g = H * x
    norm = np.linalg.norm(g)
    return x - lr * H * (x + rho * (1 - lam + (lam / norm if norm else 0.0)) * g)


@pytest.mark.parametrize(("lam", "amplitude"), [(0.25, 0.02), (0.5, 0.0333333), (1.0, 0.05)])
def test_limit_cycle_of_unified_sam(lam: float, amplitude: float) -> None:
    H, x = np.array([1.0, 3.0, 10.0]), np.array([1.0, -2.0, 0.5])
    for _ in range(3000):
        x = step(x, H, 0.05, 0.1, lam)
    assert bartlett.cycle_amplitude(10.0, 0.05, 0.1, lam) == pytest.approx(amplitude, abs=5e-8)
    assert np.abs(x) == pytest.approx([0, 0, bartlett.cycle_amplitude(10.0, 0.05, 0.1, lam)], abs=1e-12)


def test_multipliers_at_half_weight() -> None:
    H = [1.0, 3.0, 10.0]
    table = [[0.8975, -16.4, -190], [0.711111, 0.6775, -18.888889], [0.89, 0.61, -0.25]]
    for i, row in enumerate(table):
        values = bartlett.transverse_multipliers(H[i], H, 0.05, 0.1, 0.5)
        values[i] = bartlett.radial_multiplier(H[i], 0.05, 0.1, 0.5)
        assert values == pytest.approx(row, abs=5e-7)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.5, 8),
    st.floats(-4, 4).filter(lambda h: abs(h) > 0.05),
    st.floats(0.01, 0.3),
    st.floats(0.2, 1.0),
)
def test_multipliers_by_differences(top: float, other: float, rho: float, lam: float) -> None:
    """One step from the cycle, nudged across it and along it: the step is odd, so one step suffices."""
    lr = 1.2 / (top * (1 + rho * (1 - lam) * top))
    H, a = np.array([top, other]), bartlett.cycle_amplitude(top, rho, lr, lam)
    d = 1e-6 * a
    across = (step(np.array([a, d]), H, rho, lr, lam) - step(np.array([a, -d]), H, rho, lr, lam))[1] / (2 * d)
    along = (step(np.array([a + d, 0]), H, rho, lr, lam) - step(np.array([a - d, 0]), H, rho, lr, lam))[0] / (
        2 * d
    )
    assert across == pytest.approx(bartlett.transverse_multipliers(top, other, rho, lr, lam), abs=1e-7)
    assert along == pytest.approx(bartlett.radial_multiplier(top, rho, lr, lam), abs=1e-7)


def test_trapped_saddles() -> None:
    low, high = bartlett.trapped_curvatures(3.0, 0.1)
    assert (low, high) == pytest.approx((9 / 17, 60 / 17), rel=1e-12)
    curvatures = [-0.5, -0.55, -2.5, -3.2, -3.5, -3.55]
    multipliers = bartlett.transverse_multipliers(3.0, curvatures, 0.05, 0.1)
    assert multipliers == pytest.approx([1.0028, 0.9979, 0.0694, -0.6142, -0.9639, -1.0255], abs=5e-5)
    ends = bartlett.transverse_multipliers(3.0, [-low, -high], 0.05, 0.1)
    assert ends == pytest.approx([1.0, -1.0], abs=1e-12)
    for h, multiplier in zip(curvatures, multipliers, strict=True):
        H, x = np.array([3.0, h]), np.array([bartlett.cycle_amplitude(3.0, 0.05, 0.1), 1e-9])
        for _ in range(400):
            x = step(x, H, 0.05, 0.1, 1.0)
        assert abs(x[1]) == pytest.approx(1e-9 * abs(multiplier) ** 400, rel=1e-3, abs=1e-18)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9])
def test_cycles_with_momentum(gamma: float) -> None:
    lr, h, rho = 0.1, 3.0, 0.1
    a = bartlett.heavy_ball_amplitude(h, rho, lr, gamma)
    x, v = a, -2 * a / lr  # the velocity of the step that led here: a = -a - lr v
    for _ in range(6):
        v = gamma * v + h * (x + rho * math.copysign(1, x))
        x = x - lr * v
        assert abs(x) == pytest.approx(a, rel=1e-12)
    average = bartlett.averaged_momentum_amplitude(h, rho, lr, gamma)
    s = lr * h * (1 - gamma)
    assert average == pytest.approx(s * rho / (2 * (1 + gamma) - s))


def test_longer_cycle_beside_the_two_cycle() -> None:
    """Heavy ball from 0.7 at rest settles on a cycle of period four, not on the two-cycle."""
    x, v = 0.7, 0.0
    tail = []
    for k in range(4000):
        v = 0.5 * v + 3.0 * (x + 0.1 * math.copysign(1, x))
        x -= 0.1 * v
        if k >= 3996:
            tail.append(x)
    assert sorted(np.abs(tail).round(4)) == pytest.approx([0.0124, 0.0124, 0.0302, 0.0302], abs=1e-4)


def test_valley_drift_of_the_map() -> None:
    """f = (1 + y / 2) x^2 / 2: the floor's height y falls as the formula says, not as its limit."""
    rho, lr, steps = 0.02, 0.1, 20000
    x, y = bartlett.cycle_amplitude(1.5, rho, lr), 1.0
    heights = []
    for _ in range(steps + 200):
        g = np.array([(1 + y / 2) * x, x * x / 4])
        p = np.array([x, y]) + rho * g / np.linalg.norm(g)
        x, y = x - lr * (1 + p[1] / 2) * p[0], y - lr * p[0] ** 2 / 4
        heights.append(y)
    start = 0.9976473
    first = int(np.argmin(np.abs(np.array(heights) - start)))
    predicted = small = heights[first]
    for _ in range(steps - 1000):
        predicted += float(bartlett.valley_drift(1 + predicted / 2, 0.5, rho, lr))
        small -= lr * rho**2 / 2 * 0.5
    assert heights[first + steps - 1000] == pytest.approx(predicted, abs=2e-5)
    assert abs(small - predicted) > 0.02


def test_edges() -> None:
    assert bartlett.usam_edge(0.1, 0.0) == pytest.approx(20)
    h = bartlett.usam_edge(0.1, [0.01, 0.05, 5.0])
    assert 0.1 * h * (1 + np.array([0.01, 0.05, 5.0]) * h) == pytest.approx([2, 2, 2], rel=1e-14)
    h = bartlett.sam_edge(0.1, 0.05, [0.5, 2.0])
    assert 0.1 * h * (1 + 0.05 * h / np.array([0.5, 2.0])) == pytest.approx([2, 2], rel=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 50), st.floats(1e-3, 1), st.floats(0.01, 0.99))
def test_cycle_is_at_the_edge(h: float, rho: float, share: float) -> None:
    lr = 2 * share / h
    assert bartlett.sam_edge(lr, rho, bartlett.cycle_gradient_norm(h, rho, lr)) == pytest.approx(h, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bartlett.cycle_amplitude(10.0, 0.05, 0.2), "lr must be below"),
        (lambda: bartlett.cycle_amplitude(-1.0, 0.05, 0.2), "curvature"),
        (lambda: bartlett.cycle_amplitude(1.0, 0.05, 0.2, 1.5), "lam"),
        (lambda: bartlett.heavy_ball_amplitude(1.0, 0.05, 0.2, 1.0), "momentum"),
        (lambda: bartlett.sam_edge(0.1, 0.05, 0.0), "gradient_norm"),
        (lambda: bartlett.usam_edge(0.1, -0.05), "rho"),
    ],
    ids=["lr", "curvature", "lam", "momentum", "gradient", "rho"],
)
def test_bad_arguments(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]

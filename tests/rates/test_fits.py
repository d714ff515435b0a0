"""Estimates from curves: values, and errors that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from samdyn.rates.fits import Estimate, exponential_rate, plateau, power_rate, scaling_exponent


def test_plateau_of_one_replica_uses_blocks() -> None:
    rng = np.random.default_rng(0)
    estimate = plateau(rng.standard_normal((800, 1)))
    assert abs(estimate.value) < 4 * estimate.standard_error
    assert 0.01 < estimate.standard_error < 0.12
    assert math.isnan(plateau(np.ones((3, 1))).standard_error)


@pytest.mark.parametrize("fit", [exponential_rate, power_rate])
def test_errors_of_rates_cover(fit: object) -> None:
    """Scores over repeated experiments have a spread of one."""
    t = np.arange(1, 40)
    mean = np.exp(-0.1 * t) if fit is exponential_rate else t**-0.1
    scores = []
    for seed in range(60):
        noise = np.exp(0.3 * np.random.default_rng(seed).standard_normal((1, 100)).repeat(39, axis=0))
        wiggle = np.exp(0.3 * np.random.default_rng(1000 + seed).standard_normal((39, 100)))
        estimate = fit(t, mean[:, None] * noise * wiggle)  # type: ignore[operator]
        scores.append((estimate.value - 0.1) / estimate.standard_error)
    assert 0.7 < np.std(scores) < 1.4
    assert abs(np.mean(scores)) < 4 / math.sqrt(60)


def test_rates_of_too_few_points_are_not_a_number() -> None:
    assert math.isnan(exponential_rate([0, 1], np.ones((2, 3))).value)


def test_scaling_exponent() -> None:
    x = np.array([1.0, 2.0, 4.0, 8.0])
    exact = scaling_exponent(x, [Estimate(3 * v**1.5, 0.0) for v in x])
    assert exact.value == pytest.approx(1.5)
    assert exact.standard_error < 1e-6
    scores = []
    for seed in range(80):
        y = 3 * x**1.5 * (1 + 0.05 * np.random.default_rng(seed).standard_normal(4))
        estimate = scaling_exponent(x, [Estimate(v, 0.05 * v) for v in y])
        scores.append((estimate.value - 1.5) / estimate.standard_error)
    assert 0.6 < np.std(scores) < 1.2
    assert math.isnan(scaling_exponent([1.0, 2.0], [Estimate(1.0, math.nan)] * 2).standard_error)
    with pytest.raises(ValueError, match="at least two values"):
        scaling_exponent([1.0, 1.0], [Estimate(1.0, 0.1)] * 2)


@pytest.mark.parametrize(
    ("parameter", "levels", "message"),
    [
        ([0.0, 0.1, 0.2], [1.0, 2.0, 3.0], "parameter must take finite values > 0"),
        ([0.1, 0.2, np.inf], [1.0, 2.0, 3.0], "parameter must take finite values > 0"),
        ([0.1, 0.2, 0.3], [1.0, 0.0, 3.0], "estimates must be finite and > 0"),
        ([0.1, 0.2, 0.3], [1.0, np.nan, 3.0], "estimates must be finite and > 0"),
    ],
    ids=["zero", "infinite", "no plateau", "diverged"],
)
def test_powers_need_positive_numbers(parameter: list[float], levels: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scaling_exponent(parameter, [Estimate(v, 0.1) for v in levels])


def test_a_mean_that_one_replica_carries_has_no_known_error() -> None:
    curves = np.full((10, 5), -0.1)
    curves[:, 0] = 5 * np.exp(-0.1 * np.arange(10))
    estimate = exponential_rate(np.arange(10), curves)
    assert math.isfinite(estimate.value)
    assert math.isnan(estimate.standard_error)

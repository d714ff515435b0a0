"""The slowest rate, its test of an exponential tail, and intervals of quantiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

import samdyn as sd
from samdyn.escape import exit_rate
from samdyn.escape.statistics.tail import fit_tail


def result(watched: Any, exited: Any, **changes: Any) -> sd.escape.ExitTimes:
    """An `ExitTimes` made by hand."""
    watched, exited = np.asarray(watched, dtype=float), np.asarray(exited, dtype=bool)
    values: dict[str, Any] = {
        "times": np.where(exited, watched, np.nan), "exited": exited, "watched": watched,
        "exit_points": np.full((len(watched), 1), np.nan), "diverged": np.zeros(len(watched), dtype=bool),
        "faces": np.where(exited, 0, -1).astype(np.int16), "face_names": ("x_0 = 1",),
        "t_max": float(watched.max()), "dt": 0.1, "seed": 3, "correction": "bridge", "discrete": False,
        "system": "a system", "region": "a region",
    }  # fmt: skip
    return sd.escape.ExitTimes(**{**values, **changes})


def weibull_log_likelihood(shape: float, rate: float, w: np.ndarray, d: np.ndarray) -> float:
    hazard = np.log(shape * rate) + (shape - 1) * np.log(rate * w)
    return float((d * hazard).sum() - ((rate * w) ** shape).sum())


def test_rate_by_hand() -> None:
    # beyond 2: exits after 1 and 3, one path watched for 4 without
    tail = result([1, 2, 3, 5, 6], [1, 1, 1, 1, 0]).slowest_rate(0.4)
    assert (tail.start, tail.n_paths, tail.n_exits) == (2.0, 3, 2)
    assert tail.rate == pytest.approx(2 / 8)
    assert tail.standard_error == pytest.approx(2 / 8 / math.sqrt(2))
    assert tail.mean == pytest.approx(4)
    assert float(tail) == tail.rate
    assert math.isnan(tail.p_value)
    assert "not tested" in repr(tail)
    low, high = tail.confidence_interval(0.9)
    assert low * high == pytest.approx(tail.rate**2)
    assert math.log(high / tail.rate) == pytest.approx(stats.norm.ppf(0.95) / math.sqrt(2))


def test_score_test_is_that_of_the_weibull_likelihood() -> None:
    rng = np.random.default_rng(2)
    t = rng.weibull(1.1, 300) * 3
    w, d = np.minimum(t, 4.0), t < 4.0
    tail = fit_tail(w, d, 0.0)
    h = 1e-5

    def at(shape: float, rate: float) -> float:
        return weibull_log_likelihood(shape, rate, w, d)

    # the rate maximises the exponential likelihood; derivatives in shape and log(rate) by differences
    assert abs(at(1, tail.rate * (1 + h)) - at(1, tail.rate * (1 - h))) / (2 * h) < 1e-4
    score = (at(1 + h, tail.rate) - at(1 - h, tail.rate)) / (2 * h)
    h = 1e-3
    grid = np.array([[at(1 + i * h, tail.rate * math.exp(j * h)) for j in (-1, 0, 1)] for i in (-1, 0, 1)])
    ss = -(grid[2, 1] - 2 * grid[1, 1] + grid[0, 1]) / h**2
    rr = -(grid[1, 2] - 2 * grid[1, 1] + grid[1, 0]) / h**2
    sr = -(grid[2, 2] - grid[2, 0] - grid[0, 2] + grid[0, 0]) / (4 * h**2)
    information = ss - sr**2 / rr
    assert tail.p_value == pytest.approx(stats.chi2.sf(score**2 / information, 1), rel=1e-3)
    assert tail.shape == pytest.approx(1 + score / information, rel=1e-4)
    best = optimize.minimize(lambda p: -at(p[0], math.exp(p[1])), [1.0, -1.0])
    assert tail.shape == pytest.approx(best.x[0], abs=0.02)  # one Newton step from 1


@pytest.mark.parametrize("limit", [np.inf, 3.0])
@pytest.mark.parametrize("step", [None, 0.7])
def test_level_of_the_test_and_coverage(limit: float, step: float | None) -> None:
    rng = np.random.default_rng(7)
    p_values, hits, repeats = [], 0, 800
    for i in range(repeats):
        t = rng.exponential(2.0, 150)
        t = t if step is None else np.ceil(t / step) * step
        stop = limit if step is None else np.floor(limit / step) * step
        tail = fit_tail(np.minimum(t, stop), t <= stop, 0.0, step=step, seed=i)
        p_values.append(tail.p_value)
        low, high = tail.confidence_interval(0.9)
        hits += low <= 0.5 <= high
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4
    assert abs(np.mean(np.array(p_values) < 0.05) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / repeats)
    assert abs(hits / repeats - 0.9) < 4 * math.sqrt(0.09 / repeats)


@pytest.mark.parametrize(("shape", "word"), [(1.5, "rises"), (0.7, "falls")])
def test_other_tails_are_rejected(shape: float, word: str) -> None:
    t = np.random.default_rng(0).weibull(shape, 1000)
    tail = result(t, np.ones(1000)).slowest_rate(0.0)
    assert tail.p_value < 1e-6
    assert (tail.shape > 1) == (shape > 1)
    assert f"the rate still {word}" in repr(tail)


def test_a_start_that_is_remembered_is_noticed() -> None:
    # off a saddle paths need log(1 / noise) before their rate is constant; the exact one is 1
    noise = sd.GaussianNoise(std=2**0.5)
    saddle = sd.Diffusion(sd.landscapes.quadratic([[-1.0]]), sd.GD(), lr=0.01, noise=noise)
    exits = sd.exit_times(saddle, [0.0], sd.Ball([0.0], 1.0), 20_000, t_max=40.0, seed=1)
    assert exits.slowest_rate(0.0).p_value < 1e-10
    late = exits.slowest_rate(0.9)
    exact = float(exit_rate(saddle, sd.Ball([0.0], 1.0)))
    assert exact == pytest.approx(1.0, rel=1e-6)
    # the chain of step 0.01 is slower by 0.5 %, well within the error
    assert abs(late.rate - exact) < 4 * late.standard_error
    assert late.standard_error < 0.03
    assert late.p_value > 1e-3
    assert "compatible" in repr(late)


def test_a_map_leaves_at_a_rate_per_step() -> None:
    k = np.random.default_rng(1).geometric(0.2, 5000).astype(float)
    exits = result(k, np.ones(5000), discrete=True, correction=None, dt=1.0)
    tail = exits.slowest_rate(0.3)
    assert abs(tail.rate - -math.log(0.8)) < 4 * tail.standard_error
    assert tail.p_value > 1e-3
    assert tail.unit == "steps"
    assert "per step," in repr(tail)


@pytest.mark.parametrize("quantile", [-0.1, 1.0, 2.0, "late", math.nan])
def test_bad_quantiles(quantile: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="quantile must be"):
        result([1, 2], [1, 1]).slowest_rate(quantile)


def test_no_tail() -> None:
    with pytest.raises(ValueError, match=r"quantile must be at most 0.4, .* got 0.5; raise t_max"):
        result([1, 2, 3, 3, 3], [1, 1, 0, 0, 0]).slowest_rate()
    with pytest.raises(ValueError, match="at least 2 exits, got 1 beyond 2"):
        result([1, 2, 3, 3], [1, 1, 1, 0]).slowest_rate()
    with pytest.raises(ValueError, match="all 3 paths left in the next one"):
        result([1, 1, 1], [1, 1, 1], dt=1.0, correction=None).slowest_rate(0.0)
    with pytest.raises(ValueError, match="level must be in"):
        fit_tail(np.array([1.0, 2.0]), np.ones(2, dtype=bool), 0.0).confidence_interval(1.0)


# ---------------------------------------------------------------------- quantiles and the survival band


def test_the_band_before_the_first_exit_is_the_binomial_one() -> None:
    curve = result([1, 1.5, 2, 3, 4, 5, 6], [0, 0, 1, 1, 0, 1, 0]).survival()
    # seven paths inside, then six, then five: S^n = 0.025
    np.testing.assert_allclose(curve.lower[:3], 0.025 ** (1 / np.array([7, 6, 5])))
    np.testing.assert_array_equal(curve.upper[:3], 1)
    assert (curve.lower <= curve.probability).all()
    assert (curve.probability <= curve.upper).all()


@pytest.mark.parametrize("limit", [np.inf, 2.5])
def test_coverage_of_quantiles(limit: float) -> None:
    rng = np.random.default_rng(4)
    q, repeats = np.array([0.1, 0.5, 0.65]), 500
    exact = -2 * np.log(1 - q)
    hits = np.zeros(3)
    for _ in range(repeats):
        t = rng.exponential(2.0, 100)
        low, high = result(np.minimum(t, limit), t <= limit).quantile_interval(q, 0.9)
        hits += (low <= exact) & (exact <= high)
    # an interval between observations covers a little more or less
    assert np.abs(hits / repeats - 0.9).max() < 4 * math.sqrt(0.09 / repeats) + 0.02


def test_quantiles_out_of_reach() -> None:
    half = result([1, 2, 3, 9, 9, 9], [1, 1, 1, 0, 0, 0])
    low, high = half.quantile_interval([0.2, 0.9])
    assert low[0] <= half.quantile(0.2) <= high[0]
    assert (low[1], high[1]) == (9, np.inf)
    nothing = result([9, 9], [0, 0])
    assert nothing.quantile_interval(0.5) == (0.0, np.inf)
    with pytest.raises(ValueError, match=r"q must be in \[0, 1\], got nan"):
        half.quantile_interval(np.nan)

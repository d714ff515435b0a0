"""Intervals of exit times say no more than the exits do: few exits, none before a time, small samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import samdyn as sd
from samdyn.escape import compare, logrank


def result(watched: Any, exited: Any, **changes: Any) -> sd.escape.ExitTimes:
    """An `ExitTimes` made by hand."""
    watched, exited = np.asarray(watched, dtype=float), np.asarray(exited, dtype=bool)
    n = len(watched)
    values: dict[str, Any] = {
        "times": np.where(exited, watched, np.nan), "exited": exited, "watched": watched,
        "exit_points": np.full((n, 1), np.nan), "diverged": np.zeros(n, dtype=bool),
        "faces": np.where(exited, 0, -1).astype(np.int16), "face_names": ("x_0 = 1",),
        "t_max": float(watched.max()), "dt": 0.1, "seed": 3, "correction": "bridge", "discrete": False,
        "system": "a system", "region": "a region",
    }  # fmt: skip
    return sd.escape.ExitTimes(**{**values, **changes})


def exits_of(n: int, k: int, end: float = 10.0) -> sd.escape.ExitTimes:
    """K of n paths left, evenly before `end`."""
    watched = np.full(n, end)
    watched[:k] = np.linspace(0, end, k + 2)[1:-1]
    return result(watched, np.arange(n) < k)


@pytest.mark.parametrize(("n", "k"), [(20, 2), (1000, 1), (50, 3), (12, 9)])
def test_few_exits_have_the_interval_of_their_number(n: int, k: int) -> None:
    """An interval that omits how few exits there are: its ends are exposure over gamma quantiles, above 0."""
    exits = exits_of(n, k)
    low, high = exits.confidence_interval()
    exposure = exits.watched.sum()
    assert low == pytest.approx(exposure / stats.gamma.ppf(0.975, k + 1))
    assert high == pytest.approx(exposure / stats.gamma.ppf(0.025, k))
    assert 0 < low < exits.mean < high
    assert exits.confidence_interval(method="normal")[0] >= 0
    assert f"({low:.6g}, {high:.6g})" in repr(exits)


@pytest.mark.parametrize("rate", [0.5, 2.0, 5.0])
def test_few_exits_cover(rate: float) -> None:
    """An interval that omits its skewness: 100 paths, of which about `rate` leave, cover 92 % or more."""
    rng, held = np.random.default_rng(int(10 * rate)), []
    for _ in range(400):
        t = rng.exponential(1.0, 100)
        low, high = result(np.minimum(t, rate / 100), t <= rate / 100).confidence_interval()
        assert low >= 0
        held.append(low <= 1 <= high)
    assert np.mean(held) >= 0.92


@pytest.mark.parametrize("n", [2, 5, 20])
def test_small_uncensored_samples_cover(n: int) -> None:
    """An interval that takes the scatter of few times as known: with Student's t it covers 92 % or more."""
    rng, held = np.random.default_rng(n), []
    for _ in range(600):
        low, high = result(rng.exponential(1.0, n), np.ones(n)).confidence_interval()
        held.append(0 <= low <= 1 <= high)
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize("k", [1, 2, 9])
def test_bootstrap_of_few_exits_is_refused(k: int) -> None:
    """An interval without an upper tail: resamples of one or two exits cannot show how long the mean is."""
    for exits in (exits_of(50, k), exits_of(k, k)):
        with pytest.raises(ValueError, match=f'"bootstrap" needs at least 10 exits, got {k}'):
            exits.confidence_interval(method="bootstrap")
    assert exits_of(50, 10).confidence_interval(method="bootstrap")[1] < math.inf


def test_the_band_before_the_first_exit_is_not_a_point() -> None:
    """A band that claims certainty: 30 paths inside show S >= 0.025^(1/30) = 0.884 and no more."""
    curve = result(np.arange(1.0, 31.0), np.ones(30)).survival()
    assert curve.lower[0] == pytest.approx(0.025 ** (1 / 30))
    assert curve.upper[0] == 1
    # paths that are given up leave fewer to rest on
    some = result([1, 2, 3, 4], [0, 0, 0, 1]).survival()
    np.testing.assert_allclose(some.lower[:4], 0.025 ** (1 / np.array([4, 3, 2, 1])))
    nobody = result(np.full(40, 7.0), np.zeros(40)).survival()
    np.testing.assert_allclose(nobody.lower, 0.025 ** (1 / 40))
    assert len(nobody.times) == 2


@pytest.mark.parametrize(("n", "q"), [(30, 0.05), (10, 0.2), (100, 0.02)])
def test_quantiles_that_no_path_shows_begin_at_zero(n: int, q: float) -> None:
    """An interval that begins at the first exit: with (1 - q)^n > 2.5 % it must begin at 0."""
    rng, held = np.random.default_rng(n), []
    exact = -math.log1p(-q)
    for _ in range(300):
        low, high = result(rng.exponential(1.0, n), np.ones(n)).quantile_interval(q)
        assert low == 0
        held.append(low <= exact <= high)
    assert np.mean(held) >= 0.9


def test_ratio_with_few_exits_is_that_of_gamma_variables() -> None:
    """A ratio with a normal error from two exits: the ends are F quantiles, far apart."""
    a, b = exits_of(1000, 2), exits_of(50, 3)
    ratio, low, high = sd.escape.ratio_of_means(a, b)
    quotient = a.watched.sum() / b.watched.sum()
    assert low == pytest.approx(quotient * 3 / 3 * stats.f.ppf(0.025, 6, 6))
    assert high == pytest.approx(quotient * 4 / 2 * stats.f.ppf(0.975, 8, 4))
    assert low < ratio < high
    both = compare(a, b)
    assert (both.lower, both.upper) == (low, high)


def test_ratio_of_small_samples_covers() -> None:
    """A ratio with a normal error from five times each: with Welch's t it covers 92 % or more."""
    rng, held = np.random.default_rng(3), []
    for _ in range(600):
        a, b = result(rng.gamma(2, 1, 5), np.ones(5)), result(rng.exponential(1.0, 5), np.ones(5))
        _, low, high = sd.escape.ratio_of_means(a, b)
        held.append(low <= 2 <= high)
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(
    ("n", "k", "m", "j", "exact"),
    # one exit of 10 beside 1000; both of two exits on the side that has half of the paths; four of four
    [(10, 1, 1000, 0, 10 / 1010), (500, 2, 500, 0, 2 * 500 * 499 / (1000 * 999)),
     (6, 4, 6, 0, 2 * 6 * 5 * 4 * 3 / (12 * 11 * 10 * 9))],
)  # fmt: skip
def test_log_rank_with_few_exits_is_counted(n: int, k: int, m: int, j: int, exact: float) -> None:
    """A p-value from a normal law that does not hold: the probability of so few exits can be counted."""
    found = logrank(exits_of(n, k), exits_of(m, j))
    assert found.p_value == pytest.approx(exact, rel=1e-9)
    assert found.statistic > 0


def test_log_rank_of_results_that_never_ran_together() -> None:
    """A statistic of 0/0: exits of one after the other was given up decide nothing."""
    assert logrank(result([1.0, 1.0], [0, 0]), result([2.0, 3.0], [1, 1])).p_value == 1


def test_z_of_few_exits_is_no_alarm() -> None:
    """A deviation judged by the standard error of one exit: one for an expected 0.2 is 1.3 sigma, not 4."""
    from samdyn.escape.statistics.censored_mean import mean_deviation

    exits = exits_of(1000, 1, end=1.0)
    assert (exits.mean - 5000) / exits.standard_error == pytest.approx(-4, abs=0.01)
    p = 1 - stats.poisson.cdf(1, 0.2) + stats.poisson.pmf(1, 0.2) / 2
    assert mean_deviation(exits.watched, exits.exited, 5000) == pytest.approx(-stats.norm.isf(p), abs=0.01)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16])
def test_small_integer_types_are_numbers(kind: type) -> None:
    """Checked values thrown away and raw ones kept: 100 of 200 is (0.4314, 0.5686) in every integer type."""
    count, n = (50, 100) if kind is np.int8 else (100, 200)
    low, high = sd.basin.wilson_interval(kind(count), kind(n))
    assert (low, high) == sd.basin.wilson_interval(count, n)
    if n == 200:
        assert (round(low, 4), round(high, 4)) == (0.4314, 0.5686)
    share = sd.basin.Fraction(kind(count), kind(n))
    assert (float(share), share.lower, share.count) == (0.5, low, count)
    steps = result(np.array([1, 100, 120], dtype=kind), [1, 1, 1])
    assert steps.mean == pytest.approx(221 / 3)

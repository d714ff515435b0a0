"""Two results side by side, and a result beside the exact mean."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

import samdyn as sd
from samdyn.escape import chain_exit_time, compare, logrank, mean_exit_time

WELL = sd.landscapes.double_well()
EDGE = sd.HalfSpace([1.0], 0.0)


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


def well(rule: sd.Rule, D: float = 0.2, lr: float = 0.01) -> sd.Diffusion:
    return sd.Diffusion(WELL, rule, lr=lr, noise=sd.GaussianNoise(std=(2 * D / lr) ** 0.5))


def sample(system: Any, x0: Any, region: Any, n: int, **options: Any) -> sd.escape.ExitTimes:
    """Exit times that know their problem."""
    exits = sd.exit_times(system, np.array(x0), region, n, **options)
    return dataclasses.replace(exits, problem=(system, region, np.array(x0)))


# ---------------------------------------------------------------------- two results


def test_logrank_by_hand() -> None:
    a, b = result([1, 3, 4], [1, 1, 0]), result([2, 5], [1, 1])
    # at each exit: paths at risk in a and in all, exits; expected exits of a and their variance
    at_risk = [(3, 5), (2, 4), (2, 3), (0, 1)]
    expected = sum(i / n for i, n in at_risk)
    variance = sum(i / n * (1 - i / n) for i, n in at_risk)
    found = logrank(a, b)
    assert found.statistic == pytest.approx((2 - expected) / math.sqrt(variance))
    assert logrank(b, a).statistic == pytest.approx(-found.statistic)
    # three draws decide it, not a normal law: the sequences of labels with a statistic at least as far from 0
    p_value = 0.0
    for labels in itertools.product((0, 1), repeat=3):
        first, weight, excess, spread = 3, 1.0, 0.0, 0.0
        for label, n in zip(labels, (5, 4, 3), strict=True):
            share = max(first, 0) / n
            weight *= share if label else 1 - share
            excess, spread, first = excess + label - share, spread + share * (1 - share), first - label
        if weight and abs(excess) >= (1 - 1e-9) * abs(found.statistic) * math.sqrt(spread):
            p_value += weight
    assert found.p_value == pytest.approx(p_value)


def test_level_and_power_of_logrank_under_censoring() -> None:
    rng = np.random.default_rng(0)

    def one(mean: float) -> float:
        a, b = rng.exponential(2.0, 100), rng.exponential(mean, 100)
        return logrank(
            result(np.minimum(a, 3), a <= 3, t_max=3.0), result(np.minimum(b, 1.5), b <= 1.5)
        ).p_value

    equal = np.array([one(2.0) for _ in range(500)])
    assert abs(np.mean(equal < 0.05) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 500)
    assert np.mean([one(1.0) < 0.05 for _ in range(50)]) > 0.7


def test_compare_bundles_both() -> None:
    rng = np.random.default_rng(0)
    a, b = (
        result(rng.exponential(3.0, 400), np.ones(400)),
        result(rng.exponential(2.0, 400), np.ones(400), seed=4),
    )
    both = compare(a, b, 0.9)
    assert (both.ratio, both.lower, both.upper) == sd.escape.ratio_of_means(a, b, 0.9)
    assert (both.statistic, both.p_value) == dataclasses.astuple(logrank(a, b))
    assert both.statistic < 0  # the first leaves later
    assert (both.mean_a, both.error_b) == (a.mean, b.standard_error)
    assert both.note == ""
    for part in ("ratio:", "90 % interval", "log-rank", f"{a.mean:.6g}"):
        assert part in repr(both)
    short = result(np.minimum(b.watched, 1.0), b.watched <= 1.0)
    assert "same seed" in compare(a, short).note
    assert "are censored" in repr(compare(a, short))


def test_results_that_cannot_be_compared() -> None:
    some, none = result([1, 2], [1, 1]), result([9, 9], [0, 0])
    with pytest.raises(ValueError, match="same unit, got time and steps"):
        compare(some, result([1, 2], [1, 1], discrete=True, correction=None))
    with pytest.raises(TypeError, match="b must be ExitTimes, got list"):
        logrank(some, [1, 2])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must hold a path that left"):
        compare(none, none)
    with pytest.raises(ValueError, match="level must be in"):
        compare(some, some, 1.0)


def test_ratio_of_means_where_one_side_has_no_exit() -> None:
    some, none = result([1, 2], [1, 1]), result([9, 9], [0, 0])
    # 18 units of time without an exit, and two exits in 3 units, each with half of the 10 % that may fail
    low_none = 18 / -math.log(0.05)
    high_some = 6 / chi2.ppf(0.025, 4)
    assert sd.escape.ratio_of_means(none, some, 0.9) == (
        math.inf,
        pytest.approx(low_none / high_some),
        math.inf,
    )
    assert sd.escape.ratio_of_means(some, none, 0.9) == (0.0, 0.0, pytest.approx(high_some / low_none))
    ratio, low, high = sd.escape.ratio_of_means(none, none)
    assert math.isnan(ratio)
    assert (low, high) == (0.0, math.inf)
    both = compare(none, some, 0.9)
    assert both.lower == pytest.approx(low_none / high_some)
    assert "100 % and 0 % of the paths are censored" in both.note


# ---------------------------------------------------------------------- the exact mean


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.2), sd.SAM(0.2)], ids=repr)
@pytest.mark.parametrize("correction", ["bridge", None])
def test_the_chain_is_met_whatever_its_step(rule: sd.Rule, correction: str | None) -> None:
    sde = well(rule)
    exits = sample(sde, [-1.0], EDGE, 20_000, t_max=500.0, dt=0.2, seed=2, correction=correction)
    check = exits.compare_exact()
    assert check.exact == float(chain_exit_time(sde, [-1.0], EDGE, dt=0.2, correction=correction).mean)
    assert (check.mean, check.standard_error) == (exits.mean, exits.standard_error)
    assert abs(check.z) < 4
    assert check.z == pytest.approx((exits.mean - check.exact) / exits.standard_error)
    assert check.note == ""
    for part in ("sampled:", "exact:", "the chain itself", "z = "):
        assert part in repr(check)
    # the diffusion is another problem, which so many paths tell apart
    if correction is None and isinstance(rule, sd.GD):
        assert float(mean_exit_time(sde, EDGE)([-1.0])) < exits.mean - 4 * exits.standard_error


def test_a_map_is_met_in_steps() -> None:
    sgd = sd.Map(WELL, sd.SAM(0.1), lr=0.1, noise=sd.GaussianNoise(std=2.0))
    check = sample(sgd, [-1.0], EDGE, 3000, t_max=5000, seed=2).compare_exact()
    assert check.exact == float(chain_exit_time(sgd, [-1.0], EDGE).mean)
    assert abs(check.z) < 4


def test_a_start_that_is_a_read_only_view() -> None:
    x0 = np.broadcast_to([-1.0], (500, 1))
    exits = sd.exit_times(well(sd.GD()), [-1.0], EDGE, 500, t_max=500.0, dt=0.2, seed=2)
    exits = dataclasses.replace(exits, problem=(well(sd.GD()), EDGE, x0))
    assert abs(exits.compare_exact().z) < 4


def test_many_starts_are_averaged() -> None:
    sde = well(sd.GD())
    x0 = np.repeat([[-1.0], [-0.5], [-0.1]], [500, 200, 300], axis=0)
    exits = sample(sde, x0, EDGE, 1000, t_max=500.0, dt=0.2, seed=2)
    each = chain_exit_time(sde, [[-1.0], [-0.5], [-0.1]], EDGE, dt=0.2, correction="bridge").mean
    check = exits.compare_exact()
    assert check.exact == pytest.approx(float(each @ [0.5, 0.2, 0.3]))
    assert abs(check.z) < 4
    distinct = dataclasses.replace(exits, problem=(sde, EDGE, np.linspace(-1, -0.5, 20_000)[:, None]))
    with pytest.raises(ValueError, match="at most 10000 distinct starts"):
        distinct.compare_exact()


def test_two_dimensions_name_the_bias_of_the_step() -> None:
    saddle = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=20**0.5))
    box = sd.Box([-1, -1], [1, 1])
    exits = sample(saddle, [0.0, 0.0], box, 4000, t_max=100.0, seed=2)
    check = exits.compare_exact(resolution=64)
    assert check.exact == pytest.approx(1.70975641, rel=1e-4)
    assert abs(check.exact - 1.70975641) < 10 * check.exact_error
    assert abs(check.z) < 4
    assert "bias of the time step" in repr(check)
    late = sample(saddle, [0.0, 0.0], box, 8000, t_max=100.0, seed=2, correction=None)
    assert late.compare_exact(resolution=64).z > 4
    assert "sqrt(step)" in late.compare_exact(resolution=64).note


def test_an_unusual_region_in_one_dimension_has_the_diffusion() -> None:
    sde = well(sd.GD())
    both = sd.HalfSpace([1.0], 0.0) & sd.Region(lambda w: -w[0] - 1.5, dim=1)
    check = sample(sde, [-1.0], both, 2000, t_max=500.0, seed=2).compare_exact()
    plain = float(mean_exit_time(sde, sd.Box([-1.5], [0.0]))([-1.0]))
    assert check.exact == pytest.approx(plain, rel=1e-8)
    assert abs(check.z) < 4
    assert "backward Kolmogorov" in check.source


@pytest.mark.parametrize("correction", ["bridge", None])
def test_a_censored_mean_is_judged_by_its_own_limit(correction: str | None) -> None:
    """From -1 nobody leaves at once, so that exposure over exits exceeds the mean; the limit knows."""
    exits = sample(well(sd.GD()), [-1.0], EDGE, 20_000, t_max=5.0, dt=0.2, seed=2, correction=correction)
    check = exits.compare_exact()
    assert "of the paths are censored" in check.note
    assert check.exact == chain_exit_time(well(sd.GD()), [-1.0], EDGE, dt=0.2, correction=correction).mean
    assert abs(check.z) < 4
    assert exits.mean - check.exact > 4 * exits.standard_error
    assert check.expected == pytest.approx(exits.mean, rel=4 * exits.standard_error / exits.mean)
    # watched for long, the limit is the mean
    late = sample(well(sd.GD()), [-1.0], EDGE, 400, t_max=30.0, dt=0.2, seed=3, correction=correction)
    assert late.n_censored
    assert late.compare_exact().expected == pytest.approx(check.exact, rel=0.015)
    full = dataclasses.replace(exits, exited=np.ones(len(exits), bool), problem=exits.problem)  # type: ignore[attr-defined]
    assert full.compare_exact().expected == full.compare_exact().exact


def test_censoring_at_different_times_is_named() -> None:
    exits = sample(well(sd.GD()), [-1.0], EDGE, 500, t_max=5.0, dt=0.2, seed=2)
    stopped = np.where(exits.exited, exits.watched, np.linspace(1.0, 5.0, 500))
    check = dataclasses.replace(exits, watched=stopped, problem=exits.problem).compare_exact()  # type: ignore[attr-defined]
    assert check.expected == check.exact
    assert "as far as the rate of escape is constant" in check.note


def test_a_censored_map_is_judged_in_steps() -> None:
    system = sd.Map(WELL, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=2.0))
    check = sample(system, [-1.0], EDGE, 20_000, t_max=40, seed=5).compare_exact()
    assert check.expected > 1.02 * check.exact
    assert abs(check.z) < 4


class _Problems:
    """Results without an exact mean, and what is said about them."""

    three = sd.Diffusion(
        sd.landscapes.quadratic(np.eye(3)), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=10.0)
    )
    heavy = sd.Map(WELL, sd.GD(), lr=0.1, momentum=0.5, noise=sd.GaussianNoise(std=2.0))
    plane = sd.Map(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=2.0))
    warm = sd.Diffusion(
        WELL, sd.USAM(sd.schedules.CosineDecay(0.1, 0.0, 100)), lr=0.01, noise=sd.GaussianNoise(std=6.0)
    )
    scalar = sd.Map(WELL, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=2.0))
    all = (
        (three, [0.0] * 3, sd.Ball([0.0] * 3, 1.0), "one or two dimensions .* got dim=3"),
        (heavy, [-1.0], EDGE, "no momentum"),
        (plane, [0.0, 0.0], sd.Ball([0.0, 0.0], 1.0), "must be a Diffusion .* got a Map"),
        (warm, [-1.0], EDGE, "is a schedule"),
        (scalar, [-1.0], sd.Region(lambda w: w[0], dim=1), "must be an interval or a half-line"),
    )


@pytest.mark.parametrize(("system", "x0", "region", "match"), _Problems.all)
def test_no_exact_mean(system: Any, x0: Any, region: Any, match: str) -> None:
    blank = result([1.0, 2.0], [1, 1], problem=(system, region, np.asarray(x0)))
    with pytest.raises(ValueError, match=match):
        blank.compare_exact()


def test_no_exit_has_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="must hold a path that left"):
        result([1.0], [0], problem=(well(sd.GD()), EDGE, np.array([-1.0]))).compare_exact()


def test_files_pickles_and_equality_do_without_the_problem(tmp_path: Path) -> None:
    sde = sd.Diffusion(
        sd.Landscape(lambda w: (w**2).sum(), dim=1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=6.0)
    )
    exits = sample(sde, [0.0], sd.Ball([0.0], 0.1), 20, t_max=50.0)
    assert "problem" not in repr(exits)
    assert "problem" not in {field.name for field in dataclasses.fields(exits)}
    assert dataclasses.replace(exits, seed=9).compare_exact().exact == exits.compare_exact().exact
    exits.save(tmp_path / "a")
    copies = [sd.escape.ExitTimes.load(tmp_path / "a"), pickle.loads(pickle.dumps(exits)), copy.copy(exits)]
    for again in copies:
        np.testing.assert_array_equal(again.times, exits.times)
        with pytest.raises(ValueError, match="must know its problem"):
            again.compare_exact()


def test_no_exits_of_one_result_beside_late_exits_of_the_other() -> None:
    """Ratio (0, .126) stood beside p = .65 without a word: the interval takes rates as constant, and the test
    knows only of the two exits before the other result was watched no longer.
    """
    late = result(np.r_[1.0, 2.0, np.linspace(11, 30, 18)], np.ones(20, dtype=bool))
    none = result(np.full(100, 10.0), np.zeros(100, dtype=bool))
    for pair, which in ((late, none), "second"), ((none, late), "first"):
        both = compare(*pair)
        assert f"no path of the {which} left" in both.note
        assert "constant" in both.note
        assert f"18 of the 20 exits of the other came later than t = 10, up to which the {which}" in both.note
    early = result(np.linspace(0.1, 9, 20), np.ones(20, dtype=bool))
    assert "0 of the 20 exits" in compare(early, none).note
    assert "no path" not in compare(early, late).note

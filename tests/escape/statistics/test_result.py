"""Statistics of exit times against hand calculations and scipy; files written and read back."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import samdyn as sd


def result(watched: Any, exited: Any, diverged: Any = None, **changes: Any) -> sd.escape.ExitTimes:
    """An `ExitTimes` made by hand."""
    watched = np.asarray(watched, dtype=float)
    exited = np.asarray(exited, dtype=bool)
    n = len(watched)
    values: dict[str, Any] = {
        "times": np.where(exited, watched, np.nan),
        "exited": exited,
        "exit_points": np.where(exited[:, None], np.arange(2.0 * n).reshape(n, 2), np.nan),
        "diverged": np.zeros(n, dtype=bool) if diverged is None else np.asarray(diverged),
        "faces": np.where(exited, np.arange(n) % 2, -1).astype(np.int16),
        "watched": watched,
        "face_names": ("left", "right"),
        "t_max": 10.0, "dt": 0.1, "seed": 3, "correction": "bridge", "discrete": False,
        "system": "a system", "region": "a region",
    }  # fmt: skip
    return sd.escape.ExitTimes(**{**values, **changes})


SAMPLE = np.random.default_rng(5).exponential(2.0, 400)
FULL = result(SAMPLE, np.ones(400, dtype=bool))
CENSORED = result(np.minimum(SAMPLE, 3.0), SAMPLE <= 3.0)


def test_without_censoring_the_mean_is_the_sample_mean() -> None:
    assert FULL.mean == pytest.approx(SAMPLE.mean())
    assert FULL.standard_error == pytest.approx(SAMPLE.std(ddof=1) / 20)
    assert FULL.rate == pytest.approx(1 / SAMPLE.mean())
    low, high = FULL.confidence_interval(0.9)
    expected = stats.norm.interval(0.9, SAMPLE.mean(), stats.sem(SAMPLE))
    assert (low, high) == pytest.approx(expected)


def test_with_censoring_the_mean_is_that_of_an_exponential_law() -> None:
    exited = SAMPLE <= 3
    assert CENSORED.mean == pytest.approx(np.minimum(SAMPLE, 3).sum() / exited.sum())
    fitted = stats.expon.fit(stats.CensoredData(SAMPLE[exited], right=np.full((~exited).sum(), 3.0)), floc=0)
    assert CENSORED.mean == pytest.approx(fitted[1], rel=1e-3)
    # the information of n exits about an exponential mean: mean / sqrt(n)
    assert CENSORED.standard_error == pytest.approx(CENSORED.mean / math.sqrt(exited.sum()), rel=0.15)
    assert (len(CENSORED), CENSORED.n_exited, CENSORED.n_censored) == (400, exited.sum(), (~exited).sum())


def test_exact_interval() -> None:
    low, high = FULL.confidence_interval(0.95, method="exact")
    total = 2 * SAMPLE.sum()
    assert (low, high) == pytest.approx(
        (total / stats.chi2.ppf(0.975, 800), total / stats.chi2.ppf(0.025, 800))
    )
    n = CENSORED.n_exited
    total = 2 * CENSORED.watched.sum()
    expected = total / stats.chi2.ppf(0.975, 2 * n + 2), total / stats.chi2.ppf(0.025, 2 * n)
    assert CENSORED.confidence_interval(0.95, method="exact") == pytest.approx(expected)


@pytest.mark.parametrize("exits", [FULL, CENSORED], ids=["full", "censored"])
def test_bootstrap_interval(exits: sd.escape.ExitTimes) -> None:
    interval = exits.confidence_interval(0.95, method="bootstrap")
    assert interval == exits.confidence_interval(0.95, method="bootstrap")
    assert interval == pytest.approx(exits.confidence_interval(0.95), rel=0.03)


@pytest.mark.parametrize("method", ["normal", "exact", "bootstrap"])
@pytest.mark.parametrize("limit", [np.inf, 2.0])
def test_coverage(method: str, limit: float) -> None:
    rng = np.random.default_rng(1)
    repeats, hits = (60 if method == "bootstrap" else 400), 0
    for _ in range(repeats):
        t = rng.exponential(2.0, 80)
        low, high = result(np.minimum(t, limit), t <= limit).confidence_interval(0.9, method=method)
        hits += low <= 2.0 <= high
    assert (
        abs(hits / repeats - 0.9) < 4 * math.sqrt(0.09 / repeats) + 0.015
    )  # small samples cover a little less


def test_no_exit_at_all() -> None:
    nothing = result(np.full(50, 10.0), np.zeros(50))
    assert nothing.mean == nothing.standard_error == math.inf
    assert nothing.rate == 0
    # P(no exit in 500) = exp(-500 / mean) >= 5 % where mean >= 500 / ln 20
    assert nothing.confidence_interval(0.95) == pytest.approx((500 / math.log(20), math.inf))
    curve = nothing.survival()
    assert curve([0.0, 5.0, 100.0]).tolist() == [1, 1, 1]
    assert np.isnan(nothing.quantile(0.5))
    assert "no path left" in repr(nothing)


def test_one_path() -> None:
    one = result([2.0], [True])
    assert one.mean == 2
    assert one.standard_error == math.inf  # it has no spread
    assert sd.escape.ratio_of_means(one, result([1.0, 3.0], [True, True])) == (1.0, 0.0, math.inf)
    assert one.confidence_interval(0.95, method="exact")[1] > 2


def test_kaplan_meier_by_hand() -> None:
    # exits at 1, 3, 3, 5; censored at 2 and 4: factors 5/6, then 2/4, then 0/1
    exits = result([1, 2, 3, 3, 4, 5], [1, 0, 1, 1, 0, 1])
    curve = exits.survival()
    at = curve([0.0, 0.99, 1.0, 2.9, 3.0, 4.9, 5.0, 9.0])
    np.testing.assert_allclose(at, [1, 1, 5 / 6, 5 / 6, 5 / 12, 5 / 12, 0, 0])
    assert (curve.lower <= curve.probability).all()
    assert (curve.probability <= curve.upper).all()
    assert (curve.times[0], curve.probability[0]) == (0, 1)
    assert ((curve.lower >= 0) & (curve.upper <= 1)).all()


def test_kaplan_meier_band_is_the_log_log_one() -> None:
    # Greenwood's variance at the first exit of n: S = (n-1)/n, var S / S^2 = 1/(n (n-1))
    exits = result([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 0])
    curve = exits.survival(0.95)
    s = 0.75
    spread = 1.959963984540054 * math.sqrt(1 / 12) / abs(math.log(s))
    assert curve.lower[1] == pytest.approx(s ** math.exp(spread))
    assert curve.upper[1] == pytest.approx(s ** math.exp(-spread))
    wider = exits.survival(0.99)
    assert wider.lower[1] < curve.lower[1]


def test_survival_without_censoring_is_the_empirical_one() -> None:
    curve = FULL.survival()
    t = np.linspace(0, 10, 31)
    np.testing.assert_allclose(curve(t), (SAMPLE[:, None] > t).mean(axis=0), atol=1e-12)
    truth = np.exp(-curve.times / 2)
    assert np.mean((curve.lower <= truth) & (truth <= curve.upper)) > 0.8


def test_quantiles() -> None:
    exits = result([1, 2, 3, 4], [1, 1, 1, 1])
    np.testing.assert_array_equal(exits.quantile([0.25, 0.5, 0.75, 1.0]), [1, 2, 3, 4])
    half = result([1, 2, 9, 9], [1, 1, 0, 0])
    assert half.quantile(0.5) == 2
    assert np.isnan(half.quantile(0.75))
    assert FULL.quantile(0.5) == pytest.approx(np.median(SAMPLE), rel=0.02)
    with pytest.raises(ValueError, match=r"q must be in \[0, 1\], got 1.5"):
        FULL.quantile(1.5)


def test_diverged_paths_are_labelled() -> None:
    exits = result([1, 2, 10, 4], [1, 1, 0, 0], diverged=[0, 0, 0, 1])
    exits = dataclasses.replace(exits, diverged=exits.diverged.astype(bool))
    assert (exits.n_exited, exits.n_censored, exits.n_diverged) == (2, 1, 1)
    assert exits.mean == 17 / 2
    assert "1 diverged" in repr(exits)


def test_faces() -> None:
    assert result([1, 2, 3], [1, 1, 1]).face_counts() == {"left": 2, "right": 1}
    assert result([1, 2, 3], [1, 0, 1]).face_counts() == {"left": 2, "right": 0}


def test_representations() -> None:
    text, html = repr(CENSORED), CENSORED._repr_html_()
    for part in ("exited", "censored at 10", "95 % interval", "seed 3", "a system", "a region"):
        assert part in text
        assert part in html
    assert len(text.splitlines()) < 12
    assert "steps" in repr(result([1.0, 2.0], [1, 1], discrete=True, correction=None))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"level": 0.0}, ValueError, "level must be a finite number > 0, got 0.0"),
        ({"level": 1.0}, ValueError, r"level must be in \(0, 1\), got 1.0"),
        ({"level": 95}, ValueError, r"level must be in \(0, 1\), got 95"),
        ({"level": "high"}, TypeError, "level must be"),
        (
            {"method": "student"},
            ValueError,
            "method must be one of 'normal', 'exact', 'bootstrap', got 'student'",
        ),
    ],
)
def test_bad_intervals(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        FULL.confidence_interval(**arguments)


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, "high"])
def test_bad_levels_of_the_other_verbs(level: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="level must be"):
        FULL.survival(level)
    with pytest.raises((ValueError, TypeError), match="level must be"):
        sd.escape.ratio_of_means(FULL, FULL, level)


def test_ratio_of_means() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        a, b = rng.exponential(6.0, 100), rng.exponential(2.0, 150)
        ratio, low, high = sd.escape.ratio_of_means(
            result(a, np.ones(100, dtype=bool)), result(b, np.ones(150, dtype=bool)), 0.9
        )
        assert ratio == pytest.approx(a.mean() / b.mean())
        assert low < ratio < high
        assert low * high == pytest.approx(ratio**2)
        hits += low <= 3 <= high
    assert abs(hits / 1000 - 0.9) < 4 * math.sqrt(0.09 / 1000)


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["exits.npz", "exits", "with space.dat"])
def test_round_trip_is_bit_identical(name: str, tmp_path: Path) -> None:
    sde = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.SAM(0.1), lr=0.05, noise=sd.GaussianNoise(1.0))
    exits = sd.exit_times(
        sde, [0.0, 0.0], sd.Box([-1, -1], [1, 1]), n_paths=50, t_max=2.0, seed=(1 << 63) + 5
    )
    assert 0 < exits.n_censored < 50
    exits.save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    again = sd.escape.ExitTimes.load(tmp_path / name)
    for field in dataclasses.fields(exits):
        old, new = getattr(exits, field.name), getattr(again, field.name)
        assert type(new) is type(old), field.name
        if isinstance(old, np.ndarray):
            assert new.dtype == old.dtype
            assert new.shape == old.shape
            assert new.tobytes() == old.tobytes(), field.name
        else:
            assert new == old, field.name
    # the bias of the step is read off the system, which the file holds: loss, rule and noise are samdyn's own
    assert "step: dt" in repr(exits)
    assert repr(again) == repr(exits)


def test_saving_over_a_file_replaces_it(tmp_path: Path) -> None:
    FULL.save(tmp_path / "a")
    CENSORED.save(tmp_path / "a")
    assert sd.escape.ExitTimes.load(tmp_path / "a").n_censored == CENSORED.n_censored


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"not a zip", _npz(a=np.ones(3)),
        _npz(header=np.array("no json")),
        _npz(header=np.array(json.dumps({"schema": 1, "kind": "Field"}))),
        _npz(header=np.array(json.dumps({"schema": 99, "kind": "ExitTimes"}))),
        _npz(header=np.array([{"schema": 1}], dtype=object)),
    ],
    ids=["empty", "text", "no header", "no json", "other kind", "other schema", "pickle"],
)  # fmt: skip
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="path must"):
        sd.escape.ExitTimes.load(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    FULL.save(tmp_path / "a")
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="path must"):
        sd.escape.ExitTimes.load(tmp_path / "a")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sd.escape.ExitTimes.load(tmp_path / "nothing")


# ---------------------------------------------------------------------- equality


def test_results_are_compared_by_identity() -> None:
    """Arrays have no truth value: a comparison by fields would raise where it is meant to answer."""
    other = result([1.0, 2.0], [1, 1])
    for one, two in ((FULL, other), (FULL.survival(), other.survival())):
        assert one == one
        assert one != two
        assert len({one, two, one}) == 2


@pytest.mark.parametrize(
    "q", ["a", [0.1, "b"], [[0.1], [0.2, 0.3]], object()], ids=["text", "list", "ragged", "object"]
)
def test_quantiles_that_are_no_numbers(q: Any) -> None:
    for call in (FULL.quantile, FULL.quantile_interval):
        with pytest.raises(TypeError, match="q must be a number or an array of numbers, got"):
            call(q)
    with pytest.raises(TypeError, match="t must be a number or an array of numbers, got"):
        FULL.survival()(q)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, [0.5, 2.0]], ids=repr)
def test_quantiles_out_of_range(q: Any) -> None:
    for call in (FULL.quantile, FULL.quantile_interval):
        with pytest.raises(ValueError, match=r"q must be in \[0, 1\], got"):
            call(q)

"""What counts as an observation, what splitting omits, and what results say of themselves."""

from __future__ import annotations

import dataclasses
import functools
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import problems
import pytest

import samdyn as sd
from samdyn.escape import RareExitTime, RareProbability, logrank
from samdyn.escape.rare import multilevel_splitting as clones
from samdyn.escape.spread import displacement
from samdyn.escape.statistics.observations import noiseless

BOWL, WELL = sd.landscapes.quadratic([[1.0]]), sd.landscapes.double_well()
UNIT, EDGE = sd.Ball([0.0], 1.0), sd.HalfSpace([1.0], 0.0)


def quiet(*arguments: Any, **options: Any) -> sd.escape.ExitTimes:
    """Exit times without the warning that no path left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return sd.exit_times(*arguments, **options)


SILENT = {
    "no noise": sd.Map(BOWL, sd.GD(), lr=0.1),
    "a standard deviation of 0": sd.Map(BOWL, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=0.0)),
    "a diffusion without noise": sd.Diffusion(BOWL, sd.USAM(0.1), lr=0.1, noise=sd.GaussianNoise(std=0.0)),
}


@pytest.mark.parametrize("name", SILENT)
def test_copies_of_one_path_are_one_observation(name: str, tmp_path: Path) -> None:
    """One object counted as several: ten identical paths inside for 10 show an exit after 10."""
    exits = quiet(SILENT[name], [0.5], UNIT, n_paths=10, t_max=10.0)
    assert exits.confidence_interval() == (pytest.approx(exits.t_max), math.inf)
    assert "above 10" in repr(exits)
    assert "without noise" in repr(exits)
    assert exits.survival().n_paths == 1
    exits.save(tmp_path / "a")
    for again in (sd.escape.ExitTimes.load(tmp_path / "a"), pickle.loads(pickle.dumps(exits))):
        assert again.confidence_interval() == exits.confidence_interval()


def test_copies_of_one_path_that_leaves() -> None:
    """One object counted as several: twenty identical exits have no standard error and one share."""
    hill = sd.Map(sd.landscapes.quadratic([[-1.0]]), sd.GD(), lr=0.1)
    exits = sd.exit_times(hill, [0.5], UNIT, n_paths=20, t_max=100)
    steps = math.ceil(math.log(2) / math.log(1.1))
    assert exits.confidence_interval() == (steps, steps)
    assert exits.standard_error == 0
    place = exits.exit_location()
    assert len(place.points) == 1
    assert place.lower[place.counts == 1] < 0.3  # Wilson of one exit, not of twenty
    with pytest.raises(ValueError, match="tail must hold at least 2 exits"):
        exits.slowest_rate(0.0)
    other = sd.exit_times(hill, [0.25], UNIT, n_paths=20, t_max=100)
    assert logrank(exits, other).p_value > 0.3  # two observations


def test_different_starts_without_noise_are_observations() -> None:
    """Several objects counted as one: paths from starts of their own differ, those from one start do not."""
    hill = sd.Map(sd.landscapes.quadratic([[-1.0]]), sd.GD(), lr=0.1)
    x0 = np.repeat([[0.1], [0.2], [0.4]], 5, axis=0)
    exits = sd.exit_times(hill, x0, UNIT, t_max=100)
    assert exits.observed is not None
    assert exits.observed.sum() == 3
    assert exits.standard_error == pytest.approx(np.std(exits.times[::5], ddof=1) / math.sqrt(3))
    noisy = sd.Map(BOWL, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    assert quiet(noisy, [0.5], UNIT, n_paths=10, t_max=5).observed is None


def test_batches_of_the_whole_sum_are_no_noise() -> None:
    """One object counted as several: a batch of all samples is the same one at every step."""
    loss = sd.FiniteSum.least_squares([[1.0], [2.0]], [0.0, 0.0])
    for size, silent in ((2, True), (1, False)):
        assert noiseless(sd.Map(loss, sd.GD(), lr=0.01, noise=sd.Minibatch(batch_size=size))) is silent
    with_replacement = sd.Minibatch(batch_size=2, sampling="with replacement")
    assert not noiseless(sd.Map(loss, sd.GD(), lr=0.01, noise=with_replacement))


# ---------------------------------------------------------------------- splitting


@functools.cache
def pool(D: float) -> tuple[RareExitTime, float]:
    """Many repeats of few clones, and their common mean to a percent or two."""
    system = problems.diffusion(WELL, sd.GD(), D)
    whole = sd.rare_exit_time(
        system, [-1.0], EDGE, sd.Ball([-1.0], 0.2), n_clones=5, levels=10, n_repeats=2000, dt=0.2, seed=5
    )
    return whole, whole.uncorrected


def part(whole: RareExitTime, rows: slice) -> RareExitTime:
    p = whole.probability
    fields = {field.name: getattr(p, field.name) for field in dataclasses.fields(p)}
    few = RareProbability(**{**fields, "estimates": p.estimates[rows]})
    times = (whole.time_first, whole.time_out, whole.time_back, whole.time_reactive)
    return RareExitTime(few, *(t[rows] for t in times), whole.path_steps)


@pytest.mark.slow
@pytest.mark.parametrize("D", [0.1, 0.15])
def test_the_bias_of_few_repeats_is_taken_off(D: float) -> None:
    """An estimate that omits a bias: 1/p from 5 repeats of 5 clones is too long by a tenth or more."""
    whole, exact = pool(D)
    parts = [part(whole, slice(i, i + 5)) for i in range(0, 2000, 5)]
    raw = np.array([p.uncorrected for p in parts if math.isfinite(p.mean)]) / exact - 1
    corrected = np.array([p.mean for p in parts if math.isfinite(p.mean)]) / exact - 1
    error = corrected.std() / len(corrected) ** 0.5
    assert raw.mean() > 4 * raw.std() / len(raw) ** 0.5
    assert abs(corrected.mean()) < 0.4 * raw.mean() + 4 * error
    assert abs(corrected.mean()) < raw.mean()
    assert "taken off" in repr(parts[0])


def test_the_correction_is_that_of_a_ratio() -> None:
    """Without scatter of the times the bias is T (relative variance of p) / R; the mean stays positive."""
    p = np.array([1e-4, 2e-4, 3e-4])
    fields: dict[str, Any] = {
        "iterations": np.ones(3, dtype=np.int64), "n_clones": 10, "n_kill": 1, "levels": np.zeros(1),
        "path_steps": 1, "steps_per_path": 1.0, "n_diverged": 0, "dt": 0.1, "seed": 0,
    }  # fmt: skip

    def of(estimates: np.ndarray) -> RareExitTime:
        n = len(estimates)
        ones = np.ones(n)
        return RareExitTime(RareProbability(estimates, **fields), ones, ones, ones, 0 * ones, 1)

    exit_ = of(p)
    assert exit_.uncorrected == pytest.approx(1 + 2 * (1 - 2e-4) / 2e-4)
    assert exit_.bias == pytest.approx(2 / 2e-4 * (1e-8 / 3) / 4e-8, rel=1e-9)
    assert exit_.mean == pytest.approx(exit_.uncorrected - exit_.bias)
    wild = of(np.array([1e-9, 1e-4]))
    assert 0 < wild.mean < wild.uncorrected
    assert "raise n_repeats" in repr(wild)


# ---------------------------------------------------------------------- texts


def test_results_of_statistics_are_readable() -> None:
    """Raw fields as text: a curve and a test are read at a glance, on one screen."""
    hill = sd.Map(sd.landscapes.quadratic([[-1.0]]), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    exits = sd.exit_times(hill, [0.0], UNIT, n_paths=500, t_max=1000)
    text = repr(exits.survival())
    assert text.startswith("Survival: 500 exits of 500 paths")
    assert "95 % band" in text
    assert len(text.splitlines()) < 13
    assert "array(" not in text + repr(logrank(exits, exits))
    assert "compatible with one law" in repr(logrank(exits, exits))
    later = sd.exit_times(hill, [0.0], sd.Ball([0.0], 3.0), n_paths=500, t_max=1000)
    assert "the first leaves faster" in repr(logrank(exits, later))
    half = sd.exit_times(hill, [0.0], UNIT, n_paths=500, t_max=10)
    assert f"{half.n_censored} other paths were given up inside" in repr(half.exit_location())


def test_displacements_have_intervals() -> None:
    """A standard error of few squares: the interval is not negative and holds the exact mean."""
    sam = sd.Map(BOWL, sd.USAM(0.5), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    few = sd.mean_squared_displacement(sam, [-1.0175e-166], [1, 50], n_paths=3, seed=2)
    low, high = few.confidence_interval()
    assert (low >= 0).all()
    assert few.theory is not None
    assert ((low < few.theory) & (few.theory < high)).all()
    assert f"({low[0]:.5g}, {high[0]:.5g})" in repr(few)


def test_modules_have_whole_sentences() -> None:
    """A text that stops in mid-sentence."""
    for module in (displacement, __import__("samdyn.escape.rare.rare_committors", fromlist=["x"])):
        for paragraph in module.__doc__.split("\n\n"):
            assert paragraph.strip()[-1] in ".:-" or "Annals" in paragraph or "----" in paragraph, paragraph


# ---------------------------------------------------------------------- cost


def test_long_work_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cost nobody is told before: with the limit lowered the verbs say their cost and what is cheaper."""
    from samdyn.jobs import cost, progress

    monkeypatch.setattr(cost, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(progress, "SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr(clones, "LARGE_JOB", 10)
    noisy = sd.Map(BOWL, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    with pytest.warns(sd.CostWarning, match="mean_squared_displacement will take about .* n_paths"):
        sd.mean_squared_displacement(noisy, [0.0], 100, n_paths=1000)
    system = problems.diffusion(WELL, sd.GD(), 0.15)
    options: dict[str, Any] = {"n_clones": 10, "levels": 10, "n_repeats": 20, "dt": 0.2}
    with pytest.warns(sd.CostWarning, match="rare_committor will take about .* n_repeats"):
        first = sd.rare_committor(
            system, [-0.9], sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], 0.0), **options
        )
    monkeypatch.undo()
    again = sd.rare_committor(
        system, [-0.9], sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], 0.0), progress=True, **options
    )
    np.testing.assert_array_equal(first.estimates, again.estimates)  # timing changes nothing

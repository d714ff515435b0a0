"""Do 95 % intervals hold the exact value in 95 % of the runs?

Every interval of `samdyn.escape` on data drawn from exact laws: the cases of `escape_calibration`, whose page
is docs/calibration/escape.md. And means of simulated paths against the exact mean of the chain, in 400 runs:
paths are independent, so one ensemble of 400 x 200 paths is cut into 400 runs of 200. With censoring the mean
of `ExitTimes` is right where the hazard is constant, so there the starts are drawn from the quasi-stationary
law of the chain, from which the whole step of an exit is geometric.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from escape_calibration import Case, cases, coverage
from scipy.special import ndtr

import samdyn as sd
from samdyn.escape import chain_exit_time
from samdyn.escape.statistics import exact_logrank


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.interval}: {case.data}")
def test_intervals_hold_the_exact_value(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    # a test by drawn permutations holds its level with any number of them
    monkeypatch.setattr(exact_logrank, "N_DRAWN", 2000)
    share, runs = coverage(case)
    assert runs >= 300
    low, high = case.bounds
    assert case.why or (low, high) == (0.92, 0.98)
    assert low <= share <= high


RUNS, PATHS, D, DT = 400, 200, 0.1, 0.1
SDE = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=20**0.5))
LEFT = sd.HalfSpace([1.0], 0.0)


def cut(exits: sd.escape.ExitTimes) -> list[sd.escape.ExitTimes]:
    """The ensemble as `RUNS` results."""
    names = ("times", "exited", "exit_points", "diverged", "faces", "watched")
    parts = {name: np.split(getattr(exits, name), RUNS) for name in names}
    return [dataclasses.replace(exits, **{name: parts[name][i] for name in names}) for i in range(RUNS)]


def mean_coverage(exits: sd.escape.ExitTimes, exact: float, method: str) -> float:
    """Share of runs whose 95 % interval holds the exact mean."""
    intervals = np.array([run.confidence_interval(0.95, method=method) for run in cut(exits)])
    return float(np.mean((intervals[:, 0] <= exact) & (exact <= intervals[:, 1])))


def quasi_stationary() -> tuple[np.ndarray, np.ndarray, float]:
    """Cells of the chain with bridges left of 0, the quasi-stationary law of paths in them, and its factor.

    The density is constant in a cell: 2000 cells of an eightieth of a step's standard deviation.
    """
    edges = np.linspace(-2.6, 0.0, 2001)
    x = (edges[1:] + edges[:-1]) / 2
    s = math.sqrt(2 * D * DT)
    mean = x + DT * SDE.drift(x[:, None])[:, 0]
    step = np.diff(ndtr((edges - mean[:, None]) / s), axis=1)  # from row to column
    step *= -np.expm1(-2 * x[:, None] * x / s**2)
    law, factor = np.full(len(x), 1 / len(x)), 0.0
    for _ in range(400):
        law = law @ step
        factor = law.sum()
        law /= factor
    return x, law, float(factor)


@pytest.mark.slow
@pytest.mark.parametrize("correction", ["bridge", None])
def test_intervals_of_uncensored_means_cover(correction: str | None) -> None:
    exact = float(chain_exit_time(SDE, [-1.0], LEFT, dt=DT, correction=correction).mean)
    exits = sd.exit_times(
        SDE, [-1.0], LEFT, RUNS * PATHS, t_max=2000.0, dt=DT, seed=11, correction=correction
    )
    assert exits.exited.all()
    assert abs(exits.mean - exact) < 4 * exits.standard_error
    assert 0.92 <= mean_coverage(exits, exact, "normal") <= 0.98
    # a law with a delay is narrower than an exponential one, so the exponential interval is safe
    assert mean_coverage(exits, exact, "exact") >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("t_max", [15.0, 45.0])
def test_intervals_of_censored_means_cover(t_max: float) -> None:
    x, law, factor = quasi_stationary()
    exact = float(law @ chain_exit_time(SDE, x[:, None], LEFT, dt=DT, correction="bridge").mean)
    # whole steps until the exit have mean 1 / (1 - factor), and the last one counts in part
    assert DT * factor / (1 - factor) < exact < DT / (1 - factor)
    rng = np.random.default_rng(3)
    cell = rng.choice(len(x), RUNS * PATHS, p=law)
    starts = x[cell] + (rng.random(RUNS * PATHS) - 0.5) * (x[1] - x[0])
    exits = sd.exit_times(SDE, starts[:, None], LEFT, t_max=t_max, dt=DT, seed=12)
    assert 0.1 < exits.n_censored / len(exits) < 0.7
    assert abs(exits.mean - exact) < 4 * exits.standard_error
    assert 0.92 <= mean_coverage(exits, exact, "normal") <= 0.98
    assert 0.92 <= mean_coverage(exits, exact, "exact") <= 0.98
    # the tail is exponential from the start on, and its rate is that of the chain
    tail = exits.slowest_rate(0.0)
    assert abs(tail.rate - -math.log(factor) / DT) < 4 * tail.standard_error
    assert tail.p_value > 1e-4


@pytest.mark.slow
def test_censored_mean_estimates_exposure_over_events() -> None:
    # from -1 paths need a while to leave, so that the hazard is not constant and the censored mean too long
    early = sd.exit_times(SDE, [-1.0], LEFT, 40_000, t_max=5.0, dt=DT, seed=13)
    full = sd.exit_times(SDE, [-1.0], LEFT, 40_000, t_max=2000.0, dt=DT, seed=14)
    exact = float(chain_exit_time(SDE, [-1.0], LEFT, dt=DT, correction="bridge").mean)
    expected = np.minimum(full.times, 5.0).sum() / (full.times <= 5.0).sum()
    spread = math.hypot(early.standard_error, early.standard_error)
    assert abs(early.mean - expected) < 4 * spread
    assert early.mean - exact > 4 * early.standard_error

"""What is called a plateau, a fixed point or a cycle is one; what is not, says so and has no error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.rates.fits import series_error


def stretched() -> sd.FiniteSum:
    """Least squares with one direction of a fortieth of the other's curvature."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 2)) * (1, 0.15)
    return sd.FiniteSum.least_squares(rows, rows @ (1, 1) + 0.3 * rng.standard_normal(200))


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_a_transient_is_moving_and_has_no_error(rho: float) -> None:
    """3000 steps of a run whose slow direction takes 2200 steps to fall by e: not a plateau."""
    system = sd.Map(stretched(), sd.SAM(rho), lr=0.02, noise=sd.Minibatch(4))
    result = sd.convergence(system, [0.0, 0.0], 3000, 40)
    for quantity in ("gap", "distance"):
        found = result.plateau(quantity)
        assert found.state == "moving"
        assert math.isnan(found.standard_error)
        assert 1e4 < found.steps_needed < 1e5
    assert all(s.kind == "moving" for s in result.limit_sets())
    assert "moving" in repr(result)
    assert "±" not in repr(result)
    assert result.plateau(tail=0.1).state != "settled"


@pytest.mark.slow
def test_the_steps_that_are_said_to_be_needed_suffice() -> None:
    """After as many steps the plateau is settled, and its interval holds the exact 1.1075e-4."""
    system = sd.Map(stretched(), sd.GD(), lr=0.02, noise=sd.Minibatch(4))
    short = sd.convergence(system, [0.0, 0.0], 3000, 40, record=["gap"])
    result = sd.convergence(system, [0.0, 0.0], int(short.plateau().steps_needed), 40, record=["gap"])
    found, exact = result.plateau(), sd.stationary_law(system).gap
    assert exact == pytest.approx(1.1075e-4, rel=1e-4)
    assert found.state == "settled"
    assert abs(found.value - exact) < 4 * found.standard_error
    assert result.limit_sets()[0].kind == "bounded set"


def test_a_start_at_rest_that_has_not_spread_is_not_settled() -> None:
    """From the minimiser the slow direction fills up in thousands of steps, too slowly to be seen in 400."""
    system = sd.Map(stretched(), sd.GD(), lr=0.02, noise=sd.Minibatch(4))
    result = sd.convergence(system, stretched().minimum().x, 400, 30)
    found = result.plateau()
    assert found.state in ("moving", "undecided")
    assert found.steps_needed > 2000
    assert result.limit_sets()[0].kind in ("moving", "undecided")


def test_a_slow_run_of_a_loss_that_is_not_quadratic() -> None:
    """Logistic regression with a weak direction, and Gaussian noise on a bowl: times from the curvatures."""
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((60, 2)) * (1, 0.1)
    logistic = sd.FiniteSum(
        lambda w, s: torch.log(1 + torch.exp(-(s @ w))) + 0.002 * (w @ w), rows, dim=2, box=[(-9, 9), (-9, 9)]
    )
    slow = sd.convergence(sd.Map(logistic, sd.GD(), lr=0.5, noise=sd.Minibatch(8)), [3.0, 6.0], 300, 20)
    assert slow.plateau().state in ("moving", "undecided")
    bowl = sd.Map(sd.landscapes.quadratic(np.diag([1.0, 1e-3])), sd.GD(), lr=0.1, noise=sd.GaussianNoise(0.1))
    assert sd.convergence(bowl, [0.0, 1.0], 1000, 50).plateau().state in ("moving", "undecided")


def test_a_gap_that_falls_to_nothing_is_moving() -> None:
    """Interpolation: the gap falls by a factor a step for ever, on a few replicas that carry its mean."""
    rows = np.random.default_rng(1).standard_normal((20, 3))
    loss = sd.FiniteSum.least_squares(rows, rows @ np.ones(3))
    result = sd.convergence(sd.Map(loss, sd.GD(), lr=0.05, noise=sd.Minibatch(1)), np.zeros(3), 300, 50)
    assert result.plateau().state == "moving"
    assert result.limit_sets()[0].kind == "moving"


def test_settled_runs_are_settled_and_cover() -> None:
    """A short relaxation time: the plateau has an error, and the exact gap is within it."""
    rng = np.random.default_rng(0)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((50, 2)), rng.standard_normal(50))
    system = sd.Map(loss, sd.GD(), lr=0.05, noise=sd.Minibatch(2))
    result = sd.convergence(system, [1.0, 1.0], 1500, 60)
    found, exact = result.plateau(), sd.stationary_law(system).gap
    assert found.state == "settled"
    assert abs(found.value - exact) < 4 * found.standard_error
    assert [s.kind for s in result.limit_sets()] == ["bounded set"]  # one set, whose centres scatter


@pytest.mark.parametrize(("lr", "expected"), [(1.0, "settled"), (0.002, "undecided")])
def test_one_replica_knows_whether_it_can_tell(lr: float, expected: str) -> None:
    """Correlation times of one step and of 250: eight blocks of correlated points covered in 65 %."""
    bowl = sd.landscapes.quadratic([[1.0]])
    system = sd.Map(bowl, sd.GD(), lr=lr, noise=sd.GaussianNoise(1.0))
    found = sd.convergence(system, [0.1], 4000).plateau()
    assert found.state == expected
    if expected == "settled":
        exact = 0.5 * lr / (2 - lr)
        assert abs(found.value - exact) < 4 * found.standard_error
    else:
        assert math.isnan(found.standard_error)
        assert "±" not in repr(found)


def test_a_series_shorter_than_its_correlations_has_no_error() -> None:
    """An autoregression of correlation time 50 in 200 points, and white noise for comparison."""
    rng = np.random.default_rng(0)
    x = np.zeros(700)
    for t in range(1, 700):
        x[t] = 0.98 * x[t - 1] + rng.standard_normal()
    assert math.isnan(series_error(x[500:])[0])
    error = series_error(rng.standard_normal(800))[0]
    assert 0.7 < error * 800**0.5 < 1.8


def test_few_replicas_have_wide_errors() -> None:
    """1.96 errors of two replicas covered in 70 %: Student's t with one degree of freedom has 12.7."""
    system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.5, noise=sd.GaussianNoise(1.0))
    result = sd.convergence(system, [0.1], 200, 2, seed=3)
    found = result.plateau()
    means = result.curves()[result.steps >= 100].mean(axis=0)
    assert found.state == "settled"
    low, high = found.interval()
    assert high - low == pytest.approx(2 * 12.706 * means.std(ddof=1) / 2**0.5, rel=1e-3)
    assert high - found.value == pytest.approx(1.96 * found.standard_error, rel=1e-4)


def test_small_steps_make_no_fixed_point() -> None:
    """A learning rate of 1e-13 moves by less than any tolerance in 64 steps, far from the minimum."""
    for lr, x0 in ((1e-13, 1.0), (1e-12, 30.0)):
        system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=lr)
        result = sd.convergence(system, [x0], 200)
        assert result.limit_sets()[0].kind == "moving"
        assert result.plateau().state == "moving"
    weak = sd.Map(sd.landscapes.quadratic(np.diag([1.0, 1e-11])), sd.GD(), lr=0.1)
    assert sd.convergence(weak, [1.0, 1.0], 500).limit_sets()[0].kind == "moving"


def test_a_cycle_that_creeps_is_no_cycle() -> None:
    """SAM hops across a valley and creeps along it by less than a thousandth of a hop in the window."""
    valley = sd.Map(sd.landscapes.quadratic(np.diag([1.0, 1e-8])), sd.SAM(0.1), lr=0.1)
    (limit,) = sd.convergence(valley, [1.0, 1.0], 3000).limit_sets()
    assert limit.kind == "moving"


def test_rates_of_one_curve_and_scaling_of_moving_curves_have_no_error() -> None:
    """The points of one curve are not independent, and moving plateaus have no scaling."""
    system = sd.Map(stretched(), sd.GD(), lr=0.02, noise=sd.Minibatch(4))
    one = sd.convergence(system, [0.0, 0.0], 300)
    assert math.isnan(one.rate(between=(0, 300)).standard_error)
    swept = sd.convergence(system, [0.0, 0.0], 300, 10, parameters={"lr": [0.01, 0.02, 0.04]})
    assert math.isnan(swept.scaling("lr").standard_error)


def test_long_runs_say_what_they_cost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before ten seconds are spent the user hears of it, and can watch."""
    monkeypatch.setattr("samdyn.jobs.progress.SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr("samdyn.jobs.cost.LONG_SECONDS", 0.0)
    system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.1, noise=sd.GaussianNoise(1.0))
    with pytest.warns(sd.CostWarning, match="convergence will take about"):
        sd.convergence(system, [1.0], 30_000, progress=True)
    assert "convergence" in capsys.readouterr().err


@pytest.mark.slow
def test_a_plateau_of_minibatch_sam_covers_a_long_run() -> None:
    """Right: 4.2945e-4 +- 0.0004e-4, by 1000 other replicas in numpy over steps 20 000 to 60 000, batches of
    4 of 200 without replacement. Fifteen seeds of this experiment were off by 1.1 errors in the mean square.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)) * [1, 0.15]
    y = x @ np.ones(2) + 0.3 * rng.normal(size=200)
    loss = sd.FiniteSum.least_squares(x, y)
    system = sd.Map(loss, sd.SAM(0.3), lr=0.02, noise=sd.Minibatch(4))
    plateau = sd.convergence(system, [0.0, 0.0], 30_000, 100, record=["gap"]).plateau("gap")
    assert plateau.state == "settled"
    assert abs(plateau.value - 4.2945e-4) < 3 * plateau.standard_error
    assert plateau.standard_error < 0.03 * plateau.value


@pytest.mark.parametrize(
    ("n", "level", "held"), [(2, 0.5, 2), (3, 0.9, 3), (10, 0.9, 10), (40, 0.9, 38), (41, 0.5, 21)]
)
def test_a_band_holds_the_share_of_replicas_that_it_says(n: int, level: float, held: int) -> None:
    """An interval that holds less than it says (a): of 3 replicas the 90 % band held one, of 10 eight.

    Right: counted on the replicas themselves, as the fewest between two of them that are a share of `level`.
    """
    system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.3, noise=sd.GaussianNoise(1.0))
    run = sd.convergence(system, [1.0], 20, n, record=["gap"], seed=n)
    low, high = run.band(level=level)
    inside = (run.curves() >= low[:, None]) & (run.curves() <= high[:, None])
    assert (inside[1:].sum(axis=1) == held).all()
    assert held >= level * n

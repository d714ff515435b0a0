"""Kind (a): intervals and errors that omit a bias, a lack of convergence or a dependence.

Systems of their own, chosen to be hard; right values from closed forms or from numpy alone.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.linalg import solve_continuous_lyapunov
from scipy.special import erf

import samdyn as sd


@pytest.mark.parametrize("end", [[1.0, 0.0], [0.0, 1.0]])
def test_the_action_along_a_path_that_winds(end: list[float]) -> None:
    """Kind (a): corners left out of one path said +- .0002 where the action was .0008 too large.

    Right, exact: half of y^T S^-1 y, with A S + S A^T = -1, for dX = A X dt + dW out of a focus.
    """
    matrix = np.array([[-1.0, 3.0], [-2.0, -1.5]])
    flow = sd.Flow.from_function(lambda w: torch.tensor(matrix) @ w, 2, box=[(-2, 2)] * 2)
    exact = np.array(end) @ np.linalg.solve(solve_continuous_lyapunov(matrix, -np.eye(2)), end) / 2
    path = sd.minimum_action(flow, [0.0, 0.0], end, n_points=26)
    assert abs(path.action - exact) <= path.error
    assert path.error < 0.05 * exact


def test_a_power_of_time_has_no_exponential_rate() -> None:
    """Kind (a): .0201 +- .0003 a step was the rate of a gap that falls as t^-2, and the power 1.982 +- .001.

    Right: no rate (its error is larger than itself), and the power 2 within two errors.
    """
    quartic = sd.Landscape(lambda w: w[0] ** 4 / 4, 1, [(-2, 2)])
    starts = np.array([[1.0], [0.9], [1.1], [-1.0], [1.2]])
    result = sd.convergence(sd.Map(quartic, sd.GD(), lr=0.1), starts, 2000, 5)
    rate, power = result.rate("gap"), result.rate("gap", law="power")
    assert rate.standard_error > rate.value
    assert 0.005 < power.standard_error < 0.05
    assert abs(power.value - 2) < 2 * power.standard_error


def test_exponentials_keep_their_narrow_errors() -> None:
    """The counterpart: the gap of a bowl falls by (1 - lr)^2 a step, and its rate says so to 1e-9."""
    bowl = sd.landscapes.quadratic([[1.0]])
    result = sd.convergence(sd.Map(bowl, sd.GD(), lr=0.1), np.array([[1.0], [0.5], [2.0]]), 80, 3)
    rate = result.rate("gap", between=(0, 60))
    assert rate.value == pytest.approx(-2 * math.log(0.9), rel=1e-9)
    assert rate.standard_error < 1e-9


@pytest.mark.parametrize("n_steps", [300, 1000])
def test_a_plateau_in_one_of_two_wells_is_none(n_steps: int) -> None:
    """Kind (a): -.018 +- .012 after 300 steps in the upper well, whose curvature was taken for the slowest
    time, where replicas hop to the lower one and the limit is -.110 (a transition matrix on 1200 cells).
    """
    wells = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4 + 0.1 * w[0], 1, [(-2, 2)])
    system = sd.Map(wells, sd.GD(), lr=0.1, noise=sd.GaussianNoise(1.4))
    found = sd.convergence(system, np.full((40, 1), 1.0), n_steps, 40, record=["gap"]).plateau()
    assert found.state in ("moving", "undecided") or abs(found.value + 0.110) < 4 * found.standard_error


@pytest.mark.parametrize("held", [False, True])
def test_weights_that_wander_have_no_plateau(held: bool) -> None:
    """Kind (a): the distance 2.44 +- .38 of weights on a line of minima was settled. Along the line they are
    a random walk, of variance lr^2 a step, unless the noise leaves that direction out.
    """
    valley = sd.landscapes.quadratic(np.diag([1.0, 0.0]))
    noise = sd.GaussianNoise(cov=np.diag([1.0, 0.0])) if held else sd.GaussianNoise(1.0)
    system = sd.Map(valley, sd.GD(), lr=0.1, noise=noise)
    result = sd.convergence(system, [0.0, 0.0], 1000, 20, record=["gap", "distance"])
    gap = result.plateau("gap")
    assert gap.state == "settled"
    assert abs(gap.value - 0.05 / 1.9) < 4 * gap.standard_error
    assert (result.plateau("distance").state == "settled") is held
    assert (result.limit_sets()[0].kind == "bounded set") is held


def test_a_valley_of_fourth_order_has_no_known_time() -> None:
    """Kind (a): of w0^2/2 + w1^4/4 the time of w0 alone was known, and the plateau settled by it.

    Right: after 1000 steps w1, which spreads from 0 for about 10^4 steps, has not settled.
    """
    valley = sd.Landscape(lambda w: w[0] ** 2 / 2 + w[1] ** 4 / 4, 2, [(-2, 2)] * 2)
    system = sd.Map(valley, sd.GD(), lr=0.1, noise=sd.GaussianNoise(0.1))
    result = sd.convergence(system, [0.0, 0.0], 1000, 20, record=["distance"])
    assert result.plateau("distance").state != "settled"


@pytest.mark.parametrize("low", [-0.3, -6.0])
def test_a_box_that_cuts_the_law_does_not_cut_the_time(low: float) -> None:
    """Kind (a), held before: a box of the loss is no wall. Right: 2 int e^(y^2) int e^(-z^2), 4.0377."""
    bowl = sd.Landscape(lambda w: w[0] ** 2 / 2, 1, [(low, 2.0)])
    sde = sd.Diffusion(bowl, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=math.sqrt(10.0)))
    exact = quad(lambda y: math.exp(y * y) * math.sqrt(math.pi) * (1 + erf(y)), 0, 1)[0]
    field = sd.mean_exit_time(sde, sd.HalfSpace([1.0], 1.0))
    assert abs(field([0.0]) - exact) <= field.error_at([0.0]) + 1e-12 * exact


def test_a_tail_that_is_no_exponential_is_rejected() -> None:
    """Kind (a), held before: from beside the wall the later half of the times shows a rate of 2.7 +- .07.

    Right: pi^2/8, the slowest rate of Brownian motion in (-1, 1), is far outside, and the result says that
    the tail is no exponential; of the last thirtieth of the exits it is one.
    """
    brown = sd.Diffusion.from_function(lambda w: 0 * w, [[1.0]], 1)
    exits = sd.exit_times(brown, [0.9], sd.Ball([0.0], 1.0), 3000, t_max=30.0, dt=0.01, seed=1, compile=False)
    assert "rejected" in repr(exits.slowest_rate())
    late = exits.slowest_rate(0.97)
    low, high = late.confidence_interval(0.9999)
    assert low < math.pi**2 / 8 < high

"""Lyapunov exponents: intervals that hold the exact values, steps short against the stiffness, large systems.

Kinds of fault: a bias that does not shrink with the number of steps and an interval that omits it; an
unstable step returned as a number; a cost nobody is told before.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

import samdyn as sd

SHEAR = sd.Map.from_function(lambda w: torch.stack([w[0] + w[1], w[1]]), 2)
STIFF = sd.Flow.from_function(lambda w: torch.stack([-w[0], -1000 * w[1] + w[0]]), 2)


def holds(result: sd.orbit.LyapunovSpectrum, exact: list[float]) -> bool:
    interval = result.interval()
    return bool(((interval[..., 0] <= exact) & (exact <= interval[..., 1])).all())


def test_the_exponents_of_a_shear_tend_to_zero() -> None:
    """Bias: (x + y, y) has exponents 0 and 0; after n steps the means are log(n)/n, not a constant, and the
    interval holds 0 at every n.
    """
    largest = []
    for n in (1000, 4000, 16000):
        result = sd.lyapunov_exponents(SHEAR, [0.1, 0.1], n)
        assert holds(result, [0.0, 0.0])
        assert "correlated" in repr(result)
        largest.append(float(result.largest))
    assert largest[1] < 0.4 * largest[0]
    assert largest[2] < 0.4 * largest[1]


@pytest.mark.parametrize("momentum", [0.81, 0.25])
def test_critically_damped_heavy_ball(momentum: float) -> None:
    """Bias: with lr h = (1 - sqrt m)^2 both exponents are log sqrt m: -.105361 twice for m = .81."""
    lr = (1 - momentum**0.5) ** 2
    ball = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=lr, momentum=momentum)
    result = sd.lyapunov_exponents(ball, [0.1], 8000)
    exact = 0.5 * math.log(momentum)
    assert holds(result, [exact, exact])
    np.testing.assert_allclose(result.exponents, exact, atol=5e-4)
    assert (np.diff(result.interval(), axis=-1) < 4e-3).all()


def test_a_jordan_block_of_three() -> None:
    """Bias: three equal exponents log .9 with one eigenvector; the means move like 2 log(n)/n."""
    matrix = torch.tensor([[0.9, 1.0, 0.0], [0.0, 0.9, 1.0], [0.0, 0.0, 0.9]], dtype=torch.float64)
    block = sd.Map.from_function(lambda w: matrix @ w, 3)
    result = sd.lyapunov_exponents(block, [0.1, 0.2, 0.3], 5000)
    assert holds(result, [math.log(0.9)] * 3)
    assert (np.diff(result.interval(), axis=-1) < 0.02).all()


@pytest.mark.parametrize("dt", [0.01, 0.1, None])
def test_no_step_is_longer_than_the_stiffness_allows(dt: float | None) -> None:
    """An unstable step: the exponents are -1 and -1000 for every dt."""
    result = sd.lyapunov_exponents(STIFF, [0.1, 0.1], 40 if dt else 400, dt=dt)
    assert holds(result, [-1.0, -1000.0])
    np.testing.assert_allclose(result.exponents, [-1.0, -1000.0], rtol=2e-3)


def test_an_oscillator_whose_stiffness_is_met_along_the_way() -> None:
    """An unstable step: at the start |J| is 1, on the way 100; the rate at the end, w = 0, is -100."""
    flow = sd.Flow.from_function(
        lambda w: torch.stack([-w[0], -(1 + 99 * torch.exp(-(w[0] ** 2))) * w[1]]), 2
    )
    result = sd.lyapunov_exponents(flow, [6.0, 0.1], 100, transient=100, dt=0.1)
    assert holds(result, [-1.0, -100.0])
    np.testing.assert_allclose(result.exponents, [-1.0, -100.0], rtol=2e-3)


def test_one_exponent_of_a_large_system() -> None:
    """Cost: of 1210 coordinates one exponent takes derivatives along one direction; gradient descent on
    curvatures .5 and 3 to 4 with lr .2 has the largest exponent log(1 - .1).
    """
    h = torch.cat([torch.tensor([0.5]), torch.linspace(3.0, 4.0, 1209)]).double()
    step = sd.Map(sd.Landscape(lambda w: (h * w * w).sum() / 2, 1210), sd.GD(), lr=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sd.CostWarning)
        result = sd.lyapunov_exponents(step, np.ones(1210), 40, n_exponents=1, transient=40)
    assert result.exponents[0] == pytest.approx(math.log(0.9), abs=1e-8)
    with pytest.warns(sd.CostWarning, match="lyapunov_exponents will take about"):
        _announced(step)


def _announced(step: sd.Map) -> None:
    """Start all exponents of the large system, which must be announced, and stop at the announcement."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", sd.CostWarning)
        try:
            sd.lyapunov_exponents(step, np.ones(1210), 10**7, n_exponents=1, transient=1)
        except sd.CostWarning as said:
            message = str(said)
    warnings.warn(message, sd.CostWarning, stacklevel=1)

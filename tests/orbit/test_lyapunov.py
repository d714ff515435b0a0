"""Lyapunov exponents against known spectra and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.orbit import lyapunov_frames
from samdyn.orbit.lyapunov import runge_kutta

HENON = sd.Map.from_function(
    lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]), 2, {"a": 1.4, "b": 0.3}, name="Henon"
)
LOGISTIC = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 4.0}, name="logistic")
LORENZ = sd.Flow.from_function(
    lambda w: torch.stack([10 * (w[1] - w[0]), w[0] * (28 - w[2]) - w[1], w[0] * w[1] - 8 / 3 * w[2]]),
    3,
    name="Lorenz",
)


def within(result: sd.orbit.LyapunovSpectrum, expected: list[float], worst: float) -> None:
    """Each exponent at 4 standard errors, which must be small enough to mean something."""
    assert (result.standard_error < worst).all()
    assert (np.abs(result.exponents - expected) <= 4 * result.standard_error + 1e-12).all()


def test_henon() -> None:
    result = sd.lyapunov_exponents(HENON, [0.1, 0.1], 200_000)
    within(result, [0.41922, -1.62319], 2e-3)
    assert result.sum == pytest.approx(math.log(0.3), abs=1e-12)
    assert result.dimension == pytest.approx(1.2583, abs=2e-3)


def test_logistic() -> None:
    within(sd.lyapunov_exponents(LOGISTIC, [0.1234], 100_000), [math.log(2)], 1e-3)


@pytest.mark.slow
def test_lorenz() -> None:
    result = sd.lyapunov_exponents(LORENZ, [1.0, 1.0, 20.0], 300_000, dt=0.01)
    within(result, [0.9056, 0.0, -14.5723], 0.02)
    assert result.sum == pytest.approx(-(10 + 1 + 8 / 3), abs=2e-4)  # the divergence, up to O(dt^4)
    assert result.dimension == pytest.approx(2.062, abs=2e-3)


def test_many_starts_are_one_start_each() -> None:
    starts = np.random.default_rng(0).uniform(-0.1, 0.1, (600, 2))
    result = sd.lyapunov_exponents(HENON, starts, 600)
    assert result.exponents.shape == result.standard_error.shape == (600, 2)
    mean, error = result.largest.mean(), result.largest.std() / 600**0.5
    # starts differ, and 600 steps still carry a bias of the order 1/n
    assert abs(mean - 0.41922) < 4 * error + 5e-3
    alone = sd.lyapunov_exponents(HENON, starts[:2], 600)
    assert alone.exponents.shape == (2, 2)
    np.testing.assert_allclose(result.sum, math.log(0.3), atol=1e-12)


def test_segments_do_not_change_the_result() -> None:
    """One orbit cut into pieces, against the plain method along the whole of it."""
    result = sd.lyapunov_exponents(HENON, [0.1, 0.1], 4000, transient=500)
    x = sd.trajectory(HENON, [0.1, 0.1], n_steps=4500)[500:-1]
    frame, total = np.linalg.qr(np.random.default_rng(1).standard_normal((2, 2)))[0], np.zeros(2)
    for jacobian in HENON.jacobian(x):
        frame, r = np.linalg.qr(jacobian @ frame)
        total += np.log(np.abs(np.diag(r)))
    # 15 segments of equal length leave out the last ten steps
    np.testing.assert_allclose(result.exponents, total / 4000, atol=2e-3)


@pytest.mark.parametrize(
    ("curvature", "lr", "expected"),
    [(-1.0, 0.2, math.log(1.2)), (-1.0, 0.1, math.log(1.1)), (2.0, 0.25, math.log(0.5))],
    ids=["maximum", "maximum, small lr", "minimum: log|1 - s|"],
)
def test_sam_on_a_line(curvature: float, lr: float, expected: float) -> None:
    step = sd.Map(sd.landscapes.quadratic([[curvature]]), sd.SAM(0.5), lr=lr)
    result = sd.lyapunov_exponents(step, [0.03], 2000)
    assert result.exponents[0] == pytest.approx(expected, abs=1e-12)


def test_sam_on_its_two_cycle() -> None:
    values, lr, rho = (3.0, 1.0, 0.2), 0.1, 0.05
    step = sd.Map(sd.landscapes.quadratic(np.diag(values)), sd.SAM(rho), lr=lr)
    cycle = sd.two_cycle(values, lr, rho)
    start = [cycle.amplitude, 0.0, 0.0]
    result = sd.lyapunov_exponents(step, start, 4000, transient=0)
    np.testing.assert_allclose(result.exponents, np.sort(np.log(np.abs(cycle.multipliers)))[::-1], atol=2e-3)


def test_linear_flow_and_momentum_map() -> None:
    saddle = sd.Flow(sd.landscapes.quadratic(np.diag([1.0, -0.5])), sd.GD())
    result = sd.lyapunov_exponents(saddle, [0.0, 0.0], 4000, dt=0.05)
    np.testing.assert_allclose(result.exponents, [0.5, -1.0], atol=1e-3)
    ball = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.5, momentum=0.81)
    result = sd.lyapunov_exponents(ball, [0.0], 5000)
    np.testing.assert_allclose(result.exponents, [math.log(0.9)] * 2, atol=1e-3)


def test_fewer_exponents_and_the_default_step() -> None:
    one = sd.lyapunov_exponents(HENON, [0.1, 0.1], 20_000, n_exponents=1)
    both = sd.lyapunov_exponents(HENON, [0.1, 0.1], 20_000)
    assert one.exponents.shape == (1,)
    assert one.exponents[0] == pytest.approx(both.exponents[0], abs=3e-3)
    result = sd.lyapunov_exponents(LORENZ, [1.0, 1.0, 20.0], 2000)
    steepness = np.linalg.norm(LORENZ.jacobian([1.0, 1.0, 20.0]), 2)
    assert result.dt == pytest.approx(0.25 / steepness)


def test_runge_kutta_is_of_order_four() -> None:
    field = sd.Flow(sd.landscapes.double_well(), sd.GD()).point_function()
    exact = sd.trajectory(sd.Flow(sd.landscapes.double_well(), sd.GD()), [0.3], t_max=1.0)[-1, 0]
    errors = []
    for n in (10, 20):
        step, x = runge_kutta(field, 1.0 / n), torch.tensor([0.3], dtype=torch.float64)
        for _ in range(n):
            x = step(x)
        errors.append(abs(float(x) - exact))
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.15)


def test_divergence_is_labelled() -> None:
    result = sd.lyapunov_exponents(HENON, [[0.1, 0.1], [5.0, 5.0]], 500)
    assert np.isfinite(result.exponents[0]).all()
    assert not np.isfinite(result.exponents[1]).all()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.lyapunov_exponents(sd.landscapes.beale(), [0, 0], 10), TypeError, "system must be a Map"),
        (lambda: sd.lyapunov_exponents(HENON, [0.0], 10), ValueError, "x0 must have shape"),
        (lambda: sd.lyapunov_exponents(HENON, [0.0, 0.0], 0), ValueError, "n_steps must be"),
        (lambda: sd.lyapunov_exponents(HENON, [0.0, 0.0], 10, dt=0.1), ValueError, "dt must be left out"),
        (
            lambda: sd.lyapunov_exponents(HENON, [0.0, 0.0], 10, n_exponents=3),
            ValueError,
            "n_exponents must be",
        ),
        (
            lambda: sd.lyapunov_exponents(sd.Flow(sd.landscapes.beale(), sd.SAM(0.1)), [0, 0], 10),
            ValueError,
            "must not jump",
        ),
        (
            lambda: sd.lyapunov_exponents(
                sd.Map(sd.landscapes.beale(), sd.WarmStart(sd.SAM(0.1), 5), lr=0.1), [0, 0], 10
            ),
            ValueError,
            "constant coefficients",
        ),
    ],
    ids=["landscape", "shape", "no steps", "dt of a map", "too many", "jumping flow", "schedule"],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize("n_starts", [1, 30])
def test_long_orbits_are_compiled(n_starts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled loop gives the states of the loop of Python floats, and of numpy, as long as chaos lets
    it, and the exponents whose sum is known.
    """
    henon = HENON
    starts = np.array([0.1, 0.1]) + 1e-3 * np.arange(n_starts)[:, None]
    short = lyapunov_frames.Frames(henon.point_function(), 2, 2, n_starts)
    long = lyapunov_frames.Frames(henon.point_function(), 2, 2, n_starts, 1e8)
    assert long._run.__name__ == "_compiled"
    state = short.start(starts)
    np.testing.assert_allclose(long.run(state, 23, 5), short.run(state, 23, 5), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(long.run(state, 3, 5), short.run(state, 3, 5), rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(lyapunov_frames, "COMPILE_FROM", 0.0)
    found = sd.lyapunov_exponents(henon, starts, 20_000)
    np.testing.assert_allclose(found.sum, np.log(0.3), atol=1e-9)
    assert np.abs(found.largest - 0.4192).max() < 0.02


@pytest.mark.parametrize("view", ["map", "flow"])
def test_a_loss_whose_gradient_has_no_forward_rule(view: str) -> None:
    """torch 2.13 refuses to push a vector through the gradient of `mse_loss`: reverse mode twice does."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3))  # 33 weights
    rng = np.random.default_rng(0)
    data = rng.normal(size=(4, 6)), rng.normal(size=(4, 3))
    fused = sd.from_module(net, torch.nn.functional.mse_loss, data)
    plain = sd.from_module(net, lambda out, target: ((out - target) ** 2).mean(), data)
    assert plain.probed.forward
    assert not fused.probed.forward
    found = []
    for loss in (fused, plain):
        system = sd.Map(loss, sd.SAM(0.1), lr=0.1) if view == "map" else sd.Flow(loss, sd.USAM(0.1))
        found.append(sd.lyapunov_exponents(system, loss.x0, 3, n_exponents=1, transient=0))
    np.testing.assert_allclose(found[0].exponents, found[1].exponents, rtol=1e-9)

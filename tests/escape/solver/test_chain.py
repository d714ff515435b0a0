"""Exact exit times of the discrete chain: the tables of time-step bias, and chains without bias."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import samdyn as sd
from samdyn.escape import chain_exit_time, chain_mean_exit_time
from samdyn.escape.region import Box, HalfSpace
from samdyn.escape.solver.chain_of_system import system_equation
from samdyn.theory import first_passage as fp

INF = math.inf


def slope(x):
    return x**3 - x


DRIFTS = {
    "well": lambda x: -slope(x),
    "quadratic": lambda x: -x,
    "saddle": lambda x: x,
    "usam": lambda x: -slope(x + 0.2 * slope(x)),
    "sam": lambda x: -slope(x + 0.2 * np.sign(slope(x))),
}


@pytest.mark.parametrize(
    ("name", "d", "dt", "interval", "x0", "plain", "bridge"),
    [
        ("well", 0.1, 0.1, (-INF, 0), -1, 35.6691802, 29.3623407),
        ("well", 0.1, 0.02, (-INF, 0), -1, 33.4168508, 30.6108056),
        ("well", 0.1, 0.01, (-INF, 0), -1, 32.7046571, 30.7239664),
        ("well", 0.1, 0.002, (-INF, 0), -1, 31.6880700, 30.8037484),
        ("quadratic", 1.0, 0.01, (-INF, 1), 0, 2.37750990, 2.08131045),
        ("quadratic", 1.0, 0.001, (-INF, 1), 0, 2.18382462, 2.09205662),
        ("saddle", 0.01, 0.01, (-1, 1), 0, 2.96094019, 2.95480923),
        ("usam", 0.1, 0.01, (-INF, 0), -1, 29.0801430, 27.4117882),
        ("sam", 0.1, 0.01, (-INF, 0), -1, 19.9839173, 19.2220296),
    ],
)
def test_table_of_time_step_bias(name, d, dt, interval, x0, plain, bridge):
    """The table counts whole steps; the crossing inside the step is about half a step earlier."""
    arguments = (DRIFTS[name], math.sqrt(2 * d * dt), interval, dt, x0)
    assert_allclose(chain_mean_exit_time(*arguments).mean, plain, rtol=3e-9)
    whole = chain_mean_exit_time(*arguments, "bridge", crossing="end").mean
    assert_allclose(whole, bridge, rtol=3e-9)
    assert_allclose(whole - chain_mean_exit_time(*arguments, "bridge").mean, dt / 2, rtol=0.03)


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        (sd.GD(), 4168.93928),
        (sd.USAM(0.1), 3835.25045),
        (sd.USAM(0.2), 3429.42223),
        (sd.SAM(0.1), 2777.97353),
        (sd.SAM(0.2), 1379.81424),
    ],
)
def test_table_of_maps(rule, steps):
    system = sd.Map(sd.landscapes.double_well(), rule, lr=0.1, noise=sd.GaussianNoise(std=1.0))
    assert_allclose(chain_exit_time(system, [-1.0], HalfSpace([1.0], 0.0)).mean, steps, rtol=3e-9)


@pytest.mark.parametrize(("drift", "dt"), [(0.7, 0.5), (0.7, 0.05), (3.0, 0.5)])
def test_bridge_has_no_bias_for_constant_drift(drift, dt):
    result = chain_mean_exit_time(
        lambda x: drift + 0 * x, 1.3 * math.sqrt(dt), (-INF, 1.0), dt, 0.0, "bridge"
    )
    law = fp.constant_drift(drift, 1.3, 1.0)
    assert_allclose([result.mean, result.standard_deviation], [law.mean(), law.std()], rtol=1e-9)


def test_bridge_has_no_bias_between_two_far_barriers():
    starts = np.array([-0.5, 0.0, 0.9])
    result = chain_mean_exit_time(lambda x: 0 * x, 0.1, (-1.0, 1.0), 0.01, starts, "bridge")
    assert_allclose(result.mean, 1 - starts**2, rtol=1e-7)


def test_plain_moments_against_matrix_powers():
    """Survival probabilities of the chain, step by step on an independent fine grid, give both moments."""
    n, s, drift = 1200, 0.4, lambda x: -0.3 * x
    x = -1 + (np.arange(n) + 0.5) * 2 / n
    density = np.exp(-(((x[None, :] - x[:, None] - drift(x[:, None])) / s) ** 2) / 2) / (
        s * math.sqrt(2 * math.pi)
    )
    kernel, alive = density * 2 / n, np.ones(n)
    survival = [1.0]
    for _ in range(900):
        alive = kernel @ alive
        survival.append(float(np.interp(0.1, x, alive)))
    mean = sum(survival)
    square = sum((2 * k + 1) * p for k, p in enumerate(survival))
    result = chain_mean_exit_time(drift, s, (-1.0, 1.0), 1.0, 0.1)
    assert_allclose([result.mean, result.second_moment], [mean, square], rtol=5e-6)


def test_diffusion_and_low_level_agree():
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.1, noise=sd.GaussianNoise(std=2.0**0.5))
    result = chain_exit_time(
        sde, [[-1.0], [-0.5]], HalfSpace([1.0], 0.0), dt=0.01, correction="bridge", crossing="end"
    )
    assert result.mean.shape == (2,)
    assert_allclose(result.mean[0], 19.2220296, rtol=3e-9)


def test_noise_that_depends_on_the_point():
    """Geometric Brownian motion has constant noise in y = ln x; the chain differs by O(dt)."""
    d, mu = 0.05, 0.02
    exact = fp.exit_time_moments(lambda y: mu - d + 0 * y, d, 0.0, (math.log(0.5), math.log(2.0))).mean
    bias = []
    for dt in (0.02, 0.01):
        result = chain_mean_exit_time(
            lambda x: mu * x, lambda x, dt=dt: x * math.sqrt(2 * d * dt), (0.5, 2.0), dt, 1.0, "bridge"
        )
        bias.append(float(result.mean) - exact)
    assert abs(bias[1]) < 2e-3 * exact
    assert_allclose(bias[0] / bias[1], 2.0, rtol=0.1)


def test_errors():
    well = DRIFTS["well"]
    for arguments, message in [
        ((well, 0.1, (-1, 0), -0.1, -0.5), "dt must be"),
        ((well, 0.1, (-1, 0), 0.1, 0.5), "x0 must lie inside"),
        ((well, 0.1, (-INF, INF), 0.1, 0.5), "a finite end"),
        ((well, 0.0, (-1, 0), 0.1, -0.5), "standard_deviation_per_step"),
        ((well, 0.1, (-1, 0), 0.1, -0.5, "shift"), "correction must be"),
        ((lambda x: -1 + 0 * x, 0.1, (-INF, 0), 0.1, -0.5), "does not lead back"),
        ((well, 1e-9, (-1, 0), 0.1, -0.5), "standard_deviation_per_step must be at least 1/100000"),
        ((lambda x: -x, 0.05, (-1, 1), 0.1, 0.0), "the exit takes too many steps"),
        ((well, 0.1, (-1, 0), 0.1, []), "x0 must hold at least one start"),
        ((well, 0.1, (-1, 0), 0.1, -0.5, np.ones(2)), "correction must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            chain_mean_exit_time(*arguments)
    with pytest.raises(TypeError, match="drift must be a function"):
        chain_mean_exit_time(3, 0.1, (-1, 0), 0.1, -0.5)
    for interval in (5, (-1, 0, 1)):
        with pytest.raises(TypeError, match="interval must be a pair"):
            chain_mean_exit_time(well, 0.1, interval, 0.1, -0.5)
    for crossing in ("middle", np.ones(2)):
        with pytest.raises(ValueError, match="crossing must be"):
            chain_mean_exit_time(well, 0.1, (-1, 0), 0.1, -0.5, crossing=crossing)
    with pytest.raises(TypeError, match="x0 must be a number or an array of numbers, got 'left'"):
        chain_mean_exit_time(well, 0.1, (-1, 0), 0.1, "left")
    for deviation in ("a", np.ones(2), None):
        with pytest.raises(TypeError, match="standard_deviation_per_step must be a finite number > 0"):
            chain_mean_exit_time(well, deviation, (-1, 0), 0.1, -0.5)
    loss, region = sd.landscapes.double_well(), Box([-1.5], [0.0])
    noise = sd.GaussianNoise(std=1.0)
    samples = sd.FiniteSum(lambda w, s: (w[0] - s) ** 2 / 2, [-1.0, 0.0, 1.0], dim=1)
    for system, options, message in [
        (sd.Map(loss, sd.GD(), lr=0.1), {}, "with noise"),
        (sd.Map(loss, sd.GD(), lr=0.1, noise=noise), {"dt": 0.1}, "no time inside a step"),
        (sd.Map(loss, sd.GD(), lr=0.1, momentum=0.9, noise=noise), {}, "without momentum"),
        (sd.Map(loss, sd.USAM(0.1), lr=0.1, noise=sd.GaussianNoise(probe="same")), {}, "probe"),
        (sd.Map(loss, sd.VaSSO(0.1), lr=0.1, noise=noise), {}, "without memory"),
        (sd.Map(loss, sd.PolyakSAM(0.1), lr=0.1, noise=noise), {}, "another step"),
        (sd.Map(samples, sd.GD(), lr=0.1, noise=sd.Minibatch(1, "full")), {}, "Gaussian noise"),
        (sd.Diffusion(loss, sd.GD(), lr=0.1, noise=noise), {}, "dt must be given"),
        (loss, {"dt": 0.1}, "system must be a Map or a Diffusion"),
        (region, {}, "system must be a Map or a Diffusion"),
    ]:
        with pytest.raises(ValueError, match=message):
            chain_exit_time(system, [-1.0], region, **options)


@pytest.mark.parametrize(
    "region",
    [
        Box([-1.5], [0.0]) & sd.Region(lambda w: -w[0] - 1.2, dim=1),
        Box([-1.5], [0.0]) & ~sd.Ball([-0.3], 0.1),
        Box([-1.5], [0.0]) | Box([-0.5], [0.5]),
        sd.Region(lambda w: w[0].abs() - 1.5, dim=1),
        (-1.5, 0.0),
    ],
    ids=["function", "complement", "union", "function alone", "tuple"],
)
def test_regions_that_are_no_plain_interval_are_refused(region):
    """Their faces may cut the interval anywhere, so that its ends would give a wrong number."""
    noise = sd.GaussianNoise(std=1.0)
    for system, options in (
        (sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=noise), {}),
        (sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=noise), {"dt": 0.1}),
    ):
        with pytest.raises(ValueError, match="region must be an interval or a half-line"):
            chain_exit_time(system, [-1.0], region, **options)


def test_intersections_of_plain_faces_are_intervals():
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    both = HalfSpace([1.0], 0.0) & sd.Ball([0.0], 1.5)
    one, two = (chain_exit_time(sde, [-1.0], region, dt=0.1) for region in (both, Box([-1.5], [0.0])))
    assert one.mean == two.mean


def test_censored_mean_against_powers_of_the_operator():
    """E[min(tau, n dt)] grows to the mean, and its increments are dt P(tau > n dt) for whole steps."""
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.5))
    equation, start, _ = system_equation(sde, [[-1.0]], Box([-1.5], [0.0]), 0.1, None)
    pairs = [equation.censored(start, n) for n in (1, 2, 3, 4, 5000)]
    time, left = (np.array([float(pair[i][0]) for pair in pairs]) for i in (0, 1))
    assert_allclose(np.diff(time[:4]), 0.1 * (1 - left[:3]), rtol=1e-12)
    assert_allclose(time[0], 0.1)
    assert_allclose([time[-1], left[-1]], [float(equation.moments(start).mean[0]), 1.0], rtol=1e-9)

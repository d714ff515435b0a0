"""Closed forms of SAM at a saddle: tables, limits, exact recursions and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, linalg

import samdyn as sd
from samdyn.theory import first_passage, kim

ARGS = {"lr": 0.01, "batch_size": 1.0}
lams = st.floats(0.05, 4.0).map(lambda a: round(a, 3)) | st.floats(-4.0, -0.05).map(lambda a: round(a, 3))
radii = st.floats(0.0, 3.0)


# Theorem 1


def test_rates_are_eigenvalues_of_the_flow():
    flow = sd.Flow(sd.landscapes.saddle(2.0, 3.0), sd.USAM(0.4))
    numeric = np.sort(np.linalg.eigvals(flow.jacobian([0.0, 0.0])).real)
    assert_allclose(numeric, np.sort(kim.usam_rates([2.0, -3.0], 0.4)), rtol=1e-12)


@pytest.mark.parametrize(
    ("rho", "y"), [(0.4, -0.0735964), (0.49, -0.0122135), (0.5, -0.01), (0.51, -0.0081870), (0.6, -0.0013479)]
)
def test_multiplier_gives_the_saddle_table(rho, y):
    assert_allclose(-0.01 * kim.usam_multipliers(-2.0, rho, 0.01) ** 500, y, atol=6e-8)


@pytest.mark.parametrize(
    ("momentum", "radius"), [(0.0, 1.001), (0.5, 1.0020), (0.9, 1.00924), (0.99, 1.0274)]
)
def test_spectral_radius_with_momentum(momentum, radius):
    found = np.abs(kim.usam_multipliers(-0.1, 0.0, 0.01, momentum)).max()
    assert_allclose(found, radius, atol=6e-5 if momentum in (0.5, 0.99) else 6e-6)


@given(lams, radii, st.floats(0.001, 0.5), st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_multipliers_are_eigenvalues_of_the_recursion(lam, rho, lr, momentum):
    kappa = lam * (1 + rho * lam)
    matrix = [[1 - lr * kappa, momentum], [-lr * kappa, momentum]]
    expected, found = np.linalg.eigvals(matrix), kim.usam_multipliers(lam, rho, lr, momentum)
    # a double root is good to the square root of rounding
    assert_allclose(np.poly(expected), np.poly(found), atol=1e-10)
    assert abs(found[0]) >= abs(found[1]) - 1e-12


@given(st.lists(lams, min_size=1, max_size=3), st.floats(0.01, 0.3), st.floats(0.0, 0.9))
@settings(max_examples=60, deadline=None)
def test_window_is_where_every_multiplier_contracts(eigenvalues, lr, momentum):
    window = kim.attracting_radii(eigenvalues, lr, momentum)
    for rho in (
        window.lower * 0.999,
        window.lower * 1.001 + 1e-9,
        window.upper * 0.999,
        window.upper * 1.001,
    ):
        if rho < 0 or min(abs(rho - window.lower), abs(rho - window.upper)) < 1e-12:
            continue
        largest = np.abs(kim.usam_multipliers(eigenvalues, rho, lr, momentum)).max()
        assert (largest < 1) == (window.lower < rho < window.upper or rho == window.lower == 0)


def test_critical_radius():
    assert kim.critical_radius([2.0, -2.0]) == 0.5
    assert_allclose(kim.critical_radius([27.75, -27.75]), 0.0360360, atol=5e-8)
    assert kim.critical_radius([-4.0, -1.0, 3.0]) == 1.0
    assert kim.critical_radius([1.0, 3.0]) == 0.0
    assert_allclose(sd.critical_rho(sd.landscapes.saddle(1.0, 3.0), [0.0, 0.0]), kim.critical_radius([1, -3]))


# Theorem 2


@pytest.mark.parametrize(
    ("rho", "paper", "full", "same"),
    [
        (0.0, 0.0319452805, 0.0319452805, 0.0319452805),
        (0.1, 0.0250190760, 0.0280535970, 0.0227234136),
        (0.5, 0.0129744254, 0.0171828183, 0.0042957046),
        (0.9, 0.0101006700, 0.0110701379, 0.00011070138),
    ],
)
def test_variance_table(rho, paper, full, same):
    for mode, expected in (("paper", paper), ("full", full), ("same", same)):
        assert_allclose(kim.diffusion_variance(-1.0, 1.0, rho=rho, mode=mode, **ARGS), expected, atol=5.1e-11)


def test_variance_of_independent_batches():
    found = kim.diffusion_variance(-1.0, 1.0, rho=0.5, mode="independent", **ARGS)
    assert_allclose(found, 0.0214785229, atol=5.1e-11)


@given(lams, radii, st.floats(0.0, 2.0), st.sampled_from(kim.MODES))
@settings(max_examples=60, deadline=None)
def test_variance_solves_its_equation(lam, rho, t, mode):
    """dS/dt = -2 kappa S + lr s2, by matrix exponential."""
    kappa, s2 = kim.effective_curvature(lam, rho, mode), kim.noise_variance(lam, rho, 3.0, mode)
    if abs(kappa) * t > 20:
        return
    expected = linalg.expm(np.array([[-2 * kappa, 0.01 * s2], [0.0, 0.0]]) * t)[0, 1]
    found = kim.diffusion_variance(lam, t, rho=rho, lr=0.01, batch_size=3.0, mode=mode)
    assert_allclose(found, expected, rtol=1e-10, atol=1e-300)


@given(lams, st.floats(0.0, 2.0), st.sampled_from(kim.MODES))
@settings(max_examples=30, deadline=None)
def test_no_radius_is_sgd(lam, t, mode):
    sgd = 0.01 * abs(lam) / (2 * lam) * -math.expm1(-2 * lam * t)
    assert_allclose(kim.diffusion_variance(lam, t, rho=0.0, mode=mode, **ARGS), sgd, rtol=1e-12)
    assert kim.variance_gap(lam, t, rho=0.0, mode=mode, **ARGS) == 0
    assert kim.variance_gap_leading(lam, t, rho=0.0, mode=mode, **ARGS) == 0


def test_drift_or_noise_vanishes_at_the_critical_radius():
    full = kim.diffusion_variance(-2.0, 3.0, rho=0.5, mode="full", **ARGS)
    assert_allclose(full, 0.01 * 2.0 * 3.0, rtol=1e-14)
    assert kim.diffusion_variance(-2.0, 3.0, rho=0.5, mode="same", **ARGS) == 0


def test_paper_spreads_faster_than_sgd_beyond_twice_the_critical_radius():
    gaps = (
        kim.variance_gap(-1.0, 0.5, rho=2.1, mode="paper", **ARGS),
        kim.variance_gap(-1.0, 0.5, rho=1.9, mode="paper", **ARGS),
    )
    assert gaps[0] < 0 < gaps[1]
    assert (kim.effective_curvature(-1.0, np.float64(5.0), "paper")) < 0  # never an attractor


def test_gap_table():
    t = 0.1
    for rho, exact, printed, leading in ((0.1, 2.14567e-5, 2e-5, None), (0.5, 8.15919e-5, 1e-4, 7.5e-5)):
        assert_allclose(kim.variance_gap(-1.0, t, rho=rho, mode="paper", **ARGS), exact, atol=5.1e-11)
        assert_allclose(kim.corollary_gap(-1.0, t, rho=rho, **ARGS), printed, rtol=1e-12)
        if leading:
            assert_allclose(
                kim.variance_gap_leading(-1.0, t, rho=rho, mode="paper", **ARGS), leading, rtol=1e-12
            )


@pytest.mark.parametrize("mode", kim.MODES)
@pytest.mark.parametrize("lam", [-1.3, 0.7])
def test_leading_gap_is_the_limit_of_short_times(mode, lam):
    errors = []
    for t in (1e-3, 1e-4):
        exact = kim.variance_gap(lam, t, rho=0.6, lr=0.01, batch_size=4.0, mode=mode)
        errors.append(
            exact / kim.variance_gap_leading(lam, t, rho=0.6, lr=0.01, batch_size=4.0, mode=mode) - 1
        )
    assert abs(errors[1]) < 1e-3
    assert_allclose(errors[0] / errors[1], 10, rtol=0.05)  # the next order is one power of t higher


def test_corollary_is_the_first_order_in_the_radius():
    leading = kim.variance_gap_leading(-2.0, 0.3, rho=1e-6, mode="paper", **ARGS)
    assert_allclose(leading, kim.corollary_gap(-2.0, 0.3, rho=1e-6, **ARGS), rtol=2e-6)


def test_same_batch_gap_has_a_first_order_in_time():
    a, rho, t = 1.3, 0.4, 0.01
    expected = 0.01 / 5 * t * (2 * a**2 * rho - a**3 * rho**2)
    found = kim.variance_gap_leading(-a, t, rho=rho, lr=0.01, batch_size=5, mode="same")
    assert_allclose(found, expected, rtol=1e-12)


@given(st.floats(1.0, 1000.0), radii, st.sampled_from(kim.MODES))
@settings(max_examples=30, deadline=None)
def test_gap_shrinks_with_the_batch_and_the_ratio_does_not_depend_on_it(batch, rho, mode):
    one = kim.variance_gap(-1.0, 0.5, rho=rho, lr=0.01, mode=mode)
    other = kim.variance_gap(-1.0, 0.5, rho=rho, lr=0.01, batch_size=batch, mode=mode)
    assert_allclose(other * batch, one, rtol=1e-9, atol=1e-16)


def test_stationary_variances():
    lam, rho = 1.0, 0.5
    expected = {
        "paper": 0.005 / 1.5**2,
        "full": 0.005 / 1.5,
        "same": 0.0075,
        "independent": 0.005 * 1.25 / 1.5,
    }
    for mode, value in expected.items():
        found = kim.stationary_variance(lam, rho=rho, mode=mode, **ARGS)
        assert_allclose(found, value, rtol=1e-13)
        assert_allclose(kim.diffusion_variance(lam, 100.0, rho=rho, mode=mode, **ARGS), found, rtol=1e-13)
    # a saddle beyond its critical radius has one too, but not in the printed formula
    assert kim.stationary_variance(-1.0, rho=2.0, **ARGS) > 0
    with pytest.raises(ValueError, match="kappa > 0"):
        kim.stationary_variance(-1.0, rho=2.0, mode="paper", **ARGS)


def test_stationary_variance_of_the_map():
    """lr (1 + rho lam) s2 / (lam (2 - lr lam (1 + rho lam))), by the recursion."""
    found = kim.momentum_covariance(1.5, 1.5**2, 10_000, lr=0.01)[0, 0]
    assert_allclose(found, 0.00755668, atol=5e-9)


# Mean escape time


def test_escape_times_of_linear_drift():
    for kappa, time, asymptotic in (
        (1.0, 3.281821, 3.284340), (0.5, 5.865378, 5.875533), (0.1, 21.057152, 21.330476),
    ):  # fmt: skip
        # a saddle of SGD with the noise s = 0.1: lr |lam| / B = 0.01
        found = kim.mean_escape_time(-kappa, 1.0, rho=0.0, lr=0.01, batch_size=kappa)
        assert_allclose(found, time, atol=5.1e-7)
        simple = (math.log(4 * kappa / 0.01) + np.euler_gamma) / (2 * kappa)
        assert_allclose(simple, asymptotic, atol=5.1e-7)
        assert (
            abs(found - asymptotic)
            < abs(first_passage.saddle_logarithmic(kappa, 0.005, 1.0) - asymptotic) * 3
        )


@pytest.mark.parametrize(
    ("rho", "full", "same", "paper"),
    [
        (0.25, 4.1828, 4.5684, 5.3194),
        (0.5, 5.8654, 7.2593, 10.3235),
        (0.75, 10.3235, 15.9074, 29.6131),
        (0.9, 21.0572, 44.3538, 73.9442),
    ],
)
def test_escape_time_table(rho, full, same, paper):
    for mode, expected in (("full", full), ("same", same), ("paper", paper)):
        assert_allclose(kim.mean_escape_time(-1.0, 1.0, rho=rho, mode=mode, **ARGS), expected, atol=5.1e-5)


def test_escape_time_by_quadrature_on_both_sides_of_the_critical_radius():
    for rho in (0.3, 1.0, 1.5):
        kappa, spread = -(1 - rho), 0.01
        found = kim.mean_escape_time(-1.0, 0.3, rho=rho, **ARGS)
        numeric = first_passage.exit_time_moments(
            lambda x, k=kappa: -k * x, spread / 2, 0.0, (-0.3, 0.3)
        ).mean
        assert_allclose(found, numeric, rtol=1e-9)
    assert kim.mean_escape_time(-1.0, 0.3, rho=1.0, mode="same", **ARGS) == np.inf
    assert_allclose(kim.mean_escape_time(-1.0, 0.3, rho=1.0, **ARGS), 0.09 / 0.01, rtol=1e-12)


def test_escape_time_simulated():
    noise = sd.CurvatureNoise(batch_size=1.0, probe="same")
    sde = sd.Diffusion(sd.landscapes.quadratic([[-1.0]]), sd.USAM(0.5), lr=0.01, noise=noise)
    exits = sd.exit_times(sde, [0.0], sd.Ball([0.0], 1.0), 4000, t_max=80.0, dt=0.02, seed=3)
    exact = kim.mean_escape_time(-1.0, 1.0, rho=0.5, mode="same", **ARGS)
    assert exits.exited.all()
    # Euler-Maruyama grows by log(1 + kappa dt)/dt instead of kappa: a bias of kappa dt / 2
    assert abs(exits.mean - exact) < 4 * exits.standard_error + 0.5 * 0.02 / 2 * exact


# Normalised SAM with noise


@pytest.mark.parametrize(("dim", "value"), [(1, 0.797885), (2, 0.626657), (5, 0.425538), (20, 0.220830)])
def test_mean_direction(dim, value):
    assert_allclose(kim.mean_direction(dim), value, atol=5.1e-7)


def test_mean_direction_by_quadrature():
    """E[G/|G|] of a Gaussian with a small mean in two dimensions."""
    mean = 1e-3

    def integrand(r, angle):
        return (
            math.cos(angle)
            * r
            * math.exp(-(r**2 - 2 * r * mean * math.cos(angle) + mean**2) / 2)
            / (2 * math.pi)
        )

    value = integrate.dblquad(integrand, 0, 2 * math.pi, 0, 12, epsabs=1e-12)[0]
    assert_allclose(value / mean, kim.mean_direction(2), rtol=1e-6)


def test_effective_radius_table():
    assert_allclose(1 / kim.effective_radius(1.0, 1.0, 2), 1.595769, atol=5.1e-7)  # critical: lam = -1
    for rho, theory in ((0.5, 0.3923), (1.6, 0.0496), (2.5, 0.0091)):
        rate = kim.usam_rates(-1.0, kim.effective_radius(rho, 1.0, 2))
        assert_allclose(0.05 * math.exp(rate * 3), theory, atol=5.1e-5)
    found = kim.effective_covariance(np.diag([1.0, -1.0]), 0.8, 1.0)
    assert_allclose(found, np.diag([2.3227, 0.3173]), atol=5.1e-5)
    assert kim.effective_radius(2.0, 4.0, 3) == kim.effective_radius(1.0, 2.0, 3)


@pytest.mark.parametrize("rho", [0.5, 1.6, 2.5])
@pytest.mark.parametrize("probe", ["same", "independent"])
def test_effective_radius_simulated(rho, probe):
    loss, noise = sd.landscapes.saddle(1.0, 1.0), sd.GaussianNoise(std=1.0, probe=probe)
    sam = sd.Map(loss, sd.SAM(rho), lr=0.01, noise=noise)
    end = sd.trajectory(sam, np.tile([0.0, 0.05], (4000, 1)), 300, save_every=300, seed=5)[-1, :, 1]
    multiplier = kim.usam_multipliers(-1.0, kim.effective_radius(rho, 1.0, 2), 0.01)
    # to first order in |grad f| / sigma, which reaches 0.4: the remainder is a tenth of its square
    expected = 0.05 * multiplier**300
    assert abs(end.mean() - expected) < 4 * end.std() / len(end) ** 0.5 + 0.1 * expected**2


@pytest.mark.parametrize("probe", ["same", "independent"])
def test_effective_covariance_simulated(probe):
    loss, noise = sd.landscapes.saddle(1.0, 1.0), sd.GaussianNoise(std=1.0, probe=probe)
    sam = sd.Map(loss, sd.SAM(0.8), lr=1.0, noise=noise)
    step = sd.trajectory(sam, np.zeros((40_000, 2)), 1, seed=6)[-1]
    exact = kim.effective_covariance(np.diag([1.0, -1.0]), 0.8, 1.0, probe=probe)
    products = step[:, :, None] * step[:, None, :]
    error = products.std(axis=0) / len(step) ** 0.5
    assert (np.abs(products.mean(axis=0) - exact) < 4 * error).all()


# Theorem 3


@pytest.mark.parametrize(
    ("t", "momentum", "formula", "exact"),
    [
        (0.2, 0.5, 0.010194611, 0.008864212),
        (0.2, 0.9, 0.659762566, 0.179213645),
        (0.2, 0.95, 10.241553984, 0.498596830),
        (1.0, 0.5, 0.124876063, 0.116776775),
    ],
)
def test_momentum_table(t, momentum, formula, exact):
    found = kim.momentum_variance(-1.0, t, rho=0.3, momentum=momentum, **ARGS)
    assert_allclose(found, formula, atol=5.1e-10)
    kappa, n = kim.effective_curvature(-1.0, 0.3, "paper"), round(t / 0.01)
    covariance = kim.momentum_covariance(kappa, 1.0, n, lr=0.01, momentum=momentum, stationary_velocity=True)
    assert_allclose(covariance[0, 0], exact, atol=5.1e-10)


def test_momentum_exponent_as_printed():
    found = kim.momentum_variance(-1.0, 1.0, rho=0.3, momentum=0.5, exponent="printed", **ARGS)
    assert_allclose(found, 0.124476073, atol=5.1e-10)


def test_ballistic_part_decides_between_the_exponents():
    """Stationary speed against rest, without curvature: E[v^2] (gamma + ... + gamma^k)^2."""
    gamma, k = 0.95, 50
    args = {"lr": 0.01, "momentum": gamma}
    moving = kim.momentum_covariance(0.0, 1.0, k, stationary_velocity=True, **args)[0, 0]
    exact = moving - kim.momentum_covariance(0.0, 1.0, k, **args)[0, 0]
    assert_allclose(exact, 1e-4 / (1 - gamma**2) * (gamma * (1 - gamma**k) / (1 - gamma)) ** 2, rtol=1e-12)
    assert_allclose(exact, 0.31547, atol=5.1e-6)
    t, slow = k * 0.01, kim.diffusion_variance(-1.0, k * 0.01 / (1 - gamma), rho=0.0, **ARGS) / (1 - gamma)
    ballistic = {
        form: kim.momentum_variance(-1.0, t, rho=0.0, momentum=gamma, exponent=form, **ARGS) - slow
        for form in kim.EXPONENTS
    }
    assert_allclose(ballistic["corrected"], 0.33703, atol=5.1e-6)
    assert_allclose(ballistic["printed"], 4e-7, rtol=2e-3, atol=1e-9 * slow)


def test_theorem_3_without_momentum_exceeds_theorem_2():
    args = {"rho": 0.3, "lr": 0.01, "batch_size": 2.0}
    excess = kim.momentum_variance(-1.5, 1.0, momentum=0.0, **args) - kim.diffusion_variance(
        -1.5, 1.0, mode="paper", **args
    )
    assert_allclose(excess, 0.01**2 * 1.5 / (2 * 2.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("mode", "value", "error"),
    [
        ("same", 0.004235, 30e-6),
        ("full", 0.01712, 12e-5),
        ("paper", 0.01290, 9e-5),
        ("independent", 0.02132, 15e-5),
    ],
)
def test_map_variance_table(mode, value, error):
    """Sampled variances of the maps after 100 steps; and the limit of small lr at first order."""
    kappa, s2 = kim.effective_curvature(-1.0, 0.5, mode), kim.noise_variance(-1.0, 0.5, 1.0, mode)
    found = kim.momentum_covariance(kappa, s2, 100, lr=0.01)[0, 0]
    assert abs(found - value) < 4 * error
    limit = kim.diffusion_variance(-1.0, 1.0, rho=0.5, mode=mode, **ARGS)
    finer = kim.momentum_covariance(kappa, s2, 1000, lr=0.001)[0, 0] * 10
    assert_allclose((found - limit) / (finer - limit), 10, rtol=0.02)


@given(st.integers(0, 70), st.floats(-3.0, 3.0), st.floats(0.0, 0.95), st.booleans())
@settings(max_examples=40, deadline=None)
def test_covariance_by_doubling_is_the_recursion(n, kappa, momentum, moving):
    lr, s2 = 0.05, 1.7
    step, push = np.array([[1 - lr * kappa, momentum], [-lr * kappa, momentum]]), np.array([lr, lr])
    expected = np.diag([0.0, lr**2 * s2 / (1 - momentum**2) if moving else 0.0])
    for _ in range(n):
        expected = step @ expected @ step.T + np.outer(push, push) * s2
    found = kim.momentum_covariance(kappa, s2, n, lr=lr, momentum=momentum, stationary_velocity=moving)
    assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_covariance_without_momentum_is_a_geometric_sum():
    multiplier = 1 + 0.01 * 0.5
    expected = 1e-4 * (1 - multiplier**200) / (1 - multiplier**2)
    assert_allclose(kim.momentum_covariance(-0.5, 1.0, 100, lr=0.01)[0, 0], expected, rtol=1e-12)


# Refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kim.effective_curvature(np.nan, 0.1), "eigenvalues must be finite"),
        (lambda: kim.usam_rates(1.0, -0.1), "rho must be a finite number >= 0"),
        (lambda: kim.usam_rates(1.0, np.inf), "rho must be a finite number >= 0"),
        (lambda: kim.critical_radius([1.0, 0.0]), "eigenvalues must not be zero"),
        (lambda: kim.attracting_radii([1.0], lr=0.0), "lr must be a finite number > 0"),
        (lambda: kim.usam_multipliers(1.0, 0.1, 0.1, 1.0), r"momentum must be a finite number >= 0 and < 1"),
        (lambda: kim.noise_variance(1.0, 0.1, 0.0), "batch_size must be a finite number > 0"),
        (lambda: kim.noise_variance(1.0, 0.1, 1.0, "n-SAM"), "mode must be one of 'full'"),
        (lambda: kim.diffusion_variance(1.0, -1.0, rho=0.0, lr=0.1), "t must be finite and >= 0"),
        (lambda: kim.variance_gap_leading(1.0, 1.0, rho=0.0, lr=0.1, mode="m"), "mode must be"),
        (lambda: kim.corollary_gap(1.0, -1.0, rho=0.0, lr=0.1), "t must be"),
        (lambda: kim.mean_escape_time(0.0, 1.0, rho=0.1, lr=0.1), "eigenvalue must not be zero"),
        (lambda: kim.mean_escape_time(1.0, 0.0, rho=0.1, lr=0.1), "distance must be"),
        (lambda: kim.mean_direction(0), "dim must be an integer >= 1"),
        (lambda: kim.mean_direction(2.5), "dim must be an integer >= 1"),
        (lambda: kim.effective_radius(1.0, 0.0, 2), "noise_std must be"),
        (lambda: kim.effective_covariance([[1.0, 2.0], [0.0, 1.0]], 1.0, 1.0), "symmetric"),
        (lambda: kim.effective_covariance([[1.0]], 1.0, 1.0, probe="full"), "probe must be"),
        (lambda: kim.momentum_variance(-1.0, 0.0, rho=0.1, lr=0.1, momentum=0.5), "t must be > 0"),
        (
            lambda: kim.momentum_variance(-1.0, 1.0, rho=0.1, lr=0.1, momentum=0.5, exponent="t/lr"),
            "exponent must be",
        ),
        (lambda: kim.momentum_covariance(1.0, 1.0, -1, lr=0.1), "n_steps must be an integer >= 0"),
        (lambda: kim.momentum_covariance(1.0, -1.0, 1, lr=0.1), "noise_variance must be"),
        (lambda: kim.momentum_covariance(1.0, 1.0, np.nan, lr=0.1), "n_steps must be an integer >= 0"),
        (lambda: kim.mean_direction(np.inf), "dim must be an integer >= 1"),
        (lambda: kim.critical_radius([]), "eigenvalues must hold at least one number"),
        (lambda: kim.linear_covariance([[1.0]], np.eye(2), 1), "of one size"),
        (lambda: kim.linear_covariance([[1.0]], [[1.0]], 1, np.eye(2)), "start must have shape"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_refuses_what_is_no_number():
    with pytest.raises(TypeError, match="momentum must be a number, got None"):
        kim.usam_multipliers(1.0, 0.1, 0.1, None)

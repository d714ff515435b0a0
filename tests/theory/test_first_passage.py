"""Closed forms of exit times against quadrature, tables and each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from samdyn.theory import first_passage as fp


def slope(x):
    return x**3 - x


def sam(rho):
    return lambda x: -slope(x + rho * np.sign(slope(x)))


def usam(rho):
    return lambda x: -slope(x + rho * slope(x))


def well_time(drift, d, end, lower=-6.0, breakpoints=()):
    return fp.exit_time_moments(drift, d, -1.0, (lower, end), left="reflecting", breakpoints=breakpoints)


@pytest.mark.parametrize(
    ("d", "half", "full", "rtol"),
    [
        (0.2, 7.93402154, 19.0938970, 2e-9),
        (0.1, 30.8213024727, 66.2686263649, 1e-11),
        (0.05, 361.903760, 729.670692, 2e-9),
        (0.03, 9739.57099, 19485.8180, 2e-9),
        (0.02, 616063.85, 1232135.01, 5e-9),
    ],
)
def test_double_well_table(d, half, full, rtol):
    assert_allclose(well_time(usam(0.0), d, 0.0).mean, half, rtol=rtol)
    assert_allclose(well_time(usam(0.0), d, 1.0).mean, full, rtol=rtol)


def test_standard_deviations():
    assert_allclose(well_time(usam(0.0), 0.1, 0.0).standard_deviation, 29.8162349, rtol=2e-9)
    assert_allclose(well_time(usam(0.0), 0.05, 0.0).standard_deviation, 360.213281, rtol=2e-9)
    saddle = fp.exit_time_moments(lambda x: x, 0.01, 0.0, (-1.0, 1.0))
    assert_allclose(saddle.standard_deviation, 1.10609185, rtol=3e-9)
    ou = fp.exit_time_moments(lambda x: -x, 1.0, 0.0, (-12.0, 1.0), left="reflecting")
    assert_allclose(ou, [2.09340665, 2.41702871], rtol=3e-9)


@pytest.mark.parametrize(
    ("rho", "d", "half", "full"),
    [
        (0.1, 0.1, 29.1889239, 63.0425514),
        (0.2, 0.1, 27.5538242731, 59.8418389),
        (0.5, 0.1, 22.1291406, None),
        (0.2, 0.05, 310.847573, None),
    ],
)
def test_unnormalised_sam_table(rho, d, half, full):
    assert_allclose(well_time(usam(rho), d, 0.0, lower=-3.0).mean, half, rtol=2e-9)
    if full is not None:
        assert_allclose(well_time(usam(rho), d, 1.0, lower=-3.0).mean, full, rtol=2e-9)


@pytest.mark.parametrize(
    ("rho", "d", "half", "full", "trap"),
    [
        (0.1, 0.1, 25.8012753, 56.5229660, None),
        (0.2, 0.1, 19.3564911592, 44.2988111, 2.79291438),
        (0.2, 0.03, 2445.93785, None, 5.27498161),
    ],
)
def test_normalised_sam_table(rho, d, half, full, trap):
    cuts = (-1.0, -rho, 0.0, rho, 1.0)
    assert_allclose(well_time(sam(rho), d, 0.0, lower=-4.0, breakpoints=cuts).mean, half, rtol=3e-9)
    if full is not None:
        assert_allclose(well_time(sam(rho), d, 1.0, lower=-4.0, breakpoints=cuts).mean, full, rtol=3e-9)
    if trap is not None:
        inner = fp.exit_time_moments(sam(rho), d, 0.0, (-1.0, 1.0), breakpoints=cuts)
        assert_allclose(inner.mean, trap, rtol=3e-9)


@pytest.mark.parametrize("a", [0.05, 0.5, 1.0, 2.0, 2.9, 3.1, 4.0, 6.0])
def test_ornstein_uhlenbeck_forms_match_quadrature(a):
    one = fp.exit_time_moments(lambda x: -x, 1.0, 0.0, (-12.0, a), left="reflecting")
    two = fp.exit_time_moments(lambda x: -x, 1.0, 0.0, (-a, a))
    assert_allclose(fp.linear_one_sided(1.0, 1.0, a), one.mean, rtol=1e-11)
    assert_allclose(fp.linear_two_sided(-1.0, 1.0, a), two.mean, rtol=1e-11)


def test_linear_tables():
    assert_allclose(
        fp.linear_one_sided(1.0, 1.0, [0.5, 1, 2, 3, 4]),
        [0.784163496, 2.09340665, 10.4284094, 86.9316199, 2018.39238],
        rtol=3e-9,
    )
    assert_allclose(
        fp.linear_two_sided(-1.0, 1.0, [1, 2, 3]), [0.595749319, 4.50160242, 42.5746335], rtol=3e-9
    )
    saddle = [fp.linear_two_sided(1.0, d, 1.0) for d in (1, 0.1, 0.01, 1e-3, 1e-4)]
    assert_allclose(saddle, [0.426685604, 1.72413785, 2.93268887, 4.08855831, 5.24030160], rtol=3e-9)
    assert_allclose(fp.saddle_logarithmic(1.0, 0.01, 1.0), 2.93276651, rtol=3e-9)
    with_usam = [fp.linear_two_sided(1 - rho, 0.01, 1.0) for rho in (0.1, 0.2, 0.5)]
    assert_allclose(with_usam, [3.19937162, 3.52477790, 5.16174090], rtol=3e-9)
    assert_allclose(
        [fp.linear_one_sided(1 + rho, 1.0, 1.0) for rho in (0.1, 0.5)], [2.06237149, 2.00332491], rtol=3e-9
    )


def test_normalised_sam_on_quadratics_table():
    for rho, expected in ((0.1, 2.08107302), (0.5, 2.10767880)):
        exact = fp.exit_time_moments(
            lambda x, rho=rho: -(x + rho * np.sign(x)),
            1.0,
            0.0,
            (-12.0, 1.0),
            left="reflecting",
            breakpoints=[0.0],
        )
        assert_allclose(exact.mean, expected, rtol=3e-9)
    for rho, expected in ((0.1, 4.91952046), (0.2, 13.1350263), (0.3, 89.5021711)):
        exact = fp.exit_time_moments(
            lambda x, rho=rho: x - rho * np.sign(x), 0.01, 0.0, (-1.0, 1.0), breakpoints=[0.0]
        )
        assert_allclose(exact.mean, expected, rtol=3e-9)


def test_dawson_integral_continues_into_its_series():
    """Far out, the quadrature and the asymptotic series meet; without noise only the logarithm is left."""
    u = np.array([9.999, 10.001])
    left, right = fp.linear_two_sided(1.0, 0.5, u)
    assert_allclose(right - left, 2 * 0.002 * 0.0502525, rtol=1e-3)  # Daw(10) = 0.05025...
    assert_allclose(fp.linear_two_sided(1.0, 1e-9, 1.0), fp.saddle_logarithmic(1.0, 1e-9, 1.0), rtol=1e-12)


def test_two_sided_is_continuous_in_the_rate():
    """Well, Brownian motion and saddle meet at rate 0: T = a^2/2D (1 - rate a^2/6D + ...)."""
    assert_allclose(fp.linear_two_sided(0.0, 0.1, 2.0), 20.0)
    for rate in (1e-6, -1e-6):
        assert_allclose(fp.linear_two_sided(rate, 0.1, 2.0), 20.0 * (1 - rate * 4.0 / 0.6), rtol=1e-9)


def test_large_barrier_is_stable():
    a = np.array([10.0, 20.0, 30.0])
    ratio = fp.linear_one_sided(1.0, 1.0, a) / fp.linear_one_sided_asymptotic(1.0, 1.0, a)
    assert_allclose(ratio, 1 + 1 / a**2 + 3 / a**4, rtol=3e-5)
    assert_allclose(fp.linear_two_sided(-1.0, 1.0, a), fp.linear_one_sided(1.0, 1.0, a) / 2, rtol=1e-9)


def test_disc_table_and_small_arguments():
    assert_allclose([fp.disc(1.0, 0.1, 1.0), fp.disc(1.0, 0.01, 1.0)], [1.09390094, 2.24461934], rtol=5e-9)
    assert_allclose([fp.disc(-1.0, 0.5, 1.0), fp.disc(-1.0, 0.1, 1.0)], [0.658951076, 18.9993109], rtol=3e-9)
    for rate in (1e-7, -1e-7, 0.0):  # Brownian motion: a^2 / 4 D
        assert_allclose(fp.disc(rate, 0.5, 1.0), 0.5, rtol=1e-7)
    for rate in (1.0, -1.0):  # the series and the exponential integral meet at B = 1
        below, above = fp.disc(rate, 0.5, np.sqrt([1 - 1e-9, 1 + 1e-9]))
        assert_allclose(below, above, rtol=1e-8)


def test_inverse_gaussian_against_quadrature():
    law = fp.constant_drift(0.7, 1.3, 1.0)
    exact = fp.exit_time_moments(lambda x: 0.7 + 0 * x, 1.3**2 / 2, 0.0, (-60.0, 1.0), left="reflecting")
    assert_allclose([law.mean(), law.std()], exact, rtol=1e-10)


def test_eyring_kramers():
    assert_allclose(
        fp.eyring_kramers(2.0, -1.0, 0.25, [0.05, 0.03, 0.02]), [659.382, 18483.6, 1.19219e6], rtol=4e-6
    )
    assert_allclose(fp.eyring_kramers(2.0, -1.0, 0.25, 0.05, to="separatrix"), 329.691, rtol=2e-6)
    two = [
        fp.eyring_kramers(np.diag([2.0, 2.0]), np.diag([-1.0, 1.0]), 0.25, d, to="separatrix")
        for d in (0.1, 0.05)
    ]
    assert_allclose(two, [19.1362, 233.127], rtol=4e-6)
    exact = well_time(usam(0.0), 0.02, 1.0).mean
    assert_allclose(exact / fp.eyring_kramers(2.0, -1.0, 0.25, 0.02), 1.03350, atol=6e-6)
    assert_allclose(exact / fp.double_well_expansion(0.02), 1.0, atol=5e-3)


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.5])
def test_potentials_have_the_drift_as_slope(rho):
    x = np.array([-1.7, -1.2, -0.8, -0.3, -0.11, 0.07, 0.2, 0.9, 1.3])
    h = 1e-5
    for potential, drift in (
        (fp.usam_double_well_potential, usam(rho)),
        (fp.sam_double_well_potential, sam(rho)),
    ):
        assert_allclose((potential(x + h, rho) - potential(x - h, rho)) / (2 * h), -drift(x), atol=1e-7)
        assert_allclose(potential([1.0, -1.0], rho), 0.0, atol=1e-15)
    assert_allclose(fp.usam_double_well_potential(0.0, rho), fp.usam_double_well_barrier(rho))
    barrier, depth = fp.sam_double_well_barrier(rho)
    assert_allclose(fp.sam_double_well_potential(rho, rho), barrier)
    assert_allclose(barrier - fp.sam_double_well_potential(0.0, rho), depth, atol=1e-15)


@pytest.mark.parametrize(("rho", "d", "ratio"), [(0.3, 0.005, 0.986), (0.05, 0.01, 0.38)])
def test_low_noise_law_of_normalised_sam(rho, d, ratio):
    exact = well_time(sam(rho), d, 0.0, lower=-2.5, breakpoints=(-1.0, -rho)).mean
    assert_allclose(exact / fp.sam_double_well_expansion(rho, d), ratio, atol=6e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fp.exit_time_moments(slope, 0.0, 0.0, (-1, 1)), "diffusion_coefficient"),
        (lambda: fp.exit_time_moments(slope, 0.1, 2.0, (-1, 1)), "x0 must lie inside"),
        (lambda: fp.exit_time_moments(slope, 0.1, 0.0, (-1, 1), left="open"), "left must be"),
        (lambda: fp.eyring_kramers(2.0, 1.0, 0.25, 0.1), "one negative eigenvalue"),
        (lambda: fp.eyring_kramers(-2.0, -1.0, 0.25, 0.1), "positive definite"),
        (lambda: fp.sam_double_well_potential(0.0, 1.5), "rho must be"),
        (lambda: fp.linear_one_sided(-1.0, 1.0, 1.0), "theta must be"),
        (lambda: fp.linear_one_sided(1.0, 1.0, -1.0), "a must be finite and > 0"),
        (lambda: fp.linear_one_sided_asymptotic(-1.0, 1.0, 1.0), "theta must be"),
        (lambda: fp.linear_one_sided_asymptotic(1.0, 0.0, 1.0), "diffusion_coefficient must be"),
        (lambda: fp.linear_two_sided(1.0, 1.0, "wide"), "a must be a number or an array"),
        (lambda: fp.linear_two_sided(None, 1.0, 1.0), "rate must be"),
        (lambda: fp.saddle_logarithmic(1.0, 1.0, 0.0), "a must be finite and > 0"),
        (lambda: fp.disc(np.nan, 1.0, 1.0), "rate must be"),
        (lambda: fp.disc(1.0, 1.0, -1.0), "radius must be"),
        (lambda: fp.eyring_kramers(2.0, -1.0, -0.25, 0.1), "barrier must be"),
        (lambda: fp.eyring_kramers(2.0, -1.0, 0.25, -0.1), "diffusion_coefficient must be"),
        (lambda: fp.eyring_kramers([1.0, 2.0], -1.0, 0.25, 0.1), "minimum_hessian must be a square matrix"),
        (lambda: fp.double_well_expansion(-0.1), "diffusion_coefficient must be"),
        (lambda: fp.sam_double_well_expansion(0.0, 0.1), "rho must be"),
        (lambda: fp.sam_double_well_barrier(-1.0), "rho must be"),
        (lambda: fp.usam_double_well_barrier(np.nan), "rho must be"),
        (lambda: fp.usam_double_well_potential(0.0, -0.1), "rho must be"),
    ],
)
def test_errors(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()

"""The backward Kolmogorov equation in one and two dimensions against closed forms and tables."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import samdyn as sd
from samdyn.escape.region import Ball, Box, HalfSpace, Region
from samdyn.escape.solver.kolmogorov import committor, exit_rate, mean_exit_time
from samdyn.escape.solver.kolmogorov_1d import jumps
from samdyn.theory import first_passage as fp

LEFT = HalfSpace([1.0], 0.0)


class Linear:
    """dX = rates * X dt + sqrt(2 d) dW."""

    def __init__(self, rates, d, box=None):
        self.rates, self.d, self.dim, self.box = np.asarray(rates, dtype=float), d, len(rates), box

    def drift(self, x):
        return self.rates * x

    def covariance(self, x):
        return np.broadcast_to(2 * self.d * np.eye(self.dim), (*np.shape(x), self.dim))


class General(Linear):
    """Any drift and covariance."""

    def __init__(self, dim, drift, covariance, box=None):
        super().__init__([0.0] * dim, 1.0, box)
        self.drift, self.covariance = drift, covariance


def isotropic(dim, drift, d, box=None):
    return General(dim, drift, Linear([0.0] * dim, d).covariance, box)


def well(rule, d):
    return sd.Diffusion(sd.landscapes.double_well(), rule, lr=d, noise=sd.GaussianNoise(std=math.sqrt(2)))


# One dimension: the tables


@pytest.mark.parametrize(
    ("rule", "d", "end", "value"),
    [
        (sd.GD(), 0.2, 0.0, 7.93402154),
        (sd.GD(), 0.2, 1.0, 19.0938970),
        (sd.GD(), 0.1, 0.0, 30.8213024727),
        (sd.GD(), 0.1, 1.0, 66.2686263649),
        (sd.GD(), 0.05, 0.0, 361.903760),
        (sd.GD(), 0.05, 1.0, 729.670692),
        (sd.GD(), 0.03, 0.0, 9739.57099),
        (sd.GD(), 0.03, 1.0, 19485.8180),
        (sd.GD(), 0.02, 0.0, 616063.85),
        (sd.GD(), 0.02, 1.0, 1232135.01),
        (sd.USAM(0.1), 0.1, 0.0, 29.1889239),
        (sd.USAM(0.1), 0.1, 1.0, 63.0425514),
        (sd.USAM(0.2), 0.1, 0.0, 27.5538242731),
        (sd.USAM(0.2), 0.1, 1.0, 59.8418389),
        (sd.USAM(0.5), 0.1, 0.0, 22.1291406),
        (sd.USAM(0.2), 0.05, 0.0, 310.847573),
        (sd.SAM(0.1), 0.1, 0.0, 25.8012753),
        (sd.SAM(0.1), 0.1, 1.0, 56.5229660),
        (sd.SAM(0.2), 0.1, 0.0, 19.3564911592),
        (sd.SAM(0.2), 0.1, 1.0, 44.2988111),
        (sd.SAM(0.2), 0.03, 0.0, 2445.93785),
    ],
)
def test_double_well_table(rule, d, end, value):
    field = mean_exit_time(well(rule, d), HalfSpace([1.0], end))
    assert_allclose(field([-1.0]), value, rtol=5e-9)
    assert np.all(field.error <= 1e-9 * np.maximum(field.values, 1.0))


@pytest.mark.parametrize(("d", "value"), [(0.1, 2.79291438), (0.03, 5.27498161)])
def test_trap_of_normalised_sam_table(d, value):
    assert_allclose(mean_exit_time(well(sd.SAM(0.2), d), Box([-1], [1]))([0.0]), value, rtol=5e-9)


@pytest.mark.parametrize(
    ("diffusion", "region", "value"),
    [
        *[
            (Linear([-1.0], 1.0, [(-1, 1)]), HalfSpace([1.0], a), v)
            for a, v in zip(
                (0.5, 1, 2, 3, 4), (0.784163496, 2.09340665, 10.4284094, 86.9316199, 2018.39238), strict=True
            )
        ],
        *[
            (Linear([-1.0], 1.0), Ball([0.0], a), v)
            for a, v in zip((1, 2, 3), (0.595749319, 4.50160242, 42.5746335), strict=True)
        ],
        *[
            (Linear([1.0], d), Ball([0.0], 1.0), v)
            for d, v in zip(
                (1, 0.1, 0.01, 1e-3, 1e-4),
                (0.426685604, 1.72413785, 2.93268887, 4.08855831, 5.24030160),
                strict=True,
            )
        ],
        *[
            (Linear([1 - rho], 0.01), Ball([0.0], 1.0), v)
            for rho, v in zip((0.1, 0.2, 0.5), (3.19937162, 3.52477790, 5.16174090), strict=True)
        ],
        *[
            (isotropic(1, lambda x, rho=rho: x - rho * np.sign(x), 0.01), Ball([0.0], 1.0), v)
            for rho, v in zip((0.1, 0.2, 0.3), (4.91952046, 13.1350263, 89.5021711), strict=True)
        ],
        *[
            (Linear([-1 - rho], 1.0, [(-1, 1)]), HalfSpace([1.0], 1.0), v)
            for rho, v in zip((0.1, 0.5), (2.06237149, 2.00332491), strict=True)
        ],
        *[
            (isotropic(1, lambda x, rho=rho: -x - rho * np.sign(x), 1.0, [(-1, 1)]), HalfSpace([1.0], 1.0), v)
            for rho, v in zip((0.1, 0.5), (2.08107302, 2.10767880), strict=True)
        ],
    ],
)
def test_linear_tables(diffusion, region, value):
    assert_allclose(mean_exit_time(diffusion, region)([0.0]), value, rtol=5e-9)


def test_second_moments_and_rates_table():
    for d, std, rate in ((0.1, 29.8162349, 0.0335452873), (0.05, 360.213281, 0.00277614064)):
        sde = well(sd.GD(), d)
        mean, square = mean_exit_time(sde, LEFT)([-1.0]), mean_exit_time(sde, LEFT, moment=2)([-1.0])
        assert_allclose(math.sqrt(square - mean**2), std, rtol=5e-9)
        assert_allclose(float(exit_rate(sde, LEFT)), rate, rtol=3e-9)
    saddle = Linear([1.0], 0.01)
    mean, square = (mean_exit_time(saddle, Ball([0.0], 1.0), moment=k)([0.0]) for k in (1, 2))
    assert_allclose(math.sqrt(square - mean**2), 1.10609185, rtol=5e-9)
    assert_allclose(float(exit_rate(saddle, Ball([0.0], 1.0))), 1.0, rtol=1e-8)
    usam = well(sd.USAM(0.2), 0.1)
    mean, square = (mean_exit_time(usam, LEFT, moment=k)([-1.0]) for k in (1, 2))
    assert_allclose(math.sqrt(square - mean**2), 26.5279002, rtol=5e-9)


@pytest.mark.parametrize(("d", "value"), [(0.02, 2.43631967e-6), (0.01, 1.55591629e-11)])
def test_committor_table(d, value):
    below, above = HalfSpace([1.0], -1.0), HalfSpace([-1.0], 0.0)
    q = committor(well(sd.GD(), d), below, above)
    assert_allclose(q([-0.9]), value, rtol=5e-9)
    assert_allclose(committor(well(sd.GD(), d), above, below)([-0.9]), 1.0, atol=1e-5)
    assert q([-1.2]) == 0.0
    assert q([0.3]) == 1.0


# One dimension: the solver


def test_field_between_nodes_at_the_boundary_and_outside():
    field = mean_exit_time(Linear([0.0], 0.5), Box([-1], [2]))
    x = np.linspace(-1, 2, 1001)[:, None]
    assert_allclose(field(x), (x[:, 0] + 1) * (2 - x[:, 0]), rtol=1e-9, atol=1e-12)
    assert_allclose(field([[-3.0], [2.5]]), 0.0)
    assert field(np.zeros((3, 2, 1))).shape == (3, 2)
    walled = mean_exit_time(Linear([0.0], 0.5), HalfSpace([1.0], 1.0), box=[(-2, 2)])
    assert_allclose(walled([0.0]), 2 * 0.5 * (9 - 4) / 1, rtol=1e-10)  # reflecting at -2: (L^2 - y^2) / 2D
    assert np.isnan(walled([-2.5]))


def test_region_in_two_pieces():
    """Inside |x| > 1 less |x| > 2 there are two intervals; each is solved."""
    region = Box([-2], [2]) & ~Box([-1], [1.5])
    field = mean_exit_time(Linear([0.0], 0.5), region)
    assert_allclose(field([[-1.5], [1.6], [0.0]]), [0.25, 0.04, 0.0], rtol=1e-9)
    assert_allclose(float(exit_rate(Linear([0.0], 0.5), region)), math.pi**2 / 2, rtol=1e-10)


def test_noise_that_depends_on_the_point():
    """Geometric Brownian motion is Brownian motion with drift in ln x."""
    sde = General(1, lambda x: 0.3 * x, lambda x: (x**2)[..., None] * 0.8)
    exact = fp.exit_time_moments(lambda y: -0.1 + 0 * y, 0.4, 0.0, (math.log(0.5), math.log(2.0))).mean
    assert_allclose(mean_exit_time(sde, Box([0.5], [2.0]))([1.0]), exact, rtol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_jumps_are_found_wherever_they_are(seed):
    places = np.sort(np.random.default_rng(seed).uniform(-2, 2, 3))

    def function(x):
        return (np.cos(x) + 1e-3 * np.searchsorted(places, x))[None]

    assert_allclose(jumps(function, -2.3, 2.1), places, atol=1e-12)


def test_small_noise_does_not_overflow():
    sde = Linear([-1.0], 1e-3, [(-1, 1)])
    expected = fp.linear_one_sided(1.0, 1e-3, 1.0)
    assert expected > 1e200
    assert_allclose(mean_exit_time(sde, HalfSpace([1.0], 1.0))([0.0]), expected, rtol=1e-9)


# Two dimensions: the tables


def gradient(p):
    x, y = p[..., 0], p[..., 1]
    return np.stack([x**3 - x + x * y**2, (1 + x**2) * y], axis=-1)


def check(field, point, value, rtol=1e-4):
    assert_allclose(field(point), value, rtol=rtol)
    nearest = tuple(int(np.abs(axis - c).argmin()) for axis, c in zip(field.grid, point, strict=True))
    assert abs(field(point) - value) <= field.error[nearest]


@pytest.mark.parametrize(
    ("rates", "d", "height", "value"),
    [
        ((1, -1), 0.1, 1.0, 1.70975641),
        ((1, -2), 0.1, 1.0, 1.72379376),
        ((1, -1), 0.05, 1.0, 2.10556756),
        ((1, -1), 0.1, 0.5, 1.13517673),
        ((0.8, -1.2), 0.1, 1.0, 1.97927569),
    ],
)
def test_saddle_in_a_box_table(rates, d, height, value):
    field = mean_exit_time(Linear(rates, d), Box([-1, -height], [1, height]), resolution=128)
    check(field, [0.0, 0.0], value, rtol=5e-6)


@pytest.mark.parametrize(
    ("rate", "d", "value", "rtol"),
    [
        (1, 0.1, 1.09390094, 2e-5),
        (1, 0.01, 2.24461934, 1e-4),
        (-1, 0.5, 0.658951076, 2e-5),
        (-1, 0.1, 18.9993109, 2e-5),
    ],
)
def test_disc_table(rate, d, value, rtol):
    check(mean_exit_time(Linear([rate, rate], d), Ball([0, 0], 1)), [0.0, 0.0], value, rtol)


@pytest.mark.parametrize(
    ("rho", "d", "value"),
    [
        (0.0, 0.1, 24.0548887),
        (0.0, 0.05, 270.61034),
        (0.0, 0.025, 37038.870),
        (0.1, 0.1, 22.0972766),
        (0.2, 0.1, 20.4214789),
        (0.2, 0.05, 218.706862),
    ],
)
def test_two_dimensional_well_table(rho, d, value):
    """Under unnormalised SAM the drift is not a gradient."""
    sde = isotropic(2, lambda p: -gradient(p + rho * gradient(p)), d, [(-2, 2), (-1.5, 1.5)])
    check(mean_exit_time(sde, HalfSpace([1, 0], 0), resolution=128), [-1.0, 0.0], value, rtol=2e-5)


# Two dimensions: the solver


def test_interpolation_up_to_a_curved_boundary():
    field = mean_exit_time(Linear([0, 0], 0.5), Ball([0.1, -0.2], 1.0), resolution=64)
    rng = np.random.default_rng(0)
    angle, r = rng.uniform(0, 2 * np.pi, 2000), np.sqrt(rng.uniform(0, 1, 2000))
    x = np.array([0.1, -0.2]) + np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    assert_allclose(field(x), (1 - r**2) / 2, atol=2e-5)
    assert field([0.9, 0.9]) == 0.0


def test_mixed_terms_on_an_ellipse():
    """T = (1 - x^2 - y^2 - xy) / (a_xx + a_yy + a_xy), times time-independent noise with correlation."""
    for correlation in (0.6, -0.6):
        a = np.array([[1.0, correlation], [correlation, 1.5]])
        sde = General(2, lambda x: 0 * x, lambda x, a=a: np.broadcast_to(a, (*np.shape(x), 2)))
        ellipse = Region(lambda w: (w[0] ** 2 + w[1] ** 2 + w[0] * w[1] - 1) / 2, dim=2)
        field = mean_exit_time(sde, ellipse, box=[(-1.3, 1.3), (-1.3, 1.3)], resolution=128)
        x = np.random.default_rng(1).uniform(-0.6, 0.6, (200, 2))
        exact = (1 - x[:, 0] ** 2 - x[:, 1] ** 2 - x[:, 0] * x[:, 1]) / (2.5 + correlation)
        assert_allclose(field(x), exact, atol=1e-4)


def test_mixed_terms_with_drift_by_turning_the_coordinates():
    """A saddle in turned coordinates with unequal noise, against the solution in its own coordinates."""
    c, s = math.cos(0.5), math.sin(0.5)
    turn = np.array([[c, -s], [s, c]])
    noise, rates = np.diag([0.2, 0.1]), np.diag([1.0, -1.0])
    a, b = turn @ noise @ turn.T, turn @ rates @ turn.T
    straight = General(2, lambda x: x @ rates.T, lambda x: np.broadcast_to(noise, (*np.shape(x), 2)))
    turned = General(2, lambda x: x @ b.T, lambda x: np.broadcast_to(a, (*np.shape(x), 2)))
    point = np.array([0.2, 0.3])
    one = mean_exit_time(straight, Ball([0, 0], 1))(point)
    two = mean_exit_time(turned, Ball([0, 0], 1))(turn @ point)
    assert_allclose(one, two, rtol=1e-4)


def test_noise_that_depends_on_the_point_in_two_dimensions():
    """Geometric Brownian motion beside an Ornstein-Uhlenbeck process, against ln x as coordinate."""

    def covariance(x):
        result = np.zeros((*x.shape, 2))
        result[..., 0, 0], result[..., 1, 1] = 0.8 * x[..., 0] ** 2, 0.5
        return result

    rates = np.array([0.3, -1.0])
    direct = General(2, lambda x: rates * x, covariance)
    logarithm = General(
        2,
        lambda x: np.stack([-0.1 + 0 * x[..., 0], -x[..., 1]], axis=-1),
        lambda x: np.broadcast_to(np.diag([0.8, 0.5]), (*np.shape(x), 2)),
    )
    one = mean_exit_time(direct, Box([0.5, -1], [2, 1]))([1.2, 0.3])
    two = mean_exit_time(logarithm, Box([-math.log(2), -1], [math.log(2), 1]))([math.log(1.2), 0.3])
    assert_allclose(one, two, rtol=1e-5)


def test_jump_of_the_drift_across_a_line():
    """Normalised SAM beside an independent quadratic: the time is the one-dimensional one."""
    rho = 0.2

    def drift(p):
        slope = p[..., 0] ** 3 - p[..., 0]
        y = p[..., 0] + rho * np.sign(slope)
        return np.stack([y - y**3, -p[..., 1]], axis=-1)

    sde = isotropic(2, drift, 0.1, [(-1.9, 1.9), (-1, 1)])
    field = mean_exit_time(sde, HalfSpace([1, 0], 0.03), resolution=(128, 32))
    exact = mean_exit_time(well(sd.SAM(rho), 0.1), HalfSpace([1.0], 0.03))([-0.9])
    assert_allclose(field([-0.9, 0.0]), exact, rtol=5e-3)
    nearest = tuple(int(np.abs(axis - c).argmin()) for axis, c in zip(field.grid, (-0.9, 0.0), strict=True))
    assert abs(field([-0.9, 0.0]) - exact) < 5 * field.error[nearest]


def test_committor_of_an_annulus():
    q = committor(Linear([0, 0], 1.0), Ball([0, 0], 0.25), ~Ball([0, 0], 1.0), resolution=160)
    r = np.linspace(0.26, 0.99, 50)
    x = np.stack([r * math.cos(0.3), r * math.sin(0.3)], axis=1)
    assert_allclose(q(x), np.log(r / 0.25) / math.log(4), atol=1e-4)
    assert_allclose(q([[0.1, 0.0], [1.2, 0.0]]), [0.0, 1.0])


def test_strong_drift_stays_between_bounds():
    """Cells in which the drift outweighs the noise a hundredfold: still a probability."""
    sde = Linear([1.0, -1.0], 1e-5)
    q = committor(sde, HalfSpace([1, 0], -1), HalfSpace([-1, 0], -1), box=[(-1, 1), (-1, 1)], resolution=32)
    assert np.all((q.values >= 0) & (q.values <= 1 + 1e-12))
    assert_allclose(q([[-0.5, 0.2], [0.0, 0.0], [0.5, 0.2]]), [0, 0.5, 1], atol=1e-6)


def test_second_moment_in_two_dimensions():
    field = mean_exit_time(Linear([0, 0], 0.5), Ball([0, 0], 1), resolution=128, moment=2)
    assert_allclose(field([0.0, 0.0]), 3 / 8, rtol=1e-4)  # L T2 = -2 T with T = (1 - r^2)/2


def test_rate_of_a_separable_saddle_is_the_sum():
    one = [float(exit_rate(Linear([rate], 0.1), Ball([0.0], 1))) for rate in (1.0, -1.0)]
    both = exit_rate(Linear([1.0, -1.0], 0.1), Box([-1, -1], [1, 1]), resolution=64)
    assert_allclose(float(both), sum(one), rtol=1e-4)
    assert abs(both.value - sum(one)) < both.error


# The interface


def test_the_default_box_is_wide_enough():
    """The wall reflects where nothing comes: a wider box gives the same time."""
    sde = isotropic(2, lambda p: -gradient(p), 0.1, [(-1.2, 1.2), (-0.5, 0.5)])
    default = mean_exit_time(sde, HalfSpace([1, 0], 0), resolution=96)
    wide = mean_exit_time(sde, HalfSpace([1, 0], 0), resolution=128, box=[(-3, 3), (-3, 3)])
    assert default.grid[1][0] < -1.5
    assert_allclose(default([-1.0, 0.0]), wide([-1.0, 0.0]), rtol=1e-4)


def test_field_prints_plots_and_pickles():
    for field in (
        mean_exit_time(Linear([1.0], 0.1), Ball([0.0], 1)),
        mean_exit_time(Linear([1.0, -1.0], 0.1), Ball([0, 0], 1), resolution=32),
    ):
        assert "mean exit time" in repr(field)
        assert "units of the weights" in field.plot().get_xlabel()
        origin = np.zeros(field.dim)
        assert pickle.loads(pickle.dumps(field))(origin) == field(origin)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mean_exit_time(Linear([1.0], 0.1), LEFT), ValueError, "box must be given"),
        (lambda: mean_exit_time(Linear([1.0], 0.1, [(-1, 1)]), LEFT), ValueError, "does not lead back"),
        (
            lambda: mean_exit_time(Linear([1.0, 1.0], 0.1, [(-1, 1)] * 2), HalfSpace([1, 0], 0)),
            ValueError,
            "lead back",
        ),
        (lambda: mean_exit_time(Linear([-1.0], 0.1), LEFT, box=[(1, 2)]), ValueError, "box must meet"),
        (
            lambda: mean_exit_time(Linear([-1.0] * 3, 0.1), Ball([0, 0, 0], 1)),
            ValueError,
            "1 or 2 dimensions",
        ),
        (lambda: mean_exit_time(SimpleNamespace(dim=1), LEFT), TypeError, "system must have"),
        (lambda: mean_exit_time(Linear([1.0], 0.0), Ball([0.0], 1)), ValueError, "covariance must be > 0"),
        (lambda: mean_exit_time(Linear([1.0, 1.0], 0.0), Ball([0, 0], 1)), ValueError, "positive definite"),
        (lambda: mean_exit_time(Linear([1.0], 0.1), Ball([0.0], 1), moment=0), ValueError, "moment must be"),
        (
            lambda: mean_exit_time(Linear([1.0], 0.1), Ball([0.0], 1), moment=10**30),
            ValueError,
            "moment must be an integer >= 1 and < 101",
        ),
        (
            lambda: mean_exit_time(Linear([1.0, 1.0], 0.1), Ball([0, 0], 1), resolution=[[1, 2], [3]]),
            TypeError,
            "resolution.0. must be",
        ),
        (
            lambda: mean_exit_time(Linear([1.0, 1.0], 0.1), Ball([0, 0], 1), resolution=4),
            ValueError,
            "resolution",
        ),
        (lambda: mean_exit_time(Linear([1.0], 0.1), None), TypeError, "region must be a samdyn region"),
        (lambda: exit_rate(Linear([1.0], 0.1), (0, 1)), TypeError, "region must be a samdyn region"),
        (lambda: mean_exit_time(Linear([1.0], 0.1), Ball([0, 0], 1)), ValueError, "region must have dim 1"),
        (lambda: committor(Linear([1.0], 0.1), LEFT, 0.0), TypeError, "target must be a samdyn region"),
        (lambda: mean_exit_time(Linear([-1.0], 1e-3), Ball([0.0], 2)), ValueError, "below 1e308"),
        (
            lambda: mean_exit_time(
                isotropic(2, lambda p: np.where(p == 0, np.nan, p), 0.1, [(-1, 1)] * 2),
                Ball([0, 0], 1),
                resolution=32,
            ),
            ValueError,
            "finite drift everywhere in the region",
        ),
        (
            lambda: mean_exit_time(
                Linear([-1.0, -1.0], 0.1), Region(lambda w: 0 * w[0] - 1, dim=2), box=[(-1, 1)] * 2
            ),
            ValueError,
            "region must have a boundary",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dim", [1, 2])
def test_committor_of_sets_that_overlap_or_are_missed_is_refused(dim):
    """Where one set hides the other, or lies between the nodes, the solution is 0 with an error of 0."""
    sde = Linear([-1.0] * dim, 0.1, [(-2, 2)] * dim)

    def ball(x, radius):
        return Ball([x] + [0.0] * (dim - 1), radius)

    q = committor(sde, ball(1.0, 0.5), ball(-1.0, 0.5), resolution=32)
    assert_allclose(q(np.zeros(dim)), 0.5, atol=1e-3)
    for b in (ball(1.0, 0.5), ball(1.0, 0.3), ball(0.6, 0.3)):
        with pytest.raises(ValueError, match="origin and target must be disjoint"):
            committor(sde, ball(1.0, 0.5), b, resolution=32)
    with pytest.raises(ValueError, match="target must hold a node of the grid"):
        committor(sde, ball(1.0, 0.5), ball(-1.00037, 1e-5), resolution=32)
    with pytest.raises(ValueError, match="target must hold a node of the grid"):
        committor(sde, ball(1.0, 0.5), ball(-1.0, 0.5), resolution=32, box=[(0, 2)] + [(-1, 1)] * (dim - 1))


def test_mixed_terms_of_any_size_on_square_cells():
    """T = (1 - r^2) / (a_xx + a_yy) in the unit disc: no shape of cells is asked for."""
    a = np.array([[1.0, 1.9], [1.9, 4.0]])
    sde = General(2, lambda x: 0 * x, lambda x: np.broadcast_to(a, (*np.shape(x), 2)))
    for resolution in ((64, 64), 96):
        field = mean_exit_time(sde, Ball([0, 0], 1), resolution=resolution)
        assert_allclose(field([0.0, 0.0]), 1 / 5, rtol=1e-6)
    singular = General(2, lambda x: 0 * x, lambda x: np.array([[1.0, 2.0], [2.0, 4.0]]) + 0 * x[..., None])
    with pytest.raises(ValueError, match="covariance must be positive definite"):
        mean_exit_time(singular, Ball([0, 0], 1))

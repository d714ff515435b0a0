"""The bridge test of a step against the exact laws of Brownian motion, at any step size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from samdyn.escape.kernel.crossing import (
    crossing_probability,
    crossing_time,
    exit_probability,
    first_exit,
    projected_variance,
)
from samdyn.escape.kernel.exit_place import conjugate_direction, exit_point
from samdyn.escape.region import Ball, Box, HalfSpace, OpenSet
from samdyn.numerics.vector import Coordinates

# a Kolmogorov-Smirnov p-value below this is what four standard errors are for a mean
P_VALUE = 6e-5


def draws(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(shape, generator=generator, dtype=dtype),
        torch.rand(shape, generator=generator, dtype=dtype),
    )


def z_score(sample: np.ndarray, exact: float) -> float:
    return abs(sample.mean() - exact) / (sample.std(ddof=1) / math.sqrt(len(sample)))


def simulate(
    region: OpenSet,
    start: list[float],
    drift: list[float],
    root: list[list[float]],
    dt: float,
    n: int,
    seed: int,
    point_noise: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exit times, faces and points of dX = drift dt + root dW, one step after another until all are out."""
    generator = torch.Generator().manual_seed(seed)
    dim, faces = len(start), region.faces
    columns = [[root[i][k] * math.sqrt(dt) for i in range(dim)] for k in range(dim)]

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    def increment(m: int) -> Coordinates:
        z = normal(dim, m)
        return Coordinates(sum(columns[k][i] * z[k] for k in range(dim)) for i in range(dim))

    x = Coordinates(torch.full((n,), s, dtype=torch.float64) for s in start)
    alive = np.arange(n)
    time, which, point = np.full(n, np.nan), np.full(n, -1), np.full((n, dim), np.nan)
    for step in range(100_000):
        m = len(alive)
        y = x + Coordinates(b * dt for b in drift) + increment(m)
        a, c, v, directions = [], [], [], []
        for face in faces:
            distance, n_x = face.distance_and_normal(x)
            a.append(-distance)
            c.append(-face.distance(y))
            v.append(projected_variance(n_x, columns))
            directions.append(conjugate_direction(n_x, columns))
        u = uniform(m)
        q = exit_probability(a, c, v)
        out = u < q
        k = int(out.sum())
        if k:
            of_exits = [[t[out] if isinstance(t, Tensor) else t for t in s] for s in (a, c, v)]
            choices = [(u / q)[out], *uniform(len(faces) - 1, k)]
            index, fraction = first_exit(
                *of_exits, choices, list(normal(len(faces), k)), list(uniform(len(faces), k))
            )
            gone = alive[out.numpy()]
            time[gone], which[gone] = (step + fraction.numpy()) * dt, index.numpy()
            x_out, y_out = (Coordinates(u[out] for u in w) for w in (x, y))
            noise = increment(k) if point_noise else None
            for i, face in enumerate(faces):
                here = (index == i).numpy()
                direction = Coordinates(d[out] if isinstance(d, Tensor) else d for d in directions[i])
                others = [f for f in faces if f is not face]
                p = exit_point(x_out, y_out, fraction, face, noise, direction, others)
                point[gone[here]] = torch.stack(list(p), -1).numpy()[here]
        stay = ~out
        x, alive = Coordinates(u[stay] for u in y), alive[stay.numpy()]
        if not len(alive):
            return time, which, point
    raise AssertionError("paths left over")


def inverse_gaussian(distance: float, drift: float, sigma: float) -> stats.rv_continuous:
    mean, shape = distance / drift, (distance / sigma) ** 2
    return stats.invgauss(mean / shape, scale=shape)


CASES = [
    (1.0, 1.0, 1.0),
    (1.0, -1.0, 1.0),  # the end is outside
    (0.3, 2.0, 0.5),
    (2.0, 0.3, 0.5),
    (1e-3, 1.0, 1.0),
    (1.0, 1e-3, 1.0),
    (1e-6, -1e-6, 1.0),
    (3.0, 5.0, 0.1),  # almost the straight line
    (3.0, -5.0, 1e-4),
    (1e-4, 2e-4, 1e-8),  # a small step
    (1e6, 1e6, 1e12),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("a", "c", "v"), CASES)
def test_crossing_time_follows_the_wald_law(a: float, c: float, v: float, dtype: torch.dtype) -> None:
    n = 40_000
    fraction = crossing_time(
        *(torch.full((n,), value, dtype=dtype) for value in (a, c, v)), *draws(1, n, dtype=dtype)
    )
    assert fraction.dtype == dtype
    assert ((fraction >= 0) & (fraction <= 1)).all()
    shape = a**2 / v
    law = stats.invgauss(a / abs(c) / shape, scale=shape)

    def cdf(f: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.asarray(law.cdf(f / (1 - f)))

    assert stats.kstest(fraction.double().numpy(), cdf).pvalue > P_VALUE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_crossing_time_ends_in_the_levy_law(dtype: torch.dtype) -> None:
    n = 40_000
    normal, uniform = draws(3, n, dtype=dtype)
    one = torch.ones(n, dtype=dtype)
    levy = stats.levy(scale=4 / 3)

    def cdf(f: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.asarray(levy.cdf(f / (1 - f)))

    for c in (0.0, 1e-30):
        fraction = crossing_time(2 * one, c * one, 3.0, normal, uniform).double().numpy()
        assert stats.kstest(fraction, cdf).pvalue > P_VALUE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_crossing_time_has_a_value_for_every_extreme(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny
    values = torch.tensor([0.0, tiny, 1e-30, 1e-8, 1.0, 1e8, 1e18], dtype=dtype)
    normals = torch.tensor([0.0, 1e-9, 1.0, -6.0], dtype=dtype)
    uniforms = torch.tensor([0.0, 0.5, 1 - torch.finfo(dtype).eps], dtype=dtype)
    a, c, v, normal, uniform = (
        t.flatten() for t in torch.meshgrid(values, values, values, normals, uniforms, indexing="ij")
    )
    for end in (c, -c):
        fraction = crossing_time(a, end, v, normal, uniform)
        assert ((fraction >= 0) & (fraction <= 1)).all()
    still = (v == 0) & (a + c > 0)
    torch.testing.assert_close(
        crossing_time(a, -c, v, normal, uniform)[still], (a / (a + c))[still], rtol=1e-5, atol=1e-12
    )


def test_crossing_time_is_the_same_in_any_units() -> None:
    normal, uniform = draws(4, 1000)
    one = torch.ones(1000, dtype=torch.float64)
    reference = crossing_time(0.7 * one, 0.2 * one, 0.3, normal, uniform)
    for unit in (1e-60, 1e60):
        scaled = crossing_time(0.7 * unit * one, 0.2 * unit * one, 0.3 * unit**2, normal, uniform)
        torch.testing.assert_close(scaled, reference, rtol=1e-12, atol=0)


def test_crossing_probability_at_the_edges() -> None:
    a = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    c = torch.tensor([1.0, -1.0, 1.0, 0.0, math.nan, -1.0, math.inf], dtype=torch.float64)
    for variance in (2.0, torch.tensor(2.0, dtype=torch.float64)):
        p = crossing_probability(a, c, variance)
        expected = torch.tensor([math.exp(-1), 1, 1, 1, math.nan, 1, 0], dtype=torch.float64)
        torch.testing.assert_close(p, expected, equal_nan=True, rtol=1e-15, atol=0)
    for still in (0.0, torch.tensor(0.0)):
        assert crossing_probability(a[:4], c[:4], still).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(("a", "c", "v"), [(0.5, 0.8, 1.0), (0.3, 0.2, 0.5), (1.0, 1.0, 3.0)])
def test_crossing_of_a_finely_simulated_bridge(a: float, c: float, v: float) -> None:
    n, steps = 20_000, 1000
    rng = np.random.default_rng(5)
    walk = np.zeros((n, steps + 1))
    walk[:, 1:] = np.cumsum(rng.standard_normal((n, steps)) * math.sqrt(v / steps), axis=1)
    grid = np.linspace(0, 1, steps + 1)
    bridge = walk - grid * walk[:, -1:] + a + grid * (c - a)
    # a walk seen at discrete times misses crossings as if the barrier were 0.5826 of its steps further out
    crossed = bridge < 0.5825971579 * math.sqrt(v / steps)
    hit = crossed.any(axis=1)
    p = crossing_probability(torch.tensor(a), torch.tensor(c), v).item()
    assert z_score(hit.astype(float), p) < 4
    first = grid[crossed.argmax(axis=1)][hit] - 0.5 / steps
    normal, uniform = draws(6, 200_000)
    expected = crossing_time(torch.full_like(normal, a), torch.full_like(normal, c), v, normal, uniform)
    error = math.hypot(first.std() / math.sqrt(len(first)), expected.std().item() / math.sqrt(len(expected)))
    assert abs(first.mean() - expected.mean().item()) < 4 * error


@pytest.mark.parametrize(("deviations", "bound"), [(2, 1e-2), (3, 3e-4), (4, 3e-6)])
def test_two_parallel_faces_against_the_series_of_images(deviations: float, bound: float) -> None:
    """The documented cost of taking the two ends of an interval as independent, for the worst start."""
    v = 1 / deviations**2
    grid = torch.linspace(0, 1, 401, dtype=torch.float64)[1:-1]
    x, y = torch.meshgrid(grid, grid, indexing="ij")
    k = torch.arange(-20, 21, dtype=torch.float64)[:, None, None]
    images = torch.exp(-2 * k * (k + y - x) / v) - torch.exp(-2 * (k + x) * (k + y) / v)
    error = 1 - exit_probability([x, 1 - x], [y, 1 - y], [v, v]) - images.sum(0)
    density = torch.exp(-((x - y) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)
    misjudged = ((error * density).sum(1) / 400).abs().max().item()
    assert 0.5 * bound < misjudged < bound


def test_exit_probability_keeps_small_numbers() -> None:
    one = torch.ones(1, dtype=torch.float32)
    q = exit_probability([one] * 4, [one] * 4, [2 / 40.0] * 4)  # four times exp(-40)
    assert q.item() == pytest.approx(4 * math.exp(-40), rel=1e-5)


@pytest.mark.parametrize("dt", [0.5, 5.0])
def test_constant_drift_has_no_time_step_bias(dt: float) -> None:
    n, drift, sigma = 200_000, 0.7, 1.3
    time, _, point = simulate(HalfSpace([1], 1), [0.0], [drift], [[sigma]], dt, n, seed=7)
    law = inverse_gaussian(1.0, drift, sigma)
    assert law.mean() == pytest.approx(1.42857, abs=1e-5)
    assert stats.kstest(time, law.cdf).pvalue > P_VALUE
    assert z_score(time, law.mean()) < 4
    np.testing.assert_allclose(point, 1, atol=1e-12)


def test_the_test_above_can_fail() -> None:
    """Without the bridge the same loop is far off: the check has the power that it needs."""
    n, dt = 20_000, 0.5
    steps = 0.7 * dt + 1.3 * math.sqrt(dt) * np.random.default_rng(8).standard_normal((n, 200))
    time = dt * (1 + (np.cumsum(steps, axis=1) >= 1).argmax(axis=1))
    assert stats.kstest(time, inverse_gaussian(1.0, 0.7, 1.3).cdf).pvalue < 1e-100


def test_interval_is_left_through_each_end_as_often_as_it_should() -> None:
    lower, upper, drift, sigma, start = -1.0, 1.5, 0.4, 0.9, 0.2
    time, which, point = simulate(Box(lower, upper), [start], [drift], [[sigma]], 0.05, 50_000, seed=9)
    theta = -2 * drift / sigma**2
    p_upper = (math.exp(theta * start) - math.exp(theta * lower)) / (
        math.exp(theta * upper) - math.exp(theta * lower)
    )
    assert z_score((which == 1).astype(float), p_upper) < 4
    assert z_score(time, (p_upper * upper + (1 - p_upper) * lower - start) / drift) < 4  # Wald's identity
    np.testing.assert_allclose(point[:, 0], np.where(which == 1, upper, lower), atol=1e-12)


@pytest.mark.parametrize("dt", [0.1, 1.0])
def test_corner_of_a_box_is_exact_at_any_step(dt: float) -> None:
    """Independent coordinates: the exit is the earlier of two inverse-Gaussian times."""
    first, second = inverse_gaussian(1.0, 0.5, 1.0), inverse_gaussian(1.2, 0.8, 0.7)
    region = Box([-math.inf] * 2, [1.0, 1.2])
    time, which, point = simulate(
        region, [0.0, 0.0], [0.5, 0.8], [[1.0, 0.0], [0.0, 0.7]], dt, 100_000, seed=10
    )
    p_first = integrate.quad(lambda t: first.pdf(t) * second.sf(t), 0, np.inf)[0]
    assert z_score((which == 0).astype(float), p_first) < 4
    assert stats.kstest(time, lambda t: 1 - first.sf(t) * second.sf(t)).pvalue > P_VALUE
    np.testing.assert_allclose(region.signed_distance(point), 0, atol=1e-12)
    # with the times of each face, not only how often it is chosen
    earlier = integrate.quad(lambda t: t * first.pdf(t) * second.sf(t), 0, np.inf)[0] / p_first
    assert z_score(time[which == 0], earlier) < 4


@pytest.mark.parametrize("normal", [[1.0, 0.0], [3.0, 4.0]])
def test_exit_points_of_correlated_noise_are_exact(normal: list[float]) -> None:
    """At the passage time T along n, what is independent of n.X is normal with variance s^2 T."""
    n, b, drift = np.array(normal) / np.hypot(*normal), 1.0, np.array([0.6, 0.5])
    root = np.array([[1.0, 0.3], [-0.5, 0.8]])
    covariance = root @ root.T
    region = HalfSpace(normal, b * math.hypot(*normal))
    for dt in (0.3, 3.0):
        time, _, point = simulate(region, [0.0, 0.0], list(drift), root.tolist(), dt, 60_000, seed=11)
        sigma = math.sqrt(n @ covariance @ n)
        law = inverse_gaussian(b, float(n @ drift), sigma)
        assert stats.kstest(time, law.cdf).pvalue > P_VALUE
        np.testing.assert_allclose(point @ n, b, atol=1e-12)
        tangent = np.array([-n[1], n[0]])
        beta = tangent @ covariance @ n / sigma**2
        rest = math.sqrt(tangent @ covariance @ tangent - beta**2 * sigma**2)
        residual = point @ tangent - beta * b - (tangent - beta * n) @ drift * time
        residual /= rest * np.sqrt(time)
        assert stats.kstest(residual, "norm").pvalue > P_VALUE


def test_straight_line_points_have_too_small_a_spread() -> None:
    """What `noise` is for, as its documentation says."""
    args = (HalfSpace([1, 0], 1), [0.0, 0.0], [0.6, 0.0], [[1.0, 0.0], [0.0, 1.0]], 3.0, 20_000)
    time, _, line = simulate(*args, seed=12, point_noise=False)
    assert np.var(line[:, 1] / np.sqrt(time)) < 0.8


def test_disc_is_left_in_the_known_mean_time() -> None:
    """The curved face is approximate: the error falls with dt, and extrapolates to nothing."""
    identity = [[1.0, 0.0], [0.0, 1.0]]
    mean, error = [], []
    for dt in (0.04, 0.02):
        time, _, point = simulate(Ball([0, 0], 1), [0.0, 0.0], [0.0, 0.0], identity, dt, 100_000, seed=13)
        mean.append(time.mean())
        error.append(time.std() / math.sqrt(len(time)))
        np.testing.assert_allclose(np.hypot(*point.T), 1, atol=1e-12)
    assert abs(2 * mean[1] - mean[0] - 0.5) < 4 * math.hypot(2 * error[1], error[0])
    assert abs(mean[1] - 0.5) < 0.02


def test_projected_variance_and_direction_are_the_quadratic_form() -> None:
    rng = np.random.default_rng(14)
    root, n = rng.normal(size=(3, 3)), np.array([0.0, 0.6, 0.8])
    columns = [tuple(column) for column in root.T.tolist()]
    assert projected_variance(tuple(n.tolist()), columns) == pytest.approx(n @ root @ root.T @ n)
    np.testing.assert_allclose(conjugate_direction(tuple(n.tolist()), columns), root @ root.T @ n)
    tensors = [Coordinates(torch.full((2,), e, dtype=torch.float64) for e in column) for column in columns]
    assert projected_variance(tuple(n.tolist()), tensors)[1] == pytest.approx(n @ root @ root.T @ n)  # type: ignore[index]


def test_first_exit_picks_faces_in_proportion_and_never_an_impossible_one() -> None:
    n = 100_000
    a = [torch.full((n,), d, dtype=torch.float64) for d in (2.0, 1.0, 50.0)]
    normal, _ = draws(15, 3, n)
    _, uniform = draws(16, 6, n)
    face, fraction = first_exit(a, a, [1.0, 1.0, 1.0], list(uniform[:3]), list(normal), list(uniform[3:]))
    p = [math.exp(-8), math.exp(-2)]
    assert set(face.unique().tolist()) == {0, 1}
    # far from each other in probability, so that double crossings hardly count
    assert z_score((face == 0).double().numpy(), p[0] / sum(p)) < 4
    assert ((fraction > 0) & (fraction < 1)).all()


def test_first_exit_treats_equal_faces_alike() -> None:
    """Three independent faces that are crossed as often: a bias towards the first or the last would show."""
    n = 100_000
    a = [torch.full((n,), 0.5, dtype=torch.float64)] * 3
    normal, uniform = draws(18, 3, n)[0], draws(19, 6, n)[1]
    face, _ = first_exit(a, a, [1.0, 1.0, 1.0], list(uniform[:3]), list(normal), list(uniform[3:]))
    for i in range(3):
        assert z_score((face == i).double().numpy(), 1 / 3) < 4


def test_first_exit_survives_a_choice_that_rounds_up_to_one() -> None:
    inside, one = torch.tensor([1.0, 9.0]), torch.ones(2)
    distances = [inside, inside.flip(0)]
    face, fraction = first_exit(distances, distances, [0.1] * 2, [one] * 2, [one] * 2, [one / 2] * 2)
    assert face.tolist() == [0, 1]
    assert torch.isfinite(fraction).all()


def test_exit_point_without_noise_along_the_normal_does_not_divide_by_zero() -> None:
    x = Coordinates((torch.zeros(1), torch.zeros(1)))
    y = Coordinates((torch.ones(1), torch.ones(1)))
    (face,) = HalfSpace([1, 0], 0.5).faces
    point = exit_point(x, y, torch.tensor([0.25]), face, direction=Coordinates((0.0, 1.0)))
    assert [u.item() for u in point] == [0.5, 0.25]


def test_the_hot_part_traces_without_a_graph_break() -> None:
    faces = (Box([-1, -1], [1, 1]) & Ball([0, 0], 1.2)).faces

    def test(x0: Tensor, x1: Tensor, y0: Tensor, y1: Tensor, u: Tensor) -> Tensor:
        x, y = Coordinates((x0, x1)), Coordinates((y0, y1))
        a, c, v = [], [], []
        for face in faces:
            distance, normal = face.distance_and_normal(x)
            a.append(-distance)
            c.append(-face.distance(y))
            v.append(projected_variance(normal, [(0.3, 0.0), (0.0, 0.4)]))
        return u < exit_probability(a, c, v)

    points = list(draws(17, 5, 1000)[1])
    traced = torch.compile(test, backend="eager", fullgraph=True)
    assert torch.equal(traced(*points), test(*points))
    assert 0 < test(*points).double().mean() < 1

"""Basin volumes of hallucinated minimisers, and what a warm start and a decaying radius do about them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binomtest

import samdyn as sd
from samdyn.landscapes.wells import cubic_roots

TILTED = sd.landscapes.tilted_double_well()


def grid(low: float, high: float, n: int) -> np.ndarray:
    """The midpoints of n cells: shares of intervals come out to one part in n."""
    edges = np.linspace(low, high, n + 1)
    return ((edges[1:] + edges[:-1]) / 2)[:, None]


def near(share: float, exact: float, n: int) -> bool:
    """Within four standard errors of a share from n random starts."""
    return bool(abs(share - exact) <= 4 * np.sqrt(exact * (1 - exact) / n) + 1e-12)


def test_warm_up_fractions_are_the_images_of_the_basin_under_gradient_descent() -> None:
    left, top, right = cubic_roots(0.2)
    rho, lr = 1.0, 0.01
    steps = [0, 5, 20, 50, 100, 500, 2000]
    system = sd.Map(TILTED, sd.SAM(rho), lr=lr)
    n = 4000
    study = sd.warm_start_study(system, steps, x0=grid(-2, 2, n), n_steps=4000)

    def after(x: float, k: int) -> float:
        for _ in range(k):
            x -= lr * (x**3 - x + 0.2)
        return x

    exact = []
    for k in steps:  # what gradient descent carries across the border of the basin, top - rho
        border = brentq(lambda x, k=k: after(x, k) - (top - rho), -2, top - 1e-9) if k else top - rho
        exact.append((2 - border) / 4)
    assert exact[0] == pytest.approx((2 - top + rho) / 4)
    np.testing.assert_allclose(study.shares, exact, atol=1.01 / n)
    known = [0.6976, 0.6913, 0.6708, 0.6273, 0.5631, 0.4506, 0.4476]
    assert all(near(share, value, n) for share, value in zip(study.shares, known, strict=True))
    assert study.shares[-1] == pytest.approx((2 - top) / 4, abs=1.01 / n)
    inside = study.confidence_intervals()
    assert ((inside[:, 0] < exact) & (exact < inside[:, 1])).all()
    # the others stay at the left minimum, about which SAM chatters
    for result in study.results:
        assert result.share("minimum") == pytest.approx(1 - result.share())
        rest = result.x[result.outcomes == "minimum"]
        assert np.abs(rest - left).max() < 0.1
        ends = result.x[result.outcomes == "hallucinated"]
        np.testing.assert_allclose(ends, right - rho, atol=1e-6)


def test_random_starts_agree_within_their_interval() -> None:
    system = sd.Map(TILTED, sd.SAM(1.0), lr=0.01)
    result = sd.hallucinated_share(system, [(-2, 2)], n_starts=2000, n_steps=3000, seed=3)
    exact = (2 - cubic_roots(0.2)[1] + 1) / 4
    assert near(result.share(), exact, 2000)
    interval = binomtest(result.count(), 2000).proportion_ci(0.95, "wilson")
    assert result.confidence_interval() == (interval.low, interval.high)
    assert result.confidence_interval(0.99)[0] < interval.low


def test_decaying_radius_ends_at_minima_or_at_the_maximum() -> None:
    system = sd.Map(TILTED, sd.SAM(1.0), lr=0.01)
    study = sd.warm_start_study(
        system, [0], x0=grid(-2, 2, 200), n_steps=3000, decaying={"root": sd.schedules.PowerDecay(1.0)}
    )
    assert study.decaying["root"].share() == 0
    assert study.decaying["root"].share("minimum") > 0.9


def test_both_sides_hallucinate() -> None:
    result = sd.hallucinated_share(sd.Map(TILTED, sd.SAM(1.5), lr=0.01), x0=grid(-2, 2, 1000), n_steps=3000)
    assert result.share() == 1
    right = result.x[:, 0] > cubic_roots(0.2)[1]
    assert right.mean() == pytest.approx(0.4477, abs=1.01e-3)


@pytest.mark.parametrize(
    ("rho", "share", "maximum"),
    [
        (0.3, 0, 0.15),
        (0.5, 0, 0.25),
        (0.9, 0, 0.45),
        (0.99, 0, None),
        (1.01, 1, 0),
        (1.5, 1, 0),
        (1.99, 1, 0),
        (2.01, 0, 0),
    ],
)
def test_double_well(rho: float, share: float, maximum: float | None) -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(rho), lr=0.01)
    result = sd.hallucinated_share(system, x0=grid(-2, 2, 400), n_steps=6000)
    assert result.share() == share
    if maximum is not None:
        # the basin of the maximum is |x| < rho
        assert result.share("maximum") == pytest.approx(maximum, abs=1.01 / 400)


@pytest.mark.parametrize(("rho", "share"), [(1.5, 1.0), (1.75, 0.694), (1.9, 0.5)])
def test_at_a_large_learning_rate_some_diverge(rho: float, share: float) -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(rho), lr=0.1)
    result = sd.hallucinated_share(system, x0=grid(-2, 2, 4000), n_steps=1000)
    assert result.share() == pytest.approx(share, abs=1e-3)
    assert result.share() + result.share("diverged") == pytest.approx(1.0)


@pytest.mark.parametrize(("lr_factor", "holds"), [(0.97, True), (1.03, False)])
@pytest.mark.parametrize(("rho", "threshold"), [(0.7, 0.0934), (0.9, 0.0202)])
def test_the_chatter_of_the_true_minimum_must_stay_in_its_basin(
    rho: float, threshold: float, lr_factor: float, holds: bool
) -> None:
    lr = lr_factor * (1 - rho) / (rho * (1 + rho) * (2 + rho))
    assert (1 - rho) / (rho * (1 + rho) * (2 + rho)) == pytest.approx(threshold, abs=5e-5)
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(rho), lr=lr)
    start = [[-1 - 1e-9], [-1 + 1e-9]]
    result = sd.hallucinated_share(system, x0=start, n_steps=20_000)
    assert (result.share("minimum") == 1) == holds


@pytest.mark.parametrize(
    ("rho", "hallucinated"), [(0.5, 0), (0.9, 0), (1.2, 1), (1.5, 1), (1.8, 1), (2.2, 0)]
)
@pytest.mark.parametrize("dim", [2, 5])
def test_ring(dim: int, rho: float, hallucinated: float) -> None:
    rng = np.random.default_rng(1)
    direction = rng.normal(size=(200, dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    x0 = 1.5 * direction * rng.uniform(size=(200, 1)) ** (1 / dim)
    result = sd.hallucinated_share(sd.Map(sd.landscapes.ring(dim), sd.SAM(rho), lr=0.02), x0=x0, n_steps=3000)
    assert result.share() == hallucinated
    if hallucinated:  # each on its own ray
        np.testing.assert_allclose(np.linalg.norm(result.x, axis=1), rho - 1, atol=1e-6)
        cosine = (result.x * direction).sum(axis=1) / np.linalg.norm(result.x, axis=1)
        np.testing.assert_allclose(np.abs(cosine), 1, atol=1e-6)


@pytest.mark.parametrize(("rho", "hallucinated", "saddle"), [(1.5, 370, 30), (0.5, 0, 101)])
def test_separable_double_well(rho: float, hallucinated: int, saddle: int) -> None:
    system = sd.Map(sd.landscapes.double_well(2), sd.SAM(rho), lr=0.02)
    result = sd.hallucinated_share(system, [(-1.5, 1.5)] * 2, n_starts=1600, n_steps=3000)
    for name, count in (("hallucinated", hallucinated), ("saddle", saddle)):
        # both numbers are samples: of 400 and of 1600
        pooled = (count + result.count(name)) / 2000
        error = np.sqrt(pooled * (1 - pooled) * (1 / 400 + 1 / 1600))
        assert abs(result.share(name) - count / 400) <= 4 * error


@pytest.mark.parametrize("tilt", [0.05, 0.1, 0.2])
def test_tilted_hat_goes_to_the_point_with_the_saddle_as_endpoint(tilt: float) -> None:
    rng = np.random.default_rng(2)
    radius, angle = 1.5 * np.sqrt(rng.uniform(size=300)), rng.uniform(0, 2 * np.pi, 300)
    x0 = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    system = sd.Map(sd.landscapes.tilted_hat(tilt=tilt), sd.SAM(1.5), lr=0.1)
    result = sd.hallucinated_share(system, x0=x0, n_steps=3000)
    assert result.count() == 300
    s = cubic_roots(-tilt)[0] + 1.5
    np.testing.assert_allclose(result.x, np.broadcast_to([s, 0], (300, 2)), atol=1e-5)


@pytest.mark.slow
def test_himmelblau_limits_are_in_the_catalogue() -> None:
    loss = sd.landscapes.himmelblau()
    branches = sd.hallucinated_branches(loss)
    known = {1: 0, 2: 70, 3: 168, 4: 298, 5: 213, 6: 202}
    for rho, count in known.items():
        system = sd.Map(loss, sd.SAM(float(rho)), lr=0.001)
        result = sd.hallucinated_share(system, [(-5, 5)] * 2, n_starts=1200, n_steps=20_000)
        pooled = (count + result.count()) / 1500
        error = np.sqrt(max(pooled * (1 - pooled), 1e-4) * (1 / 300 + 1 / 1200))
        assert abs(result.share() - count / 300) <= 4 * error
        points = branches.at(float(rho), lr=0.001).select(stability="attracting").x
        for x in result.x[result.outcomes == "hallucinated"]:
            assert np.linalg.norm(points - x, axis=1).min() < 1e-6
    # at rho = 2 all of them go to one branch, whose endpoint is a saddle
    result = sd.hallucinated_share(sd.Map(loss, sd.SAM(2.0), lr=0.001), n_starts=300, n_steps=20_000)
    ends = result.x[result.outcomes == "hallucinated"]
    points = branches.at(2.0)
    nearest = int(np.linalg.norm(points.x - ends[0], axis=1).argmin())
    test = sd.local_attraction(sd.Flow(loss, sd.SAM(2.0)), points[nearest])
    assert np.ptp(ends, axis=0).max() < 1e-6
    assert test.endpoint_kind == "saddle"
    np.testing.assert_allclose(test.endpoint, [-0.128, -1.954], atol=5e-4)


@pytest.mark.parametrize(("rho", "count"), [(1.4, 0), (1.5, 184), (2.0, 209), (2.5, 229), (3.0, 249)])
def test_network_without_decay(rho: float, count: int) -> None:
    system = sd.Map(sd.landscapes.uv(0.0), sd.SAM(rho), lr=0.02)
    result = sd.hallucinated_share(system, [(-2, 2)] * 2, n_starts=900, n_steps=6000)
    pooled = (count + result.count()) / 1200
    error = np.sqrt(pooled * (1 - pooled) * (1 / 300 + 1 / 900))
    assert abs(result.share() - count / 300) <= 4 * error


def test_no_warm_start_helps_where_the_minimum_does_not_attract() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(1.5), lr=0.05)
    study = sd.warm_start_study(system, [0, 100, 1000], n_starts=200, n_steps=3000)
    assert study.shares.tolist() == [1, 1, 1]


def test_same_seed_same_starts_for_every_warm_start() -> None:
    system = sd.Map(TILTED, sd.SAM(1.0), lr=0.05)
    study = sd.warm_start_study(system, [0, 10], n_starts=50, n_steps=500, seed=7)
    np.testing.assert_array_equal(study.results[0].x0, study.results[1].x0)
    longer = sd.hallucinated_share(system, n_starts=80, n_steps=500, seed=7)
    np.testing.assert_array_equal(longer.x0[:50], study.results[0].x0)  # more starts keep the first ones
    assert ((longer.x0 >= -2) & (longer.x0 <= 2)).all()
    other = sd.hallucinated_share(system, n_starts=50, n_steps=500, seed=8)
    assert (other.x0 != study.results[0].x0).all()


def test_momentum_and_noise_run() -> None:
    loss = sd.landscapes.double_well()
    heavy = sd.hallucinated_share(
        sd.Map(loss, sd.SAM(1.5), lr=0.02, momentum=0.9), n_starts=100, n_steps=2000
    )
    assert heavy.share() + heavy.share("diverged") == pytest.approx(1.0)
    noisy = sd.Map(loss, sd.SAM(1.5), lr=0.02, noise=sd.GaussianNoise(std=0.05, probe="full"))
    assert sd.hallucinated_share(noisy, n_starts=100, n_steps=1000).share() == 1


def test_gradient_descent_never_hallucinates() -> None:
    result = sd.hallucinated_share(sd.Map(TILTED, sd.GD(), lr=0.05), n_starts=100, n_steps=1000)
    assert result.share("minimum") == 1


def test_repr_and_tables() -> None:
    system = sd.Map(TILTED, sd.SAM(1.0), lr=0.05)
    study = sd.warm_start_study(system, [0, 100], n_starts=50, n_steps=500)
    assert "GD steps first" in repr(study)
    assert study._repr_html_().count("<tr>") == 3
    assert "95 % interval" in repr(study.results[0])
    assert "<table>" in study.results[0]._repr_html_()


MAP = sd.Map(TILTED, sd.SAM(1.0), lr=0.05)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sd.hallucinated_share(sd.Flow(TILTED, sd.SAM(1.0))), TypeError, "system must be a Map"),
        (lambda: sd.hallucinated_share(sd.Map.from_function(lambda w: w, 1)), TypeError, "a loss and a rule"),
        (lambda: sd.hallucinated_share(MAP, n_steps=10), ValueError, "n_steps must be"),
        (lambda: sd.hallucinated_share(MAP, n_starts=0), ValueError, "n_starts must be"),
        (lambda: sd.hallucinated_share(MAP, x0=np.zeros((0, 1))), ValueError, "x0 must have shape"),
        (lambda: sd.hallucinated_share(MAP, [(2, -2)]), ValueError, "lower < upper"),
        (
            lambda: sd.hallucinated_share(MAP, n_starts=20, n_steps=200).share("nowhere"),
            ValueError,
            "outcome",
        ),
        (
            lambda: sd.hallucinated_share(MAP, n_starts=20, n_steps=200).confidence_interval(1.0),
            ValueError,
            "level must be",
        ),
        (
            lambda: sd.hallucinated_share(
                sd.Map(sd.Landscape(lambda w: w @ w, 1), sd.SAM(1.0), lr=0.1), n_steps=200
            ),
            ValueError,
            "box must be given",
        ),
        (lambda: sd.warm_start_study(sd.Map(TILTED, sd.GD(), lr=0.1)), ValueError, "radius rho"),
        (lambda: sd.warm_start_study(MAP, []), ValueError, "steps must hold"),
        (lambda: sd.warm_start_study(MAP, [-1]), ValueError, "steps must be"),
        (lambda: sd.warm_start_study(MAP, [950], n_steps=1000), ValueError, "nine tenths"),
        (lambda: sd.warm_start_study(MAP, [0], decaying={"x": "y"}), TypeError, "decaying"),
    ],
)
def test_bad_input(call, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()

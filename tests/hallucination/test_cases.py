"""Hallucinated points of SAM with closed forms or reference digits: positions to 1e-10, multipliers to 1e-8.

A = H(x + e) d(x + e)/dx has the rates of the flow with the opposite sign; the map's multipliers are 1 - lr A.
"""

from __future__ import annotations

import math

import numpy as np
import problems
import pytest
import torch

import samdyn as sd
from samdyn.landscapes.wells import cubic_roots

LR = 0.01


def fixed_points_of(step: sd.Map) -> sd.equilibria.FixedPoints:
    """Of the flow, which are the same, and faster: how far the map hovers around jumps is not asked here."""
    return sd.fixed_points(sd.Flow(step.landscape, step.rule))


def found_at(points: sd.equilibria.FixedPoints, x: object) -> sd.equilibria.FixedPoint:
    """The isolated hallucinated point at x, to 1e-10."""
    near = min(points.hallucinated, key=lambda p: float(np.abs(p.x - x).max()))
    np.testing.assert_allclose(near.x, x, rtol=0, atol=1e-10)
    assert near.residual < 1e-12
    return near


def assert_rates(system: sd.System, x: object, A: list[complex], rtol: float = 1e-8) -> None:
    """Rates of the flow -A at x, and from them the spectral radius of the map."""
    rates = sd.linearize(sd.Flow(system.landscape, system.rule), x).eigenvalues
    np.testing.assert_allclose(
        np.sort_complex(-rates), np.sort_complex(np.array(A, dtype=complex)), rtol=rtol, atol=1e-8
    )
    if isinstance(system, sd.Map):
        radius = max(abs(1 - system.lr * a) for a in A)
        assert sd.linearize(system, x).spectral_radius == pytest.approx(radius, rel=1e-8)


def size_of_gradient(loss: sd.Landscape, x: object) -> float:
    return float(np.linalg.norm(loss.gradient(x)))


@pytest.mark.parametrize("rho", [1.1, 1.5])
def test_double_well(rho: float) -> None:
    step = sd.Map(sd.landscapes.double_well(), sd.SAM(rho), lr=0.1)
    points = sd.fixed_points(step)
    for x in (1 - rho, rho - 1):
        point = found_at(points, [x])
        assert point.stability == "attracting"
        assert point.eigenvalues[0] == pytest.approx(0.8, rel=1e-8)
        assert size_of_gradient(step.landscape, point.x) == pytest.approx(
            rho * (rho - 1) * (2 - rho), rel=1e-12
        )
    flow = sd.fixed_points(sd.Flow(step.landscape, sd.SAM(rho)))
    assert all(p.stability != "trapping" for p in flow.select(kind="minimum"))


@pytest.mark.parametrize(("rho", "n"), [(0.5, 2), (0.99, 2), (1.01, 2), (1.99, 2), (2.01, 0)])
def test_double_well_window(rho: float, n: int) -> None:
    points = sd.fixed_points(sd.Flow(sd.landscapes.double_well(), sd.SAM(rho))).hallucinated
    assert len(points) == n
    attracting = [p for p in points if p.stability == "attracting"]
    assert len(attracting) == (2 if 1 < rho < 2 else 0)  # below, they look at the maximum and repel


def test_tilted_double_well() -> None:
    step = sd.Map(sd.landscapes.tilted_double_well(0.2), sd.SAM(1.5), lr=0.1)
    a1, _, a2 = sorted(cubic_roots(0.2))
    points = fixed_points_of(step)
    for x, A in ((a2 - 1.5, 1.3173168790), (a1 + 1.5, 2.5514533986)):
        point = found_at(points, [x])
        assert_rates(step, [x], [A])
        assert point.stability == "attracting"
    assert (a1, a2) == (pytest.approx(-1.0880339147, abs=1e-10), pytest.approx(0.8788850662, abs=1e-10))
    one = sd.fixed_points(sd.Flow(step.landscape, sd.SAM(1.0))).select(
        kind="hallucinated", stability="attracting"
    )
    np.testing.assert_allclose(one.x, [[a2 - 1]], atol=1e-10)
    assert size_of_gradient(step.landscape, one.x[0]) == pytest.approx(0.3193383197, abs=1e-10)


@pytest.mark.parametrize(("k", "rho"), [(0.5, 1.2), (1.0, 1.5), (2.0, 1.8)])
def test_separable_double_well(k: float, rho: float) -> None:
    second = k * (1 + k / ((rho - 1) * (2 - rho)))
    limit = min(1.0, 2 / second)
    loss = sd.landscapes.double_well(2, k)
    point = found_at(sd.fixed_points(sd.Flow(loss, sd.SAM(rho))), [1 - rho, 0.0])
    assert point.stability == "attracting"
    assert sd.linearize(sd.Map(loss, sd.SAM(rho), lr=0.95 * limit), point.x).stability == "attracting"
    assert_rates(sd.Map(loss, sd.SAM(rho), lr=0.95 * limit), [1 - rho, 0.0], [2.0, second])
    assert sd.linearize(sd.Map(loss, sd.SAM(rho), lr=1.05 * limit), [1 - rho, 0.0]).stability != "attracting"


@pytest.mark.parametrize(("dim", "rho"), [(2, 1.2), (2, 1.5), (3, 1.5)])
def test_ring_and_sphere(dim: int, rho: float) -> None:
    step = sd.Map(sd.landscapes.ring(dim), sd.SAM(rho), lr=LR)
    points = fixed_points_of(step)
    (family,) = points.hallucinated
    assert family.dimension == dim - 1
    assert len(points.hallucinated.families) == 1
    np.testing.assert_allclose(np.linalg.norm(family.points, axis=1), rho - 1, atol=1e-10)
    assert size_of_gradient(sd.landscapes.ring(dim), family.x) == pytest.approx(rho * (rho - 1) * (2 - rho))
    assert_rates(step, family.x, [2.0, *[0.0] * (dim - 1)])
    (floor,) = points.genuine.families
    assert floor.dimension == dim - 1
    np.testing.assert_allclose(np.linalg.norm(floor.points, axis=1), 1, atol=1e-9)
    assert len(points.genuine) == 2  # the sphere of minima, and the maximum


def test_ring_outside_the_window() -> None:
    points = sd.fixed_points(sd.Flow(sd.landscapes.ring(2), sd.SAM(2.2)))
    assert len(points.hallucinated) == 0


def test_tilted_hat() -> None:
    loss = sd.landscapes.tilted_hat(2, 0.1)
    ys, _, ym = sorted(cubic_roots(-0.1))
    step = sd.Map(loss, sd.SAM(1.5), lr=0.1)
    points = fixed_points_of(step)
    unstable, stable = found_at(points, [ym - 1.5, 0.0]), found_at(points, [ys + 1.5, 0.0])
    assert (unstable.stability, stable.stability) == ("saddle", "attracting")
    assert_rates(step, unstable.x, [2.2866204070, -0.3421092417], rtol=2e-10)
    assert_rates(step, stable.x, [1.6827576478, 0.1212711815], rtol=5e-10)
    assert size_of_gradient(loss, stable.x) == pytest.approx(0.4839961273, abs=1e-10)


def test_linear_network_with_weight_decay() -> None:
    lam, rho = 0.1, 2.0
    loss = sd.landscapes.uv(lam)
    s = rho / math.sqrt(2) - math.sqrt(1 - lam)
    step = sd.Map(loss, sd.SAM(rho), lr=LR)
    points = fixed_points_of(step)
    point = found_at(points, [s, s])
    found_at(points, [-s, -s])
    assert point.stability == "attracting"
    assert s == pytest.approx(0.4655302643, abs=1e-10)
    assert size_of_gradient(loss, point.x) == pytest.approx(0.4498447190, abs=1e-10)
    assert_rates(step, point.x, [0.9854101966, 1.8], rtol=2e-10)


def test_linear_network_has_curves() -> None:
    # on them ab = r^2 (1 + rho r) / (r^2 + rho^2), 0 < r = |x| <= rho - sqrt 2
    rho = 2.0
    step = sd.Map(sd.landscapes.uv(0.0), sd.SAM(rho), lr=LR)
    points = fixed_points_of(step)
    assert len(points.hallucinated) == len(points.hallucinated.families) >= 1
    assert {p.dimension for p in points.hallucinated} == {1}
    cloud = np.concatenate([p.points for p in points.hallucinated])
    r = np.linalg.norm(cloud, axis=1)
    np.testing.assert_allclose(cloud.prod(axis=1), r**2 * (1 + rho * r) / (r**2 + rho**2), atol=1e-10)
    assert r.max() <= rho - math.sqrt(2) + 1e-9
    assert r.max() > 0.5
    x = [0.3465381063, 0.1997782292]
    np.testing.assert_allclose(step(x), x, atol=1e-11)
    rates = np.sort(-sd.linearize(sd.Flow(points.system.landscape, sd.SAM(rho)), x).eigenvalues.real)
    np.testing.assert_allclose(rates, [0, 3.7798224852], atol=1e-8)
    minima = points.genuine.families
    assert [p.dimension for p in minima] == [1, 1]  # the two branches of ab = 1
    for p in minima:
        np.testing.assert_allclose(p.points.prod(axis=1), 1, atol=1e-9)


def test_serpentine_valley_has_curves() -> None:
    a, rho = 3.0, 3.0
    step = sd.Map(sd.landscapes.serpentine(a), sd.SAM(rho), lr=LR)
    points = fixed_points_of(step)
    (floor,) = points.genuine
    assert floor.dimension == 1
    cloud = np.concatenate([p.points for p in points.hallucinated.families])
    assert len(points.hallucinated.families) == len(points.hallucinated)
    x1 = cloud[:, 0]
    side = np.sign(cloud[:, 1] - a * np.sin(x1))
    c = a * np.cos(x1)
    y1 = x1 - side * rho * c / np.sqrt(1 + c**2)
    E = a * np.sin(y1) - a * np.sin(x1) - side * rho / np.sqrt(1 + c**2)
    np.testing.assert_allclose(cloud[:, 1], a * np.sin(x1) + E, atol=1e-9)
    # the point at x1 = -2.5
    c = a * math.cos(-2.5)
    y1 = -2.5 - rho * c / math.sqrt(1 + c**2)
    E = a * math.sin(y1) - a * math.sin(-2.5) - rho / math.sqrt(1 + c**2)
    assert pytest.approx(1.4426344408, abs=1e-10) == E
    x = [-2.5, a * math.sin(-2.5) + E]
    np.testing.assert_allclose(step(x), x, atol=1e-13)
    assert size_of_gradient(points.system.landscape, x) == pytest.approx(3.7554187585, abs=1e-10)
    assert_rates(step, x, [0.0, 4.6858350332], rtol=1e-10)


def test_himmelblau_at_a_large_radius() -> None:
    loss = sd.landscapes.himmelblau()
    step = sd.Map(loss, sd.SAM(5.0), lr=0.001)
    points = fixed_points_of(step)
    first = found_at(points, [-1.39377163271, -2.31452231210])
    second = found_at(points, [1.0900045909, -2.1475042809])
    assert (first.stability, second.stability) == ("attracting", "attracting")
    assert size_of_gradient(loss, first.x) == pytest.approx(57.5769741757, abs=1e-9)
    assert loss.value(first.x) == pytest.approx(138.54, abs=0.005)
    assert_rates(step, first.x, [104.12640922, 117.17176637], rtol=1e-9)
    assert_rates(sd.Flow(loss, sd.SAM(5.0)), second.x, [100.532, 361.639], rtol=1e-5)
    limit = 2 / 117.17176637
    assert limit == pytest.approx(0.01707, abs=1e-5)
    for factor, stability in ((0.999, "attracting"), (1.001, "saddle")):
        assert sd.linearize(sd.Map(loss, sd.SAM(5.0), lr=factor * limit), first.x).stability == stability


@pytest.mark.parametrize("rho", [0.1, 0.25, 0.5, 0.75, 1.0])
def test_himmelblau_at_small_radii(rho: float) -> None:
    # two for every negative eigenvalue of the Hessian at a critical point, none of them stable
    points = sd.fixed_points(sd.Flow(sd.landscapes.himmelblau(), sd.SAM(rho)))
    assert len(points.hallucinated) == 12
    assert "attracting" not in {p.stability for p in points.hallucinated}
    assert len(points.genuine) == 9
    assert max(p.residual for p in points.hallucinated) < 1e-12


@pytest.mark.parametrize(("rho", "x"), [(2.0, (3.3892, 0.0382)), (3.0, (3.4936, -0.9591))])
def test_himmelblau_minima_of_the_sphere(rho: float, x: tuple[float, float]) -> None:
    points = sd.fixed_points(sd.Flow(sd.landscapes.himmelblau(), sd.SAM(rho)))
    near = min(points.hallucinated, key=lambda p: float(np.linalg.norm(p.x - x)))
    np.testing.assert_allclose(near.x, x, atol=6e-5)
    assert np.linalg.norm(near.x - [3.0, 2.0]) == pytest.approx(rho, abs=1e-12)
    assert near.stability == "attracting"


def test_no_sphere_minimum_below_the_fold() -> None:
    points = sd.fixed_points(sd.Flow(sd.landscapes.himmelblau(), sd.SAM(1.9)))
    assert all(abs(np.linalg.norm(p.x - [3.0, 2.0]) - 1.9) > 1e-6 for p in points.hallucinated)


@pytest.mark.parametrize(
    ("rho", "exists"), [(2.05, False), (2.1, False), (2.3, True), (2.5, True), (2.7, True), (2.8, False)]
)
def test_bump_beside_a_minimum(rho: float, exists: bool) -> None:
    # a maximum at distance 2.18 of the minimum: hallucinated points between it and the saddle, at 2.77
    H, p = torch.tensor([1.0, 0.5], dtype=torch.float64), torch.tensor([2.0, 0.5], dtype=torch.float64)
    bump = sd.Landscape(
        lambda w: (H * w * w).sum() / 2 + 3 * torch.exp(-((w - p) ** 2).sum() / 0.32),
        dim=2,
        box=[(-1, 4), (-2, 3)],
        name="bump",
    )
    points = sd.fixed_points(sd.Flow(bump, sd.SAM(rho)))
    minimum = min(points.select(kind="minimum"), key=lambda q: float(np.linalg.norm(q.x)))
    looking = [q for q in points.hallucinated if abs(np.linalg.norm(q.x - minimum.x) - rho) < 1e-9]
    assert bool(looking) == exists
    if rho == 2.5:
        rates = min((np.sort(-q.eigenvalues.real) for q in looking), key=lambda r: abs(r[0] + 5.53))
        np.testing.assert_allclose(rates, [-5.53, 0.97], atol=6e-3)


def test_sine_trap() -> None:
    # attractors 1/5 of the radius away from the stationary points, with multiplier 1 - lr beta
    trap = sd.Landscape(
        lambda w: 9 / (25 * math.pi**2) * torch.sin(5 * math.pi / 3 * w[0]), dim=1, name="sine"
    )
    step = sd.Map(trap, sd.SAM(1.0), lr=0.5)
    points = sd.fixed_points(sd.Flow(trap, sd.SAM(1.0)), box=[(-1.2, 1.2)]).select(
        kind="hallucinated", stability="attracting"
    )
    np.testing.assert_allclose(np.sort(points.x[:, 0]), [-0.5, -0.1, 0.7, 1.1], atol=1e-10)
    for point in points:
        assert_rates(step, point.x, [1.0])
        assert size_of_gradient(step.landscape, point.x) ** 2 == pytest.approx(
            27 / (100 * math.pi**2), rel=1e-9
        )


@pytest.mark.parametrize(("rho", "x"), [(1.0, -0.99493), (1.5, -0.49493), (3.0, 1.00507)])
def test_two_gaussian_well(rho: float, x: float) -> None:
    points = sd.fixed_points(sd.Flow(sd.landscapes.two_gaussian_well(), sd.SAM(rho)))
    (point,) = points.select(kind="hallucinated", stability="attracting")
    assert point.x[0] == pytest.approx(x, abs=1e-5)
    assert point.eigenvalues[0] == pytest.approx(-16.025, abs=1e-3)


@pytest.mark.parametrize("name", problems.HALLUCINATED_NETWORKS)
def test_networks(name: str) -> None:
    case = problems.HALLUCINATED_NETWORKS[name]
    loss = problems.xor_network(case.width, case.weight_decay)
    x = np.array(case.x)
    step = sd.Map(loss, sd.SAM(case.rho), lr=0.02)
    assert size_of_gradient(loss, x) == pytest.approx(case.gradient, abs=1e-10)
    assert np.linalg.norm(step(x) - x) < 0.02 * 1e-11
    A = -sd.linearize(sd.Flow(loss, sd.SAM(case.rho)), x).eigenvalues
    A = A[np.argsort(np.abs(A))]
    np.testing.assert_allclose(A[: case.n_zero], 0, atol=1e-8)
    if case.eigenvalues:
        expected = np.sort_complex(np.array(case.eigenvalues, dtype=complex))
        np.testing.assert_allclose(np.sort_complex(A[case.n_zero :]), expected, atol=2e-6)


def test_the_isolated_network_point_is_an_attractor_up_to_its_step_size() -> None:
    case = problems.HALLUCINATED_NETWORKS["isolated"]
    loss = problems.xor_network(case.width, case.weight_decay)
    A = -sd.linearize(sd.Flow(loss, sd.SAM(case.rho)), case.x).eigenvalues.real
    assert (A.min(), A.max()) == (pytest.approx(0.22811178, abs=1e-8), pytest.approx(27.14887186, abs=1e-7))
    assert 2 / A.max() == pytest.approx(0.0736679, abs=1e-7)
    for lr, radius, tolerance in (
        (0.02, 0.9954377643, 1e-9),
        (0.05, 0.98859, 5e-6),
        (0.07, 0.98403, 5e-6),
        (0.08, 1.172, 5e-4),
    ):
        line = sd.linearize(sd.Map(loss, sd.SAM(case.rho), lr=lr), case.x)
        assert line.spectral_radius == pytest.approx(radius, abs=tolerance)
        assert line.stability == ("attracting" if radius < 1 else "saddle")
    start = np.array(case.x) + 0.05 / 3
    end = sd.trajectory(sd.Map(loss, sd.SAM(case.rho), lr=0.02), start, n_steps=6000, save_every=6000)[-1]
    np.testing.assert_allclose(end, case.x, atol=1e-10)

"""From the end of a run to the fixed point near it: hallucinated points of networks and of the plane."""

from __future__ import annotations

import numpy as np
import problems
import pytest
import torch
from torch import nn
from torch.nn import functional

import samdyn as sd
from samdyn.network import newton_krylov


def away(x: tuple[float, ...], distance: float, seed: int) -> np.ndarray:
    step = np.random.default_rng(seed).normal(size=len(x))
    return np.array(x) + distance * step / np.linalg.norm(step)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("view", ["map", "flow"])
def test_n1_is_found_from_a_tenth_away(seed: int, view: str) -> None:
    case = problems.HALLUCINATED_NETWORKS["isolated"]
    loss, rule = problems.xor_module(2, 0.03), sd.SAM(case.rho)
    system = sd.Map(loss, rule, lr=0.02) if view == "map" else sd.Flow(loss, rule)
    point = sd.refine(system, away(case.x, 0.1, seed))
    assert point.ended == "hallucinated point"
    assert (point.kind, point.stability, point.dimension) == ("hallucinated", "attracting", 0)
    np.testing.assert_allclose(point.x, case.x, atol=1e-10)
    assert point.gradient_norm == pytest.approx(0.1865418199, abs=5e-11)
    assert point.perturbed_gradient_norm < 1e-12
    assert point.distance == pytest.approx(0.1, abs=1e-9)
    curvatures = np.sort((1 - point.eigenvalues) / 0.02 if view == "map" else -point.eigenvalues)
    np.testing.assert_allclose(curvatures[[0, -1]], [0.22811178, 27.14887186], atol=5e-8)


@pytest.mark.parametrize("name", ["saddle endpoint", "zero-loss endpoint"])
def test_n2_and_n3_lie_in_sets_that_are_found_from_a_tenth_away(name: str) -> None:
    """The point found is another one of the set; nearer starts find the same digits."""
    case = problems.HALLUCINATED_NETWORKS[name]
    loss = problems.xor_module(case.width, case.weight_decay)
    system = sd.Map(loss, sd.SAM(case.rho), lr=0.02)
    for seed in range(2):
        far = sd.refine(system, away(case.x, 0.1, seed))
        assert far.ended == "hallucinated point"
        assert far.perturbed_gradient_norm < 1e-10
        assert far.distance < 0.5
        assert (far.stability, far.transversal_stability) == ("marginal", "attracting")
    near = sd.refine(system, away(case.x, 1e-7, 0))
    np.testing.assert_allclose(near.x, case.x, atol=1e-5)
    assert near.gradient_norm == pytest.approx(case.gradient, abs=1e-6)
    assert (near.dimension, near.transversal_stability) == (case.n_zero, "attracting")
    found = np.sort_complex((1 - near.eigenvalues) / 0.02)
    wanted = np.sort_complex(np.concatenate([np.zeros(case.n_zero), case.eigenvalues]))
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    endpoint = near.x + system.perturbation(near.x)
    lowest = np.linalg.eigvalsh(loss.hessian(endpoint))[0]
    assert lowest == pytest.approx(-0.37, abs=5e-3) if name == "saddle endpoint" else lowest > -1e-10


@pytest.mark.parametrize(("name", "some"), [("saddle endpoint", 4), ("zero-loss endpoint", 3)])
def test_n2_and_n3_are_not_isolated(name: str, some: int) -> None:
    """Along each null direction of A there is another fixed point beside, up to the square of the step.

    A start 0.1 away is therefore nearer to other points of the set than to the reference, whose digits no
    search that takes the nearest point can find.
    """
    case = problems.HALLUCINATED_NETWORKS[name]
    loss = problems.xor_module(case.width, case.weight_decay)
    flow, x, step = sd.Flow(loss, sd.SAM(case.rho)), np.array(case.x), 1e-2
    _, sizes, rows = np.linalg.svd(flow.jacobian(x))
    assert (sizes[-case.n_zero :] < 1e-6 * sizes[0]).all()
    for direction in rows[-some:]:
        beside = sd.refine(flow, x + step * direction, reach=step)
        assert beside.ended == "hallucinated point"
        assert beside.perturbed_gradient_norm < 1e-10
        assert beside.distance < 0.2 * step  # the step of least norm goes straight to the set ...
        assert np.linalg.norm(beside.x - x) > 0.9 * step  # ... and not back along it


@pytest.mark.parametrize(
    "rule", [sd.SAM(1.5), pytest.param(sd.SAM(0.5), marks=pytest.mark.slow), sd.USAM(0.05)], ids=repr
)
def test_fixed_points_of_the_plane_are_found_from_beside_them(rule: sd.Rule) -> None:
    system = sd.Flow(sd.landscapes.himmelblau(), rule)
    for known in sd.fixed_points(system)[::3]:
        point = sd.refine(system, known.x + np.array([1e-3, -2e-3]), reach=0.05)
        np.testing.assert_allclose(point.x, known.x, atol=1e-9)
        assert point.kind == known.kind
        assert point.stability == known.stability
        assert point.ended == ("hallucinated point" if known.kind == "hallucinated" else "critical point")


def test_critical_points_can_be_left_aside() -> None:
    """USAM(5) on the double well: g and g(x + e) vanish together at -1, 0 and 1."""
    system = sd.Map(sd.landscapes.double_well(), sd.USAM(5.0), lr=0.01)
    plain = sd.refine(system, [0.99], reach=0.5)
    assert plain.ended == "critical point"
    aside = sd.refine(system, [0.75], reach=0.2, deflate=True)
    assert aside.ended == "hallucinated point"
    assert aside.x[0] == pytest.approx(0.7236068, abs=1e-7)
    assert aside.gradient_norm > 0.1


def test_where_there_is_nothing_it_says_so() -> None:
    slope = sd.Landscape(lambda w: torch.log1p(torch.exp(w[0])) + w[0], dim=1)
    for rule in (sd.SAM(0.5), sd.GD()):
        point = sd.refine(sd.Flow(slope, rule), [0.3])
        assert not point.reached
        assert (point.kind, point.ended) == ("none", "none within reach")
        assert "none within reach" in repr(point)
        assert point.residual > 0.5
    well = sd.Flow(sd.landscapes.double_well(), sd.SAM(1.5))
    assert not sd.refine(well, [-0.3], reach=0.05).reached
    assert sd.refine(well, [-0.3], reach=0.3).reached


def test_without_a_matrix_the_same_points_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton_krylov, "DENSE", 1)
    case = problems.HALLUCINATED_NETWORKS["isolated"]
    system = sd.Map(problems.xor_module(2, 0.03), sd.SAM(case.rho), lr=0.02)
    np.testing.assert_allclose(sd.refine(system, away(case.x, 0.05, 0)).x, case.x, atol=1e-8)


def test_steps_of_least_norm_agree_with_the_pseudo_inverse() -> None:
    rng = np.random.default_rng(0)
    left, right = np.linalg.qr(rng.normal(size=(8, 8)))[0], np.linalg.qr(rng.normal(size=(8, 8)))[0]
    matrix = left[:, :6] @ np.diag([9.0, 5, 3, 2, 1, 0.5]) @ right[:6]
    b = rng.normal(size=8)
    from scipy.sparse.linalg import aslinearoperator

    whole = np.linalg.pinv(matrix) @ b
    free = newton_krylov.conjugate_gradients(aslinearoperator(matrix), b, 100.0, 1e-13)
    np.testing.assert_allclose(free, whole, atol=1e-10)
    bound = newton_krylov.conjugate_gradients(aslinearoperator(matrix), b, 0.1, 1e-13)
    assert np.linalg.norm(bound) == pytest.approx(0.1)
    assert np.linalg.norm(matrix @ bound - b) < np.linalg.norm(b)
    singular = np.linalg.svd(matrix)[1]
    for radius in (0.05, 0.3):
        w = newton_krylov._least(singular, left.T @ b, radius)
        assert np.linalg.norm(w) == pytest.approx(radius, rel=1e-8)


def test_a_minimum_of_a_wide_network_under_gd() -> None:
    """More weights than the matrix is made for; a decayed loss has isolated minima."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Linear(5, 40), nn.Tanh(), nn.Linear(40, 1))
    data = rng.normal(size=(30, 5)), rng.normal(size=(30, 1))
    loss = sd.from_module(net, functional.mse_loss, data, weight_decay=0.4)
    assert loss.dim > newton_krylov.DENSE
    system = sd.Map(loss, sd.GD(), lr=0.2)
    end = sd.trajectory(system, loss.x0, n_steps=2000, save_every=2000)[-1]
    point = sd.refine(system, end)
    assert point.ended == "critical point"
    assert point.gradient_norm < 1e-9
    assert (point.kind, point.stability) == ("minimum", "attracting")


def test_a_system_from_a_function() -> None:
    spiral = sd.Flow.from_function(lambda w: torch.stack([1 - w[0] - w[1], w[0] - 0.5 * w[1]]), dim=2)
    point = sd.refine(spiral, [0.0, 0.0], reach=3.0)
    np.testing.assert_allclose(point.x, [1 / 3, 2 / 3], atol=1e-12)
    assert (point.ended, point.kind, point.stability) == ("fixed point", "fixed point", "attracting")


def test_what_does_not_fit_is_refused() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.5), lr=0.1)
    scheduled = sd.Map(sd.landscapes.double_well(), sd.SAM(0.5), lr=sd.schedules.PowerDecay(0.1))
    infinite = sd.Flow(sd.Landscape(lambda w: torch.log(w[0]), dim=1, box=[(0.1, 1)]), sd.GD())
    for call, words in (
        (lambda: sd.refine(system, [[0.3]]), "x must be one point"),
        (lambda: sd.refine(system, [np.nan]), "x must be finite"),
        (lambda: sd.refine(system, [0.3], reach=0.0), "reach must be"),
        (lambda: sd.refine(system, [0.3], tolerance=1.5), "tolerance must be"),
        (lambda: sd.refine(system, [0.3], n_steps=0), "n_steps must be"),
        (lambda: sd.refine(scheduled, [0.3]), "constant coefficients"),
        (lambda: sd.refine(infinite, [-1.0]), "where the loss is finite"),
    ):
        with pytest.raises(ValueError, match=words):
            call()

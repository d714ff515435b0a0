"""The virtual gradient and loss: shift and glue, quadratics, asymmetry, and why it is not f(x + e)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import samdyn as sd

WELL = sd.landscapes.double_well()
GAUSSIANS = sd.landscapes.two_gaussian_well()


def sine(beta: float = 1.0, rho: float = 1.0) -> sd.Landscape:
    trap = sd.landscapes.sine_trap(beta=beta, rho=rho)
    return sd.Landscape(trap.one_point, 1, trap.box, name="sine trap")


@pytest.mark.parametrize("rho", [0.2, 0.6, 1.5])
def test_shift_and_glue(rho: float) -> None:
    """Where f rises J is f(x + rho) and where it falls f(x - rho), up to a constant on each piece."""
    J = sd.virtual_loss(sd.Flow(GAUSSIANS, sd.SAM(rho)))
    ends = [-5.0, *(p.x[0] for p in GAUSSIANS.critical_points), 5.0]
    for low, high, sign in zip(ends[:-1], ends[1:], (-1, 1, -1, 1), strict=True):
        x = np.linspace(low + 1e-9, high - 1e-9, 200)[:, None]
        exact = GAUSSIANS.value(x + sign * rho)
        np.testing.assert_allclose(J.value(x) - J.value(x[:1]), exact - exact[0], atol=1e-8)
    # glued continuously
    for z in ends[1:-1]:
        left, right = J.value([[z - 1e-9], [z + 1e-9]])
        assert left == pytest.approx(right, abs=1e-7)


def test_its_slope_is_the_virtual_gradient() -> None:
    for rule in (sd.GD(), sd.USAM(0.7), sd.SAM(0.4), sd.UnifiedSAM(0.5, 0.3)):
        flow = sd.Flow(GAUSSIANS, rule)
        J = sd.virtual_loss(flow)
        x, h = np.array([[-3.3], [-1.6], [0.4], [2.9]]), 1e-5
        slope = (J.value(x + h) - J.value(x - h)) / (2 * h)
        np.testing.assert_allclose(slope, J.gradient(x)[:, 0], atol=1e-8)
        np.testing.assert_allclose(sd.virtual_gradient(flow, x), -flow(x))
    assert float(J.value([0.0])) == pytest.approx(float(GAUSSIANS.value([0.0])))  # the middle of the box


def test_heights_on_the_sine_trap() -> None:
    """Minima of J at A/2 below the minima of f, maxima of f at A above them."""
    A = 9 / (25 * math.pi**2)
    assert pytest.approx(0.03647563, abs=5e-9) == A
    J = sd.virtual_loss(sd.Flow(sine(), sd.SAM(1.0)), [-0.3])
    below = J.value([[-0.3], [-0.1], [0.7], [0.3]]) - J.value([-0.3])
    np.testing.assert_allclose(below, [0, -A / 2, -A / 2, A], atol=1e-12)


@given(
    values=st.lists(st.floats(-3, 3).filter(lambda v: abs(v) > 0.1), min_size=2, max_size=4),
    lam=st.floats(0, 1),
    seed=st.integers(0, 100),
)
@settings(max_examples=20)
def test_quadratics(values: list[float], lam: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((len(values), len(values))))[0]
    hessian = basis @ np.diag(values) @ basis.T
    hessian = (hessian + hessian.T) / 2
    rho, x = 0.3, rng.standard_normal((6, len(values)))
    flow = sd.Flow(sd.landscapes.quadratic(hessian), sd.UnifiedSAM(rho, lam))
    J = sd.virtual_loss(flow)
    size = np.linalg.norm(x @ hessian, axis=1)
    f = np.einsum("ni,ij,nj->n", x, hessian, x) / 2
    np.testing.assert_allclose(J.value(x), f + rho * (1 - lam) * size**2 / 2 + rho * lam * size, atol=1e-12)
    h = 1e-5
    for i, e in enumerate(h * np.eye(len(values))):
        slope = (J.value(x + e) - J.value(x - e)) / (2 * h)
        np.testing.assert_allclose(slope, sd.virtual_gradient(flow, x)[:, i], atol=1e-6)
    np.testing.assert_allclose(sd.equilibria.virtual_asymmetry(flow, x), 0, atol=1e-10)


def test_a_shifted_quadratic() -> None:
    loss = sd.Landscape(lambda w: (w[0] - 1) ** 2 + 3 * (w[1] + 2) ** 2 + 5, 2)
    J = sd.virtual_loss(sd.Map(loss, sd.SAM(0.1), lr=0.1))
    assert float(J.value([1.0, -2.0])) == pytest.approx(5)
    np.testing.assert_allclose(J.reference, [1, -2], atol=1e-12)
    assert J.why == "quadratic"
    assert "quadratic" in repr(J)


@pytest.mark.parametrize(("rho", "entry"), [(0.05, 0.0024671), (0.1, 0.0101367), (0.2, 0.0426932)], ids=str)
def test_no_virtual_loss_in_the_plane(rho: float, entry: float) -> None:
    flow = sd.Flow(sd.landscapes.product(), sd.SAM(rho))
    matrix = sd.equilibria.virtual_asymmetry(flow, [2.0, 1.0])
    assert matrix[0, 1] == pytest.approx(entry, abs=2e-7)
    np.testing.assert_allclose(matrix, -matrix.T)
    with pytest.raises(ValueError, match="antisymmetric part of DG at"):
        sd.virtual_loss(flow)


def test_the_asymmetry_is_a_circulation() -> None:
    flow = sd.Flow(sd.landscapes.product(), sd.SAM(0.2))
    r, angle = 1e-3, np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    tangent = np.stack([-circle[:, 1], circle[:, 0]], axis=1)
    around = (sd.virtual_gradient(flow, np.array([2.0, 1.0]) + r * circle) * tangent).sum(axis=1)
    circulation = around.mean() * 2 * np.pi * r / (np.pi * r**2)
    assert circulation == pytest.approx(sd.equilibria.virtual_asymmetry(flow, [2.0, 1.0])[1, 0], rel=1e-3)


def test_asymmetry_is_zero_on_a_line_and_nan_at_a_jump() -> None:
    assert sd.equilibria.virtual_asymmetry(sd.Flow(WELL, sd.SAM(0.3)), [0.4]) == 0
    assert np.isnan(
        sd.equilibria.virtual_asymmetry(sd.Flow(sd.landscapes.beale(), sd.SAM(0.3)), [0.0, 1.0])
    ).all()


def test_the_perturbed_loss_is_not_the_virtual_loss() -> None:
    """The attractor of the tilted hat at rho = 1.5 is a saddle of f(x + e(x)), and the other way round."""
    loss = sd.landscapes.tilted_hat(tilt=0.1)
    flow = sd.Flow(loss, sd.SAM(1.5))

    def curvature(x: list[float]) -> np.ndarray:
        h = 1e-4
        at = np.array(x)
        middle = float(sd.perturbed_loss(flow, at))
        return np.array(
            [
                (sd.perturbed_loss(flow, at + e) + sd.perturbed_loss(flow, at - e) - 2 * middle) / h**2
                for e in h * np.eye(2)
            ]
        )

    attractor, minimum = [0.5543507261, 0.0], [-0.4533194682, 0.0]
    np.testing.assert_allclose(curvature(attractor), [1.68275765, -0.13907380], atol=1e-5)
    np.testing.assert_allclose(curvature(minimum), [2.28662041, 1.22502164], atol=1e-5)
    assert sd.linearize(flow, attractor).stability == "attracting"
    assert sd.linearize(flow, minimum).stability == "saddle"
    np.testing.assert_allclose(
        np.sort(sd.linearize(flow, attractor).eigenvalues), [-1.6827576478, -0.1212711815], atol=1e-8
    )


def test_a_rule_without_perturbation() -> None:
    J = sd.virtual_loss(sd.Flow(WELL, sd.GD()))
    x = np.linspace(-2, 2, 50)[:, None]
    np.testing.assert_allclose(J.value(x), WELL.value(x), atol=1e-13)
    np.testing.assert_allclose(sd.perturbed_loss(sd.Flow(WELL, sd.GD()), x), WELL.value(x))
    assert J.value(np.empty((0, 1))).shape == (0,)
    assert J.value([0.0]).shape == ()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.virtual_loss(WELL), TypeError, "system must be a Map"),
        (
            lambda: sd.virtual_loss(sd.Map.from_function(lambda w: w / 2, 1)),
            ValueError,
            "made from a loss and a rule",
        ),
        (lambda: sd.virtual_loss(sd.Flow(WELL, sd.SAM(0.1)), [0.0, 1.0]), ValueError, "reference must"),
        (
            lambda: sd.virtual_loss(sd.Map(WELL, sd.WarmStart(sd.SAM(0.1), 3), lr=0.1)),
            ValueError,
            "constant coefficients",
        ),
        (
            lambda: sd.virtual_loss(sd.Flow(sd.landscapes.saddle(1, 1), sd.SAM(0.1)), [0.0, 0.0]),
            ValueError,
            "reference must be left out",
        ),
        (
            lambda: sd.virtual_loss(sd.Flow(WELL, sd.SAM(0.1))).value([0.0, 1.0]),
            ValueError,
            "x must have shape",
        ),
    ],
    ids=["landscape", "function", "reference", "schedule", "reference on a quadratic", "points"],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()

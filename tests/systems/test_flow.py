"""Flows: both forms of the field, hitting times, hallucinated equilibria, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import problems
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import samdyn as sd

WELL = sd.landscapes.double_well()  # x^4/4 - x^2/2 + 1/4


@given(seed=st.integers(0, 10**6), rho=st.floats(0, 1))
def test_both_forms_of_the_field(seed: int, rho: float) -> None:
    loss = sd.landscapes.coupled_double_well()
    x = np.random.default_rng(seed).uniform(-1.5, 1.5, (5, 2))
    g, hessian = loss.gradient(x), loss.hessian(x)
    size = np.linalg.norm(g, axis=1, keepdims=True)
    for rule, e in ((sd.USAM(rho), rho * g), (sd.SAM(rho), rho * g / size)):
        np.testing.assert_allclose(sd.Flow(loss, rule)(x), -loss.gradient(x + e), rtol=1e-10, atol=1e-12)
        first = -(g + np.einsum("nij,nj->ni", hessian, e))
        np.testing.assert_allclose(sd.Flow(loss, rule, form="first-order")(x), first, rtol=1e-10, atol=1e-12)


def test_the_first_order_field_is_a_gradient() -> None:
    # of f + rho/2 |g|^2 for USAM, of f + rho |g| for SAM
    loss, x = sd.landscapes.coupled_double_well(), np.array([[0.4, 0.7], [-1.2, 0.3]])
    gradient = torch.func.grad(loss.one_point)
    for rule, penalty in (
        (sd.USAM(0.3), lambda w: 0.15 * (gradient(w) ** 2).sum()),
        (sd.SAM(0.3), lambda w: 0.3 * gradient(w).norm()),
    ):
        penalised = sd.Landscape(lambda w, penalty=penalty: loss.one_point(w) + penalty(w), dim=2)
        np.testing.assert_allclose(
            sd.Flow(loss, rule, form="first-order")(x), -penalised.gradient(x), rtol=1e-10
        )


def test_the_two_fields_can_differ_in_sign() -> None:
    fields = [sd.Flow(WELL, sd.USAM(1.25), form=form)([0.3])[0] for form in ("first-order", "perturbed")]
    # f' = x^3 - x, f'' = 3 x^2 - 1 at 0.3
    assert fields == pytest.approx([0.0238875, -0.0411798], abs=1e-7)
    slope, curvature = 0.3**3 - 0.3, 3 * 0.09 - 1
    moved = 0.3 + 1.25 * slope
    assert fields == pytest.approx([-(1 + 1.25 * curvature) * slope, -(moved**3 - moved)], rel=1e-12)
    assert fields[0] * fields[1] < 0


@pytest.mark.parametrize("form", ["perturbed", "first-order"])
def test_they_agree_on_quadratics(form: str) -> None:
    loss = sd.landscapes.quadratic([[2.0, 0.3], [0.3, -1.0]])
    x = np.random.default_rng(1).standard_normal((5, 2))
    hessian = loss.hessian([0.0, 0.0])
    expected = -x @ hessian @ (np.eye(2) + 0.4 * hessian)
    np.testing.assert_allclose(sd.Flow(loss, sd.USAM(0.4), form=form)(x), expected, rtol=1e-10)


@pytest.mark.parametrize(("curvature", "time"), [(-1.0, 0.510826), (1.0, 0.336472)])
def test_collapse_in_finite_time(curvature: float, time: float) -> None:
    flow = sd.Flow(sd.landscapes.quadratic([[curvature]]), sd.SAM(0.5))
    exact = math.log(0.5 / 0.3) if curvature < 0 else math.log(1.4)
    assert time == pytest.approx(exact, abs=1e-6)
    path = sd.trajectory(flow, [0.2], t_max=0.6, dt=0.001)[:, 0]
    t = 0.001 * np.arange(len(path))
    before = t < time - 0.002
    shape = 0.5 + (0.2 - 0.5) * np.exp(t) if curvature < 0 else -0.5 + (0.2 + 0.5) * np.exp(-t)
    np.testing.assert_allclose(path[before], shape[before], atol=1e-6)  # the solver's own tolerance
    assert (path[before] > 0).all()
    assert (path[t > time + 0.002] == 0).all()


def test_beyond_the_radius_nothing_collapses() -> None:
    flow = sd.Flow(problems.line_saddle(), sd.SAM(0.5))
    path = sd.trajectory(flow, [[0.49], [0.5], [0.51]], t_max=6.0)
    assert path[-1, 0, 0] == 0
    assert path[-1, 1, 0] == pytest.approx(0.5, abs=1e-3)
    assert path[-1, 2, 0] == pytest.approx(0.5 + 0.01 * math.exp(6), rel=1e-3)


def test_usam_on_a_quadratic_is_exponential() -> None:
    rates = np.array([2.0, -1.0, -3.0])
    flow = sd.Flow(sd.landscapes.quadratic(np.diag(rates)), sd.USAM(0.4))
    path = sd.trajectory(flow, [1.0, 0.5, -0.2], t_max=2.0, dt=0.5)
    t = np.array([0.0, 0.5, 1.0, 1.5, 2.0])[:, None]
    np.testing.assert_allclose(path, [1.0, 0.5, -0.2] * np.exp(-rates * (1 + 0.4 * rates) * t), rtol=1e-7)


@pytest.mark.parametrize(("rho", "edge"), [(1.25, 0.447214), (1.5, 0.577350)])
def test_hallucinated_equilibria_bound_a_basin(rho: float, edge: float) -> None:
    assert edge == pytest.approx(math.sqrt(1 - 1 / rho), abs=1e-6)
    flow = sd.Flow(WELL, sd.USAM(rho))
    assert flow([edge])[0] == pytest.approx(0, abs=1e-5)
    end = sd.trajectory(
        flow, [[edge - 0.01], [edge + 0.01], [-edge + 0.01], [-edge - 0.01]], t_max=150.0, dt=10.0
    )[-1, :, 0]
    np.testing.assert_allclose(end, [0, 1, 0, -1], atol=1e-4)


def test_below_the_critical_radius_there_is_no_basin() -> None:
    end = sd.trajectory(sd.Flow(WELL, sd.USAM(0.8)), [[1e-3], [-1e-3]], t_max=150.0, dt=10.0)[-1, :, 0]
    np.testing.assert_allclose(end, [1, -1], atol=1e-4)


def test_a_map_with_a_small_lr_follows_the_flow() -> None:
    loss, rule = sd.landscapes.coupled_double_well(), sd.USAM(0.2)
    end = sd.trajectory(sd.Flow(loss, rule), [0.4, 0.7], t_max=2.0)[-1]
    errors = [
        np.linalg.norm(sd.trajectory(sd.Map(loss, rule, lr=2.0 / n), [0.4, 0.7], n_steps=n)[-1] - end)
        for n in (200, 400, 800)
    ]
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 2, rtol=0.03)  # first order


def test_from_function() -> None:
    spiral = sd.Flow.from_function(
        lambda w, c: torch.stack([-c * w[0] - w[1], w[0] - c * w[1]]), 2, {"c": 0.1}
    )
    path = sd.trajectory(spiral, [1.0, 0.0], t_max=3.0, dt=1.0)
    t = np.arange(4.0)[:, None]
    np.testing.assert_allclose(path, np.exp(-0.1 * t) * np.hstack([np.cos(t), np.sin(t)]), atol=1e-7)
    np.testing.assert_allclose(spiral.with_parameters(c=0.0)([1.0, 0.0]), [0, 1])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: sd.Flow(WELL, sd.SAM(0.1), form="second-order"),
            ValueError,
            "form must be one of 'perturbed', 'first-order'",
        ),
        (
            lambda: sd.Flow(WELL, sd.SAM(sd.schedules.PowerDecay(0.1))),
            ValueError,
            "rule must have constant coefficients in a Flow",
        ),
        (lambda: sd.Flow(WELL, sd.SAM), TypeError, "rule must be a rule, got the class SAM"),
        (lambda: sd.Flow(lambda w: w, sd.SAM(0.1)), TypeError, "loss must be a samdyn Landscape"),
        (
            lambda: sd.Flow(WELL, sd.GD())([1.0, 2.0]),
            ValueError,
            r"x must have shape \(..., 1\), got shape \(2,\)",
        ),
        (
            lambda: sd.Flow(WELL, sd.SAM(0.1)).with_parameters(lr=0.1),
            ValueError,
            "has no parameter 'lr'; it has: rho",
        ),
    ],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()

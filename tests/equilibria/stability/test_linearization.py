"""Linear stability against closed forms, and the critical radius."""

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
from samdyn.equilibria.stability.linearization import stability_of

curvatures = st.floats(0.1, 5).flatmap(lambda a: st.sampled_from([a, -a]))


@given(a=curvatures, b=curvatures, rho=st.floats(0, 3))
def test_rates_of_usam(a: float, b: float, rho: float) -> None:
    loss = sd.landscapes.quadratic(np.diag([a, b]))
    result = sd.linearize(sd.Flow(loss, sd.USAM(rho)), [0.0, 0.0])
    rates = np.array([-c * (1 + rho * c) for c in (a, b)])
    np.testing.assert_allclose(np.sort(result.eigenvalues), np.sort(rates), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.jacobian, np.diag(rates), atol=1e-12)
    assert result.eigenvalues[0] >= result.eigenvalues[1]
    assert not result.discrete
    if np.abs(rates).min() > 1e-6:
        expected = {2: "attracting", 0: "repelling", 1: "saddle"}[int((rates < 0).sum())]
        assert result.stability == expected


@given(a=curvatures, rho=st.floats(0, 3), lr=st.floats(0.01, 0.5), momentum=st.floats(0, 0.95))
def test_multipliers_of_usam(a: float, rho: float, lr: float, momentum: float) -> None:
    step = sd.Map(sd.landscapes.quadratic([[a]]), sd.USAM(rho), lr=lr, momentum=momentum)
    result = sd.linearize(step, [0.0])
    k = lr * a * (1 + rho * a)
    # z^2 - (1 + momentum - k) z + momentum = 0
    exact = np.roots([1, -(1 + momentum - k), momentum]) if momentum else np.array([1 - k])
    assert result.spectral_radius == pytest.approx(np.abs(exact).max(), rel=1e-6)
    assert result.discrete
    if min(abs(k), abs(k - 2 * (1 + momentum))) > 1e-6:
        assert (result.stability == "attracting") == (0 < k < 2 * (1 + momentum))


@pytest.mark.parametrize(
    ("momentum", "radius"), [(0.0, 1.001), (0.5, 1.0020), (0.9, 1.00924), (0.99, 1.0274)]
)
def test_momentum_does_not_move_the_critical_radius(momentum: float, radius: float) -> None:
    # curvature -1 and rho = 0.9: kappa = -0.1
    step = sd.Map(problems.line_saddle(), sd.USAM(0.9), lr=0.01, momentum=momentum)
    assert sd.linearize(step, [0.0]).spectral_radius == pytest.approx(radius, abs=6e-5)
    assert sd.linearize(step.with_parameters(rho=1.1), [0.0]).stability == "attracting"


@pytest.mark.parametrize("form", ["perturbed", "first-order"])
def test_beale(form: str) -> None:
    for rho, stability in ((0.035, "saddle"), (0.037, "attracting")):
        flow = sd.Flow(sd.landscapes.beale(), sd.USAM(rho), form=form)
        assert sd.linearize(flow, problems.BEALE_SADDLE).stability == stability
    step = sd.Map(sd.landscapes.beale(), sd.GD(), lr=1e-3)
    np.testing.assert_allclose(sd.linearize(step, [0, 1]).eigenvalues, [1.02775, 0.97225])


def test_of_a_diffusion_the_drift_is_linearised() -> None:
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.USAM(0.2), lr=0.1, noise=sd.GaussianNoise())
    assert sd.linearize(sde, [1.0]).eigenvalues == pytest.approx([-2 * 1.4])


def test_complex_eigenvalues() -> None:
    spiral = sd.Flow.from_function(lambda w: torch.stack([-0.1 * w[0] - w[1], w[0] - 0.1 * w[1]]), dim=2)
    result = sd.linearize(spiral, [0.0, 0.0])
    np.testing.assert_allclose(np.sort_complex(result.eigenvalues), [-0.1 - 1j, -0.1 + 1j])
    assert result.stability == "attracting"
    assert result.spectral_abscissa == pytest.approx(-0.1)
    for value, vector in zip(result.eigenvalues, result.eigenvectors.T, strict=True):
        np.testing.assert_allclose(result.jacobian @ vector, value * vector, atol=1e-12)


@pytest.mark.parametrize(
    ("value", "rule"),
    [("trapping", sd.SAM(0.2)), ("trapping", sd.UnifiedSAM(0.2, 0.5)), ("saddle", sd.USAM(0.2))],
)
def test_where_the_field_jumps(value: str, rule: sd.Rule) -> None:
    flow = sd.Flow(sd.landscapes.embedded_saddle(), rule)
    result = sd.linearize(flow, [0.0, 0.0])
    assert result.stability == value
    assert np.isnan(result.jacobian).any() == (value == "trapping")


def test_the_residual_says_how_far_from_fixed() -> None:
    result = sd.linearize(sd.Flow(sd.landscapes.quadratic([[2.0]]), sd.GD()), [3.0])
    assert result.residual == 6
    assert sd.linearize(
        sd.Map(sd.landscapes.quadratic([[2.0]]), sd.GD(), lr=0.1), [3.0]
    ).residual == pytest.approx(0.6)
    assert "attracting" in repr(result)


@pytest.mark.parametrize(
    ("eigenvalues", "discrete", "expected"),
    [
        ([-1.0, -2.0], False, "attracting"),
        ([1.0, -2.0], False, "saddle"),
        ([1.0, 2.0], False, "repelling"),
        ([0.0, -1.0], False, "marginal"),
        ([1j, -1j], False, "marginal"),
        ([0.0, 0.0], False, "marginal"),
        ([0.5, -0.9], True, "attracting"),
        ([0.5, -1.1], True, "saddle"),
        ([1.5, -1.1], True, "repelling"),
        ([1.0, 0.5], True, "marginal"),
        ([np.exp(1j), np.exp(-1j)], True, "marginal"),
    ],
)
def test_classification(eigenvalues: list[complex], discrete: bool, expected: str) -> None:
    assert stability_of(eigenvalues, discrete) == expected


def test_rates_are_judged_next_to_the_scale() -> None:
    assert stability_of([1e-12], False) == "repelling"
    assert stability_of([1e-12], False, scale=1.0) == "marginal"
    # the endpoint of x = 0.2 is a flat maximum: the rate -H(y) B(x) is rounding, next to H(x) = -0.48
    flow = sd.Flow(sd.Landscape(lambda w: -(w[0] ** 4), 1, [(-1, 1)]), sd.SAM(0.2))
    line = sd.linearize(flow, [0.2 + 1e-9])
    assert line.stability == "marginal"
    assert line.centre_subspace.shape == (1, 1)
    assert line.unstable_subspace.shape == (1, 0)


def test_no_classification_from_nan() -> None:
    with pytest.raises(ValueError, match="eigenvalues must not be nan"):
        stability_of([math.nan], discrete=True)


def test_a_missing_jacobian_is_an_error_unless_the_rule_jumps() -> None:
    kink = sd.Landscape(lambda w: torch.sqrt(w @ w), 2)
    with pytest.raises(ValueError, match="x must be a point where the Jacobian exists"):
        sd.linearize(sd.Flow(kink, sd.GD()), [0.0, 0.0])


def test_batched_jacobians_of_determinants() -> None:
    """Forward mode over a batch is wrong for this loss in torch 2.13."""
    loss = sd.Landscape(lambda w: torch.linalg.det(torch.stack([w, w**2, torch.sin(w)])), 3)
    x = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(sd.Flow(loss, sd.GD()).jacobian(x), -loss.hessian(x), atol=1e-10)


# ---------------------------------------------------------------------- the critical radius


@given(values=st.lists(curvatures, min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_critical_radius_of_a_quadratic(values: list[float], seed: int) -> None:
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
    hessian = basis @ np.diag(values) @ basis.T
    loss = sd.landscapes.quadratic((hessian + hessian.T) / 2)
    negative = [-v for v in values if v < 0]
    expected = 1 / min(negative) if negative else 0.0
    rho = sd.critical_rho(loss, np.zeros(len(values)))
    assert rho == pytest.approx(expected, rel=1e-6)
    if negative:  # there the stability changes
        for factor, stable in ((0.99, False), (1.01, True)):
            flow = sd.Flow(loss, sd.USAM(factor * rho))
            assert (sd.linearize(flow, np.zeros(len(values))).stability == "attracting") == stable


def test_critical_radius_of_other_rules() -> None:
    saddle = sd.landscapes.saddle(2, 2)
    assert sd.critical_rho(saddle, [0, 0]) == pytest.approx(0.5)
    assert sd.critical_rho(saddle, [0, 0], sd.USAM(3.0)) == pytest.approx(0.5)
    assert sd.critical_rho(saddle, [0, 0], sd.UnifiedSAM(1.0, 0.0)) == pytest.approx(0.5)
    assert sd.critical_rho(saddle, [0, 0], sd.SAM) == 0
    assert sd.critical_rho(saddle, [0, 0], sd.UnifiedSAM(1.0, 0.5)) == 0
    assert sd.critical_rho(saddle, [0, 0], sd.GD) == math.inf
    assert sd.critical_rho(sd.landscapes.beale(), [0, 1]) == pytest.approx(1 / 27.75, rel=1e-9)
    assert sd.critical_rho(sd.landscapes.monkey_saddle(), [0, 0]) == math.inf
    assert sd.critical_rho(sd.landscapes.uv(), [0, 0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: sd.critical_rho(sd.landscapes.beale(), [0.0, 0.9]),
            ValueError,
            r"x must be a critical point .* got \|gradient\|",
        ),
        (lambda: sd.critical_rho(sd.landscapes.beale(), [0.0]), ValueError, r"x must have shape"),
        (
            lambda: sd.critical_rho(sd.landscapes.beale(), [[0.0, 1.0]]),
            ValueError,
            r"x must be one point of shape \(2,\)",
        ),
        (lambda: sd.critical_rho(sd.landscapes.beale(), [0.0, math.nan]), ValueError, "x must be finite"),
        (lambda: sd.critical_rho(lambda w: w, [0.0]), TypeError, "loss must be a samdyn Landscape"),
        (
            lambda: sd.critical_rho(sd.landscapes.beale(), [0.0, 1.0], sd.UnifiedSAM),
            ValueError,
            r"rule must be a UnifiedSAM\(rho, lam\)",
        ),
        (
            lambda: sd.linearize(sd.Flow(sd.landscapes.beale(), sd.GD()), [0.0]),
            ValueError,
            "x must have shape",
        ),
        (
            lambda: sd.linearize(sd.Flow(sd.landscapes.beale(), sd.GD()), [[0.0, 1.0]]),
            ValueError,
            "x must be one point",
        ),
        (
            lambda: sd.linearize(sd.Flow(sd.landscapes.beale(), sd.GD()), [0.0, math.inf]),
            ValueError,
            "x must be finite",
        ),
        (lambda: sd.linearize(sd.landscapes.beale(), [0.0, 1.0]), TypeError, "system must be"),
        (lambda: sd.critical_rho(sd.landscapes.beale(), [0.0, 1.0], "USAM"), TypeError, "rule must be"),
    ],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


# ---------------------------------------------------------------------- subspaces


@pytest.mark.parametrize("discrete", [True, False], ids=["map", "flow"])
def test_invariant_subspaces(discrete: bool) -> None:
    """Of a matrix that is far from normal, with a complex pair on one side."""
    rng = np.random.default_rng(5)
    blocks = np.zeros((5, 5))
    blocks[:2, :2] = [[-1.0, -2.0], [2.0, -1.0]]
    blocks[2:, 2:] = np.diag([0.7, 0.0, -3.0])
    basis = rng.standard_normal((5, 5))
    rates = torch.from_numpy(basis @ blocks @ np.linalg.inv(basis))
    if discrete:
        system: Any = sd.Map.from_function(lambda w: torch.linalg.matrix_exp(rates) @ w, 5)
    else:
        system = sd.Flow.from_function(lambda w: rates @ w, 5)
    at = sd.linearize(system, np.zeros(5))
    subspaces = at.stable_subspace, at.centre_subspace, at.unstable_subspace
    assert [s.shape[1] for s in subspaces] == [3, 1, 1]
    for space in subspaces:
        np.testing.assert_allclose(space.T @ space, np.eye(space.shape[1]), atol=1e-12)
        image = at.jacobian @ space
        np.testing.assert_allclose(image - space @ (space.T @ image), 0, atol=1e-8)
    np.testing.assert_allclose(np.abs(subspaces[2][:, 0] @ basis[:, 2]) / np.linalg.norm(basis[:, 2]), 1)


def test_the_jacobian_of_sam_by_hand() -> None:
    """-H(y) (I + (rho/|g|) (I - n n^T) H(x)), with the derivative of g/|g|."""
    loss, rho, x = sd.landscapes.beale(), 0.3, np.array([0.7, 1.4])
    g, hessian = loss.gradient(x), loss.hessian(x)
    n = g / np.linalg.norm(g)
    spin = np.eye(2) + rho / np.linalg.norm(g) * (np.eye(2) - np.outer(n, n)) @ hessian
    expected = -loss.hessian(x + rho * n) @ spin
    at = sd.linearize(sd.Flow(loss, sd.SAM(rho)), x)
    np.testing.assert_allclose(at.jacobian, expected, rtol=1e-12)


def test_results_can_be_compared_and_hashed() -> None:
    flow = sd.Flow(sd.landscapes.beale(), sd.USAM(0.04))
    one, other = sd.linearize(flow, [0.0, 1.0]), sd.linearize(flow, [0.0, 1.0])
    assert one == one
    assert one != other
    assert len({one, other}) == 2
    assert "attracting" in one._repr_html_()

"""Maps: single steps against the formula, closed-form orbits, 2-cycles, traps, the Beale experiment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import problems
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import cycle_amplitude

import samdyn as sd

BEALE = sd.landscapes.beale()


def line(curvature: float) -> sd.Landscape:
    """curvature x^2 / 2."""
    return sd.landscapes.quadratic([[curvature]])


# ---------------------------------------------------------------------- one step


@given(seed=st.integers(0, 10**6), momentum=st.floats(0, 0.99))
def test_one_step(seed: int, momentum: float) -> None:
    loss, rng = sd.landscapes.coupled_double_well(), np.random.default_rng(seed)
    x, v = rng.standard_normal((2, 6, 2))
    step = sd.Map(loss, sd.SAM(0.3), lr=0.1, momentum=momentum)
    g = loss.gradient(x)
    direction = loss.gradient(x + 0.3 * g / np.linalg.norm(g, axis=1, keepdims=True))
    np.testing.assert_allclose(step(x), x - 0.1 * direction, rtol=1e-12)
    if momentum:
        new = momentum * v + direction
        expected = np.concatenate([x - 0.1 * new, new], axis=1)
        np.testing.assert_allclose(step(np.concatenate([x, v], axis=1)), expected, rtol=1e-12, atol=1e-14)
        assert step.state_dim == 4
    else:
        assert step.state_dim == 2


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.3), sd.SAM(0.3), sd.UnifiedSAM(0.3, 0.5)], ids=repr)
def test_jacobian_by_finite_differences(rule: sd.Rule, momentum: float) -> None:
    step = sd.Map(sd.landscapes.coupled_double_well(), rule, lr=0.1, momentum=momentum)
    state = np.array([0.4, 0.7, 0.2, -0.3])[: step.state_dim]
    h = 1e-6 * np.eye(step.state_dim)
    numeric = ((step(state + h) - step(state - h)) / 2e-6).T
    np.testing.assert_allclose(step.jacobian(state), numeric, atol=1e-8)


def test_jacobian_at_rest_with_momentum() -> None:
    step = sd.Map(line(2.0), sd.GD(), lr=0.1, momentum=0.5)
    np.testing.assert_allclose(step.jacobian([1.0]), [[0.8, -0.05], [2.0, 0.5]])
    assert step.jacobian(np.zeros((3, 1))).shape == (3, 2, 2)


def test_there_is_no_jacobian_on_a_jump() -> None:
    x = np.array([[0.0, 0.0], [0.3, 0.1]])
    jacobian = sd.Map(sd.landscapes.saddle(1, 1), sd.SAM(0.1), lr=0.1).jacobian(x)
    assert np.isnan(jacobian[0]).all()
    assert np.isfinite(jacobian[1]).all()


@pytest.mark.parametrize("leading", [(), (0,), (3,), (2, 0, 2), (2, 3)])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_any_leading_shape(leading: tuple[int, ...], momentum: float) -> None:
    step = sd.Map(BEALE, sd.SAM(0.1), lr=1e-3, momentum=momentum)
    x = np.random.default_rng(0).uniform(-1, 1, (*leading, 2))
    assert step(x).shape == x.shape
    n = step.state_dim
    assert step.jacobian(x).shape == (*leading, n, n)
    apart = np.array([step(p) for p in x.reshape(-1, 2)]).reshape(x.shape)
    np.testing.assert_allclose(step(x), apart, rtol=1e-13)
    assert sd.trajectory(step, x, n_steps=4).shape == (5, *x.shape)


# ---------------------------------------------------------------------- USAM at a saddle


@pytest.mark.parametrize(("rho", "y"), problems.SADDLE_Y.items())
def test_usam_on_the_saddle(rho: float, y: float) -> None:
    step = sd.Map(sd.landscapes.saddle(2, 2), sd.USAM(rho), lr=problems.SADDLE_LR)
    end = sd.trajectory(step, problems.SADDLE_START, n_steps=problems.SADDLE_STEPS)[-1]
    assert end[1] == pytest.approx(y, abs=1e-7)
    assert end[1] == pytest.approx(-0.01 * (1 + 0.02 * (1 - 2 * rho)) ** 500, rel=1e-10)


@pytest.mark.parametrize(("rho", "distance"), problems.BEALE_USAM_DISTANCE.items())
def test_usam_at_the_saddle_of_beale(rho: float, distance: float) -> None:
    start = np.array(problems.BEALE_SADDLE) + 1e-3 * np.array([1, -1]) / math.sqrt(2)
    end = sd.trajectory(sd.Map(BEALE, sd.USAM(rho), lr=1e-4), start, n_steps=2000)[-1]
    assert np.linalg.norm(end - problems.BEALE_SADDLE) == pytest.approx(distance, rel=1e-4)
    c = problems.BEALE_EIGENVALUE
    linear = 1e-3 * (1 + 1e-4 * c * (1 - rho * c)) ** 2000
    assert distance == pytest.approx(linear, rel=6e-3)


@pytest.mark.parametrize(("rho", "end"), [(0.8, 1.0), (0.95, 1.0), (1.05, 0.0), (1.2, 0.0), (1.5, 0.0)])
def test_usam_on_uv(rho: float, end: float) -> None:
    path = sd.trajectory(
        sd.Map(sd.landscapes.uv(), sd.USAM(rho), lr=0.01), [0.05, 0.05], n_steps=40000, save_every=40000
    )
    np.testing.assert_allclose(path[-1], [end, end], atol=1e-4)


# ---------------------------------------------------------------------- 2-cycles


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("lr", "curvature", "rho"), [(0.1, 3.0, 0.05), (0.1, 1.0, 0.5), (0.3, 1.0, 0.1)])
def test_two_cycle_on_a_parabola(lr: float, curvature: float, rho: float, momentum: float) -> None:
    amplitude = cycle_amplitude(lr, curvature, rho, momentum)
    step = sd.Map(line(curvature), sd.SAM(rho), lr=lr, momentum=momentum)
    # with momentum the cycle attracts only from nearby: start close to it
    start = [1.02 * amplitude] if momentum else [0.7]
    if momentum:
        velocity = 2 * amplitude / lr
        state = np.array([start[0], -velocity])
        for _ in range(700):
            state = step(state)
        end = np.array([state[:1], step(state)[:1]])
    else:
        end = sd.trajectory(step, start, n_steps=3001)[-2:]
    np.testing.assert_allclose(np.abs(end[:, 0]), amplitude, rtol=1e-9)
    assert end[0, 0] * end[1, 0] < 0


@pytest.mark.parametrize(("momentum", "amplitude"), problems.MOMENTUM_AMPLITUDE.items())
def test_two_cycle_with_momentum_numbers(momentum: float, amplitude: float) -> None:
    assert cycle_amplitude(0.3, 1.0, 0.1, momentum) == pytest.approx(amplitude, rel=1e-5)


def test_two_cycle_with_momentum_does_not_attract_everything() -> None:
    def orbit(momentum: float) -> np.ndarray:
        step = sd.Map(line(1.0), sd.SAM(0.1), lr=0.3, momentum=momentum)
        return sd.trajectory(step, [0.7], n_steps=5000)[-12:, 0]

    four, six = orbit(0.5), orbit(0.9)
    np.testing.assert_allclose(four[4:], four[:-4], atol=1e-10)
    np.testing.assert_allclose(np.unique(np.abs(four).round(4)), [0.0124, 0.0302], atol=1e-4)
    np.testing.assert_allclose(six[6:], six[:-6], atol=1e-10)
    assert np.abs(six[2:] - six[:-2]).max() > 1e-3


def test_two_cycle_in_three_dimensions() -> None:
    step = sd.Map(sd.landscapes.quadratic(np.diag(problems.CYCLE_HESSIAN)), sd.SAM(0.05), lr=0.1)
    end = sd.trajectory(step, [0.3, 0.2, 0.1], n_steps=6000)[-2:]
    np.testing.assert_allclose(np.abs(end[:, 0]), problems.CYCLE_AMPLITUDE, atol=1e-8)
    assert np.abs(end[:, 1:]).max() < 1e-10
    np.testing.assert_allclose(end[0], -end[1], atol=1e-10)
    # how fast the other modes leave: multipliers 1 - lr l - l^2 (2 - lr L)/L^2
    cycle = np.array([problems.CYCLE_AMPLITUDE, 1e-8, 1e-8])
    after = np.abs(step(cycle))[1:] / 1e-8
    np.testing.assert_allclose(after, [0.711111, 0.972444], atol=1e-5)


# ---------------------------------------------------------------------- traps


@pytest.mark.parametrize(("lr", "bound"), [(0.1, 0.05), (0.5, 0.25), (0.9, 0.45)])
def test_bounded_chaos_on_a_maximum(lr: float, bound: float) -> None:
    path = sd.trajectory(sd.Map(line(-1.0), sd.SAM(0.5), lr=lr), [0.013], n_steps=20000)[100:, 0]
    assert np.abs(path).max() <= bound * (1 + 1e-12)
    assert np.abs(path).max() > 0.98 * bound
    # every step stretches by 1 + lr: neighbours part at that rate until the jump lies between them
    pair = sd.trajectory(sd.Map(line(-1.0), sd.SAM(0.5), lr=lr), [[0.0131], [0.0131 + 1e-12]], n_steps=8)[
        :, :, 0
    ]
    np.testing.assert_allclose(pair[-1, 1] - pair[-1, 0], 1e-12 * (1 + lr) ** 8, rtol=1e-2)


def test_a_large_step_leaves_the_maximum() -> None:
    path = sd.trajectory(sd.Map(line(-1.0), sd.SAM(0.5), lr=1.1), [0.013], n_steps=300)
    assert np.abs(path[-1]) > 1e3


@pytest.mark.parametrize(
    ("size", "multiplier", "trapped"),
    [
        (0.5, 1.0028, False),
        (0.55, 0.9979, True),
        (2.5, 0.0694, True),
        (3.2, -0.6142, True),
        (3.5, -0.9639, True),
        (3.55, -1.0255, False),
    ],
)
def test_a_negative_mode_is_trapped_by_the_cycle(size: float, multiplier: float, trapped: bool) -> None:
    low, high = problems.TRAPPED_WINDOW
    assert trapped == (low < size < high)
    lr, top, rho = 0.1, 3.0, 0.05
    step = sd.Map(sd.landscapes.quadratic([[top, 0.0], [0.0, -size]]), sd.SAM(rho), lr=lr)
    cycle = cycle_amplitude(lr, top, rho)
    path = sd.trajectory(step, [cycle, 1e-7], n_steps=3000)[:, 1]
    np.testing.assert_allclose(path[1:20] / path[:19], multiplier, atol=1e-4)
    assert (np.abs(path[-1]) < 1e-8) if trapped else (np.abs(path[-1]) > 1e-5)


def test_the_edges_of_the_window() -> None:
    lr, top = 0.1, 3.0

    def growth(size: float) -> float:
        step = sd.Map(sd.landscapes.quadratic([[top, 0.0], [0.0, -size]]), sd.SAM(0.05), lr=lr)
        return abs(float(step([cycle_amplitude(lr, top, 0.05), 1e-9])[1])) / 1e-9

    for edge, sign in zip(problems.TRAPPED_WINDOW, (-1, 1), strict=True):
        assert growth(edge) == pytest.approx(1, abs=1e-4)
        assert growth(edge + sign * 0.01) > 1 > growth(edge - sign * 0.01)
    assert problems.TRAPPED_WINDOW[0] == pytest.approx(lr * top**2 / (2 - lr * top), abs=1e-6)


def test_the_valley_drifts_to_where_it_is_flat() -> None:
    loss, lr, rho = sd.landscapes.widening_valley(0.5), 0.1, 0.02
    step = sd.Map(loss, sd.SAM(rho), lr=lr)
    path = sd.trajectory(step, [0.01, 1.0], n_steps=20200)[:, 1]
    start = int(np.argmin(np.abs(path - problems.VALLEY_START)))
    assert path[start + 20000] == pytest.approx(problems.VALLEY_END, abs=1e-4)
    # the floor moves by -2 lr rho^2 / (2 - lr sharpness)^2 times the gradient of the sharpness
    y = path[5000]
    drift = (path[5100] - path[5000]) / 100
    assert drift == pytest.approx(-2 * lr * rho**2 / (2 - lr * (1 + 0.5 * y)) ** 2 * 0.5, rel=1e-3)


# ---------------------------------------------------------------------- Beale


def run_beale(rho: float) -> np.ndarray:
    step = sd.Map(BEALE, sd.SAM(rho) if rho else sd.GD(), lr=problems.BEALE_LR)
    return sd.trajectory(step, problems.BEALE_START, n_steps=problems.BEALE_GD_STEP)


def first_near_the_minimum(path: np.ndarray) -> int | None:
    near = np.linalg.norm(path - problems.BEALE_MINIMUM, axis=1) < 0.15
    return int(near.argmax()) if near.any() else None


def test_beale_under_gradient_descent() -> None:
    assert first_near_the_minimum(run_beale(0.0)) == problems.BEALE_GD_STEP


def test_beale_under_sam_that_gets_past_the_saddle() -> None:
    np.testing.assert_allclose(run_beale(0.1)[-1], problems.BEALE_SAM_01_END, atol=6e-5)
    assert first_near_the_minimum(run_beale(0.3)) == problems.BEALE_SAM_03_STEP
    assert first_near_the_minimum(run_beale(0.35)) is None


@pytest.mark.parametrize("rho", [0.5, 1.0])
def test_beale_under_sam_that_sticks(rho: float) -> None:
    path = run_beale(rho)
    distance = np.linalg.norm(path - problems.BEALE_SADDLE, axis=1)[-2000:]
    # the orbit is chaotic: other 2000 steps give values within 10 %
    assert np.sqrt((distance**2).mean()) == pytest.approx(problems.BEALE_RMS[rho], rel=0.12)
    g = BEALE.gradient(path)
    perturbed = -sd.Flow(BEALE, sd.SAM(rho))(path)
    cosine = (g * perturbed).sum(axis=1) / np.linalg.norm(g, axis=1) / np.linalg.norm(perturbed, axis=1)
    assert int((cosine < 0).argmax()) == problems.BEALE_FIRST_NEGATIVE_COSINE[rho]
    assert cosine.min() < -0.99
    assert cosine.max() > 0.99


# ---------------------------------------------------------------------- functions, parameters


def test_map_from_a_function() -> None:
    def henon(w: torch.Tensor, a: float, b: float) -> torch.Tensor:
        return torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]])

    step = sd.Map.from_function(henon, dim=2, parameters={"a": 1.4, "b": 0.3}, box=[(-2, 2), (-1, 1)])
    np.testing.assert_allclose(step([0.5, 0.1]), [0.75, 0.15])
    np.testing.assert_allclose(step.jacobian([0.5, 0.1]), [[-1.4, 1], [0.3, 0]])
    other = step.with_parameters(a=1.0)
    np.testing.assert_allclose(other([0.5, 0.1]), [0.85, 0.15])
    np.testing.assert_allclose(step([0.5, 0.1]), [0.75, 0.15])
    path = sd.trajectory(step, [0.0, 0.0], n_steps=10)
    x = np.zeros(2)
    for k in range(10):
        x = step(x)
        np.testing.assert_allclose(path[k + 1], x, rtol=1e-12)
    assert "henon" in repr(step)


def test_parameters_are_those_of_loss_rule_and_view() -> None:
    loss = sd.Landscape(lambda w, a: a * w @ w, dim=2, parameters={"a": 2.0})
    step = sd.Map(loss, sd.UnifiedSAM(0.1, 0.5), lr=0.01, momentum=0.3)
    assert step.parameters == {"a": 2.0, "rho": 0.1, "lam": 0.5, "lr": 0.01, "momentum": 0.3}
    other = step.with_parameters(a=1.0, rho=0.2, lr=0.1, momentum=0.0)
    assert other.parameters == {"a": 1.0, "rho": 0.2, "lam": 0.5, "lr": 0.1, "momentum": 0.0}
    np.testing.assert_allclose(
        other([1.0, 0.0]), sd.Map(loss.with_parameters(a=1.0), sd.UnifiedSAM(0.2, 0.5), 0.1)([1.0, 0.0])
    )
    with pytest.raises(ValueError, match="has no parameter 'gamma'; it has: a, rho, lam, lr, momentum"):
        step.with_parameters(gamma=1.0)
    with pytest.raises(ValueError, match=r"lr must be a finite number > 0, got -1\.0"):
        step.with_parameters(lr=-1.0)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"loss": lambda w: w @ w}, TypeError, "loss must be a samdyn Landscape"),
        ({"loss": None}, TypeError, "loss must be a samdyn Landscape, got None"),
        ({"rule": sd.SAM}, TypeError, r"rule must be a rule, got the class SAM: write SAM\(...\)"),
        ({"rule": 0.1}, TypeError, "rule must be a samdyn rule"),
        ({"lr": 0.0}, ValueError, "lr must be a finite number > 0, got 0.0"),
        ({"lr": -0.1}, ValueError, "lr must be a finite number > 0, got -0.1"),
        ({"lr": math.nan}, ValueError, "lr must be a finite number > 0, got nan"),
        ({"lr": math.inf}, ValueError, "lr must be a finite number > 0, got inf"),
        ({"lr": "fast"}, TypeError, "lr must be a number or a schedule"),
        ({"lr": lambda step: -0.1}, ValueError, "at step 0 must be a finite number >= 0, got -0.1"),
        ({"momentum": 1.0}, ValueError, r"momentum must be a number in \[0, 1\), got 1.0"),
        ({"momentum": -0.1}, ValueError, "momentum must be a finite number >= 0, got -0.1"),
        ({"momentum": math.nan}, ValueError, "momentum must be"),
        ({"momentum": lambda t: 0.9}, TypeError, "momentum must be"),
        ({"noise": 1.0}, TypeError, "noise must be a noise model"),
        (
            {"noise": sd.GaussianNoise((1.0, 2.0, 3.0))},
            ValueError,
            "std must be a number or 2 numbers, got 3",
        ),
    ],
)
def test_bad_input(changes: dict[str, Any], error: type[Exception], match: str) -> None:
    good: dict[str, Any] = {"loss": BEALE, "rule": sd.SAM(0.1), "lr": 0.01}
    with pytest.raises(error, match=match):
        sd.Map(**{**good, **changes})


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (3, TypeError, "must be callable, got int"),
        (lambda w: w.sum(), ValueError, r"must return a tensor of shape \(2,\), got shape \(\)"),
        (lambda w: w[:1], ValueError, r"must return a tensor of shape \(2,\), got shape \(1,\)"),
        (lambda w: np.sin(w), TypeError, "must take one point"),
        (lambda w: w[5], TypeError, "must take one point"),
    ],
)
@pytest.mark.parametrize("view", [sd.Map, sd.Flow])
def test_bad_functions(view: Any, function: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        view.from_function(function, dim=2)


@pytest.mark.parametrize("x", [[1.0], [1.0, 2.0, 3.0], 1.0])
@pytest.mark.parametrize("verb", ["__call__", "jacobian"])
def test_bad_points(x: Any, verb: str) -> None:
    with pytest.raises(ValueError, match=r"x must have shape \(..., 2\)"):
        getattr(sd.Map(BEALE, sd.SAM(0.1), lr=0.1), verb)(x)


def test_repr() -> None:
    step = sd.Map(BEALE, sd.SAM(0.5), lr=0.01, momentum=0.9, noise=sd.GaussianNoise(1.0))
    assert repr(step).startswith("Map(")
    for part in ("SAM(rho=0.5)", "lr=0.01", "momentum=0.9", "GaussianNoise"):
        assert part in repr(step)

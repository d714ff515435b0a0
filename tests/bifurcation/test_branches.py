"""Branches against closed forms: where the bifurcations are, what they are called, where branches end."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd

WELL = sd.landscapes.double_well()
HENON = sd.Map.from_function(
    lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]),
    2,
    {"a": 0.1, "b": 0.3},
    box=[(-2, 2), (-0.6, 0.6)],
    name="Henon",
)
FOLD = sd.Flow.from_function(lambda x, m: m + x**2, 1, {"m": -0.5})
BRUSSELATOR = sd.Flow.from_function(
    lambda x, a, b: torch.stack([a - (b + 1) * x[0] + x[0] ** 2 * x[1], b * x[0] - x[0] ** 2 * x[1]]),
    2,
    {"a": 1.2, "b": 1.0},
)


def henon_start(a: float, b: float = 0.3) -> list[float]:
    x = (-(1 - b) + math.sqrt((1 - b) ** 2 + 4 * a)) / (2 * a)
    return [x, b * x]


@functools.cache
def beale_branch() -> sd.bifurcation.Branch:
    return sd.continuation(sd.Flow(sd.landscapes.beale(), sd.USAM(0.01)), [0, 1], "rho", (0.0, 0.1))


def only(branch: sd.bifurcation.Branch) -> sd.bifurcation.Bifurcation:
    (point,) = branch.bifurcations
    return point


# ---------------------------------------------------------------------- a saddle becomes an attractor


@pytest.mark.parametrize("view", ["flow", "map"])
def test_the_saddle_of_beale_becomes_an_attractor(view: str) -> None:
    step = sd.Map(sd.landscapes.beale(), sd.USAM(0.01), lr=1e-5)
    branch = beale_branch() if view == "flow" else sd.continuation(step, [0, 1], "rho", (0.0, 0.1))
    point = only(branch)
    assert point.value == pytest.approx(1 / 27.75, abs=1e-10)
    assert point.error < 1e-10
    # f has a third derivative along the negative eigenvector: the branches cross, none is vertical
    assert point.kind == "branch point"
    before = branch.values < point.value - 1e-9
    assert set(branch.stability[before]) == {"saddle"}
    assert set(branch.stability[branch.values > point.value + 1e-9]) == {"attracting"}
    assert set(branch.kind) == {"saddle"}
    np.testing.assert_allclose(branch.x, np.tile([0.0, 1.0], (len(branch), 1)), atol=1e-12)
    assert branch.ends == ("lower bound", "upper bound")
    assert (branch.values[0], branch.values[-1]) == (0.0, 0.1)


def test_the_third_derivative_at_the_saddle_of_beale() -> None:
    # the cubic part at (0, 1) + (a, b) is 20.25 a b^2, so f3, the third derivative along (1, -1)/sqrt 2, is
    # 6 * 20.25 / 2^1.5; the field -f'(x + rho f') has the second derivative -f3 (1 + rho h)^2 - rho h f3 = f3
    point = only(beale_branch())
    assert abs(point.coefficient.real) == pytest.approx(0.5 * 6 * 20.25 / 2**1.5, rel=1e-6)


def test_rates_along_the_branch() -> None:
    branch = beale_branch()
    h = np.array([27.75, -27.75])
    expected = np.sort(-h * (1 + branch.values[:, None] * h), axis=1)[:, ::-1]
    np.testing.assert_allclose(branch.eigenvalues.real, expected, rtol=1e-10, atol=1e-9)
    assert only(branch).speed.real == pytest.approx(-(27.75**2), rel=1e-8)


def test_the_pitchfork_of_the_double_well() -> None:
    branch = sd.continuation(sd.Flow(WELL, sd.USAM(0.5)), [0.0], "rho", (0.0, 2.0))
    point = only(branch)
    assert (point.kind, point.criticality) == ("pitchfork", "subcritical")
    assert point.value == pytest.approx(1.0, abs=1e-10)
    assert point.coefficient.real == pytest.approx(1.0, rel=1e-8)  # dx/dt = x^3 at rho = 1, to third order
    assert point.speed.real == pytest.approx(-1.0, rel=1e-8)


# ---------------------------------------------------------------------- maps


@pytest.mark.parametrize("curvature", [4.0, 27.75])
def test_gradient_descent_flips_at_two_over_lambda(curvature: float) -> None:
    step = sd.Map(sd.landscapes.quadratic([[curvature]]), sd.GD(), lr=0.01)
    point = only(sd.continuation(step, [0.0], "lr", (0.001, 1.0)))
    assert point.kind == "flip"
    assert point.value == pytest.approx(2 / curvature, abs=1e-10)
    assert point.criticality == ""  # a linear map: nothing is born


def test_two_multipliers_that_leave_together() -> None:
    step = sd.Map(sd.landscapes.quadratic(np.diag([4.0, 4.0])), sd.GD(), lr=0.1)
    point = only(sd.continuation(step, [0.0, 0.0], "lr", (0.01, 1.0)))
    assert point.kind == "flip"
    assert point.value == pytest.approx(0.5, abs=1e-10)
    assert abs(point.value - 0.5) <= point.error < 1e-10


def test_momentum_as_the_parameter() -> None:
    # heavy ball is stable for lr lambda < 2 (1 + momentum)
    step = sd.Map(sd.landscapes.quadratic([[4.0]]), sd.GD(), lr=0.6)
    branch = sd.continuation(step, [0.0], "momentum", (0.0, 0.9))
    point = only(branch)
    assert (point.kind, round(point.value, 10)) == ("flip", 0.2)
    assert branch.x.shape == (len(branch), 1)
    assert branch.eigenvalues.shape == (len(branch), 2)


@pytest.mark.parametrize("rho", [0.0, 0.2])
def test_the_window_in_lr_with_momentum(rho: float) -> None:
    step = sd.Map(sd.landscapes.quadratic([[4.0]]), sd.USAM(rho), lr=0.1, momentum=0.5)
    point = only(sd.continuation(step, [0.0], "lr", (0.01, 1.0)))
    assert point.value == pytest.approx(2 * 1.5 / (4 * (1 + 4 * rho)), abs=1e-10)


def test_henon() -> None:
    branch = sd.continuation(HENON, henon_start(0.1), "a", (-0.2, 1.4))
    fold, flip = branch.bifurcations
    assert (fold.kind, flip.kind, flip.criticality) == ("fold", "flip", "supercritical")
    assert fold.value == pytest.approx(-(0.7**2) / 4, abs=1e-10)
    assert flip.value == pytest.approx(0.3675, abs=1e-10)
    np.testing.assert_allclose(fold.x, [2 / 0.7, 0.6 / 0.7], atol=1e-7)


def test_the_flip_normal_form() -> None:
    a, c = 0.456, -1.234
    step = sd.Map.from_function(
        lambda u, a, c, mu: (-1 + mu * a) * u + c * u**3, 1, {"a": a, "c": c, "mu": 0.2}
    )
    point = only(sd.continuation(step, [0.0], "mu", (-0.5, 0.4)))
    assert point.kind == "flip"
    assert point.value == pytest.approx(0, abs=1e-10)
    assert point.coefficient.real == pytest.approx(c, rel=1e-8)
    assert point.speed.real == pytest.approx(a, rel=1e-8)


def _rotation(u: torch.Tensor, a: Any, mu: Any, theta: float, c_real: float, c_imag: float) -> torch.Tensor:
    square = u @ u
    real, imag = 1 + a * mu + c_real * square, c_imag * square
    cos, sin = math.cos(theta), math.sin(theta)
    p, q = cos * real - sin * imag, sin * real + cos * imag
    return torch.stack([p * u[0] - q * u[1], q * u[0] + p * u[1]])


def test_the_neimark_sacker_normal_form() -> None:
    a, c = 1.123, -6.789 - 0.456j
    step = sd.Map.from_function(
        lambda u, a, mu: _rotation(u, a, mu, 0.1, c.real, c.imag), 2, {"a": a, "mu": -0.1}
    )
    point = only(sd.continuation(step, [0.0, 0.0], "mu", (-0.5, 0.4)))
    assert (point.kind, point.criticality) == ("Neimark-Sacker", "supercritical")
    assert point.value == pytest.approx(0, abs=1e-10)
    assert abs(np.angle(point.eigenvalue)) == pytest.approx(0.1, abs=1e-10)
    assert point.coefficient.real == pytest.approx(c.real, rel=1e-8)
    assert abs(point.coefficient.imag) == pytest.approx(abs(c.imag), rel=1e-7)
    assert point.speed / point.eigenvalue == pytest.approx(a, rel=1e-7)


# ---------------------------------------------------------------------- flows


def test_the_hopf_point_of_the_brusselator() -> None:
    point = only(sd.continuation(BRUSSELATOR, [1.2, 1 / 1.2], "b", (0.5, 4.0)))
    assert (point.kind, point.criticality) == ("Hopf", "supercritical")
    assert point.value == pytest.approx(1 + 1.2**2, abs=1e-10)
    assert abs(point.eigenvalue.imag) == pytest.approx(1.2, abs=1e-8)


@pytest.mark.parametrize("sign", [-1.0, 1.0], ids=["supercritical", "subcritical"])
def test_the_hopf_normal_form(sign: float) -> None:
    def field(u: torch.Tensor, mu: Any) -> torch.Tensor:
        square = u @ u
        return torch.stack([mu * u[0] - u[1] + sign * square * u[0], u[0] + mu * u[1] + sign * square * u[1]])

    point = only(sd.continuation(sd.Flow.from_function(field, 2, {"mu": -0.3}), [0, 0], "mu", (-1.0, 1.0)))
    assert point.kind == "Hopf"
    assert point.value == pytest.approx(0, abs=1e-10)
    assert point.coefficient.real == pytest.approx(sign, rel=1e-8)
    assert point.criticality == ("supercritical" if sign < 0 else "subcritical")


def test_folds_in_a_parameter_of_the_loss() -> None:
    loss = sd.landscapes.tilted_double_well()
    start = next(p.x for p in loss.critical_points if p.kind == "maximum")
    branch = sd.continuation(sd.Flow(loss, sd.GD()), start, "tilt", (-0.6, 0.6))
    folds = branch.select("fold")
    assert len(folds) == len(branch.bifurcations) == 2
    np.testing.assert_allclose(sorted(b.value for b in folds), [-2 / 27**0.5, 2 / 27**0.5], atol=1e-10)
    assert set(branch.kind) == {"minimum", "maximum"}
    assert all(
        (k == "maximum") == (s == "repelling") for k, s in zip(branch.kind, branch.stability, strict=True)
    )
    assert len(branch.at(0.0)) == 3  # the branch has both wells and the top over one value
    np.testing.assert_allclose(np.sort(branch.at(0.0)[:, 0]), [-1, 0, 1], atol=1e-3)


def test_a_closed_branch() -> None:
    circle = sd.Flow.from_function(lambda x, m: x**2 + m**2 - 1, 1, {"m": 0.0})
    branch = sd.continuation(circle, [1.0], "m", (-2.0, 2.0))
    assert branch.ends == ("closed", "closed")
    np.testing.assert_allclose(branch.x[:, 0] ** 2 + branch.values**2, 1, atol=1e-12)
    np.testing.assert_allclose(sorted(b.value for b in branch.bifurcations), [-1, 1], atol=1e-10)


@pytest.mark.parametrize("excess", [0.0, 1e-9])
def test_a_fold_at_the_end_of_the_range(excess: float) -> None:
    branch = sd.continuation(FOLD, [-math.sqrt(0.5)], "m", (-1.0, -excess))
    point = only(branch)
    assert (point.kind, point.at_end) == ("fold", True)
    assert point.value == pytest.approx(0, abs=1e-10)
    assert "at the end" in repr(point)


def test_a_fold_beyond_the_range_ends_the_branch() -> None:
    branch = sd.continuation(FOLD, [-math.sqrt(0.5)], "m", (-1.0, -1e-5))
    assert branch.bifurcations == ()
    assert branch.ends == ("lower bound", "upper bound")
    assert branch.values.max() == -1e-5
    assert set(branch.stability) == {"attracting"}


def test_a_fold_inside_the_range_is_not_at_its_end() -> None:
    assert not only(sd.continuation(FOLD, [-math.sqrt(0.5)], "m", (-1.0, 0.1))).at_end


def test_the_branch_leaves_the_box() -> None:
    branch = sd.continuation(FOLD, [-math.sqrt(0.5)], "m", (-1.0, 0.1), box=[(-0.8, 0.5)])
    assert branch.ends[0] == "left the box" or branch.ends[1] == "left the box"
    assert branch.x.max() < 0.52


def test_a_function_that_takes_only_numbers() -> None:
    step = sd.Map.from_function(lambda w, r: math.exp(r) * w * (1 - w), 1, {"r": 1.0})
    flip = only(sd.continuation(step, [1 - math.exp(-1.0)], "r", (0.5, 1.3)))
    assert flip.kind == "flip"
    assert flip.value == pytest.approx(math.log(3), abs=1e-10)


# ---------------------------------------------------------------------- cycles


def test_a_cycle_is_followed() -> None:
    logistic = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 3.2}, box=[(0.0, 1.0)])
    (cycle,) = sd.cycles(logistic, period=2)
    branch = sd.continuation(logistic, cycle, "r", (3.05, 3.6))
    assert branch.period == 2
    assert set(branch.kind) == {"cycle"}
    r = branch.values
    np.testing.assert_allclose(branch.eigenvalues[:, 0].real, 4 + 2 * r - r**2, atol=1e-9)
    assert only(branch).kind == "flip"
    assert only(branch).value == pytest.approx(1 + math.sqrt(6), abs=1e-10)
    np.testing.assert_allclose(branch.points.sum(axis=(1, 2)), (r + 1) / r, atol=1e-10)


def test_the_cycle_of_normalised_sam_loses_its_trap() -> None:
    # transverse multiplier 1 - lr h + ..., equal to 1 where lr h1^2/(2 - lr h1) = |h|
    step = sd.Map(sd.landscapes.quadratic(np.diag([3.0, -0.6])), sd.SAM(0.05), lr=0.1)
    (cycle,) = (c for c in sd.cycles(step, [(-0.2, 0.2)] * 2, period=2) if c.stability == "attracting")
    point = only(sd.continuation(step, cycle, "lr", (0.05, 0.2)))
    assert point.value == pytest.approx(1 / 9, abs=1e-9)
    assert sd.continuation(step, cycle, "rho", (0.001, 0.2)).bifurcations == ()  # the radius cancels


# ---------------------------------------------------------------------- what comes out


def test_text_and_table() -> None:
    branch = sd.continuation(HENON, henon_start(0.1), "a", (-0.2, 1.4))
    text = repr(branch)
    assert "flip at a = 0.3675" in text
    assert "left the box" in text
    assert len(text.splitlines()) <= 24
    assert branch._repr_html_().count("<tr>") == 3
    with pytest.raises(ValueError, match="value must be a finite number"):
        branch.at(math.nan)


def test_the_steps_are_as_short_as_asked_for() -> None:
    flow = sd.Flow(WELL, sd.USAM(0.5))
    coarse = sd.continuation(flow, [0.0], "rho", (0.0, 2.0), max_step=0.05)
    fine = sd.continuation(flow, [0.0], "rho", (0.0, 2.0), max_step=0.0025)
    assert np.diff(coarse.values).max() <= 0.05 * 2 * (1 + 1e-9)
    assert np.diff(fine.values).max() <= 0.0025 * 2 * (1 + 1e-9)
    assert len(fine) > 400
    assert len(sd.continuation(flow, [0.0], "rho", (0.0, 2.0), max_points=10)) == 19


FLOW = sd.Flow(WELL, sd.USAM(0.5))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.continuation(WELL, [0.0], "rho", (0, 1)), TypeError, "system must be a Map or a Flow"),
        (lambda: sd.continuation(FLOW, [0.0], "lr", (0, 1)), ValueError, "no parameter 'lr'; it has: rho"),
        (lambda: sd.continuation(FLOW, [0.0], 3, (0, 1)), ValueError, "no parameter 3; it has: rho"),
        (lambda: sd.continuation(FLOW, [0.0], "rho", (1, 0)), ValueError, "bounds must have lower < upper"),
        (lambda: sd.continuation(FLOW, [0.0], "rho", 1.0), TypeError, "bounds must be a pair"),
        (lambda: sd.continuation(FLOW, [0.0], "rho", (0, math.inf)), ValueError, "must be a finite number"),
        (
            lambda: sd.continuation(FLOW, [0.0], "rho", (-1, 1)),
            ValueError,
            "rho must be a finite number >= 0",
        ),
        (
            lambda: sd.continuation(FLOW, [0.0], "rho", (0.6, 1)),
            ValueError,
            "bounds must hold the system's own value of rho, 0.5",
        ),
        (
            lambda: sd.continuation(FLOW, [0.3], "rho", (0, 1)),
            ValueError,
            r"x must be a fixed point at rho = 0.5, got \[0.3\], where \|velocity\| = 0.159; the nearest",
        ),
        (
            lambda: sd.continuation(sd.Map(WELL, sd.SAM(0.5), lr=0.1), [0.9], "rho", (0.1, 1)),
            ValueError,
            r"where \|x' - x\| = 0.0336",
        ),
        (lambda: sd.continuation(FLOW, [0.0, 1.0], "rho", (0, 1)), ValueError, "x must have shape"),
        (lambda: sd.continuation(FLOW, [[0.0]], "rho", (0, 1)), ValueError, "x must be one point"),
        (lambda: sd.continuation(FLOW, [math.nan], "rho", (0, 1)), ValueError, "x must be finite"),
        (
            lambda: sd.continuation(FLOW, [0.0], "rho", (0, 1), period=2),
            ValueError,
            "period must be 1 for a Flow",
        ),
        (lambda: sd.continuation(FLOW, [0.0], "rho", (0, 1), max_step=0), ValueError, "max_step must be"),
        (
            lambda: sd.continuation(sd.Flow(WELL, sd.USAM(1.0)), [0.0], "rho", (0, 2)),
            ValueError,
            "x must be an isolated fixed point that is no branch point",
        ),
        (
            lambda: sd.continuation(
                sd.Flow(sd.landscapes.widening_valley(), sd.GD()), [0.0, 0.5], "slope", (0, 1)
            ),
            ValueError,
            "x must be an isolated fixed point",
        ),
        (
            lambda: sd.continuation(
                sd.Map(WELL, sd.SAM(sd.schedules.PowerDecay(0.1)), lr=0.1), [0.0], "lr", (0.01, 1)
            ),
            ValueError,
            "system must have constant coefficients",
        ),
        (
            lambda: sd.continuation(
                sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.1), [0.0], "H", (0, 1)
            ),
            ValueError,
            "parameter must be one whose value is a number",
        ),
        (
            lambda: sd.continuation(HENON, henon_start(0.1), "a", (0.0, 1.0), box=[(5, 6), (5, 6)]),
            ValueError,
            "box must hold the start",
        ),
    ],
)
def test_bad_input(make: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()

"""Cycles against known counts and closed forms; orbit diagrams; the traced step with its derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.dynamics.parametric import Parametric

LOGISTIC = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 4.0}, box=[(0.0, 1.0)])
HENON = sd.Map.from_function(
    lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]),
    2,
    {"a": 1.4, "b": 0.3},
    box=[(-2, 2), (-0.6, 0.6)],
)
TURN = 2 * math.pi
STANDARD = sd.Map.from_function(
    lambda w, k: torch.remainder(
        torch.stack([w[0] + w[1] + k * torch.sin(w[0]), w[1] + k * torch.sin(w[0])]), TURN
    ),
    2,
    {"k": 1.0},
    # a shifted cell: the fixed points at 0 do not lie on its edge, where the angle jumps
    box=[(0.01, TURN), (0.01, TURN)],
    name="standard map",
)


@pytest.mark.parametrize(("period", "count"), [(1, 2), (2, 1), (3, 2), (5, 6), (7, 18)])
def test_the_logistic_map_at_four_has_every_cycle(period: int, count: int) -> None:
    found = sd.cycles(LOGISTIC, period=period)
    assert len(found) == count
    for cycle in found:
        # the multipliers are +-2^k, but 4 at the fixed point 0
        size = 4.0 if period == 1 and cycle.x[0] < 1e-9 else 2.0**period
        assert abs(cycle.eigenvalues[0]) == pytest.approx(size, rel=1e-8)
        if period > 1:
            np.testing.assert_allclose(LOGISTIC(cycle.points), np.roll(cycle.points, -1, axis=0), atol=1e-11)


@pytest.mark.parametrize(
    ("period", "count"),
    [(1, 2), (2, 1), (3, 0), (4, 1), (6, 2), (8, 7), pytest.param(10, 10, marks=pytest.mark.slow)],
)
def test_the_cycles_of_henon(period: int, count: int) -> None:
    # Biham & Wenzel (1989), Davidchack & Lai (1999); for period 1 the point outside the attractor too
    found = sd.cycles(HENON, period=period)
    assert len(found) == count
    for cycle in found:
        assert np.prod(cycle.eigenvalues) == pytest.approx((-0.3) ** period, rel=1e-6, abs=1e-12)
        assert cycle.period == period


def test_the_standard_map_has_two_orbits_of_each_rotation_number() -> None:
    # Poincare & Birkhoff: for every m/n at least one elliptic and one hyperbolic cycle, so 2n points of each
    for period, rotations in ((2, 1), (3, 2)):
        found = sd.cycles(STANDARD, period=period)
        assert len(found) >= 2 * rotations
        for cycle in found:
            assert np.prod(cycle.eigenvalues).real == pytest.approx(1, rel=1e-6)
        hyperbolic = sum(cycle.stability == "saddle" for cycle in found)
        assert hyperbolic >= rotations
        assert len(found) - hyperbolic >= rotations


def test_the_cycles_of_unified_sam() -> None:
    # multipliers of one step on H = diag(1, 3, 10), lr = 0.1, rho = 0.05, lam = 1/2
    step = sd.Map(sd.landscapes.quadratic(np.diag([1.0, 3.0, 10.0])), sd.UnifiedSAM(0.05, 0.5), lr=0.1)
    found = sd.cycles(step, [(-0.1, 0.1)] * 3, period=2)
    assert len(found) == 3
    expected = {
        0: (0.8975, -16.4, -190.0),
        1: (0.711111, 0.6775, -18.888889),
        2: (0.89, 0.61, -0.25),
    }
    for cycle in found:
        axis = int(np.argmax(np.abs(cycle.x)))
        np.testing.assert_allclose(cycle.points[0], -cycle.points[1], atol=1e-10)
        one_step = np.sort(sd.linearize(step, cycle.x).eigenvalues.real)
        np.testing.assert_allclose(one_step, np.sort(expected[axis]), atol=1e-6)
        np.testing.assert_allclose(
            np.sort(np.abs(cycle.eigenvalues)), np.sort(np.square(expected[axis])), rtol=1e-4
        )
        assert (cycle.stability == "attracting") == (axis == 2)
        h = [1.0, 3.0, 10.0][axis]
        amplitude = 0.1 * 0.05 * 0.5 * h / (2 - 0.1 * h - 0.1 * 0.05 * 0.5 * h**2)
        assert abs(cycle.x[axis]) == pytest.approx(amplitude, rel=1e-9)


@pytest.mark.parametrize("lam", [0.25, 0.5, 1.0])
def test_the_amplitude_on_the_top_axis(lam: float) -> None:
    step = sd.Map(sd.landscapes.quadratic([[10.0]]), sd.UnifiedSAM(0.05, lam), lr=0.1)
    (cycle,) = sd.cycles(step, [(-0.3, 0.3)], period=2)
    assert abs(cycle.x[0]) == pytest.approx({0.25: 0.02, 0.5: 1 / 30, 1.0: 0.05}[lam], rel=1e-10)


@pytest.mark.parametrize("size", [0.5, 0.55, 2.5, 3.2, 3.5, 3.55])
def test_transverse_multipliers_towards_a_negative_mode(size: float) -> None:
    multipliers = {0.5: 1.0028, 0.55: 0.9979, 2.5: 0.0694, 3.2: -0.6142, 3.5: -0.9639, 3.55: -1.0255}
    step = sd.Map(sd.landscapes.saddle(3.0, size), sd.SAM(0.05), lr=0.1)
    cycle = next(c for c in sd.cycles(step, [(-0.05, 0.05)] * 2, period=2) if abs(c.x[1]) < 1e-9)
    assert abs(cycle.x[0]) == pytest.approx(0.0088235294, rel=1e-8)
    across = sd.linearize(step, cycle.x).jacobian[1, 1]
    assert across == pytest.approx(multipliers[size], abs=6e-5)
    assert (cycle.stability == "attracting") == (0.529412 < size < 3.5296)


def test_cycles_in_two_curved_dimensions() -> None:
    # around the minimum of Beale's function, across its valley: curvature 48.979786
    step = sd.Map(sd.landscapes.beale(), sd.SAM(1e-3), lr=1e-3)
    (cycle,) = (c for c in sd.cycles(step, [(2.5, 3.5), (0.3, 0.7)], period=2) if c.stability == "attracting")
    np.testing.assert_allclose(step(cycle.points), cycle.points[::-1], atol=1e-12)
    width = float(np.linalg.norm(cycle.points[0] - cycle.points[1]))
    assert width == pytest.approx(2 * 1e-6 * 48.979786 / (2 - 1e-3 * 48.979786), rel=0.02)


# ---------------------------------------------------------------------- orbit diagrams


def test_the_orbit_diagram_of_the_logistic_map() -> None:
    values = np.array([2.5, 3.2, 3.5, 4.5])
    orbits = sd.orbit_diagram(LOGISTIC, [[0.3], [0.6]], parameters={"r": values}, n_transient=4000, n_keep=8)
    assert orbits.points.shape == (4, 2, 8, 1)
    counts = [len(np.unique(np.round(row[np.isfinite(row)], 6))) for row in orbits.points]
    assert counts == [1, 2, 4, 0]
    np.testing.assert_array_equal(orbits.diverged, [[False] * 2] * 3 + [[True] * 2])
    np.testing.assert_allclose(orbits.points[0], 1 - 1 / 2.5, atol=1e-12)
    assert "4 values of r in [2.5, 4.5], 2 orbits each" in repr(orbits)
    assert "2 diverged" in repr(orbits)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_orbit_diagram_is_what_the_map_does(momentum: float) -> None:
    step = sd.Map(sd.landscapes.beale(), sd.SAM(0.1), lr=1e-3, momentum=momentum)
    values = np.array([0.0, 0.2, 0.5])
    orbits = sd.orbit_diagram(step, [1.0, 2.0], parameters={"rho": values}, n_transient=20, n_keep=3)
    for value, row in zip(values, orbits.points, strict=True):
        path = sd.trajectory(step.with_parameters(rho=float(value)), [1.0, 2.0], n_steps=23)
        np.testing.assert_allclose(row[0], path[-3:, :2], atol=1e-10)


def test_momentum_may_be_swept() -> None:
    step = sd.Map(sd.landscapes.quadratic([[4.0]]), sd.GD(), lr=0.6)
    orbits = sd.orbit_diagram(step, [1e-3], parameters={"momentum": [0.0, 0.1, 0.5]}, n_transient=2000)
    assert np.abs(orbits.points[2]).max() < 1e-12
    assert not np.abs(orbits.points[0][np.isfinite(orbits.points[0])]).max(initial=np.inf) < 1


# ---------------------------------------------------------------------- the step in state and parameters


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.1), sd.SAM(0.1), sd.UnifiedSAM(0.1, 0.3)], ids=repr)
def test_derivatives_in_state_and_parameters(rule: sd.Rule) -> None:
    step = sd.Map(sd.landscapes.rosenbrock(b=3.0), rule, lr=0.01, momentum=0.4)
    names = ("b", "lr", "momentum", *rule.coefficient_names)
    form = Parametric(step, names, period=2)
    assert form.n == 4
    z, p = np.array([0.3, -0.2, 0.1, 0.4]), np.array([float(step.parameters[n]) for n in names])
    value, jacobian, slope = form.evaluate(z, p)
    np.testing.assert_allclose(value, step(step(z)), atol=1e-13)
    np.testing.assert_allclose(jacobian, step.jacobian(step(z)) @ step.jacobian(z), atol=1e-12)
    for j, name in enumerate(names):
        h = 1e-6
        above, below = (step.with_parameters(**{name: float(p[j] + d)}) for d in (h, -h))
        np.testing.assert_allclose(slope[:, j], (above(above(z)) - below(below(z))) / (2 * h), atol=1e-7)


@pytest.mark.parametrize("form", ["perturbed", "first-order"])
def test_derivatives_of_flows(form: str) -> None:
    flow = sd.Flow(sd.landscapes.beale(), sd.SAM(0.2), form=form)
    value, jacobian, slope = Parametric(flow, ("rho",)).residual(np.array([0.3, 0.4]), np.array([0.2]))
    np.testing.assert_allclose(value, flow([0.3, 0.4]), atol=1e-12)
    np.testing.assert_allclose(jacobian, flow.jacobian([0.3, 0.4]), atol=1e-11)
    h = 1e-6
    above, below = (flow.with_parameters(rho=0.2 + d)([0.3, 0.4]) for d in (h, -h))
    np.testing.assert_allclose(slope[:, 0], (above - below) / (2 * h), atol=1e-6)


def test_batches_agree_with_single_points() -> None:
    form = Parametric(HENON, ("a",))
    z = np.random.default_rng(0).normal(size=(5, 2))
    values, jacobians = form.batch(z, np.array([1.1]))
    for i in range(5):
        value, jacobian, _ = form.step(z[i], np.array([1.1]))
        np.testing.assert_allclose(values[i], value)
        np.testing.assert_allclose(jacobians[i], jacobian)


FLOW = sd.Flow(sd.landscapes.double_well(), sd.USAM(0.5))
GD_STEP = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
SCHEDULED = sd.Map(sd.landscapes.double_well(), sd.SAM(sd.schedules.PowerDecay(0.1)), lr=0.1)
NO_BOX = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 4.0})


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.cycles(FLOW, period=2), TypeError, "system must be a Map"),
        (lambda: sd.cycles(GD_STEP, period=0), ValueError, "period must be an integer >= 1"),
        (lambda: sd.cycles(NO_BOX, period=2), ValueError, "box must be given"),
        (lambda: sd.cycles(LOGISTIC, [(1, 0)], period=2), ValueError, "box must have lower < upper"),
        (lambda: sd.cycles(LOGISTIC, period=2, n_starts=0), ValueError, "n_starts must be"),
        (lambda: sd.cycles(LOGISTIC, period=2, tolerance=0.0), ValueError, "tolerance must be"),
        (
            lambda: sd.cycles(GD_STEP.with_parameters(momentum=0.5), period=2),
            ValueError,
            "must have no momentum",
        ),
        (lambda: sd.cycles(SCHEDULED, period=2), ValueError, "constant coefficients"),
        (lambda: sd.orbit_diagram(FLOW, parameters={"rho": [0.1]}), TypeError, "system must be a Map"),
        (lambda: sd.orbit_diagram(SCHEDULED, parameters={"lr": [0.1]}), ValueError, "constant coefficients"),
        (
            lambda: sd.orbit_diagram(GD_STEP, parameters={"rho": [0.1]}),
            ValueError,
            "parameters must name one of lr, momentum, got 'rho'",
        ),
        (lambda: sd.cycles(LOGISTIC, period=10**6), ValueError, "period must be an integer >= 1 and < 257"),
        (
            lambda: sd.cycles(LOGISTIC, period=2, tolerance=10.0),
            ValueError,
            "tolerance must be a number > 0 and <=",
        ),
        (
            lambda: sd.orbit_diagram(GD_STEP, parameters={"lr": "ab"}),
            TypeError,
            "parameters must be a dict of a name and finite",
        ),
        (
            lambda: sd.orbit_diagram(GD_STEP, parameters={"lr": []}),
            ValueError,
            "parameters must hold a sequence of finite",
        ),
        (
            lambda: sd.orbit_diagram(GD_STEP, parameters={"lr": [0.1, math.nan]}),
            ValueError,
            "parameters must hold a sequence",
        ),
        (
            lambda: sd.orbit_diagram(GD_STEP, parameters={"lr": [-0.1, 0.1]}),
            ValueError,
            "lr must be a finite number > 0",
        ),
        (lambda: sd.orbit_diagram(NO_BOX, parameters={"r": [3.0]}), ValueError, "x0 must be given"),
        (
            lambda: sd.orbit_diagram(GD_STEP, [1.0, 2.0], parameters={"lr": [0.1]}),
            ValueError,
            "x0 must have shape",
        ),
        (lambda: sd.orbit_diagram(GD_STEP, parameters={"lr": [0.1]}, n_keep=0), ValueError, "n_keep must be"),
        (
            lambda: sd.orbit_diagram(GD_STEP, parameters={"lr": np.linspace(0.1, 1, 1000)}, n_keep=100_000),
            ValueError,
            "numbers to store",
        ),
    ],
)
def test_bad_input(make: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()

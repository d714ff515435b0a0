"""Whether a map is held at a critical point is a statement about the motion that attracts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.bifurcation.critical_points import jump_labels


def held_by_simulation(step: sd.Map, z: np.ndarray, radius: float, n_steps: int) -> float:
    """Largest distance from z over the last tenth of a long run of starts within `radius`."""
    u = np.random.default_rng(0).standard_normal((12, step.dim))
    u *= radius / np.linalg.norm(u, axis=1, keepdims=True)
    path = sd.trajectory(step, z + u, n_steps=n_steps, save_every=7)
    return float(np.linalg.norm(path - z, axis=-1)[-n_steps // 70 :].max())


@pytest.mark.parametrize(
    ("values", "lr", "rule", "momentum", "within"),
    [
        ((0.58, -0.83), 0.01, sd.SAM(0.4), 0.0, 0.0034),
        ((0.58, -0.83), 0.001, sd.SAM(0.4), 0.0, 0.00034),
        ((1.0, -1.5), 0.01, sd.SAM(0.4), 0.0, 0.0061),
        ((1.0, -3.0), 0.001, sd.SAM(0.4), 0.0, 0.0013),
        ((0.5, 2.0, -4.0), 0.002, sd.SAM(0.4), 0.0, 0.0033),
        ((1.0, -1.5), 0.01, sd.UnifiedSAM(0.4, 0.6), 0.0, 0.0037),
        ((1.0, -1.5), 0.01, sd.SAM(0.4), 0.5, 0.009),
        ((3.0, -3.55), 0.1, sd.SAM(0.05), 0.0, 0.02),
        ((0.8, -1.1, -2.0), 0.005, sd.SAM(0.2), 0.0, 0.0025),
    ],
    ids=str,
)
def test_a_mode_that_overshoots_leaves_the_cycle_and_not_the_point(
    values: tuple[float, ...], lr: float, rule: sd.Rule, momentum: float, within: float
) -> None:
    """A label given before it is established: the 2-cycle of the top mode is unstable, and the map stays.

    Right: trapping, and the hover radius of a long simulation.
    """
    step = sd.Map(sd.landscapes.quadratic(np.diag(values)), rule, lr=lr, momentum=momentum)
    z = np.zeros(len(values))
    at = sd.linearize(step, z)
    assert at.stability == "trapping"
    far = held_by_simulation(step, z, 0.5 * rule.rho, 8000)  # type: ignore[attr-defined]
    assert far < within
    assert 0.6 * far < at.chatter_radius < 1.3 * far


@pytest.mark.parametrize(
    ("values", "lr", "n_steps"),
    [((3.0, -0.5), 0.1, 4000), ((3.0, 0.7, -0.3), 0.08, 4000), ((2.0, -0.01), 0.01, 60_000)],
    ids=str,
)
def test_a_mode_too_slow_to_be_pulled_back_leaves(values: tuple[float, ...], lr: float, n_steps: int) -> None:
    """The other side of the same label: the multiplier on the cycle exceeds 1, if only by a little.

    Right: lr h^2 > a (2 - lr h), so that |g| on the cycle exceeds rho a; a simulation leaves.
    """
    h, a = values[0], -values[-1]
    assert lr * h**2 > a * (2 - lr * h)
    step = sd.Map(sd.landscapes.quadratic(np.diag(values)), sd.SAM(0.05), lr=lr)
    assert sd.linearize(step, np.zeros(len(values))).stability == "saddle"
    assert held_by_simulation(step, np.zeros(len(values)), 0.01, n_steps) > 0.2


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("length", [1e-3, 1e3])
def test_units_of_the_loss_and_of_the_weights_do_not_matter(size: float, length: float) -> None:
    """Decisions by magnitudes: f(w/s) k with rho s and lr s^2/k is the same saddle in other units."""
    form = np.diag([1.0, -1.5]) * size / length**2
    step = sd.Map(sd.landscapes.quadratic(form), sd.SAM(0.4 * length), lr=0.01 * length**2 / size)
    at = sd.linearize(step, [0.0, 0.0])
    assert at.stability == "trapping"
    assert at.chatter_radius == pytest.approx(0.006 * length, rel=0.1)


@pytest.mark.slow
def test_the_motion_of_the_trap_is_named() -> None:
    """Named "escape" where none of the starts leaves. Right: it hovers, within the radius of a simulation."""
    step = sd.Map(sd.landscapes.quadratic(np.diag([0.58, -0.83])), sd.SAM(0.4), lr=0.01)
    held = sd.capture_set(step, [0.0, 0.0])
    assert (held.stability, held.motion) == ("trapping", "bounded chaos")
    assert held.chatter_radius == pytest.approx(0.0033, rel=0.05)


@pytest.mark.parametrize(
    "rule", [sd.SAM(0.3), sd.MongeSAM(0.3), sd.LESAM(0.3, 0.2)], ids=lambda rule: type(rule).__name__
)
def test_a_cycle_beside_a_minimum_belongs_to_it(rule: sd.Rule) -> None:
    """A label that is false (b): "repelling" at the minima of (tanh(w0) w1 - .6)^2 + .1 w1^2 + .02 w0^2.

    Right, by the map itself over 4000 steps: orbits from .001 and from .1 away come to one 2-cycle across the
    valley, .0505 from the minimum, and none is ever farther away than its start or that.
    """
    loss = sd.Landscape(
        lambda w: (torch.tanh(w[0]) * w[1] - 0.6) ** 2 + 0.1 * w[1] ** 2 + 0.02 * w[0] ** 2,
        2,
        [(-2.5, 2.5)] * 2,
    )
    x = np.array([1.0579725, 0.65768303])
    for _ in range(3):
        x = x - np.linalg.solve(loss.hessian(x), loss.gradient(x))
    system = sd.Map(loss, rule, lr=0.05)
    u = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    circle = np.stack([np.cos(u), np.sin(u)], axis=1)
    path = sd.trajectory(system, x + np.concatenate([0.001 * circle, 0.1 * circle]), n_steps=4000).x
    distance = np.linalg.norm(path - x, axis=-1)
    assert distance.max() <= 0.1 + 1e-9
    np.testing.assert_allclose(distance[-100:].max(axis=0), 0.0505, rtol=2e-3)
    there = sd.linearize(system, x)
    assert there.stability == "trapping"
    np.testing.assert_allclose(there.chatter_radius, 0.0505, rtol=2e-3)


def test_a_direction_that_never_moves_is_marginal() -> None:
    """A label that is false (b): "trapping" and "repelling" under a rule whose direction is centred.

    Right: GCSAM moves along (1, -1) alone, so that every line w0 + w1 = c has a point at rest: the critical
    point lies on a curve of them, and is neither left nor reached from other lines.
    """
    loss = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 + 0.2 * w[0] * w[1], 2, [(-2, 2)] * 2)
    x = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=16).select(kind="minimum").x[0]
    for system in (sd.Flow(loss, sd.GCSAM(0.2)), sd.Map(loss, sd.GCSAM(0.2), lr=0.05)):
        start = x + np.array([0.01, 0.02])
        step = system.evaluate(start) - (start if isinstance(system, sd.Map) else 0.0)
        np.testing.assert_allclose(step.sum(), 0, atol=1e-15)
        assert sd.linearize(system, x).stability == "marginal"


def test_a_map_that_stays_where_its_flow_leaves_has_no_ball() -> None:
    """Right: beside the maximum of the double well SAM of radius 1.05 looks past the minimum, and moves away.

    Steps of 1.02 come back across it; what is drawn from no ball is not said to be drawn from some distance.
    """
    well = sd.landscapes.double_well()
    assert sd.Flow(well, sd.SAM(1.05))([1e-3])[0] > 0
    assert sd.linearize(sd.Flow(well, sd.SAM(1.05)), [0.0]).stability == "repelling"
    system = sd.Map(well, sd.SAM(1.05), lr=1.02)
    there = sd.linearize(system, [0.0])
    assert there.stability == "trapping"
    assert np.isnan(there.capture_radius)
    assert "captures" not in repr(there)
    (listed,) = sd.fixed_points(system, n_starts=16).select(kind="maximum")
    assert np.isnan(listed.capture_radius)
    assert "hovers within" in repr(listed)


def test_labels_along_a_parameter_are_those_at_a_point() -> None:
    """Right: at the minimum of 1 - cos(w0) + w1^2/2 SAM of radius 4 is led away along w0, not along w1."""
    loss = sd.Landscape(lambda w: 1 - torch.cos(w[0]) + w[1] ** 2 / 2, 2, [(-1, 1)] * 2)
    flow = sd.Flow(loss, sd.SAM(4.0))
    field = flow([[1e-3, 0.0], [0.0, 1e-3]])
    assert field[0, 0] > 0 > field[1, 1]
    for system in (flow, sd.Map(loss, sd.SAM(4.0), lr=0.05)):
        assert sd.linearize(system, [0.0, 0.0]).stability == "saddle"
        assert jump_labels(system, "rho", np.array([4.0]), np.zeros((1, 2)))[0].tolist() == ["saddle"]


@pytest.mark.parametrize("power", [4, 6])
@pytest.mark.parametrize("dim", [1, 2])
def test_a_minimum_without_curvature_is_no_saddle(power: int, dim: int) -> None:
    """Kind: a label before it is established. The flow on the sum of w^4 was called a saddle at 0, where the
    Hessian is exactly 0: the directions that it maps to were 0/0. Right: the field points inwards at all
    points within rho, where each coordinate of w + e has the sign of the coordinate of w.
    """
    flow = sd.Flow(sd.Landscape(lambda w: (w**power).sum(), dim, [(-4, 4)] * dim), sd.SAM(0.1))
    w = 0.05 * np.random.default_rng(0).standard_normal((100, dim))
    assert ((flow(w) * w).sum(axis=-1) < 0).all()
    there = sd.linearize(flow, np.zeros(dim))
    assert there.stability == "trapping"
    assert there.capture_radius > 1.0

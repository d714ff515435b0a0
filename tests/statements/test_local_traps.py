"""Whether a map is held at a critical point is a statement about the motion that attracts."""

from __future__ import annotations

import numpy as np
import pytest

import samdyn as sd


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

"""Windows of learning rate and momentum, 2-cycles, and the edge of stability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import problems
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import samdyn as sd


def quadratic(*eigenvalues: float) -> sd.Landscape:
    return sd.landscapes.quadratic(np.diag(eigenvalues))


@dataclass(frozen=True)
class Rotated(sd.Rule):
    """Adds the gradient turned by a right angle, which makes the rates complex."""

    turn: float = 0.0

    def combine(self, gradient: Any, perturbed: Any, turn: Any = 0.0) -> Any:
        return perturbed + turn * torch.stack([-perturbed[1], perturbed[0]])


# ---------------------------------------------------------------------- windows at smooth fixed points

WELL = sd.landscapes.double_well()
TILTED = sd.Landscape(lambda w: w[0] ** 4 / 4 - w[0] ** 2 / 2 + 0.2 * w[0], 1, [(-2, 2)], name="tilted")
STRAIGHT = sd.Landscape(
    lambda w, k: (w[0] ** 2 - 1) ** 2 / 4 + k * w[1] ** 2 / 2, 2, parameters={"k": 1.0}, name="separable"
)
NETWORK = sd.Landscape(
    lambda w: (w[0] * w[1] - 1) ** 2 / 2 + 0.05 * (w[0] ** 2 + w[1] ** 2), 2, name="two-layer network"
)

HALLUCINATED = {
    "double well": (WELL, sd.SAM(1.5), [-0.5], 1.0),
    "tilted, right minimum": (TILTED, sd.SAM(1.0), [0.8788850661794047 - 1], 1.5182375872),
    "tilted, left minimum": (TILTED, sd.SAM(1.5), [-1.0880339147 + 1.5], 0.7838669525),
    "separable": (STRAIGHT, sd.SAM(1.5), [-0.5, 0.0], 0.4),
    "network": (NETWORK, sd.SAM(2.0), [0.4655302643, 0.4655302643], 1 / 0.9),
    "Himmelblau": (sd.landscapes.himmelblau(), sd.SAM(5.0), [-1.39377163271, -2.31452231210], 0.01707),
    "USAM": (WELL, sd.USAM(5.0), [-0.7236067977499790], 0.2594638),
}


@pytest.mark.parametrize("name", HALLUCINATED)
def test_learning_rates_of_hallucinated_points(name: str) -> None:
    loss, rule, x, largest = HALLUCINATED[name]
    window = sd.lr_window(sd.Flow(loss, rule), x)
    assert window.upper == pytest.approx(largest, rel=3e-4 if name == "Himmelblau" else 2e-7)
    assert (window.lower, window.border) == (0.0, "flip")
    for factor, stable in ((0.999, True), (1.001, False)):
        step = sd.Map(loss, rule, lr=factor * window.upper)
        assert (sd.linearize(step, x).stability == "attracting") == stable


@given(
    real=st.floats(0.1, 2),
    imaginary=st.floats(0, 3),
    lr=st.floats(0.05, 2),
    momentum=st.sampled_from([0.0, 0.3, 0.9]),
)
@settings(max_examples=60)
def test_the_ellipse_is_the_spectral_radius(
    real: float, imaginary: float, lr: float, momentum: float
) -> None:
    rule = Rotated(imaginary / real)
    step = sd.Map(sd.landscapes.quadratic(real * np.eye(2)), rule, lr=lr, momentum=momentum)
    flow = sd.Flow(sd.landscapes.quadratic(real * np.eye(2)), rule)
    np.testing.assert_allclose(
        np.abs(np.linalg.eigvals(flow.jacobian([0.0, 0.0])).imag), imaginary, atol=1e-9
    )
    window = sd.lr_window(step, [0.0, 0.0])
    if abs(lr / window.upper - 1) > 1e-3:
        assert (sd.linearize(step, [0.0, 0.0]).spectral_radius < 1) == (lr in window)
    stable = [m for w in sd.momentum_windows(step, [0.0, 0.0]) for m in (w.lower, w.upper)]
    if all(abs(momentum - m) > 1e-3 or m == momentum == 0 for m in stable):
        inside = any(momentum in w or momentum == w.lower == 0 for w in sd.momentum_windows(step, [0.0, 0.0]))
        assert (sd.linearize(step, [0.0, 0.0]).spectral_radius < 1) == inside


def test_momentum_widens_where_rates_are_real() -> None:
    step = sd.Map(quadratic(1.0), sd.GD(), lr=3.0)
    (window,) = sd.momentum_windows(step, [0.0])
    assert (window.lower, window.upper) == pytest.approx((0.5, 1.0))
    assert sd.momentum_windows(sd.Map(quadratic(1.0), sd.GD(), lr=5.0), [0.0]) == ()
    assert sd.momentum_windows(sd.Map(quadratic(-1.0), sd.GD(), lr=0.1), [0.0]) == ()
    (whole,) = sd.momentum_windows(sd.Map(quadratic(1.0, 2.0), sd.USAM(0.1), lr=0.1), [0.0, 0.0])
    assert (whole.lower, whole.upper) == (0.0, 1.0)
    with_momentum = sd.Map(quadratic(2.0), sd.GD(), lr=0.1, momentum=0.5)
    assert sd.lr_window(with_momentum, [0.0]).upper == pytest.approx(1.5)


def test_no_window_where_the_flow_is_not_attracted() -> None:
    window = sd.lr_window(sd.Flow(sd.landscapes.beale(), sd.USAM(0.03)), [0.0, 1.0])
    assert window.empty
    assert 1e-9 not in window
    assert repr(window) == "StabilityWindow: no lr"
    inside = sd.lr_window(sd.Flow(sd.landscapes.beale(), sd.USAM(0.04)), [0.0, 1.0])
    # the positive mode: lr h (1 + rho h) < 2
    assert inside.upper == pytest.approx(2 / (27.75 * (1 + 0.04 * 27.75)))


# ---------------------------------------------------------------------- 2-cycles


@pytest.mark.parametrize(
    ("s", "amplitude"), [(0.1, 0.0157895), (0.5, 0.1), (1.0, 0.3), (1.5, 0.9), (1.9, 5.7)], ids=str
)
def test_amplitude_on_a_line(s: float, amplitude: float) -> None:
    cycle = sd.two_cycle([2.0], lr=s / 2, rho=0.3)
    assert cycle.amplitude == pytest.approx(amplitude, abs=5e-8)
    assert cycle.multipliers[0] == pytest.approx(1 - s)
    step = sd.Map(quadratic(2.0), sd.SAM(0.3), lr=s / 2)
    np.testing.assert_allclose(step([cycle.amplitude]), [-cycle.amplitude], atol=1e-12)


def test_the_orbit_that_settles_on_it() -> None:
    step = sd.Map(quadratic(2.0), sd.SAM(0.3), lr=0.25)
    expected = [1, 0.35, 0.025, -0.1375, 0.08125, -0.109375, 0.0953125, -0.10234375, 0.098828125]
    np.testing.assert_allclose(sd.trajectory(step, [1.0], n_steps=8)[:, 0], expected, atol=1e-15)
    assert sd.two_cycle([2.0], 0.25, 0.3).loss == pytest.approx(0.01)


def test_multipliers_across_the_cycle() -> None:
    cycle = sd.two_cycle([2.0, 1.2, 0.3], lr=0.45, rho=0.2)
    assert cycle.amplitude == pytest.approx(0.163636, abs=5e-7)
    np.testing.assert_allclose(cycle.multipliers[1:], [0.064, 0.84025], atol=1e-12)
    assert cycle.loss == pytest.approx(0.0267769, abs=5e-8)
    again = sd.two_cycle(problems.CYCLE_HESSIAN, problems.CYCLE_LR, problems.CYCLE_RHO)
    assert again.amplitude == pytest.approx(problems.CYCLE_AMPLITUDE, abs=5e-9)
    np.testing.assert_allclose(again.multipliers, [0.7, 0.711111, 0.972444], atol=5e-7)
    assert again.stable


@pytest.mark.parametrize(
    ("curvature", "multiplier"),
    [(-0.5, 1.0028), (-0.55, 0.9979), (-2.5, 0.0694), (-3.2, -0.6142), (-3.5, -0.9639), (-3.55, -1.0255)],
    ids=str,
)
def test_multipliers_of_negative_modes(curvature: float, multiplier: float) -> None:
    assert sd.two_cycle([3.0, curvature], 0.1, 0.05).multipliers[1] == pytest.approx(multiplier, abs=5e-5)


def test_opposite_curvatures_are_nearly_neutral() -> None:
    # Beale at lr = 1.25e-5
    cycle = sd.two_cycle([27.75, -27.75], 1.25e-5, 0.5)
    assert cycle.multipliers[1] == pytest.approx(-(1 - 2 * 1.25e-5 * 27.75))
    assert cycle.multipliers[1] == pytest.approx(-0.9993, abs=5e-5)


UNIFIED = {  # mode: multipliers in order, at lam = 0.5
    0: (0.8975, -16.4, -190.0),
    1: (0.711111, 0.6775, -18.888889),
    2: (0.89, 0.61, -0.25),
}


@pytest.mark.parametrize("mode", UNIFIED)
def test_unified_sam(mode: int) -> None:
    cycle = sd.two_cycle([1.0, 3.0, 10.0], lr=0.1, rho=0.05, lam=0.5, mode=mode)
    np.testing.assert_allclose(cycle.multipliers, UNIFIED[mode], atol=5e-7)
    assert cycle.stable == (mode == 2)


@pytest.mark.parametrize(
    ("lam", "amplitude", "loss"),
    [(0.25, 0.02, 0.002), (0.5, 0.0333333, 0.00555556), (1.0, 0.05, 0.0125)],
    ids=str,
)
def test_amplitude_of_unified_sam(lam: float, amplitude: float, loss: float) -> None:
    cycle = sd.two_cycle([1.0, 3.0, 10.0], lr=0.1, rho=0.05, lam=lam)
    assert (cycle.amplitude, cycle.loss) == pytest.approx((amplitude, loss), rel=2e-6)
    step = sd.Map(quadratic(1.0, 3.0, 10.0), sd.UnifiedSAM(0.05, lam), lr=0.1)
    end = sd.trajectory(step, [1.0, -2.0, 0.5], n_steps=600)[-1]
    np.testing.assert_allclose(np.abs(end), [0, 0, cycle.amplitude], atol=1e-9)


def test_a_cycle_on_another_mode_is_left_for_the_top_one() -> None:
    other = sd.two_cycle([1.0, 3.0, 10.0], 0.1, 0.05, 0.5, mode=1)
    step = sd.Map(quadratic(1.0, 3.0, 10.0), sd.UnifiedSAM(0.05, 0.5), lr=0.1)
    end = sd.trajectory(step, [0.0, other.amplitude, 1e-8], n_steps=600)[-1]
    np.testing.assert_allclose(np.abs(end), [0, 0, 0.0333333], atol=1e-6)


@pytest.mark.parametrize(("lam", "largest"), [(0.5, 0.16), (0.9, 0.190476), (1.0, 0.2)], ids=str)
def test_largest_learning_rate_of_unified_sam(lam: float, largest: float) -> None:
    assert sd.two_cycle([10.0], 0.9999 * largest, 0.05, lam).amplitude > 10
    with pytest.raises(ValueError, match="lr must be below"):
        sd.two_cycle([10.0], 1.0001 * largest, 0.05, lam)
    for factor, bounded in ((0.99, True), (1.01, False)):
        step = sd.Map(quadratic(10.0), sd.UnifiedSAM(0.05, lam), lr=factor * largest)
        assert (np.abs(sd.trajectory(step, [1.0], n_steps=4000)[-1, 0]) < 100) == bounded
    usam = sd.lr_window(sd.Flow(quadratic(10.0), sd.USAM(0.05)), [0.0])
    assert usam.upper == pytest.approx(0.1333333, abs=5e-8)


@pytest.mark.parametrize("momentum", problems.MOMENTUM_AMPLITUDE)
def test_momentum_cycle(momentum: float) -> None:
    cycle = sd.two_cycle([3.0], 0.1, 0.1, momentum=momentum)
    assert cycle.amplitude == pytest.approx(problems.MOMENTUM_AMPLITUDE[momentum], rel=2e-6)
    assert cycle.stable
    # an exponential average with rate b and step a is heavy ball with lr = a (1 - b)
    b, a, h, rho = 0.9, 0.5, 3.0, 0.1
    s = a * h * (1 - b)
    assert sd.two_cycle([h], a * (1 - b), rho, momentum=b).amplitude == pytest.approx(
        s * rho / (2 * (1 + b) - s)
    )


def test_momentum_multipliers_by_simulation() -> None:
    """A small transverse displacement decays at the rate of the larger multiplier."""
    cycle = sd.two_cycle([3.0, 1.0], 0.1, 0.05, momentum=0.1)
    step = sd.Map(quadratic(3.0, 1.0), sd.SAM(0.05), lr=0.1, momentum=0.1)
    state = np.array([cycle.amplitude, 1e-6, -2 * cycle.amplitude / 0.1, 0.0])
    sizes = []
    for _ in range(40):
        state = step(state)
        sizes.append(abs(state[1]))
    assert abs(abs(state[0]) - cycle.amplitude) < 1e-9
    assert sizes[-1] / sizes[-2] == pytest.approx(abs(cycle.multipliers[1, 0]), rel=1e-4)


def test_window_of_trapped_modes() -> None:
    window = sd.equilibria.trapped_mode_window(0.1, 3.0)
    assert (window.lower, window.upper) == pytest.approx(problems.TRAPPED_WINDOW, abs=5e-7)
    for end in (window.lower, window.upper):
        assert abs(sd.two_cycle([3.0, -end], 0.1, 0.05).multipliers[1]) == pytest.approx(1, abs=1e-12)


# ---------------------------------------------------------------------- the edge of stability


def test_the_edge_of_usam() -> None:
    assert sd.orbit.sam_edge(0.1, 0.05) == pytest.approx(12.360680, abs=5e-7)
    assert sd.orbit.sam_edge(0.1, 0.0) == 20
    assert sd.orbit.sam_edge(1e-4, 10.0) == pytest.approx(math.sqrt(2 / (1e-4 * 10)), rel=0.01)
    edge = sd.orbit.sam_edge(0.1, 0.05, momentum=0.4)
    assert 0.1 * edge * (1 + 0.05 * edge) == pytest.approx(2.8)
    assert sd.lr_window(sd.Flow(quadratic(12.360680), sd.USAM(0.05)), [0.0]).upper == pytest.approx(
        0.1, rel=1e-6
    )


def test_the_edge_of_sam_is_the_top_curvature_on_its_cycle() -> None:
    cycle = sd.two_cycle([3.0, 1.0, 0.2], 0.1, 0.05)
    assert cycle.gradient_norm == pytest.approx(0.1 * 0.05 * 9 / 1.7)
    assert sd.orbit.sam_edge(0.1, 0.05, cycle.gradient_norm) == pytest.approx(3.000000, abs=1e-12)
    with_momentum = sd.two_cycle([3.0], 0.1, 0.05, momentum=0.6)
    assert sd.orbit.sam_edge(0.1, 0.05, with_momentum.gradient_norm, momentum=0.6) == pytest.approx(3.0)
    np.testing.assert_allclose(sd.orbit.sam_edge(0.1, 0.05, [0.0, 1e9]), [0.0, 20.0], atol=1e-6)


def test_the_edge_along_a_path() -> None:
    step = sd.Map(quadratic(3.0, 1.0), sd.SAM(0.05), lr=0.1)
    path = sd.trajectory(step, [0.3, 0.2], n_steps=2000)
    seen = sd.edge_of_stability(step, path)
    np.testing.assert_allclose(seen.sharpness, 3.0)
    assert seen.edge[0] == pytest.approx(sd.orbit.sam_edge(0.1, 0.05, float(seen.gradient_norm[0])))
    assert seen.edge[-1] == pytest.approx(3.0, abs=1e-9)
    assert seen.gd_edge == 20
    np.testing.assert_allclose([seen.alignment[-1], seen.perturbed_alignment[-1]], 1, atol=1e-9)
    expected = np.abs(path[0] * [3, 1])[0] / np.linalg.norm(path[0] * [3, 1])
    assert seen.alignment[0] == pytest.approx(expected)
    assert "edge" in repr(seen)
    usam = sd.Map(quadratic(3.0, 1.0), sd.USAM(0.05), lr=0.1)
    np.testing.assert_allclose(sd.edge_of_stability(usam, path).edge, 12.360680, atol=1e-6)
    gd = sd.Map(quadratic(3.0, 1.0), sd.GD(), lr=0.1, momentum=0.5)
    np.testing.assert_allclose(sd.edge_of_stability(gd, path).edge, 30.0)


FLOW = sd.Flow(sd.landscapes.beale(), sd.SAM(0.1))
MAP = sd.Map(sd.landscapes.beale(), sd.SAM(0.1), lr=0.1)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.lr_window(FLOW, [0.0, 1.0]), ValueError, "field of .* jumps at"),
        (lambda: sd.lr_window(FLOW, [0.5, 1.0]), ValueError, r"must be a fixed point .*\|velocity\| = "),
        (lambda: sd.lr_window(sd.landscapes.beale(), [0.0, 1.0]), TypeError, "system must be a Map"),
        (lambda: sd.momentum_windows(FLOW, [0.0, 1.0]), TypeError, "system must be a Map"),
        (lambda: sd.equilibria.trapped_mode_window(0.1, 30.0), ValueError, "top must be below"),
        (lambda: sd.two_cycle([-1.0], 0.1, 0.1), ValueError, "positive eigenvalue"),
        (lambda: sd.two_cycle([], 0.1, 0.1), ValueError, "eigenvalues must be"),
        (lambda: sd.two_cycle([1.0], 0.1, 0.1, lam=0.0), ValueError, "lam must be"),
        (lambda: sd.two_cycle([1.0], 0.1, 0.1, mode=1), ValueError, "mode must be"),
        (lambda: sd.two_cycle([1.0], 0.1, 0.1, momentum=1.0), ValueError, "momentum must be"),
        (lambda: sd.orbit.sam_edge(0.1, 0.1, -1.0), ValueError, "gradient_norm must be"),
        (lambda: sd.orbit.sam_edge(0.0, 0.1), ValueError, "lr must be"),
        (lambda: sd.edge_of_stability(MAP, [[0.0]]), ValueError, "trajectory must have shape"),
        (lambda: sd.edge_of_stability(FLOW, [[0.0, 1.0]]), TypeError, "system must be a Map"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()

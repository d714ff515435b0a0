"""All attractors of a rule in one dimension, against closed forms and against simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.equilibria.line_attractors import survives

WELL = sd.landscapes.double_well()
GAUSSIANS = sd.landscapes.two_gaussian_well()
QUARTIC = sd.Landscape(lambda w: w[0] ** 4 / 4 - w[0] ** 2 / 2, 1, [(-2, 2)], name="quartic")
TILTED = sd.Landscape(lambda w: w[0] ** 4 / 4 - w[0] ** 2 / 2 + 0.2 * w[0], 1, [(-2, 2)], name="tilted")

WELLS = {  # rho: (position, kind, share of the box)
    0.2: [(-1.9949, "minimum", 0.361), (-1.189, "maximum", 0.040), (1.9229, "minimum", 0.599)],
    0.6: [(-1.9949, "minimum", 0.321), (-1.189, "maximum", 0.120), (1.9229, "minimum", 0.559)],
    1.0: [(-0.9949, "hallucinated", 0.481), (1.9229, "minimum", 0.519)],
    1.5: [(-0.4949, "hallucinated", 0.531), (1.9229, "minimum", 0.469)],
    3.0: [(1.0051, "hallucinated", 0.681), (1.9229, "minimum", 0.319)],
}
BOX = [(-5.003, 5.001)]


@pytest.mark.parametrize("rho", WELLS)
def test_two_gaussian_wells(rho: float) -> None:
    found = sd.attractors_1d(sd.Flow(GAUSSIANS, sd.SAM(rho)), BOX)
    expected = WELLS[rho]
    np.testing.assert_allclose(found.x, [p[0] for p in expected], atol=6e-5)
    assert found.kinds == tuple(p[1] for p in expected)
    np.testing.assert_allclose(found.fractions, [p[2] for p in expected], atol=6e-4)
    if rho < 1:  # the maximum captures a width of 2 rho
        assert found.fractions[1] == pytest.approx(2 * rho / 10.004, abs=1e-9)
    kink = np.array(found.kinds) != "hallucinated"
    assert (found.slopes[kink, 0] < 0).all()
    assert (found.slopes[kink, 1] > 0).all()
    np.testing.assert_array_equal(np.isnan(found.curvature), kink)


@pytest.mark.parametrize("rho", [0.6, 1.0])
def test_the_basins_are_those_of_the_map(rho: float) -> None:
    found = sd.attractors_1d(sd.Flow(GAUSSIANS, sd.SAM(rho)), BOX)
    step = sd.Map(GAUSSIANS, sd.SAM(rho), lr=0.01)
    start = np.linspace(-5.003, 5.001, 501)[:, None]
    end = sd.trajectory(step, start, n_steps=4000, save_every=4000)[-1, :, 0]
    nearest = np.abs(end[:, None] - found.x).argmin(axis=1)
    expected = (start >= found.basins[:, 0]) & (start <= found.basins[:, 1])
    assert (expected.any(axis=1)).all()
    # all but starts within a step of a border
    assert (nearest == expected.argmax(axis=1)).mean() > 0.99


def test_the_sine_trap() -> None:
    trap = sd.landscapes.sine_trap(beta=1, rho=1)
    loss = sd.Landscape(trap.one_point, 1, [(-1.2, 1.2)], name="sine trap")
    found = sd.attractors_1d(sd.Flow(loss, sd.SAM(1.0)))
    np.testing.assert_allclose(found.x, [-0.5, -0.1, 0.7, 1.1], atol=1e-12)
    assert set(found.kinds) == {"hallucinated"}
    np.testing.assert_allclose(np.abs(loss.gradient(found.x[:, None])), 0.1653987, atol=5e-8)
    np.testing.assert_allclose(loss.gradient(found.x[:, None]) ** 2, 0.0273567195834, atol=1e-12)
    # J-maxima are kinks at both the minima and the maxima of f
    np.testing.assert_allclose(found.repellers, [-0.9, -0.3, 0.3, 0.9], atol=1e-12)
    np.testing.assert_allclose(found.curvature, 1.0, atol=1e-9)
    np.testing.assert_allclose(found.largest_lr, 2.0, atol=1e-9)
    A = 9 / (25 * math.pi**2)
    np.testing.assert_allclose(found.barriers[1], [A / 2, 3 * A / 2], atol=1e-12)


@pytest.mark.parametrize("lr", [0.1, 1.0, 1.9, 2.1])
def test_orbits_on_the_sine_trap(lr: float) -> None:
    trap = sd.landscapes.sine_trap()
    loss = sd.Landscape(trap.one_point, 1, [(-1.2, 1.2)])
    start = np.random.default_rng(0).uniform(-1.2, 1.2, (400, 1))
    end = sd.trajectory(sd.Map(loss, sd.SAM(1.0), lr=lr), start, n_steps=2000, save_every=2000)[-1]
    settled = np.abs(loss.gradient(end)[:, 0] ** 2 - 0.0273567195834) < 1e-9
    assert settled.all() if lr < 2 else not settled.any()


def test_first_steps_on_the_sine_trap() -> None:
    trap = sd.landscapes.sine_trap()
    step = sd.Map(sd.Landscape(trap.one_point, 1), sd.SAM(1.0), lr=0.5)
    expected = [0, -0.0477465, -0.0735485, -0.0867320, -0.0933607, -0.0966797, -0.0983397]
    np.testing.assert_allclose(sd.trajectory(step, [0.0], n_steps=6)[:, 0], expected, atol=5e-8)


@pytest.mark.parametrize("theta", [4.0, 4.6, 4.8, 5.236, 6.0])
def test_sines_with_smooth_attractors(theta: float) -> None:
    """f = sin(wx)/w^2 with w = theta: gradient (sin theta / theta)^2 at the attractors."""
    loss = sd.Landscape(lambda w: torch.sin(theta * w[0]) / theta**2, 1, [(0.05, 0.05 + 4 * math.pi / theta)])
    found = sd.attractors_1d(sd.Flow(loss, sd.SAM(1.0)))
    assert set(found.kinds) == {"hallucinated"}
    assert len(found) == 4
    g2 = loss.gradient(found.x[:, None])[:, 0] ** 2
    np.testing.assert_allclose(g2, (math.sin(theta) / theta) ** 2, rtol=1e-9)
    cosine = {4.0: 0.5728, 4.6: 0.9874, 4.8: 0.9923, 5.236: 0.75, 6.0: 0.0781}[theta]
    np.testing.assert_allclose(g2 * theta**2, cosine, atol=6e-5)


@pytest.mark.parametrize("theta", [0.5, 1.0, 2.0, 3.0, 1 + 2 * math.pi])
def test_sines_with_kink_attractors(theta: float) -> None:
    """Minima and maxima both attract, the maxima from a share (theta mod 2 pi)/pi of the line."""
    period = 2 * math.pi / theta
    loss = sd.Landscape(lambda w: torch.sin(theta * w[0]) / theta**2, 1, [(0.0, 8 * period)])
    found = sd.attractors_1d(sd.Flow(loss, sd.SAM(1.0)), [(0.05 * period, 7.05 * period)])
    kinds = np.array(found.kinds)
    assert set(kinds) == {"minimum", "maximum"}
    inside = (found.basins > 0.06 * period).all(axis=1) & (found.basins < 7.04 * period).all(axis=1)
    width = np.diff(found.basins, axis=1)[:, 0]
    share = width[inside & (kinds == "maximum")] / period
    np.testing.assert_allclose(share, math.fmod(theta, 2 * math.pi) / math.pi, atol=1e-9)


@pytest.mark.parametrize("rho", [0.3, 0.7, 1.2, 1.5, 1.9, 2.5])
def test_phase_diagram_of_the_double_well(rho: float) -> None:
    found = sd.attractors_1d(sd.Flow(WELL, sd.SAM(rho)), [(-2, 2)])
    if rho < 1:
        np.testing.assert_allclose(found.x, [-1, 0, 1], atol=1e-12)
        assert found.kinds == ("minimum", "maximum", "minimum")
        np.testing.assert_allclose(found.repellers, [-rho, rho], atol=1e-12)
        assert found.fractions[1] == pytest.approx(rho / 2)
    elif rho < 2:
        np.testing.assert_allclose(found.x, [1 - rho, rho - 1] if rho > 1 else [], atol=1e-12)
        assert set(found.kinds) == {"hallucinated"}
        np.testing.assert_allclose(found.basins, [[-2, 0], [0, 2]], atol=1e-12)
        np.testing.assert_allclose(found.curvature, 2, atol=1e-9)
        np.testing.assert_allclose(found.largest_lr, 1, atol=1e-9)
    else:
        np.testing.assert_allclose(found.x, [-1, 1], atol=1e-12)
        assert found.kinds == ("minimum", "minimum")


def test_barriers_of_the_double_well() -> None:
    found = sd.attractors_1d(sd.Flow(WELL, sd.SAM(1.5)), [(-2, 2)])
    assert found.barriers[0, 1] == pytest.approx((1.5**2 - 1) ** 2 / 4, abs=1e-12)  # 0.390625
    assert found.barriers[0, 1] == pytest.approx(0.390625)


def test_the_tilted_well() -> None:
    one = sd.attractors_1d(sd.Flow(TILTED, sd.SAM(1.0)), [(-3, 3)])
    np.testing.assert_allclose(one.x, [-1.0880339147, -0.1211149338], atol=1e-10)
    assert one.kinds == ("minimum", "hallucinated")
    np.testing.assert_allclose(one.basins[1, 0], 0.2091488484 - 1, atol=1e-9)
    assert abs(float(TILTED.gradient(one.x[1:])[0])) == pytest.approx(0.3193383197, abs=1e-10)
    assert one.largest_lr[1] == pytest.approx(1.5182375872, abs=1e-8)
    both = sd.attractors_1d(sd.Flow(TILTED, sd.SAM(1.5)), [(-2, 2)])
    assert both.kinds == ("hallucinated", "hallucinated")
    np.testing.assert_allclose(both.repellers, [0.2091488484], atol=1e-10)
    np.testing.assert_allclose(both.fractions, [0.5524, 0.4476], atol=4e-4)
    np.testing.assert_allclose(sorted(both.largest_lr), [0.7838669525, 1.5182375872], atol=1e-8)


@pytest.mark.parametrize(("rho", "edge"), [(0.8, None), (1.25, 0.447214), (1.5, 0.577350)], ids=str)
def test_the_pitchfork_of_usam(rho: float, edge: float | None) -> None:
    """On x^4/4 - x^2/2 the maximum attracts for rho > 1, within sqrt(1 - 1/rho)."""
    found = sd.attractors_1d(sd.Flow(QUARTIC, sd.USAM(rho)))
    if edge is None:
        assert found.kinds == ("minimum", "minimum")
    else:
        assert found.kinds == ("minimum", "maximum", "minimum")
        np.testing.assert_allclose(found.basins[1], [-edge, edge], atol=5e-7)
        assert found.curvature[1] == pytest.approx(rho - 1)
        near = [[0.43 if rho < 1.4 else 0.57], [0.46 if rho < 1.4 else 0.58]]
        end = sd.trajectory(sd.Flow(QUARTIC, sd.USAM(rho)), near, t_max=400.0, dt=100.0)[-1, :, 0]
        np.testing.assert_allclose(end, [0, 1], atol=1e-6)


def test_usam_hallucinates_only_beyond_four() -> None:
    assert "hallucinated" not in sd.attractors_1d(sd.Flow(WELL, sd.USAM(3.9))).kinds
    found = sd.attractors_1d(sd.Flow(WELL, sd.USAM(5.0)))
    s = math.sqrt(1 - 4 / 5)
    np.testing.assert_allclose(found.select("hallucinated"), [(-1 - s) / 2, (1 + s) / 2], atol=1e-12)
    at = found.kinds.index("hallucinated")
    assert found.largest_lr[at] == pytest.approx(2 / (5 * s * (s + 3)))
    assert found.largest_lr[at] == pytest.approx(0.2594638, abs=5e-8)


@pytest.mark.parametrize(("rho", "lr"), [(0.7, 0.0934), (0.9, 0.0202)], ids=str)
def test_the_step_at_which_chatter_leaves_the_minimum(rho: float, lr: float) -> None:
    found = sd.attractors_1d(sd.Flow(WELL, sd.SAM(rho)), [(-2, 2)])
    assert found.largest_lr[0] == pytest.approx(lr, abs=6e-5)
    assert found.largest_lr[0] == pytest.approx((1 - rho) / (rho * (1 + rho) * (2 + rho)))
    for factor, stays in ((0.98, True), (1.02, False)):
        step = sd.Map(WELL, sd.SAM(rho), lr=factor * float(found.largest_lr[0]))
        start = np.linspace(-1.001, -0.999, 64)[:, None]
        end = sd.trajectory(step, start, n_steps=20_000, save_every=20_000)[-1]
        assert bool((np.abs(end + 1) < 0.4).all()) == stays
        assert survives(sd.attractors_1d(step, [(-2, 2)]))[0] == stays


def test_convex_losses_have_one_kink() -> None:
    loss = sd.Landscape(lambda w: torch.cosh(w[0] - 0.3), 1, [(-3, 3)])
    found = sd.attractors_1d(sd.Flow(loss, sd.SAM(0.5)))
    np.testing.assert_allclose(found.x, [0.3], atol=1e-12)
    np.testing.assert_allclose(found.slopes, [[-math.sinh(0.5), math.sinh(0.5)]], atol=1e-9)
    assert found.fractions == 1


def test_what_leaves_the_box_belongs_to_no_attractor() -> None:
    found = sd.attractors_1d(sd.Flow(sd.landscapes.quadratic([[-1.0]]), sd.SAM(0.5)), [(-2, 2)])
    np.testing.assert_allclose(found.basins, [[-0.5, 0.5]], atol=1e-12)
    assert found.fractions[0] == pytest.approx(0.25)
    none = sd.attractors_1d(sd.Flow(sd.landscapes.quadratic([[-1.0]]), sd.GD()), [(-2, 2)])
    assert len(none) == 0
    assert none.fractions.shape == (0,)


def test_a_critical_point_where_the_gradient_does_not_change_sign() -> None:
    loss = sd.Landscape(lambda w: w[0] ** 3 / 3 + w[0] ** 4 / 4, 1, [(-2, 2)])
    found = sd.attractors_1d(sd.Flow(loss, sd.GD()))
    np.testing.assert_allclose(found.x, [-1], atol=1e-9)


def test_printing() -> None:
    found = sd.attractors_1d(sd.Flow(GAUSSIANS, sd.SAM(1.0)))
    assert "hallucinated  smooth" in repr(found)
    assert "<table>" in found._repr_html_()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.attractors_1d(sd.Flow(sd.landscapes.beale(), sd.SAM(1))), ValueError, "one-dimensional"),
        (lambda: sd.attractors_1d(WELL), TypeError, "system must be a Map"),
        (
            lambda: sd.attractors_1d(sd.Flow(sd.Landscape(lambda w: w @ w, 1), sd.SAM(1))),
            ValueError,
            "box must be given",
        ),
        (lambda: sd.attractors_1d(sd.Flow(WELL, sd.SAM(1)), [(1, -1)]), ValueError, "lower < upper"),
        (lambda: sd.attractors_1d(sd.Flow(WELL, sd.SAM(1)), resolution=2), ValueError, "resolution must be"),
        (
            lambda: sd.attractors_1d(sd.Map(WELL, sd.WarmStart(sd.SAM(1), 2), lr=0.1)),
            ValueError,
            "constant coefficients",
        ),
    ],
    ids=["plane", "landscape", "no box", "box reversed", "resolution", "schedule"],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()

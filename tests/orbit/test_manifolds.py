"""Stable and unstable manifolds: exact ones, invariance, and the border between basins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd

HENON = sd.Map.from_function(
    lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]),
    2,
    {"a": 1.4, "b": 0.3},
    box=[(-2, 2), (-1, 1)],
    name="Henon",
)
HENON_X = (-0.7 + math.sqrt(0.49 + 4 * 1.4)) / 2.8
HENON_SADDLE = np.array([HENON_X, 0.3 * HENON_X])


def to_polygon(points: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Distance of each point from a polygon."""
    a, d = curve[:-1], np.diff(curve, axis=0)
    t = ((points[:, None] - a) * d).sum(axis=-1) / (d * d).sum(axis=-1)
    return np.linalg.norm(points[:, None] - a - np.clip(t, 0, 1)[..., None] * d, axis=-1).min(axis=1)


def spaced(result: sd.orbit.Manifold, distance: float, angle: float) -> None:
    for arm, arclength in zip(result.points, result.arclength, strict=True):
        step = np.diff(arm, axis=0)
        size = np.linalg.norm(step, axis=1)
        np.testing.assert_allclose(arclength[1:], np.cumsum(size))
        assert size.max() <= distance * (1 + 1e-9)
        inner = size[1:-1] > 0.02 * distance
        inner &= size[:-2] > 0.02 * distance
        cosine = (step[1:-1] * step[:-2]).sum(axis=1) / (size[1:-1] * size[:-2])
        assert (np.arccos(np.clip(cosine[inner], -1, 1)) <= 1.5 * angle).all()


@pytest.mark.parametrize("which", ["unstable", "stable"])
def test_henon(which: str) -> None:
    result = sd.manifold(HENON, HENON_SADDLE, which, length=12, max_distance=0.02)
    assert result.ends == ("length", "length")
    assert result.eigenvalue == pytest.approx({"unstable": -1.92374, "stable": 0.15595}[which], abs=1e-5)
    spaced(result, 0.02, 0.1)
    if which == "stable":  # towards the saddle; errors across the curve grow by 1.92 a step
        z = result.curve
        for _ in range(8):
            z = HENON(z)
        assert np.linalg.norm(z - HENON_SADDLE, axis=1).max() < 1e-4
    # one step along it stays on it: the first third of the length, whose images it still contains
    inner = np.concatenate([arm[s < 3] for arm, s in zip(result.points, result.arclength, strict=True)])
    image = HENON(inner) if which == "unstable" else HENON(result.curve)
    assert to_polygon(image, result.curve).max() < 0.02 * 0.1 / 4


def test_henon_against_the_series_of_its_unstable_manifold() -> None:
    """W(t) with F(W(t)) = W(m t), in powers of t: its coefficients are linear recursions."""
    jacobian = HENON.jacobian(HENON_SADDLE)
    result = sd.manifold(HENON, HENON_SADDLE, length=3.0)
    m, order = result.eigenvalue, 160
    W = np.zeros((order + 1, 2))
    W[0], W[1] = HENON_SADDLE, result.direction
    for k in range(2, order + 1):
        squares = sum(W[i, 0] * W[k - i, 0] for i in range(1, k))
        W[k] = np.linalg.solve(m**k * np.eye(2) - jacobian, [-1.4 * squares, 0.0])
    t = np.linspace(-3, 3, 6000)
    exact = np.stack([np.polyval(W[::-1, i], t) for i in range(2)], axis=1)
    for arm, arclength in zip(result.points, result.arclength, strict=True):
        assert to_polygon(arm[arclength < 1], exact).max() < 1e-5


@pytest.mark.parametrize("which", ["unstable", "stable"])
@pytest.mark.parametrize("name", ["map", "flow"])
def test_linear_saddles_have_straight_manifolds(which: str, name: str) -> None:
    loss = sd.landscapes.quadratic([[1.0, 2.0], [2.0, -1.0]])
    system = sd.Map(loss, sd.USAM(0.05), lr=0.1) if name == "map" else sd.Flow(loss, sd.USAM(0.05))
    result = sd.manifold(system, [0.0, 0.0], which, length=3.0)
    vectors = np.linalg.eigh([[1.0, 2.0], [2.0, -1.0]])[1]
    axis = vectors[:, 0 if which == "unstable" else 1]
    for arm in result.points:
        np.testing.assert_allclose(arm @ [-axis[1], axis[0]], 0, atol=1e-9)
        assert np.linalg.norm(arm[-1]) == pytest.approx(3.0, abs=0.01)
    np.testing.assert_allclose(np.abs(result.direction @ axis), 1)
    assert result.ends == ("length", "length")


@pytest.mark.parametrize("name", ["map", "flow"])
def test_the_border_between_two_wells(name: str) -> None:
    loss = sd.Landscape(
        lambda w: (w[0] ** 2 - 1) ** 2 / 4 + (w[1] - w[0] ** 2) ** 2 + 0.2 * w[0] * w[1],
        2,
        [(-2, 2), (-1.5, 2)],
        name="bent wells",
    )
    system = sd.Flow(loss, sd.GD()) if name == "flow" else sd.Map(loss, sd.GD(), lr=0.1)
    saddle = [0.0, 0.0]
    flow = sd.Flow(loss, sd.GD())
    if name == "flow":
        border = sd.manifold(system, saddle, "stable", box=[(-1.5, 1.5), (-1.2, 1.6)])
        tangent = np.gradient(border.curve, axis=0)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        normal *= 2e-3 / np.linalg.norm(normal, axis=1, keepdims=True)
        pick = np.linspace(5, len(border.curve) - 6, 12).astype(int)
        start = np.stack([border.curve[pick] + normal[pick], border.curve[pick] - normal[pick]])
        ends = np.sign(sd.trajectory(flow, start, t_max=12.0, dt=12.0)[-1, ..., 0])
        assert (ends[0] * ends[1] == -1).all()
    out = sd.manifold(system, saddle, "unstable")
    assert out.ends == ("fixed point", "fixed point")
    minima = sd.trajectory(flow, [[-1.0, 1.0], [1.0, 1.0]], t_max=30.0, dt=30.0)[-1]
    tips = sorted((arm[-1] for arm in out.points), key=lambda x: x[0])
    np.testing.assert_allclose(tips, minima, atol=2e-3)


def test_symmetric_arms() -> None:
    flow = sd.Flow(sd.landscapes.coupled_double_well(), sd.GD())
    for which in ("stable", "unstable"):
        one, other = sd.manifold(flow, [0.0, 0.0], which).points
        np.testing.assert_allclose(one, -other, atol=1e-6)


def test_a_hallucinated_saddle_of_sam() -> None:
    """Its unstable manifold runs to points that trap, where the field jumps."""
    flow = sd.Flow(sd.landscapes.himmelblau(), sd.SAM(1.0))
    points = sd.fixed_points(flow)
    saddle = next(p for p in points.select(kind="hallucinated") if p.stability == "saddle")
    out = sd.manifold(flow, saddle)
    assert out.ends == ("fixed point", "fixed point")
    trapping = points.select(stability="trapping").x
    for arm in out.points:
        assert np.linalg.norm(trapping - arm[-1], axis=1).min() < 1e-5


def test_a_map_that_is_not_invertible() -> None:
    """Gradient descent with steps beyond 1/curvature folds the plane: an arm that meets the fold says so."""
    step = sd.Map(sd.landscapes.beale(), sd.GD(), lr=1e-3)
    result = sd.manifold(step, [0.0, 1.0], "stable", length=1.5, max_distance=0.2)
    assert "fold" in result.ends
    z = result.curve
    for _ in range(300):
        z = step(z)
    assert np.linalg.norm(z - [0.0, 1.0], axis=1).max() < 2e-3


def test_the_strong_manifold_of_a_source() -> None:
    flow = sd.Flow(sd.landscapes.quadratic(np.diag([-1.0, -3.0])), sd.GD())
    with pytest.raises(ValueError, match="must be one direction, got 2"):
        sd.manifold(flow, [0.0, 0.0], length=1.0)
    fast = sd.manifold(flow, [0.0, 0.0], length=1.0, strong=True)
    assert fast.eigenvalue == pytest.approx(3)
    np.testing.assert_allclose(np.abs(fast.direction), [0, 1], atol=1e-12)


def test_a_cycle_and_a_map_with_momentum() -> None:
    logistic = sd.Map.from_function(
        lambda w: torch.stack([3.3 * w[0] * (1 - w[0]), 0.2 * w[1] + w[0] ** 2]), 2, box=[(0, 1), (0, 2)]
    )
    inner = sd.manifold(logistic, sd.fixed_points(logistic).points[-1], "unstable")
    assert max(len(arm) for arm in inner.points) > 10
    ball = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1, momentum=0.5)
    result = sd.manifold(ball, [0.0], "unstable", length=2.0, box=[(-2, 2)])
    assert result.curve.shape[1] == 2
    tips = sorted(arm[-1, 0] for arm in result.points)
    np.testing.assert_allclose(tips, [-1, 1], atol=0.05)


def test_printing_and_a_phase_portrait() -> None:
    flow = sd.Flow(sd.landscapes.coupled_double_well(), sd.GD())
    result = sd.manifold(flow, [0.0, 0.0], "stable")
    assert "left the box" in repr(result)
    assert "<table>" in result._repr_html_()
    ax = result.plot()
    (line,) = [line for line in ax.get_lines() if line.get_gid() == "stable manifold"]
    np.testing.assert_array_equal(line.get_xydata(), result.curve)


FLOW = sd.Flow(sd.landscapes.beale(), sd.GD())
SOURCE = sd.Flow.from_function(lambda w: torch.stack([w[0] - w[1], w[0] + w[1], -w[2]]), dim=3)
JUMPING = sd.Flow(sd.landscapes.beale(), sd.SAM(0.1))
BOXLESS = sd.Flow(sd.Landscape(lambda w: -(w @ w), 2), sd.GD())


@pytest.mark.parametrize(
    ("system", "point", "options", "error", "match"),
    [
        (FLOW, [0.0, 0.9], {}, ValueError, r"must be a fixed point .* where \|velocity\| = "),
        (FLOW, [3.0, 0.5], {}, ValueError, "must have an unstable direction"),
        (FLOW, [0.0, 1.0], {"which": "sideways"}, ValueError, "which must be"),
        (FLOW, [0.0, 1.0], {"length": -1}, ValueError, "length must be"),
        (FLOW, [0.0, 1.0], {"max_angle": 0}, ValueError, "max_angle must be"),
        (FLOW, [0.0, 1.0], {"max_distance": 0}, ValueError, "max_distance must be"),
        (FLOW, [0.0, 1.0], {"box": [(1, 0), (0, 1)]}, ValueError, "lower < upper"),
        (FLOW, [0.0], {}, ValueError, "x must have shape"),
        (sd.landscapes.beale(), [0.0, 1.0], {}, TypeError, "system must be a Map"),
        (JUMPING, [0.0, 1.0], {}, ValueError, "jumps and the point has no manifolds"),
        (SOURCE, [0.0, 0.0, 0.0], {"length": 1.0, "strong": True}, ValueError, "complex pair"),
        (BOXLESS, [0.0, 0.0], {}, ValueError, "length or box must be given"),
    ],
    ids=[
        "not-fixed",
        "direction",
        "which",
        "length",
        "angle",
        "distance",
        "box",
        "shape",
        "landscape",
        "jump",
        "complex",
        "boxless",
    ],
)
def test_bad_input(
    system: Any, point: list[float], options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        sd.manifold(system, point, **options)

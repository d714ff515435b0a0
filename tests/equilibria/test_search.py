"""Fixed points: all of them, once, of the right kind and stability; hallucinated ones; cycles; traps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import problems
import pytest
import torch

import samdyn as sd

WELL = sd.landscapes.double_well()

ISOLATED = {
    name: loss
    for name, loss in problems.catalogue().items()
    if loss.critical_points and all(p.kind != "degenerate" for p in loss.critical_points)
}


@pytest.mark.parametrize("name", ISOLATED)
def test_critical_points_of_the_catalogue_under_gd(name: str) -> None:
    loss = ISOLATED[name]
    found = sd.fixed_points(sd.Flow(loss, sd.GD()))
    expected = sorted((p.x, p.kind) for p in loss.critical_points)
    isolated = [p for p in found if p.dimension == 0]
    assert len(isolated) == len(expected)
    for x, kind in expected:
        nearest = min(isolated, key=lambda p: float(np.linalg.norm(p.x - x)))
        np.testing.assert_allclose(nearest.x, x, atol=1e-6)
        assert nearest.kind == kind
        assert (
            nearest.stability == {"minimum": "attracting", "saddle": "saddle", "maximum": "repelling"}[kind]
        )
        assert nearest.residual < 1e-8 * (1 + np.abs(nearest.eigenvalues).max())


@pytest.mark.parametrize("rho", [1.25, 1.5])
def test_hallucinated_points_of_usam(rho: float) -> None:
    # x + rho f'(x) = c with c a critical point: x = +-sqrt(1 - 1/rho) looks at 0; others look at +-1
    found = sd.fixed_points(sd.Flow(WELL, sd.USAM(rho)))
    real = [
        root.real for c in (-1, 0, 1) for root in np.roots([rho, 0, 1 - rho, -c]) if abs(root.imag) < 1e-9
    ]
    expected = np.unique(np.round(np.array(real), 8))
    np.testing.assert_allclose(found.x[:, 0][np.argsort(found.x[:, 0])], expected, atol=1e-7)
    edge = math.sqrt(1 - 1 / rho)
    looking_at_zero = [p for p in found if abs(abs(p.x[0]) - edge) < 1e-8]
    assert len(looking_at_zero) == 2
    for point in looking_at_zero:
        assert (point.kind, point.stability) == ("hallucinated", "repelling")
        assert point.eigenvalues[0] == pytest.approx(2 * (rho - 1), rel=1e-8)
    assert found.select(kind="maximum")[0].stability == "attracting"


def test_there_are_none_below_the_critical_radius() -> None:
    found = sd.fixed_points(sd.Flow(WELL, sd.USAM(0.8)))
    assert [p.kind for p in found] == ["minimum", "maximum", "minimum"]
    assert [p.stability for p in found] == ["attracting", "repelling", "attracting"]


def test_hallucinated_points_of_the_first_order_field() -> None:
    found = sd.fixed_points(sd.Flow(WELL, sd.USAM(1.25), form="first-order")).select(kind="hallucinated")
    np.testing.assert_allclose(found.x[:, 0], [-0.258199, 0.258199], atol=1e-6)  # sqrt((1 - 1/rho)/3)


def test_hallucinated_points_of_normalised_sam() -> None:
    found = sd.fixed_points(sd.Flow(problems.line_saddle(), sd.SAM(0.5)), box=[(-2, 2)])
    assert [(p.kind, p.stability) for p in found.select(kind="hallucinated")] == [
        ("hallucinated", "repelling")
    ] * 2
    np.testing.assert_allclose(found.select(kind="hallucinated").x[:, 0], [-0.5, 0.5])
    (top,) = found.select(kind="maximum")
    assert top.stability == "trapping"
    assert top.capture_radius == pytest.approx(0.5, rel=0.15)
    assert top.capture_radius <= 0.5 * (1 + 1e-9)
    assert top.chatter_radius == 0


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.02), sd.SAM(0.05)], ids=repr)
def test_every_view_has_the_same_points(rule: sd.Rule) -> None:
    loss = sd.landscapes.beale()
    # the default number of starts is in `test_beale_under_sam`
    flow = sd.fixed_points(sd.Flow(loss, rule), n_starts=256)
    step = sd.fixed_points(sd.Map(loss, rule, lr=1e-3), n_starts=256)
    sde = sd.fixed_points(sd.Diffusion(loss, rule, lr=1e-3, noise=sd.GaussianNoise()), n_starts=256)
    np.testing.assert_allclose(step.x, flow.x, atol=1e-8)
    np.testing.assert_allclose(sde.x, flow.x, atol=1e-8)
    assert [p.kind for p in step] == [p.kind for p in flow] == [p.kind for p in sde]


def test_beale_under_sam() -> None:
    found = sd.fixed_points(sd.Map(sd.landscapes.beale(), sd.SAM(0.5), lr=1e-4))
    saddle = min(found, key=lambda p: float(np.linalg.norm(p.x - problems.BEALE_SADDLE)))
    assert (saddle.kind, saddle.stability) == ("saddle", "trapping")
    assert saddle.capture_radius > 0.01
    assert 5e-4 < saddle.chatter_radius < 5e-3  # rms 8.7e-4
    assert np.isnan(saddle.eigenvalues).all()


@pytest.mark.parametrize("size", [0.4, 0.7, 1.5, 3.0])
def test_a_map_traps_within_the_window(size: float) -> None:
    low, high = problems.TRAPPED_WINDOW
    loss = sd.landscapes.quadratic([[3.0, 0.0], [0.0, -size]])
    (point,) = sd.fixed_points(sd.Map(loss, sd.SAM(0.05), lr=0.1), box=[(-1, 1)] * 2).select(kind="saddle")
    assert (point.stability == "trapping") == (low < size < high)


def test_the_capture_ball_is_forward_invariant() -> None:
    loss = sd.landscapes.embedded_saddle()
    (point,) = sd.fixed_points(sd.Flow(loss, sd.SAM(0.3))).select(kind="saddle")
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    start = 0.98 * point.capture_radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    end = sd.trajectory(sd.Flow(loss, sd.SAM(0.3)), start, t_max=30.0, dt=0.05)[-1]
    np.testing.assert_allclose(end, 0, atol=1e-9)


# ---------------------------------------------------------------------- cycles, families, functions


def test_the_two_cycle_of_normalised_sam() -> None:
    step = sd.Map(sd.landscapes.quadratic(np.diag(problems.CYCLE_HESSIAN)), sd.SAM(0.05), lr=0.1)
    found = sd.fixed_points(step, box=[(-0.1, 0.1)] * 3, period=2)
    (top,) = [p for p in found if p.stability == "attracting"]
    np.testing.assert_allclose(np.abs(top.x), [problems.CYCLE_AMPLITUDE, 0, 0], atol=1e-8)
    assert (top.kind, top.period) == ("cycle", 2)
    np.testing.assert_allclose(top.points[0], -top.points[1], atol=1e-12)
    # multipliers of one period: squares of those across the cycle, and (1 - lr lambda)^2 along it
    np.testing.assert_allclose(
        np.sort(np.abs(top.eigenvalues)), np.sort([0.7**2, 0.711111**2, 0.972444**2]), atol=1e-5
    )


def test_cycles_of_the_logistic_map() -> None:
    step = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 3.2}, box=[(0.0, 1.0)])
    points = sd.fixed_points(step)
    np.testing.assert_allclose(points.x[:, 0], [0, 1 - 1 / 3.2], atol=1e-10)
    assert [p.stability for p in points] == ["repelling", "repelling"]
    (cycle,) = sd.fixed_points(step, period=2)
    r = 3.2
    root = math.sqrt((r - 3) * (r + 1))
    np.testing.assert_allclose(
        np.sort(cycle.points[:, 0]), [(r + 1 - root) / (2 * r), (r + 1 + root) / (2 * r)], atol=1e-10
    )
    assert cycle.stability == "attracting"
    assert cycle.eigenvalues[0] == pytest.approx(4 + 2 * r - r**2)
    assert len(sd.fixed_points(step.with_parameters(r=3.9), period=3)) == 2


def test_a_valley_is_one_entry() -> None:
    found = sd.fixed_points(sd.Flow(sd.landscapes.widening_valley(), sd.GD()))
    (floor,) = found
    assert (floor.kind, floor.dimension) == ("degenerate", 1)
    np.testing.assert_allclose(floor.points[:, 0], 0, atol=1e-8)
    assert np.ptp(floor.points[:, 1]) > 1.5


def test_no_fixed_points() -> None:
    found = sd.fixed_points(sd.Flow(problems.constant_drift(1.0, 0.5), sd.GD()), box=[(-1, 1)] * 2)
    assert len(found) == 0
    assert found.x.shape == (0, 2)
    assert "0 in the box" in repr(found)


def test_points_outside_the_box_are_left_out() -> None:
    found = sd.fixed_points(sd.Flow(WELL, sd.GD()), box=[(-0.5, 1.5)])
    np.testing.assert_allclose(found.x[:, 0], [0, 1], atol=1e-12)


def test_a_point_on_the_edge_of_the_box_is_found() -> None:
    found = sd.fixed_points(sd.Flow(WELL, sd.GD()), box=[(0.0, 1.0)])
    np.testing.assert_allclose(found.x[:, 0], [0, 1], atol=1e-9)


def test_selection_and_text() -> None:
    found = sd.fixed_points(sd.Flow(WELL, sd.GD()))
    assert len(found.select(kind="minimum")) == len(found.select(stability="attracting")) == 2
    assert len(found.select(kind="minimum", stability="repelling")) == 0
    assert found[0] in list(found)
    assert len(found[:2]) == 2
    assert "minimum" in repr(found)
    assert found._repr_html_().count("<tr>") == 4


SPIRAL = sd.Flow.from_function(lambda w: torch.stack([w[1], -w[0]]), dim=2)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.fixed_points(WELL), TypeError, "system must be a Map, a Flow or a Diffusion"),
        (lambda: sd.fixed_points(SPIRAL), ValueError, "box must be given"),
        (lambda: sd.fixed_points(SPIRAL, box=[(-1, 1)]), ValueError, "box must be a sequence of 2"),
        (lambda: sd.fixed_points(SPIRAL, box=[(-1, 1), (1, -1)]), ValueError, "box must have lower < upper"),
        (lambda: sd.fixed_points(SPIRAL, box=[(-1, 1), (0, math.inf)]), ValueError, "box must be finite"),
        (
            lambda: sd.fixed_points(sd.Flow(WELL, sd.GD()), period=2),
            ValueError,
            "period must be 1 for a Flow",
        ),
        (
            lambda: sd.fixed_points(sd.Map(WELL, sd.GD(), lr=0.1), period=0),
            ValueError,
            "period must be an integer >= 1, got 0",
        ),
        (
            lambda: sd.fixed_points(sd.Flow(WELL, sd.GD()), n_starts=0),
            ValueError,
            "n_starts must be an integer >= 1, got 0",
        ),
        (
            lambda: sd.fixed_points(sd.Flow(WELL, sd.GD()), tolerance=0.0),
            ValueError,
            "tolerance must be a finite number > 0",
        ),
        (
            lambda: sd.fixed_points(sd.Map(WELL, sd.SAM(sd.schedules.PowerDecay(0.1)), lr=0.1)),
            ValueError,
            "system must have constant coefficients",
        ),
        (
            lambda: sd.fixed_points(sd.Map(WELL, sd.GD(), lr=sd.schedules.PowerDecay(0.1))),
            ValueError,
            "system must have constant coefficients",
        ),
    ],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


# ---------------------------------------------------------------------- completeness, families, infinities


@pytest.mark.parametrize(
    ("loss", "n"),
    [
        (sd.landscapes.himmelblau(), 9),
        (sd.landscapes.six_hump_camel(), 15),
        (sd.landscapes.mueller_brown(), 5),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_all_critical_points_in_one_call(loss: sd.Landscape, n: int) -> None:
    found = sd.fixed_points(sd.Flow(loss, sd.GD()))
    assert len(found) == len(found.genuine) == n
    assert len(found.hallucinated) == len(found.families) == 0
    coverage = found.coverage["genuine"]
    assert coverage.counts.min() >= 10
    assert coverage.unseen == coverage.missed == 0
    assert coverage.unseen_bound < 0.01
    assert "Coverage: " in repr(found)
    assert not found.certified  # nobody asked


def test_equilibria_of_the_thomas_flow() -> None:
    found = sd.fixed_points(problems.thomas_flow())
    assert len(found) == 63
    index = np.array([(p.eigenvalues.real > 0).sum() for p in found])
    far = np.abs(np.linalg.norm(found.x, axis=1) - 4.06585) < 1e-5
    assert far.sum() == 6
    assert (index[far] == 1).all()
    assert max(p.residual for p in found) < 1e-12


def test_genuine_and_hallucinated_points_are_told_apart() -> None:
    found = sd.fixed_points(sd.Flow(sd.landscapes.himmelblau(), sd.SAM(0.5)))
    loss = found.system.landscape
    assert np.linalg.norm(loss.gradient(found.genuine.x), axis=1).max() < 1e-10
    assert np.linalg.norm(loss.gradient(found.hallucinated.x), axis=1).min() > 0.1
    ahead = found.hallucinated.x + 0.5 * loss.gradient(found.hallucinated.x) / np.linalg.norm(
        loss.gradient(found.hallucinated.x), axis=1, keepdims=True
    )
    assert np.linalg.norm(loss.gradient(ahead), axis=1).max() < 1e-10
    assert len(found.genuine) + len(found.hallucinated) == len(found) == 21
    assert set(found.coverage) == {"genuine", "hallucinated"}


def test_deflation_finds_what_the_starts_miss() -> None:
    # 512 starts on a line of 5 zeros of very different basins: two dents of width 1e-2 beside a bowl
    loss = sd.Landscape(
        lambda w: (w**2).sum() / 2 + 0.1 * torch.exp(-((w - 1) ** 2).sum() / 2e-4), 1, box=[(-40, 40)]
    )
    found = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=512)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("loss", "dimension", "n_families", "n_isolated"),
    [
        (sd.landscapes.ring(2), 1, 1, 1),
        (sd.landscapes.ring(3), 2, 1, 1),
        (sd.landscapes.product(), 1, 2, 1),
        (sd.landscapes.uv(0.0), 1, 2, 1),
        (sd.landscapes.serpentine(), 1, 1, 0),
        (sd.landscapes.widening_valley(), 1, 1, 0),
        (sd.landscapes.monkey_saddle(), 0, 0, 1),
        (sd.Landscape(lambda w: (w**4).sum(), 2, box=[(-1, 1)] * 2, name="quartic"), 0, 0, 1),
        (sd.Landscape(lambda w: (w @ w - 1) ** 2 + w[2] ** 2, 3, box=[(-2, 2)] * 3, name="circle"), 1, 1, 3),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_families_are_one_entry(loss: sd.Landscape, dimension: int, n_families: int, n_isolated: int) -> None:
    found = sd.fixed_points(sd.Flow(loss, sd.GD()))
    assert [p.dimension for p in found.families] == [dimension] * n_families
    assert len(found) == n_families + n_isolated
    for family in found.families:
        assert len(family.points) > 20
        assert np.linalg.norm(loss.gradient(family.points), axis=1).max() < 1e-8
        assert (family.kind, family.stability) == ("degenerate", "marginal")
    if n_families == 0:
        assert found[0].kind == "degenerate"
        assert found[0].stability == "marginal"


@pytest.mark.parametrize("power", [4, 6])
def test_an_isolated_flat_point_is_no_family(power: int) -> None:
    loss = sd.Landscape(lambda w: w[0] ** 2 + w[1] ** power, 2, [(-1, 1), (-1, 1)])
    (point,) = sd.fixed_points(sd.Flow(loss, sd.GD()))
    assert (point.dimension, point.kind, point.stability) == (0, "degenerate", "marginal")
    np.testing.assert_allclose(point.x, 0, atol=1e-3)
    assert "a set of dimension" not in repr(point)


def test_a_small_ring_is_a_family() -> None:
    # far smaller than the spacing of samples along a family
    loss = sd.Landscape(lambda w: (w @ w / 1e-4 - 1) ** 2 + w @ w, 2, [(-2, 2), (-2, 2)])
    found = sd.fixed_points(sd.Flow(loss, sd.GD()))
    assert [p.dimension for p in found.families] == [1]
    # 4 (r^2/s - 1) r/s + 2 r = 0 at r^2 = s - s^2/2
    radius = np.linalg.norm(found.families[0].points, axis=1)
    np.testing.assert_allclose(radius**2, 1e-4 - 0.5e-8, rtol=1e-6)


@pytest.mark.parametrize("make", [sd.Flow, lambda f, r: sd.Map(f, r, 0.1)], ids=["flow", "map"])
def test_a_flat_endpoint_leaves_the_hallucinated_point_marginal(make: Any) -> None:
    system = make(sd.Landscape(lambda w: -(w[0] ** 4), 1, [(-1, 1)]), sd.SAM(0.2))
    found = sd.fixed_points(system).hallucinated
    np.testing.assert_allclose(found.x[:, 0], [-0.2, 0.2], atol=1e-9)
    assert [p.stability for p in found] == ["marginal", "marginal"]


def test_infinities_in_the_box_are_counted() -> None:
    loss = sd.Landscape(lambda w: (w[0] - 1) ** 2 + 1 / torch.relu(w[0]), 1, box=[(-2, 2)], name="wall")
    found = sd.fixed_points(sd.Flow(loss, sd.GD()))
    assert len(found) == 1
    assert found[0].x[0] == pytest.approx(float(np.roots([2, -2, 0, -1])[0].real))
    coverage = found.coverage["genuine"]
    assert coverage.n_undefined / coverage.n_starts == pytest.approx(0.5, abs=0.01)
    assert "infinite or nan at" in repr(found)


def test_a_logarithm_in_the_box() -> None:
    loss = sd.Landscape(lambda w: w[0] - torch.log(w[0]), 1, box=[(-1, 3)], name="logarithm")
    found = sd.fixed_points(sd.Flow(loss, sd.GD()), certify=True)
    np.testing.assert_allclose(found.x, [[1.0]], atol=1e-12)


@pytest.mark.parametrize(
    ("box", "match"),
    [
        ([(0, 0), (0, 1)], "box must have lower < upper"),
        ([(1, -1), (0, 1)], "box must have lower < upper"),
        ([(0, math.nan), (0, 1)], "box must be finite"),
        ([(1, 1 + 1e-16), (0, 1)], "box must have lower < upper"),
        ([(1, 1 + 1e-14), (0, 1)], "box must be wider than rounding"),
    ],
)
def test_bad_boxes(box: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        sd.fixed_points(sd.Flow(sd.landscapes.himmelblau(), sd.SAM(0.1)), box=box)


def test_a_loss_that_is_nan_everywhere() -> None:
    with pytest.raises(ValueError, match="function must have values in its box, got"):
        sd.Landscape(lambda w: torch.log(-w @ w), 2, box=[(-1, 1)] * 2)


@pytest.mark.parametrize("rule", [sd.GD(), sd.SAM(0.1)], ids=repr)
def test_a_loss_that_is_nowhere_finite(rule: sd.Rule) -> None:
    loss = sd.Landscape(lambda w: (w @ w) * math.inf, 2, box=[(-1, 1)] * 2)
    with pytest.raises(ValueError, match="system must be finite in the box, got infinity or nan at all 2048"):
        sd.fixed_points(sd.Flow(loss, rule))

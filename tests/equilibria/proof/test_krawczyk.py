"""Proofs about fixed points: box images, certificates, completeness, and what stays undecided."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import problems
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import samdyn as sd
from samdyn.equilibria.proof.enclosure import critical_field, image_function, map_image, zero_field
from samdyn.equilibria.proof.krawczyk import certificates, exhaust
from samdyn.equilibria.proof.unit_vectors import direction_cover, tangent_projector, unit_range
from samdyn.equilibria.search import displacement_of
from samdyn.numerics import interval as iv

RULES = [sd.GD(), sd.USAM(0.05), sd.SAM(0.3), sd.UnifiedSAM(0.2, 0.5)]
HIMMELBLAU, CAMEL = sd.landscapes.himmelblau(), sd.landscapes.six_hump_camel()


def boxes_in(box: np.ndarray, n: int, seed: int, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of widths from 1e-6 to 0.5, the first of which hold the points `around`."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(box[:, 0], box[:, 1], (n, len(box)))
    width = 10 ** rng.uniform(-6, np.log10(0.5), (n, 1)) * rng.random((n, len(box)))
    high = low + width
    low[: len(around)] = around - 0.05 * rng.random(around.shape)
    high[: len(around)] = around + 0.05 * rng.random(around.shape)
    return low, high


def assert_inside(points: np.ndarray, image: iv.Interval) -> None:
    slack = 1e-12 * (1 + np.abs(points))
    assert ((points >= image.lower - slack) & (points <= image.upper + slack)).all()


# ---------------------------------------------------------------------- images of boxes


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_points_of_a_box_land_in_its_image(rule: sd.Rule, momentum: float) -> None:
    step = sd.Map(HIMMELBLAU, rule, lr=1e-3, momentum=momentum)
    critical = np.array([p.x for p in HIMMELBLAU.critical_points])
    low, high = boxes_in(HIMMELBLAU.box, 300, 1, critical)
    if momentum:
        v = np.random.default_rng(2).normal(size=low.shape)
        low, high = np.concatenate([low, v], axis=1), np.concatenate([high, v + 0.1 * (high - low)], axis=1)
    image = map_image(step, low, high)
    share = np.random.default_rng(3).random((60, *low.shape))
    share[0], share[1] = 0.0, 1.0
    landed = step(low + share * (high - low))
    assert_inside(landed, image)
    # small boxes away from critical points are bounded tightly
    fine = ((high - low).max(axis=1) < 1e-3) & (np.arange(len(low)) >= 9)
    spread = (landed.max(axis=0) - landed.min(axis=0))[fine]
    assert np.median((image.upper - image.lower)[fine] / np.maximum(spread, 1e-300)) < 1.5


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.floats(-2, 2), st.floats(-1, 1), st.floats(1e-4, 0.5), st.integers(0, 1000))
def test_images_of_boxes_inside_boxes(x: float, y: float, width: float, seed: int) -> None:
    image = IMAGE_OF_CAMEL
    low = np.array([[x, y]])
    high = low + width
    rng = np.random.default_rng(seed)
    ends = np.sort(low + rng.random((2, 2)) * width, axis=0)
    outer, inner = image(low, high), image(ends[:1], ends[1:])
    inside = STEP_OF_CAMEL(ends[0] + rng.random((40, 2)) * (ends[1] - ends[0]))
    assert_inside(inside, inner)
    assert_inside(inside, outer)
    assert_inside(STEP_OF_CAMEL(low + rng.random((40, 2)) * width), outer)
    assert (inner.upper - inner.lower <= 1.2 * (outer.upper - outer.lower)).all()


STEP_OF_CAMEL = sd.Map(CAMEL, sd.SAM(0.2), lr=0.01)
IMAGE_OF_CAMEL = image_function(STEP_OF_CAMEL)


@pytest.mark.parametrize("rule", [sd.SAM(0.3), sd.UnifiedSAM(0.4, 0.5)], ids=repr)
def test_all_directions_at_a_critical_point(rule: sd.Rule) -> None:
    z = np.array([3.0, 2.0])
    image = map_image(sd.Map(HIMMELBLAU, rule, lr=0.001), z - 1e-9, z + 1e-9)
    angle = np.linspace(0, 2 * np.pi, 400)
    u = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for size in (0.0, 0.5, 1.0):
        landed = z - 0.001 * HIMMELBLAU.gradient(
            z + size * rule.coefficients().get("lam", 1.0) * rule.rho * u
        )
        assert_inside(landed, iv.Interval(image.lower - 1e-7, image.upper + 1e-7))
    width = landed.max(axis=0) - landed.min(axis=0)
    assert ((image.upper - image.lower)[0] < 1.5 * width).all()


def test_images_of_functions_and_other_rules() -> None:
    henon = sd.Map.from_function(
        lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]), 2, {"a": 1.4, "b": 0.3}
    )
    low, high = boxes_in(np.array([[-1.5, 1.5], [-0.5, 0.5]]), 200, 4, np.empty((0, 2)))
    share = np.random.default_rng(5).random((40, *low.shape))
    assert_inside(henon(low + share * (high - low)), map_image(henon, low, high))

    @dataclasses.dataclass(frozen=True)
    class Halfway(sd.Rule):
        rho: float

        def perturbation(
            self, x: torch.Tensor, gradient: torch.Tensor, rho: Any = 0.0, **_: Any
        ) -> torch.Tensor:
            return rho * torch.tanh(gradient)

    step = sd.Map(HIMMELBLAU, Halfway(0.1), lr=1e-3)
    image = map_image(step, low, high)
    assert_inside(step(low + share * (high - low)), image)
    assert np.isfinite(image.lower).all()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: map_image(sd.Flow(CAMEL, sd.GD()), [0, 0], [1, 1]), TypeError, "system must be a Map"),
        (lambda: map_image(STEP_OF_CAMEL, [0, 1], [1, 0]), ValueError, "lower must be below upper"),
        (lambda: map_image(STEP_OF_CAMEL, [0.0], [1.0]), ValueError, "lower must have shape"),
        (lambda: map_image(STEP_OF_CAMEL, [0, 0], [1, math.nan]), ValueError, "upper must be finite"),
        (
            lambda: map_image(sd.Map(CAMEL, sd.GD(), lr=sd.schedules.PowerDecay(0.1)), [0, 0], [1, 1]),
            ValueError,
            "constant coefficients",
        ),
    ],
)
def test_bad_boxes(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_range_of_unit_vectors(dim: int) -> None:
    rng = np.random.default_rng(dim)
    low = rng.normal(size=(300, dim))
    low[:50] = np.abs(low[:50]) * -0.3  # with 0 inside
    high = low + rng.exponential(0.5, (300, dim))
    high[:50] = np.abs(high[:50])
    low[50:60], high[50:60] = 0.0, rng.random((10, dim))  # 0 at a corner
    unit = unit_range(iv.Interval(low, high))
    g = low + rng.random((200, *low.shape)) * (high - low)
    u = g / np.linalg.norm(g, axis=-1, keepdims=True)
    assert_inside(u, unit)
    assert (np.abs(unit.lower) <= 1).all()
    P = tangent_projector(unit)
    exact = np.eye(dim) - u[..., :, None] * u[..., None, :]
    assert ((exact >= P.lower - 1e-12) & (exact <= P.upper + 1e-12)).all()
    point = unit_range(iv.Interval(low[100:], low[100:]))
    np.testing.assert_allclose(point.lower, point.upper, atol=1e-13)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_directions_are_covered(dim: int) -> None:
    u = np.random.default_rng(0).normal(size=(2000, dim))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    for points, cover in ((u, direction_cover(dim, True)), (u * 0.6, direction_cover(dim, False))):
        inside = (points[:, None] >= cover.lower) & (points[:, None] <= cover.upper)
        assert inside.all(axis=2).any(axis=1).all()


# ---------------------------------------------------------------------- certificates


def test_certificates_of_a_quadratic_reach_everywhere() -> None:
    loss = sd.landscapes.quadratic([[2.0, 0.0], [0.0, -1.0]])
    proof = sd.certificate(sd.Flow(loss, sd.GD()), [0.0, 0.0])
    assert proof is not None
    assert proof.existence_radius < 1e-15
    assert proof.uniqueness_radius == pytest.approx(1.0)
    assert "the only one within" in repr(proof)


def test_a_certificate_of_an_inexact_point_reaches_the_zero() -> None:
    exact = sd.fixed_points(sd.Flow(HIMMELBLAU, sd.GD())).select(kind="maximum")[0].x
    off = exact + np.array([1e-7, -2e-7])
    proof = sd.certificate(sd.Flow(HIMMELBLAU, sd.GD()), off)
    assert proof is not None
    assert 2e-7 <= proof.existence_radius < 3e-7
    assert proof.uniqueness_radius > 0.1


def test_the_uniqueness_radius_ends_before_the_next_point() -> None:
    points = sd.fixed_points(sd.Flow(HIMMELBLAU, sd.SAM(0.5)), certify=True)
    for group in (points.genuine, points.hallucinated):
        for p in group:
            assert p.certificate is not None
            others = [np.abs(q.x - p.x).max() for q in group if q is not p]
            assert p.certificate.uniqueness_radius < min(others)
            assert p.certificate.existence_radius < 1e-12
    same = sd.certificate(points.system, points.hallucinated[0])
    assert same is not None
    assert same.uniqueness_radius > 0.01


def test_degenerate_points_have_no_certificate() -> None:
    assert sd.certificate(sd.Flow(sd.landscapes.monkey_saddle(), sd.GD()), [0.0, 0.0]) is None
    assert sd.certificate(sd.Flow(sd.landscapes.ring(2), sd.GD()), [1.0, 0.0]) is None


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.certificate(CAMEL, [0, 0]), TypeError, "system must be a Map, a Flow or a Diffusion"),
        (
            lambda: sd.certificate(sd.Flow(HIMMELBLAU, sd.GD()), [3.0, 2.1]),
            ValueError,
            "a Newton step moves by 0.0",
        ),
        (
            lambda: sd.certificate(sd.Flow(HIMMELBLAU, sd.GD()), [[3.0, 2.0]]),
            ValueError,
            "x must be one point",
        ),
        (
            lambda: sd.certificate(sd.Map(CAMEL, sd.GD(), lr=sd.schedules.PowerDecay(0.1)), [0, 0]),
            ValueError,
            "constant coefficients",
        ),
    ],
)
def test_bad_points(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


# ---------------------------------------------------------------------- completeness


@pytest.mark.parametrize(
    ("loss", "rule", "genuine", "hallucinated"),
    [
        (HIMMELBLAU, sd.GD(), 9, 0),
        (CAMEL, sd.GD(), 15, 0),
        (sd.landscapes.mueller_brown(), sd.GD(), 5, 0),
        (HIMMELBLAU, sd.USAM(0.02), 9, 2),
        (HIMMELBLAU, sd.SAM(1.0), 9, 12),  # the maximum and a saddle are almost this far apart
        (HIMMELBLAU, sd.SAM(5.0), 9, 18),
        (HIMMELBLAU, sd.UnifiedSAM(0.3, 0.9), 9, None),
        (CAMEL, sd.SAM(0.5), 15, 26),
        (sd.landscapes.tilted_hat(2), sd.SAM(1.5), 3, 4),
        (sd.landscapes.double_well(), sd.SAM(1.5), 3, 2),
        (sd.landscapes.double_well(2), sd.SAM(1.5), 3, 2),
    ],
    ids=lambda v: getattr(v, "name", None) or repr(v),
)
def test_lists_are_proven_complete(
    loss: sd.Landscape, rule: sd.Rule, genuine: int, hallucinated: int | None
) -> None:
    points = sd.fixed_points(sd.Flow(loss, rule), certify=True)
    assert points.certified
    assert points.undecided.shape == (0, loss.dim, 2)
    assert len(points.genuine) == genuine
    if hallucinated is not None:
        assert len(points.hallucinated) == hallucinated
    assert "proven complete" in repr(points)
    assert "proven complete" in points._repr_html_()


def test_the_thomas_flow_is_proven_complete() -> None:
    points = sd.fixed_points(problems.thomas_flow(), certify=True)
    assert points.certified
    assert len(points) == 63


def test_the_proof_finds_what_is_missing() -> None:
    field, box = critical_field(HIMMELBLAU), HIMMELBLAU.box
    zeros = np.array([p.x for p in sd.fixed_points(sd.Flow(HIMMELBLAU, sd.GD()))])
    kept = np.delete(zeros, [2, 5], axis=0)
    proof = exhaust(field, box, kept, certificates(field, kept, 10.0))
    assert len(proof.undecided) == 0
    found = proof.missing[np.lexsort(proof.missing.T[::-1])]
    np.testing.assert_allclose(found, zeros[[2, 5]], atol=0.1)
    nothing = exhaust(field, box, zeros[:0], [])
    assert len(nothing.missing) == 9
    assert len(nothing.undecided) == 0


def test_a_missed_point_joins_the_list() -> None:
    # a narrow dent, of width 1e-3, in a bowl: two starts find the bowl only
    loss = sd.Landscape(
        lambda w: w @ w / 2 - 1e-2 * torch.exp(-((w - 1.234567) ** 2).sum() / 2e-6), 2, box=[(-3, 3)] * 2
    )
    found = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=2)
    proven = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=2, certify=True)
    assert len(found) == 1
    assert len(proven) == 3
    assert proven.certified
    assert sorted(p.kind for p in proven) == ["minimum", "minimum", "saddle"]
    assert proven.coverage["genuine"].counts.min() == 0


def test_a_smaller_budget_leaves_boxes_undecided() -> None:
    flow = sd.Flow(HIMMELBLAU, sd.SAM(0.5))
    proof = exhaust(
        zero_field(flow, displacement_of(flow)), HIMMELBLAU.box, np.empty((0, 2)), [], max_boxes=64
    )
    assert len(proof.undecided) > 64
    points = sd.fixed_points(flow).hallucinated
    inside = (points.x[:, None] >= proof.undecided[..., 0]) & (points.x[:, None] <= proof.undecided[..., 1])
    near = (
        np.abs(points.x[:, None] - proof.missing).max(axis=2).min(axis=1) < 0.3
        if len(proof.missing)
        else False
    )
    assert (inside.all(axis=2).any(axis=1) | near).all()  # nothing is lost


def test_families_stay_undecided() -> None:
    points = sd.fixed_points(sd.Flow(sd.landscapes.ring(2), sd.GD()), certify=True)
    assert not points.certified
    assert len(points.undecided) > 100
    middle = points.undecided.mean(axis=2)
    np.testing.assert_allclose(np.linalg.norm(middle, axis=1), 1, atol=0.05)
    assert "undecided boxes" in repr(points)
    assert points.genuine.select(kind="maximum")[0].certificate is not None


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: sd.fixed_points(sd.Flow(sd.landscapes.rastrigin(7), sd.GD()), certify=True),
            "certify must be False in more than 6 dimensions, got dim=7",
        ),
        (
            lambda: sd.fixed_points(STEP_OF_CAMEL, period=2, certify=True),
            "certify must be False for cycles",
        ),
        (
            lambda: sd.fixed_points(
                sd.Flow(
                    sd.Landscape(lambda w: torch.linalg.eigvalsh(torch.outer(w, w) + torch.diag(w)).sum(), 2),
                    sd.GD(),
                ),
                box=[(1, 2)] * 2,
                certify=True,
            ),
            "cannot be evaluated on intervals",
        ),
    ],
    ids=["dimension", "cycle", "untraceable"],
)
def test_what_cannot_be_certified(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()

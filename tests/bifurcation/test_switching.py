"""Branches that leave from bifurcation points, and two-parameter curves, against closed forms."""

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


@functools.cache
def henon() -> sd.bifurcation.Branch:
    x = (-0.7 + math.sqrt(0.49 + 0.4)) / 0.2
    return sd.continuation(HENON, [x, 0.3 * x], "a", (-0.2, 1.4))


@functools.cache
def top_of_the_well() -> sd.bifurcation.Branch:
    return sd.continuation(sd.Flow(WELL, sd.USAM(0.5)), [0.0], "rho", (0.0, 2.0))


def test_the_hallucinated_branch_of_the_pitchfork() -> None:
    top = top_of_the_well()
    fork = sd.bifurcation.switch_branch(top, top.bifurcations[0])
    np.testing.assert_allclose(np.abs(fork.x[:, 0]), np.sqrt(np.maximum(1 - 1 / fork.values, 0)), atol=1e-9)
    assert fork.x.min() < -0.7
    assert fork.x.max() > 0.7
    away = np.abs(fork.x[:, 0]) > 1e-6
    assert set(fork.kind[away]) == {"hallucinated"}
    assert set(fork.stability[away]) == {"repelling"}
    np.testing.assert_allclose(fork.eigenvalues[away, 0].real, 2 * (fork.values[away] - 1), atol=1e-8)
    assert fork.ends == ("upper bound", "upper bound")
    assert fork.bifurcations == ()


def test_the_transcritical_branch_at_the_saddle_of_beale() -> None:
    flow = sd.Flow(sd.landscapes.beale(), sd.USAM(0.01))
    saddle = sd.continuation(flow, [0, 1], "rho", (0.0, 0.06))
    other = sd.bifurcation.switch_branch(saddle, saddle.bifurcations[0])
    # stability is exchanged: on the side below rho_c the new points attract, up to a fold
    (fold,) = other.bifurcations
    assert fold.kind == "fold"
    assert 0.029 < fold.value < 0.031
    attracting = other.stability == "attracting"
    assert attracting.any()
    assert (other.values[attracting] < 1 / 27.75).all()
    assert (other.kind[attracting] == "hallucinated").all()
    # what it is: the gradient does not vanish, the one at the perturbed point does, and that is the saddle
    middle = np.flatnonzero(attracting)[attracting.sum() // 2]
    x, rho = other.x[middle], other.values[middle]
    gradient = flow.landscape.gradient(x)  # type: ignore[union-attr]
    assert np.linalg.norm(gradient) > 0.1
    np.testing.assert_allclose(x + rho * gradient, [0, 1], atol=1e-9)


def test_a_transcritical_point() -> None:
    flow = sd.Flow.from_function(lambda x, m: m * x - x**2, 1, {"m": -0.5})
    branch = sd.continuation(flow, [0.0], "m", (-1.0, 1.0))
    assert branch.bifurcations[0].kind == "branch point"
    other = sd.bifurcation.switch_branch(branch, branch.bifurcations[0])
    np.testing.assert_allclose(other.x[:, 0], other.values, atol=1e-9)
    np.testing.assert_allclose(sorted([other.values[0], other.values[-1]]), [-1, 1])


def test_from_the_pitchfork_branch_back_to_the_middle() -> None:
    flow = sd.Flow.from_function(lambda x, m: m * x - x**3, 1, {"m": 0.5})
    upper = sd.continuation(flow, [math.sqrt(0.5)], "m", (-1.0, 1.0))
    (point,) = upper.bifurcations
    assert (point.kind, point.criticality) == ("pitchfork", "supercritical")
    assert point.value == pytest.approx(0, abs=1e-10)
    assert upper.x.min() < -0.99  # the branch runs on through the point to the other arm
    middle = sd.bifurcation.switch_branch(upper, point)
    np.testing.assert_allclose(middle.x, 0, atol=1e-9)
    assert middle.values.min() == -1


def test_period_doubling_of_henon() -> None:
    two = sd.bifurcation.switch_branch(henon(), henon().select("flip")[0])
    assert two.period == 2
    (flip,) = two.bifurcations
    assert (flip.kind, flip.criticality) == ("flip", "supercritical")
    assert flip.value == pytest.approx(0.9125, abs=1e-10)
    four = sd.bifurcation.switch_branch(two, flip)
    assert four.period == 4
    assert four.bifurcations[0].value == pytest.approx(1.0258554, abs=1e-6)
    stable = four.stability == "attracting"
    assert (four.values[stable] <= four.bifurcations[0].value).all()
    a, cycle = float(four.values[stable][5]), four.points[stable][5]
    at = HENON.with_parameters(a=a)
    np.testing.assert_allclose(at(cycle), np.roll(cycle, -1, axis=0), atol=1e-10)
    assert np.linalg.norm(cycle[0] - cycle[2]) > 1e-3


def test_the_flip_of_a_map_with_a_loss() -> None:
    # f = x^2/2 + x^4/4: after the flip at lr = 2 there is no stable 2-cycle: x^2 = 2/lr - 1 lies below it
    loss = sd.Landscape(lambda w: w[0] ** 2 / 2 + w[0] ** 4 / 4, 1, box=[(-1, 1)])
    branch = sd.continuation(sd.Map(loss, sd.GD(), lr=0.5), [0.0], "lr", (0.1, 3.0))
    (flip,) = branch.bifurcations
    assert (flip.kind, flip.criticality, round(flip.value, 10)) == ("flip", "subcritical", 2.0)
    two = sd.bifurcation.switch_branch(branch, flip)
    np.testing.assert_allclose(two.x[:, 0] ** 2, 2 / two.values - 1, atol=1e-9)


# ---------------------------------------------------------------------- curves in two parameters


@pytest.mark.parametrize(
    ("kind", "bounds", "exact"),
    [
        ("flip", (-0.2, 1.4), lambda b: 0.75 * (1 - b) ** 2),
        ("fold", (-2.0, 1.4), lambda b: -((1 - b) ** 2) / 4),
    ],
)
def test_curves_of_henon(kind: str, bounds: tuple[float, float], exact: Callable[[Any], Any]) -> None:
    curve = sd.bifurcation.bifurcation_curve(
        henon(), henon().select(kind)[0], "b", (-0.3, 0.9), first_bounds=bounds
    )
    assert curve.parameters == ("a", "b")
    np.testing.assert_allclose(curve.values[:, 0], exact(curve.values[:, 1]), atol=1e-10)
    assert curve.values[:, 1].max() == pytest.approx(0.9)
    assert curve.ends == ("bounds", "bounds")
    assert kind in repr(curve)


def test_the_saddle_becomes_an_attractor_whatever_the_learning_rate() -> None:
    # on a saddle with curvatures 2 and -1: rho > 1, and lr (rho - 1) < 2, lr 2 (1 + 2 rho) < 2
    step = sd.Map(sd.landscapes.saddle(2.0, 1.0), sd.USAM(0.5), lr=0.1)
    branch = sd.continuation(step, [0.0, 0.0], "rho", (0.0, 6.0))
    threshold, flip = branch.bifurcations
    assert (threshold.kind, flip.kind) == ("pitchfork", "flip")
    low = sd.bifurcation.bifurcation_curve(branch, threshold, "lr", (0.05, 0.5))
    np.testing.assert_allclose(low.values[:, 0], 1, atol=1e-9)
    assert np.ptp(low.values[:, 1]) == pytest.approx(0.45)
    high = sd.bifurcation.bifurcation_curve(branch, flip, "lr", (0.05, 0.5))
    np.testing.assert_allclose(high.values[:, 1] * (1 + 2 * high.values[:, 0]), 1, atol=1e-9)


def test_the_hopf_curve_of_the_brusselator() -> None:
    flow = sd.Flow.from_function(
        lambda x, a, b: torch.stack([a - (b + 1) * x[0] + x[0] ** 2 * x[1], b * x[0] - x[0] ** 2 * x[1]]),
        2,
        {"a": 1.2, "b": 1.0},
    )
    branch = sd.continuation(flow, [1.2, 1 / 1.2], "b", (0.5, 6.0))
    curve = sd.bifurcation.bifurcation_curve(branch, branch.bifurcations[0], "a", (0.5, 2.0))
    np.testing.assert_allclose(curve.values[:, 0], 1 + curve.values[:, 1] ** 2, atol=1e-9)
    np.testing.assert_allclose(np.abs(curve.frequency), curve.values[:, 1], atol=1e-8)


def test_the_neimark_sacker_curve_of_a_delayed_logistic_map() -> None:
    # x' = r x (1 - y), y' = x: determinant r y = r - 1 of the fixed point passes 1 at r = 2, for every c
    step = sd.Map.from_function(
        lambda w, r, c: torch.stack([r * w[0] * (1 - w[1]) + (c - c), c * w[0] / c]), 2, {"r": 1.8, "c": 1.0}
    )
    branch = sd.continuation(step, [1 - 1 / 1.8] * 2, "r", (1.5, 2.5))
    (point,) = branch.bifurcations
    assert point.kind == "Neimark-Sacker"
    assert point.value == pytest.approx(2, abs=1e-10)
    assert abs(np.angle(point.eigenvalue)) == pytest.approx(np.pi / 3)
    curve = sd.bifurcation.bifurcation_curve(branch, point, "c", (0.5, 1.5))
    np.testing.assert_allclose(curve.values[:, 0], 2, atol=1e-9)


def test_a_branch_point_that_unfolds() -> None:
    flow = sd.Flow.from_function(lambda x, m, h: h + m * x - x**2, 1, {"m": -0.5, "h": 0.0})
    branch = sd.continuation(flow, [0.0], "m", (-1.0, 1.0))
    curve = sd.bifurcation.bifurcation_curve(branch, branch.bifurcations[0], "h", (-0.5, 0.5))
    assert curve.ends == ("unfolds", "unfolds")
    assert np.abs(curve.values[:, 1]).max() < 1e-6


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.bifurcation.switch_branch(3, None), TypeError, "branch must be a Branch"),
        (
            lambda: sd.bifurcation.switch_branch(henon(), None),
            ValueError,
            "must be one of branch.bifurcations",
        ),
        (
            lambda: sd.bifurcation.switch_branch(henon(), henon().select("fold")[0]),
            ValueError,
            "from which a branch of fixed points or cycles leaves, got a fold",
        ),
        (
            lambda: sd.bifurcation.switch_branch(henon(), henon().select("flip")[0], bounds=(1.0, 1.4)),
            ValueError,
            "bounds must hold the bifurcation at a = 0.3675",
        ),
        (
            lambda: sd.bifurcation.bifurcation_curve(henon(), henon().select("flip")[0], "c", (0, 1)),
            ValueError,
            "no parameter 'c'; it has: a, b",
        ),
        (
            lambda: sd.bifurcation.bifurcation_curve(henon(), henon().select("flip")[0], "a", (0, 1)),
            ValueError,
            "parameter must be another one",
        ),
        (
            lambda: sd.bifurcation.bifurcation_curve(henon(), henon().select("flip")[0], "b", (0.5, 1)),
            ValueError,
            "bounds must hold the start at b = 0.3",
        ),
        (
            lambda: sd.bifurcation.bifurcation_curve(henon(), henon().select("flip")[0], "b", (1, 0)),
            ValueError,
            "bounds must have lower < upper",
        ),
        (
            lambda: sd.bifurcation.bifurcation_curve(henon(), None, "b", (0, 1)),
            ValueError,
            "one of branch.bifurcations",
        ),
        (
            lambda: sd.bifurcation.bifurcation_curve(
                henon(), henon().bifurcations[0], "b", (0, 1), first_bounds=(50.0, 60.0)
            ),
            ValueError,
            "first_bounds must hold the start",
        ),
        (lambda: sd.bifurcation.BifurcationDiagram([]), ValueError, "at least one Branch"),
        (lambda: sd.bifurcation.BifurcationDiagram([3]), TypeError, "branches must be Branches"),
        (
            lambda: sd.bifurcation.BifurcationDiagram([henon(), top_of_the_well()]),
            ValueError,
            "over one parameter, got a, rho",
        ),
    ],
)
def test_bad_input(make: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_a_diagram_lists_shared_points_once() -> None:
    top = top_of_the_well()
    fork = sd.bifurcation.switch_branch(top, top.bifurcations[0])
    diagram = sd.bifurcation.BifurcationDiagram([top, fork])
    assert len(diagram) == 2
    assert [b.kind for b in diagram.bifurcations] == ["pitchfork"]
    assert diagram[1] is fork
    assert list(diagram) == [top, fork] or len(list(diagram)) == 2
    assert "2 branches over rho" in repr(diagram)

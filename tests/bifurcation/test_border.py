"""Where the field jumps: branches of hallucinated points and their ends, branches of critical points."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import samdyn as sd

WELL = sd.landscapes.double_well()


@functools.cache
def hallucinated() -> sd.bifurcation.Branch:
    return sd.continuation(sd.Flow(WELL, sd.SAM(1.5)), [-0.5], "rho", (0.5, 2.5))


@functools.cache
def right_minimum() -> sd.bifurcation.Branch:
    return sd.continuation(sd.Flow(WELL, sd.SAM(0.5)), [1.0], "rho", (0.1, 2.5))


@pytest.mark.parametrize("view", ["flow", "map"])
def test_the_hallucinated_minimiser_of_the_double_well(view: str) -> None:
    # x + rho = 1, looked at from -1 < x < 0: between the maximum at 0 and the minimum at -1
    step = sd.Map(WELL, sd.SAM(1.5), lr=0.1)
    branch = hallucinated() if view == "flow" else sd.continuation(step, [-0.5], "rho", (0.5, 2.5))
    np.testing.assert_allclose(branch.x[:, 0], 1 - branch.values, atol=1e-9)
    assert branch.ends == ("border", "border")
    first, last = branch.bifurcations
    assert (first.kind, first.at_end, last.kind, last.at_end) == ("border", True, "border", True)
    np.testing.assert_allclose([first.value, last.value], [1, 2], atol=1e-10)
    np.testing.assert_allclose([first.x[0], last.x[0]], [0, -1], atol=1e-10)
    assert set(branch.kind) == {"hallucinated"}
    assert set(branch.stability[1:-1]) == {"attracting"}
    expected = -2.0 if view == "flow" else 1 - 0.1 * 2
    np.testing.assert_allclose(branch.eigenvalues[1:-1, 0].real, expected, atol=1e-9)
    assert np.isnan(branch.eigenvalues[[0, -1]]).all()  # at a critical point there is no Jacobian


def test_in_two_dimensions() -> None:
    # (x, y): the same branch on y = 0, of a field that jumps at isolated points
    flow = sd.Flow(sd.landscapes.double_well(dim=2), sd.SAM(1.5))
    branch = sd.continuation(flow, [-0.5, 0.0], "rho", (0.5, 2.5))
    np.testing.assert_allclose(branch.x[:, 0], 1 - branch.values, atol=1e-9)
    np.testing.assert_allclose(
        sorted(b.value for b in branch.bifurcations if b.kind == "border"), [1, 2], atol=1e-9
    )


def test_a_border_off_the_axes() -> None:
    # tilted hat: no symmetry axis is a coordinate axis of the branch's direction at its end
    loss = sd.Landscape(
        lambda w: ((0.8 * w[0] + 0.6 * w[1]) ** 2 - 1) ** 2 / 4 + (0.8 * w[1] - 0.6 * w[0]) ** 2 / 2,
        2,
        box=[(-2, 2), (-2, 2)],
    )
    branch = sd.continuation(sd.Flow(loss, sd.SAM(1.5)), [-0.4, -0.3], "rho", (0.5, 2.5))
    borders = branch.select("border")
    np.testing.assert_allclose(sorted(b.value for b in borders), [1, 2], atol=1e-9)
    np.testing.assert_allclose(np.abs(borders[0].direction @ [0.8, 0.6]), 1, atol=1e-8)


def test_unified_sam_and_the_first_order_form() -> None:
    # first order: -(1 + (rho/|g|) f'') f' vanishes where |f'| = -rho f'', whatever the sign
    flow = sd.Flow(WELL, sd.SAM(0.3), form="first-order")
    (point,) = (p for p in sd.fixed_points(flow) if p.kind == "hallucinated" and p.x[0] > 0)
    branch = sd.continuation(flow, point, "rho", (0.1, 0.5))
    x, rho = branch.x[:, 0], branch.values
    np.testing.assert_allclose(np.abs(x**3 - x), -rho * (3 * x**2 - 1), atol=1e-9)
    # unified: x + rho ((1 - lam) f' + lam sign f') = 0
    unified = sd.Flow(WELL, sd.UnifiedSAM(0.5, 0.5))
    (start,) = (p for p in sd.fixed_points(unified, box=[(0.05, 0.6)]) if p.kind == "hallucinated")
    along = sd.continuation(unified, start, "lam", (0.1, 0.9))
    x, lam = along.x[:, 0], along.values
    np.testing.assert_allclose(x + 0.5 * ((1 - lam) * (x**3 - x) - lam), 0, atol=1e-9)


def test_critical_points_are_given_no_jacobian() -> None:
    branch = right_minimum()
    assert np.isnan(branch.eigenvalues).all()
    assert set(branch.kind) == {"minimum"}
    np.testing.assert_allclose(branch.x, 1, atol=1e-12)
    # f'(1 - rho) has the sign of a pull for rho < 1, pushes away for 1 < rho < 2, pulls again beyond
    np.testing.assert_allclose([b.value for b in branch.bifurcations], [1, 2], atol=1e-10)
    assert {b.kind for b in branch.bifurcations} == {"border"}
    inside = (branch.values > 1) & (branch.values < 2)
    # from one side alone, as the list of fixed points says
    assert set(branch.stability[inside]) == {"saddle"}
    listed = sd.fixed_points(branch.system.with_parameters(rho=1.5), n_starts=16).select(kind="minimum")
    assert {point.stability for point in listed} == {"saddle"}
    assert set(branch.stability[~inside]) == {"trapping"}
    well_inside = (branch.values < 0.99) | (branch.values > 2.01)
    assert (branch.capture_radius[well_inside] > 0).all()
    assert np.isnan(branch.capture_radius[inside]).all()


@pytest.mark.slow
def test_critical_points_over_a_parameter_of_the_loss() -> None:
    loss = sd.landscapes.tilted_double_well()
    start = next(p.x for p in loss.critical_points if p.kind == "maximum")
    branch = sd.continuation(sd.Flow(loss, sd.SAM(0.1)), start, "tilt", (-0.6, 0.6))
    np.testing.assert_allclose(
        sorted(b.value for b in branch.select("fold")), [-2 / 27**0.5, 2 / 27**0.5], atol=1e-10
    )
    x, tilt = branch.x[:, 0], branch.values
    at = sd.landscapes.tilted_double_well()
    for i in range(0, len(x), 10):
        assert abs(at.with_parameters(tilt=float(tilt[i])).gradient([x[i]])[0]) < 1e-9
    assert np.isnan(branch.eigenvalues).all()
    assert {"trapping"} < set(branch.stability)


def test_the_trap_of_the_map_ends_with_its_cycle() -> None:
    step = sd.Map(sd.landscapes.quadratic(np.diag([3.0, -0.6])), sd.SAM(0.05), lr=0.1)
    branch = sd.continuation(step, [0.0, 0.0], "lr", (0.05, 0.2))
    (point,) = branch.bifurcations
    assert point.kind == "border"
    assert point.value == pytest.approx(1 / 9, abs=1e-6)
    trapped = branch.stability == "trapping"
    assert (branch.values[trapped] < 1 / 9 + 1e-6).all()
    amplitude = branch.values * 0.05 * 3 / (2 - 3 * branch.values)
    settled = branch.values < 0.105  # closer to the end of the trap orbits take longer than the simulation
    np.testing.assert_allclose(branch.chatter_radius[settled], amplitude[settled], rtol=1e-3)
    assert np.isnan(branch.chatter_radius[~trapped]).all()


def test_across_a_border_and_back() -> None:
    first = hallucinated().bifurcations[0]
    critical = sd.bifurcation.switch_branch(hallucinated(), first)
    assert set(critical.kind) == {"maximum"}
    other = sd.bifurcation.switch_branch(right_minimum(), right_minimum().bifurcations[0])
    assert set(other.kind) == {"hallucinated"}
    # at (rho, x) = (1, 1) the repelling point x = rho, which looks at the maximum, meets the minimum
    np.testing.assert_allclose(other.x[:, 0], other.values, atol=1e-9)
    assert set(other.stability[1:-1]) == {"repelling"}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: sd.bifurcation.bifurcation_curve(
                right_minimum(), right_minimum().bifurcations[0], "rho", (0.1, 1)
            ),
            "bifurcation must be one with a Jacobian, got a border",
        ),
        (
            lambda: sd.continuation(sd.Map(WELL, sd.SAM(0.1), lr=0.1), [1.0], "rho", (0.01, 0.5), period=2),
            "on which the gradient of the loss vanishes nowhere",
        ),
    ],
)
def test_bad_input(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()

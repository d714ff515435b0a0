"""For which radii SAM hallucinates: the complete list in one dimension, against exact windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.landscapes.wells import cubic_roots


def test_double_well() -> None:
    found = sd.hallucination_intervals(sd.landscapes.double_well())
    assert found.complete
    rows = [(i.endpoint[0], i.lower, i.upper, i.stability, i.lr_max) for i in found]
    expected = [
        (0, 0, 1, "repelling", 0),
        (0, 0, 1, "repelling", 0),
        (-1, 1, 2, "attracting", 1),
        (1, 1, 2, "attracting", 1),
    ]
    for row, wanted in zip(rows, expected, strict=True):
        np.testing.assert_allclose((row[0], row[1], row[2], row[4]), (*wanted[:3], wanted[4]), atol=1e-12)
        assert row[3] == wanted[3]
    np.testing.assert_allclose(found.select(stability="attracting").radii(), [[1, 2]], atol=1e-12)
    np.testing.assert_allclose(found.radii(), [[0, 2]], atol=1e-12)


def test_tilted_double_well_has_its_windows_and_step_bounds() -> None:
    low, high = sd.hallucination_intervals(sd.landscapes.tilted_double_well()).select(stability="attracting")
    assert (low.endpoint[0], high.endpoint[0]) == pytest.approx((0.8788850662, -1.0880339147), abs=1e-10)
    assert (low.lower, low.upper) == pytest.approx((0.6697362178, 1.9669189809), abs=1e-10)
    assert (high.lower, high.upper) == pytest.approx((1.2971827631, 1.9669189809), abs=1e-10)
    assert (low.lr_max, high.lr_max) == pytest.approx((1.5182375872, 0.7838669525), abs=1e-10)
    assert (low.lower_end, low.upper_end) == ("maximum", "minimum")
    left, top, right = cubic_roots(0.2)
    assert (low.lower, low.upper) == pytest.approx((right - top, right - left), abs=1e-12)


def test_the_points_are_where_the_intervals_say() -> None:
    loss = sd.landscapes.two_gaussian_well()
    found = sd.hallucination_intervals(loss)
    for rho in (0.3, 1.1, 2.7, 4.0):
        points = sd.fixed_points(sd.Flow(loss, sd.SAM(rho))).select(kind="hallucinated")
        here = [i for i in found if rho in i]
        # those with x outside the box are in the list too only if their interval lies in the box
        expected = []
        for i in here:
            away = np.sign(i.x_lower[0] - i.endpoint[0]) or np.sign(i.x_upper[0] - i.endpoint[0])
            expected.append((i.endpoint[0] + away * rho, i.stability))
        expected.sort()
        np.testing.assert_allclose(points.x[:, 0], [x for x, _ in expected], atol=1e-9)
        assert [p.stability for p in points] == [s for _, s in expected]


def test_shares_of_the_two_gaussian_well() -> None:
    # a start ends at the minimum's own kink, at the maximum, or at the hallucinated point of its basin
    found = sd.hallucination_intervals(sd.landscapes.two_gaussian_well()).select(stability="attracting")
    at = {rho: sorted(float(i.endpoint[0]) for i in found if rho in i) for rho in (0.2, 0.6, 1.0, 1.5, 3.0)}
    assert [len(at[rho]) for rho in (0.2, 0.6)] == [0, 0]
    for rho in (1.0, 1.5, 3.0):
        assert at[rho] == pytest.approx([-1.99493], abs=1e-5)


def test_sine_trap_has_both_attractors_of_each_period() -> None:
    loss = sd.landscapes.sine_trap()
    found = sd.hallucination_intervals(loss, [(-1.3, 2.5)]).select(stability="attracting")
    x = []
    for i in found:
        if 1.0 in i:
            side = np.sign(i.x_upper[0] - i.endpoint[0])
            x.append(i.endpoint[0] + side)
    # -0.1 and 0.7 modulo the period 1.2
    for place in (-0.1, 0.7):
        assert np.abs(np.array(x) - place).min() < 1e-10
    assert {round((v + 0.1) % 1.2, 9) % 1.2 for v in x} <= {0.0, 0.8}
    assert all(i.lr_max == pytest.approx(2.0, abs=1e-9) for i in found)


def test_a_convex_loss_has_none() -> None:
    found = sd.hallucination_intervals(sd.landscapes.quadratic([[2.0]]), [(-1, 2)])
    assert len(found) == 0
    assert found.radii().shape == (0, 2)
    assert "0, complete" in repr(found)


def test_a_pole_is_no_stationary_point() -> None:
    loss = sd.Landscape(lambda w: 1 / w[0] + w[0] ** 2, 1, [(-2.0, 2.3)], "pole")
    ends = {round(float(v), 9) for i in sd.hallucination_intervals(loss) for v in i.endpoint}
    assert ends <= {round(0.5 ** (1 / 3), 9)}


def _wall(w: torch.Tensor) -> torch.Tensor:
    return (w[0] ** 2 - 1) ** 2 - w[0] + torch.log(w[0] + 0.5)


@pytest.mark.parametrize("upper", [2.0, 2.5], ids=["pole at a node", "pole between nodes"])
def test_a_pole_separates_the_signs_of_the_slope(upper: float) -> None:
    loss = sd.Landscape(lambda w: 1 / w[0] ** 2 + w[0] ** 2, 1, [(-2, upper)])
    found = sd.hallucination_intervals(loss)
    assert found.complete
    np.testing.assert_allclose([(i.endpoint[0], i.lower, i.upper) for i in found], [(-1, 1, 2), (1, 1, 2)])
    assert {(i.lower_end, i.upper_end, i.stability) for i in found} == {("break", "minimum", "attracting")}
    # those whose x lies in the box are what the search for fixed points finds
    points = sd.fixed_points(sd.Flow(loss, sd.SAM(1.5))).hallucinated
    np.testing.assert_allclose(points.x[:, 0], [-0.5, 0.5], atol=1e-9)


def test_where_the_loss_is_undefined_there_are_none() -> None:
    # log(w + 1/2) has no value below -1/2; f' > 0 from there to a maximum, < 0 to the minimum, > 0 beyond
    loss = sd.Landscape(_wall, 1, [(-2.0, 2.0)], "wall")
    found = sd.hallucination_intervals(loss)
    # 4 w (w^2 - 1) - 1 + 1/(w + 1/2) = 0
    roots = np.roots(np.polyadd(np.polymul([4, 0, -4, -1], [1, 0.5]), [1]))
    top, low = sorted(r.real for r in roots if abs(r.imag) < 1e-12 and r.real > -0.5)
    rows = sorted((i.endpoint[0], i.lower, i.upper, i.lower_end, i.upper_end) for i in found)
    expected = [
        (top, 0, top + 0.5, "endpoint", "break"),
        (top, 0, low - top, "endpoint", "minimum"),
        (low, low - top, low + 0.5, "maximum", "break"),
    ]
    expected.sort()
    for row, wanted in zip(rows, expected, strict=True):
        assert row[:3] == pytest.approx(wanted[:3], abs=1e-9)
        assert row[3:] == wanted[3:]


def test_a_jump_of_the_slope_is_a_break() -> None:
    # f' = 2 w - 3 sign(w - 0.1) leaves the minima at 1.5 and -1.5 and a kink between them
    loss = sd.Landscape(lambda w: w[0] ** 2 - 3 * (w[0] - 0.1).abs(), 1, [(-2, 2)])
    found = sd.hallucination_intervals(loss)
    rows = sorted((i.endpoint[0], i.lower, i.upper, i.lower_end) for i in found)
    assert [row[3] for row in rows] == ["break", "break"]
    np.testing.assert_allclose([row[:3] for row in rows], [(-1.5, 1.6, 3), (1.5, 1.4, 3)], atol=1e-9)


def test_in_two_dimensions_from_the_branches() -> None:
    found = sd.hallucination_intervals(sd.landscapes.double_well(2))
    assert not found.complete
    np.testing.assert_allclose(found.select(stability="attracting").radii(), [[1, 2]], atol=1e-9)


def test_repr_and_table() -> None:
    found = sd.hallucination_intervals(sd.landscapes.double_well())
    assert "(1, 2)" in repr(found)
    assert found._repr_html_().count("<tr>") == 5
    assert found[:2] == found.intervals[:2]
    assert 1.5 in found[2]
    assert 1.0 not in found[2]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3.0,), TypeError, "loss must be"),
        ((sd.Landscape(lambda w: w[0] ** 2, 1),), ValueError, "box must be given"),
        ((sd.landscapes.double_well(), [(1, 0)]), ValueError, "lower < upper"),
        ((sd.landscapes.double_well(), [(0, 0)]), ValueError, "box must"),
    ],
)
def test_bad_input(arguments: tuple, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        sd.hallucination_intervals(*arguments)


def test_infinities_in_the_box_are_left_out() -> None:
    loss = sd.Landscape(lambda w: torch.log(w[0].abs()) + w[0] ** 2 - w[0] ** 4 / 8, 1, [(-2.5, 2.5)], "log")
    assert all(np.isfinite([i.lower, i.upper]).all() for i in sd.hallucination_intervals(loss))

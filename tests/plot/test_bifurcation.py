"""Bifurcation diagrams show what the branches hold."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import samdyn as sd
from samdyn.plot.bifurcation import LINES, MARKS

WELL = sd.landscapes.double_well()
LOGISTIC = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 2.5}, box=[(0, 1)])


@functools.cache
def top() -> sd.bifurcation.Branch:
    return sd.continuation(sd.Flow(WELL, sd.USAM(0.5)), [0.0], "rho", (0.0, 2.0))


@functools.cache
def doubling() -> tuple[sd.bifurcation.Branch, sd.bifurcation.Branch]:
    branch = sd.continuation(LOGISTIC, [0.6], "r", (2.0, 4.0))
    return branch, sd.bifurcation.switch_branch(branch, branch.select("flip")[0])


def labels(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_lines_change_where_stability_does() -> None:
    ax = sd.plot.bifurcation_diagram(top())
    dotted, solid = (line for line in ax.lines if len(line.get_xdata()) > 1)
    assert dotted.get_xdata()[0] == 0
    assert solid.get_xdata()[-1] == 2
    assert abs(dotted.get_xdata()[-1] - 1) < 0.02
    assert solid.get_xdata()[0] == dotted.get_xdata()[-1]  # no gap between them
    (mark,) = (line for line in ax.lines if len(line.get_xdata()) == 1)
    assert mark.get_marker() == MARKS["pitchfork"][0]
    np.testing.assert_allclose(mark.get_xdata(), 1)
    assert set(labels(ax)) == {"maximum, repelling", "maximum, attracting", "pitchfork"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"perturbation radius $\rho$ (1 / curvature)", "$x$")


def test_every_point_of_a_cycle_is_drawn_over_the_orbits() -> None:
    branch, two = doubling()
    orbits = sd.orbit_diagram(LOGISTIC, [0.3], parameters={"r": np.linspace(2.0, 4.0, 50)})
    ax = sd.bifurcation.BifurcationDiagram([branch, two]).plot(orbits=orbits, coordinate="norm")
    dots = ax.lines[0]
    assert len(dots.get_xdata()) == orbits.points[..., 0].size
    arms = [line for line in ax.lines if len(line.get_xdata()) > 1 and line is not dots]
    high = np.concatenate([line.get_ydata() for line in arms if line.get_xdata()[0] >= 2.99])
    assert high.max() > 0.8 > 0.5 > high.min()
    assert "2-cycle, attracting" in labels(ax)
    flips = [line for line in ax.lines if line.get_marker() == MARKS["flip"][0]]
    assert [len(line.get_xdata()) for line in flips] == [1, 2]
    assert ax.get_ylabel() == "$|x|$"


def test_the_orbits_alone_and_the_branch_alone() -> None:
    orbits = sd.orbit_diagram(LOGISTIC, [0.3], parameters={"r": [2.0, 3.0]})
    assert len(orbits.plot().lines) == 1
    ax = top().plot(bifurcations=False, legend=False)
    assert ax.get_legend() is None
    assert all(len(line.get_xdata()) > 1 for line in ax.lines)


def test_capture_sets_are_shaded() -> None:
    branch = sd.continuation(sd.Flow(WELL, sd.SAM(0.2)), [0.0], "rho", (0.05, 0.4))
    ax = branch.plot(capture=True)
    assert len(ax.collections) == 1
    assert "captured" in labels(ax)
    assert "maximum, trapping" in labels(ax)


def test_a_coordinate_or_a_function() -> None:
    branch = sd.continuation(sd.Flow(sd.landscapes.saddle(2.0, 1.0), sd.USAM(0.5)), [0, 0], "rho", (0, 2.0))
    ax = branch.plot(coordinate=1)
    assert ax.get_ylabel() == "$x_{1}$"
    ax = branch.plot(coordinate=lambda x: x.sum(axis=-1) + 3.0)
    assert max(line.get_ydata().max() for line in ax.lines) == pytest.approx(3)


def test_curves_in_two_parameters() -> None:
    branch = doubling()[0]
    step = sd.Map(sd.landscapes.saddle(2.0, 1.0), sd.USAM(0.5), lr=0.1)
    fixed = sd.continuation(step, [0.0, 0.0], "rho", (0.0, 6.0))
    curves = [sd.bifurcation.bifurcation_curve(fixed, b, "lr", (0.05, 0.5)) for b in fixed.bifurcations]
    ax = sd.plot.bifurcation_curves(curves, labels=["attractor", "flip"])
    assert len(ax.lines) == 2
    assert labels(ax) == ["attractor", "flip"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"perturbation radius $\rho$", r"learning rate $\eta$")
    assert len(curves[0].plot(ax=plt.subplots()[1]).lines) == 1
    assert branch.select("fold") == ()


def test_styles_differ() -> None:
    assert (
        len(
            {
                str(dashes)
                for name, (dashes, _) in LINES.items()
                if name in ("attracting", "saddle", "repelling")
            }
        )
        == 3
    )
    assert len({marker for marker, _ in MARKS.values()}) == len(MARKS)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.plot.bifurcation_diagram([]), ValueError, "branches must hold at least one"),
        (lambda: sd.plot.bifurcation_diagram([3]), TypeError, "branches must be Branches"),
        (lambda: sd.plot.bifurcation_diagram(top(), orbits=3), TypeError, "orbits must be an OrbitDiagram"),
        (
            lambda: sd.plot.bifurcation_diagram(top(), coordinate=2),
            ValueError,
            "coordinate must be an integer",
        ),
        (lambda: sd.plot.bifurcation_diagram([top(), doubling()[0]]), ValueError, "over one parameter"),
        (lambda: sd.plot.bifurcation_diagram(top(), ax=3), TypeError, "ax must be a matplotlib Axes"),
        (lambda: sd.plot.bifurcation_curves([]), ValueError, "at least one BifurcationCurve"),
        (lambda: sd.plot.bifurcation_curves([top()]), TypeError, "curves must be BifurcationCurves"),
    ],
)
def test_bad_input(make: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()

"""Pictures of manifolds, virtual losses, the edge of stability and the perturbation geometry."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import samdyn as sd
from samdyn.plot.appearance.titles import title_of

WELLS = sd.landscapes.coupled_double_well()
FLOW = sd.Flow(WELLS, sd.GD())
STEP = sd.Map(WELLS, sd.SAM(0.3), lr=0.01)


def gids(ax: Any) -> list[str]:
    return [line.get_gid() for line in ax.get_lines() if line.get_gid()]


def test_manifolds() -> None:
    both = [sd.manifold(FLOW, [0.0, 0.0], which) for which in ("stable", "unstable")]
    ax = sd.plot.manifolds(both)
    assert gids(ax) == ["stable manifold", "unstable manifold"]
    assert ax.get_title() == FLOW.name
    over = sd.plot.phase_portrait(FLOW, resolution=20)
    title = over.get_title()
    assert sd.plot.manifolds(both, over, legend=False) is over
    assert over.get_title() == title
    swapped = sd.plot.manifolds(both[:1], coordinates=(1, 0), color="black")
    np.testing.assert_array_equal(swapped.get_lines()[0].get_xydata(), both[0].curve[:, ::-1])


def test_virtual_loss() -> None:
    flow = sd.Flow(sd.landscapes.two_gaussian_well(), sd.SAM(1.0))
    ax = sd.attractors_1d(flow).plot()
    curves = [line for line in ax.get_lines() if len(line.get_xdata()) == 2000]
    assert [line.get_label() for line in curves] == [
        "loss $f$",
        "perturbed loss $f(x+e(x))$",
        "virtual loss $J$",
    ]
    # the attractors sit on J, at its minima
    x, J = curves[2].get_xdata(), curves[2].get_ydata()
    marks = [line for line in ax.get_lines() if str(line.get_gid()).startswith("attractor")]
    assert [line.get_gid() for line in marks] == ["attractor: hallucinated", "attractor: minimum"]
    for mark in marks:
        at, height = mark.get_xydata()[0]
        near = np.abs(x - at) < 0.3
        assert height <= J[near].min() + 1e-4
        assert height == pytest.approx(np.interp(at, x, J), abs=1e-2)


def test_edge_of_stability() -> None:
    path = sd.trajectory(STEP, [0.8, 0.4], n_steps=300)
    ax = sd.edge_of_stability(STEP, path).plot()
    assert len(ax.get_lines()) == 3
    assert ax.get_title().replace("\n", " ") == title_of(STEP)
    assert ax.get_legend() is not None


def test_perturbation_geometry() -> None:
    path = sd.trajectory(STEP, [0.2, 0.1], n_steps=200, save_every=5)
    seen = sd.perturbation_geometry(STEP, path)
    ax = seen.plot()
    shown = sum(len(line.get_xdata()) for line in ax.get_lines() if line.get_marker() not in ("None", ""))
    assert shown == len(path)
    narrow = plt.figure(figsize=(2, 2)).subplots()
    assert "$\\rho = 0.3$" in seen.plot(narrow).get_title().split("\n")  # formulas are not broken
    assert narrow.get_title().replace("\n", " ") == title_of(STEP)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.plot.manifolds([]), ValueError, "at least one Manifold"),
        (lambda: sd.plot.manifolds([FLOW]), TypeError, "results must be Manifolds"),  # type: ignore[list-item]
        (lambda: sd.plot.edge_of_stability(3), TypeError, "result must be"),  # type: ignore[arg-type]
        (lambda: sd.plot.perturbation_geometry(3), TypeError, "result must be"),  # type: ignore[arg-type]
        (lambda: sd.plot.virtual_loss(FLOW), ValueError, "one-dimensional"),
    ],
    ids=["none", "flow", "edge", "geometry", "plane"],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()

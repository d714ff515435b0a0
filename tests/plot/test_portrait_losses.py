"""Phase portraits of losses with little to show: constant, not finite, with poles. Separatrices, cycles."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.equilibria.search import FixedPoint
from samdyn.plot import phase_portrait

BOX = [(-1.0, 1.2), (-1.0, 1.1)]
LOSSES = {
    "constant": sd.Landscape(lambda w: 0.0 * (w @ w) + 1.0, 2, BOX, "constant"),
    "half nan": sd.Landscape(lambda w: torch.log(w[0]) + w @ w, 2, BOX, "nan on the left"),
    "pole": sd.Landscape(lambda w: 1 / (w @ w) + w @ w, 2, BOX, "pole"),
    "pole of both signs": sd.Landscape(lambda w: 1 / w[0] + w @ w, 2, BOX, "pole of both signs"),
    "overflow": sd.Landscape(lambda w: torch.exp(800 * w[0]) + w[1] ** 2, 2, BOX, "overflow"),
    "linear": sd.Landscape(lambda w: w[0] + 2 * w[1], 2, BOX, "linear"),
}
LINES = {
    "constant": sd.Landscape(lambda w: 0.0 * w[0], 1, [(-1.0, 1.2)], "constant"),
    "pole": sd.Landscape(lambda w: 1 / w[0] + w[0] ** 2, 1, [(-1.0, 1.2)], "pole"),
}


def test_a_loss_without_values_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="function must have values in its box"):
        sd.Landscape(lambda w: torch.log(w[0] * 0 - 1) + w @ w, 2, BOX, "nan everywhere")


def with_gid(ax: Any, start: str) -> list[Any]:
    return [artist for artist in ax.get_children() if (artist.get_gid() or "").startswith(start)]


@pytest.mark.parametrize("rule", [sd.GD(), sd.SAM(0.3)], ids=["GD", "SAM"])
@pytest.mark.parametrize("name", list(LOSSES))
def test_planes(name: str, rule: sd.Rule) -> None:
    loss = LOSSES[name]
    for system in (sd.Flow(loss, rule), sd.Map(loss, rule, lr=0.1)):
        ax = (
            phase_portrait(system, resolution=30, fixed_points=False, trajectories=[[0.5, 0.4]], n_steps=5)
            if (isinstance(system, sd.Map))
            else phase_portrait(system, resolution=30, fixed_points=False)
        )
        ax.figure.canvas.draw()
        drawn = len(ax.collections)
        assert drawn > 0 or name == "constant"
        plt.close(ax.figure)


@pytest.mark.parametrize("name", ["constant", "linear", "pole"])
def test_with_fixed_points(name: str) -> None:
    ax = phase_portrait(sd.Flow(LOSSES[name], sd.SAM(0.3)), resolution=20)
    ax.figure.canvas.draw()


@pytest.mark.parametrize("name", list(LINES))
def test_lines(name: str) -> None:
    ax = phase_portrait(sd.Flow(LINES[name], sd.SAM(0.3)), resolution=20, fixed_points=False)
    ax.figure.canvas.draw()
    assert np.isfinite(ax.get_ylim()).all()


def test_a_pole_does_not_flatten_the_rest() -> None:
    ax = phase_portrait(sd.Flow(LINES["pole"], sd.GD()), resolution=200, fixed_points=False)
    assert np.abs(ax.get_ylim()).max() < 1e4


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ax": 3}, TypeError, "ax must be a matplotlib Axes"),
        ({"legend": "upper middle"}, ValueError, "legend must be"),
        ({"legend": 3.0}, TypeError, "legend must be"),
        ({"cycles": -1}, ValueError, "cycles must be"),
    ],
)
def test_refused_before_any_work(
    options: dict[str, Any], error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_work(*_: Any, **__: Any) -> Any:
        raise AssertionError("work was done")

    monkeypatch.setattr("samdyn.plot.portrait.stages.find_fixed_points", no_work)
    monkeypatch.setattr("samdyn.plot.portrait.stages.Grid", no_work)
    before = plt.get_fignums()
    with pytest.raises(error, match=message):
        phase_portrait(sd.Flow(sd.landscapes.himmelblau(), sd.SAM(0.3)), **options)
    assert plt.get_fignums() == before


# separatrices and cycles


def test_separatrices_are_the_stable_manifolds_of_saddles() -> None:
    flow = sd.Flow(sd.landscapes.coupled_double_well(), sd.GD())
    ax = phase_portrait(flow, resolution=30)
    (curve,) = with_gid(ax, "separatrix")
    points = curve.get_xydata()
    # starts on either side of it go to different wells
    gap = 1e-3
    k = len(points) // 4
    along = points[k + 1] - points[k - 1]
    normal = np.array([-along[1], along[0]]) / np.linalg.norm(along)
    ends = sd.trajectory(flow, [points[k] + gap * normal, points[k] - gap * normal], t_max=60.0)[-1]
    assert np.linalg.norm(ends[0] - ends[1]) > 1
    assert "separatrix" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert not with_gid(phase_portrait(flow, resolution=30, separatrices=False), "separatrix")


def test_separatrices_of_a_trap_pass_through_hallucinated_points() -> None:
    flow = sd.Flow(sd.landscapes.saddle(), sd.SAM(0.5))
    ax = phase_portrait(flow, resolution=30, box=[(-1, 1.1), (-1, 1.1)])
    curves = [curve.get_xydata() for curve in with_gid(ax, "separatrix")]
    ghosts = sd.fixed_points(flow, [(-1, 1.1), (-1, 1.1)]).select(kind="hallucinated").x
    assert len(curves) == len(ghosts) == 2
    for ghost in ghosts:
        assert min(np.linalg.norm(curve - ghost, axis=1).min() for curve in curves) < 1e-9


def test_a_map_shows_those_of_its_flow() -> None:
    loss = sd.landscapes.coupled_double_well()
    of_map = with_gid(phase_portrait(sd.Map(loss, sd.GD(), lr=0.1), resolution=30), "separatrix")
    of_flow = with_gid(phase_portrait(sd.Flow(loss, sd.GD()), resolution=30), "separatrix")
    np.testing.assert_allclose(of_map[0].get_xydata(), of_flow[0].get_xydata())


def test_two_cycles_are_found_and_drawn() -> None:
    loss = sd.landscapes.quadratic(np.diag([2.0, 1.0]))
    system = sd.Map(loss, sd.SAM(0.5), lr=0.5)
    ax = phase_portrait(system, box=[(-1, 1.1), (-1, 1.1)], resolution=30)
    (cycle,) = with_gid(ax, "fixed point: 2-cycle, attracting")
    amplitude = 0.5 * 0.5 * 2 / (2 - 0.5 * 2)
    np.testing.assert_allclose(np.sort(cycle.get_xydata()[:, 0]), [-amplitude, amplitude], atol=1e-9)
    assert not with_gid(
        phase_portrait(system, box=[(-1, 1.1)] * 2, resolution=30, cycles=0), "fixed point: 2"
    )


def test_a_small_cycle_gets_one_open_marker() -> None:
    cloud = np.array([[0.3, 0.2], [0.301, 0.2]])
    cycle = FixedPoint(cloud[0], "cycle", "attracting", np.full(2, 0.5), 0.0, period=2, points=cloud)
    system = sd.Map(sd.landscapes.saddle(), sd.SAM(0.2), lr=0.1)
    ax = phase_portrait(system, box=[(-1, 1.1)] * 2, fixed_points=[cycle], resolution=20)
    (mark,) = with_gid(ax, "fixed point: 2-cycle, attracting")
    np.testing.assert_allclose(mark.get_xydata(), [[0.3005, 0.2]])
    assert mark.get_markerfacecolor() == "none"
    assert mark.get_markersize() > 12

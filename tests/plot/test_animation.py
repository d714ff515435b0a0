"""Animations over a parameter, and portraits with sliders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.animation import FuncAnimation, PillowWriter
from PIL import Image

import samdyn as sd

FLOW = sd.Flow(sd.landscapes.double_well(2), sd.SAM(1.5))
LINE = sd.Flow(sd.landscapes.tilted_double_well(), sd.SAM(1.5))


def stars(ax: Any) -> np.ndarray:
    found = [
        a.get_xydata() for a in ax.get_children() if (a.get_gid() or "").startswith("fixed point: hallu")
    ]
    return np.concatenate([np.empty((0, 2)), *found])


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_frames_of_a_file_differ(tmp_path: Path) -> None:
    animation = sd.plot.animate(FLOW, "rho", [0.5, 1.2, 1.8], resolution=20, fixed_points=False)
    assert isinstance(animation, FuncAnimation)
    animation.save(tmp_path / "rho.gif", writer=PillowWriter(fps=5), dpi=40)
    with Image.open(tmp_path / "rho.gif") as picture:
        assert picture.n_frames == 3
        frames = []
        for i in range(3):
            picture.seek(i)
            frames.append(np.asarray(picture.convert("RGB"), dtype=float))
    for first, second in ((0, 1), (1, 2)):
        assert (np.abs(frames[first] - frames[second]) > 30).any(axis=-1).mean() > 1e-3


def test_each_frame_is_the_portrait_at_its_value() -> None:
    values = [0.5, 1.8]
    figure, ax = plt.subplots()
    animation = sd.plot.animate(FLOW, "rho", values, ax=ax, resolution=20, legend="below")
    limits, entries = [], []
    for i, rho in enumerate(values):
        animation._func(i)
        wanted = sd.fixed_points(FLOW.with_parameters(rho=rho)).select(kind="hallucinated").x
        np.testing.assert_allclose(np.sort(stars(ax)[:, 0]), np.sort(wanted[:, 0]), atol=1e-9)
        assert f"{rho:g}" in ax.get_title()
        limits.append((ax.get_xlim(), ax.get_ylim()))
        entries.append(texts(ax))
    assert len(set(limits)) == 1
    assert entries[0] == entries[1]  # one legend for all frames
    assert "hallucinated, attracting" in entries[0]
    animation._draw_was_started = True
    plt.close(figure)


def test_one_dimension_keeps_its_limits_and_one_second_axis() -> None:
    figure, ax = plt.subplots()
    animation = sd.plot.animate(LINE, "rho", [0.5, 1.5], ax=ax, resolution=20)
    limits = []
    for i in (0, 1, 0):
        animation._func(i)
        limits.append(ax.get_ylim())
        assert len(figure.axes) == 2
    assert len(set(limits)) == 1
    animation._draw_was_started = True


def test_a_parameter_of_the_loss() -> None:
    flow = sd.Flow(sd.landscapes.tilted_hat(tilt=0.1), sd.SAM(1.2))
    animation = sd.plot.animate(flow, "tilt", [0.05, 0.2], resolution=20, fixed_points=False, legend=False)
    animation._func(1)
    assert "tilt" in animation._fig.axes[0].get_title()
    animation._draw_was_started = True


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((3.0, "rho", [1.0]), {}, TypeError, "system must be"),
        ((FLOW, 3, [1.0]), {}, TypeError, "parameter must be a string"),
        ((FLOW, "lr", [1.0]), {}, ValueError, "parameter must be one of the parameters of .*rho"),
        ((FLOW, "rho", []), {}, ValueError, "values must be"),
        ((FLOW, "rho", [-1.0]), {}, ValueError, "rho must be"),
        ((FLOW, "rho", [np.nan]), {}, ValueError, "values must be finite"),
        ((FLOW, "rho", [1.0]), {"ax": 3}, TypeError, "ax must be"),
        ((FLOW, "rho", [1.0]), {"legend": "nowhere"}, ValueError, "legend must be"),
        ((FLOW, "rho", [1.0]), {"interval": 0}, ValueError, "interval must be"),
        ((FLOW, "rho", [1.0]), {"resolution": 2}, ValueError, "resolution must be"),
    ],
)
def test_bad_input(arguments: tuple, options: dict, error: type, message: str) -> None:
    before = plt.get_fignums()
    with pytest.raises(error, match=message):
        sd.plot.animate(*arguments, **options)
    assert plt.get_fignums() == before


# sliders


def test_sliders_redraw(monkeypatch: pytest.MonkeyPatch) -> None:
    ipywidgets = pytest.importorskip("ipywidgets")
    shown: list[Any] = []
    monkeypatch.setattr(plt, "show", lambda: shown.append((plt.gca().get_title(), stars(plt.gca()))))
    system = sd.Map(sd.landscapes.double_well(2), sd.SAM(1.5), lr=0.1)
    box = sd.plot.interactive(system, parameters={"rho": (0.1, 1.9), "lr": (0.01, 0.5)}, resolution=20)
    assert isinstance(box, ipywidgets.VBox)
    sliders = box.children[0].children
    assert [(s.min, s.max, s.value) for s in sliders] == [(0.1, 1.9, 1.5), (0.01, 0.5, 0.1)]
    assert not any(s.continuous_update for s in sliders)
    np.testing.assert_allclose(np.sort(shown[-1][1][:, 0]), [-0.5, 0.5], atol=1e-9)
    sliders[0].value = 1.2
    np.testing.assert_allclose(np.sort(shown[-1][1][:, 0]), [-0.2, 0.2], atol=1e-9)
    assert plt.get_fignums() == []


def test_default_sliders(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipywidgets")
    monkeypatch.setattr(plt, "show", lambda: None)
    quick = {"resolution": 20, "fixed_points": False, "legend": False}
    of_map = sd.plot.interactive(sd.Map(sd.landscapes.saddle(), sd.SAM(0.5), lr=0.1), **quick)
    assert [s.value for s in of_map.children[0].children] == [0.5, 0.1]
    of_flow = sd.plot.interactive(sd.Flow(sd.landscapes.saddle(), sd.SAM(0.5)), **quick)
    assert len(of_flow.children[0].children) == 1


def test_without_ipywidgets_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r"pip install 'samdyn\[notebook\]'"):
        sd.plot.interactive(FLOW)


@pytest.mark.parametrize(
    ("system", "options", "error", "message"),
    [
        (3.0, {}, TypeError, "system must be"),
        (FLOW, {"parameters": {"lr": (0, 1)}}, ValueError, "parameters must be among the parameters"),
        (FLOW, {"parameters": {}}, ValueError, "at least one parameter"),
        (FLOW, {"parameters": ["rho"]}, TypeError, "parameters must be a dict"),
        (FLOW, {"parameters": {"rho": (2, 1)}}, ValueError, "lower < upper"),
        (FLOW, {"parameters": {"rho": (0.1, 1)}}, ValueError, "must hold the system's value 1.5"),
        (sd.Flow(sd.landscapes.saddle(), sd.GD()), {}, ValueError, "at least one parameter"),
        (
            sd.Map(sd.landscapes.saddle(), sd.SAM(lambda t: 1.0), lr=0.1),
            {"parameters": {"rho": (0, 2)}},
            ValueError,
            "not be on a schedule",
        ),
        (FLOW, {"legend": "nowhere"}, ValueError, "legend must be"),
        (FLOW, {"resolution": 2}, ValueError, "resolution must be"),
    ],
)
def test_bad_sliders(system: Any, options: dict, error: type, message: str) -> None:
    pytest.importorskip("ipywidgets")
    with pytest.raises(error, match=message):
        sd.plot.interactive(system, **options)


def test_basins_of_a_sequence_keep_their_colours_and_limits() -> None:
    """An attractor that a larger radius adds between the others does not move their numbers."""
    maps = [sd.Map(sd.landscapes.double_well(), rule, lr=0.05) for rule in (sd.GD(), sd.SAM(0.3))]
    found = [sd.basins(one, [(-2, 2)], 40) for one in maps]
    figure, ax = plt.subplots()
    animation = sd.plot.animate_results(found, labels=["GD", "SAM"], ax=ax)
    colors = []
    for i in range(2):
        animation._func(i)
        legend = ax.get_legend()
        entries = zip(legend.get_texts(), legend.get_patches(), strict=False)
        colors.append({text.get_text()[3:]: patch.get_facecolor() for text, patch in entries})
        assert ax.get_title() == ["GD", "SAM"][i]
        assert figure.axes == [ax]
    assert len(colors[0]) == 2
    assert len(colors[1]) == 3
    assert colors[0].items() <= colors[1].items()
    animation._draw_was_started = True


def test_exits_are_counted_as_time_goes_on() -> None:
    noise = sd.GaussianNoise(std=1.0)
    sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=noise)
    exits = sd.exit_times(sgd, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=200, t_max=50.0)
    _, ax = plt.subplots()
    animation = sd.plot.animate_exits(exits, ax, n_frames=5)
    curve = exits.survival()
    for i in range(5):
        animation._func(i)
        (moment,), (height,) = ax.lines[-1].get_data()
        gone = int((exits.times[exits.exited] <= moment).sum())
        assert f": {gone} of 200 paths" in ax.texts[-1].get_text()
        assert height == pytest.approx(curve.probability[np.searchsorted(curve.times, moment, "right") - 1])
    animation._draw_was_started = True


def test_sequences_that_are_none_are_refused() -> None:
    branch = sd.linearize(FLOW, [1.0, 1.0])
    with pytest.raises(ValueError, match="results must hold at least one result"):
        sd.plot.animate_results([])
    with pytest.raises(TypeError, match="results must be results of samdyn, got 1"):
        sd.plot.animate_results([1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="labels must be one for each of the 1 results, got 2"):
        sd.plot.animate_results([branch], labels=["a", "b"])
    with pytest.raises(TypeError, match="result must be an ExitTimes, got Linearization"):
        sd.plot.animate_exits(branch)  # type: ignore[arg-type]

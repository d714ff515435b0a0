"""Phase portraits: what is drawn is read back from the artists, by their group ids."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import same_color

import samdyn as sd
from samdyn.equilibria.search import FixedPoint
from samdyn.plot import phase_portrait
from samdyn.plot.appearance import style
from samdyn.plot.portrait.phase_portraits import field_of

SADDLE = sd.Landscape(lambda w: w[0] ** 2 / 2 - w[1] ** 2 / 2, 2, [(-1, 1), (-1, 1)], "saddle")
LINE = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4, 1, [(-1.6, 1.6)], "double well")
BOWL = sd.Landscape(lambda w: (w[0] ** 2 + 2 * w[1] ** 2 + 3 * w[2] ** 2) / 2, 3, [(-1, 1)] * 3, "bowl")


def point(x: list[float], kind: str, stability: str, **more: Any) -> FixedPoint:
    return FixedPoint(np.array(x), kind, stability, np.full(len(x), np.nan), 0.0, **more)


def with_gid(ax: Axes, start: str) -> list[Any]:
    return [artist for artist in ax.get_children() if (artist.get_gid() or "").startswith(start)]


def labels(ax: Axes) -> list[str]:
    box = ax.get_legend()
    assert box is not None
    return [text.get_text() for text in box.get_texts()]


def quick(system: Any, **options: Any) -> Axes:
    return phase_portrait(system, **{"resolution": 30, "fixed_points": False, "density": 0.6} | options)


# fixed points


@pytest.mark.parametrize(
    ("kind", "marker"),
    [
        ("minimum", "o"),
        ("saddle", "X"),
        ("maximum", "^"),
        ("degenerate", "D"),
        ("hallucinated", "*"),
        ("fixed point", "s"),
    ],
)
@pytest.mark.parametrize("stability", ["attracting", "trapping", "repelling", "saddle", "marginal"])
def test_shape_tells_the_kind_and_filling_the_stability(kind: str, marker: str, stability: str) -> None:
    ax = quick(sd.Flow(SADDLE, sd.GD()), fixed_points=[point([0.3, -0.2], kind, stability)], field=False)
    (mark,) = with_gid(ax, "fixed point")
    assert mark.get_xydata().tolist() == [[0.3, -0.2]]
    assert mark.get_marker() == marker
    assert same_color(mark.get_markerfacecolor(), "white") == (stability in ("repelling", "saddle"))
    assert (mark.get_fillstyle() == "left") == (stability == "marginal")


def test_one_marker_for_each_point_and_one_entry_for_each_kind() -> None:
    points = [
        point([-0.5, 0.0], "minimum", "attracting"),
        point([0.5, 0.0], "minimum", "attracting"),
        point([0.0, 0.0], "saddle", "saddle"),
        point([0.0, 0.5], "saddle", "trapping", capture_radius=0.2),
    ]
    ax = quick(sd.Flow(SADDLE, sd.GD()), fixed_points=points, nullclines=False)
    assert len(with_gid(ax, "fixed point: minimum, attracting")) == 2
    assert len(with_gid(ax, "fixed point")) == 4
    assert labels(ax) == ["minimum, attracting", "saddle", "saddle, trapping", "capture set"]


def test_trapping_points_carry_their_capture_set() -> None:
    points = [
        point([0.1, 0.2], "saddle", "trapping", capture_radius=0.25),
        point([0.5, 0.2], "saddle", "saddle", capture_radius=0.25),  # no disc: it does not trap
    ]
    (disc,) = with_gid(quick(sd.Flow(SADDLE, sd.SAM(0.2)), fixed_points=points), "capture set")
    assert disc.get_center() == (0.1, 0.2)
    assert disc.get_radius() == pytest.approx(0.25)
    assert 0 < disc.get_alpha() < 1


def test_the_points_that_are_found_are_drawn() -> None:
    system = sd.Flow(SADDLE, sd.SAM(0.2))
    ax = phase_portrait(system, resolution=30)
    (saddle,) = with_gid(ax, "fixed point: saddle, trapping")
    np.testing.assert_allclose(saddle.get_xydata(), [[0, 0]], atol=1e-9)
    ghosts = np.concatenate([mark.get_xydata() for mark in with_gid(ax, "fixed point: hallucinated, saddle")])
    np.testing.assert_allclose(sorted(ghosts.tolist()), [[0, -0.2], [0, 0.2]], atol=1e-9)
    assert len(with_gid(ax, "fixed point")) == 3
    assert len(with_gid(ax, "capture set")) == 1


def test_scheduled_systems_have_none() -> None:
    system = sd.Map(SADDLE, sd.SAM(lambda step: 0.5 / (1 + step)), lr=0.1)
    ax = phase_portrait(system, resolution=30)
    assert with_gid(ax, "fixed point") == []


def test_cycles_and_sets_show_all_their_points() -> None:
    orbit = np.array([[0.1, 0.2], [-0.3, 0.4]])
    angle = np.linspace(0, 6, 40)
    curve = 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    cycle = point([0.1, 0.2], "cycle", "attracting", period=2, points=orbit)
    ring = point([0.5, 0.0], "degenerate", "marginal", dimension=1, points=curve)
    ax = quick(sd.Map(SADDLE, sd.GD(), lr=0.1), fixed_points=[cycle, ring])
    (of_cycle,) = with_gid(ax, "fixed point: 2-cycle, attracting")
    np.testing.assert_array_equal(of_cycle.get_xydata(), orbit)
    (of_ring,) = with_gid(ax, "fixed point: degenerate, marginal (set)")
    np.testing.assert_array_equal(of_ring.get_xydata(), curve)


def test_method_of_fixed_points_draws_them() -> None:
    points = sd.fixed_points(sd.Flow(SADDLE, sd.GD()))
    ax = points.plot()
    assert len(with_gid(ax, "fixed point")) == len(points) == 1


# the field


def test_field_of_each_view() -> None:
    x = np.array([[0.6, 0.8], [-0.3, 0.4]])
    g = x * [1, -1]
    e = 0.5 * g / np.linalg.norm(g, axis=1, keepdims=True)
    wanted = -(x + e) * [1, -1]
    rule = sd.SAM(0.5)
    views = (
        sd.Flow(SADDLE, rule),
        sd.Map(SADDLE, rule, lr=0.01),
        sd.Map(SADDLE, rule, lr=0.3, momentum=0.9),
        sd.Diffusion(SADDLE, rule, lr=0.1, noise=sd.GaussianNoise()),
    )
    for view in views:
        np.testing.assert_allclose(field_of(view, x), wanted, atol=1e-12)
    plain = sd.Map.from_function(lambda w: 3 * w, dim=2)
    np.testing.assert_allclose(field_of(plain, x), 2 * x)


def test_streamlines_follow_a_field_that_jumps() -> None:
    system = sd.Flow(SADDLE, sd.SAM(0.4))
    ax = phase_portrait(system, box=[(-0.5, 0.5), (-0.5, 0.5)], fixed_points=False)
    (lines,) = with_gid(ax, "streamlines")
    middle = np.concatenate([(line[:-1] + line[1:]) / 2 for line in lines.get_segments()])
    step = np.concatenate([np.diff(line, axis=0) for line in lines.get_segments()])
    # streamplot steps to and fro across a zero of the field, inside the cell that holds it
    zeros = np.array([[0.0, 0.0], [0.0, 0.4], [0.0, -0.4]])
    away = np.linalg.norm(middle[:, None] - zeros, axis=-1).min(axis=1) > 2 / 220
    keep = away & (np.linalg.norm(step, axis=1) > 0)
    field = system(middle[keep])
    cosine = (field * step[keep]).sum(1) / np.linalg.norm(field, axis=1) / np.linalg.norm(step[keep], axis=1)
    inner = np.linalg.norm(middle[keep], axis=1) < 0.2
    assert inner.sum() > 50
    assert np.quantile(cosine, 0.02) > 0.95
    assert np.quantile(cosine[inner], 0.02) > 0.95


def test_nullclines_are_where_a_component_vanishes() -> None:
    shifted = sd.Landscape(lambda w: (w[0] - 0.3) ** 2 / 2 - (w[1] + 0.1) ** 2, 2, [(-1, 1), (-1, 1)])
    ax = quick(sd.Flow(shifted, sd.GD()))
    for axis, value in ((0, 0.3), (1, -0.1)):
        (curve,) = with_gid(ax, f"nullcline {axis}")
        vertices = curve.get_paths()[0].vertices
        np.testing.assert_allclose(vertices[:, axis], value, atol=1e-12)
        assert np.ptp(vertices[:, 1 - axis]) == pytest.approx(2.0)
    dashes = [str(with_gid(ax, f"nullcline {axis}")[0].get_linestyle()) for axis in (0, 1)]
    assert dashes[0] != dashes[1]


def test_contours_are_those_of_the_loss() -> None:
    ax = quick(sd.Flow(sd.landscapes.himmelblau(), sd.GD()), resolution=120)
    (lines,) = [a for a in with_gid(ax, "contours") if a.get_gid() == "contours of the loss"]
    ratios = lines.levels[1:] / lines.levels[:-1]
    np.testing.assert_allclose(ratios, ratios[0])  # a wide range: geometric levels
    lowest = lines.get_paths()[0].vertices
    value = sd.landscapes.himmelblau().value(lowest)
    assert np.abs(value / lines.levels[0] - 1).max() < 0.5
    assert with_gid(quick(sd.Flow.from_function(lambda w: -w, dim=2, box=[(-1, 1)] * 2)), "contours") == []


def test_parts_can_be_left_out() -> None:
    ax = quick(sd.Flow(SADDLE, sd.GD()), field=False, nullclines=False, contours=False, legend=False)
    assert [a for a in ax.get_children() if a.get_gid()] == []
    assert ax.get_legend() is None


# trajectories


def test_trajectories_from_starts() -> None:
    starts = np.array([[0.5, 0.1], [-0.5, 0.2], [0.1, -0.1]])
    for system, options in (
        (sd.Map(SADDLE, sd.GD(), lr=0.1), {"n_steps": 7}),
        (sd.Flow(SADDLE, sd.GD()), {"t_max": 0.7}),
    ):
        paths = with_gid(quick(system, trajectories=starts, **options), "trajectory")
        np.testing.assert_allclose([p.get_xydata()[0] for p in paths], starts)
        last = np.array([p.get_xydata()[-1] for p in paths])
        factor = [0.9**7, 1.1**7] if isinstance(system, sd.Map) else np.exp([-0.7, 0.7])
        np.testing.assert_allclose(last, starts * factor, rtol=1e-6)
    assert len(with_gid(quick(sd.Map(SADDLE, sd.GD(), lr=0.1), trajectories=[0.5, 0.1]), "trajectory")) == 1


def test_trajectories_of_a_diffusion_use_the_seed() -> None:
    system = sd.Diffusion(SADDLE, sd.GD(), lr=0.01, noise=sd.GaussianNoise())
    one, same, other = (
        with_gid(quick(system, trajectories=[0.5, 0.1], t_max=0.5, seed=seed), "trajectory")[0].get_xydata()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_trajectories_that_are_given() -> None:
    rng = np.random.default_rng(0)
    paths = rng.uniform(-1, 1, (5, 3, 2))
    ax = quick(sd.Flow(SADDLE, sd.GD()), trajectories=paths)
    np.testing.assert_array_equal([p.get_xydata() for p in with_gid(ax, "trajectory")], paths.swapaxes(0, 1))
    assert labels(ax).count("trajectory") == 1
    each = [paths[:, 0], paths[:4, 1]]
    ax = quick(sd.Flow(SADDLE, sd.GD()), trajectories=each)
    for drawn, wanted in zip(with_gid(ax, "trajectory"), each, strict=True):
        np.testing.assert_array_equal(drawn.get_xydata(), wanted)


def test_trajectories_that_diverge_are_cut_and_counted() -> None:
    paths = np.zeros((4, 2, 2))
    paths[:, 0, 0] = [0.1, 50.0, 1e9, np.nan]
    ax = quick(sd.Flow(SADDLE, sd.GD()), trajectories=paths)
    first, second = with_gid(ax, "trajectory")
    assert first.get_xydata().tolist() == [[0.1, 0.0], [50.0, 0.0]]
    assert len(second.get_xydata()) == 4
    assert "trajectory (1 of 2 diverged)" in labels(ax)
    assert ax.get_xlim() == (-1, 1)


# one dimension


def test_line_is_broken_where_the_field_jumps() -> None:
    system = sd.Flow(LINE, sd.SAM(0.2))
    ax = phase_portrait(system, resolution=50)
    (curve,) = with_gid(ax, "field")
    x, y = curve.get_xydata().T
    assert np.isnan(y).sum() == 3  # at -1, 0 and 1
    shown = ~np.isnan(y)
    joined = shown[:-1] & shown[1:]
    for jump in (-1, 0, 1):  # no drawn piece reaches across
        assert not (joined & (x[:-1] < jump) & (x[1:] > jump)).any()
    np.testing.assert_allclose(y[shown], system(x[shown][:, None])[:, 0])
    jumps = [jump.get_xydata() for jump in with_gid(ax, "jump")]
    np.testing.assert_allclose([j[:, 0].mean() for j in jumps], [-1, 0, 1], atol=0.01)
    assert len(with_gid(ax, "fixed point")) == 5
    assert len(with_gid(ax, "capture set")) == 3
    marks = np.concatenate([mark.get_xydata() for mark in with_gid(ax, "fixed point")])
    assert (marks[:, 1] == 0).all()
    smooth = phase_portrait(sd.Flow(LINE, sd.GD()), resolution=50, fixed_points=False)
    assert with_gid(smooth, "jump") == []


def test_arrows_point_along_the_field() -> None:
    ax = phase_portrait(sd.Map(LINE, sd.GD(), lr=0.1), resolution=50, fixed_points=False)
    arrows = sorted((float(a.get_xdata()[0]), a.get_marker()) for a in with_gid(ax, "arrow"))
    assert [marker for _, marker in arrows] == [">", "<", ">", "<"]
    np.testing.assert_allclose([x for x, _ in arrows], [-1.3, -0.5, 0.5, 1.3], atol=0.02)


def test_loss_has_an_axis_of_its_own() -> None:
    ax = quick(sd.Flow(LINE, sd.GD()))
    (twin,) = [other for other in ax.figure.axes if other is not ax]
    (curve,) = with_gid(twin, "loss")
    x, value = curve.get_xydata().T
    np.testing.assert_allclose(value, (x**2 - 1) ** 2 / 4)
    alone = quick(sd.Flow.from_function(lambda w: -w, dim=1, box=[(-1, 1)]))
    assert len(alone.figure.axes) == 1


# planes in more dimensions


def test_plane_shows_the_field_at_the_given_height() -> None:
    tilted = sd.Flow.from_function(
        lambda w: torch.stack([w[0] - w[1], w[1] - 7, w[2] - w[1] ** 2]),
        dim=3,
        box=[(-1, 1)] * 3,
        name="tilted",
    )
    ax = quick(tilted, coordinates=(2, 0), at=[0.5])  # x2 across, x0 up, x1 = 0.5
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_{2}$", "$x_{0}$")
    for gid, axis, value in (("nullcline 2", 0, 0.25), ("nullcline 0", 1, 0.5)):
        (curve,) = with_gid(ax, gid)
        np.testing.assert_allclose(curve.get_paths()[0].vertices[:, axis], value, atol=1e-12)
    assert ax.get_title() == "tilted\n$x_{1} = 0.5$"


def test_points_beside_the_plane_are_faded_and_their_balls_cut() -> None:
    points = [
        point([0.1, 0.2, 0.3], "minimum", "trapping", capture_radius=0.5),
        point([0.4, 0.2, 0.0], "minimum", "trapping", capture_radius=0.2),
        point(
            [0.4, 0.2, 0.9], "minimum", "trapping", capture_radius=0.2
        ),  # its ball does not reach the plane
    ]
    ax = quick(sd.Flow(BOWL, sd.SAM(0.1)), fixed_points=points, at=[0.0])
    faded = with_gid(ax, "fixed point: minimum, trapping, off the plane")
    assert [mark.get_xydata()[0].tolist() for mark in faded] == [[0.1, 0.2], [0.4, 0.2]]
    assert all(mark.get_alpha() < 1 for mark in faded)
    assert [disc.get_radius() for disc in with_gid(ax, "capture set")] == pytest.approx([0.4, 0.2])


def test_trajectories_are_projected() -> None:
    paths = np.random.default_rng(1).uniform(-1, 1, (6, 2, 3))
    ax = quick(sd.Flow(BOWL, sd.GD()), trajectories=paths, coordinates=(0, 2))
    np.testing.assert_array_equal(with_gid(ax, "trajectory")[1].get_xydata(), paths[:, 1, [0, 2]])


# axes and figures


def test_a_given_axes_is_used_and_no_figure_made() -> None:
    figure, both = plt.subplots(1, 2)
    other = plt.figure()
    before, current = plt.get_fignums(), plt.gcf()
    assert current is other
    for ax, system in zip(both, (sd.Flow(SADDLE, sd.GD()), sd.Flow(LINE, sd.GD())), strict=True):
        assert quick(system, ax=ax) is ax
    assert plt.get_fignums() == before
    assert plt.gcf() is other
    assert figure.get_axes()[:2] == list(both)


def test_labels_and_aspect() -> None:
    ax = quick(sd.Flow(SADDLE, sd.SAM(0.2)))
    assert ax.get_title() == r"SAM flow on saddle, $\rho = 0.2$"
    assert ax.get_aspect() == 1
    assert (*ax.get_xlim(), *ax.get_ylim()) == (-1, 1, -1, 1)
    long = quick(sd.Flow(SADDLE, sd.GD()), box=[(-5, 5), (-1, 1)])
    assert long.get_aspect() == "auto"
    assert (*long.get_xlim(), *long.get_ylim()) == (-5, 5, -1, 1)


@pytest.mark.parametrize("loss", [SADDLE, LINE])
def test_own_figure_holds_the_legend_beside_the_axes(loss: sd.Landscape) -> None:
    ax = phase_portrait(sd.Flow(loss, sd.SAM(0.2)), resolution=30)
    ax.figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    others = [other.get_tightbbox(for_layout_only=True) for other in ax.figure.axes if other is not ax]
    assert box.x0 > max([ax.get_window_extent().x1, *(other.x1 for other in others)])
    assert box.x1 <= ax.figure.bbox.x1
    assert ax.get_legend().get_frame().get_alpha() == 1
    assert len(set(labels(ax))) == len(labels(ax))


def test_legend_below_has_two_columns_in_a_column_of_a_page() -> None:
    with plt.rc_context({"font.size": 8}):
        _, ax = plt.subplots(figsize=(3.35, 3.4), layout="constrained")
        crowd = [point([0.0, 0.0], "saddle", "saddle"), point([0.8, 0.8], "minimum", "attracting")]
        quick(sd.Flow(SADDLE, sd.GD()), ax=ax, fixed_points=crowd, legend="below")
        ax.figure.canvas.draw()
    box = ax.get_legend()
    assert box._ncols == 2
    assert ax.figure.bbox.x0 <= box.get_window_extent().x0
    assert box.get_window_extent().x1 <= ax.figure.bbox.x1
    assert ax.get_window_extent().height > 0.4 * ax.figure.bbox.height


def test_legend_in_given_axes_goes_where_there_is_room() -> None:
    _, ax = plt.subplots(layout="constrained")
    quick(sd.Flow(SADDLE, sd.GD()), ax=ax)
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y1 < ax.get_window_extent().y0
    _, ax = plt.subplots()
    crowd = [point([x, y], "minimum", "attracting") for x, y in ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8))]
    quick(sd.Flow(SADDLE, sd.GD()), ax=ax, fixed_points=crowd)
    ax.figure.canvas.draw()
    below, whole = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert below.y1 < whole.y0  # the field fills the axes, so a legend in a corner would cover some of it
    assert below.y0 >= 0
    quick(sd.Flow(SADDLE, sd.GD()), ax=ax, fixed_points=crowd, legend="inside")
    ax.figure.canvas.draw()
    inside, whole = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert inside.x0 - whole.x0 < whole.x1 - inside.x1  # left
    assert whole.y1 - inside.y1 < inside.y0 - whole.y0  # upper


def test_every_kind_has_its_own_shape_and_colour() -> None:
    shapes, colours, _ = zip(*style.KINDS.values(), strict=True)
    assert len(set(shapes)) == len(shapes)
    assert set(colours) <= set(style.OKABE_ITO.values())


def test_importing_does_not_import_matplotlib() -> None:
    code = (
        "import sys, samdyn, samdyn.plot; print(any(m.startswith('matplotlib.pyplot') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"system": "saddle"}, TypeError, "system must be"),
        ({"box": [(0, 1)]}, ValueError, "box must be"),
        ({"box": [(1, 0), (0, 1)]}, ValueError, "box must have lower < upper"),
        ({"ax": "here"}, TypeError, "ax must be a matplotlib Axes"),
        ({"fixed_points": 3}, TypeError, "fixed_points must be"),
        ({"fixed_points": [[0.0, 0.0]]}, TypeError, "fixed_points must hold"),
        ({"fixed_points": [point([0.0], "minimum", "attracting")]}, ValueError, "fixed_points must have 2"),
        ({"trajectories": [[0.0, 0.0, 0.0]]}, ValueError, "trajectories must have shape"),
        ({"trajectories": [[0.0, np.nan]]}, ValueError, "trajectories must be finite"),
        ({"trajectories": [np.zeros((4, 3))]}, ValueError, r"trajectories\[0\] must have shape"),
        ({"resolution": 3}, ValueError, "resolution must be"),
        ({"density": 0.0}, ValueError, "density must be"),
        ({"legend": 1.5}, TypeError, "legend must be"),
        ({"coordinates": (0,)}, ValueError, "coordinates must be a pair"),
        ({"coordinates": (0, 2)}, ValueError, "coordinates must be an integer"),
        ({"coordinates": (1, 1)}, ValueError, "coordinates must be two different"),
        ({"at": [0.0]}, ValueError, "at must be left out"),
        ({"n_steps": 0}, ValueError, "n_steps must be"),
        ({"t_max": -1.0}, ValueError, "t_max must be"),
        ({"dt": 0.0}, ValueError, "dt must be"),
        (
            {"system": sd.Map(SADDLE, sd.GD(), lr=0.1), "t_max": 1.0},
            ValueError,
            "t_max must be left out for a Map",
        ),
        ({"system": sd.Flow(BOWL, sd.GD()), "at": [0.0, 0.0]}, ValueError, "at must have shape"),
        (
            {"system": sd.Flow(LINE, sd.GD()), "trajectories": [[0.0]]},
            ValueError,
            "trajectories must be left out",
        ),
        (
            {"system": sd.Flow(LINE, sd.GD()), "coordinates": (0,)},
            ValueError,
            "coordinates must be a pair",
        ),
        (
            {"system": sd.Flow.from_function(lambda w: -w, dim=2, name="sink")},
            ValueError,
            "box must be given: sink",
        ),
    ],
)
def test_bad_arguments_are_refused_before_a_figure_is_made(
    options: Any, error: type[Exception], message: str
) -> None:
    before = plt.get_fignums()
    with pytest.raises(error, match=message):
        quick(**{"system": sd.Flow(SADDLE, sd.GD())} | options)
    assert plt.get_fignums() == before

"""Pictures of exit times: what is drawn is what was estimated, and every axis has a label with its unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.escape.statistics.location import locate
from samdyn.plot.exits import exit_density, exit_quantiles
from samdyn.plot.locations import exit_locations


def result(watched: Any, exited: Any, **changes: Any) -> sd.escape.ExitTimes:
    """An `ExitTimes` made by hand."""
    watched, exited = np.asarray(watched, dtype=float), np.asarray(exited, dtype=bool)
    n = len(watched)
    values: dict[str, Any] = {
        "times": np.where(exited, watched, np.nan), "exited": exited, "watched": watched,
        "exit_points": np.where(exited[:, None], np.linspace(-1, 1, 2 * n).reshape(n, 2), np.nan),
        "diverged": np.zeros(n, dtype=bool), "faces": np.where(exited, np.arange(n) % 2, -1).astype(np.int16),
        "face_names": ("x_0 = -1", "x_0 = 1"), "t_max": float(watched.max()), "dt": 0.1, "seed": 3,
        "correction": "bridge", "discrete": False, "system": "a system", "region": "a region",
    }  # fmt: skip
    return sd.escape.ExitTimes(**{**values, **changes})


SAMPLE = np.random.default_rng(5).exponential(2.0, 20_000)
FULL = result(SAMPLE, np.ones(20_000))
CENSORED = result(np.minimum(SAMPLE, 3.0), SAMPLE <= 3.0)
STEPS = result(np.ceil(SAMPLE), np.ones(20_000), discrete=True, correction=None, dt=1.0)
NOTHING = result(np.full(5, 3.0), np.zeros(5))


def labelled(ax: Any) -> None:
    assert ax.get_xlabel()
    assert ax.get_ylabel()


# ---------------------------------------------------------------------- survival


@pytest.mark.parametrize("exits", [FULL, CENSORED, STEPS], ids=["full", "censored", "steps"])
def test_the_curve_is_the_estimate_down_to_its_end(exits: sd.escape.ExitTimes) -> None:
    ax = sd.plot.survival([exits])
    labelled(ax)
    t, p = ax.lines[0].get_data()
    curve = exits.survival()
    np.testing.assert_array_equal(p, curve(t))
    # thinned, but no step on the logarithmic axis is coarser than the curve's own
    shown = curve.probability[curve.probability > 0]
    assert len(t) <= 4000
    assert p[-1] == shown[-1]
    own = np.abs(np.diff(np.log(shown))).max()
    assert np.abs(np.diff(np.log(p))).max() <= own + np.log(p[0] / p[-1]) / 1999 + 1e-12


def test_several_curves_have_labels_and_styles() -> None:
    ax = sd.plot.survival([FULL, CENSORED, NOTHING], labels=["a", "b", "c"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]
    assert len({line.get_color() for line in ax.lines}) == 3
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    assert "learning rate" in ax.get_xlabel()
    assert sd.plot.survival(STEPS).get_xlabel() == "steps"
    named = sd.plot.survival([FULL, NOTHING]).get_legend().get_texts()
    assert f"{FULL.mean:.3g}" in named[0].get_text()
    assert named[1].get_text() == "no exit"


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([],), ValueError, "at least one ExitTimes, got none"),
        (([3.0],), TypeError, "results must be ExitTimes, got float"),
        (([FULL], ["a", "b"]), ValueError, "one for each of the 1 results, got 2"),
        (([FULL, STEPS],), ValueError, "same unit"),
        (([FULL], None, "here"), TypeError, "ax must be a matplotlib Axes"),
    ],
)
def test_bad_curves(arguments: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        sd.plot.survival(*arguments)


# ---------------------------------------------------------------------- density


@pytest.mark.parametrize("exits", [FULL, CENSORED, STEPS], ids=["full", "censored", "steps"])
def test_bars_hold_the_share_that_left(exits: sd.escape.ExitTimes) -> None:
    ax = exit_density(exits)
    labelled(ax)
    area = sum(bar.get_width() * bar.get_height() for bar in ax.containers[0])
    assert area == pytest.approx(exits.n_exited / len(exits))


def test_the_law_drawn_is_the_one_fitted() -> None:
    ax = exit_density(CENSORED, bins=13)
    assert len(ax.containers[0]) == 13
    lines = {line.get_gid(): line for line in ax.lines}
    t, density = lines["exponential"].get_data()
    np.testing.assert_allclose(density, np.exp(-t / CENSORED.mean) / CENSORED.mean)
    tail = CENSORED.slowest_rate(0.5)
    t, density = lines["tail"].get_data()
    assert t.min() >= tail.start
    np.testing.assert_allclose(
        density, tail.n_paths / len(CENSORED) * tail.rate * np.exp(-tail.rate * (t - tail.start))
    )
    assert "tail" not in {line.get_gid() for line in exit_density(CENSORED, tail=None).lines}


def test_whole_steps_are_not_torn() -> None:
    ax = exit_density(STEPS)
    assert "1 / step" in ax.get_ylabel()
    assert "steps" in ax.get_xlabel()
    for bar in ax.containers[0]:
        assert (bar.get_x() - 0.5) % 1 == pytest.approx(0)
        assert bar.get_width() % 1 == pytest.approx(0)
    # an equal number of steps in each bin, so that a geometric law shows no comb
    assert len({round(bar.get_width()) for bar in ax.containers[0]}) == 1


def test_few_exits_have_no_tail() -> None:
    ax = exit_density(result([1.0, 2.0], [1, 1]))
    assert {line.get_gid() for line in ax.lines} >= {"exponential"}
    assert "tail" not in {line.get_gid() for line in ax.lines}
    exit_density(result([1.0], [1]))
    exit_density(result([2.0, 2.0], [1, 1], correction=None, dt=1.0, discrete=True))


# ---------------------------------------------------------------------- locations


def place(region: Any, points: Any, faces: Any) -> Any:
    return locate(
        np.asarray(points, dtype=float), np.asarray(faces), [face.name for face in region.faces], region
    )


BOX = sd.Box([-1, -1], [1, 1])
BALL = sd.Ball([0.0, 0.0], 1.0)
ANGLES = np.random.default_rng(0).uniform(-np.pi, np.pi, 500)
ON_BALL = place(BALL, np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1), np.zeros(500, dtype=int))
ON_BOX = place(BOX, [[-1, 0.2], [1, 0.3], [1, 0.1], [0.4, 1]], [0, 1, 1, 3])


def test_shares_of_faces() -> None:
    ax = exit_locations(ON_BOX)
    labelled(ax)
    assert [bar.get_height() for bar in ax.containers[0]] == [0.25, 0.5, 0, 0.25]
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "$x_0 = -1$", "$x_0 = 1$", "$x_1 = -1$", "$x_1 = 1$",
    ]  # fmt: skip
    (whiskers,) = ax.containers[1].lines[2]
    ends = np.array([segment[:, 1] for segment in whiskers.get_segments()])
    np.testing.assert_allclose(ends, np.stack([ON_BOX.lower, ON_BOX.upper], axis=1))


@pytest.mark.parametrize(("spot", "unit"), [(ON_BALL, "radian"), (ON_BOX, "units of the weights")])
def test_positions_along_the_boundary(spot: Any, unit: str) -> None:
    ax = exit_locations(spot, kind="positions")
    labelled(ax)
    assert unit in ax.get_xlabel()
    areas = [
        float((patch.get_data().values * np.diff(patch.get_data().edges)).sum())
        for patch in ax.patches
        if str(patch.get_gid()).startswith("face")
    ]
    np.testing.assert_allclose(areas, spot.shares[spot.counts > 0])


def test_points_in_the_plane() -> None:
    ax = exit_locations(ON_BOX, kind="points")
    labelled(ax)
    assert [len(dots.get_offsets()) for dots in ax.collections] == [1, 2, 1]
    np.testing.assert_array_equal(ax.collections[1].get_offsets(), [[1, 0.3], [1, 0.1]])


def test_the_default_kind_fits_the_region() -> None:
    assert "angle" in exit_locations(ON_BALL).get_xlabel()
    curve = sd.Region(lambda w: w.norm() - 1, dim=2)
    assert "x_0" in exit_locations(place(curve, ON_BALL.points, ON_BALL.faces)).get_xlabel()
    line = sd.Ball([0.0], 1.0)
    spot = locate(np.ones((3, 1)), np.zeros(3, dtype=int), [face.name for face in line.faces], line)
    assert exit_locations(spot).get_ylabel() == "share of exits"


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((3.0,), TypeError, "result must be ExitTimes or ExitLocation, got float"),
        ((NOTHING,), ValueError, "must hold a path that left"),
        ((ON_BOX, None, "angles"), ValueError, "kind must be one of 'shares', 'positions', 'points'"),
        ((FULL, None, "positions"), ValueError, "exit_location\\(region="),
    ],
)
def test_bad_locations(arguments: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        exit_locations(*arguments)


def test_faces_of_both_kinds_have_no_common_axis() -> None:
    half = BALL & sd.HalfSpace([1.0, 0.0], 0.0)
    spot = place(half, [[-1, 0], [0, 0.2]], [0, 1])
    with pytest.raises(ValueError, match="all straight or all circular"):
        exit_locations(spot, kind="positions")
    labelled(exit_locations(spot))


def test_plots_of_a_result() -> None:
    import matplotlib.pyplot as plt

    ax = plt.subplots()[1]
    assert FULL.plot(ax=ax) is ax
    assert FULL.plot().get_yscale() == "log"
    assert "density" in FULL.plot("density").get_ylabel()
    assert "share" in FULL.plot("location").get_ylabel()
    assert "share" in FULL.exit_location().plot(color="red").get_ylabel()
    with pytest.raises(
        ValueError, match=r"kind must be one of 'survival', 'density', 'quantiles', .* got 'pie'"
    ):
        FULL.plot("pie")
    for wrong, error in ((3.0, TypeError), (NOTHING, ValueError)):
        with pytest.raises(error, match="result must"):
            exit_density(wrong)
        with pytest.raises(error, match="result must"):
            exit_quantiles(wrong)


@pytest.mark.parametrize("exits", [FULL, CENSORED, STEPS], ids=["full", "censored", "steps"])
def test_quantiles_of_an_exponential_law_are_a_straight_line(exits: sd.escape.ExitTimes) -> None:
    ax = exits.plot("quantiles")
    labelled(ax)
    drawn, law = ax.lines[:2]
    x, t = drawn.get_data()
    np.testing.assert_array_equal(t, exits.quantile(-np.expm1(-x)))
    np.testing.assert_allclose(law.get_ydata(), exits.mean * x)
    middle = (x > 0.2) & (x < 1.3)
    assert np.abs(t - exits.mean * x)[middle].max() < (1.0 if exits.discrete else 0.15)
    tail = next(line for line in ax.lines if line.get_gid() == "tail")
    assert np.diff(tail.get_ydata()) / np.diff(tail.get_xdata()) == pytest.approx(
        1 / exits.slowest_rate(0.5).rate
    )


def test_few_exits_have_quantiles_without_a_tail() -> None:
    ax = exit_quantiles(result([1.0, 2.0, 4.0], [1, 0, 0]))
    labelled(ax)
    assert "tail" not in {line.get_gid() for line in ax.lines}
    assert "tail" not in {line.get_gid() for line in exit_quantiles(FULL, tail=None).lines}

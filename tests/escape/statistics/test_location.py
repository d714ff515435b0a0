"""Shares of faces and positions along the boundary."""

from __future__ import annotations

import dataclasses
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import samdyn as sd
from samdyn.escape.statistics.location import locate


def brownian(std: float | tuple[float, float] = 1.0) -> sd.Diffusion:
    """Brownian motion in the plane."""
    flat = sd.Landscape(lambda w: 0.0 * w.sum(), dim=2, name="flat")
    return sd.Diffusion(flat, sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=std))


BALL = sd.Ball([0.5, -1.0], 1.0)
BOX = sd.Box([-1.0, -2.0], [1.0, 2.0])


def test_wilson_intervals() -> None:
    faces = np.repeat(np.array([0, 2], dtype=np.int16), [30, 70])
    place = locate(np.zeros((100, 2)), faces, ["a", "b", "c"], level=0.9)
    np.testing.assert_array_equal(place.counts, [30, 0, 70])
    np.testing.assert_allclose(place.shares, [0.3, 0, 0.7])
    z, n, p = stats.norm.ppf(0.95), 100, np.array([0.3, 0.0, 0.7])
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    np.testing.assert_allclose(place.lower, middle - reach, atol=1e-12)
    np.testing.assert_allclose(place.upper, middle + reach, atol=1e-12)
    assert place.positions is None
    text, html = repr(place), place._repr_html_()
    assert len(text.splitlines()) == 5
    for part in ("a", "70", "0.7000", "90 % interval"):
        assert part in text
        assert part in html


def test_a_ball_is_left_by_the_harmonic_measure() -> None:
    # from radius r the exit angle of Brownian motion has the Poisson kernel, a wrapped Cauchy law
    r = 0.6
    start = [0.5 + r, -1.0]
    exits = sd.exit_times(brownian(), start, BALL, 20_000, t_max=1e4, dt=1.0, seed=3)
    place = exits.exit_location(region=BALL)
    assert place.positions is not None
    np.testing.assert_allclose(np.linalg.norm(place.points - BALL.center, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        place.positions, np.arctan2(place.points[:, 1] + 1, place.points[:, 0] - 0.5), atol=1e-12
    )
    assert place.angular.all()
    # E cos(angle) = r; the step of 0.1 in space blurs it by a few thousandths
    cosine = np.cos(place.positions)
    assert abs(cosine.mean() - r) < 4 * cosine.std() / math.sqrt(len(cosine)) + 0.005
    assert abs(np.sin(place.positions).mean()) < 4 / math.sqrt(len(cosine))


def test_a_box_is_left_through_the_near_face() -> None:
    # far from the sides in x_1, the share of each face in x_0 is that of the gambler's ruin
    tall = sd.Box([-1.0, -100.0], [1.0, 100.0])
    exits = sd.exit_times(brownian((1.0, 0.01)), [0.5, 3.0], tall, 5000, t_max=1e4, dt=1.0, seed=3)
    place = exits.exit_location(0.999, region=tall)
    assert place.face_names[:2] == ("x_0 = -1", "x_0 = 1")
    assert place.lower[0] < 0.25 < place.upper[0]
    assert place.lower[1] < 0.75 < place.upper[1]
    assert place.positions is not None
    np.testing.assert_array_equal(place.positions, place.points[:, 1])  # the coordinate along x_0 = +-1
    assert not place.angular.any()


def test_positions_on_other_faces() -> None:
    faces = np.zeros(2, dtype=np.int16)
    points = np.array([[1.0, 0.0], [0.0, 1.0]])
    slope = sd.HalfSpace([1.0, 1.0], math.sqrt(2))
    place = locate(points, faces, [slope.faces[0].name], slope)
    assert place.positions is not None
    assert abs(np.diff(place.positions)[0]) == pytest.approx(math.sqrt(2))
    curve = sd.Region(lambda w: w.norm() - 1, dim=2)
    place = locate(points, faces, [curve.faces[0].name], curve)
    assert np.isnan(place.positions).all()
    ball = sd.Ball([0.0] * 3, 1.0)
    assert locate(np.zeros((2, 3)), faces, [ball.faces[0].name], ball).positions is None


def test_no_exit() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says that none left
        exits = sd.exit_times(brownian(), [0.0, 0.0], BOX, 5, t_max=0.02, seed=3)
    place = exits.exit_location(region=BOX)
    assert place.counts.sum() == 0
    assert np.isnan(place.shares).all()
    assert (place.lower == 0).all()
    assert (place.upper == 1).all()


def test_the_region_comes_with_the_problem_and_with_the_file(tmp_path: Path) -> None:
    exits = sd.exit_times(brownian(), [0.5, -1.0], BALL, 50, t_max=1e4, dt=1.0, seed=3)
    exits = dataclasses.replace(exits, problem=(brownian(), BALL, [0.5, -1.0]))
    assert exits.exit_location().positions is not None
    exits.save(tmp_path / "a")
    again = sd.escape.ExitTimes.load(tmp_path / "a")
    assert again.absent
    np.testing.assert_array_equal(again.exit_location().positions, exits.exit_location().positions)
    np.testing.assert_array_equal(again.exit_location(region=BALL).positions, exits.exit_location().positions)


def test_bad_arguments() -> None:
    exits = sd.exit_times(brownian(), [0.0, 0.0], BOX, 5, t_max=1e4, dt=1.0, seed=3)
    with pytest.raises(ValueError, match="region must have the faces x_0 = -1"):
        exits.exit_location(region=BALL)
    with pytest.raises(ValueError, match="region must have dim 2"):
        exits.exit_location(region=sd.Ball([0.0], 1.0))
    with pytest.raises(ValueError, match="level must be in"):
        exits.exit_location(1.0)
    with pytest.raises(TypeError, match=r"region must be a samdyn region .* got 'ball'"):
        exits.exit_location(region="ball")

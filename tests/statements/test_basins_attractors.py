"""Attractors are refined before they are named: none twice, no two as one, none lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.basin.paths.course import course_of, quiet_motion
from samdyn.basin.search.merging import same_set
from samdyn.basin.search.recurrences import Rules, settled
from samdyn.basin.search.refinement import cycle_of


def swap(multiplier: complex, period: int = 2) -> sd.Map:
    """A map with the cycle (cos t, sin t), t = 2 pi j / period, and this multiplier."""
    size, angle = abs(multiplier) ** (1 / period), np.angle(multiplier) / period
    turn = 2 * np.pi / period

    def step(w: torch.Tensor) -> torch.Tensor:
        # the nearest corner, by its direction; what is left is turned, shrunk, and bounded far away
        t = torch.round(torch.atan2(w[1], w[0]) / turn) * turn
        u, v = w[0] - torch.cos(t), w[1] - torch.sin(t)
        a, b = size * np.cos(angle), size * np.sin(angle)
        bound = 1 / (1 + u * u + v * v)
        return torch.stack(
            [torch.cos(t + turn) + (a * u - b * v) * bound, torch.sin(t + turn) + (b * u + a * v) * bound]
        )

    return sd.Map.from_function(step, 2, box=[(-1.5, 1.5), (-1.5, 1.5)])


def circles(angle: float, radii: tuple[float, ...] = (1.0,), rate: float = 0.3) -> sd.Map:
    """A rotation that draws the radius to the nearest of `radii`, which are evenly spaced."""
    spacing = radii[1] - radii[0] if len(radii) > 1 else 0.0

    def step(w: torch.Tensor) -> torch.Tensor:
        r = torch.sqrt(w[0] ** 2 + w[1] ** 2)
        if spacing:
            nearest = torch.clamp(torch.floor((r - radii[0]) / spacing + 0.5), 0, len(radii) - 1)
            goal = radii[0] + spacing * nearest
        else:
            goal = torch.full_like(r, radii[0])
        g = 1 + rate * (goal - r)
        return torch.stack(
            [
                g * (np.cos(angle) * w[0] - np.sin(angle) * w[1]),
                g * (np.sin(angle) * w[0] + np.cos(angle) * w[1]),
            ]
        )

    return sd.Map.from_function(step, 2, box=[(-1.6, 1.6), (-1.6, 1.6)])


def tail_of(system: sd.Map, start: list[float], skip: int, n: int = 2048) -> np.ndarray:
    return np.asarray(sd.trajectory(system, start, n_steps=skip + n))[skip + 1 :]


@pytest.mark.parametrize(
    ("multiplier", "period"),
    [
        (0.995 * np.exp(0.2j * np.pi), 2),
        (0.999 * np.exp(0.2j * np.pi), 2),
        (0.9995 * np.exp(1j), 3),
        (-0.999, 5),
    ],
)
def test_a_slow_cycle_is_found_from_the_orbit_that_spirals_to_it(multiplier: complex, period: int) -> None:
    """An attracting 2-cycle was a "10-cycle" or "quasiperiodic": the name is that of the cycle itself."""
    system = swap(multiplier, period)
    assert system.box is not None
    course = course_of(system, system.box, None, False, 0, 1e3)
    found = cycle_of(quiet_motion(course), course, tail_of(system, [1.1, 0.05], 500))
    assert found is not None
    assert len(found.states) == period
    assert np.linalg.norm(found.states, axis=1) == pytest.approx(np.ones(period), abs=1e-9)
    assert found.radius == pytest.approx(abs(multiplier), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1.0, 1.001])
def test_what_does_not_attract_gives_no_name(size: float) -> None:
    """A cycle that repels, or is neutral, is not what an orbit beside it settles on."""
    system = swap(size * np.exp(0.2j * np.pi), 2)
    assert system.box is not None
    course = course_of(system, system.box, None, False, 0, 1e3)
    tail = tail_of(system, [1.0 + 1e-3, 0.0], 0)
    if size == 1.0:  # the bound shrinks it, as 1/sqrt(n): the orbit does go there, but slower than linearly
        tail = tail[:256]
    found = cycle_of(quiet_motion(course), course, tail)
    assert found is None or (size == 1.0 and len(found.states) == 2)


def test_chaos_and_circles_hold_no_attracting_cycle() -> None:
    """Newton's method finds cycles within a chaotic set and within a circle: they repel."""
    logistic = sd.Map.from_function(lambda x: 3.9 * x * (1 - x), 1, box=[(0, 1)])
    for system, start in ((logistic, [0.3]), (circles(1.0), [1.0, 0.0])):
        assert system.box is not None
        course = course_of(system, system.box, None, False, 0, 1e3)
        assert cycle_of(quiet_motion(course), course, tail_of(system, start, 500)) is None


def test_intermittent_chaos_is_chaos() -> None:
    """Just below the window of period 3 the logistic map lingers near a cycle that is not there."""
    system = sd.Map.from_function(lambda x: 3.8282 * x * (1 - x), 1, box=[(0, 1)])
    found = sd.basins(system, resolution=40, n_starts=32)
    assert [a.kind for a in found.attractors.values()] == ["chaotic"]
    assert float(found.fractions[1]) == 1.0


def test_heavy_ball_on_two_points() -> None:
    """log cosh under heavy ball, lr 4.2, momentum .99: the 2-cycle +-.409480 was "quasiperiodic"."""
    loss = sd.Landscape(lambda w: torch.log(torch.cosh(w[0])), dim=1, box=[(-2, 2)])
    system = sd.Map(loss, sd.GD(), lr=4.2, momentum=0.99)
    assert system.box is not None
    course = course_of(system, system.box, None, False, 0, 1e3)
    motion, state = quiet_motion(course), np.array([[0.42], [0.0]])
    state = motion(state, np.zeros(1, dtype=np.int64), 0, 1500)
    tail = []
    for j in range(1024):
        state = motion(state, np.zeros(1, dtype=np.int64), j, 1)
        tail.append(state[:, 0])
    cycle = cycle_of(motion, course, np.array(tail))
    assert cycle is not None
    assert np.sort(cycle.states[:, 0]) == pytest.approx([-0.409480, 0.409480], abs=1e-6)


def test_the_dissipative_standard_map_on_two_points() -> None:
    """x + y mod 2 pi, .98 y + 4 sin(x + y): a slow 2-cycle was a "20-cycle" (a label given before it is
    established). Right: (3.387, -.4906) and (2.896, .4906), which the map takes into each other.
    """

    def step(w: torch.Tensor) -> torch.Tensor:
        return torch.stack(
            [torch.remainder(w[0] + w[1], 2 * np.pi), 0.98 * w[1] + 4 * torch.sin(w[0] + w[1])]
        )

    system = sd.Map.from_function(step, 2, box=[(0, 2 * np.pi), (-5, 5)])
    assert system.box is not None
    course = course_of(system, system.box, None, False, 0, 1e3)
    cycle = cycle_of(quiet_motion(course), course, tail_of(system, [3.3, -0.4], 500))
    assert cycle is not None
    states = cycle.states[np.argsort(cycle.states[:, 0])]
    np.testing.assert_allclose(states, [[2.896, 0.4906], [3.387, -0.4906]], atol=5e-4)
    (x, y), back = states[0], states[1]
    np.testing.assert_allclose([x + y, 0.98 * y + 4 * np.sin(x + y)], back, atol=1e-9)


@pytest.mark.parametrize("angle", [1.0, 2.0, (5**0.5 - 1) * np.pi])
def test_one_circle_is_one_attractor(angle: float) -> None:
    """The unit circle, filled slowly by a rotation of 1 or 2 radians, was seven attractors and four."""
    found = sd.basins(circles(angle), resolution=24, n_starts=64)
    assert [a.kind for a in found.attractors.values()] == ["quasiperiodic"]
    assert float(found.fractions[1]) == 1.0


@pytest.mark.slow
def test_circles_beside_each_other_stay_apart() -> None:
    """Circles .004 apart, closer than the points of a sample, are two; two samples of one are one."""
    system = circles(1.0, (1.0, 1.004))
    assert system.box is not None
    course = course_of(system, system.box, None, False, 0, 1e3)
    motion = quiet_motion(course)
    inner, again, outer = (tail_of(system, x, 500) for x in ([1.0, 0.0], [0.0, 0.9], [1.004, 0.0]))
    assert same_set(motion, course, inner, again)
    assert not same_set(motion, course, inner, outer)


@pytest.mark.slow
def test_three_circles_in_a_box() -> None:
    """Each with the share of its ring."""
    found = sd.basins(circles(1.0, (0.6, 0.9, 1.2)), resolution=40, n_starts=64)
    assert [a.kind for a in found.attractors.values()] == ["quasiperiodic"] * 3
    points = found.grid.points(np.arange(1600))
    ring = np.clip(np.round((np.linalg.norm(points, axis=1) - 0.6) / 0.3), 0, 2).astype(int)
    own = {k: np.linalg.norm(a.points, axis=1).mean() for k, a in found.attractors.items()}
    reached = np.array([round((own[k] - 0.6) / 0.3) for k in found.labels.ravel().tolist()])
    assert (reached != ring).mean() < 0.01


def test_a_flow_watched_once_a_period() -> None:
    """A stride of just the period of the limit cycle: each orbit seems to stand still, and none was found."""

    def field(w: torch.Tensor) -> torch.Tensor:
        r2 = w[0] ** 2 + w[1] ** 2
        return torch.stack([w[0] * (1 - r2) - w[1], w[1] * (1 - r2) + w[0]])

    flow = sd.Flow.from_function(field, 2)
    found = sd.basins(flow, [(-2, 2), (-2, 2)], 6, n_starts=8, dt=2 * np.pi)
    assert [a.kind for a in found.attractors.values()] == ["limit cycle"]
    assert np.linalg.norm(found.attractors[1].points, axis=1) == pytest.approx(np.ones(512), abs=1e-5)
    assert float(found.fractions[1]) == 1.0


@pytest.mark.slow
def test_a_torus_of_a_flow_is_no_limit_cycle() -> None:
    """Two oscillators with frequencies 1 and sqrt 2: every set of a flow that is not chaotic was a cycle."""

    def field(w: torch.Tensor) -> torch.Tensor:
        a, b = 1 - w[0] ** 2 - w[1] ** 2, 1 - w[2] ** 2 - w[3] ** 2
        s = 2**0.5
        return torch.stack([a * w[0] - w[1], a * w[1] + w[0], b * w[2] - s * w[3], b * w[3] + s * w[2]])

    found = sd.basins(sd.Flow.from_function(field, 4), [(-1.5, 1.5)] * 4, 2, n_starts=6)
    assert [a.kind for a in found.attractors.values()] == ["quasiperiodic"]


def test_long_cycles_beside_short_ones() -> None:
    """Henon, a .98, b .4415: the cycles of 8, 12 and 20 points; the 12-cycle was counted as the 20-cycle."""

    def henon(w: torch.Tensor) -> torch.Tensor:
        return torch.stack([1 - 0.98 * w[0] ** 2 + w[1], 0.4415 * w[0]])

    found = sd.basins(sd.Map.from_function(henon, 2), [(-2, 2), (-2, 2)], 40, n_starts=128)
    assert sorted(a.period for a in found.attractors.values()) == [8, 12, 20]
    # each cell by its own orbit: the smallest p after which it is back
    x = found.grid.points(np.arange(1600)).T
    with np.errstate(all="ignore"):
        for _ in range(40_000):
            x = np.stack([1 - 0.98 * x[0] ** 2 + x[1], 0.4415 * x[0]])
        start, period = x, np.zeros(1600, dtype=int)
        for p in range(1, 25):
            x = np.stack([1 - 0.98 * x[0] ** 2 + x[1], 0.4415 * x[0]])
            period[(period == 0) & (np.linalg.norm(x - start, axis=0) < 1e-6)] = p
    got = np.array([found.attractors[k].period if k > 0 else 0 for k in found.labels.ravel().tolist()])
    assert (got != period).sum() <= 2  # a cell or two of a fractal boundary turn on rounding


def test_shares_of_long_cycles_beside_short_ones() -> None:
    """The same on 60 x 60 cells: two of the three were found there, with one share for both.

    Kind: several objects as one. Right: how many cells go to each, by the orbits in numpy.
    """

    def henon(w: torch.Tensor) -> torch.Tensor:
        return torch.stack([1 - 0.98 * w[0] ** 2 + w[1], 0.4415 * w[0]])

    found = sd.basins(sd.Map.from_function(henon, 2), [(-2, 2), (-1, 1)], 60)
    x = found.grid.points(np.arange(3600)).T
    with np.errstate(all="ignore"):
        for _ in range(20_000):
            x = np.stack([1 - 0.98 * x[0] ** 2 + x[1], 0.4415 * x[0]])
        start, period = x, np.zeros(3600, dtype=int)
        for p in range(1, 25):
            x = np.stack([1 - 0.98 * x[0] ** 2 + x[1], 0.4415 * x[0]])
            period[(period == 0) & (np.linalg.norm(x - start, axis=0) < 1e-6)] = p
    for k, a in found.attractors.items():
        assert abs(int((found.labels == k).sum()) - int((period == a.period).sum())) <= 3
    assert sorted(a.period for a in found.attractors.values()) == [8, 12, 20]


def test_an_attractor_on_the_end_of_an_interval() -> None:
    """w - .1 sin(pi w) on (0, 2) reaches 2 from inside and rounds to 2 + 4e-16: half of the box was lost.

    Kind: an object lost at an edge. Right: 0 and 2, both in the box, each for half of the cells.
    """
    system = sd.Map.from_function(lambda w: w - 0.1 * torch.sin(np.pi * w), 1, box=[(0, 2)])
    found = sd.basins(system, resolution=40)
    np.testing.assert_allclose([a.position[0] for a in found.attractors.values()], [0, 2], atol=1e-7)
    assert all(a.inside for a in found.attractors.values())
    assert np.array_equal(found.labels, [1] * 20 + [2] * 20)


def test_attractors_on_edges_and_corners() -> None:
    """25 attracting points, 16 of them on the boundary of the box: five were lost, as left the box."""
    system = sd.Map.from_function(lambda w: w - 0.1 * torch.sin(np.pi * w), 2, box=[(0, 8), (0, 8)])
    found = sd.basins(system, resolution=24)
    places = {tuple(np.round(a.position).astype(int)) for a in found.attractors.values()}
    assert places == {(2 * i, 2 * j) for i in range(5) for j in range(5)}
    assert all(a.inside for a in found.attractors.values())
    assert (found.labels > 0).all()
    nearest = 2 * np.round(found.grid.points(np.arange(576)) / 2)
    reached = np.array([found.attractors[k].position for k in found.labels.ravel().tolist()])
    assert reached == pytest.approx(nearest, abs=1e-5)


def test_attractors_outside_have_names_of_their_own() -> None:
    """Both halves of the box go to attractors outside it: two labels, and they say where."""
    gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    found = sd.basins(gd, [(-0.5, 0.5)], 10)
    assert [a.name for a in found.attractors.values()] == [
        "minimum (-1), outside the box",
        "minimum (1), outside the box",
    ]
    assert np.array_equal(found.labels, [1] * 5 + [2] * 5)


def test_orbits_from_far_away_do_not_stop_the_search() -> None:
    """States of 1e150 and more in a window: their covariance overflows, which was a LinAlgError."""
    system = sd.Map.from_function(lambda w: 0.5 * w, 2)
    course = course_of(system, np.array([[-1.0, 1.0]] * 2), None, False, 0, 1e3)
    kept = np.zeros((64, 2, 4))
    kept[:, :, 0] = np.random.default_rng(0).standard_normal((64, 2))
    kept[:, :, 1] = 1e12 * np.ones(2)
    kept[:, 0, 2] = 1e200 * np.arange(64)
    kept[:, 0, 3] = 1e160
    result = settled(kept, course, Rules(1000))
    assert result.shape == (4,)
    assert not result[2]


def test_ids_that_match_another_result() -> None:
    """One more attractor moved the ids, and so the colours, of all after it: `matched_to` keeps them."""
    well = sd.landscapes.double_well()
    gd, sam = (sd.basins(sd.Map(well, rule, lr=0.05), [(-2, 2)], 40) for rule in (sd.GD(), sd.SAM(0.3)))
    same = sam.matched_to(gd)
    for k, a in gd.attractors.items():
        assert same.attractors[k].name == a.name
    assert np.array_equal(same.label_at([[-1.5], [0.01], [1.5]]), [1, 3, 2])
    assert same.fractions[2] == sam.fractions[3]

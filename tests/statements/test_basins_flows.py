"""Attractors of flows: closed orbits are found and named, whatever their shape, and nothing else is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import samdyn as sd
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import Course, course_of, quiet_motion
from samdyn.basin.paths.motion import time_scale
from samdyn.basin.search.attractors import largest_exponent
from samdyn.basin.search.candidate import Candidate
from samdyn.basin.search.limit_cycle import closed_orbit
from samdyn.basin.search.recurrences import Rules, _lasts, admit
from samdyn.dynamics.dormand_prince import ExplicitFlow

Field = Callable[[torch.Tensor], torch.Tensor]


def van_der_pol(mu: float) -> Field:
    return lambda w: torch.stack([w[1], mu * (1 - w[0] ** 2) * w[1] - w[0]])


def roessler(c: float) -> Field:
    return lambda w: torch.stack([-w[1] - w[2], w[0] + 0.2 * w[1], 0.2 + w[2] * (w[0] - c)])


def brusselator(w: torch.Tensor) -> torch.Tensor:
    return torch.stack([1 + w[0] ** 2 * w[1] - 4 * w[0], 3 * w[0] - w[0] ** 2 * w[1]])


def hopf(w: torch.Tensor) -> torch.Tensor:
    r2 = w[0] ** 2 + w[1] ** 2
    return torch.stack([w[0] * (1 - r2) - 3 * w[1], w[1] * (1 - r2) + 3 * w[0], -w[2]])


def two_oscillators(frequency: float) -> Field:
    def field(w: torch.Tensor) -> torch.Tensor:
        a, b, s = 1 - w[0] ** 2 - w[1] ** 2, 1 - w[2] ** 2 - w[3] ** 2, frequency
        return torch.stack([a * w[0] - w[1], a * w[1] + w[0], b * w[2] - s * w[3], b * w[3] + s * w[2]])

    return field


def lorenz84(w: torch.Tensor) -> torch.Tensor:
    x, y, z = w[0], w[1], w[2]
    dx = -y * y - z * z - 0.255 * x + 0.255 * 6.886
    return torch.stack([dx, x * y - y - 4 * x * z + 1.347, 4 * x * y + x * z - z])


def settled_orbit(
    field: Field, box: Sequence[tuple[float, float]], start: Sequence[float], time: float
) -> tuple[Motion, Course, np.ndarray]:
    """The motion of a flow, its course, and a sample of an orbit after a time."""
    flow = sd.Flow.from_function(field, len(box))
    course = course_of(flow, np.array(box, dtype=float), None, False, 0, 1e3)
    motion = quiet_motion(course)
    numbers = np.arange(1)
    state = motion(np.array(start, dtype=float)[:, None], numbers, 0, int(time / motion.unit))
    tail = []
    for _ in range(256):
        state = motion(state, numbers, 0, 1)
        tail.append(state[:, 0])
    return motion, course, np.array(tail)


CYCLES = {
    "van der Pol, mu 1": (van_der_pol(1.0), [(-4, 4)] * 2, [1.0, 1.0], 60.0, 1),
    "van der Pol, mu 5": (van_der_pol(5.0), [(-4, 4), (-10, 10)], [1.0, 1.0], 60.0, 1),
    "Brusselator": (brusselator, [(0, 5)] * 2, [1.0, 1.0], 60.0, 1),
    "Hopf": (hopf, [(-2, 2)] * 3, [0.5, 0.5, 0.5], 30.0, 1),
    "Roessler, c 3.5": (roessler(3.5), [(-6, 6), (-6, 6), (0, 6)], [1.0, 1.0, 0.0], 300.0, 2),
    "Roessler, c 4": (roessler(4.0), [(-6, 6), (-6, 6), (0, 6)], [1.0, 1.0, 0.0], 300.0, 4),
    "Lorenz 1984": (lorenz84, [(-3, 3)] * 3, [0.51906782, 1.8094243, -0.42777136], 100.0, 2),
}


@pytest.mark.parametrize("name", CYCLES)
def test_a_closed_orbit_is_found_at_its_own_winding_number(name: str) -> None:
    """An orbit that winds several times before it closes was "quasiperiodic": only short returns were
    tried."""
    field, box, start, time, maxima = CYCLES[name]
    motion, _, tail = settled_orbit(field, box, start, time)
    orbit = closed_orbit(motion, tail, long=True)
    assert orbit is not None
    x = orbit[:, 0]
    assert ((x > np.roll(x, 1)) & (x >= np.roll(x, -1))).sum() == maxima
    # by another integrator, from a point of it: it stays on the orbit

    def velocity(_: float, y: np.ndarray) -> np.ndarray:
        return field(torch.from_numpy(y)).numpy()

    end = solve_ivp(velocity, (0, 10.0), orbit[0], method="DOP853", rtol=1e-8, atol=1e-10).y[:, -1]
    gap = np.linalg.norm(orbit - np.roll(orbit, 1, axis=0), axis=1).max()
    assert np.linalg.norm(orbit - end, axis=1).min() <= gap


@pytest.mark.parametrize(
    "frequency",
    [1.0, pytest.param(1.5, marks=pytest.mark.slow), pytest.param(2**0.5, marks=pytest.mark.slow)],
)
def test_orbits_of_a_torus_are_no_limit_cycles(frequency: float) -> None:
    """With frequencies 1:1 and 2:3 every orbit of the torus is closed, and none of them attracts."""
    motion, _, tail = settled_orbit(two_oscillators(frequency), [(-1.5, 1.5)] * 4, [1.0, 0.2, 0.3, 0.9], 30.0)
    assert closed_orbit(motion, tail, long=frequency != 1.0) is None


def test_chaos_is_told_by_the_orbits_own_time() -> None:
    """Lorenz 1984: an exponent of .06 was "quasiperiodic", below 1e-3 of a stride, which is short
    where the box is wide."""
    box = [(-6.0, 6.0), (-6.0, 6.0), (0.0, 6.0)]
    motion, _, tail = settled_orbit(roessler(5.7), box, [1.0, 1.0, 0.0], 50.0)
    flow = sd.Flow.from_function(roessler(5.7), 3)
    wide = quiet_motion(course_of(flow, np.array([(-600.0, 600.0)] * 3), None, False, 0, 1e3))
    assert wide.unit < 0.5 * motion.unit
    assert time_scale(wide, tail) == time_scale(motion, tail)
    assert 0.5 < time_scale(motion, tail) < 2  # it turns once in about 6


@pytest.mark.slow
def test_the_exponent_of_weak_chaos_is_told_from_none() -> None:
    """Roessler's, .0714 (Sprott 2003), and that of a torus: pairs followed for a few turns told neither."""
    box = [(-6.0, 6.0), (-6.0, 6.0), (0.0, 6.0)]
    motion, course, tail = settled_orbit(roessler(5.7), box, [1.0, 1.0, 0.0], 50.0)
    exponent, error = largest_exponent(motion, course, tail)
    assert exponent > 4 * error
    assert abs(exponent - 0.0714) < 4 * error
    motion, course, tail = settled_orbit(
        two_oscillators(2**0.5), [(-1.5, 1.5)] * 4, [1.0, 0.2, 0.3, 0.9], 30.0
    )
    assert abs(largest_exponent(motion, course, tail)[0]) < 1e-6


@pytest.mark.slow
def test_a_sample_that_its_orbits_leave_is_no_attractor() -> None:
    """Lorenz 1984, of 32 starts one: an orbit that recurred for some turns, with exponent .084, was a second
    chaotic attractor with a share of .008; after three times as long its orbits are on the first one.
    """
    motion, course, spiral = settled_orbit(van_der_pol(1.0), [(-4, 4)] * 2, [0.01, 0.0], 0.1)
    assert not _lasts(motion, course, spiral, 0)  # on its way from the focus to the cycle
    box = [(-6.0, 6.0), (-6.0, 6.0), (0.0, 6.0)]
    motion, course, tail = settled_orbit(roessler(5.7), box, [1.0, 1.0, 0.0], 100.0)
    state, sample = np.ascontiguousarray(tail[-1:].T), []
    for _ in range(600):
        state = motion(state, np.arange(1), 0, 8)
        sample.append(state[:, 0])
    assert _lasts(motion, course, np.array(sample), 0)


def test_a_pole_of_the_field_ends_a_path_at_once() -> None:
    """Paths at a pole hopped over it in steps of 1e-11 for 4000 rounds, and held up all others."""
    calls = 0

    def field(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal calls
        calls += 1
        return -1 / x, 1 + 0 * y

    flow = ExplicitFlow(field, np.array([[-2.0, 2.0]] * 2), 0.5)
    end = flow.advance(np.array([[0.5, 1.9], [0.0, 0.0]]), 0.5)
    assert np.isnan(end[:, 0]).all()
    assert end[:, 1] == pytest.approx([(1.9**2 - 1) ** 0.5, 0.5], abs=1e-7)
    assert calls < 1500


@pytest.mark.parametrize(("unit", "shift"), [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e5)])
def test_a_flow_in_other_units_and_elsewhere(unit: float, shift: float) -> None:
    """The tolerances were 1e-9 and 1e-7 of a coordinate: nothing in a box of 1e-6, too little at 1e5."""
    base = van_der_pol(1.0)
    flow = sd.Flow.from_function(lambda w: unit * base((w - shift) / unit), 2)
    found = sd.basin_fractions(flow, [(shift - 4 * unit, shift + 4 * unit)] * 2, n_paths=4, n_starts=4)
    assert [a.kind for a in found.attractors.values()] == ["limit cycle"]
    assert float(found.fractions[1]) == 1.0
    points = (found.attractors[1].points - shift) / unit
    assert points[:, 0].max() == pytest.approx(2.00862, abs=1e-4)


def predator(w: torch.Tensor) -> torch.Tensor:
    eaten = 2.5 * w[0] * w[1] / (w[0] + 3)
    return torch.stack([0.8 * w[0] * (1 - w[0] / 15) - eaten, 0.5 * eaten - 0.4 * w[1]])


def test_a_long_trajectory_stays_on_its_cycle() -> None:
    """A cost: a path of 2000 units of time took 20 s, and takes 2.6. Right: the limits of the cycle."""
    flow = sd.Flow.from_function(predator, 2, box=[(0, 20), (0, 5)])
    prey = np.asarray(sd.trajectory(flow, [5.0, 2.0], t_max=2000.0))[-500:, 0]
    assert prey.max() == pytest.approx(14.0373, rel=1e-3)
    assert 4.4e-4 < prey.min() < 1e-3


@pytest.mark.slow
def test_a_predator_and_its_prey() -> None:
    """One limit cycle, along which the prey falls to 4.5e-4; probes at the pole w0 = -3 took a minute."""
    flow = sd.Flow.from_function(predator, 2, box=[(0, 20), (0, 5)])
    found = sd.basin_fractions(flow, n_paths=20, n_starts=8)
    assert [a.kind for a in found.attractors.values()] == ["limit cycle"]
    prey = found.attractors[1].points[:, 0]
    assert (prey.min(), prey.max()) == pytest.approx((4.492e-4, 14.0373), rel=1e-3)


@pytest.mark.slow
def test_a_limit_cycle_beside_the_boundary_of_its_basin() -> None:
    """Prey below 0 diverges, 4.5e-4 from the cycle: the lowest probe started at 3e-3, and it was no
    attractor."""
    motion, course, tail = settled_orbit(predator, [(-2, 20), (-1, 5)], [5.0, 2.0], 300.0)
    orbit = closed_orbit(motion, tail)
    assert orbit is not None
    rules = Rules(20_000, n_probes=24, probe_steps=60)
    accepted = admit(motion, course, [], [Candidate(orbit, 0.0, closed=True)], rules)
    assert len(accepted) == 1
    assert 1e-6 < accepted[0].radius < 4.5e-4


@pytest.mark.slow
def test_a_cycle_that_attracts_slower_than_linearly() -> None:
    """r' = r (1 - r) |1 - r|: its multiplier is 1, and it was "quasiperiodic", which no set of
    the plane is."""

    def field(w: torch.Tensor) -> torch.Tensor:
        r = torch.sqrt(w[0] ** 2 + w[1] ** 2 + 1e-30)
        g = (1 - r) * torch.abs(1 - r)
        return torch.stack([g * w[0] - w[1], g * w[1] + w[0]])

    found = sd.basins(sd.Flow.from_function(field, 2), [(-2, 2)] * 2, 4, n_starts=8)
    assert [a.kind for a in found.attractors.values()] == ["limit cycle"]
    assert float(found.fractions[1]) == 1.0

"""One object is counted once, several are counted apart, and none is lost on an edge of the box.

Kind of fault: one object counted as several, several as one, one lost at an edge. Right values: closed forms,
and symmetry.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import samdyn as sd


def test_a_superstable_cycle_with_a_point_on_the_edge() -> None:
    """An object lost at an edge. Right: x^2 + c has the 3-cycle 0, c, c^2 + c at the real root of
    c^3 + 2 c^2 + c + 1, and the box ends at its point c.
    """
    c = min(root.real for root in np.roots([1, 2, 1, 1]) if abs(root.imag) < 1e-12)
    system = sd.Map.from_function(lambda w: w**2 + c, 1, box=[(c, -c)])
    found = sd.basins(system, resolution=41, n_starts=16)
    (cycle,) = (a for a in found.attractors.values() if a.inside)
    assert cycle.period == 3
    np.testing.assert_allclose(np.sort(cycle.states[:, 0]), np.sort([0.0, c, c**2 + c]), atol=1e-7)
    starts = found.grid.points(np.arange(41))[:, 0]
    bound = (1 + np.sqrt(1 - 4 * c)) / 2  # beyond the fixed point orbits leave
    assert (found.labels[np.abs(starts) < 0.99 * min(bound, -c)] > 0).all()


def test_two_cycles_that_are_mirror_images() -> None:
    """Several objects as one. Right: r x - x^3 with r = 2.1 is odd, and its fixed points +-sqrt(r - 1) have
    the multiplier 3 - 2 r = -1.2: a 2-cycle about each, with equal shares.
    """
    system = sd.Map.from_function(lambda w: 2.1 * w - w**3, 1, box=[(-1.4, 1.4)])
    found = sd.basins(system, resolution=40, n_starts=32)
    assert [a.period for a in found.attractors.values()] == [2, 2]
    one, two = (np.sort(a.states[:, 0]) for a in found.attractors.values())
    np.testing.assert_allclose(one, -two[::-1], atol=1e-7)
    shares = [float(found.fractions[k]) for k in found.attractors]
    assert shares[0] == shares[1] > 0.4


def test_twelve_points_on_a_circle() -> None:
    """Objects lost at edges, and merged. Right: the angle moves by -.04 sin(12 t), the radius to 1: twelve
    points at multiples of 30 degrees, of which four lie on the box's edges.
    """

    def step(w: torch.Tensor) -> torch.Tensor:
        radius = torch.sqrt(w[0] ** 2 + w[1] ** 2 + 1e-300)
        angle = torch.atan2(w[1], w[0])
        angle = angle - 0.04 * torch.sin(12 * angle)
        radius = radius + 0.4 * (1 - radius)
        return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)])

    found = sd.basins(sd.Map.from_function(step, 2, box=[(-1, 1), (-1, 1)]), resolution=16, n_starts=48)
    angles = np.array([np.arctan2(*a.position[::-1]) for a in found.attractors.values()])
    np.testing.assert_allclose(np.sort(np.rad2deg(angles) % 360 + 1e-6) // 30, np.arange(12))
    assert all(a.inside and a.period == 1 for a in found.attractors.values())


@pytest.mark.parametrize("edge", [-2.903534027771177, -2.9035340277711767])
def test_a_minimum_in_a_corner_of_the_box(edge: float) -> None:
    """An object lost at an edge, or by rounding. Right: the least root of 4 x^3 - 32 x + 5 in each coordinate
    of Styblinski's and Tang's function, which has nine critical points.
    """
    root = np.sort(np.roots([4, 0, -32, 5]).real)
    assert edge == pytest.approx(root[0], abs=1e-14)
    flow = sd.Flow(sd.landscapes.styblinski_tang(2), sd.GD())
    found = sd.fixed_points(flow, [(edge, 5.0), (edge, 5.0)], n_starts=64)
    right = np.array(sorted(itertools.product(root, root)))
    np.testing.assert_allclose(np.array(sorted(found.x.tolist())), right, atol=1e-8)


@pytest.mark.parametrize(("period", "number"), [(1, 3), (2, 3), (3, 8)])
def test_cycles_of_a_chebyshev_map(period: int, number: int) -> None:
    """Objects lost at edges, and counted several times. Right: T_3(x) = 4 x^3 - 3 x has 3^k points of period
    k or a divisor of it in [-1, 1]; the edges -1 and 1 are fixed points.
    """
    found = sd.cycles(sd.Map.from_function(lambda w: 4 * w**3 - 3 * w, 1, box=[(-1, 1)]), period=period)
    assert len(found) == number
    points = np.concatenate([p.points[:, 0] for p in found]) if period > 1 else found.x[:, 0]
    assert len(np.unique(np.round(points, 9))) == number * period
    inside = [p.eigenvalues[0] for p in found if abs(p.x[0]) < 1 - 1e-9]
    np.testing.assert_allclose(np.abs(inside), 3.0**period)


def test_an_eigenvalue_of_multiplicity_four() -> None:
    """Several objects as one: a Krylov space from one vector holds one copy of each. Right: 3, 3, 3, 3, 1."""
    values = np.concatenate([[3.0] * 4, [1.0], np.linspace(-0.5, 0.5, 25)])
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))
    loss = sd.landscapes.quadratic(turn @ np.diag(values) @ turn.T)
    found = sd.spectrum(loss, np.zeros(30), 5, "largest")
    np.testing.assert_allclose(np.sort(found.eigenvalues)[::-1], [3, 3, 3, 3, 1], atol=1e-5)

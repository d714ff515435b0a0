"""What is returned as a cycle satisfies the map, point by point."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd


def henon(a: float, b: float) -> sd.Map:
    return sd.Map.from_function(
        lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]),
        2,
        {"a": a, "b": b},
        box=[(-2, 2), (-1, 1)],
    )


def assert_cycles(system: sd.Map, found: sd.equilibria.FixedPoints) -> None:
    for cycle in found:
        assert np.isfinite(cycle.points).all()
        following = system(cycle.points)
        np.testing.assert_allclose(following, np.roll(cycle.points, -1, axis=0), atol=1e-10)
        assert cycle.residual < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize(("period", "number"), [(10, 0), (12, 3)])
def test_henon_has_no_cycles_far_away(period: int, number: int) -> None:
    """A label given before it is established: |D Phi^k| of 1e158 excused any residual.

    Right: with (a, b) = (.98, .4415) none of period 10, three of period 12, one attracting with the
    multiplier .4373.
    """
    system = henon(0.98, 0.4415)
    found = sd.cycles(system, period=period, n_starts=64)
    assert_cycles(system, found)
    assert len(found) == number
    if period == 12:
        assert [p.stability for p in found].count("attracting") == 1


def test_cycles_of_maps_that_run_away() -> None:
    """The same: cubic and exponential maps whose iterates overflow have none but true cycles.

    Right: w' = c w - w^3 has the 2-cycle w' = -w of its odd symmetry, w^2 = c + 1.
    """
    cubic = sd.Map.from_function(lambda w, c: c * w - w**3, 1, {"c": 2.5}, box=[(-3, 3)])
    found = sd.cycles(cubic, period=2, n_starts=64)
    assert_cycles(cubic, found)
    # w' = -w: w^2 = c + 1
    assert any(np.isclose(np.abs(p.x[0]), np.sqrt(3.5), atol=1e-9) for p in found)
    ricker = sd.Map.from_function(lambda w, r: w * torch.exp(r * (1 - w)), 1, {"r": 3.0}, box=[(-1, 5)])
    for period in (2, 3, 4):
        assert_cycles(ricker, sd.cycles(ricker, period=period, n_starts=64))


def test_a_long_unstable_cycle_is_precise() -> None:
    """Logistic map, r = 4, period 7: the 18 cycles, each of multiplier +-2^7."""
    logistic = sd.Map.from_function(lambda w: 4 * w * (1 - w), 1, box=[(0, 1)])
    found = sd.cycles(logistic, period=7)
    assert len(found) == 18
    assert_cycles(logistic, found)
    np.testing.assert_allclose([abs(p.eigenvalues[0]) for p in found], 2.0**7, rtol=1e-9)


def test_fixed_points_of_a_period_pass_their_options_on() -> None:
    """Options without effect. Right: those of `cycles`, its refusals included."""
    logistic = sd.Map.from_function(lambda w: 3.9 * w * (1 - w), 1, box=[(0, 1)])
    with pytest.raises(ValueError, match="tolerance must be"):
        sd.fixed_points(logistic, period=3, tolerance=1e-3)
    few = sd.fixed_points(logistic, period=3, n_starts=32)
    assert [p.x.tolist() for p in few] == [p.x.tolist() for p in sd.cycles(logistic, period=3, n_starts=32)]

"""The lowest loss on spheres around a critical point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import samdyn as sd

LOSS = sd.landscapes.himmelblau()


def test_himmelblau() -> None:
    found = sd.spherical_minima(LOSS, [3, 2], [1.9, 2.0, 3.0])
    np.testing.assert_array_equal(found.hallucinated, [False, True, True])
    np.testing.assert_allclose(found.x[1:], [[3.3892, 0.0382], [3.4936, -0.9591]], atol=5e-5)
    np.testing.assert_allclose(found.shift_eigenvalues[1:], [[1, 383.4], [1, 29.74]], rtol=2e-4)
    assert np.isnan(found.shift_eigenvalues[0]).all()


def test_minima_and_slopes_by_another_method() -> None:
    centre, h = np.array([3.0, 2.0]), 1e-4
    radii = np.array([0.5, 1.3, 1.9, 2.0, 3.0, 5.5])

    def lowest(rho: float) -> float:
        def on_circle(t: float) -> float:
            return float(LOSS.value(centre + rho * np.array([np.cos(t), np.sin(t)])))

        grid = np.linspace(0, 2 * np.pi, 721)
        start = grid[int(np.argmin([on_circle(t) for t in grid[::6]])) * 6]
        result = minimize_scalar(on_circle, bounds=(start - 0.1, start + 0.1), method="bounded")
        return float(minimize_scalar(on_circle, bracket=(result.x - 1e-3, result.x, result.x + 1e-3)).fun)

    found = sd.spherical_minima(LOSS, centre, radii)
    np.testing.assert_allclose(found.values, [lowest(rho) for rho in radii], rtol=1e-9)
    finite = [(lowest(rho + h) - lowest(rho - h)) / (2 * h) for rho in radii]
    np.testing.assert_allclose(found.slopes, finite, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found.x - centre, axis=1), radii, rtol=1e-12)


def test_they_are_fixed_points_that_attract() -> None:
    for rho in (2.5, 3.0):
        found = sd.spherical_minima(LOSS, [3, 2], [rho])
        test = sd.local_attraction(sd.Flow(LOSS, sd.SAM(rho)), found.x[0])
        np.testing.assert_allclose(test.endpoint, [3, 2], atol=1e-9)
        assert test.attracting


def test_in_more_dimensions() -> None:
    found = sd.spherical_minima(sd.landscapes.ring(4), np.zeros(4), [0.5, 1.5])
    np.testing.assert_allclose(found.values, (np.array([0.5, 1.5]) ** 2 - 1) ** 2 / 4, rtol=1e-12)
    np.testing.assert_array_equal(found.hallucinated, [True, False])


def test_repr() -> None:
    assert "hallucinated" in repr(sd.spherical_minima(LOSS, [3, 2], [2.0]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3.0, [3, 2], [1.0]), TypeError, "loss must be"),
        ((sd.landscapes.double_well(), [1], [1.0]), ValueError, "two dimensions"),
        ((LOSS, [3, 2.1], [1.0]), ValueError, r"critical point of Himmelblau, got \|gradient\|"),
        ((LOSS, [[3, 2]], [1.0]), ValueError, "one point"),
        ((LOSS, [3, 2], [0.0]), ValueError, "radii must be positive"),
        ((LOSS, [3, 2], [np.nan]), ValueError, "radii must be finite"),
    ],
)
def test_bad_input(arguments: tuple, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        sd.spherical_minima(*arguments)

"""Curves of bifurcation points in two parameters: how far they go, whether they close, where they end.

Kinds of fault: "closed" decided in some of the unknowns only, an end that is not named or not reached, a raw
error of a library where a curve meets a bound.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import samdyn as sd


def test_a_curve_is_closed_only_where_all_unknowns_come_back() -> None:
    """Labels: the Hopf curve is m = 0 for all k, with frequency sqrt(k); only frequency and eigenvector
    move along it.
    """
    flow = sd.Flow.from_function(
        lambda w, m, k: torch.stack([w[1], m * w[1] - k * w[0] - w[0] ** 2 * w[1]]), 2, {"m": -0.5, "k": 1.0}
    )
    branch = sd.continuation(flow, [0, 0], "m", (-1, 1))
    curve = sd.bifurcation.bifurcation_curve(branch, branch.bifurcations[0], "k", (0.1, 10))
    assert curve.ends == ("bounds", "bounds")
    np.testing.assert_allclose(curve.values[[0, -1], 1], [0.1, 10])
    np.testing.assert_allclose(curve.values[:, 0], 0, atol=1e-10)
    np.testing.assert_allclose(curve.frequency**2, curve.values[:, 1], rtol=1e-8)


def test_a_circle_of_folds_is_closed() -> None:
    """Labels: w^2 + a^2 + b^2 = 1 folds on the unit circle of a and b, which does close."""
    sphere = sd.Flow.from_function(lambda w, a, b: w**2 + a**2 + b**2 - 1, 1, {"a": 0.0, "b": 0.2})
    branch = sd.continuation(sphere, [math.sqrt(0.96)], "a", (-2, 2))
    curve = sd.bifurcation.bifurcation_curve(branch, branch.bifurcations[0], "b", (-2, 2))
    assert curve.ends == ("closed", "closed")
    np.testing.assert_allclose((curve.values**2).sum(axis=1), 1, atol=1e-9)
    angles = np.unwrap(np.arctan2(*curve.values.T))
    assert abs(angles[-1] - angles[0]) == pytest.approx(2 * np.pi)


def test_a_hopf_curve_ends_at_the_bogdanov_takens_point() -> None:
    """Ends: Hopf points have a = 0 and b < 0, with frequency sqrt(-b); the curve ends at (0, 0)."""
    flow = sd.Flow.from_function(
        lambda w, a, b: torch.stack([w[1], a + b * w[0] + w[0] ** 2 - w[0] * w[1]]), 2, {"a": -0.1, "b": -1.0}
    )
    branch = sd.continuation(flow, [0.5 - math.sqrt(0.35), 0], "a", (-1, 1))
    curve = sd.bifurcation.bifurcation_curve(branch, branch.select("Hopf")[0], "b", (-2, 2))
    assert curve.ends == ("bounds", "Bogdanov-Takens")
    np.testing.assert_allclose(curve.values[[0, -1]], [[0, -2], [0, 0]], atol=1e-8)
    np.testing.assert_allclose(curve.frequency**2, -curve.values[:, 1], atol=1e-8)


def test_a_neimark_sacker_curve_ends_at_its_resonances() -> None:
    """Ends: trace t, determinant d: the pair has modulus 1 for d = 1, |t| < 2; real at t = -2, 2."""
    step = sd.Map.from_function(
        lambda w, d, t: torch.stack([t * w[0] - d * w[1] - w[0] ** 3, w[0]]), 2, {"d": 0.5, "t": 0.7}
    )
    branch = sd.continuation(step, [0, 0], "d", (0.2, 1.5))
    curve = sd.bifurcation.bifurcation_curve(branch, branch.select("Neimark-Sacker")[0], "t", (-3, 3))
    assert curve.ends == ("1:2 resonance", "1:1 resonance")
    np.testing.assert_allclose(curve.values[[0, -1]], [[1, -2], [1, 2]], atol=1e-8)


@pytest.mark.parametrize(("low", "max_step"), [(-0.9, 0.01), (-0.9, 0.05), (0.2, 0.03)])
def test_the_fold_curve_of_henon_reaches_its_bounds(low: float, max_step: float) -> None:
    """Raw errors: folds lie at a = -(1 - b)^2 / 4, for every range of b and every step."""
    henon = sd.Map.from_function(
        lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]), 2, {"a": 0.1, "b": 0.3}
    )
    x = (-0.7 + math.sqrt(0.89)) / 0.2
    branch = sd.continuation(henon, [x, 0.3 * x], "a", (-0.2, 0.3))
    curve = sd.bifurcation.bifurcation_curve(
        branch, branch.select("fold")[0], "b", (low, 0.9), first_bounds=(-1.0, 0.3), max_step=max_step
    )
    assert curve.ends == ("bounds", "bounds")
    np.testing.assert_allclose([curve.values[:, 1].min(), curve.values[:, 1].max()], [low, 0.9])
    np.testing.assert_allclose(curve.values[:, 0], -((1 - curve.values[:, 1]) ** 2) / 4, atol=1e-9)

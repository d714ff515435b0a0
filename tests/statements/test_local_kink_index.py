"""Points at rest on kinks are found by the index sum too, and what a list does not know of kinks is said."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

import samdyn as sd
from samdyn.equilibria.kinks.following_orbits import slope_jumps

BOX = [(-2, 2)] * 2


@pytest.mark.parametrize(
    ("function", "rule", "points"),
    [
        # on max(w0, -w0) + .3 w0 + ... w0 = 0 is at rest for |.3| < 1, and w1 = .4 by the derivative
        (
            lambda w: torch.maximum(w[0], -w[0]) + 0.3 * w[0] + 0.2 * w[1] + (w[1] - 0.5) ** 2,
            sd.SAM(0.1),
            [(0, 0.4)],
        ),
        (lambda w: w[0].abs() + 0.3 * w[0] + w[1].abs(), sd.SAM(0.1), [(0, 0)]),
        # -abs(w0): perturbed from +-.1 onto its kink, and drawn in beside it
        (lambda w: -w[0].abs() + w[1] ** 2 / 2, sd.SAM(0.1), [(-0.1, 0), (0, 0), (0.1, 0)]),
        # two kinks that cross at a right angle
        (lambda w: w[0].abs() - w[1].abs() + (w[1] ** 2), sd.GD(), [(0, -0.5), (0, 0), (0, 0.5)]),
    ],
    ids=["tilted maximum", "tilted corner", "ridge", "cross"],
)
def test_points_at_rest_in_the_plane(
    function: Callable[[torch.Tensor], torch.Tensor], rule: sd.Rule, points: list[tuple[float, float]]
) -> None:
    """Points at rest under a normalised rule were listed where a search came across them. Right: by hand."""
    found = sd.fixed_points(sd.Flow(sd.Landscape(function, 2, BOX), rule), n_starts=64)
    order = np.lexsort(np.round(found.x, 6).T[::-1])
    np.testing.assert_allclose(found.x[order], points, atol=1e-9)
    assert "the indices add up" in repr(found)


def test_a_ridge_that_attracts_under_a_rule_that_looks_across_it() -> None:
    """Points lost: of the three points at rest around a ridge one was listed, and the indices added up.

    Right: on the ridge w0 = w1 of |w|^4/4 - max(w0, w1) + .2 |w1| the point at which the fields of both sides
    are opposite, found here by bisection along the ridge; a pair of saddles at whose perturbed points the
    ridge is met. Brute force (hulls of the field over 1.2e-4 wide cells, kept where they hold 0) finds the
    same five points, and 137 of 4000 orbits of steps of 1e-3 end at the first.
    """
    loss = sd.Landscape(lambda w: (w @ w) ** 2 / 4 - torch.maximum(*w) + 0.2 * w[1].abs(), 2, BOX)
    flow = sd.Flow(loss, sd.USAM(0.1))

    def turn(t: float) -> float:
        one, other = flow.evaluate([[t + 1e-9, t - 1e-9], [t - 1e-9, t + 1e-9]])
        return float(one[0] * other[1] - one[1] * other[0])

    ridge = brentq(turn, 0.57, 0.59, xtol=1e-14)
    found = sd.fixed_points(flow, n_starts=64)
    right = [(0, 0.928318), (0.547237, 0.622098), (ridge, ridge), (0.640627, 0.528368), (0.999897, 0)]
    np.testing.assert_allclose(found.x[np.argsort(found.x[:, 0])], right, atol=1e-6)
    at_ridge = found[int(np.abs(found.x - ridge).sum(axis=1).argmin())]
    np.testing.assert_allclose(at_ridge.x, ridge, atol=1e-9)
    assert at_ridge.stability == "trapping"
    assert found.coverage["hallucinated"].index is not None
    assert found.coverage["hallucinated"].index.complete


@pytest.mark.slow
def test_a_loss_that_cannot_be_traced_may_have_kinks() -> None:
    """A list that reads as complete: losses that cannot be traced counted as free of kinks. Right: it says
    so.

    In the plane the index sum serves them: the minimum of |w0| + w1^2/2 is listed.
    """

    def bent(w: torch.Tensor) -> torch.Tensor:
        rows = torch.stack([w[0], -w[0]]).sort().values  # no scalar operation
        return rows[1] + 0.5 * (w[1:] ** 2).sum()

    for dim in (2, 3):
        loss = sd.Landscape(bent, dim, [(-2, 2.5)] * dim)
        found = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=8)
        assert "cannot be traced" in repr(found)
        if dim == 2:
            np.testing.assert_allclose(found.x, [[0, 0]], atol=1e-9)
            assert (found[0].kind, found[0].stability) == ("minimum", "trapping")


def test_a_jump_of_the_hessian_leaves_no_eigenvalues() -> None:
    """A label that is false: "marginal, 0, 0" at a zero of the gradient where the Hessian jumps.

    Right: relu(w0)^2 + relu(-w0)^2/4 + w1^2/2 has curvatures 2 and 1/2 on the two sides: it attracts, and
    there is no Jacobian; at a smooth zero beside a kink there is one.
    """
    loss = sd.Landscape(
        lambda w: torch.relu(w[0]) ** 2 + torch.relu(-w[0]) ** 2 / 4 + w[1] ** 2 / 2, 2, [(-2, 2)] * 2
    )
    (point,) = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=64)
    assert np.isnan(point.eigenvalues).all()
    assert point.stability == "trapping"
    smooth = sd.Landscape(lambda w: torch.relu(w[0] - 1) + (w**2).sum() / 2, 2, [(-2, 2)] * 2)
    (point,) = sd.fixed_points(sd.Flow(smooth, sd.GD()), n_starts=64)
    np.testing.assert_allclose(point.eigenvalues, [-1, -1])
    assert not slope_jumps(lambda x: np.sin(x) + x**2, np.zeros((1, 2)), 1.0).any()


@pytest.mark.slow
def test_a_curve_of_critical_points_is_none_on_a_kink() -> None:
    """A curve listed that is none: torch's relu'(0) = 0 made the line w1 = 0 of a ReLU network critical.

    Right: samples of curves have the one gradient, zero, on all sides.
    """
    rng = np.random.default_rng(0)
    x, y = (torch.from_numpy(rng.normal(size=4)) for _ in range(2))
    loss = sd.Landscape(lambda w: ((w[0] * torch.relu(w[1] * x) - y) ** 2).mean(), 2, [(-2, 2)] * 2)
    found = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=256)
    assert len(found.families) >= 2
    u = 1e-6 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [0.6, 0.8]])
    for family in found.families:
        around = loss.gradient((family.points[:, None] + u).reshape(-1, 2))
        assert np.abs(around).max() < 1e-4

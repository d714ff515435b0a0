"""Structure of sums of quadratics: what is recognised, what must not be, and where a sum has no minimum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import samdyn as sd
from samdyn.landscapes.quadratic_sums import Quadratics, infima_of, minimiser_of


def huber(w: Tensor, s: Tensor) -> Tensor:
    off = w[0] - s
    return torch.where(abs(off) < 2, off**2 / 2, 2 * abs(off) - 2)


def steep_far_out(w: Tensor, s: Tensor) -> Tensor:
    return torch.where(w[0] > 3, (w[0] - 3) ** 3, 0 * w[0]) + w[0] ** 2 / 2 - s * w[0]


@pytest.mark.parametrize(
    ("component", "slope"),
    [(huber, 2.0), (steep_far_out, 157.15), (lambda w, s: abs(w[0] - s), 1.0)],
    ids=["Huber", "cubic from 3 on", "absolute"],
)
def test_quadratic_where_looked_at_is_not_enough(
    component: Callable[[Tensor, Tensor], Tensor], slope: float
) -> None:
    """All Hessians agree near the origin; far out the loss is another."""
    loss = sd.FiniteSum(component, [0.2, -0.5], dim=1)
    assert loss.quadratics is None
    assert loss.squares is None
    assert float(loss.gradient([10.0])[0]) == pytest.approx(slope)
    np.testing.assert_allclose(loss.sample_gradients([10.0]).mean(), slope)


def test_absolute_deviations_are_not_smooth() -> None:
    loss = sd.FiniteSum(lambda w, s: abs(w[0] - s), [0.0, 1.0, 5.0], dim=1, box=[(-1, 6)])
    assert not loss.smoothness().exact
    with pytest.raises(ValueError, match="quadratic components"):
        sd.stationary_law(sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(1)))
    result = sd.convergence(sd.Map(loss, sd.GD(), lr=0.1), [5.0], 20, minimum=[1.0])
    assert result.gap[0, 0, 0] == pytest.approx(4 / 3)  # not that of a quadratic without curvature


@pytest.mark.parametrize(
    "component",
    [
        lambda w, s: s[0] * w[0] + s[1] * w[1],
        lambda w, s: s[0] * w[0] ** 2 + w[1],
        lambda w, s: (w[0] - 1e3) ** 2 + 0.1 * w[1],
    ],
    ids=["linear", "a flat direction", "far minimum"],
)
def test_sums_that_fall_without_end_have_no_minimum(component: Callable[[Tensor, Tensor], Tensor]) -> None:
    loss = sd.FiniteSum(component, [[1.0, 2.0], [2.0, 3.0]], dim=2)
    assert loss.quadratics is not None
    with pytest.raises(ValueError, match="no minimum: it falls without end"):
        loss.minimum()
    assert (loss.sample_infima() == -np.inf).all()


def test_slopes_that_cancel_do_not_count() -> None:
    loss = sd.FiniteSum(lambda w, s: s * w[0] + w[1] ** 2, [0.1, 0.2, -0.3], dim=2)
    np.testing.assert_allclose(loss.minimum().x, 0, atol=1e-15)
    assert (loss.sample_infima() == -np.inf).all()


@pytest.mark.parametrize("seed", range(5))
def test_ill_conditioned_least_squares_has_a_minimum(seed: int) -> None:
    """Singular values down to 1e-9: the slopes of the last ones are not those of a line."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(2))
    rows = left @ np.diag(np.logspace(0, -9, 6)) @ right
    loss = sd.FiniteSum.least_squares(rows, rng.standard_normal(6))
    assert np.isfinite(loss.minimum().value)
    assert np.isfinite(loss.sample_infima()).all()


def test_random_quadratics_against_their_parts() -> None:
    rng = np.random.default_rng(0)
    m = rng.standard_normal((5, 3, 2))
    hessians = m @ m.swapaxes(1, 2)  # of rank two
    where, lowest = rng.standard_normal((5, 3)), rng.standard_normal(5)
    linear = np.einsum("nij,nj->ni", hessians, where)
    constants = lowest + np.einsum("ni,ni->n", linear, where) / 2
    quadratics = Quadratics(hessians, linear, constants)
    np.testing.assert_allclose(infima_of(quadratics), lowest, atol=1e-11)
    x = minimiser_of(quadratics, "f")
    np.testing.assert_allclose(hessians.mean(axis=0) @ x, linear.mean(axis=0), atol=1e-12)


def test_one_point_is_asked_for() -> None:
    loss = sd.FiniteSum.least_squares(np.eye(2), [1.0, 2.0])
    several = np.zeros((3, 2))
    for call in (loss.interpolates, loss.gradient_norm_probabilities):
        with pytest.raises(ValueError, match=r"x must be one point of shape \(2,\)"):
            call(several)
    curved = sd.FiniteSum(lambda w, s: torch.cosh(w[0] - s), [1.0, 2.0], dim=1)
    with pytest.raises(ValueError, match=r"start must be one point of shape \(1,\)"):
        curved.minimum(np.zeros((3, 1)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_search_that_ends_nowhere_says_so() -> None:
    endless = sd.FiniteSum(lambda w, s: -s * w[0] ** 4, [1.0, 2.0], dim=1)
    with pytest.raises(ValueError, match="no minimum that a search"):
        endless.minimum([1.0])

"""Kind (b): labels that are given before they are established.

Systems of their own; right values from closed forms.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import samdyn as sd

TURN = np.array([[math.cos(1.0), -math.sin(1.0)], [math.sin(1.0), math.cos(1.0)]])
QUARTER = np.array([[0.0, -1.0], [1.0, 0.0]])
SKEW = np.array([[1.0, 3.0], [0.0, 1.0]])
SEPARABLE = sd.Landscape(lambda w: torch.nn.functional.softplus(-w[0]), 1, [(-5, 60)], name="separable")


@pytest.mark.parametrize(
    ("matrix", "discrete", "largest"),
    [
        (np.diag([-1.0, 0.0]), False, 1.0),
        (np.eye(3), True, 1.0),
        (SKEW @ TURN @ np.linalg.inv(SKEW), True, np.linalg.cond(SKEW)),
        (SKEW @ QUARTER @ np.linalg.inv(SKEW), False, np.linalg.cond(SKEW)),
    ],
    ids=["a flow with a line of points at rest", "the identity", "a skewed rotation", "a skewed centre"],
)
def test_what_keeps_its_size_does_not_grow_without_bound(
    matrix: np.ndarray, discrete: bool, largest: float
) -> None:
    """Kind (b): "unstable, grows without bound". Right: a rotation seen through S grows by cond(S)."""
    found = sd.transient_growth(matrix, discrete)
    assert found.largest == pytest.approx(largest, rel=1e-3)
    assert found.largest <= largest * (1 + 1e-12)
    assert "without bound" not in repr(found)


@pytest.mark.parametrize(
    ("matrix", "discrete"),
    [
        ([[1.0, 1.0], [0.0, 1.0]], True),
        ([[0.0, 1.0], [0.0, 0.0]], False),
        ([[1 + 1e-6, 0.0], [0.0, 0.5]], True),
    ],
)
def test_what_grows_without_bound_says_so(matrix: list[list[float]], discrete: bool) -> None:
    """The counterpart: a Jordan block on the border grows like t, and a factor 1 + 1e-6 for ever."""
    assert "without bound" in repr(sd.transient_growth(matrix, discrete))


def test_a_short_look_ahead_bounds_nothing() -> None:
    """Kind (b): "at most 10.09 times" from the first ten powers, whose norms rise until step 10 000.

    Right: "found"; with no horizon, for .99, "at most" the largest of about k .99^(k - 1).
    """
    block = [[0.9999, 1.0], [0.0, 0.9999]]
    assert repr(sd.transient_growth(block, True, horizon=10, kreiss=False)).startswith(
        "TransientGrowth: found"
    )
    whole = sd.transient_growth([[0.99, 1.0], [0.0, 0.99]], True)
    assert repr(whole).startswith("TransientGrowth: at most")
    k = np.arange(1, 2000)
    assert whole.largest == pytest.approx((k * 0.99 ** (k - 1.0)).max(), rel=1e-3)


def test_a_loss_without_a_minimum_has_no_point_and_no_kink_that_is_sure() -> None:
    """Kind (b): log(1 + e^-w) "has kinks (its gradient jumps)", since torch chooses a branch at w = -20.

    Right: no fixed point, and no more than that it may have kinks.
    """
    found = sd.fixed_points(sd.Flow(SEPARABLE, sd.GD()), n_starts=32)
    assert len(found) == 0
    assert "has kinks" not in repr(found)
    assert "may have kinks" in repr(found)


def test_a_run_that_goes_on_for_ever_has_not_stopped() -> None:
    """Kind (b), held before: a gradient of 1e-13 at w = 30 is no point at rest. Right: still descending."""
    step = sd.Map(SEPARABLE, sd.GD(), lr=1.0)
    assert "still descending" in repr(sd.diagnose(step, [30.0]))
    assert "none within reach" in repr(sd.refine(step, [30.0]))
    run = sd.convergence(step, [0.0], 2000)
    assert [s.kind for s in run.limit_sets()] == ["moving"]


@pytest.mark.parametrize(("lr", "kind"), [(2.0, "cycle"), (2.0001, "moving"), (2.01, "moving")])
def test_a_slow_escape_is_no_cycle(lr: float, kind: str) -> None:
    """Kind (b), held before: on w^2/2 a factor of -1.0001 a step is no 2-cycle; a factor of -1 is one."""
    run = sd.convergence(sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=lr), [1.0], 500)
    assert [s.kind for s in run.limit_sets()] == [kind]


def test_the_ghost_of_a_fold_is_no_attractor() -> None:
    """Kind (b), held before: w' = w + .1 (1e-4 + w^2) takes 3000 steps through 0, and rests nowhere."""
    step = sd.Map.from_function(lambda w: w + 0.1 * (1e-4 + w**2), 1, box=[(-1, 1)])
    found = sd.basins(step, resolution=6, n_starts=4)
    assert not found.attractors
    assert (found.labels < 0).all()


def test_points_of_inflection_and_higher_turns() -> None:
    """Kind (b), held before: p = w^3 passes its inflection without a bifurcation; p = w^4 turns at 0."""
    cubic = sd.Flow.from_function(lambda w, p: p - w**3, 1, {"p": -1.0})
    assert sd.continuation(cubic, [-1.0], "p", (-1.0, 1.0)).bifurcations == ()
    quartic = sd.Flow.from_function(lambda w, p: p - w**4, 1, {"p": 1.0})
    branch = sd.continuation(quartic, [1.0], "p", (-1.0, 1.0))
    assert [(b.kind, round(b.value, 9)) for b in branch.bifurcations] == [("fold", 0.0)]


def test_a_hopf_point_without_a_cubic_term_is_neither_super_nor_subcritical() -> None:
    """Kind (b), held before: the cubic coefficient is 0 at r' = p r - r^5, and so is that of r' = p r."""

    for power in (2, None):

        def field(w: torch.Tensor, p: torch.Tensor, power: int | None = power) -> torch.Tensor:
            growth = p - (w @ w) ** power if power else p
            return torch.stack([growth * w[0] - w[1], w[0] + growth * w[1]])

        branch = sd.continuation(sd.Flow.from_function(field, 2, {"p": -1.0}), [0.0, 0.0], "p", (-1.0, 1.0))
        assert [(b.kind, b.criticality) for b in branch.bifurcations] == [("Hopf", "")]

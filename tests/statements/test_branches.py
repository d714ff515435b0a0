"""What a followed branch says: where it turns, which branch it is, why it ends.

Kinds of fault: a step that skips a narrow feature or leads to another branch, a label given before it is
established ("branch point", "closed"), a raw error of a library. Right values come from closed
forms.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import samdyn as sd

LOGISTIC = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 2.5}, box=[(0, 1)])


def folds(branch: sd.bifurcation.Branch) -> list[float]:
    return [b.value for b in branch.bifurcations if b.kind == "fold"]


# ---------------------------------------------------------------------- narrow features are not skipped


@pytest.mark.parametrize("c", [0.01, 1e-5])
def test_folds_of_a_boundary_layer_are_found(c: float) -> None:
    """Skipping: p - w + c tanh(2 w / c) folds where sech^2 = 1/2, at 2 w / c = -+acosh(sqrt 2), however
    narrow the layer is beside the step.
    """
    flow = sd.Flow.from_function(lambda w, p: p - w + c * torch.tanh(2 / c * w), 1, {"p": -0.5})
    branch = sd.continuation(flow, [-0.5 - c], "p", (-1.0, 1.0))
    u = math.acosh(math.sqrt(2))
    right = c * (math.tanh(u) - u / 2)
    assert right == pytest.approx(0.26642 * c, rel=1e-4)
    np.testing.assert_allclose(folds(branch), [right, -right], rtol=1e-5)
    assert len(branch.bifurcations) == 2
    assert (branch.stability == "repelling").sum() >= 4
    assert branch.ends == ("lower bound", "upper bound")


@pytest.mark.parametrize("e", [1e-4])
def test_two_folds_within_one_step(e: float) -> None:
    """Skipping: p + e w - w^3 turns twice within one step of a branch that is nearly vertical there;
    folds are at w = -+sqrt(e/3), p = +-2 (e/3)^(3/2).
    """
    flow = sd.Flow.from_function(lambda w, p: p + e * w - w**3, 1, {"p": -0.5})
    start = next(float(r.real) for r in np.roots([-1, 0, e, -0.5]) if abs(r.imag) < 1e-9)
    branch = sd.continuation(flow, [start], "p", (-1.0, 1.0))
    right = 2 * (e / 3) ** 1.5
    np.testing.assert_allclose(folds(branch), [right, -right], rtol=1e-4)


@pytest.mark.parametrize("kind", ["pitchfork", "Hopf"])
def test_an_eigenvalue_that_crosses_and_returns_within_one_step(kind: str) -> None:
    """Skipping: the growth (p - .1234)^2 - d^2 is negative in an interval a twentieth of a step long."""
    d, turning = 1e-3, 0.0 if kind == "pitchfork" else 1.0

    def field(w: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        growth = (p - 0.1234) ** 2 - d**2
        x, y = w[0], w[1]
        return torch.stack(
            [growth * x - turning * y - x**3, turning * x + (growth * y if turning else -y) - y**3]
        )

    branch = sd.continuation(sd.Flow.from_function(field, 2, {"p": -1.0}), [0.0, 0.0], "p", (-1.0, 1.0))
    assert [b.kind for b in branch.bifurcations] == [kind, kind]
    np.testing.assert_allclose([b.value for b in branch.bifurcations], [0.1224, 0.1244], atol=1e-9)


# ---------------------------------------------------------------------- no jump to another branch


@pytest.mark.parametrize("e", [1e-4, 1e-6, 1e-12])
def test_an_imperfect_pitchfork_is_no_branch_point(e: float) -> None:
    """Jump: p w - w^3 + e has one branch from p < 0 to x near +1, attracting all along, and no bifurcation on
    it; e = 0 has the pitchfork.
    """
    flow = sd.Flow.from_function(lambda w, p: p * w - w**3 + e, 1, {"p": -1.0})
    branch = sd.continuation(flow, [e], "p", (-1.0, 1.0))
    assert branch.bifurcations == ()
    assert branch.x[-1, 0] == pytest.approx(max(np.roots([-1, 0, 1, e]).real), abs=1e-9)
    assert set(branch.stability) == {"attracting"}
    assert (np.diff(branch.x[:, 0]) > 0).all()


def test_the_perfect_pitchfork_still_is_one() -> None:
    """The counterpart: with e = 0 the branch point exists, and is named."""
    flow = sd.Flow.from_function(lambda w, p: p * w - w**3, 1, {"p": -1.0})
    branch = sd.continuation(flow, [0.0], "p", (-1.0, 1.0))
    assert [(b.kind, round(b.value, 10)) for b in branch.bifurcations] == [("pitchfork", 0.0)]


@pytest.mark.parametrize("e", [1e-8, -1e-4, -1e-8])
def test_an_imperfect_transcritical_point(e: float) -> None:
    """Jump: p w - w^2 + e keeps one attracting branch for e > 0; for e < 0 it folds at p = -2 sqrt(-e)."""
    flow = sd.Flow.from_function(lambda w, p: p * w - w**2 + e, 1, {"p": -1.0})
    branch = sd.continuation(flow, [(-1 + math.sqrt(1 + 4 * e)) / 2], "p", (-1.0, 1.0))
    if e > 0:
        assert branch.bifurcations == ()
        assert branch.x[-1, 0] == pytest.approx((1 + math.sqrt(1 + 4 * e)) / 2)
    else:
        assert folds(branch) == pytest.approx([-2 * math.sqrt(-e)])
        assert branch.ends == ("lower bound", "lower bound")


def test_two_imperfect_pitchforks_at_once() -> None:
    """Jump: where two eigenvalues cross together the determinant keeps its sign; the branch still is the one
    that attracts, to (1, 1).
    """
    e = torch.tensor([1e-6, 0.7e-6], dtype=torch.float64)
    flow = sd.Flow.from_function(lambda w, p: p * w - w**3 + e, 2, {"p": -1.0})
    branch = sd.continuation(flow, e.numpy(), "p", (-1.0, 1.0))
    assert branch.bifurcations == ()
    np.testing.assert_allclose(branch.x[-1], [1.0, 1.0], atol=1e-5)


def test_the_way_back_is_the_same_branch() -> None:
    """Reversing: continued from its end, the branch of an imperfect pitchfork leads back to its start."""
    flow = sd.Flow.from_function(lambda w, p: p * w - w**3 + 1e-7, 1, {"p": -1.0})
    there = sd.continuation(flow, [1e-7], "p", (-1.0, 1.0))
    back = sd.continuation(flow.with_parameters(p=1.0), there.x[-1], "p", (-1.0, 1.0))
    assert back.x[0, 0] == pytest.approx(there.x[0, 0], abs=1e-12)
    assert back.bifurcations == ()


# ---------------------------------------------------------------------- scales, ends, raw errors


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_the_loss_does_not_matter(scale: float) -> None:
    """Magic magnitudes: the pitchfork of the double well under USAM is at rho = 1 / scale."""
    loss = sd.Landscape(lambda w: scale * (w[0] ** 2 - 1) ** 2 / 4, 1, box=[(-2, 2)])
    branch = sd.continuation(sd.Flow(loss, sd.USAM(0.5 / scale)), [0.0], "rho", (0.0, 2 / scale))
    assert [b.kind for b in branch.bifurcations] == ["pitchfork"]
    assert branch.bifurcations[0].value * scale == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_state_and_parameter_does_not_matter(scale: float) -> None:
    """Magic magnitudes: an imperfect pitchfork in units of `scale`, without a box, ends at x = scale."""
    flow = sd.Flow.from_function(
        lambda w, p: p / scale * (w / scale) - (w / scale) ** 3 + 1e-6, 1, {"p": -scale}
    )
    branch = sd.continuation(flow, [1e-6 * scale], "p", (-scale, scale))
    assert branch.ends == ("lower bound", "upper bound")
    assert branch.x[-1, 0] == pytest.approx(scale, rel=1e-5)
    assert branch.bifurcations == ()


@pytest.mark.parametrize("max_step", [0.003, 0.02, 0.1, 0.7])
def test_every_largest_step_lands_on_the_bounds(max_step: float) -> None:
    """Raw errors: whatever the step, the logistic branch ends on both bounds, with the flip at r = 3."""
    branch = sd.continuation(LOGISTIC, [0.6], "r", (1.5, 4.0), max_step=max_step)
    assert (branch.values.min(), branch.values.max()) == (1.5, 4.0)
    assert branch.ends == ("lower bound", "upper bound")
    assert [(b.kind, round(b.value, 9)) for b in branch.bifurcations] == [("flip", 3.0)]
    np.testing.assert_allclose(branch.x[:, 0], 1 - 1 / branch.values, atol=1e-10)


def test_only_what_comes_back_is_closed() -> None:
    """Labels: a spiral w0 = r cos t, p = r sin t that passes near its start does not close; a circle does."""

    def spiral(w: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        # the second coordinate is the angle, 0.004 of which is added to the radius
        radius = 1 + 0.004 * w[1]
        return torch.stack([w[0] - radius * torch.cos(w[1]), p - radius * torch.sin(w[1])])

    open_ended = sd.continuation(
        sd.Flow.from_function(spiral, 2, {"p": 0.0}), [1.0, 0.0], "p", (-2.0, 2.0), box=[(-2, 2), (-0.1, 14)]
    )
    assert open_ended.ends == ("left the box", "left the box")
    assert len(folds(open_ended)) == 4
    circle = sd.Flow.from_function(lambda w, p: w**2 + p**2 - 1, 1, {"p": 0.0})
    assert sd.continuation(circle, [1.0], "p", (-2.0, 2.0)).ends == ("closed", "closed")

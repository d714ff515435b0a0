"""Branches by products alone: against those with matrices, and on a network of more weights than that."""

from __future__ import annotations

import numpy as np
import problems
import pytest
import torch
from torch import nn
from torch.nn import functional

import samdyn as sd
from samdyn.bifurcation import branches

CASE = problems.HALLUCINATED_NETWORKS["isolated"]


@pytest.fixture
def xor(monkeypatch: pytest.MonkeyPatch) -> sd.landscapes.ModuleLoss:
    """The network of nine weights, followed as if it had many."""
    loss = problems.xor_module(2, 0.03)
    monkeypatch.setattr(branches, "MANY", 1)
    monkeypatch.setattr(type(loss), "traceable", False)
    return loss


def test_the_branch_of_n1_over_rho_is_that_with_matrices(xor: sd.landscapes.ModuleLoss) -> None:
    branch = sd.continuation(sd.Map(xor, sd.SAM(4.0), lr=0.02), CASE.x, "rho", (2.95, 4.3), max_step=0.3)
    assert branch.ends == ("lower bound", "upper bound")
    assert set(branch.kind) == {"hallucinated"}
    # stable for 3.010 < rho < 4.40, by the reference
    assert (branch.stability[branch.values > 3.02] == "attracting").all()
    assert (branch.stability[branch.values < 3.0] != "attracting").all()
    for rho, x, values in zip(branch.values[::3], branch.x[::3], branch.eigenvalues[::3], strict=True):
        step = sd.Map(xor, sd.SAM(float(rho)), lr=0.02)
        y = x + step.perturbation(x)
        assert np.linalg.norm(xor.gradient(y)) < 1e-9
        dense = np.linalg.eigvals(step.jacobian(x))
        np.testing.assert_allclose(np.sort(np.abs(values))[-2:], np.sort(np.abs(dense))[-2:], rtol=1e-6)


def test_lr_moves_the_stability_and_not_the_point(xor: sd.landscapes.ModuleLoss) -> None:
    branch = sd.continuation(sd.Map(xor, sd.SAM(4.0), lr=0.05), CASE.x, "lr", (0.03, 0.09), max_step=0.25)
    np.testing.assert_allclose(branch.x, np.broadcast_to(CASE.x, branch.x.shape), atol=1e-8)
    # eta_max = .0736679 by the reference
    np.testing.assert_array_equal(branch.stability == "attracting", branch.values < 0.0736679)


def test_a_critical_point_of_a_wide_network_under_usam() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 1))
    data = rng.normal(size=(300, 5)), rng.normal(size=(300, 1))
    loss = sd.from_module(net, functional.mse_loss, data, weight_decay=0.2)
    assert loss.dim > branches.MANY
    assert not loss.traceable
    point = loss.minimum()
    system = sd.Map(loss, sd.USAM(0.1), lr=0.2)
    branch = sd.continuation(system, sd.refine(system, point.x), "rho", (0.0, 0.2), max_step=0.5)
    np.testing.assert_allclose(branch.x, np.broadcast_to(branch.x[0], branch.x.shape), atol=1e-7)
    lowest = np.linalg.eigvalsh(loss.hessian(branch.x[0]))[0]
    assert set(branch.kind) == {"minimum" if lowest > 0 else "saddle"}
    for rho, stability in zip(branch.values, branch.stability, strict=True):
        dense = np.abs(np.linalg.eigvals(sd.Map(loss, sd.USAM(float(rho)), lr=0.2).jacobian(branch.x[0])))
        assert stability == ("attracting" if dense.max() < 1 else "saddle")
    # weight decay moves it
    moved = sd.continuation(system, branch.x[0], "weight_decay", (0.18, 0.22), max_step=0.5)
    assert moved.ends == ("lower bound", "upper bound")
    for decay, x in zip(moved.values, moved.x, strict=True):
        assert np.linalg.norm(loss.with_parameters(weight_decay=float(decay)).gradient(x)) < 1e-8


def test_sets_of_fixed_points_and_other_points_are_refused(xor: sd.landscapes.ModuleLoss) -> None:
    system = sd.Map(xor, sd.SAM(4.0), lr=0.02)
    with pytest.raises(ValueError, match="isolated fixed point"):
        sd.continuation(system, np.ones(9), "rho", (3.5, 4.3))

"""The Gauss-Newton matrix by curvlinops against dense Jacobians of the outputs; what is refused."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import samdyn as sd


class Pair(nn.Module):
    """Attention and layer normalisation of one input, scaled by another; the read-out's weight is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 3)
        self.out.weight.requires_grad_(False)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        tokens = x.reshape(-1, 3, 4)
        mixed = self.norm(self.attention(tokens, tokens, tokens, need_weights=False)[0])
        return self.out(torch.tanh(mixed.mean(dim=1) * scale))


def case(objective: str, **options: Any) -> sd.landscapes.ModuleLoss:
    """A loss of seven samples, in chunks of four and three."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(7, 12)), rng.uniform(1, 2, (7, 1))
    targets = rng.integers(0, 3, 7) if objective == "cross-entropy" else rng.normal(size=(7, 3))
    measure = functional.cross_entropy if objective == "cross-entropy" else functional.mse_loss
    return sd.from_module(Pair(), measure, (inputs, targets), chunk=4, **options)


def dense(loss: sd.landscapes.ModuleLoss, decay: float) -> np.ndarray[Any, Any]:
    """Of Jacobians and Hessians of each sample that torch makes."""
    function, data = loss.module_function, loss.module_data
    objective = function.together.objective[0]
    w, total = torch.from_numpy(loss.x0), np.zeros((loss.dim, loss.dim))
    for i in range(loss.n_samples):
        inputs, target = tuple(part[i : i + 1] for part in data.inputs), data.targets[i : i + 1]
        jacobian = torch.func.jacrev(lambda u, inputs=inputs: function.outputs(u, inputs)[0])(w)
        outputs = function.outputs(w, inputs)[0]
        inner = torch.func.hessian(lambda o, target=target: objective(o[None], target))(outputs)
        total += (jacobian.T @ inner @ jacobian).detach().numpy() / loss.n_samples
    return total + decay * np.eye(loss.dim)


@pytest.mark.parametrize("objective", ["squares", "cross-entropy"])
def test_products_are_those_of_the_dense_matrix(objective: str) -> None:
    pytest.importorskip("curvlinops")
    loss = case(objective, weight_decay=0.1)
    known = dense(loss, 0.1)
    operator = sd.network.gauss_newton_operator(loss, loss.x0)
    v = np.random.default_rng(2).normal(size=loss.dim)
    scale = np.linalg.norm(known) * np.linalg.norm(v)
    assert np.linalg.norm(operator @ v - known @ v) < 1e-12 * scale
    assert np.linalg.norm(operator.rmatvec(v) - known @ v) < 1e-12 * scale
    assert operator.n_products == 2
    found = sd.spectrum(loss, loss.x0, 4, curvature="Gauss-Newton")
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(known)[::-1][:4], rtol=1e-10)
    assert found.of == "Gauss-Newton matrix"
    part = sd.spectrum(loss, loss.x0, 2, curvature="Gauss-Newton", block="norm.weight")
    block = loss.blocks["norm.weight"]
    np.testing.assert_allclose(part.eigenvalues, np.linalg.eigvalsh(known[block, block])[::-1][:2], rtol=1e-8)
    low, high = found.density(n_vectors=6, n_steps=2).trace_interval(0.9999)
    assert low <= np.trace(known) <= high


def test_for_cross_entropy_it_is_the_fisher_matrix() -> None:
    """The mean of g g^T over the targets' own distribution, here summed in full."""
    pytest.importorskip("curvlinops")
    loss = case("cross-entropy")
    function, data, w = loss.module_function, loss.module_data, torch.from_numpy(loss.x0)
    fisher = np.zeros((loss.dim, loss.dim))
    for i in range(loss.n_samples):
        inputs = tuple(part[i : i + 1] for part in data.inputs)
        chances = function.outputs(w, inputs)[0].softmax(0)
        for label, chance in enumerate(chances):
            g = torch.func.grad(function)(w, inputs, torch.tensor([label])).detach().numpy()
            fisher += float(chance) * np.outer(g, g) / loss.n_samples
    operator = sd.network.gauss_newton_operator(loss, loss.x0)
    v = np.random.default_rng(4).normal(size=loss.dim)
    assert np.linalg.norm(operator @ v - fisher @ v) < 1e-12 * np.linalg.norm(fisher) * np.linalg.norm(v)


def test_single_precision() -> None:
    pytest.importorskip("curvlinops")
    double, single = case("squares"), case("squares", dtype=torch.float32)
    v = np.random.default_rng(3).normal(size=double.dim)
    known = sd.network.gauss_newton_operator(double, double.x0) @ v
    assert np.linalg.norm(sd.network.gauss_newton_operator(single, single.x0) @ v - known) < 1e-5 * (
        np.linalg.norm(known)
    )


def test_without_curvlinops_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = case("squares")
    monkeypatch.setitem(sys.modules, "curvlinops", None)
    with pytest.raises(ImportError, match=r"samdyn\[network\].*curvlinops-for-pytorch"):
        sd.spectrum(loss, loss.x0, curvature="Gauss-Newton")


def test_what_has_no_gauss_newton_matrix() -> None:
    with pytest.raises(TypeError, match="loss must be a network's"):
        sd.spectrum(sd.landscapes.beale(), [1.0, 1.0], curvature="Gauss-Newton")
    with pytest.raises(ValueError, match="curvature must be"):
        sd.spectrum(sd.landscapes.beale(), [1.0, 1.0], curvature="fisher")
    loss = case("squares")
    with pytest.raises(ValueError, match="is of a loss"):
        sd.spectrum(sd.Flow(loss, sd.GD()), loss.x0, curvature="Gauss-Newton")
    with pytest.raises(ValueError, match="x must be one point"):
        sd.network.gauss_newton_operator(loss, np.stack([loss.x0, loss.x0]))

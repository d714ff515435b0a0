"""Products and spectra of networks against dense matrices that torch alone makes, and transposes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import samdyn as sd
from samdyn.network import eigenvalues

N = 6


class Attention(nn.Module):
    """Self-attention over three tokens of four numbers, averaged and read out."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, 3, 4)
        return self.out(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(dim=1))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tanh": lambda: nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 3)),
    "GELU and LayerNorm": lambda: nn.Sequential(
        nn.Linear(12, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3)
    ),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 3, 4)), nn.Conv2d(1, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(24, 3)
    ),
    "attention": Attention,
    "3000 weights": lambda: nn.Sequential(
        nn.Linear(12, 48), nn.Tanh(), nn.Linear(48, 46), nn.Tanh(), nn.Linear(46, 3)
    ),
}
TARGETS = {
    "squares": (functional.mse_loss, np.random.default_rng(2).normal(size=(N, 3))),
    "cross-entropy": (functional.cross_entropy, np.random.default_rng(3).integers(0, 3, N)),
}
RULES = {"GD": sd.GD(), "USAM": sd.USAM(0.2), "SAM": sd.SAM(0.2), "UnifiedSAM": sd.UnifiedSAM(0.2, 0.5)}


class Case:
    """A network, its loss by samdyn, and its gradient and Hessian by torch alone."""

    def __init__(self, network: str, objective: str) -> None:
        torch.manual_seed(0)
        net = NETWORKS[network]().double().eval()
        inputs = torch.tensor(np.random.default_rng(1).normal(size=(N, 12)))
        measure, targets = TARGETS[objective]
        self.loss = sd.from_module(net, measure, (inputs, targets), dtype=torch.float64)
        names = [name for name, _ in net.named_parameters()]
        shapes = [p.shape for p in net.parameters()]
        goal = torch.as_tensor(targets)

        def value(w: Tensor) -> Tensor:
            pieces = w.split([s.numel() for s in shapes])
            weights = {n: p.reshape(s) for n, p, s in zip(names, pieces, shapes, strict=True)}
            return measure(torch.func.functional_call(net, weights, (inputs,)), goal)

        self.gradient = torch.func.grad(value)

    def hessian(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rows = torch.func.jacrev(self.gradient, chunk_size=256)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return np.asarray(rows(torch.from_numpy(x)).detach().numpy())

    def field_matrix(self, rule: sd.Rule, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A = H(y) (I + the derivative of the perturbation) by the formulas of papers."""
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            g = self.gradient(torch.from_numpy(x)).detach().numpy()
        size, h = np.linalg.norm(g), self.hessian(x)
        normed = 0.2 / size * (h - np.outer(g / size, g / size) @ h)
        share = {"GD": 0.0, "USAM": 0.0, "SAM": 1.0, "UnifiedSAM": 0.5}[type(rule).__name__]
        plain = 0.2 * h * (0.0 if isinstance(rule, sd.GD) else 1 - share)
        e = (0.0 if isinstance(rule, sd.GD) else 0.2 * (1 - share)) * g + 0.2 * share * g / size
        return self.hessian(x + e) @ (np.eye(len(x)) + plain + share * normed)


@functools.cache
def case(network: str, objective: str) -> Case:
    return Case(network, objective)


SMALL = [name for name in NETWORKS if name != "3000 weights"]


@pytest.mark.parametrize("objective", TARGETS)
@pytest.mark.parametrize("network", SMALL)
def test_products_are_those_of_dense_matrices(network: str, objective: str) -> None:
    known = case(network, objective)
    loss, x = known.loss, known.loss.x0
    v, w = np.random.default_rng(4).normal(size=(2, 2 * loss.dim))
    u, t = v[: loss.dim], w[: loss.dim]
    h = known.hessian(x)
    scale = np.linalg.norm(h) * np.linalg.norm(u)
    assert np.linalg.norm(loss.hvp(x, u) - h @ u) < 1e-8 * scale
    for rule in RULES.values():
        matrix = known.field_matrix(rule, x)
        scale = np.linalg.norm(matrix) * np.linalg.norm(u)
        flow = sd.Flow(loss, rule)
        assert np.linalg.norm(flow.operator(x) @ u + matrix @ u) < 1e-8 * scale
        assert np.linalg.norm(flow.vjp(x, t) + matrix.T @ t) < 1e-8 * scale
        for momentum in (0.0, 0.9):
            step = sd.Map(loss, rule, lr=0.3, momentum=momentum)
            size = step.state_dim
            operator = step.operator(x)
            moved = u - 0.3 * matrix @ u
            if momentum:
                fresh = matrix @ u + momentum * v[loss.dim :]
                moved = np.concatenate([u - 0.3 * fresh, fresh])
            assert np.linalg.norm(operator @ v[:size] - moved) < 1e-8 * (scale + np.linalg.norm(moved))
            forward, back = w[:size] @ (operator @ v[:size]), (operator.rmatvec(w[:size])) @ v[:size]
            assert abs(forward - back) < 1e-10 * (np.linalg.norm(moved) * np.linalg.norm(w))


@pytest.mark.parametrize(
    ("network", "objective"),
    [
        ("tanh", "squares"),
        ("GELU and LayerNorm", "cross-entropy"),
        ("convolution", "cross-entropy"),
        ("attention", "squares"),
    ],
)
def test_products_of_asam_are_those_of_dense_matrices(network: str, objective: str) -> None:
    """A by differentiating x to g(x + e(x)) as a whole; T is 1 on biases, of attention too."""
    known = case(network, objective)
    loss, x = known.loss, known.loss.x0
    biases = torch.zeros(loss.dim, dtype=torch.bool)
    for name, block in loss.blocks.items():
        biases[block] = name.endswith("bias")

    def direction(w: Tensor) -> Tensor:
        g, t = known.gradient(w), torch.where(biases, 1.0, w.abs() + 0.01)
        return known.gradient(w + 0.2 * t**2 * g / (t * g).norm())

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        matrix = torch.func.jacrev(direction, chunk_size=256)(torch.from_numpy(x)).numpy()
    u, w = np.random.default_rng(4).normal(size=(2, 2 * loss.dim))
    v, back = u[: loss.dim], w[: loss.dim]
    scale = np.linalg.norm(matrix) * np.linalg.norm(v)
    flow = sd.Flow(loss, sd.ASAM(0.2))
    assert np.linalg.norm(flow.operator(x) @ v + matrix @ v) < 1e-8 * scale
    assert np.linalg.norm(flow.operator(x).rmatvec(back) + matrix.T @ back) < 1e-8 * scale
    step = sd.Map(loss, sd.ASAM(0.2), lr=0.3, momentum=0.9).operator(x)
    fresh = matrix @ v + 0.9 * u[loss.dim :]
    assert np.linalg.norm(step @ u - np.concatenate([v - 0.3 * fresh, fresh])) < 1e-8 * scale
    assert abs(w @ (step @ u) - step.rmatvec(w) @ u) < 1e-8 * scale * np.linalg.norm(w)


@pytest.mark.parametrize("network", ["GELU and LayerNorm", "attention"])
def test_spectra_are_those_of_dense_matrices(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eigenvalues, "DENSE", 1)
    known = case(network, "cross-entropy")
    loss, x = known.loss, known.loss.x0
    dense = np.linalg.eigvalsh(known.hessian(x))
    found = sd.spectrum(loss, x, 4, "both", tolerance=1e-10)
    np.testing.assert_allclose(
        np.sort(found.eigenvalues), np.sort(dense[[0, 1, -2, -1]]), atol=1e-8 * np.abs(dense).max()
    )
    for rule in (sd.SAM(0.2), sd.USAM(0.2)):
        dense = np.linalg.eigvals(known.field_matrix(rule, x))
        dense = dense[np.argsort(-np.abs(dense))]
        step = sd.Map(loss, rule, lr=0.3, momentum=0.9 if isinstance(rule, sd.SAM) else 0.0)
        found = sd.spectrum(step, x, 3, tolerance=1e-10)
        for a in found.field_eigenvalues:
            assert np.abs(dense - a).min() < 1e-8 * np.abs(dense).max()


def test_three_thousand_weights() -> None:
    known = case("3000 weights", "cross-entropy")
    loss, x = known.loss, known.loss.x0
    assert 2900 < loss.dim < 3100
    matrix = known.field_matrix(RULES["SAM"], x)
    flow, v = sd.Flow(loss, sd.SAM(0.2)), np.random.default_rng(4).normal(size=(2, loss.dim))
    scale = np.linalg.norm(matrix) * np.linalg.norm(v[0])
    assert np.linalg.norm(flow.operator(x) @ v[0] + matrix @ v[0]) < 1e-8 * scale
    assert np.linalg.norm(flow.vjp(x, v[0]) + matrix.T @ v[0]) < 1e-8 * scale
    # the residual in the dense matrix bounds the error of a value that stands apart
    found = sd.spectrum(flow, x, 1, tolerance=1e-9)
    for value, vector in zip(found.eigenvalues, found.eigenvectors.T, strict=True):
        assert np.linalg.norm(matrix @ vector + value * vector) < 1e-8 * abs(value)

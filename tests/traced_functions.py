"""One-point torch functions that have a scalar form, for the tests of tracing and printing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

GENERATOR = torch.Generator().manual_seed(3)
MATRIX = torch.randn(4, 4, dtype=torch.float64, generator=GENERATOR)
DATA = torch.randn(5, 2, dtype=torch.float64, generator=GENERATOR)
MUELLER = torch.tensor(
    [
        [-200.0, -1.0, 0.0, -10.0, 1.0, 0.0],
        [-100.0, -1.0, 0.0, -10.0, 0.0, 0.5],
        [-170.0, -6.5, 11.0, -6.5, -0.5, 1.5],
        [15.0, 0.7, 0.6, 0.7, -1.0, 1.0],
    ],
    dtype=torch.float64,
)


def mueller_brown(w: Tensor) -> Tensor:
    height, a, b, c, x, y = MUELLER.unbind(1)
    u, v = w[0] - x, w[1] - y
    return (height * torch.exp(a * u**2 + b * u * v + c * v**2)).sum() / 100


def network(w: Tensor) -> Tensor:
    """Two inputs, two hidden units with tanh, one output: 4 + 2 + 2 + 2 = 10 parameters."""
    first, bias, second, last = w[:4].reshape(2, 2), w[4:6], w[6:8].view(2, 1), w[8:]
    hidden = torch.tanh(DATA @ first.T + bias)
    return ((hidden @ second).squeeze(-1) * last[0] + last[1] - DATA[:, 0] * DATA[:, 1]).square().mean()


def in_place(w: Tensor) -> Tensor:
    out = w.new_zeros(3)
    out[0] = w[0] * w[1]
    out[1:] = w.sin()
    out += 1
    return out.prod()


def henon(w: Tensor, a: float, b: float) -> Tensor:
    x, y = w
    return torch.stack([1 - a * x**2 + y, b * x])


def torch_where_huber(w: Tensor) -> Tensor:
    return torch.where(w.abs() < 0.5, w**2 / 2, 0.5 * (w.abs() - 0.25)).sum()


ZOO: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "beale": (
        lambda w: (
            (1.5 - w[0] + w[0] * w[1]) ** 2
            + (2.25 - w[0] + w[0] * w[1] ** 2) ** 2
            + (2.625 - w[0] + w[0] * w[1] ** 3) ** 2
        ),
        2,
    ),
    "himmelblau": (lambda w: (w[0] ** 2 + w[1] - 11) ** 2 + (w[0] + w[1] ** 2 - 7) ** 2, 2),
    "rosenbrock": (lambda w: (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum(), 4),
    "mueller-brown": (mueller_brown, 2),
    "quadratic form": (lambda w: w @ MATRIX @ w, 4),
    "matrix-vector": (lambda w: (MATRIX @ w - 1).pow(4).mean(), 4),
    "einsum": (lambda w: torch.einsum("i,ij,j->", w, MATRIX, w.cos()), 4),
    "log-cosh": (lambda w: torch.log(torch.cosh(w)).sum(), 3),
    "network": (network, 10),
    "logsumexp": (lambda w: torch.logsumexp(3 * w, 0), 3),
    "softmax": (lambda w: -torch.log_softmax(w, 0)[1] + torch.softmax(w, 0) @ w, 3),
    "norm": (lambda w: torch.linalg.norm(w) + (w - 1).norm(), 3),
    "other norms": (lambda w: torch.linalg.vector_norm(w, 3) + w.norm(1) + w.norm(float("inf")), 3),
    "sine trap": (lambda w: (w**2).sum() / 2 + torch.sin(3 * w).prod(), 2),
    "sum of exp": (lambda w: torch.exp(w).sum() + torch.exp(-2 * w[0] + w[1]), 2),
    "softplus": (lambda w: torch.nn.functional.softplus(w).sum(), 2),
    "activations": (
        lambda w: (torch.nn.functional.gelu(w) + torch.nn.functional.silu(w)).sum() + w.sigmoid().prod(),
        2,
    ),
    "huber": (torch_where_huber, 3),
    "relu and clamp": (lambda w: torch.relu(w).square().sum() + w.clamp(-0.7, 0.9).pow(3).sum(), 3),
    "max": (lambda w: w.max() + torch.max(w.sin(), 0).values ** 2 + torch.minimum(w[0], w[1]) ** 2, 3),
    "amax": (lambda w: w.outer(w).amax(1).sum() - w.exp().amin(), 3),
    "mask": (lambda w: (w * (w > 0.1)).sum() ** 2, 3),
    "powers": (
        lambda w: (
            (w**2 + 1) ** 1.5 @ (w**2 + 2) ** -0.5 + ((w**2 + 1) ** -3).sum() + (w.abs() + 1) ** 2.3 @ w
        ),
        2,
    ),
    "roots": (lambda w: (torch.sqrt(w**2 + 1) + torch.rsqrt(w**2 + 2) + 2 / (3 + w**2)).sum(), 2),
    "functions": (
        lambda w: (
            torch.atan2(w[0], w[1] ** 2 + 1)
            + torch.log1p(w[0] ** 2)
            + torch.expm1(w[1])
            + torch.erf(w).sum()
            + torch.asinh(w).sum()
            + torch.tan(w / 5).sum()
            + torch.hypot(w[0], w[1])
        ),
        2,
    ),
    "constant to the power": (lambda w: 2.0 ** w[0] + 3 / (2 + w[1] ** 2), 2),
    "index": (
        lambda w: (
            w[[0, 2, 2]] @ w[torch.tensor([1, 0, 3])] + w[torch.tensor([True, False, True, True])].prod()
        ),
        4,
    ),
    "rearranged": (
        lambda w: (
            (torch.cat([w.flip(0), w.roll(1)]).reshape(2, 4).T @ torch.stack([w[:2], w[2:]])).tril().sum()
            + torch.diag(w).diagonal(1).sum()
            + (torch.diag(w) @ MATRIX).trace()
        ),
        4,
    ),
    "cumulative": (lambda w: torch.cumsum(w, 0).prod() + torch.cumprod(w, 0).sum(), 3),
    "variance": (lambda w: w.var() + w.std(correction=0) + (w - w.mean()).pow(4).mean(), 4),
    "in place": (in_place, 2),
    "gather": (lambda w: w.gather(0, w.abs().argmax(0, keepdim=True)).exp().sum() + w.min(0).values ** 3, 3),
    "accumulate": (
        lambda w: (
            w.new_zeros(2).scatter_add(0, torch.tensor([0, 1, 0]), w).prod()
            + w.new_zeros(2).index_add(0, torch.tensor([1, 1, 0]), w, alpha=2).square().sum()
        ),
        3,
    ),
    "any and all": (lambda w: torch.where((w > 0).any() & ~(w > 0.5).all(), w @ w, w.sum() ** 3), 3),
    "linear": (lambda w: 2 * w[0] - 3, 2),
    "fixed branch": (lambda w: w[0] ** 3 if len(w) == 2 else w[1], 2),
    "remainder": (lambda w: torch.remainder(w, 0.75).pow(2).sum(), 2),
    "nested gradient": (lambda w: torch.func.grad(lambda v: (v**4).sum() * v[0])(w).square().sum(), 2),
}

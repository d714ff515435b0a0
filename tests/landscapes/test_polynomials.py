"""Degrees read off graphs: exact where a polynomial is written plainly, and never too low."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from samdyn.landscapes.polynomials import polynomial_degree

W = torch.zeros(3, dtype=torch.float64)
S, T = torch.ones(3, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)

POLYNOMIALS: dict[str, tuple[Callable[..., Tensor], int]] = {
    "constant": (lambda w, s, t: torch.exp(t) * s.sum(), 0),
    "linear": (lambda w, s, t: torch.log(t) * w[0] - 1, 1),
    "square of a form": (lambda w, s, t: ((s @ w - t) ** 2 + 0.1 * (w @ w)) / 2, 2),
    "weights": (lambda w, s, t: s @ w**2 / t, 2),
    "distance": (lambda w, s, t: torch.square(w - s).mean(), 2),
    "mean squared error": (lambda w, s, t: torch.nn.functional.mse_loss(w, s), 2),
    "einsum": (lambda w, s, t: torch.einsum("i,ij,j->", w, torch.outer(s, s), w), 2),
    "stack": (lambda w, s, t: torch.stack([w[0], w[1] * t]).pow(2).sum(), 2),
    "layer": (lambda w, s, t: torch.nn.functional.linear(w, s[None])[0] ** 2, 2),
    "in place": (lambda w, s, t: w.clone().mul_(2) @ w, 2),
    "branch on the sample": (lambda w, s, t: torch.where(t > 0, w[0] ** 2, w[0]), 2),
    "cubic": (lambda w, s, t: w[0] * w[1] * w[2], 3),
    "quartic": (lambda w, s, t: (w @ w) ** 2, 4),
}
OTHERS: dict[str, Callable[..., Tensor]] = {
    "Huber": lambda w, s, t: torch.where(abs(w[0] - t) < 2, (w[0] - t) ** 2 / 2, 2 * abs(w[0] - t) - 2),
    "absolute": lambda w, s, t: torch.abs(w[0] - t),
    "rectified": lambda w, s, t: torch.relu(w[0] - t) ** 2,
    "larger": lambda w, s, t: torch.maximum(w[0], t),
    "mask": lambda w, s, t: (w * (w > 0)).sum(),
    "sigmoid": lambda w, s, t: torch.sigmoid(w[0]),
    "quotient": lambda w, s, t: w[0] ** 3 / w[0],
    "power of the sample": lambda w, s, t: w[0] ** t,
    "detached": lambda w, s, t: w[0] * w.detach()[1],
    "whole numbers": lambda w, s, t: w.long().double().sum(),
    "rounded": lambda w, s, t: torch.div(w[0], t, rounding_mode="floor"),
    "largest": lambda w, s, t: w[w.argmax()],
    "branch in Python": lambda w, s, t: w[0] ** 2 if float(w[0]) > 0 else w[0],
}


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name: str) -> None:
    function, degree = POLYNOMIALS[name]
    assert polynomial_degree(function, W, S, T) == degree


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_polynomial(name: str) -> None:
    assert polynomial_degree(OTHERS[name], W, S, T) == math.inf

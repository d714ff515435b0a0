"""Third derivatives of networks, and products at one point that keep the gradient's graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import samdyn as sd

N = 6
INPUTS = torch.tensor(np.random.default_rng(1).normal(size=(N, 12)))
LABELS = torch.tensor(np.random.default_rng(3).integers(0, 3, N))


def with_layer_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 3))


def with_groups() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 6), nn.GroupNorm(2, 6), nn.GELU(), nn.Linear(6, 3))


def with_silu() -> nn.Module:
    """SiLU has no second derivative in forward mode."""
    return nn.Sequential(nn.Linear(12, 5), nn.SiLU(), nn.Linear(5, 3))


def with_attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Unflatten(1, (3, 4)), layer, nn.Flatten(), nn.Linear(12, 3))


NETWORKS = [with_layer_norm, with_groups, with_silu, with_attention]


def loss_of(network: Callable[[], nn.Module], **options: object) -> sd.ModuleLoss:
    torch.manual_seed(0)
    objective = nn.functional.cross_entropy
    return sd.from_module(network().double(), objective, (INPUTS, LABELS), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("network", NETWORKS)
def test_third_derivatives_are_those_of_differences(network: Callable[[], nn.Module]) -> None:
    """torch's fused layer normalisation is off by a tenth and more; see `module_function`."""
    loss = loss_of(network)
    x, (u, v) = loss.x0, np.random.default_rng(4).normal(size=(2, loss.dim))
    h = 1e-5
    change = (loss.hvp(x + h * u, v) - loss.hvp(x - h * u, v)) / (2 * h)
    at, along, by = map(torch.from_numpy, (x, u, v))
    gradient = loss.gradient_function
    with torch.no_grad():
        third = torch.func.vjp(lambda w: torch.func.vjp(gradient, w)[1](by)[0], at)[1](along)[0].numpy()
    assert np.linalg.norm(third - change) < 1e-5 * np.linalg.norm(change)


@pytest.mark.parametrize("network", NETWORKS)
def test_layer_normalisation_is_the_one_of_torch(network: Callable[[], nn.Module]) -> None:
    loss = loss_of(network)
    torch.manual_seed(0)
    net = network().double().eval()
    with torch.no_grad():
        value = nn.functional.cross_entropy(net(INPUTS), LABELS).item()
    assert float(loss.value(loss.x0)) == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize(
    "options", [{}, {"chunk": 4}, {"dtype": torch.float32}, {"weight_decay": 0.1}], ids=str
)
@pytest.mark.parametrize("network", NETWORKS)
def test_products_with_a_kept_graph_are_the_products(
    network: Callable[[], nn.Module], options: dict[str, object]
) -> None:
    loss = loss_of(network, **options)
    rows = np.random.default_rng(5).normal(size=(3, loss.dim))
    tolerance = 1e-4 if loss.dtype == torch.float32 else 1e-12
    wanted = loss.hvp(loss.x0, rows)
    operator = loss.operator(loss.x0)
    size = np.linalg.norm(wanted)
    assert np.linalg.norm(operator @ rows.T - wanted.T) < tolerance * size
    assert np.linalg.norm(operator @ rows[0] - wanted[0]) < tolerance * size
    plane = sd.restrict(loss, loss.x0, rows[:2].T / 10)
    assert np.allclose(plane.operator([0.0, 0.0]) @ np.eye(2), plane.hessian([0.0, 0.0]), rtol=1e-3)


def test_a_chunk_that_the_user_sets_bounds_what_is_kept() -> None:
    assert loss_of(with_groups)._keeps
    assert loss_of(with_groups, chunk=N)._keeps
    assert not loss_of(with_groups, chunk=4)._keeps

"""Gradients and steps of replicas of a network as a compiled loop, against torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import samdyn as sd
from samdyn.dynamics import driver
from samdyn.dynamics.backends.layers_step import LayersStep
from samdyn.dynamics.backends.native_layers import LayeredGradient
from samdyn.dynamics.backends.point_step import PointStep
from samdyn.trace.printed.compiling import compiler
from samdyn.trace.tracing import NotTraceable

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
INPUTS = np.random.default_rng(0).normal(size=(21, 5))
LABELS = np.random.default_rng(1).integers(0, 3, 21)
NUMBERS = np.random.default_rng(2).normal(size=(21, 3))


def smooth(outputs: Any, targets: Any) -> Any:
    return functional.cross_entropy(outputs, targets, label_smoothing=0.1)


def network(*middle: nn.Module, bias: bool = True, width: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, width, bias=bias), *middle, nn.Linear(width, 3, bias=bias))


CASES: dict[str, tuple[nn.Module, Callable[..., Any], Any, str]] = {
    "tanh, cross-entropy": (network(nn.Tanh()), functional.cross_entropy, LABELS, "float64"),
    "two activations, squares, no bias": (
        network(nn.ReLU(), nn.Sigmoid(), bias=False),
        functional.mse_loss,
        NUMBERS,
        "float64",
    ),
    "three layers": (
        network(nn.Tanh(), nn.Sequential(nn.Linear(4, 7), nn.SiLU()), nn.Linear(7, 4), nn.Identity()),
        functional.mse_loss,
        NUMBERS,
        "float64",
    ),
    "single precision, GELU, smoothed labels": (network(nn.GELU(), width=9), smooth, LABELS, "float32"),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_torch(name: str) -> None:
    net, objective, targets, dtype = CASES[name]
    loss = sd.from_module(net, objective, (INPUTS, targets), weight_decay=0.1, dtype=getattr(torch, dtype))
    x = loss.x0 + 0.5 * np.random.default_rng(3).normal(size=(19, loss.dim))  # no whole number of registers
    known = loss.gradient(x)
    error = np.abs(LayeredGradient(loss)(x) - known).max() / np.abs(known).max()
    assert error < (1e-13 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize(
    "rule",
    [sd.GD(), sd.SAM(0.1), sd.USAM(0.1), sd.UnifiedSAM(0.1, 0.5)],
    ids=lambda r: type(r).__name__,
)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_those_of_torch(rule: sd.Rule, momentum: float, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = sd.from_module(*CASES["tanh, cross-entropy"][:2], (INPUTS, LABELS), dtype=torch.float64)
    system = sd.Map(loss, rule, lr=sd.schedules.PowerDecay(0.3), momentum=momentum)
    x0 = loss.x0 + 0.3 * np.random.default_rng(3).normal(size=(10, loss.dim))
    monkeypatch.setattr(type(loss), "traceable", False)
    plain = sd.trajectory(system, x0, n_steps=20, save_every=20)
    monkeypatch.setattr(driver, "LAYERS_FROM", 0.0)
    assert isinstance(driver.build_step(system), LayersStep)
    np.testing.assert_allclose(sd.trajectory(system, x0, n_steps=20, save_every=20), plain, atol=1e-11)
    # the bits of a replica do not depend on those beside it
    some = np.asarray(sd.trajectory(system, x0[3:8], n_steps=20, save_every=20))
    np.testing.assert_array_equal(
        np.asarray(sd.trajectory(system, x0, n_steps=20, save_every=20))[:, 3:8], some
    )


def test_threads_share_the_replicas() -> None:
    loss = sd.from_module(*CASES["tanh, cross-entropy"][:2], (INPUTS, LABELS))
    gradient = LayeredGradient(loss)
    x = loss.x0 + np.random.default_rng(3).normal(size=(70, loss.dim))
    np.testing.assert_array_equal(gradient(x, 1), gradient(x, 3))


@pytest.mark.parametrize(
    "net",
    [
        network(nn.LayerNorm(4)),
        network(nn.Softmax(dim=1)),
        nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 1, 3), nn.Flatten(), nn.Linear(3, 3)),
    ],
    ids=["LayerNorm", "softmax", "convolution"],
)
def test_other_networks_are_left_to_torch(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = sd.from_module(net, functional.mse_loss, (INPUTS, NUMBERS))
    with pytest.raises(NotTraceable):
        LayeredGradient(loss)
    monkeypatch.setattr(driver, "LAYERS_FROM", 0.0)
    monkeypatch.setattr(type(loss), "traceable", False)
    assert type(driver.build_step(sd.Map(loss, sd.SAM(0.1), lr=0.1))) is PointStep


def test_frozen_weights_and_hooks_are_left_to_torch() -> None:
    frozen, hooked = network(nn.Tanh()), network(nn.Tanh())
    frozen[0].bias.requires_grad_(False)
    hooked[1].register_forward_hook(lambda part, inputs, output: 2 * output)
    for net in (frozen, hooked):
        with pytest.raises(NotTraceable):
            LayeredGradient(sd.from_module(net, functional.mse_loss, (INPUTS, NUMBERS)))

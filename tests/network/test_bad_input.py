"""What networks are handed that cannot work, where other files do not say it: rules and points.

Models, data and objectives are in tests/landscapes/test_module_loss.py (no trainable parameter, unequal
lengths, targets of the wrong dtype, an objective that returns a vector, dropout, batch norm in training mode,
a checkpoint that does not fit); optimisers that cannot be read in test_monitor.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import samdyn as sd


@dataclass(frozen=True)
class Rounded(sd.rules.Rule):
    """A perturbation that leaves torch: it has no derivative."""

    rho: Any = 0.1

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any) -> Tensor:
        return rho * torch.from_numpy(np.round(gradient.detach().numpy()))


def loss() -> sd.landscapes.ModuleLoss:
    """A small network."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    return sd.from_module(net, functional.mse_loss, (torch.randn(6, 2), torch.randn(6, 1)))


def test_a_rule_without_a_second_derivative_is_refused_with_what_to_change() -> None:
    """When the system is made: it can be neither differentiated nor batched."""
    with pytest.raises(TypeError, match=r"rule must have a perturbation that torch.func batches.*round"):
        sd.Map(loss(), Rounded(), lr=0.1)


def test_a_point_where_the_loss_is_not_finite_is_told() -> None:
    net, far = loss(), np.full(9, 1e200)
    system = sd.Map(net, sd.SAM(0.1), lr=0.1)
    assert sd.diagnose(system, far).verdict == "diverged"
    with pytest.raises(ValueError, match="x must be a point where the loss is finite"):
        sd.refine(system, far)
    for analysed in (net, system):
        with pytest.raises(ValueError, match="x must be a point where the loss is finite"):
            sd.spectrum(analysed, far, 1)
    with pytest.raises(ValueError, match="x must be finite"):
        sd.spectrum(net, np.full(9, np.nan), 1)


def test_a_module_or_a_checkpoint_in_place_of_a_point_is_told() -> None:
    net = loss()
    for given in (net.model, net.model.state_dict()):
        with pytest.raises(TypeError, match=r"x must be .* are loss.point_of"):
            sd.spectrum(net, given, 1)  # type: ignore[arg-type]


def test_the_class_of_an_objective_is_told_from_an_object_of_it() -> None:
    net, data = nn.Linear(2, 3), (torch.randn(6, 2), torch.randint(0, 3, (6,)))
    with pytest.raises(TypeError, match=r"objective must be .*, CrossEntropyLoss\(\)"):
        sd.from_module(net, nn.CrossEntropyLoss, data)  # type: ignore[arg-type]
    images = torch.zeros(6, 1, 4, 4, dtype=torch.int64)
    conv = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(18, 3))
    with pytest.raises(TypeError, match=r"inputs are torch.int64: pass floating-point"):
        sd.from_module(conv, functional.cross_entropy, (images, data[1]))

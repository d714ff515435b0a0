"""A message names the part that is at fault, and what to write there.

Kind of fault: messages that blame the wrong part, or pass on what torch or Python noticed inside. What is
wrong is known, since each input has one slip.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import samdyn as sd

WELL, SADDLE = sd.landscapes.double_well(), sd.landscapes.saddle()
HALF = sd.HalfSpace([1.0], 0.5)
NOISE = sd.GaussianNoise(1.0)


@dataclass(frozen=True)
class Gated(sd.Rule):
    """A rule with a branch in Python on the gradient."""

    rho: float

    def perturbation(self, x: torch.Tensor, gradient: torch.Tensor, rho: Any = 0.0, **_: Any) -> torch.Tensor:
        return rho * gradient if gradient.norm() > 1 else 0 * gradient


@dataclass(frozen=True)
class Clipped(sd.Rule):
    """A rule written with numpy."""

    rho: float

    def perturbation(self, x: torch.Tensor, gradient: torch.Tensor, rho: Any = 0.0, **_: Any) -> torch.Tensor:
        return rho * np.clip(gradient, -1, 1)  # type: ignore[return-value]


class Odd(Executor):
    """An executor that returns results and not futures."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        return 3


def nan_at_50(step: int) -> float:
    return float("nan") if step == 50 else 0.1


def too_short(step: int) -> float:
    return [0.1, 0.2][step]


def dropping() -> sd.network.Diagnosis | Any:
    model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout(0.5)).train()
    data = (torch.ones(5, 2), torch.zeros(5, 1))
    return sd.from_module(model, torch.nn.MSELoss(), data)


def exits(**options: Any) -> Any:
    sde = sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=NOISE)
    return sd.exit_times(sde, [-1.0], HALF, 100, t_max=1.0, device="cpu", compile=False, **options)


def convergence(**options: Any) -> Any:
    return sd.plot.convergence(sd.convergence(sd.Map(WELL, sd.GD(), lr=0.1), [0.5], 20), **options)


MSE = torch.nn.functional.mse_loss
SUM = sd.FiniteSum(lambda w, s: (w[0] - s) ** 2 / 2, [1.0, -1.0], dim=1)
HELD = torch.ones(2, requires_grad=True)


class Items(torch.utils.data.Dataset[Any]):
    """Four items that a function makes."""

    def __init__(self, item: Any) -> None:
        self.item = item

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        return self.item(i)


SLIPS: dict[str, tuple[Callable[[], Any], str]] = {
    "a branch in a rule": (
        lambda: sd.Map(SADDLE, Gated(0.1), lr=0.1),
        r"^rule must have a perturbation that torch\.func batches, got Gated.*torch\.where",
    ),
    "numpy in a rule": (
        lambda: sd.Map(SADDLE, Clipped(0.1), lr=0.1),
        r"^rule must.*torch\.clip for np\.clip$",
    ),
    "numpy in a step": (
        lambda: sd.Map.from_function(lambda w: np.sin(w), 2),
        r"^step must.*use torch\.sin for np\.sin$",
    ),
    "a branch in a field": (
        lambda: sd.Flow.from_function(lambda w: -w if w[0] > 0 else w, 2),
        r"^field must.*use torch\.where",
    ),
    "single precision in a drift": (
        lambda: sd.Diffusion.from_function(lambda w: torch.ones(2, 2) @ w, torch.eye(2).tolist(), 2),
        r"^drift must.*call \.double\(\)",
    ),
    "numpy in a noise root": (
        lambda: sd.Diffusion.from_function(lambda w: -w, lambda w: np.diag(w), 2),
        r"^noise_root must.*use torch\.diag for np\.diag$",
    ),
    "numpy in a region": (
        lambda: sd.Region(lambda w: np.hypot(w[0], w[1]) - 1, dim=2),
        r"^signed_distance must.*use torch\.hypot for np\.hypot$",
    ),
    "a region without a value at the start": (
        lambda: sd.exit_times(
            sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=NOISE),
            [0.1],
            sd.Region(lambda w: torch.log(w[0] - 5), dim=1),
            3,
            t_max=1.0,
        ),
        r"^region must have a signed distance at x0 = \[0\.1\], got nan",
    ),
    "a schedule of the rate that is nan": (
        lambda: sd.trajectory(sd.Map(WELL, sd.SAM(nan_at_50), lr=0.1), [0.5], n_steps=100),
        r"^rho = .*nan_at_50.* at step 50 must be a finite number >= 0, got nan",
    ),
    "a schedule that ends too early": (
        lambda: sd.trajectory(sd.Map(WELL, sd.SAM(0.1), lr=too_short), [0.5], n_steps=10),
        r"^lr must be a number or callable with a step, got .*too_short.* at step 2 raised IndexError",
    ),
    "dropout": (
        dropping,
        r"^model must .*'1' drops at random.*model\.eval\(\)",
    ),
    "an executor without futures": (
        lambda: exits(executor=Odd()),
        "^executor must have a submit that",
    ),
    "a bound of another length": (
        lambda: convergence(bound=lambda t: np.ones(3)),
        r"^bound must give a number for each of the 20 steps, got shape \(3,\)",
    ),
    "a bound that raises": (
        lambda: convergence(bound=lambda t: 1 / 0),
        "^bound must be a function",
    ),
    "no optimiser": (
        lambda: sd.optim.as_optimizer(sd.SAM(0.1), [torch.ones(2, requires_grad=True)], lambda *a, **k: 3),
        r"^base must make a torch\.optim\.Optimizer, got 3",
    ),
    "a momentum that torch refuses": (
        lambda: sd.optim.as_optimizer(sd.SAM(0.1), [torch.ones(2, requires_grad=True)], lr=0.5, momentum=-1),
        r"^params and the options of SGD must be as torch takes them, got .*momentum=-1: Invalid momentum",
    ),
    "a learning rate that is a text": (
        lambda: sd.optim.as_optimizer(sd.SAM(0.1), [torch.ones(2, requires_grad=True)], lr="a"),
        r"^lr must be a finite number >= 0, got 'a'",
    ),
    "a module in place of its parameters": (
        lambda: sd.optim.as_optimizer(sd.SAM(0.1), torch.nn.Linear(2, 1), lr=0.1),
        r"^params must be the parameters of a module, got Linear: give its \.parameters\(\)",
    ),
    "a parameter given twice": (
        lambda: sd.optim.as_optimizer(sd.SAM(0.1), 2 * [torch.ones(2, requires_grad=True)], lr=0.1),
        "^params must hold each parameter once",
    ),
    "a group without params": (
        lambda: sd.optim.as_optimizer(sd.SAM(0.1), [{"weights": [HELD]}], lr=0.1),
        "^params and the options of SGD must be as torch takes them",
    ),
    "layers that are not there": (
        lambda: sd.optim.as_optimizer(sd.SAMON(0.1), [torch.ones(2, requires_grad=True)], lr=0.1),
        r"^loss must have the blocks that SAMON.* needs, got weights \(0\) with none of them",
    ),
    "a closure without its loss": (
        lambda: sd.optim.as_optimizer(sd.PolyakSAM(0.1), [HELD], lr=0.1).step(
            lambda: HELD.square().sum().backward()
        ),
        "^closure must return the loss, which PolyakSAM",
    ),
    "a function of a tensor that gives a number": (
        lambda: sd.DetSAM(phi=lambda t: 0.5),
        "^phi must map a torch scalar to a torch scalar",
    ),
    "a function of numpy": (
        lambda: sd.UniversalSAM(0.1, psi=np.exp),
        "^psi must map a torch scalar to a torch scalar",
    ),
    "no samples": (
        lambda: sd.BSAM(0.1, n_samples=0),
        "^n_samples must be a finite number > 0, got 0",
    ),
    "items that are texts": (
        lambda: sd.from_module(torch.nn.Linear(2, 1), MSE, Items(lambda i: ("abc", torch.ones(1)))),
        r"^data must hold items \(input, target\) that are tensors or numbers",
    ),
    "items of unlike shapes": (
        lambda: sd.from_module(
            torch.nn.Linear(2, 1), MSE, Items(lambda i: (torch.ones(1 + i % 2), torch.ones(1)))
        ),
        r"^data must hold items \(input, target\) that are tensors or numbers, of one shape",
    ),
    "sparse inputs": (
        lambda: sd.from_module(torch.nn.Linear(2, 1), MSE, (torch.ones(3, 2).to_sparse(), torch.ones(3, 1))),
        "^data must hold dense inputs",
    ),
    "a block beyond the coordinates": (
        lambda: sd.spectrum(sd.landscapes.beale(), [0.0, 1.0], 1, block=slice(0, 5)),
        "^block must hold different coordinates below 2",
    ),
    "a block between the coordinates": (
        lambda: sd.spectrum(sd.landscapes.beale(), [0.0, 1.0], 1, block=slice(0.0, 1.0)),
        "^block must be a slice of whole numbers",
    ),
    "a rule without a step of its own": (
        lambda: sd.refine(sd.Map(SUM, sd.ESAM(0.1), lr=0.1), [0.0]),
        "^rule must be a function of the point for refine",
    ),
    "inputs without targets": (
        lambda: sd.from_module(torch.nn.Linear(2, 1), torch.nn.functional.mse_loss, (torch.ones(3, 2),)),
        "^data must be .*got a tuple of length 1",
    ),
    "a number as data": (
        lambda: sd.FiniteSum(lambda w, s: w @ s, 5, dim=2),  # type: ignore[arg-type]
        "^data must hold at least one sample along the first axis, got 5, which has no axis",
    ),
    "a region too small to square": (
        lambda: sd.exit_rate(sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=NOISE), sd.Ball([0.0], 1e-300)),
        r"^region must be at least 1e-140 wide",
    ),
    "the wrong one of two basins": (
        lambda: sd.basins(sd.Map(WELL, sd.GD(), lr=0.1), [(-2, 2)], 8, n_starts=8).edge_state(1, 9),
        r"^b must be one of the attractors \[1, 2.*got 9",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_the_part_at_fault_is_named(slip: str) -> None:
    """Kind: messages that blame the wrong part. Right: the part with the slip, and what to write instead."""
    call, match = SLIPS[slip]
    with pytest.raises((TypeError, ValueError), match=match) as caught:
        call()
    assert "detach" not in str(caught.value)


PICTURES: dict[str, tuple[Callable[[], Any], str]] = {
    "a place that is none": (
        lambda: sd.plot.bifurcation_curves([], legend="rho"),
        "legend must be a bool",
    ),
    "no axes": (lambda: sd.plot.survival([], ax=3), "ax must be a matplotlib Axes"),  # type: ignore[arg-type]
    "no results": (lambda: sd.plot.manifolds(3.5), "results must be a sequence of Manifolds"),  # type: ignore[arg-type]
    "results of another class": (lambda: sd.plot.survival([sd.GD()]), "results must be ExitTimes"),  # type: ignore[list-item]
    "one text as labels": (lambda: sd.plot.survival([], labels="ab"), "labels must be a sequence of texts"),
    "numbers as labels": (lambda: sd.plot.survival([], labels=[1, 2]), "labels must be a string"),  # type: ignore[list-item]
    "a coordinate that is none": (
        lambda: sd.plot.manifolds([], coordinates=0),
        "coordinates must be a",
    ),  # type: ignore[arg-type]
    "a function of points that is none": (
        lambda: sd.plot.bifurcation_diagram(
            sd.continuation(sd.Flow(WELL, sd.USAM(0.1)), [1.0], "rho", (0.0, 0.2)), coordinate=len
        ),
        "coordinate must be a function from points",
    ),
}


@pytest.mark.parametrize("slip", PICTURES)
def test_pictures_refuse_before_they_draw(slip: str) -> None:
    """Kind: the same; pictures passed on what matplotlib noticed. Right: the argument, and no new figure."""
    call, match = PICTURES[slip]
    before = plt.get_fignums()
    with pytest.raises((TypeError, ValueError), match=f"^{match}"):
        call()
    assert plt.get_fignums() == before

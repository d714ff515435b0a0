"""What a loss, a rule and a Landscape say when something is written as elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd

SINGLE = torch.ones(2, 2)
BOX = [(-2.0, 2.0), (-2.0, 2.0)]


def helper(w: torch.Tensor) -> Any:
    return np.cos(w[0])


LOSSES: dict[str, tuple[Callable[..., Any], str]] = {
    "numpy": (lambda w: np.sin(w[0]), r"use torch\.sin for np\.sin$"),
    "numpy in a helper": (lambda w: helper(w) + w[1] ** 2, r"use torch\.cos for np\.cos$"),
    "math": (lambda w: math.exp(w[0]) + w[1] ** 2, r"use torch\.exp for math\.exp$"),
    "single precision": (lambda w: (SINGLE @ w).sum(), r"samdyn computes in float64.*call \.double\(\)"),
    "a branch": (lambda w: w[0] ** 2 if w[0] > 0 else w[1], r"use torch\.where\(condition, a, b\)"),
    "max": (lambda w: max(w[0], w[1]), r"torch\.maximum"),
    "random": (lambda w: (w * torch.randn_like(w)).sum(), "must give the same number each time"),
    "parameters": (lambda w, a: a * w @ w, "as parameters={name: value}"),
    "dim": (lambda w: w[0] + w[2], "dim is smaller than the number of coordinates"),
    "a module": (torch.nn.Linear(2, 1), "What is missing is the data and the objective"),
    "a deeper module": (torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)), "of 11 weights"),
    "complex": (lambda w: (w + 0j).sum(), r"take \.real or \.abs\(\)"),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_refused_with_what_to_write(name: str) -> None:
    """The refusal names what to write here, and not torch's advice to detach the point."""
    function, match = LOSSES[name]
    with pytest.raises(TypeError, match=match) as caught:
        sd.Landscape(function, dim=2, box=BOX)
    assert "detach" not in str(caught.value)


def test_a_loss_whose_gradient_overflows() -> None:
    """A loss of the size of 1e300 is refused by name: norms of its gradient and Hessian are infinite."""
    with pytest.raises(ValueError, match="must have gradients whose squares are finite, got one of size"):
        sd.Landscape(lambda w: 1e300 * (w @ w), dim=2)
    assert sd.Landscape(lambda w: 1e100 * (w @ w), dim=2).gradient([1.0, 0.0])[0] == 2e100


def test_losses_without_a_second_derivative_or_a_trace() -> None:
    """torch.cdist has no second derivative: gradients work, and what needs a Hessian says what is missing. A
    loss that is complex inside and real outside has no scalar form and is computed point by point.
    """
    centres = torch.tensor([[1.0, 0.0], [-1.0, 0.5]], dtype=torch.float64)
    loss = sd.Landscape(lambda w: torch.exp(-torch.cdist(w[None], centres)).sum(), dim=2)
    assert np.isfinite(loss.gradient([0.1, 0.2])).all()
    for needs in (loss.hessian, sd.Map(loss, sd.SAM(0.1), lr=0.1).jacobian):
        with pytest.raises(TypeError, match=r"differentiable by torch as often.*torch\.cdist"):
            needs([0.1, 0.2])

    def inside(w: torch.Tensor) -> torch.Tensor:
        z = torch.complex(w[0], w[1])
        return (z * z - 1).abs() ** 2 / 4

    well = sd.Landscape(inside, dim=2)
    plain = sd.Landscape(lambda w: ((w[0] ** 2 - w[1] ** 2 - 1) ** 2 + 4 * (w[0] * w[1]) ** 2) / 4, dim=2)
    paths = [
        np.asarray(sd.trajectory(sd.Map(f, sd.SAM(0.1), lr=0.1), [0.5, 0.4], n_steps=5))
        for f in (well, plain)
    ]
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-12)


def test_a_loss_that_differentiates_inside() -> None:
    """torch.autograd.grad inside a loss was accepted and failed raw later. Right: of sum 16 w^6 the gradient
    is 96 w^5 and the Hessian 480 w^4.
    """

    def squared_gradient(w: torch.Tensor) -> torch.Tensor:
        (g,) = torch.autograd.grad((w**4).sum(), w, create_graph=True)
        return (g**2).sum()

    loss, x = sd.Landscape(squared_gradient, dim=2), np.array([0.5, 1.0])
    np.testing.assert_allclose(loss.gradient(x), 96 * x**5, rtol=1e-12)
    np.testing.assert_allclose(loss.hessian(x), np.diag(480 * x**4), rtol=1e-12)
    step = sd.Map(loss, sd.GD(), lr=1e-3)
    np.testing.assert_allclose(sd.trajectory(step, x, n_steps=1).x[-1], x - 1e-3 * 96 * x**5, rtol=1e-12)


def test_components_are_refused_likewise() -> None:
    """A component of a sum gets the same advice."""
    with pytest.raises(TypeError, match=r"component.*use torch\.tanh for np\.tanh"):
        sd.FiniteSum(lambda w, s: np.tanh(s * w[0]), [1.0, 2.0], dim=1)


def test_a_loss_without_values_in_its_box() -> None:
    """nan everywhere in the box is refused at once; nan in a part of it is not."""
    with pytest.raises(ValueError, match="must have values in its box, got nan at all 64 points"):
        sd.Landscape(lambda w: torch.log(w[0] - 5.0) + w[1], dim=2, box=BOX)
    sd.Landscape(lambda w: torch.log(w[0] - 1.0) + w[1], dim=2, box=BOX)
    half = sd.Landscape(lambda w, a: torch.sqrt(w[0] - a) + w[1], 2, BOX, parameters={"a": 0.0})
    with pytest.raises(ValueError, match="must have values in its box"):
        half.with_parameters(a=3.0)


@pytest.mark.parametrize(
    ("function", "unread"),
    [
        (lambda w: w[0] ** 2 + w[1] ** 2, r"w\[2\]"),
        (lambda w: (w[1:] ** 2).sum(), r"w\[0\]"),
        (lambda w: torch.sin(w[2]), r"w\[0\], w\[1\]"),
        (lambda w: w[0] + w[1] + 0.0 * w[2], None),
        (lambda w: torch.where(w[2] > 0, w[0], w[1]), None),
        (lambda w: w[0] + torch.relu(w[1] - 1e6) + w[2] ** 2, None),
    ],
)
def test_coordinates_that_are_not_read(function: Callable[..., Any], unread: str | None) -> None:
    """A dim that is too large is warned of; a coordinate that is read and does nothing is not."""
    if unread is None:
        sd.Landscape(function, dim=3)
    else:
        with pytest.warns(UserWarning, match=f"does not seem to read {unread} of dim = 3"):
            sd.Landscape(function, dim=3)


def test_names_of_others() -> None:
    """Names that other libraries use are answered with the name here."""
    loss: Any = sd.Landscape(lambda w: w @ w, dim=2)
    with pytest.raises(TypeError, match=r"loss\.value\(x\)"):
        loss([0.0, 0.0])
    for name, own in (("grad", "gradient"), ("bounds", "box"), ("hess", "hessian"), ("ndim", "dim")):
        with pytest.raises(AttributeError, match=f"no attribute '{name}': here it is '{own}'"):
            getattr(loss, name)
    make: Any = sd.Landscape
    for name in ("xlim", "bounds", "domain"):
        with pytest.raises(TypeError, match=f"no argument '{name}': here it is 'box'"):
            make(lambda w: w @ w, dim=2, **{name: (-1, 1)})


@dataclass(frozen=True)
class Usual(sd.Rule):
    """Adaptive SAM as it is usually written."""

    rho: float

    def perturbation(self, x: torch.Tensor, gradient: torch.Tensor, rho: Any = 0.0, **_: Any) -> torch.Tensor:
        scaled = x.abs() * gradient
        return rho * x.abs() * scaled / scaled.norm()


@dataclass(frozen=True)
class Jittered(sd.Rule):
    rho: float

    def perturbation(self, x: torch.Tensor, gradient: torch.Tensor, rho: Any = 0.0, **_: Any) -> torch.Tensor:
        return rho * gradient + 0.01 * torch.randn_like(x)


class Bare(sd.Rule):
    rho: float

    def perturbation(self, x: torch.Tensor, gradient: torch.Tensor, rho: Any = 0.0, **_: Any) -> torch.Tensor:
        return rho * gradient


class Own(sd.Rule):
    def __init__(self, rho: float) -> None:
        self.rho = rho


def test_rules_that_are_refused() -> None:
    """A rule that is nan at g = 0, is random, or is no dataclass is named as the one at fault."""
    loss = sd.landscapes.quadratic(np.eye(2))
    state = torch.random.get_rng_state()
    for view in (lambda r: sd.Map(loss, r, lr=0.1), lambda r: sd.Flow(loss, r)):
        with pytest.raises(ValueError, match=r"rule must have a finite perturbation where the gradient is 0"):
            view(Usual(0.1))
        with pytest.raises(ValueError, match=r"rule must be a function of x and gradient alone.*random"):
            view(Jittered(0.1))
    assert torch.equal(state, torch.random.get_rng_state())
    rules: Any = (Bare, Own)
    for kind in rules:
        with pytest.raises(
            TypeError, match=rf"{kind.__name__} must be decorated with @dataclass\(frozen=True\)"
        ):
            kind(0.1)

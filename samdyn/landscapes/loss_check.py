"""Whether a function is a loss: what is looked at before any work, and what a refusal says.

A loss takes one point and returns one differentiable number. The function is called once with a gradient
recorded, once through `torch.func` as everything else calls it, and, where a box is known, at some points of
the box. A refusal names the slip that is behind torch's own message, which speaks of what torch noticed: a
function of numpy, data in single precision, a branch in Python on values, random numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.jobs.cost import outside
from samdyn.trace.advice import USUAL, advice_on, told, torch_names
from samdyn.trace.batch import OnePoint, tensor_of
from samdyn.trace.surroundings import own_surroundings

__all__ = ["check_scalar_loss", "check_values", "unread_coordinates"]

LARGEST = 1e150  # of a gradient's entries: the square of its length is a double
N_POINTS = 64  # of a box at which a loss must have a value somewhere
MAX_LOOKED = 64  # coordinates up to which it is looked for some that are not read


def check_scalar_loss(
    function: OnePoint, dim: int, at: Array, written: Callable[..., Any] | None = None
) -> None:
    """Refuse, before any work, a loss that does not return one differentiable number.

    Parameters
    ----------
    function : callable
        The loss of one point.
    dim : int
    at : ndarray, shape (dim,)
        Where it is called.
    written : callable, optional
        The function that the user wrote, where `function` is made from it.

    Raises
    ------
    TypeError
        The function raises, returns no tensor, or its result carries no gradient.
    ValueError
        The result is not a scalar.
    """
    written = function if written is None else written
    with own_surroundings(gradients=True):
        w = torch.from_numpy(np.array(at, dtype=np.float64)).requires_grad_(True)
        try:
            value: Any = function(w)
        except Exception as error:
            _refuse_a_module(written, error)
            raise TypeError(
                f"function must take one point, a torch tensor of shape ({dim},), and return a scalar "
                f"tensor; called at {at} it raised {told(error)}{advice_on(error, written)}"
            ) from error
        if not isinstance(value, Tensor) or value.ndim != 0:
            _refuse_a_module(written, None)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"function must return a torch scalar, got {type(value).__name__}: write it with torch "
                f"operations{torch_names(written)}"
            )
        if value.ndim != 0:
            raise ValueError(
                f"function must return a scalar (shape ()), got shape {tuple(value.shape)}: sum or average it"
            )
        if value.dtype.is_complex:
            raise TypeError(
                f"function must return a floating-point scalar, got dtype {value.dtype}: take .real or .abs()"
            )
        if not value.dtype.is_floating_point:
            raise TypeError(f"function must return a floating-point scalar, got dtype {value.dtype}")
        try:
            gradient = torch.func.vmap(torch.func.grad(function))(w.detach()[None]).detach()
        except Exception as error:
            raise TypeError(
                f"function cannot be differentiated and batched by torch.func ({told(error)})"
                f"{advice_on(error, written) or USUAL}"
            ) from error
        if gradient.isfinite().all() and gradient.abs().max() > LARGEST:
            raise ValueError(
                f"function must have gradients whose squares are finite, got one of size "
                f"{float(gradient.abs().max()):.3g} at {at}: divide the loss by a constant"
            )
        # a constant loss is allowed if it says so by multiplying w; a detached one would silently give GD
        # that never moves
        if not value.requires_grad:
            raise TypeError(
                "function returns a value that does not depend on w through torch operations (it "
                f"carries no gradient){torch_names(written)}"
            )


def _refuse_a_module(function: Any, error: Exception | None) -> None:
    module = getattr(function, "func", function)
    if isinstance(module, torch.nn.Module):
        n = sum(p.numel() for p in module.parameters())
        raise TypeError(
            f"function must be a loss of the weights, got the module {type(module).__name__} of {n} weights, "
            "which makes outputs from inputs. What is missing is the data and the objective: write\n"
            "    def loss(w):\n"
            "        weights = {...}  # w cut into the module's parameters, name by name\n"
            "        return objective(torch.func.functional_call(module, weights, (inputs,)), targets)\n"
            f"and sd.Landscape(loss, dim={n})"
        ) from error


def check_values(function: OnePoint, box: Array, name: str) -> None:
    """Refuse a loss that is nan everywhere in its box.

    Raises
    ------
    ValueError
    """
    dim = len(box)
    count = N_POINTS if dim <= 1000 else 4
    # a Kronecker sequence: fractions of the multiples of roots of primes fill the box evenly
    steps = np.sqrt(np.arange(2, 2 + dim) + 0.3819660112501051)
    u = np.modf(np.arange(1, count + 1)[:, None] * steps + 0.5)[0]
    with own_surroundings():
        points = tensor_of(box[:, 0] + (box[:, 1] - box[:, 0]) * u)
        values = torch.func.vmap(function)(points).detach()
    if values.isnan().all():
        raise ValueError(
            f"function must have values in its box, got nan at all {count} points that were looked at "
            f"({name}): check the domain of its logarithms, roots and quotients"
        )


def unread_coordinates(function: OnePoint, dim: int, at: Array) -> list[int]:
    """Coordinates that a loss does not seem to read: at none of some points does the value change when the
    coordinate is nan instead (0 times nan is nan), and the gradient along it is 0 at all of them.
    """
    if dim > MAX_LOOKED:
        return []
    spread = np.random.default_rng(0).normal(size=(16, dim)) * np.repeat([1.0, 10.0], 8)[:, None]
    with own_surroundings():
        points = tensor_of(at + spread)
        gradient, values = torch.func.vmap(torch.func.grad_and_value(function))(points)
        quiet = (gradient == 0).all(dim=0).nonzero()[:, 0].tolist()
        unread = []
        for i in quiet:
            spoilt = points.clone()
            spoilt[:, i] = torch.nan
            if torch.equal(torch.func.vmap(function)(spoilt).detach(), values.detach()):
                unread.append(i)
    return unread


def warn_of_unread(function: OnePoint, dim: int, at: Array) -> None:
    """Warn of a dim that is larger than the number of coordinates which the loss reads."""
    unread = unread_coordinates(function, dim, at)
    if unread:
        names = ", ".join(f"w[{i}]" for i in unread)
        warnings.warn(
            f"function does not seem to read {names} of dim = {dim} coordinates: the loss is flat along "
            "that; pass dim as the number of coordinates that it reads",
            UserWarning,
            stacklevel=outside(),
        )

"""One-point torch functions on batches of numpy points.

A user writes a function of one point. `evaluate` maps it over any leading shape with torch.func.vmap, in
chunks so that memory stays bounded: a chunk holds at most `CHUNK_VALUES` input numbers, and a d-dimensional
Hessian takes about d times the memory of its gradient.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.compute.checks import Array

CHUNK_VALUES = 1 << 18

OnePoint = Callable[[Tensor], Tensor]


def evaluate(function: OnePoint, x: Array) -> Array:
    """`function` at every point of `x`.

    Parameters
    ----------
    function : callable
        Takes a tensor of shape (dim,), returns a tensor of any shape.
    x : ndarray, shape (..., dim)
        Points in float64.

    Returns
    -------
    ndarray, shape (..., *output shape)

    Examples
    --------
    >>> import numpy as np
    >>> evaluate(lambda w: w @ w, np.array([[1.0, 2.0], [0.0, 3.0]]))
    array([5., 9.])
    """
    leading, dim = x.shape[:-1], x.shape[-1]
    flat = torch.from_numpy(np.ascontiguousarray(x.reshape(-1, dim)))
    size = max(1, CHUNK_VALUES // max(1, dim * dim))
    if len(flat) == 0:
        shape = function(torch.zeros(dim, dtype=flat.dtype)).shape
        return np.zeros(leading + tuple(shape))
    mapped = torch.func.vmap(function)
    # detached, so that a user's captured parameters that ask for a gradient do not get in the way
    pieces = [mapped(piece).detach() for piece in torch.split(flat, size)]
    result: Array = torch.cat(pieces).numpy() + 0.0  # turns -0.0 into 0.0, which reads better
    return result.reshape(leading + result.shape[1:])


def check_scalar_loss(function: OnePoint, dim: int, at: Array) -> None:
    """Refuse, before any work, a loss that does not return one differentiable number.

    Raises
    ------
    TypeError
        The function raises, returns no tensor, or its result carries no gradient.
    ValueError
        The result is not a scalar.
    """
    w = torch.from_numpy(np.array(at, dtype=np.float64)).requires_grad_(True)
    try:
        value: Any = function(w)
    except Exception as error:
        raise TypeError(
            f"function must take one point, a torch tensor of shape ({dim},), and return a scalar tensor; "
            f"called at {at} it raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(value, Tensor):
        raise TypeError(
            f"function must return a torch scalar, got {type(value).__name__}: write it with torch operations"
        )
    if value.ndim != 0:
        raise ValueError(
            f"function must return a scalar (shape ()), got shape {tuple(value.shape)}: sum or average it"
        )
    if not value.dtype.is_floating_point:
        raise TypeError(f"function must return a floating-point scalar, got dtype {value.dtype}")
    try:
        torch.func.vmap(torch.func.grad(function))(w.detach()[None])
    except Exception as error:
        raise TypeError(
            "function cannot be differentiated and batched by torch.func "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}): "
            "write it with torch operations on w, without .item(), numpy calls or Python branches on values"
        ) from error
    # a constant loss is allowed if it says so by multiplying w; a detached one would silently give GD that
    # never moves
    if not value.requires_grad:
        raise TypeError(
            "function returns a value that does not depend on w through torch operations (it "
            "carries no gradient)"
        )


def corners(box: Array) -> Array:
    """The 2^dim corners of a box (dim, 2), as (2^dim, dim)."""
    return np.array(list(itertools.product(*box)))

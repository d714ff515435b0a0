"""One-point torch functions on batches of numpy points.

A user writes a function of one point. `evaluate` maps it over any leading shape with torch.func.vmap, in
chunks so that memory stays bounded: a chunk holds at most `CHUNK_VALUES` input numbers, and a d-dimensional
Hessian takes about d times the memory of its gradient.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.trace.surroundings import own_surroundings

CHUNK_VALUES = 1 << 18  # input numbers of a chunk: 2 MiB, which bounds what the function makes of them

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
    flat = tensor_of(x.reshape(-1, dim))
    size = max(1, CHUNK_VALUES // max(1, dim * dim))
    with own_surroundings(), derivatives_by_name():
        if len(flat) == 0:
            shape = function(torch.zeros(dim, dtype=flat.dtype)).shape
            return np.zeros(leading + tuple(shape))
        # a single point of many coordinates needs no transform
        alone = size == 1 and len(flat) == 1
        mapped = torch.func.vmap(function)
        # detached, so that a user's captured parameters that ask for a gradient do not get in the way
        pieces = (
            [function(flat[0])[None].detach()]
            if alone
            else [mapped(piece).detach() for piece in torch.split(flat, size)]
        )
    result: Array = torch.cat(pieces).numpy() + 0.0  # turns -0.0 into 0.0, which reads better
    return result.reshape(leading + result.shape[1:])


def evaluate_pairs(function: Callable[[Tensor, Tensor], Tensor], x: Array, v: Array) -> Array:
    """A function of a point and a vector, at points and vectors whose leading axes are broadcast.

    Parameters
    ----------
    function : callable
        Takes tensors of shape (dim,) and (k,), returns a tensor of any shape.
    x : ndarray, shape (..., dim)
    v : ndarray, shape (..., k)

    Examples
    --------
    >>> import numpy as np
    >>> evaluate_pairs(lambda w, u: w @ u, np.array([1.0, 2.0]), np.eye(2))
    array([1., 2.])
    """
    leading = np.broadcast_shapes(x.shape[:-1], v.shape[:-1])
    dim = x.shape[-1]
    both = np.concatenate(
        [np.broadcast_to(x, leading + x.shape[-1:]), np.broadcast_to(v, leading + v.shape[-1:])], axis=-1
    )
    return evaluate(lambda pair: function(pair[:dim], pair[dim:]), both)


@contextlib.contextmanager
def derivatives_by_name() -> Iterator[None]:
    """Say of a function that torch cannot differentiate often enough that this is what is wrong."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        text = str(error).splitlines()[0] if str(error) else ""
        if re.search(r"derivative|double.?backward|differentiable|does not require grad|requires_grad", text):
            raise TypeError(
                "the loss must be differentiable by torch as often as this computation needs (gradients are "
                f"differentiated again for Hessians and Jacobians), got one that is not: {text}. Write the "
                "operation in terms of others, such as (a - b).square().sum(-1).sqrt() for torch.cdist, and "
                "differentiate inside a loss with torch.func.grad"
            ) from error
        raise


def tensor_of(array: Any) -> Tensor:
    """A tensor of the numbers of an array, on the CPU; on the same memory where the array can be written to.

    Examples
    --------
    >>> import numpy as np
    >>> tensor_of(np.broadcast_to(1.0, 3))
    tensor([1., 1., 1.], dtype=torch.float64)
    """
    array = np.ascontiguousarray(array)
    with torch.inference_mode(False):  # a tensor made in that mode cannot be differentiated by later on
        # torch warns of memory that it must not write to
        return torch.from_numpy(array if array.flags.writeable else array.copy())


def corners(box: Array) -> Array:
    """The 2^dim corners of a box (dim, 2), as (2^dim, dim)."""
    return np.array(list(itertools.product(*box)))

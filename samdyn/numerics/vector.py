"""Vectors in two layouts: one stacked tensor, or a tuple of separate coordinates.

The public functions work on stacked tensors of shape (..., dim). The compiled step of the ensemble works on
`Coordinates`, a tuple of 1-D tensors, because a compiler turns those into one vectorised loop (a stacked
layout makes it emit a scalar loop over `dim`). A rule is written once, with ``+ - * /``, `dot`, `norm` and
`unit`, and runs in both layouts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor


class Coordinates(tuple[Any, ...]):
    """A vector kept as separate coordinates, each a tensor of shape (n,) or a number.

    Examples
    --------
    >>> import torch
    >>> x = Coordinates((torch.ones(3), torch.zeros(3)))
    >>> (2 * x + 1)[1]
    tensor([1., 1., 1.])
    """

    __slots__ = ()

    def _with(self, other: Any, operation: Callable[[Any, Any], Any]) -> Coordinates:
        if isinstance(other, tuple):
            return Coordinates(operation(a, b) for a, b in zip(self, other, strict=True))
        return Coordinates(operation(a, other) for a in self)

    def __add__(self, other: Any) -> Coordinates:
        return self._with(other, lambda a, b: a + b)

    def __radd__(self, other: Any) -> Coordinates:
        return self._with(other, lambda a, b: b + a)

    def __sub__(self, other: Any) -> Coordinates:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Coordinates:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: Any) -> Coordinates:
        return self._with(other, lambda a, b: a * b)

    def __rmul__(self, other: Any) -> Coordinates:
        return self._with(other, lambda a, b: b * a)

    def __truediv__(self, other: Any) -> Coordinates:
        return self._with(other, lambda a, b: a / b)

    def __neg__(self) -> Coordinates:
        return Coordinates(-a for a in self)

    def __abs__(self) -> Coordinates:
        return Coordinates(abs(a) for a in self)


Vector: TypeAlias = Tensor | Coordinates


def dot(a: Vector, b: Vector) -> Tensor:
    """Inner product: shape (..., 1) for stacked vectors, (n,) for coordinates.

    The trailing axis of length 1 lets the result scale the stacked vector by broadcasting.
    """
    if isinstance(a, Coordinates):
        total = a[0] * b[0]
        for u, v in zip(a[1:], b[1:], strict=True):
            total = total + u * v
        return total
    assert not isinstance(b, Coordinates)
    return (a * b).sum(-1, keepdim=True)


USUAL = 1e-280, 1e280
"""Squares that are neither lost nor overflow, with room for those of smaller coordinates."""


def norm(g: Vector) -> Tensor:
    """Euclidean norm, in the same shapes as `dot`.

    Notes
    -----
    Where squares would be lost or overflow, the stacked form divides by the largest coordinate first; the
    coordinate form does not, and gives 0 below 1e-162 and infinity above 1e154 in float64.

    Examples
    --------
    >>> import torch
    >>> norm(torch.tensor([[3.0, 4.0], [3e-200, 4e-200], [3e200, 4e200]], dtype=torch.float64))
    tensor([[ 5.0000e+00],
            [5.0000e-200],
            [5.0000e+200]], dtype=torch.float64)
    """
    square = dot(g, g)
    if isinstance(g, Coordinates):
        return torch.sqrt(square)
    usual = (square > USUAL[0]) & (square < USUAL[1])
    largest = g.detach().abs().amax(-1, keepdim=True)
    there = (largest > 0) & ~usual
    scale = torch.where(there, largest, 1.0)
    scaled = g / scale
    # the inner `where` keeps derivatives free of 0/0
    rare = scale * torch.sqrt(torch.where(there, dot(scaled, scaled), 1.0))
    return torch.where(usual, torch.sqrt(torch.where(usual, square, 1.0)), torch.where(there, rare, 0.0))


@overload
def unit(g: Tensor) -> Tensor: ...
@overload
def unit(g: Coordinates) -> Coordinates: ...
def unit(g: Vector) -> Vector:
    """g / |g|, and 0 where g = 0, with no number added to the norm.

    Notes
    -----
    The stacked form divides by the largest coordinate first, so that gradients of any size keep their
    direction; the coordinate form does not: below a norm of 1e-162 and above 1e154 in float64 (1e-22 and 1e19
    in float32) it returns 0. In one dimension both are the sign. The
    derivative at 0 is defined as 0.

    Examples
    --------
    >>> import torch
    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    if isinstance(g, Coordinates):
        if len(g) == 1:
            return Coordinates((torch.sign(g[0]),))
        square = dot(g, g)
        # the inner `where` keeps derivatives and float32 kernels free of 0/0
        return g * torch.where(square > 0, torch.rsqrt(torch.where(square > 0, square, 1.0)), 0.0)
    if g.shape[-1] == 1:
        return torch.sign(g)
    largest = g.detach().abs().amax(-1, keepdim=True)
    scaled = g / torch.where(largest > 0, largest, 1.0)
    square = dot(scaled, scaled)
    return scaled * torch.where(largest > 0, torch.rsqrt(torch.where(largest > 0, square, 1.0)), 0.0)

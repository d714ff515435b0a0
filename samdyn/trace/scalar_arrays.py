"""Reductions, products and selections on arrays of scalars.

An array of scalars is a numpy object array whose elements are scalars of a `ScalarGraph`. Functions of
scalars are broadcast over such arrays by numpy; a reduction is a balanced binary fold over pointwise
operations, so that rounding errors grow with the logarithm of the number of terms. The functions take the
arguments of the ATen operations that they stand for, after the graph.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.trace.scalar_graph import NotTraceable, Scalar, ScalarGraph

Scalars = npt.NDArray[np.object_]


def broadcast(function: Callable[..., Scalar], *args: Any) -> Scalars:
    """A function of scalars on arrays of scalars, with numpy's broadcasting."""
    result = np.empty(
        np.broadcast_shapes(*(a.shape for a in args if isinstance(a, np.ndarray))), dtype=object
    )
    np.frompyfunc(function, len(args), 1)(*args, out=result)
    return result


def fold(
    function: Callable[[Scalar, Scalar], Scalar], a: Scalars, dim: Any = None, keepdim: bool = False
) -> Scalars:
    """A balanced fold over the axes `dim` (all, if None or empty)."""
    axes = [dim] if isinstance(dim, int) else list(dim or range(a.ndim))
    axes = sorted({axis % max(a.ndim, 1) for axis in axes}) if a.ndim else []
    kept = [axis for axis in range(a.ndim) if axis not in axes]
    terms = list(np.moveaxis(a, axes, range(len(axes))).reshape(-1, *(a.shape[axis] for axis in kept)))
    if not terms:
        raise NotTraceable("a reduction over no elements has no scalar form")
    terms = [as_array(term) for term in terms]
    while len(terms) > 1:
        pairs = [broadcast(function, *terms[i : i + 2]) for i in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[2 * len(pairs) :]
    return np.expand_dims(terms[0], axes) if keepdim else terms[0]


def as_array(value: Any) -> Scalars:
    """A constant tensor, a number or a scalar as an array of scalars."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy().astype(object)  # Python numbers
        if isinstance(value, np.ndarray):
            return value
    result = np.empty((), dtype=object)
    result[()] = value
    return result


def matmul(g: ScalarGraph, a: Scalars, b: Scalars) -> Scalars:
    """numpy's matmul of arrays of scalars; each has one axis or more."""
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    if left.size * right.shape[-1] > 4 * g.max_nodes:
        raise NotTraceable(
            f"a matrix product of {left.size * right.shape[-1]} scalar multiplications is too large"
        )
    product = fold(g.add, broadcast(g.mul, left[..., :, :, None], right[..., None, :, :]), -2)
    return product.reshape(product.shape[:-2] + a.shape[-2:-1] + (b.shape[-1:] if b.ndim > 1 else ()))


def extremum(g: ScalarGraph, function: Callable[..., Any], a: Scalars, *args: Any, **kwargs: Any) -> Any:
    """max, min, amax, amin: with another tensor, over axes, or over one with the index of the extremum."""
    best = functools.partial(g.extremum, function)
    if args and isinstance(args[0], np.ndarray):
        return broadcast(best, a, args[0])
    values = fold(best, a, *args, **kwargs)
    if not args or not isinstance(args[0], int):
        return values
    return values, first_index(g, fold(best, a, args[0], True), a, *args, **kwargs)


def first_index(g: ScalarGraph, best: Scalars, a: Scalars, dim: int, keepdim: bool = False) -> Scalars:
    """The place of the first entry along an axis that equals the best one."""
    hits = np.moveaxis(broadcast(functools.partial(g.compare, torch.eq), a, best), dim, 0)
    index: Scalars = np.full(hits.shape[1:], float(len(hits) - 1), dtype=object)
    for k in range(len(hits) - 2, -1, -1):
        index = broadcast(g.where, as_array(hits[k]), np.asarray(float(k), dtype=object), index)
    return np.expand_dims(index, dim) if keepdim else index


def argument(
    g: ScalarGraph, function: Callable[..., Any], a: Scalars, dim: int | None = None, keepdim: bool = False
) -> Scalars:
    """argmax and argmin; without `dim`, the index into the flattened array."""
    if dim is None:
        a, dim, keepdim = a.ravel(), 0, False
    best = fold(functools.partial(g.extremum, function), a, dim, True)
    return first_index(g, best, a, dim, keepdim)


def gather(g: ScalarGraph, a: Scalars, dim: int, index: Scalars) -> Scalars:
    """`gather` with an index that depends on the point: a chain of selections."""
    result = np.empty(index.shape, dtype=object)
    for position in np.ndindex(*index.shape):
        along = [a[(*position[:dim], k, *position[dim + 1 :])] for k in range(a.shape[dim])]
        chosen = along[-1]
        for k in range(len(along) - 1):
            chosen = g.where(g.compare(torch.eq, index[position], float(k)), along[k], chosen)
        result[position] = chosen
    return result


def scatter(
    g: ScalarGraph, a: Scalars, dim: int, index: Scalars, source: Scalars, add: bool = False
) -> Scalars:
    """`scatter` or `scatter_add` with an index that depends on the point."""
    result, source = a.copy(), np.broadcast_to(source, index.shape) if np.ndim(source) == 0 else source
    for position in np.ndindex(*index.shape):
        for k in range(a.shape[dim]):
            target = (*position[:dim], k, *position[dim + 1 :])
            put = g.add(result[target], source[position]) if add else source[position]
            result[target] = g.where(g.compare(torch.eq, index[position], float(k)), put, result[target])
    return result


def accumulate(g: ScalarGraph, a: Scalars, find: Callable[[Tensor], Tensor], values: Scalars) -> Scalars:
    """`a` with `values` added at the places that `find` picks from a tensor of the shape of `a`."""
    places = find(torch.arange(a.size).reshape(a.shape)).numpy()
    result = a.ravel().copy()
    for place, value in zip(places.ravel(), np.broadcast_to(values, places.shape).ravel(), strict=True):
        result[place] = g.add(result[place], value)
    return result.reshape(a.shape)


def clamp(g: ScalarGraph, a: Scalar, low: Scalar | None = None, high: Scalar | None = None) -> Scalar:
    """A scalar between two bounds."""
    a = a if low is None else g.extremum(torch.maximum, a, low)
    return a if high is None else g.extremum(torch.minimum, a, high)


def mean(g: ScalarGraph, a: Scalars, dim: Any = None, keepdim: bool = False, **_: Any) -> Scalars:
    """Mean over axes."""
    total = fold(g.add, a, dim, keepdim)
    return broadcast(g.div, total, as_array(a.size / total.size))


def var(
    g: ScalarGraph, a: Scalars, dim: Any = None, *, correction: float | None = None, keepdim: bool = False
) -> Scalars:
    """Variance over axes."""
    centred = broadcast(g.sub, a, mean(g, a, dim, True))
    total = fold(g.add, broadcast(g.mul, centred, centred), dim, keepdim)
    return broadcast(g.div, total, as_array(a.size / total.size - (1 if correction is None else correction)))


def norm(
    g: ScalarGraph, a: Scalars, ord: float = 2, dim: Any = None, keepdim: bool = False, **_: Any
) -> Scalars:
    """Norm over axes."""
    size = broadcast(functools.partial(g.unary, torch.abs), a)
    if ord == 2:
        return broadcast(
            functools.partial(g.unary, torch.sqrt), fold(g.add, broadcast(g.mul, a, a), dim, keepdim)
        )
    if ord == 1:
        return fold(g.add, size, dim, keepdim)
    if math.isinf(ord):
        return fold(
            functools.partial(g.extremum, torch.maximum if ord > 0 else torch.minimum), size, dim, keepdim
        )
    if ord == 0:
        return fold(g.add, broadcast(functools.partial(g.compare, torch.ne), a, as_array(0.0)), dim, keepdim)
    return broadcast(
        g.pow, fold(g.add, broadcast(g.pow, size, as_array(ord)), dim, keepdim), as_array(1 / ord)
    )


def cumulate(
    g: ScalarGraph, function: Callable[[Scalar, Scalar], Scalar], a: Scalars, dim: int, **_: Any
) -> Scalars:
    """Running sum, product or extremum along an axis."""
    result = np.moveaxis(a.copy(), dim, 0) if a.ndim else a
    for k in range(1, len(result) if a.ndim else 0):
        result[k, ...] = broadcast(function, as_array(result[k - 1]), as_array(result[k]))
    return np.moveaxis(result, 0, dim) if a.ndim else a


def cast(g: ScalarGraph, a: Scalars, *, dtype: torch.dtype | None = None, **_: Any) -> Scalars:
    """float32 and float64 are left to the inputs of the graph; whole numbers are cut off towards 0."""
    if dtype is torch.bool:
        return broadcast(g.boolean, a)
    whole = all(g.is_bool(element) for element in a.ravel())
    if dtype is None or dtype in (torch.float32, torch.float64) or (whole and not dtype.is_complex):
        return a if dtype is None else broadcast(g.number, a)
    if dtype in (torch.int32, torch.int64):

        def cut(element: Scalar) -> Scalar:
            down = g.unary(torch.floor, element)
            return g.where(
                g.compare(torch.lt, element, 0.0), g.neg(g.unary(torch.floor, g.neg(element))), down
            )

        return broadcast(cut, a)
    raise NotTraceable(f"a cast to {dtype} has no scalar form")

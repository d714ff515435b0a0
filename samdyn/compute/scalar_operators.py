"""ATen operations on arrays of scalars.

`scalarise` walks through a traced ATen graph. The value of a node is a constant (a torch tensor, if it does not depend on the point) or a
numpy array of scalars of a `ScalarGraph`, of the tensor's shape. There are five kinds of operations:

1. On constants alone: the operation itself is called.
2. Movement (select, view, cat, scatter, ...: elements are moved, none is computed): the operation itself is called on integer labels in place
   of the elements, and the labels that come out say where each element went. Label 0 is the zero that such operations fill in.
3. Filling (zeros_like, new_full, ...): only shapes matter, so it is called on zeros.
4. Pointwise: the method of `ScalarGraph`, broadcast by numpy.
5. Reductions and products: balanced folds over pointwise operations.

Anything else, and anything random, raises `NotTraceable` with the operation's name.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from samdyn.compute.scalar_graph import NotTraceable, Scalar, ScalarGraph

Scalars = npt.NDArray[np.object_]
aten = torch.ops.aten


def _packets(names: str) -> frozenset[Any]:
    """The ATen operations of these names that the installed torch has."""
    return frozenset(getattr(aten, name) for name in names.split() if hasattr(aten, name))


MOVEMENT = _packets(
    "select slice view _unsafe_view reshape permute transpose t movedim unsqueeze squeeze expand expand_as repeat clone alias detach lift "
    "lift_fresh lift_fresh_copy contiguous flatten cat stack hstack unbind split split_with_sizes chunk unfold as_strided flip roll diagonal "
    "diag_embed tril triu index index_select gather scatter index_put select_scatter slice_scatter diagonal_scatter as_strided_scatter "
    "constant_pad_nd copy select_backward slice_backward diagonal_backward view_copy select_copy slice_copy permute_copy expand_copy "
    "unsqueeze_copy squeeze_copy t_copy transpose_copy alias_copy detach_copy diagonal_copy unbind_copy split_copy"
)
FILLING = _packets(
    "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_empty_strided fill zero _efficientzerotensor"
)
INDEX_ARGUMENTS = frozenset({"index", "indices", "mask"})
VALUE_ARGUMENTS = frozenset({"value", "fill_value"})


def broadcast(function: Callable[..., Scalar], *args: Any) -> Scalars:
    """A function of scalars on arrays of scalars, with numpy's broadcasting."""
    result = np.empty(np.broadcast_shapes(*(a.shape for a in args if isinstance(a, np.ndarray))), dtype=object)
    np.frompyfunc(function, len(args), 1)(*args, out=result)
    return result


def fold(function: Callable[[Scalar, Scalar], Scalar], a: Scalars, dim: Any = None, keepdim: bool = False) -> Scalars:
    """A balanced fold over the axes `dim` (all, if None or empty)."""
    axes = [dim] if isinstance(dim, int) else list(dim or range(a.ndim))
    axes = sorted({axis % max(a.ndim, 1) for axis in axes}) if a.ndim else []
    kept = [axis for axis in range(a.ndim) if axis not in axes]
    terms = list(np.moveaxis(a, axes, range(len(axes))).reshape(-1, *(a.shape[axis] for axis in kept)))
    if not terms:
        raise NotTraceable("a reduction over no elements has no scalar form")
    terms = [_as_array(term) for term in terms]
    while len(terms) > 1:
        pairs = [broadcast(function, *terms[i : i + 2]) for i in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[2 * len(pairs) :]
    return np.expand_dims(terms[0], axes) if keepdim else terms[0]


def _as_array(value: Any) -> Scalars:
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


def _as_constant(a: Scalars) -> Scalars | Tensor:
    """The tensor, if no element depends on the point, so that structure (masks, zeros) is seen by what follows."""
    elements = a.ravel().tolist()
    if any(isinstance(element, fx.Node) for element in elements):
        return a
    dtype = torch.bool if elements and all(isinstance(element, bool) for element in elements) else torch.float64
    return torch.tensor(elements, dtype=dtype).reshape(a.shape)


def _move(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    pool: list[Scalar] = [0.0]

    def label(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray | Tensor):
            return leaf
        array = _as_array(leaf)
        pool.extend(array.ravel().tolist())
        return torch.arange(len(pool) - array.size, len(pool)).reshape(array.shape)

    names = [argument.name for argument in op._schema.arguments]
    named: dict[str, Any] = dict(zip(names, args, strict=False)) | kwargs
    if named.get("accumulate") or named.get("reduce") is not None:
        raise NotTraceable(f"{op} that accumulates has no scalar form")
    is_put = op.overloadpacket is getattr(aten, "index_put", None)
    for name, value in named.items():
        if name in INDEX_ARGUMENTS:
            if any(isinstance(leaf, np.ndarray) for leaf in pytree.tree_leaves(value)):
                raise NotTraceable(f"{op} with an index that depends on the point has no scalar form")
        elif name in VALUE_ARGUMENTS and isinstance(value, int | float | bool):
            pool.append(value)
            named[name] = len(pool) - 1
        elif name != "memory_format":
            named[name] = pytree.tree_map(label, value)
    del is_put
    labels = op(*(named[name] for name in names[: len(args)]), **{name: named[name] for name in kwargs})
    elements = np.empty(len(pool), dtype=object)
    elements[:] = pool
    return pytree.tree_map(lambda tensor: _as_array(elements[tensor.numpy()]), labels)


def _gather(g: ScalarGraph, a: Scalars, dim: int, index: Scalars) -> Scalars:
    """`gather` with an index that depends on the point: a chain of selections."""
    result = np.empty(index.shape, dtype=object)
    for position in np.ndindex(*index.shape):
        along = [a[(*position[:dim], k, *position[dim + 1 :])] for k in range(a.shape[dim])]
        chosen = along[-1]
        for k in range(len(along) - 1):
            chosen = g.where(g.compare(torch.eq, index[position], float(k)), along[k], chosen)
        result[position] = chosen
    return result


def _scatter(g: ScalarGraph, a: Scalars, dim: int, index: Scalars, source: Scalars) -> Scalars:
    result, source = a.copy(), np.broadcast_to(source, index.shape) if source.ndim == 0 else source
    for position in np.ndindex(*index.shape):
        for k in range(a.shape[dim]):
            target = (*position[:dim], k, *position[dim + 1 :])
            result[target] = g.where(g.compare(torch.eq, index[position], float(k)), source[position], result[target])
    return result

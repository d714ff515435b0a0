"""ATen operations on arrays of scalars.

`scalarise` walks through a traced ATen graph. The value of a node is a constant (a torch tensor, if it does
not depend on the point) or a numpy array of scalars of a `ScalarGraph`, of the tensor's shape. There are five
kinds of operations:

1. On constants alone: the operation itself is called.
2. Movement (select, view, cat, scatter, ...: elements are moved, none is computed): the operation itself is
   called on integer labels in place of the elements, and the labels that come out say where each element
   went. Label 0 is the zero that such operations fill in.
3. Filling (zeros_like, new_full, ...): only shapes matter, so it is called on zeros.
4. Pointwise: the method of `ScalarGraph`, broadcast by numpy.
5. Reductions and products: balanced folds over pointwise operations.

Anything else, and anything random, raises `NotTraceable` with the operation's name.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, decomposition_table
from torch.utils import _pytree as pytree

from samdyn.trace import scalar_arrays as arrays
from samdyn.trace.scalar_arrays import Scalars, as_array, broadcast
from samdyn.trace.scalar_graph import COMPARISONS, UNARY, NotTraceable, Scalar, ScalarGraph

aten = torch.ops.aten


def _packets(names: str) -> frozenset[Any]:
    """The ATen operations of these names that the installed torch has."""
    return frozenset(getattr(aten, name) for name in names.split() if hasattr(aten, name))


MOVEMENT = _packets(
    "select slice view _unsafe_view reshape permute transpose t movedim unsqueeze squeeze expand "
    "expand_as repeat clone alias detach lift lift_fresh lift_fresh_copy contiguous flatten cat stack "
    "hstack unbind split split_with_sizes chunk unfold as_strided flip roll diagonal diag_embed tril triu "
    "index index_select gather scatter index_put select_scatter slice_scatter diagonal_scatter "
    "as_strided_scatter constant_pad_nd copy select_backward slice_backward diagonal_backward view_copy "
    "select_copy slice_copy permute_copy expand_copy unsqueeze_copy squeeze_copy t_copy transpose_copy "
    "alias_copy detach_copy diagonal_copy unbind_copy split_copy"
)
FILLING = _packets(
    "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_empty_strided "
    "fill zero _efficientzerotensor _new_zeros_with_same_feature_meta"
)
INDEX_ARGUMENTS = frozenset({"index", "indices", "mask"})
VALUE_ARGUMENTS = frozenset({"value", "fill_value"})


def _as_constant(a: Scalars) -> Scalars | Tensor:
    """The tensor, if no element depends on the point: what follows sees its structure (masks, zeros)."""
    elements = a.ravel().tolist()
    if any(isinstance(element, fx.Node) for element in elements):
        return a
    dtype = (
        torch.bool if elements and all(isinstance(element, bool) for element in elements) else torch.float64
    )
    return torch.tensor(elements, dtype=dtype).reshape(a.shape)


def _move(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    pool: list[Scalar] = [0.0]

    def label(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray | Tensor):
            return leaf
        array = as_array(leaf)
        pool.extend(array.ravel().tolist())
        return torch.arange(len(pool) - array.size, len(pool)).reshape(array.shape)

    names = [argument.name for argument in op._schema.arguments]
    named: dict[str, Any] = dict(zip(names, args, strict=False)) | kwargs
    if named.get("reduce") is not None:
        raise NotTraceable(f"{op} with reduce= has no scalar form")
    for name, value in named.items():
        if name in INDEX_ARGUMENTS:
            continue
        if name in VALUE_ARGUMENTS and isinstance(value, int | float | bool):
            pool.append(value)
            named[name] = len(pool) - 1
        elif name != "memory_format":
            named[name] = pytree.tree_map(label, value)
    labels = op(*(named[name] for name in names[: len(args)]), **{name: named[name] for name in kwargs})
    elements = np.empty(len(pool), dtype=object)
    elements[:] = pool
    return pytree.tree_map(lambda tensor: as_array(elements[tensor.numpy()]), labels)


def _table() -> dict[Any, Callable[..., Any]]:
    """The handlers of kinds 4 and 5: functions of the graph and the ATen operation's arguments."""
    table: dict[str, Callable[..., Any]] = {}

    def pointwise(names: str, method: Callable[..., Scalar]) -> None:
        def handler(g: ScalarGraph, *args: Any, **kwargs: Any) -> Scalars:
            return broadcast(functools.partial(method, g, **kwargs), *(as_array(a) for a in args))

        table.update(dict.fromkeys(names.split(), handler))

    for function in UNARY - {torch.neg, torch.reciprocal}:
        pointwise(function.__name__, lambda g, a, function=function: g.unary(function, a))
    for function in COMPARISONS:
        pointwise(function.__name__, lambda g, a, b, function=function: g.compare(function, a, b))
    for function in (torch.maximum, torch.minimum):
        pointwise(function.__name__, lambda g, a, b, function=function: g.extremum(function, a, b))
    pointwise("neg", ScalarGraph.neg)
    pointwise("sgn", lambda g, a: g.unary(torch.sign, a))
    pointwise("add", ScalarGraph.add)
    pointwise("sub", ScalarGraph.sub)
    pointwise("rsub", lambda g, a, b, alpha=1: g.sub(b, g.mul(a, alpha)))
    pointwise("mul", ScalarGraph.mul)
    pointwise("div", ScalarGraph.div)
    pointwise("pow", ScalarGraph.pow)
    pointwise("remainder", ScalarGraph.remainder)
    pointwise("atan2", ScalarGraph.atan2)
    pointwise("clamp clamp_min", arrays.clamp)
    pointwise("clamp_max", lambda g, a, high: arrays.clamp(g, a, None, high))
    pointwise("relu", lambda g, a: g.extremum(torch.maximum, a, 0.0))
    pointwise("reciprocal", lambda g, a: g.div(1.0, a))
    pointwise("rsqrt", lambda g, a: g.pow(a, -0.5))
    pointwise("hypot", lambda g, a, b: g.unary(torch.sqrt, g.add(g.mul(a, a), g.mul(b, b))))
    pointwise("square", lambda g, a: g.mul(a, a))
    pointwise("exp2", lambda g, a: g.pow(2.0, a))
    pointwise("log2", lambda g, a: g.mul(g.unary(torch.log, a), 1 / np.log(2.0)))
    pointwise("log10", lambda g, a: g.mul(g.unary(torch.log, a), 1 / np.log(10.0)))
    pointwise("ceil", lambda g, a: g.neg(g.unary(torch.floor, g.neg(a))))
    pointwise("isnan", lambda g, a: g.compare(torch.ne, a, a))
    pointwise("isinf", lambda g, a: g.compare(torch.eq, g.unary(torch.abs, a), float("inf")))
    pointwise("where", ScalarGraph.where)
    pointwise("logical_not bitwise_not", ScalarGraph.logical_not)
    pointwise("logical_and bitwise_and", lambda g, a, b: g.logical(torch.logical_and, a, b))
    pointwise("logical_or bitwise_or", lambda g, a, b: g.logical(torch.logical_or, a, b))

    table["sum"] = lambda g, a, dim=None, keepdim=False, **_: arrays.fold(g.add, a, dim, keepdim)
    table["prod"] = lambda g, a, dim=None, keepdim=False, **_: arrays.fold(g.mul, a, dim, keepdim)
    for name, function in (("any", torch.logical_or), ("all", torch.logical_and)):
        table[name] = lambda g, a, dim=None, keepdim=False, function=function: arrays.fold(
            functools.partial(g.logical, function), broadcast(g.boolean, a), dim, keepdim
        )
    for name, function in (
        ("max", torch.maximum),
        ("amax", torch.maximum),
        ("min", torch.minimum),
        ("amin", torch.minimum),
    ):
        table[name] = lambda g, *args, function=function, **kw: arrays.extremum(g, function, *args, **kw)
    for name, function in (("argmax", torch.maximum), ("argmin", torch.minimum)):
        table[name] = lambda g, *args, function=function, **kw: arrays.argument(g, function, *args, **kw)
    table["mean"] = arrays.mean
    table["var"] = arrays.var
    table["linalg_vector_norm"] = arrays.norm
    table["cumsum"] = lambda g, a, dim, **_: arrays.cumulate(g, g.add, a, dim)
    table["cumprod"] = lambda g, a, dim, **_: arrays.cumulate(g, g.mul, a, dim)
    table.update(dict.fromkeys(["mm", "mv", "dot", "vdot", "bmm", "matmul"], arrays.matmul))
    table["_to_copy"] = arrays.cast
    table["addmm"] = table["addmv"] = lambda g, a, b, c, *, beta=1, alpha=1: broadcast(
        lambda x, y: g.add(g.mul(x, beta), g.mul(y, alpha)), a, arrays.matmul(g, b, c)
    )
    # the elements moved by an index that depends on the point; with a constant index, these are movements
    table["gather"] = lambda g, a, dim, index, **_: arrays.gather(g, a, dim, index)
    table["scatter"] = lambda g, a, dim, index, source: arrays.scatter(g, a, dim, index, source)
    table["index_put"] = lambda g, a, index, values, accumulate=False: arrays.accumulate(
        g, a, lambda p: aten.index(p, index), values
    )
    table["scatter_add"] = lambda g, a, dim, index, values: (
        arrays.scatter(g, a, dim, index, values, add=True)
        if isinstance(index, np.ndarray)
        else arrays.accumulate(g, a, lambda p: p.gather(dim, index), values)
    )
    table["index_add"] = lambda g, a, dim, index, values, *, alpha=1: arrays.accumulate(
        g, a, lambda p: p.index_select(dim, index), broadcast(lambda v: g.mul(v, alpha), values)
    )
    return {getattr(aten, name): handler for name, handler in table.items() if hasattr(aten, name)}


HANDLERS = _table()


@functools.cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """The decompositions of all operations that `scalarise` does not take as they are."""
    known = MOVEMENT | FILLING | frozenset(HANDLERS)
    table = {**decomposition_table, **core_aten_decompositions()}
    kept = {op: rule for op, rule in table.items() if getattr(op, "overloadpacket", None) not in known}
    # the handler takes the overload with `correction`, to which the decompositions of the others lead
    return kept | {op: table[op] for op in (aten.var.default, aten.var.dim)}


def _functional(op: Any) -> Any:
    """add for add_, which a decomposition may bring in again; the trace goes on with what it returns."""
    packet = getattr(aten, op.overloadpacket.__name__.removesuffix("_"), None)
    functional = getattr(packet, op._overloadname, None)
    if functional is None or functional._schema.is_mutable:
        raise NotTraceable(f"{op} writes into a tensor: it has no scalar form")
    return functional


def apply(g: ScalarGraph, op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """One ATen operation on constants and arrays of scalars."""
    if torch.Tag.nondeterministic_seeded in op.tags:
        raise NotTraceable(f"{op} is random: it has no scalar form")
    if op._schema.is_mutable:
        op = _functional(op)
    leaves = pytree.tree_leaves((args, kwargs))
    varies = [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]
    if not varies:
        return op(*args, **kwargs)
    packet = op.overloadpacket
    if packet not in HANDLERS and op.namespace == "prims":  # the same operations under another name
        packet = getattr(aten, packet.__name__, packet)
    named = dict(zip((argument.name for argument in op._schema.arguments), args, strict=False)) | kwargs
    if packet in FILLING:
        if isinstance(named.get("value"), np.ndarray):
            return np.broadcast_to(named["value"], args[0].shape)
        zeros = [torch.zeros(a.shape, dtype=torch.float64) if isinstance(a, np.ndarray) else a for a in args]
        return op(*zeros, **kwargs)
    index = pytree.tree_leaves([named.get(name) for name in INDEX_ARGUMENTS])
    if (
        packet in MOVEMENT
        and not named.get("accumulate")
        and not any(isinstance(i, np.ndarray) for i in index)
    ):
        return pytree.tree_map(_as_constant, _move(op, args, kwargs))
    if packet not in HANDLERS:
        raise NotTraceable(f"{op} has no scalar form")
    # constant indices stay tensors
    converted = pytree.tree_map(
        lambda leaf: (
            as_array(leaf) if isinstance(leaf, Tensor) and not any(leaf is i for i in index) else leaf
        ),
        list(args),
    )
    return pytree.tree_map(_as_constant, HANDLERS[packet](g, *converted, **kwargs))


def scalarise(traced: fx.GraphModule, g: ScalarGraph) -> Scalars:
    """The output of a traced function of one tensor (dim,) as an array of scalars of `g`.

    Parameters
    ----------
    traced : torch.fx.GraphModule
        An ATen graph without mutation, with one placeholder.
    g : ScalarGraph
        Its inputs are the elements of the placeholder.

    Returns
    -------
    ndarray of scalars
        Of the shape of the traced function's result.

    Raises
    ------
    NotTraceable
        An operation has no handler, or there are too many.
    """
    values: dict[fx.Node, Any] = {}
    for node in traced.graph.nodes:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        if node.op == "placeholder":
            point = np.empty(len(g.inputs), dtype=object)
            point[:] = g.inputs
            values[node] = point
        elif node.op == "get_attr":
            values[node] = functools.reduce(getattr, node.target.split("."), traced)
        elif node.op == "output":
            if not isinstance(args[0], np.ndarray | Tensor):
                raise NotTraceable(f"the function returns a {type(args[0]).__name__}: a tensor is wanted")
            return as_array(args[0])
        elif node.target is operator.getitem:
            values[node] = args[0][args[1]]
        elif isinstance(node.target, torch._ops.OpOverload):
            size = getattr(node.meta.get("val"), "numel", lambda: 0)()
            if size > g.max_nodes:
                raise NotTraceable(f"{node.target} returns {size} numbers: too many for a scalar form")
            values[node] = apply(g, node.target, args, dict(kwargs))
        else:
            raise NotTraceable(f"{node.target} has no scalar form")
    raise NotTraceable("the traced graph has no output")

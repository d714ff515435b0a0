"""The degree of a torch function as a polynomial in its first argument, read off its graph.

The function is traced into an ATen graph, and each operation says how the degree of its result follows from
the degrees of its arguments: sums and reshapes keep the largest, products add them up, a power multiplies.
Whatever is not known to be a polynomial (a comparison, an absolute value, a logarithm, a quotient by
something that depends on the argument) has an infinite degree. So the answer is an upper bound: a finite
degree is a proof, everywhere and not at sampled points only, and an infinite one says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx

from samdyn.trace.aten import aten_graph


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEEP = _names(
    "add sub rsub neg positive sum mean view _unsafe_view reshape select slice unsqueeze squeeze expand cat "
    "stack t transpose permute clone _to_copy alias unbind split split_with_sizes index index_select gather "
    "flip roll diagonal diag_embed trace cumsum repeat constant_pad_nd lift_fresh lift_fresh_copy as_strided "
    "getitem where tril triu squeeze_ unsqueeze_ t_ transpose_"
)
"""Operations that are linear in all their tensors together."""
MULTIPLY = _names("mul mm mv dot vdot bmm matmul ger outer inner linear")
ADD_PRODUCT = _names("addmm addmv baddbmm addr addcmul")
SHAPE_ONLY = _names("zeros_like ones_like full_like empty_like new_zeros new_ones new_full")


def polynomial_degree(function: Callable[..., Tensor], point: Tensor, *others: Tensor) -> float:
    """An upper bound on the degree of a function in its first argument, at any value of the others.

    Parameters
    ----------
    function : callable
        ``function(point, *others)`` returns a tensor.
    point, others : Tensor
        Arguments of the right shapes; their values do not matter.

    Returns
    -------
    float
        The degree; inf where the graph may compute something else than a polynomial, or there is no graph.

    Examples
    --------
    >>> w = torch.zeros(2)
    >>> polynomial_degree(lambda w: (w @ w) * w[0] - 1, w), polynomial_degree(lambda w: w.abs().sum(), w)
    (3, inf)
    """
    try:
        traced = aten_graph(function, point, *others)
    except Exception:  # whatever tracing may raise, no graph is no proof
        return math.inf
    degrees: dict[fx.Node, float] = {}
    first = True
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            degrees[node], first = (1 if first else 0), False
        elif node.op == "get_attr":
            degrees[node] = 0
        elif node.op == "output":
            return max((degrees[n] for n in node.all_input_nodes), default=0)
        else:
            degrees[node] = _degree(node, degrees)
    return math.inf


def _degree(node: fx.Node, degrees: dict[fx.Node, float]) -> float:
    inputs = node.all_input_nodes
    highest = max((degrees[n] for n in inputs), default=0)
    packet = getattr(node.target, "overloadpacket", node.target)
    name = getattr(packet, "__name__", str(packet))
    if highest == 0 or name in SHAPE_ONLY:
        return 0
    each = [sum(degrees[n] for n in _nodes(argument)) for argument in node.args]
    dtype = node.kwargs.get("dtype")
    if isinstance(dtype, torch.dtype) and not dtype.is_floating_point:
        return math.inf
    if name in KEEP:
        # of an index or a condition the result is no polynomial
        chooses = {"where": each[:1], "gather": each[2:3], "index": each[1:], "index_select": each[2:3]}
        return math.inf if any(chooses.get(name, ())) else highest
    if name in MULTIPLY:
        return sum(each)
    if name in ADD_PRODUCT:
        return max(each[0], each[1] + each[2])
    if name in ("div", "true_divide") and not node.kwargs.get("rounding_mode"):
        return each[0] if each[1] == 0 else math.inf
    if name == "square" or (name == "mse_loss" and len(each) >= 2):
        return 2 * highest
    if name == "pow":
        exponent = node.args[1]
        if isinstance(exponent, int | float) and exponent >= 0 and float(exponent).is_integer():
            return each[0] * int(exponent)
    return math.inf


def _nodes(argument: Any) -> Iterator[fx.Node]:
    if isinstance(argument, fx.Node):
        yield argument
    elif isinstance(argument, list | tuple):
        for part in argument:
            yield from _nodes(part)

"""Functions of torch as ATen graphs: the one place where functions are traced.

The function is called once on an example, under the surroundings of this library
(`samdyn.trace.surroundings`), and the ATen operations are recorded (make_fx), with mutations removed. What
it captures is read at that moment. Threads trace one after the other, since make_fx patches torch for all
threads of the process.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from samdyn.trace.surroundings import own_surroundings

__all__ = ["aten_graph", "graph_identity"]

_lock = threading.RLock()


def aten_graph(
    function: Callable[..., Any],
    *example: Tensor,
    decompositions: Mapping[Any, Callable[..., Any]] | None = None,
) -> fx.GraphModule:
    """The ATen operations of a function of tensors, without dead code.

    Parameters
    ----------
    function : callable
        Of tensors, to a tensor.
    *example : Tensor
        Arguments of the right shapes; a branch on values in Python goes the way of these or fails.
    decompositions : dict, optional
        Operations that are to be written in terms of others.

    Raises
    ------
    Exception
        Whatever the function or torch raises: the function branches on values, say.

    Examples
    --------
    >>> [node.name for node in aten_graph(lambda w: (w * w).sum(), torch.ones(2)).graph.nodes][1:]
    ['mul', 'sum_1', 'output']
    """
    # make_fx notes the shape of every result in a mode of its own, which costs more than all the rest of the
    # trace, unless it finds one in the surroundings
    shapes = FakeTensorMode(allow_fallback_kernels=True)
    with _lock, own_surroundings(), tracing(TracingContext(shapes)):
        functional = torch.func.functionalize(function, remove="mutations")
        table = None if decompositions is None else dict(decompositions)
        traced = make_fx(functional, decomposition_table=table)(*example)
    traced.graph.eliminate_dead_code()
    return traced


def graph_identity(function: Callable[..., Any], *example: Tensor) -> str | None:
    """A hash of a function's operations and of all constants in them; None where it has no graph.

    Examples
    --------
    >>> w = torch.ones(2)
    >>> graph_identity(lambda w: 2 * w, w) == graph_identity(lambda w: 3 * w, w)
    False
    """
    try:
        traced = aten_graph(function, *example)
    except Exception:  # whatever tracing may raise
        return None
    digest = hashlib.sha256(str(traced.graph).encode())
    for node in traced.graph.nodes:
        if node.op == "get_attr":
            value: Any = traced
            for name in node.target.split("."):
                value = getattr(value, name)
            digest.update(repr((value.dtype, tuple(value.shape))).encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]

"""One-point torch functions on separate coordinates.

The compiled step of the ensemble keeps every coordinate in its own 1-D tensor: a `torch.stack` of them inside
the step would be written to memory and split the compiler's loop. A user, however, writes a loss of one
stacked point, ``w[0]``, ``w @ w``, ``w.sum()``. `coordinate_form` turns the second into the first:

1. The function is traced at an example point into an ATen graph (make_fx), with mutations removed and
   composite operations decomposed.
2. The graph is evaluated on arrays of scalars (see `scalar_operators`): every small tensor becomes an array
   of symbols, each of which stands for a tensor (n,) at run time. Indexing, stacking and reshaping only move
   symbols and leave no trace; sums and products become folds; constants fold, zeros vanish, common
   subexpressions are shared (see `scalar_graph`).
3. Dead code is removed, and the result is compared with the function itself at a few points.

Functions that branch on values in Python, use an operation without a scalar form, or would need more than
`MAX_NODES` scalar operations raise `NotTraceable`; `batched_form` serves them through `torch.vmap`. What the
function captures (tensors, globals) is read once, when it is traced.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, fx

from samdyn.trace.aten import aten_graph
from samdyn.trace.batch import OnePoint, derivatives_by_name
from samdyn.trace.function_identity import fingerprint
from samdyn.trace.scalar_graph import MAX_NODES, OPERATORS, NotTraceable, ScalarGraph
from samdyn.trace.scalar_operators import decompositions, scalarise
from samdyn.trace.surroundings import own_surroundings

__all__ = [
    "MAX_NODES",
    "OPERATORS",
    "CoordinateForm",
    "NotTraceable",
    "batched_form",
    "coordinate_form",
    "coordinate_gradient",
    "coordinate_hessian",
    "traced_or_batched",
]


class CoordinateForm(Protocol):
    """A function of `dim` tensors (n,) to a tuple of tensors (n,): the elements of its output in C order.

    Attributes
    ----------
    traced : bool
        Whether it is the scalar form (True) or goes through stack and `torch.vmap`.
    """

    traced: bool

    def __call__(self, *x: Tensor) -> tuple[Tensor, ...]: ...


KEPT = 256
"""Traces that are kept, or the reasons why there is none, by the fingerprints of their functions."""

_kept: dict[str, _Traced | str] = {}
# equal code is the same module, so that what was compiled for one trace serves the next
_modules: weakref.WeakValueDictionary[str, _Traced] = weakref.WeakValueDictionary()


def coordinate_form(function: OnePoint, dim: int, *, max_nodes: int = MAX_NODES) -> CoordinateForm:
    """`function` as pointwise operations on separate coordinates.

    Parameters
    ----------
    function : callable
        Takes a tensor of shape (dim,), returns a tensor of any (small) shape: `torch.func.grad(f)` and the
        like are welcome.
    dim : int
        The number of coordinates.
    max_nodes : int
        The largest number of scalar operations.

    Returns
    -------
    torch.fx.GraphModule
        Called with `dim` tensors (n,), returns a tuple of tensors (n,), the elements of the output in C order
        (its dtype and device follow the inputs). The graph has only placeholders, calls of functions in
        `OPERATORS`, and the output. `.traced` is True.

    Raises
    ------
    NotTraceable
        There is no such form; the message names the operation.

    Notes
    -----
    Zeros are structural: a coefficient of 0 removes its term even where the other factor is infinite. Except
    there, the result agrees with the function up to rounding. Equal traces are one module, as long as it is
    held: what was compiled for one serves the other. Threads trace one after the other.

    A trace takes some tenths of a second. The trace of a function whose state can be read completely
    (`samdyn.trace.function_identity`) is kept, and serves again where the state is the same and the function
    still gives its value at one point.

    Examples
    --------
    >>> f = coordinate_form(lambda w: (w @ w) ** 2, dim=2)
    >>> f(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]))
    (tensor([ 4., 16.]),)
    """
    if dim > max_nodes:
        raise NotTraceable(f"a function of {dim} coordinates is too large for a scalar form")
    key = fingerprint(function, dim, max_nodes)
    kept = None if key is None else _kept.get(key)
    if isinstance(kept, str):
        raise NotTraceable(kept)
    if kept is not None:
        try:
            with own_surroundings():
                _check(kept, function, _points(dim)[:1])
            return kept
        except NotTraceable:  # something has changed unseen: tracing says what is wrong
            del _kept[str(key)]
    try:
        made: _Traced | str = _trace(function, dim, max_nodes)
    except NotTraceable as error:
        made = str(error)
    if key is not None:
        while len(_kept) >= KEPT:
            _kept.pop(next(iter(_kept)), None)
        _kept[key] = made
    if isinstance(made, str):
        raise NotTraceable(made)
    return made


def _trace(function: OnePoint, dim: int, max_nodes: int) -> _Traced:
    """The scalar form of a function, made anew."""
    example = _points(dim)
    try:
        traced = aten_graph(function, example[0], decompositions=decompositions())
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise NotTraceable(f"the function cannot be traced ({type(error).__name__}: {reason})") from error
    g = ScalarGraph(dim, max_nodes)
    try:
        with own_surroundings(), torch.no_grad():
            outputs = tuple(g.full(g.number(scalar)) for scalar in scalarise(traced, g).ravel())
    except NotTraceable:
        raise
    except Exception as error:  # complex numbers, say, which no handler expects
        reason = next(iter(str(error).splitlines()), "")
        raise NotTraceable(
            f"an operation of the function has no scalar form ({type(error).__name__}: {reason})"
        ) from error
    g.graph.output(outputs)
    g.graph.eliminate_dead_code()
    module = _Traced(torch.nn.Module(), g.graph, class_name="CoordinateForm")
    module = _modules.setdefault(module.code, module)
    with own_surroundings():
        _check(module, function, example)
    return module


class _Traced(fx.GraphModule):
    traced: bool = True


class _Batched:
    traced = False

    def __init__(self, function: OnePoint, dim: int) -> None:
        self.function = function
        self.dim = dim

    def __call__(self, *x: Tensor) -> tuple[Tensor, ...]:
        if len(x) != self.dim:
            raise TypeError(f"the function takes {self.dim} coordinates, got {len(x)}")
        with own_surroundings(), derivatives_by_name():
            result = torch.func.vmap(self.function)(torch.stack(x, dim=-1))
        return tuple(result.to(x[0].dtype).reshape(len(result), -1).unbind(dim=1))


def batched_form(function: OnePoint, dim: int) -> CoordinateForm:
    """`function` on separate coordinates, through stack and `torch.vmap`.

    It is called like `coordinate_form` and takes every function that `torch.vmap` takes; `.traced` is False.

    Examples
    --------
    >>> f = batched_form(lambda w: (w @ w) ** 2, dim=2)
    >>> f(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]))
    (tensor([ 4., 16.]),)
    """
    return _Batched(function, dim)


def coordinate_gradient(function: OnePoint, dim: int) -> CoordinateForm:
    """The gradient of a scalar function on separate coordinates: traced where possible, else batched.

    Parameters
    ----------
    function : callable
        Takes a tensor of shape (dim,), returns a scalar.
    dim : int
        The number of coordinates.

    Returns
    -------
    callable
        `dim` tensors (n,) to a tuple of `dim` tensors (n,); `.traced` says which form it is.

    Examples
    --------
    >>> gradient = coordinate_gradient(lambda w: w[0] ** 2 * w[1], dim=2)
    >>> gradient(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    (tensor([ 6., 16.]), tensor([1., 4.]))
    """
    return traced_or_batched(torch.func.grad(function), dim)


def coordinate_hessian(function: OnePoint, dim: int) -> CoordinateForm:
    """The Hessian of a scalar function on separate coordinates: traced where possible, else batched.

    Returns
    -------
    callable
        `dim` tensors (n,) to a tuple of ``dim * dim`` tensors (n,), row by row, symmetric to the last bit.

    Examples
    --------
    >>> hessian = coordinate_hessian(lambda w: w[0] ** 2 * w[1], dim=2)
    >>> [h.item() for h in hessian(torch.tensor([1.0]), torch.tensor([3.0]))]
    [6.0, 2.0, 2.0, 0.0]
    """

    def symmetric(w: Tensor) -> Tensor:
        # reverse over reverse: under vmap, torch.func.hessian (forward over reverse) of a determinant comes
        # out wrong in torch 2.13
        h = torch.func.jacrev(torch.func.grad(function))(w)
        return (
            torch.triu(h) + torch.triu(h, 1).T
        )  # the lower half repeats the upper, and is dead code in a trace

    return traced_or_batched(symmetric, dim)


def traced_or_batched(function: OnePoint, dim: int) -> CoordinateForm:
    """`coordinate_form` where there is one, else `batched_form`."""
    try:
        return coordinate_form(function, dim)
    except NotTraceable:
        return batched_form(function, dim)


def _points(dim: int) -> Tensor:
    """Three points without special values, the same every time, from multiples of the golden ratio."""
    fractions = np.modf(np.arange(1, 3 * dim + 1) * 0.6180339887498949)[0].reshape(3, dim)
    # as in single precision, of which traces and kept results were made
    shift, scale = np.array([[0.0], [0.5], [0.4]], np.float32), np.array([[0.9], [2.0], [-5.0]], np.float32)
    return torch.from_numpy((fractions - shift) * scale)


def _check(module: Callable[..., Sequence[Tensor]], function: Callable[..., Any], points: Tensor) -> None:
    """Refuse a trace that disagrees with its function, which depends on more than the point."""
    for point in points:
        try:
            expected = function(point).detach().reshape(-1).to(torch.float64)
        except Exception as error:  # a label out of range, say: the function is not for all numbers
            reason = next(iter(str(error).splitlines()), "")
            raise NotTraceable(f"the function fails at numbers of any size ({reason})") from error
        got = torch.cat([element.reshape(-1) for element in module(*point.reshape(-1, 1))])
        usual = (
            expected.isfinite()
        )  # where the function is infinite or nan, structural zeros may differ from it
        if not torch.allclose(got[usual], expected[usual], rtol=1e-5, atol=1e-7):
            raise NotTraceable(f"the scalar form disagrees with the function at {point.tolist()}")

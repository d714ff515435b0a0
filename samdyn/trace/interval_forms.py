"""Traced functions on boxes: bounds of a one-point torch function over many boxes at once.

`interval_form` interprets the scalar graph of a `coordinate_form` with the interval arithmetic of
`samdyn.numerics.interval`, one operation for all boxes; derivatives are traced functions too, so that
``interval_form(torch.func.grad(loss), dim)`` bounds the gradient and a traced Jacobian the Jacobian.

1. Natural form: every operation is replaced by its range. It contains the range of the function, by an
   excess that falls in proportion to the size of the box. A square is the product of a node with itself,
   so that even powers keep their sign.
2. Mean-value form: F(c) + DF(X) (X - c), c the centre, whose excess falls with the square of the size. It
   is intersected with the natural form where it holds, see `continuous` below.
3. A box in which an operation of the function may jump or leave its domain (a sign, a floor, a selection
   whose condition is open, a root or a division around 0) is flagged as not known to be continuous: bounds
   hold there, the mean-value form does not.

The bounds hold for the graph in real arithmetic: its constants, folded in double precision when it was
traced, count as exact.

Cost: an interval operation takes some 2 to 10 ns per box and operation of the graph; boxes go through in
chunks of `CHUNK`, which keeps the intermediate arrays in the cache.

References
----------
Moore, Kearfott & Cloud, Introduction to Interval Analysis (SIAM 2009), ch. 5 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx

from samdyn.arguments.checks import Array
from samdyn.numerics import interval as iv
from samdyn.numerics.interval import Flags, Interval, Truth
from samdyn.trace.batch import OnePoint
from samdyn.trace.scalar_graph import COMPARISONS, LOGICAL
from samdyn.trace.tracing import coordinate_form

__all__ = ["IntervalForm", "interval_form", "mean_value"]

CHUNK = 4096  # boxes to a chunk: its intermediate arrays, 32 KiB each, stay in the cache

UNARY: dict[Callable[..., Any], Callable[[Interval], Interval]] = {
    torch.neg: iv.neg,
    torch.abs: iv.absolute,
    torch.reciprocal: iv.reciprocal,
    torch.sign: iv.sign,
    torch.floor: iv.floor,
    torch.sqrt: iv.sqrt,
    torch.exp: iv.exp,
    torch.expm1: iv.expm1,
    torch.log: iv.log,
    torch.log1p: iv.log1p,
    torch.sin: iv.sin,
    torch.cos: iv.cos,
    torch.tan: iv.tan,
    torch.sinh: iv.sinh,
    torch.cosh: iv.cosh,
    torch.tanh: iv.tanh,
    torch.asin: iv.asin,
    torch.acos: iv.acos,
    torch.atan: iv.atan,
    torch.asinh: iv.asinh,
    torch.acosh: iv.acosh,
    torch.atanh: iv.atanh,
    torch.sigmoid: iv.sigmoid,
    torch.erf: iv.erf,
    torch.erfc: iv.erfc,
}
BINARY: dict[Callable[..., Any], Callable[[Interval, Interval], Interval]] = {
    torch.add: iv.add,
    torch.sub: iv.sub,
    torch.rsub: lambda a, b: iv.sub(b, a),
    torch.mul: iv.mul,
    torch.div: iv.div,
    torch.pow: iv.power,
    torch.atan2: iv.atan2,
    torch.maximum: iv.maximum,
    torch.minimum: iv.minimum,
    torch.remainder: iv.remainder,
}
TRUTH: dict[Callable[..., Any], Callable[..., Truth]] = {
    torch.lt: iv.less,
    torch.le: iv.less_equal,
    torch.gt: lambda a, b: iv.less(b, a),
    torch.ge: lambda a, b: iv.less_equal(b, a),
    torch.eq: iv.equal,
    torch.ne: lambda a, b: iv.negation(iv.equal(a, b)),
    torch.logical_and: lambda a, b: Truth(a.certain & b.certain, a.possible & b.possible),
    torch.logical_or: lambda a, b: Truth(a.certain | b.certain, a.possible | b.possible),
    torch.logical_not: iv.negation,
}
DOMAIN: dict[Callable[..., Any], tuple[float, float]] = {
    torch.sqrt: (0.0, np.inf),
    torch.log: (0.0, np.inf),
    torch.log1p: (-1.0, np.inf),
    torch.asin: (-1.0, 1.0),
    torch.acos: (-1.0, 1.0),
    torch.acosh: (1.0, np.inf),
    torch.atanh: (-1.0, 1.0),
}


def _may_jump(function: Callable[..., Any], args: list[Any]) -> Any:
    """Where an operation is not known to be continuous on its arguments."""
    first = args[0]
    if function in DOMAIN:
        low, high = DOMAIN[function]
        return (first.lower < low) | (first.upper > high)
    if function is torch.sign:
        return (first.lower <= 0) & (first.upper >= 0) & (first.lower < first.upper)
    if function is torch.floor:
        return np.floor(first.lower) != np.floor(first.upper)
    if function is torch.tan:
        return ~np.isfinite(iv.tan(first).lower)
    if function is torch.reciprocal:
        return (first.lower <= 0) & (first.upper >= 0)
    if function is torch.div:
        return (args[1].lower <= 0) & (args[1].upper >= 0)
    if function is torch.remainder:
        turns = iv.floor(iv.div(*args))
        return ~(turns.lower == turns.upper)
    if function is torch.atan2:
        return (args[1].lower <= 0) & (first.lower <= 0) & (first.upper >= 0)
    if function is torch.pow:
        exponent = args[1]
        whole = np.ndim(exponent.lower) == 0 and float(exponent.lower).is_integer() and exponent.lower >= 0
        return False if whole else first.lower <= 0
    if function is torch.where:
        return first.possible & ~first.certain
    return False


class IntervalForm:
    """Bounds of a traced function over boxes; see `interval_form`.

    Parameters
    ----------
    module : torch.fx.GraphModule
        What `coordinate_form` returns.
    outputs : slice
        Which elements of the function's value are wanted; operations that serve others alone are left out.

    Attributes
    ----------
    dim : int
        The number of coordinates.
    n_outputs : int
        The number of elements of the function's value, in C order.
    """

    def __init__(self, module: fx.GraphModule, outputs: slice = slice(None)) -> None:
        *nodes, output = module.graph.nodes
        inputs = [node for node in nodes if node.op == "placeholder"]
        self.dim = len(inputs)
        results: Any = output.args[0]
        results = results[outputs]
        needed = set(results)
        for node in reversed(nodes):
            if node in needed:
                needed.update(node.all_input_nodes)
        nodes = [node for node in nodes if node in needed or node.op == "placeholder"]
        place = {node: i for i, node in enumerate(nodes)}
        self._inputs = [place[node] for node in inputs]
        self._steps: list[tuple[int, Any, list[Any], list[int]]] = []
        last_use = {operand: node for node in nodes for operand in node.all_input_nodes}
        self._outputs = [place[node] for node in results]
        for node in nodes:
            if node.op == "placeholder":
                continue
            known = node.target in UNARY or node.target in BINARY or node.target in TRUTH
            if node.kwargs or not (known or node.target in (torch.where, torch.full_like)):
                raise TypeError(f"there is no interval form of {node.format_node()}")
            operands = [place[a] if isinstance(a, fx.Node) else float(a) for a in node.args]
            dead = [
                place[operand]
                for operand in node.all_input_nodes
                if last_use[operand] is node and place[operand] not in self._outputs
            ]
            self._steps.append((place[node], node.target, operands, dead))
        self.n_outputs = len(self._outputs)
        self._size = len(nodes)

    def __call__(self, lower: Array, upper: Array) -> Interval:
        """Bounds over boxes.

        Parameters
        ----------
        lower, upper : ndarray, shape (n, dim)
            Corners of the boxes.

        Returns
        -------
        Interval
            Lower and upper bounds, each of shape (n, n_outputs).
        """
        return self.with_continuity(lower, upper)[0]

    def with_continuity(self, lower: Array, upper: Array) -> tuple[Interval, Flags]:
        """Bounds, and for each box (n,) whether the function is certainly defined and continuous on it."""
        n = len(lower)
        below, above = np.empty((n, self.n_outputs)), np.empty((n, self.n_outputs))
        continuous = np.ones(n, dtype=bool)
        for start in range(0, n, CHUNK):
            part = slice(start, start + CHUNK)
            with np.errstate(all="ignore"):
                outputs, jumps = self._chunk(lower[part].T, upper[part].T)
            for k, (low, high) in enumerate(outputs):
                # what is not a number is not known
                below[part, k] = np.where(np.isnan(low), -np.inf, low)
                above[part, k] = np.where(np.isnan(high), np.inf, high)
            continuous[part] = ~jumps
        return Interval(below, above), continuous

    def _chunk(self, lower: Array, upper: Array) -> tuple[list[Interval], Flags]:
        values: list[Any] = [None] * self._size
        for place, low, high in zip(self._inputs, lower, upper, strict=True):
            values[place] = Interval(np.ascontiguousarray(low), np.ascontiguousarray(high))
        jumps = np.zeros(lower.shape[1], dtype=bool)
        for place, function, operands, dead in self._steps:
            args: list[Any] = [values[a] if isinstance(a, int) else iv.point(a) for a in operands]
            if function is torch.mul and isinstance(operands[1], float):
                values[place] = iv.scale(args[0], operands[1])
            elif function is torch.mul and operands[0] == operands[1]:
                values[place] = iv.square(args[0])
            elif function in UNARY:
                values[place] = UNARY[function](args[0])
            elif function in BINARY:
                values[place] = BINARY[function](*args)
            elif function is torch.where:
                values[place] = iv.choose(*args)
            elif function is torch.full_like:
                values[place] = iv.point(np.full(lower.shape[1], operands[1]))
            else:
                values[place] = TRUTH[function](*args)
            if function not in COMPARISONS and function not in LOGICAL:
                jumps |= _may_jump(function, args)
            for a in dead:
                values[a] = None
        return [values[a] for a in self._outputs], jumps


def interval_form(function: OnePoint, dim: int) -> IntervalForm:
    """Bounds of a one-point torch function over boxes.

    Parameters
    ----------
    function : callable
        Takes a tensor of shape (dim,), returns a tensor of any small shape: a loss, ``torch.func.grad`` of
        one, a Jacobian, the step of a map.
    dim : int
        The number of coordinates.

    Returns
    -------
    IntervalForm
        Called with corners ``lower, upper`` (n, dim) it returns lower and upper bounds (n, n_outputs) of the
        elements of the value, in C order; `.with_continuity` also says on which boxes the function is
        certainly continuous.

    Raises
    ------
    NotTraceable
        The function has no scalar form (see `samdyn.trace.tracing`).

    Examples
    --------
    >>> import numpy as np
    >>> f = interval_form(lambda w: w[0] ** 2 + torch.sin(w[1]), dim=2)
    >>> low, high = f(np.array([[-1.0, 0.0]]), np.array([[2.0, 3.0]]))
    >>> bool(-1e-10 < low[0, 0] <= 0), bool(5 <= high[0, 0] < 5 + 1e-10)
    (True, True)
    """
    return IntervalForm(coordinate_form(function, dim))  # type: ignore[arg-type]


def mean_value(
    center_value: Interval, slopes: Interval, center: Array, lower: Array, upper: Array
) -> Interval:
    """F(c) + DF(X) (X - c): bounds of a continuous function from bounds of its Jacobian.

    Parameters
    ----------
    center_value : Interval
        Bounds (n, m) of F at the centres.
    slopes : Interval
        Bounds (n, m, dim) of the Jacobian over the boxes.
    center, lower, upper : ndarray, shape (n, dim)

    Returns
    -------
    Interval
        Bounds (n, m).
    """
    with np.errstate(all="ignore"):
        offset = iv.sub(Interval(lower[:, None], upper[:, None]), iv.point(center[:, None]))
        terms = iv.mul(slopes, offset)
        total = center_value
        for k in range(center.shape[1]):
            total = iv.add(total, Interval(terms.lower[..., k], terms.upper[..., k]))
    return total

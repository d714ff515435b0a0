"""A graph of scalar operations that simplifies itself while it is built.

`ScalarGraph` holds a torch.fx graph in which every node stands for one number per path (at run time a tensor
of shape (n,)). A scalar is such a node, a Python float (a constant) or a Python bool. Each method returns a
scalar and adds at most a few nodes:

1. Constants fold: an operation on constants alone is evaluated at once, in float64.
2. Zeros and ones are structural: ``0 + t`` is t, ``1 * t`` is t, ``0 * t`` is 0 (even where t is infinite),
   ``t / 1`` is t.
3. Powers with small integer or half-integer exponents become products and square roots; ``t - c`` becomes ``t
   + (-c)``; constant factors move outwards and merge, ``c * t + c * u`` becomes ``c * (t + u)``.
4. The same operation on the same operands is the same node (common-subexpression elimination; commutative
   operands are ordered first).

The functions that may occur in a finished graph are `OPERATORS`. Of the operands of a node at least one is a
node; constants stand where torch accepts a number, so that a graph has no dtype of its own: float32 inputs
stay float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import fx

Scalar: TypeAlias = Any  # fx.Node | float | bool
Operator: TypeAlias = Callable[..., Any]

MAX_NODES = 20_000  # a longer graph is left to torch, which evaluates it in batches
MAX_POWER = 16  # higher powers are not written as products

UNARY: frozenset[Operator] = frozenset(
    {
        torch.neg, torch.reciprocal, torch.sqrt, torch.exp, torch.expm1, torch.log, torch.log1p, torch.sin,
        torch.cos, torch.tan, torch.sinh, torch.cosh, torch.tanh, torch.asin, torch.acos, torch.atan,
        torch.asinh, torch.acosh, torch.atanh, torch.abs, torch.sign, torch.floor, torch.sigmoid, torch.erf,
        torch.erfc,
    }
)  # fmt: skip
COMPARISONS: frozenset[Operator] = frozenset({torch.eq, torch.ne, torch.lt, torch.le, torch.gt, torch.ge})
LOGICAL: frozenset[Operator] = frozenset({torch.logical_and, torch.logical_or, torch.logical_not})
ARITHMETIC: frozenset[Operator] = frozenset(
    {
        torch.add,
        torch.sub,
        torch.rsub,
        torch.mul,
        torch.div,
        torch.pow,
        torch.atan2,
        torch.maximum,
        torch.minimum,
    }
)
OPERATORS: frozenset[Operator] = (
    UNARY | COMPARISONS | LOGICAL | ARITHMETIC | {torch.where, torch.remainder, torch.full_like}
)
"""Every function that a node of a finished graph may call.

The second operand of add, rsub (``c - t``), mul, div, pow, remainder and the comparisons may be a Python
float, so may the first operand of pow (``c ** t``) and one branch of where; all other operands are nodes.
`full_like(x0, c)` is a constant where torch wants a tensor. A square is ``mul(t, t)`` with the same node
twice. Comparisons and logical functions give booleans, which only logical functions and the condition of
where take.
"""

_MIRRORED: dict[Operator, Operator] = {
    torch.lt: torch.gt,
    torch.gt: torch.lt,
    torch.le: torch.ge,
    torch.ge: torch.le,
}
_COMMUTATIVE: frozenset[Operator] = frozenset(
    {
        torch.add,
        torch.mul,
        torch.maximum,
        torch.minimum,
        torch.eq,
        torch.ne,
        torch.logical_and,
        torch.logical_or,
    }
)


class NotTraceable(ValueError):
    """There is no scalar form: an unknown operation, a decision in Python on values, or too large a graph."""


class ScalarGraph:
    """The graph under construction; `inputs` are its placeholders, one per coordinate.

    Parameters
    ----------
    dim : int
        The number of coordinates.
    max_nodes : int
        The number of nodes above which `NotTraceable` is raised.

    Examples
    --------
    >>> g = ScalarGraph(2)
    >>> x, y = g.inputs
    >>> g.add(g.mul(0.0, x), y) is y
    True
    >>> g.mul(x, y) is g.mul(y, x)
    True
    """

    def __init__(self, dim: int, max_nodes: int = MAX_NODES) -> None:
        self.graph = fx.Graph()
        self.max_nodes = max_nodes
        self.inputs = [self.graph.placeholder(f"x{i}") for i in range(dim)]
        self._order = {node: i for i, node in enumerate(self.inputs)}
        self._known: dict[Any, fx.Node] = {}

    def call(self, function: Operator, *args: Scalar) -> Scalar:
        """`function` of scalars, without algebra: folded if all are constants, else the node for it."""
        if not any(isinstance(a, fx.Node) for a in args):
            constants = [
                torch.tensor(a, dtype=torch.bool if isinstance(a, bool) else torch.float64) for a in args
            ]
            return function(*constants).item()
        if function in _COMMUTATIVE:
            args = tuple(
                sorted(
                    args, key=lambda a: self._order.get(a, math.inf) if isinstance(a, fx.Node) else math.inf
                )
            )
        # repr tells 0.0 from -0.0 and finds nan again
        key = (function, *(a if isinstance(a, fx.Node) else repr(a) for a in args))
        if key not in self._known:
            if len(self._order) >= self.max_nodes:
                raise NotTraceable(f"the function needs more than {self.max_nodes} scalar operations")
            node = self.graph.call_function(function, args)
            self._order[node] = len(self._order)
            self._known[key] = node
        return self._known[key]

    def full(self, value: Scalar) -> Scalar:
        """A constant as a node, where torch wants a tensor."""
        return value if isinstance(value, fx.Node) else self.call(torch.full_like, self.inputs[0], value)

    # kinds: booleans enter arithmetic as 0 and 1

    @staticmethod
    def is_bool(a: Scalar) -> bool:
        return isinstance(a, bool) or (isinstance(a, fx.Node) and a.target in COMPARISONS | LOGICAL)

    def number(self, a: Scalar) -> Scalar:
        if isinstance(a, fx.Node):
            return self.call(torch.where, a, self.full(1.0), 0.0) if self.is_bool(a) else a
        return float(a)

    def boolean(self, a: Scalar) -> Scalar:
        return a if self.is_bool(a) else self.compare(torch.ne, a, 0.0)

    # arithmetic

    def unary(self, function: Operator, a: Scalar) -> Scalar:
        return self.call(function, self.number(a))

    def add(self, a: Scalar, b: Scalar, *, alpha: float = 1) -> Scalar:
        a, b = self.number(a), self.mul(b, alpha)
        if _is(a, 0) or _is(b, 0):
            return b if _is(a, 0) else a
        if _negated(b) is not None:
            return self._sub(a, _negated(b))
        if _negated(a) is not None:
            return self._sub(b, _negated(a))
        (t, c), (u, d) = _factored(a), _factored(b)
        if c != 1 and abs(c) == abs(d):
            return self.mul(self.add(t, u) if c == d else self._sub(t, u), c)
        return self.call(torch.add, a, b)

    def sub(self, a: Scalar, b: Scalar, *, alpha: float = 1) -> Scalar:
        return self.add(a, self.neg(self.mul(b, alpha)))

    def _sub(self, a: Scalar, b: Scalar) -> Scalar:
        return self.call(torch.sub, a, b) if isinstance(a, fx.Node) else self.call(torch.rsub, b, a)

    def neg(self, a: Scalar) -> Scalar:
        a = self.number(a)
        if not isinstance(a, fx.Node):
            return -a
        if a.target is torch.neg:
            return a.args[0]
        if a.target is torch.sub:
            return self.call(torch.sub, a.args[1], a.args[0])
        if a.target is torch.rsub:
            return self.add(a.args[0], -a.args[1])  # type: ignore[operator]
        t, c = _factored(a)
        if c != 1:
            return self.mul(t, -c)
        return self.call(torch.neg, a)

    def mul(self, a: Scalar, b: Scalar) -> Scalar:
        a, b = self.number(a), self.number(b)
        if not isinstance(a, fx.Node):
            a, b = b, a
        if not isinstance(a, fx.Node):
            return self.call(torch.mul, a, b)
        if _is(b, 0):
            return 0.0
        if _is(b, 1) or _is(b, -1):
            return a if b == 1 else self.neg(a)
        if _negated(a) is not None:
            return (
                self.mul(_negated(a), -b)
                if not isinstance(b, fx.Node)
                else self.neg(self.mul(_negated(a), b))
            )
        if _negated(b) is not None:
            return self.neg(self.mul(a, _negated(b)))
        (t, c), (u, d) = _factored(a), (_factored(b) if isinstance(b, fx.Node) else (1.0, b))
        movable = c != 1 or (d != 1 and u != 1.0)
        if movable and 1e-30 < abs(c * d) < 1e30:  # the range of float32
            return self.mul(self.mul(t, u), c * d)
        return self.call(torch.mul, a, b)

    def div(self, a: Scalar, b: Scalar, *, rounding_mode: str | None = None) -> Scalar:
        if rounding_mode is not None:
            if rounding_mode != "floor":
                raise NotTraceable(f"div with rounding_mode={rounding_mode!r} has no scalar form")
            return self.unary(torch.floor, self.div(a, b))
        a, b = self.number(a), self.number(b)
        if not isinstance(b, fx.Node):
            if isinstance(a, fx.Node) and b != 0 and math.frexp(b)[0] in (0.5, -0.5):  # a power of two: exact
                return self.mul(a, 1 / b)
            return self.call(torch.div, a, b)
        if not isinstance(a, fx.Node):
            return self.mul(self.call(torch.reciprocal, b), a)
        return self.call(torch.div, a, b)

    def pow(self, a: Scalar, b: Scalar) -> Scalar:
        a, b = self.number(a), self.number(b)
        if isinstance(a, fx.Node) and not isinstance(b, fx.Node):
            if abs(b) <= MAX_POWER and b == int(b):
                if b < 0:
                    return self.div(1.0, self.pow(a, -b))
                half = int(b) // 2
                if b <= 1:
                    return a if b == 1 else 1.0
                root = self.pow(a, half)
                square = self.mul(root, root)
                return self.mul(square, a) if int(b) % 2 else square
            if abs(b) <= MAX_POWER and 2 * b == int(2 * b):
                if b < 0:
                    return self.div(1.0, self.pow(a, -b))
                return self.mul(self.pow(a, b - 0.5), self.call(torch.sqrt, a))
        if _is(a, 1):
            return 1.0
        return self.call(torch.pow, a, b)

    def remainder(self, a: Scalar, b: Scalar) -> Scalar:
        a, b = self.number(a), self.number(b)
        return self.call(torch.remainder, a if not isinstance(b, fx.Node) else self.full(a), b)

    def atan2(self, a: Scalar, b: Scalar) -> Scalar:
        a, b = self.number(a), self.number(b)
        constant = not isinstance(a, fx.Node) and not isinstance(b, fx.Node)
        return (
            self.call(torch.atan2, a, b) if constant else self.call(torch.atan2, self.full(a), self.full(b))
        )

    def extremum(self, function: Operator, a: Scalar, b: Scalar) -> Scalar:
        """torch.maximum or torch.minimum."""
        a, b = self.number(a), self.number(b)
        if not isinstance(a, fx.Node) and not isinstance(b, fx.Node):
            return self.call(function, a, b)
        return a if a is b else self.call(function, self.full(a), self.full(b))

    # decisions

    def compare(self, function: Operator, a: Scalar, b: Scalar) -> Scalar:
        a, b = self.number(a), self.number(b)
        if isinstance(b, fx.Node) and not isinstance(a, fx.Node):
            a, b, function = b, a, _MIRRORED.get(function, function)
        return self.call(function, a, b)

    def logical_not(self, a: Scalar) -> Scalar:
        a = self.boolean(a)
        if isinstance(a, fx.Node) and a.target is torch.logical_not:
            return a.args[0]
        return self.call(torch.logical_not, a)

    def logical(self, function: Operator, a: Scalar, b: Scalar) -> Scalar:
        """torch.logical_and or torch.logical_or."""
        absorbing = function is torch.logical_or
        a, b = self.boolean(a), self.boolean(b)
        if a is absorbing or b is absorbing:
            return absorbing
        if isinstance(a, bool) or isinstance(b, bool):
            return b if isinstance(a, bool) else a
        return a if a is b else self.call(function, a, b)

    def where(self, condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
        condition = self.boolean(condition)
        if isinstance(condition, bool):
            return a if condition else b
        if self.is_bool(a) and self.is_bool(b):
            yes = self.logical(torch.logical_and, condition, a)
            return self.logical(
                torch.logical_or, yes, self.logical(torch.logical_and, self.logical_not(condition), b)
            )
        a, b = self.number(a), self.number(b)
        if a is b or (not isinstance(a, fx.Node) and not isinstance(b, fx.Node) and repr(a) == repr(b)):
            return a
        if not isinstance(a, fx.Node) and not isinstance(b, fx.Node):
            a = self.full(a)  # two numbers would take torch's default dtype
        return self.call(torch.where, condition, a, b)


def _is(a: Scalar, value: float) -> bool:
    return isinstance(a, float) and a == value


def _negated(a: Scalar) -> Scalar:
    """t if the scalar is -t, else None."""
    return a.args[0] if isinstance(a, fx.Node) and a.target is torch.neg else None


def _factored(a: Scalar) -> tuple[Scalar, float]:
    """(t, c) if the scalar is ``t * c`` with a constant c, else (a, 1)."""
    if isinstance(a, fx.Node) and a.target is torch.mul and isinstance(a.args[1], float):
        return a.args[0], a.args[1]
    return a, 1.0

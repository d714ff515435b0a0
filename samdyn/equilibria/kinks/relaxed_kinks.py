r"""The gradient of a loss with kinks with the sides of its kinks as further variables.

The gradient of abs(w), maximum or relu jumps where a switching function s changes sign: the argument of a
sign, or the difference of what is compared. In the traced gradient every such sign is replaced by a variable
sigma in [-1, 1]:

.. math::

    \operatorname{sign}(s) \to \sigma, \qquad [s > 0] \to (1 + \sigma)/2, \qquad
    \operatorname{where}(c, p, q) \to c p + (1 - c) q, \qquad |s| \to \sigma s

Off the kinks sigma = sign(s), and nothing has changed. On a kink s = 0 the values that the gradient takes as
sigma runs over [-1, 1] are combinations of those on the two sides (Filippov's convex set, where one kink is
met). With sigma = tanh(s / width) the gradient becomes smooth.

Two comparisons of the same pair are one switching function. Equality is false but for a number and itself, or
for one of several numbers and their maximum.

References
----------
Filippov, Differential Equations with Discontinuous Righthand Sides (1988), sections 4 and 8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from samdyn.trace.scalar_graph import NotTraceable
from samdyn.trace.tracing import coordinate_form

__all__ = ["RelaxedKinks"]

SwitchValue = Callable[[int, Tensor], Tensor]
"""The value of a sign, from its number and its switching function."""
ABOVE, BELOW = frozenset({"gt", "ge"}), frozenset({"lt", "le"})
EXTREME = frozenset({"maximum", "minimum"})


class RelaxedKinks:
    """A function of one point whose signs and comparisons are variables.

    Parameters
    ----------
    function : callable
        Takes a tensor (dim,) and returns a tensor (m,).
    dim : int

    Attributes
    ----------
    n_switches : int
        Number of different switching functions.

    Raises
    ------
    NotTraceable
        The function cannot be written as scalar operations.

    Examples
    --------
    >>> import torch
    >>> relaxed = RelaxedKinks(lambda w: torch.sign(w[:1]) + w[1:], 2)
    >>> value, switches = relaxed(torch.tensor([0.0, 2.0]), lambda i, s: torch.tensor(0.5))
    >>> relaxed.n_switches, value.tolist(), switches.tolist()
    (1, [2.5], [0.0])
    """

    def __init__(self, function: Callable[[Tensor], Tensor], dim: int) -> None:
        module: Any = coordinate_form(function, dim)
        self.nodes: list[fx.Node] = list(module.graph.nodes)
        self.numbers: dict[tuple[Any, Any], int] = {}
        probe = torch.linspace(0.13, 0.71, dim, dtype=torch.float64)
        self(probe, lambda _, s: torch.sign(s))  # numbers the switching functions
        self.n_switches = len(self.numbers)

    def __call__(self, x: Tensor, switch: SwitchValue) -> tuple[Tensor, Tensor]:
        """The function's value (m,) and its switching functions (n_switches,) at x, with given signs."""
        run = _Run(self.numbers, x, switch)
        for node in self.nodes:
            run.step(node)
        order = [run.switches[k] for k in range(len(self.numbers)) if k in run.switches]
        switches = torch.stack(order) if order else x.new_zeros(0)
        return torch.stack([torch.as_tensor(v, dtype=x.dtype) for v in run.output]), switches


class _Run:
    """One evaluation of the graph."""

    def __init__(self, numbers: dict[tuple[Any, Any], int], x: Tensor, switch: SwitchValue) -> None:
        self.numbers, self.switch = numbers, switch
        self.inputs = iter(x.unbind())
        self.one = torch.ones((), dtype=x.dtype)
        self.values: dict[fx.Node, Any] = {}
        self.constants: dict[fx.Node, float] = {}
        self.switches: dict[int, Tensor] = {}
        self.signs: dict[int, Tensor] = {}
        self.output: tuple[Any, ...] = ()

    def step(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.values[node] = next(self.inputs)
        elif node.op == "output":
            self.output = tuple(self.value(a) for a in node.args[0])  # type: ignore[union-attr]
        elif node.op == "call_function":
            self.values[node] = self.result(node)
        else:
            raise NotTraceable(f"a graph with a node of kind {node.op}")

    def value(self, argument: Any) -> Any:
        return self.values[argument] if isinstance(argument, fx.Node) else argument

    def result(self, node: fx.Node) -> Any:
        name, a = getattr(node.target, "__name__", str(node.target)), node.args
        if name == "sign":
            return self.sign(a[0], 0.0)
        if name in ABOVE:
            return (1 + self.sign(a[0], a[1])) / 2
        if name in BELOW:
            return (1 - self.sign(a[0], a[1])) / 2
        if name in ("eq", "ne"):
            same = self.equal(a[0], a[1])
            return same if name == "eq" else 1 - same
        if name == "heaviside":
            return (1 + self.sign(a[0], 0.0)) / 2
        values = [self.value(v) for v in a]
        if name == "where":
            c, p, q = values
            return c * p + (1 - c) * q
        if name == "logical_and":
            return values[0] * values[1]
        if name == "logical_or":
            return values[0] + values[1] - values[0] * values[1]
        if name == "logical_xor":
            return values[0] + values[1] - 2 * values[0] * values[1]
        if name == "logical_not":
            return 1 - values[0]
        if name == "abs":
            return self.sign(a[0], 0.0) * values[0]
        if name in EXTREME:
            half = self.sign(a[0], a[1]) * (values[0] - values[1]) / 2
            return (values[0] + values[1]) / 2 + (half if name == "maximum" else -half)
        if name == "full_like":
            self.constants[node] = float(values[1])
            return self.one * values[1]
        if not callable(node.target):
            raise NotTraceable(f"the operation {name}")
        kept = {key: self.value(v) for key, v in node.kwargs.items()}
        return node.target(*(self.one * v if isinstance(v, float) else v for v in values), **kept)

    def constant(self, argument: Any) -> float | None:
        return self.constants.get(argument) if isinstance(argument, fx.Node) else float(argument)

    def sign(self, a: Any, b: Any) -> Tensor:
        """The variable that stands for sign(a - b)."""
        for one, other in ((a, b), (b, a)):  # max(s, c) > c is s > c
            if isinstance(one, fx.Node) and getattr(one.target, "__name__", "") in EXTREME:
                limit = self.constant(other)
                parts = [p for p in one.args if limit is None or self.constant(p) != limit]
                if limit is not None and len(parts) == 1:
                    return self.sign(parts[0], other) if one is a else self.sign(other, parts[0])
        if a is b:
            return 0 * self.one
        key_a, key_b = self.key(a), self.key(b)
        if (key_b, key_a) in self.numbers:
            return -self.sign(b, a)
        number = self.numbers.setdefault((key_a, key_b), len(self.numbers))
        if number not in self.signs:
            s = self.one * (self.value(a) - self.value(b))
            self.switches[number] = s
            self.signs[number] = self.switch(number, s)
        return self.signs[number]

    def key(self, argument: Any) -> Any:
        constant = self.constant(argument)
        return argument if constant is None else constant

    def equal(self, a: Any, b: Any) -> Tensor:
        if a is b:
            return self.one
        for one, other in ((a, b), (b, a)):
            name = getattr(getattr(other, "target", None), "__name__", "")
            members = _members(other, name) if name in EXTREME else []
            if any(m is one for m in members):
                truth = self.one
                for m in members:
                    if m is not one:
                        sign = self.sign(one, m)
                        truth = truth * (1 + (sign if name == "maximum" else -sign)) / 2
                return truth
        return 0 * self.one


def _members(node: Any, name: str) -> list[Any]:
    """What a chain of maxima (or minima) is taken of."""
    if isinstance(node, fx.Node) and getattr(node.target, "__name__", "") == name:
        return [m for part in node.args for m in _members(part, name)]
    return [node]

"""Traced functions as plain Python source, for one point and for small batches.

An operation of eager torch costs about a microsecond whatever the size of its operands; one of Python's floats costs some tens of nanoseconds, one of numpy
arrays of a few numbers a third of a microsecond. `printed_form` writes the graph of a `coordinate_form` as straight-line Python and compiles that:

1. Every node becomes an expression (`SCALAR`, `ARRAYS`). A node that is used once is written inside the expression that uses it, so that the branch
   of a selection that is not taken is not evaluated; any other is assigned to a name, and the name is used again after its last use.
2. For one point the functions are those of `math`, which raise where IEEE 754 has an infinity or a nan. A point at which anything raises is evaluated
   again by the same expressions with guarded functions, which turn to numpy for that one operation: points without special values pay nothing.
3. For arrays the functions are numpy's, under one `errstate`.

All of it is float64 arithmetic, and agrees with the torch module up to the rounding of the elementary functions.
"""

from __future__ import annotations

import math
import textwrap
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
import torch
from torch import fx

__all__ = ["SCALAR", "SCALAR_NAMES", "Listing", "PrintedForm", "compiled", "listing", "printed_form", "tuple_of"]

MAX_DEPTH = 12
"""How deep expressions nest: Python's parser takes at most 200 open parentheses."""

FAULTS = (ZeroDivisionError, OverflowError, ValueError)
"""What Python's arithmetic and `math` raise where IEEE 754 has an infinity or a nan."""

# names that math and numpy share, and the numpy function behind each
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": np.sqrt, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "erf": scipy.special.erf, "erfc": scipy.special.erfc, "pow": np.power, "atan2": np.arctan2,
}  # fmt: skip

_COMMON: dict[Callable[..., Any], str] = {
    **{getattr(torch, name): f"{name}({{0}})" for name in _FUNCTIONS},
    torch.pow: "pow({0}, {1})",
    torch.atan2: "atan2({0}, {1})",
    torch.abs: "abs({0})",
    torch.neg: "-{0}",
    torch.add: "{0} + {1}",
    torch.sub: "{0} - {1}",
    torch.rsub: "{1} - {0}",
    torch.mul: "{0} * {1}",
    torch.div: "{0} / {1}",
    torch.remainder: "{0} % {1}",
    torch.reciprocal: "1.0 / {0}",
    torch.sigmoid: "1.0 / (1.0 + exp(-{0}))",
    torch.eq: "{0} == {1}",
    torch.ne: "{0} != {1}",
    torch.lt: "{0} < {1}",
    torch.le: "{0} <= {1}",
    torch.gt: "{0} > {1}",
    torch.ge: "{0} >= {1}",
}

# an operand named twice is never an expression, see `listing`
SCALAR = _COMMON | {
    torch.sign: "1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else 0.0",
    torch.floor: "{0} // 1.0 if {0} - {0} == 0.0 else {0}",
    torch.maximum: "{0} if {0} >= {1} or {0} != {0} else {1}",
    torch.minimum: "{0} if {0} <= {1} or {0} != {0} else {1}",
    torch.where: "{1} if {0} else {2}",
    torch.logical_and: "{0} and {1}",
    torch.logical_or: "{0} or {1}",
    torch.logical_not: "not {0}",
    torch.full_like: "{1}",
}
"""Expressions on floats that raise `FAULTS` at special values."""

CAREFUL = SCALAR | {
    torch.div: "divide({0}, {1})",
    torch.reciprocal: "divide(1.0, {0})",
    torch.remainder: "remainder({0}, {1})",
}
"""The same, which never raise when the functions are guarded."""

ARRAYS = _COMMON | {
    torch.sign: "({0} > 0.0) - 1.0 * ({0} < 0.0)",
    torch.floor: "floor({0})",
    torch.maximum: "maximum({0}, {1})",
    torch.minimum: "minimum({0}, {1})",
    torch.where: "where({0}, {1}, {2})",
    torch.logical_and: "{0} & {1}",
    torch.logical_or: "{0} | {1}",
    torch.logical_not: "~{0}",
    torch.full_like: "full_like({0}, {1})",
}
"""Expressions on numpy arrays."""


def _guarded(fast: Callable[..., float], exact: Callable[..., Any]) -> Callable[..., float]:
    def function(*args: float) -> float:
        try:
            return fast(*args)
        except FAULTS:
            with np.errstate(all="ignore"):
                return float(exact(*args))

    return function


_NAMES: dict[str, Any] = {"inf": math.inf, "nan": math.nan, "FAULTS": FAULTS}
SCALAR_NAMES = _NAMES | {name: getattr(math, name) for name in _FUNCTIONS}
_CAREFUL_NAMES = (
    _NAMES
    | {name: _guarded(getattr(math, name), exact) for name, exact in _FUNCTIONS.items()}
    | {
        "divide": _guarded(lambda a, b: a / b, np.divide),
        "remainder": _guarded(lambda a, b: a % b, np.remainder),
    }
)
_ARRAY_NAMES = (
    _NAMES
    | _FUNCTIONS
    | {"floor": np.floor, "maximum": np.maximum, "minimum": np.minimum, "where": np.where}
    | {"full_like": np.full_like, "errstate": np.errstate}
)


@dataclass(frozen=True)
class Listing:
    """A graph as Python statements.

    Attributes
    ----------
    inputs : list of str
        Names of the inputs; no statement assigns to one.
    body : list of str
        One assignment each.
    outputs : list of str
        One expression each, to be evaluated after the body.
    """

    inputs: list[str]
    body: list[str]
    outputs: list[str]


@dataclass(frozen=True)
class PrintedForm:
    """A traced function as compiled Python; see `printed_form`.

    Attributes
    ----------
    scalar : callable
        Python floats, one per input, to a tuple of Python floats, one per output. It never raises: special values follow IEEE 754.
    arrays : callable
        ndarrays of one shape, one per input, to a tuple of ndarrays of that shape, one per output. Nothing is copied: an output may be an input.
    source : str
        What was compiled.
    """

    scalar: Callable[..., tuple[float, ...]]
    arrays: Callable[..., tuple[np.ndarray[Any, Any], ...]]
    source: str


_printed: weakref.WeakKeyDictionary[fx.GraphModule, PrintedForm] = weakref.WeakKeyDictionary()


def printed_form(module: Any) -> PrintedForm:
    """A traced function as straight-line Python on floats and on numpy arrays.

    Parameters
    ----------
    module : torch.fx.GraphModule
        What `coordinate_form` returns. The same module is printed once.

    Returns
    -------
    PrintedForm

    Raises
    ------
    TypeError
        `module` is no traced form (what `batched_form` returns has no graph), or calls a function that is not in `OPERATORS`.

    Notes
    -----
    `scalar` wants Python floats: numpy's scalars take ten times as long, and warn where floats raise. ``x.tolist()`` gives them.

    Examples
    --------
    >>> from samdyn.compute.tracing import coordinate_form
    >>> f = printed_form(coordinate_form(lambda w: 1 / (w[0] - w[1]).sqrt(), dim=2))
    >>> f.scalar(5.0, 1.0), f.scalar(1.0, 1.0), f.scalar(0.0, 1.0)
    ((0.5,), (inf,), (nan,))
    >>> f.arrays(np.array([5.0, 1.0]), np.array([1.0, 1.0]))
    (array([0.5, inf]),)
    """
    if not isinstance(module, fx.GraphModule):
        raise TypeError(f"module must be a traced coordinate_form, got {type(module).__name__}")
    if module not in _printed:
        fast, careful, arrays = (listing(module, table) for table in (SCALAR, CAREFUL, ARRAYS))
        rescue = f"except FAULTS: return careful({', '.join(fast.inputs)})"
        sources = {
            "careful": _function("careful", careful),
            "scalar": _function("scalar", fast, "try:", rescue),
            "arrays": _function("arrays", arrays, 'with errstate(all="ignore"):'),
        }
        guard = compiled("careful", sources["careful"], _CAREFUL_NAMES)
        _printed[module] = PrintedForm(
            scalar=compiled("scalar", sources["scalar"], SCALAR_NAMES | {"careful": guard}),
            arrays=compiled("arrays", sources["arrays"], _ARRAY_NAMES),
            source="\n".join(sources.values()),
        )
    return _printed[module]


def listing(module: fx.GraphModule, expressions: Mapping[Callable[..., Any], str]) -> Listing:
    """The statements of a graph, every operation written as `expressions` has it.

    Parameters
    ----------
    module : torch.fx.GraphModule
        What `coordinate_form` returns.
    expressions : dict
        `SCALAR`, `CAREFUL` or `ARRAYS`.

    Raises
    ------
    TypeError
        The graph calls a function that `expressions` lacks.
    """
    *nodes, output = module.graph.nodes
    inputs = [node for node in nodes if node.op == "placeholder"]
    uses = Counter(operand for node in (*nodes, output) for operand in _operands(node))
    repeated = {f for f, e in expressions.items() if any(e.count(f"{{{i}}}") > 1 for i in range(3))}
    text: dict[fx.Node, str] = {node: f"x{i}" for i, node in enumerate(inputs)}
    names: dict[fx.Node, list[str]] = {node: [] for node in inputs}  # the assigned names in the text of a node
    depth: Counter[fx.Node] = Counter()
    body: list[str] = []
    pending: dict[str, int] = {}  # how many more times a name is read
    free: list[str] = []

    for node in nodes:
        if node.op == "placeholder":
            continue
        if node.op != "call_function" or node.target not in expressions or node.kwargs:
            raise TypeError(f"module must be a traced coordinate_form, but it has {node.format_node()}")
        if node.target is torch.full_like:  # numpy takes numbers wherever the graph has this, except as outputs
            text[node], names[node] = _literal(node.args[1]), []
            continue
        operands = _operands(node)
        expression = _expression(node, text, expressions)
        read = [name for operand in operands for name in names[operand]]
        depth[node] = 1 + max(depth[operand] for operand in operands)
        if uses[node] == 1 and depth[node] < MAX_DEPTH and next(iter(node.users)).target not in repeated:
            text[node], names[node] = f"({expression})", read
            continue
        for name in read:
            pending[name] -= 1
            if pending[name] == 0:
                free.append(name)
        name = free.pop() if free else f"t{len(pending)}"
        body.append(f"{name} = {expression}")
        text[node], names[node], depth[node], pending[name] = name, [name], 0, uses[node]

    results = _operands(output)
    return Listing(
        inputs=[text[node] for node in inputs],
        body=body,
        outputs=[
            _expression(node, text, expressions) if node.target is torch.full_like else text[node]
            for node in results
        ],
    )


def compiled(name: str, source: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    """The function `name` that `source` defines, with `names` as its globals."""
    scope = dict(names)
    exec(compile(source, f"<printed {name}>", "exec"), scope)
    function: Callable[..., Any] = scope[name]
    return function


def tuple_of(expressions: Sequence[str]) -> str:
    """Source of a tuple, of any length."""
    return f"({''.join(e + ', ' for e in expressions)})"


def _function(name: str, listed: Listing, around: str = "if True:", after: str = "") -> str:
    lines = [*listed.body, f"return {tuple_of(listed.outputs)}"]
    block = f"{around}\n{textwrap.indent(chr(10).join(lines), '    ')}\n{after}\n"
    return f"def {name}({', '.join(listed.inputs)}):\n{textwrap.indent(block, '    ')}"


def _operands(node: fx.Node) -> list[fx.Node]:
    args: Any = node.args[0] if node.op == "output" else node.args
    return [a for a in args if isinstance(a, fx.Node)]


def _literal(value: Any) -> str:
    return repr(float(value))  # inf and nan are names that the compiled functions know


def _expression(node: fx.Node, text: Mapping[fx.Node, str], expressions: Mapping[Any, str]) -> str:
    args = (text[a] if isinstance(a, fx.Node) else _literal(a) for a in node.args)
    return expressions[node.target].format(*args)

"""Traced functions as plain Python source, for one point and for small batches.

An operation of eager torch costs more than a microsecond however few points there are; one of Python's
floats costs some ten nanoseconds, one of small numpy arrays half a microsecond. `printed_form` writes the
graph of a `coordinate_form` as straight-line Python and compiles that:

1. Every node becomes an expression (see `printed_operators`). A node that is used once is written inside
   the expression that uses it, so that a selection between floats evaluates only the branch taken;
   any other node is assigned to a name, and the name is free again after its last use, so that few arrays are
   alive at a time.
2. For one point the functions come from `math`: they raise where IEEE 754 has an infinity or a nan. A
   point at which anything raises is evaluated again by the same expressions with guarded functions, which
   turn to numpy for the one operation that raises: points without special values pay nothing.
3. For arrays the functions are numpy's and scipy's, under one `errstate`.

The arithmetic is exactly torch's (the sign of a zero apart, where maximum, minimum or remainder makes it).
Square roots are rounded correctly, where torch's may be one unit in the last place off; other elementary
functions agree to a few units in the last place, except that scipy's erfc of arrays loses digits in its far
tail (relative errors up to 1e-13).
"""

from __future__ import annotations

import textwrap
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from samdyn.trace.batch import tensor_of
from samdyn.trace.printed.printed_operators import (
    ARRAY_NAMES,
    ARRAYS,
    CAREFUL,
    CAREFUL_NAMES,
    SCALAR,
    SCALAR_NAMES,
)

__all__ = ["Listing", "PrintedForm", "compiled", "listing", "printed_form", "tuple_of"]

MAX_DEPTH = 12
"""How deep expressions nest: Python's parser takes at most 200 open parentheses."""


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
        Python floats, one per input, to a tuple of Python floats, one per output. It never raises: special
        values follow IEEE 754.
    arrays : callable
        float64 arrays of one shape, one per input, to a tuple of arrays of that shape, one per output.
        Nothing is copied: an output may be an input.
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
        `module` is no traced form (what `batched_form` returns has no graph), or calls a function that is not
        in `OPERATORS`.

    Notes
    -----
    `scalar` wants Python floats, which ``x.tolist()`` gives: numpy's scalars take several times as long, and
    warn where floats raise.

    Examples
    --------
    >>> from samdyn.trace.tracing import coordinate_form
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
        guard = compiled("careful", sources["careful"], CAREFUL_NAMES)
        _printed[module] = PrintedForm(
            scalar=compiled("scalar", sources["scalar"], SCALAR_NAMES | {"careful": guard}),
            arrays=compiled("arrays", sources["arrays"], ARRAY_NAMES),
            source="\n".join(sources.values()),
        )
    return _printed[module]


def listing(
    module: Any,
    expressions: Mapping[Callable[..., Any], str],
    *,
    literal: Callable[[Any], str] | None = None,
    reuse: bool = True,
) -> Listing:
    """The statements of a graph, every operation written as `expressions` has it.

    Parameters
    ----------
    module : torch.fx.GraphModule
        What `coordinate_form` returns.
    expressions : dict
        `SCALAR`, `CAREFUL` or `ARRAYS`, or the expressions of another language (`samdyn.trace.printed.cpp`).
    literal : callable, optional
        How a number is written: as in Python by default.
    reuse : bool
        Whether a name is given to another value after its last use.

    Raises
    ------
    TypeError
        The graph calls a function that `expressions` lacks.
    """
    literal = literal or _literal
    *nodes, output = module.graph.nodes
    inputs = [node for node in nodes if node.op == "placeholder"]
    uses = Counter(operand for node in (*nodes, output) for operand in _operands(node))
    repeated = {f for f, e in expressions.items() if any(e.count(f"{{{i}}}") > 1 for i in range(3))}
    text: dict[fx.Node, str] = {node: f"x{i}" for i, node in enumerate(inputs)}
    names: dict[fx.Node, list[str]] = {
        node: [] for node in inputs
    }  # the assigned names in the text of a node
    depth: Counter[fx.Node] = Counter()
    body: list[str] = []
    pending: dict[str, int] = {}  # how many more times a name is read
    free: list[str] = []

    for node in nodes:
        if node.op == "placeholder":
            continue
        if node.op != "call_function" or node.target not in expressions or node.kwargs:
            raise TypeError(f"module must be a traced coordinate_form, but it has {node.format_node()}")
        if (
            node.target is torch.full_like
        ):  # numpy takes numbers wherever the graph has this, except as outputs
            text[node], names[node] = literal(node.args[1]), []
            continue
        operands = _operands(node)
        expression = _expression(node, text, expressions, literal)
        read = [name for operand in operands for name in names[operand]]
        depth[node] = 1 + max(depth[operand] for operand in operands)
        if uses[node] == 1 and depth[node] < MAX_DEPTH and next(iter(node.users)).target not in repeated:
            text[node], names[node] = f"({expression})", read
            continue
        for name in read:
            pending[name] -= 1
            if pending[name] == 0 and reuse:
                free.append(name)
        name = free.pop() if free else f"t{len(pending)}"
        body.append(f"{name} = {expression}")
        text[node], names[node], depth[node], pending[name] = name, [name], 0, uses[node]

    results = _operands(output)
    return Listing(
        inputs=[text[node] for node in inputs],
        body=body,
        outputs=[
            _expression(node, text, expressions, literal) if node.target is torch.full_like else text[node]
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


def _function(name: str, listed: Listing, before: str = "", after: str = "") -> str:
    block = "\n".join([*listed.body, f"return {tuple_of(listed.outputs)}"])
    if before:
        block = f"{before}\n{textwrap.indent(block, '    ')}\n{after}"
    return f"def {name}({', '.join(listed.inputs)}):\n{textwrap.indent(block, '    ')}\n"


def _operands(node: fx.Node) -> list[fx.Node]:
    args: Any = node.args[0] if node.op == "output" else node.args
    return [a for a in args if isinstance(a, fx.Node)]


def _literal(value: Any) -> str:
    return repr(float(value))  # inf and nan are names that the compiled functions know


def _expression(
    node: fx.Node,
    text: Mapping[fx.Node, str],
    expressions: Mapping[Any, str],
    literal: Callable[[Any], str],
) -> str:
    args = (text[a] if isinstance(a, fx.Node) else literal(a) for a in node.args)
    return expressions[node.target].format(*args)


def numpy_form(form: Callable[..., Any]) -> Callable[..., Sequence[Any]]:
    """A `CoordinateForm` as a function of numpy arrays (n,): printed where it is traced, through torch
    where not.
    """
    if getattr(form, "traced", False):
        return printed_form(form).arrays

    def through_torch(*x: Any) -> Sequence[Any]:
        return [y.detach().numpy() for y in form(*map(tensor_of, x))]

    return through_torch

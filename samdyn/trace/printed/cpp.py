"""Traced functions as C++ and CUDA on vectors of lanes.

`cpp_function` prints the graph of a `coordinate_form` as an inline function behind `lanes.hpp`, which has
the elementary functions and the random numbers. Before it stands what a lane is: a lane of a CPU's register
(`registers.hpp`), or a thread of a GPU with one path (`one_lane.hpp`). A value is a scalar where all that it
depends on is the same for every path (a coefficient, a step length), and the compiler moves it out of the
loop over paths; where it is not, it is a vector with an entry for each lane.

Products and sums may be contracted to one rounding, and elementary functions of glibc's vector library err
by up to four units in the last place: results agree with torch to rounding, not to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import torch
from torch import fx

from samdyn.numerics import power_of_2 as exponential
from samdyn.numerics import random
from samdyn.trace.printed.printed_operators import INFIX
from samdyn.trace.printed.printing import listing

__all__ = ["LANES", "cpp_function", "lanes_header"]

LANES: Mapping[Callable[..., Any], str] = {
    **INFIX,
    **{
        getattr(torch, name): f"lane_{name}({{0}})"
        for name in (
            "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin",
            "acos", "atan", "asinh", "acosh", "atanh", "erf", "erfc", "floor",
        )
    },
    torch.abs: "lane_fabs({0})",
    torch.pow: "lane_pow({0}, {1})",
    torch.atan2: "lane_atan2({0}, {1})",
    torch.remainder: "lane_remainder({0}, {1})",
    torch.reciprocal: "REAL(1) / {0}",
    torch.rsqrt: "reciprocal_root({0})",
    torch.sigmoid: "REAL(1) / (REAL(1) + lane_exp(-{0}))",
    torch.sign: "sign({0})",
    torch.maximum: "maximum({0}, {1})",
    torch.minimum: "minimum({0}, {1})",
    torch.where: "select({0}, {1}, {2})",
    torch.logical_and: "both({0}, {1})",
    torch.logical_or: "either({0}, {1})",
    torch.logical_not: "opposite({0})",
    torch.full_like: "{1}",
}  # fmt: skip
"""Expressions on scalars and on vectors, in the terms of `lanes.hpp`."""


def cpp_function(form: Any, name: str, inputs: Sequence[str], parameters: str, outputs: Sequence[str]) -> str:
    """Source of an inline function that computes a traced form.

    Parameters
    ----------
    form : torch.fx.GraphModule
        What `coordinate_form` returns.
    name : str
    inputs : sequence of str
        An expression in the function's parameters for each input of the form, a REAL or a Vector.
    parameters : str
        The function's parameter list.
    outputs : sequence of str
        What each output, as a Vector, is assigned to.

    Examples
    --------
    >>> from samdyn.trace.tracing import coordinate_form
    >>> form = coordinate_form(lambda w: w[0] ** 2 + 0.5, dim=1)
    >>> print(cpp_function(form, "f", ["x[0]"], "const Vector *x, Vector *y", ["y[0]"]))
    INLINE void f(const Vector *x, Vector *y) {
      const auto x0 = x[0];
      y[0] = wide((x0 * x0) + REAL(0.5));
    }
    """
    listed = listing(_with_reciprocal_roots(form), LANES, literal=_literal, reuse=False)
    lines = [f"const auto {own} = {given};" for own, given in zip(listed.inputs, inputs, strict=True)]
    lines += [f"const auto {statement};" for statement in listed.body]
    lines += [f"{to} = wide({_bare(value)});" for to, value in zip(outputs, listed.outputs, strict=True)]
    return "\n".join([f"INLINE void {name}({parameters}) {{", *("  " + line for line in lines), "}"])


def lanes_header(dtype: torch.dtype, one_lane: bool = False) -> str:
    """`lanes.hpp` for a precision, behind the constants shared with the torch code and what a lane is.

    Parameters
    ----------
    dtype : torch.dtype
    one_lane : bool
        Whether a path is a thread of a GPU (`one_lane.hpp`) and not a lane of a register (`registers.hpp`).
    """
    numbers = {
        "ROUND": exponential.ROUND,
        "MINUS_LOG_4": -2.0 * math.log(2.0),
        "QUARTER_TURN": math.pi / 2,
    }
    tables = {"POWER": exponential.POWER, "LOG": random.LOG, "SINE": random.SINE}
    single = dtype == torch.float32
    lines = [f"#define REAL {'float' if single else 'double'}", f"#define SINGLE {int(single)}"]
    lines += [f"constexpr double {name} = {value!r};" for name, value in numbers.items()]
    lines += [
        f"constexpr double {name}[] = {{{', '.join(map(repr, values))}}};" for name, values in tables.items()
    ]
    lines += [f"constexpr int SQRT_HALF_BITS = {random.SQRT_HALF_BITS};"]
    lines += [f"constexpr int STEPS_PER_BLOCK = {random.STEPS_PER_BLOCK};"]
    folder = resources.files("samdyn.trace.printed")
    headers = ["one_lane.hpp" if one_lane else "registers.hpp", "lanes.hpp"]
    return "\n".join([*lines, *(folder.joinpath(name).read_text(encoding="utf-8") for name in headers)])


def _with_reciprocal_roots(form: fx.GraphModule) -> fx.GraphModule:
    """The form with 1/sqrt(x) as one operation."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(form.graph, {}))
    for node in list(graph.nodes):
        if node.target is torch.reciprocal and getattr(node.args[0], "target", None) is torch.sqrt:
            with graph.inserting_before(node):
                node.replace_all_uses_with(graph.call_function(torch.rsqrt, (node.args[0].args[0],)))
    graph.eliminate_dead_code()
    return fx.GraphModule(torch.nn.Module(), graph)


def _literal(value: Any) -> str:
    number = float(value)
    if math.isnan(number):
        return "REAL(NAN)"
    if math.isinf(number):
        return "REAL(INFINITY)" if number > 0 else "REAL(-INFINITY)"
    return f"REAL({number!r})"


def _bare(expression: str) -> str:
    """Without parentheses around the whole."""
    depth = 0
    for i, letter in enumerate(expression):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and i < len(expression) - 1:
            return expression
    return expression[1:-1] if expression.startswith("(") else expression

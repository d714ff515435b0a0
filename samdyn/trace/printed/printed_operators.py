"""The operators of traced graphs as Python expressions: on floats, on floats with special values, on arrays.

Each table has a template for every function in `OPERATORS`, with the operands as ``{0}``, ``{1}``, ``{2}``,
and goes with the names that its templates use. `math` raises where IEEE 754 has an infinity or a nan: the
careful names turn to numpy for the operation that does. Comparisons of floats give bools,
comparisons of arrays boolean arrays. As in torch, the sign of nan is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special
import torch

__all__ = ["ARRAYS", "ARRAY_NAMES", "CAREFUL", "CAREFUL_NAMES", "FAULTS", "INFIX", "SCALAR", "SCALAR_NAMES"]

FAULTS = (ZeroDivisionError, OverflowError, ValueError)
"""What Python's arithmetic and `math` raise where IEEE 754 has an infinity or a nan."""

# names that math and numpy share, and the numpy function behind each
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": np.sqrt, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "erf": scipy.special.erf, "erfc": scipy.special.erfc, "pow": np.power, "atan2": np.arctan2,
}  # fmt: skip

INFIX: dict[Callable[..., Any], str] = {
    torch.neg: "-{0}",
    torch.add: "{0} + {1}",
    torch.sub: "{0} - {1}",
    torch.rsub: "{1} - {0}",
    torch.mul: "{0} * {1}",
    torch.div: "{0} / {1}",
    torch.eq: "{0} == {1}",
    torch.ne: "{0} != {1}",
    torch.lt: "{0} < {1}",
    torch.le: "{0} <= {1}",
    torch.gt: "{0} > {1}",
    torch.ge: "{0} >= {1}",
}
"""Operators that are written alike in Python and in C++."""

_COMMON: dict[Callable[..., Any], str] = {
    **INFIX,
    **{getattr(torch, name): f"{name}({{0}})" for name in _FUNCTIONS},
    torch.pow: "pow({0}, {1})",
    torch.atan2: "atan2({0}, {1})",
    torch.abs: "abs({0})",
    torch.remainder: "{0} % {1}",
    torch.reciprocal: "1.0 / {0}",
    torch.sigmoid: "1.0 / (1.0 + exp(-{0}))",
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
CAREFUL_NAMES = (
    _NAMES
    | {name: _guarded(getattr(math, name), exact) for name, exact in _FUNCTIONS.items()}
    | {
        "divide": _guarded(lambda a, b: a / b, np.divide),
        "remainder": _guarded(lambda a, b: a % b, np.remainder),
    }
)
ARRAY_NAMES = (
    _NAMES
    | _FUNCTIONS
    | {"floor": np.floor, "maximum": np.maximum, "minimum": np.minimum, "where": np.where}
    | {"full_like": np.full_like, "errstate": np.errstate}
)

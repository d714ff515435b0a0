"""What to write instead, where torch cannot use a function of the user's.

A loss, a rule, a step, a field, a noise root and a region are functions of one point that torch
differentiates and batches. The usual slips are the same in all of them: a function of numpy, data in single
precision, a branch in Python on values, random numbers. Torch's messages say what torch noticed, and its
advice, to detach the point, would cut the gradient off.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

__all__ = ["USUAL", "advice_on", "told", "torch_names"]

USUAL = ": write it with torch operations on w, without .item(), numpy calls or Python branches on values"

_CAUSES: tuple[tuple[str, str], ...] = (
    (r"numpy\(\)|__array__|numpy|ufunc|requires grad.*use tensor.detach", "numpy"),
    (r"same dtype|expected scalar type|must match.*dtype|dtype.*(Float|float).*(Double|double)", "dtype"),
    (r"data-dependent|Boolean value of Tensor|bool\(\)|control flow|is_nonzero|_is_zerotensor", "branch"),
    (r"random", "random"),
    (r"\.item\(\)|_local_scalar_dense", "item"),
    (r"missing \d+ required (positional|keyword)", "parameters"),
    (r"index \d+ is out of bounds", "index"),
    (r"autograd\.grad|does not require grad|requires_grad_\(\)|requires_grad\(\)", "autograd"),
)

_SAYINGS = {
    "dtype": ": samdyn computes in float64, and tensors of another dtype do not mix with that: call "
    ".double() on those that the function uses",
    "branch": ": a branch in Python on the value of w cannot be batched: use torch.where(condition, a, b) "
    "for `if`, torch.maximum and torch.minimum for max and min",
    "random": ": it must give the same number each time: noise is the `noise` of a Map or a Diffusion",
    "item": ": .item(), float(w) and functions of `math` cut the gradient off: use the torch functions",
    "parameters": ": it takes all coordinates as one tensor w, w[0], w[1] and so on; give arguments that are "
    "no coordinates as parameters={name: value}",
    "index": ": dim is smaller than the number of coordinates that the function reads",
    "autograd": ": differentiate inside it with torch.func.grad instead of torch.autograd.grad",
}


def told(error: Exception) -> str:
    """Kind and first sentence of an error, without torch's advice to detach what must be differentiated."""
    text = str(error).split(". Use tensor.detach()")[0].split(" For (1)")[0]
    text = text.split(" We don't support that yet")[0]
    text = text.replace("It looks like you're either ", "").replace(
        " or (3) encountering this error in PyTorch internals.", ""
    )
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"


def advice_on(error: BaseException, function: Callable[..., Any]) -> str:
    """What to write instead, where an error of torch has one of the usual causes; else nothing.

    Examples
    --------
    >>> advice_on(RuntimeError("expected scalar type Double but found Float"), abs)[-46:]
    'call .double() on those that the function uses'
    """
    text = f"{type(error).__name__}: {error}"
    for pattern, kind in _CAUSES:
        if re.search(pattern, text):
            if kind == "numpy":
                return (
                    torch_names(function, error)
                    or ": use torch's functions on w, such as torch.sin for np.sin"
                )
            more = torch_names(function, error) if kind in ("item", "branch") else ""
            return more or _SAYINGS[kind]
    return torch_names(function, error)


def torch_names(function: Callable[..., Any], error: BaseException | None = None) -> str:
    """Functions of numpy or math that a user's code names, and the functions of torch to take instead."""
    inner = getattr(function, "func", function)
    places = [(getattr(inner, "__code__", None), getattr(inner, "__globals__", {}))]
    trace = None if error is None else error.__traceback__
    while trace is not None:  # the function may have called another one
        places.append((trace.tb_frame.f_code, trace.tb_frame.f_globals))
        trace = trace.tb_next
    for code, space in places:
        if code is None or str(space.get("__name__", "")).split(".")[0] in ("torch", "numpy", "samdyn"):
            continue
        known = [n for n in code.co_names if getattr(space.get(n), "__name__", "") in ("numpy", "math")]
        used = [n for n in code.co_names if n not in known and hasattr(np, n) and hasattr(torch, n)]
        if known and used:
            return f": use {', '.join(f'torch.{n} for {known[0]}.{n}' for n in used)}"
    return ""

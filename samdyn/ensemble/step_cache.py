"""Traced steps are kept, so that a second call on the same loss does not trace it again.

A trace takes 0.1-2 s, more than a small job itself. What is traced has the coefficients as inputs, and so
serves every lr and rho. Steppers are kept by the loss function, weakly: they go when the function goes.

A trace has read once what the function captures: numbers of a session that it uses may have changed since. A
kept stepper is used if

1. the structure is the same: kinds of system, rule and noise, and every number that is not an input of the
   step;
2. what the function captures (closure, defaults, the globals that its code names, and those of the functions
   among them) reads the same: numbers, strings, arrays and tensors by value;
3. at two points it gives what the system's own step gives now, to rounding.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import threading
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from samdyn.systems.map import Map
from samdyn.systems.system import System

if TYPE_CHECKING:
    from samdyn.ensemble.step import Stepper

KEPT = 16  # steppers to a loss function
DEPTH = 3  # functions within functions that are looked into


_steppers: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def kept_stepper(
    system: System,
    names: Sequence[str],
    function: Callable[[Tensor], Tensor],
    width: int,
    build: Callable[[], Stepper],
) -> Stepper:
    """A stepper made before, or what `build` makes.

    Parameters
    ----------
    system : System
    names : sequence of str
        The step's inputs besides the state and the normals.
    function : callable
        The step as a function of one vector, to compare with.
    width : int
        Its length.
    build : callable
        Makes the stepper.
    """
    loss = _loss(system)
    try:
        with _lock:
            kept = _steppers.setdefault(loss, {})
    except TypeError:  # no weak reference to it, or no hash
        return build()
    key = (_structure(system, names), _text(_captured(loss, DEPTH)))
    stepper = kept.get(key)
    if stepper is None or not _agrees(stepper, function, width):
        stepper = build()
        if stepper.traced:  # a batched form holds the function, which then would stay for ever
            with _lock:
                while len(kept) >= KEPT:
                    del kept[next(iter(kept))]
                kept[key] = stepper
    return stepper


def _loss(system: System) -> Any:
    """The user's function."""
    if isinstance(system, Map) and system._function is not None:
        return system._function.function
    assert system.landscape is not None
    return system.landscape.function


def _structure(system: System, names: Sequence[str]) -> tuple[Any, ...]:
    """All that a trace depends on apart from the loss function."""
    fixed = {name: value for name, value in system.parameters.items() if name not in names}
    schedule = getattr(system, "lr", 0.0)
    return (
        type(system),
        tuple(names),
        system.dim,
        system.state_dim,
        _text(fixed),
        _parts(system.rule, names),
        _parts(getattr(system, "noise", None), names),
        # a schedule's first value scales the noise of a diffusion
        float(schedule(0)) if callable(schedule) else None,
    )


def _parts(ingredient: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """Kind and remaining fields of a rule or a noise model."""
    if not dataclasses.is_dataclass(ingredient):
        return (type(ingredient), _text(getattr(ingredient, "__dict__", {})))
    fields = [f.name for f in dataclasses.fields(ingredient) if f.name not in names]
    return (type(ingredient), _text([(name, getattr(ingredient, name)) for name in fields]))


def _text(value: Any) -> str:
    """Values of arrays and tensors in full, others as they print."""
    if isinstance(value, dict):
        return _text(list(value.items()))
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(_text, value)) + ")"
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return (
            f"{value.dtype}{value.shape}{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
        )
    return repr(value)


def _captured(function: Any, depth: int) -> list[Any]:
    """What a function reads besides its arguments."""
    if isinstance(function, functools.partial):
        return [function.args, function.keywords, *_captured(function.func, depth)]
    if isinstance(function, types.MethodType):
        return (
            [*_captured(function.__func__, depth), *_seen(vars(function.__self__), depth)]
            if hasattr(function.__self__, "__dict__")
            else _captured(function.__func__, depth)
        )
    code = getattr(function, "__code__", None)
    if code is None:  # an object that is called
        return list(_seen(getattr(function, "__dict__", {}), depth))
    cells = {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            cells[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    named = {name: function.__globals__[name] for name in _names(code) if name in function.__globals__}
    return [function.__defaults__, function.__kwdefaults__, *_seen(cells, depth), *_seen(named, depth)]


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _seen(values: dict[str, Any], depth: int) -> Iterator[Any]:
    for name, value in values.items():
        if isinstance(value, types.FunctionType | types.MethodType | functools.partial):
            yield (name, id(value), _captured(value, depth - 1) if depth else None)
        elif isinstance(value, types.ModuleType | type | types.BuiltinFunctionType):
            yield (name, getattr(value, "__name__", ""))
        else:
            yield (name, value)


def _agrees(stepper: Stepper, function: Callable[[Tensor], Tensor], width: int) -> bool:
    """Whether a kept stepper gives what the step gives now, at two points without special values."""
    fractions = torch.frac(torch.arange(1, 2 * width + 1, dtype=torch.float64) * 0.6180339887498949)
    for point in (fractions.reshape(2, width) - torch.tensor([[0.0], [1.0]])) * torch.tensor([[0.9], [-1.7]]):
        try:
            now = function(point).detach().reshape(-1).double()
        except Exception:  # tracing says what is wrong
            return False
        kept = torch.cat([value.reshape(-1) for value in stepper.form(*point.reshape(-1, 1))])
        if now.shape != kept.shape or not torch.allclose(now, kept, 1e-9, 1e-12, equal_nan=True):
            return False
    return True

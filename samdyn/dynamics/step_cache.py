"""Traced steps are kept, so that a second call on the same loss does not trace it again.

A trace takes 0.1-2 s, more than a small job itself. What is traced has the coefficients as inputs, and so
serves every lr and rho. Steppers are kept by the loss function, weakly: they go when the function goes.

A trace has read once all that its function captures, and this may have changed since: a tensor that was
filled, the weights of a module, an attribute of an object. A kept stepper is used if

1. everything that the step depends on (loss, rule, noise, and the numbers that are not inputs of the step) is
   of a kind whose state can be read completely, and reads the same (`samdyn.trace.function_identity`);
2. at two points it gives what the system's own step gives now, to rounding.

On a doubt about the first, a user's own classes for instance, the step is traced anew. If the new trace is
equal to one that is held (`samdyn.trace.tracing`), what was compiled for that one serves on.
"""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.noise_root import Selected
from samdyn.systems.system import System
from samdyn.trace.function_identity import fingerprint

if TYPE_CHECKING:
    from samdyn.dynamics.step import Stepper

KEPT = 16  # steppers to a loss function


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
    key = _key(system, names)
    try:
        with _lock:
            kept = _steppers.setdefault(loss, {})
    except TypeError:  # no weak reference to it, or no hash
        key = None
    if key is None:
        return build()
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
    if isinstance(system, Map | Diffusion) and system._function is not None:
        function = system._function.function
        return function.function if isinstance(function, Selected) else function
    assert system.landscape is not None
    return system.landscape.function


def _key(system: System, names: Sequence[str]) -> str | None:
    """A hash of all that a trace depends on; None where something may change unseen."""
    fixed = {name: value for name, value in system.parameters.items() if name not in names}
    schedule = getattr(system, "lr", 0.0)
    root = getattr(system, "_root", None)
    of_root = root.function.function if root is not None and root.function is not None else None
    return fingerprint(
        type(system),
        tuple(names),
        system.dim,
        system.state_dim,
        _loss(system),
        None if root is None else (root.matrix, of_root),
        fixed,
        _ingredient(system.rule, names),
        _ingredient(getattr(system, "noise", None), names),
        # a schedule's first value scales the noise of a diffusion
        float(schedule(0)) if callable(schedule) else None,
    )


def _ingredient(ingredient: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """Kind and remaining fields of a rule or a noise model."""
    if type(ingredient).__module__.split(".")[0] != "samdyn" or not dataclasses.is_dataclass(ingredient):
        return (ingredient,)
    fields = [f.name for f in dataclasses.fields(ingredient) if f.name not in names]
    return (type(ingredient), *((name, getattr(ingredient, name)) for name in fields))


def _agrees(stepper: Stepper, function: Callable[[Tensor], Tensor], width: int) -> bool:
    """Whether a kept stepper gives what the step gives now, at two points without special values."""
    fractions = np.modf(np.arange(1, 2 * width + 1) * 0.6180339887498949)[0].reshape(2, width)
    for point in torch.from_numpy((fractions - [[0.0], [1.0]]) * [[0.9], [-1.7]]):
        try:
            now = function(point).detach().reshape(-1).double()
        except Exception:  # tracing says what is wrong
            return False
        kept = torch.cat([value.reshape(-1) for value in stepper.form(*point.reshape(-1, 1))])
        if now.shape != kept.shape or not torch.allclose(now, kept, 1e-9, 1e-12, equal_nan=True):
            return False
    return True

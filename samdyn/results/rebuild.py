"""Systems, losses and rules in files: as the call that makes them, where it makes the very same.

1. A loss of `samdyn.landscapes` is kept as the name of its function there and its arguments. The call is made
   when the file is written, and kept only if its result has the same text, box and functions as the loss
   (`samdyn.trace.function_identity`); nothing is guessed.
2. Least squares are kept as their matrix and targets.
3. A Map, Flow or Diffusion is kept as its loss, its rule and its coefficients. A rule or a noise model of
   samdyn is a dataclass and kept as its fields.
4. Anything else, such as a system of a user's own functions, is not kept: see `samdyn.results.absent`.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch

from samdyn import landscapes
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.landscapes.landscape import Landscape
from samdyn.systems import Diffusion, Flow, Map
from samdyn.trace.function_identity import fingerprint

Recipe = dict[str, Any]


def recipe_of(value: Any) -> Recipe | None:
    """The call that makes a loss or a system again, as a name and arguments; None where there is none.

    Examples
    --------
    >>> import samdyn as sd
    >>> recipe_of(sd.landscapes.saddle(1.0, 2.0))
    {'call': 'landscapes.saddle', 'a': 1.0, 'b': 2.0}
    """
    if isinstance(value, Landscape):
        found = _of_loss(value)
    elif isinstance(value, Map | Flow | Diffusion):
        found = _of_system(value)
    else:
        return None
    if found is None:
        return None
    try:
        again = made_by(found)
    except (TypeError, ValueError):
        return None
    return found if _same(value, again) else None


def made_by(recipe: Recipe) -> Any:
    """The object that a recipe makes."""
    arguments = dict(recipe)
    name = arguments.pop("call")
    if name == "least squares":
        return FiniteSum.least_squares(**arguments)
    if name.startswith("landscapes."):
        maker = name.removeprefix("landscapes.")
        if maker not in landscapes.__all__:
            raise ValueError(f"a loss of samdyn must be one of samdyn.landscapes, got {maker!r}")
        return getattr(landscapes, maker)(**arguments)
    kinds = {"Map": Map, "Flow": Flow, "Diffusion": Diffusion}
    if name not in kinds:
        raise ValueError(f"a system must be a Map, a Flow or a Diffusion, got {name!r}")
    return kinds[name](**arguments)


def _of_loss(loss: Landscape) -> Recipe | None:
    if isinstance(loss, FiniteSum):
        if loss.squares is None or len(loss.data) != 2 or set(loss.parameters) != {"ridge"}:
            return None
        rows, targets = loss.data
        return {"call": "least squares", "A": rows, "b": targets, "ridge": loss.parameters["ridge"]}
    for name in landscapes.__all__:
        maker = getattr(landscapes, name)
        if not inspect.isfunction(maker):
            continue
        # the catalogue names a loss after its function, at times with spaces
        if loss.name.replace(" ", "_").replace("-", "_").lower() != name:
            continue
        arguments: Recipe = {}
        for argument in inspect.signature(maker).parameters:
            if argument == "dim":
                arguments["dim"] = loss.dim
            elif argument in loss.parameters:
                given = loss.parameters[argument]
                arguments[argument] = given.numpy() if isinstance(given, torch.Tensor) else given
        return {"call": f"landscapes.{name}", **arguments}
    return None


def _of_system(system: Map | Flow | Diffusion) -> Recipe | None:
    if system.landscape is None:
        return None
    found: Recipe = {"call": type(system).__name__, "loss": system.landscape, "rule": system.rule}
    if isinstance(system, Flow):
        return {**found, "form": system.form}
    found |= {"lr": system.lr, "noise": system.noise}
    return {**found, "momentum": system.momentum} if isinstance(system, Map) else found


def _same(value: Any, again: Any) -> bool:
    """Whether an object and one made again are the same in text, box and functions."""
    if repr(value) != repr(again) or not _same_box(value.box, again.box):
        return False
    if isinstance(value, Landscape):
        one, other = (fingerprint(loss.function, loss.parameters) for loss in (value, again))
        return one is not None and one == other
    return True  # made of the very loss, rule and coefficients


def _same_box(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(one, other))

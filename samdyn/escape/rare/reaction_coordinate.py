"""Reaction coordinates: how far a path has got, and the levels at which it may branch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.escape.rare.stopping import distance_to
from samdyn.escape.region.faces import Face
from samdyn.numerics.vector import Coordinates
from samdyn.trace.batch import tensor_of
from samdyn.trace.tracing import CoordinateForm, traced_or_batched

MOST_LEVELS = 1_000_000  # a larger number is a mistake


def reaction_coordinate_and_levels(
    function: Callable[[Tensor], Tensor] | None,
    levels: int | npt.ArrayLike,
    faces: tuple[Face, ...],
    start: Array,
) -> tuple[Callable[[Coordinates], Tensor], Array]:
    """The reaction coordinate on coordinates, and the values of its levels."""
    if function is None:
        coordinate = distance_to(faces)
    elif callable(function):
        coordinate = traced_coordinate(function, len(start))
    else:
        raise TypeError(f"reaction_coordinate must be a function of one point, got {function!r}")
    wanted = "levels must be a number or an increasing sequence of finite numbers"
    try:
        values = np.asarray(levels, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(f"{wanted}, got {levels!r}") from error
    if values.ndim == 0:
        n = checks.integer("levels", levels, at_least=1, below=MOST_LEVELS)
        if function is not None:
            raise ValueError(
                f"levels must be an array of values of reaction_coordinate where that is given, got {n}"
            )
        low = float(coordinate(Coordinates(tensor_of(start)[:, None].unbind(0)))[0])
        return coordinate, np.linspace(low, 0.0, n + 1)[:-1]
    usable = values.ndim == 1 and len(values) and np.isfinite(values).all() and (np.diff(values) > 0).all()
    if not usable:
        raise ValueError(f"{wanted}, got {levels!r}")
    return coordinate, values


class TracedCoordinate:
    """A function of one point on separate coordinates."""

    def __init__(self, form: CoordinateForm) -> None:
        self.form, self.traced = form, form.traced

    def __call__(self, x: Coordinates) -> Tensor:
        value: Tensor = self.form(*x)[0]
        return value


def traced_coordinate(function: Callable[[Tensor], Tensor], dim: int) -> TracedCoordinate:
    """A reaction coordinate of the caller, checked on a trial point."""
    wanted = f"reaction_coordinate must turn a tensor of shape ({dim},) into a scalar tensor"
    try:
        value = function(torch.zeros(dim, dtype=torch.float64, device="cpu"))
        shape = tuple(value.shape)
        form: CoordinateForm = traced_or_batched(function, dim)
    except Exception as error:
        raise TypeError(f"{wanted}, got {type(error).__name__}: {error}") from error
    if shape:
        raise ValueError(f"{wanted}, got shape {shape}")
    return TracedCoordinate(form)

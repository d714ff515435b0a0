"""The region where a function of one point is negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from samdyn.arguments.checks import integer
from samdyn.escape.region.faces import Face, FunctionFace, OnePoint
from samdyn.escape.region.open_set import OpenSet
from samdyn.trace.advice import USUAL, advice_on, told
from samdyn.trace.function_identity import fingerprint
from samdyn.trace.surroundings import own_surroundings


@dataclass(frozen=True, init=False)
class Region(OpenSet):
    """The set where a function of one point is negative.

    Parameters
    ----------
    signed_distance : callable
        Takes one point, a torch tensor of shape (dim,), and returns a scalar tensor, negative inside: the
        distance to the boundary, or any smooth level function whose gradient does not vanish there. A
        function that can be pickled makes the region picklable.
    dim : int, optional
        The number of coordinates, if known.

    Raises
    ------
    TypeError, ValueError
        `signed_distance` is not callable or, where dim is given, does not give one differentiable number
        for a point.

    Notes
    -----
    The distance to the boundary is the length of two Newton steps along the gradient, which is right to the
    third order near the boundary, where the first-exit test needs it; exit points are moved onto the boundary
    by such steps. Far from the boundary `signed_distance` has the right sign and no more, unless the function
    is a distance itself, which is noticed by its gradients of length 1 and taken as it is. Where there is no
    gradient or it is 0, as in the centre of a ball, the value is taken as it is, and the normal along the
    first axis.

    Examples
    --------
    >>> import samdyn as sd
    >>> disc = sd.Region(lambda w: w @ w - 1, dim=2)
    >>> disc.contains([[0.0, 0.5], [1.0, 1.0]])
    array([ True, False])
    """

    function: OnePoint
    dim: int | None

    def __init__(self, signed_distance: OnePoint, dim: int | None = None) -> None:
        if not callable(signed_distance):
            raise TypeError(f"signed_distance must be a function of one point, got {signed_distance!r}")
        if dim is not None:
            dim = integer("dim", dim, at_least=1)
            _check_function(signed_distance, dim)
        object.__setattr__(self, "function", signed_distance)
        object.__setattr__(self, "dim", dim)

    def with_dim(self, dim: int) -> OpenSet:
        super().with_dim(dim)
        return self if self.dim is not None else Region(self.function, int(dim))

    def _state(self) -> Any:
        return fingerprint(self.function)

    def _faces(self) -> tuple[Face, ...]:
        return (FunctionFace(self.function, self.dim),)


def _check_function(function: OnePoint, dim: int) -> None:
    wanted = (
        f"signed_distance must take one point, a torch tensor of shape ({dim},), and return a scalar tensor"
    )
    try:
        with own_surroundings():
            value: Any = function(torch.zeros(dim, dtype=torch.float64))
    except Exception as error:
        raise TypeError(f"{wanted}; it raised {told(error)}{advice_on(error, function)}") from error
    if not isinstance(value, Tensor) or not value.dtype.is_floating_point:
        got = f"dtype {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{wanted} of a floating-point type, got {got}")
    if value.ndim != 0:
        raise ValueError(f"{wanted}, got shape {tuple(value.shape)}")
    try:
        with own_surroundings():
            torch.func.vmap(torch.func.grad(function))(torch.zeros(1, dim, dtype=torch.float64))
    except Exception as error:
        raise TypeError(
            f"signed_distance cannot be differentiated and batched by torch.func ({told(error)})"
            f"{advice_on(error, function) or USUAL}"
        ) from error

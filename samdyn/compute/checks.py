"""Argument checks shared by the public functions.

Every check names the argument, says what came and what is wanted, and runs before any work starts.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def number(
    name: str, value: Any, *, above: float | None = None, at_least: float | None = None, finite: bool = True
) -> float:
    """`value` as a float, or an error that names the argument.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : object
        What the caller passed.
    above, at_least : float, optional
        Strict and non-strict lower bound.
    finite : bool
        Refuse infinities (nan is always refused).

    Examples
    --------
    >>> number("rho", 0.5, at_least=0)
    0.5
    """
    wanted = "a finite number" if finite else "a number"
    if above is not None:
        wanted += f" > {above:g}"
    if at_least is not None:
        wanted += f" >= {at_least:g}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real | np.ndarray | np.generic):
        raise TypeError(f"{name} must be {wanted}, got {value!r} of type {type(value).__name__}")
    if isinstance(value, np.ndarray) and value.ndim > 0:
        raise TypeError(f"{name} must be {wanted}, got an array of shape {value.shape}")
    try:
        result = float(value)
    except TypeError as error:
        raise TypeError(f"{name} must be {wanted}, got {value!r}") from error
    bad = math.isnan(result) or (finite and math.isinf(result))
    bad = bad or (above is not None and result <= above) or (at_least is not None and result < at_least)
    if bad:
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return result


def integer(name: str, value: Any, *, at_least: int | None = None, below: int | None = None) -> int:
    """`value` as an int, or an error that names the argument.

    Examples
    --------
    >>> integer("n_paths", 1000, at_least=1)
    1000
    """
    wanted = "an integer"
    if at_least is not None:
        wanted += f" >= {at_least}"
    if below is not None:
        wanted += f" and < {below}" if at_least is not None else f" < {below}"
    if isinstance(value, float) and not value.is_integer():  # 1e5 is a natural way to write a count
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    if isinstance(value, bool) or not isinstance(value, int | np.integer | float):
        raise TypeError(f"{name} must be {wanted}, got {value!r} of type {type(value).__name__}")
    result = int(value)
    if (at_least is not None and result < at_least) or (below is not None and result >= below):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return result


def points(name: str, value: Any, dim: int, *, finite: bool = True) -> Array:
    """`value` as a float64 array of points of shape (..., dim).

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : array_like
        Points; the last axis is the coordinate axis.
    dim : int
        The number of coordinates wanted.
    finite : bool
        Refuse nan and infinities.

    Raises
    ------
    TypeError, ValueError
        Not numeric, or the wrong last axis, or not finite.

    Examples
    --------
    >>> points("x", [1, 2], 2)
    array([1., 2.])
    """
    if hasattr(value, "detach"):  # a torch tensor, possibly with a gradient or on a device
        value = value.detach().cpu().numpy()
    try:
        result = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of points of shape (..., {dim}), got {value!r}") from error
    if result.ndim == 0 or result.shape[-1] != dim:
        raise ValueError(f"{name} must have shape (..., {dim}), got shape {result.shape}")
    if finite and not np.isfinite(result).all():
        bad = result.reshape(-1, dim)[~np.isfinite(result.reshape(-1, dim)).all(axis=1)][0]
        raise ValueError(f"{name} must be finite, got {bad}")
    return result


def box(name: str, value: Any, dim: int) -> Array:
    """`value` as an array (dim, 2) of lower and upper bounds of positive width.

    Examples
    --------
    >>> box("box", [(-1, 1)], 1)
    array([[-1.,  1.]])
    """
    try:
        result = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a sequence of {dim} (lower, upper) pairs, got {value!r}") from error
    if result.shape != (dim, 2):
        raise ValueError(
            f"{name} must be a sequence of {dim} (lower, upper) pairs, got shape "
            f"{result.shape} from {value!r}"
        )
    if not np.isfinite(result).all():
        raise ValueError(f"{name} must be finite, got {value!r}")
    width = result[:, 1] - result[:, 0]
    if (width > 0).all() and (width <= 1e-12 * np.maximum(np.abs(result).max(axis=1), 1e-100)).any():
        raise ValueError(f"{name} must be wider than rounding in every coordinate, got {value!r}")
    if not (result[:, 0] < result[:, 1]).all():
        raise ValueError(f"{name} must have lower < upper in every coordinate, got {value!r}")
    return result

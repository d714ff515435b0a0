"""Checks of the arguments that closed forms share: a number in a range, an array of finite numbers.

A closed form holds on a range; outside it the functions here refuse, and say which range that is.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def number(
    name: str,
    value: float,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    because: str = "",
) -> float:
    """The number itself, or a ValueError that names it and the range it must lie in.

    Parameters
    ----------
    name : str
        As the caller knows it.
    value : float
    above, at_least, below, at_most : float, optional
        Bounds.
    because : str, optional
        Where the range comes from, such as "1 / smoothness".
    """
    limits = {">": above, ">=": at_least, "<": below, "<=": at_most}
    wanted = " and ".join(f"{sign} {limit:.6g}" for sign, limit in limits.items() if limit is not None)
    try:
        result = float(value)
    except (TypeError, ValueError):
        result = math.nan
    holds = {">": float.__gt__, ">=": float.__ge__, "<": float.__lt__, "<=": float.__le__}
    inside = all(holds[sign](result, float(limit)) for sign, limit in limits.items() if limit is not None)
    if not math.isfinite(result) or not inside:
        reason = f" ({because})" if because else ""
        raise ValueError(f"{name} must be a finite number {wanted}{reason}, got {value!r}".replace("  ", " "))
    return result


def count(name: str, value: int, *, at_least: int = 1) -> int:
    """The integer itself, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise ValueError(f"{name} must be an integer >= {at_least}, got {value!r}")
    return int(value)


def finite_array(name: str, value: npt.ArrayLike, *, above: float | None = None) -> Array:
    """The value as a float64 array, or a ValueError where it is not finite (or not above a bound)."""
    try:
        result = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number or an array of numbers, got {value!r}") from error
    if not np.isfinite(result).all() or (above is not None and not (result > above).all()):
        wanted = "finite" if above is None else f"finite and > {above:g}"
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return result

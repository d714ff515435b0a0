"""Argument checks shared by the public functions: one check for each kind of argument.

Every check names the argument, says what came and what is wanted, runs before any work starts, and returns
the value in the form that is computed with: a caller keeps what the check returns, never the raw value (a
uint8 would overflow in the next product). numpy, torch and Python spellings of a number are the same number.
What is no number is refused, also where numpy would convert it without a word: text, dates, booleans, complex
numbers, masked entries.

`checked` in `samdyn.arguments.signature` applies these checks to a whole signature.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class HasPoint(Protocol):
    """A result that stands for a point, as a FixedPoint does: it is accepted wherever a point is."""

    @property
    def x(self) -> Array:
        """The point."""


PointLike = npt.ArrayLike | HasPoint


def point_of(value: PointLike) -> npt.ArrayLike:
    """The point that a result stands for; anything else as it is.

    Examples
    --------
    >>> point_of([0.5, 1.0])
    [0.5, 1.0]
    """
    if dataclasses.is_dataclass(value) and isinstance(getattr(value, "x", None), np.ndarray):
        value = value.x
    return value  # type: ignore[return-value]


LARGEST_COUNT = 1 << 62
"""Counts stay below this, so that a sum of two of them fits into numpy's 64-bit integers."""

_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 80, 120, 30
_SHORT.maxlist = _SHORT.maxtuple = 8


def shown(value: Any) -> str:
    """What came, in at most about a hundred characters: a message must not print a whole array.

    Examples
    --------
    >>> shown(0.5), shown(10**50)
    ('0.5', '100000000000...0000000000000')
    """
    try:
        text = _SHORT.repr(value)
    except Exception:  # an integer of more than 4300 digits, or an object whose repr fails
        text = f"an object of type {type(value).__name__}"
    return " ".join(text.split())


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    finite: bool = True,
    because: str = "",
) -> float:
    """`value` as a float, or an error that names the argument.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : object
        What the caller passed: a Python, numpy or torch number, or an array with a single entry and no axes.
    above, at_least, below, at_most : float, optional
        Strict and non-strict bounds.
    finite : bool
        Refuse infinities (nan is always refused).
    because : str
        Where the bounds come from, such as "1 / smoothness", for the message.

    Raises
    ------
    TypeError
        Not a real number.
    ValueError
        Out of range, nan, or too large for a float.

    Examples
    --------
    >>> number("rho", 0.5, at_least=0)
    0.5
    """
    limits = ((">", above), (">=", at_least), ("<", below), ("<=", at_most))
    bounds = " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
    wanted = " ".join(part for part in ("a finite number" if finite else "a number", bounds) if part)
    wanted += f" ({because})" if because else ""
    plain = _without_tensor(value)
    if isinstance(plain, np.ndarray) and plain.ndim > 0:
        raise TypeError(f"{name} must be {wanted}, got an array of shape {plain.shape}")
    if not _is_real(plain):
        raise TypeError(f"{name} must be {wanted}, got {shown(value)} of type {type(value).__name__}")
    try:
        result = float(plain)
    except OverflowError:  # an integer or a fraction beyond the largest float
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}") from None
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be {wanted}, got {shown(value)}") from error
    bad = math.isnan(result) or (finite and math.isinf(result))
    bad = bad or (above is not None and result <= above) or (at_least is not None and result < at_least)
    bad = bad or (below is not None and result >= below) or (at_most is not None and result > at_most)
    if bad:
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    return result


def integer(name: str, value: Any, *, at_least: int | None = None, below: int | None = None) -> int:
    """`value` as an int below 2^62, or an error that names the argument.

    A float without a fractional part is accepted: 1e5 is a natural way to write a count.

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
    plain = _without_tensor(value)
    if isinstance(plain, np.ndarray) and plain.ndim == 0:
        plain = plain[()]
    if isinstance(plain, float | np.floating) and not float(plain).is_integer():
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    if isinstance(plain, bool | np.bool_) or not isinstance(plain, int | np.integer | float | np.floating):
        raise TypeError(f"{name} must be {wanted}, got {shown(value)} of type {type(value).__name__}")
    if isinstance(plain, np.timedelta64):  # numpy counts it among its signed integers
        raise TypeError(f"{name} must be {wanted}, got {shown(value)} of type {type(value).__name__}")
    result = int(plain)
    if (at_least is not None and result < at_least) or (below is not None and result >= below):
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    if abs(result) > (LARGEST_COUNT if below is None else max(LARGEST_COUNT, below)):
        raise ValueError(f"{name} must be {wanted} of at most 2^62, got {shown(value)}")
    return result


def seed(name: str, value: Any) -> int:
    """A seed: an integer from 0 to 2^64 - 1.

    Examples
    --------
    >>> seed("seed", 7)
    7
    """
    return integer(name, value, at_least=0, below=1 << 64)


def flag(name: str, value: Any) -> bool:
    """True or False themselves: the text "False" is true in Python, and 0 may be meant as a number.

    Examples
    --------
    >>> flag("progress", True)
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)} of type {type(value).__name__}")
    return bool(value)


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """One of several words.

    Examples
    --------
    >>> choice("probe", "same", ("same", "full"))
    'same'
    """
    options = tuple(options)
    if not isinstance(value, str) or value not in options:
        words = ", ".join(repr(option) for option in options)
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(f"{name} must be one of {words}, got {shown(value)}")
    return str(value)


def text(name: str, value: Any) -> str:
    """A string.

    Examples
    --------
    >>> text("name", "double well")
    'double well'
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {type(value).__name__}")
    return str(value)


def function(name: str, value: Any) -> Callable[..., Any]:
    """Something that can be called.

    Examples
    --------
    >>> function("step", abs)
    <built-in function abs>
    """
    if not callable(value) or any(base.__name__ == "Landscape" for base in type(value).__mro__):
        raise TypeError(f"{name} must be callable, got {type(value).__name__}")
    return value


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """A dict, or another mapping, whose keys are texts or numbers of attractors.

    Examples
    --------
    >>> mapping("parameters", {"a": 1.4})
    {'a': 1.4}
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str | int | np.integer) for key in value):
        raise TypeError(f"{name} must be a dict of names, got {shown(value)} of type {type(value).__name__}")
    return value


def one_sweep(parameters: Any, known: Iterable[str]) -> tuple[str, Any]:
    """The name and the values of `parameters`, a dict of one name."""
    if not isinstance(parameters, Mapping):
        raise TypeError(f'parameters must be a dict such as {{"rho": [0.1, 0.2]}}, got {shown(parameters)}')
    if len(parameters) != 1:
        raise ValueError(f"parameters must hold one name and its values, got {list(parameters)}")
    name, values = next(iter(parameters.items()))
    if name not in known:
        raise ValueError(f"parameters must name one of {', '.join(known)}, got {name!r}")
    return name, values


def array(
    name: str,
    value: Any,
    *,
    finite: bool = True,
    above: float | None = None,
    at_least: float | None = None,
    wanted: str = "a number or an array of numbers",
) -> Array:
    """`value` as a float64 array of any shape.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : array_like
        Numbers in Python, numpy or torch; tensors with a gradient or on a device are copied. A FixedPoint, or
        another result at one point, stands for its `x`.
    finite : bool
        Refuse nan and infinities.
    above, at_least : float, optional
        Bounds for every entry.
    wanted : str
        What the caller wants, for the message.

    Raises
    ------
    TypeError
        Text, dates, booleans, complex numbers, objects, rows of different lengths.
    ValueError
        Masked entries, entries that are out of range or not finite.

    Examples
    --------
    >>> array("t", [1, 2])
    array([1., 2.])
    """
    plain = _without_tensor(point_of(value))
    if isinstance(plain, np.ma.MaskedArray) or plain is np.ma.masked:
        if np.ma.is_masked(plain):
            raise ValueError(f"{name} must have no masked entries, got {shown(value)}")
        plain = np.ma.getdata(plain)
    try:
        if isinstance(plain, list | tuple) and any(hasattr(entry, "detach") for entry in plain):
            plain = [_without_tensor(entry) for entry in plain]
        raw = np.asarray(plain)
        if raw.dtype == object:  # tensors, fractions or integers beyond 64 bits in a list, or no numbers
            raw = _from_objects(raw)
        if raw.size and raw.dtype.kind not in "iuf":
            raise TypeError(f"entries of type {raw.dtype}")
        result = raw.astype(np.float64)  # a copy: nobody else can change it afterwards
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        advice = ""
        if hasattr(value, "state_dict") or isinstance(value, Mapping):
            advice = ": the weights of a module or of a state dict are loss.point_of(...)"
        raise TypeError(f"{name} must be {wanted}, got {shown(value)}{advice}") from error
    if finite and not np.isfinite(result).all():
        bad = result[~np.isfinite(result)][0]
        raise ValueError(f"{name} must be finite, got {bad} in {shown(value)}")
    for sign, limit, holds in ((">", above, np.greater), (">=", at_least, np.greater_equal)):
        if limit is not None and not holds(result, limit).all():
            bad = result[~holds(result, limit)][0]
            raise ValueError(f"{name} must be finite and {sign} {limit:g}, got {bad:g} in {shown(value)}")
    return result


def integers(name: str, value: Any, *, at_least: int | None = None) -> list[int]:
    """Whole numbers in a sequence, at least one of them, each within the bound.

    Examples
    --------
    >>> integers("sizes", (2, 4))
    [2, 4]
    """
    rows = array(name, value, finite=False, wanted="a sequence of integers")
    if rows.size == 0:
        raise ValueError(f"{name} must hold at least one integer, got {shown(value)}")
    if rows.ndim != 1:
        raise ValueError(f"{name} must be a sequence of integers, got {shown(value)}")
    return [integer(name, row, at_least=at_least) for row in rows]


def labels(name: str, value: Any) -> npt.NDArray[Any]:
    """An array of integer labels, in its own integer type.

    Examples
    --------
    >>> labels("before", [1, 1, 2])
    array([1, 1, 2])
    """
    wanted = "an array of integer labels"
    try:
        result = np.asarray(_without_tensor(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be {wanted}, got {shown(value)}") from error
    if result.size == 0 or result.dtype.kind not in "iu":
        raise ValueError(f"{name} must be {wanted}, got {result.dtype} of shape {result.shape}")
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
    result = array(name, value, finite=False, wanted=f"an array of points of shape (..., {dim})")
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
    result = array(name, value, finite=False, wanted=f"a sequence of {dim} (lower, upper) pairs")
    if result.shape != (dim, 2):
        raise ValueError(
            f"{name} must be a sequence of {dim} (lower, upper) pairs, got shape "
            f"{result.shape} from {shown(value)}"
        )
    if not np.isfinite(result).all():
        raise ValueError(f"{name} must be finite, got {shown(value)}")
    with np.errstate(over="ignore"):
        width = result[:, 1] - result[:, 0]
    if not np.isfinite(width).all():
        raise ValueError(f"{name} must have a finite width in every coordinate, got {shown(value)}")
    if (width > 0).all() and (width <= 1e-12 * np.maximum(np.abs(result).max(axis=1), 1e-100)).any():
        raise ValueError(f"{name} must be wider than rounding in every coordinate, got {shown(value)}")
    if not (result[:, 0] < result[:, 1]).all():
        raise ValueError(f"{name} must have lower < upper in every coordinate, got {shown(value)}")
    return result


def covariance(name: str, value: Any) -> Array:
    """`value` as a symmetric positive semidefinite matrix.

    Eigenvalues down to -1e-12 of the largest one, and asymmetries up to 1e-12 of the largest entry, are taken
    for rounding.

    Examples
    --------
    >>> covariance("cov", [[2, 1], [1, 2]])
    array([[2., 1.],
           [1., 2.]])
    """
    wanted = f"{name} must be a symmetric matrix with eigenvalues >= 0"
    result = array(name, value, wanted="a symmetric matrix of numbers")
    if result.ndim != 2 or result.shape[0] != result.shape[1] or not result.size:
        raise ValueError(f"{wanted}, of shape (dim, dim), got shape {result.shape}")
    largest = float(np.abs(result).max())
    if np.abs(result - result.T).max() > 1e-12 * largest:
        raise ValueError(f"{wanted}, got one that is not symmetric: {shown(value)}")
    result = result / 2 + result.T / 2
    smallest = float(np.linalg.eigvalsh(result / largest)[0]) if largest else 0.0
    if smallest < -1e-12 or (np.diag(result) < 0).any():
        raise ValueError(f"{wanted}, got one with the eigenvalue {smallest * largest:.6g}: {shown(value)}")
    return result


def _without_tensor(value: Any) -> Any:
    """A torch tensor as the numpy array of its values, on the host and without its gradient."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        try:
            value = value.detach().cpu()
            return value.resolve_conj().resolve_neg().numpy()
        except (TypeError, RuntimeError, NotImplementedError):  # bfloat16, a sparse tensor, one on "meta"
            return value.double().numpy() if getattr(value, "is_floating_point", bool)() else value
    return value


def _is_real(value: Any) -> bool:
    """Whether this is one real number, by its type."""
    if isinstance(value, bool | np.bool_ | np.timedelta64) or value is np.ma.masked:
        return False
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and value.dtype.kind in "iuf" and not np.ma.is_masked(value)
    return isinstance(value, numbers.Real | np.integer | np.floating)


def _from_objects(raw: npt.NDArray[Any]) -> Array:
    """Numbers out of an array of objects; a TypeError where one is none."""
    entries = [_without_tensor(entry) for entry in raw.ravel()]
    if not all(_is_real(entry) for entry in entries):
        raise TypeError("entries that are no real numbers")
    return np.array([float(entry) for entry in entries], dtype=np.float64).reshape(raw.shape)

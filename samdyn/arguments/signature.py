"""The checks of `samdyn.arguments.checks` applied to a whole signature, by its annotations.

::

    @checked
    def mean_square(system: Map, x: npt.ArrayLike, n_steps: int = 100, progress: bool = False) -> float: ...

refuses a text for `n_steps` and the text "False" for `progress` before the body runs, by name, and hands the
body an int and a bool. What the annotation cannot say (bounds, shapes, which words) stays in the body.

Annotations are read as text, so that a module may import its types for the type checker alone:

=====================  ==================================================================================
annotation             what comes
=====================  ==================================================================================
``float``              `checks.number`, where infinities pass: the body knows whether one is meant
``int``                `checks.integer`, where 2.5 and nan pass: the body says which bounds it wants
``int``, named `seed`  `checks.seed`
``bool``               `checks.flag`
``str``                `checks.text`
``npt.ArrayLike``      `checks.array`, where nan and infinities pass
``checks.PointLike``   the same: of a FixedPoint its point
``Sequence[float]``    numbers in a sequence, handed on as they came; so is a box of pairs
``tuple[..., ...]``    two numbers
``Sequence[int]``      whole numbers in a sequence; so is ``tuple[int, int]``, of two
``Sequence[str]``      a list of texts; one text is none
``Sequence[Branch]``   a list, as of other results and of ``Iterable``; of one such object a list of one
``Callable[...]``      `checks.function`
``Mapping[...]``       `checks.mapping`
``Map``, ``Basins``    an object of that class; where a system is wanted, any system
``... | None``         None passes as it is
=====================  ==================================================================================

Any other annotation, and a union of several kinds, is left to the body.

Where a number beyond float64's range stops the body with an error that names no argument, the error becomes
one that names the extreme ones. numpy's floating-point warnings are off in the body: what overflows is inf.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np

from samdyn.arguments import checks

P = ParamSpec("P")
R = TypeVar("R")


def _number(name: str, value: Any) -> float:
    return checks.number(name, value, finite=False)


def _integer(name: str, value: Any) -> Any:
    """An int; a real number that is none is left to the body, which knows the bounds of its message."""
    try:
        return checks.integer(name, value)
    except ValueError:
        return value


def _array(name: str, value: Any) -> Any:
    return checks.array(name, value, finite=False)


def _rows(name: str, value: Any) -> Any:
    """Numbers in a sequence, handed on as they came: the body may ask whether there are any."""
    checks.array(name, value, finite=False)
    return value


def _row(name: str, value: Any) -> Any:
    """Numbers along one axis, handed on as they came."""
    if checks.array(name, value, finite=False).ndim != 1:
        raise ValueError(f"{name} must be a sequence of numbers, got {checks.shown(value)}")
    return value


def _pair(name: str, value: Any) -> tuple[float, float]:
    """Two numbers."""
    pair = checks.array(name, value, finite=False, wanted="a pair of numbers")
    if pair.shape != (2,):
        raise ValueError(f"{name} must be a pair of numbers, got {checks.shown(value)}")
    return float(pair[0]), float(pair[1])


def _instance(kinds: list[str], wanted: str) -> Callable[[str, Any], Any]:
    """A check that the value is of a class of samdyn, found by name so that nothing need be imported.

    Any system passes where one kind of system is wanted: the body knows why another kind will not do.
    """
    words = ["Map", "Flow", "Diffusion"] if kinds == ["System"] else kinds
    articles = ["an" if word[0] in "AEIOU" else "a" for word in words]
    parts = [f"{article} {word}" for article, word in zip(articles, words, strict=True)]
    text = " or ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

    def check(name: str, value: Any) -> Any:
        if not any(base.__name__ == wanted for base in type(value).__mro__):
            raise TypeError(
                f"{name} must be {text}, got {checks.shown(value)} of type {type(value).__name__}"
            )
        return value

    return check


def _elements(name: str, value: Any, wanted: str) -> list[Any]:
    """What a sequence holds; a text, an object with parts of its own and a mapping are no sequences."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be {wanted}, got {checks.shown(value)} of type {type(value).__name__}")
    try:
        return list(value)
    except TypeError:  # an array without axes
        raise TypeError(f"{name} must be {wanted}, got {checks.shown(value)}") from None


def _texts(name: str, value: Any) -> list[str]:
    texts = _elements(name, value, "a sequence of texts")
    return [checks.text(name, text) for text in texts]


def _integers(name: str, value: Any) -> tuple[int, ...]:
    return tuple(checks.integer(name, k) for k in _elements(name, value, "a sequence of whole numbers"))


def _two_integers(name: str, value: Any) -> tuple[int, ...]:
    found = _integers(name, value)
    if len(found) != 2:
        raise ValueError(f"{name} must be a pair of whole numbers, got {checks.shown(value)}")
    return found


def _several(kind: str) -> Callable[[str, Any], list[Any]]:
    """A check that makes a list of what a sequence holds, and of one object in no sequence a list of one; the
    body knows what to say of objects of another class.
    """

    def listed(name: str, value: Any) -> list[Any]:
        if any(base.__name__ == kind for base in type(value).__mro__):
            return [value]
        return _elements(name, value, f"a sequence of {kind}s")

    return listed


_BY_SEQUENCE: dict[str, Callable[[str, Any], Any]] = {
    "Sequence[float]": _row,
    "tuple[float, float]": _pair,
    "Sequence[str]": _texts,
    "Sequence[int]": _integers,
    "tuple[int, int]": _two_integers,
}
_SYSTEMS = {"System", "Map", "Flow", "Diffusion"}
_CLASSES = {"Attractors1D", "Basins", "Bifurcation", "Branch"}
_SEVERAL = re.compile(r"(?:Sequence|Iterable)\[(Branch|BifurcationCurve|ExitTimes|Manifold|Result)\]")
_NUMBERS_IN_ROWS = {
    "npt.ArrayLike",
    "checks.PointLike",
    "Sequence[float]",
    "Sequence[Sequence[float]]",
    "Array",
}
_BY_ANNOTATION: dict[str, Callable[[str, Any], Any]] = {
    "float": _number,
    "int": _integer,
    "bool": checks.flag,
    "str": checks.text,
    "npt.ArrayLike": _array,
    "checks.PointLike": _array,
}


def check_of(name: str, annotation: str) -> tuple[Callable[[str, Any], Any] | None, bool]:
    """The check that an annotation asks for, if any, and whether None passes.

    Examples
    --------
    >>> check_of("t", "float | None")[1], check_of("x", "float | str")
    (True, (None, False))
    """
    kinds = [kind.strip() for kind in annotation.split(" | ")]
    optional = "None" in kinds
    kinds = [kind for kind in kinds if kind != "None"]
    if kinds and set(kinds) <= _SYSTEMS:
        return _instance(kinds, "System"), optional
    if len(kinds) > 1 and set(kinds) <= _NUMBERS_IN_ROWS:
        return _rows, optional
    several = _SEVERAL.fullmatch(kinds[-1]) if kinds else None
    if several and kinds[:-1] in ([], [several.group(1)]):
        return _several(several.group(1)), optional
    if len(kinds) != 1:
        return None, optional
    if kinds[0] in _CLASSES:
        return _instance(kinds, kinds[0]), optional
    if kinds[0] in _BY_SEQUENCE:
        return _BY_SEQUENCE[kinds[0]], optional
    if kinds[0].startswith("Mapping["):
        return checks.mapping, optional
    if kinds[0] in _NUMBERS_IN_ROWS - set(_BY_ANNOTATION):
        return _rows, optional
    if kinds[0].startswith("Callable["):
        return checks.function, optional
    if name == "seed" and kinds[0] == "int":
        return checks.seed, optional
    return _BY_ANNOTATION.get(kinds[0]), optional


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function` with each argument checked and converted by its annotation, before the body runs.

    Parameters
    ----------
    function : callable
        Its annotations are texts, as with ``from __future__ import annotations``.

    Returns
    -------
    callable
        With the same name, documentation and signature.

    Raises
    ------
    TypeError, ValueError
        From the checks, and from Python where the call does not fit the signature.

    Examples
    --------
    >>> @checked
    ... def half(lr: float) -> float:
    ...     return lr / 2
    >>> half("0.1")
    Traceback (most recent call last):
        ...
    TypeError: lr must be a number, got '0.1' of type str
    """
    signature = inspect.signature(function)
    wanted = {
        name: check_of(name, str(parameter.annotation))
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    wanted = {name: (check, optional) for name, (check, optional) in wanted.items() if check is not None}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:  # Python's own message names the function and says how many arguments it takes
            return function(*args, **kwargs)
        for name, value in bound.arguments.items():
            if name in wanted:
                check, optional = wanted[name]
                if check is not None and not (optional and value is None):
                    bound.arguments[name] = check(name, value)
        try:
            with np.errstate(all="ignore"):  # a user's np.seterr(all="raise") must not stop an underflow
                return function(*bound.args, **bound.kwargs)
        except (ArithmeticError, ValueError, TypeError) as error:
            extreme = [name for name, value in bound.arguments.items() if _is_extreme(value)]
            if not extreme or (not isinstance(error, ArithmeticError) and _names_one(error, signature)):
                raise
            raise ValueError(
                f"{' and '.join(extreme)} must be of a size that float64 computes with, got "
                f"{', '.join(checks.shown(bound.arguments[name]) for name in extreme)}: {error}"
            ) from error

    return call


def _names_one(error: Exception, signature: inspect.Signature) -> bool:
    """Whether an error begins with the name of an argument of the call."""
    return any(re.match(rf"(the )?{name}\b", str(error)) for name in signature.parameters)


def _is_extreme(value: Any) -> bool:
    """Whether a product of a few such numbers leaves the range of float64."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray):
        return False
    if isinstance(value, np.ndarray) and value.dtype.kind not in "iuf":
        return False
    try:
        with np.errstate(all="ignore"):
            size = np.abs(np.asarray(value, dtype=np.float64))
    except OverflowError:  # an integer beyond the largest float
        return True
    return bool(((size > 1e15) | ((size < 1e-75) & (size > 0))).any())

"""Examples and pictures for the page of every public name.

A class that is made by a verb, as results are, need not repeat the verb's example: its page shows that of the
function or method that returns it, or of the class that holds it. Below stand the pictures of the gallery's
examples that use the name or what makes it.
"""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import samdyn


def public_objects(holder: ModuleType, seen: set[ModuleType] | None = None) -> Iterator[tuple[str, Any]]:
    """The classes and functions in `__all__` of a module and of the modules named there."""
    seen = {holder} if seen is None else seen | {holder}
    values = {name: getattr(holder, name) for name in getattr(holder, "__all__", ())}
    for name, value in values.items():
        if inspect.isclass(value) or inspect.isroutine(value):
            yield f"{holder.__name__}.{name}", value
    for value in values.values():
        if inspect.ismodule(value) and value.__name__.startswith("samdyn.") and value not in seen:
            yield from public_objects(value, seen)


@cache
def public_names() -> dict[str, Any]:
    """Each public class and function once, under the shortest of its names."""
    names: dict[int, tuple[str, Any]] = {}
    for name, value in public_objects(samdyn):
        names.setdefault(id(value), (name, value))
    return dict(names.values())


def has_example(value: Any) -> bool:
    """Whether a docstring has an example of its own."""
    return ">>>" in (inspect.getdoc(value) or "")


def functions_of(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A function itself, or the public methods and properties that a class defines."""
    if not inspect.isclass(value):
        yield name, value
        return
    for member, found in vars(value).items():
        found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
        if inspect.isfunction(found) and not member.startswith("_"):
            yield f"{name}.{member}", found


def mentions(annotation: Any, name: str) -> bool:
    """Whether a type is this class, or a container of it."""
    return bool(re.search(rf"\b{name}\b", str(annotation)))


@cache
def makers(name: str) -> tuple[str, ...]:
    """What makes objects of a public class: functions and methods that return it, classes that hold it."""
    value = public_names()[name]
    if not inspect.isclass(value):
        return ()
    short = name.rpartition(".")[2]
    others = [(other, found) for other, found in public_names().items() if found is not value]
    returns = [
        place
        for other, found in others
        for place, function in functions_of(other, found)
        if mentions(getattr(function, "__annotations__", {}).get("return", ""), short)
    ]
    holds = [
        other
        for other, found in others
        if inspect.isclass(found)
        and any(mentions(kind, short) for kind in vars(found).get("__annotations__", {}).values())
    ]
    return tuple(dict.fromkeys([*returns, *holds]))


def object_of(place: str) -> Any:
    """The object that a dotted name below samdyn stands for."""
    value: Any = samdyn
    for part in place.split(".")[1:]:
        value = inspect.getattr_static(value, part) if inspect.isclass(value) else getattr(value, part)
    return value


@cache
def place_of_example(name: str, depth: int = 2) -> str | None:
    """The name, itself or of a maker, whose docstring has an example; None where there is none."""
    if has_example(object_of(name)):
        return name
    owner = name.rpartition(".")[0]
    if name not in public_names():  # a method
        return place_of_example(owner, depth)
    for maker in makers(name):
        if has_example(object_of(maker)):
            return maker
    if depth == 0:
        return None
    places = (place_of_example(maker, depth - 1) for maker in makers(name))
    return next((place for place in places if place), None)


def add_example(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Give the page of a class without an example that of what makes it: a handler of autodoc."""
    if what != "class" or name not in public_names() or has_example(value):
        return
    place = place_of_example(name)
    if place is None:
        return
    text = inspect.getdoc(object_of(place)) or ""
    parts = doctest.DocTestParser().get_examples(text)
    code = []
    for part in parts:
        source = part.source.rstrip("\n").split("\n")
        code += [">>> " + source[0], *("... " + line for line in source[1:]), *part.want.splitlines()]
    lines += ["", "Examples", "--------", f"From `{place}`:", "", *code, ""]


MADE_BY_ALL = (samdyn.results.Result, samdyn.Region)
"""Base classes: what is made is one of theirs, and every example would be an example of it."""


def drawn_by(name: str) -> list[str]:
    """The classes of results that a function of samdyn.plot draws."""
    first = next(iter(inspect.signature(public_names()[name]).parameters.values()), None)
    classes = {
        other
        for other, found in public_names().items()
        if inspect.isclass(found) and issubclass(found, samdyn.results.Result) and found not in MADE_BY_ALL
    }
    return sorted(
        other for other in classes if first and mentions(first.annotation, other.rpartition(".")[2])
    )


@cache
def used_names(name: str, depth: int = 2) -> tuple[str, ...]:
    """The public names whose use in an example shows this one: itself, what makes it, and what it draws."""
    value = public_names()[name]
    others: list[str] = []
    if depth and inspect.isclass(value) and value not in MADE_BY_ALL:
        places = [maker if maker in public_names() else maker.rpartition(".")[0] for maker in makers(name)]
        pictures = [other for other in public_names() if other.startswith("samdyn.plot.")]
        others = [*places, *(other for other in pictures if name in drawn_by(other))]
    elif depth and name.startswith("samdyn.plot."):
        others = drawn_by(name)
    names = [name, *(used for other in others for used in used_names(other, depth - 1))]
    return tuple(dict.fromkeys(names))

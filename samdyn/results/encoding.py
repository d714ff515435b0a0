"""Values of results as JSON and arrays, without pickle, and back.

Numbers, texts, lists and dicts of texts are JSON as they are. An array is a member of the archive by the
name of its place ("fractions.2.lower"). Everything else is a dict with the key "$", which says what it is: a
tuple, a set, a dict with other keys, a graph of networkx, a sparse matrix, an object of a class of samdyn
that was declared `storable`, a loss or a system (`samdyn.results.rebuild`), or something absent.

A file can name only classes that were declared; it cannot make any other object, nor run code.
"""

from __future__ import annotations

import dataclasses
import importlib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import networkx as nx
import numpy as np
import torch
from scipy import sparse

from samdyn import rules, systems
from samdyn.arguments.checks import Array
from samdyn.results.absent import Absent, AbsentError
from samdyn.results.likeness import alike, values_of
from samdyn.results.rebuild import made_by, recipe_of
from samdyn.rules import schedules

MARK = "$"
OWN = "samdyn."
STORABLE: dict[str, type] = {}
"""Classes that a file may hold, by name."""

C = TypeVar("C", bound=type)


def storable(kind: C) -> C:
    """Declare a dataclass or a named tuple as one that results may hold in files.

    Examples
    --------
    >>> import dataclasses
    >>> from samdyn.results import storable
    >>> from samdyn.results.encoding import Decoder, encoded
    >>> @storable
    ... @dataclasses.dataclass(frozen=True)
    ... class Pair:
    ...     left: float
    ...     right: float
    >>> arrays = {}
    >>> encoded({"both": Pair(1.0, 2.0)}, "", arrays)
    {'both': {'$': 'Pair', 'left': 1.0, 'right': 2.0}}
    >>> Decoder(arrays)(_)["both"].right
    2.0
    """
    name = kind.__name__
    if name in STORABLE and STORABLE[name].__module__ != kind.__module__:
        raise TypeError(f"two classes named {name} cannot both be kept in files")
    STORABLE[name] = kind
    return kind


# the folders that hold classes of results and of what they are made of, the quick ones first
FOLDERS = (
    *("rules", "landscapes", "systems", "results", "dynamics", "equilibria", "orbit", "bifurcation"),
    *("hallucination", "escape", "rates", "basin", "morse", "network"),
)


def class_named(name: str) -> type | None:
    """The storable class of a name; folders of the package are loaded until one of them declares it."""
    for folder in FOLDERS:
        if name in STORABLE:
            break
        importlib.import_module(f"samdyn.{folder}")
    return STORABLE.get(name)


def arguments_of(kind: type) -> dict[str, bool]:
    """The arguments that make an object of a storable class, and whether each must be given.

    A class that is no dataclass and no named tuple names them in `stored`; they are attributes as well.
    """
    if hasattr(kind, "stored"):
        return dict.fromkeys(kind.stored, True)
    if hasattr(kind, "_fields"):
        return dict.fromkeys(kind._fields, True)
    missing = dataclasses.MISSING
    return {
        entry.name: entry.default is missing and entry.default_factory is missing
        for entry in dataclasses.fields(kind)
        if entry.init
    }


def fields_of(value: Any) -> dict[str, Any]:
    """The arguments that make an object of a storable class again, by name."""
    return {name: getattr(value, name) for name in arguments_of(type(value))}


def besides_of(value: Any) -> dict[str, Any]:
    """Attributes of a result that are no fields, and that files hold: see `samdyn.results.Result.besides`."""
    return value._besides() if hasattr(type(value), "besides") else {}


def encoded_fields(value: Any, place: str, arrays: dict[str, Array]) -> dict[str, Any]:
    """The arguments that make an object of a storable class, each `encoded`.

    What stands besides the fields of a result is left out where it could not be completed by a system that
    is given when the file is read.
    """
    at = f"{place}." if place else ""
    found = {name: encoded(part, f"{at}{name}", arrays) for name, part in fields_of(value).items()}
    for name, part in besides_of(value).items():
        parts: dict[str, Array] = {}
        one = encoded(part, f"{at}{name}", parts)
        if one is not None and not holds_absent(one, for_good=True):
            found[name] = one
            arrays |= parts
    return found


def encoded(value: Any, place: str, arrays: dict[str, Array]) -> Any:
    """A value as JSON; its arrays are put into `arrays` under names that begin with `place`.

    Parameters
    ----------
    value : object
        Of a result.
    place : str
        Where it stands: the names of fields and the numbers of entries, joined by dots.
    arrays : dict
        Filled with what is an array.

    Returns
    -------
    object
        None, a number, a text, a list or a dict, nested.
    """
    if value is None or isinstance(value, bool | str):
        return value

    def inside(part: Any, name: object) -> Any:
        return encoded(part, f"{place}.{name}" if place else str(name), arrays)

    kind = type(value).__name__
    if STORABLE.get(kind) is type(value):  # before numbers: a share is a number with its counts
        return {MARK: kind, **encoded_fields(value, place, arrays)}
    if isinstance(value, int | float):
        return value if type(value) in (int, float) else (int if isinstance(value, int) else float)(value)
    if isinstance(value, complex):
        return {MARK: "complex", "real": value.real, "imag": value.imag}
    if isinstance(value, np.generic):
        return encoded(value.item(), place, arrays)
    if isinstance(value, torch.Tensor):
        return encoded(value.detach().cpu().numpy(), place, arrays)
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return {MARK: "absent", "text": "an array of Python objects"}
        arrays[place] = value
        return {MARK: "array", "name": place}
    if sparse.issparse(value):
        csr = value.tocsr()
        parts = {name: inside(getattr(csr, name), name) for name in ("data", "indices", "indptr")}
        return {MARK: "sparse", "shape": list(csr.shape), **parts}
    if isinstance(value, nx.Graph):
        return {
            MARK: "graph",
            "directed": value.is_directed(),
            "attributes": inside(value.graph, "attributes"),
            "nodes": [[node, inside(data, f"node{node}")] for node, data in value.nodes(data=True)],
            "edges": [[u, v, inside(data, f"edge{u}.{v}")] for u, v, data in value.edges(data=True)],
        }
    if isinstance(value, list):
        return [inside(part, i) for i, part in enumerate(value)]
    if isinstance(value, tuple):
        return {MARK: "tuple", "of": [inside(part, i) for i, part in enumerate(value)]}
    if isinstance(value, set | frozenset):
        return {MARK: "set", "of": [inside(part, i) for i, part in enumerate(sorted(value))]}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and MARK not in value:
            return {key: inside(part, key) for key, part in value.items()}
        keys = [inside(key, f"key{i}") for i, key in enumerate(value)]
        return {MARK: "dict", "keys": keys, "of": [inside(part, key) for key, part in value.items()]}
    recipe = recipe_of(value)
    if recipe is not None:
        parts = {key: inside(part, key) for key, part in recipe.items()}
        if not holds_absent(parts):
            return {MARK: "made", "by": parts}
    if isinstance(value, types.FunctionType):  # its text has an address
        return {MARK: "absent", "text": f"the function {value.__qualname__}"}
    values = value.values if isinstance(value, Absent) else values_of(value)
    return {MARK: "absent", "text": repr(value), **({} if values is None else {"values": values})}


class Decoder:
    """Makes the values that `encoded` wrote.

    Parameters
    ----------
    arrays : dict
        The arrays of the file.
    given : object, optional
        A system or loss that stands wherever something absent has its text.

    Attributes
    ----------
    used : bool
        Whether `given` is what the file was written for.
    another : bool
        Whether the file was written for another one of the same text.
    made : list
        The systems and losses that the file holds.
    """

    def __init__(self, arrays: Mapping[str, Array], given: Any = None) -> None:
        self.arrays, self.given, self.used, self.another = arrays, given, False, False
        self.made: list[Any] = []

    def __call__(self, value: Any) -> Any:
        """The value of an encoded one.

        Raises
        ------
        KeyError, TypeError, ValueError
            It names an array or a class that is not there, or its parts do not make one.
        """
        if isinstance(value, list):
            return [self(part) for part in value]
        if not isinstance(value, dict):
            return value
        if MARK not in value:
            return {key: self(part) for key, part in value.items()}
        name = value[MARK]
        if name in READERS:
            return READERS[name](value, self)
        kind = class_named(name)
        if kind is None:
            raise ValueError(f"there is no class {name!r} that files hold")
        parts = {key: self(part) for key, part in value.items() if key != MARK}
        try:
            return kind(**parts)
        except AbsentError:  # it cannot be made without something that the file could not hold
            return Absent(f"the {name} of a system that the file does not hold")

    def absent(self, text: str, values: list[float] | None = None) -> Any:
        """What stands for something that the file could not hold."""
        if not self._is_given(text, values):
            return Absent(text, values)
        return self.given

    def whole(self, recipe: Mapping[str, Any]) -> Any:
        """A system or a loss that the file holds."""
        found = made_by(dict(recipe))
        self.made.append(found)
        self._is_given(repr(found), values_of(found) if repr(found) == repr(self.given) else None)
        return found

    def _is_given(self, text: str, values: list[float] | None) -> bool:
        if self.given is None or text != repr(self.given):
            return False
        same = alike(values, self.given)
        self.used, self.another = self.used or same, self.another or not same
        return same


def _graph(value: Mapping[str, Any], decoded: Decoder) -> nx.Graph:
    graph = nx.DiGraph() if value["directed"] else nx.Graph()
    graph.graph.update(decoded(value["attributes"]))
    for node, data in value["nodes"]:
        graph.add_node(node, **decoded(data))
    for u, v, data in value["edges"]:
        graph.add_edge(u, v, **decoded(data))
    return graph


def _sparse(value: Mapping[str, Any], decoded: Decoder) -> sparse.csr_array:
    parts = tuple(decoded(value[name]) for name in ("data", "indices", "indptr"))
    return sparse.csr_array(parts, shape=tuple(value["shape"]))


READERS: Mapping[str, Callable[[Mapping[str, Any], Decoder], Any]] = {
    "array": lambda value, decoded: decoded.arrays[value["name"]],
    "complex": lambda value, _: complex(value["real"], value["imag"]),
    "tuple": lambda value, decoded: tuple(decoded(value["of"])),
    "set": lambda value, decoded: set(decoded(value["of"])),
    "dict": lambda value, decoded: dict(zip(decoded(value["keys"]), decoded(value["of"]), strict=True)),
    "sparse": _sparse,
    "graph": _graph,
    "made": lambda value, decoded: decoded.whole(decoded(value["by"])),
    "absent": lambda value, decoded: decoded.absent(value["text"], value.get("values")),
}


def holds_absent(value: Any, for_good: bool = False) -> bool:
    """Whether an encoded value lacks a part; with `for_good` one that is no system or loss, which could be
    given when the file is read.
    """
    if isinstance(value, list):
        return any(holds_absent(part, for_good) for part in value)
    if not isinstance(value, dict):
        return False
    if value.get(MARK) == "absent":
        return not (for_good and "values" in value)
    return any(holds_absent(part, for_good) for part in value.values())


def _own_dataclasses(module: Any) -> Iterator[type]:
    for kind in vars(module).values():
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__.startswith(OWN):
            yield kind


for _module in (rules, schedules, systems):  # rules, schedules and noise models are dataclasses
    for _kind in _own_dataclasses(_module):
        storable(_kind)

"""Results in files: a compressed .npz of arrays with a JSON header that carries a schema number, no pickle.

Written by `samdyn.jobs.whole_files.write_file`, so that a file is complete or as it was before. The header
holds the kind of the result, its fields (`samdyn.results.encoding`) and a hash of everything else in the
file. A file is read if it is whole, of a known schema and of the kind asked for, has just the fields of the
result with their kinds of numbers, agrees with its hash, and is consistent (`Result._inconsistency`).
Whatever is wrong, it is one ValueError that names the file.

Schema 2 was the schema of exit times and convergence before results had a common base; it is read as well, as
is the earlier layout of basins (`samdyn.results.earlier_basins`).
"""

from __future__ import annotations

import collections.abc
import hashlib
import io
import json
import os
import sys
import types
import typing
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.jobs.whole_files import path_of, write_file
from samdyn.results.absent import Absent
from samdyn.results.earlier_basins import encoded_basins
from samdyn.results.encoding import (
    MARK,
    STORABLE,
    Decoder,
    arguments_of,
    besides_of,
    class_named,
    encoded_fields,
    fields_of,
)

SCHEMA = 3  # number of the file's layout; raised when the layout changes
READ = (2, 3)
"""Schemas that are read."""


def write(result: Any, path: str | os.PathLike[str]) -> None:
    """Write the fields of a result.

    Parameters
    ----------
    result : Result
    path : str or path-like
        The file, by the very name given: no ending is added.
    """
    arrays: dict[str, Array] = {}
    header: dict[str, Any] = {"schema": SCHEMA, "class": type(result).__name__}
    for name, value in encoded_fields(result, "", arrays).items():
        # an array has the name of its field, and needs no entry
        if not (isinstance(value, dict) and value == {MARK: "array", "name": name}):
            header[name] = value
    header = json.loads(json.dumps(header))  # as it comes back
    header["digest"] = _digest(header, arrays)
    text = np.array(json.dumps(header))
    # by an open file, since np.savez would append .npz to a name
    write_file(path, lambda file: np.savez_compressed(file, header=text, **arrays))  # type: ignore[arg-type]


def read(path: str | os.PathLike[str], kind: type | None = None, given: Any = None) -> Any:
    """The result that `write` wrote.

    Parameters
    ----------
    path : str or path-like
    kind : type, optional
        The class that the file must hold; any by default.
    given : System or Landscape, optional
        Stands where the file holds its text alone.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not such a file, one of another schema, or one that is damaged or was changed; or `given` is not what
        the result lacks.
    """
    path = path_of("path", path)
    wanted = "a result" if kind is None else kind.__name__
    # opened here, since np.load leaves a broken file open, and takes what is no archive for a pickle
    with open(path, "rb") as file:
        content = io.BytesIO(file.read())
    try:
        if not zipfile.is_zipfile(content):
            raise ValueError("it is no .npz archive")
        content.seek(0)
        with np.load(content, allow_pickle=False) as stored:
            arrays = {entry: stored[entry] for entry in stored.files}
        text = arrays.pop("header")
        of_basins = text.dtype == np.uint8  # their earlier layout
        header: dict[str, Any] = json.loads(bytes(text).decode() if of_basins else str(text))
        if not isinstance(header, dict):
            raise ValueError("its header is no dict")
    except Exception as error:  # whatever zip, zlib, numpy and JSON make of damaged bytes
        raise ValueError(
            f"path must be a file written by {'save' if kind is None else f'{wanted}.save'}, got "
            f"{os.fspath(path)!r}, which is damaged or something else ({type(error).__name__}: {error})"
        ) from error
    schema, digest = header.pop("schema", None), header.pop("digest", None)
    name = "kind" if schema == 2 else "class"
    told = "Basins" if of_basins else header.pop(name, None)
    made = class_named(told) if isinstance(told, str) else None
    if (
        schema not in READ
        or (kind is not None and told != wanted)
        or made is None
        or not hasattr(made, "besides")
    ):
        raise ValueError(
            f"path must hold {wanted} of schema {SCHEMA}, got another file: {os.fspath(path)!r} holds {told} "
            f"of schema {schema}"
        )
    decoder = Decoder(arrays, given)
    result, wrong = _made(made, header, decoder, of_basins)
    if not (wrong or of_basins) and digest != _digest({"schema": schema, name: told, **header}, arrays):
        wrong = "its content is not what was saved"
    if wrong:
        raise ValueError(f"path must hold a whole {told}, got {os.fspath(path)!r}, in which {wrong}")
    if given is not None and not decoder.used:
        raise ValueError(f"system must be {_what_is_missing(result, decoder)}")
    return result


def _what_is_missing(result: Any, decoder: Decoder) -> str:
    """What should have been given in place of what was."""
    got = f"got {decoder.given!r}"
    if decoder.another:
        return f"the one saved, {got}, which has its text and takes points elsewhere"
    lacking = absences(result)
    if lacking:
        return f"the one saved, {lacking[0]}, {got}"
    one = f"the one saved, {decoder.made[-1]!r}, or " if decoder.made else ""
    return f"{one}left out: the file holds all that it needs, {got}"


def absences(value: Any) -> list[str]:
    """The texts of what a result lacks since its file could not hold it."""
    if isinstance(value, Absent):
        return [value.text]
    if isinstance(value, tuple | list):
        parts = list(value)
    elif isinstance(value, dict):
        parts = list(value.values())
    elif STORABLE.get(type(value).__name__) is type(value):
        parts = [*fields_of(value).values(), *besides_of(value).values()]
    else:
        return []
    return list(dict.fromkeys(text for part in parts for text in absences(part)))


def _made(
    kind: type, header: Mapping[str, Any], decoder: Decoder, of_basins: bool = False
) -> tuple[Any, str]:
    """The result, and what is wrong with the file."""
    entries = arguments_of(kind)
    besides: tuple[str, ...] = kind.besides  # type: ignore[attr-defined]
    try:
        header = encoded_basins(dict(header), dict(decoder.arrays)) if of_basins else header
        values = {name: decoder(value) for name, value in header.items()}
    except Exception as error:  # a changed header may hold anything
        return None, f"fields cannot be read ({type(error).__name__}: {error})"
    if not of_basins:
        apart = {name for name in decoder.arrays if name.partition(".")[0] not in header}
        values |= {name: decoder.arrays[name] for name in apart}
    for name in values:
        if name not in entries and name not in besides:
            return None, f"there is {name!r}, which is no field"
    for name, needed in entries.items():
        if name not in values:
            if needed:
                return None, f"{name!r} is missing"
            continue
        hint = _hint(kind, name)
        if isinstance(values[name], list) and typing.get_origin(hint) is tuple:  # as schema 2 wrote tuples
            values[name] = tuple(values[name])
        if isinstance(values[name], float) and typing.get_origin(hint) is np.ndarray:
            values[name] = np.float64(values[name])  # what numpy makes of an array without axes
        if not _fits(values[name], hint):
            got = values[name]
            told = f"an array of {got.dtype}" if isinstance(got, np.ndarray) else f"{got!r:.60}"
            return None, f"{name!r} is {told}"
    try:
        wrong = kind._inconsistency(values)  # type: ignore[attr-defined]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        return None, f"fields do not fit together ({type(error).__name__}: {error})"
    if wrong:
        return None, wrong
    try:
        return kind(**kind._rebuilt(values)), ""  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        return None, f"fields do not fit together ({type(error).__name__}: {error})"


def _digest(header: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """A hash of all fields."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _hint(kind: type, name: str) -> Any:
    """The annotation of a field; Any where it names something that is imported for type checks alone."""
    for base in kind.__mro__:
        text = vars(base).get("__annotations__", {}).get(name)
        if text is None:
            continue
        if not isinstance(text, str):
            return text
        try:
            return eval(text, vars(sys.modules[base.__module__]))
        except NameError:
            return Any
    return Any


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value from a file is of an annotated kind."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(value, Absent):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is np.ndarray and isinstance(value, np.float64):
        return True
    if origin is np.ndarray:
        (scalar,) = typing.get_args(inner[1]) or (Any,)
        return isinstance(value, np.ndarray) and (scalar is Any or value.dtype.kind in _kinds(scalar))
    if origin in (tuple, list):
        if not isinstance(value, origin):
            return False
        if origin is tuple and inner and inner[-1] is not Ellipsis:
            return len(value) == len(inner) and all(map(_fits, value, inner))
        return all(_fits(part, inner[0]) for part in value)
    if origin is not None:
        return origin is collections.abc.Callable or isinstance(value, origin)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is complex:
        return isinstance(value, int | float | complex) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else value is None


def _kinds(scalar: type) -> str:
    """The kinds of numpy's dtypes that an annotation of entries allows."""
    if scalar is np.bool_:
        return "b"
    if issubclass(scalar, np.integer):
        return "iu"
    if issubclass(scalar, np.str_):
        return "U"
    return "fc" if issubclass(scalar, np.complexfloating) else "f"

"""Results in files: a compressed .npz of arrays with a JSON header that carries a schema number, no pickle.

Written by `samdyn.compute.files.write_file`, so that a file is complete or as it was before.


The header holds a hash of everything else in the file. A file is read if it is whole, of this schema and of
the kind asked for, has just the fields of the result with their kinds of numbers, agrees with its hash, and
is consistent: see `samdyn.escape.result_checks`. Whatever is wrong, it is one ValueError that names the file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from samdyn.compute.files import path_of, write_file
from samdyn.escape.result_checks import consistent

SCHEMA = 2


def write(result: Any, path: str | os.PathLike[str]) -> None:
    """Write the fields of a dataclass."""
    header: dict[str, Any] = {"schema": SCHEMA, "kind": type(result).__name__}
    arrays = {}
    for entry in dataclasses.fields(result):
        value = getattr(result, entry.name)
        if isinstance(value, np.ndarray):
            arrays[entry.name] = value
        else:
            header[entry.name] = value
    header = json.loads(json.dumps(header))  # as it comes back
    header["digest"] = _digest(header, arrays)
    text = np.array(json.dumps(header))
    # by an open file, since np.savez would append .npz to a name
    write_file(path, lambda file: np.savez_compressed(file, header=text, **arrays))  # type: ignore[arg-type]


def read(path: str | os.PathLike[str], kind: type) -> dict[str, Any]:
    """Read the fields that `write` wrote, of a dataclass.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not such a file, one of another schema, or one that is damaged or was changed.
    """
    path = path_of("path", path)
    name = kind.__name__
    try:
        # opened here, since np.load leaves a broken file open
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            header: dict[str, Any] = json.loads(str(stored["header"]))
            arrays = {entry: stored[entry] for entry in stored.files if entry != "header"}
            told, schema, digest = (header.pop(key, None) for key in ("kind", "schema", "digest"))
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # whatever zip, zlib, numpy and JSON make of damaged bytes
        raise ValueError(
            f"path must be a file written by {name}.save, got {os.fspath(path)!r}, which is damaged or "
            f"something else ({type(error).__name__}: {error})"
        ) from error
    if told != name or schema != SCHEMA:
        raise ValueError(
            f"path must hold {name} of schema {SCHEMA}, got another file: {os.fspath(path)!r} holds {told} "
            f"of schema {schema}"
        )
    values = {**header, **arrays}
    wrong = _fields(kind, values) or consistent(name, values)
    if not wrong and digest != _digest({"schema": schema, "kind": told, **header}, arrays):
        wrong = "its content is not what was saved"
    if wrong:
        raise ValueError(f"path must hold a whole {name}, got {os.fspath(path)!r}, in which {wrong}")
    return values


def _digest(header: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """A hash of all fields."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _fields(kind: type, values: Mapping[str, Any]) -> str:
    """What is wrong with the names and kinds of fields, or nothing."""
    entries = {entry.name: entry for entry in dataclasses.fields(kind)}
    for name in values:
        if name not in entries:
            return f"there is {name!r}, which is no field"
    hints = typing.get_type_hints(kind)
    for name, entry in entries.items():
        if name not in values:
            if entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
                return f"{name!r} is missing"
        elif not _fits(values[name], hints[name]):
            got = values[name]
            told = f"an array of {got.dtype}" if isinstance(got, np.ndarray) else f"{got!r:.60}"
            return f"{name!r} is {told}"
    return ""


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value from a file is of an annotated kind; JSON has lists for tuples."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is np.ndarray:
        (scalar,) = typing.get_args(inner[1]) or (Any,)
        wanted = "b" if scalar is np.bool_ else "iu" if _is(scalar, np.integer) else "f"
        return isinstance(value, np.ndarray) and (scalar is Any or value.dtype.kind in wanted)
    if origin in (tuple, list):
        return isinstance(value, list | tuple) and all(_fits(part, inner[0]) for part in value)
    if origin is dict:
        return isinstance(value, dict)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else value is None


def _is(scalar: Any, base: type) -> bool:
    return isinstance(scalar, type) and issubclass(scalar, base)

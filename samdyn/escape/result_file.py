"""Results in files: a compressed .npz of arrays with a JSON header that carries a schema number, no pickle.

Written by `samdyn.compute.files.write_file`, so that a file is complete or as it was before.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import numpy as np

from samdyn.compute.files import path_of, write_file

SCHEMA = 1


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
    text = np.array(json.dumps(header))
    # by an open file, since np.savez would append .npz to a name
    write_file(path, lambda file: np.savez_compressed(file, header=text, **arrays))  # type: ignore[arg-type]


def read(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Read the fields that `write` wrote, of a dataclass of this name.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not such a file, or one of another schema.
    """
    path = path_of("path", path)
    try:
        # opened here, since np.load leaves a broken file open
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            header: dict[str, Any] = json.loads(str(stored["header"]))
            arrays = {name: stored[name] for name in stored.files if name != "header"}
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"path must be a file written by {kind}.save, got {os.fspath(path)!r}: {error}"
        ) from error
    if header.pop("kind", None) != kind or header.pop("schema", None) != SCHEMA:
        raise ValueError(f"path must hold {kind} of schema {SCHEMA}, got another file: {os.fspath(path)!r}")
    return {**header, **arrays}

"""Checkpoints: the state of a long job in a file that survives the death of its process.

Format
------
One npz file: arrays without pickled objects, and a JSON header with a schema number, the description of the
job, numbers that belong to the state, and a hash of all of it. The archive carries a CRC-32 of every member,
which is checked when the file is read, and so is the hash: a member of another file in an archive that is
whole is noticed.

The file is written by `samdyn.jobs.whole_files.write_file`, beside its place and then renamed over it:
whenever the process dies, the file at the path is whole, the new one or the one before. It is written at most
every `EVERY` seconds.

A job is described by a dict of numbers and strings that name all that its numbers depend on. A file whose
description differs belongs to another job, and is refused before any work.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.jobs.whole_files import write_file

SCHEMA = 3  # number of the file's layout; raised when the layout changes
FORMAT = "samdyn checkpoint"
EVERY = 30.0  # seconds

Arrays = dict[str, npt.NDArray[Any]]


class Checkpoint:
    """A checkpoint file of a job.

    Parameters
    ----------
    path : str or path-like
        The file. An existing one is read here.
    job : dict
        Description of the job, as JSON.
    every : float, optional
        Shortest time between two writes, in seconds; `EVERY` by default.

    Attributes
    ----------
    meta : dict or None
        Numbers of the saved state; None where there is no file yet.
    arrays : dict of str to ndarray
        Arrays of the saved state.

    Raises
    ------
    TypeError, ValueError
        The path cannot be a file, or the file is damaged, of another schema or of another job.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> name = folder.name + "/job.npz"
    >>> Checkpoint(name, {"seed": 1}).write({"step": 8}, {"x": np.arange(3)})
    >>> saved = Checkpoint(name, {"seed": 1})
    >>> saved.meta, saved.arrays["x"]
    ({'step': 8}, array([0, 1, 2]))
    >>> folder.cleanup()
    """

    def __init__(
        self, path: str | os.PathLike[str], job: Mapping[str, Any], every: float | None = None
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"checkpoint must be the path of a file, got {path!r}")
        self.path = Path(path)
        self.job = json.loads(json.dumps(dict(job)))  # as it comes back from the file
        self.every = EVERY if every is None else every
        if self.path.is_dir() or not self.path.parent.is_dir():
            what = "is a folder" if self.path.is_dir() else f"lies in a folder {str(self.path.parent)!r}"
            end = "" if self.path.is_dir() else " that does not exist"
            raise ValueError(f"checkpoint must be the path of a file, got {str(path)!r}, which {what}{end}")
        self.meta: dict[str, Any] | None = None
        self.arrays: Arrays = {}
        if self.path.exists():
            self.meta, self.arrays = self._read()
        self.written = time.monotonic()

    def _read(self) -> tuple[dict[str, Any], Arrays]:
        name = f"checkpoint {str(self.path)!r}"
        with self.path.open("rb") as file:
            try:
                with np.load(file, allow_pickle=False) as data:
                    header = json.loads(bytes(data["header"]).decode())
                    arrays = {key: data[key] for key in data.files if key != "header"}
                known = header["format"] == FORMAT and sorted(arrays) == header["arrays"]
                schema, job, meta = header["schema"], dict(header["job"]), dict(header["meta"])
                if known and schema == SCHEMA and header["digest"] != _digest(job, meta, arrays):
                    raise ValueError("its content is not what was written")
            except Exception as error:  # whatever zip, numpy and JSON make of damaged bytes
                raise ValueError(
                    f"{name} must be a whole checkpoint file, got one that is damaged, cut short or "
                    f"something else ({type(error).__name__}: {error}): give another path, or, if it was a "
                    "checkpoint, delete it to start afresh"
                ) from error
        if not known:
            raise ValueError(f"{name} must be a checkpoint file, got another file: give another path")
        if schema != SCHEMA:
            raise ValueError(
                f"{name} must be of schema {SCHEMA}, got {schema!r}: "
                "it was written by another version of samdyn"
            )
        for key in [*self.job, *(key for key in job if key not in self.job)]:
            there, here = job.get(key), self.job.get(key)
            if there != here:
                raise ValueError(
                    f"{name} must belong to this job, got one of another: {key} is {there!r} in the file and "
                    f"{here!r} here; give another path, or delete the file to start afresh"
                )
        return meta, arrays

    def damaged(self, why: str) -> ValueError:
        """The error for a state that is not consistent."""
        return ValueError(
            f"checkpoint {str(self.path)!r} must hold the state of this job, got one in which {why}: "
            "delete it to start afresh"
        )

    def due(self) -> bool:
        """Whether the last write is long enough ago."""
        return time.monotonic() - self.written >= self.every

    def write(self, meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Replace the file by a state."""
        state = json.loads(json.dumps(dict(meta)))
        header = {
            "format": FORMAT,
            "schema": SCHEMA,
            "arrays": sorted(arrays),
            "job": self.job,
            "meta": state,
            "digest": _digest(self.job, state, arrays),
        }
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        write_file(self.path, lambda file: np.savez(file, header=text, **arrays))  # type: ignore[arg-type]
        self.written = time.monotonic()


def _digest(job: Mapping[str, Any], meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """A hash of a description and a state."""
    digest = hashlib.sha256(json.dumps([job, meta], sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {np.shape(arrays[name])}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

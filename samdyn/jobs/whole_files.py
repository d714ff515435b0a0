"""Results and checkpoints written to disk so that a file is whole or as it was before.

Algorithm of `write_file`
-------------------------
1. The path is read by `os.fspath`: a number, which the system would take for an open file, is refused.
2. A path that leads to a regular file or to nothing gets a new file beside its place, in the same folder,
   which is filled, flushed to the disk (fsync) and renamed over it. If anything fails on the way, a full disk
   for example, the new file is removed and the old one is untouched. A symbolic link stays a link: the file
   that it points to is replaced. The new file has the permissions of the old one.
3. What is no regular file, such as a pipe or ``/dev/null``, cannot be replaced by a rename, which would
   put a regular file where the device was: its bytes are made in memory and written to it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from typing import IO, Any

STALE_SECONDS = 3600.0  # no file takes an hour to write


def path_of(name: str, path: Any) -> str:
    """The path as a string, or an error that names the argument.

    Examples
    --------
    >>> path_of("path", "basins.npz")
    'basins.npz'
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be the path of a file, a str or os.PathLike, got {path!r}")
    text = os.fsdecode(os.fspath(path))
    if not text or "\0" in text:
        raise ValueError(f"{name} must be the path of a file, got {path!r}")
    return text


def write_file(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Write a file as a whole: it holds all that `write` gives, or what it held before.

    Parameters
    ----------
    path : str or path-like
        The file.
    write : callable
        Called once with a binary file that is open for writing and can be sought in.

    Raises
    ------
    TypeError, ValueError
        `path` is not a path.
    OSError
        The folder does not exist, the disk is full, and so on: the file is as it was before.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     name = os.path.join(folder, "note")
    ...     write_file(name, lambda file: file.write(b"text"))
    ...     with open(name, "rb") as file:
    ...         file.read()
    b'text'
    """
    place = os.path.realpath(path_of("path", path))
    mode = None
    try:
        status = os.stat(place)
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(f"path must be the path of a file, got the folder {place!r}")
        if not stat.S_ISREG(status.st_mode):
            _write_directly(place, write)
            return
        mode = stat.S_IMODE(status.st_mode)
    folder, name = os.path.split(place)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"path must be in a folder that exists, got {os.fspath(path)!r}: make it first"
        )
    beside = os.path.join(folder, f"{name[:200]}.{secrets.token_hex(4)}.part")
    # created with the permissions of any new file, less those that the umask takes away
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            with contextlib.suppress(OSError):  # a file of another owner keeps the permissions of a new one
                os.chmod(beside, mode)
        os.replace(beside, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    _flush_folder(folder)
    _sweep(folder, name)


def _sweep(folder: str, name: str) -> None:
    """Remove what processes that were killed while they wrote this file left beside it."""
    left = re.compile(re.escape(name[:200]) + r"(\.[0-9a-f]{8})?\.part")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not left.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                continue
            # a young file with a name of its own may be one that another process is writing
            old = time.time() - entry.stat().st_mtime > STALE_SECONDS
            if old or entry.name == f"{name[:200]}.part":
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _write_directly(place: str, write: Callable[[IO[bytes]], object]) -> None:
    memory = io.BytesIO()  # an archive of arrays is sought in while it is written, which a pipe cannot be
    write(memory)
    with open(place, "wb", buffering=0) as file:
        rest = memoryview(memory.getbuffer())
        while len(rest):
            rest = rest[file.write(rest) :]


def _flush_folder(folder: str) -> None:
    """Make a rename durable, where folders can be flushed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

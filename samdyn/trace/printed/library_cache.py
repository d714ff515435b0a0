"""Compiled libraries on disk: which files are trusted, and how long they stay.

A library is loaded into this process, so that whoever can write it can run anything here, and a file that a
crash has cut short kills the interpreter. A file is therefore used only if

1. its directory belongs to this user and nobody else may write to it; directories that are missing are made
   so, whatever the umask;
2. the file is a regular file, no symbolic link, belongs to this user, and nobody else may write to it;
3. its length and SHA-256 hash are those in the file beside it, which is written after it.

Both are flushed to the disk under another name and then renamed. Files that were not used for `KEPT_DAYS`
days are removed, the oldest ones also while all together are larger than `KEPT_BYTES`, and so are folders of
compilations that died.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["directory", "is_whole", "put", "sweep", "working_folder"]

KEPT_DAYS = 90.0  # files that were not used for so long are removed
KEPT_BYTES = 64 << 20  # about 2700 losses
DEAD_AFTER = 3600.0  # seconds after which a folder of a compilation has no owner any more
DEAD_PASSING_AFTER = 7 * 86400.0  # the same for a directory of one process, which may run for days

_LIBRARY = re.compile(r"[0-9a-f]{32}\.(so|sha256)")
_MAKING, _PASSING = "making-", "samdyn-libraries-"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@functools.cache
def directory() -> Path:
    """Where libraries are kept: $SAMDYN_CACHE or the user's cache directory if this user alone can write to
    it, else a directory that lasts as long as the process.
    """
    base = os.environ.get("SAMDYN_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "samdyn")
    path = Path(base)
    try:
        if base.startswith("~"):  # a user without a home
            raise OSError(f"there is no {base}")
        _make(path)
        about = path.stat()
        private = about.st_uid == os.getuid() and not about.st_mode & _OTHERS_WRITE
        if private and stat.S_ISDIR(about.st_mode) and os.access(path, os.W_OK | os.X_OK):
            return path.absolute()  # the working directory may change
    except OSError:
        pass
    passing = tempfile.mkdtemp(prefix=_PASSING)
    atexit.register(shutil.rmtree, passing, ignore_errors=True)
    return Path(passing)


def _make(path: Path) -> None:
    """Make a directory and those above it that are missing, for this user alone."""
    if path.exists():
        return
    if path.parent != path:
        _make(path.parent)
    with contextlib.suppress(FileExistsError):  # another process was faster
        path.mkdir(mode=0o700)
        path.chmod(0o700)  # a umask may have taken away too much


def is_whole(path: Path) -> bool:
    """Whether a library is there, belongs to this user alone, and is what was written.

    Examples
    --------
    >>> is_whole(Path("/no/such/library.so"))
    False
    """
    try:
        told = _read(path.with_suffix(".sha256")).decode("ascii").split()
        data = _read(path)
    except (OSError, UnicodeDecodeError):
        return False
    if told != [str(len(data)), hashlib.sha256(data).hexdigest()]:
        return False
    with contextlib.suppress(OSError):  # used now; many systems do not note that themselves
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    return True


def _read(path: Path) -> bytes:
    """The bytes of a regular file that belongs to this user and that nobody else may write to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & _OTHERS_WRITE:
            raise PermissionError(f"{path} is not a file of this user alone")
        return file.read()


@contextlib.contextmanager
def working_folder(beside: Path) -> Iterator[Path]:
    """A folder for a compilation, in the directory of the library to be made."""
    _make(beside.parent)  # emptied by somebody meanwhile, perhaps
    with tempfile.TemporaryDirectory(dir=beside.parent, prefix=_MAKING, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def put(made: Path, path: Path) -> None:
    """Move a finished library to its place, and write beside it what it must be."""
    made.chmod(0o700)
    with made.open("rb+") as file:
        data = file.read()
        os.fsync(file.fileno())
    told = made.with_suffix(".sha256")
    with told.open("w", encoding="ascii") as file:
        file.write(f"{len(data)} {hashlib.sha256(data).hexdigest()}\n")
        file.flush()
        os.fsync(file.fileno())
    told.chmod(0o600)
    os.replace(made, path)
    os.replace(told, path.with_suffix(".sha256"))
    with contextlib.suppress(OSError):  # where folders can be flushed
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(kept: Path) -> None:
    """Remove libraries that were not used for long or are too many, and folders that dead processes left.

    Parameters
    ----------
    kept : Path
        A library that stays; its directory is swept.
    """
    now, files = time.time(), []
    with contextlib.suppress(OSError):
        for entry in os.scandir(kept.parent):
            with contextlib.suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if entry.name.startswith(_MAKING) and now - about.st_mtime > DEAD_AFTER:
                    shutil.rmtree(entry.path, ignore_errors=True)
                elif _LIBRARY.fullmatch(entry.name):
                    files.append((max(about.st_atime, about.st_mtime), about.st_size, Path(entry.path)))
    total = sum(size for _, size, _ in files)
    for used, size, path in sorted(files):
        if path.stem == kept.stem or path.suffix != ".so":
            continue
        if now - used > KEPT_DAYS * 86400 or total > KEPT_BYTES:
            for part in (path, path.with_suffix(".sha256")):
                with contextlib.suppress(OSError):
                    part.unlink()
            total -= size
    for folder in Path(tempfile.gettempdir()).glob(_PASSING + "*"):
        with contextlib.suppress(OSError):
            about = folder.lstat()
            own = about.st_uid == os.getuid() and stat.S_ISDIR(about.st_mode)
            if own and now - about.st_mtime > DEAD_PASSING_AFTER:
                shutil.rmtree(folder, ignore_errors=True)

"""C++ source to a loaded library.

The compiler is $CXX, g++ or clang++, whichever is found first. A library is kept in the user's cache
directory under the hash of all that it depends on: the source, the compiler and its version, the flags and
the processor. A second process, or a second session, loads it in a millisecond; compiling takes about half
a second. $SAMDYN_CACHE is a directory to keep them in instead. Where there is none that this user alone can
write to, libraries last as long as the process.

The file is written under another name and renamed, so that processes that compile the same source at the same
time do not see each other's halves. Whatever goes wrong, a full disk, a compiler that does not run, is a
`CompilationError`.

Not on Windows: what is compiled there keeps vectors on the stack out of alignment (GCC) or exports no
functions (MSVC).
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

__all__ = ["CompilationError", "compiler", "load_library"]

# square roots that set errno and traps would keep loops scalar
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-w")
# the instructions of this machine
X86, ARM = ("-march=native", "-mprefer-vector-width=512"), ("-mcpu=native",)
MACHINE = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}


class CompilationError(RuntimeError):
    """The compiler is there, but does not compile the source or what it makes cannot be loaded."""


@functools.cache
def compiler() -> tuple[str, ...] | None:
    """The command of a C++ compiler, or None."""
    if os.name == "nt":
        return None
    try:
        named = shlex.split(os.environ.get("CXX", ""))
    except ValueError:  # a quotation that does not end
        named = []
    if named and shutil.which(named[0]):
        return tuple(named)
    return next(((name,) for name in ("g++", "clang++", "c++") if shutil.which(name)), None)


@functools.lru_cache(maxsize=256)
def load_library(source: str) -> ctypes.CDLL:
    """The library that a C++ source defines, compiled or from the cache.

    Parameters
    ----------
    source : str

    Returns
    -------
    ctypes.CDLL
        A call of its functions does not hold Python's interpreter lock.

    Raises
    ------
    CompilationError
        There is no compiler, it fails, there is nowhere to put what it makes, or that cannot be loaded.

    Examples
    --------
    >>> answer = load_library('extern "C" int answer() { return 42; }').answer  # doctest: +SKIP
    """
    command = compiler()
    if command is None:
        raise CompilationError("there is no C++ compiler: install g++ or clang++, or set CXX")
    try:
        path = _path(command, source)
        if path.exists():
            try:
                return ctypes.CDLL(str(path))
            except OSError:  # cut short, or of a machine that lacks a library: made anew
                pass
        _compile(command, source, path)
    except OSError as error:
        raise CompilationError(f"{shlex.join(command)} cannot be run, or not here: {error}") from error
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilationError(f"the compiled library cannot be loaded: {error}") from error


def _path(command: tuple[str, ...], source: str) -> Path:
    """Where the library of a source is kept."""
    identity = "\0".join([source, *command, *_flags(), _version(command), _processor()])
    return _directory() / (hashlib.sha256(identity.encode()).hexdigest()[:32] + ".so")


def _compile(command: tuple[str, ...], source: str, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # emptied by somebody meanwhile, perhaps
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made, text = Path(folder) / "made.so", Path(folder) / "source.cpp"
        text.write_text(source, encoding="utf-8")
        done = subprocess.run(
            [*command, *_flags(), str(text), "-o", str(made), "-lm"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise CompilationError(f"{shlex.join(command)} failed: {done.stderr.strip()[:2000]}")
        os.replace(made, path)


def _flags() -> tuple[str, ...]:
    return (*FLAGS, *MACHINE.get(platform.machine().lower(), ()))


@functools.cache
def _version(command: tuple[str, ...]) -> str:
    told = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, errors="replace", check=False
    )
    return told.stdout


@functools.cache
def _processor() -> str:
    """What tells the instruction set of this processor: a cache may be shared by different machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(told)))


@functools.cache
def _directory() -> Path:
    """Where libraries are kept: a directory of this user that is not open to all."""
    base = os.environ.get("SAMDYN_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "samdyn")
    path = Path(base)
    try:
        if base.startswith("~"):  # a user without a home
            raise OSError(f"there is no {base}")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = path.stat()
        own = about.st_uid == os.getuid() and not about.st_mode & stat.S_IWOTH
        if own and os.access(path, os.W_OK | os.X_OK):
            return path.absolute()  # the working directory may change
    except OSError:
        pass
    passing = tempfile.mkdtemp(prefix="samdyn-")
    atexit.register(shutil.rmtree, passing, ignore_errors=True)
    return Path(passing)

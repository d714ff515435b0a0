"""C++ source to a loaded library.

The compiler is $CXX, g++ or clang++, whichever is found first. A library is kept in the user's cache
directory under the hash of all that it depends on: the source, the compiler and its version, the flags and
the processor. A second process, or a second session, checks and loads it in a millisecond; compiling takes
about half a second. $SAMDYN_CACHE is a directory to keep them in instead. Where there is none that this user
alone can write to, libraries last as long as the process. Which files are trusted, and for how long they are
kept, is in `samdyn.trace.printed.library_cache`.

The compiler has `LIMIT` seconds; then it is ended with all that it started, and not asked again in this
process. Whatever goes wrong, a full disk, a compiler that does not run or does not end, is a
`CompilationError`.

Not on Windows: what is compiled there keeps vectors on the stack out of alignment (GCC) or exports no
functions (MSVC).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from samdyn.trace.printed import library_cache

__all__ = ["CompilationError", "compiler", "load_library"]

# square roots that set errno and traps would keep loops scalar
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-w")
# the instructions of this machine
X86, ARM = ("-march=native", "-mprefer-vector-width=512"), ("-mcpu=native",)
MACHINE = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}


LIMIT = 240.0
"""Seconds that a compiler may take; the longest sources take ten, and many times that on a busy machine."""

_hanging: set[tuple[str, ...]] = set()  # compilers that did not end in time


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
    if command in _hanging:
        raise CompilationError(f"{shlex.join(command)} did not end within {LIMIT:g} s before")
    try:
        path = _path(command, source)
        if library_cache.is_whole(path):
            try:
                return ctypes.CDLL(str(path))
            except OSError:  # of a machine that lacks a library: made anew
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
    name = hashlib.sha256(identity.encode()).hexdigest()[:32] + ".so"
    return library_cache.directory() / name


def _compile(command: tuple[str, ...], source: str, path: Path) -> None:
    with library_cache.working_folder(path) as folder:
        made, text = folder / "made.so", folder / "source.cpp"
        text.write_text(source, encoding="utf-8")
        code, told = _run(command, [*_flags(), str(text), "-o", str(made), "-lm"])
        if code:
            raise CompilationError(f"{shlex.join(command)} failed: {told.strip()[:2000]}")
        library_cache.put(made, path)
    library_cache.sweep(path)


def _run(command: tuple[str, ...], arguments: Sequence[str]) -> tuple[int, str]:
    """Exit code and all output of the compiler."""
    # into a file: a grandchild that stays alive would keep a pipe open
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a compiler starts others, which are ended with it
        )
        try:
            code = process.wait(LIMIT)
        except subprocess.TimeoutExpired as error:
            _hanging.add(command)
            raise CompilationError(f"{shlex.join(command)} did not end within {LIMIT:g} s") from error
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):  # it ended just now
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _flags() -> tuple[str, ...]:
    return (*FLAGS, *MACHINE.get(platform.machine().lower(), ()))


@functools.cache
def _version(command: tuple[str, ...]) -> str:
    return _run(command, ["--version"])[1]


@functools.cache
def _processor() -> str:
    """What tells the instruction set of this processor: a cache may be shared by different machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(told)))

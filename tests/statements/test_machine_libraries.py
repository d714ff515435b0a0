"""Compiled libraries on disk: only whole files of this user alone are loaded, and a compiler has a limit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import samdyn as sd
from samdyn.escape.kernel import sweep_native as native_sweep
from samdyn.trace.printed import compiling as native
from samdyn.trace.printed import library_cache
from samdyn.trace.printed.compiling import CompilationError, compiler, load_library

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache; what is known about compiler and cache is forgotten, also afterwards."""
    known = (library_cache.directory, native.compiler, native._version, load_library, native_sweep._compiled)
    monkeypatch.setenv("SAMDYN_CACHE", str(tmp_path / "kept"))
    for function in known:
        function.cache_clear()
    native._hanging.clear()
    yield tmp_path / "kept"
    monkeypatch.undo()
    for function in known:
        function.cache_clear()
    native._hanging.clear()


def answer(number: int) -> str:
    return f'extern "C" int answer() {{ return {number}; }}'


def place(source: str) -> Path:
    command = compiler()
    assert command is not None
    return native._path(command, source)


def made(source: str) -> Path:
    """A library in the cache that this process has not loaded."""
    command = compiler()
    assert command is not None
    native._compile(command, source, place(source))
    return place(source)


@needs_compiler
def test_damaged_libraries_are_made_anew(cache: Path) -> None:
    """A file that is cut short, or has one bit flipped, is not loaded: it would end the interpreter or give
    other numbers. The right value is the answer of the source, from a library that is made again.
    """
    source = answer(42)
    path = made(source)
    whole = path.read_bytes()
    assert library_cache.is_whole(path)
    rng = np.random.default_rng(0)
    damaged = [whole[: int(share * len(whole))] for share in rng.random(20)]
    for bit in rng.integers(8 * len(whole), size=40):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(changed))
    for content in [*damaged, b"", whole + b"\0"]:
        path.write_bytes(content)
        assert not library_cache.is_whole(path)
    assert load_library(source).answer() == 42
    assert path.read_bytes() == whole
    path.with_suffix(".sha256").unlink()
    assert not library_cache.is_whole(path)


@needs_compiler
@pytest.mark.parametrize("planted", ["link", "open to a group", "a folder", "a pipe", "another owner"])
def test_planted_libraries_are_not_loaded(
    planted: str, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that another user could have put there or can change is not loaded, even where its hash fits."""
    source = answer(43)
    path, other = made(source), made(answer(7))
    told = path.with_suffix(".sha256")
    if planted == "link":
        kept = tmp_path / "elsewhere.so"
        path.replace(kept)
        path.symlink_to(kept)
    elif planted == "open to a group":
        path.write_bytes(other.read_bytes())
        told.write_bytes(other.with_suffix(".sha256").read_bytes())
        path.chmod(0o770)
    elif planted == "another owner":
        path.write_bytes(other.read_bytes())
        told.write_bytes(other.with_suffix(".sha256").read_bytes())
        own = os.getuid()
        monkeypatch.setattr(library_cache.os, "getuid", lambda: own + 1)
    else:
        path.unlink()
        path.mkdir() if planted == "a folder" else os.mkfifo(path)
    assert not library_cache.is_whole(path)
    if planted == "a folder":
        with pytest.raises(CompilationError):
            load_library(source)
    elif planted != "another owner":
        assert load_library(source).answer() == 43


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write_to_is_not_used(mode: int, cache: Path) -> None:
    """A group that may write to the directory can plant a library there: another directory is used."""
    cache.mkdir()
    cache.chmod(mode)
    found = library_cache.directory()
    assert found != cache
    assert found.name.startswith("samdyn-")
    assert found.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o277])
def test_directories_are_made_for_this_user_alone(
    umask: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All directories that are missing get mode 0700, whatever the umask."""
    monkeypatch.setenv("SAMDYN_CACHE", str(cache / "one" / "two"))
    before = os.umask(umask)
    try:
        assert library_cache.directory() == cache / "one" / "two"
    finally:
        os.umask(before)
    for folder in (cache, cache / "one", cache / "one" / "two"):
        assert folder.stat().st_mode & 0o777 == 0o700


def script(path: Path, text: str) -> None:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def exits(**options: object) -> np.ndarray:
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.1, noise=sd.GaussianNoise(5.0))
    region = sd.HalfSpace([1.0], 0.0)
    return sd.exit_times(sde, [-1.0], region, 20, t_max=2.0, device="cpu", **options).watched  # type: ignore[arg-type]


@pytest.mark.parametrize("hangs", ["at once", "behind its version"])
def test_a_compiler_that_hangs(
    hangs: str, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A compiler that does not end is ended, with what it started, and the job runs without it; a second job
    does not wait for it again.
    """
    pid = tmp_path / "pid"
    version = "" if hangs == "at once" else 'if [ "$1" = --version ]; then echo 1; exit; fi\n'
    script(tmp_path / "cxx", f"{version}sleep 600 &\necho $! > {pid}\nwait\n")
    monkeypatch.setenv("CXX", str(tmp_path / "cxx"))
    monkeypatch.setattr(native, "LIMIT", 0.5)
    with pytest.warns(RuntimeWarning, match="without being compiled: .* did not end within 0.5 s"):
        found = exits(compile=True)
    np.testing.assert_array_equal(found, exits(compile=False))
    for _ in range(100):
        state = Path(f"/proc/{pid.read_text().strip()}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.02)
    else:
        pytest.fail("what the compiler started is still there")
    start = time.perf_counter()
    with pytest.warns(RuntimeWarning, match="did not end within 0.5 s before"):
        load = exits(compile=True)
    assert time.perf_counter() - start < 30.0
    np.testing.assert_array_equal(load, found)
    assert not list(cache.glob("making-*"))


@needs_compiler
def test_a_library_without_its_function(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A compiler that makes a library without the function: the job runs without it."""
    command = compiler()
    assert command is not None
    empty = tmp_path / "empty.cpp"
    empty.write_text("int nothing;")
    script(
        tmp_path / "cxx", f'[ "$1" = --version ] && exit 0\n{command[0]} -shared -fPIC {empty} -o "${{9}}"\n'
    )
    monkeypatch.setattr(native, "_flags", lambda: ("-O0",) * 6)  # so that the output is the ninth argument
    monkeypatch.setenv("CXX", str(tmp_path / "cxx"))
    native.compiler.cache_clear()
    with pytest.warns(RuntimeWarning, match="without being compiled: .*no function `sweep`"):
        found = exits(compile=True)
    np.testing.assert_array_equal(found, exits(compile=False))


def test_the_cache_is_swept(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Libraries that were not used for 90 days go, the oldest also when all together are too large, and so do
    the folders of compilations that died; files of other names stay.
    """
    cache.mkdir()
    now = time.time()

    def file(name: str, days: float, size: int = 10) -> Path:
        path = cache / name
        path.write_bytes(b"x" * size)
        os.utime(path, (now - days * 86400,) * 2)
        return path

    old, recent, kept = (file(f"{i}" * 32 + ".so", days) for i, days in enumerate((100, 1, 200)))
    beside, foreign = file("0" * 32 + ".sha256", 100), file("notes.txt", 1000)
    dead, alive = cache / "making-dead", cache / "making-alive"
    dead.mkdir()
    alive.mkdir()
    os.utime(dead, (now - 7200,) * 2)
    library_cache.sweep(kept)
    assert not old.exists()
    assert not beside.exists()
    assert not dead.exists()
    assert all(path.exists() for path in (recent, kept, foreign, alive))
    monkeypatch.setattr(library_cache, "KEPT_BYTES", 100)
    some = [file(f"{i}" * 32 + ".so", 10 - i, 40) for i in range(3, 9)]
    library_cache.sweep(kept)
    assert [path.exists() for path in some] == [False] * 4 + [True] * 2

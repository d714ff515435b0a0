"""Printed C++: every operator, special values, random numbers, and machines with narrower registers."""

from __future__ import annotations

import ctypes
import errno
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samdyn.numerics.power_of_2 import power_of_two
from samdyn.numerics.random import normals_from_bits, philox4x32, spare_uniform, split_seed
from samdyn.trace.printed import compiling as native
from samdyn.trace.printed import library_cache
from samdyn.trace.printed.compiling import compiler, load_library
from samdyn.trace.printed.cpp import LANES, cpp_function, lanes_header
from samdyn.trace.scalar_graph import OPERATORS
from samdyn.trace.tracing import coordinate_form

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
Array = np.ndarray[Any, Any]
DTYPES = {"single": torch.float32, "double": torch.float64}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -3.25, 1e-30, 1e30, math.inf, -math.inf, math.nan]


def run(source: str, arrays: list[Array], n_outputs: int) -> list[Array]:
    """Call `apply(n, inputs, outputs)` of a library with arrays of one length."""
    outputs = [np.empty_like(arrays[0]) for _ in range(n_outputs)]
    pointers = [(ctypes.c_void_p * len(a))(*(x.ctypes.data for x in a)) for a in (arrays, outputs)]
    load_library(source).apply(ctypes.c_int64(len(arrays[0])), *pointers)
    return outputs


def pointwise(function: Callable[[torch.Tensor], torch.Tensor], x: Array) -> Array:
    """The printed function at points (dim, n): values (outputs, n)."""
    form = coordinate_form(function, len(x))
    outputs = len(form(*torch.zeros(len(x), 1, dtype=torch.float64)))
    dtype = torch.float32 if x.dtype == np.float32 else torch.float64
    source = "\n".join(
        [
            lanes_header(dtype),
            cpp_function(
                form,
                "f",
                [f"x[{i}]" for i in range(len(x))],
                "const Vector *x, Vector *y",
                [f"y[{i}]" for i in range(outputs)],
            ),
            'extern "C" void apply(int64_t n, REAL *const *in, REAL *const *out) {',
            f"  Vector x[{len(x)}], y[{outputs}];",
            "  for (int64_t i = 0; i < n; i += LANES) {",
            f"    for (int d = 0; d < {len(x)}; d++) x[d] = load<Vector>(in[d] + i, n - i);",
            "    f(x, y);",
            f"    for (int d = 0; d < {outputs}; d++) store(y[d], out[d] + i, n - i);",
            "  }",
            "}",
        ]
    )
    return np.array(run(source, [np.ascontiguousarray(row) for row in x], outputs))


def everything(w: torch.Tensor) -> torch.Tensor:
    """All operators of traced graphs."""
    a, b = w[0], w[1]
    p = a.abs() + 0.1
    return torch.stack(
        [
            a + b, a - b, a * b, a / b, 1.5 - a, -a, 1 / a, a.abs(), a.sqrt(), 1 / p.sqrt(), p.rsqrt(),
            a.exp(), a.expm1(), p.log(), p.log1p(), a.sin(), a.cos(), a.tan(), a.sinh(), a.cosh(), a.tanh(),
            (a / 50).asin(), (a / 50).acos(), a.atan(), a.asinh(), (p + 1).acosh(), (a / 50).atanh(),
            a.sign(), a.floor(), torch.sigmoid(a), torch.erf(a), torch.erfc(a), p.pow(b), torch.atan2(a, b),
            torch.maximum(a, b), torch.minimum(a, b),
            torch.where(a > b, a, b * 2), torch.where((a >= 0) & (b < 1), a, 3.0),
            torch.where((a == b) | ~(a <= 1), 2.0, b), torch.where(a != a, 1.0, 0.0), 0 * a + 4.0,
            torch.remainder(a, b), torch.remainder(a, 1.5),
        ]
    )  # fmt: skip


def test_every_operator_is_printed() -> None:
    assert set(LANES) >= OPERATORS
    graph = coordinate_form(everything, 2).graph  # type: ignore[attr-defined]
    assert {node.target for node in graph.nodes if node.op == "call_function"} == OPERATORS


@pytest.mark.parametrize("precision", DTYPES)
def test_operators_agree_with_torch(precision: str) -> None:
    dtype = DTYPES[precision]
    x = np.random.default_rng(1).normal(0, 3, (2, 1003)).astype("f4" if precision == "single" else "f8")
    expected = everything(torch.from_numpy(x)).numpy()
    error = np.abs(pointwise(everything, x) - expected)
    # 4 units in the last place of the function, and of an argument that is rounded before it
    scale = np.abs(expected) + np.abs(x).max() * 1.0
    usual = np.isfinite(expected)
    assert (error[usual] <= 40 * torch.finfo(dtype).eps * scale[usual]).all()


@pytest.mark.parametrize("precision", DTYPES)
def test_special_values(precision: str) -> None:
    x = np.array(np.meshgrid(SPECIAL, SPECIAL)).reshape(2, -1).astype("f4" if precision == "single" else "f8")
    form = coordinate_form(everything, 2)  # a zero factor is structural: 0 * inf is 0
    # but the remainder of an infinite quotient, nan here, is infinite in some of torch's kernels
    got, expected = pointwise(everything, x)[:-2], torch.stack(form(*torch.from_numpy(x)))[:-2].numpy()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    usual = ~np.isnan(expected)
    np.testing.assert_allclose(got[usual], expected[usual], rtol=1e-5, atol=1e-6)


WORDS = """
extern "C" void apply(int64_t n, REAL *const *in, REAL *const *out) {
  for (int64_t i = 0; i < n; i += LANES) {
    Wide path[WIDE];
    for (int h = 0; h < WIDE; h++)
      for (int l = 0; l < WIDE_LANES; l++) path[h][l] = PATH + i + h * WIDE_LANES + l;
    Mask word[4];
    Vector z[4];
    words_of(path, 77, 3, KEY0, KEY1, word);
    box_muller(word[0], word[1], z[0], z[1]);
    box_muller(word[2], word[3], z[2], z[3]);
    for (int j = 0; j < 4; j++) store(z[j], out[j] + i, n - i);
    words_of(path, 77, 0, KEY0, KEY1, word);
    store(spare_uniform(word), out[4] + i, n - i);
    store(power_of_two(load<Vector>(in[0] + i, n - i)), out[5] + i, n - i);
  }
}
"""


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("machine", ["native", "x86-64-v3", "x86-64"])
def test_random_numbers_are_those_of_torch(
    precision: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if machine != "native":
        if native.platform.machine() not in ("x86_64", "AMD64"):
            pytest.skip("not an x86 machine")
        monkeypatch.setattr(native, "_flags", lambda: (*native.FLAGS, f"-march={machine}"))
    dtype, n, first = DTYPES[precision], 1001, (1 << 33) - 500
    key = split_seed((5 << 32) + 9)
    constants = f"#define PATH {first}ll\n#define KEY0 {key[0]}u\n#define KEY1 {key[1]}u\n"
    x = np.linspace(-300, 0, n).astype("f4" if precision == "single" else "f8")
    source = f"// {machine}\n" + constants + lanes_header(dtype) + WORDS
    *z, uniform, power = run(source, [x], 6)
    path = torch.arange(first, first + n)
    words = philox4x32((77, 3, path & 0xFFFF_FFFF, path >> 32), key)
    expected = (*normals_from_bits(words[0], words[1], dtype), *normals_from_bits(words[2], words[3], dtype))
    tolerance = 4 * torch.finfo(dtype).eps
    for got, want in zip(z, expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=0, atol=7 * tolerance)
    np.testing.assert_array_equal(uniform, spare_uniform(key, path, 77, dtype).numpy())
    np.testing.assert_allclose(power, power_of_two(torch.from_numpy(x)).numpy(), rtol=tolerance, atol=1e-37)


def test_a_source_is_compiled_once(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMDYN_CACHE", str(tmp_path / "kept"))
    library_cache.directory.cache_clear()
    load_library.cache_clear()
    try:
        source = 'extern "C" int answer() { return 42; }'
        assert load_library(source).answer() == 42
        (kept,) = (tmp_path / "kept").glob("*.so")
        made = kept.stat().st_mtime_ns
        load_library.cache_clear()
        assert load_library(source).answer() == 42
        assert kept.stat().st_mtime_ns == made
        with pytest.raises(native.CompilationError, match="failed"):
            load_library("this is not C++")
        assert {p.name for p in (tmp_path / "kept").iterdir()} == {kept.name, f"{kept.stem}.sha256"}
        other = source.replace("42", "43")
        command = compiler()
        assert command is not None
        native._path(command, other).write_bytes(b"damaged")
        assert load_library(other).answer() == 43
    finally:
        library_cache.directory.cache_clear()
        load_library.cache_clear()


@pytest.fixture
def afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache; what is known about compiler and cache is forgotten, also afterwards."""
    known = (library_cache.directory, native.compiler, native._version, load_library)
    native._hanging.clear()
    monkeypatch.setenv("SAMDYN_CACHE", str(tmp_path / "kept"))
    for function in known:
        function.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    for function in known:
        function.cache_clear()


@pytest.mark.parametrize("why", ["not writable", "open to all", "no home"])
def test_directories_that_are_not_used(why: str, afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "not writable":
        monkeypatch.setenv("SAMDYN_CACHE", "/proc/nothing")
    elif why == "open to all":
        (afresh / "kept").mkdir()
        (afresh / "kept").chmod(0o777)
    else:
        monkeypatch.chdir(afresh)
        monkeypatch.setenv("SAMDYN_CACHE", "")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        # as for a user that the system does not know
        monkeypatch.setattr(library_cache.os.path, "expanduser", lambda path: path)
    found = library_cache.directory()
    assert found.is_dir()
    assert found.is_absolute()
    assert found.name.startswith("samdyn-")
    assert not (afresh / "~").exists()


def test_a_cache_that_is_removed_meanwhile(afresh: Path) -> None:
    assert load_library('extern "C" int answer() { return 44; }').answer() == 44
    shutil.rmtree(afresh / "kept")
    assert load_library('extern "C" int answer() { return 45; }').answer() == 45


@pytest.mark.parametrize("broken", ["no program", "does not compile", "a quotation"])
def test_a_broken_compiler(broken: str, afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named in CXX, at a path with a space and with an argument."""
    program = afresh / "a compiler"
    program.write_bytes(b"\x00\x01" if broken == "no program" else b"#!/bin/sh\necho wrong >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("CXX", "'g++" if broken == "a quotation" else f"'{program}' -O1")
    if broken == "a quotation":  # is nobody's name
        assert compiler() in (("g++",), ("clang++",), ("c++",))
        return
    assert compiler() == (str(program), "-O1")
    message = "cannot be run" if broken == "no program" else "failed: wrong"
    with pytest.raises(native.CompilationError, match=message):
        load_library("int x;")


def test_a_full_disk(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(native.CompilationError, match="No space left"):
        load_library("int x;")


def test_not_on_windows(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.os, "name", "nt")
    found = compiler()
    monkeypatch.undo()  # before anything makes a path
    assert found is None


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "compiler", lambda: None)
    load_library.cache_clear()
    with pytest.raises(native.CompilationError, match="CXX"):
        load_library("int x;")

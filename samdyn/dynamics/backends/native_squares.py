"""Single-sample steps of least squares and ridge regression as a compiled loop on the CPU.

The step is the step of `samdyn.dynamics.backends.squares_step`: two inner products, one scaling and one sum
of vectors. A register of paths draws its samples together; then each path takes its four steps while its
point is in the cache. Sums over coordinates run in another order than in numpy, so that results agree with it
to rounding.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from samdyn.arguments.checks import Array
from samdyn.dynamics.backends.native_program import draw_constants, function_of, header, walker_tables
from samdyn.dynamics.backends.squares_step import SquaresStep
from samdyn.dynamics.contract import Coefficients
from samdyn.dynamics.draws import Stream
from samdyn.numerics.random import split_seed
from samdyn.systems.map import Map
from samdyn.trace.printed.cpp import lanes_header
from samdyn.trace.tracing import NotTraceable

WIDEST = 8  # doubles of the widest registers: rows are padded to whole ones


class NativeSquares(SquaresStep):
    """Compiled single-sample steps; see `SquaresStep`.

    Raises
    ------
    NotTraceable
        The steps take more than single samples, or have memory.
    CompilationError
        There is no compiler, or it fails.
    """

    report_work = 1 << 17
    compiled = True

    def __init__(self, system: Map) -> None:
        super().__init__(system)
        if not self.fused or self.memory or self.draws.n_words != 1:
            raise NotTraceable("only steps on single samples without memory are compiled")
        self.scheduled = system.scheduled
        width = -(-self.dim // WIDEST) * WIDEST
        self.padded = np.zeros((len(self.rows), width))
        self.padded[:, : self.dim] = self.rows
        self.threshold, self.alias = walker_tables(self.sampler)
        ridge = np.broadcast_to(self.ridge, len(self.rows))
        columns = (self.targets, self.square, ridge, self.sampler.weights)
        self.columns = [np.ascontiguousarray(column, dtype=np.float64) for column in columns]
        self.function = _compiled(*draw_constants(self.draws))

    def advance(
        self,
        loaded: list[Array],
        stream: Stream,
        step: int,
        n_steps: int,
        values: Callable[[int], Coefficients],
        dt: float | None = None,
    ) -> list[Array]:
        """See `Step.advance`."""
        table = []
        for j in range(step, step + n_steps if self.scheduled else step + 1):
            own = values(j)
            parts = self.rule.parts(own)
            assert parts is not None
            if any(np.ndim(value) for value in (*parts, own["lr"])):  # a coefficient for each path
                return super().advance(loaded, stream, step, n_steps, values, dt)
            table.append([*parts, own["lr"]])
        coefficients = np.ascontiguousarray(np.array(table, dtype=np.float64).T)
        x = np.zeros((len(loaded[0]), self.padded.shape[1]))
        x[:, : self.dim] = loaded[0]
        paths = np.ascontiguousarray(stream.paths, dtype=np.int64)
        self.function(
            len(x), x.shape[1], _of(paths), _of(x), _of(self.padded), *map(_of, self.columns),
            bool(self.ridge.any()), len(self.rows), _of(self.threshold), _of(self.alias),
            *map(_of, coefficients), int(self.scheduled), step, n_steps, *split_seed(stream.seed),
        )  # fmt: skip
        return [np.ascontiguousarray(x[:, : self.dim])]


def _of(array: np.ndarray[Any, Any]) -> int:
    return array.ctypes.data


@functools.cache
def _compiled(*constants: str) -> Callable[..., None]:
    lines = [lanes_header(torch.float64), "constexpr int INPUTS = 1;", *constants]
    source = "\n".join([*lines, header("draws.hpp"), header("squares.hpp")])
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    types = [
        integer, integer, *[pointer] * 7, integer, integer, *[pointer] * 5, integer, integer, integer,
        ctypes.c_uint32, ctypes.c_uint32,
    ]  # fmt: skip
    return function_of(source, "squares", types, None)

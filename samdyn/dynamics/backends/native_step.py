"""Steps of many copies of a system as a compiled loop, in C++ or in CUDA.

The step is printed together with its random inputs (`samdyn.dynamics.backends.native_program`). Two registers
of paths, whose arithmetic overlaps, take all steps of a call before the next two, and on a GPU each thread
takes a path through all of them: nothing but the states at both ends goes through memory. The random numbers
equal the random numbers of `samdyn.dynamics.backends.traced_step`, and results agree with it to rounding,
whose errors a chaotic map multiplies. A path's bits do not depend on the paths beside it.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.backends.devices import Backend, Loop, Registers
from samdyn.dynamics.backends.native_program import SAMPLE_TYPES, header, program, samples_of
from samdyn.dynamics.backends.traced_step import TracedStep
from samdyn.dynamics.contract import Coefficients
from samdyn.dynamics.draws import Stream
from samdyn.dynamics.step import Stepper
from samdyn.numerics.random import split_seed
from samdyn.numerics.vector import Coordinates
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.trace.tracing import NotTraceable

Prepared: TypeAlias = tuple[Callable[..., None], list[Tensor], Tensor]

CPU = Registers()


class NativeStep(TracedStep):
    """Steps by a compiled loop; see `TracedStep`.

    Raises
    ------
    NotTraceable
        The step has no pointwise form.
    CompilationError
        There is no compiler, or it fails.
    """

    report_work = 1 << 20
    compiled = True

    def __init__(
        self,
        system: Map | Diffusion,
        dt: float | None = None,
        backend: Backend = CPU,
        varied: Sequence[str] = (),
    ) -> None:
        super().__init__(system, dt, varied)
        if not self.pointwise:
            raise NotTraceable("the step has no pointwise form")
        self.backend = backend
        self.samples = samples_of(self.stepper.draws, torch.float64, backend.device)
        self.scheduled = system.scheduled
        self.kept: dict[Any, Prepared] = {}
        # coefficients that are the same for all paths; the compiler fails here, if it does
        _compiled(self.stepper, (False,) * (len(self.stepper.names) + 1), self.scheduled, backend)

    def advance(
        self,
        loaded: Array,
        stream: Stream,
        step: int,
        n_steps: int,
        values: Callable[[int], Coefficients],
        dt: float | None = None,
    ) -> Array:
        """See `Step.advance`."""
        n, dt = loaded.shape[1], self.dt if dt is None else dt
        if not n_steps:
            return loaded
        function, columns, strides = self._prepared(step, n_steps, values, dt, n)
        result = self._moved(np.array(loaded, dtype=np.float64, order="C"))
        paths = self._moved(np.ascontiguousarray(stream.paths, dtype=np.int64))
        function(
            n, paths, tuple(result), columns, strides, step, n_steps, *split_seed(stream.seed),
            *self.samples.arguments(),
        )  # fmt: skip
        return result.cpu().numpy()

    def _prepared(
        self, step: int, n_steps: int, values: Callable[[int], Coefficients], dt: float | None, n: int
    ) -> Prepared:
        """The function, and the coefficients of some steps with the strides of their arrays."""
        names = self.stepper.names
        own = values(step)
        numbers = tuple(own[name] for name in names)
        constant = not self.scheduled and not any(np.ndim(number) for number in numbers)
        # a search takes thousands of single steps, with the same few numbers
        if constant and (kept := self.kept.get((numbers, dt))) is not None:
            return kept
        table = []
        for j in range(step, step + n_steps if self.scheduled else step + 1):
            own = values(j)
            length = own["lr"] if dt is None and self.stepper.continuous else 1.0 if dt is None else dt
            table.append([*(own[name] for name in names), length])
        columns = [_column(column, n) for column in zip(*table, strict=True)]
        own_values = tuple(column.ndim == 2 for column in columns)
        function = _compiled(self.stepper, own_values, self.scheduled, self.backend)
        strides = [column.strides[0] // 8 if self.scheduled else 0 for column in columns]
        moved = [self._moved(column) for column in columns]
        result = function, moved, torch.tensor(strides, device=self.backend.device)
        if constant:
            self.kept = {(numbers, dt): result}
        return result

    def _moved(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.backend.device)


def _column(values: tuple[Any, ...], n: int) -> Array:
    """A coefficient over the steps, (steps,), or over steps and paths, (steps, n)."""
    if any(np.ndim(value) for value in values):
        return np.ascontiguousarray([np.broadcast_to(value, n) for value in values], dtype=np.float64)
    return np.array(values, dtype=np.float64)


@functools.lru_cache(maxsize=64)
def _compiled(stepper: Stepper, own: tuple[bool, ...], scheduled: bool, backend: Backend) -> Loop:
    """The function `advance` of the library for a system's structure."""
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    types = [
        integer, pointer, pointer, pointer, pointer, integer, integer, ctypes.c_uint32, ctypes.c_uint32,
        *SAMPLE_TYPES,
    ]  # fmt: skip
    return backend.loop(step_source(stepper, own, scheduled, backend.one_lane), "advance", types)


def step_source(stepper: Stepper, own: tuple[bool, ...], scheduled: bool, one_lane: bool) -> str:
    """The source of that library; arguments as of `program`."""
    state, k = stepper.state_dim, stepper.draws.n_inputs

    def step(v: Tensor) -> Tensor:
        parts = v.unbind(0)
        x, z, values = Coordinates(parts[:state]), parts[state : state + k], parts[state + k : -1]
        return torch.stack(tuple(stepper.step(x, z, values, parts[-1])))

    switches = ["constexpr bool BRIDGE = false;"]
    loop = [header("advance.hpp")]
    return program(stepper, step, (), torch.float64, own, scheduled, switches, loop, one_lane)

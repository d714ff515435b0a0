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
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.backends.devices import Backend, Loop, Registers, plain
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

Prepared: TypeAlias = tuple[Callable[..., None], Any, Any, list[Any]]
"""The function, the addresses of the coefficients, their strides, and what those addresses point to."""

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
        self.on_cpu = backend.device.type == "cpu"
        if not self.on_cpu:  # a GPU wants many paths, and long calls, since states travel between them
            self.tile, self.report_work = 1 << 20, 1 << 28
        self.arguments: tuple[Any, ...] = self.samples.arguments()
        if self.on_cpu:  # the tensors stay alive in `samples`
            self.arguments = tuple(plain(argument) for argument in self.arguments)
        self.key: tuple[int, tuple[int, int]] = (0, (0, 0))
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
        if not n_steps:
            return loaded
        return self._taken(loaded, stream, step, n_steps, values, dt, 0)[0]

    def orbit(
        self,
        loaded: Array,
        stream: Stream,
        step: int,
        n_records: int,
        spacing: int,
        values: Callable[[int], Coefficients],
    ) -> Array:
        """See `Step.orbit`: one call of the loop, whatever is kept."""
        return self._taken(loaded, stream, step, n_records * spacing, values, None, spacing)[1]

    def _taken(
        self,
        loaded: Array,
        stream: Stream,
        step: int,
        n_steps: int,
        values: Callable[[int], Coefficients],
        dt: float | None,
        spacing: int,
    ) -> tuple[Array, Array]:
        """States after some steps, and those after every `spacing` steps (none at 0)."""
        n = loaded.shape[1]
        function, columns, strides, _ = self.prepared(step, n_steps, values, self.dt if dt is None else dt, n)
        result = self.put(np.array(loaded, dtype=np.float64, order="C"))
        kept = self.put(np.empty((n_steps // spacing if spacing else 0, *loaded.shape)))
        paths = self.put(np.ascontiguousarray(stream.paths, dtype=np.int64))
        function(
            n, paths, tuple(result), columns, strides, step, n_steps, spacing, kept,
            *self.key_of(stream.seed), *self.arguments,
        )  # fmt: skip
        return self.get(result), self.get(kept)

    def prepared(
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
        for j in range(step, step + (max(n_steps, 1) if self.scheduled else 1)):
            own = values(j)
            length = own["lr"] if dt is None and self.stepper.continuous else 1.0 if dt is None else dt
            table.append([*(own[name] for name in names), length])
        columns = [_column(column, n) for column in zip(*table, strict=True)]
        own_values = tuple(column.ndim == 2 for column in columns)
        function = _compiled(self.stepper, own_values, self.scheduled, self.backend)
        strides = [column.strides[0] // 8 if self.scheduled else 0 for column in columns]
        moved, steps_apart = [self.put(column) for column in columns], self.put(np.array(strides, np.int64))
        # addresses are written down once
        given = plain(moved) if self.on_cpu else moved
        result = function, given, plain(steps_apart) if self.on_cpu else steps_apart, [*moved, steps_apart]
        if constant:
            self.kept = {(numbers, dt): result}
        return result

    def key_of(self, seed: int) -> tuple[int, int]:
        """The words of a seed."""
        kept = self.key  # read once: other threads may ask for another seed meanwhile
        if kept[0] != seed:
            kept = self.key = seed, split_seed(seed)
        return kept[1]

    def put(self, array: npt.NDArray[Any]) -> Any:
        """An array where the loop runs."""
        return array if self.on_cpu else torch.from_numpy(array).to(self.backend.device)

    def get(self, data: Any) -> Any:
        """An array back from where the loop runs."""
        return data if self.on_cpu else data.cpu().numpy()


def _column(values: tuple[Any, ...], n: int) -> Array:
    """A coefficient over the steps, (steps,), or over steps and paths, (steps, n)."""
    if any(np.ndim(value) for value in values):
        return np.ascontiguousarray([np.broadcast_to(value, n) for value in values], dtype=np.float64)
    return np.array(values, dtype=np.float64)


@functools.lru_cache(maxsize=64)
def _compiled(stepper: Stepper, own: tuple[bool, ...], scheduled: bool, backend: Backend) -> Loop:
    """The function `advance` of the library for a system's structure."""
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    types = [*PATH_TYPES, integer, integer, integer, pointer, *DRAW_TYPES]
    return backend.loop(step_source(stepper, own, scheduled, backend.one_lane), "advance", types)


PATH_TYPES = (ctypes.c_int64, *(ctypes.c_void_p,) * 4)
"""Paths, their states, and the coefficients of a step: the first parameters of a loop."""
DRAW_TYPES = (ctypes.c_uint32, ctypes.c_uint32, *SAMPLE_TYPES)
"""The seed and the data of a finite sum: the last ones."""


def step_source(
    stepper: Stepper,
    own: tuple[bool, ...],
    scheduled: bool,
    one_lane: bool,
    switches: Sequence[str] = (),
    loop: str = "advance.hpp",
) -> str:
    """The source of a library whose loop looks at paths between steps; arguments as of `program`."""
    state, k = stepper.state_dim, stepper.draws.n_inputs

    def step(v: Tensor) -> Tensor:
        parts = v.unbind(0)
        x, z, values = Coordinates(parts[:state]), parts[state : state + k], parts[state + k : -1]
        return torch.stack(tuple(stepper.step(x, z, values, parts[-1])))

    given = ["constexpr bool BRIDGE = false;", *switches]
    files = [header("steps.hpp"), header(loop)]
    return program(stepper, step, (), torch.float64, own, scheduled, given, files, one_lane)

"""The C++ and the CUDA of a system: its step, its coefficients and its random inputs, for a loop over paths.

A program is made of, in this order, what a lane is (`registers.hpp` or, for a GPU, `one_lane.hpp`), the
functions of lanes (`lanes.hpp`), the constants and functions printed for one system, the batches of a finite
sum (`draws.hpp`), what a register of paths carries along (`group.hpp`), and a loop: `sweep.hpp` with the exit
test (`samdyn.escape.kernel.sweep_native`), `advance.hpp` without (`samdyn.dynamics.backends.native_step`).
All of it but the first file is the same on a CPU and on a GPU.

A coefficient that is the same for all paths is a scalar, and what depends on such coefficients alone is
computed once.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.dynamics.draws import BatchDraws, Draws
from samdyn.dynamics.step import Stepper
from samdyn.jobs.cost import outside
from samdyn.numerics.random import STEPS_PER_BLOCK, STREAM_MINIBATCH
from samdyn.systems.batch_samplers import Sampler
from samdyn.trace.printed.compiling import CompilationError, load_library
from samdyn.trace.printed.cpp import cpp_function, lanes_header
from samdyn.trace.tracing import NotTraceable, coordinate_form

UNROLLED = 60  # statements of a step above which the four steps of a block stay a loop
UNROLLED_ON_GPU = 400
"""The same where a path is a thread: there an array that a loop's number indexes, such as the random inputs
of the four steps, lies in memory and not in registers."""


def program(
    stepper: Stepper,
    step: Callable[[Tensor], Tensor],
    extra: Sequence[str],
    dtype: torch.dtype,
    own: Sequence[bool],
    scheduled: bool,
    switches: Sequence[str],
    loop: Sequence[str],
    one_lane: bool = False,
) -> str:
    """The source of a library.

    Parameters
    ----------
    stepper : Stepper
        A traced one.
    step : callable
        Of one vector of state, random inputs, coefficients and dt: the next state, and further outputs.
    extra : sequence of str
        What the further outputs are assigned to.
    dtype : torch.dtype
    own : sequence of bool
        Of the coefficients and of dt: whether each path has its own.
    scheduled : bool
        Whether coefficients differ from step to step.
    switches : sequence of str
        Constants that the loop needs.
    loop : sequence of str
        What stands behind `group.hpp`.
    one_lane : bool
        Whether a path is a thread of a GPU and not a lane of a register.
    """
    state, inputs = stepper.state_dim, stepper.draws.n_inputs
    names = [*(f"v{i}" for i in range(len(own) - 1)), "dt"]
    body = cpp_function(
        coordinate_form(step, state + inputs + len(names)),
        "step",
        [
            *(f"x[{i}]" for i in range(state)),
            *(f"z[{i}]" for i in range(inputs)),
            *(f"c.{name}" for name in names),
        ],
        "const Vector *x, const Vector *z, const Values &c, Vector *y, Vector *factor",
        [*(f"y[{i}]" for i in range(state)), *extra],
    )
    fields = [f"{'Vector' if each else 'REAL'} {name};" for name, each in zip(names, own, strict=True)]
    loads = [
        f"{name} = ::load<Vector>(from[{i}] + step * strides[{i}] + i, rest);"
        if each
        else f"{name} = from[{i}][step * strides[{i}]];"
        for i, (name, each) in enumerate(zip(names, own, strict=True))
    ]
    short = body.count("\n") < (UNROLLED_ON_GPU if one_lane else UNROLLED)
    lines = [
        lanes_header(dtype, one_lane),
        f"constexpr int STATE = {state}, INPUTS = {inputs};",
        f"constexpr bool SCHEDULED = {_cpp(scheduled)};",
        *switches,
        f"#define UNROLL {f'UNROLLED({STEPS_PER_BLOCK})' if short else ''}",
        "struct Values {",
        *("  " + line for line in fields),
        "  INLINE_MEMBER void load(const REAL *const *from, const int64_t *strides, int64_t step, int64_t i,",
        "                          int64_t rest) {",
        *("    " + line for line in loads),
        "  }",
        "};",
        body,
        *draw_constants(stepper.draws),
        header("draws.hpp"),
        header("group.hpp"),
        *loop,
    ]
    return "\n".join(lines)


def header(name: str) -> str:
    """The text of a file beside this one."""
    return resources.files("samdyn.dynamics.backends").joinpath(name).read_text(encoding="utf-8")


def _cpp(value: bool) -> str:
    return str(value).lower()


def draw_constants(draws: Draws) -> list[str]:
    """The constants of `draws.hpp`."""
    if not isinstance(draws, BatchDraws):
        return ["#define BATCHES 0"]
    sampler = draws.samplers[0]
    numbers = {
        "SAMPLERS": len(draws.samplers),
        "BATCH_SIZE": sampler.batch_size,
        "BATCH_WORDS": sampler.n_draws,
        "SAMPLE_NUMBERS": len(draws.table),
    }
    kinds = {
        "WITH_REPLACEMENT": sampler.replacement,
        "WEIGHTED": sampler.replacement and not sampler.uniform,
        "BY_COMPLEMENT": sampler.by_complement,
    }
    return [
        "#define BATCHES 1",
        f"constexpr uint32_t STREAM_MINIBATCH = {STREAM_MINIBATCH}u;",
        *(f"constexpr int {name} = {value};" for name, value in numbers.items()),
        *(f"constexpr bool {name} = {_cpp(value)};" for name, value in kinds.items()),
    ]


class Samples(NamedTuple):
    """The data of a finite sum as arguments of a compiled loop; they must stay alive while it runs.

    Attributes
    ----------
    numbers : Tensor, shape (m, n_samples)
    threshold, alias : Tensor of int64, shape (n_samples,)
        Walker's table, where samples are drawn with given probabilities.
    """

    numbers: Tensor
    threshold: Tensor
    alias: Tensor

    def arguments(self) -> tuple[Tensor, int, Tensor, Tensor]:
        """The tensors and the number of samples, in the order of the loops' last parameters."""
        return self.numbers, self.numbers.shape[1], self.threshold, self.alias


def samples_of(draws: Draws, dtype: torch.dtype, device: torch.device) -> Samples:
    """The data that drawn batches need; empty without."""
    if not isinstance(draws, BatchDraws):
        none = torch.empty(0, dtype=torch.int64, device=device)
        return Samples(torch.empty((0, 0), dtype=dtype, device=device), none, none)
    numbers = torch.as_tensor(np.ascontiguousarray(draws.table), dtype=dtype, device=device)
    tables = walker_tables(draws.samplers[0])
    return Samples(numbers, *(torch.as_tensor(table, device=device) for table in tables))


def walker_tables(sampler: Sampler) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Thresholds and aliases as the loops take them; empty where samples are drawn uniformly."""
    if not sampler.replacement or sampler.uniform:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    threshold, alias = sampler.alias_table
    return np.ascontiguousarray(threshold, np.int64), np.ascontiguousarray(alias, np.int64)


SAMPLE_TYPES = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


def function_of(source: str, name: str, types: Sequence[Any], result: Any) -> Callable[..., Any]:
    """A function of the library that a source defines, compiled or from the cache.

    Raises
    ------
    CompilationError
    """
    try:
        function: Any = getattr(load_library(source), name)
    except AttributeError as error:
        raise CompilationError(f"the compiled library has no function `{name}`: {error}") from error
    function.restype, function.argtypes = result, list(types)
    return function


T = TypeVar("T")


def compiled_or_none(make: Callable[[], T]) -> T | None:
    """What is made by compiling, or None where it has no pointwise form or the compiler fails.

    Warns
    -----
    RuntimeWarning
        The compiler fails: the step then runs without being compiled.
    """
    try:
        return make()
    except NotTraceable:
        return None
    except CompilationError as error:
        told = f"the step runs without being compiled: {error}"
        warnings.warn(told, RuntimeWarning, stacklevel=outside())
        return None


def pointers(addresses: Sequence[int]) -> ctypes.Array[ctypes.c_void_p]:
    """An array of addresses."""
    return (ctypes.c_void_p * len(addresses))(*addresses)

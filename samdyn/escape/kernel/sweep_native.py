"""The compiled sweep: some blocks of four steps of many paths as one loop, in C++ or in CUDA.

The step of the system and the distances to the faces of the region are traced to pointwise operations and
printed (`samdyn.trace.printed.cpp`); `sweep.hpp` is the loop around them:

1. Two registers of paths (16 each with AVX-512 in single precision), whose arithmetic overlaps, are advanced
   through all blocks of the sweep before the next: nothing but their states at both ends goes through
   memory. On a GPU each thread takes a path through all blocks. The random numbers equal the numbers of the
   sweep in torch, to rounding.
2. Exits are tested as in `samdyn.escape.kernel.exit_test`. The distances at the end of a step are the
   distances at the start of the next. With several faces the probability that the path left is the
   probability of the face with the largest exponent, one exponential, where all other crossing probabilities
   are below 2^-40.
3. A path that leaves is noted with its state at the start of the block.

A coefficient that is the same for all paths is a scalar, and what depends on such coefficients alone is
computed once. One library serves a system's structure and a region; it is compiled in about half a second and
kept on disk (`samdyn.trace.printed.compiling`, `samdyn.trace.printed.nvrtc`). On the CPU a call does not hold
Python's interpreter lock, so that threads run side by side.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from samdyn.dynamics.backends.devices import Backend, Loop
from samdyn.dynamics.backends.native_program import SAMPLE_TYPES, header, program, samples_of
from samdyn.dynamics.step import Stepper, combine, euler_maruyama
from samdyn.escape.kernel.coefficients import Coefficients, Values
from samdyn.escape.kernel.exit_replay import Notes
from samdyn.escape.kernel.exit_test import EXPONENT, ExitTest
from samdyn.numerics.vector import Coordinates
from samdyn.trace.printed.cpp import cpp_function
from samdyn.trace.tracing import NotTraceable, coordinate_form


def native_sweep(
    stepper: Stepper,
    test: ExitTest,
    coefficients: Coefficients,
    dtype: torch.dtype,
    key: tuple[int, int],
    backend: Backend,
) -> Callable[..., None]:
    """The function that advances a tile of the pool.

    Parameters
    ----------
    stepper, test : Stepper, ExitTest
    coefficients : Coefficients
    dtype : torch.dtype
        Of the states: float32 or float64.
    key : tuple of int
        The two words of the seed.
    backend : Backend
        Where it runs.

    Returns
    -------
    callable
        See `samdyn.escape.kernel.sweep_torch.torch_sweep`.

    Raises
    ------
    NotTraceable
        The step or the region has no pointwise form.
    CompilationError
    """
    device = backend.device
    dt = coefficients.step_lengths(dtype, device)
    # a scheduled coefficient may be the same for all systems in one step and not in the next
    mixed = coefficients.scheduled and coefficients.several
    own = tuple(mixed or value.ndim > 0 for value in coefficients.step(0, dtype, device))
    samples = samples_of(stepper.draws, dtype, device)
    function = _compiled(stepper, test, dtype, (*own, dt.ndim > 0), coefficients.scheduled, backend)

    def sweep(
        pool: Tensor, rows: Tensor, gone: Tensor, block: int, values: Sequence[Sequence[Values]], notes: Notes
    ) -> None:
        n = len(rows)
        table, strides = _table(coefficients, values, dt, rows)
        path = coefficients.paths(rows)
        count = torch.zeros(1, dtype=torch.int64, device=device)
        noted = torch.empty((3, n), dtype=torch.int64, device=device)
        states = torch.empty((len(pool), n), dtype=dtype, device=device)
        # a copy: a tile whose memory runs out on the way is tried again from the states that it had
        following = pool.clone(memory_format=torch.contiguous_format)
        function(
            n, path, tuple(following), gone, table, torch.tensor(strides, device=device), block, len(values),
            *key, count, *noted, states, *samples.arguments(),
        )  # fmt: skip
        found = int(count)
        if found:
            # threads of a GPU come in no particular order
            order = noted[0, :found].argsort() if backend.one_lane else slice(0, found)
            place, blocks, codes = (row[order].clone() for row in noted)
            notes.add(states[:, order].clone(), rows[place], blocks, codes)
        pool.copy_(following)

    return sweep


def _table(
    coefficients: Coefficients, values: Sequence[Sequence[Values]], dt: Tensor, rows: Tensor
) -> tuple[list[Tensor], list[int]]:
    """Each coefficient and dt, over the steps if there is a schedule and over the rows where these differ;
    and the distance from step to step.
    """
    over_rows = coefficients.of_rows(rows)
    if not coefficients.scheduled:
        table = [over_rows(value) for value in (*values[0][0], dt)]
        return table, [0] * len(table)
    table, count = [], len(coefficients.at)
    for column in zip(*(step for four in values for step in four), strict=True):
        over_systems = torch.stack([value.expand(count) for value in column])
        several = coefficients.several
        table.append(over_systems[:, rows // coefficients.n_paths].contiguous() if several else over_systems)
    return [*table, over_rows(dt)], [*(value.stride(0) for value in table), 0]


@functools.lru_cache(maxsize=64)
def _compiled(
    stepper: Stepper,
    test: ExitTest,
    dtype: torch.dtype,
    own: tuple[bool, ...],
    scheduled: bool,
    backend: Backend,
) -> Loop:
    """The function `sweep` of the library for a system's structure and a kind of region.

    Parameters
    ----------
    own : tuple of bool
        Of the coefficients and of dt: whether each path has its own.
    scheduled : bool
        Whether coefficients differ from step to step.
    """
    if not stepper.traced or not all(face.pointwise for face in test.faces):
        raise NotTraceable("the step or the region has no pointwise form")
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    types = [
        integer, pointer, pointer, pointer, pointer, pointer, integer, integer, ctypes.c_uint32,
        ctypes.c_uint32, pointer, pointer, pointer, pointer, pointer, *SAMPLE_TYPES,
    ]  # fmt: skip
    source = sweep_source(stepper, test, dtype, own, scheduled, backend.one_lane)
    return backend.loop(source, "sweep", types)


def sweep_source(
    stepper: Stepper,
    test: ExitTest,
    dtype: torch.dtype,
    own: Sequence[bool],
    scheduled: bool,
    one_lane: bool,
) -> str:
    """The source of a library with the function `sweep`; arguments as of `native_sweep` and `program`."""
    n_faces = len(test.faces)

    def distances(x: Tensor) -> Tensor:
        at = Coordinates(x.unbind(0))
        return torch.stack([face.distance(at) for face in test.faces])

    printed = cpp_function(
        coordinate_form(distances, stepper.dim),
        "distances",
        [f"x[{i}]" for i in range(stepper.dim)],
        "const Vector *x, Vector *d",
        [f"d[{i}]" for i in range(n_faces)],
    )
    switches = [f"constexpr int FACES = {n_faces};", f"constexpr bool BRIDGE = {str(test.bridge).lower()};"]
    factors = [f"factor[{i}]" for i in range(n_faces if test.bridge else 0)]
    loop = [printed, header("sweep.hpp")]
    return program(stepper, _step(stepper, test), factors, dtype, own, scheduled, switches, loop, one_lane)


def _step(stepper: Stepper, test: ExitTest) -> Callable[[Tensor], Tensor]:
    """From state, normals, coefficients and dt: the next state, and, with the bridge, for each face the
    factor of the distances at both ends in the exponent (to the base 2) of the crossing probability.
    """
    state, k = stepper.state_dim, stepper.draws.n_inputs

    def step(v: Tensor) -> Tensor:
        parts = v.unbind(0)
        x, z, values, dt = (
            Coordinates(parts[:state]),
            parts[state : state + k],
            parts[state + k : -1],
            parts[-1],
        )
        if not stepper.continuous:
            return torch.stack(tuple(stepper.iterate(x, z, values)))
        drift, columns = stepper.local(x, values)
        following = euler_maruyama(x, drift, combine(columns, z), dt)
        if not test.bridge:
            return torch.stack(tuple(following))
        _, variances = test.geometry(Coordinates(x[: stepper.dim]), columns, dt)
        return torch.stack([*following, *(EXPONENT / variance for variance in variances)])

    return step

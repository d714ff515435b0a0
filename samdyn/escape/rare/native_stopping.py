"""The sweep of paths that stop in one of two sets, compiled: what splitting spends its time in.

The step and the look that says whether it stops a path (`samdyn.escape.rare.stopping.StoppedChain.look`) are
printed as C++ together. Each path has a block number of its own, since branches begin at different times.
Random numbers and results equal the sweep in torch, to rounding.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import replace

import torch
from torch import Tensor

from samdyn.dynamics.backends.devices import Backend, Loop, Registers, backend_of
from samdyn.dynamics.backends.native_program import (
    SAMPLE_TYPES,
    compiled_or_none,
    header,
    program,
    samples_of,
)
from samdyn.dynamics.step import Stepper
from samdyn.escape.rare.stopping import SWEEP, StoppedChain, StoppingSet, Sweep
from samdyn.numerics.random import STEPS_PER_BLOCK, STREAM_BRIDGE
from samdyn.numerics.vector import Coordinates
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.trace.printed.compiling import CompilationError, compiler
from samdyn.trace.printed.cpp import cpp_function
from samdyn.trace.tracing import NotTraceable, coordinate_form

CPU = Registers()
COMPILE_FROM = 200
"""Paths of all repeats from which compiling repays: a path takes some hundred steps to stop."""


def stopped_chain(
    system: Diffusion | Map,
    stepper: Stepper,
    dt: float,
    key: tuple[Tensor, Tensor],
    origin: StoppingSet,
    target: StoppingSet,
    n_paths: int,
    device: str = "cpu",
) -> StoppedChain:
    """A system with constant coefficients and the two sets; compiled for many paths, where it can be.

    Raises
    ------
    ValueError
        The sweep cannot be compiled for a device other than the CPU.

    Warns
    -----
    RuntimeWarning
        The compiler fails: the sweep then runs in torch.
    """
    values = tuple(torch.tensor(v, dtype=torch.float64, device="cpu") for v in system.coefficients().values())
    chain = StoppedChain(stepper, values, dt, key, origin, target)
    if device != "cpu":
        try:
            return replace(chain, compiled=native_sweep(chain, SWEEP, backend_of(torch.device(device))))
        except (NotTraceable, CompilationError) as error:
            raise ValueError(f"device must be 'cpu' for {system!r}, got {device!r}: {error}") from error
    large = n_paths >= COMPILE_FROM and compiler() is not None
    sweep = compiled_or_none(lambda: native_sweep(chain, SWEEP, CPU)) if large else None
    return replace(chain, compiled=sweep) if sweep else replace(chain, stepper=stepper.eager())


def native_sweep(chain: StoppedChain, n_blocks: int, backend: Backend) -> Sweep:
    """The compiled form of ``chain.sweep``.

    Parameters
    ----------
    chain : StoppedChain
    n_blocks : int
        Blocks of four steps of a sweep.
    backend : Backend
        Where it runs; states come from the CPU and go back there.

    Raises
    ------
    NotTraceable
        The step or a region has no pointwise form.
    CompilationError
    """
    stepper = chain.stepper
    faces = (*chain.origin.faces, *chain.target.faces)
    if not stepper.traced or stepper.noise is not None or not all(face.pointwise for face in faces):
        raise NotTraceable("the step or a region has no pointwise form")
    function, device = _compiled(chain, backend), backend.device
    samples = samples_of(stepper.draws, torch.float64, device)
    values = [value.double().to(device) for value in chain.coefficients]
    values.append(torch.tensor(chain.dt, dtype=torch.float64, device=device))
    key = [int(word) for word in chain.key]

    def sweep(state: Tensor, path: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
        n, steps = len(path), n_blocks * STEPS_PER_BLOCK
        state, path, block = (given.contiguous().to(device) for given in (state, path, block))
        after = torch.empty((len(state), steps, n), dtype=torch.float64, device=device)
        codes = torch.empty((steps, n), dtype=torch.float64, device=device)
        # states that follow a stop are not written where all paths of a register have stopped
        after[:] = state[:, None]
        function(
            n, path, block, tuple(state), values, n_blocks, *key, after, codes, *samples.arguments(),
        )  # fmt: skip
        return after.cpu(), codes.cpu().to(torch.int64)

    return sweep


@functools.lru_cache(maxsize=32)
def _compiled(chain: StoppedChain, backend: Backend) -> Loop:
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    types = [
        integer, pointer, pointer, pointer, pointer, integer, ctypes.c_uint32, ctypes.c_uint32, pointer,
        pointer, *SAMPLE_TYPES,
    ]  # fmt: skip
    return backend.loop(stop_source(chain, backend.one_lane), "stop", types)


def stop_source(chain: StoppedChain, one_lane: bool) -> str:
    """The source of a library with the function `stop`; arguments as of `program`."""
    stepper = chain.stepper
    state, k, names = stepper.state_dim, stepper.draws.n_inputs, len(stepper.names)

    def step(v: Tensor) -> Tensor:
        parts = v.unbind(0)
        x, z, values = Coordinates(parts[:state]), parts[state : state + k], parts[state + k : -1]
        return torch.stack(tuple(stepper.step(x, z, values, parts[-1])))

    def look(v: Tensor) -> Tensor:
        parts = v.unbind(0)
        start, end = Coordinates(parts[:state]), Coordinates(parts[state : 2 * state])
        values = parts[2 * state + 1 : 2 * state + 1 + names]
        return torch.stack([chain.look(start, end, parts[2 * state], values, parts[-1])])

    inputs = [
        *(f"x[{i}]" for i in range(state)),
        *(f"y[{i}]" for i in range(state)),
        "u",
        *(f"c.v{i}" for i in range(names)),
        "c.dt",
    ]
    printed = cpp_function(
        coordinate_form(look, len(inputs)),
        "look",
        inputs,
        "const Vector *x, const Vector *y, Vector u, const Values &c, Vector *code",
        ["code[0]"],
    )
    switches = ["constexpr bool BRIDGE = false;", f"constexpr uint32_t STREAM_BRIDGE = {STREAM_BRIDGE}u;"]
    own = (False,) * (names + 1)
    loop = [printed, header("stop.hpp")]
    return program(stepper, step, (), torch.float64, own, False, switches, loop, one_lane)

"""Which sweep advances a pool: compiled C++ on the CPU, compiled CUDA on a GPU, or torch operations."""

from __future__ import annotations

import torch

from samdyn.dynamics.backends.devices import backend_of
from samdyn.dynamics.backends.native_program import compiled_or_none
from samdyn.dynamics.step import Stepper
from samdyn.escape.kernel.coefficients import Coefficients
from samdyn.escape.kernel.exit_test import ExitTest
from samdyn.escape.kernel.sweep_native import native_sweep
from samdyn.escape.kernel.sweep_torch import Sweep, torch_sweep
from samdyn.trace.printed.compiling import compiler

# Path-steps from which compiling repays: it takes half a second, and torch advances 4 million path-steps a
# second of thousands of paths side by side, and half a million of a few hundred.
COMPILE_FROM = 3e6


def can_compile(device: torch.device) -> bool:
    """Whether sweeps can be compiled here: a C++ compiler is there; a GPU's shows itself when it is tried."""
    return device.type == "cuda" or compiler() is not None


def choose_sweep(
    stepper: Stepper,
    test: ExitTest,
    coefficients: Coefficients,
    device: torch.device,
    dtype: torch.dtype,
    key: tuple[int, int],
    compile: bool,
) -> Sweep:
    """The function that advances a tile; see `torch_sweep` for its arguments and those here.

    Warns
    -----
    RuntimeWarning
        The compiler fails: the sweep then runs in torch.
    """
    backend = backend_of(device)
    native = (
        compiled_or_none(lambda: native_sweep(stepper, test, coefficients, dtype, key, backend))
        if compile
        else None
    )
    return native or torch_sweep(stepper, test, coefficients, device, dtype, key)

"""CUDA source to machine code, and to a kernel on a GPU.

NVRTC compiles (in about a second, without a GPU), and cuda-core loads and launches; both come with the extra:
``pip install 'samdyn[cuda]'``. Machine code is kept on disk beside the compiled libraries of
`samdyn.trace.printed.compiling`, by cuda-core's own cache, whose key is the source, the architecture, the
options and NVRTC's version.

A kernel is launched on the stream that torch uses for its device at that moment, so that it comes after the
operations on tensors that were asked for before, and before those that follow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from samdyn.trace.printed import library_cache
from samdyn.trace.printed.compiling import CompilationError

__all__ = ["load_kernel", "machine_code"]

THREADS = 128
"""Threads of a block: a multiple of the 32 threads of a warp, and few enough for several blocks to share a
multiprocessor where a thread takes many registers."""
KEPT_BYTES = 64 << 20  # 64 MiB of machine code, as for the libraries of the CPU
MISSING = "kernels for a GPU need the packages of an extra: pip install 'samdyn[cuda]'"


@functools.lru_cache(maxsize=256)
def machine_code(source: str, architecture: str) -> bytes:
    """The machine code of a CUDA source, compiled or from the cache; no GPU is needed.

    Parameters
    ----------
    source : str
        Functions are the device's unless they say otherwise.
    architecture : str
        Such as "sm_80" (A100) or "sm_90" (H100, H200).

    Returns
    -------
    bytes
        A cubin.

    Raises
    ------
    CompilationError
        NVRTC or cuda-core is not installed, or the source does not compile.

    Examples
    --------
    >>> code = machine_code("__global__ void f(double *x) { *x = 1; }", "sm_90")  # doctest: +SKIP
    """
    try:
        from cuda.core import Program, ProgramOptions
        from cuda.core.utils import FileStreamProgramCache
    except ImportError as error:
        raise CompilationError(f"{MISSING} ({error})") from error
    try:
        options = ProgramOptions(
            std="c++17", arch=architecture, device_as_default_execution_space=True, disable_warnings=True
        )
        with FileStreamProgramCache(library_cache.directory() / "cuda", max_size_bytes=KEPT_BYTES) as kept:
            return bytes(Program(source, "c++", options).compile("cubin", cache=kept).code)
    except Exception as error:  # each part has errors of its own, without a common class
        told = str(error).strip("\0\n ")[:2000]
        missing = "libnvrtc" in told
        raise CompilationError(f"{MISSING} ({told})" if missing else f"NVRTC failed: {told}") from error


@functools.lru_cache(maxsize=256)
def load_kernel(source: str, name: str, device: torch.device) -> Callable[..., None]:
    """A kernel of a CUDA source as a function.

    Parameters
    ----------
    source, name : str
        The kernel is declared ``extern "C" __global__``.
    device : torch.device
        A CUDA device, with its number.

    Returns
    -------
    callable
        ``kernel(n, *arguments)`` launches at least n threads with n and the arguments: numbers of numpy, and
        Python integers where the kernel takes a pointer or an integer of 64 bits. It does not wait.

    Raises
    ------
    CompilationError
        As `machine_code`, or the driver does not take the code.
    """
    major, minor = torch.cuda.get_device_capability(device)
    code = machine_code(source, f"sm_{major}{minor}")
    from cuda.core import Device, LaunchConfig, ObjectCode, launch

    index = device.index
    try:
        with torch.cuda.device(index):
            Device(index).set_current()
            kernel = ObjectCode.from_cubin(code).get_kernel(name)
    except Exception as error:
        raise CompilationError(f"the driver does not load the kernel: {error}") from error

    def launched(n: int, *arguments: Any) -> None:
        if not n:
            return
        with torch.cuda.device(index):
            Device(index).set_current()  # of this thread, which may not be that which loaded the kernel
            config = LaunchConfig(grid=-(-n // THREADS), block=THREADS)
            launch(_Stream(torch.cuda.current_stream(index).cuda_stream), config, kernel, n, *arguments)

    return launched


class _Stream:
    """A stream of torch for cuda-core; torch's own streams say so from version 2.10 on."""

    def __init__(self, address: int) -> None:
        self.address = address

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.address

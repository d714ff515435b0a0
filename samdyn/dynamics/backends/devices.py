"""Where printed loops run: in C++ on the CPU's registers, or in CUDA with one path a thread.

A backend compiles a source (`samdyn.dynamics.backends.native_program`) and gives its loop as a function of
tensors on its device: a tensor stands for its address, a sequence of tensors for an array of addresses there,
an integer for itself. On the CPU arrays of numpy will do as well, and addresses that were written down
before, since a search for attractors makes thousands of calls, each for a few paths.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.dynamics.backends.native_program import function_of, pointers
from samdyn.trace.printed.nvrtc import load_kernel

Argument = Tensor | npt.NDArray[Any] | Sequence[Tensor] | Sequence[npt.NDArray[Any]] | ctypes.Array[Any] | int
Loop = Callable[..., None]


class Backend(Protocol):
    """Compiles printed loops for a device.

    Attributes
    ----------
    one_lane : bool
        Whether a path is a thread and not a lane of a register.
    """

    one_lane: ClassVar[bool]

    def __hash__(self) -> int: ...

    @property
    def device(self) -> torch.device:
        """Where the tensors are that a loop reads and writes."""

    def loop(self, source: str, name: str, types: Sequence[Any]) -> Loop:
        """The function of that name, whose first argument is the number of paths; `types` are types of C."""


@dataclass(frozen=True)
class Registers:
    """C++ on the CPU, a register of paths at a time. A call does not hold Python's interpreter lock."""

    one_lane: ClassVar[bool] = False

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def loop(self, source: str, name: str, types: Sequence[Any]) -> Loop:
        function = function_of(source, name, types, None)

        def call(*arguments: Argument) -> None:
            function(*map(plain, arguments))

        return call


@dataclass(frozen=True)
class Cuda:
    """CUDA on a GPU, a path for each thread, on torch's stream. A call does not wait for its result."""

    device: torch.device
    one_lane: ClassVar[bool] = True

    def loop(self, source: str, name: str, types: Sequence[Any]) -> Loop:
        kernel = load_kernel(source, name, self.device)

        def call(*arguments: Argument) -> None:
            # torch's allocator gives memory that is freed here to later work of the same stream only
            given: Any = (
                arguments  # tensors, sequences of them, and integers: nothing else is put on a device
            )
            held = [a if isinstance(a, Tensor | int) else self._addresses(a) for a in given]
            values = [a.data_ptr() if isinstance(a, Tensor) else a for a in held]
            kernel(*(np.uint32(v) if t is ctypes.c_uint32 else v for v, t in zip(values, types, strict=True)))

        return call

    def _addresses(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.tensor([t.data_ptr() for t in tensors], dtype=torch.int64, device=self.device)


def backend_of(device: torch.device) -> Backend:
    """The one for a device."""
    if device.type == "cpu":
        return Registers()
    index = torch.cuda.current_device() if device.index is None else device.index
    return Cuda(torch.device("cuda", index))


def plain(argument: Argument) -> Any:
    """An argument as `ctypes` takes it."""
    kind = type(argument)
    if kind is int or isinstance(argument, ctypes.Array):
        return argument
    if kind is np.ndarray or isinstance(argument, Tensor):
        return address(argument)
    return pointers([address(row) for row in argument])  # type: ignore[union-attr]


def address(data: Any) -> int:
    """Where the numbers of a tensor, or of an array of numpy, are."""
    if isinstance(data, np.ndarray):
        where: int = data.__array_interface__["data"][0]
        return where
    return int(data.data_ptr())

"""Four steps of a tile of paths with the first-exit test: the inner loop of every escape computation.

One call advances each path by a block of four steps, the unit in which the random numbers come, and says in which of the four, if any, the path left. It returns nothing else about
the exit: an exit is a function of (seed, path, step) and of the state at the start of the block, so the few paths that leave are replayed
afterwards (`samdyn.ensemble.exits`) and the inner loop stays short.

The same function runs eagerly or through torch.compile. Compiled, it becomes one vectorised loop: coordinates are separate 1-D tensors, random numbers are integer arithmetic on
the path number, and coefficients are 0-d tensors, so that one kernel serves every lr, rho, dt and seed. Compiling needs a C++ compiler and takes 5-20 s (1 s from the
on-disk cache); it pays from about `COMPILE_FROM` path-steps on.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from samdyn.compute.random import STEPS_PER_BLOCK, STREAM_BRIDGE, normal_block, uniform_block
from samdyn.compute.vector import Coordinates, dot
from samdyn.ensemble.step import Stepper

COMPILE_FROM = 2e9

# state, path numbers, block number, coefficients of each of the four steps, dt, key -> state, exit code
Kernel = Callable[
    [tuple[Tensor, ...], Tensor, Tensor, tuple[tuple[Tensor, ...], ...], Tensor, tuple[Tensor, Tensor]],
    tuple[tuple[Tensor, ...], Tensor],
]


@dataclass(frozen=True)
class ExitTest:
    """The exit test of one step.

    Attributes
    ----------
    faces : tuple
        The region's faces: objects with `distance` and `distance_and_normal`.
    bridge : bool
        Whether paths may leave and return within a step (Brownian bridge), or are looked at between steps only.
    exit_probability : callable
        (a, c, variance), each a sequence over the faces, to the probability of an exit.
    """

    faces: tuple[Any, ...]
    bridge: bool
    exit_probability: Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Any]], Tensor]

    def geometry(
        self, stepper: Stepper, x: Coordinates, coefficients: Sequence[Tensor], dt: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Distances of the start of a step to the faces (positive inside), and the variances of the step along their normals."""
        distances, variances = [], []
        for face in self.faces:
            distance, normal = face.distance_and_normal(x)
            back = stepper.pull_back(x, normal, coefficients, dt)
            distances.append(-distance)
            variances.append(dot(back, back))
        return distances, variances


def block_function(stepper: Stepper, test: ExitTest) -> Kernel:
    """The block of four steps as a torch function, not yet compiled."""
    dim = stepper.dim

    def block(
        state: tuple[Tensor, ...],
        path: Tensor,
        index: Tensor,
        coefficients: tuple[tuple[Tensor, ...], ...],
        dt: Tensor,
        key: tuple[Tensor, Tensor],
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        dtype = state[0].dtype
        normals: Sequence[tuple[Tensor, ...]] = [()] * STEPS_PER_BLOCK
        if stepper.n_normals:
            normals = normal_block(key, path, index, stepper.n_normals, dtype)
        uniforms = uniform_block(key, path, index, STREAM_BRIDGE, dtype) if test.bridge else ()
        code = torch.zeros_like(state[0])
        current = Coordinates(state)
        for j in range(STEPS_PER_BLOCK):
            start = Coordinates(current[:dim])
            following = stepper.advance(current, Coordinates(normals[j]), coefficients[j], dt)
            end = Coordinates(following[:dim])
            if test.bridge:
                a, variance = test.geometry(stepper, start, coefficients[j], dt)
                c = [-face.distance(end) for face in test.faces]
                # written so that nan, a path that diverged, counts as outside
                left = ~(uniforms[j] >= test.exit_probability(a, c, variance))
            else:
                inside = test.faces[0].distance(end) < 0
                for face in test.faces[1:]:
                    inside = inside & (face.distance(end) < 0)
                left = ~inside
            code = torch.where((code == 0) & left, j + 1.0, code)
            current = following
        return tuple(current), code

    return block


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile can build kernels here: a C++ compiler for the CPU, Triton for a GPU."""
    if device.type == "cuda":
        return True
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))


@functools.lru_cache(maxsize=32)
def compiled_kernel(stepper: Stepper, test: ExitTest) -> Kernel:
    """The block of four steps through torch.compile; equal steppers and tests share it."""
    import torch._inductor.config as inductor

    # OpenMP inside such short kernels collapses when another process is on the machine
    inductor.cpp.threads = 1
    kernel: Kernel = torch.compile(block_function(stepper, test), dynamic=True, fullgraph=True)
    return kernel

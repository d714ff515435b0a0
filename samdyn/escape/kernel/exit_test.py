"""Four steps of a tile of paths with the first-exit test: the inner loop of every escape computation.

One call advances each path by a block of four steps, the unit in which the random numbers come, and says in
which of the four, if any, the path left. It returns nothing else about the exit: an exit is a function of
(seed, path, step) and of the state at the start of the block, so the few paths that leave are replayed
afterwards (`samdyn.escape.kernel.exits`) and the inner loop stays short.

The function here is in torch: coordinates are separate 1-D tensors, random numbers are integer arithmetic on
the path number. The same block is printed as C++ and as CUDA (`samdyn.escape.kernel.sweep_native`), which is
what large jobs run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from samdyn.dynamics.step import Stepper, combine, euler_maruyama
from samdyn.numerics.power_of_2 import power_of_two
from samdyn.numerics.random import STEPS_PER_BLOCK, spare_uniform
from samdyn.numerics.vector import Coordinates

EXPONENT = -2.0 / math.log(2.0)

# state, path numbers, block number, coefficients of each of the four steps, dt, key -> state, exit code;
# coefficients and dt are 0-d, or have an entry for each path
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
        Whether paths may leave and return within a step (Brownian bridge), or are looked at between steps
        only.
    exit_probability : callable
        (a, c, variance), each a sequence over the faces, to the probability of an exit.
    projected_variance : callable
        (normal, columns of B) to |B^T normal|^2.
    """

    faces: tuple[Any, ...]
    bridge: bool
    exit_probability: Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Any]], Tensor]
    projected_variance: Callable[[Sequence[Any], Sequence[Sequence[Any]]], Any]

    def geometry(
        self, x: Coordinates, columns: Sequence[Coordinates], dt: Any
    ) -> tuple[list[Tensor], list[Any]]:
        """Distances of the start of a step to the faces (positive inside), and the variances of the step
        along their normals.
        """
        distances, variances = [], []
        for face in self.faces:
            distance, normal = face.distance_and_normal(x)
            distances.append(-distance)
            variances.append(self.projected_variance(normal, columns) * dt)
        return distances, variances


def crossed(a: Tensor, c: Tensor, variance: Any) -> Tensor:
    """Probability that the bridge from inside, at distance a of a face, to distance c crosses the face."""
    return power_of_two(torch.clamp(a * c * (EXPONENT / variance), max=0.0))


def block_function(stepper: Stepper, test: ExitTest) -> Kernel:
    """The block of four steps as a torch function."""

    def block(
        state: tuple[Tensor, ...],
        path: Tensor,
        index: Tensor,
        coefficients: tuple[tuple[Tensor, ...], ...],
        dt: Tensor,
        key: tuple[Tensor, Tensor],
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        dtype = state[0].dtype
        inputs = stepper.draws.block(key, path, index, dtype)
        uniform = spare_uniform(key, path, index, dtype) if test.bridge else None
        return advance_block(stepper, test, state, inputs, uniform, coefficients, dt)

    return block


def advance_block(
    stepper: Stepper,
    test: ExitTest,
    state: tuple[Tensor, ...],
    inputs: Sequence[Sequence[Tensor]],
    uniform: Tensor | None,
    coefficients: Sequence[Sequence[Tensor]],
    dt: Any,
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Four steps with given random numbers: the states after them, and the number (1-4) of the step in
    which each path left, or 0.
    """
    code = total = torch.zeros_like(state[0])
    current = Coordinates(state)
    for j in range(STEPS_PER_BLOCK):
        start = Coordinates(current[: stepper.dim])
        if stepper.continuous:
            drift, columns = stepper.local(current, coefficients[j])
            following = euler_maruyama(current, drift, combine(columns, inputs[j]), dt)
        else:
            columns = []
            following = stepper.iterate(current, inputs[j], coefficients[j])
        end = Coordinates(following[: stepper.dim])
        # both written so that nan, a path that diverged, counts as outside
        if uniform is not None:
            a, variance = test.geometry(start, columns, dt)
            c = [-face.distance(end) for face in test.faces]
            for p in map(crossed, a, c, variance):
                total = total + p * (1.0 - total)
            left = ~(uniform >= total)
        else:
            inside = test.faces[0].distance(end) < 0
            for face in test.faces[1:]:
                inside = inside & (face.distance(end) < 0)
            left = ~inside
        code = torch.where((code == 0) & left, j + 1.0, code)
        current = following
    # some ways to infinity never pass through nan; the replay finds out that it is one
    finite = current[0].isfinite()
    for x in current[1:]:
        finite = finite & x.isfinite()
    return tuple(current), torch.where((code == 0) & ~finite, float(STEPS_PER_BLOCK), code)

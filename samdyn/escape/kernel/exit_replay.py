"""Replay of exits: when in its step, through which face and where each noted path left.

Algorithm
---------
The inner loop says only that a path left in one of the four steps of a block. An exit is a function of
(seed, path, step) and of the state at the start of the block, so here the four steps of every noted path are
taken again from the noted state with the same random numbers; then the face, the crossing time within the
step and the place are drawn (`samdyn.escape.kernel.crossing`). A path whose state is not finite by then has
diverged.

Notes are replayed in batches. A batch that does not fit into memory is halved and tried again: it writes
its results last, so nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.step import Stepper
from samdyn.escape.kernel.coefficients import Coefficients
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.jobs.memory import halving
from samdyn.numerics.random import (
    STEPS_PER_BLOCK,
    normals_from_bits,
    path_counter,
    philox4x32,
    uniform_from_bits,
)
from samdyn.numerics.vector import Coordinates

STREAM_EXIT = 0xFFFF_1000  # and the numbers after it: what an exit draws


@dataclass
class Exits:
    """What became of each path.

    Attributes
    ----------
    step : ndarray of int64, shape (n,)
        Number of whole steps before the step in which the path left; -1 while it has not.
    fraction : ndarray, shape (n,)
        Time of the exit within that step, in units of the step.
    face : ndarray of int16, shape (n,)
    point : ndarray, shape (n, dim)
    diverged : ndarray of bool, shape (n,)
    n_steps : int, or ndarray of int64, shape (n,)
        Steps that every path was followed for, unless it left; or that each was.
    """

    step: npt.NDArray[np.int64]
    fraction: Array
    face: npt.NDArray[np.int16]
    point: Array
    diverged: npt.NDArray[np.bool_]
    n_steps: int | npt.NDArray[np.int64]

    @classmethod
    def of(cls, n: int, dim: int, n_steps: int | npt.NDArray[np.int64]) -> Exits:
        """The notes of n paths none of which has left."""
        return cls(
            np.full(n, -1, dtype=np.int64),
            np.zeros(n),
            np.full(n, -1, dtype=np.int16),
            np.full((n, dim), np.nan),
            np.zeros(n, dtype=bool),
            n_steps,
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name, n_steps apart."""
        return {name: getattr(self, name) for name in ("step", "fraction", "face", "point", "diverged")}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take the arrays from a checkpoint.

        Raises
        ------
        ValueError
            They are not there, or of another shape.
        """
        for name, array in self.arrays().items():
            saved = checkpoint.arrays.pop(name, None)
            if saved is None or saved.shape != array.shape or saved.dtype != array.dtype:
                raise checkpoint.damaged(f"{name!r} is missing or has another shape")
            setattr(self, name, saved)


@dataclass
class Notes:
    """Paths that left, waiting for their replay: states at the start of the block, row and block
    numbers, exit codes.
    """

    states: list[Tensor] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    blocks: list[Tensor] = field(default_factory=list)
    codes: list[Tensor] = field(default_factory=list)
    count: int = 0

    def add(self, state: Tensor, row: Tensor, block: Tensor | int, code: Tensor) -> None:
        self.states.append(state)
        self.rows.append(row)
        self.blocks.append(block if isinstance(block, Tensor) else torch.full_like(row, block))
        self.codes.append(code)
        self.count += len(row)

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` entries."""
        lists = (self.states, self.rows, self.blocks, self.codes)
        if any(len(entries) > length for entries in lists):
            for entries in lists:
                del entries[length:]
            self.count = sum(map(len, self.rows))

    def joined(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States (state_dim, m), rows, blocks and codes (m,) of a non-empty list."""
        return (
            torch.cat(self.states, dim=1),
            torch.cat(self.rows),
            torch.cat(self.blocks),
            torch.cat(self.codes),
        )


Draws = Callable[[int], tuple[list[Tensor], list[Tensor]]]
# start and end of the step of the exit, random numbers, coefficients, dt -> face, fraction, point
Finish = Callable[
    [Coordinates, Coordinates, Draws, Sequence[Tensor], Tensor], tuple[Tensor, Tensor, Coordinates]
]


def exit_draws(
    key: tuple[Tensor, Tensor], path: Tensor, step: Tensor, count: int, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """`count` standard normals and `count` uniforms that belong to a path's exit in a step."""
    normals: list[Tensor] = []
    uniforms: list[Tensor] = []
    for call in range(-(-count // 2)):
        counter = path_counter(path, step & 0xFFFF_FFFF, STREAM_EXIT + call)
        words = philox4x32(counter, key)
        normals += normals_from_bits(words[0], words[1], dtype)
        uniforms += [uniform_from_bits(word, dtype) for word in words[2:]]
    return normals[:count], uniforms[:count]


def replay(
    notes: Notes,
    result: Exits,
    stepper: Stepper,
    finish: Finish,
    coefficients: Coefficients,
    first_row: int,
    key: tuple[Tensor, Tensor],
    batch: int,
) -> None:
    """Run the block of every noted exit again, `batch` at a time, and record the exits in `result`."""
    notes.rewind(len(notes.codes))  # the last note may have been cut short by Ctrl-C
    if not notes.count:
        return
    with torch.no_grad():
        states, rows, blocks, codes = notes.joined()
        codes = codes.to(torch.int64)

        def record(piece: slice) -> None:
            _replay_batch(
                states[:, piece], rows[piece], blocks[piece], codes[piece],
                result, stepper, finish, coefficients, first_row, key,
            )  # fmt: skip

        a = 0
        while a < len(rows):
            wanted = min(batch, len(rows) - a)
            size = halving(lambda n, a=a: record(slice(a, a + n)), wanted)  # type: ignore[misc]
            batch = size if size < wanted else batch
            a += size


def _replay_batch(
    states: Tensor,
    row: Tensor,
    block: Tensor,
    code: Tensor,
    result: Exits,
    stepper: Stepper,
    finish: Finish,
    coefficients: Coefficients,
    first_row: int,
    key: tuple[Tensor, Tensor],
) -> None:
    dtype, path = states.dtype, coefficients.paths(row)
    inputs = stepper.draws.block(key, path, block, dtype)
    values = coefficients.of_notes(block, row, dtype)
    dt = coefficients.of_rows(row)(coefficients.step_lengths(dtype, states.device))
    current = Coordinates(states.unbind(0))
    start = end = current
    own = values[:, 0]
    for j in range(STEPS_PER_BLOCK):
        at = [values[:, j, k] for k in range(values.shape[2])]
        following = stepper.step(current, inputs[j], at, dt)
        here = code == j + 1
        start = Coordinates(torch.where(here, u, v) for u, v in zip(current, start, strict=True))
        end = Coordinates(torch.where(here, u, v) for u, v in zip(following, end, strict=True))
        own = torch.where(here[:, None], values[:, j], own)
        current = following
    start, end = Coordinates(start[: stepper.dim]), Coordinates(end[: stepper.dim])
    step = STEPS_PER_BLOCK * block + code - 1

    def draws(count: int) -> tuple[list[Tensor], list[Tensor]]:
        return exit_draws(key, path, step, count, dtype)

    face, fraction, point = finish(start, end, draws, own.unbind(1), dt)
    index = (row - first_row).cpu().numpy()
    finite = torch.stack([x.isfinite() for x in end]).all(dim=0).cpu().numpy()
    result.step[index] = step.cpu().numpy()
    result.fraction[index] = np.where(finite, fraction.double().cpu().numpy(), 0.0)
    result.face[index] = np.where(finite, face.cpu().numpy(), -1)
    result.point[index] = torch.stack(tuple(point), dim=1).double().cpu().numpy()
    result.diverged[index] = ~finite

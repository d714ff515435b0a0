"""First exits of an ensemble of paths.

Algorithm
---------
1. All paths that are still inside form a pool: one tensor a coordinate, and the path numbers. They stand at
   the same step.
2. A sweep takes the pool through `SWEEP` blocks of four steps, tile by tile, so that a tile stays in the
   cache. A path that leaves is noted with its state at the start of the block; it runs on unobserved until
   the sweep ends.
3. After a sweep the paths that left are removed from the pool (compaction). The random numbers belong to
   the path, not to its place, so nothing else changes.
4. Noted exits are replayed, in batches: the four steps again from the noted state with the same numbers,
   then the face, the crossing time within the step and the place are drawn (`samdyn.escape.crossing`). A
   path whose state is not finite by then has diverged.

Stopping rules: no path is left, or the step limit is reached; what is still inside then is censored. Ctrl-C
ends the run after the current tile; the paths inside are censored at the last step that all of them had
completed.

Memory: 8 (state_dim + 1) bytes a path for the pool at double precision, and the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.compute.checks import Array
from samdyn.compute.random import (
    STEPS_PER_BLOCK,
    STREAM_BRIDGE,
    normal_block,
    normals_from_bits,
    path_counter,
    philox4x32,
    split_seed,
    uniform_block,
    uniform_from_bits,
)
from samdyn.compute.vector import Coordinates
from samdyn.ensemble.kernel import ExitTest, Kernel, advance_block, block_function, compiled_kernel
from samdyn.ensemble.step import Stepper, combine

STREAM_EXIT = 0xFFFF_1000  # and the numbers after it: what an exit draws
TILE = 1 << 14
SWEEP = 16
REPLAY = 1 << 16


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
    n_steps : int
        Steps that every path was followed for, unless it left.
    """

    step: npt.NDArray[np.int64]
    fraction: Array
    face: npt.NDArray[np.int16]
    point: Array
    diverged: npt.NDArray[np.bool_]
    n_steps: int


@dataclass
class Notes:
    """Paths that left, waiting for their replay: states at the start of the block, path and block
    numbers, exit codes.
    """

    states: list[Tensor] = field(default_factory=list)
    paths: list[Tensor] = field(default_factory=list)
    blocks: list[Tensor] = field(default_factory=list)
    codes: list[Tensor] = field(default_factory=list)
    count: int = 0

    def add(self, state: Tensor, path: Tensor, block: int, code: Tensor) -> None:
        self.states.append(state)
        self.paths.append(path)
        self.blocks.append(torch.full_like(path, block))
        self.codes.append(code)
        self.count += len(path)


Draws = Callable[[int], tuple[list[Tensor], list[Tensor]]]
# start, end and uniform of the step of the exit, further random numbers, coefficients, dt -> face,
# fraction, point
Finish = Callable[
    [Coordinates, Coordinates, Tensor, Draws, Sequence[Tensor], Tensor], tuple[Tensor, Tensor, Coordinates]
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


def first_exits(
    stepper: Stepper,
    test: ExitTest,
    finish: Finish,
    coefficients: Callable[[int], Sequence[float]],
    starts: Array,
    *,
    first_path: int = 0,
    n_steps: int,
    dt: float,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    compile: bool,
    progress: Callable[[int, int], None] | None = None,
    tile: int = TILE,
) -> Exits:
    """Advance paths until they leave or `n_steps` steps are done.

    Parameters
    ----------
    stepper, test : Stepper, ExitTest
        The step and the exit test.
    finish : callable
        Draws face, fraction and exit point of paths known to leave in a step.
    coefficients : callable
        The coefficients' values at a step, in the order of `stepper.names`; a constant sequence for
        constant coefficients.
    starts : ndarray, shape (n, state_dim)
        Initial states.
    first_path : int
        Number of the first path: the random numbers are those of paths first_path, first_path + 1, ...
    n_steps, dt, seed
        Step limit, step length and seed.
    device, dtype
        Where, and in which precision, states are kept.
    compile : bool
        Whether to use the compiled kernel.
    progress : callable, optional
        Called with the completed steps and the number of paths inside after each sweep.
    tile : int
        Paths per kernel call.
    """
    n, dim = len(starts), stepper.dim
    result = Exits(
        np.full(n, -1, dtype=np.int64),
        np.zeros(n),
        np.full(n, -1, dtype=np.int16),
        np.full((n, dim), np.nan),
        np.zeros(n, dtype=bool),
        n_steps,
    )
    kernel: Kernel = compiled_kernel(stepper, test) if compile else block_function(stepper, test)
    plain = None if compile or device.type != "cpu" else stepper.eager()
    key_words = split_seed(seed)
    key = (torch.tensor(key_words[0], device=device), torch.tensor(key_words[1], device=device))
    step_length = torch.tensor(dt, dtype=dtype, device=device)
    pool = torch.from_numpy(np.ascontiguousarray(starts.T)).to(device=device, dtype=dtype)
    paths = torch.arange(first_path, first_path + n, device=device)
    notes = Notes()

    def tensors(step: int) -> tuple[Tensor, ...]:
        return tuple(torch.tensor(value, dtype=dtype, device=device) for value in coefficients(step))

    def settle() -> None:
        if notes.count:
            _replay(notes, result, stepper, finish, coefficients, first_path, step_length, key)
            notes.__init__()  # type: ignore[misc]

    n_blocks = -(-n_steps // STEPS_PER_BLOCK)
    block = 0
    try:
        with torch.no_grad():
            while block < n_blocks and pool.shape[1]:
                sweep = min(SWEEP, n_blocks - block)
                values = [
                    tuple(tensors(STEPS_PER_BLOCK * (block + s) + j) for j in range(STEPS_PER_BLOCK))
                    for s in range(sweep)
                ]
                indices = [torch.tensor(block + s, device=device) for s in range(sweep)]
                gone = torch.zeros(pool.shape[1], dtype=torch.bool, device=device)
                for a in range(0, pool.shape[1], tile):
                    piece = slice(a, a + tile)
                    state, path, left = tuple(pool[:, piece].unbind(0)), paths[piece], gone[piece]
                    noise = _sweep_noise(plain, test, key, path, block, sweep, dtype) if plain else None
                    for s in range(sweep):
                        if plain and noise:
                            following, code = advance_block(
                                plain, test, state, *noise(s), values[s], step_length
                            )
                        else:
                            following, code = kernel(state, path, indices[s], values[s], step_length, key)
                        new = ((code > 0) & ~left).nonzero()[:, 0]
                        if len(new):
                            notes.add(torch.stack([x[new] for x in state]), path[new], block + s, code[new])
                            left[new] = True
                        state = following
                    for d, x in enumerate(state):
                        pool[d, piece] = x
                if notes.count >= REPLAY:
                    settle()
                stay = ~gone
                if bool(gone.any()):
                    pool, paths = pool[:, stay], paths[stay]
                block += sweep
                if progress is not None:
                    progress(min(STEPS_PER_BLOCK * block, n_steps), pool.shape[1])
    except KeyboardInterrupt:
        result.n_steps = min(STEPS_PER_BLOCK * block, n_steps)
    settle()
    # exits after the limit belong to the unfinished last block, or to a sweep that was interrupted
    late = result.step >= result.n_steps
    result.step[late], result.face[late], result.point[late], result.diverged[late] = -1, -1, np.nan, False
    result.fraction[late] = 0.0
    return result


def _sweep_noise(
    stepper: Stepper,
    test: ExitTest,
    key: tuple[Tensor, Tensor],
    path: Tensor,
    block: int,
    sweep: int,
    dtype: torch.dtype,
) -> Callable[[int], tuple[Sequence[Sequence[Tensor]], Sequence[Tensor]]]:
    """The random numbers of a tile for a whole sweep, drawn at once: eager operations cost their
    overhead, not their size.
    """
    blocks = torch.arange(block, block + sweep, device=path.device)[:, None]
    k = stepper.n_normals
    normals = normal_block(key, path, blocks, k, dtype) if k else [()] * STEPS_PER_BLOCK
    uniforms = uniform_block(key, path, blocks, STREAM_BRIDGE, dtype) if test.bridge else ()

    def at(s: int) -> tuple[Sequence[Sequence[Tensor]], Sequence[Tensor]]:
        return [tuple(z[s] for z in step) for step in normals], [u[s] for u in uniforms]

    return at


def _replay(
    notes: Notes,
    result: Exits,
    stepper: Stepper,
    finish: Finish,
    coefficients: Callable[[int], Sequence[float]],
    first_path: int,
    dt: Tensor,
    key: tuple[Tensor, Tensor],
) -> None:
    """Run the block of every noted exit again and record the exit."""
    with torch.no_grad():
        states, paths = torch.cat(notes.states, dim=1), torch.cat(notes.paths)
        blocks, codes = torch.cat(notes.blocks), torch.cat(notes.codes).to(torch.int64)
        for a in range(0, len(paths), REPLAY):
            piece = slice(a, a + REPLAY)
            _replay_batch(
                states[:, piece], paths[piece], blocks[piece], codes[piece],
                result, stepper, finish, coefficients, first_path, dt, key,
            )  # fmt: skip


def _replay_batch(
    states: Tensor,
    path: Tensor,
    block: Tensor,
    code: Tensor,
    result: Exits,
    stepper: Stepper,
    finish: Finish,
    coefficients: Callable[[int], Sequence[float]],
    first_path: int,
    dt: Tensor,
    key: tuple[Tensor, Tensor],
) -> None:
    dtype, device = states.dtype, states.device
    n_normals, dim = stepper.n_normals, stepper.dim
    normals: Any = normal_block(key, path, block, n_normals, dtype) if n_normals else [()] * STEPS_PER_BLOCK
    uniforms = uniform_block(key, path, block, STREAM_BRIDGE, dtype)
    # the coefficients at each path's own steps
    known, where = torch.unique(block, return_inverse=True)
    table = [
        [list(coefficients(STEPS_PER_BLOCK * int(b) + j)) for j in range(STEPS_PER_BLOCK)]
        for b in known.tolist()
    ]
    values = torch.tensor(table, dtype=dtype, device=device)[where]  # (n, 4, names)
    current = Coordinates(states.unbind(0))
    start, end, uniform = current, current, uniforms[0]
    own = values[:, 0]
    for j in range(STEPS_PER_BLOCK):
        at = [values[:, j, k] for k in range(values.shape[2])]
        if stepper.continuous:
            drift, columns = stepper.local(current, at)
            noise = combine(columns, normals[j])
            following = Coordinates(
                x + dt * v + dt**0.5 * s for x, v, s in zip(current, drift, noise, strict=True)
            )
        else:
            following = stepper.iterate(current, normals[j], at)
        here = code == j + 1
        start = Coordinates(torch.where(here, u, v) for u, v in zip(current, start, strict=True))
        end = Coordinates(torch.where(here, u, v) for u, v in zip(following, end, strict=True))
        uniform = torch.where(here, uniforms[j], uniform)
        own = torch.where(here[:, None], values[:, j], own)
        current = following
    start, end = Coordinates(start[:dim]), Coordinates(end[:dim])
    step = STEPS_PER_BLOCK * block + code - 1

    def draws(count: int) -> tuple[list[Tensor], list[Tensor]]:
        return exit_draws(key, path, step, count, dtype)

    face, fraction, point = finish(start, end, uniform, draws, own.unbind(1), dt)
    index = (path - first_path).cpu().numpy()
    finite = torch.stack([x.isfinite() for x in end]).all(dim=0).cpu().numpy()
    result.step[index] = step.cpu().numpy()
    result.fraction[index] = np.where(finite, fraction.double().cpu().numpy(), 0.0)
    result.face[index] = np.where(finite, face.cpu().numpy(), -1)
    result.point[index] = torch.stack(tuple(point), dim=1).double().cpu().numpy()
    result.diverged[index] = ~finite

"""First exits of an ensemble of paths.

Algorithm
---------
1. All paths that are still inside form a pool: one tensor a coordinate, and the row numbers (a row is a path,
   of one system or of several: `samdyn.escape.kernel.coefficients`). They stand at the same step.
2. A sweep takes the pool through `SWEEP` blocks of four steps, tile by tile
   (`samdyn.escape.kernel.sweep_choice`). A path that leaves is noted with its state at the start of the
   block; it runs on unobserved until the sweep ends. A tile that does not fit into memory is halved, for this
   sweep and all that follow.
3. After a sweep the paths that left are removed from the pool (compaction). The random numbers belong to
   the path, not to its place, so nothing else changes.
4. Noted exits are replayed in batches (`samdyn.escape.kernel.exit_replay`), which gives face, time and place.

Stopping rules: no path is left, or the step limit is reached; what is still inside then is censored. Ctrl-C
ends the run after the current tile; the paths inside are censored at the last step that all of them had
completed.

Checkpoints are written between sweeps: the block number, the pool, the notes and the exits so far. They
hold every bit of the state, and a resumed run goes through the very operations of an uninterrupted one.

Memory: 8 (state_dim + 1) bytes a path for the pool at double precision, and the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.step import Stepper
from samdyn.escape.kernel.coefficients import Coefficients, Values
from samdyn.escape.kernel.exit_replay import Exits, Finish, Notes, replay
from samdyn.escape.kernel.exit_test import ExitTest
from samdyn.escape.kernel.sweep_choice import choose_sweep
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.jobs.memory import halving
from samdyn.numerics.random import STEPS_PER_BLOCK, split_seed
from samdyn.trace.device import one_thread

# paths to a call: more repay the overhead of a compiled one and fill a GPU; an eager one has more arrays
# in the cache
TILE, COMPILED_TILE, GPU_TILE = 1 << 14, 1 << 16, 1 << 22
SWEEP = 16
REPLAY = 1 << 16  # exits noted before they are replayed together, which bounds memory

# of each block of a sweep the coefficients of its four steps
SweepValues = Sequence[Sequence[Values]]


class CostWatch(Protocol):
    """What wants to know how the work goes on."""

    def begin(self) -> None: ...

    def tile(self, path_steps: float) -> None: ...

    def sweep(self, step: int, inside: int) -> None: ...


def first_exits(
    stepper: Stepper,
    test: ExitTest,
    finish: Finish,
    coefficients: Coefficients,
    starts: Array,
    *,
    first_row: int = 0,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    compile: bool,
    progress: Callable[[int, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
    cost: CostWatch | None = None,
    tile: int | None = None,
) -> Exits:
    """Advance paths until they leave or their step limit is reached.

    Parameters
    ----------
    stepper, test : Stepper, ExitTest
        The step and the exit test.
    finish : callable
        Draws face, fraction and exit point of paths known to leave in a step.
    coefficients : Coefficients
        Of the system or the systems of the ensemble, with step lengths and step limits.
    starts : ndarray, shape (n, state_dim)
        Initial states.
    first_row : int
        Number of the first row of the ensemble; for one system the number of its first path.
    seed : int
    device, dtype
        Where, and in which precision, states are kept.
    compile : bool
        Whether to compile the sweep, where that can be done.
    progress : callable, optional
        Called with the completed steps and the number of paths inside after each sweep. What it raises ends
        the run: a KeyboardInterrupt as Ctrl-C does.
    checkpoint : Checkpoint, optional
        Where the state is saved; what it holds is resumed.
    cost : CostWatch, optional
        Told of every tile and every sweep: it says what the job will cost.
    tile : int, optional
        Paths per kernel call.
    """
    if tile is None:
        tile = GPU_TILE if device.type == "cuda" else COMPILED_TILE if compile else TILE
    n_steps = max(coefficients.n_steps)
    limits = coefficients.limits(np.arange(first_row, first_row + len(starts)))
    result = Exits.of(len(starts), stepper.dim, n_steps)
    words = split_seed(seed)
    key = (torch.tensor(words[0], device=device), torch.tensor(words[1], device=device))
    advance = choose_sweep(stepper, test, coefficients, device, dtype, words, compile)
    if cost is not None:
        cost.begin()
    constant = None if coefficients.scheduled else coefficients.block(0, dtype, device)
    notes = Notes()
    if checkpoint is not None and checkpoint.meta is not None:
        block, pool, rows = _resume(checkpoint, result, notes, device, dtype)
    else:
        block = 0
        pool = torch.from_numpy(np.array(starts.T, order="C")).to(device=device, dtype=dtype)
        rows = torch.arange(first_row, first_row + len(starts), device=device)
        if checkpoint is not None:
            _save(checkpoint, block, pool, rows, notes, result)

    def block_values(b: int) -> Sequence[Values]:
        return constant or coefficients.block(b, dtype, device)

    def run_sweep(values: SweepValues) -> Tensor:
        """Advance the pool; which of its paths left."""
        nonlocal tile
        assert tile is not None
        gone = torch.zeros(pool.shape[1], dtype=torch.bool, device=device)
        a = 0

        def attempt(size: int) -> None:
            notes.rewind(noted)  # what an attempt that ran out of memory left behind
            gone[a : a + wanted] = False
            piece = slice(a, a + size)
            advance(pool[:, piece], rows[piece], gone[piece], block, values, notes)

        while a < pool.shape[1]:
            noted, wanted = len(notes.rows), min(tile, pool.shape[1] - a)
            size = halving(attempt, wanted)
            tile = size if size < wanted else tile
            a += size
            if cost is not None:
                cost.tile(float(STEPS_PER_BLOCK * len(values) * size))
        return gone

    def settle() -> None:
        replay(notes, result, stepper, finish, coefficients, first_row, key, REPLAY)
        notes.rewind(0)

    n_blocks = -(-n_steps // STEPS_PER_BLOCK)
    interrupted = False
    try:
        with torch.no_grad(), one_thread():
            while block < n_blocks and pool.shape[1]:
                sweep = min(SWEEP, n_blocks - block)
                gone = run_sweep([block_values(block + s) for s in range(sweep)])
                if notes.count >= REPLAY:
                    settle()
                block += sweep
                if coefficients.several:  # systems whose step limit is reached have no more to do
                    ended = limits[rows.cpu().numpy() - first_row] <= STEPS_PER_BLOCK * block
                    gone |= torch.from_numpy(ended).to(device)
                inside = (~gone).nonzero()[:, 0]
                if len(inside) < len(gone):
                    pool, rows = pool.index_select(1, inside), rows[inside]
                if checkpoint is not None and checkpoint.due():
                    _save(checkpoint, block, pool, rows, notes, result)
                if cost is not None:
                    cost.sweep(min(STEPS_PER_BLOCK * block, n_steps), pool.shape[1])
                if progress is not None:
                    progress(min(STEPS_PER_BLOCK * block, n_steps), pool.shape[1])
    except KeyboardInterrupt:
        interrupted = True
        result.n_steps = min(STEPS_PER_BLOCK * block, n_steps)
    with one_thread():
        settle()
    # exits after the limit belong to the unfinished last block, or to a sweep that was interrupted
    late = result.step >= np.minimum(limits, result.n_steps)
    result.step[late], result.face[late], result.point[late], result.diverged[late] = -1, -1, np.nan, False
    result.fraction[late] = 0.0
    if checkpoint is not None and not interrupted:  # a finished job's file gives its result again
        _save(checkpoint, block, pool, rows, notes, result)
    return result


def _save(
    checkpoint: Checkpoint, block: int, pool: Tensor, rows: Tensor, notes: Notes, result: Exits
) -> None:
    arrays = {"pool": pool, "rows": rows}
    if notes.count:
        states, noted, blocks, codes = notes.joined()
        arrays |= {"note_states": states, "note_rows": noted, "note_blocks": blocks, "note_codes": codes}
    saved = {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
    checkpoint.write({"kind": "pool", "block": block}, {**saved, **result.arrays()})


def _resume(
    checkpoint: Checkpoint, result: Exits, notes: Notes, device: torch.device, dtype: torch.dtype
) -> tuple[int, Tensor, Tensor]:
    """Fill result and notes from a checkpoint; block number, pool and row numbers."""
    assert checkpoint.meta is not None
    result.restore(checkpoint)

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(checkpoint.arrays.pop(name)).to(device)

    try:
        if "note_rows" in checkpoint.arrays:
            states, noted = tensor("note_states"), tensor("note_rows")
            notes.add(states, noted, tensor("note_blocks"), tensor("note_codes"))
        block, pool, rows = int(checkpoint.meta["block"]), tensor("pool"), tensor("rows")
    except KeyError as error:
        raise checkpoint.damaged(f"{error.args[0]} is missing") from error
    if pool.dtype != dtype or pool.shape[1:] != rows.shape:
        raise checkpoint.damaged("the pool does not fit")
    checkpoint.meta = None
    return block, pool, rows

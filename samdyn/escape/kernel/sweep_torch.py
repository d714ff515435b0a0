"""The sweep in torch: some blocks of four steps of a tile of paths.

A block is one call of the kernel (`samdyn.escape.kernel.exit_test`). On the CPU the step runs as printed
numpy code, and the random numbers of all blocks are drawn at once: eager operations cost their overhead, not
their size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from samdyn.dynamics.step import Stepper
from samdyn.escape.kernel.coefficients import Coefficients, Values
from samdyn.escape.kernel.exit_replay import Notes
from samdyn.escape.kernel.exit_test import ExitTest, advance_block, block_function
from samdyn.numerics.random import spare_uniform

# pool, row numbers, which have left, number of the first block, coefficients of the four steps of each block
# (0-d, or over the systems), notes: advances the pool, notes who leaves and marks it as gone
Sweep = Callable[[Tensor, Tensor, Tensor, int, Sequence[Sequence[Values]], Notes], None]


def torch_sweep(
    stepper: Stepper,
    test: ExitTest,
    coefficients: Coefficients,
    device: torch.device,
    dtype: torch.dtype,
    key: tuple[int, int],
) -> Sweep:
    """The function that advances a tile of the pool.

    Parameters
    ----------
    stepper, test : Stepper, ExitTest
    coefficients : Coefficients
    device, dtype
        Where, and in which precision, states are kept.
    key : tuple of int
        The two words of the seed.
    """
    kernel = block_function(stepper, test)
    plain = stepper.eager() if device.type == "cpu" else None
    words = (torch.tensor(key[0], device=device), torch.tensor(key[1], device=device))
    step_length = coefficients.step_lengths(dtype, device)

    def sweep(
        pool: Tensor, rows: Tensor, gone: Tensor, block: int, values: Sequence[Sequence[Values]], notes: Notes
    ) -> None:
        state = tuple(pool)
        path, own = coefficients.paths(rows), coefficients.of_rows(rows)
        dt = own(step_length)
        noise = _noise(plain, test, words, path, block, len(values), dtype) if plain else None
        for s, block_values in enumerate(values):
            four = tuple(tuple(map(own, step)) for step in block_values)
            if plain and noise:
                following, code = advance_block(plain, test, state, *noise(s), four, dt)
            else:
                index = torch.tensor(block + s, device=device)
                following, code = kernel(state, path, index, four, dt, words)
            new = ((code > 0) & ~gone).nonzero()[:, 0]
            if len(new):
                notes.add(torch.stack([x[new] for x in state]), rows[new], block + s, code[new])
                gone[new] = True
            state = following
        for x, end in zip(pool, state, strict=True):
            x[:] = end

    return sweep


def _noise(
    stepper: Stepper,
    test: ExitTest,
    key: tuple[Tensor, Tensor],
    path: Tensor,
    block: int,
    n_blocks: int,
    dtype: torch.dtype,
) -> Callable[[int], tuple[Sequence[Sequence[Tensor]], Tensor | None]]:
    """The random numbers of a tile for a whole sweep."""
    blocks = torch.arange(block, block + n_blocks, device=path.device)[:, None]
    inputs = stepper.draws.block(key, path, blocks, dtype)
    uniforms = spare_uniform(key, path, blocks, dtype) if test.bridge else None

    def at(s: int) -> tuple[Sequence[Sequence[Tensor]], Tensor | None]:
        return [tuple(z[s] for z in step) for step in inputs], None if uniforms is None else uniforms[s]

    return at

"""Parts of the weights that a rule treats differently: blocks of a network, or coordinates by number.

A block is named as `loss.blocks` names it (`samdyn.from_module`), or given as the number of a coordinate.
What a rule needs is found when it is bound to a loss (`Rule.bound`), so that its perturbation is a function
of a point alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.rules.schedules import keep

R = TypeVar("R")
NORMALISATION = "normalisation"
"""Stands for the affine parameters of a module's normalisation layers."""
NORMS = (
    torch.nn.modules.batchnorm._NormBase,
    torch.nn.LayerNorm,
    torch.nn.GroupNorm,
    torch.nn.RMSNorm,
)


class Rows(NamedTuple):
    """A block of a point: `rows` rows of `columns` entries, from the coordinate `start` on."""

    start: int
    rows: int
    columns: int


def with_found(rule: R, **found: Any) -> R:
    """A copy of a frozen rule with fields that `__init__` does not take."""
    result = dataclasses.replace(rule)  # type: ignore[type-var]
    keep(result, **found)
    return result


def names_of_blocks(blocks: Any) -> tuple[str | int, ...]:
    """Names of parameters and numbers of coordinates, as a tuple.

    Raises
    ------
    TypeError, ValueError
        Anything that is neither one name nor a sequence of names and numbers.

    Examples
    --------
    >>> names_of_blocks("0.weight"), names_of_blocks([0, 3])
    (('0.weight',), (0, 3))
    """
    if isinstance(blocks, str):
        return (blocks,)
    row = isinstance(blocks, np.ndarray) and blocks.ndim == 1
    row = row or (isinstance(blocks, Sequence) and not isinstance(blocks, bytes | bytearray | memoryview))
    if not row or len(blocks) == 0:
        wanted = "a sequence of names of parameters or numbers of coordinates"
        raise TypeError(f"blocks must be {wanted}, got {checks.shown(blocks)}")
    return tuple(
        str(block) if isinstance(block, str) else checks.integer("blocks", block, at_least=0)
        for block in blocks
    )


def coordinates_of(rule: Any, loss: Any, blocks: Sequence[str | int]) -> tuple[int, ...]:
    """The coordinates of blocks of a loss, in increasing order.

    Raises
    ------
    ValueError
        A name where the loss has no blocks, or not this one; a number that is no coordinate; no block at all.
    """
    known = getattr(loss, "blocks", None) if hasattr(type(loss), "blocks") else None
    names = normalisation_of(loss) if tuple(blocks) == (NORMALISATION,) and known is not None else blocks
    chosen: set[int] = set()
    for block in names:
        if isinstance(block, str):
            if known is None or block not in known:
                have = "none" if known is None else ", ".join(known)
                raise ValueError(
                    f"loss must have the block {block!r} that {rule!r} needs, got {loss!r}, whose blocks "
                    f"are: {have}; make it by sd.from_module, or give numbers of coordinates"
                )
            chosen |= set(range(*known[block].indices(loss.dim)))
        elif isinstance(block, bool) or not isinstance(block, int) or not 0 <= block < loss.dim:
            raise ValueError(f"blocks must be names or coordinates below {loss.dim}, got {block!r}")
        else:
            chosen.add(block)
    if not chosen:
        raise ValueError(f"loss must have the blocks that {rule!r} needs, got {loss!r} with none of them")
    return tuple(sorted(chosen))


def normalisation_of(loss: Any) -> list[str]:
    """Names of the affine parameters of a module's normalisation layers."""
    function = loss.module_function
    layers = [name for name, layer in function.model.named_modules() if isinstance(layer, NORMS)]
    return [n for n in function.names if any(n.rpartition(".")[0] == layer for layer in layers)]


def tensors_of(loss: Any) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Start and shape of every parameter tensor of a module's loss; one vector for any other loss."""
    if not hasattr(type(loss), "blocks"):
        return ((0, (loss.dim,)),)
    function, at, found = loss.module_function, 0, []
    for shape, size in zip(function.shapes, function.sizes, strict=True):
        found.append((at, tuple(shape)))
        at += size
    return tuple(found)


def cuts(starts: Sequence[int], dim: int) -> list[slice]:
    """The coordinates of consecutive tensors that begin at `starts`; all of them as one where none is known.

    Examples
    --------
    >>> cuts((0, 2), 5), cuts((), 5)
    ([slice(0, 2, None), slice(2, 5, None)], [slice(0, 5, None)])
    """
    first = tuple(starts) or (0,)
    return [slice(a, b) for a, b in zip(first, (*first[1:], dim), strict=True)]


def rows_of(loss: Any) -> tuple[Rows, ...]:
    """Weights of two axes and more as rows, one for each output; a loss without blocks is one row."""
    tensors = tensors_of(loss)
    if not hasattr(type(loss), "blocks"):
        return (Rows(0, 1, loss.dim),)
    return tuple(Rows(start, shape[0], math.prod(shape[1:])) for start, shape in tensors if len(shape) > 1)


def mask_of(index: Sequence[int], like: Tensor) -> Tensor:
    """1 at these coordinates, 0 at the others: shape (dim,)."""
    chosen = set(index)
    values = [1.0 if i in chosen else 0.0 for i in range(like.shape[-1])]
    return torch.tensor(values, dtype=like.dtype, device=like.device)

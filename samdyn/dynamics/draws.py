"""The random inputs of the steps of many paths: standard normal numbers, or the samples of batches.

A step is a function of a state, of coefficients and of random inputs. `Draws` says how many random inputs a
step has and makes the inputs of four consecutive steps of given paths from (seed, path, step) alone, so that
a path does not depend on the paths beside it, on tiles, workers or devices. Every engine takes its random
inputs from here: eager torch and numpy by `block` and `steps`, compiled C++ by the words of the same Philox
calls (`draws.hpp`).

A sample enters a step by its numbers (features, targets, weight), which are looked up in a table, or, where
the samples are large, by its index, and the step looks it up itself.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.numerics.random import STEPS_PER_BLOCK, normal_block, standard_normal
from samdyn.numerics.random_arrays import minibatch_words
from samdyn.systems.batch_samplers import Index, Sampler

CHUNK_VALUES = 1 << 15
"""Random inputs that are drawn at once: they fit a processor's cache."""

Inputs = Sequence[Sequence[Tensor]]  # of each of four steps: one tensor for each random input


class Draws(ABC):
    """The random inputs of a step.

    Attributes
    ----------
    n_inputs : int
        Random inputs of one step.
    n_normals : int
        How many of them are standard normal numbers: all or none.
    """

    n_inputs: int
    n_normals: int = 0

    @abstractmethod
    def block(self, key: tuple[Any, Any], path: Tensor, block: Any, dtype: torch.dtype) -> Inputs:
        """The inputs of the steps 4 block .. 4 block + 3 of paths.

        Parameters
        ----------
        key : tuple of 2 int or 0-d tensor
            The words of the seed (`samdyn.numerics.random.split_seed`).
        path : Tensor of int64, shape (n,)
        block : int, or Tensor of int64 that broadcasts with `path`
        dtype : torch.dtype

        Returns
        -------
        sequence of 4 sequences of n_inputs tensors
        """

    @abstractmethod
    def example(self, like: Tensor) -> Sequence[Tensor]:
        """Inputs of one step for a trial: no noise, or the first samples; each of the shape of `like`."""

    @abstractmethod
    def identity(self) -> bytes:
        """Tells draws apart that give a step other inputs; empty for normal numbers."""

    @abstractmethod
    def steps(self, seed: int, paths: Index, first: int, n_steps: int) -> Array:
        """The inputs of some steps of paths, (n_steps, n_inputs, n); `first` is a multiple of 4."""


class NormalDraws(Draws):
    """Standard normal numbers, or none at all.

    Examples
    --------
    >>> draws = NormalDraws(2)
    >>> draws.steps(seed=0, paths=np.arange(3), first=0, n_steps=5).shape
    (5, 2, 3)
    """

    def __init__(self, n_normals: int) -> None:
        self.n_inputs = self.n_normals = n_normals

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NormalDraws) and self.n_normals == other.n_normals

    def __hash__(self) -> int:
        return hash((NormalDraws, self.n_normals))

    def block(self, key: tuple[Any, Any], path: Tensor, block: Any, dtype: torch.dtype) -> Inputs:
        """Normal numbers; see `Draws.block`."""
        if not self.n_normals:
            return [()] * STEPS_PER_BLOCK
        return normal_block(key, path, block, self.n_normals, dtype)

    def example(self, like: Tensor) -> Sequence[Tensor]:
        """Zeros."""
        return [torch.zeros_like(like)] * self.n_normals

    def identity(self) -> bytes:
        """Empty."""
        return b""

    def steps(self, seed: int, paths: Index, first: int, n_steps: int) -> Array:
        """Normal numbers; see `Draws.steps`."""
        if not self.n_normals:
            return np.empty((n_steps, 0, len(paths)))
        numbers = standard_normal(seed, paths, np.arange(first, first + n_steps)[:, None], self.n_normals)
        return np.ascontiguousarray(numbers.swapaxes(1, 2))


class BatchDraws(Draws):
    """The samples of batches.

    Parameters
    ----------
    samplers : sequence of Sampler
        What draws the batch of the descent and, where the perturbation has its own batch, what draws that.
    table : ndarray, shape (m, n_samples)
        The numbers of every sample: for each drawn sample a step has its m numbers as inputs.
    by_index : bool
        Whether the inputs are the samples' indices instead.

    Examples
    --------
    >>> sampler = Sampler(4, 2, False, np.full(4, 0.25), np.ones(4))
    >>> draws = BatchDraws([sampler], np.zeros((1, 4)))
    >>> draws.index_steps(seed=0, paths=np.arange(3), first=0, n_steps=4)[0]
    array([[3, 0, 2],
           [1, 2, 3]])
    """

    def __init__(self, samplers: Sequence[Sampler], table: Array, by_index: bool = False) -> None:
        self.samplers = tuple(samplers)
        self.table, self.by_index = table, by_index
        self.n_samples = sum(sampler.batch_size for sampler in samplers)
        self.n_inputs = self.n_samples * (1 if by_index else len(table))

    @property
    def n_words(self) -> int:
        """Random words that the batches of one step take."""
        return sum(sampler.n_draws for sampler in self.samplers)

    def indices(self, seed: int, paths: Index, blocks: npt.NDArray[Any]) -> Index:
        """The samples of four steps for each block, shape (n_samples, 4, ...) over the blocks and paths.

        Parameters
        ----------
        seed : int
        paths, blocks : ndarray of int
            They broadcast.
        """
        words = minibatch_words(seed, paths, blocks, self.n_words)  # (words, 4, ...)
        shape = words.shape[1:]
        size = int(np.prod(shape))
        flat = words.reshape(len(words), size)
        index, used = [], 0
        for sampler in self.samplers:
            index.append(sampler.draw(flat[used : used + sampler.n_draws], size))
            used += sampler.n_draws
        return np.concatenate(index).reshape(self.n_samples, *shape)

    def inputs_of(self, index: Index) -> Array:
        """The inputs of a step that draws these samples, (n_samples, ...) to (n_inputs, ...)."""
        if self.by_index:
            return index.astype(np.float64)
        numbers = self.table.take(index, axis=1)  # (m, n_samples, ...)
        return np.ascontiguousarray(numbers.swapaxes(0, 1)).reshape(self.n_inputs, *index.shape[1:])

    def example(self, like: Tensor) -> Sequence[Tensor]:
        """The first samples."""
        index = np.concatenate([np.arange(sampler.batch_size) for sampler in self.samplers])
        return [torch.full_like(like, float(value)) for value in self.inputs_of(index)]

    def identity(self) -> bytes:
        """The samples and how they are drawn."""
        digest = hashlib.sha256(np.ascontiguousarray(self.table).tobytes())
        for sampler in self.samplers:
            told = (sampler.n, sampler.batch_size, sampler.replacement, sampler.ordered)
            digest.update(repr(told).encode() + sampler.probabilities.tobytes() + sampler.weights.tobytes())
        return digest.digest()

    def block(self, key: tuple[Any, Any], path: Tensor, block: Any, dtype: torch.dtype) -> Inputs:
        """Batches, drawn on the CPU; see `Draws.block`."""
        blocks = block.cpu().numpy() if isinstance(block, Tensor) else np.asarray(block)
        seed = int(key[0]) | int(key[1]) << 32
        inputs = self.inputs_of(self.indices(seed, path.cpu().numpy(), blocks))
        tensors = torch.from_numpy(inputs).to(device=path.device, dtype=dtype)
        return [tuple(tensors[:, j].unbind(0)) for j in range(STEPS_PER_BLOCK)]

    def index_steps(self, seed: int, paths: Index, first: int, n_steps: int) -> Index:
        """The samples of some steps, shape (n_steps, n_samples, n); `first` is a multiple of 4."""
        blocks = np.arange(first // STEPS_PER_BLOCK, -(-(first + n_steps) // STEPS_PER_BLOCK))
        index = self.indices(seed, paths[None, :], blocks[:, None])  # (n_samples, 4, blocks, n)
        in_order = index.swapaxes(1, 2).reshape(self.n_samples, -1, len(paths))[:, :n_steps]
        return np.ascontiguousarray(in_order.swapaxes(0, 1))

    def steps(self, seed: int, paths: Index, first: int, n_steps: int) -> Array:
        """Batches; see `Draws.steps`."""
        inputs = self.inputs_of(self.index_steps(seed, paths, first, n_steps).swapaxes(0, 1))
        return np.ascontiguousarray(inputs.swapaxes(0, 1))


class BatchesAndNormals(BatchDraws):
    """The samples of batches, by index, and standard normal numbers of the rule's own behind them.

    Both are functions of (seed, path, step), from different streams of random words.

    Examples
    --------
    >>> sampler = Sampler(4, 2, False, np.full(4, 0.25), np.ones(4))
    >>> BatchesAndNormals([sampler], np.zeros((1, 4)), 3).steps(0, np.arange(2), 0, 5).shape
    (5, 5, 2)
    """

    def __init__(self, samplers: Sequence[Sampler], table: Array, n_own: int) -> None:
        super().__init__(samplers, table, by_index=True)
        self.own = NormalDraws(n_own)
        self.n_inputs += n_own

    def example(self, like: Tensor) -> Sequence[Tensor]:
        """The first samples, and zeros."""
        return [*super().example(like), *self.own.example(like)]

    def identity(self) -> bytes:
        """The samples, how they are drawn, and how many normal numbers there are."""
        return super().identity() + repr(self.own.n_inputs).encode()

    def block(self, key: tuple[Any, Any], path: Tensor, block: Any, dtype: torch.dtype) -> Inputs:
        """Batches and normal numbers; see `Draws.block`."""
        batches, normals = super().block(key, path, block, dtype), self.own.block(key, path, block, dtype)
        return [(*a, *b) for a, b in zip(batches, normals, strict=True)]

    def steps(self, seed: int, paths: Index, first: int, n_steps: int) -> Array:
        """Batches and normal numbers; see `Draws.steps`."""
        parts = super().steps(seed, paths, first, n_steps), self.own.steps(seed, paths, first, n_steps)
        return np.concatenate(parts, axis=1)


class Stream:
    """The random inputs of paths, step after step, drawn in chunks of several steps.

    Parameters
    ----------
    draw : callable
        `Draws.steps` or `BatchDraws.index_steps`.
    n_numbers : int
        Numbers that are drawn for one step of one path.
    seed : int
    paths : ndarray of int, shape (n,)
    end : int
        The step before which the paths end: nothing is drawn beyond it.

    Examples
    --------
    >>> stream = Stream(NormalDraws(2).steps, 2, seed=0, paths=np.arange(3), end=10)
    >>> stream(5).shape
    (2, 3)
    """

    def __init__(
        self,
        draw: Callable[[int, Index, int, int], npt.NDArray[Any]],
        n_numbers: int,
        seed: int,
        paths: Index,
        end: int,
    ) -> None:
        self.draw, self.seed, self.paths, self.end = draw, seed, paths, end
        self.chunk = STEPS_PER_BLOCK * max(1, CHUNK_VALUES // max(1, len(paths) * n_numbers))
        self.first, self.drawn = 0, np.empty((0, n_numbers, len(paths)))

    def __call__(self, step: int) -> npt.NDArray[Any]:
        """The inputs (n_inputs, n) of a step."""
        if not self.first <= step < self.first + len(self.drawn):
            self.first = step // STEPS_PER_BLOCK * STEPS_PER_BLOCK
            count = min(self.chunk, self.end - self.first)
            self.drawn = self.draw(self.seed, self.paths, self.first, count)
        return self.drawn[step - self.first]

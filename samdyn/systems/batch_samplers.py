r"""How the samples of a batch are drawn, and the law of the batch.

- Without replacement ("tau-nice"): every set of batch_size samples is equally likely. The k-th draw is
  uniform on the n - k samples that are left: a number t below n - k, moved up by one for every earlier
  sample that is not above it, in increasing order. Batches above half the data draw the samples left out.
- With replacement: batch_size independent draws, uniform or with given probabilities, by Walker's alias
  method. One 32-bit word w gives a draw: the integer part of w n / 2^32 is the column, the rest of the
  product decides between the column and its alias. A probability is met to n / 2^32.

Words come from Philox by (seed, path, step, draw): see `samdyn.numerics.random_arrays`.

The law of a batch is enumerated where it has at most `limit` batches, and sampled otherwise, which is said.
Moments of a batch's mean need no list: `Sampler.moments` has them in terms of the moments of one sample. For
a number v with mean 0 over the samples, V the mean over a batch, and m2, m3, m4 the moments of v,

.. math:: E V^2 = s_2 m_2, \qquad E V^3 = s_3 m_3, \qquad E V^4 = s_4 m_4 + 3 s_{11} m_2^2,

where :math:`s_2, s_3, s_4, s_{11}` are the numbers second, third, fourth and pairs.

For the entries of vectors and matrices 3 m2^2 becomes the sum over the three ways to pair the four factors.
Without replacement these follow from the probabilities q_k = b (b-1) ... / (n (n-1) ...) that k given samples
are all in the batch: second = n (q1 - q2) / b^2, third = n (q1 - 3 q2 + 2 q3) / b^3,
fourth = n (q1 - 7 q2 + 12 q3 - 6 q4) / b^4, pairs = n^2 (q2 - 2 q3 + q4) / b^4.

References
----------
Walker, "An efficient method for generating discrete random variables with general distributions", ACM TOMS 3
(1977) 253. The name tau-nice: Richtarik & Takac; used by Oikonomou & Loizou (ICLR 2025).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.numerics.random_arrays import Words

Index = npt.NDArray[np.int64]

_SHIFT = np.uint64(32)
_MASK = np.uint64(0xFFFF_FFFF)
LIMIT = 4096
"""Largest number of batches that is enumerated."""


class BatchMoments(NamedTuple):
    """Central moments of a batch's mean, as multiples of one sample's moments: see the module's docstring."""

    second: float
    third: float
    fourth: float
    pairs: float


@dataclass(frozen=True)
class Batches:
    """The possible batches and their probabilities.

    Attributes
    ----------
    index : ndarray of int, shape (m, batch_size)
    weights : ndarray, shape (m, batch_size)
        What each sample's gradient is multiplied by before the batch is averaged.
    probability : ndarray, shape (m,)
    exact : bool
        Whether these are all batches, or a sample of them.
    """

    index: Index
    weights: Array
    probability: Array
    exact: bool


@dataclass(frozen=True)
class Sampler:
    """Draws batches.

    Attributes
    ----------
    n : int
        Number of samples.
    batch_size : int
    replacement : bool
    probabilities : ndarray, shape (n,)
        Of one draw; uniform without replacement.
    weights : ndarray, shape (n,)
        Of the samples' gradients: 1/(n p_i) makes the batch mean unbiased.
    ordered : bool
        Whether the order within a batch matters (micro-batches).
    """

    n: int
    batch_size: int
    replacement: bool
    probabilities: Array
    weights: Array
    ordered: bool = False

    @property
    def uniform(self) -> bool:
        """Whether all samples are equally likely."""
        return bool(np.ptp(self.probabilities) <= 1e-15)

    @property
    def weighted(self) -> bool:
        """Whether any weight differs from 1."""
        return bool(np.abs(self.weights - 1).max() > 1e-15)

    @property
    def n_draws(self) -> int:
        """Random words that one batch takes."""
        if self.replacement:
            return self.batch_size
        return self.n - self.batch_size if self.by_complement else self.batch_size

    @property
    def by_complement(self) -> bool:
        """Whether what is drawn are the samples that are left out: fewer, where a batch is more than half."""
        return not self.ordered and 2 * self.batch_size > self.n

    def draw(self, words: Words, size: int) -> Index:
        """Batches from random words.

        Parameters
        ----------
        words : ndarray of uint64, shape (n_draws, size)
            In [0, 2**32).
        size : int
            How many batches.

        Returns
        -------
        ndarray of int, shape (batch_size, size)
        """
        if self.replacement:
            product = words * np.uint64(self.n)
            column = (product >> _SHIFT).view(np.int64)
            if self.uniform:
                return np.asarray(column)
            threshold, alias = self.alias_table
            keep = (product & _MASK) < threshold.take(column)
            return np.where(keep, column, alias.take(column))
        if not self.by_complement:
            return self._distinct(words)
        if not len(words):
            return np.repeat(np.arange(self.n)[:, None], size, axis=1)
        inside = np.ones((size, self.n), dtype=bool)
        np.put_along_axis(inside, self._distinct(words).T, False, axis=1)
        return np.ascontiguousarray(np.nonzero(inside)[1].reshape(size, -1).T)

    def _distinct(self, words: Words) -> Index:
        chosen = np.empty(words.shape, np.int64)
        ranked = np.empty(words.shape, np.int64)
        for k, word in enumerate(words):
            index = ((word * np.uint64(self.n - k)) >> _SHIFT).view(np.int64)
            for earlier in ranked[:k]:
                index = index + (index >= earlier)
            chosen[k] = ranked[k] = index
            ranked[: k + 1].sort(axis=0)
        return chosen

    @property
    def alias_table(self) -> tuple[Words, Index]:
        """Walker's table: thresholds in 32 bits, and the alias of every column."""
        if "_table" not in self.__dict__:
            height = self.probabilities * self.n
            alias = np.arange(self.n)
            threshold = np.ones(self.n)
            small = [i for i in range(self.n) if height[i] < 1]
            large = [i for i in range(self.n) if height[i] >= 1]
            while small and large:
                low, high = small.pop(), large[-1]
                threshold[low], alias[low] = height[low], high
                height[high] -= 1 - height[low]
                if height[high] < 1:
                    small.append(large.pop())
            bits = np.round(threshold * 2.0**32).astype(np.uint64)
            self.__dict__["_table"] = (bits, alias)
        table: tuple[Words, Index] = self.__dict__["_table"]
        return table

    def moments(self) -> BatchMoments:
        """Central moments of a batch's mean, as multiples of the moments of one weighted sample.

        Examples
        --------
        >>> import numpy as np
        >>> Sampler(5, 2, False, np.full(5, 0.2), np.ones(5)).moments().second  # (n - b) / (b (n - 1))
        0.375
        """
        n, b = self.n, self.batch_size
        if self.replacement:
            return BatchMoments(1 / b, 1 / b**2, 1 / b**3, (b - 1) / b**3)
        # exact integers: the sums below cancel
        inside = [Fraction(math.perm(b, k), math.perm(n, k)) if k <= n else Fraction(0) for k in range(1, 5)]
        q1, q2, q3, q4 = inside
        return BatchMoments(
            float(n * (q1 - q2) / b**2),
            float(n * (q1 - 3 * q2 + 2 * q3) / b**3),
            float(n * (q1 - 7 * q2 + 12 * q3 - 6 * q4) / b**4),
            float(n**2 * (q2 - 2 * q3 + q4) / b**4),
        )

    @property
    def n_batches(self) -> int:
        """How many batches there are; orders count apart if `ordered`."""
        n, size = self.n, self.batch_size
        if self.replacement:
            return n**size if self.ordered else math.comb(n + size - 1, size)
        return math.perm(n, size) if self.ordered else math.comb(n, size)

    def batches(self, limit: int = LIMIT, seed: int = 0) -> Batches:
        """All batches with their probabilities, or `limit` sampled ones where there are more.

        Parameters
        ----------
        limit : int
        seed : int
            Of the sampled batches.

        Examples
        --------
        >>> import numpy as np
        >>> Sampler(4, 2, False, np.full(4, 0.25), np.ones(4)).batches().index.tolist()
        [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
        """
        n, size, p = self.n, self.batch_size, self.probabilities
        count = self.n_batches
        if count > limit:
            # the batches themselves are drawn by numpy: they are a quadrature, not steps of a path
            rng = np.random.default_rng(seed)
            if self.replacement:
                index = rng.choice(n, (limit, size), p=p)
            else:
                index = np.stack([rng.choice(n, size, replace=False) for _ in range(limit)])
            return Batches(index, self.weights[index], np.full(limit, 1 / limit), False)
        if not self.replacement:
            choose = itertools.permutations if self.ordered else itertools.combinations
            index = np.array(list(choose(range(n), size)), dtype=np.int64)
            return Batches(index, self.weights[index], np.full(count, 1 / count), True)
        if self.ordered:
            index = np.array(list(itertools.product(range(n), repeat=size)), dtype=np.int64)
            return Batches(index, self.weights[index], p[index].prod(axis=1), True)
        index = np.array(list(itertools.combinations_with_replacement(range(n), size)), dtype=np.int64)
        orders = np.array(
            [
                math.factorial(size) / math.prod(map(math.factorial, np.bincount(row)))
                for row in index.tolist()
            ]
        )
        return Batches(index, self.weights[index], orders * p[index].prod(axis=1), True)

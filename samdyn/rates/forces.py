r"""The random linear forces of batches near a point, and their first two moments.

Near a point the descent direction that the batch S makes is affine, d_S(x) = F_S x - p_S, with

.. math:: F_S = H_S (I + r H_P), \qquad p_S = l_S + r H_S l_P,

where H and l belong to the gradient H x - l of a batch, P is the batch of the perturbation and r the radius
that grows with the gradient: rho for USAM, -rho for extragradient, rho (1 - lam) for UnifiedSAM, and so 0 for
SAM. With micro-batches F_S is the mean of the matrices F of the parts. On quadratic components this is exact
everywhere if the rule is linear in the gradient.

What second moments need is E F, E[F X F^T], E[F^T X F] and Cov(F x - p). These forms give them, and where
no batch moves anything:

- `ListedForces`: one matrix for each batch, m of them: m d^3 operations;
- `SquareForces`: one sample of squares of linear forms with a ridge, F = c I + e a a^T: n d^2 + d^3;
- `BatchMeans`: means of a batch of single forces, from the moments of one sample: as one sample;
- `FixedAscent`: probe "full", one fixed matrix after the force of a batch: as the batch;
- `PairedForces`: probe "independent", one batch inside the other: twice a batch;
- `CurvedForces`: a batch that perturbs itself, H_S + r H_S^2, from moments of samples up to the fourth order:
  n d^3 + d^5.

All but the first are in `samdyn.rates.structured_forces` and `samdyn.rates.curved_forces`. They are exact for
every batch size and number of samples. What is left to lists of batches (micro-batches of several samples) is
enumerated where there are few batches and sampled otherwise, which the result says, with the error of the
sample: see `sampling_error`.

References
----------
Oikonomou & Loizou (ICLR 2025) for Unified SAM. The moments: derived, checked numerically.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.rates.fits import widened

PIECE = 1 << 22
"""Numbers of listed matrices that are multiplied at a time."""
GROUPS = 16
"""Parts of a sample of batches, from whose scatter its error comes."""
FLAT = 1e-12
"""Directions that every batch moves less than this share of the largest force do not move."""


class Forces(ABC):
    """Moments of the random directions F x - p.

    Attributes
    ----------
    mean : ndarray, shape (dim, dim)
        E F.
    mean_pull : ndarray, shape (dim,)
        E p.
    exact : bool
        Whether the moments are taken over all batches.
    symmetric : bool
        Whether every F is symmetric.
    """

    mean: Array
    mean_pull: Array
    exact: bool
    symmetric: bool = False

    @abstractmethod
    def second(self, x: Array) -> Array:
        """E[F X F^T]."""

    @abstractmethod
    def adjoint(self, x: Array) -> Array:
        """E[F^T X F]."""

    @cached_property
    def second_matrix(self) -> Array:
        """E[F (x) F], which takes vec X to vec E[F X F^T] (row by row): shape (dim^2, dim^2)."""
        dim = len(self.mean)
        columns = [self.second(e.reshape(dim, dim)).ravel() for e in np.eye(dim**2)]
        return np.array(columns).reshape(dim**2, dim**2).T

    @abstractmethod
    def covariance(self, x: Array) -> Array:
        """Covariance of the direction F x - p at a point."""

    @abstractmethod
    def moving(self) -> Array:
        """Orthonormal basis (dim, k) of the directions in which some batch moves something."""

    def groups(self, count: int) -> list[Forces]:
        """Disjoint parts of a sample of batches, for the error of what is computed from it."""
        return [self]


@dataclass(frozen=True)
class ListedForces(Forces):
    """One force for each batch.

    Attributes
    ----------
    probability : ndarray, shape (m,)
    forces : ndarray, shape (m, dim, dim)
    pulls : ndarray, shape (m, dim)
    exact : bool
    """

    probability: Array
    forces: Array
    pulls: Array
    exact: bool

    @cached_property
    def mean(self) -> Array:  # type: ignore[override]
        """E F."""
        return np.einsum("m,mij->ij", self.probability, self.forces)

    @cached_property
    def mean_pull(self) -> Array:  # type: ignore[override]
        """E p."""
        return self.probability @ self.pulls

    @cached_property
    def symmetric(self) -> bool:  # type: ignore[override]
        """Whether every F is symmetric up to rounding."""
        scale = np.abs(self.forces).max(initial=0.0)
        return all(np.abs(f - f.T).max(initial=0.0) <= 1e-13 * scale for f in self.forces)

    def second(self, x: Array) -> Array:
        """E[F X F^T]."""
        return self._sum(self.forces, x)

    def adjoint(self, x: Array) -> Array:
        """E[F^T X F]."""
        return self._sum(self.forces.swapaxes(1, 2), x)

    @cached_property
    def second_matrix(self) -> Array:
        """E[F (x) F]."""
        dim = self.forces.shape[1]
        flat = self.forces.reshape(-1, dim**2)
        pairs = (self.probability[:, None] * flat).T @ flat  # [(i, k), (j, l)] -> F_ik F_jl
        return pairs.reshape(dim, dim, dim, dim).swapaxes(1, 2).reshape(dim**2, dim**2)

    def _sum(self, left: Array, x: Array) -> Array:
        dim, total = len(x), np.zeros_like(x)
        size = max(1, PIECE // max(dim * dim, 1))
        for start in range(0, len(left), size):
            part = left[start : start + size]
            moved = (self.probability[start : start + size, None, None] * part) @ x
            # the sum over batches and one index, as a single product of matrices
            total += moved.swapaxes(0, 1).reshape(dim, -1) @ part.swapaxes(1, 2).reshape(-1, dim)
        return total

    def covariance(self, x: Array) -> Array:
        """Covariance of F x - p."""
        return covariance(self.forces @ x - self.pulls, self.probability)

    def moving(self) -> Array:
        """What is orthogonal to the kernels of all forces."""
        dim = self.forces.shape[-1]
        size, root = max(1, PIECE // (dim * dim)), np.zeros((0, dim))
        used = self.forces[self.probability > 0]
        for start in range(0, len(used), size):
            stacked = used[start : start + size].reshape(-1, dim)
            root = np.asarray(np.linalg.qr(np.concatenate([root, stacked]), mode="r"))
        return row_space(root)

    def groups(self, count: int) -> list[Forces]:
        """Disjoint parts of a sample of batches, each with its share of the probability."""
        parts: list[Forces] = []
        for one in np.array_split(np.arange(len(self.probability)), count):
            share = self.probability[one]
            parts.append(ListedForces(share / share.sum(), self.forces[one], self.pulls[one], False))
        return parts


@dataclass(frozen=True)
class ProjectedForces(Forces):
    """Forces seen in a subspace with an orthonormal basis (dim, k)."""

    whole: Forces
    basis: Array

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether all batches were enumerated."""
        return self.whole.exact

    @property
    def symmetric(self) -> bool:  # type: ignore[override]
        """Whether every F of the whole space is symmetric: then every projected F is."""
        return self.whole.symmetric

    @cached_property
    def mean(self) -> Array:  # type: ignore[override]
        """E F."""
        return self.basis.T @ self.whole.mean @ self.basis

    @cached_property
    def mean_pull(self) -> Array:  # type: ignore[override]
        """E p."""
        return self.basis.T @ self.whole.mean_pull

    def second(self, x: Array) -> Array:
        """E[F X F^T]."""
        return self.basis.T @ self.whole.second(self.basis @ x @ self.basis.T) @ self.basis

    def adjoint(self, x: Array) -> Array:
        """E[F^T X F]."""
        return self.basis.T @ self.whole.adjoint(self.basis @ x @ self.basis.T) @ self.basis

    def covariance(self, x: Array) -> Array:
        """Covariance of F x - p."""
        return self.basis.T @ self.whole.covariance(self.basis @ x) @ self.basis

    def moving(self) -> Array:
        """The moving directions of the whole space, projected onto the subspace."""
        return row_space(self.whole.moving().T @ self.basis)

    def groups(self, count: int) -> list[Forces]:
        """The parts of the sample of batches, each projected onto the subspace."""
        return [ProjectedForces(part, self.basis) for part in self.whole.groups(count)]


def sampling_error(function: Callable[[Forces], float], forces: Forces) -> float:
    """Standard error of a number that is computed from the moments of sampled batches; 0 if all are known.

    Notes
    -----
    The number is computed again from each of `GROUPS` disjoint parts of the sample. Their scatter gives the
    spread of the whole sample's, and their mean the bias: it is in proportion to one over the number of
    batches, and so GROUPS - 1 times smaller in the whole sample than the mean of the parts is off from it.
    """
    if forces.exact:
        return 0.0
    values = np.array([function(part) for part in forces.groups(GROUPS)])
    bias = (values.mean() - function(forces)) / (GROUPS - 1)
    return float(np.hypot(widened(float(values.std(ddof=1)) / GROUPS**0.5, GROUPS - 1.0), bias))


def covariance(values: Array, probability: Array) -> Array:
    """Covariance of vectors (m, dim) with probabilities (m,)."""
    off = values - probability @ values
    return np.asarray((probability[:, None] * off).T @ off)


def row_space(matrix: Array) -> Array:
    """Orthonormal basis (dim, k) of the span of the rows, up to rounding."""
    _, size, rows = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(rows[size > FLAT * max(float(size.max(initial=0.0)), 1e-300)].T)


def moving_forces(forces: Forces) -> Forces:
    """The forces without the directions in which no batch moves anything."""
    basis = forces.moving()
    return forces if basis.shape[0] == basis.shape[1] else ProjectedForces(forces, basis)

"""Random forces whose structure makes their moments cheap: see `samdyn.rates.forces`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.rates.forces import Forces, covariance, row_space


@dataclass(frozen=True)
class PairedForces(Forces):
    """H_S (I + r H_P) with S and P independent and of one law.

    Attributes
    ----------
    batches : Forces
        H and l of the batches, symmetric.
    radius : float
        r.
    """

    batches: Forces
    radius: float

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether all batches were enumerated."""
        return self.batches.exact

    @cached_property
    def mean(self) -> Array:  # type: ignore[override]
        """E F."""
        h = self.batches.mean
        return h + self.radius * h @ h

    @cached_property
    def mean_pull(self) -> Array:  # type: ignore[override]
        """E p."""
        return self.batches.mean_pull + self.radius * self.batches.mean @ self.batches.mean_pull

    def second(self, x: Array) -> Array:
        """E[F X F^T]."""
        return self.batches.second(self._ascent(x))

    def adjoint(self, x: Array) -> Array:
        """E[F^T X F]."""
        return self._ascent(self.batches.adjoint(x))

    def _ascent(self, x: Array) -> Array:
        """E[(I + r H) X (I + r H)^T]; H is symmetric."""
        h = self.batches.mean
        return x + self.radius * (h @ x + x @ h) + self.radius**2 * self.batches.second(x)

    def covariance(self, x: Array) -> Array:
        """Covariance of H_S y_P - l_S, y_P = x + r (H_P x - l_P)."""
        h, lin, r = self.batches.mean, self.batches.mean_pull, self.radius
        spread = r**2 * self.batches.covariance(x)
        return self.batches.covariance(x + r * (h @ x - lin)) + self.batches.second(spread)

    def moving(self) -> Array:
        """The directions in which the gradient of some batch moves."""
        return self.batches.moving()


@dataclass(frozen=True)
class SquareForces(Forces):
    """One sample of (a.x - b)^2/2 + s |x|^2/2 with the weight w: F = c I + e a a^T, p = k a.

    Attributes
    ----------
    probability : ndarray, shape (n,)
    rows : ndarray, shape (n, dim)
        The a.
    along, across, pull : ndarray, shape (n,)
        e, c and k.
    """

    probability: Array
    rows: Array
    along: Array
    across: Array
    pull: Array
    exact: bool = True
    symmetric: bool = True

    @classmethod
    def of(
        cls, probability: Array, rows: Array, targets: Array, ridge: Array, weights: Array, radius: float
    ) -> SquareForces:
        """With the perturbation of the same sample: F = w H + r w^2 H^2, p = (I + r w H) w b a."""
        curvature = weights * ((rows**2).sum(axis=1) + ridge)  # along a
        flat = weights * ridge
        along = weights * (1 + radius * (curvature + flat))
        return cls(
            probability, rows, along, flat * (1 + radius * flat), weights * targets * (1 + radius * curvature)
        )

    @cached_property
    def mean(self) -> Array:  # type: ignore[override]
        """E F."""
        return self._scatter(self.along) + (self.probability @ self.across) * np.eye(self.rows.shape[1])

    @cached_property
    def mean_pull(self) -> Array:  # type: ignore[override]
        """E p."""
        return (self.probability * self.pull) @ self.rows

    def _scatter(self, weights: Array) -> Array:
        """E[w a a^T]."""
        return (self.rows * (self.probability * weights)[:, None]).T @ self.rows

    @cached_property
    def _mixed(self) -> Array:
        return self._scatter(self.along * self.across)

    def second(self, x: Array) -> Array:
        """E[F X F^T]."""
        inside = np.einsum("ni,ni->n", self.rows @ x, self.rows)
        whole = self._mixed @ x + x @ self._mixed + (self.probability @ self.across**2) * x
        return whole + self._scatter(self.along**2 * inside)

    def adjoint(self, x: Array) -> Array:
        """E[F^T X F]; F is symmetric."""
        return self.second(x)

    def covariance(self, x: Array) -> Array:
        """Covariance of F x - p."""
        along = self.along * (self.rows @ x) - self.pull
        return covariance(along[:, None] * self.rows + np.outer(self.across, x), self.probability)

    def moving(self) -> Array:
        """Everything where there is a ridge, else what the rows span."""
        used = self.probability > 0
        if self.across[used].any():
            return np.eye(self.rows.shape[1])
        return row_space((self.along[:, None] * self.rows)[used])


@dataclass(frozen=True)
class BatchMeans(Forces):
    """Means of a batch of single forces: their spread is a multiple of one sample's spread.

    Attributes
    ----------
    single : Forces
        The forces of one sample.
    share : float
        The variance of a batch's mean over the variance of one sample: `BatchMoments.second`.
    """

    single: Forces
    share: float

    exact: bool = True

    @property
    def symmetric(self) -> bool:  # type: ignore[override]
        """Whether the single forces are symmetric: then their means are."""
        return self.single.symmetric

    @property
    def mean(self) -> Array:  # type: ignore[override]
        """E F."""
        return self.single.mean

    @property
    def mean_pull(self) -> Array:  # type: ignore[override]
        """E p."""
        return self.single.mean_pull

    def second(self, x: Array) -> Array:
        """E[F X F^T]."""
        return self.share * self.single.second(x) + (1 - self.share) * (self.mean @ x @ self.mean.T)

    def adjoint(self, x: Array) -> Array:
        """E[F^T X F]."""
        return self.share * self.single.adjoint(x) + (1 - self.share) * (self.mean.T @ x @ self.mean)

    @cached_property
    def second_matrix(self) -> Array:
        """E[F (x) F]."""
        return self.share * self.single.second_matrix + (1 - self.share) * np.kron(self.mean, self.mean)

    def covariance(self, x: Array) -> Array:
        """Covariance of F x - p."""
        return self.share * self.single.covariance(x)

    def moving(self) -> Array:
        """The directions of the single forces, or of their mean where every batch is the whole sum."""
        return self.single.moving() if self.share > 0 else row_space(self.mean)


@dataclass(frozen=True)
class FixedAscent(Forces):
    """H_S y - l_S at y = A x - q, where the perturbation is made from the whole sum: F = H A, p = l + H q.

    Attributes
    ----------
    batches : Forces
        H and l of the batches.
    ascent : ndarray, shape (dim, dim)
        A.
    shift : ndarray, shape (dim,)
        q.
    """

    batches: Forces
    ascent: Array
    shift: Array

    exact: bool = True

    @cached_property
    def symmetric(self) -> bool:  # type: ignore[override]
        """Whether A is a multiple of the identity."""
        diagonal = np.diag(np.full(len(self.ascent), self.ascent[0, 0]))
        return self.batches.symmetric and bool((self.ascent == diagonal).all())

    @cached_property
    def mean(self) -> Array:  # type: ignore[override]
        """E F."""
        return self.batches.mean @ self.ascent

    @cached_property
    def mean_pull(self) -> Array:  # type: ignore[override]
        """E p."""
        return self.batches.mean_pull + self.batches.mean @ self.shift

    def second(self, x: Array) -> Array:
        """E[F X F^T]."""
        return self.batches.second(self.ascent @ x @ self.ascent.T)

    def adjoint(self, x: Array) -> Array:
        """E[F^T X F]."""
        return self.ascent.T @ self.batches.adjoint(x) @ self.ascent

    @cached_property
    def second_matrix(self) -> Array:
        """E[F (x) F]."""
        return self.batches.second_matrix @ np.kron(self.ascent, self.ascent)

    def covariance(self, x: Array) -> Array:
        """Covariance of H y - l at y = A x - q."""
        return self.batches.covariance(self.ascent @ x - self.shift)

    def moving(self) -> Array:
        """What A takes into the directions of the batches."""
        return row_space(self.batches.moving().T @ self.ascent)

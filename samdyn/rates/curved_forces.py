r"""Moments of the forces H_S + r H_S^2 of a batch that perturbs itself, without a list of batches.

The mean Hessian of a batch is H_S = H + D_S, with D_S the batch's mean of D_i = w_i H_i - H. The force is of
second degree in it,

.. math:: F_S - E F_S = L_S + r (D_S^2 - E D_S^2), \qquad L_i = D_i + r (H D_i + D_i H),

so that its second moments need the moments of D up to the fourth order, which `samdyn.systems.batch_samplers`
has in terms of single samples, with the numbers second, third, fourth and pairs. With M = E_i D_i^2,
V(X) = E_i[D_i X D_i] and W(X) = E_ij[D_i D_j X D_i D_j] for independent i and j,

.. math::

    E[(F - E F) X (F - E F)^T] = {}& s_2 E_i[L X L] + r s_3 E_i[L X D^2 + D^2 X L] \\
        & + r^2 \bigl(s_4 E_i[D^2 X D^2] + s_{11} (M X M + V(V(X)) + W(X)) - s_2^2 M X M\bigr),

where the numbers second, third, fourth and pairs are written :math:`s_2, s_3, s_4, s_{11}`.

W takes the tensor E_i[D_i (x) D_i] of dim^4 numbers, and dim^5 operations. The direction F_S x - p_S is
g_S + r H_S g_S with the batch's gradient g_S, and its covariance has the same form.

References
----------
Derived, checked numerically against lists of all batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.rates.forces import Forces, ListedForces, covariance, row_space
from samdyn.systems.batch_samplers import BatchMoments

TENSOR = 1 << 23
"""Largest dim^4 for which the tensor of second moments is kept."""


@dataclass(frozen=True)
class CurvedForces(Forces):
    """H_S + r H_S^2 and l_S + r H_S l_S of batches, from their samples.

    Attributes
    ----------
    single : ListedForces
        Weighted Hessians and linear parts of one sample, symmetric.
    moments : BatchMoments
        Of the batch's mean.
    radius : float
        r.
    """

    single: ListedForces
    moments: BatchMoments
    radius: float

    exact: bool = True
    symmetric: bool = True

    @cached_property
    def _off(self) -> Array:
        """D: shape (n, dim, dim)."""
        return self.single.forces - self.single.mean

    @cached_property
    def _off_square(self) -> Array:
        """D^2."""
        return self._off @ self._off

    @cached_property
    def _linear(self) -> Array:
        """L."""
        return self._off + self.radius * (self.single.mean @ self._off + self._off @ self.single.mean)

    @cached_property
    def _square(self) -> Array:
        """M = E D^2."""
        return self._expect(self._off_square)

    def _expect(self, values: Array) -> Array:
        return np.asarray(np.tensordot(self.single.probability, values, 1))

    @cached_property
    def _tensor(self) -> Array:
        """E[D_pa D_qc] as [p, a, q, c]."""
        dim = self._off.shape[1]
        return self._pairs(self._off, self._off).reshape(dim, dim, dim, dim)

    def _pairs(self, left: Array, right: Array) -> Array:
        """E[left_pa right_qc] as a matrix of [(p, a), (q, c)]."""
        n = len(left)
        return (self.single.probability[:, None] * left.reshape(n, -1)).T @ right.reshape(n, -1)

    @cached_property
    def mean(self) -> Array:  # type: ignore[override]
        """E F."""
        h = self.single.mean
        return h + self.radius * (h @ h + self.moments.second * self._square)

    @cached_property
    def mean_pull(self) -> Array:  # type: ignore[override]
        """E p."""
        lin = self.single.mean_pull
        together = self._expect(np.einsum("nij,nj->ni", self._off, self.single.pulls - lin))
        return lin + self.radius * (self.single.mean @ lin + self.moments.second * together)

    def second(self, x: Array) -> Array:
        """E[F X F^T]."""
        r, (second, third, fourth, pairs) = self.radius, self.moments
        linear = self._spread(self._linear, self._linear, x)
        mixed = self._spread(self._linear, self._off_square, x)
        mixed = mixed + self._spread(self._off_square, self._linear, x)
        quartic = fourth * self._spread(self._off_square, self._off_square, x)
        square = self._square @ x @ self._square
        inner = self._spread(self._off, self._off, x)
        quartic = quartic + (pairs - second**2) * square
        quartic = quartic + pairs * (self._spread(self._off, self._off, inner) + self._crossing(x))
        return self.mean @ x @ self.mean.T + second * linear + r * third * mixed + r**2 * quartic

    def _spread(self, left: Array, right: Array, x: Array) -> Array:
        """E[left X right^T]; the matrices are symmetric."""
        moved = (self.single.probability[:, None, None] * left) @ x
        dim = len(x)
        # the sum over samples and one index as a single product of matrices
        return np.asarray(moved.swapaxes(0, 1).reshape(dim, -1) @ right.swapaxes(1, 2).reshape(-1, dim))

    def _crossing(self, x: Array) -> Array:
        """W(X), entry pq: the sum over a, b, c, e of T[p,a,e,c] T[a,b,q,e] X[b,c]."""
        inner = np.tensordot(self._tensor, x, ([1], [0]))  # [a, q, e, c]
        return np.asarray(np.tensordot(self._tensor, inner, ([1, 2, 3], [0, 2, 3])))

    def adjoint(self, x: Array) -> Array:
        """E[F^T X F]; F is symmetric."""
        return self.second(x)

    @cached_property
    def second_matrix(self) -> Array:
        """E[F (x) F]."""
        r, (second, third, fourth, pairs) = self.radius, self.moments
        dim = len(self.mean)

        def kron(left: Array, right: Array) -> Array:
            four = self._pairs(left, right).reshape(dim, dim, dim, dim)
            return four.swapaxes(1, 2).reshape(dim**2, dim**2)

        mixed = kron(self._linear, self._off_square) + kron(self._off_square, self._linear)
        once = kron(self._off, self._off)
        crossing = np.tensordot(self._tensor, self._tensor, ([1, 2], [0, 3]))  # [p, c, b, q]
        crossing = crossing.transpose(0, 3, 2, 1).reshape(dim**2, dim**2)
        quartic = fourth * kron(self._off_square, self._off_square) + pairs * (once @ once + crossing)
        quartic = quartic + (pairs - second**2) * np.kron(self._square, self._square)
        whole = np.kron(self.mean, self.mean) + second * kron(self._linear, self._linear)
        return np.asarray(whole + r * third * mixed + r**2 * quartic)

    def covariance(self, x: Array) -> Array:
        """Covariance of g_S + r H_S g_S, g_S = H_S x - l_S."""
        r, (second, third, fourth, pairs) = self.radius, self.moments
        p, h = self.single.probability, self.single.mean
        gradients = self.single.forces @ x - self.single.pulls
        g = p @ gradients
        off = gradients - g
        bend = np.einsum("nij,nj->ni", self._off, off)
        linear = off + r * (off @ h + self._off @ g)
        weighted = p[:, None] * bend
        mixed, quartic, mean = weighted.T @ linear, weighted.T @ bend, p @ bend
        spread = self._spread(self._off, self._off, covariance(gradients, p))
        together = np.tensordot(self._off, p[:, None] * off, ([0], [0]))  # E[D_ab gamma_c]
        crossing = np.tensordot(together, together, ([1, 2], [2, 1]))
        outer = np.outer(mean, mean)
        quartic = fourth * quartic + (pairs - second**2) * outer + pairs * (spread + crossing)
        return second * covariance(linear, p) + r * third * (mixed + mixed.T) + r**2 * quartic

    def moving(self) -> Array:
        """The directions of the samples, or of the mean where every batch is the whole sum."""
        return self.single.moving() if self.moments.second > 0 else row_space(self.mean)

r"""How a sampled step moves second moments: the operator K, its spectral radius, and the law that it leaves.

The step x' = x - lr v', v' = momentum v + F_S x - p_S with random forces (see `samdyn.rates.forces`) is
z' = J_S z + c_S of the state z = x, or (x, v) with momentum. Covariances follow C' = K C + Cov(c), with
K C = E[J C J^T]. The forces are split into their mean and the rest, whose part of K is

.. math:: K C = M C M^T + G V(C_{xx}) G^T, \qquad V(X) = E[F X F^T] - (E F) X (E F)^T,

M the mean step and G = -lr, or (-lr, 1) with momentum. Without V a stationary covariance is known: in the
eigenvectors of E F, and for any source Y of the directions, its x-part is (k_ij Y_ij) with

.. math::

    k_{ij} = \frac{\eta (1 - m^2)}{m \eta (h_i - h_j)^2 + (1 - m)^2 ((1 + m)(h_i + h_j) - \eta h_i h_j)},

m the momentum and :math:`\eta` the learning rate.
So X = k (V(X) + Y) is left to be solved for X, by GMRES. V is of second order in lr where
1/k is of first, so that small learning rates take two or three iterations, and large ones as many as K has
eigenvalues near 1. All maps here keep positive matrices positive: second moments die out exactly if the mean
does and the solution for Y = I is positive.

The spectral radius of K is an eigenvalue. Forces that are symmetric make K self-adjoint without momentum:
then 1 - rho is the smallest eigenvalue of I - K, by the locally optimal block preconditioned conjugate
gradient method with k as preconditioner. Others are read off the matrix of K up to `DENSE` dimensions, and
above by Arnoldi iteration: on (I - K)^-1, where rho stands out however small lr is, without momentum and as
long as moments die out, and else on K.

References
----------
Damm, Rational Matrix Equations in Stochastic Control (2004), for the splitting. Knyazev, SIAM Journal on
Scientific Computing 23 (2001) 517, for the conjugate gradients. The rest: derived, checked numerically.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, gmres, lobpcg

from samdyn.arguments.checks import Array
from samdyn.rates.forces import Forces

SMALL = 8
"""Dimension up to which K is always a dense matrix."""
DENSE = 24
"""State dimension up to which K is a dense matrix where the conjugate gradients do not serve."""
TOLERANCE = 1e-13
"""Relative residual to which stationary covariances are solved for."""
RESIDUAL = 1e-8
"""Residual of the leading eigenvector of I - K, relative to the norm of the latter."""
SUFFICIENT = 1e-9
"""Relative residual above which GMRES is said to have failed."""


class Moments:
    """Second moments under a step with random forces.

    Parameters
    ----------
    forces : Forces
    lr, momentum : float
    report : callable, optional
        Called before each application of E[F X F^T], the unit of the work.
    """

    def __init__(
        self,
        forces: Forces,
        lr: float,
        momentum: float = 0.0,
        report: Callable[[], None] | None = None,
    ) -> None:
        self.forces, self.lr, self.momentum, self.report = forces, lr, momentum, report
        self.dim = len(forces.mean)
        self._sums: npt.NDArray[np.inexact]

    @property
    def state_dim(self) -> int:
        """The dimension of the state x, or (x, v)."""
        return self.dim * (2 if self.momentum else 1)

    @cached_property
    def mean_step(self) -> Array:
        """E J, on the state."""
        force, eye = self.forces.mean, np.eye(self.dim)
        if not self.momentum:
            return eye - self.lr * force
        keep = self.momentum * eye
        return np.block([[eye - self.lr * force, -self.lr * keep], [force, keep]])

    def second(self, x: Array) -> Array:
        """E[F X F^T]."""
        if self.report is not None:
            self.report()
        if self.dim > DENSE:
            return self.forces.second(x)
        return (self.forces.second_matrix @ x.ravel()).reshape(x.shape)

    def spread(self, x: Array) -> Array:
        """V(X)."""
        mean = self.forces.mean
        return self.second(x) - mean @ x @ mean.T

    def _kick(self, y: Array) -> Array:
        """G Y G^T."""
        if not self.momentum:
            return self.lr**2 * y
        return np.block([[self.lr**2 * y, -self.lr * y], [-self.lr * y, y]])

    def apply(self, covariance: Array) -> Array:
        """K C."""
        moved = self.mean_step @ covariance @ self.mean_step.T
        return moved + self._kick(self.spread(covariance[: self.dim, : self.dim]))

    def matrix(self) -> Array:
        """K as a matrix on vec C (row by row)."""
        spread = self.forces.second_matrix - np.kron(self.forces.mean, self.forces.mean)
        moved = np.kron(self.mean_step, self.mean_step)
        if not self.momentum:
            return moved + self.lr**2 * spread
        eye = np.eye(self.dim)
        kick = np.concatenate([-self.lr * eye, eye])
        seen = np.concatenate([eye, np.zeros_like(eye)], axis=1)
        return moved + np.kron(kick, kick) @ spread @ np.kron(seen, seen)

    @cached_property
    def mean_radius(self) -> float:
        """Spectral radius of E J."""
        return float(np.abs(np.linalg.eigvals(self.mean_step)).max(initial=0.0))

    def one_step(self) -> float:
        """Largest eigenvalue of E[J^T J]."""
        if not self.dim:
            return 0.0
        force, lr, keep, eye = self.forces.mean, self.lr, self.momentum, np.eye(self.dim)
        square = self.forces.adjoint(eye)
        gram = eye - lr * (force + force.T) + lr**2 * square
        if keep:
            cross = keep * ((1 + lr**2) * force.T - lr * eye)
            gram = np.block([[gram + square, cross], [cross.T, keep**2 * (1 + lr**2) * eye]])
        return float(np.linalg.eigvalsh(gram)[-1])

    @cached_property
    def _modes(self) -> tuple[npt.NDArray[np.inexact], npt.NDArray[np.inexact], npt.NDArray[np.inexact]]:
        """Eigenvectors of E F, their inverse, and k_ij."""
        force, lr, m = self.forces.mean, self.lr, self.momentum
        vectors: npt.NDArray[np.inexact]
        if np.abs(force - force.T).max() <= 1e-13 * np.abs(force).max():
            values, vectors = np.linalg.eigh((force + force.T) / 2)
            inverse = vectors.T
        else:  # such as where the probe sees another mean than the descent
            values, vectors = np.linalg.eig(force)
            inverse = np.linalg.inv(vectors)
        h, k = values[:, None], values.conj()[None, :]
        self._sums = h + k
        below = m * lr * (h - k) ** 2 + (1 - m) ** 2 * ((1 + m) * (h + k) - lr * h * k)
        return vectors, inverse, lr * (1 - m**2) / below

    def settle(self, y: Array) -> Array:
        """The stationary covariance of x for a source Y, if every batch had the mean force."""
        vectors, inverse, gain = self._modes
        turned = gain * (inverse @ y @ inverse.conj().T)
        return np.ascontiguousarray((vectors @ turned @ vectors.conj().T).real)

    def settle_slowly(self, y: Array) -> Array:
        """The solution X of (E F) X + X (E F)^T = Y, which is `settle` over lr as lr goes to 0."""
        vectors, inverse, _ = self._modes
        turned = (inverse @ y @ inverse.conj().T) / self._sums
        return np.ascontiguousarray((vectors @ turned @ vectors.conj().T).real)

    def stationary(self, y: Array, tolerance: float = TOLERANCE) -> Array | None:
        """The stationary covariance of x for directions of covariance Y, or None where there is none.

        Parameters
        ----------
        y : ndarray, shape (dim, dim)
            Symmetric.
        tolerance : float
            Relative residual.
        """
        if self.mean_radius >= 1:
            return None
        shape = y.shape
        operator = LinearOperator(
            (y.size, y.size),
            matvec=lambda v: v - self.settle(self.spread(v.reshape(shape))).ravel(),
            dtype=np.float64,
        )
        right = self.settle(y).ravel()
        size = float(np.linalg.norm(right))
        if size == 0:
            return np.zeros(shape)
        solution, left = np.zeros(y.size), right
        rest = size
        for _ in range(3):  # what is left is solved for again: it is better known than the solution
            more, _ = gmres(operator, left, rtol=max(tolerance, 1e-8), restart=50, maxiter=40)
            solution = solution + more
            left = right - operator @ solution
            rest = float(np.linalg.norm(left))
            if rest <= tolerance * size:
                break
        if not rest <= SUFFICIENT * max(size, float(np.linalg.norm(solution))):
            raise RuntimeError(f"GMRES did not reach its tolerance: relative residual {rest / size:.2g}")
        x = solution.reshape(shape)
        return np.asarray((x + x.T) / 2)

    def dies_out(self) -> bool:
        """Whether second moments die out: the spectral radius of K is below 1."""
        if not self.dim:
            return True
        if self.state_dim <= DENSE:
            return self.spectral_radius < 1
        try:
            x = self.stationary(np.eye(self.dim))
        except RuntimeError:
            return self.spectral_radius < 1
        return x is not None and bool(np.linalg.eigvalsh(x)[0] > 0)

    @cached_property
    def spectral_radius(self) -> float:
        """Spectral radius of K."""
        size, plain = self.state_dim, not self.momentum
        if size == 0:
            return 0.0
        if plain and size > SMALL and self.forces.symmetric and self.mean_radius < 1:
            found = self._conjugate_gradient()
            if found is not None:
                return found
        if size <= DENSE:
            return float(np.abs(np.linalg.eigvals(self.matrix())).max())
        if plain and self.dies_out():
            return 1 - 1 / self._largest(self._invert, 1e-8)
        return self._largest(self.apply, 1e-10)

    def _conjugate_gradient(self) -> float | None:
        """1 - the smallest eigenvalue of I - K for symmetric forces without momentum; None if not found."""
        dim, force, lr = self.dim, self.forces.mean, self.lr
        values, vectors = np.linalg.eigh((force + force.T) / 2)
        scale = 2 * float(values[-1])

        def rest(v: Array) -> Array:  # (I - K) / (lr scale), without the difference of nearly equal numbers
            x = v.reshape(dim, dim)
            return ((force @ x + x @ force - lr * self.second(x)) / scale).ravel()

        def settle(v: Array) -> Array:
            return self.settle(v.reshape(dim, dim)).ravel() * (scale / lr)

        shape, kind = (dim**2, dim**2), np.dtype(np.float64)
        # the slowest direction, and some of all others, inside the cone
        start = (np.outer(vectors[:, 0], vectors[:, 0]) + 1e-3 * np.eye(dim)).reshape(-1, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it did not converge: the residuals say so
            value, _, left = lobpcg(
                LinearOperator(shape, matvec=rest, dtype=kind),
                start,
                M=LinearOperator(shape, matvec=settle, dtype=kind),
                tol=RESIDUAL,
                maxiter=500,
                largest=False,
                retResidualNormsHistory=True,
            )
        # the error of the eigenvalue is about the square of the residual
        return None if not np.min(left) <= RESIDUAL else 1 - lr * scale * float(value[0])

    def _largest(self, function: Callable[[Array], Array], tolerance: float) -> float:
        """Spectral radius of a linear map that keeps positive matrices positive."""
        size = self.state_dim
        operator = LinearOperator(
            (size**2, size**2), matvec=lambda v: function(v.reshape(size, size)).ravel(), dtype=np.float64
        )
        start = np.eye(size).ravel()  # inside the cone, so never orthogonal to the leading eigenvector
        ncv = min(48, size**2)
        ask = {"k": 1, "which": "LM", "v0": start, "ncv": ncv, "tol": tolerance, "return_eigenvectors": False}
        try:
            values = eigs(operator, **ask)
        except ArpackNoConvergence as failure:
            values = failure.eigenvalues
            if not len(values):
                raise
        return float(np.abs(values).max())

    def _invert(self, c: Array) -> Array:
        """(I - K)^-1 C, without momentum."""
        found = self.stationary((c + c.T) / (2 * self.lr**2), tolerance=1e-9)
        assert found is not None
        return found

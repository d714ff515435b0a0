"""The Lanczos process on a symmetric matrix known by its products: ends of the spectrum, and its density.

After m products the eigenvalues of a tridiagonal matrix T approximate the matrix's own, the ends of the
spectrum first, each with a residual that comes for nothing.

For the density (stochastic Lanczos quadrature) the eigenvalues t_i of T and the squared first components w_i
of its eigenvectors are a quadrature of the spectral measure of the vector v that the process starts from. Its
mean over random v is the density of all eigenvalues; the spread over v gives the standard error.

References
----------
Ubaru, Chen, Saad (SIAM J. Matrix Anal. Appl. 2017). Ghorbani, Krishnan, Xiao (ICML 2019) for networks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal

from samdyn.arguments.checks import Array
from samdyn.trace.product_operator import ProductOperator

ROUNDING = 1e-12
"""Of the matrix's size: a remainder below it ends the process, since the Krylov space is invariant."""


class Quadrature(NamedTuple):
    """Nodes and weights of the spectral measure of one vector; the weights sum to 1."""

    nodes: Array
    weights: Array


class Ritz(NamedTuple):
    """Approximate eigenvalues (m,) in increasing order, eigenvectors (n, m) as columns, residuals (m,)."""

    values: Array
    vectors: Array
    residuals: Array


class _Process:
    """The Lanczos process from one vector, with full reorthogonalisation."""

    def __init__(self, operator: ProductOperator, start: Array) -> None:
        self.operator = operator
        self.basis = [start / np.linalg.norm(start)]
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        self.complete = False

    def advance(self) -> None:
        """One product more; `complete` says that the space is invariant."""
        w = self.operator @ self.basis[len(self.diagonal)]
        self.diagonal.append(float(w @ self.basis[-1]))
        span = np.array(self.basis)
        for _ in range(2):  # once leaves rounding errors of the size of the remainder
            w = w - span.T @ (span @ w)
        rest = float(np.linalg.norm(w))
        size = np.abs(self.diagonal).max() + max(self.beside, default=0.0)
        self.complete = bool(rest <= ROUNDING * size) or len(self.basis) == len(w)
        if not self.complete:
            self.beside.append(rest)
            self.basis.append(w / rest)

    def tridiagonal(self) -> tuple[Array, Array]:
        """Eigenvalues and eigenvectors of the small matrix."""
        m = len(self.diagonal)
        values, vectors = eigh_tridiagonal(np.array(self.diagonal), np.array(self.beside[: m - 1]))
        return np.asarray(values), np.asarray(vectors)


def lanczos_quadrature(operator: ProductOperator, start: Array, n_steps: int) -> Quadrature:
    """Nodes and weights from `n_steps` products, with full reorthogonalisation.

    Parameters
    ----------
    operator : ProductOperator
        A symmetric matrix.
    start : ndarray, shape (n,)
        Not 0.
    n_steps : int

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> hessian = sd.landscapes.saddle(2.0, 1.0).operator([0.0, 0.0])
    >>> lanczos_quadrature(hessian, np.array([1.0, 1.0]), 2).nodes.round(12)
    array([-1.,  2.])
    """
    process = _Process(operator, start)
    for _ in range(n_steps):
        process.advance()
        if process.complete:
            break
    nodes, vectors = process.tridiagonal()
    return Quadrature(nodes, vectors[0] ** 2)


def lanczos_ends(
    operator: ProductOperator, start: Array, low: int, high: int, tolerance: float, n_steps: int
) -> Ritz:
    """Eigenvalues at the ends of the spectrum, from as few products as the tolerance asks for.

    Parameters
    ----------
    operator : ProductOperator
        A symmetric matrix.
    start : ndarray, shape (n,)
    low, high : int
        How many of the smallest and of the largest are wanted.
    tolerance : float
        Of their residuals, relative to the largest eigenvalue in modulus.
    n_steps : int
        Products at most.

    Returns
    -------
    Ritz
        The wanted eigenvalues. A residual is |beta s|, beta the remainder of the process and s the last
        component of the small matrix's eigenvector: it equals the residual of the vector itself, to rounding.
    """
    process = _Process(operator, start)
    while True:
        process.advance()
        m = len(process.diagonal)
        if m < low + high and not process.complete:
            continue
        values, small = process.tridiagonal()
        left = 0.0 if process.complete else process.beside[m - 1]
        wanted = np.unique(np.r_[np.arange(m)[:low], np.arange(m)[m - min(high, m) :]])
        residuals = left * np.abs(small[-1, wanted])
        good = (residuals <= tolerance * np.abs(values).max()).all()
        if process.complete or good or m >= n_steps:
            vectors = np.array(process.basis[:m]).T @ small[:, wanted]
            return Ritz(values[wanted], vectors, residuals)


def smoothed(quadratures: list[Quadrature], grid: Array, width: float) -> Array:
    """Density of each quadrature on a grid (m,), every node a Gaussian of a width: shape (n_vectors, m)."""
    rows = []
    for nodes, weights in quadratures:
        z = (grid[:, None] - nodes) / width
        rows.append(np.exp(-(z**2) / 2) @ weights / (width * np.sqrt(2 * np.pi)))
    return np.array(rows)

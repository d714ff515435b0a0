"""The spectral density of a symmetric matrix that is known by its products: stochastic Lanczos quadrature.

For a random unit vector v the Lanczos process gives a tridiagonal matrix T, whose eigenvalues t_i and squared
first components w_i of its eigenvectors are a quadrature of the spectral measure of v. Its mean over v is the
density of all eigenvalues. The spread over v gives the standard error.

References
----------
Ubaru, Chen, Saad (SIAM J. Matrix Anal. Appl. 2017). Ghorbani, Krishnan, Xiao (ICML 2019) for networks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal

from samdyn.compute.checks import Array
from samdyn.compute.product_operator import ProductOperator

ROUNDING = 1e-12
"""Of the matrix's size: a remainder below it ends the process, since the Krylov space is invariant."""


class Quadrature(NamedTuple):
    """Nodes and weights of the spectral measure of one vector; the weights sum to 1."""

    nodes: Array
    weights: Array


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
    basis = [start / np.linalg.norm(start)]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(n_steps):
        w = operator @ basis[-1]
        diagonal.append(float(w @ basis[-1]))
        span = np.array(basis)
        for _ in range(2):  # once leaves rounding errors of the size of the remainder
            w = w - span.T @ (span @ w)
        rest = float(np.linalg.norm(w))
        if rest <= ROUNDING * (np.abs(diagonal).max() + max(beside, default=0.0)) or len(basis) == len(start):
            break
        beside.append(rest)
        basis.append(w / rest)
    nodes, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside[: len(diagonal) - 1]))
    return Quadrature(nodes, vectors[0] ** 2)


def smoothed(quadratures: list[Quadrature], grid: Array, width: float) -> Array:
    """Density of each quadrature on a grid (m,), every node a Gaussian of a width: shape (n_vectors, m)."""
    rows = []
    for nodes, weights in quadratures:
        z = (grid[:, None] - nodes) / width
        rows.append(np.exp(-(z**2) / 2) @ weights / (width * np.sqrt(2 * np.pi)))
    return np.array(rows)

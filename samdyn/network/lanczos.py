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


LEAST = 12
"""Products before a residual is believed: in n dimensions a random vector has about 1/n of its square along
the eigenvector that is wanted, which is nothing beside a coarse tolerance.
"""
CLOSED, FINEST = 0.1, 1e-8
"""Of the tolerance, or of the finest one that a coarse one is replaced by: a remainder below it closes the
Krylov space.
"""
FRESH = 10
"""Products after which a random vector has shown the ends of what the first one did not see."""


class Quadrature(NamedTuple):
    """Nodes and weights of the spectral measure of one vector; the weights sum to 1."""

    nodes: Array
    weights: Array


class Ritz(NamedTuple):
    """Approximate eigenvalues (m,) in increasing order, eigenvectors (n, m) as columns, residuals (m,), and
    the largest modulus of an eigenvalue.
    """

    values: Array
    vectors: Array
    residuals: Array
    size: float


class _Process:
    """The Lanczos process from one vector, with full reorthogonalisation."""

    def __init__(self, operator: ProductOperator, start: Array) -> None:
        self.operator = operator
        self.basis = [start / np.linalg.norm(start)]
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        self.closed = False
        self.dropped: list[tuple[int, float]] = []  # remainders that were left out, and after which vector

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space."""
        return self.closed and len(self.basis) == len(self.basis[0])

    def advance(self) -> None:
        """One product more; `closed` says that the space is invariant."""
        w = self.operator @ self.basis[len(self.diagonal)]
        self.diagonal.append(float(w @ self.basis[-1]))
        span = np.array(self.basis)
        for _ in range(2):  # once leaves rounding errors of the size of the remainder
            w = w - span.T @ (span @ w)
        rest = float(np.linalg.norm(w))
        size = np.abs(self.diagonal).max() + max(self.beside, default=0.0)
        self.closed = bool(rest <= ROUNDING * size) or len(self.basis) == len(w)
        if not self.closed:
            self.beside.append(rest)
            self.basis.append(w / rest)

    def go_on(self, rng: np.random.Generator) -> None:
        """Go on from a random vector where the space is invariant: it may lack copies of eigenvalues."""
        m = len(self.diagonal)
        self.dropped += [(m - 1, rest) for rest in self.beside[m - 1 :]]
        del self.basis[m:], self.beside[m - 1 :]  # a remainder that is nothing beside the tolerance
        span = np.array(self.basis)
        fresh = np.asarray(rng.standard_normal(span.shape[1]))
        for _ in range(2):
            fresh = np.asarray(fresh - span.T @ (span @ fresh))
        self.beside.append(0.0)
        self.basis.append(fresh / np.linalg.norm(fresh))
        self.closed = False

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
        if process.closed:
            break
    nodes, vectors = process.tridiagonal()
    return Quadrature(nodes, vectors[0] ** 2)


def lanczos_ends(
    operator: ProductOperator,
    start: Array,
    low: int,
    high: int,
    tolerance: float,
    n_steps: int,
    n_least: int = LEAST,
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
    n_least : int
        Products at least, since the start may hardly have the wanted eigenvectors in it: a residual tells
        that a value is near an eigenvalue, and not that this is an end of the spectrum.

    Returns
    -------
    Ritz
        The wanted eigenvalues, and the largest modulus of all. A residual is |beta s|, beta the remainder of
        the process and s the last component of the small matrix's eigenvector: it equals the residual of the
        vector itself, to rounding.

    Notes
    -----
    One vector sees an eigenvalue once, however many copies of it there are. Where its Krylov space closes the
    process goes on from a random vector beside it, until the wanted values stay as they are.
    """
    process, rng = _Process(operator, start), np.random.default_rng(0)
    before: Array | None = None
    begun = 0
    while True:
        process.advance()
        m = len(process.diagonal)
        if m < min(max(low + high, n_least), len(start)) and not process.closed:
            continue
        values, small = process.tridiagonal()
        left = 0.0 if process.closed else process.beside[m - 1]
        wanted = np.unique(np.r_[np.arange(m)[:low], np.arange(m)[m - min(high, m) :]])
        ends = [*process.dropped, (m - 1, left)]
        residuals = np.sum([rest * np.abs(small[at, wanted]) for at, rest in ends], axis=0)
        size = float(np.abs(values).max())
        shown = before is None or m - begun > low + high + FRESH
        good = shown and bool((residuals <= tolerance * size).all())
        closed = process.closed or left <= CLOSED * min(tolerance, FINEST) * size
        if closed and not process.complete:
            same = before is not None and len(before) == len(wanted) == low + high
            good = same and bool((np.abs(values[wanted] - before) <= max(tolerance, ROUNDING) * size).all())
            before = values[wanted]
        if process.complete or good or m >= n_steps:
            vectors = np.array(process.basis[:m]).T @ small[:, wanted]
            return Ritz(values[wanted], vectors, residuals, size)
        if closed:
            process.go_on(rng)
            begun = m


def smoothed(quadratures: list[Quadrature], grid: Array, width: float) -> Array:
    """Density of each quadrature on a grid (m,), every node a Gaussian of a width: shape (n_vectors, m)."""
    rows = []
    for nodes, weights in quadratures:
        z = (grid[:, None] - nodes) / width
        rows.append(np.exp(-(z**2) / 2) @ weights / (width * np.sqrt(2 * np.pi)))
    return np.array(rows)

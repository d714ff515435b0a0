"""Jacobians and Hessians as linear operators for the Krylov methods of scipy, which never make the matrix."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.trace.batch import derivatives_by_name
from samdyn.trace.surroundings import own_surroundings

Product = Callable[[Tensor], Tensor]


class ProductOperator(LinearOperator):
    """A square matrix that is known by its products with vectors.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        float64.
    n_products : int
        Products so far, those with the transpose included; one for each column of a matrix.
    seconds : float
        What they took.
    together : int
        Columns of a matrix that are multiplied at once, by torch.vmap.
    report : callable, optional
        Called with the number of products after each multiplication, for a progress bar.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> A = sd.landscapes.saddle(2.0, 1.0).operator([0.0, 0.0])
    >>> A @ np.array([1.0, 1.0]), A.n_products
    (array([ 2., -1.]), 1)
    """

    def __init__(self, size: int, forward: Product, transposed: Product, together: int = 1) -> None:
        super().__init__(np.dtype(np.float64), (size, size))
        self._forward, self._transposed, self.together = forward, transposed, together
        self.n_products, self.seconds = 0, 0.0
        self.report: Callable[[int], object] | None = None

    def forward_of(self, shift: float) -> Product:
        """v to J v + shift v."""
        return lambda v: self._forward(v) + shift * v

    def transposed_of(self, shift: float) -> Product:
        """w to J^T w + shift w."""
        return lambda w: self._transposed(w) + shift * w

    def within(self, columns: Any) -> ProductOperator:
        """The part of the matrix in the coordinates `columns`, an array of int."""
        kept, size = torch.from_numpy(columns), self.shape[0]

        def cut(product: Product) -> Product:
            return lambda v: product(torch.zeros(size, dtype=v.dtype).index_put((kept,), v))[kept]

        return ProductOperator(len(columns), cut(self._forward), cut(self._transposed), self.together)

    def _matvec(self, x: Array) -> Array:
        return self._times(self._forward, x)

    def _rmatvec(self, x: Array) -> Array:
        return self._times(self._transposed, x)

    def _matmat(self, x: Array) -> Array:
        return self._columns(self._forward, x)

    def _rmatmat(self, x: Array) -> Array:
        return self._columns(self._transposed, x)

    def _columns(self, product: Product, x: Array) -> Array:
        """The product with each column of a matrix, several at once where that is worth it."""
        if self.together == 1 or np.iscomplexobj(x):
            return np.stack([self._times(product, column) for column in x.T], axis=1)
        start = time.perf_counter()
        rows = torch.from_numpy(np.ascontiguousarray(x.T, dtype=np.float64))
        with own_surroundings(), torch.no_grad(), derivatives_by_name():
            parts = [torch.func.vmap(product)(part).detach() for part in torch.split(rows, self.together)]
        self._count(len(rows), start)
        return np.asarray(torch.cat(parts).numpy().T)

    def _times(self, product: Product, x: Array) -> Array:
        if np.iscomplexobj(x):  # the matrix is real
            return np.asarray(self._times(product, x.real) + 1j * self._times(product, x.imag))
        start = time.perf_counter()
        vector = torch.from_numpy(np.array(x, dtype=np.float64).reshape(-1))
        with own_surroundings(), torch.no_grad(), derivatives_by_name():
            result = product(vector).detach()
        self._count(1, start)
        return np.asarray(result.numpy())

    def _count(self, products: int, start: float) -> None:
        self.n_products += products
        self.seconds += time.perf_counter() - start
        if self.report is not None:
            self.report(products)


def largest_singular_value(operator: LinearOperator) -> float:
    """The largest singular value from ten products: low by some per cent where it stands out, by more in a
    cluster.
    """
    v = np.random.default_rng(0).standard_normal(operator.shape[0])
    size = 0.0
    for _ in range(5):
        v = operator.rmatvec(operator.matvec(v / np.linalg.norm(v)))
        size = float(np.linalg.norm(v)) ** 0.5
        if size == 0:
            break
    return size

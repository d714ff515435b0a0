"""The noise root of a system of many coordinates, as products with it.

The noise of a diffusion is B z with standard normals z. With dim coordinates and as many normals B has dim^2
entries, each a tensor over the paths where a step is kept on separate coordinates: for a network of a
thousand weights a step would walk through a million tensors in Python. What a step and the first-exit test
need of B are three products, B z, |B^T n|^2 and B B^T n, and each is one call of the system's noise, or of
its transpose by reverse-mode differentiation, mapped over the paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from samdyn.numerics.vector import Coordinates
from samdyn.trace.surroundings import own_surroundings

# one point (dim,), normals (k,), coefficients (m,) -> noise (dim,)
PointNoise = Callable[[Tensor, Tensor, Tensor], Tensor]


class WideRoot(Sequence[Coordinates]):
    """B at the points of a tile of paths.

    Parameters
    ----------
    noise : callable
        B z at one point, linear in z.
    x : Tensor, shape (n, dim)
    coefficients : Tensor, shape (n, m)
    n_normals : int
        The number of columns of B.

    Examples
    --------
    >>> root = WideRoot(lambda x, z, c: c[0] * z, torch.zeros(3, 2), 2 * torch.ones(3, 1), 2)
    >>> root.variance((0.6, 0.8))
    tensor([4., 4., 4.])
    """

    def __init__(self, noise: PointNoise, x: Tensor, coefficients: Tensor, n_normals: int) -> None:
        self.noise, self.x, self.coefficients, self.n_normals = noise, x, coefficients, n_normals

    def times(self, weights: Sequence[Any]) -> Coordinates:
        """B z for normals z over the paths."""
        return self._product(self._stacked(weights))

    def variance(self, normal: Sequence[Any]) -> Tensor:
        """|B^T n|^2 for a vector n over the paths."""
        return torch.linalg.vector_norm(self._transposed(normal), dim=1) ** 2

    def conjugate(self, normal: Sequence[Any]) -> Coordinates:
        """B B^T n for a vector n over the paths."""
        return self._product(self._transposed(normal))

    def _product(self, z: Tensor) -> Coordinates:
        with own_surroundings():
            moved = torch.func.vmap(self.noise)(self.x, z, self.coefficients)
        return Coordinates(moved.detach().to(self.x.dtype).unbind(1))

    def _transposed(self, normal: Sequence[Any]) -> Tensor:
        def one(x: Tensor, n: Tensor, coefficients: Tensor) -> Tensor:
            zeros = x.new_zeros(self.n_normals)
            pull = torch.func.vjp(lambda z: self.noise(x, z, coefficients), zeros)[1]
            return torch.as_tensor(pull(n)[0])

        with own_surroundings():
            return torch.func.vmap(one)(self.x, self._stacked(normal), self.coefficients).detach()

    def _stacked(self, vector: Sequence[Any]) -> Tensor:
        if all(isinstance(entry, float) for entry in vector):
            return self.x.new_tensor([float(entry) for entry in vector]).expand(len(self.x), -1)
        ones = torch.ones_like(self.x[:, 0])
        return torch.stack([entry * ones for entry in vector], dim=1)

    def __len__(self) -> int:
        return self.n_normals

    def __iter__(self) -> Iterator[Coordinates]:
        return (self[j] for j in range(self.n_normals))

    def __getitem__(self, j: Any) -> Any:
        """Column j of B."""
        unit = torch.zeros_like(self.x[:, :1]).expand(-1, self.n_normals).clone()
        unit[:, j] = 1.0
        return self._product(unit)

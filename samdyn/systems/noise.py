"""Gradient-noise models and the batch that makes the perturbation.

A noise model gives the covariance C of one stochastic gradient. `probe` says which gradient the
perturbation e(x) is made from:

- "full": the exact gradient (the literature's n-SAM in some papers);
- "same": the very draw that the descent gradient uses too (what practitioners run; m-SAM in some papers);
- "independent": another draw of the same law.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.compute import checks

PROBES = ("full", "same", "independent")


@dataclass(frozen=True)
class Noise(ABC):
    """Base of the noise models."""

    def __post_init__(self) -> None:
        probe = self.probe  # type: ignore[attr-defined]
        if probe not in PROBES:
            raise ValueError(f"probe must be one of {', '.join(map(repr, PROBES))}, got {probe!r}")

    @abstractmethod
    def root(self, hessian: Callable[[Tensor], Tensor], x: Tensor, z: Tensor) -> Tensor:
        """C(x)^(1/2) z for one point, with the symmetric root.

        Parameters
        ----------
        hessian : callable
            The loss Hessian at one point.
        x, z : Tensor, shape (dim,)
            The point, and the vector that is multiplied (standard normal in a step).
        """

    def check_dim(self, dim: int) -> None:  # noqa: B027  (most models fit any dimension)
        """Refuse a model of another dimension."""

    def check_loss(self, loss: Any) -> None:
        """Refuse a loss that the model does not fit."""
        self.check_dim(loss.dim)

    @property
    def parameters(self) -> dict[str, Any]:
        """The model's numbers by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "probe"}

    def n_normals(self, dim: int) -> int:
        """Standard normals that one step uses."""
        return 2 * dim if self.probe == "independent" else dim  # type: ignore[attr-defined]


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Additive Gaussian gradient noise that does not depend on the point: C = std^2 I.

    Parameters
    ----------
    std : float or sequence of float
        Standard deviation of each gradient coordinate: one number, or one for each coordinate.
    probe : {"full", "same", "independent"}
        Which gradient makes the perturbation.

    Examples
    --------
    >>> import samdyn as sd
    >>> flat = sd.landscapes.quadratic([[1.0]])
    >>> sd.Diffusion(flat, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=2.0)).covariance([0.0])
    array([[0.4]])
    """

    std: float | tuple[float, ...] = 1.0
    probe: str = "full"

    def __post_init__(self) -> None:
        super().__post_init__()
        std: Any = self.std
        if not isinstance(std, str | dict) and np.ndim(std) == 1:
            if len(std) == 0:
                raise ValueError(f"std must be a number or one for each coordinate, got {std!r}")
            values = tuple(checks.number(f"std[{i}]", s, at_least=0) for i, s in enumerate(std))
            object.__setattr__(self, "std", values)
        else:
            object.__setattr__(self, "std", checks.number("std", std, at_least=0))

    def check_dim(self, dim: int) -> None:
        """Refuse a std per coordinate whose length is not dim."""
        if isinstance(self.std, tuple) and len(self.std) != dim:
            raise ValueError(f"std must be a number or {dim} numbers, got {len(self.std)}")

    def root(self, hessian: Callable[[Tensor], Tensor], x: Tensor, z: Tensor) -> Tensor:
        """Std z."""
        std = self.std
        return torch.tensor(std, dtype=z.dtype, device=z.device) * z if isinstance(std, tuple) else std * z


@dataclass(frozen=True)
class CurvatureNoise(Noise):
    """Minibatch noise in the Fisher model: C = |H| / batch_size, with |H| the Hessian's absolute value.

    Parameters
    ----------
    batch_size : float
        The batch size B.
    probe : {"full", "same", "independent"}
        Which gradient makes the perturbation.

    Notes
    -----
    In SAM the Hessian is taken where the descent gradient is, at x + e(x). The root is in closed form in
    one and two dimensions and by an eigendecomposition above.

    References
    ----------
    Kim et al. (arXiv 2301.06308), section on the SAM diffusion, after Xie et al.'s diffusion theory of SGD
    [second-hand: read in a summary].

    Examples
    --------
    >>> import samdyn as sd
    >>> saddle = sd.landscapes.saddle(1.0, 4.0)
    >>> noise = sd.CurvatureNoise(batch_size=2)
    >>> sd.Diffusion(saddle, sd.GD(), lr=0.1, noise=noise).covariance([0.0, 0.0]).round(12)
    array([[0.05, 0.  ],
           [0.  , 0.2 ]])
    """

    batch_size: float
    probe: str = "full"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "batch_size", checks.number("batch_size", self.batch_size, above=0))

    def root(self, hessian: Callable[[Tensor], Tensor], x: Tensor, z: Tensor) -> Tensor:
        """(|H(x)| / B)^(1/2) z."""
        return absolute_root(hessian(x), z) / self.batch_size**0.5


def absolute_root(matrix: Tensor, z: Tensor) -> Tensor:
    """|A|^(1/2) z for a symmetric matrix A: roots of the eigenvalues' absolute values.

    Parameters
    ----------
    matrix : Tensor, shape (dim, dim)
    z : Tensor, shape (dim,)

    Notes
    -----
    In two dimensions f(A) = mean(f) I + slope (A - mean(A) I), with slope the divided difference of f over
    the two eigenvalues: no eigenvectors needed, so that the expression can be traced into separate
    coordinates.

    Examples
    --------
    >>> import torch
    >>> absolute_root(torch.tensor([[0.0, 4.0], [4.0, 0.0]]), torch.tensor([1.0, 0.5]))
    tensor([2., 1.])
    """
    dim = z.shape[-1]
    if dim == 1:
        return torch.sqrt(torch.abs(matrix[0])) * z
    if dim == 2:
        centre = (matrix[0, 0] + matrix[1, 1]) / 2
        difference = (matrix[0, 0] - matrix[1, 1]) / 2
        square = difference**2 + matrix[0, 1] ** 2
        split = square > 0
        half = torch.where(split, torch.sqrt(torch.where(split, square, 1.0)), 0.0)
        upper, lower = torch.sqrt(torch.abs(centre + half)), torch.sqrt(torch.abs(centre - half))
        slope = torch.where(split, (upper - lower) / (2 * torch.where(split, half, 1.0)), 0.0)
        mean = (upper + lower) / 2
        first = (mean + slope * difference) * z[0] + slope * matrix[0, 1] * z[1]
        second = slope * matrix[0, 1] * z[0] + (mean - slope * difference) * z[1]
        return torch.stack([first, second])
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ (torch.sqrt(torch.abs(values)) * (vectors.T @ z))

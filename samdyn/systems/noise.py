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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.systems.matrix_root import absolute_root, covariance_root

PROBES = ("full", "same", "independent")


@dataclass(frozen=True)
class Noise(ABC):
    """Base of the noise models."""

    def __post_init__(self) -> None:
        checks.choice("probe", self.probe, PROBES)  # type: ignore[attr-defined]

    @abstractmethod
    def root(self, hessian: Callable[[Tensor], Tensor], x: Tensor, z: Tensor) -> Tensor:
        """C(x)^(1/2) z for one point, with the symmetric root.

        Parameters
        ----------
        hessian : callable
            The loss Hessian at one point.
        x : Tensor, shape (dim,)
            The point.
        z : Tensor, shape (dim,) or (dim, m)
            The vector that is multiplied (standard normal in a step), or m of them as columns.
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

    def with_parameters(self, **values: Any) -> Self:
        """A copy with some of `parameters` changed."""
        return dataclasses.replace(self, **values)

    def silent(self, loss: Any) -> bool:
        """Whether the noise is 0 for a loss, whatever the point."""
        return False

    def n_normals(self, dim: int) -> int:
        """Standard normals that one step uses."""
        return 2 * dim if self.probe == "independent" else dim  # type: ignore[attr-defined]


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Additive Gaussian gradient noise that does not depend on the point: C = std^2 I, or C = cov.

    Parameters
    ----------
    std : float or sequence of float
        Standard deviation of each gradient coordinate: one number, or one for each coordinate.
    probe : {"full", "same", "independent"}
        Which gradient makes the perturbation.
    cov : array_like, shape (dim, dim), optional
        Covariance matrix of the gradient noise, for coordinates that are correlated; `std` is then left out,
        and reads as the square roots of the diagonal.

    Raises
    ------
    TypeError, ValueError
        A std that is negative or no number; a cov that is not square, not symmetric, not finite, or has a
        negative eigenvalue; both std and cov.

    Notes
    -----
    The root of `cov` is the symmetric one. It is symmetric to 1e-12 of its largest entry and may be singular:
    eigenvalues down to -1e-12 of the largest one count as 0.

    Examples
    --------
    >>> import samdyn as sd
    >>> flat = sd.landscapes.quadratic([[1.0]])
    >>> sd.Diffusion(flat, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=2.0)).covariance([0.0])
    array([[0.4]])
    >>> bowl, noise = sd.landscapes.saddle(1.0, 1.0), sd.GaussianNoise(cov=[[2.0, 1.0], [1.0, 2.0]])
    >>> sd.Diffusion(bowl, sd.GD(), lr=0.1, noise=noise).covariance([0.0, 0.0]).round(12)
    array([[0.2, 0.1],
           [0.1, 0.2]])
    """

    std: float | tuple[float, ...] = 1.0
    probe: str = "full"
    cov: npt.ArrayLike | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # what is accepted; what is kept stands above

        def __init__(
            self, std: npt.ArrayLike = 1.0, probe: str = "full", *, cov: npt.ArrayLike | None = None
        ) -> None: ...

    def __post_init__(self) -> None:
        super().__post_init__()
        std: Any = self.std
        if isinstance(std, list | tuple) or getattr(std, "ndim", 0) == 1:
            if len(std) == 0:
                raise ValueError(f"std must be a number or one for each coordinate, got {std!r}")
            values = tuple(checks.number(f"std[{i}]", s, at_least=0) for i, s in enumerate(std))
            object.__setattr__(self, "std", values)
        else:
            object.__setattr__(self, "std", checks.number("std", std, at_least=0))
        if self.cov is None:
            return
        cov = checks.covariance("cov", self.cov)
        spread = tuple(float(s) for s in np.sqrt(np.diag(cov)))
        # `dataclasses.replace` hands over the std that was read off cov
        if self.std not in (1.0, spread):
            raise ValueError(f"std must be left out where cov is given, got std={std!r} and cov={self.cov!r}")
        object.__setattr__(self, "std", spread)
        object.__setattr__(self, "cov", tuple(map(tuple, cov.tolist())))
        object.__setattr__(self, "_root", tuple(map(tuple, covariance_root(cov).tolist())))

    @property
    def parameters(self) -> dict[str, Any]:
        """The covariance matrix where it was given, else the standard deviation."""
        return {"std": self.std} if self.cov is None else {"cov": self.cov}

    def with_parameters(self, **values: Any) -> Self:
        """A copy with another std or cov."""
        if "cov" in values:
            values.setdefault("std", 1.0)
        return dataclasses.replace(self, **values)

    def check_dim(self, dim: int) -> None:
        """Refuse a std per coordinate, or a covariance matrix, of another dimension."""
        if self.cov is not None:
            if len(self._root) != dim:
                n = len(self._root)
                raise ValueError(f"cov must have shape ({dim}, {dim}), got shape ({n}, {n})")
        elif isinstance(self.std, tuple) and len(self.std) != dim:
            raise ValueError(f"std must be a number or {dim} numbers, got {len(self.std)}")

    def silent(self, loss: Any) -> bool:
        """Whether all standard deviations are 0."""
        return not np.any(self.std)

    def root(self, hessian: Callable[[Tensor], Tensor], x: Tensor, z: Tensor) -> Tensor:
        """Std z, or the root of cov times z."""
        if self.cov is not None:
            return torch.tensor(self._root, dtype=z.dtype, device=z.device) @ z
        std = self.std
        if not isinstance(std, tuple):
            return std * z
        each = torch.tensor(std, dtype=z.dtype, device=z.device)
        return each.reshape(-1, *[1] * (z.ndim - 1)) * z

    def __repr__(self) -> str:
        size = f"std={self.std!r}" if self.cov is None else f"cov={self.cov!r}"
        return f"GaussianNoise({size}, probe={self.probe!r})"

    _root: tuple[tuple[float, ...], ...] = field(default=(), init=False, repr=False, compare=False)


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
    In SAM the Hessian is taken where the descent gradient is, at x + e(x). Its root is described in
    `samdyn.systems.matrix_root`: in closed form up to three dimensions, by Jacobi rotations up to
    five, and by the eigendecomposition of LAPACK above, where steps are not compiled.

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

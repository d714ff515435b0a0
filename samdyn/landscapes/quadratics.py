"""Quadratic forms and the monkey saddle: one critical point, at the origin.

The kind of the origin follows from the signs of the Hessian's eigenvalues. An eigenvalue counts as zero
when it is no larger than dim times the rounding error of the largest one; the critical points then fill a
subspace, and since none of them is isolated none is listed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import CriticalPoint, Landscape


def _quadratic(w: Tensor, H: Tensor) -> Tensor:
    return (w * (H.to(w) @ w)).sum() / 2


def _saddle(w: Tensor, a: float, b: float) -> Tensor:
    return (a * w[0] ** 2 - b * w[1] ** 2) / 2


def _monkey_saddle(w: Tensor) -> Tensor:
    return w[0] ** 3 - 3 * w[0] * w[1] ** 2


def _symmetric_matrix(name: str, value: Any) -> Array:
    wanted = f"{name} must be a symmetric matrix (dim, dim) of finite numbers"
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{wanted}, got {value!r}") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise ValueError(f"{wanted}, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{wanted}, got {value!r}")
    gap = np.abs(matrix - matrix.T).max()
    if gap > 1e-12 * np.abs(matrix).max():  # more than the rounding of a product such as Q D Q^T
        raise ValueError(f"{wanted}, got one whose transpose differs by {gap:.3g}")
    return np.asarray((matrix + matrix.T) / 2)


@checked
def quadratic(H: npt.ArrayLike) -> Landscape:
    """The quadratic form f(w) = w^T H w / 2, whose Hessian is H everywhere.

    Parameters
    ----------
    H : array_like, shape (dim, dim)
        A symmetric matrix, definite or not. What rounding leaves of an asymmetry is averaged away.

    Returns
    -------
    Landscape
        On the box [-1, 1]^dim, with the parameter `H` (a torch tensor) and, unless H is singular, the
        origin as its only critical point.

    Raises
    ------
    TypeError, ValueError
        H is not a symmetric matrix of finite numbers.

    Notes
    -----
    The virtual loss of normalised SAM is exactly f(w) + rho |H w| here.

    References
    ----------
    Bartlett, Long and Bousquet (2022), arXiv 2210.01513, study SAM on this loss.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.quadratic([[3, 1], [1, 0]]).critical_points
    (CriticalPoint(x=(0.0, 0.0), kind='saddle'),)
    """
    matrix = _symmetric_matrix("H", H)
    dim = len(matrix)
    eigenvalues = np.linalg.eigvalsh(matrix)
    points = []
    if np.abs(eigenvalues).min() > dim * np.finfo(float).eps * np.abs(eigenvalues).max():
        kind = "minimum" if eigenvalues[0] > 0 else "maximum" if eigenvalues[-1] < 0 else "saddle"
        points.append(CriticalPoint((0.0,) * dim, kind))
    return Landscape(
        _quadratic,
        dim,
        box=[(-1.0, 1.0)] * dim,
        name="quadratic",
        parameters={"H": torch.from_numpy(matrix)},
        critical_points=points,
    )


@checked
def saddle(a: float = 1.0, b: float = 1.0) -> Landscape:
    """The quadratic saddle f(x, y) = a x^2 / 2 - b y^2 / 2, with eigenvalues a and -b.

    Parameters
    ----------
    a, b : float
        Curvature up along x and down along y, both positive. x^2 - y^2 is `saddle(2, 2)`.

    Returns
    -------
    Landscape
        On the box [-1, 1]^2, with the parameters `a` and `b`; the origin is its only critical point.

    Raises
    ------
    TypeError, ValueError
        a or b is not a finite number > 0.

    Notes
    -----
    Under USAM the origin attracts as soon as rho > 1 / b.

    References
    ----------
    Kim et al. (2023), arXiv 2301.06308: x^2 - y^2 is one of their toy losses.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.saddle(2, 2).value([[3.0, 0.0], [0.0, 3.0]])
    array([ 9., -9.])
    """
    return Landscape(
        _saddle,
        2,
        box=[(-1.0, 1.0)] * 2,
        name="saddle",
        parameters={"a": checks.number("a", a, above=0), "b": checks.number("b", b, above=0)},
        critical_points=[CriticalPoint((0.0, 0.0), "saddle")],
    )


@checked
def monkey_saddle() -> Landscape:
    """The monkey saddle f(x, y) = x^3 - 3 x y^2 (three valleys, for two legs and a tail).

    Returns
    -------
    Landscape
        On the box [-1, 1]^2; the origin is its only critical point, degenerate: the Hessian there is zero.

    References
    ----------
    Hilbert and Cohn-Vossen, Geometry and the Imagination (Chelsea, 1952).

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.monkey_saddle().critical_points
    (CriticalPoint(x=(0.0, 0.0), kind='degenerate'),)
    """
    return Landscape(
        _monkey_saddle,
        2,
        box=[(-1.0, 1.0)] * 2,
        name="monkey saddle",
        critical_points=[CriticalPoint((0.0, 0.0), "degenerate")],
    )

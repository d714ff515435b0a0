"""Sums of quadratic components: how they are recognised, and what is exact for them.

Components are quadratic if the graph of the component computes a polynomial of degree at most two (see
`samdyn.landscapes.polynomials`), which holds everywhere: a loss that is quadratic only where it was
looked at, such as Huber's, is not one. Components that are squares of one linear form plus a multiple of
|w|^2 (least squares and ridge regression) are recognised from their Hessians' eigenvalues.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from samdyn.arguments.checks import Array

NEGATIVE = 1e-10
"""Eigenvalues below minus this share of the largest count as negative."""
SAME = 1e-10
"""Relative difference up to which two numbers of the squares' structure count as equal."""
LARGEST_DIM = 200
"""Largest dimension in which squares are looked for."""


class Quadratics(NamedTuple):
    """Components f_i(w) = w.H_i w / 2 - l_i.w + c_i.

    Attributes
    ----------
    hessians : ndarray, shape (n, dim, dim)
    linear : ndarray, shape (n, dim)
    constants : ndarray, shape (n,)
    """

    hessians: Array
    linear: Array
    constants: Array


class Squares(NamedTuple):
    """Components f_i(w) = (a_i.w - b_i)^2 / 2 + r_i |w|^2 / 2 + a constant.

    Attributes
    ----------
    rows : ndarray, shape (n, dim)
        The a_i.
    targets : ndarray, shape (n,)
        The b_i.
    ridge : ndarray, shape (n,)
        The r_i.
    """

    rows: Array
    targets: Array
    ridge: Array


def squares_of(quadratics: Quadratics) -> Squares | None:
    """The components as squares of linear forms with a ridge, or None where they are not.

    Examples
    --------
    >>> import numpy as np
    >>> found = squares_of(Quadratics(np.array([[[4.5]]]), np.array([[3.0]]), np.zeros(1)))
    >>> abs(found.rows).round(6), found.ridge
    (array([[2.12132]]), array([0.]))
    """
    hessians, linear, _ = quadratics
    dim = linear.shape[1]
    if dim > LARGEST_DIM:
        return None
    values, vectors = np.linalg.eigh(hessians)
    scale = np.abs(values).max(axis=1) + 1e-300
    ridge = values[:, 0] if dim > 1 else np.zeros(len(values))
    if dim > 1 and (values[:, -2] - ridge > SAME * scale).any():
        return None
    strength = values[:, -1] - ridge
    if (strength < -SAME * scale).any():
        return None
    rows = np.sqrt(np.maximum(strength, 0))[:, None] * vectors[:, :, -1]
    square = (rows**2).sum(axis=1)
    full = square > SAME * scale
    targets = np.where(full, (linear * rows).sum(axis=1) / np.where(full, square, 1.0), 0.0)
    off = np.abs(targets[:, None] * rows - linear).max()
    return Squares(rows, targets, ridge) if off <= SAME * (np.abs(linear).max() + 1e-300) else None


def infima_of(quadratics: Quadratics) -> Array:
    """The infimum of every component, -inf where it is unbounded below: shape (n,).

    Examples
    --------
    >>> import numpy as np
    >>> infima_of(Quadratics(np.array([[[2.0]], [[0.0]]]), np.array([[2.0], [1.0]]), np.zeros(2)))
    array([ -1., -inf])
    """
    hessians, linear, constants = quadratics
    values, vectors = np.linalg.eigh(hessians)
    slopes = np.einsum("nij,ni->nj", vectors, linear)
    flat, endless = _flat_directions(values, slopes, constants)
    negative = values < -NEGATIVE * np.abs(values).max(axis=1, keepdims=True)
    bounded = ~(negative | endless).any(axis=1)
    gain = np.where(flat, 0.0, slopes**2 / np.where(flat, 1.0, values)).sum(axis=1) / 2
    return np.asarray(np.where(bounded, constants - gain, -np.inf))


def _flat_directions(values: Array, slopes: Array, constants: Array) -> tuple[Array, Array]:
    """Which eigenvalues are rounding, and along which of them the function falls without end.

    A slope s with a curvature h lowers the minimum by s^2 / (2 h). It is no rounding either if that is far
    more than the function is worth, even with h as large as rounding lets it be.
    """
    rounding = np.finfo(float).eps * values.shape[-1]
    largest = np.abs(values).max(axis=-1, keepdims=True)
    worth = largest * np.abs(constants)[..., None] + (slopes**2).max(axis=-1, keepdims=True)
    flat = values <= 4 * rounding * largest
    return flat, flat & (slopes**2 > 30 * rounding * worth)


def minimiser_of(quadratics: Quadratics, name: str) -> Array:
    """The minimiser of least norm of the mean of the components, or an error that calls the sum `name`.

    Examples
    --------
    >>> import numpy as np
    >>> minimiser_of(Quadratics(np.array([[[2.0]], [[0.0]]]), np.array([[2.0], [1.0]]), np.zeros(2)), "f")
    array([1.5])
    """
    hessian, linear, constants = (part.mean(axis=0) for part in quadratics)
    values, vectors = np.linalg.eigh(hessian)
    if values[0] < -NEGATIVE * np.abs(values).max():
        raise ValueError(f"{name} has no minimum: its Hessian has a negative eigenvalue")
    # slopes that cancel in the mean leave the rounding of what they were
    worth = np.abs(quadratics.constants).max() + np.abs(constants)
    parts = np.abs(quadratics.linear).max() * 1e-14
    slopes = vectors.T @ linear
    if _flat_directions(values, np.where(np.abs(slopes) > parts, slopes, 0.0), worth)[1].any():
        raise ValueError(f"{name} has no minimum: it falls without end along a direction without curvature")
    return np.asarray(np.linalg.lstsq(hessian, linear, rcond=1e-13)[0])

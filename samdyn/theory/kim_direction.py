"""Normalised SAM with gradient noise beside a critical point: an unnormalised SAM of another radius.

Where noise of standard deviation sigma outweighs the gradient, the direction G/|G| of a noisy gradient is
almost uniform on the sphere, with a mean proportional to the gradient: E[G/|G|] = (kappa_d / sigma) grad f to
first order. [derived, checked]

References
----------
Beside: Kim, Park, Kim and Lee, Stability Analysis of Sharpness-Aware Minimization (arXiv 2301.06308).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array, array, integer, number
from samdyn.arguments.signature import checked


@checked
def mean_direction(dim: int) -> float:
    """kappa_d with E[G/|G|] ~ (kappa_d / sigma) grad f for G ~ N(grad f, sigma^2 I), |grad f| << sigma.

    Notes
    -----
    sqrt(2) Gamma((d + 1)/2) / (d Gamma(d/2)) = E|Z| / d for standard normal Z, ~ 1/sqrt(d). [derived,
    checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> round(sd.theory.kim.mean_direction(1), 6), round(sd.theory.kim.mean_direction(20), 6)
    (0.797885, 0.22083)
    """
    dim = integer("dim", dim, at_least=1)
    return math.sqrt(2) / dim * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))


@checked
def effective_radius(rho: float, noise_std: float, dim: int) -> float:
    """Radius of the USAM that moves like normalised SAM with noise, in the mean, beside a critical point.

    Parameters
    ----------
    rho : float
        Radius of the normalised rule, in units of the weights.
    noise_std : float
        sigma > 0 of each coordinate of the gradient noise; isotropic and Gaussian, in the ascent gradient
        (whether or not the descent gradient has the same draw).
    dim : int
        Number of coordinates.

    Returns
    -------
    float
        rho kappa_d / sigma, in units of 1/curvature; to be compared with `critical_radius`.

    Notes
    -----
    To first order in |grad f| / sigma. [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> round(sd.theory.kim.effective_radius(1.595769, 1.0, 2), 6)
    1.0
    """
    std = number("noise_std", noise_std, above=0)
    return number("rho", rho, at_least=0) * mean_direction(dim) / std


@checked
def effective_covariance(
    hessian: npt.ArrayLike, rho: float, noise_std: float, *, probe: str = "same"
) -> Array:
    """Covariance of the descent gradient of normalised SAM with noise, at a critical point.

    Parameters
    ----------
    hessian : array_like, shape (dim, dim)
    rho, noise_std : float
        As in `effective_radius`.
    probe : {"same", "independent"}
        Whether both gradients see the same draw.

    Returns
    -------
    ndarray, shape (dim, dim)

    Notes
    -----
    sigma^2 I + 2 rho sigma kappa_d H + (rho^2/d) H^2; with independent draws without the middle term. The
    perturbation's direction is uniform on the sphere. [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.effective_covariance([[1.0, 0.0], [0.0, -1.0]], 0.8, 1.0).round(4)
    array([[2.3227, 0.    ],
           [0.    , 0.3173]])
    """
    matrix = array("hessian", hessian)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T):
        raise ValueError(f"hessian must be a symmetric matrix, got {hessian!r}")
    if probe not in ("same", "independent"):
        raise ValueError(f"probe must be 'same' or 'independent', got {probe!r}")
    rho, std = number("rho", rho, at_least=0), number("noise_std", noise_std, above=0)
    dim = len(matrix)
    cross = 2 * rho * std * mean_direction(dim) * matrix if probe == "same" else 0.0
    result: Array = std**2 * np.eye(dim) + cross + rho**2 / dim * (matrix @ matrix)
    return result

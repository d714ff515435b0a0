"""Theorem 1 of Kim et al.: at which radii unnormalised SAM makes an attractor of a saddle.

The Jacobian of -grad f(x + rho grad f(x)) at a critical point with Hessian H is -H (I + rho H): each mode
lam moves on its own at the rate -kappa, kappa = lam (1 + rho lam), and a negative lam attracts beyond
rho = 1/|lam|. The map multiplies it by 1 - lr kappa in a step, with momentum by the roots of
z^2 - (1 + momentum - lr kappa) z + momentum. Status marks and modes: see `samdyn.theory.kim`.

References
----------
Kim, Park, Kim and Lee, Stability Analysis of Sharpness-Aware Minimization (arXiv 2301.06308).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array, array, choice, number
from samdyn.arguments.signature import checked

MODES = ("full", "same", "independent", "paper")


def nonzero(name: str, value: npt.ArrayLike) -> Array:
    """Check numbers none of which may be 0."""
    result = array(name, value)
    if result.size == 0:
        raise ValueError(f"{name} must hold at least one number, got {value!r}")
    if (result == 0).any():
        raise ValueError(f"{name} must not be zero, where the linearisation decides nothing, got {value!r}")
    return result


def momentum_factor(value: float) -> float:
    """Check a momentum."""
    return number("momentum", value, at_least=0, below=1)


def check_mode(mode: str) -> str:
    """Check a mode."""
    return choice("mode", mode, MODES)


@checked
def effective_curvature(eigenvalues: npt.ArrayLike, rho: float, mode: str = "full") -> Any:
    """kappa of each mode: lam (1 + rho lam), or lam (1 + rho lam)^2 in the mode "paper".

    Notes
    -----
    First form: eigenvalues of H (I + rho H), exact on quadratics. [derived, checked] Second form: the
    exponent of Theorem 2 as printed. [second-hand]

    Examples
    --------
    >>> import samdyn as sd
    >>> kim = sd.theory.kim
    >>> kim.effective_curvature([-1.0, 2.0], 0.5), kim.effective_curvature(-1.0, 0.5, "paper")
    (array([-0.5,  4. ]), np.float64(-0.25))
    """
    lam, factor = array("eigenvalues", eigenvalues), 2 if check_mode(mode) == "paper" else 1
    return (lam * (1 + number("rho", rho, at_least=0) * lam) ** factor)[()]


@checked
def usam_rates(eigenvalues: npt.ArrayLike, rho: float) -> Any:
    """Growth rates -lam (1 + rho lam) of the USAM flow at a critical point; negative is attracting.

    Notes
    -----
    The Jacobian of -grad f(x + rho grad f(x)) at a critical point is -H (I + rho H). Rate 0 (lam = 0 or
    rho = 1/|lam| with lam < 0) leaves stability to higher orders. [second-hand: Theorem 1; checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.usam_rates([2.0, -2.0], 0.6).round(12)
    array([-4.4, -0.4])
    """
    return -effective_curvature(eigenvalues, rho)


@checked
def critical_radius(eigenvalues: npt.ArrayLike) -> float:
    """Radius above which a critical point attracts the USAM flow: 1 / min |lam| over the negative lam.

    Parameters
    ----------
    eigenvalues : array_like
        Of the Hessian; none may be zero.

    Returns
    -------
    float
        In units of 1/curvature; 0 at a minimum, which attracts at every radius.

    Notes
    -----
    Theorem 1 has it for one negative eigenvalue (rho > -1/lam_1) [second-hand]; with several the one closest
    to zero decides, and maxima become attractors too [derived, checked].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.critical_radius([2.0, -2.0]), sd.theory.kim.critical_radius([-1.0, -4.0])
    (0.5, 1.0)
    """
    lam = np.atleast_1d(nonzero("eigenvalues", eigenvalues))
    negative = lam[lam < 0]
    return float(1 / -negative.max()) if len(negative) else 0.0


class RadiusWindow(NamedTuple):
    """Radii lower < rho < upper; no radius at all where upper <= lower."""

    lower: float
    upper: float


@checked
def attracting_radii(eigenvalues: npt.ArrayLike, lr: float, momentum: float = 0.0) -> RadiusWindow:
    """Radii at which a critical point attracts the USAM map: 0 < lr lam (1 + rho lam) < 2 (1 + momentum).

    Notes
    -----
    lam = -a < 0: 1/a < rho < (1/a)(1 + 2 (1 + momentum)/(lr a)); lam > 0: 0 <= rho < (2 (1 + momentum)/(lr
    lam) - 1)/lam; the window is what all modes share. A `lower` of 0 belongs to it. Momentum does not move
    the lower end. [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.attracting_radii([-2.0], lr=0.01)
    RadiusWindow(lower=0.5, upper=50.5)
    """
    lam = np.atleast_1d(nonzero("eigenvalues", eigenvalues))
    edge = 2 * (1 + momentum_factor(momentum)) / number("lr", lr, above=0)
    return RadiusWindow(critical_radius(lam), float(((edge / lam - 1) / lam).min()))


@checked
def usam_multipliers(eigenvalues: npt.ArrayLike, rho: float, lr: float, momentum: float = 0.0) -> Any:
    """Multipliers of the USAM map at a critical point; modulus below 1 is attracting.

    Returns
    -------
    ndarray, shape (...) or (..., 2)
        1 - lr kappa without momentum; with it the two roots, complex, of
        z^2 - (1 + momentum - lr kappa) z + momentum, the larger modulus first.

    Notes
    -----
    Heavy ball: v' = momentum v + grad f(x + e(x)), x' = x - lr v'. [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.usam_multipliers(-2.0, 0.4, lr=0.01).round(12)
    np.float64(1.004)
    >>> abs(sd.theory.kim.usam_multipliers(-0.1, 0.0, lr=0.01, momentum=0.9)).round(5)
    array([1.00924, 0.89176])
    """
    step = number("lr", lr, above=0) * np.asarray(effective_curvature(eigenvalues, rho))
    gamma = momentum_factor(momentum)
    if not gamma:
        return (1 - step)[()]
    middle = (1 + gamma - step) / 2
    root = np.sqrt(np.asarray(middle**2 - gamma, dtype=complex))
    large = middle + np.where(middle < 0, -1, 1) * root
    return np.stack([large, gamma / large], axis=-1)  # their product is gamma: nothing cancels

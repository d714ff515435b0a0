"""Rare escapes: the Eyring-Kramers law, and the double well f = (x^2 - 1)^2 / 4 under SAM.

SAM's drift has a potential of its own in one dimension. Under unnormalised SAM it is smooth; under normalised
SAM it is f shifted piece by piece, with cusps at the wells and an attracting cusp at 0. Status marks: see
`samdyn.theory.first_passage`.

References
----------
Kramers, Physica 7, 284 (1940); Bovier, Eckhoff, Gayrard and Klein, Journal of the European Mathematical
Society 6, 399 (2004): the law named after Eyring and Kramers. Bouchet and Reygner, Annales Henri Poincare 17,
3499 (2016).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array, array, number
from samdyn.arguments.signature import checked


@checked
def eyring_kramers(
    minimum_hessian: npt.ArrayLike,
    saddle_hessian: npt.ArrayLike,
    barrier: float,
    diffusion_coefficient: npt.ArrayLike,
    *,
    to: str = "far well",
) -> Any:
    """Eyring-Kramers law for gradient drift: leading order in D.

    Parameters
    ----------
    minimum_hessian, saddle_hessian : array_like, shape (dim, dim) or a number
        Hessians of V at the well and at the saddle, which has one negative eigenvalue ``lam_-``.
    barrier : float
        V(saddle) - V(well).
    diffusion_coefficient : array_like
        D > 0.
    to : {"far well", "separatrix"}
        Where the path must arrive; a path on the separatrix goes either way, so it takes half the time.

    Notes
    -----
    ``T = (2 pi / |lam_-|) sqrt(|det H_s| / det H_m) exp(barrier / D)``. [textbook]

    The drift of unnormalised SAM is a gradient only to first order in rho where dim > 1, and the
    prefactor then has a further factor (Bouchet and Reygner 2016), which is not included.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.first_passage.eyring_kramers(2.0, -1.0, 0.25, 0.05).round(3)
    np.float64(659.382)
    """
    if to not in ("far well", "separatrix"):
        raise ValueError(f"to must be 'far well' or 'separatrix', got {to!r}")
    barrier = number("barrier", barrier, at_least=0)
    d = array("diffusion_coefficient", diffusion_coefficient, above=0)
    well, saddle = _spectrum("minimum_hessian", minimum_hessian), _spectrum("saddle_hessian", saddle_hessian)
    if (well <= 0).any():
        raise ValueError(f"minimum_hessian must be positive definite, got eigenvalues {well}")
    if (saddle < 0).sum() != 1 or (saddle == 0).any():
        raise ValueError(
            f"saddle_hessian must have one negative eigenvalue and no zero one, got eigenvalues {saddle}"
        )
    prefactor = 2 * math.pi / -saddle[0] * math.sqrt(abs(np.prod(saddle)) / np.prod(well))
    full = prefactor * np.exp(barrier / d)
    return (full if to == "far well" else full / 2)[()]


def _spectrum(name: str, value: npt.ArrayLike) -> Array:
    """Eigenvalues of a Hessian, which may be given as a number."""
    matrix = np.atleast_2d(array(name, value))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"{name} must be a square matrix or a number, got shape {np.shape(value)}")
    return np.asarray(np.linalg.eigvalsh(matrix))


@checked
def double_well_expansion(diffusion_coefficient: npt.ArrayLike) -> Any:
    """Mean time -1 -> +1 in f = (x^2 - 1)^2 / 4: sqrt(2) pi exp(0.25 / D) (1 + 1.5 D). [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.first_passage.double_well_expansion(0.02).round(-3)
    np.float64(1228000.0)
    """
    d = array("diffusion_coefficient", diffusion_coefficient, above=0)
    return (math.sqrt(2) * math.pi * np.exp(0.25 / d) * (1 + 1.5 * d))[()]


@checked
def sam_double_well_expansion(rho: float, diffusion_coefficient: npt.ArrayLike, *, to: str = "trap") -> Any:
    """Mean time -1 -> 0 (to="trap") or, twice that, -1 -> +1 ("far well") of SAM in the double well.

    Notes
    -----
    sqrt(2 pi D) (1/s_outer + 1/s_inner) exp(barrier / D) with the slopes s_outer = rho (1 + rho)(2 + rho) and
    s_inner = rho (1 - rho)(2 - rho) of the cusp at -1. It needs D << rho^2: at rho = 0.05, D = 0.01 the exact
    time is 0.38 of it. [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.theory import first_passage as fp
    >>> fp.sam_double_well_expansion(0.3, 0.005, to="far well") / fp.sam_double_well_expansion(0.3, 0.005)
    np.float64(2.0)
    """
    if to not in ("trap", "far well"):
        raise ValueError(f"to must be 'trap' or 'far well', got {to!r}")
    d, rho = (
        array("diffusion_coefficient", diffusion_coefficient, above=0),
        number("rho", rho, above=0, below=1),
    )
    outer, inner = rho * (1 + rho) * (2 + rho), rho * (1 - rho) * (2 - rho)
    trap = (
        np.sqrt(2 * math.pi * d) * (1 / outer + 1 / inner) * np.exp(sam_double_well_barrier(rho).barrier / d)
    )
    return (trap if to == "trap" else 2 * trap)[()]


@checked
def usam_double_well_potential(x: npt.ArrayLike, rho: float) -> Any:
    """V with V' = f'(x + rho f'(x)) and V(1) = 0, for f = (x^2 - 1)^2 / 4. [derived, checked]

    Notes
    -----
    V = f + rho (x^6/2 - x^4 + x^2/2) + rho^2 (3 x^8/8 - x^6 + 3 x^4/4)
    + rho^3 (x^10/10 - 3 x^8/8 + x^6/2 - x^4/4),
    up to a constant; V''(1) = 2 (1 + 2 rho), V''(0) = -(1 - rho).

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.theory import first_passage as fp
    >>> fp.usam_double_well_potential([0.0, -2.0], 0.2).round(6), round(fp.usam_double_well_barrier(0.2), 12)
    (array([0.2452, 7.8804]), 0.2452)
    """
    s, rho = array("x", x) ** 2, number("rho", rho, at_least=0)
    value = (s - 1) ** 2 / 4 + rho * s * (s - 1) ** 2 / 2 + rho**2 * s**2 * (3 * s**2 / 8 - s + 0.75)
    value = value + rho**3 * s**2 * (s**3 / 10 - 3 * s**2 / 8 + s / 2 - 0.25)
    return (value - rho**2 / 8 + rho**3 / 40)[()]


@checked
def usam_double_well_barrier(rho: float) -> float:
    """V(0) - V(1) = 1/4 - rho^2/8 + rho^3/40. [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.first_passage.usam_double_well_barrier(0.0)
    0.25
    """
    rho = number("rho", rho, at_least=0)
    return 0.25 - rho**2 / 8 + rho**3 / 40


@checked
def sam_double_well_potential(x: npt.ArrayLike, rho: float) -> Any:
    """V with V' = f'(x + rho sign f'(x)) and V(1) = 0, f = (x^2 - 1)^2 / 4, 0 <= rho < 1. [derived, checked]

    Notes
    -----
    f shifted piece by piece: f(|x| + rho) for |x| > 1 and f(|x| - rho) for |x| < 1, each less its value at
    1. The wells are cusps, 0 is an attracting cusp, and the saddles are at x = rho and -rho.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.first_passage.sam_double_well_potential([0.2, 0.0, 1.0], 0.2).round(12)
    array([0.2176, 0.198 , 0.    ])
    """
    rho, size = number("rho", rho, at_least=0, below=1), np.abs(array("x", x))
    sign = np.where(size > 1, 1.0, -1.0)

    def f(y: Array) -> Array:
        return (y**2 - 1) ** 2 / 4

    return (f(size + sign * rho) - f(1 + sign * rho))[()]


class SamBarriers(NamedTuple):
    """Barrier seen from the wells, and depth of the trap at 0 below the saddles at rho and -rho."""

    barrier: float
    trap_depth: float


@checked
def sam_double_well_barrier(rho: float) -> SamBarriers:
    """Barrier 1/4 - (rho (2 - rho))^2/4 from the wells; trap (2 rho^2 - rho^4)/4 deep. [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.first_passage.sam_double_well_barrier(0.0)
    SamBarriers(barrier=0.25, trap_depth=0.0)
    """
    rho = number("rho", rho, at_least=0, below=1)
    return SamBarriers(0.25 - (rho * (2 - rho)) ** 2 / 4, (2 * rho**2 - rho**4) / 4)

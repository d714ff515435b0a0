"""Theorem 2 of Kim et al.: how fast noise spreads a path that starts at a critical point, under SAM and SGD.

A mode moves as dX = -kappa X dt + sqrt(lr s2) dW, with kappa and s2 of the four modes in `samdyn.theory.kim`,
so that its variance is lr s2 (1 - exp(-2 kappa t)) / (2 kappa).

References
----------
Kim, Park, Kim and Lee, Stability Analysis of Sharpness-Aware Minimization (arXiv 2301.06308).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from samdyn.arguments.checks import array, number
from samdyn.arguments.signature import checked
from samdyn.theory import first_passage
from samdyn.theory.kim_attraction import check_mode, effective_curvature, nonzero


@checked
def noise_variance(eigenvalues: npt.ArrayLike, rho: float, batch_size: float, mode: str = "full") -> Any:
    """Variance s2 of the noise in the descent gradient along each mode, see the table in `samdyn.theory.kim`.

    Notes
    -----
    Additive noise of variance |lam|/batch_size in each batch, carried through the perturbation by 1 + rho
    lam where both gradients see it, and by rho lam where another batch makes it. [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.theory.kim import MODES
    >>> [float(sd.theory.kim.noise_variance(-1.0, 0.5, 1, mode)) for mode in MODES]
    [1.0, 0.25, 1.25, 1.0]
    """
    lam = array("eigenvalues", eigenvalues)
    carried = number("rho", rho, at_least=0) * lam
    factor = {"same": (1 + carried) ** 2, "independent": 1 + carried**2}.get(check_mode(mode), 1.0)
    return (np.abs(lam) / number("batch_size", batch_size, above=0) * factor)[()]


@checked
def diffusion_variance(
    eigenvalues: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    rho: float,
    lr: float,
    batch_size: float = 1.0,
    mode: str = "full",
) -> Any:
    """Variance of each mode at time t of the SAM diffusion started at a critical point.

    Parameters
    ----------
    eigenvalues, t : array_like
        Hessian eigenvalues and times (lr times steps, >= 0), broadcast against each other.
    rho, lr, batch_size : float
        Radius (unnormalised SAM), learning rate, batch size.
    mode : {"full", "same", "independent", "paper"}
        Which gradient makes the perturbation, or the formula as printed; see `samdyn.theory.kim`.

    Returns
    -------
    ndarray or float64
        In units of the weights squared: the mean squared displacement along the mode.

    Notes
    -----
    lr s2 (1 - exp(-2 kappa t)) / (2 kappa), and lr s2 t for kappa = 0. The map's variance after t/lr steps
    lies O(lr) below it at a saddle. "paper" is Theorem 2 [second-hand]; the others [derived, checked].
    rho = 0 is SGD.

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.theory.kim import MODES
    >>> args = dict(rho=0.5, lr=0.01)
    >>> [sd.theory.kim.diffusion_variance(-1.0, 1.0, mode=mode, **args).round(8).item() for mode in MODES]
    [0.01718282, 0.0042957, 0.02147852, 0.01297443]
    """
    kappa = np.asarray(effective_curvature(eigenvalues, rho, mode))
    s2, time = noise_variance(eigenvalues, rho, batch_size, mode), array("t", t, at_least=0)
    # exprel(x) = (exp(x) - 1) / x, 1 at 0
    return (number("lr", lr, above=0) * s2 * time * special.exprel(-2 * kappa * time))[()]


@checked
def variance_gap(
    eigenvalues: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    rho: float,
    lr: float,
    batch_size: float = 1.0,
    mode: str = "full",
) -> Any:
    """Variance of SGD less the variance of SAM at time t; arguments as in `diffusion_variance`.

    Notes
    -----
    Proportional to 1/batch_size in every mode. [derived]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.variance_gap(-1.0, 0.1, rho=0.1, lr=0.01, mode="paper").round(10)
    np.float64(2.14567e-05)
    """
    sgd = diffusion_variance(eigenvalues, t, rho=0.0, lr=lr, batch_size=batch_size)
    return sgd - diffusion_variance(eigenvalues, t, rho=rho, lr=lr, batch_size=batch_size, mode=mode)


@checked
def variance_gap_leading(
    eigenvalues: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    rho: float,
    lr: float,
    batch_size: float = 1.0,
    mode: str = "full",
) -> Any:
    """Lowest order in t of `variance_gap`, exact in rho.

    Notes
    -----
    In units of lr / batch_size, for |lam| t << 1 [derived, checked]: ::

        "full"          rho |lam|^3 t^2
        "paper"         rho |lam|^3 (2 + rho lam) t^2
        "same"          -rho lam |lam| (2 + rho lam) t
        "independent"   -rho^2 |lam|^3 t

    At a saddle SAM spreads less than SGD in the modes "full" and "same", more in "independent".

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.variance_gap_leading(-1.0, 0.1, rho=0.5, lr=0.01, mode="paper").round(12)
    np.float64(7.5e-05)
    """
    lam, time = array("eigenvalues", eigenvalues), array("t", t, at_least=0)
    rho, size = number("rho", rho, at_least=0), np.abs(lam)
    form = {
        "full": rho * size**3 * time**2,
        "paper": rho * size**3 * (2 + rho * lam) * time**2,
        "same": -rho * lam * size * (2 + rho * lam) * time,
        "independent": -(rho**2) * size**3 * time,
    }[check_mode(mode)]
    return (number("lr", lr, above=0) / number("batch_size", batch_size, above=0) * form)[()]


@checked
def corollary_gap(
    eigenvalues: npt.ArrayLike, t: npt.ArrayLike, *, rho: float, lr: float, batch_size: float = 1.0
) -> Any:
    """Corollary of Theorem 2 as printed: SGD less SAM is ``2 lr t^2 |lam|^3 rho / batch_size``.

    Notes
    -----
    For |lam| t << 1 and |lam| rho << 1: the first order in rho of the "paper" mode of
    `variance_gap_leading`. [second-hand; checked] A statement in the same summary, that large batches widen
    the gap, contradicts it.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.corollary_gap(-1.0, 0.1, rho=0.5, lr=0.01).round(12)
    np.float64(0.0001)
    """
    lam, time = array("eigenvalues", eigenvalues), array("t", t, at_least=0)
    scale = 2 * number("lr", lr, above=0) / number("batch_size", batch_size, above=0)
    return (scale * number("rho", rho, at_least=0) * np.abs(lam) ** 3 * time**2)[()]


@checked
def stationary_variance(
    eigenvalues: npt.ArrayLike, *, rho: float, lr: float, batch_size: float = 1.0, mode: str = "full"
) -> Any:
    """Variance lr s2 / (2 kappa) of each mode in the long run, where kappa > 0.

    Notes
    -----
    At a minimum, in units of lr / (2 batch_size): "full" 1/(1 + rho lam), "same" 1 + rho lam (SAM spreads
    more than SGD there), "paper" 1/(1 + rho lam)^2. Also of a saddle's negative modes beyond the critical
    radius, but for "paper". [derived, checked]

    Raises
    ------
    ValueError
        A mode with kappa <= 0, which has no stationary law.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.stationary_variance(1.0, rho=0.5, lr=0.01, mode="same")
    np.float64(0.0075)
    """
    kappa = np.asarray(effective_curvature(eigenvalues, rho, mode))
    if (kappa <= 0).any():
        raise ValueError(f"eigenvalues must give kappa > 0 in every mode, got kappa = {kappa}")
    s2 = noise_variance(eigenvalues, rho, batch_size, mode)
    return (number("lr", lr, above=0) * s2 / (2 * kappa))[()]


@checked
def mean_escape_time(
    eigenvalue: float, distance: float, *, rho: float, lr: float, batch_size: float = 1.0, mode: str = "full"
) -> Any:
    """Mean time in which one mode of the SAM diffusion leaves |x| < distance from 0.

    Parameters
    ----------
    eigenvalue : float
        Hessian eigenvalue of the mode, of either sign; not 0.
    distance : float
        Half-width > 0, in units of the weights.
    rho, lr, batch_size, mode
        As in `diffusion_variance`.

    Returns
    -------
    float64
        In units of time, lr times steps; inf where no noise is left ("same" at rho = 1/|eigenvalue|).

    Notes
    -----
    dX = -kappa X dt + sqrt(lr s2) dW, so that `first_passage.linear_two_sided` has it: for kappa < 0,
    (2/|kappa|) times the integral of Dawson's function up to distance sqrt(|kappa|/(lr s2)). No formula for
    it is known from the paper. [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.mean_escape_time(-1.0, 1.0, rho=0.5, lr=0.01).round(6)
    np.float64(5.865378)
    """
    nonzero("eigenvalue", number("eigenvalue", eigenvalue))
    kappa = float(effective_curvature(eigenvalue, rho, mode))
    spread = number("lr", lr, above=0) * float(noise_variance(eigenvalue, rho, batch_size, mode))
    distance = number("distance", distance, above=0)
    return first_passage.linear_two_sided(-kappa, spread / 2, distance) if spread else np.float64(np.inf)

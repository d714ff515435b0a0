"""Theorem 3 of Kim et al.: the spread of SAM with heavy-ball momentum, and the exact covariance of the map.

A mode obeys v' = gamma v - lr (kappa w + noise), w' = w + v'; covariances of such linear recursions are
computed exactly by doubling.

References
----------
Kim, Park, Kim and Lee, Stability Analysis of Sharpness-Aware Minimization (arXiv 2301.06308).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array, array, integer, number
from samdyn.arguments.signature import checked
from samdyn.theory.kim_attraction import momentum_factor, nonzero
from samdyn.theory.kim_diffusion import diffusion_variance

EXPONENTS = ("corrected", "printed")


def count_steps(value: int) -> int:
    """Check a number of steps."""
    return integer("n_steps", value, at_least=0)


@checked
def momentum_variance(
    eigenvalues: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    rho: float,
    lr: float,
    momentum: float,
    batch_size: float = 1.0,
    exponent: str = "corrected",
) -> Any:
    """Theorem 3: mean squared displacement of a mode of SAM with heavy-ball momentum, from stationary speed.

    Parameters
    ----------
    eigenvalues, t, rho, lr, batch_size
        As in `diffusion_variance`; eigenvalues not 0, t > 0.
    momentum : float
        gamma in [0, 1).
    exponent : {"corrected", "printed"}
        C_2 = t/lr, or lr/t as printed.

    Notes
    -----
    C_1 (1 - exp(-C_2 (1 - gamma)))^2 / ((1 - gamma)^3 B) + C_3 (1 - exp(-C_4/(1 - gamma))) / ((1 - gamma) B),
    C_1 = lr^2 |lam|/2, C_3 = lr |lam|/(2 kappa), C_4 = 2 kappa t, kappa = lam (1 + rho lam)^2.
    [second-hand] The first term is the ballistic part, E[v^2] (sum_i gamma^i)^2 over t/lr steps, so that C_2
    must be t/lr. [derived, checked] Even so it is a sum of two limits: at gamma = 0 it exceeds Theorem 2 by
    lr^2 |lam|/(2B), and it overestimates, badly so where (1 - gamma) t/lr is of order 1 or 1 - gamma below
    about sqrt(lr |lam|); `momentum_covariance` is exact.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.momentum_variance(-1.0, 1.0, rho=0.3, lr=0.01, momentum=0.5).round(9)
    np.float64(0.124876063)
    """
    lam, time = nonzero("eigenvalues", eigenvalues), array("t", t)
    if (time <= 0).any():
        raise ValueError(f"t must be > 0, got {t!r}")
    if exponent not in EXPONENTS:
        raise ValueError(f"exponent must be 'corrected' or 'printed', got {exponent!r}")
    lr, rest = number("lr", lr, above=0), 1 - momentum_factor(momentum)
    c2 = time / lr if exponent == "corrected" else lr / time
    ballistic = lr**2 * np.abs(lam) / 2 * np.expm1(-c2 * rest) ** 2 / rest**3
    slow = diffusion_variance(lam, time / rest, rho=rho, lr=lr, batch_size=batch_size, mode="paper")
    return (ballistic / number("batch_size", batch_size, above=0) + slow / rest)[()]


@checked
def linear_covariance(
    matrix: npt.ArrayLike, noise: npt.ArrayLike, n_steps: int, start: npt.ArrayLike | None = None
) -> Array:
    """Covariance after n steps of z' = A z + noise of covariance Q: S' = A S A^T + Q.

    Parameters
    ----------
    matrix, noise : array_like, shape (d, d)
        A and Q.
    n_steps : int
    start : array_like, shape (d, d), optional
        S before the first step; 0 by default.

    Notes
    -----
    By doubling, in O(log n) products: n steps after m steps have A^(n + m) and A^n S_m (A^n)^T + S_n.
    [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.kim.linear_covariance([[0.5]], [[1.0]], 3)
    array([[1.3125]])
    """
    power, total = array("matrix", matrix), array("noise", noise)
    if power.ndim != 2 or power.shape[0] != power.shape[1] or total.shape != power.shape:
        raise ValueError(
            f"matrix and noise must be square and of one size, got shapes {power.shape} and {total.shape}"
        )
    result = np.zeros_like(power) if start is None else array("start", start)
    if result.shape != power.shape:
        raise ValueError(f"start must have shape {power.shape}, got {result.shape}")
    remaining = count_steps(n_steps)
    while remaining:
        if remaining & 1:
            result = power @ result @ power.T + total
        remaining >>= 1
        if remaining:
            total, power = power @ total @ power.T + total, power @ power
    return result


@checked
def momentum_covariance(
    kappa: float,
    noise_variance: float,
    n_steps: int,
    *,
    lr: float,
    momentum: float = 0.0,
    stationary_velocity: bool = False,
) -> Array:
    """Exact covariance of (position, velocity) of one mode of the map after n steps, from position 0.

    Parameters
    ----------
    kappa : float
        Curvature that the descent gradient sees, see `effective_curvature`.
    noise_variance : float
        s2 of the descent gradient, see `noise_variance`.
    n_steps, lr, momentum
        Steps, learning rate and gamma.
    stationary_velocity : bool
        Whether the velocity starts with its stationary variance at kappa = 0, lr^2 s2 / (1 - gamma^2), as in
        Theorem 3, instead of at rest.

    Returns
    -------
    ndarray, shape (2, 2)

    Notes
    -----
    v' = gamma v - lr (kappa w + noise), w' = w + v'. Without momentum the first entry is
    lr^2 s2 (1 - M^2n) / (1 - M^2), M = 1 - lr kappa: `diffusion_variance` to O(lr). [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> how = {"lr": 0.01, "momentum": 0.5, "stationary_velocity": True}
    >>> sd.theory.kim.momentum_covariance(-0.49, 1.0, 20, **how)[0, 0].round(12)
    np.float64(0.00886421183)
    """
    kappa, lr, gamma = number("kappa", kappa), number("lr", lr, above=0), momentum_factor(momentum)
    s2 = number("noise_variance", noise_variance, at_least=0)
    step = np.array([[1 - lr * kappa, gamma], [-lr * kappa, gamma]])
    initial = lr**2 * s2 / (1 - gamma**2) if stationary_velocity else 0.0
    return linear_covariance(step, np.full((2, 2), lr**2 * s2), n_steps, np.diag([0.0, initial]))

"""Unified SAM with decreasing steps, after Theorem 3.5 of Oikonomou and Loizou: to the minimiser, as 1 / t.

Status: the schedules are [found] in the authors' public code; the explicit bound is [derived], with constants
of our own. See `samdyn.theory.oikonomou_loizou`.

References
----------
Oikonomou and Loizou, Sharpness-Aware Minimization: General Analysis and Improved Rates, ICLR 2025,
arXiv 2503.02225.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import array, number
from samdyn.arguments.signature import checked
from samdyn.theory.expected_residual import ExpectedResidual, checked_constants
from samdyn.theory.oikonomou_loizou_constant import largest_learning_rate, largest_radius

__all__ = ["decreasing_gap_bound", "decreasing_start", "decreasing_steps"]


@checked
def decreasing_steps(
    steps: npt.ArrayLike, residual: ExpectedResidual, *, strong_convexity: float, lam: float
) -> tuple[Any, Any]:
    """Theorem 3.5: radii min(rho*, 1 / (2 t + 1)) and learning rates min(lr*, (2 t + 1) / ((t + 1)^2 mu)).

    Parameters
    ----------
    steps : array_like of int >= 0
        t.
    residual, strong_convexity, lam
        As in `largest_radius`. rho* is half of it, and lr* the `largest_learning_rate` there: at the
        largest radius itself the learning rate would be zero.

    Returns
    -------
    (rho, lr) : tuple of ndarray

    Examples
    --------
    >>> from samdyn.theory import oikonomou_loizou as theory
    >>> batch = theory.ExpectedResidual(A=1.0, B=1.0, C=0.5, smoothness=2.0)
    >>> rho, lr = theory.decreasing_steps([0, 100, 10000], batch, strong_convexity=1.0, lam=0.5)
    >>> rho.round(6).tolist(), lr.round(6).tolist()
    ([0.125, 0.004975, 5e-05], [0.060606, 0.019704, 0.0002])
    """
    t = array("steps", steps)
    if (t < 0).any():
        raise ValueError(f"steps must be >= 0, got {steps!r}")
    rho_star, lr_star = _stars(residual, strong_convexity, lam)
    mu = strong_convexity
    return np.minimum(rho_star, 1 / (2 * t + 1)), np.minimum(lr_star, (2 * t + 1) / ((t + 1) ** 2 * mu))


@checked
def decreasing_start(residual: ExpectedResidual, *, strong_convexity: float, lam: float) -> int:
    """First step t0 from which both sequences of `decreasing_steps` are on their decaying branches.

    Examples
    --------
    >>> from samdyn.theory import oikonomou_loizou as theory
    >>> batch = theory.ExpectedResidual(A=1.0, B=1.0, C=0.5, smoothness=2.0)
    >>> theory.decreasing_start(batch, strong_convexity=1.0, lam=0.5)
    32
    """
    rho_star, lr_star = _stars(residual, strong_convexity, lam)
    by_radius = math.ceil((1 / rho_star - 1) / 2)
    # (2 t + 1) / (t + 1)^2 = 2 u - u^2 with u = 1 / (t + 1) falls with t
    c = min(lr_star * strong_convexity, 1.0)
    by_rate = math.ceil(1 / (1 - math.sqrt(1 - c)) - 1)
    return max(by_radius, by_rate, 0)


@checked
def decreasing_gap_bound(
    steps: npt.ArrayLike,
    gap: float,
    residual: ExpectedResidual,
    *,
    strong_convexity: float,
    lam: float,
) -> Any:
    """Theorem 3.5 made explicit: the gap after T steps, from the gap at step t0 = `decreasing_start`.

    Returns t0^2 gap / T^2 + (L / (mu T)) (C (4 / mu + k q) + lam^2 q),
    q = 1 + 2 L^2 / (mu (t0 + 1)^2), for T >= t0: order 1 / T, to the exact minimiser. The order is the
    paper's; the constant is [derived], from 1 - lr_t mu = t^2 / (t + 1)^2.

    Examples
    --------
    >>> from samdyn.theory import oikonomou_loizou as theory
    >>> batch = theory.ExpectedResidual(A=1.0, B=1.0, C=0.5, smoothness=2.0)
    >>> bound = theory.decreasing_gap_bound([1000, 10000], 1.0, batch, strong_convexity=1.0, lam=0.5)
    >>> bound.round(4).tolist()
    [0.0058, 0.0005]
    """
    L, mu, _, k = checked_constants(residual, strong_convexity, lam)
    start = decreasing_start(residual, strong_convexity=mu, lam=lam)
    T = array("steps", steps)
    if (start > T).any() or (T <= 0).any():
        raise ValueError(f"steps must be >= {max(start, 1)}, where both sequences decay, got {steps!r}")
    q = 1 + 2 * L**2 / (mu * (start + 1) ** 2)
    noise = residual.C * (4 / mu + k * q) + lam**2 * q
    return start**2 * number("gap", gap, at_least=0) / T**2 + L / (mu * T) * noise


def _stars(residual: ExpectedResidual, strong_convexity: float, lam: float) -> tuple[float, float]:
    rho = largest_radius(residual, strong_convexity=strong_convexity, lam=lam) / 2
    return rho, largest_learning_rate(residual, strong_convexity=strong_convexity, rho=rho, lam=lam)

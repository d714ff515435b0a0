"""Unified SAM with constant steps, after Theorem 3.2 of Oikonomou and Loizou: a linear rate.

Under the Polyak-Lojasiewicz inequality with constant mu; without it there is a bound on the gradient. Status:
radius and learning rate are [found] in the authors' public code; the neighbourhood is [memory] and was
derived again, in agreement; `sharper_neighbourhood` and `gradient_bound` are [derived]. See
`samdyn.theory.oikonomou_loizou`.

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

from samdyn.arguments.checks import array, integer, number
from samdyn.arguments.signature import checked
from samdyn.theory.expected_residual import ExpectedResidual, checked_constants

__all__ = [
    "gap_bound",
    "gradient_bound",
    "largest_learning_rate",
    "largest_radius",
    "neighbourhood",
    "sharper_neighbourhood",
]


@checked
def largest_radius(residual: ExpectedResidual, *, strong_convexity: float, lam: float) -> float:
    """Theorem 3.2: constant steps need rho < mu / (L (mu + 2 M k)), M = B mu + A.

    Parameters
    ----------
    residual : ExpectedResidual
    strong_convexity : float
        PL constant mu: ||grad f||^2 >= 2 mu (f - inf f).
    lam : float
        Normalisation weight in [0, 1]. For lam = 1 the bound is 1 / L, whatever the sampling.

    Examples
    --------
    >>> from samdyn.theory import oikonomou_loizou as theory
    >>> full = theory.ExpectedResidual(A=0.0, B=1.0, C=0.0, smoothness=10.0)
    >>> round(theory.largest_radius(full, strong_convexity=0.1, lam=0.0), 7)
    0.0333333
    """
    L, mu, M, k = checked_constants(residual, strong_convexity, lam)
    return mu / (L * (mu + 2 * M * k))


@checked
def largest_learning_rate(
    residual: ExpectedResidual, *, strong_convexity: float, rho: float, lam: float
) -> float:
    """Theorem 3.2: lr <= (mu - L rho (mu + 2 M k)) / (2 L M (1 + 2 L^2 rho^2 k)).

    The radius must be below `largest_radius`.

    Examples
    --------
    >>> from samdyn.theory import oikonomou_loizou as theory
    >>> full = theory.ExpectedResidual(A=0.0, B=1.0, C=0.0, smoothness=10.0)
    >>> rho = theory.largest_radius(full, strong_convexity=0.1, lam=0.3) / 2
    >>> round(theory.largest_learning_rate(full, strong_convexity=0.1, rho=rho, lam=0.3), 10)
    0.023529553
    """
    L, mu, M, k = checked_constants(residual, strong_convexity, lam)
    limit = largest_radius(residual, strong_convexity=mu, lam=lam)
    rho = number("rho", rho, at_least=0, below=limit, because="largest_radius")
    return (mu - L * rho * (mu + 2 * M * k)) / (2 * L * M * (1 + 2 * L**2 * rho**2 * k))


@checked
def neighbourhood(
    residual: ExpectedResidual, *, strong_convexity: float, rho: float, lr: float, lam: float
) -> float:
    """Theorem 3.2: the gap that remains, (L / mu) (C (lr + rho k q) + rho lam^2 q), q = 1 + 2 lr L^2 rho.

    Raises ValueError outside the theorem's range of rho and lr. For lam = 0 and C = 0 (full batch, or
    interpolation) it is zero; for lam > 0 it never is, whereas the true gap of full-batch SAM vanishes with
    lr.

    Examples
    --------
    >>> from samdyn.theory import oikonomou_loizou as theory
    >>> batch = theory.ExpectedResidual(A=1.0, B=1.0, C=0.5, smoothness=2.0)
    >>> round(theory.neighbourhood(batch, strong_convexity=1.0, rho=0.02, lr=0.05, lam=0.5), 6)
    0.06512
    """
    L, mu, _, k = checked_constants(residual, strong_convexity, lam)
    limit = largest_learning_rate(residual, strong_convexity=mu, rho=rho, lam=lam)
    # a learning rate computed as the limit itself may exceed it by a rounding error
    lr = number("lr", lr, above=0, at_most=limit * (1 + 1e-12), because="largest_learning_rate")
    q = 1 + 2 * lr * L**2 * rho
    return L / mu * (residual.C * (lr + rho * k * q) + rho * lam**2 * q)


@checked
def gap_bound(
    steps: npt.ArrayLike,
    gap: float,
    residual: ExpectedResidual,
    *,
    strong_convexity: float,
    rho: float,
    lr: float,
    lam: float,
) -> Any:
    """Theorem 3.2: E f(x_t) - inf f <= (1 - lr mu)^t gap + N, for steps t >= 0 of any shape.

    Examples
    --------
    >>> from samdyn.theory import oikonomou_loizou as theory
    >>> batch = theory.ExpectedResidual(A=1.0, B=1.0, C=0.5, smoothness=2.0)
    >>> how = {"strong_convexity": 1.0, "rho": 0.02, "lr": 0.05, "lam": 0.5}
    >>> theory.gap_bound([0, 100, 1000], 1.0, batch, **how).round(6).tolist()
    [1.06512, 0.071041, 0.06512]
    """
    floor = neighbourhood(residual, strong_convexity=strong_convexity, rho=rho, lr=lr, lam=lam)
    gap = number("gap", gap, at_least=0)
    t = array("steps", steps)
    if (t < 0).any():
        raise ValueError(f"steps must be >= 0, got {steps!r}")
    return (1 - lr * strong_convexity) ** t * gap + floor


@checked
def sharper_neighbourhood(
    residual: ExpectedResidual, *, strong_convexity: float, rho: float, lr: float, lam: float
) -> float:
    """A gap that remains, of order C lr + rho^2. Not in the paper: [derived].

    Young's inequality with the constant weight 1/2 instead of rho gives, for
    M (2 L^2 rho^2 k + L lr (1 + 2 L^2 rho^2 k)) <= mu / 4, the bound (1 - lr mu)^t gap + N2 with ::

        N2 = (L / mu) (C (lr (1 + 2 L^2 rho^2 k) + 2 L rho^2 k) + 2 L rho^2 lam^2 (1 + L lr))

    Examples
    --------
    >>> from samdyn.theory import oikonomou_loizou as theory
    >>> full = theory.ExpectedResidual(A=0.0, B=1.0, C=0.0, smoothness=1.0)
    >>> round(theory.sharper_neighbourhood(full, strong_convexity=1.0, rho=0.1, lr=0.2, lam=1.0), 12)
    0.024
    """
    L, mu, M, k = checked_constants(residual, strong_convexity, lam)
    rho, lr = number("rho", rho, at_least=0), number("lr", lr, above=0)
    squared = 2 * L**2 * rho**2 * k
    if M * (squared + L * lr * (1 + squared)) > mu / 4:
        raise ValueError(
            "rho and lr must satisfy M (2 L^2 rho^2 k + L lr (1 + 2 L^2 rho^2 k)) <= strong_convexity / 4 = "
            f"{mu / 4:.6g}, got {M * (squared + L * lr * (1 + squared)):.6g} for rho = {rho} and lr = {lr}"
        )
    noise = residual.C * (lr * (1 + squared) + 2 * L * rho**2 * k)
    return L / mu * (noise + 2 * L * rho**2 * lam**2 * (1 + L * lr))


@checked
def gradient_bound(
    steps: int, gap: float, residual: ExpectedResidual, *, rho: float, lr: float, lam: float
) -> float:
    """Bound on the smallest E ||grad f(x_t)||^2 over t < T without PL; the setting of Theorem 3.7.

    Returns 2 (1 + a)^T gap / (lr T) + 2 b / lr, with ::

        a = 2 A lr L (rho k + lr (1 + 2 L^2 rho^2 k))
        b = lr L (C (lr (1 + 2 L^2 rho^2 k) + rho k) + rho lam^2 (1 + 2 lr L^2 rho))

    for rho <= min(1 / (4 L), 1 / (8 B L k)) and lr <= 2 / (9 B L). [derived; the paper's constants are not
    known here] With rho = lr of order T^(-1/2) it gives E ||grad f|| < epsilon in T of order epsilon^-4.

    Examples
    --------
    >>> from samdyn.theory import oikonomou_loizou as theory
    >>> batch = theory.ExpectedResidual(A=1.0, B=1.0, C=0.5, smoothness=2.0)
    >>> round(theory.gradient_bound(100, 1.0, batch, rho=0.01, lr=0.01, lam=0.5), 6)
    2.137545
    """
    L, _, _, k = checked_constants(residual, 1.0, lam)
    T, gap = integer("steps", steps, at_least=1), number("gap", gap, at_least=0)
    B = residual.B
    largest = min(1 / (4 * L), 1 / (8 * B * L * k) if B * k else math.inf)
    rho = number("rho", rho, at_least=0, at_most=largest, because="min(1 / (4 L), 1 / (8 B L k))")
    lr = number("lr", lr, above=0, at_most=2 / (9 * B * L) if B else None, because="2 / (9 B L)")
    squared = 2 * L**2 * rho**2 * k
    a = 2 * residual.A * lr * L * (rho * k + lr * (1 + squared))
    b = L * (residual.C * (lr * (1 + squared) + rho * k) + rho * lam**2 * (1 + 2 * lr * L**2 * rho))
    with np.errstate(over="ignore"):  # after many steps the bound is infinite: it says nothing
        growth = float(np.float64(1 + a) ** T)
    return 2 * growth * gap / (lr * T) + 2 * b

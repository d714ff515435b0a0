"""Unified SAM under sampling, after Oikonomou and Loizou: constants, learning rates, neighbourhoods.

The step is y = x + rho (1 - lam + lam / ||g_S(x)||) g_S(x), x' = x - lr g_S(y), with the same sampled
gradient g_S in both places: lam = 0 is USAM, lam = 1 is SAM. Every component is L_i-smooth, L = max L_i, k
= (1 - lam)^2, and sampling enters through the expected residual condition ::

    E ||g_S(x)||^2 <= 2 A (f(x) - inf f) + B ||grad f(x)||^2 + C        for all x

1. Constants of sampling schemes: `single_element`, `nice_sampling`, `with_replacement`.
2. Theorem 3.2, constant steps under the Polyak-Lojasiewicz (PL) inequality with constant mu:
   `largest_radius`, `largest_learning_rate`, `neighbourhood`, `gap_bound`. Theorem 3.5, decreasing steps:
   `decreasing_steps`, `decreasing_gap_bound`. Theorem 3.7, no PL: `gradient_bound`.
3. `sharper_neighbourhood`: of order rho^2 where the theorem's is of order rho. Not in the paper.
4. `potential`: what the mean step descends, to first order in rho. Not in the paper either.

A bound is a certificate and no prediction: on small least-squares problems the true gap is 50 to 400 times
smaller.

Status. The radius and the learning rate of Theorem 3.2 and the schedules of 3.5 are [found] in the authors'
public code; the neighbourhood is [memory] and was derived again, in agreement; the explicit bound of 3.5
and that of 3.7 are [derived] here, with constants of our own; `sharper_neighbourhood` and `potential` are
[derived]. Tests check all of them on instances.

References
----------
Oikonomou and Loizou, Sharpness-Aware Minimization: General Analysis and Improved Rates, ICLR 2025,
arXiv 2503.02225.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.theory.arguments import count, finite_array, number

__all__ = [
    "ExpectedResidual",
    "decreasing_gap_bound",
    "decreasing_start",
    "decreasing_steps",
    "gap_bound",
    "gradient_bound",
    "largest_learning_rate",
    "largest_radius",
    "neighbourhood",
    "nice_sampling",
    "potential",
    "sharper_neighbourhood",
    "single_element",
    "with_replacement",
]


class ExpectedResidual(NamedTuple):
    """Constants of E ||g_S||^2 <= 2 A (f - inf f) + B ||grad f||^2 + C, and the smoothness."""

    A: float
    B: float
    C: float
    smoothness: float


def single_element(
    smoothness: npt.ArrayLike, probabilities: npt.ArrayLike | None = None, *, residual: float = 0.0
) -> ExpectedResidual:
    """Constants of drawing one component i with probability p_i and weighting it by 1 / (n p_i).

    Parameters
    ----------
    smoothness : array_like, shape (n,)
        L_i.
    probabilities : array_like, shape (n,), optional
        p_i > 0 with sum 1; uniform by default. p_i = L_i / sum L_j is importance sampling.
    residual : float
        inf f - mean_i inf f_i >= 0; zero where the components share a minimiser (interpolation).

    Returns
    -------
    ExpectedResidual
        A = max L_i / (n p_i), B = 0, C = 2 A residual; the smoothness is max(max L_i, A), since a reweighted
        component is L_i / (n p_i)-smooth.

    Examples
    --------
    >>> from samdyn.theory.oikonomou_loizou import single_element
    >>> single_element([1.0, 3.0], [0.25, 0.75]).A, single_element([1.0, 3.0]).A
    (2.0, 3.0)
    """
    L = finite_array("smoothness", smoothness, above=0)
    if L.ndim != 1 or not L.size:
        raise ValueError(f"smoothness must have shape (n,) with n >= 1, got shape {L.shape}")
    p = (
        np.full(L.shape, 1 / L.size)
        if probabilities is None
        else finite_array("probabilities", probabilities)
    )
    if p.shape != L.shape or (p <= 0).any() or abs(p.sum() - 1) > 1e-12 * L.size:
        raise ValueError(f"probabilities must be {L.size} positive numbers with sum 1, got {probabilities!r}")
    A = float((L / (L.size * p)).max())
    return ExpectedResidual(A, 0.0, 2 * A * number("residual", residual, at_least=0), max(float(L.max()), A))


def nice_sampling(smoothness: npt.ArrayLike, batch_size: int, *, residual: float = 0.0) -> ExpectedResidual:
    """Constants of a uniform batch without replacement (tau-nice sampling).

    A = (n - tau) L_max / (tau (n - 1)), B = n (tau - 1) / (tau (n - 1)), C = 2 A residual; the full batch
    has A = C = 0 and B = 1. Behind it is the identity E ||g_S||^2 = B ||grad f||^2 + ((n - tau) / (tau (n -
    1))) mean_i ||grad f_i||^2.

    Examples
    --------
    >>> from samdyn.theory.oikonomou_loizou import nice_sampling
    >>> nice_sampling([1.0, 2.0, 4.0], 3)
    ExpectedResidual(A=0.0, B=1.0, C=0.0, smoothness=4.0)
    """
    L = finite_array("smoothness", smoothness, above=0)
    if L.ndim != 1 or not L.size:
        raise ValueError(f"smoothness must have shape (n,) with n >= 1, got shape {L.shape}")
    tau = count("batch_size", batch_size)
    if tau > L.size:
        raise ValueError(f"batch_size must be at most the number of components {L.size}, got {batch_size!r}")
    if L.size == 1:
        return ExpectedResidual(0.0, 1.0, 0.0, float(L[0]))
    A = (L.size - tau) / (tau * (L.size - 1)) * float(L.max())
    B = L.size * (tau - 1) / (tau * (L.size - 1))
    return ExpectedResidual(A, B, 2 * A * number("residual", residual, at_least=0), float(L.max()))


def with_replacement(
    smoothness: npt.ArrayLike,
    batch_size: int,
    probabilities: npt.ArrayLike | None = None,
    *,
    residual: float = 0.0,
) -> ExpectedResidual:
    """Constants of tau independent draws: A and C of one draw divided by tau, and B = 1 - 1 / tau."""
    one = single_element(smoothness, probabilities, residual=residual)
    tau = count("batch_size", batch_size)
    return ExpectedResidual(one.A / tau, 1 - 1 / tau, one.C / tau, one.smoothness)


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
    L, mu, M, k = _constants(residual, strong_convexity, lam)
    return mu / (L * (mu + 2 * M * k))


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
    L, mu, M, k = _constants(residual, strong_convexity, lam)
    limit = largest_radius(residual, strong_convexity=mu, lam=lam)
    rho = number("rho", rho, at_least=0, below=limit, because="largest_radius")
    return (mu - L * rho * (mu + 2 * M * k)) / (2 * L * M * (1 + 2 * L**2 * rho**2 * k))


def neighbourhood(
    residual: ExpectedResidual, *, strong_convexity: float, rho: float, lr: float, lam: float
) -> float:
    """Theorem 3.2: the gap that remains, (L / mu) (C (lr + rho k q) + rho lam^2 q), q = 1 + 2 lr L^2 rho.

    Raises ValueError outside the theorem's range of rho and lr. For lam = 0 and C = 0 (full batch, or
    interpolation) it is zero; for lam > 0 it never is, whereas the true gap of full-batch SAM vanishes with
    lr.
    """
    L, mu, _, k = _constants(residual, strong_convexity, lam)
    limit = largest_learning_rate(residual, strong_convexity=mu, rho=rho, lam=lam)
    # a learning rate computed as the limit itself may exceed it by a rounding error
    lr = number("lr", lr, above=0, at_most=limit * (1 + 1e-12), because="largest_learning_rate")
    q = 1 + 2 * lr * L**2 * rho
    return L / mu * (residual.C * (lr + rho * k * q) + rho * lam**2 * q)


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
    """Theorem 3.2: E f(x_t) - inf f <= (1 - lr mu)^t gap + N, for steps t >= 0 of any shape."""
    floor = neighbourhood(residual, strong_convexity=strong_convexity, rho=rho, lr=lr, lam=lam)
    gap = number("gap", gap, at_least=0)
    t = finite_array("steps", steps)
    if (t < 0).any():
        raise ValueError(f"steps must be >= 0, got {steps!r}")
    return (1 - lr * strong_convexity) ** t * gap + floor


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
    L, mu, M, k = _constants(residual, strong_convexity, lam)
    rho, lr = number("rho", rho, at_least=0), number("lr", lr, above=0)
    squared = 2 * L**2 * rho**2 * k
    if M * (squared + L * lr * (1 + squared)) > mu / 4:
        raise ValueError(
            "rho and lr must satisfy M (2 L^2 rho^2 k + L lr (1 + 2 L^2 rho^2 k)) <= strong_convexity / 4 = "
            f"{mu / 4:.6g}, got {M * (squared + L * lr * (1 + squared)):.6g} for rho = {rho} and lr = {lr}"
        )
    noise = residual.C * (lr * (1 + squared) + 2 * L * rho**2 * k)
    return L / mu * (noise + 2 * L * rho**2 * lam**2 * (1 + L * lr))


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
    """
    t = finite_array("steps", steps)
    if (t < 0).any():
        raise ValueError(f"steps must be >= 0, got {steps!r}")
    rho_star, lr_star = _stars(residual, strong_convexity, lam)
    mu = strong_convexity
    return np.minimum(rho_star, 1 / (2 * t + 1)), np.minimum(lr_star, (2 * t + 1) / ((t + 1) ** 2 * mu))


def decreasing_start(residual: ExpectedResidual, *, strong_convexity: float, lam: float) -> int:
    """First step t0 from which both sequences of `decreasing_steps` are on their decaying branches."""
    rho_star, lr_star = _stars(residual, strong_convexity, lam)
    by_radius = math.ceil((1 / rho_star - 1) / 2)
    # (2 t + 1) / (t + 1)^2 = 2 u - u^2 with u = 1 / (t + 1) falls with t
    c = min(lr_star * strong_convexity, 1.0)
    by_rate = math.ceil(1 / (1 - math.sqrt(1 - c)) - 1)
    return max(by_radius, by_rate, 0)


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
    """
    L, mu, _, k = _constants(residual, strong_convexity, lam)
    start = decreasing_start(residual, strong_convexity=mu, lam=lam)
    T = finite_array("steps", steps)
    if (start > T).any() or (T <= 0).any():
        raise ValueError(f"steps must be >= {max(start, 1)}, where both sequences decay, got {steps!r}")
    q = 1 + 2 * L**2 / (mu * (start + 1) ** 2)
    noise = residual.C * (4 / mu + k * q) + lam**2 * q
    return start**2 * number("gap", gap, at_least=0) / T**2 + L / (mu * T) * noise


def gradient_bound(
    steps: int, gap: float, residual: ExpectedResidual, *, rho: float, lr: float, lam: float
) -> float:
    """Bound on the smallest E ||grad f(x_t)||^2 over t < T without PL; the setting of Theorem 3.7.

    Returns 2 (1 + a)^T gap / (lr T) + 2 b / lr, with ::

        a = 2 A lr L (rho k + lr (1 + 2 L^2 rho^2 k))
        b = lr L (C (lr (1 + 2 L^2 rho^2 k) + rho k) + rho lam^2 (1 + 2 lr L^2 rho))

    for rho <= min(1 / (4 L), 1 / (8 B L k)) and lr <= 2 / (9 B L). [derived; the paper's constants are not
    known here] With rho = lr of order T^(-1/2) it gives E ||grad f|| < epsilon in T of order epsilon^-4.
    """
    L, _, _, k = _constants(residual, 1.0, lam)
    T, gap = count("steps", steps), number("gap", gap, at_least=0)
    B = residual.B
    largest = min(1 / (4 * L), 1 / (8 * B * L * k) if B * k else math.inf)
    rho = number("rho", rho, at_least=0, at_most=largest, because="min(1 / (4 L), 1 / (8 B L k))")
    lr = number("lr", lr, above=0, at_most=2 / (9 * B * L) if B else None, because="2 / (9 B L)")
    squared = 2 * L**2 * rho**2 * k
    a = 2 * residual.A * lr * L * (rho * k + lr * (1 + squared))
    b = L * (residual.C * (lr * (1 + squared) + rho * k) + rho * lam**2 * (1 + 2 * lr * L**2 * rho))
    return 2 * (1 + a) ** T * gap / (lr * T) + 2 * b


def potential(
    value: npt.ArrayLike,
    gradients: npt.ArrayLike,
    rho: float,
    lam: float,
    weights: npt.ArrayLike | None = None,
) -> Any:
    """f + rho E ((1 - lam) / 2 ||g_S||^2 + lam ||g_S||), which the mean step descends. [derived]

    Parameters
    ----------
    value : array_like, shape (...)
        f.
    gradients : array_like, shape (..., n, dim)
        g_S of each of the n possible batches, reweighted: for one component drawn with probability p_i it is
        grad f_i / (n p_i). The full batch is one batch, n = 1.
    rho : float
        Perturbation radius.
    lam : float
        Normalisation weight in [0, 1]: 0 is USAM, 1 is SAM.
    weights : array_like, shape (n,), optional
        Probabilities of the batches, with sum 1; equal by default.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    ValueError
        Gradients that do not fit the value, weights that are no probabilities, rho or lam out of range.

    Notes
    -----
    Its gradient is E g_S(x + e) up to terms of order rho^2, where no g_S vanishes or lam = 0; for quadratic
    components it is equal to it. Neighbours of lam = 0 and lam = 1 for one point, under their own names:
    `samdyn.theory.compagnoni.regularised_loss`.

    Examples
    --------
    >>> from samdyn.theory.oikonomou_loizou import potential
    >>> gradient = [[3.0, 4.0]]
    >>> [float(potential(1.0, gradient, rho=0.1, lam=lam)) for lam in (0.0, 0.5, 1.0)]
    [2.25, 1.875, 1.5]
    """
    f, g = finite_array("value", value), finite_array("gradients", gradients)
    if g.ndim < 2 or g.shape[:-2] != f.shape or not g.shape[-2]:
        raise ValueError(
            f"gradients must have shape (..., n, dim), with value's shape {f.shape} in front, got {g.shape}"
        )
    n = g.shape[-2]
    p = np.full(n, 1 / n) if weights is None else finite_array("weights", weights)
    if p.shape != (n,) or (p < 0).any() or abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"weights must be {n} numbers >= 0 with sum 1, got {weights!r}")
    rho, lam = number("rho", rho, at_least=0), number("lam", lam, at_least=0, at_most=1)
    squared = (g**2).sum(axis=-1)
    return f + rho * (((1 - lam) / 2 * squared + lam * np.sqrt(squared)) @ p)


def _constants(
    residual: ExpectedResidual, strong_convexity: float, lam: float
) -> tuple[float, float, float, float]:
    """L, mu, M = B mu + A and k = (1 - lam)^2."""
    if not isinstance(residual, ExpectedResidual):
        raise TypeError(f"residual must be an ExpectedResidual, got {type(residual).__name__}")
    for name, value in zip("ABC", residual, strict=False):
        number(name, value, at_least=0)
    if residual.A + residual.B == 0:
        raise ValueError("A and B must not both be zero: no gradient has no second moment")
    mu = number("strong_convexity", strong_convexity, above=0)
    L = number("smoothness", residual.smoothness, above=0)
    return L, mu, residual.B * mu + residual.A, (1 - number("lam", lam, at_least=0, at_most=1)) ** 2


def _stars(residual: ExpectedResidual, strong_convexity: float, lam: float) -> tuple[float, float]:
    rho = largest_radius(residual, strong_convexity=strong_convexity, lam=lam) / 2
    return rho, largest_learning_rate(residual, strong_convexity=strong_convexity, rho=rho, lam=lam)

r"""Constants of the expected residual condition for the ways of drawing samples.

The condition, with which Oikonomou and Loizou describe sampling, is

.. math:: E \|g_S(x)\|^2 \le 2 A (f(x) - \inf f) + B \|\nabla f(x)\|^2 + C \quad \text{for all } x

for components that are L_i-smooth. Status: A and B are [found] in the authors' public code; C and the
smoothness of what is drawn are [derived]; the tests check the inequality on instances.

References
----------
Oikonomou and Loizou, Sharpness-Aware Minimization: General Analysis and Improved Rates, ICLR 2025,
arXiv 2503.02225.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import array, integer, number
from samdyn.arguments.signature import checked

__all__ = ["ExpectedResidual", "nice_sampling", "single_element", "with_replacement"]


class ExpectedResidual(NamedTuple):
    """Constants of E ||g_S||^2 <= 2 A (f - inf f) + B ||grad f||^2 + C, and the smoothness."""

    A: float
    B: float
    C: float
    smoothness: float


@checked
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
    L = array("smoothness", smoothness, above=0)
    if L.ndim != 1 or not L.size:
        raise ValueError(f"smoothness must have shape (n,) with n >= 1, got shape {L.shape}")
    p = np.full(L.shape, 1 / L.size) if probabilities is None else array("probabilities", probabilities)
    if p.shape != L.shape or (p <= 0).any() or abs(p.sum() - 1) > 1e-12 * L.size:
        raise ValueError(f"probabilities must be {L.size} positive numbers with sum 1, got {probabilities!r}")
    A = float((L / (L.size * p)).max())
    return ExpectedResidual(A, 0.0, 2 * A * number("residual", residual, at_least=0), max(float(L.max()), A))


@checked
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
    L = array("smoothness", smoothness, above=0)
    if L.ndim != 1 or not L.size:
        raise ValueError(f"smoothness must have shape (n,) with n >= 1, got shape {L.shape}")
    tau = integer("batch_size", batch_size, at_least=1)
    if tau > L.size:
        raise ValueError(f"batch_size must be at most the number of components {L.size}, got {batch_size!r}")
    if L.size == 1:
        return ExpectedResidual(0.0, 1.0, 0.0, float(L[0]))
    A = (L.size - tau) / (tau * (L.size - 1)) * float(L.max())
    B = L.size * (tau - 1) / (tau * (L.size - 1))
    return ExpectedResidual(A, B, 2 * A * number("residual", residual, at_least=0), float(L.max()))


@checked
def with_replacement(
    smoothness: npt.ArrayLike,
    batch_size: int,
    probabilities: npt.ArrayLike | None = None,
    *,
    residual: float = 0.0,
) -> ExpectedResidual:
    """Constants of tau independent draws: A and C of one draw divided by tau, and B = 1 - 1 / tau.

    Examples
    --------
    >>> from samdyn.theory.oikonomou_loizou import with_replacement
    >>> with_replacement([1.0, 2.0, 4.0], batch_size=2, residual=0.5)
    ExpectedResidual(A=2.0, B=0.5, C=2.0, smoothness=4.0)
    """
    one = single_element(smoothness, probabilities, residual=residual)
    tau = integer("batch_size", batch_size, at_least=1)
    return ExpectedResidual(one.A / tau, 1 - 1 / tau, one.C / tau, one.smoothness)


def checked_constants(
    residual: ExpectedResidual, strong_convexity: float, lam: float
) -> tuple[float, float, float, float]:
    """L, mu, M = B mu + A and k = (1 - lam)^2, each in its range."""
    if not isinstance(residual, ExpectedResidual):
        raise TypeError(f"residual must be an ExpectedResidual, got {type(residual).__name__}")
    for name, value in zip("ABC", residual, strict=False):
        number(name, value, at_least=0)
    if residual.A + residual.B == 0:
        raise ValueError("A and B must not both be zero: no gradient has no second moment")
    mu = number("strong_convexity", strong_convexity, above=0)
    L = number("smoothness", residual.smoothness, above=0)
    return L, mu, residual.B * mu + residual.A, (1 - number("lam", lam, at_least=0, at_most=1)) ** 2

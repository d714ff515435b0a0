r"""Stochastic differential equations of SAM, after Monzio Compagnoni et al.: drift, noise, quadratics.

With G the gradient of a random batch, H_G its Hessian and g = E G, the first-order equations of the three
rules are dX = -b(X) dt + sqrt(lr) S(X)^(1/2) dW, for rho of the order of sqrt(lr), with the covariance
S = Cov(G) + rho (K + K^T) to first order in rho:

=====  =================================  ============================================
rule   drift b                            K
=====  =================================  ============================================
USAM   :math:`g + \rho E[H_G G]`          :math:`\operatorname{Cov}(G, H_G G)`
SAM    :math:`g + \rho E[H_G G / \|G\|]`  :math:`\operatorname{Cov}(G, H_G G / \|G\|)`
DNSAM  :math:`g + \rho E[H_G G] / \|g\|`  :math:`\operatorname{Cov}(G, H_G G) / \|g\|`
=====  =================================  ============================================

The drift is the gradient of f + (rho / 2) E ||G||^2 for USAM and of f + rho E ||G|| for SAM; for DNSAM
(batch direction, norm of the full gradient) it is the gradient of f + rho ||g|| only where all batches share
one Hessian.

1. `drift`, `noise_covariance`: the table, from per-batch gradients and Hessians.
2. `regularised_loss`: the potentials of USAM and SAM.
3. `usam_path`, `usam_stationary_variance`, `usam_discrete_variance`: quadratics.
4. `sam_gaussian_drift`: one dimension, Gaussian noise, no expansion in rho.

Status: the equations are [memory] in their form; every identity here is [derived] and checked against
sampled batches. Where rho is of the order of lr the corrections are below the order of the scheme.

References
----------
Monzio Compagnoni, Biggio, Orvieto, Proske, Kersting and Lucchi, An SDE for modeling SAM: theory and insights,
ICML 2023, arXiv 2301.08203.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from samdyn.arguments.checks import Array, array, number
from samdyn.arguments.signature import checked

__all__ = [
    "drift",
    "noise_covariance",
    "regularised_loss",
    "sam_gaussian_drift",
    "usam_discrete_variance",
    "usam_path",
    "usam_stationary_variance",
]

RULES = ("USAM", "SAM", "DNSAM")


def _batches(
    gradients: npt.ArrayLike, hessians: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[Array, Array, Array]:
    G, H = array("gradients", gradients), array("hessians", hessians)
    if G.ndim != 2 or G.size == 0 or H.shape != (*G.shape, G.shape[-1]):
        raise ValueError(
            f"gradients must have shape (n, dim) and hessians (n, dim, dim), got {G.shape} and {H.shape}"
        )
    p = np.full(len(G), 1 / len(G)) if weights is None else array("weights", weights)
    if p.shape != (len(G),) or (p < 0).any() or abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"weights must be {len(G)} numbers >= 0 with sum 1, got {weights!r}")
    return G, H, p


def _push(G: Array, H: Array, p: Array, rule: str) -> Array:
    """H_G e / rho for every batch, e the perturbation."""
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    scale = np.ones(len(G))
    if rule == "SAM":
        scale = np.linalg.norm(G, axis=1)
    if rule == "DNSAM":
        scale = np.full(len(G), np.linalg.norm(p @ G))
    # no gradient, no perturbation
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    return np.asarray(np.einsum("nij,nj->ni", H, G) * inverse[:, None])


@checked
def drift(
    gradients: npt.ArrayLike,
    hessians: npt.ArrayLike,
    rho: float,
    rule: str,
    weights: npt.ArrayLike | None = None,
) -> Array:
    """First-order drift b of SAM with the same batch in both gradients.

    Parameters
    ----------
    gradients : array_like, shape (n, dim)
        G of every possible batch at one point.
    hessians : array_like, shape (n, dim, dim)
    rho : float
        Perturbation radius.
    rule : {"USAM", "SAM", "DNSAM"}
    weights : array_like, shape (n,), optional
        Probabilities of the batches; equal by default.

    Returns
    -------
    ndarray, shape (dim,)
        The velocity is minus this.

    Examples
    --------
    >>> from samdyn.theory import compagnoni
    >>> compagnoni.drift([[1.0, 0.0]], [[[2.0, 0.0], [0.0, 1.0]]], rho=0.1, rule="USAM").tolist()
    [1.2, 0.0]
    """
    G, H, p = _batches(gradients, hessians, weights)
    return np.asarray(p @ (G + number("rho", rho, at_least=0) * _push(G, H, p, rule)))


@checked
def noise_covariance(
    gradients: npt.ArrayLike,
    hessians: npt.ArrayLike,
    rho: float,
    rule: str,
    weights: npt.ArrayLike | None = None,
    *,
    order: int = 1,
) -> Array:
    """Covariance S of the descent gradient, to zeroth, first or second order in rho.

    Parameters
    ----------
    gradients, hessians, rho, rule, weights
        As in `drift`.
    order : {0, 1, 2}
        0: Cov(G). 1: the table of the module, which need not be positive semidefinite. 2: the covariance of
        G + rho H_G e, which is; for quadratic components it is exact.

    Returns
    -------
    ndarray, shape (dim, dim)

    Examples
    --------
    >>> from samdyn.theory import compagnoni
    >>> two = [[1.0], [-1.0]], [[[2.0]], [[2.0]]]
    >>> [compagnoni.noise_covariance(*two, rho=0.1, rule="USAM", order=k).item() for k in (0, 1, 2)]
    [1.0, 1.4, 1.44]
    """
    G, H, p = _batches(gradients, hessians, weights)
    rho = number("rho", rho, at_least=0)
    if order not in (0, 1, 2):
        raise ValueError(f"order must be 0, 1 or 2, got {order!r}")
    push = _push(G, H, p, rule)

    def covariance(a: Array, b: Array) -> Array:
        return np.asarray(((a - p @ a) * p[:, None]).T @ (b - p @ b))

    S = covariance(G, G)
    if order >= 1:
        K = covariance(G, push)
        S = S + rho * (K + K.T)
    return S + rho**2 * covariance(push, push) if order == 2 else S


@checked
def regularised_loss(
    value: float, gradients: npt.ArrayLike, rho: float, rule: str, weights: npt.ArrayLike | None = None
) -> float:
    """f + (rho / 2) E ||G||^2 for USAM, f + rho E ||G|| for SAM, at one point.

    Parameters
    ----------
    value : float
        f there.
    gradients : array_like, shape (n, dim)
        G of every possible batch.
    rho, rule, weights
        As in `drift`; DNSAM has no potential in general and is refused.

    Examples
    --------
    >>> from samdyn.theory import compagnoni
    >>> [compagnoni.regularised_loss(1.0, [[3.0, 4.0]], rho=0.1, rule=rule) for rule in ("USAM", "SAM")]
    [2.25, 1.5]
    """
    G = array("gradients", gradients)
    if G.ndim != 2:
        raise ValueError(f"gradients must have shape (n, dim), got shape {G.shape}")
    G, _, p = _batches(G, np.zeros((*G.shape, G.shape[-1])), weights)
    squared = (G**2).sum(axis=1)
    rho, value = number("rho", rho, at_least=0), number("value", value)
    if rule == "USAM":
        return value + rho / 2 * float(p @ squared)
    if rule == "SAM":
        return value + rho * float(p @ np.sqrt(squared))
    raise ValueError(f"rule must be 'USAM' or 'SAM', got {rule!r}: only they have a potential")


@checked
def usam_path(x0: npt.ArrayLike, eigenvalues: npt.ArrayLike, rho: float, t: npt.ArrayLike) -> Array:
    """Flow of USAM on f = sum_j h_j x_j^2 / 2: x_j(t) = x_j(0) exp(-h_j (1 + rho h_j) t).

    Parameters
    ----------
    x0, eigenvalues : array_like, shape (dim,)
    rho : float
    t : array_like, shape (...)

    Returns
    -------
    ndarray, shape (..., dim)
        It converges to the critical point where that is no minimum iff 1 + rho h_j < 0 for every h_j < 0.

    Examples
    --------
    >>> from samdyn.theory import compagnoni
    >>> compagnoni.usam_path([1.0, 1.0], [1.0, -2.0], rho=1.0, t=[0.0, 1.0]).round(4).tolist()
    [[1.0, 1.0], [0.1353, 0.1353]]
    """
    x0, h = array("x0", x0), array("eigenvalues", eigenvalues)
    rho, t = number("rho", rho, at_least=0), array("t", t)
    if x0.ndim > 1 or h.ndim > 1 or (x0.ndim == h.ndim == 1 and x0.shape != h.shape):
        raise ValueError(
            f"x0 and eigenvalues must have the same shape (dim,), got shapes {x0.shape} and {h.shape}"
        )
    return np.asarray(x0 * np.exp(-h * (1 + rho * h) * t[..., None]))


@checked
def usam_stationary_variance(eigenvalue: float, rho: float, lr: float, noise_std: float) -> float:
    """Stationary variance of the USAM equation along h > 0, additive noise: lr sigma^2 (1 + rho h) / (2 h).

    The perturbation comes from the same batch, so that the noise of the step is (1 + rho h) sigma; the mean
    loss is lr sigma^2 (1 + rho h) / 4 per direction, 1 + rho h times the mean loss of SGD.

    Examples
    --------
    >>> from samdyn.theory import compagnoni
    >>> compagnoni.usam_stationary_variance(1.0, rho=0.5, lr=0.01, noise_std=1.0)
    0.0075
    """
    h, rho, lr, sigma = _mode(eigenvalue, rho, lr, noise_std)
    return lr * sigma**2 * (1 + rho * h) / (2 * h)


@checked
def usam_discrete_variance(eigenvalue: float, rho: float, lr: float, noise_std: float) -> float:
    """Stationary variance of the USAM algorithm itself: lr (1 + rho h) sigma^2 / (h (2 - lr h (1 + rho h))).

    Examples
    --------
    >>> from samdyn.theory import compagnoni
    >>> round(compagnoni.usam_discrete_variance(1.0, rho=0.5, lr=0.01, noise_std=1.0), 8)
    0.00755668
    """
    h, rho, lr, sigma = _mode(eigenvalue, rho, lr, noise_std)
    s = number("lr", lr, above=0, below=2 / (h * (1 + rho * h)), because="2 / (h (1 + rho h))") * h
    return lr * (1 + rho * h) * sigma**2 / (h * (2 - s * (1 + rho * h)))


@checked
def sam_gaussian_drift(x: npt.ArrayLike, eigenvalue: float, rho: float, noise_std: float) -> Any:
    """Mean velocity of SAM on h x^2 / 2 with Gaussian gradient noise, the same draw in both gradients.

    Parameters
    ----------
    x : array_like
    eigenvalue : float
        h, of either sign.
    rho, noise_std : float
        Perturbation radius and sigma > 0.

    Returns
    -------
    ndarray or float
        -h x - rho h erf(h x / (sigma sqrt 2)), exact in rho: the noise smooths the jump of SAM's field.

    Examples
    --------
    >>> from samdyn.theory import compagnoni
    >>> round(float(compagnoni.sam_gaussian_drift(0.3, 2.0, rho=0.2, noise_std=0.5)), 6)
    -0.907944
    """
    x, h = array("x", x), number("eigenvalue", eigenvalue)
    rho, sigma = number("rho", rho, at_least=0), number("noise_std", noise_std, above=0)
    return -h * x - rho * h * special.erf(h * x / (sigma * np.sqrt(2)))


def _mode(eigenvalue: float, rho: float, lr: float, noise_std: float) -> tuple[float, float, float, float]:
    return (
        number("eigenvalue", eigenvalue, above=0),
        number("rho", rho, at_least=0),
        number("lr", lr, above=0),
        number("noise_std", noise_std, at_least=0),
    )

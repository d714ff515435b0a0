r"""Which batch makes the perturbation, after Luo et al.: the penalty of m-sharpness.

A batch of size B is split into micro-batches of m samples, each with its own perturbation; m = B is SAM in
practice, m = n (the whole data) perturbs along the full gradient. To first order in rho the drift is minus
the gradient of

.. math::

    \text{USAM: } f + \tfrac{\rho}{2} \|\nabla f\|^2 + \tfrac{\rho}{2 m} \operatorname{tr} V, \qquad
    \text{SAM: } f + \rho E \|g_I\|, \quad |I| = m,

with V the covariance of the gradient of one sample,
sampled with replacement, V dropping out for m = n. The penalty falls with m: small micro-batches
regularise more, and near a minimum, where V is close to the Hessian, they penalise its trace.

Status: the drifts were read in a summary of the paper, [second-hand]; the identity behind them,
E ||g_I||^2 = ||grad f||^2 + tr V / m, is [derived] and checked.

References
----------
Luo et al., on m-sharpness, arXiv 2509.18001.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import array, integer, number
from samdyn.arguments.signature import checked

__all__ = [
    "normalised_penalty",
    "unnormalised_penalty",
]


@checked
def unnormalised_penalty(
    gradients: npt.ArrayLike, rho: float, micro_batch: int | None, *, replacement: bool = True
) -> float:
    """Penalty of USAM: (rho / 2) E ||g_I||^2 over micro-batches I.

    Parameters
    ----------
    gradients : array_like, shape (n, dim)
        Gradients of the samples at one point.
    rho : float
        Perturbation radius.
    micro_batch : int or None
        m; None for the full batch, whose penalty has no term in the covariance.
    replacement : bool
        Whether a micro-batch may hold a sample twice. Without, tr V is weighted by (n - m) / (n - 1).

    Examples
    --------
    >>> from samdyn.theory import luo
    >>> gradients = [[1.0, 0.0], [0.0, 1.0]]
    >>> [round(luo.unnormalised_penalty(gradients, 0.2, m), 12) for m in (1, 2, None)]
    [0.1, 0.075, 0.05]
    """
    G, rho = _samples(gradients), number("rho", rho, at_least=0)
    mean = G.mean(axis=0)
    trace = float(((G - mean) ** 2).sum() / len(G))
    share = 0.0
    if micro_batch is not None:
        m = integer("micro_batch", micro_batch, at_least=1)
        share = 1 / m
        if not replacement:
            _within(m, len(G))
            share *= (len(G) - m) / max(len(G) - 1, 1)
    return rho / 2 * (float(mean @ mean) + share * trace)


@checked
def normalised_penalty(gradients: npt.ArrayLike, rho: float, micro_batch: int | None) -> float:
    """Penalty of SAM: rho E ||g_I|| over all micro-batches I of m different samples, by enumeration.

    Refuses more than a million micro-batches. It falls as m grows, by Jensen's inequality.

    Examples
    --------
    >>> from samdyn.theory import luo
    >>> [round(luo.normalised_penalty([[1.0, 0.0], [0.0, 1.0]], 1.0, m), 6) for m in (1, 2)]
    [1.0, 0.707107]
    """
    G, rho = _samples(gradients), number("rho", rho, at_least=0)
    if micro_batch is None:
        return rho * float(np.linalg.norm(G.mean(axis=0)))
    m = _within(integer("micro_batch", micro_batch, at_least=1), len(G))
    subsets = 1.0
    for i in range(m):
        subsets *= (len(G) - i) / (i + 1)
    if subsets > 1e6:
        raise ValueError(
            f"there are {subsets:.3g} micro-batches of {m} among {len(G)} samples: too many to list"
        )
    chosen = np.array(list(combinations(range(len(G)), m)))
    return rho * float(np.linalg.norm(G[chosen].mean(axis=1), axis=1).mean())


def _samples(gradients: npt.ArrayLike) -> npt.NDArray[np.float64]:
    G = array("gradients", gradients)
    if G.ndim != 2 or not len(G):
        raise ValueError(f"gradients must have shape (n, dim), got {G.shape}")
    return G


def _within(m: int, n: int) -> int:
    if m > n:
        raise ValueError(f"micro_batch must be at most the number of samples {n}, got {m}")
    return m

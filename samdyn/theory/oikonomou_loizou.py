r"""Unified SAM under sampling, after Oikonomou and Loizou: constants, learning rates, neighbourhoods.

The step is y = x + rho (1 - lam + lam / ||g_S(x)||) g_S(x), x' = x - lr g_S(y), with the same sampled
gradient g_S in both places: lam = 0 is USAM, lam = 1 is SAM. Every component is L_i-smooth, L = max L_i, k
= (1 - lam)^2, and sampling enters through the expected residual condition

.. math:: E \|g_S(x)\|^2 \le 2 A (f(x) - \inf f) + B \|\nabla f(x)\|^2 + C \quad \text{for all } x

1. Constants of sampling schemes: `single_element`, `nice_sampling`, `with_replacement` (in
   `samdyn.theory.expected_residual`).
2. Theorem 3.2, constant steps under the Polyak-Lojasiewicz (PL) inequality with constant mu:
   `largest_radius`, `largest_learning_rate`, `neighbourhood`, `gap_bound`. Theorem 3.7, no PL:
   `gradient_bound` (in `oikonomou_loizou_constant`). Theorem 3.5, decreasing steps: `decreasing_steps`,
   `decreasing_gap_bound` (in `oikonomou_loizou_decreasing`).
3. `sharper_neighbourhood`: of order rho^2 where the theorem's is of order rho. Not in the paper.
4. `potential`: what the mean step descends, to first order in rho. Not in the paper either.

A bound is a certificate and no prediction: on small least-squares problems the true gap is 50 to 400 times
smaller.

Status. The radius and the learning rate of Theorem 3.2 and the schedules of 3.5 are [found] in the authors'
public code; the neighbourhood is [memory] and was derived again, in agreement; the explicit bounds of
3.5 and 3.7 are [derived] here, with constants of our own; `sharper_neighbourhood` and `potential` are
[derived]. Tests check all of them on instances.

References
----------
Oikonomou and Loizou, Sharpness-Aware Minimization: General Analysis and Improved Rates, ICLR 2025,
arXiv 2503.02225.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import array, number
from samdyn.arguments.signature import checked
from samdyn.theory.expected_residual import (
    ExpectedResidual,
    nice_sampling,
    single_element,
    with_replacement,
)
from samdyn.theory.oikonomou_loizou_constant import (
    gap_bound,
    gradient_bound,
    largest_learning_rate,
    largest_radius,
    neighbourhood,
    sharper_neighbourhood,
)
from samdyn.theory.oikonomou_loizou_decreasing import decreasing_gap_bound, decreasing_start, decreasing_steps

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


@checked
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
    f, g = array("value", value), array("gradients", gradients)
    if g.ndim < 2 or g.shape[:-2] != f.shape or not g.shape[-2]:
        raise ValueError(
            f"gradients must have shape (..., n, dim), with value's shape {f.shape} in front, got {g.shape}"
        )
    n = g.shape[-2]
    p = np.full(n, 1 / n) if weights is None else array("weights", weights)
    if p.shape != (n,) or (p < 0).any() or abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"weights must be {n} numbers >= 0 with sum 1, got {weights!r}")
    rho, lam = number("rho", rho, at_least=0), number("lam", lam, at_least=0, at_most=1)
    squared = (g**2).sum(axis=-1)
    return f + rho * (((1 - lam) / 2 * squared + lam * np.sqrt(squared)) @ p)

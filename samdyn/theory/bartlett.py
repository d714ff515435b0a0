"""Normalised SAM on quadratics and in valleys, after Bartlett, Long and Bousquet: cycles, drift, edges.

On f = x^T H x / 2 with largest eigenvalue h, SAM with constant rho ends on a two-cycle along the
eigenvector of h: the iterates hop across the minimum, and the perturbation with them. In a valley this
hopping pushes the floor point towards flatter ground.

1. `cycle_amplitude`, `cycle_gradient_norm`, `transverse_multipliers`: the cycle, for SAM and Unified SAM
   (lam).
2. `heavy_ball_amplitude`, `averaged_momentum_amplitude`: the same with momentum.
3. `valley_drift`: motion of the floor point, gradient descent on the largest eigenvalue.
4. `usam_edge`, `sam_edge`: the curvature at which training becomes unstable, in two forms.

Status: all formulas [derived] and checked against the map in the tests. They agree with what is remembered
of the papers [memory]; the condition on the learning rate and the convergence rates of the papers are not
given here.

References
----------
Bartlett, Long and Bousquet, The dynamics of sharpness-aware minimization: bouncing across ravines and
drifting towards wide minima, JMLR 24 (2023), arXiv 2210.01513.

Wen, Ma and Li, How does sharpness-aware minimization minimize sharpness?, arXiv 2211.05729.

Agarwala and Dauphin, SAM operates far from home, arXiv 2302.08692.

Long and Bartlett, Sharpness-aware minimization and the edge of stability, arXiv 2309.12488.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array, array, number
from samdyn.arguments.signature import checked

__all__ = [
    "averaged_momentum_amplitude",
    "cycle_amplitude",
    "cycle_gradient_norm",
    "heavy_ball_amplitude",
    "radial_multiplier",
    "sam_edge",
    "transverse_multipliers",
    "trapped_curvatures",
    "usam_edge",
    "valley_drift",
]


def _positive(curvature: float, rho: float, lr: float, lam: float) -> tuple[float, float, float, float]:
    h, rho = number("curvature", curvature, above=0), number("rho", rho, at_least=0)
    lr, lam = number("lr", lr, above=0), number("lam", lam, at_least=0, at_most=1)
    if not lr * h * (1 + rho * (1 - lam) * h) < 2:
        raise ValueError(
            f"lr must be below 2 / (h (1 + rho (1 - lam) h)) = {2 / (h * (1 + rho * (1 - lam) * h)):.6g}, "
            f"beyond which nothing is bounded, got {lr!r}"
        )
    return h, rho, lr, lam


@checked
def cycle_amplitude(curvature: float, rho: float, lr: float, lam: float = 1.0) -> float:
    """Amplitude of the two-cycle x -> -x of Unified SAM along an eigenvector.

    Parameters
    ----------
    curvature : float
        Eigenvalue h > 0.
    rho, lr : float
        Perturbation radius and learning rate.
    lam : float
        Normalisation weight in [0, 1]; 1 is SAM, and 0 is USAM, whose amplitude is 0.

    Returns
    -------
    float
        lr rho lam h / (2 - lr h - lr rho (1 - lam) h^2); the loss on the cycle is h / 2 times its square.

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> round(bartlett.cycle_amplitude(3.0, rho=0.05, lr=0.1), 8)
    0.00882353
    """
    h, rho, lr, lam = _positive(curvature, rho, lr, lam)
    return lr * rho * lam * h / (2 - lr * h - lr * rho * (1 - lam) * h**2)


@checked
def cycle_gradient_norm(curvature: float, rho: float, lr: float) -> float:
    """Norm of the gradient on SAM's two-cycle, lr rho h^2 / (2 - lr h).

    `sam_edge` at this gradient norm is h itself: the cycle is at the edge of stability, always.

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> round(bartlett.cycle_gradient_norm(3.0, rho=0.05, lr=0.1), 8)
    0.02647059
    """
    return cycle_amplitude(curvature, rho, lr) * curvature


@checked
def transverse_multipliers(
    curvature: float, others: npt.ArrayLike, rho: float, lr: float, lam: float = 1.0
) -> Array:
    """Multipliers, over one step and up to the change of sign, of the two-cycle along one eigenvector.

    Parameters
    ----------
    curvature : float
        Eigenvalue h > 0 of the cycle's own direction.
    others : array_like
        Eigenvalues h_j of either sign of the other directions.
    rho, lr, lam : float
        As in `cycle_amplitude`. For lam = 1 the radius cancels.

    Returns
    -------
    ndarray
        1 - lr h_j - lr rho (1 - lam) h_j^2 - (h_j / h)^2 (2 - lr h - lr rho (1 - lam) h^2). Below one in
        size for all 0 < h_j < h: of the cycles only the cycle of the largest eigenvalue attracts. A negative
        mode is trapped too when its multiplier is below one in size. See
        `radial_multiplier` for the cycle's own direction.

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> bartlett.transverse_multipliers(3.0, [1.0, 0.2], rho=0.05, lr=0.1).round(6).tolist()
    [0.711111, 0.972444]
    """
    h, rho, lr, lam = _positive(curvature, rho, lr, lam)
    others = array("others", others)
    strength = lr * rho * (1 - lam)
    return np.asarray(
        1 - lr * others - strength * others**2 - (others / h) ** 2 * (2 - lr * h - strength * h**2)
    )


@checked
def radial_multiplier(curvature: float, rho: float, lr: float, lam: float = 1.0) -> float:
    """Multiplier of the cycle's amplitude over one step, 1 - lr h - lr rho (1 - lam) h^2.

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> round(bartlett.radial_multiplier(3.0, rho=0.05, lr=0.1), 8)
    0.7
    """
    h, rho, lr, lam = _positive(curvature, rho, lr, lam)
    return 1 - lr * h - lr * rho * (1 - lam) * h**2


@checked
def trapped_curvatures(curvature: float, lr: float) -> tuple[float, float]:
    """Sizes of the negative eigenvalues along which SAM's two-cycle still attracts.

    Returns the interval of sizes of h_n on which the transverse multiplier of SAM
    lies in (-1, 1), for the cycle along the eigenvalue h = `curvature`; the radius cancels. The lower end
    is lr h^2 / (2 - lr h): with a small learning rate nearly every saddle holds SAM once it is on the
    cycle.

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> [round(end, 4) for end in bartlett.trapped_curvatures(3.0, lr=0.1)]
    [0.5294, 3.5294]
    """
    h, _, lr, _ = _positive(curvature, 0.0, lr, 1.0)
    weight = (2 - lr * h) / h**2
    return lr / weight, (lr + math.sqrt(lr**2 + 8 * weight)) / (2 * weight)


@checked
def heavy_ball_amplitude(curvature: float, rho: float, lr: float, momentum: float) -> float:
    """Amplitude of SAM's two-cycle with heavy-ball momentum, lr h rho / (2 (1 + momentum) - lr h).

    The update is v' = momentum v + g, x' = x - lr v'. The cycle exists and attracts locally for
    0 < lr h < 2 (1 + momentum), but not globally: longer cycles attract beside it.

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> [round(bartlett.heavy_ball_amplitude(3.0, 0.1, 0.1, momentum), 8) for momentum in (0.5, 0.9)]
    [0.01111111, 0.00857143]
    """
    h, rho = number("curvature", curvature, above=0), number("rho", rho, at_least=0)
    gamma = number("momentum", momentum, at_least=0, below=1)
    lr = number("lr", lr, above=0, below=2 * (1 + gamma) / h, because="2 (1 + momentum) / curvature")
    return lr * h * rho / (2 * (1 + gamma) - lr * h)


@checked
def averaged_momentum_amplitude(curvature: float, rho: float, lr: float, momentum: float) -> float:
    """Amplitude of SAM's two-cycle where momentum averages the gradient.

    The update is m' = momentum m + (1 - momentum) g, x' = x - lr m'. Returns s rho / (2 (1 + momentum) - s)
    with s = lr h (1 - momentum), for 0 < s < 2 (1 + momentum): it is the heavy ball with the learning rate
    lr (1 - momentum).

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> averaged = bartlett.averaged_momentum_amplitude(3.0, rho=0.1, lr=0.2, momentum=0.5)
    >>> round(averaged, 8), averaged == bartlett.heavy_ball_amplitude(3.0, rho=0.1, lr=0.1, momentum=0.5)
    (0.01111111, True)
    """
    gamma = number("momentum", momentum, at_least=0, below=1)
    return heavy_ball_amplitude(curvature, rho, number("lr", lr, above=0) * (1 - gamma), gamma)


@checked
def valley_drift(curvature: float, curvature_gradient: npt.ArrayLike, rho: float, lr: float) -> Array:
    """Mean motion per step of the floor point of a valley under SAM hopping across it.

    Parameters
    ----------
    curvature : float
        Largest eigenvalue h of the Hessian on the floor.
    curvature_gradient : array_like, shape (..., dim)
        Its gradient along the floor (project on the tangent space of the floor).
    rho, lr : float
        Perturbation radius and learning rate, lr h < 2.

    Returns
    -------
    ndarray, shape (..., dim)
        -2 lr rho^2 / (2 - lr h)^2 times the gradient: the perturbed points are 2 rho / (2 - lr h) from the
        floor. For small lr h this is -(lr rho^2 / 2) grad h, the flow of Wen, Ma and Li in the time lr
        rho^2 per step.

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> y = 0.9976473  # f = (1 + y / 2) x^2 / 2, whose curvature across the valley is 1 + y / 2
    >>> for _ in range(20000):
    ...     y += float(bartlett.valley_drift(1 + y / 2, 0.5, rho=0.02, lr=0.1))
    >>> round(y, 5)
    0.76539
    """
    h, rho, lr, _ = _positive(curvature, rho, lr, 1.0)
    return np.asarray(-2 * lr * rho**2 / (2 - lr * h) ** 2 * array("curvature_gradient", curvature_gradient))


@checked
def usam_edge(lr: npt.ArrayLike, rho: npt.ArrayLike) -> Any:
    """Edge of stability of unnormalised SAM: the curvature h with lr h (1 + rho h) = 2.

    Returns (sqrt(1 + 8 rho / lr) - 1) / (2 rho), at most 2 / lr, which it is for rho = 0.
    (Agarwala and Dauphin)

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> round(float(bartlett.usam_edge(lr=0.1, rho=0.05)), 6)
    12.36068
    """
    lr, rho = array("lr", lr, above=0), array("rho", rho)
    if (rho < 0).any():
        raise ValueError(f"rho must be >= 0, got {rho!r}")
    # the difference of nearly equal numbers, written as a quotient
    return 4 / lr / (np.sqrt(1 + 8 * rho / lr) + 1)


@checked
def sam_edge(lr: npt.ArrayLike, rho: npt.ArrayLike, gradient_norm: npt.ArrayLike) -> Any:
    """Edge of stability of normalised SAM: the curvature h with lr h (1 + rho h / ||g||) = 2.

    Parameters
    ----------
    lr, rho : array_like
    gradient_norm : array_like
        ||g|| > 0 at the iterate, not at the perturbed point.

    Returns
    -------
    ndarray or float
        (||g|| / (2 rho)) (sqrt(1 + 8 rho / (lr ||g||)) - 1); 2 / lr for rho = 0. (Long and Bartlett)

    Examples
    --------
    >>> from samdyn.theory import bartlett
    >>> norm = bartlett.cycle_gradient_norm(3.0, rho=0.05, lr=0.1)
    >>> round(float(bartlett.sam_edge(0.1, 0.05, norm)), 12)
    3.0
    """
    return usam_edge(lr, array("rho", rho) / array("gradient_norm", gradient_norm, above=0))

"""Linear stability in mean square of sampled optimisers.

A minimum that all samples share is mean-square stable iff the spectral radius of K = E[J_S (x) J_S] is
below 1 (see `samdyn.rates.moments`). Two notions must be kept apart. This one is that of the
perturbation's part that grows with the gradient. The normalised part is a bounded kick: it does not decide
whether second moments stay bounded, so SAM has the critical learning rate of SGD here, but it adds to them,
and SAM does not come to rest.

Directions in which no component has curvature are taken out: nothing moves there.

References
----------
Shin, Lee, Andriushchenko & Lee (UAI 2025) for the setting [read in a review]. Everything here: derived,
checked numerically.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from samdyn.compute.checks import Array
from samdyn.rates.forces import Forces, moving_forces
from samdyn.rates.moments import Moments
from samdyn.rates.random_steps import forces_near, ingredients
from samdyn.systems.map import Map

CRITERIA = ("mean square", "one step", "mean")
SMALLER = 8
"""Powers of ten by which the search for a stable learning rate goes down before it is given up."""


@dataclass(frozen=True)
class MeanSquareStability:
    """Stability in mean square of a sampled optimiser at a point.

    Attributes
    ----------
    spectral_radius : float
        Of K: the factor by which second moments grow in a step, in the long run.
    one_step : float
        Largest eigenvalue of E[J^T J]: the factor of the worst single step. Below 1 it suffices.
    mean_radius : float
        Spectral radius of E J: the factor of the mean.
    exact : bool
        Whether all batches were enumerated; otherwise they were sampled.
    """

    spectral_radius: float
    one_step: float
    mean_radius: float
    exact: bool

    @property
    def stable(self) -> bool:
        """Whether second moments die out (without the bounded kick of a normalised rule)."""
        return self.spectral_radius < 1

    def __repr__(self) -> str:
        law = "all batches" if self.exact else "sampled batches"
        verdict = "stable" if self.stable else "unstable"
        return (
            f"MeanSquareStability({verdict} in mean square: spectral radius {self.spectral_radius:.6g}, "
            f"one step {self.one_step:.6g}, mean {self.mean_radius:.6g}; {law})"
        )


def mean_square_stability(system: Map, x: npt.ArrayLike | None = None) -> MeanSquareStability:
    """Whether the second moments of a sampled optimiser die out at an interpolating minimum.

    Parameters
    ----------
    system : Map
        A map with `Minibatch` noise.
    x : array_like, shape (dim,), optional
        The point; the minimiser of the loss by default.

    Returns
    -------
    MeanSquareStability

    Notes
    -----
    For a normalised rule this is the stability of its part that grows with the gradient, lam = 0, which
    decides whether second moments stay bounded; see `samdyn.rates.mean_square`. Cost of an application of K:
    see `samdyn.rates.forces`.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: s @ w**2 / 2, [[4.0, 0.0], [0.0, 2.0]], dim=2)
    >>> single = sd.Map(loss, sd.USAM(0.1), lr=0.35, noise=sd.Minibatch(batch_size=1))
    >>> sd.mean_square_stability(single).spectral_radius.__round__(4)
    0.9608
    """
    ingredients(system)
    return _stability(moving_forces(forces_near(system, x)), system.coefficients()["lr"], system.momentum)


def _stability(forces: Forces, lr: float, momentum: float) -> MeanSquareStability:
    moments = Moments(forces, lr, momentum)
    return MeanSquareStability(moments.spectral_radius, moments.one_step(), moments.mean_radius, forces.exact)


def critical_learning_rate(
    system: Map, x: npt.ArrayLike | None = None, *, criterion: str = "mean square"
) -> float:
    """The learning rate at which an interpolating minimum loses stability.

    Parameters
    ----------
    system : Map
        A map with `Minibatch` noise; its lr does not matter.
    x : array_like, shape (dim,), optional
        The point; the minimiser by default.
    criterion : {"mean square", "one step", "mean"}
        Which factor reaches 1: the spectral radius of K, the largest eigenvalue of E[J^T J], or the radius of
        E J.

    Returns
    -------
    float
        The first crossing from small learning rates, to a relative 1e-10; inf if there is none.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: s @ w**2 / 2, [[4.0, 0.0], [0.0, 2.0]], dim=2)
    >>> single = sd.Map(loss, sd.USAM(0.1), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> round(sd.critical_learning_rate(single), 8)
    0.35714286
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(map(repr, CRITERIA))}, got {criterion!r}")
    ingredients(system)
    forces = moving_forces(forces_near(system, x))
    size = len(forces.mean)
    if not size:
        return float("inf")

    def excess(lr: float) -> float:
        moments = Moments(forces, lr, system.momentum)
        value = {
            "mean square": lambda: moments.spectral_radius,
            "one step": moments.one_step,
            "mean": lambda: moments.mean_radius,
        }[criterion]()
        return float(value - 1)

    low = 1e-3 / float(np.linalg.eigvalsh(forces.adjoint(np.eye(size)))[-1]) ** 0.5
    for _ in range(SMALLER):  # a sample that is drawn rarely and weighted much asks for smaller ones
        if excess(low) < 0:
            break
        low /= 10
    else:
        return 0.0
    high = low
    for _ in range(200):
        high = low * 1.25
        if excess(high) >= 0:
            return float(brentq(excess, low, high, xtol=1e-300, rtol=1e-11))
        low = high
    return float("inf")


def moment_identity(hessians: npt.ArrayLike, lr: float, rho: float) -> tuple[Array, Array]:
    """E J^2 for one sample, directly and from the moments of the Hessians.

    With M_k = E H_i^k - H^k: E J_i^2 = (I - lr H - lr rho H^2)^2 + lr (lr - 2 rho) M_2 + 2 lr^2 rho M_3
    + lr^2 rho^2 M_4.

    Parameters
    ----------
    hessians : array_like, shape (n, dim, dim)
    lr, rho : float

    Returns
    -------
    (direct, by_moments) : ndarray, shape (dim, dim)

    Examples
    --------
    >>> direct, by_moments = moment_identity([[[4.0]], [[2.0]]], lr=0.1, rho=0.05)
    >>> bool(abs(direct - by_moments) < 1e-15)
    True
    """
    h = np.asarray(hessians, dtype=np.float64)
    identity, mean = np.eye(h.shape[1]), h.mean(axis=0)
    jacobians = identity - lr * h @ (identity + rho * h)
    power = np.linalg.matrix_power

    def moment(k: int) -> Array:
        return np.asarray(power(h, k).mean(axis=0) - power(mean, k))

    whole = identity - lr * mean - lr * rho * mean @ mean
    by_moments = whole @ whole + lr * (lr - 2 * rho) * moment(2) + 2 * lr**2 * rho * moment(3)
    by_moments = by_moments + lr**2 * rho**2 * moment(4)
    return np.asarray((jacobians @ jacobians).mean(axis=0)), np.asarray(by_moments)

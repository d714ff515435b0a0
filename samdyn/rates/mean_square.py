"""Linear stability in mean square of sampled optimisers.

A minimum that all samples share is mean-square stable iff the spectral radius of K = E[J_S (x) J_S] is
below 1 (see `samdyn.rates.moments`). Two notions must be kept apart. This one concerns the
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

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.rates.affine_steps import forces_near, ingredients
from samdyn.rates.forces import Forces, moving_forces, sampling_error
from samdyn.rates.moments import SMALL, Moments
from samdyn.results import Result, Table
from samdyn.systems.map import Map

APPLICATIONS = 150
"""How often the moments are applied for a spectral radius, about, for the estimate of cost."""


@dataclass(frozen=True, eq=False, repr=False)
class MeanSquareStability(Result):
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
        Whether the moments are taken over all batches; otherwise batches were sampled.
    standard_error : float
        The error of the spectral radius, from the sample of batches; 0 if exact.
    """

    spectral_radius: float
    one_step: float
    mean_radius: float
    exact: bool
    standard_error: float = 0.0

    @property
    def stable(self) -> bool:
        """Whether second moments die out (without the bounded kick of a normalised rule).

        Where batches were sampled it is the estimate that decides, and `decided` says whether its error
        leaves room for the opposite.
        """
        return self.spectral_radius < 1

    @property
    def decided(self) -> bool:
        """Whether the radius is further from 1 than three standard errors."""
        return self.exact or abs(self.spectral_radius - 1) > 3 * self.standard_error

    def table(self) -> Table:
        """Whether it is stable, and the spectral radii."""
        law = "all batches" if self.exact else f"sampled batches, radius ± {self.standard_error:.1g}"
        verdict = "stable" if self.stable else "unstable"
        verdict = verdict if self.decided else "undecided"
        return Table(
            f"MeanSquareStability({verdict} in mean square: spectral radius {self.spectral_radius:.6g}, "
            f"one step {self.one_step:.6g}, mean {self.mean_radius:.6g}; {law})"
        )


@checked
def mean_square_stability(
    system: Map, x: checks.PointLike | None = None, *, progress: bool = False
) -> MeanSquareStability:
    """Whether the second moments of a sampled optimiser die out at an interpolating minimum.

    Parameters
    ----------
    system : Map
        A map with `Minibatch` noise.
    x : array_like, shape (dim,), optional
        The point; the minimiser of the loss by default.
    progress : bool
        Whether to count the applications of the moments in a bar; their number is not known beforehand.

    Returns
    -------
    MeanSquareStability

    Notes
    -----
    For a normalised rule this is the stability of its part that grows with the gradient, lam = 0, which
    decides whether second moments stay bounded; see `samdyn.rates.mean_square`. Moments over all batches are
    in closed form wherever `samdyn.rates.affine_steps.forces_near` has one; where batches are sampled, the
    result says so and has the error of the sample. Cost of an application of K: see `samdyn.rates.forces`.

    Warns
    -----
    CostWarning
        Before work of more than ten seconds.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: s @ w**2 / 2, [[4.0, 0.0], [0.0, 2.0]], dim=2)
    >>> single = sd.Map(loss, sd.USAM(0.1), lr=0.35, noise=sd.Minibatch(batch_size=1))
    >>> sd.mean_square_stability(single).spectral_radius.__round__(4)
    0.9608
    """
    ingredients(system)
    forces = moving_forces(forces_near(system, x))
    lr, momentum = system.coefficients()["lr"], system.momentum
    announce_moments("mean_square_stability", forces, momentum)
    with PartsBar(progress, "mean_square_stability", None, "application of the moments") as bar:
        moments = Moments(forces, lr, momentum, bar.update)
        return MeanSquareStability(
            moments.spectral_radius,
            moments.one_step(),
            moments.mean_radius,
            forces.exact,
            sampling_error(lambda part: Moments(part, lr, momentum, bar.update).spectral_radius, forces),
        )


def announce_moments(verb: str, forces: Forces, momentum: float) -> None:
    """Say what a spectral radius or a stationary covariance will cost, if that is long."""
    dim = len(forces.mean)
    if dim <= SMALL:
        return
    once = seconds_of(lambda: forces.second(np.eye(dim)), repeats=2)  # the first one builds what is kept
    announce(
        verb,
        once * APPLICATIONS * (2 if momentum else 1) * (1 if forces.exact else 2),
        "fewer dimensions, or batch_size=1 with probe='same', are cheaper",
    )


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

"""The stationary law of a sampled optimiser on quadratic components.

Directions are affine there, F_S x - p_S (see `samdyn.rates.forces`): the mean solves E F m = E p, and the
covariance (I - K) C = Q, where Q is the source that the covariance of the directions at the mean gives (see
`samdyn.rates.moments`). The expected loss above its minimum splits into the part of the mean, the bias, and
the part of the spread.

References
----------
Derived, checked numerically.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.progress import PartsBar
from samdyn.rates.affine_steps import forces_near, ingredients
from samdyn.rates.forces import Forces, sampling_error
from samdyn.rates.mean_square import announce_moments
from samdyn.rates.moments import Moments
from samdyn.results import Result, Table
from samdyn.systems.map import Map


@dataclass(frozen=True, eq=False, repr=False)
class StationaryLaw(Result):
    """Mean and covariance of a sampled optimiser on quadratic components, in the long run.

    Attributes
    ----------
    mean : ndarray, shape (dim,)
    covariance : ndarray, shape (dim, dim)
    minimiser : ndarray, shape (dim,)
    gap_of_mean, gap_of_variance : float
        The expected loss above its minimum, split into the part of the mean (bias) and the part of the
        spread.
    spectral_radius : float
        The spectral radius of K: how fast the law is reached.
    exact : bool
        Whether the moments are taken over all batches; otherwise batches were sampled.
    standard_error : float
        The error of the gap, from the sample of batches; 0 if exact, inf where parts of the sample have no
        law.
    """

    row = "coordinate"
    axes = ("mean: coordinate", "covariance: coordinate other", "minimiser: coordinate")

    mean: Array
    covariance: Array
    minimiser: Array
    gap_of_mean: float
    gap_of_variance: float
    spectral_radius: float
    exact: bool
    standard_error: float = 0.0

    @property
    def gap(self) -> float:
        """Expected loss above its minimum."""
        return self.gap_of_mean + self.gap_of_variance

    def table(self) -> Table:
        """The mean gap and what it is made of."""
        error = "" if self.exact else f" ± {self.standard_error:.1g}"
        law = "all batches" if self.exact else "sampled batches"
        return Table(
            f"StationaryLaw(gap {self.gap:.6g}{error} = bias {self.gap_of_mean:.6g} + variance "
            f"{self.gap_of_variance:.6g}, spectral radius {self.spectral_radius:.6g}; {law})"
        )


@checked
def stationary_law(system: Map, *, progress: bool = False) -> StationaryLaw:
    """Stationary mean and covariance of SGD, USAM or extragradient on quadratic components.

    Parameters
    ----------
    system : Map
        A map with `Minibatch` noise on a finite sum of quadratics; its rule is linear in the gradient.
    progress : bool
        Show how often the moments of the forces have been applied; how often they must be is not known
        beforehand.

    Returns
    -------
    StationaryLaw

    Raises
    ------
    ValueError
        Components that are not quadratic or share a flat direction, a normalised rule, or second moments that
        grow.

    Notes
    -----
    Linear equations for mean and covariance, the latter solved by GMRES to a relative residual of 1e-13; see
    `samdyn.rates.moments`. The law is exact for every batch size and sampling, and any number of samples, but
    for micro-batches of 2 or more samples, and for batches that perturb themselves (probe "same", not GD) in
    more than about 50 dimensions: there more than 4096 batches are sampled, the result says so, and has the
    error of the sample.

    Warns
    -----
    CostWarning
        Before work of more than ten seconds.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: (w - s) @ (w - s) / 2, [[-1.0], [1.0]], dim=1)
    >>> sgd = sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> sd.stationary_law(sgd).covariance.round(6)  # lr / (2 - lr)
    array([[0.052632]])
    """
    loss, _, rule = ingredients(system)
    if loss.quadratics is None and loss.squares is None:
        raise ValueError(
            "system must have quadratic components, written with sums, products and whole powers (w @ w, not "
            f"torch.linalg.norm(w) ** 2), got {loss!r}"
        )
    if rule.jumps:
        raise ValueError(
            f"rule must be linear in the gradient (lam = 0), got {rule!r}: use sd.convergence to simulate it"
        )
    forces = forces_near(system)
    if forces.moving().shape[1] < loss.dim:
        raise ValueError(
            f"{loss.name} must have curvature in every direction: where no batch moves anything, the law is "
            "the law of the start"
        )
    lr, momentum = system.coefficients()["lr"], system.momentum
    announce_moments("stationary_law", forces, momentum)
    minimiser = loss.minimum().x
    hessian = loss.hessian(minimiser)
    with PartsBar(progress, "stationary_law", None, "application of the moments") as bar:
        moments = Moments(forces, lr, momentum, bar.update)
        if not moments.dies_out():
            raise ValueError(
                "system must be stable in mean square, its spectral radius must be < 1, "
                f"got {moments.spectral_radius:.6g}" + ("" if forces.exact else " from sampled batches")
            )
        mean, covariance = _law(forces, moments)
        of_mean, of_variance = _gaps(mean, covariance, minimiser, hessian)

        def gap(part: Forces) -> float:
            inside = Moments(part, lr, momentum, bar.update)
            return sum(_gaps(*_law(part, inside), minimiser, hessian)) if inside.dies_out() else float("inf")

        error = sampling_error(gap, forces)
        radius = moments.spectral_radius
    return StationaryLaw(
        mean,
        covariance,
        minimiser,
        of_mean,
        of_variance,
        radius,
        forces.exact,
        error if error == error else float("inf"),
    )


def _law(forces: Forces, moments: Moments) -> tuple[Array, Array]:
    """Mean and covariance."""
    mean = np.asarray(np.linalg.solve(forces.mean, forces.mean_pull), dtype=np.float64)
    covariance = moments.stationary(forces.covariance(mean))
    assert covariance is not None
    return mean, covariance


def _gaps(mean: Array, covariance: Array, minimiser: Array, hessian: Array) -> tuple[float, float]:
    """The expected loss above its minimum: of the mean, and of the spread."""
    off = mean - minimiser
    return float(off @ hessian @ off / 2), float(np.trace(hessian @ covariance) / 2)

"""The learning rate at which an interpolating minimum loses stability.

Without momentum K = I - lr L + lr^2 S with L X = (E F) X + X (E F)^T and S X = E[F X F^T]. K keeps positive
matrices positive, so that its spectral radius is an eigenvalue, and it reaches 1 where L X = lr S X has a
positive solution. L^-1 S keeps positive matrices positive too, and the first such lr is one over its spectral
radius: one eigenvalue problem and no search. The other criteria are eigenvalue problems of matrices,
lr E[F^T F] against E F + (E F)^T for "one step", and 2 Re h / |h|^2 over the eigenvalues h of E F for "mean".

With momentum the gains k depend on lr (see `samdyn.rates.moments`): moments die out as long as the mean does
and the spectral radius of X -> k V(X) is below 1. The learning rate is raised from a thousandth of the scale
of the forces in steps of a quarter until that fails, and the crossing is found by Brent's method.

References
----------
Damm, Rational Matrix Equations in Stochastic Control (2004), for positive operators. The rest: derived,
checked numerically.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, eigs

from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.rates.affine_steps import forces_near, ingredients
from samdyn.rates.forces import Forces, moving_forces, sampling_error
from samdyn.rates.moments import Moments
from samdyn.systems.map import Map

CRITERIA = ("mean square", "one step", "mean")
MATRIX = 8
"""Dimension up to which the eigenvalue problem of matrices is dense."""
SMALLER = 8
"""Powers of ten by which the search for a stable learning rate goes down before it is given up."""
APPLICATIONS = {False: 60, True: 2500}
"""How often the moments are applied, without and with momentum, for the estimate of cost."""


class CriticalRate(float):
    """A learning rate, and how sure it is.

    Attributes
    ----------
    standard_error : float
        0 where the rate follows from moments over all batches; otherwise the error from the sample of
        batches.
    exact : bool
        Whether the moments are taken over all batches.
    """

    standard_error: float
    exact: bool

    def __new__(cls, value: float, standard_error: float = 0.0, exact: bool = True) -> CriticalRate:
        """A number with its error."""
        rate = super().__new__(cls, value)
        rate.standard_error, rate.exact = standard_error, exact
        return rate

    def __reduce__(self) -> tuple[type[CriticalRate], tuple[float, float, bool]]:
        return CriticalRate, (float(self), self.standard_error, self.exact)

    def __repr__(self) -> str:
        if self.exact:
            return super().__repr__()
        return f"{float(self):.6g} ± {self.standard_error:.1g} (from sampled batches)"


@checked
def critical_learning_rate(
    system: Map,
    x: npt.ArrayLike | None = None,
    *,
    criterion: str = "mean square",
    progress: bool = False,
) -> CriticalRate:
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
    progress : bool
        Whether to count the applications of the moments in a bar; their number is not known beforehand.

    Returns
    -------
    CriticalRate
        A float: the first crossing from small learning rates, inf if there is none. To a relative 1e-10 where
        the moments over all batches are known (``exact``); where batches are sampled, with the
        ``standard_error`` of that sample.

    Warns
    -----
    CostWarning
        Before work of more than ten seconds.

    Notes
    -----
    See `samdyn.rates.critical_rates`. Moments over all batches are known in closed form for every batch size
    but for micro-batches of 2 or more samples, and for batches that perturb themselves (r > 0, probe "same")
    in more than about 50 dimensions: see `samdyn.rates.affine_steps.forces_near`.

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
    if not len(forces.mean):
        return CriticalRate(float("inf"), 0.0, forces.exact)
    if criterion == "mean square" and len(forces.mean) > MATRIX:
        once = seconds_of(lambda: forces.second(np.eye(len(forces.mean))), repeats=2)
        announce(
            "critical_learning_rate",
            once * APPLICATIONS[bool(system.momentum)] * (1 if forces.exact else 2),
            'criterion="one step" is a bound from below by one eigenvalue problem of a matrix',
        )

    with PartsBar(progress, "critical_learning_rate", None, "application of the moments") as bar:

        def rate(of: Forces) -> float:
            if system.momentum:
                return _with_momentum(of, system.momentum, criterion, bar.update)
            return _plain(of, criterion, bar.update)

        return CriticalRate(rate(forces), sampling_error(rate, forces), forces.exact)


def _plain(forces: Forces, criterion: str, report: Callable[[], None]) -> float:
    """One over the leading eigenvalue, without momentum; 0 if no learning rate is stable."""
    mean = forces.mean
    values = np.linalg.eigvals(mean)
    if not (values.real > 0).all():
        return 0.0
    if criterion == "mean":
        return float((2 * values.real / np.abs(values) ** 2).min())
    if criterion == "one step":
        below = mean + mean.T
        if np.linalg.eigvalsh(below)[0] <= 0:
            return 0.0
        return 1 / float(eigh(forces.adjoint(np.eye(len(mean))), below, eigvals_only=True)[-1])
    moments = Moments(forces, 0.0, report=report)
    return 1 / _radius(lambda x: moments.settle_slowly(moments.second(x)), len(mean))


def _with_momentum(forces: Forces, momentum: float, criterion: str, report: Callable[[], None]) -> float:
    def excess(lr: float) -> float:
        moments = Moments(forces, lr, momentum, report)
        if criterion == "one step":
            return moments.one_step() - 1
        if criterion == "mean" or moments.mean_radius >= 1:
            return moments.mean_radius - 1
        return _radius(lambda x: moments.settle(moments.spread(x)), moments.dim) - 1

    low = 1e-3 / float(np.linalg.eigvalsh(forces.adjoint(np.eye(len(forces.mean))))[-1]) ** 0.5
    for _ in range(SMALLER):  # a sample that is drawn rarely and weighted much asks for smaller ones
        if excess(low) < 0:
            break
        low /= 10
    else:
        return 0.0
    for _ in range(200):
        high = low * 1.25
        if excess(high) >= 0:
            return float(brentq(excess, low, high, xtol=1e-300, rtol=1e-11))
        low = high
    return float("inf")


def _radius(function: Callable[[Array], Array], dim: int) -> float:
    """Spectral radius of a linear map of symmetric matrices that keeps positive ones positive."""
    if dim <= MATRIX:
        columns = [function(e.reshape(dim, dim)).ravel() for e in np.eye(dim**2)]
        return float(np.abs(np.linalg.eigvals(np.array(columns).T)).max())
    operator = LinearOperator(
        (dim**2, dim**2), matvec=lambda v: function(v.reshape(dim, dim)).ravel(), dtype=np.float64
    )
    start = np.eye(dim).ravel()  # inside the cone, so never orthogonal to the leading eigenvector
    ask = {"k": 1, "which": "LM", "v0": start, "ncv": 24, "tol": 1e-12, "return_eigenvectors": False}
    return float(np.abs(eigs(operator, **ask)).max())

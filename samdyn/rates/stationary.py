"""The exact stationary law of a sampled optimiser on quadratic components.

Steps are affine there, x' = J_S x + c_S (see `samdyn.rates.random_steps`): the mean solves (I - E J) m = E
c and the covariance (I - K) C = Cov(J m + c). The expected loss above its minimum splits into the part of
the mean, the bias, and that of the spread.

References
----------
Derived, checked numerically.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from samdyn.compute.checks import Array
from samdyn.rates.random_steps import DENSE, ingredients, random_steps
from samdyn.systems.map import Map


@dataclass(frozen=True)
class StationaryLaw:
    """Mean and covariance of a sampled optimiser on quadratic components, in the long run.

    Attributes
    ----------
    mean : ndarray, shape (dim,)
    covariance : ndarray, shape (dim, dim)
    minimiser : ndarray, shape (dim,)
    gap_of_mean, gap_of_variance : float
        The expected loss above its minimum, split into that of the mean (bias) and that of the spread.
    spectral_radius : float
        Of K: how fast the law is reached.
    exact : bool
        Whether all batches were enumerated.
    """

    mean: Array
    covariance: Array
    minimiser: Array
    gap_of_mean: float
    gap_of_variance: float
    spectral_radius: float
    exact: bool

    @property
    def gap(self) -> float:
        """Expected loss above its minimum."""
        return self.gap_of_mean + self.gap_of_variance

    def __repr__(self) -> str:
        return (
            f"StationaryLaw(gap {self.gap:.6g} = bias {self.gap_of_mean:.6g} + variance "
            f"{self.gap_of_variance:.6g}, spectral radius {self.spectral_radius:.6g})"
        )


def stationary_law(system: Map) -> StationaryLaw:
    """Exact stationary mean and covariance of SGD, USAM or extragradient on quadratic components.

    Parameters
    ----------
    system : Map
        A map with `Minibatch` noise on a finite sum of quadratics; its rule is linear in the gradient.

    Returns
    -------
    StationaryLaw

    Raises
    ------
    ValueError
        Components that are not quadratic, a normalised rule, or second moments that grow.

    Notes
    -----
    Linear equations for mean and covariance: see `samdyn.rates.stationary`. Above `DENSE` dimensions the
    covariance is found by GMRES, to a relative residual of 1e-12.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: (w - s) @ (w - s) / 2, [[-1.0], [1.0]], dim=1)
    >>> sgd = sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> sd.stationary_law(sgd).covariance.round(6)  # lr / (2 - lr)
    array([[0.052632]])
    """
    loss, _, rule = ingredients(system)
    if loss.quadratics is None:
        raise ValueError(f"system must have quadratic components, got {loss!r}")
    if rule.jumps:
        raise ValueError(
            f"rule must be linear in the gradient (lam = 0), got {rule!r}: use sd.convergence to simulate it"
        )
    steps = random_steps(system)
    radius = steps.spectral_radius()
    if not radius < 1 - 1e-12:
        raise ValueError(
            f"system must be stable in mean square, its spectral radius must be < 1, got {radius:.6g}"
        )
    size, dim = steps.jacobians.shape[1], loss.dim
    mean = np.linalg.solve(np.eye(size) - steps.mean_jacobian(), steps.probability @ steps.offsets)
    kick = np.einsum("mij,j->mi", steps.jacobians, mean) + steps.offsets - mean
    source = np.einsum("m,mi,mj->ij", steps.probability, kick, kick)
    if size <= DENSE:
        solution = np.linalg.solve(np.eye(size**2) - steps.matrix(), source.ravel())
    else:
        operator = LinearOperator(
            (size**2, size**2),
            matvec=lambda v: v - steps.apply(v.reshape(size, size)).ravel(),
            dtype=np.float64,
        )
        solution, failed = gmres(operator, source.ravel(), rtol=1e-12, restart=60, maxiter=200)
        if failed:
            raise RuntimeError(f"GMRES did not reach its tolerance; the spectral radius of K is {radius:.9g}")
    covariance = solution.reshape(size, size)[:dim, :dim]
    minimiser = loss.minimum().x
    hessian = loss.quadratics.hessians.mean(axis=0)
    off = mean[:dim] - minimiser
    return StationaryLaw(
        np.asarray(mean[:dim], dtype=np.float64),
        (covariance + covariance.T) / 2,
        minimiser,
        float(off @ hessian @ off / 2),
        float(np.trace(hessian @ covariance) / 2),
        radius,
        steps.exact,
    )

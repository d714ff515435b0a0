"""How fast, how far down, and how stable under sampling: convergence experiments and second moments.

===================  ===================================================================
file                 what it computes or holds
===================  ===================================================================
`experiment`         many replicas: `convergence`
`replicas`           how replicas are moved and watched, in pieces
`observation`        what is recorded on the way
`curves`             what was found: curves, plateaus, rates, limit sets
`settling`           whether curves have come down to a plateau
`fits`               plateaus, rates, exponents, with standard errors
`step_sizes`         the step sizes of theorems
`mean_square`        linear stability in mean square
`critical_rates`     the learning rate at which an interpolating minimum loses stability
`stationary`         the stationary law on quadratic components
`moments`            how a step moves second moments: the operator K
`affine_steps`       the affine steps that batches make near a minimum
`forces`             the random linear forces of batches, and their moments
`structured_forces`  forces whose structure makes moments cheap
`curved_forces`      forces of batches that perturb themselves
`sampled_jacobians`  mean direction, Jacobian and covariance of batches at any point, a saddle too
`sampling_lyapunov`  almost-sure stability: the exponent of random Jacobians
===================  ===================================================================
"""

from samdyn.rates.critical_rates import CriticalRate, critical_learning_rate
from samdyn.rates.curves import Convergence, LimitSet
from samdyn.rates.experiment import convergence
from samdyn.rates.fits import Estimate
from samdyn.rates.mean_square import MeanSquareStability, mean_square_stability
from samdyn.rates.sampled_jacobians import BatchLinearization, batch_linearization
from samdyn.rates.sampling_lyapunov import LyapunovEstimate, sampling_lyapunov_exponent
from samdyn.rates.settling import Plateau
from samdyn.rates.stationary import StationaryLaw, stationary_law
from samdyn.rates.step_sizes import (
    DecreasingRadius,
    DecreasingRate,
    constant_steps,
    horizon_convex,
    horizon_strongly_convex,
)

__all__ = [
    "BatchLinearization",
    "Convergence",
    "CriticalRate",
    "DecreasingRadius",
    "DecreasingRate",
    "Estimate",
    "LimitSet",
    "LyapunovEstimate",
    "MeanSquareStability",
    "Plateau",
    "StationaryLaw",
    "batch_linearization",
    "constant_steps",
    "convergence",
    "critical_learning_rate",
    "horizon_convex",
    "horizon_strongly_convex",
    "mean_square_stability",
    "sampling_lyapunov_exponent",
    "stationary_law",
]

"""How fast, how far down, and how stable under sampling: convergence experiments and second moments."""

from samdyn.rates.critical_rates import CriticalRate, critical_learning_rate
from samdyn.rates.curves import Convergence, LimitSet
from samdyn.rates.experiment import convergence
from samdyn.rates.fits import Estimate
from samdyn.rates.mean_square import MeanSquareStability, mean_square_stability
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
    "constant_steps",
    "convergence",
    "critical_learning_rate",
    "horizon_convex",
    "horizon_strongly_convex",
    "mean_square_stability",
    "sampling_lyapunov_exponent",
    "stationary_law",
]

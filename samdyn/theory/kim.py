r"""SAM at a saddle, after Kim et al.: attraction, diffusion, and what momentum and the batch size do.

The loss near a critical point is quadratic, with Hessian eigenvalues lam_j; the rule is unnormalised SAM,
x' = x - lr grad f(x + rho grad f(x)), unless a function says otherwise. Each mode then moves on its own, at
the rate -kappa with kappa = lam (1 + rho lam), and time t is lr times the number of steps. The gradient
noise has variance |lam| / batch_size in mode lam (Fisher model).

1. Theorem 1 (`kim_attraction`): `usam_rates`, `critical_radius`, `attracting_radii`, `usam_multipliers`.
2. Theorem 2 (`kim_diffusion`): `diffusion_variance` in four modes, `variance_gap` between SGD and SAM with
   its leading orders, `stationary_variance`, `mean_escape_time`.
3. Normalised SAM with noise (`kim_direction`): `mean_direction`, `effective_radius`, `effective_covariance`.
4. Theorem 3 (`kim_momentum`): `momentum_variance` in closed form, `linear_covariance` and
   `momentum_covariance` exactly.

Modes: which gradient makes the perturbation, and the formula of the paper, with the noise variance s2 in
units of |lam| / batch_size.

=============  ====================================  ============================  =====================
mode           kappa                                 s2                            perturbation
=============  ====================================  ============================  =====================
"full"         :math:`\lambda (1 + \rho \lambda)`    1                             from the full batch
"same"         :math:`\lambda (1 + \rho \lambda)`    :math:`(1 + \rho \lambda)^2`  from the step's batch
"independent"  :math:`\lambda (1 + \rho \lambda)`    :math:`1 + \rho^2 \lambda^2`  from another batch
"paper"        :math:`\lambda (1 + \rho \lambda)^2`  1                             as in Theorem 2
=============  ====================================  ============================  =====================

The drift of "paper" is the gradient of f(x + rho grad f(x)) with respect to x, by the chain rule; the update
of the algorithm has no such second factor, and "paper" contradicts Theorem 1: its sign never changes.

Status of each formula: [second-hand] read in a summary of the paper, not in the paper; [derived] worked out
here; [checked] compared with simulation or exact recursion in the tests.

References
----------
Kim, Park, Kim and Lee, Stability Analysis of Sharpness-Aware Minimization (arXiv 2301.06308).
"""

from __future__ import annotations

from samdyn.theory.kim_attraction import (
    MODES,
    RadiusWindow,
    attracting_radii,
    critical_radius,
    effective_curvature,
    usam_multipliers,
    usam_rates,
)
from samdyn.theory.kim_diffusion import (
    corollary_gap,
    diffusion_variance,
    mean_escape_time,
    noise_variance,
    stationary_variance,
    variance_gap,
    variance_gap_leading,
)
from samdyn.theory.kim_direction import effective_covariance, effective_radius, mean_direction
from samdyn.theory.kim_momentum import EXPONENTS, linear_covariance, momentum_covariance, momentum_variance

__all__ = [
    "EXPONENTS",
    "MODES",
    "RadiusWindow",
    "attracting_radii",
    "corollary_gap",
    "critical_radius",
    "diffusion_variance",
    "effective_covariance",
    "effective_curvature",
    "effective_radius",
    "linear_covariance",
    "mean_direction",
    "mean_escape_time",
    "momentum_covariance",
    "momentum_variance",
    "noise_variance",
    "stationary_variance",
    "usam_multipliers",
    "usam_rates",
    "variance_gap",
    "variance_gap_leading",
]

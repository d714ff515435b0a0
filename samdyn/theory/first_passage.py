"""First-passage times in closed form and by quadrature.

Throughout dX = b(X) dt + sqrt(2 D) dW. In one dimension every drift has a potential V' = -b, with the drift
of a SAM rule too, so mean exit times are double integrals of exp(V/D) and exp(-V/D); for linear drift they
are special functions. Functions of one number take arrays as well.

1. `exit_time_moments` integrates over Gauss-Legendre panels that end at the given breakpoints, with V
   integrated on the same nodes and every exponential taken relative to the largest of its panel.
2. Linear drift: `linear_two_sided`, `linear_one_sided` (Dawson's function and a 2F2), `disc` (exponential
   integrals), `saddle_logarithmic` (small noise).
3. Rare escapes: `eyring_kramers`, `double_well_expansion`, `sam_double_well_expansion`.
4. Potentials of f = (x^2 - 1)^2 / 4 under the rules: `usam_double_well_potential` and
   `sam_double_well_potential`.
5. `constant_drift`: the inverse-Gaussian law.

Status of each formula: [textbook] found in the reference named and checked numerically; [derived] worked
out here and checked against quadrature of the same equation.

References
----------
Gardiner, Handbook of Stochastic Methods, section 5.2.7: mean first-passage times. Siegert, Physical Review
81, 617 (1951): the Ornstein-Uhlenbeck process. Kramers, Physica 7, 284 (1940); Bovier, Eckhoff, Gayrard and
Klein, Journal of the European Mathematical Society 6, 399 (2004): the law named after Eyring and Kramers.
"""

from __future__ import annotations

from samdyn.theory.exit_quadrature import ExitMoments, exit_time_moments
from samdyn.theory.linear_drift import (
    BARRIER_SHIFT,
    constant_drift,
    disc,
    linear_one_sided,
    linear_one_sided_asymptotic,
    linear_two_sided,
    saddle_logarithmic,
)
from samdyn.theory.rare_escape import (
    SamBarriers,
    double_well_expansion,
    eyring_kramers,
    sam_double_well_barrier,
    sam_double_well_expansion,
    sam_double_well_potential,
    usam_double_well_barrier,
    usam_double_well_potential,
)

__all__ = [
    "BARRIER_SHIFT",
    "ExitMoments",
    "SamBarriers",
    "constant_drift",
    "disc",
    "double_well_expansion",
    "exit_time_moments",
    "eyring_kramers",
    "linear_one_sided",
    "linear_one_sided_asymptotic",
    "linear_two_sided",
    "saddle_logarithmic",
    "sam_double_well_barrier",
    "sam_double_well_expansion",
    "sam_double_well_potential",
    "usam_double_well_barrier",
    "usam_double_well_potential",
]

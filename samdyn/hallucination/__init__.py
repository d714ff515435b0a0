"""Hallucinated fixed points: fixed points of normalised SAM that are not critical points of the loss.

=================  ====================================================================
file               what it computes or holds
=================  ====================================================================
`curves`           all branches of hallucinated points over the radius
`seeds`            where these branches begin: at pairs of critical points
`proximal_curves`  curves of critical points of the proximal objective
`curve_stability`  eigenvalues along a branch
`intervals`        the radii at which hallucinated points exist
`attraction`       whether a hallucinated point attracts, and up to which learning rate
`share`            the share of starts that end at hallucinated points
`warm_start`       how many steps of gradient descent keep SAM from hallucinated points
`spheres`          minima of the loss on spheres around a critical point
=================  ====================================================================
"""

from samdyn.hallucination.attraction import LocalAttraction, local_attraction
from samdyn.hallucination.curves import HallucinatedBranch, HallucinatedBranches, hallucinated_branches
from samdyn.hallucination.intervals import (
    HallucinationInterval,
    HallucinationIntervals,
    hallucination_intervals,
)
from samdyn.hallucination.share import HallucinatedShare, hallucinated_share
from samdyn.hallucination.spheres import SphericalMinima, spherical_minima
from samdyn.hallucination.warm_start import WarmStartStudy, warm_start_study

__all__ = [
    "HallucinatedBranch",
    "HallucinatedBranches",
    "HallucinatedShare",
    "HallucinationInterval",
    "HallucinationIntervals",
    "LocalAttraction",
    "SphericalMinima",
    "WarmStartStudy",
    "hallucinated_branches",
    "hallucinated_share",
    "hallucination_intervals",
    "local_attraction",
    "spherical_minima",
    "warm_start_study",
]

"""Fixed points and cycles: where the dynamics rests, how surely all are found, and how stable they are.

===================  =========================================================================
file                 what it computes or holds
===================  =========================================================================
`search`             all fixed points in a box: `fixed_points`
`fixed_point`        what the search returns
`cycle_search`       all orbits of a period of a map: `cycles`
`shooting`           Newton's method on all points of a cycle at once
`zero_search`        zeros of a field in a box, with what is known about their completeness
`newton`             batched Newton's method from many starts
`search_seeds`       starts beyond the basins of Newton's method
`search_watch`       what a search will take, and its bar
`solution_sets`      curves and surfaces of zeros, told from isolated zeros
`coverage`           how likely a search from many starts has missed a point
`roots_1d`           zeros of functions on a line
`line_attractors`    all attractors in one dimension and the intervals that they attract
`virtual_gradients`  the virtual gradient grad f(x + e(x)) and its potential, where it has one
`proof`              completeness proven: intervals, Krawczyk, degree
`kinks`              points at rest on kinks of the loss, and where a field jumps
`stability`          linear stability, capture sets, windows of learning rates
===================  =========================================================================
"""

from samdyn.equilibria.coverage import Coverage
from samdyn.equilibria.cycle_search import cycles
from samdyn.equilibria.line_attractors import Attractors1D, attractors_1d
from samdyn.equilibria.proof.certified_point import certificate
from samdyn.equilibria.proof.krawczyk import Certificate, Proof
from samdyn.equilibria.search import FixedPoint, FixedPoints, fixed_points
from samdyn.equilibria.stability.growth import TransientGrowth, transient_growth
from samdyn.equilibria.stability.linearization import Linearization, critical_rho, linearize
from samdyn.equilibria.stability.two_cycles import TwoCycle, trapped_mode_window, two_cycle
from samdyn.equilibria.stability.windows import StabilityWindow, lr_window, momentum_windows
from samdyn.equilibria.virtual_gradients import (
    VirtualLoss,
    perturbed_loss,
    virtual_asymmetry,
    virtual_gradient,
    virtual_loss,
)

__all__ = [
    "Attractors1D",
    "Certificate",
    "Coverage",
    "FixedPoint",
    "FixedPoints",
    "Linearization",
    "Proof",
    "StabilityWindow",
    "TransientGrowth",
    "TwoCycle",
    "VirtualLoss",
    "attractors_1d",
    "certificate",
    "critical_rho",
    "cycles",
    "fixed_points",
    "linearize",
    "lr_window",
    "momentum_windows",
    "perturbed_loss",
    "transient_growth",
    "trapped_mode_window",
    "two_cycle",
    "virtual_asymmetry",
    "virtual_gradient",
    "virtual_loss",
]

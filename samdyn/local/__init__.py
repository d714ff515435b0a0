"""Around a point: fixed points, linearisation, capture sets of points where the field jumps."""

from samdyn.local.attractors_1d import Attractors1D, attractors_1d
from samdyn.local.bifurcations import Bifurcation
from samdyn.local.branch import BifurcationDiagram, Branch
from samdyn.local.branch_switching import switch_branch
from samdyn.local.capture import CaptureSet, capture_set
from samdyn.local.certificate import certificate
from samdyn.local.certify import Certificate, Proof
from samdyn.local.continuation import continuation
from samdyn.local.coverage import Coverage
from samdyn.local.cycles import cycles
from samdyn.local.edge_of_stability import EdgeOfStability, edge_of_stability, sam_edge
from samdyn.local.fixed_points import FixedPoint, FixedPoints, fixed_points
from samdyn.local.geometry import PerturbationGeometry, perturbation_geometry
from samdyn.local.hallucinated_branches import (
    HallucinatedBranch,
    HallucinatedBranches,
    hallucinated_branches,
)
from samdyn.local.hallucinated_share import HallucinatedShare, hallucinated_share
from samdyn.local.hallucination_intervals import (
    HallucinationInterval,
    HallucinationIntervals,
    hallucination_intervals,
)
from samdyn.local.linearization import Linearization, critical_rho, linearize
from samdyn.local.local_attraction import LocalAttraction, local_attraction
from samdyn.local.lyapunov import LyapunovSpectrum, lyapunov_exponents
from samdyn.local.manifolds import Manifold, manifold
from samdyn.local.orbit_diagram import OrbitDiagram, orbit_diagram
from samdyn.local.spherical_minima import SphericalMinima, spherical_minima
from samdyn.local.stability_windows import StabilityWindow, lr_window, momentum_windows
from samdyn.local.transient_growth import TransientGrowth, transient_growth
from samdyn.local.two_cycle import TwoCycle, trapped_mode_window, two_cycle
from samdyn.local.two_parameter import BifurcationCurve, bifurcation_curve
from samdyn.local.virtual_loss import (
    VirtualLoss,
    perturbed_loss,
    virtual_asymmetry,
    virtual_gradient,
    virtual_loss,
)
from samdyn.local.warm_start import WarmStartStudy, warm_start_study

__all__ = [
    "Attractors1D",
    "Bifurcation",
    "BifurcationCurve",
    "BifurcationDiagram",
    "Branch",
    "CaptureSet",
    "Certificate",
    "Coverage",
    "EdgeOfStability",
    "FixedPoint",
    "FixedPoints",
    "HallucinatedBranch",
    "HallucinatedBranches",
    "HallucinatedShare",
    "HallucinationInterval",
    "HallucinationIntervals",
    "Linearization",
    "LocalAttraction",
    "LyapunovSpectrum",
    "Manifold",
    "OrbitDiagram",
    "PerturbationGeometry",
    "Proof",
    "SphericalMinima",
    "StabilityWindow",
    "TransientGrowth",
    "TwoCycle",
    "VirtualLoss",
    "WarmStartStudy",
    "attractors_1d",
    "bifurcation_curve",
    "capture_set",
    "certificate",
    "continuation",
    "critical_rho",
    "cycles",
    "edge_of_stability",
    "fixed_points",
    "hallucinated_branches",
    "hallucinated_share",
    "hallucination_intervals",
    "linearize",
    "local_attraction",
    "lr_window",
    "lyapunov_exponents",
    "manifold",
    "momentum_windows",
    "orbit_diagram",
    "perturbation_geometry",
    "perturbed_loss",
    "sam_edge",
    "spherical_minima",
    "switch_branch",
    "transient_growth",
    "trapped_mode_window",
    "two_cycle",
    "virtual_asymmetry",
    "virtual_gradient",
    "virtual_loss",
    "warm_start_study",
]

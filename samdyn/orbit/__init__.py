"""What single orbits do: exponents, manifolds, capture, the edge of stability along a path.

==================  ============================================================================
file                what it computes or holds
==================  ============================================================================
`lyapunov`          Lyapunov exponents of maps and flows by QR
`lyapunov_frames`   frames carried along an orbit
`lyapunov_error`    the standard error of a time average
`manifolds`         stable and unstable manifolds of saddles
`manifold_of_map`   an arm of a map, generation by generation
`manifold_of_flow`  an arm of a flow: one trajectory
`curve_spacing`     curves as polygons with controlled spacing
`capture_sets`      what a critical point under a normalised rule captures, and the motion there
`stability_edge`    the edge of stability of SAM, at a point and along a path
`perturbation`      which side of a saddle SAM looks at, along a path
==================  ============================================================================
"""

from samdyn.orbit.capture_sets import CaptureSet, capture_set
from samdyn.orbit.lyapunov import LyapunovSpectrum, lyapunov_exponents
from samdyn.orbit.manifolds import Manifold, manifold
from samdyn.orbit.perturbation import PerturbationGeometry, perturbation_geometry
from samdyn.orbit.stability_edge import EdgeOfStability, edge_of_stability, sam_edge

__all__ = [
    "CaptureSet",
    "EdgeOfStability",
    "LyapunovSpectrum",
    "Manifold",
    "PerturbationGeometry",
    "capture_set",
    "edge_of_stability",
    "lyapunov_exponents",
    "manifold",
    "perturbation_geometry",
    "sam_edge",
]

"""Networks and other losses of many coordinates: what can be said without a matrix.

Everything takes any `Landscape`, and any system made from one, in two coordinates or a million.

=======================  =====================================================================================
file                     what it computes
=======================  =====================================================================================
`eigenvalues`            J v = mu v for a few mu, by ARPACK, each with its residual
`lanczos`                the density of all eigenvalues of a Hessian, by stochastic Lanczos quadrature
`spectral_density`       that density with its uncertainty
`gauss_newton`           products with the Gauss-Newton matrix, by curvlinops
`spectra`                the verb for eigenvalues and density
`newton_krylov`          zeros of g(x + e(x)) by damped Gauss-Newton steps of least norm (LSMR)
`refinement`             from a checkpoint to the fixed point near it
`refined_point`          its kind and stability
`embedding`              saddles of wider networks: a hidden unit written twice
`evidence`               gradients, curvatures, edge and motion at a point
`diagnosis`              where a run has stopped: the verdict from the evidence
`monitor`                curvature, edge and perturbed gradients while a network trains
`training_step`          perturbation and edge of a torch optimiser's step
`history`                what a monitor has recorded
=======================  =====================================================================================

"""

from samdyn.network.diagnosis import Diagnosis, diagnose
from samdyn.network.embedding import split_unit
from samdyn.network.gauss_newton import gauss_newton_operator
from samdyn.network.history import History
from samdyn.network.monitor import Monitor
from samdyn.network.refined_point import RefinedPoint
from samdyn.network.refinement import refine
from samdyn.network.spectra import Spectrum, spectrum
from samdyn.network.spectral_density import SpectralDensity

__all__ = [
    "Diagnosis",
    "History",
    "Monitor",
    "RefinedPoint",
    "SpectralDensity",
    "Spectrum",
    "diagnose",
    "gauss_newton_operator",
    "refine",
    "spectrum",
    "split_unit",
]

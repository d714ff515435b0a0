"""Networks and other losses of many coordinates: what can be said without a matrix.

Everything takes any `Landscape`, and any system made from one, in two coordinates or a million.

=======================  =====================================================================================
file                     what it computes
=======================  =====================================================================================
`eigenvalues`            J v = mu v for a few mu, by ARPACK, each with its residual
`lanczos`                the density of all eigenvalues of a Hessian, by stochastic Lanczos quadrature
`spectrum`               the verb for both
=======================  =====================================================================================
"""

from samdyn.network.spectrum import SpectralDensity, Spectrum, spectrum

__all__ = ["SpectralDensity", "Spectrum", "spectrum"]

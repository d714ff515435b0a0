"""Losses: the `Landscape` class and a catalogue of named ones.

`finite_sum` has means over samples, `module_loss` networks as such means.

Each function of the catalogue returns a `Landscape` with its box and its known critical points.

Quadratics and polynomials (`quadratics`)
    quadratic, saddle, monkey_saddle
Wells (`wells`)
    double_well, tilted_double_well, coupled_double_well, embedded_saddle
Valleys, whose minimisers fill a curve (`valleys`)
    product, uv, widening_valley, serpentine
Where sharpness-aware minimisation goes astray (`counterexamples`)
    sine_trap, two_gaussian_well, ring, tilted_hat
Test functions of optimisation (`test_functions`, `separable`)
    beale, himmelblau, rosenbrock, six_hump_camel, styblinski_tang, rastrigin
Potentials of chemistry (`potentials`)
    mueller_brown, three_well
"""

from samdyn.landscapes.counterexamples import ring, sine_trap, tilted_hat, two_gaussian_well
from samdyn.landscapes.landscape import CriticalPoint, Landscape
from samdyn.landscapes.potentials import mueller_brown, three_well
from samdyn.landscapes.quadratics import monkey_saddle, quadratic, saddle
from samdyn.landscapes.separable import rastrigin, styblinski_tang
from samdyn.landscapes.test_functions import beale, himmelblau, rosenbrock, six_hump_camel
from samdyn.landscapes.valleys import product, serpentine, uv, widening_valley
from samdyn.landscapes.wells import coupled_double_well, double_well, embedded_saddle, tilted_double_well

__all__ = [
    "CriticalPoint",
    "Landscape",
    "beale",
    "coupled_double_well",
    "double_well",
    "embedded_saddle",
    "himmelblau",
    "monkey_saddle",
    "mueller_brown",
    "product",
    "quadratic",
    "rastrigin",
    "ring",
    "rosenbrock",
    "saddle",
    "serpentine",
    "sine_trap",
    "six_hump_camel",
    "styblinski_tang",
    "three_well",
    "tilted_double_well",
    "tilted_hat",
    "two_gaussian_well",
    "uv",
    "widening_valley",
]

"""Losses: the `Landscape` class, finite sums, networks, and a catalogue of named losses.

Each function of the catalogue returns a `Landscape` with its box and its known critical points.

===================  ======================================================================
file                 what it computes or holds
===================  ======================================================================
`landscape`          a loss: one torch function of one point, batched and differentiated
`restriction`        a loss on a plane through a point: `restrict`
`finite_sum`         means over samples f(w) = mean_i f_i(w)
`sampled_landscape`  the derivatives of every component of a mean
`quadratic_sums`     what is exact for sums of quadratic components
`polynomials`        the degree of a torch function as a polynomial
`module_arguments`   networks as finite sums: `from_module`
`module_loss`        values, gradients and products of such a sum, in chunks of the data
`module_function`    a module and an objective as a function of the weights
`module_data`        the data of a network as tensors
`module_state`       checkpoints as points of such a sum
`module_probe`       whether an objective is the mean over samples
`loss_check`         whether a function is a loss, and what a refusal says
`quadratics`         quadratic, saddle, monkey_saddle
`wells`              double_well, tilted_double_well, coupled_double_well, embedded_saddle
`valleys`            minimisers that fill a curve: product, uv, widening_valley, serpentine
`counterexamples`    where SAM goes astray: sine_trap, two_gaussian_well, ring, tilted_hat
`test_functions`     beale, himmelblau, rosenbrock, six_hump_camel
`separable`          styblinski_tang, rastrigin
`potentials`         potentials of chemistry: mueller_brown, three_well
===================  ======================================================================
"""

from samdyn.landscapes.counterexamples import ring, sine_trap, tilted_hat, two_gaussian_well
from samdyn.landscapes.landscape import CriticalPoint, Landscape
from samdyn.landscapes.module_loss import ModuleLoss
from samdyn.landscapes.potentials import mueller_brown, three_well
from samdyn.landscapes.quadratics import monkey_saddle, quadratic, saddle
from samdyn.landscapes.restriction import Restriction
from samdyn.landscapes.separable import rastrigin, styblinski_tang
from samdyn.landscapes.test_functions import beale, himmelblau, rosenbrock, six_hump_camel
from samdyn.landscapes.valleys import product, serpentine, uv, widening_valley
from samdyn.landscapes.wells import coupled_double_well, double_well, embedded_saddle, tilted_double_well

__all__ = [
    "CriticalPoint",
    "Landscape",
    "ModuleLoss",
    "Restriction",
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

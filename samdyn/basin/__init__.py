"""Basins of attraction: which attractor a start goes to, how large the basins are, and their boundaries."""

from samdyn.basin.attractors import Attractor
from samdyn.basin.basin_graph import basin_graph
from samdyn.basin.basins import Basins, basins
from samdyn.basin.boundary import (
    BasinEntropy,
    Exponent,
    basin_entropy,
    boundary_cells,
    box_dimension,
    smooth_boundary_entropy,
    uncertainty_exponent,
)
from samdyn.basin.continuation import BasinContinuation, basin_continuation
from samdyn.basin.edges import EdgeState, boundary_pairs, edge_state
from samdyn.basin.fractions import Fraction, wilson_interval
from samdyn.basin.matching import match_attractors, tipping_probabilities
from samdyn.basin.morse_continuation import MorseContinuation, match_sets, morse_continuation
from samdyn.basin.morse_graph import MorseGraph, morse_graph
from samdyn.basin.rate_graph import rate_graph
from samdyn.basin.sampling import BasinFractions, basin_fractions
from samdyn.basin.smallest_kick import Kick, smallest_kick
from samdyn.basin.wada import WadaMerge, wada_merge

__all__ = [
    "Attractor",
    "BasinContinuation",
    "BasinEntropy",
    "BasinFractions",
    "Basins",
    "EdgeState",
    "Exponent",
    "Fraction",
    "Kick",
    "MorseContinuation",
    "MorseGraph",
    "WadaMerge",
    "basin_continuation",
    "basin_entropy",
    "basin_fractions",
    "basin_graph",
    "basins",
    "boundary_cells",
    "boundary_pairs",
    "box_dimension",
    "edge_state",
    "match_attractors",
    "match_sets",
    "morse_continuation",
    "morse_graph",
    "rate_graph",
    "smallest_kick",
    "smooth_boundary_entropy",
    "tipping_probabilities",
    "uncertainty_exponent",
    "wada_merge",
    "wilson_interval",
]

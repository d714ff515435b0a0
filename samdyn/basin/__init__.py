"""Basins of attraction: which attractor a start goes to, and how large the basins are.

===================  =======================================================================
file                 what it computes or holds
===================  =======================================================================
`mapping`            the attractor of each cell of a box: `basins`
`result`             labels of cells, attractors, shares
`consistency`        whether fields that were read from a file fit together
`arguments`          arguments, checked
`rounds`             from starts to attractors, round after round
`checkpoint`         where every path stands, in a file
`grid`               regular grids of cells
`tails`              the last points of many paths, from which features are made
`sampled_fractions`  shares by sampling, in any dimension: `basin_fractions`
`wilson`             shares with Wilson intervals
`continuation`       shares across a parameter
`matching`           attractors of one value matched to the attractors of another
`search`             what an attractor is, and how unknown ones are found
`paths`              how paths move, and when they have arrived
`boundary`           how fractal a boundary is, what lies on it, the smallest kick across it
`graph`              attractors joined through saddles, and rates between them
===================  =======================================================================
"""

from samdyn.basin.boundary.edge_states import EdgeState, boundary_pairs, edge_state
from samdyn.basin.boundary.kicks import Kick, smallest_kick
from samdyn.basin.boundary.measures import (
    BasinEntropy,
    Exponent,
    basin_entropy,
    boundary_cells,
    box_dimension,
    smooth_boundary_entropy,
    uncertainty_exponent,
)
from samdyn.basin.boundary.wada import WadaMerge, wada_merge
from samdyn.basin.continuation import BasinContinuation, basin_continuation
from samdyn.basin.graph.connections import basin_graph
from samdyn.basin.graph.rates import rate_graph
from samdyn.basin.mapping import Basins, basins
from samdyn.basin.matching import match_attractors, tipping_probabilities
from samdyn.basin.sampled_fractions import BasinFractions, basin_fractions
from samdyn.basin.search.attractors import Attractor
from samdyn.basin.wilson import Fraction, wilson_interval

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
    "rate_graph",
    "smallest_kick",
    "smooth_boundary_entropy",
    "tipping_probabilities",
    "uncertainty_exponent",
    "wada_merge",
    "wilson_interval",
]

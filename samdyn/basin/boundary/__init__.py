"""Boundaries of basins.

=============  ==================================================
file           what it computes or holds
=============  ==================================================
`measures`     uncertainty exponent, box dimension, basin entropy
`edge_states`  the edge state between two basins
`kicks`        the smallest kick into another basin
`wada`         whether all basins share one boundary
=============  ==================================================
"""

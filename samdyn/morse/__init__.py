"""Morse graphs: an outer approximation of all recurrent dynamics in a box, and what leads to what.

==============  ===================================================
file            what it computes or holds
==============  ===================================================
`graph`         the verb and its result: `morse_graph`
`continuation`  Morse graphs along a parameter
`images`        rectangles around images of boxes, in four ways
`partition`     boxes that are bisected again and again
`tree`          boxes of mixed sizes as a graph
`recurrence`    strongly connected components of the box graph
`subdivision`   coarse boxes first, then halves of those that recur
`order`         what leads to what
==============  ===================================================
"""

from samdyn.morse.continuation import MorseContinuation, match_sets, morse_continuation
from samdyn.morse.graph import MorseGraph, morse_graph

__all__ = ["MorseContinuation", "MorseGraph", "match_sets", "morse_continuation", "morse_graph"]

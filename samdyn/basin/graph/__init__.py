"""Graphs of attractors.

==============  ===============================================================
file            what it computes or holds
==============  ===============================================================
`connections`   attractors joined through saddles: `basin_graph`
`rates`         escape rates on that graph: `rate_graph`
`markov_chain`  long-run shares and passage times of a chain with waiting times
==============  ===============================================================
"""

"""
Which attractors are neighbours, and how high are the passes between them?
==========================================================================

Attractors as nodes, sized by their share, joined where their basins share a boundary, through the pass.
"""

import samdyn as sd

loss, rule = sd.landscapes.himmelblau(), sd.USAM(rho=0.005)
system = sd.Map(loss, rule, lr=0.01)
found = sd.basins(system, resolution=48, n_starts=64)
graph = sd.basin_graph(found)
ax = found.plot(legend=False, numbers=False, attractors=False)
sd.plot.basin_graph(graph, ax=ax)
graph

# %%
# **What to read off.** The rise of the loss from either end to the pass. Passes are edge states, found by
# bisection between two basins, and converged to the tolerance that the graph gives for each. At this
# learning rate the sharpest of the four minima holds a cycle of period two in place of a fixed point.
#
# **The wrong reading.** "The lower pass is taken more often." That also depends on the noise:
# :func:`samdyn.rate_graph`.
#
# **Cost.** 2 s.
#
# **Swap this.** ``action=True`` for the action of a noise in place of the rise of the loss.

"""
Which minimum does each start end in, under gradient descent and under SAM?
===========================================================================

The basins of both on one grid. What SAM takes from the minima it gives to the saddles.
"""

import matplotlib.pyplot as plt

import samdyn as sd

loss, results = sd.landscapes.three_well(), []
figure, panels = plt.subplots(1, 2, figsize=(10, 5.6), layout="constrained", sharey=True)
for ax, rule in zip(panels, (sd.GD(), sd.SAM(rho=0.2)), strict=True):
    results.append(sd.basins(sd.Map(loss, rule, lr=0.02), resolution=60, n_starts=64))
    ids = sd.basin.match_attractors(results[0].attractors, results[-1].attractors, threshold=0.1)
    results[-1].plot(ax=ax, ids=ids, legend="below")
results[-1]

# %%
# **What to read off.** The share of each attractor with its Wilson interval; "trapping saddle" is a saddle
# that captures starts. ``ids`` give the same attractor the same number and colour in both panels.
#
# **The wrong reading.** "Shares are volumes." They are shares of the box, and another box has others.
#
# **Cost.** 5 s.
#
# **Swap this.** ``resolution=256`` for a finer picture; :func:`samdyn.basin_fractions` in more than two
# dimensions.

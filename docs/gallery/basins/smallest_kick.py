"""
How large a kick takes a run out of its minimum?
================================================

The smallest displacement that leads from an attractor into another basin, and the state on the edge between
both.
"""

import matplotlib.pyplot as plt

import samdyn as sd

found = sd.basins(sd.Map(sd.landscapes.himmelblau(), sd.GD(), lr=0.01), resolution=64, n_starts=64)
kick = sd.basin.smallest_kick(found, attractor=sorted(found.attractors)[0])
figure, ax = plt.subplots(layout="constrained")
found.plot(ax=ax, legend=False)
ax.annotate("", tuple(kick.end), tuple(kick.start), arrowprops={"arrowstyle": "->", "linewidth": 3})
kick

# %%
# **What to read off.** The length of the arrow is an upper bound of the smallest kick, searched for from
# many directions and refined to rounding along the best.
#
# **The wrong reading.** "A flat minimum needs a larger kick." The distance to the boundary is no curvature.
#
# **Cost.** 1 s.
#
# **Swap this.** :func:`samdyn.basin.edge_state` for the state that separates two basins.

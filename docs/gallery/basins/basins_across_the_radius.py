"""
Whose basin shrinks as the radius grows?
========================================

The basins of SAM at one radius after another, with a slider. An attractor keeps its colour.
"""

import numpy as np

import samdyn as sd

loss = sd.landscapes.himmelblau()
radii = np.linspace(0.1, 1.3, 5)
found = [sd.basins(sd.Map(loss, sd.SAM(rho), lr=0.01), resolution=80) for rho in radii]
animation = sd.plot.animate_results(found, interval=600, legend=False)

for rho, basins in zip(radii, found, strict=True):
    trapped = sum(float(basins.fractions[k]) for k, a in basins.attractors.items() if "minimum" not in a.name)
    print(f"rho = {rho:.1f}: {len(basins.attractors)} attractors, share beside the minima {trapped:.3f}")

# %%
# **What to read off.** At the smallest radius the four minima share nearly everything: starts that end at a
# trapping saddle or at the maximum are one in two hundred. They are about a fifth at rho = 0.7 and nearly
# half at rho = 1; at rho = 1.3 no minimum attracts, and every start ends at a saddle or the maximum.
#
# **The wrong reading.** "A basin that vanishes between two frames vanishes at once."
# :func:`samdyn.basin_continuation` says between which radii an attractor is lost; its shares have intervals.
#
# **Cost.** 30 s.
#
# **Swap this.** Any results of one class, such as trajectories at several learning rates;
# :func:`samdyn.plot.animate_exits` shows how paths leave a region as time goes on.

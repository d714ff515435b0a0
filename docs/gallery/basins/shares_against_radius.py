"""
Which minima lose starts as the radius grows?
=============================================

The same random starts at each radius; attractors are matched from one radius to the next.
"""

import samdyn as sd

system = sd.Map(sd.landscapes.three_well(), sd.SAM(rho=0.1), lr=0.05)
across = sd.basin_continuation(system, n_paths=200, parameters={"rho": [0.0, 0.2, 0.4]}, n_starts=16)
ax = across.plot()
across

# %%
# **What to read off.** The share of each attractor against the radius, with 95 % Wilson intervals; shares
# at one radius add up to 1.
#
# **The wrong reading.** "An attractor that is drawn with a share of 0 does not exist." No start of 200 went
# there. Nor is a difference between bars one of basins: the saddles at (-0.62, 1.10) and (0.62, 1.10) are
# mirror images of each other.
#
# **Cost.** 15 s.
#
# **Swap this.** ``"lr"`` or ``"momentum"``; :func:`samdyn.basin.tipping_probabilities` for what moves from
# where to where.

"""
Which minimum does each start end in, under gradient descent and under SAM?
===========================================================================

The basins of both on one grid. What SAM takes from the minima it gives to the saddles.
"""

import matplotlib.pyplot as plt

import samdyn as sd

loss = sd.landscapes.three_well()
gd, sam = (
    sd.basins(sd.Map(loss, rule, lr=0.02), resolution=60, n_starts=64) for rule in (sd.GD(), sd.SAM(rho=0.2))
)
sam = sam.matched_to(gd)
figure, panels = plt.subplots(1, 2, figsize=(10, 5.6), layout="constrained", sharey=True)
for ax, found in zip(panels, (gd, sam), strict=True):
    found.plot(ax=ax, legend="below")
sam

# %%
# **What to read off.** The share of each attractor with its Wilson interval; "trapping saddle" is a saddle
# that captures starts. ``matched_to`` gives an attractor the same number and colour in both panels.
#
# **The wrong reading.** "Shares are volumes." They are shares of the box, and another box has others.
#
# **Cost.** 5 s.
#
# **Swap this.** ``resolution=256`` for a finer picture; :func:`samdyn.basin_fractions` in more than two
# dimensions.

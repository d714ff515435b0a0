"""
How often does noise carry a run from one minimum to another?
=============================================================

The graph of basins with the rate of each transition, and the share of time in each well in the long run.
"""

import samdyn as sd

noise = sd.GaussianNoise(std=1.5)
sde = sd.Diffusion(sd.landscapes.three_well(), sd.USAM(rho=0.05), lr=0.5, noise=noise)
found = sd.basins(sde, resolution=16, n_paths=4, n_starts=32)
rates = sd.rate_graph(sd.basin_graph(found), found, resolution=64)
ax = rates.plot()
rates

# %%
# **What to read off.** Each arrow has a rate per unit of time, from the backward Kolmogorov equation where
# there are at most two coordinates; the nodes have their stationary weights. A drift that is strong against
# the noise needs a finer grid, and a warning says which ``resolution`` would do.
#
# **The wrong reading.** "A rate says where the next transition goes." The next one goes to each neighbour
# with the probability rate / sum of rates.
#
# **Cost.** 14 s.
#
# **Swap this.** ``sd.GD()`` in place of USAM, and compare the weights of the sharp and the flat wells.

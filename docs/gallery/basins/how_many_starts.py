"""
What share of starts ends in each minimum, beyond two dimensions?
====================================================================

A grid costs too much in many dimensions; random starts do not, and their shares have intervals.
"""

import matplotlib.pyplot as plt
import numpy as np

import samdyn as sd

system = sd.Map(sd.landscapes.styblinski_tang(dim=3), sd.USAM(rho=0.005), lr=0.01)
found = sd.basin_fractions(system, n_paths=1000, n_starts=64, seed=0)
shares = sorted(found.fractions.values(), key=float, reverse=True)

figure, ax = plt.subplots(layout="constrained")
bars = np.array([[float(s) - s.lower, s.upper - float(s)] for s in shares]).T
ax.errorbar(range(1, len(shares) + 1), [float(s) for s in shares], bars, fmt="o", capsize=4)
ax.set(xlabel="attractor", ylabel="share of starts", ylim=(0, None), title="95 % Wilson intervals")
found

# %%
# **What to read off.** The loss is separable, so that the exact shares are products of those on a line. Of
# 1000 starts a share of p is known to about 2 times the root of p (1 - p) / 1000.
#
# **The wrong reading.** "All attractors are listed." One whose share is below 3 / n is missed in one run of
# twenty.
#
# **Cost.** 1 s.
#
# **Swap this.** ``method="features"`` for attractors that are told by what their orbits look like.

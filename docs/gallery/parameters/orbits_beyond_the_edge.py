"""
What does training do when the learning rate is too large?
==========================================================

Past the edge of stability orbits do not have to diverge. An orbit diagram shows where they stay after a
long time, for many learning rates at once.
"""

import matplotlib.pyplot as plt
import numpy as np

import samdyn as sd

rates = np.linspace(0.6, 1.6, 300)
figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
for ax, rule in zip(panels, (sd.GD(), sd.USAM(rho=0.1)), strict=True):
    system = sd.Map(sd.landscapes.double_well(), rule, lr=0.6)
    orbits = sd.orbit_diagram(system, parameters={"lr": rates}, n_starts=4, n_transient=1000, n_keep=100)
    orbits.plot(ax=ax, legend=False)

# %%
# **What to read off.** Gradient descent leaves the minima at lr = 1, which is 2 over the curvature; USAM
# with rho = 0.1 at 2 / 2.4 = 0.83. Beyond, the orbit doubles its period until it is chaotic. The grid of
# learning rates is the only uncertainty: 1 / 300 here.
#
# **The wrong reading.** "A band of points is chaos." A cycle of a long period looks the same; a positive
# exponent of :func:`samdyn.lyapunov_exponents` tells them apart.
#
# **Cost.** 1 s.
#
# **Swap this.** ``"rho"`` or ``"momentum"`` as the parameter; ``x0=`` for the starts.

"""
At what radius does a saddle become an attractor?
=================================================

Without the normalisation, SAM turns a saddle into an attractor once rho times the smallest negative
curvature exceeds 1. Here is a saddle in three dimensions with two negative curvatures.
"""

import matplotlib.pyplot as plt
import numpy as np

import samdyn as sd

loss, origin = sd.landscapes.quadratic(np.diag([2.0, -1.0, -4.0])), [0.0, 0.0, 0.0]
critical = sd.critical_rho(loss, origin)
radii = np.linspace(0, 2, 41)
rates = [sd.linearize(sd.Flow(loss, sd.USAM(rho)), origin).eigenvalues.real for rho in radii]

figure, ax = plt.subplots(layout="constrained")
ax.plot(radii, rates, "k.", markersize=4)
ax.axhline(0, color="black", linewidth=0.8)
ax.axvline(critical, color="black", linestyle=":")
ax.set(xlabel=r"radius $\rho$ (1 / curvature)", ylabel="eigenvalues of the flow (1 / time)", ylim=(-12, 5))
ax.set_title(f"all are negative from rho = {critical:g} on")
print(critical, sd.linearize(sd.Flow(loss, sd.USAM(1.01)), origin).stability)

# %%
# **What to read off.** Each eigenvalue is ``-h (1 + rho h)`` for a curvature h. The last to cross zero
# belongs to the least negative curvature, -1, at rho = 1; this is exact up to rounding.
#
# **The wrong reading.** "The steepest way down decides." It is the flattest one that does. And with
# ``sd.SAM`` there is no such threshold: every saddle holds a neighbourhood, at any radius
# (:func:`samdyn.capture_set`).
#
# **Cost.** 1 s.
#
# **Swap this.** a saddle of your own loss; ``sd.Map(loss, sd.USAM(rho), lr=0.1, momentum=0.9)``, where
# momentum does not move the threshold.

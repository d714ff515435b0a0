"""
At which curvature does a run with SAM stop getting sharper?
============================================================

Gradient descent sharpens until the curvature is 2/lr. With SAM the edge is lower, and it moves with the
gradient.
"""

import numpy as np

import samdyn as sd

system = sd.Map(sd.landscapes.uv(), sd.SAM(rho=0.05), lr=0.2)
path = np.asarray(sd.trajectory(system, [4.0, 0.3], n_steps=400))
edge = sd.edge_of_stability(system, path)
ax = edge.plot()
edge

# %%
# **What to read off.** The curvature of the loss along the run, and the edge that the radius, the learning
# rate and the gradient allow. Above the edge steps overshoot and the curvature comes down.
#
# **The wrong reading.** "The edge is 2/lr." That is for gradient descent; for SAM it is lower by a factor
# that depends on rho over the gradient's norm (:func:`samdyn.orbit.sam_edge`). Where the run has settled on
# the cycle across the minimum, the curvature itself is the edge.
#
# **Cost.** 1 s.
#
# **Swap this.** ``sd.GD()``; a loss of a network, made by :func:`samdyn.from_module`.

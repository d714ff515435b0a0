"""
How far does SAM look, and is it into another basin?
====================================================

Along a run the perturbed point may lie in the basin of another minimum. Then SAM takes its gradient from
there.
"""

import numpy as np

import samdyn as sd

system = sd.Map(sd.landscapes.himmelblau(), sd.SAM(rho=1.0), lr=0.005)
path = np.asarray(sd.trajectory(system, [0.2, 0.5], n_steps=40))
geometry = sd.perturbation_geometry(system, path)
ax = geometry.plot()
geometry

# %%
# **What to read off.** For each step, how the perturbed point stands to the one that moves: the slopes at
# both, the angle between them, and whether both belong to one basin of gradient descent.
#
# **The wrong reading.** "The perturbed loss is what SAM minimises." Its gradient is another one: SAM leaves
# out the derivative of the perturbation. :func:`samdyn.perturbed_loss` and :func:`samdyn.virtual_gradient`
# compute both.
#
# **Cost.** 3 s.
#
# **Swap this.** ``basins=False`` where the loss has many parameters.

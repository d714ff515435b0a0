"""
For which radii does a minimum make SAM hallucinate?
====================================================

A hallucinated minimiser looks at a critical point from a distance of the radius: it is the lowest point of
the loss on a sphere around it.
"""

import numpy as np

import samdyn as sd

spheres = sd.spherical_minima(sd.landscapes.himmelblau(), [3.0, 2.0], np.linspace(0.2, 4.0, 39))
ax = spheres.plot()
spheres

# %%
# **What to read off.** The radii at which the lowest point of the sphere is one where SAM rests, and the
# loss there.
#
# **The wrong reading.** "Every radius has a hallucinated minimiser, since every sphere has a lowest point."
# SAM rests there only where the gradient at the point leads to the centre.
#
# **Cost.** 2 s.
#
# **Swap this.** a saddle or a maximum as the centre; :func:`samdyn.hallucinated_branches` for the curves.

"""
From here, which of two minima will be reached first?
=====================================================

The committor is the probability to reach one set before another, for every start at once.
"""

import samdyn as sd

noise = sd.GaussianNoise(std=1.0)
sde = sd.Diffusion(sd.landscapes.three_well(), sd.USAM(rho=0.05), lr=0.25, noise=noise)
here, there = sd.Ball([-1.05, -0.04], radius=0.2), sd.Ball([1.05, -0.04], radius=0.2)
field = sd.committor(sde, here, there, resolution=96, box=[(-1.8, 1.8), (-1.0, 2.2)])
ax = field.plot()
print(f"from (0, 1.5): {field([0.0, 1.5]):.4f} +- {field.error_at([0.0, 1.5]):.4f} (grid)")

# %%
# **What to read off.** 0 at the first set, 1 at the second, and one half where the chances are equal: here
# by symmetry on the axis between both. The error stems from the grid.
#
# **The wrong reading.** "One half is on the saddle." Here a whole third well lies at one half: paths that
# are in it go either way.
#
# **Cost.** 1 s.
#
# **Swap this.** :func:`samdyn.rare_committor` in more than two dimensions, by splitting paths.

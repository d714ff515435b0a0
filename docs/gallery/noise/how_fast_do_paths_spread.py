"""
How fast do paths spread from a saddle?
=======================================

The mean squared displacement grows with the noise at first and with the instability later.
"""

import numpy as np

import samdyn as sd

noise = sd.CurvatureNoise(batch_size=1, probe="full")
sde = sd.Diffusion(sd.landscapes.saddle(2, 2), sd.USAM(rho=0.25), lr=0.01, noise=noise)
t = np.linspace(0.05, 2.0, 14)
spread = sd.mean_squared_displacement(sde, [0.0, 0.0], t, n_paths=2000, direction=[0.0, 1.0])
ax = spread.plot()
spread

# %%
# **What to read off.** Along the unstable direction the variance obeys a linear equation with the rate
# 2 (1 - 2 rho) = 1, so that it has a closed form, drawn as a line; the bars are 95 % intervals of 2000
# paths.
#
# **The wrong reading.** "The slope is the diffusion constant." Only for times far below one over the rate.
#
# **Cost.** 1 s.
#
# **Swap this.** ``probe="same"``, which damps the noise at a saddle; see
# :func:`samdyn.theory.kim.diffusion_variance`.

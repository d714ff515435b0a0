"""
How does a region empty?
========================

The survival curve as it comes into being: move the slider through time.
"""

import samdyn as sd

loss, noise = sd.landscapes.double_well(2), sd.GaussianNoise(std=2.5)
sde = sd.Diffusion(loss, sd.USAM(rho=0.2), lr=0.05, noise=noise)
well = sd.HalfSpace([1.0, 0.0], offset=0.0)
times = sd.exit_times(sde, [-1.0, 0.0], well, n_paths=600, t_max=40.0, seed=3)
animation = sd.plot.animate_exits(times, n_frames=20)
times

# %%
# **What to read off.** How many paths are still inside at a time, with the band of the survival curve.
#
# **The wrong reading.** "Half of the paths have left after half of the mean time." Of an exponential law half
# are left at 0.69 of the mean.
#
# **Cost.** 3 s.
#
# **Swap this.** ``sd.GD()`` for the rule; :func:`samdyn.plot.animate_results` for anything against a
# parameter.

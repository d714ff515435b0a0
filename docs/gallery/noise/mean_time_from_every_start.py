"""
From which starts is the way out long?
======================================

The mean time of exit solves an equation, the same for all starts: no paths, no sampling error, up to two
dimensions.
"""

import samdyn as sd

noise = sd.GaussianNoise(std=1.0)
sde = sd.Diffusion(sd.landscapes.saddle(), sd.SAM(rho=0.25), lr=0.02, noise=noise)
field = sd.mean_exit_time(sde, sd.Ball([0.0, 0.0], radius=1.0), resolution=96)
ax = field.plot()
print(f"from the saddle: {field([0.0, 0.0]):.2f} +- {field.error_at([0.0, 0.0]):.2f} (grid)")

# %%
# **What to read off.** The time at any start, ``field(x)``, and an estimate of the error of the grid,
# ``field.error_at(x)``, from two resolutions. Within the plateau the start hardly matters: paths are drawn
# to the saddle first, and then wait.
#
# **The wrong reading.** "This is the time of the algorithm." It is the time of the diffusion, for which
# ``lr`` is small; compare :func:`samdyn.chain_exit_time` or :func:`samdyn.exit_times` of the map.
#
# **Cost.** 1 s.
#
# **Swap this.** ``moment=2`` for the second moment; :func:`samdyn.exit_rate` for the rate at late times.

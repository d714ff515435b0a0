"""
From when on are exit times exponential?
========================================

Quantiles of the sample against those of the exponential law, with the band in which they would lie.
"""

import samdyn as sd

sde = sd.Diffusion(sd.landscapes.saddle(), sd.SAM(rho=0.2), lr=0.02, noise=sd.GaussianNoise(std=1.0))
ball = sd.Ball([0.0, 0.0], radius=0.8)
times = sd.exit_times(sde, [0.0, 0.0], ball, n_paths=1500, t_max=300.0, seed=2)
ax = sd.plot.exit_quantiles(times)
times

# %%
# **What to read off.** On the line the law is exponential; the p-value in the legend tests the tail.
#
# **The wrong reading.** "Early exits lie off the line, so the escape has no rate." Paths need some time to
# forget their start; the rate is that of the tail.
#
# **Cost.** 2 s.
#
# **Swap this.** ``times.plot("density")`` for the histogram; ``times.slowest_rate()`` for the rate.

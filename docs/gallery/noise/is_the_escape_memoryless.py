"""
Is an escape memoryless, and at what rate does it happen?
=========================================================

Once a path has been inside for long, the probability to leave per unit of time is a constant: the rate. It
is fitted to the slow part of a sample, and tested.
"""

import samdyn as sd

sde = sd.Diffusion(sd.landscapes.saddle(), sd.SAM(rho=0.2), lr=0.02, noise=sd.GaussianNoise(std=1.0))
ball = sd.Ball([0.0, 0.0], radius=1.0)
times = sd.exit_times(sde, [0.0, 0.0], ball, n_paths=1500, t_max=300.0, seed=2)
tail = times.slowest_rate(quantile=0.5)
exact = sd.exit_rate(sde, ball, resolution=96)
ax = times.plot("density", tail=0.5)
print(tail)
exact

# %%
# **What to read off.** The rate with its standard error, a p-value of the test that the tail is
# exponential, and the same rate as the smallest eigenvalue of the generator, without sampling.
#
# **The wrong reading.** "Rate = 1 / mean." Only where no time goes into getting settled; here they differ.
#
# **Cost.** 2 s.
#
# **Swap this.** ``times.plot("quantiles")`` to see where the law is no longer exponential.

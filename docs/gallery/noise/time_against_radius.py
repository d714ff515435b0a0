"""
How does the time of escape grow with the radius?
=================================================

A sweep runs all radii as one ensemble, and is drawn with the interval at each radius.
"""

import samdyn as sd

sde = sd.Diffusion(sd.landscapes.saddle(), sd.SAM(rho=0.1), lr=0.02, noise=sd.GaussianNoise(std=1.0))
ball, radii = sd.Ball([0.0, 0.0], radius=1.0), [0.0, 0.05, 0.1, 0.15, 0.2, 0.25]
sweep = sd.exit_time_sweep(sde, [0.0, 0.0], ball, {"rho": radii}, n_paths=400, t_max=300.0, seed=1)
ax = sweep.plot()
sweep

# %%
# **What to read off.** The mean and its 95 % interval at each radius. On the logarithmic axis the curve
# bends upwards: the time grows like the exponential of rho squared.
#
# **The wrong reading.** "Neighbouring points lie on one side of a line, so the trend is significant." Each
# radius has paths of its own, but compare two of them by :func:`samdyn.escape.compare`, and not by whether
# bars overlap.
#
# **Cost.** 3 s.
#
# **Swap this.** ``{"lr": [...]}``, or both at once for a grid; ``sweep.to_pandas()``.

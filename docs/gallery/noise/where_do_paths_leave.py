"""
Through which part of the rim do paths leave?
=============================================

Besides the time, each path has a place of exit.
"""

import samdyn as sd

loss, box = sd.landscapes.coupled_double_well(), sd.Box([-1.6, -1.2], [0.4, 1.2])
noise = sd.GaussianNoise(std=4.7)
sde = sd.Diffusion(loss, sd.SAM(rho=0.2), lr=0.01, noise=noise)
times = sd.exit_times(sde, [-1.0, 0.0], box, n_paths=1500, t_max=500.0, seed=3)
places = times.exit_location()
ax = places.plot()
places

# %%
# **What to read off.** The share of each face of the box, with Wilson intervals, and the density along the
# rim.
#
# **The wrong reading.** "A face that no path took is closed." With 1500 paths a share of up to 0.2 % is not
# excluded.
#
# **Cost.** 1 s.
#
# **Swap this.** ``sd.Ball``, ``sd.HalfSpace``, their intersections ``a & b`` and complements ``~a``, or
# ``sd.Region`` of your own signed distance.

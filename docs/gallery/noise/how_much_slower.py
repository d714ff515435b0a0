"""
How much more slowly does SAM leave a saddle than SGD?
======================================================

Many paths start at a saddle, and each has a time at which it leaves a ball around it. Two samples of such
times give a ratio of means with its interval, and two survival curves.
"""

import samdyn as sd

loss, ball = sd.landscapes.saddle(), sd.Ball([0.0, 0.0], radius=1.0)
times = {}
for seed, rule in enumerate((sd.GD(), sd.USAM(rho=0.5), sd.SAM(rho=0.2))):
    sde = sd.Diffusion(loss, rule, lr=0.02, noise=sd.GaussianNoise(std=1.0))
    times[rule] = sd.exit_times(sde, [0.0, 0.0], ball, n_paths=1000, t_max=200.0, seed=seed)
sgd, usam, sam = times.values()
ax = sd.plot.survival([sgd, usam, sam], labels=["SGD", "USAM, rho = 0.5", "SAM, rho = 0.2"])
print(sd.escape.compare(usam, sgd))
print(sd.escape.compare(sam, sgd))

# %%
# **What to read off.** The ratio of the mean times and its 95 % interval; on the logarithmic axis of the
# picture, a straight line is an exponential law. SAM's is straight: its paths are caught, and leave at
# random moments.
#
# **The wrong reading.** "The mean of the paths that left." Paths that are still inside at ``t_max`` are
# censored and count as such; a mean without them would be too small, and the result says how many there
# are.
#
# **Cost.** 2 s.
#
# **Swap this.** ``sd.Map(loss, rule, lr=0.02, noise=...)`` and ``t_max`` in steps; ``sd.Minibatch(8)`` on a
# :class:`samdyn.FiniteSum`; :func:`samdyn.escape.logrank` for a test that two laws are equal.

"""
What is the largest learning rate with batches?
===============================================

With batches the second moment of the weights may explode at learning rates at which the mean still
converges. The limit is computed exactly for least squares.
"""

import matplotlib.pyplot as plt
import numpy as np

import samdyn as sd

rng = np.random.default_rng(0)
loss = sd.FiniteSum.least_squares(rng.normal(size=(12, 3)), rng.normal(size=12))
radii = np.linspace(0, 0.3, 7)
figure, ax = plt.subplots(layout="constrained")
for probe, look in (("same", "o-"), ("independent", "s--"), ("full", "^:")):
    limits = []
    for rho in radii:
        noise = sd.Minibatch(batch_size=2, probe=probe)
        system = sd.Map(loss, sd.USAM(rho), lr=0.01, noise=noise)
        limits.append(float(sd.critical_learning_rate(system)))
    ax.plot(radii, limits, look, label=f'probe="{probe}"')
ax.set(xlabel=r"radius $\rho$ (1 / curvature)", ylabel="largest stable learning rate", ylim=(0, None))
legend = ax.legend()

# %%
# **What to read off.** At a learning rate above the curve the mean square of the weights grows without
# bound. The same batch for both gradients is the least stable. Limits are exact up to rounding.
#
# **The wrong reading.** "Above the curve every run diverges." Single runs may still converge, until the
# exponent of :func:`samdyn.sampling_lyapunov_exponent` is positive as well.
#
# **Cost.** 1 s.
#
# **Swap this.** ``criterion="mean"``; :func:`samdyn.mean_square_stability` for one learning rate.

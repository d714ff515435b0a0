"""
Does it matter which batch makes the perturbation?
==================================================

In practice the same batch perturbs and steps. With an independent batch, or all data, the stationary law
differs.
"""

import matplotlib.pyplot as plt
import numpy as np

import samdyn as sd

data = np.random.default_rng(0).normal(size=(30, 2)) * [2.0, 0.7]
loss = sd.FiniteSum.least_squares(data, np.random.default_rng(1).normal(size=30))
figure, ax = plt.subplots(layout="constrained")
for probe, line in (("same", "-"), ("independent", "--"), ("full", ":")):
    noise = sd.Minibatch(batch_size=2, probe=probe)
    law = sd.stationary_law(sd.Map(loss, sd.USAM(rho=0.1), lr=0.02, noise=noise))
    values, vectors = np.linalg.eigh(law.covariance)
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 100)).view(float).reshape(-1, 2)
    ax.plot(*(law.mean + 2 * (circle * values**0.5) @ vectors.T).T, line, label=f'probe="{probe}"')
ax.set(xlabel="$w_0$", ylabel="$w_1$", aspect="equal", title="two standard deviations in the long run")
legend = figure.legend(loc="outside lower center", ncols=3)
law

# %%
# **What to read off.** The exact mean and covariance of the weights after infinitely many steps: no
# simulation.
#
# **The wrong reading.** "m-SAM and n-SAM say which." Papers use these words for different things; see the
# :doc:`/glossary`.
#
# **Cost.** 1 s.
#
# **Swap this.** ``batch_size``; ``sampling="importance"``; a rule of :class:`samdyn.UnifiedSAM`.

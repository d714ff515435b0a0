"""
Above the limit of the second moment, do single runs still converge?
====================================================================

Between the learning rate at which the mean square explodes and the one at which runs themselves do, typical
runs converge and rare ones carry the mean. The sampling Lyapunov exponent tells these apart.
"""

import matplotlib.pyplot as plt
import numpy as np

import samdyn as sd

rng = np.random.default_rng(0)
loss = sd.FiniteSum.least_squares(rng.normal(size=(12, 2)), np.zeros(12))
system = sd.Map(loss, sd.USAM(rho=0.05), lr=0.1, noise=sd.Minibatch(batch_size=1))
limit = float(sd.critical_learning_rate(system))
rates = limit * np.linspace(0.4, 2.4, 11)
found = [
    sd.sampling_lyapunov_exponent(system.with_parameters(lr=lr), n_steps=1000, n_paths=50) for lr in rates
]
figure, ax = plt.subplots(layout="constrained")
ax.errorbar(rates, [f.value for f in found], [2 * f.standard_error for f in found], fmt="o-", capsize=3)
ax.axvline(limit, linestyle=":", color="black", label="limit of the mean square")
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xlabel=r"learning rate $\eta$", ylabel="exponent of single runs (1 / step)")
legend = ax.legend()
found[0]

# %%
# **What to read off.** Below zero, runs converge with probability one. Bars are two standard errors over 50
# replicas. The dotted line is the limit of the mean square, which is smaller.
#
# **The wrong reading.** "The loss of my ten runs fell, so training is stable." Its mean need not exist.
#
# **Cost.** 2 s.
#
# **Swap this.** ``probe="full"``; ``batch_size``; :func:`samdyn.mean_square_stability`.

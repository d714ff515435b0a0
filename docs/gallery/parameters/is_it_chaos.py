"""
Is an orbit beyond the edge chaotic?
====================================

The largest Lyapunov exponent is the rate at which two nearby orbits separate. Positive means chaos, and its
interval says whether the sign is known.
"""

import matplotlib.pyplot as plt
import numpy as np

import samdyn as sd

loss, rates = sd.landscapes.double_well(), np.linspace(1.0, 1.6, 21)
systems = [sd.Map(loss, sd.USAM(rho=0.1), lr=lr) for lr in rates]
spectra = [sd.lyapunov_exponents(system, [0.3], n_steps=2000) for system in systems]
exponents = [spectrum.exponents[0] for spectrum in spectra]
errors = [2 * spectrum.standard_error[0] for spectrum in spectra]

figure, ax = plt.subplots(layout="constrained")
ax.errorbar(rates, exponents, errors, fmt="o-", markersize=4, capsize=2)
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xlabel=r"learning rate $\eta$", ylabel="largest Lyapunov exponent (1 / step)")
spectra[-1]

# %%
# **What to read off.** Where the bars, two standard errors, lie above zero, nearby runs separate by the
# factor exp(exponent) each step, and the last digits of a start are forgotten. The windows below zero are
# cycles.
#
# **The wrong reading.** "An exponent of 0.01 is chaos." Look at its error first, and take more steps.
#
# **Cost.** 3 s.
#
# **Swap this.** ``sd.Flow``, with exponents per unit of time; ``n_exponents=2`` for all of them in two
# dimensions.

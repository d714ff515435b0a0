"""
How many runs end where the loss has no minimum?
================================================

Runs from random starts are followed to their ends, and each end is named: a minimum, a hallucinated
minimiser, or none yet.
"""

import matplotlib.pyplot as plt

import samdyn as sd

systems = [sd.Map(sd.landscapes.double_well(), sd.SAM(rho=rho), lr=0.05) for rho in (0.5, 1.2)]
ends = [sd.hallucinated_share(system, n_starts=400, n_steps=600) for system in systems]
figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for ax, end, rho in zip(panels, ends, (0.5, 1.2), strict=True):
    end.plot(ax=ax)
    ax.set_title(rf"$\rho$ = {rho}")
ends[-1]

# %%
# **What to read off.** The share of each kind of end, with the interval that the number of starts allows. At
# the smaller radius a quarter is caught at the maximum, at the larger one every run hallucinates.
#
# **The wrong reading.** "At a larger radius more runs hallucinate." Only within windows of the radius do
# hallucinated minimisers exist.
#
# **Cost.** 1 s.
#
# **Swap this.** :func:`samdyn.hallucination_intervals` for the windows;
# ``sd.WarmStart(sd.SAM(rho), 200)`` for runs that begin with gradient descent.

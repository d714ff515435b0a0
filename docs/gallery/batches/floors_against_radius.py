"""
How close to the minimum does SAM come with batches?
====================================================

With batches and a constant radius SAM keeps a gap to the minimum. A sweep over radii shows the floors.
"""

import samdyn as sd

loss = sd.FiniteSum(lambda w, s: (w[0] - s) ** 2 / 2, [1.0] * 7 + [-1.0] * 3, dim=1)
system = sd.Map(loss, sd.SAM(rho=0.1), lr=0.05, noise=sd.Minibatch(batch_size=1))
curves = sd.convergence(system, [2.0], 1500, 200, parameters={"rho": [0.0, 0.2, 0.5]}, record=["gap"])
ax = curves.plot()
for setting, values in enumerate(curves.settings):
    print(values, curves.plateau(setting=setting))

# %%
# **What to read off.** The mean gap of 200 replicas with a band of 90 % of them; the plateau has a standard
# error that knows that steps are correlated.
#
# **The wrong reading.** "A smaller learning rate removes the floor." It removes the part that is variance.
# The mean of the weights is off by 0.4 rho here, whatever the learning rate.
#
# **Cost.** 1 s.
#
# **Swap this.** ``parameters={"lr": [0.02, 0.05, 0.1]}`` with ``system.with_parameters(rho=0.0)``, and then
# ``curves.scaling("lr")`` for the exponent of the floor. With batches the floor over rho is no power law: at
# rho = 0 the variance is left. ``curves.scaling("rho")`` is for runs without noise, over radii above 0.

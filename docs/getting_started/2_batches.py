r"""
2. A finite sum with batches
============================

The mean of many losses, one for each sample. The algorithm draws batches, and SAM perturbs with a batch's
gradient.
"""

import numpy as np

import samdyn as sd

rng = np.random.default_rng(0)
inputs, targets = rng.normal(size=(40, 2)), rng.normal(size=40)
loss = sd.FiniteSum.least_squares(inputs, targets)
loss.minimum()

# %%
# ``sd.FiniteSum(component, data, dim)`` takes any component, a torch function of a point and a sample.
# Noise is ``sd.Minibatch``: ``probe`` says which batch makes the perturbation, the same batch as the step's
# (as in training), an independent one, or all data.

system = sd.Map(loss, sd.SAM(rho=0.2), lr=0.05, noise=sd.Minibatch(batch_size=4, probe="same"))
path = sd.trajectory(system, [1.0, 1.0], n_steps=5, seed=0)
print(np.asarray(path))

# %%
# **How fast, and how close?** Replicas of the run at several radii. The band holds 90 % of the replicas.

curves = sd.convergence(system, [1.0, 1.0], 1000, 100, parameters={"rho": [0.0, 0.1, 0.4]}, record=["gap"])
ax = curves.plot()
for setting, values in enumerate(curves.settings):
    print(values, curves.plateau(setting=setting))

# %%
# **Where do the weights end up?** For least squares and a rule without normalisation the mean and
# covariance after infinitely many steps are exact.

sd.stationary_law(system.with_parameters(rho=0.0))

# %%
# **How large may the learning rate be?** In mean square, and as the exponent of single runs.

usam = sd.Map(loss, sd.USAM(rho=0.1), lr=0.05, noise=sd.Minibatch(batch_size=4))
print(sd.critical_learning_rate(usam))
print(sd.sampling_lyapunov_exponent(usam, n_steps=500, n_paths=50))

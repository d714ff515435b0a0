r"""
1. A loss of two parameters
===========================

A loss is a function of one point, written with torch. samdyn differentiates it and evaluates it at many
points at once.
"""

import samdyn as sd

loss = sd.Landscape(
    lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2,
    dim=2,
    box=[(-2, 2), (-1, 1)],
    name="double well",
)
loss.gradient([[0.5, 0.2], [1.0, 0.0]])  # points go in as rows, and come out as numpy arrays

# %%
# Sharpness-aware minimisation takes its gradient a step uphill, at :math:`x + e(x)`. A *rule* says how far:
# ``sd.GD()`` stays, ``sd.USAM(rho)`` goes by rho times the gradient, ``sd.SAM(rho)`` by rho along its
# direction. Loss and rule together are seen in three *views*: the algorithm, its limit of small steps, and
# that limit with noise.

rule = sd.SAM(rho=0.3)
algorithm = sd.Map(loss, rule, lr=0.1)
limit = sd.Flow(loss, rule)
noisy = sd.Diffusion(loss, rule, lr=0.1, noise=sd.GaussianNoise(std=1.0))
print(algorithm([0.5, 0.2]), "after one step")
print(limit([0.5, 0.2]), "is the velocity")

# %%
# **Where can it stop?** Every analysis is one call, and takes any of the views.

points = sd.fixed_points(limit)
points

# %%
# ``kind`` speaks of the loss, ``stability`` of the dynamics. The saddle is *trapping*: SAM's direction
# jumps there, and what comes near is held. The two *hallucinated* points lie on slopes of the loss; they
# bound what the saddle holds.

ax = sd.plot.phase_portrait(limit, fixed_points=points, trajectories=[[-1.5, 0.8], [0.2, 0.9], [1.7, -0.6]])

# %%
# **Which start ends where?** Basins of the algorithm, with shares and their 95 % intervals.

found = sd.basins(algorithm, resolution=50)
ax = found.plot()
found

# %%
# **How long does noise need to carry a run from the saddle?** Times of first exit from a ball, for SGD and
# for SAM; both are the same call with another rule.

ball = sd.Ball([0.0, 0.0], radius=0.5)
times = {}
for seed, rule in enumerate((sd.GD(), sd.SAM(rho=0.3))):
    sde = sd.Diffusion(loss, rule, lr=0.02, noise=sd.GaussianNoise(std=1.0))
    times[rule] = sd.exit_times(sde, [0.0, 0.0], ball, n_paths=500, t_max=500.0, seed=seed)
sgd, sam = times.values()
ax = sd.plot.survival([sgd, sam], labels=["SGD", "SAM, rho = 0.3"])
sd.escape.compare(sam, sgd)

# %%
# Results print as tables, draw themselves by ``.plot()``, and go out by ``.to_pandas()``, ``.to_xarray()``
# and ``.save("name.npz")``. ``sd.cite(result)`` says what to cite:

print(sd.cite(sam))

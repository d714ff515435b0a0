"""
Which way does a path take when the noise is weak?
==================================================

The path of least action is the way that nearly all transitions follow as the noise vanishes, and its action
is the exponent of the waiting time.
"""

import samdyn as sd

loss = sd.landscapes.three_well()
flow = sd.Flow(loss, sd.USAM(rho=0.05))
points = sd.fixed_points(flow, [(-1.7, 1.7), (-1.0, 2.2)])
left, right = sorted((p.x for p in points.select(stability="attracting")), key=lambda x: x[0])[::2]
path = sd.minimum_action(flow, left, right, n_points=31)
ax = sd.plot.phase_portrait(
    flow, [(-1.7, 1.7), (-1.0, 2.2)], fixed_points=points, separatrices=False, cycles=0
)
ax.plot(*path.x.T, color="black", linewidth=2.5)
path

# %%
# **What to read off.** The black path leads uphill to a pass and then down. With a noise of variance 2D per
# unit of time, the waiting time grows like exp(action / D), up to the convention that the result states.
#
# **The wrong reading.** "The action is the height of the loss." That holds for gradient descent; SAM's
# field is no gradient in general.
#
# **Cost.** 14 s.
#
# **Swap this.** ``sd.GD()``: the difference of both actions is the difference of the exponents.

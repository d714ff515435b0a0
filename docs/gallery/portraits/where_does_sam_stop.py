"""
Where can SAM stop that gradient descent cannot?
================================================

SAM takes its gradient uphill, at x + e(x), and rests wherever the gradient is zero *there*. Such a point
may lie on a slope of the loss; it is called hallucinated.
"""

import samdyn as sd

loss = sd.landscapes.double_well()
flow = sd.Flow(loss, sd.SAM(rho=1.5))
points = sd.fixed_points(flow, box=[(-1.6, 1.6)], certify=True)
ax = points.plot()
points

# %%
# **What to read off.** At this radius neither minimum holds SAM: starts leave it on one side. The two stars
# on the slopes, at -0.5 and 0.5, are hallucinated and attract. ``certify=True`` proves by interval
# arithmetic that the list is complete: ``points.certified`` says so, and then there is no interval to give,
# since nothing was sampled.
#
# **The wrong reading.** "SAM found a flat minimum." The gradient of the loss at these points is 0.375 and
# not zero.
#
# **Cost.** 1 s.
#
# **Swap this.** ``rho=0.5``, where the minima attract; ``sd.landscapes.himmelblau()`` for two parameters;
# ``sd.Map(loss, rule, lr=0.1)`` for the algorithm, which has the same fixed points and other stabilities.

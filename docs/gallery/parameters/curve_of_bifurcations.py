"""
Which learning rates and radii keep a minimum stable?
=====================================================

A bifurcation found in one parameter is followed in a second one. The curve divides the plane of both.
"""

import samdyn as sd

system = sd.Map(sd.landscapes.double_well(), sd.USAM(rho=0.1), lr=0.5)
branch = sd.continuation(system, [1.0], "lr", (0.5, 1.2), max_step=0.02)
flip = branch.bifurcations[0]
curve = sd.bifurcation.bifurcation_curve(branch, flip, "rho", (0.0, 0.5), max_step=0.02)
ax = curve.plot()
print(flip)
curve

# %%
# **What to read off.** Below the curve the minimum at 1 attracts; above it steps overshoot and a cycle of
# period two takes its place. For curvature h the curve is ``lr * h * (1 + rho * h) = 2``: at rho = 0 the
# 2/h of gradient descent. Points of the curve solve the equations of the bifurcation to about 1e-10.
#
# **The wrong reading.** "Training diverges above the curve." It leaves the minimum; where it goes is what
# :func:`samdyn.orbit_diagram` and :func:`samdyn.basins` tell.
#
# **Cost.** 1 s.
#
# **Swap this.** ``"momentum"`` as the second parameter; a fold, or a border collision, of another branch.

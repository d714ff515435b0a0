"""
Does SAM come to rest, or hop to and fro?
=========================================

A normalised perturbation does not shrink where the gradient vanishes. On a quadratic loss SAM ends on a
cycle of period two across the minimum, along the direction of the largest curvature.
"""

import samdyn as sd

curvatures, lr, rho = [3.0, 1.0], 0.1, 0.3
system = sd.Map(sd.landscapes.quadratic([[3.0, 0.0], [0.0, 1.0]]), sd.SAM(rho), lr=lr)
cycles = sd.cycles(system, period=2, box=[(-0.3, 0.3), (-0.3, 0.3)])
expected = sd.two_cycle(curvatures, lr, rho)
ax = sd.plot.phase_portrait(
    system, [(-0.3, 0.3), (-0.3, 0.3)], trajectories=[[0.2, 0.25]], fixed_points=cycles, nullclines=False
)
print(expected)
cycles

# %%
# **What to read off.** The cycle that attracts lies on the axis of curvature 3, at the amplitude of the
# closed form (Bartlett, Long and Bousquet), ``lr * rho * h / (2 - lr * h)``. Both agree to rounding. The
# other cycle, on the axis of curvature 1, is a saddle.
#
# **The wrong reading.** "SAM converged, since the loss stopped falling." It hops across the minimum and
# stays above it by h/2 times the amplitude squared.
#
# **Cost.** 1 s.
#
# **Swap this.** ``sd.USAM(rho)``, which does come to rest; ``period=4`` with heavy-ball momentum.

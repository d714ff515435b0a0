"""
What is the difference between SAM's map, its flow and its diffusion?
=====================================================================

One loss and one rule give an algorithm, its limit of small steps, and the limit with noise. Drawn side by
side they show what each of them leaves out.
"""

import matplotlib.pyplot as plt

import samdyn as sd

loss, rule, lr = sd.landscapes.double_well(2), sd.SAM(rho=0.3), 0.2
views = {
    "map": sd.Map(loss, rule, lr=lr),
    "flow": sd.Flow(loss, rule),
    "diffusion": sd.Diffusion(loss, rule, lr=lr, noise=sd.GaussianNoise(std=0.6)),
}
options = {"fixed_points": sd.fixed_points(views["flow"]), "cycles": 0, "nullclines": False}
starts = [[-0.4, 0.8], [0.15, -0.8], [1.4, 0.9]]
figure, panels = plt.subplots(1, 3, figsize=(11, 4.4), layout="constrained", sharey=True)
for ax, (name, system) in zip(panels, views.items(), strict=True):
    sd.plot.phase_portrait(system, ax=ax, trajectories=starts, legend="below", **options)
    ax.set_title(name)

# %%
# **What to read off.** The same points are marked in all three. The map never comes to rest at a minimum:
# its last steps jump across it, by about ``lr * rho / (2 - lr)`` on either side along an axis of curvature
# 1. The flow ends in it, and the diffusion wanders about it.
#
# **The wrong reading.** "The saddle in the middle holds SAM, as the filled marker says." It holds what
# comes within its shaded capture set; a start beside the disc passes by.
#
# **Cost.** 1 s.
#
# **Swap this.** ``rule=sd.USAM(0.3)`` or ``sd.GD()``; ``lr=0.02``, and the map looks like the flow; any
# :class:`samdyn.Landscape` of two parameters.

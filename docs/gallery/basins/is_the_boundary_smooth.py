"""
Is the boundary between basins smooth or fractal?
=================================================

If it is fractal, a better knowledge of the start helps little to foresee the end. The uncertainty exponent
says how little. Here a larger learning rate makes a fractal out of a smooth boundary.
"""

import matplotlib.pyplot as plt

import samdyn as sd

figure, panels = plt.subplots(1, 2, figsize=(10, 5.2), layout="constrained", sharey=True)
for ax, lr in zip(panels, (0.01, 0.02), strict=True):
    system = sd.Map(sd.landscapes.himmelblau(), sd.GD(), lr=lr)
    found = sd.basins(system, box=[(-5, 5), (-5, 5)], resolution=256, n_starts=64)
    exponent = sd.basin.uncertainty_exponent(found)
    found.plot(ax=ax, legend=False)
    ax.set_title(f"lr = {lr}: exponent {float(exponent):.2f} $\\pm$ {exponent.standard_error:.2f}")
    print(f"lr = {lr}: box dimension", sd.basin.box_dimension(found))
    entropy = sd.basin.basin_entropy(found).boundary_entropy
    print(f"boundary entropy {entropy:.3f}; above 0.693 it is fractal for sure")

# %%
# **What to read off.** A smooth boundary has the exponent 1, since its dimension is 1: halve the error
# of the start and you halve the share of starts whose end is uncertain. With lr = 0.02 the minimum at the
# lower left attracts no more; steps overshoot, two attractors share its place, and their basins are mixed
# as finely as the grid can show: halving the error of the start removes a fifth of the uncertainty.
#
# **The wrong reading.** "0.95 means fractal." On a coarse grid the exponent of a smooth boundary is off by
# as much; refine the grid and look again. Nor does an entropy below log 2 mean smooth: its test is sure in
# one direction only.
#
# **Cost.** 3 s.
#
# **Swap this.** :func:`samdyn.basin.wada_merge` asks whether three basins meet everywhere.

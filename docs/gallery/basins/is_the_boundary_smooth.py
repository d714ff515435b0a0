"""
Is the boundary between basins smooth or fractal?
=================================================

If it is fractal, a better knowledge of the start helps little to foresee the end. The uncertainty exponent
says how little.
"""

import matplotlib.pyplot as plt

import samdyn as sd

system = sd.Map(sd.landscapes.himmelblau(), sd.GD(), lr=0.02)
found = sd.basins(system, box=[(-5, 5), (-5, 5)], resolution=128, n_starts=64)
exponent, entropy = sd.basin.uncertainty_exponent(found), sd.basin.basin_entropy(found)
figure, ax = plt.subplots(layout="constrained")
found.plot(ax=ax, legend=False)
ax.set_title(f"exponent {float(exponent):.2f} +- {exponent.standard_error:.2f}")
print(sd.basin.box_dimension(found))
print(f"boundary entropy {entropy.boundary_entropy:.3f}; fractal for sure above 0.693")

# %%
# **What to read off.** A smooth boundary has the exponent 1: halve the error of the start and you
# halve the share of starts whose end is uncertain. Its standard error comes from the fit over distances of
# cells.
#
# **The wrong reading.** "0.95 means fractal." On a coarse grid the exponent of a smooth boundary is off by
# as much; refine the grid and look again.
#
# **Cost.** 1 s.
#
# **Swap this.** :func:`samdyn.basin.wada_merge` asks whether three basins meet everywhere.

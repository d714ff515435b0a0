"""
Which starts lie between two minima, and where do the ways down lead?
=====================================================================

The stable manifold of a saddle separates basins, and its unstable manifold leads down to what lies on
either side.
"""

import samdyn as sd

loss = sd.landscapes.himmelblau()
flow = sd.Flow(loss, sd.USAM(rho=0.01))
saddles = sd.fixed_points(flow).select(stability="saddle")
box = [(-6, 6), (-6, 6)]
curves = [sd.manifold(flow, p, which, box=box) for p in saddles for which in ("stable", "unstable")]
ax = sd.plot.manifolds(curves)
ax.set_title(f"{len(saddles)} saddles of {flow.name}")
curves[0]

# %%
# **What to read off.** The dashed curves are the boundaries of the basins, the solid ones the ways from a
# saddle to the minima that it connects. Points of a curve are placed where the turning angle would exceed
# ``max_angle`` (0.1 by default), so that the polygon is off the curve by a few thousandths of its length.
#
# **The wrong reading.** "The map has the same curves." They are for small steps; ``sd.Map`` has
# curves of its own.
#
# **Cost.** 1 s.
#
# **Swap this.** ``sd.Map(loss, sd.USAM(0.01), lr=0.01)``; ``length=`` or ``box=`` to follow a curve
# further.

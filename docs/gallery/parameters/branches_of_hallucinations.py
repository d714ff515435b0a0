"""
Where do hallucinated minimisers come from as the radius grows?
===============================================================

Each of them lies on a curve that starts and ends at a critical point of the loss or at its own endpoint.
"""

import matplotlib.pyplot as plt

import samdyn as sd

branches = sd.hallucinated_branches(sd.landscapes.tilted_hat())
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
branches.plot(ax=left)
branches.intervals().plot(ax=right)
print(branches)

# %%
# **What to read off.** Left, a coordinate of the points over the radius; right, for which radii each of
# them exists and attracts. ``branches.at(rho)`` lists the points at one radius. The curves are followed
# numerically, to 1e-10; that none is missing is checked by counting their ends, and not proved.
#
# **The wrong reading.** "A branch that exists attracts." Whether it does depends on the learning rate as
# well: :func:`samdyn.local_attraction` gives the largest that keeps it.
#
# **Cost.** 2 s.
#
# **Swap this.** ``sd.landscapes.himmelblau()``; your own loss with its ``box``.

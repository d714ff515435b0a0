"""
Which loss does SAM go down?
============================

On a line SAM is gradient descent on another loss, the virtual one: a copy of the loss that is shifted by
rho to either side and joined where the slope changes sign.
"""

import samdyn as sd

flow = sd.Flow(sd.landscapes.two_gaussian_well(), sd.SAM(rho=1.0))
found = sd.attractors_1d(flow)
ax = sd.plot.virtual_loss(flow, attractors=found)
found

# %%
# **What to read off.** The lowest points of the virtual loss are where SAM ends: a kink at the flat
# minimum, and a smooth hollow where the loss itself has a slope. The shares count starts that are
# spread evenly over the box, from the exact boundaries between the basins.
#
# **The wrong reading.** "In several dimensions SAM is gradient descent on a virtual loss too." There the
# field need not be a gradient at all; :func:`samdyn.equilibria.virtual_asymmetry` measures how far it is
# from one.
#
# **Cost.** 1 s.
#
# **Swap this.** ``rho=0.2``, where the sharp minimum is back; ``sd.USAM(0.5)``; your own loss of one
# parameter.

"""
How does the picture of a loss change as the radius grows?
==========================================================

An animation over rho, with a slider. Fixed points are searched for at each radius, so that hallucinated ones
are seen to come and go.
"""

import numpy as np

import samdyn as sd

flow = sd.Flow(sd.landscapes.double_well(2), sd.SAM(rho=0.3))
animation = sd.plot.animate(flow, "rho", np.linspace(0.2, 2.3, 7), resolution=60, interval=400)

# %%
# **What to read off.** Drag the slider, or use its buttons. At first each minimum holds a disc, and the
# saddle another one, with hallucinated points between them that repel. They reach the minima at rho = 1;
# beyond, two hallucinated points on the slopes attract and the minima do not. At rho = 2 these reach the
# minima in their turn, which hold SAM again.
#
# **The wrong reading.** "Between two frames nothing happens." Seven radii are shown;
# :func:`samdyn.hallucinated_branches` says where points appear.
#
# **Cost.** 30 s.
#
# **Swap this.** ``"lr"`` of a :class:`samdyn.Map`; in a notebook ``sd.plot.interactive(flow)`` has a slider
# for each parameter, which draws when it is let go.

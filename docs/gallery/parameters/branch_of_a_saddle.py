"""
How does a fixed point change with the radius?
==============================================

Continuation follows a fixed point while the radius grows, and says where its stability changes and how.
"""

import samdyn as sd

flow = sd.Flow(sd.landscapes.double_well(), sd.USAM(rho=0.6))
branch = sd.continuation(flow, [0.0], "rho", (0.6, 2.0), max_step=0.02)
pitchfork = branch.bifurcations[0]
hallucinated = sd.bifurcation.switch_branch(branch, pitchfork, max_step=0.02)
ax = sd.bifurcation.BifurcationDiagram([branch, hallucinated]).plot()
print(pitchfork)
branch

# %%
# **What to read off.** At rho = 1 the maximum between the wells becomes an attractor, in a pitchfork. The
# branch that leaves it is hallucinated: there the loss has a slope. It repels, and bounds the basin of the
# maximum. The place of a bifurcation is solved for, and not read from the grid of the curve: it is exact to
# about 1e-10.
#
# **The wrong reading.** "The pitchfork creates attractors." It is subcritical: those born are unstable.
#
# **Cost.** 1 s.
#
# **Swap this.** ``"lr"`` as the parameter of a :class:`samdyn.Map`; any name of ``parameters=`` of your own
# loss.

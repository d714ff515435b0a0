"""
From how near does a saddle hold SAM?
=====================================

The normalised rule has no Jacobian at a saddle, since its direction jumps there. What holds SAM is a set of
starts around the saddle, whose radius can be bounded from below.
"""

import samdyn as sd

flow, saddle = sd.Flow(sd.landscapes.beale(), sd.SAM(rho=0.4)), [0.0, 1.0]
starts, box = [[-0.75, 1.6], [0.3, 1.7], [-0.6, 0.5]], [(-1, 1), (0, 2)]
ax = sd.plot.phase_portrait(flow, box, trajectories=starts, nullclines=False, cycles=0)
sd.capture_set(flow, saddle)

# %%
# **What to read off.** Every start in the disc goes to the saddle. The radius printed is a lower bound,
# found on shells of points around the saddle; what is really captured is larger.
#
# **The wrong reading.** "There is a critical radius." Every saddle without zero eigenvalues captures a
# neighbourhood under normalised SAM, at every rho > 0. Only for ``sd.USAM`` is there a threshold,
# :func:`samdyn.critical_rho`.
#
# **Cost.** 12 s.
#
# **Swap this.** ``sd.Map(loss, sd.SAM(rho), lr=1e-4)``; another saddle, as found by
# :func:`samdyn.fixed_points`.

"""
Does a warm start without perturbation avoid hallucinated minimisers?
=====================================================================

Some steps of gradient descent first, then SAM: the share of starts that end where the loss has a slope,
against the length of the warm start.
"""

import samdyn as sd

system = sd.Map(sd.landscapes.tilted_double_well(), sd.SAM(rho=1.0), lr=0.01)
study = sd.warm_start_study(
    system,
    steps=(0, 10, 30, 100, 300, 1000),
    decaying={"decaying": sd.schedules.PowerDecay(1.0)},
    n_starts=300,
    n_steps=4000,
)
ax = study.plot()
study

# %%
# **What to read off.** The share falls with the length of the warm start, to a floor of 0.45: bars are 95 %
# Wilson intervals of 300 starts. A radius that decays has no such floor.
#
# **The wrong reading.** "A longer warm start always helps." It brings a start to a minimum of the loss, and
# SAM leaves that minimum again if it does not attract SAM at this radius.
#
# **Cost.** 1 s.
#
# **Swap this.** ``sd.WarmStart(rule, steps)`` is the rule by itself; :func:`samdyn.hallucinated_share`
# counts for one.

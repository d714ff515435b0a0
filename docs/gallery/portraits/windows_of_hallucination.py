"""
At which radii does SAM stop where the loss does not?
=====================================================

A hallucinated point exists for a window of radii. On a line the list of windows is complete.
"""

import samdyn as sd

loss = sd.landscapes.tilted_double_well()
windows = sd.hallucination_intervals(loss)
ax = windows.plot()
windows

# %%
# **What to read off.** Each bar is a window of radii within which one hallucinated point exists; the filled
# ones attract. ``windows.complete`` is True where the search covered the box, and the ends of each window
# are known to rounding.
#
# **The wrong reading.** "A radius outside all windows is safe." Outside, SAM may still be held at a maximum
# or a saddle: those are critical points and no hallucinations.
#
# **Cost.** 1 s.
#
# **Swap this.** ``sd.landscapes.double_well()``; your own loss of one parameter; in two parameters use
# :func:`samdyn.hallucinated_branches`.

"""
Can one prove where all starts of a box end?
============================================

Interval arithmetic encloses the image of every small box under one step. What cannot be left is an
attracting set, and a box from which no other Morse set can be reached is decided for all of its points.
"""

import samdyn as sd

system = sd.Map(sd.landscapes.double_well(2), sd.SAM(rho=0.2), lr=0.2)
graph = sd.morse_graph(system, box=[(-1.6, 1.6), (-0.8, 0.8)], resolution=128)
ax = graph.plot()
graph

# %%
# **What to read off.** The sets, which of them attract, and for which share of the box it is proved where
# its points go. ``graph.rigorous`` says that the images were enclosed and not sampled.
#
# **The wrong reading.** "A Morse set is an attractor." It is a set of boxes that may hold one, or several.
#
# **Cost.** 1 s.
#
# **Swap this.** ``iterates=4`` (5 s): most of the 67 sets are boxes whose image touches themselves, since a
# step is shorter than a box; four steps at once leave 5 sets. ``resolution=512`` makes sets smaller, not
# fewer. ``graph.volume(graph.inner_basin(0))`` is the share that is proved to go to set 0. From
# ``graph.region_of_attraction(0)`` orbits go there or stay in sets that lead to it, of which each may hold an
# attractor, such as a trapping saddle, that boxes of this size do not separate.
# :func:`samdyn.morse_continuation` follows sets through rho.

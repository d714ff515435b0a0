"""Attractors that nobody named: found, merged, refined, described.

=============  ==============================================
file           what it computes or holds
=============  ==============================================
`attractors`   what an attractor is, and what it is called
`candidate`    a set that may be one
`recurrences`  orbits that come back to where they were
`merging`      which samples belong to one attractor
`neutrality`   whether states beside a set keep their distance
`limit_cycle`  closed orbits of flows
`refinement`   cycles of maps to the last digits
=============  ==============================================
"""

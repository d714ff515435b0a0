"""Rare events: adaptive multilevel splitting, and the most likely path.

======================  =========================================================================
file                    what it computes or holds
======================  =========================================================================
`rare_committors`       the probability to reach one set before another
`rare_exits`            mean exit times from loops and such a probability
`results`               their results
`splitting_job`         repeats of splitting as a job in pieces
`multilevel_splitting`  the iterations on a pool of clones
`reaction_coordinate`   how far a path has got, and the levels at which it may branch
`stopping`              paths that stop in one of two sets
`native_stopping`       the same, compiled
`least_action`          the path of least action (Freidlin and Wentzell), by the geometric method
`action_field`          drift and covariance with their derivatives, as the action needs them
`action_polygon`        the action of polygons, its derivative and second variation
`action_starts`         paths from which the search begins
`action_grid`           some of them: ways of least action on grids
`rest_ways`             others: routes through points at rest
`valley_floor`          ways on the floor of a narrow valley, and whether polygons can follow it
`drift_ways`            where the drift leads from many points, for those
======================  =========================================================================
"""

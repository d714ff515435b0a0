"""Numbers: random, in intervals, as vectors. Nothing here knows of losses or systems.

===============  =============================================================================
file             what it computes or holds
===============  =============================================================================
`random`         Philox4x32-10: random numbers as a function of (seed, path, step), on tensors
`random_arrays`  the same words on numpy arrays
`interval`       interval arithmetic, rounded outwards
`vector`         dot products, norms and g/|g|, which is 0 at g = 0
`sphere`         unit vectors that cover a sphere evenly
`scales`         lengths next to which a displacement or a gradient is small
`power_of_2`     2^k in operations that a compiler vectorises
===============  =============================================================================
"""

"""How fast noise carries paths away from a point.

==================  =======================================================
file                what it computes or holds
==================  =======================================================
`displacement`      mean squared displacements: `mean_squared_displacement`
`result`            its result, beside the theory of its start
`linearised_noise`  the same of the linearised system, without simulation
==================  =======================================================
"""

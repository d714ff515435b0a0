"""Exit times, committors and rates without sampling.

====================  ============================================================================
file                  what it computes or holds
====================  ============================================================================
`kolmogorov`          the backward Kolmogorov equation: `mean_exit_time`, `committor`, `exit_rate`
`kolmogorov_1d`       in one dimension, by quadrature
`kolmogorov_2d`       in two dimensions, on grids
`fitted_differences`  exponentially fitted differences of a diffusion in the plane
`lattice`             a diffusion tensor over lattice directions (Selling)
`domain`              the sets that absorb, and a box around the rest
`field`               a function on a region, known on a grid
`chain`               the exact mean exit time of a discrete chain in one dimension
`chain_of_system`     the chain that a map or a diffusion is
====================  ============================================================================
"""

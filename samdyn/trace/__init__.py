"""Functions of torch read as graphs of scalar operations, and what is done with such graphs.

===================  ===============================================================================
file                 what it computes or holds
===================  ===============================================================================
`aten`               torch functions as ATen graphs: the one place where functions are traced
`scalar_graph`       a graph of scalar operations that simplifies itself while it is built
`scalar_operators`   ATen operations on arrays of scalars
`scalar_arrays`      reductions, products and selections on such arrays
`tracing`            the value, gradient and Hessian of a one-point function on separate coordinates
`batch`              one-point torch functions on batches of numpy points
`interval_forms`     bounds of a traced function over many boxes at once
`iterate`            one orbit of a traced map, in a loop of Python floats
`product_operator`   Jacobians and Hessians as scipy operators, without the matrix
`function_identity`  what a function reads besides its arguments, as one hash
`device`             where tensors live, and on how many threads torch works there
`advice`             what to write instead of what torch does not differentiate or batch
`surroundings`       settings of torch and numpy under which the library computes
`printed`            traced functions as Python and C++ source, compiled
===================  ===============================================================================
"""

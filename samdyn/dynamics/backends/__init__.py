"""Kinds of steps of many copies, all with the contract of `samdyn.dynamics.contract`.

=================  ====================================================================
file               what it computes or holds
=================  ====================================================================
`traced_step`      the traced step in numpy: maps with any noise, diffusions
`point_step`       maps of losses too large to be written out: networks
`parametric_step`  maps without noise in which any parameter varies from copy to copy
`squares_step`     squares of linear forms plus a ridge, in closed form
`native_program`   the C++ and the CUDA of a system: its step, coefficients and random inputs
`devices`          where printed loops run: registers of the CPU, or threads of a GPU
`native_step`      the compiled loop over copies (`steps.hpp`, `advance.hpp`)
`native_layers`    the compiled gradient of networks of linear layers, a lane for a replica (`layers.hpp`)
`layers_step`      steps of such replicas on the whole data
`native_squares`   the compiled loop of single samples of least squares (`squares.hpp`)
=================  ====================================================================
"""

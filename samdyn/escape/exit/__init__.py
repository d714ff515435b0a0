"""First exit times by simulation of many paths: a job, its pieces, its results.

=================  =====================================================
file               what it computes or holds
=================  =====================================================
`times`            exit times of one system: `exit_times`
`parameter_sweep`  exit times over a grid of parameters, as one ensemble
`arguments`        their arguments, checked
`job`              what is simulated, as data
`description`      all that the numbers of a job depend on, as text
`pieces`           ranges of paths that run anywhere
`runs`             a job run as one pool or in pieces
`cost`             what a job will cost, from its first steps
=================  =====================================================
"""

"""First exit times by simulation of many paths: a job, its pieces, its results.

=================  =====================================================
file               what it computes or holds
=================  =====================================================
`times`            exit times of one system: `exit_times`
`parameter_sweep`  exit times over a grid of parameters, as one ensemble
`arguments`        their arguments, checked
`job`              what is simulated, as data
`description`      the distances to a region's faces, as text
`runs`             a job run as one pool or in pieces
`cost`             what a job will cost, from its first steps
=================  =====================================================
"""

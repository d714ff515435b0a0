"""The stability of fixed points.

================  =======================================================================
file              what it computes or holds
================  =======================================================================
`linearization`   Jacobian, eigenvalues, labels; the radius at which a saddle attracts
`at_jumps`        stability where the field jumps
`captured_ball`   the ball that a critical point captures there
`hovering`        how far about it a map hovers, or that it leaves
`critical_kinds`  minimum, maximum, saddle or degenerate
`windows`         the learning rates and momenta at which a fixed point attracts
`growth`          how far a linear system amplifies before its eigenvalues decide
`two_cycles`      the 2-cycle of normalised SAM beside a critical point
`wording`         how numbers of a point are written
================  =======================================================================
"""

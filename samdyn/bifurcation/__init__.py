"""Branches of fixed points and cycles over a parameter, and where they bifurcate.

==================  =====================================================================================
file                what it computes or holds
==================  =====================================================================================
`branches`          branches through one parameter: `continuation`
`branch`            a branch, and a set of branches
`start`             where a branch starts
`arclength`         pseudo-arclength continuation of a curve G(u) = 0
`following`         a curve one way and the other, with the bifurcations on it
`step_control`      which steps along a branch are accepted
`detection`         bifurcation points between two neighbouring points: found, located, named
`bifurcations`      a bifurcation point, and the signature that changes there
`defining_systems`  equations whose regular zeros are bifurcation points
`normal_forms`      coefficients of normal forms: which solutions branch off, and whether they are stable
`switching`         the other branch through a bifurcation point
`border`            where a branch meets the set {grad f = 0} on which the field jumps
`matrix_free`       branches in many dimensions, by bordered solves with GMRES
`critical_points`   branches of critical points under a rule that jumps there
`assembly`          a branch from the two ways that were followed
`two_parameter`     curves of bifurcation points in two parameters
`orbits`            the orbit diagram: where orbits end, at many values of a parameter
==================  =====================================================================================
"""

from samdyn.bifurcation.bifurcations import Bifurcation
from samdyn.bifurcation.branch import BifurcationDiagram, Branch
from samdyn.bifurcation.branches import continuation
from samdyn.bifurcation.orbits import OrbitDiagram, orbit_diagram
from samdyn.bifurcation.switching import switch_branch
from samdyn.bifurcation.two_parameter import BifurcationCurve, bifurcation_curve

__all__ = [
    "Bifurcation",
    "BifurcationCurve",
    "BifurcationDiagram",
    "Branch",
    "OrbitDiagram",
    "bifurcation_curve",
    "continuation",
    "orbit_diagram",
    "switch_branch",
]

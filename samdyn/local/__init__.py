"""Around a point: fixed points, linearisation, capture sets of points where the field jumps."""

from samdyn.local.fixed_points import FixedPoint, FixedPoints, fixed_points
from samdyn.local.linearization import Linearization, critical_rho, linearize

__all__ = ["FixedPoint", "FixedPoints", "Linearization", "critical_rho", "fixed_points", "linearize"]

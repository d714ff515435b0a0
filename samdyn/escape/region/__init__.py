"""Regions: the open set in which a path lives, and the faces through which it can leave.

=================  =========================================
file               what it computes or holds
=================  =========================================
`open_set`         what all regions have in common
`shapes`           balls, boxes, half-spaces
`function_region`  where a function of one point is negative
`combinations`     intersections, unions, complements
`faces`            the pieces of a boundary
=================  =========================================
"""

from samdyn.escape.region.combinations import Complement, Intersection, Union
from samdyn.escape.region.function_region import Region
from samdyn.escape.region.open_set import OpenSet
from samdyn.escape.region.shapes import Ball, Box, HalfSpace

__all__ = ["Ball", "Box", "Complement", "HalfSpace", "Intersection", "OpenSet", "Region", "Union"]

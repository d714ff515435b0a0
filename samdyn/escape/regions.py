"""Regions: the open set in which a path lives, and the faces through which it can leave.

A region is an intersection of open sets {x : s_i(x) < 0}. Each s_i is a signed distance, negative inside,
and the surface s_i = 0 is a *face*. The first-exit test of a step looks at one face at a time, through the
distance to it and the outward unit normal there (see `crossing`). `Box` gives up to 2 dim plane faces,
`HalfSpace` one, `Ball` one sphere (in one dimension the two ends of the interval), a function one; their
combinations are in `combinations`.

Plane faces keep their normals as Python numbers, so that a traced step does no arithmetic with a coordinate
that is 0.
"""

from samdyn.escape.combinations import Complement, Intersection, Union
from samdyn.escape.function_region import Region
from samdyn.escape.open_set import OpenSet
from samdyn.escape.shapes import Ball, Box, HalfSpace

__all__ = ["Ball", "Box", "Complement", "HalfSpace", "Intersection", "OpenSet", "Region", "Union"]

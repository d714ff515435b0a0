"""Faces: the pieces of a region's boundary through which a path can leave.

A region is an intersection of open sets {x : s_i(x) < 0}; each s_i is a signed distance, negative
inside, and the surface s_i = 0 is a face. The first-exit test of a step looks at one face at a time,
through the distance to it and the outward unit normal there (see `crossing`). Plane faces keep their
normals as Python numbers, so that a traced step does no arithmetic with a coordinate that is 0. Unions
and complements are one face each, by minimum and maximum of distances.

References
----------
A. Ricci, The Computer Journal 16, 157 (1973): constructive solid geometry.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.numerics.vector import Coordinates, dot
from samdyn.trace.surroundings import own_surroundings
from samdyn.trace.tracing import CoordinateForm, NotTraceable, coordinate_form

OnePoint = Callable[[Tensor], Tensor]


def project(normal: Sequence[Any], vector: Sequence[Any]) -> Any:
    """Inner product without arithmetic for the number 0 in either argument, or for 1 and -1 in `normal`.

    The result is a tensor (n,), or a number where every entry that counts is one.

    Examples
    --------
    >>> project((0.0, -1.0), (torch.ones(2), torch.ones(2)))
    tensor([-1., -1.])
    """
    total: Any = None
    for n, v in zip(normal, vector, strict=True):
        if (isinstance(n, float) and n == 0.0) or (isinstance(v, float) and v == 0.0):
            continue
        signed = isinstance(n, float) and abs(n) == 1.0
        term = (v if n > 0 else -v) if signed else n * v
        total = term if total is None else total + term
    return 0.0 if total is None else total


def _select(condition: Tensor, a: Any, b: Any, like: Tensor) -> Any:
    """`a` where `condition`, else `b`; two equal numbers stay one, others take the dtype of `like`."""
    if isinstance(a, float) and isinstance(b, float):
        return a if a == b else torch.where(condition, like.new_full((), a), b)
    return torch.where(condition, a, b)


def _extreme(parts: Sequence[tuple[Tensor, Coordinates]], sign: float) -> tuple[Tensor, Coordinates]:
    """The largest (sign 1) or smallest (sign -1) distance, with its normal."""
    distance, normal = parts[0]
    for d, n in parts[1:]:
        other = d > distance if sign > 0 else d < distance
        normal = Coordinates(_select(other, q, p, d) for p, q in zip(normal, n, strict=True))
        distance = torch.maximum(distance, d) if sign > 0 else torch.minimum(distance, d)
    return distance, normal


def _unit(g: Coordinates, square: Tensor) -> Coordinates:
    """g / |g| with |g|^2 given, 0 where g = 0: `samdyn.numerics.vector.unit` as torch.compile traces it."""
    inverse = torch.rsqrt(torch.where(square > 0, square, 1.0))
    return Coordinates(u * inverse for u in g)


def _distance_along(value: Tensor, g: Coordinates) -> tuple[Tensor, Coordinates]:
    """value / |g|, to first order the distance to the surface where a function is 0, and the unit vector
    along its gradient g. Where g is 0 or not finite, as in the centre of a ball, value and first axis.
    """
    square = dot(g, g)
    usual = (square > 0) & (square < torch.inf)
    inverse = torch.rsqrt(torch.where(usual, square, 1.0))
    n = Coordinates(torch.where(usual, u * inverse, float(i == 0)) for i, u in enumerate(g))
    return value * inverse, n


class Face:
    """One smooth or piecewise smooth piece of the boundary, as the surface where `distance` is 0.

    Every method takes `Coordinates` of tensors (n,) and consists of plain torch operations with no branch
    on values.
    """

    name: str
    curved: bool = False
    """Whether the distance is one to first order only, so that moves onto the surface have to be repeated."""
    pointwise: bool = True
    """Whether distance and normal are pointwise operations on separate coordinates."""

    def distance(self, x: Coordinates) -> Tensor:
        """Signed distance (n,), negative inside."""
        raise NotImplementedError

    def distance_and_normal(self, x: Coordinates) -> tuple[Tensor, Coordinates]:
        """Signed distance (n,) and outward unit normal; entries of a constant normal are Python numbers."""
        raise NotImplementedError


@dataclass(frozen=True)
class PlaneFace(Face):
    """normal . x = offset, with |normal| = 1."""

    normal: tuple[float, ...]
    offset: float

    @property
    def name(self) -> str:  # type: ignore[override]
        used = [(i, n) for i, n in enumerate(self.normal) if n]
        if len(used) == 1:  # -x_0 = 1.5 reads better as x_0 = -1.5
            return f"x_{used[0][0]} = {self.offset * used[0][1] + 0.0:g}"
        return " + ".join(f"{n:g} x_{i}" for i, n in used).replace("+ -", "- ") + f" = {self.offset:g}"

    def distance(self, x: Coordinates) -> Tensor:
        projected: Tensor = project(self.normal, x)
        return projected - self.offset if self.offset else projected

    def distance_and_normal(self, x: Coordinates) -> tuple[Tensor, Coordinates]:
        return self.distance(x), Coordinates(self.normal)


@dataclass(frozen=True)
class SphereFace(Face):
    """|x - center| = radius. The normal at the centre, where there is none, is taken along the first axis."""

    center: tuple[float, ...]
    radius: float

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"|x - ({', '.join(f'{c:g}' for c in self.center)})| = {self.radius:g}"

    def _from_center(self, x: Coordinates) -> Coordinates:
        return Coordinates(u - c if c else u for u, c in zip(x, self.center, strict=True))

    def distance(self, x: Coordinates) -> Tensor:
        g = self._from_center(x)
        return torch.sqrt(dot(g, g)) - self.radius

    def distance_and_normal(self, x: Coordinates) -> tuple[Tensor, Coordinates]:
        g = self._from_center(x)
        square = dot(g, g)
        n = _unit(g, square)
        first = torch.where(square > 0, n[0], 1.0)
        return torch.sqrt(square) - self.radius, Coordinates((first, *n[1:]))


def _value_and_gradient(function: OnePoint) -> OnePoint:
    """The function of one point that returns value and gradient as one tensor (1 + dim,)."""

    def both(w: Tensor) -> Tensor:
        gradient, value = torch.func.grad_and_value(function)(w)
        return torch.cat([value.reshape(1), gradient])

    return both


@dataclass(frozen=True)
class FunctionFace(Face):
    """function(x) = 0 for a function of one point that is negative inside. The distance is the length of two
    Newton steps along the gradient; the normal is the normalised gradient. Where there is none, the normal is
    taken along the first axis.
    """

    function: OnePoint
    dim: int | None
    # the value, and the value followed by the gradient, on separate coordinates; found outside any trace.
    # Faces are equal if these are: the function may read a number that has changed meanwhile
    form: CoordinateForm | None = field(default=None, init=False, repr=False)
    gradient_form: CoordinateForm | None = field(default=None, init=False, repr=False)
    curved: bool = field(default=True, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.dim is None:
            return
        object.__setattr__(self, "curved", not self._is_distance(self.dim))
        try:
            value = coordinate_form(self.function, self.dim)
            both = coordinate_form(_value_and_gradient(self.function), self.dim)
        except NotTraceable:  # the mapped one-point function works all the same
            return
        object.__setattr__(self, "form", value)
        object.__setattr__(self, "gradient_form", both)

    def _is_distance(self, dim: int) -> bool:
        """Whether the gradient has length 1 at points near and far."""
        points = (
            np.random.default_rng(0).normal(size=(3, 32, dim)) * np.array([0.3, 3.0, 30.0])[:, None, None]
        )
        flat = torch.from_numpy(points.reshape(-1, dim))
        with own_surroundings(), torch.no_grad():
            gradients = torch.func.vmap(torch.func.grad(self.function))(flat)
        length = torch.linalg.vector_norm(gradients, dim=1)
        return bool((torch.abs(length - 1) < 1e-9).all())

    @property
    def pointwise(self) -> bool:  # type: ignore[override]
        return self.form is not None and self.gradient_form is not None

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{getattr(self.function, '__name__', type(self.function).__name__)}(x) = 0"

    def distance(self, x: Coordinates) -> Tensor:
        if self.curved:
            return self.distance_and_normal(x)[0]
        if self.form is None:
            with own_surroundings():
                return torch.func.vmap(self.function)(torch.stack(tuple(x), -1))
        return self.form(*x)[0]

    def distance_and_normal(self, x: Coordinates) -> tuple[Tensor, Coordinates]:
        value, gradient = self._value_and_gradient(x)
        first, normal = _distance_along(value, gradient)
        if not self.curved:
            return value, normal
        landed = Coordinates(u - n * first for u, n in zip(x, normal, strict=True))
        second, _ = _distance_along(*self._value_and_gradient(landed))
        # a second step that is not much shorter means a point far from the boundary: the first step has the
        # sign
        near = torch.abs(second) <= 0.5 * torch.abs(first)
        return torch.where(near, first + second, first), normal

    def _value_and_gradient(self, x: Coordinates) -> tuple[Tensor, Coordinates]:
        if self.gradient_form is None:
            with own_surroundings():
                mapped = torch.func.vmap(_value_and_gradient(self.function))
                both = mapped(torch.stack(tuple(x), -1)).unbind(-1)
        else:
            both = self.gradient_form(*x)
        return both[0], Coordinates(both[1:])


@dataclass(frozen=True)
class UnionFace(Face):
    """The boundary of a union: the minimum over operands of the maximum over their faces."""

    operands: tuple[tuple[Face, ...], ...]
    name: str = field(default="boundary of a union", compare=False)

    @property
    def pointwise(self) -> bool:  # type: ignore[override]
        return all(face.pointwise for faces in self.operands for face in faces)

    def distance(self, x: Coordinates) -> Tensor:
        return reduce(torch.minimum, (largest(faces, x) for faces in self.operands))

    def distance_and_normal(self, x: Coordinates) -> tuple[Tensor, Coordinates]:
        inner = [_extreme([f.distance_and_normal(x) for f in faces], 1.0) for faces in self.operands]
        return _extreme(inner, -1.0)


@dataclass(frozen=True)
class ComplementFace(Face):
    """The boundary of a complement: minus the maximum over the faces."""

    faces: tuple[Face, ...]
    name: str = field(default="boundary of a complement", compare=False)

    @property
    def pointwise(self) -> bool:  # type: ignore[override]
        return all(face.pointwise for face in self.faces)

    def distance(self, x: Coordinates) -> Tensor:
        return -largest(self.faces, x)

    def distance_and_normal(self, x: Coordinates) -> tuple[Tensor, Coordinates]:
        distance, normal = _extreme([f.distance_and_normal(x) for f in self.faces], 1.0)
        return -distance, -normal


def largest(faces: Sequence[Face], x: Coordinates) -> Tensor:
    """The largest of the distances to several faces."""
    return reduce(torch.maximum, (f.distance(x) for f in faces))


# What is known about two faces, for intersections. Undecided cases answer False: a redundant face or an
# empty region is then not noticed.


def implies(f: Face, g: Face) -> bool:
    """Whether {f < 0} certainly lies in {g < 0}."""
    if f == g:
        return True
    if isinstance(f, PlaneFace) and isinstance(g, PlaneFace):
        return f.normal == g.normal and f.offset <= g.offset
    if isinstance(f, SphereFace) and isinstance(g, PlaneFace):
        return bool(project(g.normal, f.center) + f.radius <= g.offset)
    if isinstance(f, SphereFace) and isinstance(g, SphereFace):
        return math.dist(f.center, g.center) + f.radius <= g.radius
    return False


def _disjoint(f: Face, g: Face) -> bool:
    """Whether {f < 0} and {g < 0} certainly have no common point."""
    if isinstance(f, PlaneFace) and isinstance(g, PlaneFace):
        opposite = all(abs(a + b) <= 1e-15 for a, b in zip(f.normal, g.normal, strict=True))
        return opposite and f.offset + g.offset <= 0
    if isinstance(f, SphereFace) and isinstance(g, PlaneFace):
        return bool(project(g.normal, f.center) - f.radius >= g.offset)
    if isinstance(f, SphereFace) and isinstance(g, SphereFace):
        return math.dist(f.center, g.center) >= f.radius + g.radius
    return False


def empty(faces: Sequence[Face]) -> bool:
    """Whether the intersection over `faces` is certainly empty."""
    if any(_disjoint(f, g) for f, g in itertools.permutations(faces, 2)):
        return True
    for face in faces:
        if isinstance(face, SphereFace):
            # a ball off the corner of a box: the gaps along separate axes add up
            gaps = [0.0] * len(face.center)
            for plane in faces:
                if isinstance(plane, PlaneFace) and sum(map(abs, plane.normal)) == 1.0:
                    axis = int(np.argmax(np.abs(plane.normal)))
                    gaps[axis] = max(gaps[axis], project(plane.normal, face.center) - plane.offset)
            if math.hypot(*gaps) >= face.radius:
                return True
        if isinstance(face, ComplementFace) and all(any(implies(f, g) for f in faces) for g in face.faces):
            return True
        if isinstance(face, UnionFace):
            rest = [f for f in faces if not isinstance(f, UnionFace)]
            if all(empty([*rest, *operand]) for operand in face.operands):
                return True
    return False

"""Regions: the open set in which a path lives, and the faces through which it can leave.

A region is an intersection of open sets {x : s_i(x) < 0}. Each s_i is a signed distance, negative inside,
and the surface s_i = 0 is a *face*. The first-exit test of a step looks at one face at a time, through the
distance to it and the outward unit normal there (see `crossing`).

1. `Box` gives up to 2 dim plane faces, `HalfSpace` one, `Ball` one sphere (in one dimension the two ends of
   the interval).
2. ``a & b`` has the faces of both, less those that another face implies: a face counted twice would be
   crossed twice. Where two faces (or a ball and a box) leave nothing between them the intersection is
   empty, which is an error.
3. ``a | b`` is one face, at the minimum over the operands of the maximum over their faces; ``~a`` is one
   face, at minus the maximum. By De Morgan's laws ``~(a & b) = ~a | ~b`` and ``~(a | b) = ~a & ~b``, and
   the complement of a half-space is a half-space.

Plane faces keep their normals as Python numbers, so that a traced step does no arithmetic with a coordinate
that is 0.

The combination of signed distances by minimum and maximum is that of constructive solid geometry: A. Ricci,
The Computer Journal 16, 157 (1973).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.compute.batch import CHUNK_VALUES
from samdyn.compute.checks import Array, integer, number, points
from samdyn.compute.vector import Coordinates
from samdyn.escape.faces import (
    ComplementFace,
    Face,
    FunctionFace,
    OnePoint,
    PlaneFace,
    SphereFace,
    UnionFace,
    empty,
    implies,
    largest,
)


class OpenSet:
    """Base of the regions: what they have in common, and their algebra.

    Attributes
    ----------
    dim : int or None
        The number of coordinates; None when it is not known (a `Region` without dim).
    faces : tuple of Face
        The region is where the distance to every face is negative. Made at the first use, which must not be
        inside a torch.compile trace.
    """

    dim: int | None
    __array_ufunc__ = None  # so that numpy does not take `array & region` apart

    @cached_property
    def faces(self) -> tuple[Face, ...]:
        return self._faces()

    def _faces(self) -> tuple[Face, ...]:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "faces"}

    def with_dim(self, dim: int) -> OpenSet:
        """The region with its dimension made known.

        Parameters
        ----------
        dim : int
            The number of coordinates of the system.

        Raises
        ------
        TypeError, ValueError
            The region has another dimension, or its function fails on a point of that dimension.

        Examples
        --------
        >>> Region(lambda w: w.norm() - 1).with_dim(3).dim
        3
        """
        dim = integer("dim", dim, at_least=1)
        if self.dim is not None and self.dim != dim:
            raise ValueError(f"region must have dim {dim}, got {self!r} of dim {self.dim}")
        return self

    def signed_distance(self, x: npt.ArrayLike) -> Array:
        """Signed distance to the boundary, negative inside.

        Parameters
        ----------
        x : array_like, shape (..., dim)
            Points.

        Returns
        -------
        ndarray, shape (...)

        Notes
        -----
        The maximum over the faces: for balls, boxes, half-spaces and their intersections it is the
        Euclidean distance inside, and outside at most that (less off a corner). For unions and complements
        the sign is right and the size is at most the distance.

        Examples
        --------
        >>> Box([-1, -1], [1, 1]).signed_distance([[0.0, 0.5], [3.0, 0.0]])
        array([-0.5,  2. ])
        """
        if self.dim is None:
            shape = np.shape(x)
            if not shape or not shape[-1]:
                raise ValueError(f"x must have shape (..., dim), got shape {shape}")
            x = points("x", x, shape[-1], finite=False)
        else:
            x = points("x", x, self.dim, finite=False)
        flat = torch.from_numpy(np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T))
        result = np.empty(flat.shape[1])
        size = max(1, CHUNK_VALUES // len(flat))
        with torch.no_grad():
            for start in range(0, len(result), size):
                piece = flat[:, start : start + size]
                result[start : start + size] = largest(self.faces, Coordinates(piece.unbind(0))).numpy()
        values: Array = result.reshape(x.shape[:-1])[()]
        return values

    def contains(self, x: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether points lie inside; a point on the boundary and a nan do not.

        Parameters
        ----------
        x : array_like, shape (..., dim)
            Points.

        Returns
        -------
        ndarray of bool, shape (...)

        Examples
        --------
        >>> Ball([0, 0], 1).contains([[0.5, 0.5], [1.0, 0.0]])
        array([ True, False])
        """
        inside: npt.NDArray[np.bool_] = self.signed_distance(x) < 0
        return inside

    def __invert__(self) -> OpenSet:
        return Complement(self)

    def __and__(self, other: OpenSet) -> OpenSet:
        return (
            Intersection((*_parts(self, Intersection), *_parts(other, Intersection)))
            if isinstance(other, OpenSet)
            else NotImplemented
        )

    def __or__(self, other: OpenSet) -> OpenSet:
        return (
            Union((*_parts(self, Union), *_parts(other, Union)))
            if isinstance(other, OpenSet)
            else NotImplemented
        )


def _parts(region: OpenSet, kind: type) -> tuple[OpenSet, ...]:
    return (
        region.parts if isinstance(region, Intersection | Union) and isinstance(region, kind) else (region,)
    )


def _vector(name: str, value: Any) -> tuple[float, ...]:
    """`value` as a tuple of floats (a number is a vector of one coordinate); nan is refused."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        array = np.asarray(None)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number or a sequence of numbers, got {value!r}")
    if array.ndim > 1 or array.size == 0:
        raise ValueError(f"{name} must have shape (dim,) with dim >= 1, got shape {array.shape}")
    if np.isnan(array).any():
        raise ValueError(f"{name} must not hold nan, got {value!r}")
    return tuple(float(v) + 0.0 for v in array.reshape(-1))  # + 0.0 turns -0.0 into 0.0


def _finite_vector(name: str, value: Any) -> tuple[float, ...]:
    vector = _vector(name, value)
    if not all(map(math.isfinite, vector)):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return vector


@dataclass(frozen=True)
class Ball(OpenSet):
    """The open ball |x - center| < radius.

    Parameters
    ----------
    center : sequence of float, shape (dim,), or float
        A number means one dimension, where the ball is an interval with two faces.
    radius : float
        Finite and > 0, in units of x.

    Raises
    ------
    TypeError, ValueError
        The centre is not a finite vector, or the radius not a finite number > 0.

    Examples
    --------
    >>> Ball([0, 0], 2).signed_distance([0.0, 0.5])
    np.float64(-1.5)
    """

    center: tuple[float, ...]
    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", _finite_vector("center", self.center))
        object.__setattr__(self, "radius", number("radius", self.radius, above=0))

    @property
    def dim(self) -> int:  # type: ignore[override]
        return len(self.center)

    def _faces(self) -> tuple[Face, ...]:
        if self.dim == 1:  # two points, and each is tested for itself
            (center,) = self.center
            return PlaneFace((-1.0,), self.radius - center), PlaneFace((1.0,), center + self.radius)
        return (SphereFace(self.center, self.radius),)


@dataclass(frozen=True)
class Box(OpenSet):
    """The open box lower < x < upper, coordinate by coordinate.

    Parameters
    ----------
    lower, upper : sequence of float, shape (dim,), or float
        Bounds, in units of x; -inf and inf leave a side open, and at least one bound is finite.

    Raises
    ------
    TypeError, ValueError
        The bounds differ in length, hold nan, are all infinite, or lower < upper fails.

    Examples
    --------
    >>> [face.name for face in Box([-1.5, 0], [1.5, float("inf")]).faces]
    ['x_0 = -1.5', 'x_0 = 1.5', 'x_1 = 0']
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        lower, upper = _vector("lower", self.lower), _vector("upper", self.upper)
        if len(lower) != len(upper):
            raise ValueError(f"lower and upper must have the same length, got {len(lower)} and {len(upper)}")
        if not all(a < b for a, b in zip(lower, upper, strict=True)):
            raise ValueError(f"lower must be < upper in every coordinate, got {lower} and {upper}")
        if not any(map(math.isfinite, lower + upper)):
            raise ValueError(f"lower and upper must have a finite bound, got {lower} and {upper}")
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @property
    def dim(self) -> int:  # type: ignore[override]
        return len(self.lower)

    def _faces(self) -> tuple[Face, ...]:
        faces = []
        for i, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            for sign, bound in ((-1.0, low), (1.0, high)):
                if math.isfinite(bound):
                    normal = tuple(sign if j == i else 0.0 for j in range(self.dim))
                    faces.append(PlaneFace(normal, sign * bound + 0.0))
        return tuple(faces)


@dataclass(frozen=True)
class HalfSpace(OpenSet):
    """The open half-space normal . x < offset.

    Parameters
    ----------
    normal : sequence of float, shape (dim,), or float
        Outward normal, not 0; it is stored with unit length and the offset is divided by the same number.
    offset : float
        Finite.

    Raises
    ------
    TypeError, ValueError
        The normal is 0 or not a finite vector, or the offset is not a finite number.

    Examples
    --------
    >>> HalfSpace([3, 4], 10)
    HalfSpace(normal=(0.6, 0.8), offset=2.0)
    """

    normal: tuple[float, ...]
    offset: float

    def __post_init__(self) -> None:
        normal, offset = _finite_vector("normal", self.normal), number("offset", self.offset)
        largest = max(map(abs, normal))
        if largest == 0:
            raise ValueError(f"normal must not be 0, got {self.normal!r}")
        length = math.hypot(*(n / largest for n in normal)) * largest
        if abs(length - 1) > 1e-15:  # a normal that is a unit vector already stays as it is
            normal, offset = tuple(n / largest / (length / largest) for n in normal), offset / length
        if not math.isfinite(offset):
            raise ValueError(
                f"offset must be finite in units of |normal|, got {self.offset!r} for normal {self.normal!r}"
            )
        object.__setattr__(self, "normal", normal)
        object.__setattr__(self, "offset", offset + 0.0)

    @property
    def dim(self) -> int:  # type: ignore[override]
        return len(self.normal)

    def _faces(self) -> tuple[Face, ...]:
        return (PlaneFace(self.normal, self.offset),)

    def __invert__(self) -> HalfSpace:
        return HalfSpace(tuple(-n for n in self.normal), -self.offset)


@dataclass(frozen=True, init=False)
class Region(OpenSet):
    """The set where a function of one point is negative.

    Parameters
    ----------
    signed_distance : callable
        Takes one point, a torch tensor of shape (dim,), and returns a scalar tensor: the distance to the
        boundary, negative inside. Its gradient has length about 1 near the boundary (divide a level
        function by the length of its gradient there). A function that can be pickled makes the region
        picklable.
    dim : int, optional
        The number of coordinates, if known.

    Raises
    ------
    TypeError, ValueError
        `signed_distance` is not callable or, where dim is given, does not give one differentiable number
        for a point.

    Notes
    -----
    The first-exit test takes the value as the distance and the normalised gradient as the normal: a
    gradient of length other than 1 at the boundary biases crossing probabilities.

    Examples
    --------
    >>> disc = Region(lambda w: w.norm() - 1, dim=2)
    >>> disc.contains([[0.0, 0.5], [1.0, 1.0]])
    array([ True, False])
    """

    function: OnePoint
    dim: int | None

    def __init__(self, signed_distance: OnePoint, dim: int | None = None) -> None:
        if not callable(signed_distance):
            raise TypeError(f"signed_distance must be a function of one point, got {signed_distance!r}")
        if dim is not None:
            dim = integer("dim", dim, at_least=1)
            _check_function(signed_distance, dim)
        object.__setattr__(self, "function", signed_distance)
        object.__setattr__(self, "dim", dim)

    def with_dim(self, dim: int) -> OpenSet:
        super().with_dim(dim)
        return self if self.dim is not None else Region(self.function, int(dim))

    def _faces(self) -> tuple[Face, ...]:
        return (FunctionFace(self.function, self.dim),)


def _check_function(function: OnePoint, dim: int) -> None:
    wanted = (
        f"signed_distance must take one point, a torch tensor of shape ({dim},), and return a scalar tensor"
    )
    try:
        value: Any = function(torch.zeros(dim, dtype=torch.float64))
    except Exception as error:
        raise TypeError(f"{wanted}; it raised {type(error).__name__}: {error}") from error
    if not isinstance(value, Tensor) or not value.dtype.is_floating_point:
        got = f"dtype {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{wanted} of a floating-point type, got {got}")
    if value.ndim != 0:
        raise ValueError(f"{wanted}, got shape {tuple(value.shape)}")
    try:
        torch.func.vmap(torch.func.grad(function))(torch.zeros(1, dim, dtype=torch.float64))
    except Exception as error:
        raise TypeError(
            "signed_distance cannot be differentiated and batched by torch.func "
            f"({type(error).__name__}: {error}): "
            "write it with torch operations, without .item(), numpy calls or Python branches on values"
        ) from error


def _common_dim(operation: str, parts: Sequence[OpenSet]) -> int | None:
    dims = {part.dim for part in parts if part.dim is not None}
    if len(dims) > 1:
        got = f" {operation} ".join(f"{part!r} (dim {part.dim})" for part in parts)
        raise ValueError(f"operands of {operation} must have the same dim, got {got}")
    return next(iter(dims), None)


def _spelled(part: OpenSet) -> str:
    return f"({part!r})" if isinstance(part, Intersection | Union) else repr(part)


@dataclass(frozen=True, repr=False)
class Intersection(OpenSet):
    """``a & b``: all conditions hold. Raises ValueError where the operands certainly have no common point."""

    parts: tuple[OpenSet, ...]

    def __post_init__(self) -> None:
        if _common_dim("&", self.parts) is not None and empty([f for p in self.parts for f in p.faces]):
            raise ValueError(f"region must not be empty, got {self!r}, whose operands have no common point")

    @property
    def dim(self) -> int | None:  # type: ignore[override]
        return _common_dim("&", self.parts)

    def with_dim(self, dim: int) -> OpenSet:
        super().with_dim(dim)
        return Intersection(tuple(part.with_dim(dim) for part in self.parts))

    def _faces(self) -> tuple[Face, ...]:
        kept: list[Face] = []
        for face in (f for part in self.parts for f in part.faces):
            if not any(implies(f, face) for f in kept):
                kept = [f for f in kept if not implies(face, f)] + [face]
        return tuple(kept)

    def __invert__(self) -> OpenSet:
        return Union(tuple(~part for part in self.parts))

    def __repr__(self) -> str:
        return " & ".join(map(_spelled, self.parts))


@dataclass(frozen=True, repr=False)
class Union(OpenSet):
    """``a | b``: at least one operand holds."""

    parts: tuple[OpenSet, ...]

    def __post_init__(self) -> None:
        _common_dim("|", self.parts)

    @property
    def dim(self) -> int | None:  # type: ignore[override]
        return _common_dim("|", self.parts)

    def with_dim(self, dim: int) -> OpenSet:
        super().with_dim(dim)
        return Union(tuple(part.with_dim(dim) for part in self.parts))

    def _faces(self) -> tuple[Face, ...]:
        return (UnionFace(tuple(part.faces for part in self.parts), f"boundary of {self!r}"),)

    def __invert__(self) -> OpenSet:
        return reduce(lambda a, b: a & b, (~part for part in self.parts))

    def __repr__(self) -> str:
        return " | ".join(map(_spelled, self.parts))


@dataclass(frozen=True, repr=False)
class Complement(OpenSet):
    """``~a``: the outside of a ball, a box or a `Region`."""

    part: OpenSet

    @property
    def dim(self) -> int | None:  # type: ignore[override]
        return self.part.dim

    def with_dim(self, dim: int) -> OpenSet:
        super().with_dim(dim)
        return Complement(self.part.with_dim(dim))

    def _faces(self) -> tuple[Face, ...]:
        faces = self.part.faces
        name = faces[0].name if len(faces) == 1 else f"boundary of {self.part!r}"
        return (ComplementFace(faces, name),)

    def __invert__(self) -> OpenSet:
        return self.part

    def __repr__(self) -> str:
        return f"~{_spelled(self.part)}"

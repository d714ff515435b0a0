"""Intersections, unions and complements of regions.

1. ``a & b`` has the faces of both, less those that another face implies: a face counted twice would be
   crossed twice. Where two faces (or a ball and a box) leave nothing between them the intersection is
   empty, which is an error.
2. ``a | b`` is one face, at the minimum over the operands of the maximum over their faces; ``~a`` is one
   face, at minus the maximum. By De Morgan's laws ``~(a & b) = ~a | ~b`` and ``~(a | b) = ~a & ~b``, and
   the complement of a half-space is a half-space.

The combination of signed distances by minimum and maximum is taken from constructive solid geometry: A.
Ricci, The Computer Journal 16, 157 (1973).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from samdyn.escape.region.faces import ComplementFace, Face, UnionFace, empty, implies
from samdyn.escape.region.open_set import OpenSet
from samdyn.results import storable


def intersection(a: OpenSet, b: OpenSet) -> OpenSet:
    """``a & b``; intersections among the operands are taken apart."""
    return Intersection((*_parts(a, Intersection), *_parts(b, Intersection)))


def union(a: OpenSet, b: OpenSet) -> OpenSet:
    """``a | b``; unions among the operands are taken apart."""
    return Union((*_parts(a, Union), *_parts(b, Union)))


def _parts(region: OpenSet, kind: type) -> tuple[OpenSet, ...]:
    return (
        region.parts if isinstance(region, Intersection | Union) and isinstance(region, kind) else (region,)
    )


def _common_dim(operation: str, parts: Sequence[OpenSet]) -> int | None:
    dims = {part.dim for part in parts if part.dim is not None}
    if len(dims) > 1:
        got = f" {operation} ".join(f"{part!r} (dim {part.dim})" for part in parts)
        raise ValueError(f"operands of {operation} must have the same dim, got {got}")
    return next(iter(dims), None)


def _states(parts: Sequence[OpenSet]) -> tuple[Any, ...] | None:
    states = tuple(part._state() for part in parts)
    return None if None in states else states


def _spelled(part: OpenSet) -> str:
    return f"({part!r})" if isinstance(part, Intersection | Union) else repr(part)


@storable
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

    def _state(self) -> Any:
        return _states(self.parts)

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


@storable
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

    def _state(self) -> Any:
        return _states(self.parts)

    def _faces(self) -> tuple[Face, ...]:
        return (UnionFace(tuple(part.faces for part in self.parts), f"boundary of {self!r}"),)

    def __invert__(self) -> OpenSet:
        return reduce(lambda a, b: a & b, (~part for part in self.parts))

    def __repr__(self) -> str:
        return " | ".join(map(_spelled, self.parts))


@storable
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

    def _state(self) -> Any:
        return self.part._state()

    def _faces(self) -> tuple[Face, ...]:
        faces = self.part.faces
        name = faces[0].name if len(faces) == 1 else f"boundary of {self.part!r}"
        return (ComplementFace(faces, name),)

    def __invert__(self) -> OpenSet:
        return self.part

    def __repr__(self) -> str:
        return f"~{_spelled(self.part)}"

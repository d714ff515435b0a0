"""Balls, boxes and half-spaces: regions with faces in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import number
from samdyn.escape.region.faces import Face, PlaneFace, SphereFace
from samdyn.escape.region.open_set import OpenSet
from samdyn.results import storable


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


@storable
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
    >>> import samdyn as sd
    >>> sd.Ball([0, 0], 2).signed_distance([0.0, 0.5])
    np.float64(-1.5)
    """

    center: tuple[float, ...]
    radius: float

    if TYPE_CHECKING:  # what is accepted; what is kept stands above

        def __init__(self, center: npt.ArrayLike, radius: float) -> None: ...

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


@storable
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
    >>> import samdyn as sd
    >>> [face.name for face in sd.Box([-1.5, 0], [1.5, float("inf")]).faces]
    ['x_0 = -1.5', 'x_0 = 1.5', 'x_1 = 0']
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    if TYPE_CHECKING:

        def __init__(self, lower: npt.ArrayLike, upper: npt.ArrayLike) -> None: ...

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


@storable
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
    >>> import samdyn as sd
    >>> sd.HalfSpace([3, 4], 10)
    HalfSpace(normal=(0.6, 0.8), offset=2.0)
    """

    normal: tuple[float, ...]
    offset: float

    if TYPE_CHECKING:

        def __init__(self, normal: npt.ArrayLike, offset: float) -> None: ...

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

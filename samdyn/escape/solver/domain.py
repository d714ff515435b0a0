"""Where a deterministic solver works: the sets that absorb paths, and a finite box around the rest.

1. A path is free where every condition s_i(x) < 0 holds, s_i a signed distance; where s_i >= 0 it is absorbed
   with the boundary value g_i. A mean exit time has one condition (the region, g = 0), a committor two (not
   in A, g = 0; not in B, g = 1).
2. The box is the region's own where that is bounded. An unbounded side starts at the diffusion's box (with
   all finite faces inside) and moves outward until paths hardly ever come there: along every ray that leaves
   through the side and is still free, Phi = -int 2 b/a must rise by `RISE` above its minimum, so that the
   stationary weight there is below exp(-RISE). The outer wall then reflects.
3. A box given by the caller is taken as it is, with reflecting walls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.escape.region import Intersection, OpenSet
from samdyn.escape.region.faces import PlaneFace, SphereFace
from samdyn.results import storable

RISE = {1: 45.0, 2: 30.0}
SHORTEST = 1e-140  # of a side: the square of a shorter one leaves the range of float64


class ItoDiffusion(Protocol):
    """What a deterministic solver asks of dX = b(X) dt + B(X) dW: a Diffusion, or an object of the user's.

    An attribute `box`, shape (dim, 2), says where the search for the ends of an unbounded region starts.
    """

    @property
    def dim(self) -> int:
        """Number of coordinates."""

    def drift(self, x: Array) -> Array:
        """b at points of shape (..., dim)."""

    def covariance(self, x: Array) -> Array:
        """B B^T at points of shape (..., dim): shape (..., dim, dim)."""


@storable
class Exit(NamedTuple):
    """Paths are absorbed where sign * region.signed_distance >= 0, with a boundary value."""

    region: Any
    sign: float
    value: float


class TooLongError(ValueError):
    """A mean exit time beyond what double precision can tell from never."""


@storable
@dataclass(frozen=True)
class Absorbed:
    """Boundary value of the set that a point lies in, nan where a path is free."""

    exits: tuple[Exit, ...]

    def distances(self, x: Array) -> Array:
        """Signed distances to each exit, (number of exits, n): negative where free."""
        rows = [e.sign * np.asarray(e.region.signed_distance(x), dtype=np.float64) for e in self.exits]
        return np.stack(rows)

    def distance_and_value(self, x: Array) -> tuple[Array, Array]:
        """Signed distance (n,) to the nearest exit and that exit's boundary value (n,)."""
        s = self.distances(x)
        values = np.array([e.value for e in self.exits])
        return s.max(axis=0), values[s.argmax(axis=0)]

    def __call__(self, x: Array) -> Array:
        s, value = self.distance_and_value(x)
        return np.where(s < 0, np.nan, value)


def bounds(region: Any, dim: int) -> Array:
    """A box (dim, 2) that holds the region, infinite where its faces do not say."""
    box = np.tile([-np.inf, np.inf], (dim, 1))
    if hasattr(region, "lower") and hasattr(region, "upper"):
        box[:, 0], box[:, 1] = np.ravel(region.lower), np.ravel(region.upper)
    elif hasattr(region, "center") and hasattr(region, "radius"):
        center = np.ravel(region.center)
        box[:, 0], box[:, 1] = center - region.radius, center + region.radius
    elif hasattr(region, "normal") and hasattr(region, "offset"):
        normal = np.ravel(region.normal)
        (axis,) = np.flatnonzero(normal) if np.count_nonzero(normal) == 1 else (None,)
        if axis is not None:
            box[axis, int(normal[axis] > 0)] = region.offset / normal[axis]
    elif isinstance(region, Intersection):
        parts = np.stack([bounds(part, dim) for part in region.parts])
        box[:, 0], box[:, 1] = parts[:, :, 0].max(axis=0), parts[:, :, 1].min(axis=0)
    return box


def interval(region: Any) -> tuple[float, float] | None:
    """The ends of a one-dimensional region of balls, boxes and half-spaces; None for any other."""
    faces = region.with_dim(1).faces
    if not all(isinstance(face, PlaneFace | SphereFace) for face in faces):
        return None  # a function, a union or a complement, may cut the interval anywhere
    lower, upper = bounds(region, 1)[0]
    return float(lower), float(upper)


def _landmarks(region: Any, dim: int) -> Array:
    """Smallest and largest finite face coordinates (dim, 2), (inf, -inf) where there are none."""
    inner = [*getattr(region, "parts", ()), *([region.part] if hasattr(region, "part") else [])]
    boxes = [bounds(region, dim)] if not inner else [_landmarks(part, dim) for part in inner]
    values = np.concatenate(boxes, axis=1)
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(axis=1)
    return np.stack([low, np.where(finite, values, -np.inf).max(axis=1)], axis=1)


def coefficients(diffusion: ItoDiffusion) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """`drift` and `covariance` of a diffusion in one or two dimensions, checked."""
    for name in ("dim", "drift", "covariance"):
        if not hasattr(diffusion, name):
            raise TypeError(
                f"system must have .dim, .drift and .covariance (an sd.Diffusion), got {diffusion!r}"
            )
    if diffusion.dim not in (1, 2):
        raise ValueError(f"system must have 1 or 2 dimensions, got dim={diffusion.dim}")
    if getattr(diffusion, "scheduled", False):
        raise ValueError("system must have constant coefficients: its rho or lr is a schedule")
    return diffusion.drift, diffusion.covariance


def check_region(name: str, region: Any, dim: int) -> None:
    """Refuse what is no region, or one of another dimension."""
    if not isinstance(region, OpenSet):
        raise TypeError(f"{name} must be a samdyn region such as sd.Ball(center, radius), got {region!r}")
    if region.dim not in (None, dim):
        raise ValueError(f"{name} must have dim {dim}, got {region!r} of dim {region.dim}")


def check_targets(exits: Sequence[Exit], x: Array) -> None:
    """Refuse the sets A and B of a committor where they overlap or hold none of the points x (n, dim)."""
    distances = Absorbed(tuple(exits)).distances(x)
    rounding = 1e-9 * float(np.ptp(x, axis=0).max())
    for name, e, own in zip(("origin", "target"), exits, distances, strict=True):
        if not (own >= -rounding).any():
            raise ValueError(
                f"{name} must hold a node of the grid from {x.min(axis=0)} to {x.max(axis=0)}, got "
                f"{e.region!r}, which holds none: raise resolution, or give a box that reaches it"
            )
    both = (distances > rounding).all(axis=0)
    if both.any():
        raise ValueError(f"origin and target must be disjoint, got two that both hold {x[both][0]}")


def solve_box(diffusion: ItoDiffusion, exits: Sequence[Exit], box: npt.ArrayLike | None) -> Array:
    """The finite box (dim, 2) to solve in.

    Raises
    ------
    ValueError
        A side is shorter than `SHORTEST`, or unbounded and the drift does not lead back from it, or nothing
        says where to start.
    """
    dim = diffusion.dim
    limits = np.tile([-np.inf, np.inf], (dim, 1))
    for e in exits:
        if e.sign > 0:
            own = bounds(e.region, dim)
            limits = np.stack(
                [np.maximum(limits[:, 0], own[:, 0]), np.minimum(limits[:, 1], own[:, 1])], axis=1
            )
    if (np.ptp(limits, axis=1) < SHORTEST).any():
        raise ValueError(
            f"region must be at least {SHORTEST:g} wide, since exit times go with the square of its width, "
            f"got {limits.tolist()}"
        )
    if box is not None:
        given = checks.box("box", box, dim)
        result = np.stack(
            [np.maximum(given[:, 0], limits[:, 0]), np.minimum(given[:, 1], limits[:, 1])], axis=1
        )
        if not (result[:, 0] < result[:, 1]).all():
            raise ValueError(
                f"box must meet the region, which lies in {limits.tolist()}, got {given.tolist()}"
            )
        return result
    if np.isfinite(limits).all():
        return limits
    marks = np.stack([_landmarks(e.region, dim) for e in exits])
    low, high = marks[:, :, 0].min(axis=0), marks[:, :, 1].max(axis=0)
    start = getattr(diffusion, "box", None)
    if start is not None:
        start = checks.box("system.box", start, dim)
        low, high = np.minimum(low, start[:, 0]), np.maximum(high, start[:, 1])
    low, high = (
        np.where(np.isfinite(limits[:, 0]), limits[:, 0], low),
        np.where(np.isfinite(limits[:, 1]), limits[:, 1], high),
    )
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise ValueError(
            "box must be given: the region is unbounded and the diffusion has no box to start from"
        )
    result = np.stack([low, high], axis=1)
    for axis, side in np.argwhere(~np.isfinite(limits)):
        result[axis, side] = _move_outward(diffusion, exits, result, int(axis), int(side))
    return result


def _move_outward(diffusion: ItoDiffusion, exits: Sequence[Exit], box: Array, axis: int, side: int) -> float:
    drift, covariance = coefficients(diffusion)
    dim, absorbed = len(box), Absorbed(tuple(exits))
    width = box[axis, 1] - box[axis, 0]
    inner, sign = box[axis, 1 - side], (1.0 if side else -1.0)
    across = np.array([0.0]) if dim == 1 else np.linspace(box[1 - axis, 0], box[1 - axis, 1], 25)
    edge = box[axis, side]
    for _ in range(60):
        along = np.linspace(inner, edge, 400)
        x = np.empty((len(across), len(along), dim))
        x[..., axis] = along
        if dim == 2:
            x[..., 1 - axis] = across[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            rate = -2 * sign * drift(x)[..., axis] / covariance(x)[..., axis, axis]
        step = abs(along[1] - along[0])
        phi = np.concatenate(
            [np.zeros((len(across), 1)), np.cumsum((rate[:, 1:] + rate[:, :-1]) / 2 * step, axis=1)], axis=1
        )
        free = np.isnan(absorbed(x[:, -1]))
        rise = phi[:, -1] - phi.min(axis=1)
        if (rise[free] >= RISE[dim]).all():
            return float(edge)
        if not np.isfinite(rise[free]).all():
            break
        edge = edge + sign * 0.05 * max(width, abs(edge - inner))
    name = f"{'upper' if side else 'lower'} side of coordinate {axis}"
    raise ValueError(
        f"box must be given: the region is unbounded at the {name} and the drift does not lead back "
        f"from there (looked from {box[axis, side]:g} to {edge:g}), so paths may never exit"
    )

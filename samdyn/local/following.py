"""Following a curve of fixed points one way and the other, until it ends, with the bifurcations on it.

The ends and the search between neighbouring points are described in `samdyn.local.continuation`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from samdyn.compute.checks import Array
from samdyn.local.arclength import SMALLEST, Point, advance, angle, next_point
from samdyn.local.bifurcations import Bifurcation, Curve, between
from samdyn.local.border import Borders

AT_END = 1e-8  # of the range: a bifurcation this close to an end lies at it
REACH = 1e3  # scaled units, beyond which a branch of a system without a box has left


@dataclass
class Way:
    """Points of a curve in one direction, with the bifurcations between them."""

    points: list[Point]
    bifurcations: list[tuple[float, Bifurcation]]  # (index of the left neighbour + share of the step, point)
    end: str
    limit: Bifurcation | None = None  # a border collision at the end


def follow(
    curve: Curve,
    first: Point,
    name: str,
    max_step: float,
    max_points: int,
    region: Array | None,
    border: Borders | None,
    *,
    first_step: float | None = None,
) -> Way:
    """Follow a curve one way, from a point and in the direction of its tangent."""
    way = Way([first], [], "most points")
    ds = max_step / 4 if first_step is None else first_step
    signature = curve.signature(first)
    travelled = 0.0
    while len(way.points) < max_points:
        old = way.points[-1]
        if border is None:
            new, used, ds = next_point(curve.equations, old, ds, SMALLEST, max_step)
        else:
            new, used, ds = next_point(curve.equations, old, ds, SMALLEST, max_step, border.allowed)
        if new is None:
            way.end = "lost"
            break
        bound = 1.0 if new.u[-1] > 1 + 1e-12 else 0.0 if new.u[-1] < -1e-12 else None
        if bound is not None:
            landed = _land(curve, old, used, bound)
            if landed is None:  # it starts on the bound and leaves the range
                way.end = "upper bound" if bound else "lower bound"
                break
            new, used = landed
        after = curve.signature(new)
        if after != signature:
            index = len(way.points) - 1
            met = between(curve, old, new, used, signature, after, name)
            folds = ((s, _beyond(curve, point)) for s, point in met if point.kind == "fold")
            reach, beyond = next(((s, b) for s, b in folds if b is not None), (0.0, None))
            if beyond is not None:  # the curve left the range and came back within the step
                landed = _land(curve, old, reach, beyond)
                way.bifurcations += [(index + s / used, point) for s, point in met if s < reach]
                way.points += [] if landed is None else [landed[0]]
                way.end = "upper bound" if beyond else "lower bound"
                break
            way.bifurcations += [(index + s / used, point) for s, point in met]
        way.points.append(new)
        signature, travelled = after, travelled + used
        if bound is not None:
            way.end = "upper bound" if bound else "lower bound"
            break
        if border is not None:
            way.limit = border.collision(old, new, used, ds)
            if way.limit is not None:
                way.end = "border"
                break
        if not _inside(curve, new.u, region):
            way.end = "left the box"
            break
        if travelled > 4 * max_step and _closes(first, new, used):
            way.end = "closed"
            break
    return way


def _beyond(curve: Curve, point: Bifurcation) -> float | None:
    """The bound (0 or 1, scaled) that a point lies beyond by more than `AT_END`, if it does."""
    share = float((point.value - curve.scale.low[0]) / curve.scale.width[0])
    return 1.0 if share > 1 + AT_END else 0.0 if share < -AT_END else None


def _land(curve: Curve, old: Point, ds: float, bound: float) -> tuple[Point, float] | None:
    """The point at which the branch meets a bound, within the step; None if it is the last point itself."""
    if abs(old.u[-1] - bound) <= 1e-13:
        return None

    def past(s: float) -> float:
        point = advance(curve.equations, old, s)
        return (old.u[-1] + s * old.tangent[-1] if point is None else point.u[-1]) - bound

    s = float(brentq(past, 0.0, ds, xtol=1e-15, rtol=1e-14))
    point = advance(curve.equations, old, s)
    if point is None:
        return None
    u = point.u.copy()
    u[-1] = bound
    return dataclasses.replace(point, u=u), s


def _inside(curve: Curve, u: Array, region: Array | None) -> bool:
    x = curve.split(u)[0][: curve.field.system.dim]
    if region is None:
        return bool(np.abs(u[:-1]).max() < REACH)
    return bool(((x >= region[:, 0]) & (x <= region[:, 1])).all())


def _closes(first: Point, new: Point, ds: float) -> bool:
    return float(np.linalg.norm(new.u - first.u)) < ds and angle(new.tangent, first.tangent) < 0.5


def follow_both(
    curve: Curve,
    first: Point,
    name: str,
    max_step: float,
    max_points: int,
    region: Array | None,
    border: Borders | None,
) -> tuple[Way, Way]:
    """Follow a curve both ways; not the second way if the first one closes."""
    forward = follow(curve, first, name, max_step, max_points, region, border)
    if forward.end == "closed":
        return Way([first], [], "closed"), forward
    backward = dataclasses.replace(first, tangent=-first.tangent)
    return follow(curve, backward, name, max_step, max_points, region, border), forward

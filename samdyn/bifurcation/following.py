"""Following a curve of fixed points one way and the other, until it ends, with the bifurcations on it.

The ends are described in `samdyn.bifurcation.branches`, the search between neighbouring points in
`samdyn.bifurcation.detection`, the steps in `samdyn.bifurcation.arclength` and
`samdyn.bifurcation.step_control`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import SMALLEST, Point, closes, correct, next_point
from samdyn.bifurcation.bifurcations import Bifurcation, Curve
from samdyn.bifurcation.border import Borders
from samdyn.bifurcation.detection import between
from samdyn.bifurcation.step_control import StepControl
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar

AT_END = 1e-8  # of the range: a bifurcation this close to an end lies at it
UNVERIFIED = 1e-7  # scaled step below which a bifurcation that cannot be verified ends the branch
EVALUATIONS = 8  # of the equations and the eigenvalues, for an accepted point with all that is checked
PATH = 1.5  # length of a typical branch over the whole range, in scaled units
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
    bar: PartsBar | None = None,
) -> Way:
    """Follow a curve one way, from a point and in the direction of its tangent."""
    way = Way([first], [], "most points")
    ds = max_step / 4 if first_step is None else first_step
    signature = curve.signature(first)
    control = StepControl(curve, first, max_step)

    def allowed(a: Point, b: Point) -> bool:
        return (border is None or border.allowed(a, b)) and control.allowed(a, b)

    while len(way.points) < max_points:
        old = way.points[-1]
        new, used, ds = next_point(curve.equations, old, ds, SMALLEST, max_step, allowed)
        if new is None:
            way.end = "lost"
            break
        bound = 1.0 if new.u[-1] > 1 + 1e-12 else 0.0 if new.u[-1] < -1e-12 else None
        if bound is not None:
            landed = _land(curve, old, new, used, bound)
            if landed is None:  # it starts on the bound and leaves the range
                way.end = "upper bound" if bound else "lower bound"
                break
            new, used = landed
        after = curve.signature(new)
        if after == signature and control.hides(old, new, used, signature):
            ds = used / 2
            continue
        if after != signature:
            index = len(way.points) - 1
            met, verified = between(curve, old, new, used, signature, after, name)
            if not verified and used > UNVERIFIED:  # the step may have led to another branch
                ds = used / 4
                continue
            if not verified:
                way.end = "lost"
                break
            folds = ((s, _beyond(curve, point)) for s, point in met if point.kind == "fold")
            reach, beyond = next(((s, b) for s, b in folds if b is not None), (0.0, None))
            if beyond is not None:  # the curve left the range and came back within the step
                turn = curve.scale.join(*_place(met, reach))
                landed = _land(curve, old, dataclasses.replace(new, u=turn), reach, beyond)
                way.bifurcations += [(index + s / used, point) for s, point in met if s < reach]
                way.points += [] if landed is None else [landed[0]]
                way.end = "upper bound" if beyond else "lower bound"
                break
            way.bifurcations += [(index + s / used, point) for s, point in met]
        closed = closes(curve.equations, first, old, new) if len(way.points) > 2 else None
        way.points.append(new if closed is None else closed)
        control.accept()
        if bar is not None:
            bar.update(note=f"{name} = {curve.split(new.u)[1][0]:.4g}")
        signature = after
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
        if closed is not None:
            way.end = "closed"
            break
    return way


def announce_following(verb: str, curve: Curve, u: Array, max_step: float, max_points: int) -> None:
    """Say what following a curve through the whole range costs, from the time of one evaluation."""
    once = seconds_of(lambda: curve.signature(Point(u, np.ones(len(u)), curve.equations(u)[1], 0)), repeats=2)
    points = min(PATH / max_step, 2.0 * max_points)
    cheaper = "a longer max_step, narrower bounds or fewer max_points make it cheaper"
    announce(verb, EVALUATIONS * once * points, cheaper)


def _place(met: list[tuple[float, Bifurcation]], at: float) -> tuple[Array, Array]:
    """State and parameter of the bifurcation at one arclength."""
    point = next(point for s, point in met if s == at)
    return point.state, np.array([point.value])


def _beyond(curve: Curve, point: Bifurcation) -> float | None:
    """The bound (0 or 1, scaled) that a point lies beyond by more than `AT_END`, if it does."""
    share = float((point.value - curve.scale.low[0]) / curve.scale.width[0])
    return 1.0 if share > 1 + AT_END else 0.0 if share < -AT_END else None


def _land(curve: Curve, old: Point, new: Point, ds: float, bound: float) -> tuple[Point, float] | None:
    """The point at which the branch meets a bound between two of its points, and its arclength from the
    first; None if it is the first one itself, or is not found.
    """
    if abs(old.u[-1] - bound) <= 1e-13:
        return None
    share = float((bound - old.u[-1]) / (new.u[-1] - old.u[-1]))
    guess = old.u + share * (new.u - old.u)
    guess[-1] = bound
    across = np.zeros(len(guess))
    across[-1] = 1.0
    reach = max(2 * ds, 1e-9)
    # at the bound itself; where the branch turns there, in the plane across the chord
    for along in (across, old.tangent):
        point = correct(curve.equations, guess, along, reach)
        if point is not None and float(np.linalg.norm(point.u - guess)) <= reach:
            break
    else:
        return None
    u = point.u.copy()
    if abs(u[-1] - bound) > 1e-9:
        return None
    u[-1] = bound
    tangent = point.tangent if point.tangent @ old.tangent > 0 else -point.tangent
    return dataclasses.replace(point, u=u, tangent=tangent), share * ds


def _inside(curve: Curve, u: Array, region: Array | None) -> bool:
    x = curve.split(u)[0][: curve.field.system.dim]
    if region is None:
        return bool(np.abs(u[:-1]).max() < REACH)
    return bool(((x >= region[:, 0]) & (x <= region[:, 1])).all())


def follow_both(
    curve: Curve,
    first: Point,
    name: str,
    max_step: float,
    max_points: int,
    region: Array | None,
    border: Borders | None,
    bar: PartsBar | None = None,
) -> tuple[Way, Way]:
    """Follow a curve both ways; not the second way if the first one closes."""
    forward = follow(curve, first, name, max_step, max_points, region, border, bar=bar)
    if forward.end == "closed":
        return Way([first], [], "closed"), forward
    backward = dataclasses.replace(first, tangent=-first.tangent)
    return follow(curve, backward, name, max_step, max_points, region, border, bar=bar), forward

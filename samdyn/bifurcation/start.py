"""Where a branch starts: the checks of what a caller passes, and the start as a point of the curve."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import Point, correct, scaled_rows, tangent_of
from samdyn.bifurcation.bifurcations import Curve
from samdyn.numerics.scales import displacement_tolerance
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

START = 1e-4  # of the scale of the state: how far off a start may be


def check_start(system: System, x: Any, period: int | None) -> tuple[Array, int]:
    """The start as a state, and its period."""
    if not isinstance(system, Map | Flow):
        raise TypeError(f"system must be a Map or a Flow, got {system!r}")
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients to have fixed points, got {system!r}")
    own = getattr(x, "period", 1)
    period = own if period is None else checks.integer("period", period, at_least=1)
    if period > 1 and not isinstance(system, Map):
        raise ValueError("period must be 1 for a Flow: only maps have cycles of a given period")
    point = checks.array("x", x, finite=False)
    full = point.shape == (system.state_dim,)
    start = checks.points("x", point, system.state_dim if full else system.dim)
    if start.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {start.shape}")
    return start, period


def check_parameter(
    system: System, parameter: str, bounds: Sequence[float], name: str = "bounds"
) -> tuple[float, float]:
    """The range of a parameter that the system has and that is a number."""
    known = {k: v for k, v in system.parameters.items() if _is_number(v)}
    if not isinstance(parameter, str) or parameter not in system.parameters:
        raise ValueError(
            f"parameter must be one of the system's: {system!r} has no parameter {parameter!r}; "
            f"it has: {', '.join(known) or 'none'}"
        )
    if parameter not in known:
        value = system.parameters[parameter]
        raise ValueError(
            f"parameter must be one whose value is a number, got {parameter!r}, which is {value!r}"
        )
    try:
        low, high = bounds
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a pair (lower, upper), got {bounds!r}") from error
    low, high = checks.number(f"{name}[0]", low), checks.number(f"{name}[1]", high)
    if not low < high:
        raise ValueError(f"{name} must have lower < upper, got ({low:g}, {high:g})")
    for end in (low, high):
        system.with_parameters(**{parameter: end})  # raises with the parameter's own bounds
    return low, high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)


def region_of(system: System, box: Sequence[Sequence[float]] | None) -> Array | None:
    """The box to stay in: the given one, or the system's own with its width added on both sides."""
    if box is not None:
        return checks.box("box", box, system.dim)
    if system.box is None:
        return None
    width = system.box[:, 1] - system.box[:, 0]
    return np.stack([system.box[:, 0] - width, system.box[:, 1] + width], axis=1)


def scale_of(system: System, start: Array) -> float:
    """The length in which distances of a branch are measured: a quarter of the mean width of the box."""
    if system.box is not None:
        return 0.25 * float((system.box[:, 1] - system.box[:, 0]).mean())
    return max(1.0, float(np.abs(start).max()))


def is_critical(system: System, x: Array) -> bool:
    """Whether the gradient of the loss vanishes at x, to rounding."""
    loss = system.landscape
    assert loss is not None
    steepness = float(np.linalg.norm(loss.hessian(x)))
    tolerance = float(displacement_tolerance(loss.box, x, 1e-7))
    return float(np.linalg.norm(loss.gradient(x))) <= steepness * tolerance


def corrected_start(curve: Curve, start: Array, value: float, name: str) -> Point:
    """The start corrected at its own parameter value."""
    n = curve.field.n
    p = np.array([value])
    u = curve.scale.join(start, p)
    residual = curve.field.residual(start, p)[0]
    off = float(np.linalg.norm(residual))
    what = "|x' - x|" if curve.field.discrete else "|velocity|"
    period = curve.field.period
    if not np.isfinite(residual).all():
        raise ValueError(
            f"x must be a fixed point at {name} = {value:g}, got {start}, where {what} is {off:g}"
        )
    value_here, jacobian = scaled_rows(*curve.equations(u))
    singular = np.linalg.svd(jacobian, compute_uv=False)
    null = np.linalg.svd(jacobian)[2][-1]
    if float(np.linalg.norm(value_here)) <= 1e-9 and singular[-1] <= 1e-9 * max(1.0, singular[0]):
        raise ValueError(
            f"x must be an isolated fixed point that is no branch point, got {start} at {name} = {value:g}, "
            "where the Jacobian is singular: start beside it"
        )
    vertical = np.zeros(n + 1)
    vertical[-1] = 1.0
    # Newton at this parameter value; at a fold, where that is singular, across the branch
    found = correct(curve.equations, u, vertical, reach=1.0) or correct(curve.equations, u, null, reach=1.0)
    moved = np.inf if found is None else float(np.linalg.norm(found.u - u))
    if found is None or moved > START:
        nature = "a fixed point" if period == 1 else f"a point of a {period}-cycle"
        where = ""
        if found is not None:
            z = curve.split(found.u)[0]
            where = f"; the nearest that Newton finds is {z}, {np.linalg.norm(z - start):.3g} away"
        raise ValueError(
            f"x must be {nature} at {name} = {value:g}, got {start}, where {what} = {off:.3g}{where}"
        )
    orientation = tangent_of(found.jacobian, null if null[-1] >= 0 else -null)
    return dataclasses.replace(found, tangent=null if orientation is None else orientation)

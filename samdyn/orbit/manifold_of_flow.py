"""An arm of a stable or unstable manifold of a flow: one trajectory, with arclength as time.

Algorithm
---------
dx/ds = F/|F| is solved from beside the fixed point by an explicit Runge-Kutta method of order 8 with dense
output (relative tolerance 1e-10), backwards for the stable manifold. If that takes more than `EXPLICIT_CALLS`
evaluations, as along a valley whose floor is flat beside its walls, an implicit method goes on (Radau, order
5, same tolerance). Points are then laid on it: evenly, and halfway between neighbours where the curve turns
too much.

It stops at the length wanted, where it leaves the box, where the speed falls below 1e-7 of the largest so far
(or, under a rule that jumps, the gradient of the loss below 1e-7 of the largest: a critical point that
traps), or after `MOST_CALLS` evaluations of the implicit method, since a jump of another kind makes steps
shrink without end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.integrate import DOP853, OdeSolution, OdeSolver, Radau

from samdyn.arguments.checks import Array
from samdyn.orbit.curve_spacing import MOST_POINTS, Limits, wide
from samdyn.systems.flow import Flow
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

EXPLICIT_CALLS = 8_000  # several times what an arm takes whose rates are of like size
MOST_CALLS = 40_000  # ends an arm at a jump, where steps shrink without end; chosen
SLOWEST = 1e-7  # of the largest speed so far: a slower point is at rest to what the tolerance resolves
FLATTEST = 1e-7  # of the largest gradient so far: the same for a critical point that traps


def flow_arm(
    system: Flow, point: Array, seed: Array, sign: float, limits: Limits, report: Callable[[float], None]
) -> tuple[Array, str]:
    """Points of an arm from the fixed point outwards, and why it ends.

    Parameters
    ----------
    system : Flow
    point, seed : ndarray, shape (dim,)
        The fixed point, and the displacement from it at which the trajectory starts.
    sign : float
        1 to follow the field, -1 to follow it backwards.
    limits : Limits
    report : callable
        Called with the arclength that has been reached.
    """
    n = len(point)
    fastest, steepest, calls = 0.0, 0.0, 0
    form = numpy_form(traced_or_batched(system.point_function(), n))
    slope = None
    if system.landscape is not None and system.rule is not None and system.rule.jumps:
        slope = numpy_form(traced_or_batched(torch.func.grad(system.landscape.one_point), n))

    def size_of(function: Callable[..., Any], x: Array) -> tuple[Array, float]:
        value = np.concatenate([np.broadcast_to(v, 1) for v in function(*x[:, None])])
        return value, float(np.linalg.norm(value))

    def velocity(_: float, x: Array) -> Array:
        nonlocal fastest, calls
        field, speed = size_of(form, x)
        fastest, calls = max(fastest, speed), calls + 1
        return sign * field / (speed if speed > 0 else 1.0)

    def rests(x: Array) -> bool:
        nonlocal steepest
        if size_of(form, x)[1] <= SLOWEST * fastest:
            return True
        if slope is None:
            return False
        steepness = size_of(slope, x)[1]
        steepest = max(steepest, steepness)
        return steepness <= FLATTEST * steepest

    def solver_from(method: type[OdeSolver], s: float, x: Array) -> OdeSolver:
        return method(velocity, s, x, length, max_step=20 * limits.spacing, rtol=1e-10, atol=1e-12 * length)

    length = limits.length
    solver = solver_from(DOP853, 0.0, point + seed)
    times, pieces, end = [0.0], [], "length"
    with np.errstate(all="ignore"):
        while solver.status == "running":
            solver.step()
            if calls > EXPLICIT_CALLS and isinstance(solver, DOP853) and np.isfinite(solver.y).all():
                solver, calls = solver_from(Radau, solver.t, solver.y), 0
                continue
            if solver.status == "failed" or not np.isfinite(solver.y).all() or calls > MOST_CALLS:
                end = "jump"
                break
            times.append(solver.t)
            report(solver.t)
            pieces.append(solver.dense_output())
            if not limits.inside(solver.y):
                times[-1], end = _exit(pieces[-1], times[-2], times[-1], limits), "left the box"
                break
            if rests(solver.y):
                end = "fixed point"
                break
    if not pieces:
        return np.stack([point, point + seed]), end
    curve, final = OdeSolution(times, pieces), times[-1]
    s = np.linspace(0, final, max(3, int(np.ceil(final / limits.spacing)) + 1))
    for _ in range(12):
        x = curve(s).T
        coarse = wide(x, limits)
        if not coarse.any() or len(s) > MOST_POINTS:
            break
        s = np.sort(np.concatenate([s, (s[:-1] + s[1:])[coarse] / 2]))
    return np.concatenate([point[None], curve(s).T]), end


def _exit(piece: Callable[[float], Array], inside: float, outside: float, limits: Limits) -> float:
    """The arclength at which a piece of the curve leaves the box, by bisection; still inside."""
    for _ in range(50):
        middle = (inside + outside) / 2
        if limits.inside(piece(middle)):
            inside = middle
        else:
            outside = middle
    return inside

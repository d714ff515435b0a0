"""An arm of a stable or unstable manifold of a flow: one trajectory, with arclength as time.

Algorithm
---------
dx/ds = F/|F| is solved from beside the fixed point by an explicit Runge-Kutta method of order 8 with dense
output (relative tolerance 1e-10), backwards for the stable manifold. Points are then laid on it: evenly, and
halfway between neighbours where the curve turns too much.

It stops at the length wanted, where it leaves the box, where the speed falls below 1e-9 of the largest so far
(or, under a rule that jumps, the gradient of the loss below 1e-7 of the largest: a critical point that
traps), or after `MOST_CALLS` evaluations, since a jump of another kind makes steps shrink without end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp

from samdyn.compute.checks import Array
from samdyn.compute.printing import numpy_form
from samdyn.compute.tracing import traced_or_batched
from samdyn.local.curve_spacing import MOST_POINTS, Limits, wide
from samdyn.systems.flow import Flow

MOST_CALLS = 40_000


def flow_arm(system: Flow, point: Array, seed: Array, sign: float, limits: Limits) -> tuple[Array, str]:
    """Points of an arm from the fixed point outwards, and why it ends.

    Parameters
    ----------
    system : Flow
    point, seed : ndarray, shape (dim,)
        The fixed point, and the displacement from it at which the trajectory starts.
    sign : float
        1 to follow the field, -1 to follow it backwards.
    limits : Limits
    """
    n = len(point)
    form = numpy_form(traced_or_batched(system.point_function(), n))
    slope = None
    if system.landscape is not None and system.rule is not None and system.rule.jumps:
        slope = numpy_form(traced_or_batched(torch.func.grad(system.landscape.one_point), n))
    fastest, steepest, calls = 0.0, 0.0, 0

    def size_of(function: Callable[..., Any], x: Array) -> tuple[Array, float]:
        value = np.concatenate([np.broadcast_to(v, 1) for v in function(*x[:, None])])
        return value, float(np.linalg.norm(value))

    def velocity(_: float, x: Array) -> Array:
        nonlocal fastest, calls
        field, speed = size_of(form, x)
        fastest, calls = max(fastest, speed), calls + 1
        return sign * field / (speed if speed > 0 else 1.0)

    def rests(_: float, x: Array) -> float:
        """Falls through zero at a fixed point, of which a critical point under a rule that jumps is one."""
        nonlocal steepest
        still = size_of(form, x)[1] - 1e-9 * fastest
        if slope is None:
            return still
        steepness = size_of(slope, x)[1]
        steepest = max(steepest, steepness)
        return min(still, steepness - 1e-7 * steepest)

    def leaves(_: float, x: Array) -> float:
        if limits.region is None:
            return 1.0
        return float(np.minimum(x - limits.region[:, 0], limits.region[:, 1] - x).min())

    def tires(_: float, x: Array) -> float:
        return float(MOST_CALLS - calls)

    for event, direction in ((rests, -1), (leaves, -1), (tires, -1)):
        event.terminal, event.direction = True, direction  # type: ignore[attr-defined]
    with np.errstate(all="ignore"):
        path = solve_ivp(
            velocity,
            (0.0, limits.length),
            point + seed,
            method="DOP853",
            rtol=1e-10,
            atol=1e-12 * limits.length,
            dense_output=True,
            events=(rests, leaves, tires),
            max_step=20 * limits.spacing,
        )
    end = "length" if path.status == 0 else "jump"
    if path.status == 1:
        end = ["fixed point", "left the box", "jump"][[len(t) > 0 for t in path.t_events].index(True)]
    final = float(path.t[-1])
    s = np.linspace(0, final, max(3, int(np.ceil(final / limits.spacing)) + 1))
    for _ in range(12):
        x = path.sol(s).T
        coarse = wide(x, limits)
        if not coarse.any() or len(s) > MOST_POINTS:
            break
        s = np.sort(np.concatenate([s, (s[:-1] + s[1:])[coarse] / 2]))
    return np.concatenate([point[None], path.sol(s).T]), end

"""Trajectories of the flow of a loss with kinks: abs(w), maximum, relu, whose gradient jumps on surfaces.

On such a surface Filippov's solution slides, with the combination of the two fields that is tangent to
it. Here the sliding motion is the limit of small steps: a path that crosses a kink takes explicit steps
of a `FLOOR`-th of the storage step, which jump to and fro across the surface, at most (speed times step)
from it, and whose mean is the sliding velocity to first order in the step. Elsewhere the steps are those
of the linearly implicit method of `samdyn.dynamics.rosenbrock`, with error control.

Which losses have kinks is read off the traced gradient: a sign, a comparison or a choice between two
branches. A false alarm (a choice whose branches meet smoothly) costs accuracy, relative 1e-6 for 1e-9,
and nothing else.

References
----------
Filippov, Differential Equations with Discontinuous Righthand Sides (1988), section 8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from samdyn.arguments.checks import Array
from samdyn.dynamics.adaptive_steps import follow
from samdyn.dynamics.rosenbrock import AcrossJumps, stacked_form
from samdyn.jobs.progress import PartsBar
from samdyn.landscapes.landscape import Landscape
from samdyn.systems.flow import Flow
from samdyn.trace.tracing import NotTraceable, coordinate_form

FLOOR = 16
LARGEST_TRACED_DIM = 64  # above it the graph is too long to read
JUMPS = frozenset({"sign", "le", "lt", "ge", "gt", "eq", "ne", "where", "heaviside"})


def has_kinks(loss: Landscape) -> bool:
    """Whether the gradient of a loss, as traced, has a jump in it; False where it cannot be traced.

    Examples
    --------
    >>> import samdyn as sd
    >>> has_kinks(sd.Landscape(lambda w: w[0].abs() + w[1]**2, 2)), has_kinks(sd.landscapes.beale())
    (True, False)
    """
    return bool(kinks_of(loss))


def kinks_of(loss: Landscape) -> bool | None:
    """The same, and None where it is not known: the gradient cannot be traced, or has too many coordinates.

    Examples
    --------
    >>> import samdyn as sd
    >>> kinks_of(sd.Landscape(lambda w: w.sort().values[0], 2)) is None
    True
    """
    if loss.dim > LARGEST_TRACED_DIM:
        return None
    try:
        module: Any = coordinate_form(torch.func.grad(loss.one_point), loss.dim)
    except NotTraceable:
        return None
    return any(getattr(node.target, "__name__", "") in JUMPS for node in module.graph.nodes)


def kinked_flow(system: Flow, x: Array, times: Array, bar: PartsBar | None = None) -> Array:
    """Paths (m, n, dim) of the flow of a loss with kinks from x (n, dim), at increasing times (m,) from 0.

    A path that diverges is nan from then on.
    """
    function = system.point_function()
    field, jacobian = (
        stacked_form(function, system.dim),
        stacked_form(torch.func.jacrev(function), system.dim),
    )
    stored = np.empty((len(times), *x.shape))
    stored[0] = current = np.array(x)
    h = np.full(len(x), (times[1] - times[0]) / FLOOR)
    with np.errstate(all="ignore"):
        for k in range(1, len(times)):
            interval = times[k] - times[k - 1]
            at = np.flatnonzero(np.isfinite(current).all(axis=1))
            formula = AcrossJumps(field, jacobian, interval / FLOOR)
            y, first = np.ascontiguousarray(current[at].T), np.minimum(h[at], interval)
            followed = follow(formula, y, interval, first)
            current[at], h[at] = followed.x.T, followed.length
            stored[k] = current
            if bar is not None:
                bar.update()
    return stored

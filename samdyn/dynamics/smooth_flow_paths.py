"""Paths of smooth flows, by solvers of libraries, with an error control of their own.

Algorithm
---------
1. Up to `FEW_PATHS` paths go one by one, by Dormand & Prince's method of order 8(5,3) (scipy); more of them
   all at once, by their method of order 5(4) (torchdiffeq). Tolerances: relative 1e-9, absolute 1e-11.
2. If one needs too many evaluations (`EVALUATIONS`, `MAX_STEPS`) or is not finite, it is stiff or runs to
   infinity in finite time: each is then followed by Radau's implicit method (scipy), and is inf from where
   its relative speed away from the origin exceeds `BLOW_UP`, or that method fails.

References
----------
Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I (1993), II.5; Hairer & Wanner, II (1996),
IV.8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.jobs.progress import PartsBar
from samdyn.systems.flow import Flow
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

RELATIVE = 1e-9  # local error of a smooth flow's steps
ABSOLUTE = 1e-11  # the same near 0
BLOW_UP = 1e8  # relative speed away from the origin at which a path is taken to be lost
MAX_STEPS = 20_000  # of the explicit solver between two stored points
FEW_PATHS = 8  # up to so many, one at a time costs less than torch's steps of all
EVALUATIONS = 12 * 2_000  # for each stored interval: of order 8, whose steps are some ten times as long


Velocity = Callable[[float, Array], Array]


def smooth_flow(system: Flow, x: Array, times: Array, progress: bool = False) -> Array:
    """Points of paths at some times.

    Parameters
    ----------
    system : Flow
        Whose field does not jump.
    x : ndarray, shape (n, dim)
    times : ndarray, shape (n_times,)
        Increasing, from 0.
    progress : bool
        Show a bar.

    Returns
    -------
    ndarray, shape (n_times, n, dim)

    Examples
    --------
    >>> import samdyn as sd
    >>> decay = sd.Flow(sd.landscapes.quadratic([[1.0]]), sd.GD())
    >>> smooth_flow(decay, np.ones((1, 1)), np.array([0.0, 1.0]))[-1].round(6)
    array([[0.367879]])
    """
    if len(x) == 0:
        return np.empty((len(times), *x.shape))
    velocity = _velocity(system)
    if len(x) > FEW_PATHS:
        with PartsBar(progress, "trajectory", times[-1], "time") as bar:
            explicit = _many_paths(velocity, x, times, bar)
    else:
        with PartsBar(progress, "trajectory", len(x), "path") as bar:
            explicit = _few_paths(velocity, x, times, bar)
    if explicit is not None:
        return explicit
    with PartsBar(progress, "trajectory", len(x), "path") as bar:
        return _implicit(velocity, x, times, bar)


def _few_paths(velocity: Velocity, x: Array, times: Array, bar: PartsBar) -> Array | None:
    """One by one, or None if one needs too many evaluations or is not finite."""
    most = EVALUATIONS * max(1, len(times) - 1)
    left, stored = most, np.empty((len(times), *x.shape))

    def counted(t: float, y: Array) -> Array:
        nonlocal left
        left -= 1
        if left < 0:
            raise _TooMany
        return velocity(t, y)

    with np.errstate(all="ignore"):
        for i, point in enumerate(x):
            left = most
            try:
                path = _solved(counted, point, times, "DOP853")
            except (_TooMany, ValueError):  # a ValueError where the field is not finite
                return None
            if path.status != 0 or path.y.shape[1] != len(times) or not np.isfinite(path.y).all():
                return None
            stored[:, i] = path.y.T
            bar.update()
    return stored


def _solved(velocity: Velocity, point: Array, times: Array, method: str, **options: Any) -> Any:
    """One path by a method of scipy."""
    return solve_ivp(
        velocity,
        (0.0, times[-1]),
        point,
        method=method,
        t_eval=times,
        rtol=RELATIVE,
        atol=ABSOLUTE,
        **options,
    )


class _TooMany(Exception):
    """A path needs more evaluations than an explicit method should."""


def _many_paths(velocity: Velocity, x: Array, times: Array, bar: PartsBar) -> Array | None:
    """All at once, or None if one needs too many steps or is not finite."""
    from torchdiffeq import odeint

    start, reached = torch.from_numpy(np.array(x)), 0.0

    def field(t: Tensor, y: Tensor) -> Tensor:
        nonlocal reached
        if t > reached:
            bar.update(float(t) - reached)
            reached = float(t)
        return torch.from_numpy(velocity(0.0, y.numpy().T).T)

    try:
        with torch.no_grad(), np.errstate(all="ignore"):
            path: Tensor = odeint(
                field,
                start,
                torch.from_numpy(times),
                rtol=RELATIVE,
                atol=ABSOLUTE,
                method="dopri5",
                options={"max_num_steps": MAX_STEPS},
            )
        if bool(path.isfinite().all()):
            result: Array = path.numpy()
            return result
    except AssertionError:  # the step underflowed, or there were too many
        pass
    return None


def _velocity(system: Flow) -> Velocity:
    """The field at a point (dim,), or at points (dim, n), by its printed form."""
    one = numpy_form(traced_or_batched(system.point_function(), system.dim))

    def velocity(_: float, y: Array) -> Array:
        points = y.reshape(system.dim, -1)
        return np.stack([np.broadcast_to(v, points.shape[1]) for v in one(*points)]).reshape(y.shape)

    return velocity


def _implicit(velocity: Velocity, x: Array, times: Array, bar: PartsBar) -> Array:
    """One by one, by Radau's method; inf from where a path runs to infinity."""

    def explodes(t: float, y: Array) -> float:
        return float(y @ velocity(t, y) / (1 + y @ y)) - BLOW_UP

    explodes.terminal = True  # type: ignore[attr-defined]
    stored = np.full((len(times), *x.shape), np.inf)
    with np.errstate(all="ignore"):
        for i, point in enumerate(x):
            if np.isfinite(velocity(0.0, point)).all():
                one_path = _solved(velocity, point, times, "Radau", events=explodes)
                stored[: one_path.y.shape[1], i] = one_path.y.T
            else:
                stored[0, i] = point
            bar.update()
    return stored

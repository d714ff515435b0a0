"""Trajectories of the flow of a normalised rule, whose field jumps where the gradient vanishes.

Away from critical points the field is smooth but stiff: in a narrow valley the direction g/|g| turns around
within a layer much thinner than the valley. At critical points it jumps, and the flow reaches them in
finite time.

Algorithm
---------
1. The linearly implicit Rosenbrock method of order 2(3) (ode23s), L-stable, with a step of its own for each
   path; relative tolerance 1e-6, absolute tolerance 1e-9. Jacobians are exact and include the derivative of
   g/|g|.
2. A step in which the gradient turns around (g(x) . g(x') < 0) may have run over a critical point. If
   Newton's method finds one within the step's length (or `NEAR` times the perturbation's length), and the
   field points inwards on all sides of it, the path is held there: that is the Filippov solution, of which
   such a point is an equilibrium. The time of arrival is resolved to the step.
3. On a valley of critical points (Hessian of rank one) the path slides: its velocity is the combination of
   the fields on the two sides that lies along the valley. One midpoint step per storage step, followed by a
   return to the valley.
4. A path that has not got through a storage step after `PATIENCE` steps, at a jump of another kind (a kink
   of the loss), takes steps of a `FLOOR`-th of it, whatever their error, so that no path grinds to a halt.

References
----------
Shampine & Reichelt, The MATLAB ODE suite, SIAM J. Sci. Comput. 18 (1997) 1-22. Filippov, Differential
Equations with Discontinuous Righthand Sides (1988).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.jobs.progress import PartsBar
from samdyn.landscapes.landscape import hessian_of
from samdyn.systems.flow import Flow
from samdyn.systems.jump import attracts, descent_beside, jump_length
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

RELATIVE = 1e-6  # local error of a step of a rule that jumps, whose method has order 2
ABSOLUTE = 1e-9  # the same near 0
FLOOR = 20
PATIENCE = 2000
NEAR = 2e-4  # of the perturbation's length
SHORTEST = 1e-12  # of the storage step; a path that needs less has diverged
D = 1 / (2 + 2**0.5)
E32 = 6 + 2**0.5

OfPoints = Callable[[Array], Array]


def jumping_flow(system: Flow, x: Array, times: Array, bar: PartsBar | None = None) -> Array:
    """Paths of a flow that jumps.

    Parameters
    ----------
    system : Flow
        Made from a loss and a rule.
    x : ndarray, shape (n, dim)
        Starts.
    times : ndarray, shape (m,)
        Increasing, from 0.

    Returns
    -------
    ndarray, shape (m, n, dim)
        A path that diverges is nan from then on.
    """
    assert system.landscape is not None and system.rule is not None
    loss, dim = system.landscape.one_point, system.dim
    function = system.point_function()
    field, gradient = _stacked(function, dim), _stacked(torch.func.grad(loss), dim)
    hessian, jacobian = _stacked(hessian_of(loss), dim), _stacked(torch.func.jacrev(function), dim)
    stored = np.empty((len(times), *x.shape))
    stored[0] = current = np.array(x)
    moving, sliding = np.ones(len(x), dtype=bool), np.zeros(len(x), dtype=bool)
    # closer than this the direction g/|g| spins faster than the path advances
    near = NEAR * jump_length(system.rule)
    h = np.full(len(x), (times[1] - times[0]) / FLOOR)
    with np.errstate(all="ignore"):
        for k in range(1, len(times)):
            interval = times[k] - times[k - 1]
            for i in np.flatnonzero(sliding):
                current[i] = slide(system, current[i], interval)
            left = np.where(moving & ~sliding, interval, 0.0)
            rounds = 0
            while (left > 0).any():
                rounds += 1
                at = np.flatnonzero(left > 0)
                y, step = current[at], np.minimum(h[at], left[at])
                new, speed, error = _rosenbrock(field, jacobian, y, step)
                turned = np.einsum("ni,ni->n", gradient(y), gradient(new)) < 0
                good = error <= 1
                if rounds > PATIENCE:  # a jump of another kind: go over it in steps of fixed size
                    good |= np.isfinite(new).all(axis=1)
                    h[at] = step = np.minimum(interval / FLOOR, left[at])
                    new = _rosenbrock(field, jacobian, y, step)[0]
                candidates = np.flatnonzero(turned | (step <= 1e-3 * interval))
                if len(candidates):
                    reach = np.maximum(2 * step[candidates] * speed[candidates], near)
                    z, held, valley = trapped(system, gradient, hessian, y[candidates], reach)
                    there = candidates[held]
                    new[there], good[there] = z[held], True
                    moving[at[there[~valley[held]]]] = False
                    sliding[at[there[valley[held]]]] = True
                left[at[good]] -= step[good]
                current[at[good]] = new[good]
                grow = np.clip(0.8 * np.maximum(error, 1e-12) ** (-1 / 3), 0.2, 5.0)
                wanted = np.where(np.isfinite(grow), step * grow, 0.2 * step)
                # a step cut short by the end of the interval says nothing against the longer one
                h[at] = np.where(good & (step < h[at]), np.maximum(wanted, h[at]), wanted)
                h[at] = np.minimum(h[at], interval)
                lost = h[at] < SHORTEST * interval
                current[at[lost]], moving[at[lost]] = np.nan, False
                left[(left < 1e-12 * interval) | ~moving | sliding] = 0.0
            stored[k] = current
            if bar is not None:
                bar.update()
    return stored


def _tolerance(y: Array, new: Array) -> Array:
    """The error of a step that is allowed, from its ends (n, dim)."""
    return np.asarray(ABSOLUTE + RELATIVE * np.maximum(np.abs(y), np.abs(new)))


def _rosenbrock(
    field: OfPoints,
    jacobian: OfPoints,
    y: Array,
    step: Array,
    allowed: Callable[[Array, Array], Array] = _tolerance,
) -> tuple[Array, Array, Array]:
    """One step of ode23s: the new points, the largest stage speed, and the error over the tolerance."""
    n, dim = y.shape
    h = step[:, None]
    matrix = np.eye(dim) - D * h[:, :, None] * jacobian(y).reshape(n, dim, dim)
    usable = np.isfinite(matrix).all(axis=(1, 2))
    matrix[~usable] = np.eye(dim)
    inverse = np.linalg.inv(matrix)

    def solve(v: Array) -> Array:
        return np.einsum("nij,nj->ni", inverse, v)

    f0 = field(y)
    k1 = solve(f0)
    f1 = field(y + h / 2 * k1)
    k2 = solve(f1 - k1) + k1
    new = y + h * k2
    f2 = field(new)
    k3 = solve(f2 - E32 * (k2 - f1) - 2 * (k1 - f0))
    error = np.abs(h / 6 * (k1 - 2 * k2 + k3)) / allowed(y, new)
    speed = np.linalg.norm(np.stack([f0, f1, f2]), axis=-1).max(axis=0)
    worst = error.max(axis=1)
    return new, speed, np.where(usable & np.isfinite(worst), worst, np.inf)


def _stacked(function: Callable[[Tensor], Tensor], dim: int) -> Callable[[Array], Array]:
    """A one-point torch function as numpy (n, dim) -> (n, size of the output)."""
    form = numpy_form(traced_or_batched(function, dim))
    return lambda y: np.stack([np.broadcast_to(v, len(y)) for v in form(*np.ascontiguousarray(y.T))], axis=1)


def trapped(
    system: Flow, gradient: OfPoints, hessian: OfPoints, y: Array, reach: Array
) -> tuple[Array, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Critical points next to `y`: where, whether they hold the path, and whether on a valley.

    Those within `reach` count that attract the flow, or that lie on a valley with the field pointing
    inwards on both sides (degenerate points of another kind hold the path as well).
    """
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    n, dim = y.shape
    z = y.copy()
    near = np.ones(n, dtype=bool)
    valley = np.zeros(n, dtype=bool)
    for _ in range(8):
        curvature = np.linalg.pinv(hessian(z[near]).reshape(-1, dim, dim), rcond=1e-6)
        z[near] -= np.einsum("nij,nj->ni", curvature, gradient(z[near]))
        near &= np.linalg.norm(z - y, axis=1) <= reach
        if not near.any():
            return z, near, valley
    at_z = hessian(z).reshape(-1, dim, dim)
    near &= np.linalg.norm(gradient(z), axis=1) <= 1e-9 * np.linalg.norm(at_z, axis=(1, 2))
    held = np.zeros(n, dtype=bool)
    for i in np.flatnonzero(near):
        held[i] = attracts(loss, rule, z[i], system.form)
        valley[i] = _normal_of_valley(at_z[i]) is not None
    return z, held, valley


def _normal_of_valley(hessian: Array) -> Array | None:
    """The unit normal where the Hessian has rank one (a valley or ridge of codimension one), else None."""
    eigenvalues, vectors = np.linalg.eigh(hessian)
    order = np.argsort(-np.abs(eigenvalues))
    if len(order) < 2 or abs(eigenvalues[order[1]]) > 1e-6 * abs(eigenvalues[order[0]]):
        return None
    normal: Array = vectors[:, order[0]]
    return normal


def slide(system: Flow, z: Array, time: float) -> Array:
    """Slide along a valley for a time: Filippov's velocity, the midpoint rule, and a return to the valley."""
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None

    def velocity(point: Array) -> Array:
        normal = _normal_of_valley(loss.hessian(point))
        if normal is None:
            return np.zeros_like(point)
        above, below = -descent_beside(loss, rule, point, np.stack([normal, -normal]))
        across = (below - above) @ normal
        if across == 0:
            return np.zeros_like(point)
        mixed: Array = (above * (below @ normal) - below * (above @ normal)) / across
        return mixed

    def onto_valley(point: Array) -> Array:
        for _ in range(3):
            curvature = np.linalg.pinv(loss.hessian(point), rcond=1e-6, hermitian=True)
            point = point - curvature @ loss.gradient(point)
        return point

    middle = onto_valley(z + time / 2 * velocity(z))
    return onto_valley(z + time * velocity(middle))

"""Trajectories of the flow of a normalised rule, whose field jumps where the gradient vanishes.

Away from critical points the field is smooth but stiff: in a narrow valley the direction g/|g| turns around
within a layer much thinner than the valley. At critical points it jumps, and the flow reaches them in
finite time.

Algorithm
---------
1. The linearly implicit Rosenbrock method of order 2(3) (`samdyn.dynamics.rosenbrock`), with a step of its
   own for each path (`samdyn.dynamics.adaptive_steps`); relative tolerance 1e-6, absolute tolerance 1e-9.
   Jacobians include the derivative of g/|g|.
2. A step in which the gradient turns around (g(x) . g(x') < 0) may have run over a critical point. If
   Newton's method finds one within the step's length (or `NEAR` times the perturbation's length), and the
   field points inwards on all sides of it, the path is held there: that is the Filippov solution, of which
   such a point is an equilibrium. The time of arrival is resolved to the step.
3. On a valley of critical points (Hessian of rank one) the path slides: its velocity is the combination of
   the fields on the two sides that lies along the valley. One midpoint step per storage step, followed by a
   return to the valley.
4. A path that has not got through a storage step after `PATIENCE` steps, at a jump of another kind (a kink
   of the loss), takes steps of a `FLOOR`-th of it, whatever their error, so that no path grinds to a halt.
   One whose field is not finite there is lost.

References
----------
Filippov, Differential Equations with Discontinuous Righthand Sides (1988).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from samdyn.arguments.checks import Array
from samdyn.dynamics.adaptive_steps import ARRIVED, Attempt, follow
from samdyn.dynamics.rosenbrock import OfPoints, Rosenbrock, stacked_form
from samdyn.jobs.progress import PartsBar
from samdyn.landscapes.landscape import hessian_of
from samdyn.systems.flow import Flow
from samdyn.systems.jump import attracts, descent_beside, jump_length

HELD, ON_VALLEY = 3, 4  # what has become of a path: at a critical point for good, or sliding along a valley
FLOOR = 20
PATIENCE = 2000
NEAR = 2e-4  # of the perturbation's length
SHORTEST = 1e-12  # of the storage step; a path that needs less has diverged


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
    gradient, hessian = stacked_form(torch.func.grad(loss), dim), stacked_form(hessian_of(loss), dim)
    function = system.point_function()
    field, jacobian = stacked_form(function, dim), stacked_form(torch.func.jacrev(function), dim)
    stored = np.empty((len(times), *x.shape))
    stored[0] = current = np.array(x)
    status = np.full(len(x), ARRIVED)
    h = np.full(len(x), (times[1] - times[0]) / FLOOR)
    with np.errstate(all="ignore"):
        for k in range(1, len(times)):
            interval = times[k] - times[k - 1]
            for i in np.flatnonzero(status == ON_VALLEY):
                current[i] = slide(system, current[i], interval)
            at = np.flatnonzero(status == ARRIVED)
            formula = _ToTraps(system, field, jacobian, gradient, hessian, interval)
            y, first = np.ascontiguousarray(current[at].T), np.minimum(h[at], interval)
            followed = follow(formula, y, interval, first, shortest=SHORTEST * interval)
            current[at], h[at], status[at] = followed.x.T, followed.length, followed.status
            stored[k] = current
            if bar is not None:
                bar.update()
    return stored


class _ToTraps(Rosenbrock):
    """Steps of a storage interval, that end at critical points which hold a path."""

    def __init__(
        self,
        system: Flow,
        field: OfPoints,
        jacobian: OfPoints,
        gradient: OfPoints,
        hessian: OfPoints,
        interval: float,
    ) -> None:
        super().__init__(field, jacobian)
        assert system.rule is not None
        self.system, self.gradient, self.hessian, self.interval = system, gradient, hessian, interval
        # closer than this the direction g/|g| spins faster than the path advances
        self.near = NEAR * jump_length(system.rule)

    def floor(self, x: Array, carried: Array, tries: int) -> float | Array:
        """At a jump of another kind (a kink of the loss) paths go on in steps of a fixed size."""
        return self.interval / FLOOR if tries > PATIENCE else 0.0

    def step(self, x: Array, carried: Array, length: Array) -> Attempt:
        """A step of ode23s, or to the critical point that it would run over."""
        new, ahead, error, speed = self.stages(x, carried, length)
        y, end = np.ascontiguousarray(x.T), np.ascontiguousarray(new.T)
        turned = np.einsum("ni,ni->n", self.gradient(y), self.gradient(end)) < 0
        candidates = np.flatnonzero(turned | (length <= 1e-3 * self.interval))
        if not len(candidates):
            return Attempt(new, ahead, error)
        stopped = np.zeros(len(length), dtype=np.int64)
        reach = np.maximum(2 * length[candidates] * speed[candidates], self.near)
        z, held, valley = trapped(self.system, self.gradient, self.hessian, y[candidates], reach)
        there = candidates[held]
        new[:, there], error[there] = z[held].T, 0.0
        stopped[there] = np.where(valley[held], ON_VALLEY, HELD)
        return Attempt(new, ahead, error, stopped)


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

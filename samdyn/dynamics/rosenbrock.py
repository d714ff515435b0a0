"""Steps of a stiff flow: Rosenbrock's linearly implicit method of order 2(3), also across jumps of the field.

Accuracy: Jacobians are exact. The error of a step is estimated by the method of order 3 that shares its
stages.

Where the field jumps no step size meets the tolerance. `AcrossJumps` cuts no step below a floor, and a path
that is there takes a step of Euler's, since a Jacobian is no guide across a jump. Such steps go to and fro
across the surface of the jump, at most (speed times step) from it, and their mean is Filippov's sliding
velocity to first order in the step.

References
----------
Shampine & Reichelt, The MATLAB ODE suite, SIAM J. Sci. Comput. 18 (1997) 1-22: ode23s. Filippov,
Differential Equations with Discontinuous Righthand Sides (1988), section 8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.adaptive_steps import Attempt, StepFormula
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

D = 1 / (2 + 2**0.5)  # of ode23s: with it the method is L-stable
E32 = 6 + 2**0.5  # its third stage's weight
RELATIVE, ABSOLUTE = 1e-6, 1e-9  # the error of a step; few digits, since at jumps they are lost

OfPoints = Callable[[Array], Array]
Allowed = Callable[[Array, Array], Array]


def stacked_form(function: Callable[[Tensor], Tensor], dim: int) -> OfPoints:
    """A one-point torch function as numpy (n, dim) -> (n, size of the output).

    Examples
    --------
    >>> stacked_form(lambda w: w * w, 2)(np.array([[1.0, 2.0]]))
    array([[1., 4.]])
    """
    form = numpy_form(traced_or_batched(function, dim))
    return lambda y: np.stack([np.broadcast_to(v, len(y)) for v in form(*np.ascontiguousarray(y.T))], axis=1)


def usual_error(x: Array, new: Array) -> Array:
    """The error of a step that is allowed, from its two ends (dim, n)."""
    return np.asarray(ABSOLUTE + RELATIVE * np.maximum(np.abs(x), np.abs(new)))


class Rosenbrock(StepFormula):
    """A field and its Jacobian.

    Parameters
    ----------
    field, jacobian : callable
        Points (n, dim) to velocities (n, dim) and to Jacobians (n, dim * dim).
    allowed : callable
        The error of a step that is allowed, from its two ends (dim, n).

    Examples
    --------
    >>> from samdyn.dynamics.adaptive_steps import follow
    >>> stiff = Rosenbrock(lambda x: -1e6 * (x - 1), lambda x: np.full((len(x), 1), -1e6))
    >>> follow(stiff, np.zeros((1, 1)), 1.0, np.array([1e-6])).x.round(6)
    array([[1.]])
    """

    order, safety, least_error = 3, 0.8, 1e-12

    def __init__(self, field: OfPoints, jacobian: OfPoints, allowed: Allowed = usual_error) -> None:
        self.field, self.jacobian, self.allowed = field, jacobian, allowed

    def begin(self, x: Array) -> Array:
        """The field."""
        return np.ascontiguousarray(self.field(np.ascontiguousarray(x.T)).T)

    def step(self, x: Array, carried: Array, length: Array) -> Attempt:
        """One step of ode23s; the field at its end is the next step's first stage."""
        new, f2, error, _ = self.stages(x, carried, length)
        return Attempt(new, f2, error)

    def stages(self, x: Array, first: Array, length: Array) -> tuple[Array, Array, Array, Array]:
        """The new points and the field there (dim, n), the error, and the largest speed of a stage (n,)."""
        y, f0 = np.ascontiguousarray(x.T), np.ascontiguousarray(first.T)
        n, dim = y.shape
        h = length[:, None]
        matrix = np.eye(dim) - D * h[:, :, None] * self.jacobian(y).reshape(n, dim, dim)
        usable = np.isfinite(matrix).all(axis=(1, 2))
        matrix[~usable] = np.eye(dim)
        inverse = np.linalg.inv(matrix)

        def solve(v: Array) -> Array:
            return np.einsum("nij,nj->ni", inverse, v)

        k1 = solve(f0)
        f1 = self.field(y + h / 2 * k1)
        k2 = solve(f1 - k1) + k1
        end = y + h * k2
        f2 = self.field(end)
        k3 = solve(f2 - E32 * (k2 - f1) - 2 * (k1 - f0))
        new = np.ascontiguousarray(end.T)
        error = (np.abs(h / 6 * (k1 - 2 * k2 + k3)).T / self.allowed(x, new)).max(axis=0)
        speed = np.linalg.norm(np.stack([f0, f1, f2]), axis=-1).max(axis=0)
        return new, np.ascontiguousarray(f2.T), np.where(usable & np.isfinite(error), error, np.inf), speed


class AcrossJumps(Rosenbrock):
    """A field that jumps on surfaces.

    Parameters
    ----------
    field, jacobian, allowed
        As in `Rosenbrock`.
    least : float
        Steps are not cut below it,
    farthest : float
        nor below what takes a path so far, where that is less.
    """

    def __init__(
        self,
        field: OfPoints,
        jacobian: OfPoints,
        least: float,
        farthest: float = np.inf,
        allowed: Allowed = usual_error,
    ) -> None:
        super().__init__(field, jacobian, allowed)
        self.least, self.farthest = least, farthest

    def floor(self, x: Array, carried: Array, tries: int) -> float | Array:
        """The shortest step (n,)."""
        if np.isinf(self.farthest):
            return self.least
        speed = np.linalg.norm(carried, axis=0)
        return np.minimum(self.least, self.farthest / np.fmax(speed, 1e-300))  # where it is nan, `least`

    def cross(self, x: Array, carried: Array, length: Array, tried: Attempt) -> Attempt:
        """Steps of Euler's."""
        new = x + length * carried
        return Attempt(new, self.begin(new), tried.error)

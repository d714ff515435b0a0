"""The field of an action: the drift and the inverse covariance of the noise, with their derivatives.

Derivatives of the drift are exact: in up to `LARGEST_TRACED_DIM` dimensions its Jacobian, written out as
numpy code (`samdyn.equilibria.newton.value_and_jacobian`), above it products with vectors from the left.
Derivatives of a covariance that depends on the point are central differences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.newton import LARGEST_TRACED_DIM, Evaluation, value_and_jacobian
from samdyn.systems.flow import Flow
from samdyn.systems.noise import GaussianNoise

STEP = 1e-6  # of the length unit: of differences of the covariance

Slopes = Callable[[Array, Array], Array]


class ActionField:
    """Drift and inverse covariance of a Diffusion, or of a Flow with the identity as noise.

    Parameters
    ----------
    system : Diffusion or Flow
    length : float
        The length unit of differences of the covariance.
    """

    def __init__(self, system: Any, length: float) -> None:
        self.system, self.dim, self.step = system, int(system.dim), STEP * length
        self._both: Evaluation | None = None
        if self.dim <= LARGEST_TRACED_DIM:
            self._both = value_and_jacobian(system.point_function(), self.dim)
        self._constant = self._inverse(np.zeros((1, self.dim)))[0] if _has_constant_noise(system) else None

    def drift(self, x: Array) -> Array:
        """The drift at points (n, dim)."""
        return np.asarray(self.system.evaluate(x) if self._both is None else self._both(x)[0])

    def jacobian(self, x: Array) -> Array:
        """The Jacobian of the drift at points (n, dim)."""
        return np.asarray(self.system.jacobian(x) if self._both is None else self._both(x)[1])

    def both(self, x: Array) -> tuple[Array, Array]:
        """The drift and its Jacobian at points (n, dim)."""
        return (self.drift(x), self.jacobian(x)) if self._both is None else self._both(x)

    def inverse(self, x: Array) -> Array:
        """The inverse covariance at points (n, dim): shape (n, dim, dim)."""
        if self._constant is not None:
            return np.broadcast_to(self._constant, (len(x), self.dim, self.dim))
        return self._inverse(x)

    def _inverse(self, x: Array) -> Array:
        if isinstance(self.system, Flow):
            return np.broadcast_to(np.eye(self.dim), (len(x), self.dim, self.dim))
        try:
            return np.linalg.inv(self.system.covariance(x))
        except np.linalg.LinAlgError:
            raise ValueError("system must have noise in every direction along the path") from None

    def with_slopes(self, x: Array) -> tuple[Array, Array, Slopes]:
        """Drift and inverse covariance at points (n, dim), and the derivatives of sums of them.

        The third is a function of vectors u (n, dim) and matrices m (n, dim, dim): the derivatives by the
        points of <drift, u> + <inverse covariance, m>, with u and m held still.
        """
        drift, jacobian = (self.system.evaluate(x), None) if self._both is None else self._both(x)

        def slopes(u: Array, m: Array) -> Array:
            result = self.system.vjp(x, u) if jacobian is None else np.einsum("nij,ni->nj", jacobian, u)
            # a rule jumps where the gradient is 0: the drift has a value there and no derivative
            result = np.where(np.isfinite(drift).all(axis=1, keepdims=True), np.nan_to_num(result), result)
            if self._constant is None:
                result = result + self._metric_slopes(x, m)
            return np.asarray(result)

        return np.asarray(drift), self.inverse(x), slopes

    def _metric_slopes(self, x: Array, m: Array) -> Array:
        moves = self.step * np.eye(self.dim)[:, None]
        around = np.concatenate([x + moves, x - moves]).reshape(-1, self.dim)
        inverse = self.inverse(around).reshape(2, self.dim, len(x), self.dim, self.dim)
        return np.einsum("qnij,nij->nq", inverse[0] - inverse[1], m) / (2 * self.step)


def _has_constant_noise(system: Any) -> bool:
    """Whether the covariance is the same at every point, by what the noise is made of."""
    if isinstance(system, Flow):
        return True
    if system.noise is None:
        return system._root is not None and system._root.function is None
    return isinstance(system.noise, GaussianNoise) and system.noise.probe == "full" and system.rule.plain

"""Steps of replicas with normal numbers, or none: noiseless maps, Gaussian noise, and the Euler-Maruyama step
of a `Diffusion` with dt = lr."""

from __future__ import annotations

import numpy as np

from samdyn.compute.checks import Array
from samdyn.compute.printing import numpy_form
from samdyn.ensemble.replica_step import Coefficients, ReplicaStep
from samdyn.ensemble.step import build_stepper
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map


class NormalStep(ReplicaStep):
    """Steps with normal numbers, or none."""

    def __init__(self, system: Map | Diffusion) -> None:
        self.dim = system.dim
        self.stepper = build_stepper(system)
        self.n_normals = self.stepper.n_normals
        self.form = numpy_form(self.stepper.form)
        # a scheduled lr scales a diffusion's drift and noise; time goes on in steps of lr(0)
        if isinstance(system, Diffusion) and system.step_length is None:
            raise ValueError(f"system must have a learning rate, the length of its step, got {system!r}")
        self.dt = system.step_length or 0.0
        self.fixed_dt = isinstance(system, Diffusion) and callable(system.lr)

    def load(self, state: Array) -> list[Array]:
        """Separate coordinates."""
        return list(np.ascontiguousarray(state.T))

    def points(self, loaded: list[Array]) -> Array:
        """The points."""
        return np.stack(loaded[: self.dim], axis=1)

    def advance(self, loaded: list[Array], random: Array, coefficients: Coefficients) -> list[Array]:
        """One step."""
        values = [np.broadcast_to(np.float64(coefficients[n]), loaded[0].shape) for n in self.stepper.names]
        normals = random.T
        if not self.stepper.continuous:
            out = self.form(*loaded, *normals, *values)
            return [np.broadcast_to(v, loaded[0].shape) for v in out]
        dt = self.dt if self.fixed_dt else coefficients["lr"]
        out = self.form(*loaded, *values)
        k, dim, zeros = self.n_normals, self.dim, self.stepper.zeros
        moved = []
        for i in range(dim):
            terms = [out[dim + i * k + j] * normals[j] for j in range(k) if dim + i * k + j not in zeros]
            moved.append(loaded[i] + dt * out[i] + np.sqrt(dt) * sum(terms))
        return moved

# ruff: noqa: NPY002  (in numba these are its own generator, compiled into the loop)
"""numba: one scalar loop to a path, that ends when the path leaves. Two dimensions.

State and drift in single precision; numba's generator draws its normals in double precision.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from contestants.problem import RHO, TINY, Array, Work, noise_per_step


@functools.lru_cache
def compiled(rule: str, dt: float) -> Callable[..., Any]:
    h, root, rho = np.float32(dt), np.float32(noise_per_step(dt)), np.float32(RHO)
    normalised, one, zero, tiny = rule == "SAM(0.2)", np.float32(1), np.float32(0), np.float32(TINY)
    if rule == "GD":
        rho = zero
    perturbed = rule != "GD"

    @numba.njit(fastmath=True)
    def run(n_paths: int, limit: int, seed: int) -> Any:
        np.random.seed(seed)
        steps = np.empty(n_paths, np.int64)
        for path in range(n_paths):
            x, y, step = -one, zero, 0
            while step < limit:
                gx, gy = x * (x * x - one), y
                if perturbed:
                    scale = rho
                    if normalised:
                        scale = rho / np.sqrt(max(gx * gx + gy * gy, tiny))
                    u, v = x + scale * gx, y + scale * gy
                    gx, gy = u * (u * u - one), v
                x += -h * gx + root * np.float32(np.random.standard_normal())
                y += -h * gy + root * np.float32(np.random.standard_normal())
                step += 1
                if x >= zero:
                    break
            steps[path] = step
        return steps

    return run


@dataclass
class Loop:
    rule: str
    n_paths: int
    dim: int
    dt: float
    seed: int

    def exit_times(self) -> Array:
        return compiled(self.rule, self.dt)(self.n_paths, 1 << 40, self.seed) * self.dt

    def advance(self, n_steps: int) -> Work:
        return Work(float(compiled(self.rule, self.dt)(self.n_paths, n_steps, self.seed).sum()), True)


VARIANTS = {"numba scalar loop": Loop}

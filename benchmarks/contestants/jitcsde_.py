"""jitcsde: generated C for one system of equations; here COPIES independent paths in one system.

Its integrator is its own (adaptive, strong order 1.5, double precision), not Euler-Maruyama: the step is held
at dt by a tolerance that is never missed, and the paths are looked at after each step. Two dimensions.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import symengine
from jitcsde import jitcsde, y

from contestants.problem import TINY, Array, Work, drift, noise_per_step, start

COPIES = 64
NEVER_MISSED = 1e12


def inverse_root(s: Any) -> Any:
    return 1 / symengine.sqrt(s + TINY)


@functools.lru_cache
def compiled(rule: str, dt: float, dim: int) -> Any:
    points = [[y(dim * i + d) for d in range(dim)] for i in range(COPIES)]
    f = [b for point in points for b in drift(rule, point, inverse_root)]
    g = [noise_per_step(dt) / dt**0.5] * len(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        system = jitcsde(f, g, additive=True, verbose=False)
        system.compile_C(simplify=False, do_cse=False)
        system.set_integration_parameters(atol=NEVER_MISSED, first_step=dt, min_step=dt * 1e-6, max_step=dt)
    return system


@dataclass
class JiTCSDE:
    rule: str
    n_paths: int
    dim: int
    dt: float
    seed: int

    def begin(self, seed: int) -> Any:
        system = compiled(self.rule, self.dt, self.dim)
        system.reset_integrator()
        system.set_seed(seed)
        system.set_initial_value(np.tile(start(self.dim), COPIES), 0.0)
        return system

    def groups(self) -> int:
        return -(-self.n_paths // COPIES)

    def exit_times(self) -> Array:
        times = np.zeros((self.groups(), COPIES))
        for group, left in enumerate(times):
            system, step = self.begin(self.seed + group), 0
            while not left.all():
                step += 1
                x = system.integrate(step * self.dt)[:: self.dim]
                left[(x >= 0) & (left == 0)] = step * self.dt
        return times.ravel()

    def advance(self, n_steps: int) -> Work:
        for group in range(self.groups()):
            self.begin(self.seed + group).integrate(n_steps * self.dt)
        return Work(float(self.groups()) * COPIES * n_steps, False)


VARIANTS = {"jitcsde": JiTCSDE}

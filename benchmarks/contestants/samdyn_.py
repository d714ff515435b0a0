"""samdyn itself: eager and compiled, with and without the bridge, single precision."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

import samdyn as sd
from contestants.problem import DIFFUSIVITY, RHO, Array, Work, start

RULES = {"GD": sd.GD(), "USAM(0.2)": sd.USAM(RHO), "SAM(0.2)": sd.SAM(RHO)}
T_MAX = 1e4  # in the time of the diffusion: no path of the check is still inside


@dataclass
class Samdyn:
    rule: str
    n_paths: int
    dim: int
    dt: float
    seed: int
    compile: bool = True
    correction: str | None = "bridge"
    executor: Any = None
    workers: int = 1

    @functools.cached_property
    def system(self) -> sd.Diffusion:
        noise = sd.GaussianNoise(float(np.sqrt(2 * DIFFUSIVITY / self.dt)))
        return sd.Diffusion(sd.landscapes.double_well(self.dim), RULES[self.rule], lr=self.dt, noise=noise)

    def run(self, t_max: float) -> Any:
        return sd.exit_times(
            self.system,
            start(self.dim),
            sd.HalfSpace([1.0] + [0.0] * (self.dim - 1), 0.0),
            self.n_paths,
            t_max=t_max,
            seed=self.seed,
            correction=self.correction,
            device="cpu",
            precision="single",
            compile=self.compile,
            executor=self.executor,
            workers=self.workers,
        )

    def exit_times(self) -> Array:
        exits = self.run(T_MAX)
        if not exits.exited.all():
            raise RuntimeError("samdyn: a path of the check did not leave")
        return np.asarray(exits.times)

    def advance(self, n_steps: int) -> Work:
        exits = self.run(n_steps * self.dt)
        # a step that has begun counts; rounding must not add one
        return Work(float(np.ceil(exits.watched / self.dt - 1e-6).sum()), True)


VARIANTS = {
    "samdyn compiled, bridge": Samdyn,
    "samdyn compiled, plain": functools.partial(Samdyn, correction=None),
    "samdyn eager, bridge": functools.partial(Samdyn, compile=False),
    "samdyn eager, plain": functools.partial(Samdyn, compile=False, correction=None),
}

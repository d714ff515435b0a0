"""diffrax: diffeqsolve with Euler's method, all paths in one solve.

With UnsafeBrownianPath, its fastest, and with VirtualBrownianTree, the one its documentation uses, both
followed to the end without a look at the paths; and with UnsafeBrownianPath when the first exits are found,
from the steps that it saves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax
import numpy as np

from contestants.jax_scan import inverse_root, padded
from contestants.problem import Array, Work, drift, noise_per_step, start, until_all_left

SEGMENT = 128  # steps in a call of the check, whose path is kept


@functools.lru_cache
def compiled(rule: str, dt: float, whole_path: bool, tree: bool) -> Callable[..., Any]:
    """Solve from states of shape (dim, n): the states after each of SEGMENT steps, or after n_steps; and the
    number of steps.
    """
    grid = jnp.arange(SEGMENT + 1) * dt
    amplitude = noise_per_step(dt) / dt**0.5

    def velocity(t: Any, y: Any, args: Any) -> Any:
        return jnp.stack(drift(rule, tuple(y), inverse_root))

    def diffusion(t: Any, y: Any, args: Any) -> Any:
        return lineax.DiagonalLinearOperator(jnp.full_like(y, amplitude))

    @jax.jit
    def solve(key: Any, y: Any, t_max: Any) -> Any:
        shape, end = jax.ShapeDtypeStruct(y.shape, y.dtype), grid[-1] if whole_path else t_max
        path: Any = diffrax.UnsafeBrownianPath(shape, key)
        if tree:
            path = diffrax.VirtualBrownianTree(0.0, end, tol=dt / 2, shape=shape, key=key)
        terms = diffrax.MultiTerm(diffrax.ODETerm(velocity), diffrax.ControlTerm(diffusion, path))
        solution = diffrax.diffeqsolve(
            terms,
            diffrax.Euler(),
            t0=0.0,
            t1=end,
            dt0=None if whole_path else dt,
            y0=y,
            saveat=diffrax.SaveAt(steps=True) if whole_path else diffrax.SaveAt(t1=True),
            # steps of a given number, whatever the rounding of the times
            stepsize_controller=diffrax.StepTo(grid) if whole_path else diffrax.ConstantStepSize(),
            max_steps=SEGMENT if whole_path else None,
            adjoint=diffrax.ForwardMode(),
        )
        return solution.ys, solution.stats["num_steps"]

    return solve


@jax.jit
def first_exit(ys: Any, left: Any, call: Any) -> tuple[Any, Any]:
    """The step in which each path left, from the states after each step of a segment; the last states."""
    out = ys[:, 0] >= 0
    step = call * SEGMENT + out.argmax(axis=0) + 1
    return jnp.where((left == 0) & out.any(axis=0), step, left), ys[-1]


@dataclass
class Diffrax:
    rule: str
    n_paths: int
    dim: int
    dt: float
    seed: int
    tree: bool = False
    looking: bool = False

    def exit_times(self) -> Array:
        run, key = compiled(self.rule, self.dt, True, self.tree), jax.random.key(self.seed)

        def advance(x: Array, call: int) -> tuple[Array, Array]:
            y, _ = run(jax.random.fold_in(key, call), jnp.asarray(padded(x).T), 0.0)
            y = np.asarray(y)[..., : len(x)]
            out = y[:, 0] >= 0
            left = np.where(out.any(axis=0), out.argmax(axis=0) + 1, 0)
            return left, y[-1].T

        return until_all_left(self.n_paths, SEGMENT, self.dt, advance, self.dim)

    def advance(self, n_steps: int) -> Work:
        key = jax.random.key(self.seed)
        y = jnp.repeat(jnp.array(start(self.dim), jnp.float32)[:, None], self.n_paths, axis=1)
        if self.looking:
            run, left = compiled(self.rule, self.dt, True, self.tree), jnp.zeros(self.n_paths, jnp.int32)
            calls = -(-n_steps // SEGMENT)
            for call in range(calls):
                ys, _ = run(jax.random.fold_in(key, call), y, 0.0)
                left, y = first_exit(ys, left, call)
            jax.block_until_ready((left, y))
            return Work(float(self.n_paths) * calls * SEGMENT, False)
        run = compiled(self.rule, self.dt, False, self.tree)
        _, steps = jax.block_until_ready(run(key, y, jnp.float32(n_steps * self.dt)))
        return Work(float(self.n_paths) * float(steps), False)


VARIANTS = {
    "diffrax, UnsafeBrownianPath": Diffrax,
    "diffrax, UnsafeBrownianPath, exits found": functools.partial(Diffrax, looking=True),
    "diffrax, VirtualBrownianTree": functools.partial(Diffrax, tree=True),
}

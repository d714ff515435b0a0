"""jax: a bare jax.lax.scan over the steps, on separate coordinates, that keeps the step of each exit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from contestants.problem import TINY, Array, Work, drift, noise_per_step, start, until_all_left

SEGMENT = 128  # steps in a call
SMALLEST = 256  # paths; the check runs on few sizes, as each size is compiled anew


def inverse_root(s: Any) -> Any:
    return jax.lax.rsqrt(jnp.maximum(s, TINY))


@functools.lru_cache
def compiled(rule: str, dt: float, dim: int) -> Callable[..., Any]:
    root = noise_per_step(dt)

    @jax.jit
    def segment(key: Any, x: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        def step(state: Any, numbered: Any) -> tuple[Any, None]:
            x, left = state
            own, number = numbered
            z = jax.random.normal(own, (dim, *x[0].shape), jnp.float32)
            x = tuple(
                a + dt * b + root * s for a, b, s in zip(x, drift(rule, x, inverse_root), z, strict=True)
            )
            return (x, jnp.where((left == 0) & (x[0] >= 0), number, left)), None

        left = jnp.zeros(x[0].shape, jnp.int32)
        numbers = jnp.arange(1, SEGMENT + 1, dtype=jnp.int32)
        (x, left), _ = jax.lax.scan(step, (x, left), (jax.random.split(key, SEGMENT), numbers))
        return left, x

    return segment


def padded(x: Array) -> Array:
    """States repeated up to the next of the sizes SMALLEST 4^k."""
    size = SMALLEST
    while size < len(x):
        size *= 4
    return np.resize(x, (size, x.shape[1]))


@dataclass
class Scan:
    rule: str
    n_paths: int
    dim: int
    dt: float
    seed: int

    def exit_times(self) -> Array:
        run, key = compiled(self.rule, self.dt, self.dim), jax.random.key(self.seed)

        def advance(x: Array, call: int) -> tuple[Array, Array]:
            left, y = run(jax.random.fold_in(key, call), tuple(jnp.asarray(padded(x).T)))
            return np.asarray(left)[: len(x)], np.stack(y, axis=1)[: len(x)]

        return until_all_left(self.n_paths, SEGMENT, self.dt, advance, self.dim)

    def advance(self, n_steps: int) -> Work:
        run, key = compiled(self.rule, self.dt, self.dim), jax.random.key(self.seed)
        x = tuple(jnp.full(self.n_paths, value, jnp.float32) for value in start(self.dim))
        calls = -(-n_steps // SEGMENT)
        for call in range(calls):
            left, x = run(jax.random.fold_in(key, call), x)
        jax.block_until_ready((left, x))
        return Work(float(self.n_paths) * calls * SEGMENT, False)


VARIANTS = {"jax.lax.scan": Scan}

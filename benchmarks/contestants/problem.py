"""The problem that every contestant solves: leaving x < 0 from the bottom (-1, 0) of a double well.

f(x, y) = (x^2 - 1)^2/4 + |y|^2/2, dX = -grad f(X + e(X)) dt + sqrt(2 D) dW with D = 0.1, by Euler-Maruyama.
Peers get the gradient in closed form, which is the least that they could have to compute; samdyn traces the
loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

RULES = ("GD", "USAM(0.2)", "SAM(0.2)")
RHO = 0.2
DIFFUSIVITY = 0.1
DT = 0.01
TINY = 1e-30  # below it a squared gradient counts as zero: the start is a critical point
Array = npt.NDArray[Any]


class Work(NamedTuple):
    """What a call of `Job.advance` did: path-steps, and whether paths stopped when they left."""

    path_steps: float
    stopped_at_exit: bool


class Job(Protocol):
    """One contestant, set up for a rule, a number of paths and a time step."""

    def exit_times(self) -> Array:
        """Exit times of all paths, each followed until it leaves: shape (n_paths,)."""

    def advance(self, n_steps: int) -> Work:
        """Follow the paths for n_steps steps from the start."""


def start(dim: int) -> list[float]:
    return [-1.0] + [0.0] * (dim - 1)


def gradient(x: Sequence[Any]) -> tuple[Any, ...]:
    """Gradient of f from the separate coordinates of the points, in any array library."""
    return (x[0] * (x[0] * x[0] - 1.0), *x[1:])


def drift(rule: str, x: Sequence[Any], inverse_root: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The drift; `inverse_root(s)` is 1/sqrt(max(s, TINY)) in the library of x."""
    g = gradient(x)
    if rule != "GD":
        scale = RHO if rule == "USAM(0.2)" else RHO * inverse_root(sum(s * s for s in g))
        g = gradient([a + scale * s for a, s in zip(x, g, strict=True)])
    return tuple(-s for s in g)


def noise_per_step(dt: float) -> float:
    """Standard deviation of the noise of a step, in each coordinate."""
    return float(np.sqrt(2 * DIFFUSIVITY * dt))


def until_all_left(
    n_paths: int, n_steps: int, dt: float, advance: Callable[[Array, int], tuple[Array, Array]], dim: int
) -> Array:
    """Exit times by a function that advances at most n_steps steps and does not stop at exits.

    `advance(x, call)` takes states (n, dim) and returns the step (1, ..., n_steps) in which each path left,
    or 0, and the states at the end. Paths that left are removed between calls.
    """
    times = np.zeros(n_paths)
    path = np.arange(n_paths)
    x = np.tile(np.array(start(dim), dtype=np.float32), (n_paths, 1))
    call = 0
    while len(path):
        left, x = advance(x, call)
        times[path[left > 0]] = (call * n_steps + left[left > 0]) * dt
        path, x = path[left == 0], x[left == 0]
        call += 1
    return times

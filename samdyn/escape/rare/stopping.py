"""Paths that run until they stop in one of two sets: what splitting does with a system.

A step is Euler-Maruyama with the Brownian-bridge test (`samdyn.escape.kernel.crossing`) for either set, or
one step of a map. A bridge that touches a set sends the path to a state of its own, which belongs to the
chain whose probabilities are estimated; so the bridges remove the bias of order sqrt(dt) and cost nothing in
rigour. A step that ends in the origin may have touched the target on its way, and the other way round;
touching both and ending in neither is left to the origin.

Random numbers belong to (seed, path, step). Steps go in sweeps of `SWEEP` blocks of four, all of whose
exit tests are evaluated at once; then the paths that stopped are removed.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.dynamics.step import Stepper
from samdyn.dynamics.step_length import default_dt
from samdyn.escape.kernel.crossing import exit_probability, projected_variance
from samdyn.escape.region import OpenSet
from samdyn.escape.region.faces import Face
from samdyn.numerics.random import STEPS_PER_BLOCK, STREAM_BRIDGE, split_seed, uniform_block
from samdyn.numerics.vector import Coordinates
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map

SWEEP = 4  # blocks of four steps between removals of stopped paths
MAX_STEPS = 10_000_000

RUNNING, ORIGIN, TARGET, LOST = 0, 1, 2, 3


@dataclass(frozen=True)
class Enlarged(Face):
    """The surface at a distance from a region, outside it."""

    faces: tuple[Face, ...]
    margin: float

    def distance(self, x: Coordinates) -> Tensor:
        return distance_to(self.faces)(x) - self.margin


def distance_to(faces: Sequence[Face]) -> Callable[[Coordinates], Tensor]:
    """Signed distance of the intersection of the faces' insides: negative inside, 0 where it is left."""

    def distance(x: Coordinates) -> Tensor:
        largest = faces[0].distance(x)
        for face in faces[1:]:
            largest = torch.maximum(largest, face.distance(x))
        return largest

    return distance


class StoppingSet(NamedTuple):
    """A set in which paths stop, by the faces of its complement, and whether it is touched within steps."""

    faces: tuple[Face, ...]
    bridge: bool


Sweep = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class StoppedChain:
    """A system with the two sets in which its paths stop, each given by the faces of its complement.

    `compiled` is what sweeps where that is compiled (`samdyn.escape.rare.native_stopping`).
    """

    stepper: Stepper
    coefficients: tuple[Tensor, ...]
    dt: float
    key: tuple[Tensor, Tensor]
    origin: StoppingSet
    target: StoppingSet
    compiled: Sweep | None = None

    def sweep(self, state: Tensor, path: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
        """Some steps of paths: the states after each (state_dim, steps, n), and the codes (steps, n) that say
        whether a step stops its path, and where. What follows a stop means nothing.
        """
        if self.compiled is not None:
            return self.compiled(state, path, block)
        blocks = block + torch.arange(SWEEP, device="cpu")[:, None]
        inputs = self.stepper.draws.block(self.key, path, blocks, torch.float64)
        states = [state]
        current = Coordinates(state.unbind(0))
        for s, j in itertools.product(range(SWEEP), range(STEPS_PER_BLOCK)):
            z = [entry[s] for entry in inputs[j]]
            current = self.stepper.step(current, z, self.coefficients, self.dt)
            states.append(torch.stack(tuple(current)))
        every = torch.stack(states, dim=1)
        # the tests of all steps at once: eager operations cost their overhead, not their size
        start, end = every[:, :-1].flatten(1), every[:, 1:].flatten(1)
        uniform = torch.full_like(end[0], 0.5)
        if self.bridged:
            uniforms = uniform_block(self.key, path, blocks, STREAM_BRIDGE, torch.float64)
            uniform = torch.stack(uniforms, dim=1).flatten()
        code = self.look(
            Coordinates(start.unbind(0)), Coordinates(end.unbind(0)), uniform, self.coefficients, self.dt
        )
        return every[:, 1:], code.to(torch.int64).reshape(-1, len(path))

    @property
    def bridged(self) -> bool:
        """Whether a set is touched within steps."""
        return self.origin.bridge or self.target.bridge

    def look(
        self, start: Coordinates, end: Coordinates, uniform: Tensor, coefficients: Sequence[Tensor], dt: Any
    ) -> Tensor:
        """Whether steps with these ends stop their paths, and where."""
        root: Sequence[Coordinates] = self.stepper.local(start, coefficients)[1] if self.bridged else []
        dim = self.stepper.dim
        ends = Coordinates(start[:dim]), Coordinates(end[:dim])
        a, in_origin = self._probability(self.origin, *ends, root, dt)
        b, _ = self._probability(self.target, *ends, root, dt)
        running = torch.zeros_like(uniform)
        code = torch.where(in_origin | (uniform < a), running + ORIGIN, running)
        in_target = (uniform >= a) & (uniform < a + b * (1 - a))
        code = torch.where((in_origin & (uniform < b)) | (~in_origin & in_target), running + TARGET, code)
        size = functools.reduce(torch.add, [x - x for x in end])  # 0, or nan where one is not finite
        return torch.where(size == 0, code, running + LOST)

    def _probability(
        self,
        stops: StoppingSet,
        start: Coordinates,
        end: Coordinates,
        columns: Sequence[Coordinates],
        dt: Any,
    ) -> tuple[Tensor, Tensor]:
        """Probability that a step touches a set, and whether it ends there."""
        ahead = [-face.distance(end) for face in stops.faces]
        nearest = functools.reduce(torch.minimum, ahead)
        inside = nearest <= 0
        if not stops.bridge:
            return torch.where(inside, torch.ones_like(nearest), torch.zeros_like(nearest)), inside
        sides = [face.distance_and_normal(start) for face in stops.faces]
        variance = [projected_variance(normal, columns) * dt for _, normal in sides]
        return exit_probability([-distance for distance, _ in sides], ahead, variance), inside


@dataclass
class Tally:
    """Work done, and the limit on a path's steps."""

    max_steps: int
    path_steps: int = 0
    n_diverged: int = 0

    def stops(self, code: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which paths stopped, after how many steps of the sweep (all of them if it did not), and where.

        `before` is the number of steps that each path took before the sweep. A path that did not stop in the
        steps allowed is an error, also where it stopped later in the same sweep.
        """
        stop = code != RUNNING
        stopped = stop.any(dim=0)
        last = torch.where(stopped, stop.int().argmax(dim=0), len(code) - 1)
        where = code.gather(0, last[None])[0]
        late = before + last + stopped.logical_not() >= self.max_steps
        if bool(late.any()):
            raise RuntimeError(
                f"t_max was reached by {int(late.sum())} paths that stopped in neither "
                "region: raise t_max, or choose regions that paths reach (a start in another basin never "
                "returns to the origin)"
            )
        self.path_steps += int((last + 1).sum())
        self.n_diverged += int((where == LOST).sum())
        return stopped, last + 1, where


def run_until_stopped(
    chain: StoppedChain, tally: Tally, state: Tensor, path: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run paths until they stop: their last states, where they stopped, and after how many steps."""
    final, outcome, steps = state.clone(), torch.zeros_like(path), torch.zeros_like(path)
    place, block = torch.arange(len(path), device=path.device), torch.zeros_like(path)
    while len(place):
        states, code = chain.sweep(state, path, block)
        stopped, taken, where = tally.stops(code, STEPS_PER_BLOCK * block)
        now = stopped.nonzero()[:, 0]
        final[:, place[now]] = states[:, taken[now] - 1, now]
        outcome[place[now]] = where[now]
        steps[place[now]] = STEPS_PER_BLOCK * block[now] + taken[now]
        running = ~stopped
        state, path, place = states[:, -1, running], path[running], place[running]
        block = block[running] + SWEEP
    return final, outcome, steps


def check_region(name: str, region: Any) -> None:
    """Refuse what is no region."""
    if not isinstance(region, OpenSet):
        raise TypeError(f"{name} must be a samdyn region such as sd.Ball(center, radius), got {region!r}")


def check_correction(correction: str | None) -> bool:
    """Whether bridges are tested within steps."""
    if not (correction is None or (isinstance(correction, str) and correction == "bridge")):
        raise ValueError(f"correction must be 'bridge' or None, got {correction!r}")
    return correction == "bridge"


def check_system(system: Any, x0: npt.ArrayLike, dt: float | None, seed: int) -> tuple[Array, float]:
    """The start, and the length of a step (1 for a map), after checks."""
    if not isinstance(system, Diffusion | Map):
        raise TypeError(f"system must be a Diffusion or a Map, got {system!r}")
    if system.silent:
        raise ValueError(f"system must have noise, got {system!r}")
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients, got {system!r}")
    start = checks.points("x0", x0, system.dim)
    if start.ndim != 1:
        raise ValueError(f"x0 must have shape ({system.dim},), got shape {start.shape}")
    if isinstance(system, Diffusion):
        dt = default_dt(system, start[None]) if dt is None else checks.number("dt", dt, above=0)
    elif dt is not None:
        raise ValueError(f"dt must not be given for a Map, whose time is its step, got {dt!r}")
    split_seed(seed)
    return start, 1.0 if dt is None else dt


def max_steps_of(t_max: float | None, dt: float) -> int:
    """The limit on whole steps: none that ends after `t_max` is taken."""
    if t_max is None:
        return MAX_STEPS
    t_max = checks.number("t_max", t_max, above=0)
    if t_max / dt * (1 + 1e-12) < 1:
        raise ValueError(f"t_max must be at least one step of {dt:g}, got {t_max:g}")
    return math.floor(min(t_max / dt * (1 + 1e-12), checks.LARGEST_COUNT))


def state_at_rest(system: Diffusion | Map, start: Array) -> Tensor:
    """A state at rest."""
    return torch.from_numpy(np.array(system.at_rest(start)))

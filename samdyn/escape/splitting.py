"""Rare events by adaptive multilevel splitting: committors and mean exit times out of reach of brute force.

The question is the probability p that a path reaches B before A, where nearly every path returns to A.

Algorithm, for one of `n_repeats` independent repeats
-----------------------------------------------------
1. A reaction coordinate, which grows towards B, is cut into levels. The level of a path is the highest one
   that it attains before it stops in A or B; B itself is the top level.
2. `n_clones` paths run from the start until each stops in A or B. A path keeps the state in which it first
   attained each level.
3. Let Z be the `n_kill`-th lowest level among the clones. All K clones of level at most Z are killed (K
   exceeds `n_kill` where levels tie). The weight, 1 at first, is multiplied by 1 - K / n_clones.
4. Each killed clone is replaced by a survivor, drawn at random: it starts from the state in which that
   survivor first exceeded Z, and goes on with random numbers of its own until it stops.
5. Steps 3 and 4 repeat until Z is the top level, or all clones were killed (the estimate is then 0). The
   estimate of p is the weight times the share of the clones that stopped in B.

The estimate is unbiased for the simulated chain, at any number of clones, levels and kills, with any reaction
coordinate: that holds in discrete time because the kill is by "at most Z", the branching by "exceeds Z" and
the weight by K (Brehier et al.). Only the variance depends on the choices; the best coordinate is a function
of the committor, for which the relative variance of one repeat is about log(1/p) / n_clones.

A step is Euler-Maruyama with the Brownian-bridge test (`samdyn.escape.crossing`) for A and for B, or one
step of a map. A bridge that touches A or B sends the path to a state of its own, which belongs to the chain
whose probability is estimated; so the bridges remove the bias of order sqrt(dt) and cost nothing in rigour.

Mean exit time (Cerou, Guyader, Lelievre, Pommier): a path that leaves a metastable set A many times before
it reaches B does so in loops, from A to a surface around it and back. With p the probability to reach B
before A from where loops meet the surface,

    T = T_first + (1/p - 1) (T_back + T_out) + T_reactive,

T_first, T_back, T_out and T_reactive being the mean times from the start to the surface, from there back to
A, out again, and from the surface to B for paths that get there. The formula takes loops as independent of
one another; where they are not, its error is that of p from where the first loops meet the surface.

All clones of all repeats are one pool that advances together; a repeat goes on to its next step 3 as soon as
its own clones have stopped. Random numbers belong to (seed, path, step), and each branch is a new path,
numbered within its repeat: a repeat's estimate does not depend on what else is in the pool.

States at levels are stored: 8 (state_dim + 1) bytes a clone and level, and repeats run in batches that keep
this below `TABLE_BYTES`. Replaying a parent from its random numbers would need no memory, but each branch
would repeat every step of its ancestors: in the double well that is 0.8 times as many steps again.

References
----------
Cerou & Guyader, Stochastic Analysis and Applications 25, 417 (2007).
Cerou, Guyader, Lelievre & Pommier, Journal of Chemical Physics 134, 054108 (2011): mean exit times.
Brehier, Gazeau, Goudenege, Lelievre & Rousset, Annals of Applied Probability 26, 3559 (2016): unbiasedness,
ties and discrete time.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.compute.random import (
    STEPS_PER_BLOCK,
    STREAM_BRIDGE,
    normal_block,
    path_counter,
    philox4x32,
    split_seed,
    uniform_block,
    uniform_from_bits,
)
from samdyn.compute.tracing import CoordinateForm, traced_or_batched
from samdyn.compute.vector import Coordinates
from samdyn.ensemble.kernel import ExitTest
from samdyn.ensemble.step import Stepper, build_stepper, combine
from samdyn.escape.crossing import exit_probability, projected_variance
from samdyn.escape.faces import Face
from samdyn.escape.regions import OpenSet
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map

STREAM_BRANCH = 0xFFFF_2000  # which survivor a new branch starts from
SWEEP = 4  # blocks of four steps between removals of stopped paths
TABLE_BYTES = 1 << 28
MAX_STEPS = 10_000_000
METHODS = ("lognormal", "normal")

RUNNING, ORIGIN, TARGET, LOST = 0, 1, 2, 3


# Results


@dataclass(frozen=True, repr=False)
class RareProbability:
    """Estimate of a small probability by splitting.

    Attributes
    ----------
    estimates : ndarray, shape (n_repeats,)
        Independent unbiased estimates.
    iterations : ndarray of int, shape (n_repeats,)
        How often clones were killed and replaced.
    n_clones, n_kill : int
        Clones of a repeat, and the least number killed at a time.
    levels : ndarray, shape (n_levels,)
        Values of the reaction coordinate at which paths may branch.
    path_steps : int
        Steps of all paths together.
    steps_per_path : float
        Mean steps of a path from the start to A or B without splitting.
    n_diverged : int
        Paths whose state stopped being finite; they count as not having reached B.
    dt : float
    seed : int
    """

    estimates: Array
    iterations: npt.NDArray[np.int64]
    n_clones: int
    n_kill: int
    levels: Array
    path_steps: int
    steps_per_path: float
    n_diverged: int
    dt: float
    seed: int

    @property
    def mean(self) -> float:
        """The estimate: the mean over the repeats."""
        return float(self.estimates.mean())

    @property
    def standard_error(self) -> float:
        """Of `mean`, from the scatter of the repeats."""
        return float(self.estimates.std(ddof=1) / math.sqrt(len(self.estimates)))

    @property
    def relative_error(self) -> float:
        """Standard error over mean; inf where no repeat reached B."""
        return self.standard_error / self.mean if self.mean else math.inf

    def confidence_interval(self, level: float = 0.95, method: str = "lognormal") -> tuple[float, float]:
        """Confidence interval of the probability.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        method : {"lognormal", "normal"}
            "lognormal": mean times exp(+- t s.e. / mean), which suits the skew of splitting estimates and
            stays positive. "normal": mean +- t s.e. Both with Student's t for the number of repeats.

        Returns
        -------
        tuple of float
            (0, 1) where no repeat reached B, which bounds nothing.
        """
        if not self.mean:
            _check_interval(level, method)
            return 0.0, 1.0
        low, high = _interval(self.mean, self.standard_error, len(self.estimates), level, method)
        return max(low, 0.0), min(high, 1.0)

    @property
    def brute_force_steps(self) -> float:
        """Path-steps that independent paths would take to the same standard error."""
        if not self.standard_error:
            return math.inf
        return self.mean * (1 - self.mean) / self.standard_error**2 * self.steps_per_path

    def __repr__(self) -> str:
        low, high = self.confidence_interval()
        return (
            f"RareProbability\n  probability: {self.mean:.4g}, 95 % interval ({low:.4g}, {high:.4g})\n"
            f"  splitting: {len(self.estimates)} repeats of {self.n_clones} clones, "
            f"{self.iterations.mean():.1f} iterations each\n"
            f"  cost: {self.path_steps:.3g} path-steps (brute force {self.brute_force_steps:.3g})\n"
            f"  scheme: step {self.dt:g}, seed {self.seed}"
        )


@dataclass(frozen=True, repr=False)
class RareExitTime:
    """Mean exit time from a metastable set, from loops and a splitting probability.

    Attributes
    ----------
    probability : RareProbability
        Of reaching the outside of the region before returning to the origin, from the surface.
    time_first : ndarray, shape (n_repeats,)
        Mean time from the start to the surface.
    time_out, time_back : ndarray, shape (n_repeats,)
        Mean time of a loop from the origin to the surface, and from there back.
    time_reactive : ndarray, shape (n_repeats,)
        Mean time from the surface to the outside, of paths that do not return; nan where a repeat had none.
    path_steps : int
        Steps of all paths together, loops included.
    """

    probability: RareProbability
    time_first: Array
    time_out: Array
    time_back: Array
    time_reactive: Array
    path_steps: int

    def _means(self) -> tuple[Array, Array]:
        """Per-repeat values of p, T_first, T_back + T_out and p T_reactive, and their means."""
        p = self.probability.estimates
        # without a single return 1/p - 1 is as good as 0
        back = np.where(np.isnan(self.time_back), np.nanmean([*self.time_back, 0.0]), self.time_back)
        values = np.stack([p, self.time_first, back + self.time_out, p * np.nan_to_num(self.time_reactive)])
        return values, values.mean(axis=1)

    @property
    def mean(self) -> float:
        """Mean exit time; inf if no path left."""
        p, first, loop, reactive = self._means()[1]
        return float(first + ((1 - p) * loop + reactive) / p) if p else math.inf

    @property
    def standard_error(self) -> float:
        """Of `mean`, by linearisation in the means over the repeats; inf if no path left."""
        values, (p, _, loop, reactive) = self._means()
        if not p:
            return math.inf
        slope = np.array([-(loop + reactive) / p**2, 1.0, (1 - p) / p, 1 / p])
        return float((slope @ values).std(ddof=1) / math.sqrt(values.shape[1]))

    @property
    def relative_error(self) -> float:
        """Standard error over mean."""
        return self.standard_error / self.mean if math.isfinite(self.mean) else math.inf

    def confidence_interval(self, level: float = 0.95, method: str = "lognormal") -> tuple[float, float]:
        """Confidence interval of the mean exit time.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        method : {"lognormal", "normal"}
            As for `RareProbability.confidence_interval`.
        """
        if not math.isfinite(self.mean):
            _check_interval(level, method)
            return 0.0, math.inf
        low, high = _interval(self.mean, self.standard_error, len(self.time_out), level, method)
        return max(low, 0.0), high

    @property
    def brute_force_steps(self) -> float:
        """Path-steps that independent exits, of exponential law, would take to the same standard error."""
        return self.mean / self.probability.dt / self.relative_error**2 if self.relative_error else math.inf

    def __repr__(self) -> str:
        low, high = self.confidence_interval()
        p = self.probability
        return (
            f"RareExitTime\n  mean: {self.mean:.6g}, 95 % interval ({low:.6g}, {high:.6g})\n"
            f"  loops: out {self.time_out.mean():.4g}, back {np.nanmean(self.time_back):.4g}; "
            f"probability a loop {p.mean:.4g}\n"
            f"  splitting: {len(p.estimates)} repeats of {p.n_clones} clones\n"
            f"  cost: {self.path_steps:.3g} path-steps (brute force {self.brute_force_steps:.3g})\n"
            f"  scheme: step {p.dt:g}, seed {p.seed}"
        )


def _check_interval(level: float, method: str) -> None:
    if checks.number("level", level, above=0) >= 1:
        raise ValueError(f"level must be a number in (0, 1), got {level!r}")
    if method not in METHODS:
        raise ValueError(f"method must be 'lognormal' or 'normal', got {method!r}")


def _interval(mean: float, error: float, n: int, level: float, method: str) -> tuple[float, float]:
    _check_interval(level, method)
    t = float(stats.t.ppf((1 + level) / 2, n - 1))
    if method == "normal":
        return mean - t * error, mean + t * error
    factor = math.exp(min(t * error / mean, 700.0))
    return mean / factor, mean * factor


# The chain: steps and where they stop


@dataclass(frozen=True)
class _Enlarged(Face):
    """The surface at a distance from a region, outside it."""

    faces: tuple[Face, ...]
    margin: float

    def distance(self, x: Coordinates) -> Tensor:
        return _coordinate_of(self.faces)(x) - self.margin


def _coordinate_of(faces: Sequence[Face]) -> Callable[[Coordinates], Tensor]:
    """Signed distance of the intersection of the faces' insides: negative inside, 0 where it is left."""

    def distance(x: Coordinates) -> Tensor:
        largest = faces[0].distance(x)
        for face in faces[1:]:
            largest = torch.maximum(largest, face.distance(x))
        return largest

    return distance


@dataclass(frozen=True)
class _Chain:
    """A system with the two sets in which its paths stop, each given by the faces of its complement."""

    stepper: Stepper
    coefficients: tuple[Tensor, ...]
    dt: float
    key: tuple[Tensor, Tensor]
    origin: ExitTest
    target: ExitTest

    def sweep(self, state: Tensor, path: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
        """Some steps of paths: the states after each (state_dim, steps, n), and the codes (steps, n) that say
        whether a step stops its path, and where. What follows a stop means nothing.
        """
        k, dt = self.stepper.n_normals, self.dt
        blocks = block + torch.arange(SWEEP)[:, None]
        normals = normal_block(self.key, path, blocks, k, torch.float64)
        states = [state]
        current = Coordinates(state.unbind(0))
        for s, j in itertools.product(range(SWEEP), range(STEPS_PER_BLOCK)):
            z = [normal[s] for normal in normals[j]]
            if self.stepper.continuous:
                drift, columns = self.stepper.local(current, self.coefficients)
                noise = combine(columns, z)
                current = Coordinates(
                    x + dt * b + dt**0.5 * n for x, b, n in zip(current, drift, noise, strict=True)
                )
            else:
                current = self.stepper.iterate(current, z, self.coefficients)
            states.append(torch.stack(tuple(current)))
        every = torch.stack(states, dim=1)
        # the tests of all steps at once: eager operations cost their overhead, not their size
        start, end = every[:, :-1].flatten(1), every[:, 1:].flatten(1)
        uniform = torch.full_like(end[0], 0.5)
        columns = []
        if self.origin.bridge or self.target.bridge:
            uniforms = uniform_block(self.key, path, blocks, STREAM_BRIDGE, torch.float64)
            uniform = torch.stack(uniforms, dim=1).flatten()
            columns = self.stepper.local(Coordinates(start.unbind(0)), self.coefficients)[1]
        dim = self.stepper.dim
        ends = Coordinates(start[:dim].unbind(0)), Coordinates(end[:dim].unbind(0))
        a, in_origin = self._probability(self.origin, *ends, columns)
        b, _ = self._probability(self.target, *ends, columns)
        # a step that ends in the origin may have touched the target on its way, and the other way round;
        # touching both and ending in neither is left to the first
        to_target = torch.where(in_origin, uniform < b, (uniform >= a) & (uniform < a + b * (1 - a)))
        code = torch.where(in_origin | (uniform < a), ORIGIN, RUNNING)
        code = torch.where(to_target, TARGET, code)
        code = torch.where(end.isfinite().all(dim=0), code, LOST)
        return every[:, 1:], code.reshape(-1, len(path))

    def _probability(
        self, test: ExitTest, start: Coordinates, end: Coordinates, columns: list[Coordinates]
    ) -> tuple[Tensor, Tensor]:
        """Probability that a step touches a set, and whether it ends there."""
        ahead = [-face.distance(end) for face in test.faces]
        inside = ahead[0] <= 0
        for distance in ahead[1:]:
            inside = inside | (distance <= 0)
        if not test.bridge:
            return inside.to(torch.float64), inside
        behind, variance = test.geometry(start, columns, self.dt)
        return test.exit_probability(behind, ahead, variance), inside


@dataclass
class _Tally:
    """Work done, and the limit on a path's steps."""

    max_blocks: int
    path_steps: int = 0
    n_diverged: int = 0

    def check(self, block: Tensor) -> None:
        if len(block) and int(block.max()) >= self.max_blocks:
            raise RuntimeError(
                f"t_max was reached by {int((block >= self.max_blocks).sum())} paths that stopped in neither "
                "region: raise t_max, or choose regions that paths reach (a start in another basin never "
                "returns to the origin)"
            )

    def stops(self, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which paths stopped, after how many steps of the sweep (all of them if it did not), and where."""
        stop = code != RUNNING
        stopped = stop.any(dim=0)
        last = torch.where(stopped, stop.int().argmax(dim=0), len(code) - 1)
        where = code.gather(0, last[None])[0]
        self.path_steps += int((last + 1).sum())
        self.n_diverged += int((where == LOST).sum())
        return stopped, last + 1, where


def _stop(chain: _Chain, tally: _Tally, state: Tensor, path: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run paths until they stop: their last states, where they stopped, and after how many steps."""
    final, outcome, steps = state.clone(), torch.zeros_like(path), torch.zeros_like(path)
    place, block = torch.arange(len(path)), torch.zeros_like(path)
    while len(place):
        tally.check(block)
        states, code = chain.sweep(state, path, block)
        stopped, taken, where = tally.stops(code)
        now = stopped.nonzero()[:, 0]
        final[:, place[now]] = states[:, taken[now] - 1, now]
        outcome[place[now]] = where[now]
        steps[place[now]] = STEPS_PER_BLOCK * block[now] + taken[now]
        running = ~stopped
        state, path, place = states[:, -1, running], path[running], place[running]
        block = block[running] + SWEEP
    return final, outcome, steps


# Splitting


@dataclass
class _Batch:
    """What a batch of repeats estimated, one entry a repeat."""

    probability: Tensor
    iterations: Tensor
    reactive: Tensor  # mean steps of the clones that reached the target
    back: Tensor  # mean steps of unsplit paths that returned
    unsplit: Tensor  # mean steps of unsplit paths


@dataclass
class _Pool:
    """The running paths: state, path number, block, level, steps before the branch, and the clone's row in
    the tables.
    """

    state: Tensor
    path: Tensor
    block: Tensor
    level: Tensor
    before: Tensor
    row: Tensor

    def select(self, keep: Tensor) -> _Pool:
        rest = (self.path, self.block, self.level, self.before, self.row)
        return _Pool(self.state[:, keep], *(x[keep] for x in rest))

    def join(self, other: _Pool) -> _Pool:
        names = ("path", "block", "level", "before", "row")
        state = torch.cat([self.state, other.state], dim=1)
        return _Pool(state, *(torch.cat([getattr(self, n), getattr(other, n)]) for n in names))


@dataclass
class _Splitting:
    """A batch of repeats of the splitting algorithm; `run` carries it out."""

    chain: _Chain
    coordinate: Callable[[Coordinates], Tensor]
    levels: Tensor
    n_kill: int
    tally: _Tally
    states: Tensor = field(init=False)  # (state_dim, clones, levels): where a clone first attained a level
    times: Tensor = field(init=False)  # (clones, levels): after how many steps; -1 where it did not
    level: Tensor = field(init=False)  # (clones,): highest level attained
    pool: _Pool = field(init=False)

    @property
    def top(self) -> int:
        return len(self.levels) + 1

    def run(self, start: Tensor, done: Tensor, repeats: Tensor, first: int) -> _Batch:
        """Estimates from starts (state_dim, repeats, clones), of which `done` are in the target already."""
        r, n = done.shape
        self.states = torch.zeros(len(start), r * n, self.top + 1, dtype=torch.float64)
        self.times = torch.full((r * n, self.top + 1), -1, dtype=torch.int64)
        self.level = torch.zeros(r * n, dtype=torch.int64)
        nobody = torch.zeros(0, dtype=torch.int64)
        self.pool = _Pool(start[:, 0, :0], nobody, nobody, nobody, nobody, nobody)
        next_path = (repeats << 32) + first
        paths = next_path[:, None] + torch.arange(n)
        next_path = next_path + n
        flat = start.reshape(len(start), -1)
        level = torch.where(done.reshape(-1), self.top, self._levels_of(flat))
        zeros = torch.zeros(r * n, dtype=torch.int64)
        self._begin(torch.arange(r * n), flat, zeros, level, paths.reshape(-1))

        nan = torch.full((r,), torch.nan, dtype=torch.float64)
        batch = _Batch(nan.clone(), torch.zeros(r, dtype=torch.int64), nan.clone(), nan.clone(), nan.clone())
        weight = torch.zeros(r, dtype=torch.float64)  # its logarithm
        ended = torch.zeros(r * n, dtype=torch.int64)  # steps at the end of unsplit paths
        unsplit = torch.ones(r, dtype=torch.bool)
        open_ = torch.ones(r, dtype=torch.bool)
        while bool(open_.any()):
            self._sweep(ended)
            busy = torch.zeros(r, dtype=torch.bool)
            busy[self.pool.row // n] = True
            ready = (open_ & ~busy).nonzero()[:, 0]
            if not len(ready):
                continue
            fresh = ready[unsplit[ready]]
            if len(fresh):
                steps = ended.reshape(r, n)[fresh].double()
                returned = self.level.reshape(r, n)[fresh] < self.top
                batch.unsplit[fresh] = steps.mean(dim=1)
                batch.back[fresh] = (steps * returned).sum(dim=1) / returned.sum(dim=1)
                unsplit[fresh] = False
            level = self.level.reshape(r, n)[ready]
            threshold = level.sort(dim=1).values[:, self.n_kill - 1 : self.n_kill]
            killed = level <= threshold
            count = killed.sum(dim=1)
            finished = (threshold[:, 0] == self.top) | (count == n)
            if bool(finished.any()):
                rows = ready[finished]
                hit = level[finished] == self.top
                share = hit.double().mean(dim=1)
                batch.probability[rows] = torch.exp(weight[rows]) * share
                times = self.times.reshape(r, n, -1)[rows, :, self.top].double()
                batch.reactive[rows] = (times * hit).sum(dim=1) / hit.sum(dim=1)
                open_[rows] = False
            go = ~finished
            if bool(go.any()):
                rows, killed, count = ready[go], killed[go], count[go]
                weight[rows] += torch.log1p(-count.double() / n)
                batch.iterations[rows] += 1
                self._branch(rows, level[go], killed, threshold[go], next_path[rows], n)
                next_path[rows] += count
        return batch

    def _begin(self, row: Tensor, state: Tensor, before: Tensor, level: Tensor, path: Tensor) -> None:
        """Set clones to a state at a level, and run those that are not in the target."""
        self.times[row] = -1
        self.times[row, level] = before
        self.states[:, row, level] = state
        self.level[row] = level
        new = _Pool(state, path, torch.zeros_like(path), level, before, row)
        self.pool = self.pool.join(new.select(level < self.top))

    def _sweep(self, ended: Tensor) -> None:
        """Some steps of all running paths; those that stopped are removed."""
        pool = self.pool
        if not len(pool.path):
            return
        self.tally.check(pool.block)
        states, code = self.chain.sweep(pool.state, pool.path, pool.block)
        stopped, taken, _ = self.tally.stops(code)
        number = pool.before + STEPS_PER_BLOCK * pool.block
        ended[pool.row[stopped]] = (number + taken)[stopped]
        level = self._levels_of(states.flatten(1)).reshape(code.shape)
        level = torch.where(code == TARGET, self.top, level)
        # a step that stops elsewhere, and what follows a stop, attains nothing
        follows = torch.arange(len(code))[:, None] >= taken
        level = torch.where(follows | (code == ORIGIN) | (code == LOST), 0, level)
        highest = torch.cat([pool.level[None], level]).cummax(dim=0).values
        step, path = (highest[1:] > highest[:-1]).nonzero(as_tuple=True)
        row, risen = pool.row[path], level[step, path]
        self.times[row, risen] = number[path] + step + 1
        self.states[:, row, risen] = states[:, step, path]
        pool.level = self.level[pool.row] = highest[-1]
        pool.state, pool.block = states[:, -1], pool.block + SWEEP
        self.pool = pool.select(~stopped)

    def _levels_of(self, state: Tensor) -> Tensor:
        """Levels of states (state_dim, n) outside the target."""
        value = self.coordinate(Coordinates(state[: self.chain.stepper.dim].unbind(0)))
        return torch.bucketize(value.contiguous(), self.levels, right=True)

    def _branch(
        self, rows: Tensor, level: Tensor, killed: Tensor, threshold: Tensor, next_path: Tensor, n: int
    ) -> None:
        """Replace killed clones by branches of survivors, from where those first exceeded the threshold."""
        # survivors first: a survivor's rank turns into its number
        order = killed.to(torch.int8).argsort(dim=1, stable=True)
        survivors = (~killed).sum(dim=1)
        repeat, clone = killed.nonzero(as_tuple=True)
        path = next_path[repeat] + killed.cumsum(dim=1)[repeat, clone] - 1
        word = philox4x32(path_counter(path, 0, STREAM_BRANCH), self.chain.key)[0]
        rank = (uniform_from_bits(word, torch.float64) * survivors[repeat]).long()
        parent = rows[repeat] * n + order[repeat, rank]
        beyond = torch.arange(self.top + 1) > threshold[repeat]
        branch = ((self.times[parent] >= 0) & beyond).int().argmax(dim=1)
        state, before = self.states[:, parent, branch], self.times[parent, branch]
        self._begin(rows[repeat] * n + clone, state, before, branch, path)


# Public functions


def rare_committor(
    system: Diffusion | Map,
    x0: npt.ArrayLike,
    region_a: OpenSet,
    region_b: OpenSet,
    *,
    reaction_coordinate: Callable[[Tensor], Tensor] | None = None,
    levels: int | npt.ArrayLike = 200,
    n_clones: int = 100,
    n_kill: int | None = None,
    n_repeats: int = 100,
    dt: float | None = None,
    seed: int = 0,
    correction: str | None = "bridge",
    t_max: float | None = None,
) -> RareProbability:
    """Probability of reaching B before A by adaptive multilevel splitting.

    Parameters
    ----------
    system : Diffusion or Map
        With noise, and without schedules. The step of a Diffusion is Euler-Maruyama.
    x0 : array_like, shape (dim,)
        Start, outside A and B.
    region_a, region_b : Ball, Box, HalfSpace, Region or a combination
        Disjoint; paths stop there.
    reaction_coordinate : callable, optional
        Takes one point, a torch tensor of shape (dim,), and returns a scalar tensor that grows towards B. By
        default minus the distance to B.
    levels : int or array_like
        Values of the reaction coordinate at which paths may branch, increasing. A number means that many from
        x0 to B, evenly spaced, which only the default coordinate has.
    n_clones : int
        Paths of a repeat, >= 2.
    n_kill : int, optional
        Least number of clones killed at a time, below `n_clones`; a tenth of them by default.
    n_repeats : int
        Independent repeats, >= 2, from whose scatter the error comes. Many repeats cost little more than a
        few, since they run together.
    dt : float, optional
        Step of a Diffusion, in time; its lr by default. Not for a Map.
    seed : int
        The random numbers are a function of (seed, path number, step).
    correction : {"bridge", None}
        ""
        "bridge": a Diffusion touches A and B within steps too. None: the chain is watched at whole steps.
    t_max : float, optional
        Limit on the time of a path (steps of a Map); by default 1e7 steps.

    Returns
    -------
    RareProbability

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range. Before any work.
    RuntimeError
        A path reached neither A nor B within `t_max`.

    Notes
    -----
    Algorithm: see the module `samdyn.escape.splitting`. The estimate is unbiased for the simulated chain. A
    repeat costs about log(1/p) n_clones paths. Where B can be reached along several channels, a poor
    coordinate shows as a few repeats that dominate the mean: compare with another coordinate and more clones.

    References
    ----------
    Cerou & Guyader, Stochastic Analysis and Applications 25, 417 (2007); Brehier et al., Annals of Applied
    Probability 26, 3559 (2016).

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.escape.splitting import rare_committor
    >>> sgd = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.05, noise=sd.GaussianNoise(std=1.0))
    >>> p = rare_committor(sgd, [-0.9], sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], 0.0), n_repeats=20)
    >>> low, high = p.confidence_interval(level=0.999)
    >>> low < 1.98e-05 < high
    True
    """
    _check_region("region_a", region_a)
    _check_region("region_b", region_b)
    stepper, start, dt, key = _check_system(system, x0, dt, seed)
    region_a, region_b = region_a.with_dim(system.dim), region_b.with_dim(system.dim)
    for name, region in (("region_a", region_a), ("region_b", region_b)):
        distance = float(region.signed_distance(start))
        if not distance > 0:
            raise ValueError(f"x0 must lie outside {name}, got {start} at signed distance {distance:.3g}")
    bridge = _check_correction(correction) and stepper.continuous
    chain = _chain(system, stepper, dt, key, (~region_a).faces, bridge, (~region_b).faces, bridge)
    coordinate, values = _coordinate(system, reaction_coordinate, levels, chain.target.faces, start)
    kill, shape = _check_counts(n_clones, n_kill, n_repeats)
    tally = _tally(t_max, dt)

    state = _state(system, start)[:, None, None]

    def begin(repeats: Tensor) -> tuple[Tensor, Tensor]:
        size = (len(repeats), shape[1])
        return state.expand(-1, *size), torch.zeros(size, dtype=torch.bool)

    batch = _run(chain, coordinate, values, kill, tally, shape, begin, 0)
    return _probability(batch, values, kill, shape, tally, dt, seed)


def rare_exit_time(
    system: Diffusion | Map,
    x0: npt.ArrayLike,
    region: OpenSet,
    origin: OpenSet,
    *,
    margin: float | None = None,
    n_loops: int = 2,
    reaction_coordinate: Callable[[Tensor], Tensor] | None = None,
    levels: int | npt.ArrayLike = 200,
    n_clones: int = 100,
    n_kill: int | None = None,
    n_repeats: int = 100,
    dt: float | None = None,
    seed: int = 0,
    correction: str | None = "bridge",
    t_max: float | None = None,
) -> RareExitTime:
    """Mean exit time from a region around an attractor, where exits are rare.

    Parameters
    ----------
    system : Diffusion or Map
        With noise, and without schedules.
    x0 : array_like, shape (dim,)
        Start, inside `origin`: the attractor, or near it.
    region : Ball, Box, HalfSpace, Region or a combination
        The open set that paths leave, as in `exit_times`.
    origin : Ball, Box, HalfSpace, Region or a combination
        A small set around the attractor, well inside `region`, to which paths return again and again: about
        one standard deviation of the stationary law in size.
    margin : float, optional
        Distance from `origin` of the surface at which loops turn, > 0. By default the distance from x0 to
        the boundary of `origin`, so that twice a ball.
    n_loops : int
        Loops that each clone makes before the one that counts, to forget x0.
    reaction_coordinate, levels
        As in `rare_committor`. The default is the signed distance of `region`, from x0 to the boundary.
    n_clones, n_kill, n_repeats, dt, seed, correction, t_max
        As in `rare_committor`; the bridge is for the boundary of `region`, while `origin` and the surface,
        which are a choice, are watched at whole steps.

    Returns
    -------
    RareExitTime
        In the time of the diffusion, or in steps of the map.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range. Before any work.
    RuntimeError
        A path reached neither the origin nor the outside within `t_max`.

    Notes
    -----
    T = T_first + (1/p - 1)(T_back + T_out) + T_reactive: see the module `samdyn.escape.splitting`. The step
    that exits counts whole. An origin of which the region has two (another well inside it) gives the mean
    only if paths come back from there often enough for `t_max`.

    References
    ----------
    Cerou, Guyader, Lelievre & Pommier, Journal of Chemical Physics 134, 054108 (2011).

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.escape.splitting import rare_exit_time
    >>> sgd = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.05, noise=sd.GaussianNoise(std=1.0))
    >>> exit = rare_exit_time(sgd, [-1.0], sd.HalfSpace([1.0], 0.0), sd.Ball([-1.0], 0.1), n_repeats=20)
    >>> low, high = exit.confidence_interval(level=0.999)
    >>> low < 53800 < high
    True
    """
    _check_region("region", region)
    _check_region("origin", origin)
    stepper, start, dt, key = _check_system(system, x0, dt, seed)
    region, origin = region.with_dim(system.dim), origin.with_dim(system.dim)
    for name, part in (("region", region), ("origin", origin)):
        distance = float(part.signed_distance(start))
        if not distance < 0:
            raise ValueError(f"x0 must lie inside {name}, got {start} at signed distance {distance:.3g}")
    margin = -distance if margin is None else checks.number("margin", margin, above=0)
    n_loops = checks.integer("n_loops", n_loops, at_least=0)
    bridge = _check_correction(correction) and stepper.continuous
    chain = _chain(system, stepper, dt, key, (~origin).faces, False, region.faces, bridge)
    out = _chain(system, stepper, dt, key, (_Enlarged(origin.faces, margin),), False, region.faces, bridge)
    coordinate, values = _coordinate(system, reaction_coordinate, levels, chain.target.faces, start)
    kill, shape = _check_counts(n_clones, n_kill, n_repeats)
    tally, loops = _tally(t_max, dt), _tally(t_max, dt)
    n = shape[1]
    legs: list[tuple[Tensor, Tensor]] = []

    def begin(repeats: Tensor) -> tuple[Tensor, Tensor]:
        """Loops from x0 on: where the last of them meets the surface."""
        clones = (repeats[:, None] << 32) + torch.arange(n)
        home = _state(system, start)[:, None].expand(-1, clones.numel()).contiguous()
        state, first = home.clone(), torch.zeros(0)
        for phase in range(2 * n_loops + 3):
            leg = chain if phase % 2 else out
            state, outcome, steps = _stop(leg, loops, state, (clones + phase * n).reshape(-1))
            mean = steps.reshape(clones.shape).double().mean(dim=1)
            first = mean if phase == 0 else first
            if phase < 2 * n_loops + 2:  # an exit before the loops settled starts again
                again = (outcome == TARGET) | ~state.isfinite().all(dim=0)
                state = torch.where(again, home, state)
        legs.append((first, mean))
        return state.reshape(-1, *clones.shape), (outcome == TARGET).reshape(clones.shape)

    batch = _run(chain, coordinate, values, kill, tally, shape, begin, (2 * n_loops + 3) * n)
    probability = _probability(batch, values, kill, shape, tally, dt, seed)
    return RareExitTime(
        probability=probability,
        time_first=dt * torch.cat([first for first, _ in legs]).numpy(),
        time_out=dt * torch.cat([out for _, out in legs]).numpy(),
        time_back=dt * batch.back.numpy(),
        time_reactive=dt * batch.reactive.numpy(),
        path_steps=tally.path_steps + loops.path_steps,
    )


def _run(
    chain: _Chain,
    coordinate: Callable[[Coordinates], Tensor],
    levels: Array,
    n_kill: int,
    tally: _Tally,
    shape: tuple[int, int],
    begin: Callable[[Tensor], tuple[Tensor, Tensor]],
    first: int,
) -> _Batch:
    """All repeats, in batches whose tables fit into memory."""
    n_repeats, n_clones = shape
    row = n_clones * (len(levels) + 2) * 8 * (chain.stepper.state_dim + 1)
    size = max(1, TABLE_BYTES // row)
    splitting = _Splitting(chain, coordinate, torch.from_numpy(levels), n_kill, tally)
    batches = []
    with torch.no_grad():
        for a in range(0, n_repeats, size):
            repeats = torch.arange(a, min(a + size, n_repeats))
            batches.append(splitting.run(*begin(repeats), repeats, first))
    names = ("probability", "iterations", "reactive", "back", "unsplit")
    return _Batch(*(torch.cat([getattr(batch, name) for batch in batches]) for name in names))


def _probability(
    batch: _Batch,
    levels: Array,
    n_kill: int,
    shape: tuple[int, int],
    tally: _Tally,
    dt: float,
    seed: int,
) -> RareProbability:
    estimates = batch.probability.numpy()
    if not estimates.any():
        warnings.warn(
            "no clone reached the target in any repeat, so the estimate is 0: raise n_clones or levels",
            stacklevel=3,
        )
    if tally.n_diverged:
        warnings.warn(
            f"{tally.n_diverged} paths diverged and count as not having reached the target: lower dt",
            stacklevel=3,
        )
    return RareProbability(
        estimates=estimates,
        iterations=batch.iterations.numpy(),
        n_clones=shape[1],
        n_kill=n_kill,
        levels=levels,
        path_steps=tally.path_steps,
        steps_per_path=float(batch.unsplit.mean()),
        n_diverged=tally.n_diverged,
        dt=dt,
        seed=seed,
    )


# Arguments


def _check_region(name: str, region: Any) -> None:
    if not isinstance(region, OpenSet):
        raise TypeError(f"{name} must be a samdyn region such as sd.Ball(center, radius), got {region!r}")


def _check_correction(correction: str | None) -> bool:
    if correction not in ("bridge", None):
        raise ValueError(f"correction must be 'bridge' or None, got {correction!r}")
    return correction == "bridge"


def _check_system(
    system: Any, x0: npt.ArrayLike, dt: float | None, seed: int
) -> tuple[Stepper, Array, float, tuple[Tensor, Tensor]]:
    if not isinstance(system, Diffusion | Map):
        raise TypeError(f"system must be a Diffusion or a Map, got {system!r}")
    if not system.n_normals:
        raise ValueError(f"system must have noise, got {system!r}")
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients, got {system!r}")
    start = checks.points("x0", x0, system.dim)
    if start.ndim != 1:
        raise ValueError(f"x0 must have shape ({system.dim},), got shape {start.shape}")
    if isinstance(system, Diffusion):
        dt = float(system.coefficients()["lr"]) if dt is None else checks.number("dt", dt, above=0)
    elif dt is not None:
        raise ValueError(f"dt must not be given for a Map, whose time is its step, got {dt!r}")
    low, high = split_seed(seed)
    key = torch.tensor(low), torch.tensor(high)
    return build_stepper(system).eager(), start, 1.0 if dt is None else dt, key


def _check_counts(n_clones: int, n_kill: int | None, n_repeats: int) -> tuple[int, tuple[int, int]]:
    n = checks.integer("n_clones", n_clones, at_least=2, below=1 << 20)
    kill = max(1, n // 10) if n_kill is None else checks.integer("n_kill", n_kill, at_least=1, below=n)
    return kill, (checks.integer("n_repeats", n_repeats, at_least=2, below=1 << 30), n)


def _tally(t_max: float | None, dt: float) -> _Tally:
    steps = MAX_STEPS if t_max is None else checks.number("t_max", t_max, above=0) / dt
    return _Tally(max_blocks=math.ceil(steps / STEPS_PER_BLOCK))


def _chain(
    system: Diffusion | Map,
    stepper: Stepper,
    dt: float,
    key: tuple[Tensor, Tensor],
    origin: tuple[Face, ...],
    bridge_origin: bool,
    target: tuple[Face, ...],
    bridge_target: bool,
) -> _Chain:
    values = tuple(torch.tensor(v, dtype=torch.float64) for v in system.coefficients().values())
    tests = [
        ExitTest(faces, bridge, exit_probability, projected_variance)
        for faces, bridge in ((origin, bridge_origin), (target, bridge_target))
    ]
    return _Chain(stepper, values, dt, key, *tests)


def _state(system: Diffusion | Map, start: Array) -> Tensor:
    """A state at rest."""
    return torch.from_numpy(np.concatenate([start, np.zeros(system.state_dim - system.dim)]))


def _coordinate(
    system: Diffusion | Map,
    function: Callable[[Tensor], Tensor] | None,
    levels: int | npt.ArrayLike,
    faces: tuple[Face, ...],
    start: Array,
) -> tuple[Callable[[Coordinates], Tensor], Array]:
    """The reaction coordinate on coordinates, and the values of its levels."""
    if function is None:
        coordinate = _coordinate_of(faces)
    elif callable(function):
        coordinate = _traced(function, system.dim)
    else:
        raise TypeError(f"reaction_coordinate must be a function of one point, got {function!r}")
    if np.ndim(levels) == 0:
        n = checks.integer("levels", levels, at_least=1)
        if function is not None:
            raise ValueError(
                f"levels must be an array of values of reaction_coordinate where that is given, got {n}"
            )
        low = float(coordinate(Coordinates(torch.from_numpy(start)[:, None].unbind(0)))[0])
        return coordinate, np.linspace(low, 0.0, n + 1)[:-1]
    values = checks.points("levels", levels, np.shape(levels)[-1])
    if values.ndim != 1 or not len(values) or not (np.diff(values) > 0).all():
        raise ValueError(f"levels must be a number or an increasing sequence of numbers, got {levels!r}")
    return coordinate, values


def _traced(function: Callable[[Tensor], Tensor], dim: int) -> Callable[[Coordinates], Tensor]:
    wanted = f"reaction_coordinate must turn a tensor of shape ({dim},) into a scalar tensor"
    try:
        value = function(torch.zeros(dim, dtype=torch.float64))
        shape = tuple(value.shape)
        form: CoordinateForm = traced_or_batched(function, dim)
    except Exception as error:
        raise TypeError(f"{wanted}, got {type(error).__name__}: {error}") from error
    if shape:
        raise ValueError(f"{wanted}, got shape {shape}")
    return lambda x: form(*x)[0]

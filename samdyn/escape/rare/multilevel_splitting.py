"""Adaptive multilevel splitting of a pool of clones: the iterations behind `rare_committor`.

All clones of all repeats are one pool that advances together; a repeat kills and branches as soon as its own
clones have stopped. Each branch is a new path, numbered within its repeat, so that a repeat's estimate does
not depend on what else is in the pool.

States at levels are stored: 8 (state_dim + 1) bytes a clone and level, and repeats run in batches that keep
this below `TABLE_BYTES`. Replaying a parent from its random numbers would need no memory, but each branch
would repeat every step of its ancestors: in the double well that is 0.8 times as many steps again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.escape.rare import stopping
from samdyn.escape.rare.stopping import LOST, ORIGIN, TARGET, StoppedChain, Tally
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.job import Report
from samdyn.numerics.random import STEPS_PER_BLOCK, path_counter, philox4x32, uniform_from_bits
from samdyn.numerics.vector import Coordinates
from samdyn.trace.batch import tensor_of

STREAM_BRANCH = 0xFFFF_2000  # which survivor a new branch starts from
TABLE_BYTES = 1 << 28  # 256 MiB of stored states, above which repeats run in parts
LARGE_JOB = 5000  # clones of all repeats, above which one repeat comes first to time the work
WIDE = 20_000  # paths in the sweep that is timed


@dataclass
class Batch:
    """What a batch of repeats estimated, one entry a repeat."""

    probability: Tensor
    iterations: Tensor
    reactive: Tensor  # mean steps of the clones that reached the target
    back: Tensor  # mean steps of unsplit paths that returned
    unsplit: Tensor  # mean steps of unsplit paths


@dataclass
class Pool:
    """The running paths: state, path number, block, level, steps before the branch, and the clone's row in
    the tables.
    """

    state: Tensor
    path: Tensor
    block: Tensor
    level: Tensor
    before: Tensor
    row: Tensor

    def select(self, keep: Tensor) -> Pool:
        rest = (self.path, self.block, self.level, self.before, self.row)
        return Pool(self.state[:, keep], *(x[keep] for x in rest))

    def join(self, other: Pool) -> Pool:
        names = ("path", "block", "level", "before", "row")
        state = torch.cat([self.state, other.state], dim=1)
        return Pool(state, *(torch.cat([getattr(self, n), getattr(other, n)]) for n in names))


@dataclass
class Splitting:
    """A batch of repeats of the splitting algorithm; `run` carries it out."""

    chain: StoppedChain
    coordinate: Callable[[Coordinates], Tensor]
    levels: Tensor
    n_kill: int
    tally: Tally
    states: Tensor = field(init=False)  # (state_dim, clones, levels): where a clone first attained a level
    times: Tensor = field(init=False)  # (clones, levels): after how many steps; -1 where it did not
    level: Tensor = field(init=False)  # (clones,): highest level attained
    pool: Pool = field(init=False)

    @property
    def top(self) -> int:
        return len(self.levels) + 1

    def run(self, start: Tensor, done: Tensor, repeats: Tensor, first: int, report: Report) -> Batch:
        """Estimates from starts (state_dim, repeats, clones), of which `done` are in the target already."""
        r, n = done.shape
        self.states = torch.zeros(len(start), r * n, self.top + 1, dtype=torch.float64, device="cpu")
        self.times = torch.full((r * n, self.top + 1), -1, dtype=torch.int64, device="cpu")
        self.level = torch.zeros(r * n, dtype=torch.int64, device="cpu")
        nobody = torch.zeros(0, dtype=torch.int64, device="cpu")
        self.pool = Pool(start[:, 0, :0], nobody, nobody, nobody, nobody, nobody)
        next_path = (repeats << 32) + first
        paths = next_path[:, None] + torch.arange(n, device="cpu")
        next_path = next_path + n
        flat = start.reshape(len(start), -1)
        level = torch.where(done.reshape(-1), self.top, self._levels_of(flat))
        zeros = torch.zeros(r * n, dtype=torch.int64, device="cpu")
        self._begin(torch.arange(r * n, device="cpu"), flat, zeros, level, paths.reshape(-1))

        nan = torch.full((r,), torch.nan, dtype=torch.float64, device="cpu")
        batch = Batch(
            nan.clone(),
            torch.zeros(r, dtype=torch.int64, device="cpu"),
            nan.clone(),
            nan.clone(),
            nan.clone(),
        )
        weight = torch.zeros(r, dtype=torch.float64, device="cpu")  # its logarithm
        ended = torch.zeros(r * n, dtype=torch.int64, device="cpu")  # steps at the end of unsplit paths
        unsplit = torch.ones(r, dtype=torch.bool, device="cpu")
        open_ = torch.ones(r, dtype=torch.bool, device="cpu")
        while bool(open_.any()):
            self._sweep(ended)
            report(0)
            busy = torch.zeros(r, dtype=torch.bool, device="cpu")
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
                report(len(rows))
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
        new = Pool(state, path, torch.zeros_like(path), level, before, row)
        self.pool = self.pool.join(new.select(level < self.top))

    def _sweep(self, ended: Tensor) -> None:
        """Some steps of all running paths; those that stopped are removed."""
        pool = self.pool
        if not len(pool.path):
            return
        states, code = self.chain.sweep(pool.state, pool.path, pool.block)
        # from the start of the path: a branch goes on where its parent was
        number = pool.before + STEPS_PER_BLOCK * pool.block
        stopped, taken, _ = self.tally.stops(code, number)
        ended[pool.row[stopped]] = (number + taken)[stopped]
        level = self._levels_of(states.flatten(1)).reshape(code.shape)
        level = torch.where(code == TARGET, self.top, level)
        # a step that stops elsewhere, and what follows a stop, attains nothing
        follows = torch.arange(len(code), device="cpu")[:, None] >= taken
        level = torch.where(follows | (code == ORIGIN) | (code == LOST), 0, level)
        highest = torch.cat([pool.level[None], level]).cummax(dim=0).values
        step, path = (highest[1:] > highest[:-1]).nonzero(as_tuple=True)
        row, risen = pool.row[path], level[step, path]
        self.times[row, risen] = number[path] + step + 1
        self.states[:, row, risen] = states[:, step, path]
        pool.level = self.level[pool.row] = highest[-1]
        pool.state, pool.block = states[:, -1], pool.block + stopping.SWEEP
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
        beyond = torch.arange(self.top + 1, device="cpu") > threshold[repeat]
        branch = ((self.times[parent] >= 0) & beyond).int().argmax(dim=1)
        state, before = self.states[:, parent, branch], self.times[parent, branch]
        self._begin(rows[repeat] * n + clone, state, before, branch, path)


def run_repeats(
    chain: StoppedChain,
    coordinate: Callable[[Coordinates], Tensor],
    levels: Array,
    n_kill: int,
    tally: Tally,
    repeats: tuple[int, int],
    n_clones: int,
    begin: Callable[[Tensor], tuple[Tensor, Tensor]],
    first: int,
    report: Report,
    *,
    announced_by: tuple[str, str] | None,
    work: Callable[[], int],
) -> Batch:
    """A range of repeats, in batches whose tables fit into memory.

    Parameters
    ----------
    chain, coordinate, levels, n_kill, tally
    repeats : tuple of int
        The first repeat and the last (exclusive).
    n_clones : int
    begin : callable
        Numbers of repeats to the states (state_dim, repeats, clones) in which clones start, and which of them
        are in the target already.
    first : int
        Path numbers of a repeat that `begin` uses.
    report : callable
        Called with the number of repeats that ended, after every sweep.
    announced_by : tuple of str, optional
        The verb, and what makes it cheaper, where this is all of its work. In a large job one repeat then
        comes first. Its path-steps (by `work`), and the time of a wide sweep, tell what the verb will take.
    work : callable
    """
    n_repeats = repeats[1] - repeats[0]
    row = n_clones * (len(levels) + 2) * 8 * (chain.stepper.state_dim + 1)
    size = max(1, TABLE_BYTES // row)
    splitting = Splitting(chain, coordinate, tensor_of(levels), n_kill, tally)
    timed = announced_by is not None and n_repeats * n_clones > LARGE_JOB
    batches: list[Batch] = []
    done = repeats[0]
    with torch.no_grad():
        while done < repeats[1]:
            last = min(done + (1 if timed and not batches else size), repeats[1])
            numbers = torch.arange(done, last, device="cpu")
            start = time.perf_counter()
            states, hit = begin(numbers)
            batches.append(splitting.run(states, hit, numbers, first, report))
            alone = time.perf_counter() - start
            done = last
            if announced_by is not None and timed and len(batches) == 1:
                n = min(size * n_clones, (n_repeats - 1) * n_clones, WIDE)
                step = _seconds_of_a_step(chain, states[:, 0, :1], n)
                # iterations take a while however few paths run, and longer with the slowest of many repeats
                estimate = 2 * alone * math.ceil(n_repeats / size) + 2 * step * work() * n_repeats
                announce(announced_by[0], estimate, announced_by[1])
    names = ("probability", "iterations", "reactive", "back", "unsplit")
    return Batch(*(torch.cat([getattr(batch, name) for batch in batches]) for name in names))


def _seconds_of_a_step(chain: StoppedChain, state: Tensor, n: int) -> float:
    """Seconds that a step of one path takes in a sweep of n paths."""
    paths = state.expand(-1, n).contiguous(), torch.arange(n, device="cpu")
    block = torch.zeros_like(paths[1])
    return seconds_of(lambda: chain.sweep(*paths, block), repeats=2) / (stopping.SWEEP * STEPS_PER_BLOCK * n)

"""Splitting as a job of repeats, which are independent: in one batch here, or in pieces on workers.

A `SplittingJob` holds the sets in which paths stop, the reaction coordinate and the options. A mean exit time
has loops before the splitting, from the origin to a surface about it and back
(`samdyn.escape.rare.rare_exits`); a committor has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.dynamics.steppers import build_stepper
from samdyn.dynamics.system_description import describe_system, hash_of, points_about, rounded
from samdyn.escape.exit.description import hash_of_distances
from samdyn.escape.rare.multilevel_splitting import Batch, run_repeats
from samdyn.escape.rare.native_stopping import stopped_chain
from samdyn.escape.rare.reaction_coordinate import traced_coordinate
from samdyn.escape.rare.stopping import (
    TARGET,
    StoppedChain,
    StoppingSet,
    Tally,
    distance_to,
    run_until_stopped,
    state_at_rest,
)
from samdyn.jobs.job import Arrays, Job, Report, Run, joined, run_job
from samdyn.jobs.kept import Kept
from samdyn.jobs.progress import PacedBar, PartsBar
from samdyn.numerics.random import split_seed
from samdyn.numerics.vector import Coordinates
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.trace.aten import graph_identity
from samdyn.trace.batch import tensor_of

CLONES = 5000
"""Clones of a piece, about: a sweep of fewer paths costs its overhead."""
LEAST_PIECES = 4
CHEAPER = "pass fewer n_repeats or n_clones, a larger dt or workers="


class _Prepared(NamedTuple):
    chain: StoppedChain
    out: StoppedChain | None
    coordinate: Callable[[Coordinates], Tensor]


_prepared: Kept[_Prepared] = Kept(most=2)


@dataclass(frozen=True)
class SplittingJob(Job):
    """Independent repeats of splitting.

    Attributes
    ----------
    verb : str
    system : Map or Diffusion
    start : ndarray, shape (dim,)
    origin, target : StoppingSet
        Where paths stop.
    surface : StoppingSet or None
        Where loops turn, of a mean exit time.
    n_loops : int
        Loops of each clone before the one that counts.
    function : callable or None
        The reaction coordinate; minus the distance to the target by default.
    levels : ndarray
    n_kill, n_clones, n_repeats : int
    max_steps : int
        Of a path.
    dt : float
    seed : int
    device : str
        Where sweeps run.
    """

    verb: str
    system: Map | Diffusion
    start: Array
    origin: StoppingSet
    target: StoppingSet
    surface: StoppingSet | None
    n_loops: int
    function: Callable[[Tensor], Tensor] | None
    levels: Array
    n_kill: int
    n_clones: int
    n_repeats: int
    max_steps: int
    dt: float
    seed: int
    device: str = "cpu"

    @property
    def n(self) -> int:
        """The repeats."""
        return self.n_repeats

    @property
    def pointwise(self) -> bool:
        """Whether steps, tests and the reaction coordinate are pointwise operations."""
        faces = [face for stops in self._sets() for face in stops.faces]
        prepared = self.prepare()
        coordinate = self.function is None or getattr(prepared.coordinate, "traced", False)
        return prepared.chain.stepper.traced and all(face.pointwise for face in faces) and coordinate

    def cut(self) -> Sequence[tuple[int, int]]:
        """A few wide pieces."""
        n = self.n_repeats
        count = min(n, max(LEAST_PIECES, n * self.n_clones // CLONES))
        return [(i * n // count, (i + 1) * n // count) for i in range(count)]

    def describe(self) -> dict[str, Any]:
        """The system, the sets, the coordinate and the options."""
        points = points_about(self.start[None])
        told = "distance"
        if self.function is not None:
            with torch.no_grad():
                values = self.prepare().coordinate(Coordinates(tensor_of(points.T.copy()).unbind(0)))
            told = f"{graph_identity(self.function, tensor_of(points[0]))} {hash_of(rounded(values.numpy()))}"
        own = ("verb", "n_loops", "n_kill", "n_clones", "n_repeats")
        return {
            **{name: getattr(self, name) for name in own},
            **({} if self.device == "cpu" else {"device": self.device.split(":")[0]}),
            **describe_system(self.system, self.start[None], self.max_steps, self.seed, self.dt),
            "sets": [
                [stops.bridge, hash_of_distances(stops.faces, self.system.dim, points)]
                for stops in self._sets()
            ],
            "reaction_coordinate": told,
            "levels": hash_of(self.levels.tobytes()),
        }

    def _sets(self) -> list[StoppingSet]:
        return [self.origin, self.target, *([] if self.surface is None else [self.surface])]

    def prepare(self) -> _Prepared:
        """The chains and the coordinate, built once in a process."""

        def build() -> _Prepared:
            stepper, n = build_stepper(self.system), self.n_clones * self.n_repeats
            low, high = split_seed(self.seed)
            key = torch.tensor(low, device="cpu"), torch.tensor(high, device="cpu")
            chain, out = (
                None if home is None else stopped_chain(
                    self.system, stepper, self.dt, key, home, self.target, n, self.device
                )
                for home in (self.origin, self.surface)
            )  # fmt: skip
            assert chain is not None
            if self.function is None:
                return _Prepared(chain, out, distance_to(self.target.faces))
            return _Prepared(chain, out, traced_coordinate(self.function, len(self.start)))

        return _prepared(self.key, build)

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """The estimates of some repeats, and the work that they took."""
        prepared, loops = self.prepare(), Tally(self.max_steps)
        tally = Tally(self.max_steps)
        legs: list[tuple[Tensor, Tensor]] = []

        def begin(repeats: Tensor) -> tuple[Tensor, Tensor]:
            if prepared.out is not None:
                return self._loops(prepared, loops, repeats, legs)
            size = (len(repeats), self.n_clones)
            state = state_at_rest(self.system, self.start)[:, None, None]
            return state.expand(-1, *size), torch.zeros(size, dtype=torch.bool, device="cpu")

        used = 0 if prepared.out is None else (2 * self.n_loops + 3) * self.n_clones
        batch = run_repeats(
            prepared.chain, prepared.coordinate, self.levels, self.n_kill, tally, (first, last),
            self.n_clones, begin, used, report,
            announced_by=(self.verb, CHEAPER) if last - first == self.n_repeats else None,
            work=lambda: tally.path_steps + loops.path_steps,
        )  # fmt: skip
        arrays = {name: getattr(batch, name).numpy() for name in BATCH}
        arrays["tally"] = np.array([tally.path_steps, tally.n_diverged, loops.path_steps])
        if legs:
            arrays["first"] = torch.cat([one for one, _ in legs]).numpy()
            arrays["out"] = torch.cat([one for _, one in legs]).numpy()
        return arrays

    def _loops(
        self, prepared: _Prepared, loops: Tally, repeats: Tensor, legs: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Loops from the start on: where the last of them meets the surface."""
        assert prepared.out is not None
        n = self.n_clones
        clones = (repeats[:, None] << 32) + torch.arange(n, device="cpu")
        rest = state_at_rest(self.system, self.start)[:, None].expand(-1, clones.numel()).contiguous()
        state, first = rest.clone(), torch.zeros(0, device="cpu")
        for phase in range(2 * self.n_loops + 3):
            leg = prepared.chain if phase % 2 else prepared.out
            state, outcome, steps = run_until_stopped(leg, loops, state, (clones + phase * n).reshape(-1))
            mean = steps.reshape(clones.shape).double().mean(dim=1)
            first = mean if phase == 0 else first
            if phase < 2 * self.n_loops + 2:  # an exit before the loops settled starts again
                again = (outcome == TARGET) | ~state.isfinite().all(dim=0)
                state = torch.where(again, rest, state)
        legs.append((first, mean))
        return state.reshape(-1, *clones.shape), (outcome == TARGET).reshape(clones.shape)


BATCH = tuple(Batch.__dataclass_fields__)


@dataclass(frozen=True)
class Split:
    """What all repeats gave."""

    batch: Batch
    tally: Tally
    loops: Tally
    first: Array | None = None
    out: Array | None = None


def run_splitting(job: SplittingJob, run: Run) -> Split:
    """All repeats of a job."""
    bar: PartsBar
    if run.in_pieces:
        bar = PacedBar(run.progress, job.verb, job.n_repeats, CHEAPER, unit="repeat")
    else:
        bar = PartsBar(run.progress, job.verb, job.n_repeats, "repeat")
    with bar:
        parts = run_job(job, run, bar)
    batch = Batch(*(torch.from_numpy(joined(parts, name)) for name in BATCH))
    steps, diverged, loops = (int(total) for total in np.sum([part["tally"] for part in parts], axis=0))
    legs = [joined(parts, name) for name in ("first", "out")] if job.surface is not None else []
    tally = Tally(job.max_steps, steps, diverged)
    return Split(batch, tally, Tally(job.max_steps, loops), *legs)


def check_counts(n_clones: int, n_kill: int | None, n_repeats: int) -> tuple[int, tuple[int, int]]:
    """The least number of clones killed at a time, and the repeats and clones."""
    n = checks.integer("n_clones", n_clones, at_least=2, below=1 << 20)
    kill = max(1, n // 10) if n_kill is None else checks.integer("n_kill", n_kill, at_least=1, below=n)
    return kill, (checks.integer("n_repeats", n_repeats, at_least=2, below=1 << 30), n)

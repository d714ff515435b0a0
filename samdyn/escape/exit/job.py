"""A first-exit job: what is simulated, as data that travel to workers and name a checkpoint.

An `ExitJob` holds the systems, the region, the starts and the options; its units are the rows of the
ensemble, the paths of one system after those of another. A process makes the traced step, the exit test and
the function that draws exits out of it once (`prepare`). Several systems run as one ensemble: they differ in
numbers that are inputs of the traced step.

After Ctrl-C a piece may come back in part: its paths then are censored at the step until which all of them
were followed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from samdyn.arguments.checks import Array
from samdyn.dynamics.clock import coefficients_at
from samdyn.dynamics.step import Stepper
from samdyn.dynamics.steppers import build_stepper
from samdyn.dynamics.system_description import (
    hash_of,
    hash_of_schedules,
    hash_of_step,
    points_about,
    text,
    value_of,
)
from samdyn.escape.exit.description import hash_of_distances
from samdyn.escape.kernel.coefficients import Coefficients
from samdyn.escape.kernel.crossing import exit_probability, projected_variance
from samdyn.escape.kernel.exit_draw import finisher
from samdyn.escape.kernel.exit_replay import Finish
from samdyn.escape.kernel.exit_test import ExitTest
from samdyn.escape.kernel.exits import first_exits
from samdyn.escape.region import OpenSet
from samdyn.jobs.job import Arrays, Job, Report
from samdyn.jobs.kept import Kept
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map

PRECISIONS = {"single": torch.float32, "double": torch.float64}


@dataclass(frozen=True)
class ExitJob(Job):
    """What is simulated; picklable where systems and region are.

    Attributes
    ----------
    systems : tuple
        One system, or several of the same structure.
    varied : tuple of str
        Names of the numbers in which they differ.
    region
        With its dimension known.
    starts : ndarray, shape (1, state_dim) or (rows, state_dim)
        States at the start: one for all paths, or one for each row of the ensemble.
    n_paths : int
        Paths of each system.
    limits, dts : tuple of int, tuple of float
        For each system the step limit and the step length.
    seed : int
    bridge : bool
        Whether exits within a step are tested for.
    device, precision : str
    compile : bool
    t_max : float
        When paths are given up; the last step may reach beyond it, and exits there do not count.
    first : int
        Row of the first of `starts`, in a part of a job.
    """

    systems: tuple[Diffusion | Map, ...]
    varied: tuple[str, ...]
    region: OpenSet
    starts: Array
    n_paths: int
    limits: tuple[int, ...]
    dts: tuple[float, ...]
    seed: int
    bridge: bool
    device: str
    precision: str
    compile: bool
    t_max: float = math.inf
    first: int = 0

    @property
    def system(self) -> Diffusion | Map:
        """The first system."""
        return self.systems[0]

    @property
    def n_steps(self) -> int:
        """The largest step limit."""
        return max(self.limits)

    @property
    def n(self) -> int:
        """The rows: paths of all systems together."""
        return self.n_paths * len(self.systems)

    @property
    def pointwise(self) -> bool:
        """The numbers of pointwise operations are the same bits whichever paths are computed along with a
        path; the numbers of batched linear algebra need not be.
        """
        prepared = prepare(self)
        return prepared.stepper.traced and all(face.pointwise for face in prepared.test.faces)

    @property
    def on_threads(self) -> bool:
        """Whether workers are threads: a compiled sweep does not hold Python's interpreter lock."""
        return self.compile and torch.device(self.device).type == "cpu"

    def options(self) -> dict[str, Any]:
        """The keyword arguments of `first_exits`."""
        return {
            "seed": self.seed,
            "device": torch.device(self.device),
            "dtype": PRECISIONS[self.precision],
            "compile": self.compile,
        }

    def part(self, first: int, last: int) -> ExitJob:
        """See `Job.part`: without the starts of other rows."""
        if len(self.starts) == 1:
            return self
        return replace(self, starts=self.starts[first - self.first : last - self.first], first=first)

    def describe(self) -> dict[str, Any]:
        """All that the numbers depend on, as JSON.

        Raises
        ------
        ValueError
            A schedule of too many steps reads objects whose state is not known.
        """
        stepper, coefficients = prepare(self).stepper, prepare(self).coefficients
        points = points_about(self.starts[:, : stepper.dim])
        several = len(self.systems) > 1
        return {
            "n_paths": self.n_paths,
            "n_steps": list(self.limits) if several else self.n_steps,
            "dt": list(self.dts) if several else self.dts[0],
            "seed": self.seed,
            "correction": "bridge" if self.bridge else None,
            "device": torch.device(self.device).type,
            "precision": self.precision,
            "compile": self.compile,
            "system": text(self.system),
            "parameters": [
                {name: value_of(value) for name, value in system.parameters.items()}
                for system in self.systems
            ],
            "region": text(self.region),
            "x0": hash_of(np.ascontiguousarray(self.starts).tobytes()),
            "coefficients": hash_of_schedules(
                self.systems, coefficients.at, self.limits, scheduled=coefficients.scheduled
            ),
            "step": hash_of_step(stepper, points, coefficients.at[0]),
            "distances": hash_of_distances(self.region.faces, stepper.dim, points),
        }

    def states(self, first: int, last: int) -> Array:
        """States at the start of some rows, (n, state_dim)."""
        if len(self.starts) == 1:
            return np.broadcast_to(self.starts, (last - first, self.starts.shape[1]))
        return self.starts[first - self.first : last - self.first]

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """The exits of some rows, and the step until which all of them were followed."""
        step, inside = 0, last - first

        def progress(now: int, left: int) -> None:
            nonlocal step, inside
            work, step, inside = inside * (now - step), now, left
            report(float(work))

        exits = first_exits(
            *prepare(self), self.states(first, last), first_row=first, progress=progress, **self.options()
        )
        return {**exits.arrays(), "n_steps": np.array(exits.n_steps)}

    def complete(self, arrays: Arrays) -> bool:
        """See `Job.complete`."""
        return int(arrays["n_steps"]) == self.n_steps

    def work(self, first: int, last: int) -> float:
        """Path-steps, if nobody leaves early."""
        return (last - first) * float(self.n_steps)


class Prepared(NamedTuple):
    """The leading arguments of `first_exits`."""

    stepper: Stepper
    test: ExitTest
    finish: Finish
    coefficients: Coefficients


_prepared: Kept[Prepared] = Kept(most=2)


def prepare(job: ExitJob) -> Prepared:
    """Trace the job's step, once in a process."""

    def build() -> Prepared:
        stepper = build_stepper(job.system, job.varied)
        test = ExitTest(job.region.faces, job.bridge, exit_probability, projected_variance)
        return Prepared(stepper, test, finisher(stepper, test), _coefficients(job, stepper.names))

    return _prepared(job.key, build)


def forget(job: ExitJob) -> None:
    """Let go of what `prepare` keeps."""
    _prepared.forget(job.key)


def _coefficients(job: ExitJob, names: Sequence[str]) -> Coefficients:
    """The coefficients of all systems, in the order of the step's inputs."""
    own = len(job.system.coefficients())
    at = tuple(_values(system, dt, names[own:]) for system, dt in zip(job.systems, job.dts, strict=True))
    return Coefficients(at, job.dts, job.limits, job.n_paths, job.system.scheduled)


def _values(system: Diffusion | Map, dt: float, extra: Sequence[str]) -> Callable[[int], Sequence[float]]:
    """Values at a step of the simulation; a Diffusion's schedules count steps of its lr."""
    rest = tuple(float(system.parameters[name]) for name in extra)
    at = coefficients_at(system, dt)
    if not system.scheduled:
        constant = (*at(0).values(), *rest)
        return lambda step: constant
    return lambda step: (*at(step).values(), *rest)

"""A first-exit job: what is simulated, as data that travel to workers and name a checkpoint.

A `Job` holds the systems, the region and the options. A process makes the traced step, the exit test and
the function that draws exits out of it once (`prepare`). Several systems run as one ensemble: they differ
in numbers that are inputs of the traced step.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from samdyn.dynamics.clock import coefficients_at
from samdyn.dynamics.step import Stepper
from samdyn.dynamics.steppers import build_stepper
from samdyn.escape.kernel.coefficients import Coefficients
from samdyn.escape.kernel.crossing import exit_probability, projected_variance
from samdyn.escape.kernel.exit_draw import finisher
from samdyn.escape.kernel.exit_replay import Finish
from samdyn.escape.kernel.exit_test import ExitTest
from samdyn.escape.region import OpenSet
from samdyn.jobs.kept import Kept
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map

PRECISIONS = {"single": torch.float32, "double": torch.float64}


@dataclass(frozen=True)
class Job:
    """What is simulated; picklable where systems and region are.

    Attributes
    ----------
    systems : tuple
        One system, or several of the same structure.
    varied : tuple of str
        Names of the numbers in which they differ.
    region
        With its dimension known.
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
    key : str
        Tells apart the jobs that a worker has seen.
    """

    systems: tuple[Diffusion | Map, ...]
    varied: tuple[str, ...]
    region: OpenSet
    n_paths: int
    limits: tuple[int, ...]
    dts: tuple[float, ...]
    seed: int
    bridge: bool
    device: str
    precision: str
    compile: bool
    # the time at which paths are given up: the last step may reach beyond it
    t_max: float = math.inf
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def system(self) -> Diffusion | Map:
        """The first system."""
        return self.systems[0]

    @property
    def n_steps(self) -> int:
        """The largest step limit."""
        return max(self.limits)

    @property
    def n_rows(self) -> int:
        """Paths of all systems together."""
        return self.n_paths * len(self.systems)

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


class Prepared(NamedTuple):
    """The leading arguments of `first_exits`."""

    stepper: Stepper
    test: ExitTest
    finish: Finish
    coefficients: Coefficients


_prepared: Kept[Prepared] = Kept(most=2)


def prepare(job: Job) -> Prepared:
    """Trace the job's step, once in a process."""

    def build() -> Prepared:
        stepper = build_stepper(job.system, job.varied)
        test = ExitTest(job.region.faces, job.bridge, exit_probability, projected_variance)
        return Prepared(stepper, test, finisher(stepper, test), _coefficients(job, stepper.names))

    return _prepared(job.key, build)


def forget(job: Job) -> None:
    """Let go of what `prepare` keeps."""
    _prepared.forget(job.key)


def is_pointwise(job: Job) -> bool:
    """Whether a path's numbers are the same bits whichever paths are computed along with it: the numbers of
    pointwise operations are, the numbers of batched linear algebra need not be.
    """
    prepared = prepare(job)
    return prepared.stepper.traced and all(face.pointwise for face in prepared.test.faces)


def _coefficients(job: Job, names: Sequence[str]) -> Coefficients:
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

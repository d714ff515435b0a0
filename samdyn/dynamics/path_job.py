"""Jobs of paths that are driven: what displacement, convergence, trajectories and shares have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.dynamics.contract import Coefficients, Step
from samdyn.dynamics.driver import build_step, drive
from samdyn.dynamics.observers import Observer
from samdyn.dynamics.system_description import describe_system
from samdyn.jobs import workers
from samdyn.jobs.job import Job, Report
from samdyn.jobs.kept import Kept
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.trace.device import choose_device

WIDE = 2048
"""Paths of a piece below which numpy's own overhead would outweigh the work of its steps."""

_steps: Kept[Step] = Kept(most=32)


def check_device(device: Any, system: System) -> str:
    """Where the steps of a verb are taken: the CPU unless another device is asked for.

    Raises
    ------
    ValueError
        There is no such device, or the system is a Flow and it is not the CPU.

    Examples
    --------
    >>> import samdyn as sd
    >>> check_device(None, sd.Flow(sd.landscapes.double_well(), sd.GD()))
    'cpu'
    """
    if device is None:
        return "cpu"
    chosen = choose_device(device)
    if chosen.type == "cpu":
        return "cpu"
    if isinstance(system, Flow):
        raise ValueError(
            f"device must be 'cpu' for a Flow, whose paths have step lengths of their own, got {device!r}"
        )
    return str(chosen)


@dataclass(frozen=True)
class PathJob(Job):
    """Paths of a system, driven for some steps; a subclass observes them.

    Attributes
    ----------
    system : Map or Diffusion
    x0 : ndarray, shape (1, dim) or (n_paths, dim)
        Starts, at rest.
    n_paths, n_steps, seed : int
    dt : float or None
        Length of a Diffusion's step, its lr by default.
    steps_of_all : float or None
        Steps of all paths of the work that this is a trial of: whether steps are compiled depends on it.
    device : str
        Where steps are taken.
    first : int
        Path of the first of `x0`, in a part of a job.
    """

    system: Map | Diffusion
    x0: Array
    n_paths: int
    n_steps: int
    seed: int
    dt: float | None = None
    steps_of_all: float | None = None
    device: str = "cpu"
    first: int = 0

    @property
    def n(self) -> int:
        """The paths."""
        return self.n_paths

    @property
    def path_steps(self) -> float:
        """Steps of all paths together."""
        return self.n_paths * float(self.n_steps) if self.steps_of_all is None else self.steps_of_all

    def step(self) -> Step:
        """The step, built once in a process."""
        return _steps(self.key, lambda: build_step(self.system, self.dt, self.path_steps, device=self.device))

    @property
    def on_threads(self) -> bool:
        """Whether the step is a compiled loop."""
        return self.step().compiled

    def cut(self) -> Sequence[tuple[int, int]]:
        """Wide pieces for steps in numpy, and more of them for others."""
        step = self.step()
        return workers.ranges(self.n, WIDE if step.pointwise and not step.compiled else workers.SMALLEST)

    def part(self, first: int, last: int) -> PathJob:
        """See `Job.part`: without the starts of other paths."""
        if len(self.x0) == 1:
            return self
        return replace(self, x0=self.x0[first - self.first : last - self.first], first=first)

    def describe(self) -> dict[str, Any]:
        """The system, its starts and the number of paths."""
        where = {} if self.device == "cpu" else {"device": self.device.split(":")[0]}
        return {
            "n_paths": self.n_paths,
            **where,
            **describe_system(self.system, self.x0, self.n_steps, self.seed, self.dt),
        }

    def work(self, first: int, last: int) -> float:
        """Path-steps."""
        return (last - first) * float(self.n_steps)

    def drive(
        self,
        paths: npt.NDArray[np.int64],
        observer: Observer,
        report: Report,
        *,
        coefficients: Callable[[int], Coefficients] | None = None,
        lengths: Sequence[float] | None = None,
    ) -> Array:
        """The last points of paths with these numbers; the other arguments as of `samdyn.dynamics.driver`."""
        x = self.x0[paths - self.first] if len(self.x0) > 1 else np.repeat(self.x0, len(paths), axis=0)
        return drive(
            self.system, self.system.at_rest(x), self.n_steps, observer, seed=self.seed, paths=paths,
            coefficients=coefficients, report=report, dt=self.dt, lengths=lengths, step=self.step(),
        )  # fmt: skip

"""Exit times over a grid of parameters, computed as one ensemble, and their result.

Every path carries the coefficients of its own grid point (`samdyn.escape.kernel.coefficients`), so that the
step is traced and compiled once, and a tile holds paths of many points. Paths of the same number get the same
random numbers at every point (common random numbers): each point's exits are the same as from `exit_times` by
itself, and curves over a parameter are smoother than independent runs would make them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.escape.exit.arguments import check_system, make_job
from samdyn.escape.exit.job import ExitJob
from samdyn.escape.exit.runs import run_exits
from samdyn.escape.region import OpenSet
from samdyn.escape.statistics.result import ExitTimes
from samdyn.jobs.job import check_run
from samdyn.results import Result, Rows, Table
from samdyn.results.export import package
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch


@dataclass(frozen=True, eq=False, repr=False)
class ExitTimeSweep(Result):
    """Exit times over a grid of parameters: a sequence of `ExitTimes`, one for each grid point.

    Attributes
    ----------
    parameters : dict of str to ndarray
        The values of each parameter; the grid is their product, the last one varying fastest.
    results : tuple of ExitTimes
        In the order of the grid.
    """

    cited = ExitTimes.cited
    row = "setting"

    parameters: dict[str, Array]
    results: tuple[ExitTimes, ...]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[ExitTimes]:
        return iter(self.results)

    def __getitem__(self, index: int | tuple[int, ...]) -> ExitTimes:
        """The result with this number, or at these numbers of the parameters' values."""
        if isinstance(index, tuple):
            index = int(np.ravel_multi_index(index, self.shape))
        return self.results[index]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C came before all paths had left or reached the time asked for."""
        return any(result.interrupted for result in self.results)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each parameter."""
        return tuple(len(values) for values in self.parameters.values())

    @property
    def grid(self) -> dict[str, Array]:
        """The value of each parameter at every grid point, of shape `shape`."""
        values = np.meshgrid(*self.parameters.values(), indexing="ij")
        return dict(zip(self.parameters, values, strict=True))

    @property
    def mean(self) -> Array:
        """Mean exit times, of shape `shape`; nan where no path left."""
        return self._array([r.mean if r.n_exited else math.nan for r in self.results])

    @property
    def standard_error(self) -> Array:
        """Standard errors of the means, of shape `shape`; nan where no path left."""
        return self._array([r.standard_error if r.n_exited else math.nan for r in self.results])

    @checked
    def confidence_interval(self, level: float = 0.95) -> Array:
        """Intervals of the means, of shape ``(*shape, 2)``, each from `ExitTimes.confidence_interval`.

        An end is infinite where no path left. Each interval is for its own point: points share their random
        numbers, so that intervals of neighbours miss together.
        """
        return np.array([r.confidence_interval(level) for r in self.results]).reshape(*self.shape, 2)

    def _array(self, values: Sequence[float]) -> Array:
        return np.array(values, dtype=float).reshape(self.shape)

    def table(self) -> Table:
        """Settings with mean exit times and counts."""
        names = [*self.parameters, "mean", "95 % interval", "exited", "censored", "diverged"]
        title = f"ExitTimeSweep: {len(self)} points, {len(self.results[0])} paths each"
        if self.interrupted:
            title += "; interrupted by Ctrl-C"
        return Table(title, Rows(len(self), self._row), names, right=True)

    def plot(self, parameter: str | None = None, ax: Any = None, **style: Any) -> Any:
        """Draw mean exit times with their intervals against a parameter.

        Parameters
        ----------
        parameter : str, optional
            Along the horizontal axis; the first by default. There is a line for each combination of the
            others.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        **style
            Keywords of `samdyn.plot.exit_sweeps`.

        Returns
        -------
        matplotlib Axes
        """
        return self._draw(parameter, ax=ax, **style)

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        values = np.array(list(itertools.product(*self.parameters.values())))
        intervals = np.array([r.confidence_interval(0.95) for r in self.results])
        columns = {name: values[:, i] for i, name in enumerate(self.parameters)}
        columns |= {
            "mean": np.array([r.mean for r in self.results]),
            "standard_error": np.array([r.standard_error for r in self.results]),
            "lower": intervals[:, 0],
            "upper": intervals[:, 1],
            "n_exited": np.array([r.n_exited for r in self.results]),
            "n_censored": np.array([r.n_censored for r in self.results]),
            "n_diverged": np.array([r.n_diverged for r in self.results]),
        }
        return columns, {}

    def _row(self, i: int) -> list[str]:
        values, r = np.unravel_index(i, self.shape), self.results[i]
        low, high = r.confidence_interval(0.95)
        mean = f"{r.mean:.5g}" if r.n_exited else "no exit"
        counts = [str(n) for n in (r.n_exited, r.n_censored, r.n_diverged)]
        names = zip(self.parameters.values(), values, strict=True)
        return [*(f"{axis[k]:.6g}" for axis, k in names), mean, f"({low:.5g}, {high:.5g})", *counts]

    def to_xarray(self) -> Any:
        """Means, intervals and counts over the grid of parameters.

        Returns
        -------
        xarray.Dataset
            An axis for each parameter.

        Raises
        ------
        ImportError
            xarray is not installed.
        """
        columns = self._columns()[0]
        names = tuple(self.parameters)
        values = {k: (names, np.reshape(v, self.shape)) for k, v in columns.items() if k not in names}
        return package("xarray", "to_xarray").Dataset(values, coords=self.parameters)


def exit_time_sweep(
    system: Diffusion | Map,
    x0: npt.ArrayLike,
    region: OpenSet,
    parameters: Mapping[str, Sequence[float] | npt.ArrayLike],
    n_paths: int | None = None,
    *,
    t_max: float,
    dt: float | None = None,
    seed: int = 0,
    correction: str | None = "bridge",
    device: str | None = None,
    precision: str | None = None,
    compile: bool | str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool = False,
) -> ExitTimeSweep:
    """First exit times over a grid of parameters, as one ensemble.

    Parameters
    ----------
    system : Diffusion or Map
        The system at one point of the grid; its own values of the parameters do not matter.
    x0, region
        As for `exit_times`.
    parameters : dict of str to sequence of float
        The values of each parameter; the grid is their product. Any number that ``system.with_parameters``
        takes: the rule's (rho, lam), lr, the noise's (std, batch_size), the loss's own; not momentum.
    n_paths : int, optional
        Paths at each point of the grid; 10 000 by default, or the number of starts.
    t_max, dt, seed, correction, device, precision, compile, workers, executor, checkpoint, progress
        As for `exit_times`. dt is each point's lr by default.

    Returns
    -------
    ExitTimeSweep

    Raises
    ------
    TypeError, ValueError
        As for `exit_times`; a parameter that the system does not have, that has no values, is not a number,
        or that the loss needs as a Python number.

    Warns
    -----
    UserWarning, RuntimeWarning
        As for `exit_times`.

    Notes
    -----
    Each point's exits equal the exits of ``exit_times(system.with_parameters(...), ...)`` with the same seed,
    precision and choice of compilation: to the last bit where the rule's numbers and lr vary, to rounding
    where numbers of the loss or the noise do, which a run by itself takes for constants. All points share
    their random numbers, so that differences between them have smaller errors than the intervals, which are
    each point's own, suggest.

    Examples
    --------
    >>> import samdyn as sd
    >>> sam = sd.Diffusion(sd.landscapes.double_well(), sd.SAM(0.1), lr=0.05, noise=sd.GaussianNoise(std=3.0))
    >>> left, radii = sd.HalfSpace([1.0], 0.0), {"rho": [0.0, 0.1, 0.2]}
    >>> sweep = sd.exit_time_sweep(sam, [-1.0], left, radii, n_paths=500, t_max=200.0)
    >>> sweep.shape, bool((sweep.mean[:-1] > sweep.mean[1:]).all())
    ((3,), True)
    """
    check_system(system)
    how = check_run(workers, executor, checkpoint, progress)
    axes = _axes(system, parameters)
    points = [dict(zip(axes, map(float, p), strict=True)) for p in itertools.product(*axes.values())]
    groups = _ensembles(system, points)
    if len(groups) > 1 and checkpoint is not None:
        raise ValueError(
            "checkpoint must be left out where the parameters are built into the step, as the size of drawn "
            f"batches is, got {checkpoint!r}: call exit_times for each value, with a file for each"
        )
    results: dict[int, ExitTimes] = {}
    for members in groups:
        systems = [system.with_parameters(**points[i]) for i in members]
        job = _job(
            systems, tuple(axes) if len(groups) == 1 else tuple(system.coefficients()), x0, region, n_paths,
            t_max=t_max, dt=dt, seed=seed, correction=correction, device=device, precision=precision,
            compile=compile,
        )  # fmt: skip
        found = run_exits(job, how)
        results.update(zip(members, found, strict=True))
    return ExitTimeSweep(axes, tuple(results[i] for i in range(len(points))))


def _ensembles(system: Diffusion | Map, points: Sequence[Mapping[str, float]]) -> list[list[int]]:
    """Points of the grid that run as one ensemble: those that differ in numbers which a step takes as inputs.

    The step of drawn batches is made for a size of batches and for the numbers of the loss.
    """
    if not (system.discrete and isinstance(system.noise, Minibatch)):
        return [list(range(len(points)))]
    inputs = system.coefficients()
    groups: dict[tuple[float, ...], list[int]] = {}
    for i, point in enumerate(points):
        built_in = tuple(value for name, value in point.items() if name not in inputs)
        groups.setdefault(built_in, []).append(i)
    return list(groups.values())


def _job(
    systems: Sequence[Diffusion | Map], varied: tuple[str, ...], *starts: Any, **options: Any
) -> ExitJob:
    """The job of one ensemble, or an error that says which parameters cannot vary within it."""
    try:
        return make_job(systems, varied, *starts, **options)
    except (
        RuntimeError
    ) as error:  # torch cannot make a number of a coefficient that differs from path to path
        raise ValueError(
            f"parameters must be numbers that the loss uses in torch operations only, got "
            f"{', '.join(varied)} ({error}): run exit_times for each value"
        ) from error


def _axes(system: Diffusion | Map, parameters: Mapping[str, Any]) -> dict[str, Array]:
    """The values of each parameter, checked."""
    if not isinstance(parameters, Mapping):
        raise TypeError(f'parameters must be a dict such as {{"rho": [0.1, 0.2]}}, got {parameters!r}')
    if not parameters:
        raise ValueError("parameters must name at least one parameter, got none")
    known, axes = system.parameters, {}
    for name, values in parameters.items():
        if name not in known:
            raise ValueError(f"parameters must be among {', '.join(known) or 'none'}, got {name!r}")
        if name == "momentum" or callable(known[name]) or np.ndim(known[name]) > 0:
            raise ValueError(
                f"parameters must be numbers other than momentum in the system given, got {name!r}, "
                f"which is {known[name]!r}"
            )
        entries = list(values) if np.iterable(values) and not isinstance(values, str) else None
        if not entries:
            raise ValueError(f"parameters[{name!r}] must hold at least one value, got {values!r}")
        axes[name] = np.array([checks.number(f"parameters[{name!r}]", value) for value in entries])
    return axes

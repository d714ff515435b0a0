"""Basin fractions across a parameter, attractors matched from value to value.

For each value the fractions are computed as in `basin_fractions`, from the same starts, and the attractors
are then matched from each value to the next (`matching.chain`): an attractor that is gone at a value does not
come back under its id. Matching is a step of its own: `BasinContinuation.match` does it again with
other options without a new simulation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.basin.matching import Distance, chain, match_attractors
from samdyn.basin.paths.pieces import REASONS
from samdyn.basin.sampled_fractions import BasinFractions, FractionOptions, basin_fractions
from samdyn.basin.search.attractors import Attractor
from samdyn.basin.wilson import Fraction
from samdyn.jobs.cost import announce, part_of
from samdyn.jobs.job import check_run
from samdyn.jobs.progress import PartsBar
from samdyn.numerics.scales import diagonal_of
from samdyn.results import Result, Table
from samdyn.systems.system import System

CHEAPER = "pass fewer values, or a smaller n_paths or n_starts"


@dataclass(frozen=True, eq=False, repr=False)
class BasinContinuation(Result):
    """Basin fractions against a parameter.

    Attributes
    ----------
    parameter : str
    values : ndarray, shape (n,)
    ids : tuple of int
        Of the matched attractors, in order of appearance, then the reasons that occur.
    fractions, lower, upper : dict of int to ndarray, shape (n,)
        Share at each value, 0 where the attractor is not there, and the ends of its Wilson interval.
    attractors : list of dict of int to Attractor
        Those at each value, by matched id.
    results : list of BasinFractions
        As they were computed, before matching.
    """

    cited = ("menck2013",)
    row = "value"

    parameter: str
    values: Array
    ids: tuple[int, ...]
    fractions: dict[int, Array]
    lower: dict[int, Array] = field(repr=False)
    upper: dict[int, Array] = field(repr=False)
    attractors: list[dict[int, Attractor]] = field(repr=False)
    results: list[BasinFractions] = field(repr=False)

    @checked
    def match(self, *, distance: str | Distance = "middles", threshold: float = np.inf) -> BasinContinuation:
        """The results with attractors matched anew (options as in `match_attractors`)."""
        return _matched(self.parameter, self.values, self.results, distance, threshold)

    @checked
    def name_of(self, label: int) -> str:
        """What an id stands for: its name, or if that changes its kinds and the id."""
        if label in REASONS:
            return REASONS[label]
        label = checks.integer("label", label)
        names = [found[label].name for found in self.attractors if label in found]
        if not names:
            raise ValueError(f"label must be one of {list(self.ids)}, got {label!r}")
        kinds = list(dict.fromkeys(name.split(" (")[0].split(" about")[0] for name in names))
        return names[0] if len(set(names)) == 1 else " / ".join(kinds) + f" [{label}]"

    def table(self) -> Table:
        """The share of each attractor at each value."""
        title = f"BasinContinuation across {self.parameter}: {len(self.values)} values"
        rows = [(self.name_of(k), *(f"{share:.3f}" for share in self.fractions[k])) for k in self.ids]
        return Table(title, rows, (self.parameter, *(f"{value:.3g}" for value in self.values)))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Stacked bands (`samdyn.plot.basin_shares`); returns the matplotlib Axes."""
        return self._draw(ax=ax, **options)

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        columns: dict[str, Any] = {self.parameter: self.values}
        for k in self.ids:
            name = self.name_of(k)
            columns |= {
                name: self.fractions[k],
                f"{name}, lower": self.lower[k],
                f"{name}, upper": self.upper[k],
            }
        return columns, {}


@checked
def basin_continuation(
    system: System,
    box: npt.ArrayLike | None = None,
    n_paths: int = 2000,
    *,
    parameters: Mapping[str, Sequence[float]],
    distance: str | Distance = "middles",
    threshold: float | None = None,
    seed: int = 0,
    device: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    **options: Unpack[FractionOptions],
) -> BasinContinuation:
    """Basin fractions for each of several values of a parameter.

    Parameters
    ----------
    system : Map, Flow or Diffusion
    box, n_paths, seed, device, workers, executor, **options
        As in `basin_fractions`.
    parameters : dict of str to sequence of float
        One name among ``system.parameters`` (rho, lr, momentum, batch_size, or a parameter of the loss) and
        its values.
    distance, threshold
        How attractors are matched, as in `match_attractors` with `near`; the largest distance of partners is
        a tenth of the box's diagonal by default.
    checkpoint : str or path, optional
        Where the state of the job is kept: each value has a file of its own, whose name is this one with the
        number of the value before its suffix ("job.npz" becomes "job.0.npz", "job.1.npz", ...). Files that
        exist are gone on from.
    progress : bool
        Show a progress bar over values.

    Returns
    -------
    BasinContinuation

    Raises
    ------
    TypeError, ValueError
        The system has no such parameter, there are no values, or as in `basin_fractions`.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Examples
    --------
    >>> import samdyn as sd
    >>> well = sd.Map(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.05)
    >>> found = sd.basin_continuation(well, [(-2, 2)], parameters={"rho": [0.2, 0.6]}, n_paths=500)
    >>> [found.name_of(k) for k in found.ids]
    ['minimum (-1)', 'trapping maximum (0)', 'minimum (1)']
    """
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    parameter, values = checks.one_sweep(parameters, system.parameters)
    if isinstance(values, str) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise TypeError(f"parameters must hold a sequence of numbers, got {values!r}")
    chosen = [checks.number(f"parameters[{parameter!r}][{i}]", v) for i, v in enumerate(values)]
    match_attractors({}, {}, distance=distance, threshold=np.inf if threshold is None else threshold)
    if not chosen:
        raise ValueError("parameters must hold at least one value, got none")
    systems = [system.with_parameters(**{parameter: v}) for v in chosen]  # all are checked before any work
    check_run(workers, executor, checkpoint, progress)
    results: list[BasinFractions] = []
    with PartsBar(progress, "basin_continuation", len(systems), "value") as bar:
        for i, one in enumerate(systems):
            began = time.perf_counter()
            path = None if checkpoint is None else _file_of(Path(checkpoint), i)
            with part_of("basin_continuation", CHEAPER):
                found = basin_fractions(
                    one, box, n_paths, seed=seed, device=device, workers=workers, executor=executor,
                    checkpoint=path, **options,
                )  # fmt: skip
            results.append(found)
            if results[-1].interrupted:
                raise KeyboardInterrupt
            if i == 0:
                seconds = (time.perf_counter() - began) * (len(systems) - 1)
                announce("basin_continuation", seconds, CHEAPER)
            bar.update()
    box_used = results[0].box
    if threshold is None:
        threshold = 0.1 * diagonal_of(box_used)
    return _matched(parameter, np.array(chosen), results, distance, threshold)


def _file_of(path: Path, number: int) -> Path:
    """The checkpoint of one value."""
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def _matched(
    parameter: str, values: Array, results: list[BasinFractions], distance: str | Distance, threshold: float
) -> BasinContinuation:
    ids = chain([r.attractors for r in results], distance=distance, threshold=threshold)
    named = [{new[k]: a for k, a in r.attractors.items()} for r, new in zip(results, ids, strict=True)]
    shares = [{new.get(k, k): f for k, f in r.fractions.items()} for r, new in zip(results, ids, strict=True)]
    order = list(dict.fromkeys(k for found in named for k in found))
    order += sorted({k for share in shares for k in share if k < 0}, reverse=True)
    n = len(results[0].labels)

    def row(k: int, end: str | None) -> Array:
        none = Fraction(0, n)
        return np.array(
            [float(s.get(k, none)) if end is None else getattr(s.get(k, none), end) for s in shares]
        )

    return BasinContinuation(
        parameter,
        values,
        tuple(order),
        {k: row(k, None) for k in order},
        {k: row(k, "lower") for k in order},
        {k: row(k, "upper") for k in order},
        named,
        results,
    )

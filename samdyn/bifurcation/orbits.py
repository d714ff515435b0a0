"""The orbit diagram: where the orbits of a map end up, by brute force, at many values of a parameter.

All starts at all values are one ensemble, stepped together with the parameter as an input of the traced
step; there is no loop over values. What is shown after the transient is attractors as such: it says nothing
about unstable points, and one start finds one attractor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.bifurcation.start import check_parameter
from samdyn.dynamics.backends.parametric_step import ParametricStep
from samdyn.dynamics.contract import Step
from samdyn.dynamics.driver import build_step, drive
from samdyn.dynamics.observers import Record
from samdyn.dynamics.parametric import full_state
from samdyn.equilibria.newton import sobol_starts
from samdyn.jobs.progress import path_bar
from samdyn.results import Result, Table
from samdyn.systems.map import Map
from samdyn.systems.system import check_limit

MOST_NUMBERS = 50_000_000  # of stored coordinates, 400 MB


@dataclass(frozen=True, eq=False, repr=False)
class OrbitDiagram(Result):
    """The last points of orbits of a map at many values of a parameter.

    Attributes
    ----------
    parameter : str
    values : ndarray, shape (m,)
    points : ndarray, shape (m, n_starts, n_keep, dim)
        nan where an orbit diverged.
    n_transient : int
        Steps before the first of them.
    system : Map
    """

    row = "value"
    axes = ("points: value start step coordinate",)

    parameter: str
    values: Array
    points: Array = field(repr=False)
    n_transient: int
    system: Map

    @property
    def diverged(self) -> npt.NDArray[np.bool_]:
        """Which orbits (m, n_starts) diverged."""
        return np.asarray(~np.isfinite(self.points[:, :, -1]).all(axis=-1))

    def table(self) -> Table:
        """The system, the values of the parameter, and how many orbits diverged."""
        m, starts, keep, _ = self.points.shape
        return Table(
            f"OrbitDiagram of {self.system!r}: {m} values of {self.parameter} in [{self.values.min():.6g}, "
            f"{self.values.max():.6g}], {starts} orbits each, {keep} points after {self.n_transient} steps, "
            f"{int(self.diverged.sum())} diverged"
        )

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """The points over the parameter; returns the matplotlib Axes."""
        return self._draw(ax, **options)

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        m, starts, keep, dim = self.points.shape
        value, start, step = (k.ravel() for k in np.indices((m, starts, keep)))
        columns = {self.parameter: self.values[value], "start": start, "step": step}
        points = self.points.reshape(-1, dim)
        return columns | {f"x_{i}": points[:, i] for i in range(dim)}, {"system": repr(self.system)}


def orbit_diagram(
    system: Map,
    x0: npt.ArrayLike | Sequence[float] | None = None,
    *,
    parameters: Mapping[str, npt.ArrayLike],
    n_starts: int = 8,
    n_transient: int = 1000,
    n_keep: int = 64,
    progress: bool = False,
) -> OrbitDiagram:
    """The last points of orbits at many values of a parameter.

    Parameters
    ----------
    system : Map
        Noise is left out; coefficients must be constant. With momentum orbits start at rest.
    x0 : array_like, shape (dim,) or (n_starts, dim), optional
        Starts, the same for every value; a Sobol sequence over the system's box by default.
    parameters : dict of str to sequence of float
        One name among ``system.parameters`` (rho, lr, momentum, batch_size, or a parameter of the loss) and
        its values.
    n_starts : int
        Number of those, rounded up to a power of two.
    n_transient, n_keep : int
        Steps before the points that are kept, and how many are.
    progress : bool
        Show a progress bar over steps.

    Returns
    -------
    OrbitDiagram

    Warns
    -----
    CostWarning
        The steps will take more than ten seconds, by the time of one.

    Examples
    --------
    >>> import samdyn as sd
    >>> logistic = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 3.2}, box=[(0, 1)])
    >>> orbits = sd.orbit_diagram(logistic, [0.3], parameters={"r": [2.0, 3.2]}, n_keep=4)
    >>> orbits.points[:, 0, :, 0].round(4)
    array([[0.5   , 0.5   , 0.5   , 0.5   ],
           [0.513 , 0.7995, 0.513 , 0.7995]])
    """
    if not isinstance(system, Map):
        raise TypeError(f"system must be a Map, got {system!r}: a flow is the Map of a small lr")
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients, got {system!r}")
    check_limit("orbits without noise", system.rule)
    parameter, values = checks.one_sweep(parameters, system.parameters)
    swept = checks.array("parameters", values, finite=False, wanted="a dict of a name and finite numbers")
    if swept.ndim != 1 or len(swept) == 0 or not np.isfinite(swept).all():
        raise ValueError(f"parameters must hold a sequence of finite numbers, got {values!r}")
    low, high = float(swept.min()), float(swept.max())
    check_parameter(system, parameter, (low, high if high > low else np.nextafter(low, np.inf)), "parameters")
    n_starts = checks.integer("n_starts", n_starts, at_least=1)
    n_transient = checks.integer("n_transient", n_transient, at_least=0)
    n_keep = checks.integer("n_keep", n_keep, at_least=1)
    progress = checks.flag("progress", progress)
    if x0 is None:
        if system.box is None:
            raise ValueError(f"x0 must be given: {system.name} has no box to start in")
        starts = sobol_starts(system.box, n_starts)
    else:
        starts = np.atleast_2d(checks.points("x0", x0, system.dim))
        if starts.ndim != 2:
            raise ValueError(
                f"x0 must have shape ({system.dim},) or (n_starts, {system.dim}), got {starts.shape}"
            )
    m, k, dim = len(swept), len(starts), system.dim
    if m * k * n_keep * dim > MOST_NUMBERS:
        raise ValueError(
            f"parameters, x0 and n_keep must give at most {MOST_NUMBERS:g} numbers to store, "
            f"got {m * k * n_keep * dim:g}"
        )
    states, each = system.at_rest(np.tile(starts, (m, 1))), np.repeat(swept, k)
    kept = _orbits(system, parameter, states, each, n_transient, n_keep, progress)
    kept[:, :, ~np.isfinite(kept[-1]).all(axis=0)] = np.nan
    points = kept.reshape(n_keep, dim, m, k).transpose(2, 3, 0, 1)
    return OrbitDiagram(parameter, swept, np.ascontiguousarray(points), n_transient, system)


CHEAPER = "pass fewer values, n_starts or n_transient"


def _orbits(
    system: Map, parameter: str, states: Array, each: Array, n_transient: int, n_keep: int, progress: bool
) -> Array:
    """The kept points (n_keep, dim, paths), from states (paths, state_dim) at their values."""
    quiet, n_steps = system.without_noise(), n_transient + n_keep
    values = {**quiet.coefficients(), parameter: each}
    step: Step
    if parameter == "momentum":
        # a map whose momentum is swept has velocities, whatever its own momentum; they start at rest
        states, step = full_state(quiet, (parameter,), states), ParametricStep(quiet, (parameter,))
    else:
        varied = () if parameter in quiet.coefficients() else (parameter,)
        step = build_step(quiet, path_steps=float(len(each) * n_steps), varied=varied)
    record = Record(np.arange(n_transient + 1, n_steps + 1), len(each), system.dim)
    with path_bar(progress, "orbit_diagram", len(each) * n_steps, CHEAPER) as bar:
        drive(quiet, states, n_steps, record, coefficients=lambda _: values, report=bar.update, step=step)
    return np.ascontiguousarray(record.x.swapaxes(1, 2))

"""Which picture belongs to which result: `draw` by the class of a result.

A result that has no picture of its own is drawn as its table. A new picture is a function of the result that
is registered here:

    @draw.register
    def _(result: MyResult, ax=None, **options): ...
"""

from __future__ import annotations

import functools
from typing import Any

from samdyn.basin import BasinContinuation, Basins, MorseGraph
from samdyn.ensemble.path_result import Trajectory
from samdyn.escape.displacement_result import Displacement
from samdyn.escape.exit_time_sweep import ExitTimeSweep
from samdyn.escape.field import Field
from samdyn.escape.location import ExitLocation
from samdyn.escape.statistics import ExitTimes
from samdyn.local.attractors_1d import Attractors1D
from samdyn.local.branch import BifurcationDiagram, Branch
from samdyn.local.edge_of_stability import EdgeOfStability
from samdyn.local.fixed_point import FixedPoints
from samdyn.local.geometry import PerturbationGeometry
from samdyn.local.hallucinated_branches import HallucinatedBranches
from samdyn.local.hallucinated_share import HallucinatedShare
from samdyn.local.hallucination_intervals import HallucinationIntervals
from samdyn.local.manifolds import Manifold
from samdyn.local.orbit_diagram import OrbitDiagram
from samdyn.local.spherical_minima import SphericalMinima
from samdyn.local.two_parameter import BifurcationCurve
from samdyn.local.warm_start import WarmStartStudy
from samdyn.network.diagnosis import Diagnosis
from samdyn.network.monitor import History
from samdyn.network.spectra import SpectralDensity, Spectrum
from samdyn.plot import hallucination, style
from samdyn.plot.basin_graph import basin_graph
from samdyn.plot.basins import basins
from samdyn.plot.bifurcation import bifurcation_curves, bifurcation_diagram
from samdyn.plot.convergence import convergence
from samdyn.plot.diagnosis import diagnosis
from samdyn.plot.edge_of_stability import edge_of_stability
from samdyn.plot.exit_sweep import exit_sweep
from samdyn.plot.exits import exit_density, exit_quantiles
from samdyn.plot.fields import displacement_picture, field_picture
from samdyn.plot.fraction_bands import fraction_bands
from samdyn.plot.geometry import perturbation_geometry
from samdyn.plot.locations import exit_locations
from samdyn.plot.manifolds import manifolds
from samdyn.plot.monitor import history
from samdyn.plot.morse_graph import morse_graph
from samdyn.plot.paths import path_picture
from samdyn.plot.phase_portrait import phase_portrait
from samdyn.plot.spectra import density, spectrum
from samdyn.plot.survival import survival
from samdyn.plot.virtual_loss import virtual_loss
from samdyn.rates.curves import Convergence
from samdyn.results import Result
from samdyn.results.graphs import BasinGraph, RateGraph


@functools.singledispatch
def draw(result: Any, *arguments: Any, **options: Any) -> Any:
    """Draw a result.

    Parameters
    ----------
    result : Result
        Of any verb.
    *arguments, **options
        Those of the picture of its class; see the method `plot` of the result. `ax` is the matplotlib Axes to
        draw in, a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        It is no result.

    Examples
    --------
    >>> import samdyn as sd
    >>> ax = sd.plot.draw(sd.two_cycle([3.0, 1.0], lr=0.1, rho=0.05))
    >>> ax.get_title()
    'TwoCycle of amplitude 0.00882352941, stable'
    """
    if not isinstance(result, Result):
        raise TypeError(f"result must be a result of samdyn, got {result!r:.200}")
    return table_picture(result, *arguments, **options)


def table_picture(result: Result, ax: Any = None, **options: Any) -> Any:
    """Draw the table of a result, for one that has no picture of its own.

    Parameters
    ----------
    result : Result
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    **options
        Passed to ``Axes.table``, or to ``Axes.text`` if there are no rows.

    Returns
    -------
    matplotlib Axes
    """
    table = result.table()
    ax = style.axes(ax)
    ax.set_axis_off()
    title, *more = table.title.splitlines()
    ax.set_title(title, wrap=True)
    rows = [list(row) for row in table.rows[:MOST_ROWS]]
    width = max(map(len, rows), default=0)
    rows = [row + [""] * (width - len(row)) for row in rows]
    notes = "\n".join([*(line.strip() for line in more), *table.notes])
    if rows:
        names = list(table.head) or None
        drawn = ax.table(rows, colLabels=names, **{"loc": "upper center", "cellLoc": "left", **options})
        drawn.auto_set_column_width(list(range(len(rows[0]))))
    if notes:
        ax.text(0.5, 0.0, notes, ha="center", va="bottom", wrap=True, transform=ax.transAxes)
    return ax


MOST_ROWS = 25
"""Rows of a table that can be read in a figure of the usual size."""


def _exit_times(result: ExitTimes, kind: str = "survival", ax: Any = None, **look: Any) -> Any:
    if kind == "survival":
        return survival([result], ax=ax, **look)
    pictures: dict[str, Any] = {
        "density": exit_density,
        "quantiles": exit_quantiles,
        "location": exit_locations,
    }
    return pictures[kind](result, ax=ax, **look)


def _attractors_1d(result: Attractors1D, ax: Any = None) -> Any:
    return virtual_loss(result.system, result.box, ax, attractors=result)


def _manifold(result: Manifold, ax: Any = None, **line: Any) -> Any:
    return manifolds([result], ax, **line)


def _orbit_diagram(result: OrbitDiagram, ax: Any = None, **options: Any) -> Any:
    return bifurcation_diagram([], ax=ax, orbits=result, **options)


def _branches(result: BifurcationDiagram, ax: Any = None, **options: Any) -> Any:
    return bifurcation_diagram(result.branches, ax=ax, **options)


def _fixed_points(result: FixedPoints, ax: Any = None) -> Any:
    return phase_portrait(result.system, result.box, ax=ax, fixed_points=result)


PICTURES: dict[type, Any] = {
    Attractors1D: _attractors_1d,
    BasinContinuation: fraction_bands,
    BasinGraph: basin_graph,
    Basins: basins,
    BifurcationCurve: bifurcation_curves,
    BifurcationDiagram: _branches,
    Branch: bifurcation_diagram,
    Convergence: convergence,
    Diagnosis: diagnosis,
    Displacement: displacement_picture,
    EdgeOfStability: edge_of_stability,
    ExitLocation: exit_locations,
    ExitTimeSweep: exit_sweep,
    ExitTimes: _exit_times,
    Field: field_picture,
    FixedPoints: _fixed_points,
    HallucinatedBranches: hallucination.branches,
    HallucinatedShare: hallucination.outcomes,
    History: history,
    HallucinationIntervals: hallucination.intervals,
    Manifold: _manifold,
    MorseGraph: morse_graph,
    OrbitDiagram: _orbit_diagram,
    PerturbationGeometry: perturbation_geometry,
    RateGraph: basin_graph,
    SpectralDensity: density,
    Spectrum: spectrum,
    SphericalMinima: hallucination.spherical,
    Trajectory: path_picture,
    WarmStartStudy: hallucination.warm_start,
}
for _kind, _picture in PICTURES.items():
    draw.register(_kind, _picture)

"""Which picture belongs to which result: `draw` by the class of a result.

A result that has no picture of its own is drawn as its table. A new picture is a function of the result that
is registered here: ::

    @draw.register
    def _(result: MyResult, ax=None, **options): ...
"""

from __future__ import annotations

import functools
import re
from typing import Any

from samdyn.basin import BasinContinuation, Basins
from samdyn.bifurcation.branch import BifurcationDiagram, Branch
from samdyn.bifurcation.orbits import OrbitDiagram
from samdyn.bifurcation.two_parameter import BifurcationCurve
from samdyn.dynamics.trajectory_result import Trajectory
from samdyn.equilibria.fixed_point import FixedPoints
from samdyn.equilibria.line_attractors import Attractors1D
from samdyn.escape.exit.parameter_sweep import ExitTimeSweep
from samdyn.escape.rare.least_action import ActionPath
from samdyn.escape.solver.field import Field
from samdyn.escape.spread.result import Displacement
from samdyn.escape.statistics.location import ExitLocation
from samdyn.escape.statistics.result import ExitTimes
from samdyn.hallucination.curves import HallucinatedBranches
from samdyn.hallucination.intervals import HallucinationIntervals
from samdyn.hallucination.share import HallucinatedShare
from samdyn.hallucination.spheres import SphericalMinima
from samdyn.hallucination.warm_start import WarmStartStudy
from samdyn.morse import MorseGraph
from samdyn.network.diagnosis import Diagnosis
from samdyn.network.history import History
from samdyn.network.spectra import Spectrum
from samdyn.network.spectral_density import SpectralDensity
from samdyn.orbit.manifolds import Manifold
from samdyn.orbit.perturbation import PerturbationGeometry
from samdyn.orbit.stability_edge import EdgeOfStability
from samdyn.plot import hallucination
from samdyn.plot.appearance import style
from samdyn.plot.basin_maps import basins
from samdyn.plot.basin_shares import fraction_bands
from samdyn.plot.bifurcation import bifurcation_curves, bifurcation_diagram
from samdyn.plot.convergence_curves import convergence
from samdyn.plot.diagnoses import diagnosis
from samdyn.plot.exit_sweeps import exit_sweep
from samdyn.plot.exits import exit_density, exit_quantiles
from samdyn.plot.fields import displacement_picture, field_picture
from samdyn.plot.geometry import perturbation_geometry
from samdyn.plot.graphs import basin_graph
from samdyn.plot.locations import exit_locations
from samdyn.plot.manifold_curves import manifolds
from samdyn.plot.monitor import history
from samdyn.plot.morse_graphs import morse_graph
from samdyn.plot.paths import action_picture, path_picture
from samdyn.plot.portrait.phase_portraits import phase_portrait
from samdyn.plot.sharpness import edge_of_stability
from samdyn.plot.spectra import density, spectrum
from samdyn.plot.survival_curves import survival
from samdyn.plot.virtual_losses import virtual_loss
from samdyn.rates.curves import Convergence
from samdyn.results import Absent, Result
from samdyn.results.graphs import BasinGraph, RateGraph


@functools.singledispatch
def draw(result: Any, *arguments: Any, **options: Any) -> Any:
    """Draw a result.

    Parameters
    ----------
    result : Result
        The result of any verb.
    *arguments, **options
        Arguments of the picture of the result's class; see the method `plot` of the result. `ax` is the
        matplotlib Axes to draw in, a new figure by default.

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


def drawn(result: Result, *arguments: Any, **options: Any) -> Any:
    """What `draw` gives, where an argument that no part of the picture takes is refused by its name.

    Options go through to artists of matplotlib, some of which refuse them from within as attributes.

    Examples
    --------
    >>> import samdyn as sd
    >>> drawn(sd.two_cycle([3.0, 1.0], lr=0.1, rho=0.05), figsize=(3.0, 2.0))
    Traceback (most recent call last):
    TypeError: plot of TwoCycle takes no argument 'figsize': for a figure of your own give its axes as ax
    """
    try:
        return draw(result, *arguments, **options)
    except (AttributeError, TypeError) as error:
        found = UNKNOWN.search(str(error))
        if found is None or found[1] not in options:
            raise
        what = f"plot of {type(result).__name__} takes no argument {found[1]!r}"
        raise TypeError(f"{what}: for a figure of your own give its axes as ax") from error


UNKNOWN = re.compile(r"unexpected keyword argument '(\w+)'")


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
    from matplotlib import rcParams

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
        cells = ax.table(rows, colLabels=names, **{"loc": "upper center", "cellLoc": "left", **options})
        cells.auto_set_column_width(list(range(len(rows[0]))))
        for cell in cells.get_celld().values():  # on the ground of the user's style
            cell.set(facecolor="none", edgecolor=rcParams["axes.edgecolor"])
    look: dict[str, Any] = {"ha": "center", "va": "bottom", "wrap": True, **({} if rows else options)}
    ax.text(0.5, 0.0, notes, transform=ax.transAxes, **look)
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
    if isinstance(result.system, Absent):
        result.system.missing()
    return virtual_loss(result.system, result.box, ax, attractors=result)


def _manifold(result: Manifold, ax: Any = None, **line: Any) -> Any:
    return manifolds([result], ax, **line)


def _orbit_diagram(result: OrbitDiagram, ax: Any = None, **options: Any) -> Any:
    return bifurcation_diagram([], ax=ax, orbits=result, **options)


def _branches(result: BifurcationDiagram, ax: Any = None, **options: Any) -> Any:
    return bifurcation_diagram(result.branches, ax=ax, **options)


def _fixed_points(result: FixedPoints, ax: Any = None) -> Any:
    if isinstance(result.system, Absent):
        result.system.missing()
    return phase_portrait(result.system, result.box, ax=ax, fixed_points=result)


PICTURES: dict[type, Any] = {
    ActionPath: action_picture,
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

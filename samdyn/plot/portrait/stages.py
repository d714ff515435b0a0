"""A phase portrait in two stages: arguments checked and points found, then drawn, so that an animation or a
slider can do the first once and for all of its frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.equilibria.search import FixedPoint
from samdyn.equilibria.search import fixed_points as find_fixed_points
from samdyn.jobs.cost import part_of
from samdyn.jobs.progress import paced
from samdyn.plot.appearance.titles import title_of
from samdyn.plot.portrait.field import Grid, computed_paths, single_paths
from samdyn.plot.portrait.line import draw_line
from samdyn.plot.portrait.plane import draw_plane, figure_size
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SEPARATRICES = 24  # saddles whose manifolds are drawn: more would fill the picture


@dataclass
class Portrait:
    """A phase portrait whose arguments are checked: `find` computes what is drawn, `draw` draws it."""

    system: System
    region: Array
    plane: list[int]
    base: Array
    options: dict[str, Any]
    how: dict[str, Any]
    starts: Array
    given: list[Array]
    wanted: Iterable[FixedPoint] | bool
    points: list[FixedPoint]
    curves: list[Array]
    busy: Array

    @property
    def size(self) -> tuple[float, float]:
        """The size, in inches, of a figure of its own."""
        return (7.4, 3.8) if self.system.dim == 1 else figure_size(self.region[self.plane])

    def find(self) -> None:
        """Fixed points, cycles and separatrices."""
        if self.wanted is True and not getattr(self.system, "scheduled", False):
            with part_of("phase_portrait", "pass fixed_points=False or a smaller box"):
                self.points = list(find_fixed_points(self.system, self.region))
                self.points += _cycles(self.system, self.region, self.options["cycles"])
        if self.options["separatrices"]:
            self.curves = _separatrices(self.system, self.region, self.points, self.options["progress"])

    def draw(self, ax: Axes) -> list[Any]:
        """The picture on `ax`; returns the legend entries."""
        o = self.options
        if self.system.dim == 1:
            entries, self.busy = draw_line(
                ax, self.system, self.region, self.points, o["resolution"], o["field"], o["contours"]
            )
        else:
            grid = Grid(self.system, self.region, self.plane, self.base, o["resolution"])
            paths = [*self.given, *computed_paths(self.system, self.starts, grid, self.how)]
            look = o["field"], o["nullclines"], o["contours"], o["density"]
            entries = draw_plane(ax, grid, self.points, self.curves, paths, *look)
            shown, _ = single_paths(paths, self.plane, grid.sides)
            places = (point.x[None, self.plane] for point in self.points)
            self.busy = np.concatenate([np.empty((0, 2)), *places, *shown])
        ax.set_title(title_of(self.system) + _slice_note(self.plane, self.base))
        return entries


def portrait(
    system: System,
    box: Any,
    *,
    fixed_points: Iterable[FixedPoint] | bool = True,
    trajectories: Any = None,
    field: bool = True,
    nullclines: bool = True,
    contours: bool = True,
    separatrices: bool = True,
    cycles: int = 2,
    resolution: int = 220,
    density: float = 1.1,
    coordinates: tuple[int, int] = (0, 1),
    at: Any = None,
    n_steps: int = 1000,
    t_max: float | None = None,
    dt: float | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Portrait:
    """The arguments of `phase_portrait`, checked before any work is done.

    Raises
    ------
    TypeError, ValueError
        As `phase_portrait`.
    """
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if box is None and system.box is None:
        raise ValueError(f"box must be given: {system.name} has none of its own")
    region = checks.box("box", system.box if box is None else box, system.dim)
    options = {
        "resolution": checks.integer("resolution", resolution, at_least=8),
        "density": checks.number("density", density, above=0),
        "cycles": checks.integer("cycles", cycles, at_least=0),
        "field": field,
        "nullclines": nullclines,
        "contours": contours,
        "separatrices": separatrices,
        "progress": checks.flag("progress", progress),
    }
    plane = _plane(system.dim, coordinates)
    base = _base(at, plane, region)
    how = _path_options(system, n_steps, t_max, dt, seed)
    starts, given = _sort_trajectories(trajectories, system.dim)
    if system.dim == 1 and trajectories is not None:
        raise ValueError("trajectories must be left out in one dimension: plot them against time")
    points = _given_points(system, fixed_points)
    wanted = fixed_points if isinstance(fixed_points, bool) else points
    none = np.empty((0, 2))
    return Portrait(system, region, plane, base, options, how, starts, given, wanted, points, [], none)


def _plane(dim: int, coordinates: Any) -> list[int]:
    chosen = list(coordinates) if isinstance(coordinates, Iterable) else [coordinates]
    if dim == 1:
        if chosen != [0, 1]:
            raise ValueError(f"coordinates must be left out in one dimension, got {coordinates!r}")
        return [0]
    if len(chosen) != 2:
        raise ValueError(f"coordinates must be two of 0, ..., {dim - 1}, got {coordinates!r}")
    chosen = [checks.integer("coordinates", c, at_least=0, below=dim) for c in chosen]
    if chosen[0] == chosen[1]:
        raise ValueError(f"coordinates must be two different ones, got {coordinates!r}")
    return chosen


def _base(at: Any, plane: list[int], region: Array) -> Array:
    """A point of the plane: the box's centre with the other coordinates replaced by `at`."""
    base = region.mean(axis=1)
    others = [i for i in range(len(base)) if i not in plane]
    if at is not None:
        if not others:
            raise ValueError(
                f"at must be left out in {len(base)}-D, which has no other coordinates, got {at!r}"
            )
        values = checks.points("at", at, len(others))
        if values.ndim != 1:
            raise ValueError(f"at must have shape ({len(others)},), got shape {values.shape}")
        base[others] = values
    return base


def _path_options(system: System, n_steps: Any, t_max: Any, dt: Any, seed: Any) -> dict[str, Any]:
    steps = checks.integer("n_steps", n_steps, at_least=1)
    seed = checks.integer("seed", seed)
    if isinstance(system, Map):
        for name, value in (("t_max", t_max), ("dt", dt)):
            if value is not None:
                raise ValueError(f"{name} must be left out for a Map: give n_steps, got {value!r}")
        return {"n_steps": steps, "seed": seed}
    how: dict[str, Any] = {} if isinstance(system, Flow) else {"seed": seed}
    how["t_max"] = None if t_max is None else checks.number("t_max", t_max, above=0)
    how["dt"] = None if dt is None else checks.number("dt", dt, above=0)
    return how


def _sort_trajectories(trajectories: Any, dim: int) -> tuple[Array, list[Array]]:
    """Starts (n, dim) still to be followed, and paths (n_steps, ..., dim) ready to draw."""
    none = np.empty((0, dim))
    if trajectories is None:
        return none, []
    if isinstance(trajectories, list | tuple) and all(
        np.ndim(t) >= 2 and hasattr(t, "shape") for t in trajectories
    ):
        paths = [
            checks.points(f"trajectories[{i}]", t, dim, finite=False) for i, t in enumerate(trajectories)
        ]
        return none, paths
    array = checks.points("trajectories", trajectories, dim, finite=False)
    if array.ndim <= 2:
        return np.atleast_2d(checks.points("trajectories", trajectories, dim)), []
    return none, [array]


def _given_points(system: System, wanted: Any) -> list[FixedPoint]:
    if isinstance(wanted, bool):
        return []
    if not isinstance(wanted, Iterable):
        raise TypeError(f"fixed_points must be a bool or FixedPoint entries, got {wanted!r}")
    points = list(wanted)
    for point in points:
        if not isinstance(point, FixedPoint):
            raise TypeError(
                f"fixed_points must hold FixedPoint entries, got {point!r} of type {type(point).__name__}"
            )
        if point.x.shape != (system.dim,):
            raise ValueError(f"fixed_points must have {system.dim} coordinates, got {point!r}")
    return points


def _cycles(system: System, region: Array, period: int) -> list[FixedPoint]:
    """Attracting cycles of a map whose rule jumps, up to a period."""
    from samdyn.equilibria.cycle_search import cycles

    if not isinstance(system, Map) or system.rule is None or not system.rule.jumps:
        return []
    if system.momentum or system.dim > 2:
        return []
    found = [cycle for k in range(2, period + 1) for cycle in cycles(system, region, period=k)]
    return [cycle for cycle in found if cycle.stability == "attracting"]


def _separatrices(system: System, region: Array, points: list[FixedPoint], progress: bool) -> list[Array]:
    """Stable manifolds (n, 2) of the saddles among the points, under the flow of the drawn field."""
    from samdyn.orbit.manifolds import manifold

    if system.dim != 2 or system.scheduled or isinstance(system, Diffusion):
        return []
    flow: Flow
    if isinstance(system, Flow):
        flow = system
    elif system.landscape is not None and system.rule is not None and not getattr(system, "momentum", 0.0):
        flow = Flow(system.landscape, system.rule)
    else:
        return []
    saddles: list[Array] = []
    for point in points:
        if point.period > 1 or point.dimension or np.isnan(point.eigenvalues).any():
            continue
        if point.stability in ("attracting", "trapping") or len(saddles) >= MOST_SEPARATRICES:
            continue
        rates = np.linalg.eigvals(flow.jacobian(point.x))
        if np.isnan(rates).any() or not rates.real.min() < 0 < rates.real.max():
            continue
        saddles.append(point.x)
    cheaper = "pass separatrices=False, or fewer fixed_points"
    each = paced(saddles, "phase_portrait", len(saddles), cheaper, show=progress, unit="saddle")
    curves = []
    for x in each:
        with part_of("phase_portrait", cheaper):
            curves.append(manifold(flow, x, "stable", box=region).curve)
    return curves


def _slice_note(plane: list[int], base: Array) -> str:
    others = [i for i in range(len(base)) if i not in plane]
    if len(base) == 1 or not others:
        return ""
    if len(others) > 3:
        return f"\n{len(others)} other coordinates fixed"
    return "\n" + ", ".join(f"$x_{{{i}}} = {base[i]:.4g}$" for i in others)

"""Phase portraits: the field, nullclines, fixed points and trajectories over the contours of the loss.

Algorithm
---------
1. The field is the velocity of a flow, the drift of a diffusion, and the displacement (x' - x)/lr of a map
   (x' - x of one given by a function; one step from rest with momentum). Coefficients on a schedule have
   their values at step 0.
2. It is evaluated on a grid of p x p cells, p the first prime that is at least `resolution`: no node then
   lies at a simple fraction of the box (the middle, a third, ...), where symmetric losses have their critical
   points and a normalised rule its jumps.
3. Streamlines follow the field's directions, F/|F| in units of the box. Bilinear interpolation of F itself
   would let the largest of four corners decide, and losses such as Beale's differ by orders of magnitude
   between neighbours. A jump is smeared over one cell. Nothing is masked but values that are not finite.
4. A nullcline is the zero contour of a component of F. Contours of the loss are evenly spaced, or
   geometrically above the minimum on the grid if the range is wide.
5. In more than two dimensions all this is done on a plane; fixed points beside the plane, and trajectories,
   are projected onto it.
6. In one dimension the field is drawn against x, broken where it jumps, with the loss on a second axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.ensemble.trajectory import trajectory
from samdyn.local.fixed_points import FixedPoint
from samdyn.local.fixed_points import fixed_points as find_fixed_points
from samdyn.plot import style
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ELONGATED = 2.5  # boxes with sides of a larger ratio fill the axes instead of having equal units
WIDE = 30.0  # the loss's 95 % over its 5 % quantile, above the minimum, from which levels are geometric
N_LEVELS = 14
PATH_LENGTHS = (
    5.0  # default duration of a trajectory: so many crossings of the box at a slow (10 % quantile) speed
)
MOST_POINTS = 4000  # stored along a computed path of a Diffusion
FAR = 1e3  # sides of the box from its middle, beyond which a path counts as diverged


def phase_portrait(
    system: System,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    fixed_points: Iterable[FixedPoint] | bool = True,
    trajectories: npt.ArrayLike | Sequence[npt.ArrayLike] | None = None,
    field: bool = True,
    nullclines: bool = True,
    contours: bool = True,
    legend: bool | str = True,
    resolution: int = 220,
    density: float = 1.1,
    coordinates: tuple[int, int] = (0, 1),
    at: npt.ArrayLike | None = None,
    n_steps: int = 1000,
    t_max: float | None = None,
    dt: float | None = None,
    seed: int = 0,
) -> Axes:
    """Phase portrait of a system in one or two dimensions, or on a plane in more.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Of a Map the displacement (x' - x)/lr is drawn, of a Diffusion the drift.
    box : sequence of (lower, upper), one for each of the dim coordinates, optional
        What is shown; the system's own box by default.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    fixed_points : iterable of FixedPoint, or bool
        Those to draw, cycles included. True finds them (not for systems on a schedule, which have none).
    trajectories : array_like, optional
        Starts, shape (dim,) or (n, dim), from which trajectories are computed; or paths, shape
        (n_steps, ..., dim) with at least three axes; or a list of numpy arrays, each one path (n_steps, dim)
        or more.
    field, nullclines, contours : bool
        Whether to draw the streamlines, the nullclines, and the contours of the loss (in one dimension the
        loss itself).
    legend : bool or str
        False for none; "outside" (at the right), "below", "inside", or a location that matplotlib knows.
        True: outside in a figure of its own; in a given `ax` below where the figure has a layout engine that
        makes room for it (``plt.subplots(layout="constrained")``), else inside.
    resolution : int
        Cells of the grid along each side, at least.
    density : float
        Density of the streamlines, as in `Axes.streamplot`.
    coordinates : (int, int)
        The two coordinates shown, where dim > 2.
    at : array_like, shape (dim - 2,), optional
        Values of the other coordinates, in order; the centre of the box by default.
    n_steps : int
        Steps of a computed trajectory of a Map.
    t_max, dt : float, optional
        Duration and time step of a computed trajectory of a Flow or Diffusion. By default the time to cross
        the box five times at a slow speed (the 10 % quantile of |F| in the box), and the step that
        `trajectory` takes. Trajectories that diverge are drawn as far as they go and counted in the legend:
        where the field itself does not diverge, a smaller dt is called for.
    seed : int
        Of the noise in computed trajectories.

    Returns
    -------
    matplotlib Axes
        Its artists can be told apart, to restyle them, by their group ids (`get_gid()`), which begin with
        "contours", "streamlines", "nullcline", "trajectory", "fixed point" or "capture set".

    Raises
    ------
    TypeError, ValueError
        No box, or an argument of the wrong shape or range. Before anything is drawn.

    Notes
    -----
    Shapes tell the kind: minimum circle, saddle cross, maximum triangle, degenerate diamond, hallucinated
    star, fixed point of a system without a loss square, cycle hexagon; a curve or surface of fixed points is
    shown by its samples. Filled points attract or trap, half-filled ones are marginal, open ones are saddles
    or repel. The disc around a trapping point is its capture set (`FixedPoint.capture_radius`). The algorithm
    is in the module's documentation.

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.plot import phase_portrait
    >>> loss = sd.Landscape(lambda w: w[0]**2 - w[1]**2, dim=2, box=[(-1, 1), (-1, 1)], name="saddle")
    >>> ax = phase_portrait(sd.Flow(loss, sd.SAM(0.2)), resolution=40)
    >>> ax.get_title()
    'SAM flow on saddle'
    """
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if box is None and system.box is None:
        raise ValueError(f"box must be given: {system.name} has none of its own")
    region = checks.box("box", system.box if box is None else box, system.dim)
    resolution = checks.integer("resolution", resolution, at_least=8)
    density = checks.number("density", density, above=0)
    if not isinstance(legend, bool | str):
        raise TypeError(f"legend must be a bool or a location, got {legend!r}")
    plane = _plane(system.dim, coordinates)
    base = _base(at, plane, region)
    how = _path_options(system, n_steps, t_max, dt, seed)
    starts, given = _sort_trajectories(trajectories, system.dim)
    points = _fixed_points(system, region, fixed_points)
    if system.dim == 1:
        if trajectories is not None:
            raise ValueError("trajectories must be left out in one dimension: plot them against time")
        drawn = style.axes(ax, size=(7.4, 3.8))
        entries, busy = _draw_line(drawn, system, region, points, resolution, field, contours)
    else:
        drawn = style.axes(ax, size=_figure_size(region[plane]))
        grid = _Grid(system, region, plane, base, resolution)
        paths = [*given, *_computed_paths(system, starts, grid, how)]
        entries = _draw_plane(drawn, grid, points, paths, field, nullclines, contours, density)
        shown, _ = _single_paths(paths, plane, grid.sides)
        busy = np.concatenate([np.empty((0, 2)), *(point.x[None, plane] for point in points), *shown])
    drawn.set_title(system.name + _slice_note(plane, base), fontsize=13)
    if legend is not False:
        style.legend(drawn, entries, legend if isinstance(legend, str) else style.place_of_legend(ax), busy)
    return drawn


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


def _fixed_points(system: System, region: Array, wanted: Iterable[FixedPoint] | bool) -> list[FixedPoint]:
    if isinstance(wanted, bool):
        if not wanted or getattr(system, "scheduled", False):
            return []
        return list(find_fixed_points(system, region))
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


def field_of(system: System, x: Array) -> Array:
    """The field that is drawn, at points (..., dim)."""
    if isinstance(system, Map):
        return np.asarray((system(x) - x) / system.coefficients().get("lr", 1.0))
    return system.drift(x) if isinstance(system, Diffusion) else system.evaluate(x)


def _prime_from(n: int) -> int:
    while any(n % k == 0 for k in range(2, int(n**0.5) + 1)):
        n += 1
    return n


class _Grid:
    """The field and the loss on the nodes of a plane, in arrays of shape (rows, columns)."""

    def __init__(self, system: System, region: Array, plane: list[int], base: Array, resolution: int) -> None:
        self.system, self.region, self.plane, self.base = system, region, plane, base
        self.sides = region[plane]
        cells = _prime_from(resolution)
        self.first, self.second = (np.linspace(low, high, cells + 1) for low, high in self.sides)
        nodes = np.broadcast_to(base, (cells + 1, cells + 1, len(base))).copy()
        nodes[..., plane[0]], nodes[..., plane[1]] = np.meshgrid(self.first, self.second)
        self.field = field_of(system, nodes)[..., plane]
        self.loss = None if system.landscape is None else system.landscape.value(nodes)


def _computed_paths(system: System, starts: Array, grid: _Grid, how: dict[str, Any]) -> list[Array]:
    if len(starts) == 0:
        return []
    if "t_max" in how and how["t_max"] is None:
        speed = np.linalg.norm(grid.field, axis=-1)
        slow = np.quantile(speed[np.isfinite(speed) & (speed > 0)], 0.1)
        how = {**how, "t_max": float(PATH_LENGTHS * np.linalg.norm(np.ptp(grid.sides, axis=1)) / slow)}
    if isinstance(system, Diffusion):
        step = system.coefficients()["lr"] if how["dt"] is None else how["dt"]
        how = {**how, "every": max(1, int(how["t_max"] / step / MOST_POINTS))}
    return [trajectory(system, starts, **how)]


def _single_paths(paths: list[Array], plane: list[int], sides: Array) -> tuple[list[Array], int]:
    """Every path on its own, (n_steps, 2), cut where it diverges; and how many do."""
    single = [one for path in paths for one in np.moveaxis(path[..., plane].reshape(len(path), -1, 2), 1, 0)]
    far = FAR * np.ptp(sides, axis=1)
    lost = [~(np.abs(one - sides.mean(axis=1)) < far).all(axis=1) for one in single]
    cut = [one[: int(np.argmax(out))] if out.any() else one for one, out in zip(single, lost, strict=True)]
    return cut, sum(bool(out.any()) for out in lost)


def _figure_size(sides: Array) -> tuple[float, float]:
    """Width and height in inches: room for the legend at the right, no empty bands above and below."""
    width, height = sides[:, 1] - sides[:, 0]
    ratio = width / height
    if max(ratio, 1 / ratio) > ELONGATED:
        return 7.2, 4.0
    return 3.2 + 4.1 * min(1.0, ratio), 0.8 + 4.1 * min(1.0, 1 / ratio)


def _draw_plane(
    ax: Axes,
    grid: _Grid,
    points: list[FixedPoint],
    paths: list[Array],
    field: bool,
    nullclines: bool,
    contours: bool,
    density: float,
) -> list[Any]:
    from matplotlib.lines import Line2D

    plane, sides = grid.plane, grid.sides
    widths = sides[:, 1] - sides[:, 0]
    if contours and grid.loss is not None:
        _draw_loss(ax, grid)
    if field:
        length = np.linalg.norm(grid.field / widths, axis=-1, keepdims=True)
        direction = np.divide(grid.field, length, out=np.zeros_like(grid.field), where=length > 0)
        u, v = np.moveaxis(np.ma.masked_invalid(direction), -1, 0)
        thin: dict[str, Any] = {"color": style.FIELD, "linewidth": 0.75, "arrowsize": 0.9, "zorder": 2}
        lines = ax.streamplot(grid.first, grid.second, u, v, density=density, **thin)
        lines.lines.set_gid("streamlines")
    entries = style.draw_fixed_points(ax, points, plane, grid.base)
    for axis, (color, dashes) in zip(range(2 if nullclines else 0), style.NULLCLINES, strict=False):
        component, name = grid.field[..., axis], f"x_{{{plane[axis]}}}"
        if not np.nanmin(component) < 0 < np.nanmax(component):
            continue
        curve = ax.contour(grid.first, grid.second, component, [0.0], colors=color, linestyles=[dashes])
        curve.set(linewidths=1.5, zorder=3, gid=f"nullcline {plane[axis]}")
        label = f"${name}' = {name}$" if isinstance(grid.system, Map) else rf"$\dot {name} = 0$"
        entries.append(Line2D([], [], color=color, linestyle=dashes, linewidth=1.5, label=label))
    entries += _draw_paths(ax, *_single_paths(paths, plane, sides))
    ax.set(xlim=sides[0], ylim=sides[1])
    style.axis_labels(ax, f"$x_{{{plane[0]}}}$", f"$x_{{{plane[1]}}}$")
    ax.set_aspect("equal" if widths.max() <= ELONGATED * widths.min() else "auto")
    return entries


def _draw_paths(ax: Axes, paths: list[Array], diverged: int) -> list[Any]:
    """Lines for paths of shape (n_steps, 2), each with a dot where it starts."""
    from matplotlib.lines import Line2D

    if not paths:
        return []
    look: dict[str, Any] = {"color": style.TRAJECTORY, "linewidth": 1.4, "marker": ".", "markevery": [0]}
    for path in paths:
        ax.plot(*path.T, **look, zorder=5, gid="trajectory")
    note = f" ({diverged} of {len(paths)} diverged)" if diverged else ""
    return [Line2D([], [], **look, label="trajectory" + note)]


def _draw_loss(ax: Axes, grid: _Grid) -> None:
    assert grid.loss is not None
    height = np.ma.masked_invalid(grid.loss - np.nanmin(grid.loss))
    low, high = np.quantile(height.compressed(), [0.05, 0.95])
    top = float(height.max())
    if top <= 0:
        return
    if low > 0 and high > WIDE * low:
        levels = np.geomspace(np.quantile(height.compressed(), 0.005), top, N_LEVELS + 1)[:-1]
    else:
        levels = np.linspace(0, top, N_LEVELS + 2)[1:-1]
    bounds = [0.0, *levels, np.nextafter(top, np.inf)]
    shades = np.linspace(0.89, 0.995, N_LEVELS + 1)  # darkest at the bottom, so that basins show as valleys
    grays = [(shade - 0.02, shade - 0.005, shade) for shade in shades]
    filled = ax.contourf(grid.first, grid.second, height, bounds, colors=grays, zorder=0)
    filled.set_gid("contours of the loss, filled")
    lines = ax.contour(grid.first, grid.second, height, levels, colors="#c4c9ce", linewidths=0.5, zorder=1)
    lines.set_gid("contours of the loss")


def _slice_note(plane: list[int], base: Array) -> str:
    others = [i for i in range(len(base)) if i not in plane]
    if len(base) == 1 or not others:
        return ""
    if len(others) > 3:
        return f"\n{len(others)} other coordinates fixed"
    return "\n" + ", ".join(f"$x_{{{i}}} = {base[i]:.4g}$" for i in others)


def _draw_line(
    ax: Axes,
    system: System,
    region: Array,
    points: list[FixedPoint],
    resolution: int,
    field: bool,
    loss: bool,
) -> tuple[list[Any], Array]:
    """One dimension: the field against x, arrows on the axis, the loss on a second axis."""
    from matplotlib.lines import Line2D

    low, high = region[0]
    x = np.linspace(low, high, _prime_from(4 * resolution) + 1)
    y = field_of(system, x[:, None])[:, 0]
    jumps = np.empty(0, dtype=int)
    if system.landscape is not None and system.rule is not None and system.rule.jumps:
        slope = system.landscape.gradient(x[:, None])[:, 0]
        jumps = np.flatnonzero(slope[:-1] * slope[1:] < 0)
    ax.axhline(0.0, color=style.FIELD, linewidth=1.0, zorder=2, gid="zero line")
    entries = style.draw_fixed_points(ax, points, [0], region.mean(axis=1))
    if field:
        solid: dict[str, Any] = {"color": style.OKABE_ITO["black"], "linewidth": 1.8, "linestyle": "-"}
        broken = [np.insert(values, jumps + 1, np.nan) for values in (x, y)]
        ax.plot(*broken, **solid, zorder=4, gid="field")
        entries.append(Line2D([], [], **solid, label="field"))
        dotted = solid | {"linewidth": 1.1, "linestyle": ":"}
        for i in jumps:
            ax.plot(x[i : i + 2], y[i : i + 2], **dotted, zorder=4, gid="jump")
        entries += [Line2D([], [], **dotted, label="jump")] if len(jumps) else []
        for left, right in pairwise([low, *x[:-1][y[:-1] * y[1:] < 0], high]):
            if right - left > 0.08 * (high - low):  # between closer points there is no room
                middle = (left + right) / 2
                forward = y[np.searchsorted(x, middle)] > 0
                ax.plot(middle, 0.0, "k>" if forward else "k<", markersize=6, zorder=5, gid="arrow")
    of_map = r"$(x' - x)/\eta$" if system.landscape is not None else "$x' - x$"
    style.axis_labels(ax, "$x$", of_map if isinstance(system, Map) else r"$\dot x$")
    ax.set_xlim(low, high)
    if loss and system.landscape is not None:
        dashed: dict[str, Any] = {"color": style.LOSS, "linewidth": 1.2, "linestyle": (0, (4, 2))}
        twin = ax.twinx()
        twin.plot(x, system.landscape.value(x[:, None]), **dashed, gid="loss")
        style.axis_labels(twin, "$x$", "loss")
        twin.yaxis.label.set_color(style.LOSS)
        twin.tick_params(labelcolor=style.LOSS)
        ax.set_zorder(twin.get_zorder() + 1)  # the field and its points lie over the loss
        ax.patch.set_visible(False)
        entries.append(Line2D([], [], **dashed, label="loss"))
    return entries, np.stack([x, y], axis=1)

"""Drawing a phase portrait in the plane: streamlines, nullclines, separatrices, paths, contours of the loss.

Every function draws on axes and returns its legend entries. Values that are not finite are left out, and what
has nothing to show (a constant loss, a component that never changes its sign) draws nothing.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.search import FixedPoint
from samdyn.plot.appearance import settings, style
from samdyn.plot.portrait.field import Grid, single_paths
from samdyn.systems.map import Map

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ELONGATED = 2.5  # boxes with sides of a larger ratio fill the axes instead of having equal units
WIDE = 30.0  # the loss's 95 % over its 5 % quantile, above the minimum, from which levels are geometric
N_LEVELS = 14  # contour lines; chosen by eye


def figure_size(sides: Array) -> tuple[float, float]:
    """Width and height in inches: room for the legend at the right, no empty bands above and below."""
    width, height = sides[:, 1] - sides[:, 0]
    ratio = width / height
    if max(ratio, 1 / ratio) > ELONGATED:
        return 7.2, 4.0
    return 3.2 + 4.1 * min(1.0, ratio), 0.8 + 4.1 * min(1.0, 1 / ratio)


def draw_plane(
    ax: Axes,
    grid: Grid,
    points: list[FixedPoint],
    separatrices: list[Array],
    paths: list[Array],
    field: bool,
    nullclines: bool,
    contours: bool,
    density: float,
) -> list[Any]:
    """The whole portrait on `ax`; returns the legend entries."""
    sides = grid.sides
    widths = sides[:, 1] - sides[:, 0]
    if contours and grid.loss is not None:
        draw_loss(ax, grid.first, grid.second, grid.loss)
    if field:
        draw_field(ax, grid, density)
    entries = style.draw_fixed_points(ax, points, grid.plane, grid.base, float(widths.max()))
    if nullclines:
        entries += draw_nullclines(ax, grid)
    entries += draw_separatrices(ax, [curve[:, grid.plane] for curve in separatrices])
    entries += draw_paths(ax, *single_paths(paths, grid.plane, sides))
    ax.set(xlim=sides[0], ylim=sides[1])
    style.axis_labels(ax, f"$x_{{{grid.plane[0]}}}$", f"$x_{{{grid.plane[1]}}}$")
    ax.set_aspect("equal" if widths.max() <= ELONGATED * widths.min() else "auto")
    return entries


def draw_field(ax: Axes, grid: Grid, density: float) -> None:
    """Streamlines of the field's directions."""
    widths = grid.sides[:, 1] - grid.sides[:, 0]
    with np.errstate(all="ignore"):
        length = np.linalg.norm(grid.field / widths, axis=-1, keepdims=True)
        direction = np.divide(grid.field, length, out=np.zeros_like(grid.field), where=length > 0)
    if not np.isfinite(direction).all(axis=-1).any() or not (np.nan_to_num(direction) != 0).any():
        return
    u, v = np.moveaxis(np.ma.masked_invalid(direction), -1, 0)
    thin: dict[str, Any] = {
        "color": style.FIELD,
        "linewidth": settings.width(0.75),
        "arrowsize": 0.9,
        "zorder": 2,
    }
    with np.errstate(all="ignore"):  # it divides by components that may be tiny
        lines = ax.streamplot(grid.first, grid.second, u, v, density=density, **thin)
    lines.lines.set_gid("streamlines")


def draw_nullclines(ax: Axes, grid: Grid) -> list[Any]:
    """Zero contours of the field's components, where they change sign."""
    from matplotlib.lines import Line2D

    entries = []
    for axis, (color, dashes) in enumerate(style.NULLCLINES):
        component, name = np.ma.masked_invalid(grid.field[..., axis]), f"x_{{{grid.plane[axis]}}}"
        values = component.compressed()
        if len(values) == 0 or not values.min() < 0 < values.max():
            continue
        # only the sign matters, and near a pole the values overflow
        scale = float(np.quantile(np.abs(values), 0.9)) or 1.0
        clipped = np.clip(component / scale, -1.0, 1.0)
        curve = ax.contour(grid.first, grid.second, clipped, [0.0], colors=color, linestyles=[dashes])
        curve.set(linewidths=settings.width(1.5), zorder=3, gid=f"nullcline {grid.plane[axis]}")
        label = f"${name}' = {name}$" if isinstance(grid.system, Map) else rf"$\dot {name} = 0$"
        entries.append(
            Line2D([], [], color=color, linestyle=dashes, linewidth=settings.width(1.5), label=label)
        )
    return entries


def draw_separatrices(ax: Axes, curves: list[Array]) -> list[Any]:
    """Stable manifolds of saddles, as curves (n, 2)."""
    from matplotlib.lines import Line2D

    if not curves:
        return []
    for curve in curves:
        ax.plot(*curve.T, **style.SEPARATRIX, linewidth=settings.width(2.0), zorder=4.5, gid="separatrix")
    return [Line2D([], [], **style.SEPARATRIX, linewidth=settings.width(2.0), label="separatrix")]


def draw_paths(ax: Axes, paths: list[Array], diverged: int) -> list[Any]:
    """Lines for paths of shape (n_steps, 2), each with a dot where it starts."""
    from matplotlib.lines import Line2D

    if not paths:
        return []
    look: dict[str, Any] = {
        "color": style.TRAJECTORY,
        "linewidth": settings.width(1.4),
        "marker": ".",
        "markevery": [0],
    }
    for path in paths:
        ax.plot(*path.T, **look, zorder=5, gid="trajectory")
    note = f" ({diverged} of {len(paths)} diverged)" if diverged else ""
    return [Line2D([], [], **look, label="trajectory" + note)]


def draw_loss(ax: Axes, first: Array, second: Array, loss: Array) -> None:
    """Filled and drawn contours of the loss on a grid, above its minimum there."""
    height = np.ma.masked_invalid(loss)
    if height.count() == 0:
        return
    height = height - height.min()
    values = height.compressed()
    low, high = np.quantile(values, [0.05, 0.95])
    top = float(values.max())
    if not 0 < top < np.inf:
        return
    if top > 1e3 * high > 0:  # a pole: what lies above is one shade
        top = float(4 * high)
        height = np.ma.minimum(height, top)
    lowest = float(np.quantile(values, 0.005))
    if lowest > 0 and high > WIDE * low:
        levels = np.geomspace(lowest, top, N_LEVELS + 1)[:-1]
    else:
        levels = np.linspace(0, top, N_LEVELS + 2)[1:-1]
    if not (np.diff([0.0, *levels, top]) > 0).all():  # no room between the levels
        return
    bounds = [0.0, *levels, np.nextafter(top, np.inf)]
    shades = np.linspace(0.89, 0.995, N_LEVELS + 1)  # darkest at the bottom, so that basins show as valleys
    grays = [(shade - 0.02, shade - 0.005, shade) for shade in shades]
    filled = ax.contourf(first, second, height, bounds, colors=grays, zorder=0)
    filled.set_gid("contours of the loss, filled")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No contour levels were found")
        lines = ax.contour(
            first, second, height, levels, colors="#c4c9ce", linewidths=settings.width(0.5), zorder=1
        )
    lines.set_gid("contours of the loss")

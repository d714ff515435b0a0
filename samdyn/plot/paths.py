"""Pictures of trajectories and of paths of least action: over time, or in the plane of two coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

from samdyn.arguments import checks
from samdyn.dynamics.trajectory_result import Trajectory
from samdyn.escape.rare.least_action import ActionPath
from samdyn.plot.appearance import settings, style

MOST_PATHS = 50
"""Paths of a picture: more hide each other."""


def path_picture(
    path: Trajectory, ax: Any = None, *, coordinates: tuple[int, int] | None = None, **line: Any
) -> Any:
    """Draw a trajectory.

    Parameters
    ----------
    path : Trajectory
        Of many paths the first 50 are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    coordinates : (int, int), optional
        Draw these two coordinates against each other. By default the first two in two dimensions, and
        otherwise each coordinate of the first path, or the coordinate of all paths, over time.
    **line
        Passed to ``Axes.plot``.

    Returns
    -------
    matplotlib Axes
    """
    points = path.x.reshape(len(path), -1, path.x.shape[-1])[:, :MOST_PATHS]
    dim = points.shape[-1]
    if coordinates is None and dim == 2:
        coordinates = (0, 1)
    if coordinates is not None:
        pair = _pair(coordinates, dim)
    ax = style.axes(ax)
    colors = settings.curve_colors()
    with np.errstate(invalid="ignore"):
        drawn = np.where(np.isfinite(points), points, np.nan)
    if coordinates is None:
        curves = drawn[:, 0].T if dim > 1 else drawn[..., 0].T
        for i, curve in enumerate(curves):
            label = {"label": f"$x_{{{i}}}$"} if dim > 1 else {}
            ax.plot(path.times, curve, **{"color": colors[i % len(colors)], **label, **line})
        axis = "steps" if path.discrete else "time (learning rate $\\times$ steps)"
        style.axis_labels(ax, axis, "$x$" if dim == 1 else "coordinates")
        if 1 < dim <= len(colors):
            ax.legend()
        return ax
    for i in range(drawn.shape[1]):
        first, second = (drawn[:, i, k] for k in pair)
        color = colors[i % len(colors)]
        ax.plot(first, second, **{"color": color, **line})
        ax.plot(first[:1], second[:1], marker="o", color=color, linestyle="none")
    style.axis_labels(ax, f"$x_{{{pair[0]}}}$", f"$x_{{{pair[1]}}}$")
    return ax


def action_picture(
    path: ActionPath, ax: Any = None, *, coordinates: tuple[int, int] = (0, 1), **line: Any
) -> Any:
    """Draw a path of least action, with a disc at its start and a star at its end.

    Parameters
    ----------
    path : ActionPath
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    coordinates : (int, int)
        The two coordinates to draw against each other. In one dimension the coordinate is drawn over the
        share of the path's length.
    **line
        Passed to ``Axes.plot``.

    Returns
    -------
    matplotlib Axes
    """
    dim = path.x.shape[1]
    i, j = _pair(coordinates, dim) if dim > 1 else (0, 0)
    sides = np.linalg.norm(np.diff(path.x, axis=0), axis=1)
    share = np.concatenate([[0.0], np.cumsum(sides)]) / max(float(sides.sum()), np.finfo(float).tiny)
    first, second = (path.x[:, i], path.x[:, j]) if dim > 1 else (share, path.x[:, 0])
    ax = style.axes(ax)
    look = {"color": settings.curve_colors()[0], **line}
    (curve,) = ax.plot(first, second, **look)
    for at, marker, size in ((0, "o", 7.0), (-1, "*", 12.0)):
        ends: Any = {"linestyle": "none", "markersize": settings.mark(size), "color": curve.get_color()}
        ax.plot(first[at], second[at], marker=marker, **ends)
    state = "local minimum" if path.converged else "not converged"
    ax.set_title(f"Path of least action {path.action:.4g} ± {path.error:.1g} ({state})", wrap=True)
    names = (f"$x_{{{i}}}$", f"$x_{{{j}}}$") if dim > 1 else ("share of the path's length", "$x$")
    style.axis_labels(ax, *names)
    return ax


def _pair(coordinates: Any, dim: int) -> list[int]:
    """Two numbers of coordinates, checked."""
    pair = [checks.integer("coordinates", i, at_least=0, below=dim) for i in coordinates]
    if len(pair) != 2:
        raise ValueError(f"coordinates must be two numbers of coordinates, got {coordinates!r}")
    return pair

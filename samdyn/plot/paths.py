"""Pictures of trajectories: over time, or in the plane of two coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

from samdyn.arguments import checks
from samdyn.dynamics.trajectory_result import Trajectory
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
        pair = [checks.integer("coordinates", i, at_least=0, below=dim) for i in coordinates]
        if len(pair) != 2:
            raise ValueError(f"coordinates must be two numbers of coordinates, got {coordinates!r}")
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

"""Sharpness along a path against the edges of stability of GD and of the rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from samdyn.orbit.stability_edge import EdgeOfStability
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import title_of, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@settings.picture
def edge_of_stability(result: EdgeOfStability, ax: Axes | None = None) -> Axes:
    """Sharpness and both edges along a path, on a logarithmic axis.

    Parameters
    ----------
    result : EdgeOfStability
        Of one path, or of several (one line each).
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.beale(), sd.SAM(0.1), lr=1e-4)
    >>> path = sd.trajectory(step, [1.0, 2.0], n_steps=500)
    >>> sd.plot.edge_of_stability(sd.edge_of_stability(step, path)).get_yscale()
    'log'
    """
    if not isinstance(result, EdgeOfStability):
        raise TypeError(f"result must be an EdgeOfStability, got {type(result).__name__}")
    own = ax is None
    ax = style.axes(ax, size=(6.4, 4.0))
    sharpness = result.sharpness.reshape(len(np.atleast_1d(result.sharpness)), -1)
    edge = result.edge.reshape(sharpness.shape)
    steps = np.arange(len(sharpness))
    colors = style.OKABE_ITO
    drawn = ax.plot(
        steps, edge, color=colors["orange"], linewidth=settings.width(1.2), label="edge of the rule"
    )
    over = ax.plot(steps, sharpness, color=colors["blue"], linewidth=settings.width(1.8), label="sharpness")
    gd = ax.axhline(result.gd_edge, color=colors["black"], linestyle=(0, (5, 2)), label="edge of GD")
    ax.set_yscale("log")
    ax.set_xlim(0, max(len(steps) - 1, 1))
    ax.set_xlabel("point along the path")
    ax.set_ylabel("curvature")
    ax.set_title(wrapped(ax, title_of(result.system)))
    style.legend(ax, [over[0], drawn[0], gd], "outside" if own else "best")
    return ax

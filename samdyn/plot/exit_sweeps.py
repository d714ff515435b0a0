"""Mean exit times with their confidence intervals, against a parameter of a sweep."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.escape.exit.parameter_sweep import ExitTimeSweep
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import in_common, parameter_label, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "D", "v", "P")
UNITS = {"time": "learning rate $\\times$ steps", "steps": "steps"}


@settings.picture
def exit_sweep(
    result: ExitTimeSweep,
    parameter: str | None = None,
    ax: Axes | None = None,
    *,
    level: float = 0.95,
    **line: Any,
) -> Axes:
    """Draw mean exit times of a sweep against one of its parameters.

    Parameters
    ----------
    result : ExitTimeSweep
    parameter : str, optional
        Along the horizontal axis; the first by default. There is a line for each combination of the others.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    level : float
        Of the confidence intervals, drawn as bars. Where no path left, an arrow starts at the lower bound.
    **line
        Keywords for the lines (`Axes.errorbar`).

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        Not a sweep, or it has no such parameter.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
    >>> ball, noises = sd.Ball([0.0, 0.0], 0.5), {"std": [1.0, 2.0]}
    >>> sweep = sd.exit_time_sweep(sgd, [0.0, 0.0], ball, noises, n_paths=200, t_max=50.0)
    >>> sd.plot.exit_sweep(sweep).get_xlabel()
    'standard deviation of the noise'
    """
    if not isinstance(result, ExitTimeSweep):
        raise TypeError(f"result must be an ExitTimeSweep, got {type(result).__name__}")
    names = list(result.parameters)
    name = names[0] if parameter is None else parameter
    if name not in names:
        raise ValueError(f"parameter must be one of {', '.join(names)}, got {name!r}")
    ax = style.axes(ax)
    others = [other for other in names if other != name]
    axis, x = names.index(name), result.parameters[name]
    mean = np.moveaxis(result.mean, axis, -1)
    interval = np.moveaxis(result.confidence_interval(level), axis, -2)
    order, handles, colors = np.argsort(x), [], settings.curve_colors()
    combinations = itertools.product(*(range(len(result.parameters[other])) for other in others))
    for i, at in enumerate(combinations):
        y, (low, high) = mean[at][order], interval[at][order].T
        color, seen = colors[i % len(colors)], np.isfinite(y)
        label = ", ".join(f"{o} = {result.parameters[o][k]:g}" for o, k in zip(others, at, strict=True))
        look = {
            "color": color,
            "marker": MARKERS[i % len(MARKERS)],
            "markersize": settings.mark(6),
            "capsize": 3,
            **line,
        }
        bars = np.array([y - low, high - y])
        handles.append(
            ax.errorbar(
                x[order][seen],
                y[seen],
                bars[:, seen],
                linewidth=settings.width(1.6),
                label=label or None,
                **look,
            )
        )
        if not seen.all():
            ax.errorbar(
                x[order][~seen], low[~seen], 0.3 * low[~seen], lolims=True, linestyle="none", color=color
            )
    ax.set_yscale("log")
    style.log_ticks(ax.yaxis)
    ax.set_xlabel(parameter_label(name))
    ax.set_ylabel(f"mean exit time ({UNITS[result[0].unit]})")
    ax.set_title(wrapped(ax, in_common([exits.system for exits in result])))
    if others:
        style.legend(ax, handles, "best")
    return ax

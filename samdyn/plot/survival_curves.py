"""Survival curves of exit times: the Kaplan-Meier estimate with its band, on a logarithmic axis where an
exponential law is a straight line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.escape.statistics.result import ExitTimes
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import in_common, labels_by_difference, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))


@settings.picture
def survival(
    results: Sequence[ExitTimes],
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    level: float = 0.95,
    **line: Any,
) -> Axes:
    """Survival curves of one or several results in one picture.

    Parameters
    ----------
    results : sequence of ExitTimes
    labels : sequence of str, optional
        One for each result; by default what tells their systems (or else their regions) apart, and the mean
        with a standard error.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    level : float
        Coverage of the bands.
    **line
        Keywords for the curves (`Axes.step`).

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        Not exit times, none at all, in different units of time, or not one label for each.

    Notes
    -----
    The curve is drawn down to the last exit but one: the estimate's final drop to zero has no place on a
    logarithmic axis. Paths censored at t_max leave the curve hanging there.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
    >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=500, t_max=50.0)
    >>> sd.plot.survival([exits], labels=["SGD"]).get_yscale()
    'log'
    """
    results = [results] if isinstance(results, ExitTimes) else list(results)
    if not results:
        raise ValueError("results must hold at least one ExitTimes, got none")
    for result in results:
        if not isinstance(result, ExitTimes):
            raise TypeError(f"results must be ExitTimes, got {type(result).__name__}")
    if len({result.unit for result in results}) > 1:
        raise ValueError("results must be in the same unit, got some in steps and some in time")
    if labels is not None and len(labels) != len(results):
        raise ValueError(f"labels must be one for each of the {len(results)} results, got {len(labels)}")
    ax = style.axes(ax)
    colors = settings.curve_colors()
    if labels is None:
        labels = _labels(results)
    handles = []
    lowest = 1.0
    for i, result in enumerate(results):
        curve = result.survival(level)
        shown = curve.probability > 0
        t, p = curve.times[shown], curve.probability[shown]
        lower, upper = curve.lower[shown], curve.upper[shown]
        if len(t) > 2000:  # finer than a pixel along either axis, and every step at the end
            evenly = [np.linspace(0, t[-1], 2000), np.linspace(0, -np.log(p[-1]), 2000)]
            keep = np.concatenate(
                [np.searchsorted(rising, at) for rising, at in zip((t, -np.log(p)), evenly, strict=True)]
            )
            keep = np.unique(np.minimum(keep, len(t) - 1))
            t, p, lower, upper = t[keep], p[keep], lower[keep], upper[keep]
        look = {
            "color": colors[i % len(colors)],
            "linestyle": LINES[i % 7],
            "linewidth": settings.width(1.8),
            **line,
        }
        (drawn,) = ax.step(t, p, where="post", label=labels[i], **look)
        floor = max(float(p.min()) / 3, 1e-12)
        ax.fill_between(
            t, np.maximum(lower, floor), upper, step="post", color=drawn.get_color(), alpha=0.2, linewidth=0
        )
        handles.append(drawn)
        lowest = min(lowest, float(p.min()))
    ax.set_yscale("log")
    ax.set_ylim(max(lowest / 1.5, 1e-6), 1.15)
    style.log_ticks(ax.yaxis)
    ax.set_xlim(left=0)
    unit = "steps" if results[0].discrete else "time (learning rate $\\times$ steps)"
    ax.set_xlabel(unit)
    ax.set_ylabel("probability still inside")
    ax.set_title(wrapped(ax, in_common([result.system for result in results])))
    style.legend(ax, handles, "best")
    return ax


def _labels(results: Sequence[ExitTimes]) -> list[str]:
    """What tells the results apart, with their means."""
    systems, regions = [result.system for result in results], [result.region for result in results]
    apart = systems if len(set(systems)) > 1 else regions
    names = labels_by_difference(apart) if len(set(apart)) > 1 else [""] * len(results)
    means = [f"mean {r.mean:.3g} ± {r.standard_error:.1g}" if r.n_exited else "no exit" for r in results]
    return [f"{name}: {mean}" if name else mean for name, mean in zip(names, means, strict=True)]

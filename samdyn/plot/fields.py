"""Pictures of functions of position, such as a mean exit time, and of how an ensemble spreads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from samdyn.escape.solver.field import Field
from samdyn.escape.spread.result import Displacement
from samdyn.plot.appearance import style


def field_picture(field: Field, ax: Any = None, **options: Any) -> Any:
    """Draw a field: a curve in one dimension, filled contours in two.

    Parameters
    ----------
    field : Field
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    **options
        Passed to ``Axes.plot`` or ``Axes.contourf``.

    Returns
    -------
    matplotlib Axes
    """
    import matplotlib.pyplot as plt

    axes: Any = plt.subplots()[1] if ax is None else ax
    label = f"{field.name} ({field.unit})" if field.unit else field.name
    if field.dim == 1:
        axes.plot(field.grid[0], field.values, **options)
        axes.set(xlabel="x (units of the weights)", ylabel=label)
    else:
        options = {"levels": 20} | options
        filled = axes.contourf(*field.grid, np.ma.masked_invalid(field.values.T), **options)
        axes.figure.colorbar(filled, ax=axes, label=label)
        axes.set(xlabel="$x_0$ (units of the weights)", ylabel="$x_1$ (units of the weights)")
    return axes


def displacement_picture(
    result: Displacement, ax: Any = None, *, modes: Sequence[str] = (), **points: Any
) -> Any:
    """Draw a mean squared displacement with error bars of two standard errors, and the theory as a line.

    Parameters
    ----------
    result : Displacement
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    modes : sequence of str
        Further predictions to draw, such as "paper".
    **points
        Keywords for the points (`Axes.errorbar`).

    Returns
    -------
    matplotlib Axes
    """
    further = {mode: result.prediction(mode) for mode in modes}  # refuses before anything is drawn
    ax = style.axes(ax)
    colors = [style.OKABE_ITO[name] for name in ("vermilion", "blue", "green", "orange")]
    look = {"fmt": "o", "color": style.OKABE_ITO["black"], "markersize": 4, "capsize": 2, **points}
    label = look.pop("label", f"mean of {result.n_paths} paths")
    handles = [ax.errorbar(result.times, result.mean, yerr=2 * result.standard_error, label=label, **look)]
    lines = {"theory": result.theory, **further}
    dashes = ("-", "--", "-.", ":")
    for i, (name, curve) in enumerate((k, v) for k, v in lines.items() if v is not None):
        text = name if name == "theory" else f'theory, mode "{name}"'
        (line,) = ax.plot(
            result.times, curve, color=colors[i % 4], linestyle=dashes[i % 4], label=text, zorder=1
        )
        handles.append(line)
    axis = "steps" if result.discrete else "time (learning rate $\\times$ steps)"
    style.axis_labels(ax, axis, "mean squared displacement")
    style.legend(ax, handles, "best")
    return ax

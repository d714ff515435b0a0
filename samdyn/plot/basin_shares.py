"""How the shares of basins change with a parameter: stacked bands, in the colours of pictures of basins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.basin.continuation import BasinContinuation
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import parameter_label, title_of
from samdyn.plot.basin_maps import LIGHT, color_of, hatch_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@settings.picture
def fraction_bands(
    result: BasinContinuation, ax: Axes | None = None, *, legend: bool | str = True, intervals: bool = True
) -> Axes:
    """Shares of the basins against a parameter, as stacked bands.

    Parameters
    ----------
    result : BasinContinuation
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    legend : bool or str
        As in `phase_portrait`.
    intervals : bool
        Whether to mark the 95 % interval of each share, as a bar at the upper edge of its band.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import samdyn as sd
    >>> well = sd.Map(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.05)
    >>> found = sd.basin_continuation(well, [(-2, 2)], parameters={"rho": [0.2, 0.6]}, n_paths=200)
    >>> sd.plot.fraction_bands(found).get_ylabel()
    'share of the box'
    """
    if not isinstance(result, BasinContinuation):
        raise TypeError(f"result must be a BasinContinuation, got {type(result).__name__}")
    from matplotlib.patches import Patch

    given = ax
    ax = style.axes(ax, size=(9.0, 4.2))  # with room for long names
    order = np.argsort(result.values)
    x, lower = result.values[order], np.zeros(len(order))
    # room for a single value
    half = 0.5 * max(abs(float(x[0])), 1.0) if len(x) == 1 else 0.0
    entries: list[Any] = []
    for k in result.ids:
        upper = lower + result.fractions[k][order]
        drawn = (x, lower, upper)
        if half:
            drawn = (np.array([x[0] - half, x[0] + half]), np.repeat(lower, 2), np.repeat(upper, 2))
        look: dict[str, Any] = {
            "facecolor": color_of(k, LIGHT),
            "edgecolor": "white",
            "linewidth": settings.width(0.8),
        }
        band = ax.fill_between(*drawn, **look, hatch=hatch_of(k))
        band.set_gid(f"band {k}")
        if intervals:
            down = result.fractions[k][order] - result.lower[k][order]
            up = result.upper[k][order] - result.fractions[k][order]
            shown = result.fractions[k][order] > 0
            errors = np.maximum(np.stack([down, up])[:, shown], 0)
            ax.errorbar(
                x[shown],
                upper[shown],
                errors,
                fmt="none",
                ecolor="#333333",
                elinewidth=settings.width(0.9),
                capsize=1.8,
            )
        entries.append(
            Patch(
                facecolor=color_of(k, LIGHT),
                edgecolor="#555555",
                hatch=hatch_of(k),
                linewidth=settings.width(0.6),
                label=result.name_of(k),
            )
        )
        lower = upper
    ax.set_xlim(float(x[0]) - half, float(x[-1]) + half)
    ax.set_ylim(0, 1)
    system = result.results[0].system if result.results else None
    label = parameter_label(result.parameter, getattr(system, "rule", None))
    style.axis_labels(ax, label, "share of the box")
    of = "" if system is None else f" of {title_of(system, but=result.parameter)}"
    ax.set_title(f"Basins{of} across {parameter_label(result.parameter)}")
    if legend is not False:
        where = legend if isinstance(legend, str) else style.place_of_legend(given)
        style.legend(ax, entries[::-1], where)  # as they are stacked
    return ax

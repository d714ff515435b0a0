"""Drawing a phase portrait in one dimension: the field against x, arrows on the axis, the loss beside it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.search import FixedPoint
from samdyn.plot.appearance import settings, style
from samdyn.plot.portrait.field import field_of, prime_from
from samdyn.systems.map import Map
from samdyn.systems.system import System

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_line(
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
    x = np.linspace(low, high, prime_from(4 * resolution) + 1)
    y = field_of(system, x[:, None])[:, 0]
    y = np.where(np.isfinite(y), y, np.nan)
    jumps = np.empty(0, dtype=int)
    if system.landscape is not None and system.rule is not None and system.rule.jumps:
        slope = system.landscape.gradient(x[:, None])[:, 0]
        jumps = np.flatnonzero(slope[:-1] * slope[1:] < 0)
    ax.axhline(0.0, color=style.FIELD, linewidth=settings.width(1.0), zorder=2, gid="zero line")
    entries = style.draw_fixed_points(ax, points, [0], region.mean(axis=1), high - low)
    if field:
        solid: dict[str, Any] = {
            "color": style.OKABE_ITO["black"],
            "linewidth": settings.width(1.8),
            "linestyle": "-",
        }
        broken = [np.insert(values, jumps + 1, np.nan) for values in (x, y)]
        ax.plot(broken[0], np.ma.masked_invalid(broken[1]), **solid, zorder=4, gid="field")
        _without_poles(ax, np.ma.masked_invalid(y))
        entries.append(Line2D([], [], **solid, label="field"))
        dotted = solid | {"linewidth": settings.width(1.1), "linestyle": ":"}
        for i in jumps:
            ax.plot(x[i : i + 2], y[i : i + 2], **dotted, zorder=4, gid="jump")
        entries += [Line2D([], [], **dotted, label="jump")] if len(jumps) else []
        for left, right in pairwise([low, *x[:-1][y[:-1] * y[1:] < 0], high]):
            if right - left > 0.08 * (high - low):  # between closer points there is no room
                middle = (left + right) / 2
                forward = y[np.searchsorted(x, middle)] > 0
                ax.plot(
                    middle, 0.0, "k>" if forward else "k<", markersize=settings.mark(6), zorder=5, gid="arrow"
                )
    of_map = r"$(x' - x)/\eta$" if system.landscape is not None else "$x' - x$"
    style.axis_labels(ax, "$x$", of_map if isinstance(system, Map) else r"$\dot x$")
    ax.set_xlim(low, high)
    if loss and system.landscape is not None:
        dashed: dict[str, Any] = {
            "color": style.LOSS,
            "linewidth": settings.width(1.2),
            "linestyle": (0, (4, 2)),
        }
        twin = ax.twinx()
        height = np.ma.masked_invalid(system.landscape.value(x[:, None]))
        twin.plot(x, height, **dashed, gid="loss")
        _without_poles(twin, height)
        style.axis_labels(twin, "$x$", "loss")
        twin.yaxis.label.set_color(style.LOSS)
        twin.tick_params(labelcolor=style.LOSS)
        ax.set_zorder(twin.get_zorder() + 1)  # the field and its points lie over the loss
        ax.patch.set_visible(False)
        entries.append(Line2D([], [], **dashed, label="loss"))
    return entries, np.stack([x, np.nan_to_num(y)], axis=1)


def _without_poles(ax: Axes, y: Any) -> None:
    """Limit the axis to what most of the values take, where a few are a thousand times larger."""
    values = y.compressed()
    if len(values) == 0:
        return
    middle, usual = float(np.median(values)), np.quantile(np.abs(values - np.median(values)), 0.9)
    if np.abs(values - middle).max() > 1e3 * usual > 0:
        ax.set_ylim(middle - 4 * usual, middle + 4 * usual)

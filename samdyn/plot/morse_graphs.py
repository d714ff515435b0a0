"""Morse sets in their box, the regions of attraction behind them, and the graph laid over both.

In one dimension sets are bars on the axis; in more than two, two coordinates are shown (a projection). Sets
keep their number; an arrow leads from a set to each that it leads to directly. Attracting sets have a
colour each, whose tint is their region of attraction; other sets are grey, and what may leave the box stays
white.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.morse.graph import MorseGraph
from samdyn.plot.appearance import settings, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = [style.OKABE_ITO[name] for name in ("blue", "vermilion", "green", "purple", "orange", "sky blue")]
MARK_APART = 2.2  # heights of a letter: two discs with a number of two digits do not touch
OUTER, INNER = 0.13, 0.24  # opacity of regions of attraction, and of the inner basins on them


@settings.picture
def morse_graph(
    result: MorseGraph,
    ax: Axes | None = None,
    *,
    coordinates: Sequence[int] = (0, 1),
    regions: bool = True,
    arrows: bool = True,
    largest: int = 12,
) -> Axes:
    """Draw Morse sets, their regions of attraction and the order among them.

    Parameters
    ----------
    result : MorseGraph
    ax : matplotlib Axes, optional
        A new figure by default.
    coordinates : pair of int
        Which two coordinates to show, with three or more.
    regions : bool
        Tint the regions of attraction, and more strongly the inner basins (in one and two dimensions only).
    arrows : bool
        Join sets by arrows.
    largest : int
        Only that many sets get a number and arrows: attracting ones first, then the largest, so that
        artefacts do not hide the rest. A set whose number would lie on another one's gets none.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    >>> ax = sd.morse_graph(step, [(-1.22, 1.2)], resolution=100, iterates=20).plot()
    """
    if not isinstance(result, MorseGraph):
        raise TypeError(f"result must be a MorseGraph, got {type(result).__name__}")
    largest = checks.integer("largest", largest, at_least=0)
    dim = len(result.box)
    shown = (
        (0,)
        if dim == 1
        else tuple(checks.integer("coordinates", c, at_least=0, below=dim) for c in coordinates)
    )
    if dim > 1 and (len(shown) != 2 or shown[0] == shown[1]):
        raise ValueError(f"coordinates must be two different ones, got {coordinates!r}")
    ax = style.axes(ax, size=(8.4, 3.8) if dim == 1 else (6.0, 5.0))
    colors = {
        node: COLORS[k % len(COLORS)]
        for k, node in enumerate(node for node, kind in result.kind.items() if kind == "attracting")
    }
    tinted = regions and dim <= 2
    for node, color in colors.items() if tinted else ():
        _rectangles(ax, result.region_of_attraction(node), shown, color, OUTER, 0.5)
        _rectangles(ax, result.inner_basin(node), shown, color, INNER, 0.6)
    for node, boxes in result.sets.items():
        _rectangles(ax, boxes, shown, colors.get(node, style.OKABE_ITO["black"]), 1.0, 2.0)
    numbered = sorted(result.sets, key=lambda node: (node not in colors, -len(result.sets[node])))[:largest]
    places = {node: _place(result.sets[node], shown) for node in numbered}
    ax.set_xlim(*result.box[shown[0]])
    if dim == 1:
        ax.set_ylim(0, 1)
        ax.set_yticks([])
        style.axis_labels(ax, "$x$", "")
        ax.set_yticks([])
    else:
        ax.set_ylim(*result.box[shown[1]])
        style.axis_labels(ax, f"$x_{{{shown[0]}}}$", f"$x_{{{shown[1]}}}$")
    places = _apart(ax, places)
    _marks(ax, result, places, colors)
    if arrows:
        _arrows(ax, result, places)
    bound = "outer bounds" if result.rigorous else "no outer bounds"
    ax.set_title(f"{result.system}\n{len(result)} Morse sets, {result.image} images ({bound})")
    _legend(ax, result, colors, tinted)
    return ax


def _rectangles(
    ax: Axes, boxes: Array, shown: tuple[int, ...], color: str, alpha: float, order: float
) -> None:
    from matplotlib.collections import PolyCollection

    if not len(boxes):
        return
    if len(shown) == 1:
        low, high = boxes[:, shown[0]].T
        bottom, top = np.full(len(low), 0.15), np.full(len(low), 0.45)
    else:
        low, high = boxes[:, shown[0]].T
        bottom, top = boxes[:, shown[1]].T
    corners = np.stack([low, bottom, high, bottom, high, top, low, top], axis=1).reshape(-1, 4, 2)
    # an edge of its own colour closes the seams between neighbours; on a tint it would show as a grid
    edge = color if alpha == 1 else "none"
    ax.add_collection(
        PolyCollection(
            list(corners),
            facecolor=color,
            edgecolor=edge,
            linewidth=settings.width(0.4),
            alpha=alpha,
            zorder=order,
            rasterized=len(boxes) > 2000,
        )
    )


def _place(boxes: Array, shown: tuple[int, ...]) -> tuple[float, float]:
    """A point of the set near its middle, so that the mark of a ring does not fall into its hole."""
    middle = boxes.mean(axis=2)[:, list(shown)]
    nearest = middle[np.argmin(((middle - middle.mean(axis=0)) ** 2).sum(axis=1))]
    return float(nearest[0]), float(nearest[1]) if len(shown) == 2 else 0.7


def _apart(ax: Axes, places: dict[int, tuple[float, float]]) -> dict[int, tuple[float, float]]:
    """The places whose numbers do not lie on numbers before them."""
    least = MARK_APART * settings.text_size(1.0) * float(ax.figure.dpi) / 72
    kept: dict[int, tuple[float, float]] = {}
    on_page: list[Array] = []
    for node, place in places.items():
        here = ax.transData.transform(place)
        if all(np.hypot(*(here - other)) >= least for other in on_page):
            kept[node] = place
            on_page.append(here)
    return kept


def _marks(
    ax: Axes, result: MorseGraph, places: dict[int, tuple[float, float]], colors: dict[int, str]
) -> None:
    for node, place in places.items():
        color = colors.get(node, style.OKABE_ITO["black"])
        ax.annotate(
            str(node),
            place,
            ha="center",
            va="center",
            fontsize=settings.text_size(1.1 if node in colors else 0.75),
            color="white",
            fontweight="bold",
            zorder=6 if node in colors else 5.5,
            bbox={
                "boxstyle": "circle,pad=0.25",
                "facecolor": color,
                "edgecolor": "white",
                "linewidth": settings.width(1.2),
            },
        )


def _arrows(ax: Axes, result: MorseGraph, places: dict[int, tuple[float, float]]) -> None:
    # through the sets that are not numbered to the next one that is
    reach = result.reachability.subgraph(places)
    look = {"arrowstyle": "-|>", "color": "#333333", "lw": 1.4, "mutation_scale": 14}
    look |= {"shrinkA": 11, "shrinkB": 11, "connectionstyle": "arc3,rad=0.15"}
    for start, end in nx.transitive_reduction(reach).edges:
        ax.annotate("", places[end], places[start], zorder=5, arrowprops=look)


def _legend(ax: Axes, result: MorseGraph, colors: dict[int, str], tinted: bool) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=color, label=f"{node}: attracting") for node, color in list(colors.items())[:6]]
    if len(colors) < len(result):
        handles.append(Patch(color=style.OKABE_ITO["black"], label="repelling or intermediate"))
    if tinted and colors:
        gray, share = "#555555", 1 - (1 - INNER) * (1 - OUTER)
        handles.append(Patch(facecolor=gray, alpha=share, label="leads to this set and no other"))
        outer, inner = result.order.destination >= 0, result.order.certain
        if (outer & ~inner).any():
            handles.append(Patch(facecolor=gray, alpha=OUTER, label="leads to no other attracting set"))
    if tinted and (result.order.destination < 0).any():
        handles.append(Patch(facecolor="white", edgecolor="#888888", label="several, or may leave the box"))
    columns: Any = min(len(handles), 3 if len(result.box) == 1 else 2)
    below = (0.5, -0.32 if len(result.box) == 1 else -0.16)
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=below, ncols=columns, frameon=False)

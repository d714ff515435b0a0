"""Basin graphs and their rates, drawn over a phase portrait, over basins, or by themselves.

Nodes stand at the attractors and bear their number; the area of a node grows with its share of the box (or,
with rates, its probability). An edge of `basin_graph` is a line from one attractor through the saddle or edge
state to the other, with a mark there by its kind and, on each half, what it takes to come up from that end.
In a picture of `rate_graph` every transition is an arrow; arrows of the dominant tree are heavy and dark, the
others light and dashed. In one dimension the height is the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.placement import extents, is_panel, place_text
from samdyn.plot.appearance.titles import wrapped
from samdyn.plot.basin_maps import color_of, numbering

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

LABELS = ("barrier", "action", "distance", "rate")
LINE, LIGHT = "#222222", "#8a8a8a"
BEND = 0.22  # of an arrow, in its length
BESIDE = 13.0  # points between a line and its numbers
SHARES = (0.5, 0.35, 0.65, 0.8)  # of the way from a node to the pass, where its number may stand
ARC = (0.36, 0.28, 0.44, 0.2)  # of the way along an arrow
SMALLEST_REST = 5e-4  # of the box that goes to no attractor: what is printed as 0.1 %
LEAST, MOST = 230.0, 900.0  # areas of nodes, in square points
MARKS = {
    "edge state": ("D", style.OKABE_ITO["yellow"]),
    "edge cycle": ("h", style.OKABE_ITO["orange"]),
    "edge track": ("v", "white"),
}
PASSES = {"hallucinated": "hallucinated point", "edge track": "edge state, not at rest"}


@settings.picture
def basin_graph(
    graph: nx.Graph,
    ax: Axes | None = None,
    *,
    label: str | bool | None = None,
    coordinates: Sequence[int] = (0, 1),
    ids: Mapping[int, int] | None = None,
    legend: bool | str = True,
) -> Axes:
    """Draw a basin graph: attractors, joined through what lies between their basins.

    Parameters
    ----------
    graph : networkx.Graph or networkx.DiGraph
        From `basin_graph`, or from `rate_graph`.
    ax : matplotlib Axes, optional
        Where to draw, with a phase portrait on it, say, whose limits are kept; a new figure by default.
    label : {"barrier", "action", "distance", "rate"} or False, optional
        What is written at the edges, for each direction; of a `basin_graph` the barrier in the loss by
        default (the distance where there is no loss), of a `rate_graph` the rate. False for nothing.
    coordinates : (int, int)
        The two coordinates shown, where dim > 2 (a projection).
    ids : dict of int to int, optional
        Number and colour of each attractor, as in `samdyn.plot.basin_maps`.
    legend : bool or str
        As in `phase_portrait`.

    Returns
    -------
    matplotlib Axes
        Its artists have the group ids "node k", "edge a b" and "pass a b".

    Raises
    ------
    TypeError, ValueError
        Not such a graph, no such label on its edges, or coordinates that are not there.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.himmelblau(), sd.GD())
    >>> graph = sd.basin_graph(sd.basins(flow, resolution=16), action=False)
    >>> ax = sd.plot.phase_portrait(flow, nullclines=False, legend=False)
    >>> ax = sd.plot.basin_graph(graph, ax)
    """
    if not isinstance(graph, nx.Graph) or not all("position" in data for _, data in graph.nodes(data=True)):
        raise TypeError(f"graph must be what basin_graph or rate_graph returns, got {type(graph).__name__}")
    if not len(graph):
        raise ValueError("graph must have a node, got none")
    style.check_axes(ax)
    style.check_legend(legend)
    directed = graph.is_directed()
    shown = _label(graph, label)
    number = numbering(ids, graph)
    dim = len(next(iter(graph.nodes.values()))["position"])
    plane = (
        [0] if dim == 1 else [checks.integer("coordinates", c, at_least=0, below=dim) for c in coordinates]
    )
    if dim > 1 and (len(plane) != 2 or plane[0] == plane[1]):
        raise ValueError(f"coordinates must be two different ones, got {coordinates!r}")
    given, ax = ax, style.axes(ax, size=(7.0, 5.6))
    places = {k: _place(data, plane) for k, data in graph.nodes(data=True)}
    if given is None:
        _frame(ax, graph, places, plane)
        if graph.graph.get("system"):
            ax.set_title(wrapped(ax, graph.graph["system"]))
    # beside the axes its long entries would take most of the width
    where = legend if isinstance(legend, str) else "below"
    # a node has another share in each panel, and one entry in a legend that all of them share
    nodes = _nodes(ax, graph, places, number, with_share=where != "below" or not is_panel(ax))
    taken = extents([text for text in ax.texts if text.get_gid() == "number of a node"])
    if directed:
        entries = _arrows(ax, graph, places, number, shown, taken)
    else:
        entries = _passes(ax, graph, places, plane, shown, taken)
    if legend is not False:
        style.legend(ax, [*nodes, *entries], where)
    return ax


def _label(graph: nx.Graph, label: Any) -> str | None:
    """The attribute of edges that is written at them; None for nothing."""
    if label is False or graph.number_of_edges() == 0:
        return None
    edges = [data for _, _, data in graph.edges(data=True)]
    if label is None or label is True:
        if graph.is_directed():
            return "rate"
        return (
            "barrier" if np.isfinite([v for d in edges for v in d["barrier"].values()]).all() else "distance"
        )
    if not isinstance(label, str) or label not in LABELS:
        raise ValueError(f"label must be one of {', '.join(map(repr, LABELS))} or False, got {label!r}")
    if not all(label in data for data in edges):
        raise ValueError(
            f"label must be on every edge of the graph, got {label!r}; its edges have "
            f"{', '.join(sorted(set.intersection(*(set(data) for data in edges)) & set(LABELS)))}"
        )
    return str(label)


def _place(data: dict[str, Any], plane: list[int]) -> Array:
    x = np.asarray(data["position"], dtype=float)
    if len(plane) == 2:
        return x[plane]
    return np.array([x[0], np.nan_to_num(data.get("loss", 0.0))])


def _frame(ax: Axes, graph: nx.Graph, places: dict[int, Array], plane: list[int]) -> None:
    """Limits and labels of new axes."""
    passes = [_place(data, plane) for _, _, data in graph.edges(data=True) if "position" in data]
    points = np.array([*places.values(), *passes])
    low, high = points.min(axis=0), points.max(axis=0)
    if graph.is_directed():  # arcs reach beyond their ends, at right angles to them on the page
        size = np.where(high > low, high - low, 1.0) / ax.get_window_extent().size
        ways = np.array([(places[b] - places[a]) / size for a, b in graph.edges]).reshape(-1, 2)
        middles = np.array([(places[a] + places[b]) / 2 for a, b in graph.edges]).reshape(-1, 2)
        points = np.concatenate([points, middles + BEND / 2 * ways[:, ::-1] * [1, -1] * size])
        low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.18 * np.where(high > low, high - low, 1.0)
    ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
    names = (f"$x_{{{plane[0]}}}$", f"$x_{{{plane[1]}}}$") if len(plane) == 2 else ("$x$", "loss")
    style.axis_labels(ax, *names)


def _passes(
    ax: Axes,
    graph: nx.Graph,
    places: dict[int, Array],
    plane: list[int],
    label: str | None,
    taken: list[Bbox],
) -> list[Any]:
    from matplotlib.lines import Line2D

    kinds: dict[str, Any] = {}
    for a, b, data in graph.edges(data=True):
        middle = _place(data, plane)
        x, y = np.array([places[a], middle, places[b]]).T
        for color, width, order in (("white", 5.2, 7.0), (LINE, 2.4, 7.1)):
            ax.plot(
                x, y, color=color, linewidth=width, zorder=order, solid_joinstyle="round", gid=f"edge {a} {b}"
            )
        kind = data["kind"]
        marker, face = MARKS[kind] if kind in MARKS else _mark(kind)
        look: dict[str, Any] = {"marker": marker, "markerfacecolor": face, "markeredgecolor": "black"}
        look |= {"markersize": settings.mark(11.0 if marker == "*" else 8.5), "linestyle": "none"}
        ax.plot(*middle, **look, zorder=9, gid=f"pass {a} {b}")
        kinds.setdefault(kind, Line2D([], [], **look, label=f"pass: {PASSES.get(kind, kind)}"))
        if label is not None:
            for k in (a, b):
                along = [places[k] + share * (middle - places[k]) for share in SHARES]
                _write(ax, along, _text(data[label][k]), taken, places[b] - places[a])
    entries = list(kinds.values())
    if label is not None and entries:
        names = {"barrier": "rise of the loss to the pass", "action": "least action to the pass"}
        text = names.get(label, "distance to the pass")
        entries.append(
            Line2D([], [], color=LINE, linewidth=settings.width(2.4), label=f"joined; numbers: {text}")
        )
    return entries


def _mark(kind: str) -> tuple[str, str]:
    look = style.fixed_point_style(kind, "attracting")
    return look["marker"], look["markerfacecolor"]


def _arrows(
    ax: Axes,
    graph: nx.DiGraph,
    places: dict[int, Array],
    number: dict[int, int],
    label: str | None,
    taken: list[Bbox],
) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import FancyArrowPatch

    tree = set(graph.graph.get("tree") or ())
    for a, b, data in graph.edges(data=True):
        main = (a, b) in tree
        arrow = FancyArrowPatch(
            tuple(places[a]),
            tuple(places[b]),
            arrowstyle="-|>",
            connectionstyle=f"arc3,rad={BEND}",
            mutation_scale=17 if main else 12,
            linewidth=settings.width(2.8 if main else 1.4),
            shrinkA=15,
            shrinkB=15,
            color=LINE if main else LIGHT,
            linestyle="-" if main else (0, (4, 2)),
            zorder=7.2 if main else 7.1,
        )
        arrow.set_gid(f"edge {a} {b}")
        ax.add_patch(arrow)
        if label is not None:
            value = data[label] if np.isscalar(data[label]) else data[label][a]
            # on the arc, nearer to its start: the way back has its number at the other end
            one, two = ax.transData.transform(places[a]), ax.transData.transform(places[b])
            bend = (one + two) / 2 + BEND * np.array([(two - one)[1], -(two - one)[0]])
            arc = [(1 - s) ** 2 * one + 2 * s * (1 - s) * bend + s**2 * two for s in ARC]
            _write(ax, [ax.transData.inverted().transform(at) for at in arc], _text(value), taken)
    named = "numbers: rates" if label == "rate" else f"numbers: {label}"
    note = "" if label is None else f"; {named}"
    into = "".join(f" into {number[k]}" for k in graph if tree and not any(a == k for a, _ in tree))
    entries = (
        [Line2D([], [], color=LINE, linewidth=settings.width(2.8), label=f"dominant transitions{into}{note}")]
        if tree
        else []
    )
    if graph.number_of_edges() > len(tree):
        entries.append(
            Line2D(
                [],
                [],
                color=LIGHT,
                linewidth=settings.width(1.4),
                linestyle=(0, (4, 2)),
                label="other transitions",
            )
        )
    return entries


def _nodes(
    ax: Axes, graph: nx.Graph, places: dict[int, Array], number: dict[int, int], *, with_share: bool
) -> list[Any]:
    import matplotlib.patheffects as effects
    from matplotlib.lines import Line2D

    entries = []
    for k, data in sorted(graph.nodes(data=True), key=lambda node: number[node[0]]):
        chance = data.get("stationary")
        share = data.get("fraction") if chance is None else chance
        area = LEAST + (MOST - LEAST) * min(1.0, float(share) if share is not None else 0.0)
        color = color_of(number[k])
        dot = ax.scatter(
            [places[k][0]],
            [places[k][1]],
            s=area,
            color=[color],
            edgecolor="black",
            linewidth=settings.width(1.4),
            zorder=10,
        )
        dot.set_gid(f"node {k}")
        text = ax.annotate(
            str(number[k]),
            tuple(places[k]),
            ha="center",
            va="center",
            fontsize=settings.text_size(1.2),
            zorder=11,
        )
        text.set(fontweight="bold", gid="number of a node")
        text.set_path_effects([effects.withStroke(linewidth=settings.width(2.2), foreground="white")])
        name = f"{number[k]}: {data.get('name', k)}"
        if share is not None and with_share:
            name += f", {float(share):.1%}" + (" of the time" if chance is not None else "")
        look: dict[str, Any] = {
            "marker": "o",
            "markersize": settings.mark(9),
            "markerfacecolor": color,
            "linestyle": "none",
        }
        entries.append(Line2D([], [], **look, markeredgecolor="black", label=name))
    shares = [data.get("fraction") for _, data in graph.nodes(data=True) if "stationary" not in data]
    if with_share and shares and None not in shares:
        rest = 1.0 - sum(map(float, shares))
        if rest >= SMALLEST_REST:
            entries.append(Line2D([], [], linestyle="none", label=f"to none of them: {rest:.1%}"))
    return entries


def _text(value: float) -> str:
    if value == 0 or 1e-2 <= abs(value) < 1e5:
        return f"{value:.3g}"
    digits, power = f"{value:.1e}".split("e")
    return rf"${digits}\cdot 10^{{{int(power)}}}$"


def _write(
    ax: Axes, places: Sequence[Array], text: str, taken: list[Bbox], along: Array | None = None
) -> None:
    """A number at the first of the places where it lies on nothing; beside a line `along`, on either side."""
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.88}
    offset = (0.0, 0.0)
    if along is not None:
        scale = ax.get_window_extent().size / np.array([np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())])
        x, y = along * scale * (1.0 if along[0] >= 0 else -1.0)
        size = max(float(np.hypot(x, y)), 1e-12) / BESIDE
        offset = (-float(y) / size, float(x) / size)
    candidates = [
        ((float(place[0]), float(place[1])), (sign * offset[0], sign * offset[1]))
        for sign in ((1.0, -1.0) if along is not None else (1.0,))
        for place in places
    ]
    look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": settings.text_size(1.0), "bbox": box}
    place_text(ax, text, candidates, taken, look | {"zorder": 9.5})

"""The look that all pictures share: colours, markers, axes, legends.

Colours are the palette of Okabe and Ito, which readers with any of the common forms of colour blindness can
tell apart. Nothing depends on colour alone: a fixed point's
kind is its shape, its stability is its filling, and no two kinds of line share a style.

References
----------
Okabe & Ito, Color Universal Design (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.plot.appearance.placement import (
    COLUMN_INCHES,
    GAP_INCHES,
    is_panel,
    legend_entries,
    make_room_below,
    shared_legend,
    twins_of,
)
from samdyn.plot.appearance.settings import OKABE_ITO, mark, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from samdyn.equilibria.search import FixedPoint

FIELD = "#66717c"
LOSS = "#8a8a8a"
TRAJECTORY = OKABE_ITO["black"]
SEPARATRIX: dict[str, Any] = {"color": OKABE_ITO["purple"], "linestyle": (0, (7, 2, 2, 2))}
SMALL_CYCLE = 0.03  # of the axes' extent: a smaller cycle is drawn as a mark
PLACES = ("outside", "below", "inside")
NULLCLINES = ((OKABE_ITO["sky blue"], (0, (5, 1.5))), (OKABE_ITO["orange"], (0, (4, 1.2, 1, 1.2))))

# shape, colour, size in points under matplotlib's defaults (shapes of equal size differ in area)
KINDS: dict[str, tuple[str, str, float]] = {
    "minimum": ("o", OKABE_ITO["green"], 8.0),
    "saddle": ("X", OKABE_ITO["vermilion"], 9.0),
    "maximum": ("^", OKABE_ITO["purple"], 9.0),
    "degenerate": ("D", OKABE_ITO["yellow"], 7.0),
    "hallucinated": ("*", OKABE_ITO["blue"], 12.0),
    "fixed point": ("s", OKABE_ITO["green"], 7.0),
    "cycle": ("h", OKABE_ITO["orange"], 8.0),
}
FILLED = ("attracting", "trapping")
HALF_FILLED = ("marginal", "jump")
CORNERS = {"upper right": (1, 1), "upper left": (0, 1), "lower right": (1, 0), "lower left": (0, 0)}


def fixed_point_style(kind: str, stability: str) -> dict[str, Any]:
    """Keywords of `Axes.plot` for a fixed point: shape and colour by kind, filling by stability.

    Filled: attracting, or trapping with a heavy rim. Half filled: marginal, or a jump of which nothing is
    claimed. Open: a saddle, or repelling.

    Examples
    --------
    >>> style = fixed_point_style("saddle", "repelling")
    >>> style["marker"], style["markerfacecolor"]
    ('X', 'white')
    """
    marker, color, size = KINDS.get(kind, KINDS["fixed point"])
    filled, half = stability in FILLED, stability in HALF_FILLED
    return {
        "linestyle": "none",
        "marker": marker,
        "markersize": mark(size),
        "markerfacecolor": color if filled or half else "white",
        "markerfacecoloralt": "white",
        "fillstyle": "left" if half else "full",
        # an open marker is known by its coloured rim, a filled one is set off by a black rim
        "markeredgecolor": OKABE_ITO["black"] if filled or half else color,
        # what traps, and does not attract by a linear part, has a heavy rim
        "markeredgewidth": width(2.0 if stability == "trapping" else 0.9 if filled or half else 1.7),
    }


def axes(ax: Axes | None = None, *, size: tuple[float, float] = (5.6, 4.2)) -> Axes:
    """`ax` itself, checked, or the axes of a new figure of `size` (width, height) in inches.

    Raises
    ------
    TypeError
        `ax` is not a matplotlib Axes.
    """
    check_axes(ax)
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.subplots(figsize=size, layout="compressed")[1]
    return ax


def clearing(ax: Axes) -> Callable[[], None]:
    """A function that clears axes, and removes what frames have added to their figure since it was made:
    a colour bar, a second axis, a legend.
    """
    figure: Any = ax.figure
    others = [*figure.axes, *figure.legends]

    def clear() -> None:
        for added in [*figure.axes, *figure.legends]:
            if added not in others:
                added.remove()
        ax.clear()

    return clear


def draw_fixed_points(
    ax: Axes,
    points: Iterable[FixedPoint],
    coordinates: Sequence[int],
    base: Array,
    extent: float = 0.0,
) -> list[Any]:
    """Fixed points, cycles and sets of them as markers, and the capture sets of trapping ones.

    Parameters
    ----------
    ax : Axes
    points : iterable of FixedPoint
    coordinates : sequence of one or two int
        Those that the axes show. With one, the points lie on the line y = 0.
    base : ndarray, shape (dim,)
        A point of the plane that is shown. Points beside the plane are projected onto it, faded, and the
        legend says so.
    extent : float
        Size of what is shown, in data units. Cycles smaller than 3 % of it get one large open marker, so that
        the fixed point within them stays visible.

    Returns
    -------
    list of artists
        Legend entries: one for each kind and stability that occurs, and one for capture sets.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle, Patch

    shown = list(coordinates)
    others = [i for i in range(len(base)) if i not in shown]
    entries: dict[str, Any] = {}
    discs: set[str] = set()
    for point in points:
        look = fixed_point_style(point.kind, point.stability)
        name = point.kind if point.kind == point.stability else f"{point.kind}, {point.stability}"
        color = KINDS.get(point.kind, KINDS["fixed point"])[1]
        cloud = point.points if point.dimension or point.period > 1 else point.x[None]
        if point.dimension:
            look |= {
                "marker": "o",
                "markersize": mark(3.2),
                "fillstyle": "full",
                "markerfacecolor": color,
                "markeredgewidth": 0.0,
            }
        if point.period > 1:
            name = f"{point.period}-cycle, {point.stability}"
            if np.ptp(cloud, axis=0).max() < SMALL_CYCLE * extent:
                cloud = cloud.mean(axis=0)[None]
                look |= {"markersize": mark(17.0), "markerfacecolor": "none", "markeredgecolor": color}
                look |= {"markeredgewidth": width(2.0)}
        beside = np.linalg.norm(cloud[:, others] - base[others], axis=1)
        near = beside <= 1e-6 * (1 + np.linalg.norm(base))
        for part, note, alpha in ((cloud[near], "", 1.0), (cloud[~near], ", off the plane", 0.35)):
            if len(part) == 0:
                continue
            label = name + (" (set)" if point.dimension else "") + note
            x, y = on_axes(part, shown).T
            if point.dimension:  # a rim around the whole set, not around each of its samples
                ax.plot(x, y, "ko", markersize=mark(4.6), alpha=alpha, zorder=7, gid="rim of a set")
            ax.plot(x, y, **look, alpha=alpha, zorder=8, gid=f"fixed point: {label}")
            of_legend = look | (
                {"markersize": mark(5.5), "markeredgewidth": width(0.9)} if point.dimension else {}
            )
            entries.setdefault(label, Line2D([], [], **of_legend, alpha=alpha, label=label))
        square = float(
            np.nan_to_num(point.capture_radius) ** 2 - beside[0] ** 2
        )  # of the ball's cut by the plane
        if point.stability == "trapping" and square > 0:
            discs.add(color)
            x, y = on_axes(point.x, shown)
            reach = square**0.5
            if len(shown) == 1:
                (band,) = ax.plot(
                    (x - reach, x + reach), (y, y), color=color, alpha=0.35, linewidth=width(9), zorder=3
                )
                band.set(solid_capstyle="butt", gid="capture set")
            else:
                disc = Circle((x, y), reach, facecolor=color, edgecolor=color, alpha=0.25, zorder=4)
                disc.set_gid("capture set")
                ax.add_patch(disc)
    result = [entries[label] for label in sorted(entries, key=legend_order)]
    if not discs:
        return result
    color = discs.pop() if len(discs) == 1 else "#777777"  # gray where points of several kinds have one
    return [*result, Patch(facecolor=color, alpha=0.4, label="capture set")]


def on_axes(x: Array, coordinates: Sequence[int]) -> Array:
    """The shown coordinates of points (..., dim), with y = 0 where only one is shown."""
    shown = x[..., list(coordinates)]
    return shown if len(coordinates) == 2 else np.concatenate([shown, np.zeros_like(shown)], axis=-1)


def legend_order(label: str) -> tuple[int, str]:
    """Sorts legend entries: fixed points by kind, then the rest by name."""
    kinds = list(KINDS)
    kind = label.split(",")[0]
    return (kinds.index(kind) if kind in kinds else len(kinds), label)


def axis_labels(ax: Axes, x: str, y: str) -> None:
    """Labels and a few round ticks."""
    from matplotlib.ticker import MaxNLocator

    for axis, text in ((ax.xaxis, x), (ax.yaxis, y)):
        axis.set_label_text(text)
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))


def place_of_legend(ax: Axes | None) -> str:
    """Where the legend goes by default, given the axes that the caller passed (None: a new figure)."""
    if ax is None:
        return "outside"
    return "below"


def check_legend(value: Any) -> None:
    """Refuse, before any work, a legend that is neither a bool nor a place that `legend` knows."""
    from matplotlib.legend import Legend

    if not isinstance(value, bool | str):
        raise TypeError(f"legend must be a bool or a location, got {value!r}")
    if isinstance(value, str) and value not in (*PLACES, *Legend.codes):
        known = ", ".join(map(repr, (*PLACES, *Legend.codes)))
        raise ValueError(f"legend must be a bool or one of {known}, got {value!r}")


def check_axes(ax: Any) -> None:
    """Refuse, before any work, what is not matplotlib Axes or None."""
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes or None, got {ax!r} of type {type(ax).__name__}")
    if ax is not None and ax.name != "rectilinear":
        raise TypeError(f"ax must be plane axes without a projection, got axes with projection {ax.name!r}")


def legend(ax: Axes, handles: Sequence[Any], where: str, busy: Array | None = None) -> None:
    """A compact legend on an opaque ground.

    Parameters
    ----------
    ax : Axes
    handles : sequence of artists
        One for each entry; their labels must be set.
    where : str
        "outside" (to the right of the axes), "below" (one for all panels in a figure of several), "inside"
        (the corner that holds the fewest points of `busy`), or any location that `Axes.legend` knows.
    busy : ndarray, shape (n, 2), optional
        Points in data coordinates that the legend should not hide.
    """
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties
    from matplotlib.transforms import ScaledTranslation

    present = ax.get_legend()
    if present is not None:  # of a portrait, say: a new legend would replace it
        labels = {handle.get_label() for handle in handles}
        handles = [*(old for label, old in legend_entries(present) if label not in labels), *handles]
    if not handles:
        return
    look: dict[str, Any] = {
        "frameon": True,
        "framealpha": 1.0,
        "fancybox": False,
        "edgecolor": "#bbbbbb",
        "handlelength": 2.0,
        "labelspacing": 0.45,
        "borderpad": 0.5,
    }
    if where == "below" and is_panel(ax):
        shared_legend(ax.figure, handles, look).set_zorder(20)
        return
    place: dict[str, Any] = {"loc": where}
    if where == "outside":
        second_axis = any(twin is not ax for twin in twins_of(ax))
        gap = ScaledTranslation(0.72 if second_axis else 0.1, 0.0, ax.figure.dpi_scale_trans)  # inches
        place = {
            "loc": "upper left",
            "bbox_to_anchor": (1.0, 1.0),
            "bbox_transform": ax.transAxes + gap,
            "borderaxespad": 0.0,
        }
    elif where == "below":
        gap = ScaledTranslation(0.0, -GAP_INCHES, ax.figure.dpi_scale_trans)  # inches: below ticks and label
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "bbox_transform": ax.transAxes + gap}
        inches = ax.figure.bbox.width / ax.figure.dpi
        column = COLUMN_INCHES * FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points() / 10
        columns = int(np.clip(inches / column, 1, 2))  # more would squeeze the axes of a narrow figure
        place |= {"ncols": columns, "columnspacing": 1.2, "borderaxespad": 0.0}
    elif where == "inside":
        place = {"loc": emptiest_corner(ax, np.empty((0, 2)) if busy is None else busy)}
    box = ax.legend(handles=handles, **look, **place)
    if place.get("ncols", 1) > 1 and box.get_window_extent().width > ax.figure.bbox.width:  # long texts
        box = ax.legend(handles=handles, **look, **place | {"ncols": 1})
    box.set_zorder(20)
    if where == "below" and ax.figure.get_layout_engine() is None:
        make_room_below(ax, box)


def log_ticks(axis: Any) -> None:
    """Ticks of a logarithmic axis as plain numbers where it spans less than three decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    if not 0 < low < high < 1e3 * low:
        return
    axis.set_major_locator(MaxNLocator(nbins=6) if high < 5 * low else LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def emptiest_corner(ax: Axes, points: Array) -> str:
    """The corner, as a legend location, whose quarter of the axes holds the fewest of the points (n, 2)."""
    scaled = ax.transAxes.inverted().transform(ax.transData.transform(points)) if len(points) else points
    shown = scaled[((scaled >= 0) & (scaled <= 1)).all(axis=1)] if len(points) else scaled
    crowd = {name: int((np.abs(shown - corner) < 0.5).all(axis=1).sum()) for name, corner in CORNERS.items()}
    return min(crowd, key=lambda name: crowd[name])

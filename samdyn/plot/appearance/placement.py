"""Where texts go, so that they do not lie on each other, and how axes make room for a legend."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

GAP_INCHES, EDGE_INCHES = 0.55, 0.08  # from axes to a legend below them: ticks and label; from it to the edge
COLUMN_INCHES = 1.9
"""Width of a column of a legend below the axes whose letters have 10 points."""
SHARED = "shared legend"
MOST_OF_AXES = 0.45
"""Largest share of the axes' height that a legend below may take from them."""


def extents(artists: Iterable[Any]) -> list[Bbox]:
    """The rectangles of artists in pixels, as they would be drawn now."""
    return [artist.get_window_extent() for artist in artists]


def place_text(
    ax: Axes,
    text: str,
    candidates: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    taken: list[Bbox],
    look: dict[str, Any],
) -> Any:
    """A text at the first candidate where it lies on nothing, or else where it covers least.

    Parameters
    ----------
    ax : Axes
    text : str
    candidates : sequence of (place, offset)
        A place in data coordinates and an offset in points, in order of preference.
    taken : list of Bbox
        Rectangles in pixels that should stay free; the text's own is added.
    look : dict
        Keywords of `Axes.annotate`.

    Returns
    -------
    Annotation
    """
    drawn = ax.annotate(text, candidates[0][0], candidates[0][1], textcoords="offset points", **look)
    least, best = np.inf, candidates[0]
    for place, offset in candidates:
        drawn.xy = place
        drawn.set_position(offset)
        covered = sum(overlap(drawn.get_window_extent(), other) for other in taken)
        if covered < least:
            least, best = covered, (place, offset)
        if covered == 0:
            break
    drawn.xy = best[0]
    drawn.set_position(best[1])
    taken.append(drawn.get_window_extent())
    return drawn


def overlap(a: Bbox, b: Bbox) -> float:
    """Area that two rectangles share, in square pixels.

    Examples
    --------
    >>> from matplotlib.transforms import Bbox
    >>> overlap(Bbox([[0, 0], [2, 2]]), Bbox([[1, 1], [3, 3]]))
    1.0
    """
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return float(max(width, 0.0) * max(height, 0.0))


def make_room_below(ax: Axes, box: Any) -> None:
    """Raise the foot of the axes by the height of a legend below them, in a figure without a layout engine.

    Where the legend would take more than 45 % of their height, the axes stay and the legend reaches out of
    the figure: ``savefig(bbox_inches="tight")`` includes it.
    """
    figure: Any = ax.figure
    position = ax.get_position()
    height = box.get_window_extent().height + (GAP_INCHES + EDGE_INCHES) * figure.dpi
    foot = max(position.y0, height / figure.bbox.height)
    if foot - position.y0 <= MOST_OF_AXES * position.height:
        ax.set_position((position.x0, foot, position.width, position.y1 - foot))


def panels_of(ax: Axes) -> list[Axes]:
    """The axes of the figure that stand beside `ax` as panels: colour bars and second axes left out."""
    whole: Any = ax.figure
    return [other for other in whole.axes if other.get_subplotspec() and twins_of(other)[0] is other]


def is_panel(ax: Axes) -> bool:
    """Whether the axes are one of several panels: also where the others have not been made yet."""
    place: Any = ax.get_subplotspec()
    if place is not None:
        rows, columns = place.get_topmost_subplotspec().get_gridspec().get_geometry()
        if rows * columns > 1:
            return True
    return len(panels_of(ax)) > 1


def twins_of(ax: Axes) -> list[Axes]:
    """The axes in the place of `ax`, itself included, in the order in which they were made."""
    whole, place, siblings = ax.figure, ax.get_subplotspec(), ax.get_shared_x_axes().get_siblings(ax)
    beside = [other for other in whole.axes if other.get_subplotspec() is place]
    return beside if place is not None else [other for other in beside if other in siblings]


def legend_entries(box: Any) -> list[tuple[str, Any]]:
    """Labels and handles of a legend, each handle with its label set, so that another legend can show it."""
    pairs = [
        (text.get_text(), handle) for handle, text in zip(box.legend_handles, box.get_texts(), strict=True)
    ]
    for label, handle in pairs:
        if handle is not None:
            handle.set_label(label)
    return [(label, handle) for label, handle in pairs if handle is not None]


def number_of(label: str) -> float:
    """The number that the label of an attractor begins with, "2: minimum (3, 2)"; infinity without one.

    Examples
    --------
    >>> sorted(["10: saddle", "2-cycle", "2: minimum"], key=number_of)
    ['2: minimum', '10: saddle', '2-cycle']
    """
    found = re.match(r"(\d+): ", label)
    return float(found[1]) if found else math.inf


def shared_legend(figure: Any, handles: Sequence[Any], look: dict[str, Any]) -> Any:
    """One legend at the foot of the figure for all of its panels, with the entries of earlier ones.

    A figure with a layout engine makes room for it; otherwise the subplots' lower edge is raised.
    """
    width = figure.bbox.width / figure.dpi
    entries = {handle.get_label(): handle for handle in handles}
    for box in [box for box in figure.legends if box.get_gid() == SHARED]:
        entries = entries | {label: handle for label, handle in legend_entries(box) if label not in entries}
        box.remove()
    # numbered entries, which belong to attractors, come first whichever panel they are from
    entries = dict(sorted(entries.items(), key=lambda entry: number_of(entry[0])))
    engine = figure.get_layout_engine()
    place = "outside lower center" if "Constrained" in type(engine).__name__ else "lower center"
    if place.startswith("outside"):  # the layout leaves less room than legends keep from an edge by default
        look = {**look, "borderaxespad": 0.1}
    columns = max(1, min(len(entries), int(width / COLUMN_INCHES)))
    box = figure.legend(handles=list(entries.values()), **look, loc=place, ncols=columns)
    while columns > 1 and box.get_window_extent().width > figure.bbox.width:  # long texts
        box.remove()
        columns -= 1
        box = figure.legend(handles=list(entries.values()), **look, loc=place, ncols=columns)
    box.set_gid(SHARED)
    if place.startswith("outside"):
        # one pass leaves the titles of panels with a fixed aspect outside; the second is taken when drawing
        engine.execute(figure)
    if engine is None:
        need = (box.get_window_extent().height + (GAP_INCHES + EDGE_INCHES) * figure.dpi) / figure.bbox.height
        if figure.subplotpars.bottom < need < 0.6:
            figure.subplots_adjust(bottom=need)
        separate_rows(figure)
    return box


def separate_rows(figure: Any) -> None:
    """Keep titles and labels of a grid of subplots off each other, in a figure without a layout engine.

    Titles wider than their column are broken at their last comma, and the rows are moved apart by as much as
    what stands between them is high.
    """
    panels = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    grids = {ax.get_subplotspec().get_topmost_subplotspec().get_gridspec() for ax in panels}
    if len(grids) != 1:
        return
    rows, columns = grids.pop().get_geometry()
    limits = figure.subplotpars
    column = (limits.right - limits.left) * figure.bbox.width / columns
    for ax in panels:
        if ax.title.get_window_extent().width > column and "\n" not in ax.get_title():
            ax.set_title(",\n".join(ax.get_title().rsplit(", ", 1)))
    if rows == 1:
        return
    gap = 0.0
    for ax in panels:
        # of square panels in wide columns the window is smaller than the place
        whole, own = ax.get_tightbbox(), ax.get_window_extent()
        gap = max(gap, (whole.height - own.height) / figure.bbox.height)
    height = (limits.top - limits.bottom - (rows - 1) * gap) / rows
    if height > 0 and gap / height > limits.hspace:
        figure.subplots_adjust(hspace=gap / height)

"""Pictures of basins of attraction.

Colours are taken from `style.OKABE_ITO`, mixed with white so that attractors stand out on their own basins.
Basins beyond the seventh repeat the colours with hatching. Cells without an attractor are grey, a darker grey
for each reason, and hatched, so that nothing depends on colour alone: every basin also bears its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.basin.mapping import Basins
from samdyn.basin.matching import match_attractors
from samdyn.basin.search.attractors import Attractor
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = ("sky blue", "orange", "green", "purple", "yellow", "vermilion", "blue")
GREYS = {-1: "#bdbdbd", -2: "#8c8c8c", -3: "#e3e3e3", -4: "#5c5c5c"}
HATCHES = ("", "//", "\\\\", "..")
LIGHT = 0.45  # share of white in the colour of a basin
MARKERS = {
    "hallucinated": ("*", 13.0),
    "saddle": ("X", 9.0),
    "maximum": ("^", 9.0),
    "degenerate": ("D", 7.0),
}


def color_of(label: int, light: float = 0.0) -> tuple[float, float, float]:
    """The colour of a label, mixed with a share of white."""
    from matplotlib.colors import to_rgb

    if label < 0:
        return to_rgb(GREYS[label])
    r, g, b = to_rgb(style.OKABE_ITO[ORDER[(label - 1) % len(ORDER)]])
    return (r + (1 - r) * light, g + (1 - g) * light, b + (1 - b) * light)


def hatch_of(label: int) -> str:
    """The hatching of a label: none for the first seven attractors."""
    return "xx" if label < 0 else HATCHES[(label - 1) // len(ORDER) % len(HATCHES)]


@settings.picture
def basins(
    result: Basins,
    ax: Axes | None = None,
    *,
    coordinates: tuple[int, int] = (0, 1),
    at: npt.ArrayLike | None = None,
    attractors: bool = True,
    numbers: bool = True,
    ids: Mapping[int, int] | None = None,
    legend: bool | str = True,
) -> Axes:
    """Basins of attraction on a plane, in colour, with their attractors.

    Parameters
    ----------
    result : Basins
        In any dimension; of more than two coordinates a slice is shown. In one, a band.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    coordinates : (int, int)
        The two coordinates shown, where dim > 2.
    at : array_like, shape (dim - 2,), optional
        Values of the other coordinates, in order; the nearest cells are shown. The centre of the box by
        default.
    attractors : bool
        Whether to draw the attractors: points of each, faded where they are off the slice.
    numbers : bool
        Whether each basin bears its number.
    ids : dict of int to int, optional
        Number, and with it the colour, of each attractor, where they differ from the numbers of the result:
        from `match_attractors`, so that two pictures show the same attractor in the same colour. By default
        an attractor within a twentieth of the box's diagonal of one in an earlier panel of the same figure
        has its number and colour.
    legend : bool or str
        As in `phase_portrait`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        No basins, or coordinates that are not there.

    Examples
    --------
    >>> import samdyn as sd
    >>> found = sd.basins(sd.Map(sd.landscapes.himmelblau(), sd.GD(), lr=0.005), resolution=16)
    >>> sd.plot.basins(found).get_xlabel()
    '$x_{0}$'
    """
    if not isinstance(result, Basins):
        raise TypeError(f"result must be a Basins, got {type(result).__name__}")
    from matplotlib.patches import Patch

    dim = len(result.box)
    plane = _plane(dim, coordinates)
    numbering(ids, result.attractors)
    style.check_axes(ax)
    style.check_legend(legend)
    labels, beside = _slice(result, plane, at)
    sides = [result.box[i] for i in plane] if dim > 1 else [result.box[0], np.array([0.0, 1.0])]
    size = _size(sides) if dim > 1 else (7.0, 1.9)
    given, ax = ax, style.axes(ax, size=size)
    number = numbering(ids if ids is not None else _ids_in_figure(ax, result), result.attractors)
    known = [k for k in result.fractions if k > 0 or (labels == k).any()]
    picture = np.ones((*labels.T.shape, 3))
    for k in known:
        picture[k == labels.T] = color_of(number.get(k, k), LIGHT)
    extent = (sides[0][0], sides[0][1], sides[1][0], sides[1][1])
    image = ax.imshow(picture, origin="lower", extent=extent, interpolation="nearest", aspect="auto")
    image.set_gid("basins")
    for k in known:
        hatch = hatch_of(number.get(k, k))
        if hatch and (labels == k).any() and min(labels.shape) > 1:
            _hatch(ax, labels == k, result, plane, hatch)
    entries: list[Any] = [
        Patch(
            facecolor=color_of(number.get(k, k), LIGHT),
            edgecolor="#555555",
            linewidth=settings.width(0.6),
            hatch=hatch_of(number.get(k, k)),
            label=f"{number[k]}: {result.name_of(k)}" if k > 0 else result.name_of(k),
        )
        for k in sorted(known, key=lambda k: (k < 0, abs(number[k] if k > 0 else k)))
    ]
    if attractors:
        _draw_attractors(ax, result, plane, beside, number)
    if dim > 1 and numbers:
        _number(ax, labels, sides, number)
    ax.set_xlim(*sides[0])
    ax.set_ylim(*sides[1])
    style.axis_labels(ax, f"$x_{{{plane[0]}}}$", f"$x_{{{plane[1]}}}$" if dim > 1 else "")
    if dim == 1:
        ax.set_yticks([])
    widths = [float(s[1] - s[0]) for s in sides]
    if dim > 1:
        ax.set_aspect("equal" if max(widths) <= 2.5 * min(widths) else "auto")
    name = f"Basins of {title_of(result.system)}"
    others = [i for i in range(dim) if i not in plane]
    if others and len(others) <= 3:
        name += "\n" + ", ".join(f"$x_{{{i}}} = {beside[i]:.4g}$" for i in others)
    ax.set_title(name)
    if legend is not False:
        where = legend if isinstance(legend, str) else style.place_of_legend(given)
        style.legend(ax, entries, where)
    return ax


_SHOWN: WeakKeyDictionary[Any, dict[int, Attractor]] = WeakKeyDictionary()
"""The attractors that the panels of a figure have shown, by number."""
SAME = 0.05  # share of the box's diagonal within which an attractor of two panels is one


def _ids_in_figure(ax: Axes, result: Basins) -> dict[int, int]:
    """Numbers for the attractors: of their partners in earlier panels of the figure, or new ones."""
    known = _SHOWN.setdefault(ax.figure, {})
    fits = {k: a for k, a in known.items() if a.position.shape == (len(result.box),)}
    reach = SAME * float(np.linalg.norm(np.ptp(result.box, axis=1)))
    ids = {k: k for k in result.attractors}
    if fits:
        first_new = max([*known, *result.attractors]) + 1
        ids = match_attractors(fits, result.attractors, threshold=reach, first_new=first_new)
        taken = {i for i in ids.values() if i < first_new} | set(known)
        for k, number in ids.items():  # its own number where no other panel has it
            if number >= first_new and k not in taken:
                ids[k] = k
                taken.add(k)
    known.update({ids[k]: result.attractors[k] for k in result.attractors if ids[k] not in known})
    return ids


def _plane(dim: int, coordinates: Sequence[int]) -> list[int]:
    if dim == 1:
        return [0]
    if len(coordinates) != 2 or coordinates[0] == coordinates[1]:
        raise ValueError(f"coordinates must be two different ones of 0, ..., {dim - 1}, got {coordinates!r}")
    return [checks.integer("coordinates", c, at_least=0, below=dim) for c in coordinates]


def _slice(result: Basins, plane: list[int], at: Any) -> tuple[npt.NDArray[Any], Array]:
    """Labels on the plane, first coordinate first, and a point of the plane."""
    dim = len(result.box)
    base = result.box.mean(axis=1)
    others = [i for i in range(dim) if i not in plane]
    if at is not None:
        if not others:
            raise ValueError(f"at must be left out where all coordinates are shown, got {at!r}")
        base[others] = checks.points("at", at, len(others))
    index: list[Any] = [slice(None)] * dim
    for i in others:
        axis = result.grid.axis(i)
        index[i] = int(np.argmin(np.abs(axis - base[i])))
        base[i] = axis[index[i]]
    labels = result.labels[tuple(index)]
    if dim == 1:
        return labels[:, None], base
    return (labels if plane[0] < plane[1] else labels.T), base


def _hatch(ax: Axes, mask: npt.NDArray[np.bool_], result: Basins, plane: list[int], hatch: str) -> None:
    x, y = (result.grid.axis(i) for i in plane)
    if len(x) < 2 or len(y) < 2:
        return
    drawn = ax.contourf(x, y, mask.T.astype(float), [0.5, 1.5], colors="none", hatches=[hatch])
    drawn.set_edgecolor("#00000030")
    drawn.set_linewidth(0.0)


def numbering(ids: Mapping[int, int] | None, known: Iterable[int]) -> dict[int, int]:
    """The number shown for each attractor: its own, or the one given."""
    labels = list(known)
    if ids is None:
        return {k: k for k in labels}
    if not isinstance(ids, Mapping) or not set(labels) <= set(ids):
        raise ValueError(f"ids must have a number for each of {labels}, got {ids!r}")
    return {k: checks.integer(f"ids[{k}]", ids[k], at_least=1) for k in labels}


def _draw_attractors(ax: Axes, result: Basins, plane: list[int], base: Array, number: dict[int, int]) -> None:
    for k, attractor in result.attractors.items():
        points, position = attractor.points, attractor.position
        others = [i for i in range(len(base)) if i not in plane]
        off = len(others) > 0 and np.linalg.norm(position[others] - base[others]) > 1e-6
        alpha = 0.4 if off else 1.0
        extended = attractor.kind in ("chaotic", "quasiperiodic", "limit cycle", "cycle", "group")
        if len(points) > 1:
            x, y = _on_axes(points, plane)
            # what hovers about a point is shown by its cloud, which should not hide the point
            look: dict[str, Any] = {
                "color": "black" if extended else color_of(number[k]),
                "alpha": 0.5 * alpha,
            }
            ax.plot(x, y, ".", markersize=settings.mark(2.2), **look, gid=f"points of {k}", zorder=6)
        marker, size = MARKERS.get(attractor.kind, ("o", 8.0))
        if extended:
            continue
        x, y = _on_axes(position[None], plane)
        ax.plot(
            x,
            y,
            marker,
            markersize=settings.mark(size),
            markerfacecolor=color_of(number[k]),
            markeredgecolor="black",
            markeredgewidth=1.0,
            alpha=alpha,
            gid=f"attractor {k}",
            zorder=8,
        )


def _on_axes(x: Array, plane: list[int]) -> tuple[Array, Array]:
    return x[:, plane[0]], (x[:, plane[1]] if len(plane) > 1 else np.full(len(x), 0.5))


def _number(ax: Axes, labels: npt.NDArray[Any], sides: Sequence[Array], number: dict[int, int]) -> None:
    """The number of each basin where it is widest, if there is room."""
    import matplotlib.patheffects as effects

    for k in np.unique(labels[labels > 0]):
        inside = ndimage.distance_transform_edt(np.pad(labels == k, 1))[1:-1, 1:-1]
        i, j = np.unravel_index(int(np.argmax(inside)), inside.shape)
        if inside[i, j] < 0.03 * min(labels.shape):
            continue
        x, y = (
            s[0] + (n + 0.5) * (s[1] - s[0]) / m for s, n, m in zip(sides, (i, j), labels.shape, strict=True)
        )
        text = ax.text(
            x,
            y,
            str(number[k]),
            ha="center",
            va="center",
            fontsize=settings.text_size(1.2),
            zorder=7,
            gid=f"number {k}",
        )
        text.set_path_effects([effects.withStroke(linewidth=settings.width(2.5), foreground="white")])


def _size(sides: Sequence[Array]) -> tuple[float, float]:
    """Figure size for these sides, with room for a legend at the right."""
    width, height = (float(s[1] - s[0]) for s in sides)
    ratio = width / height if max(width, height) <= 2.5 * min(width, height) else 1.3
    return 4.6 * min(ratio, 1.6) + 2.6, 4.6 * min(1.0, 1.6 / ratio)

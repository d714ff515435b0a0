"""Pictures of basins of attraction, and of how their shares change with a parameter.

Colours are those of `style.OKABE_ITO`, mixed with white so that attractors stand out on their own basins.
Basins beyond the seventh repeat the colours with hatching. Cells without an attractor are grey, a darker grey
for each reason, and hatched, so that nothing depends on colour alone: every basin also bears its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from samdyn.basin.basins import Basins
from samdyn.basin.continuation import BasinContinuation
from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = ("sky blue", "orange", "green", "purple", "yellow", "vermilion", "blue")
GREYS = {-1: "#bdbdbd", -2: "#8c8c8c", -3: "#e3e3e3", -4: "#5c5c5c"}
HATCHES = ("", "//", "\\\\", "..")
LIGHT = 0.45  # share of white in the colour of a basin
MARKERS = {
    "hallucinated": ("*", 13.0), "saddle": ("X", 9.0), "maximum": ("^", 9.0), "degenerate": ("D", 7.0),
}  # fmt: skip


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


def basins(
    result: Basins,
    ax: Axes | None = None,
    *,
    coordinates: tuple[int, int] = (0, 1),
    at: npt.ArrayLike | None = None,
    attractors: bool = True,
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
    labels, beside = _slice(result, plane, at)
    sides = [result.box[i] for i in plane] if dim > 1 else [result.box[0], np.array([0.0, 1.0])]
    size = _size(sides) if dim > 1 else (7.0, 1.9)
    given, ax = ax, style.axes(ax, size=size)
    ids = [k for k in result.fractions if k > 0 or (labels == k).any()]
    picture = np.ones((*labels.T.shape, 3))
    for k in ids:
        picture[k == labels.T] = color_of(k, LIGHT)
    extent = (sides[0][0], sides[0][1], sides[1][0], sides[1][1])
    image = ax.imshow(picture, origin="lower", extent=extent, interpolation="nearest", aspect="auto")
    image.set_gid("basins")
    for k in ids:
        if hatch_of(k) and (labels == k).any() and min(labels.shape) > 1:
            _hatch(ax, labels == k, result, plane, hatch_of(k))
    entries: list[Any] = [
        Patch(
            facecolor=color_of(k, LIGHT), edgecolor="#555555", hatch=hatch_of(k), linewidth=0.6,
            label=f"{k}: {result.name_of(k)}" if k > 0 else result.name_of(k),
        )
        for k in ids
    ]  # fmt: skip
    if attractors:
        _draw_attractors(ax, result, plane, beside)
    if dim > 1:
        _number(ax, labels, sides)
    ax.set_xlim(*sides[0])
    ax.set_ylim(*sides[1])
    style.axis_labels(ax, f"$x_{{{plane[0]}}}$", f"$x_{{{plane[1]}}}$" if dim > 1 else "")
    if dim == 1:
        ax.set_yticks([])
    widths = [float(s[1] - s[0]) for s in sides]
    if dim > 1:
        ax.set_aspect("equal" if max(widths) <= 2.5 * min(widths) else "auto")
    name = "loaded basins" if result.system is None else f"Basins of {result.system.name}"
    others = [i for i in range(dim) if i not in plane]
    if others and len(others) <= 3:
        name += "\n" + ", ".join(f"$x_{{{i}}} = {beside[i]:.4g}$" for i in others)
    ax.set_title(name, fontsize=13)
    if legend is not False:
        where = legend if isinstance(legend, str) else style.place_of_legend(given)
        style.legend(ax, entries, where)
    return ax


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
    >>> found = sd.basin_continuation(well, "rho", [0.2, 0.6], [(-2, 2)], n=200)
    >>> sd.plot.fraction_bands(found).get_ylabel()
    'share of the box'
    """
    if not isinstance(result, BasinContinuation):
        raise TypeError(f"result must be a BasinContinuation, got {type(result).__name__}")
    from matplotlib.patches import Patch

    given = ax
    ax = style.axes(ax, size=(7.0, 4.2))
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
        look: dict[str, Any] = {"facecolor": color_of(k, LIGHT), "edgecolor": "white", "linewidth": 0.8}
        band = ax.fill_between(*drawn, **look, hatch=hatch_of(k))
        band.set_gid(f"band {k}")
        if intervals:
            down = result.fractions[k][order] - result.lower[k][order]
            up = result.upper[k][order] - result.fractions[k][order]
            shown = result.fractions[k][order] > 0
            errors = np.maximum(np.stack([down, up])[:, shown], 0)
            ax.errorbar(
                x[shown], upper[shown], errors, fmt="none", ecolor="#333333", elinewidth=0.9, capsize=1.8
            )
        entries.append(
            Patch(
                facecolor=color_of(k, LIGHT), edgecolor="#555555", hatch=hatch_of(k), linewidth=0.6,
                label=result.name_of(k),
            )
        )  # fmt: skip
        lower = upper
    ax.set_xlim(float(x[0]) - half, float(x[-1]) + half)
    ax.set_ylim(0, 1)
    names = {"rho": r"$\rho$", "lr": "learning rate", "batch_size": "batch size"}
    style.axis_labels(ax, names.get(result.parameter, result.parameter), "share of the box")
    ax.set_title(f"Basins across {names.get(result.parameter, result.parameter)}", fontsize=13)
    if legend is not False:
        where = legend if isinstance(legend, str) else style.place_of_legend(given)
        style.legend(ax, entries[::-1], where)  # as they are stacked
    return ax


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


def _draw_attractors(ax: Axes, result: Basins, plane: list[int], base: Array) -> None:
    for k, attractor in result.attractors.items():
        points, position = attractor.points, attractor.position
        others = [i for i in range(len(base)) if i not in plane]
        off = len(others) > 0 and np.linalg.norm(position[others] - base[others]) > 1e-6
        alpha = 0.4 if off else 1.0
        if len(points) > 1:
            x, y = _on_axes(points, plane)
            ax.plot(
                x, y, ".", color="black", markersize=2.2, alpha=0.5 * alpha, gid=f"points of {k}", zorder=6
            )
        marker, size = MARKERS.get(attractor.kind, ("o", 8.0))
        if attractor.kind in ("chaotic", "quasiperiodic", "limit cycle", "cycle", "group"):
            continue
        x, y = _on_axes(position[None], plane)
        ax.plot(
            x, y, marker, markersize=size, markerfacecolor=color_of(k), markeredgecolor="black",
            markeredgewidth=1.0, alpha=alpha, gid=f"attractor {k}", zorder=8,
        )  # fmt: skip


def _on_axes(x: Array, plane: list[int]) -> tuple[Array, Array]:
    return x[:, plane[0]], (x[:, plane[1]] if len(plane) > 1 else np.full(len(x), 0.5))


def _number(ax: Axes, labels: npt.NDArray[Any], sides: Sequence[Array]) -> None:
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
        text = ax.text(x, y, str(k), ha="center", va="center", fontsize=12, zorder=7, gid=f"number {k}")
        text.set_path_effects([effects.withStroke(linewidth=2.5, foreground="white")])


def _size(sides: Sequence[Array]) -> tuple[float, float]:
    """Figure size for these sides, with room for a legend at the right."""
    width, height = (float(s[1] - s[0]) for s in sides)
    ratio = width / height if max(width, height) <= 2.5 * min(width, height) else 1.3
    return 4.6 * min(ratio, 1.6) + 2.6, 4.6 * min(1.0, 1.6 / ratio)

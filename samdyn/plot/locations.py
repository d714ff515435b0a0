"""Pictures of where paths leave: shares of faces, positions along the boundary, exit points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.escape.statistics.location import ExitLocation
from samdyn.escape.statistics.result import ExitTimes
from samdyn.plot.appearance import settings, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("shares", "positions", "points")
MARKERS = ("o", "s", "^", "D", "v", "P")


@settings.picture
def exit_locations(
    result: ExitTimes | ExitLocation, ax: Axes | None = None, kind: str | None = None, **look: Any
) -> Axes:
    """Where paths leave.

    Parameters
    ----------
    result : ExitTimes or ExitLocation
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    kind : {"shares", "positions", "points"}, optional
        "shares": share of each face with its interval. "positions": histogram of the angle on a circle, or
        of the coordinate along each straight face (two dimensions). "points": the exit points in the plane
        of the first two coordinates. By default positions on a single circle, otherwise shares, or points
        where there is one face only.
    **look
        Keywords for the bars, the histogram's steps, or the points.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        Not exit times or locations, no path that left, or a kind that this region does not have.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
    >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Box([-1, -1], [1, 1]), n_paths=500, t_max=50.0)
    >>> sd.plot.exit_locations(exits).get_ylabel()
    'share of exits'
    """
    place = result.exit_location() if isinstance(result, ExitTimes) else result
    if not isinstance(place, ExitLocation):
        raise TypeError(f"result must be ExitTimes or ExitLocation, got {type(result).__name__}")
    if not len(place.points):
        raise ValueError("result must hold a path that left, got none")
    known = place.positions is not None and not np.isnan(place.positions).all()
    if kind is None:
        several = len(place) > 1 or place.points.shape[1] == 1
        kind = "positions" if known and place.angular.all() else "shares" if several else "points"
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    if kind == "positions" and not known:
        raise ValueError(
            "kind must be 'shares' or 'points' here: 'positions' needs a two-dimensional region with "
            "straight or circular faces; for a result read from a file give it to exit_location(region=...)"
        )
    if kind == "positions" and place.angular.any() and not place.angular.all():
        raise ValueError(
            "kind must be 'shares' or 'points': 'positions' needs faces that are all straight or all circular"
        )
    if kind == "points" and place.points.shape[1] < 2:
        raise ValueError("kind must be 'shares' or 'positions' in one dimension, got 'points'")
    draw = {"shares": _shares, "positions": _positions, "points": _points}[kind]
    ax = draw(place, style.axes(ax), look)
    intervals = f", {100 * place.level:g} % intervals" if kind == "shares" else ""
    ax.set_title(f"{len(place.points)} exits{intervals}")
    return ax


def _shares(place: ExitLocation, ax: Axes, look: dict[str, Any]) -> Axes:
    x = np.arange(len(place))
    look = {"color": settings.curve_colors()[0], "width": 0.6, **look}
    ax.bar(x, place.shares, **look)
    reach = np.abs(np.stack([place.shares - place.lower, place.upper - place.shares]))
    ax.errorbar(x, place.shares, reach, fmt="none", ecolor="black", capsize=5, elinewidth=settings.width(1.4))
    style.axis_labels(ax, "face (coordinates in units of the weights)", "share of exits")
    ax.set_xticks(x, [f"${name}$" if name.startswith("x_") else name for name in place.face_names])
    ax.set_xlim(-0.6, len(place) - 0.4)
    ax.set_ylim(0, min(1.05, 1.25 * float(place.upper.max())))
    return ax


def _positions(place: ExitLocation, ax: Axes, look: dict[str, Any]) -> Axes:
    assert place.positions is not None
    angular = bool(place.angular.all())
    shown = [
        i
        for i in range(len(place))
        if place.counts[i] and not np.isnan(place.positions[place.faces == i]).any()
    ]
    n = len(place.points)
    low, high = (-np.pi, np.pi) if angular else (np.nanmin(place.positions), np.nanmax(place.positions))
    # many: exit points have narrow peaks
    edges = np.linspace(low, high if high > low else low + 1, int(np.clip(4 * n ** (1 / 3), 8, 180)) + 1)
    handles: list[Any] = []
    colors = settings.curve_colors()
    for j, i in enumerate(shown):
        own = place.positions[place.faces == i]
        density = np.histogram(own, edges)[0] / (n * np.diff(edges))
        name = place.face_names[i]
        label = (f"${name}$" if name.startswith("x_") else name) + f": {100 * place.shares[i]:.3g} %"
        color = colors[j % len(colors)]
        options = {
            "color": color,
            "linewidth": settings.width(1.6),
            "linestyle": ("-", "--", "-.", ":")[j % 4],
            **look,
        }
        step = ax.stairs(density, edges, label=label, zorder=4, gid=f"face {i}", **options)
        ax.stairs(density, edges, fill=True, color=options["color"], alpha=0.15)
        handles.append(step)
    if angular:
        flat = 1 / (2 * np.pi) * place.shares.sum()
        handles.append(
            ax.axhline(flat, color="#444444", linestyle=":", linewidth=settings.width(1.4), label="uniform")
        )
    text = "angle of the exit point about the centre (radians)" if angular else (
        "coordinate along the face (units of the weights)"
    )  # fmt: skip
    unit = "1 / radian" if angular else "1 / unit of the weights"
    style.axis_labels(ax, text, f"density ({unit})")
    if angular:
        ax.set_xlim(low, high)
        ticks = ["$-\\pi$", "$-\\pi/2$", "$0$", "$\\pi/2$", "$\\pi$"]
        ax.set_xticks([-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], ticks)
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])  # room for the legend
    style.legend(ax, handles, "best")
    return ax


def _points(place: ExitLocation, ax: Axes, look: dict[str, Any]) -> Axes:
    from matplotlib.lines import Line2D

    handles = []
    colors = settings.curve_colors()
    for i, name in enumerate(place.face_names):
        own = place.points[place.faces == i]
        if not len(own):
            continue
        # a few thousand points show as much as a million
        own = own[:: max(1, len(own) // 3000)]
        options = {
            "color": colors[i % len(colors)],
            "marker": MARKERS[i % 6],
            "s": 9,
            "alpha": 0.4,
            "linewidth": 0,
            **look,
        }
        label = (f"${name}$" if name.startswith("x_") else name) + f": {100 * place.shares[i]:.3g} %"
        ax.scatter(*own[:, :2].T, **options)
        look_of_legend = {
            "marker": options["marker"],
            "color": options["color"],
            "markersize": settings.mark(6),
        }
        handles.append(Line2D([], [], linestyle="none", label=label, **look_of_legend))
    style.axis_labels(ax, "$x_0$ (units of the weights)", "$x_1$ (units of the weights)")
    ax.set_aspect("equal", adjustable="datalim")
    style.legend(ax, handles, "below" if len(handles) > 1 else "best")
    return ax

"""Stable and unstable manifolds as curves, on a picture of their own or over a phase portrait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from samdyn.arguments import checks
from samdyn.orbit.manifolds import Manifold
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS: dict[str, dict[str, Any]] = {
    "unstable": {"color": style.OKABE_ITO["vermilion"], "linestyle": "-"},
    "stable": {"color": style.OKABE_ITO["blue"], "linestyle": (0, (6, 1.5))},
}


@settings.picture
def manifolds(
    results: Sequence[Manifold],
    ax: Axes | None = None,
    *,
    coordinates: tuple[int, int] = (0, 1),
    legend: bool = True,
    **line: Any,
) -> Axes:
    """Draw manifolds and their fixed points.

    Parameters
    ----------
    results : sequence of Manifold
        In two or more dimensions.
    ax : matplotlib Axes, optional
        Where to draw, such as a phase portrait; a new figure by default.
    coordinates : (int, int)
        The two coordinates shown.
    legend : bool
    **line
        Keywords for the curves (`Axes.plot`).

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        Not manifolds, none at all, or coordinates that they lack.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.coupled_double_well(), sd.GD())
    >>> both = [sd.manifold(flow, [0.0, 0.0], which) for which in ("stable", "unstable")]
    >>> sd.plot.manifolds(both).get_xlabel()
    '$x_0$'
    """
    results = [results] if isinstance(results, Manifold) else list(results)
    if not results:
        raise ValueError("results must hold at least one Manifold, got none")
    for result in results:
        if not isinstance(result, Manifold):
            raise TypeError(f"results must be Manifolds, got {type(result).__name__}")
    dim = min(len(result.fixed_point) for result in results)
    if dim < 2:
        raise ValueError("results must be in two or more dimensions: in one a manifold is an interval")
    i, j = (checks.integer("coordinates", c, at_least=0, below=dim) for c in coordinates)
    own = ax is None or not ax.has_data()  # else it lies over another picture, which has its title
    ax = style.axes(ax)
    handles: dict[str, Any] = {}
    for result in results:
        look = {**LOOKS[result.which], "linewidth": settings.width(1.5), **line}
        (drawn,) = ax.plot(result.curve[:, i], result.curve[:, j], **look, zorder=6)
        drawn.set(label=f"{result.which} manifold", gid=f"{result.which} manifold")
        handles.setdefault(result.which, drawn)
    for result in results:
        mark = style.fixed_point_style("saddle", "saddle")
        (point,) = ax.plot([result.fixed_point[i]], [result.fixed_point[j]], **mark, zorder=8)
        point.set_label("saddle")
        handles.setdefault("saddle", point)
    if own:
        style.axis_labels(ax, f"$x_{i}$", f"$x_{j}$")
        ax.set_title(title_of(results[0].system))
    if legend:
        style.legend(ax, list(handles.values()), "outside" if own else "best")
    return ax

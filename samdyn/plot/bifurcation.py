"""Bifurcation diagrams: branches over a parameter, orbits beside them, and curves in two parameters.

A branch's line says two things without relying on colour alone: its style is its stability (solid:
attracting or trapping; dashed: a saddle; dotted: repelling), its colour what the points are to the loss. All
points of a cycle are drawn. Bifurcation points are marks on the line, one shape for each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.bifurcation.branch import Branch
from samdyn.bifurcation.orbits import OrbitDiagram
from samdyn.bifurcation.two_parameter import BifurcationCurve
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import in_common, parameter_label, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {
    "minimum": style.OKABE_ITO["green"],
    "saddle": style.OKABE_ITO["vermilion"],
    "maximum": style.OKABE_ITO["purple"],
    "degenerate": style.OKABE_ITO["black"],
    "hallucinated": style.OKABE_ITO["blue"],
    "fixed point": style.OKABE_ITO["green"],
    "cycle": style.OKABE_ITO["orange"],
}
LINES: dict[str, tuple[Any, float]] = {
    "attracting": ("-", 2.6),
    "trapping": ("-", 2.6),
    "saddle": ((0, (5, 2)), 1.7),
    "repelling": ((0, (1, 1.6)), 1.9),
    "marginal": ("-", 1.2),
}
MARKS = {
    "fold": (">", 9.0),
    "flip": ("s", 7.5),
    "pitchfork": ("P", 10.0),
    "branch point": ("o", 8.5),
    "Neimark-Sacker": ("D", 7.5),
    "Hopf": ("h", 9.5),
    "border": ("|", 14.0),
}
CURVES: dict[str, tuple[str, Any]] = {
    "fold": (style.OKABE_ITO["blue"], "-"),
    "flip": (style.OKABE_ITO["vermilion"], (0, (6, 2))),
    "pitchfork": (style.OKABE_ITO["green"], (0, (1, 1.2))),
    "branch point": (style.OKABE_ITO["green"], (0, (7, 1.6, 1.5, 1.6))),
    "Neimark-Sacker": (style.OKABE_ITO["purple"], (0, (3, 1.5, 1, 1.5, 1, 1.5))),
    "Hopf": (style.OKABE_ITO["orange"], "-"),
}
AGAIN = (0, (1.2, 1.2))
Coordinate = int | str | Callable[[Array], Array]


@settings.picture
def bifurcation_diagram(
    branches: Branch | Iterable[Branch],
    ax: Axes | None = None,
    *,
    coordinate: Coordinate = 0,
    orbits: OrbitDiagram | None = None,
    bifurcations: bool = True,
    capture: bool = False,
    legend: bool | str = True,
) -> Axes:
    """Branches of fixed points and cycles over their parameter.

    Parameters
    ----------
    branches : Branch or iterable of Branch
        Over one parameter.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    coordinate : int, "norm" or callable
        What is drawn upwards: a coordinate of x, its norm, or a function of points (..., dim) -> (...).
    orbits : OrbitDiagram, optional
        Drawn behind the branches, as grey dots.
    bifurcations : bool
        Whether to mark bifurcation points.
    capture : bool
        Whether to shade the capture radius of trapping points (in one dimension the set itself).
    legend : bool or str
        As in `phase_portrait`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        Not branches, nothing to draw, several parameters, a coordinate that the points lack.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.double_well(), sd.USAM(0.5))
    >>> branch = sd.continuation(flow, [0.0], "rho", (0.0, 2.0))
    >>> sd.plot.bifurcation_diagram(branch).get_ylabel()
    '$x$'
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    branches = [branches] if isinstance(branches, Branch) else list(branches)
    for branch in branches:
        if not isinstance(branch, Branch):
            raise TypeError(f"branches must be Branches, got {type(branch).__name__}")
    if orbits is not None and not isinstance(orbits, OrbitDiagram):
        raise TypeError(f"orbits must be an OrbitDiagram, got {type(orbits).__name__}")
    if not branches and orbits is None:
        raise ValueError("branches must hold at least one Branch where no orbits are given, got none")
    names = {branch.parameter for branch in branches} | ({orbits.parameter} if orbits else set())
    if len(names) > 1:
        raise ValueError(f"branches and orbits must be over one parameter, got {', '.join(sorted(names))}")
    dim = branches[0].system.dim if branches else orbits.system.dim if orbits else 1
    upwards, label = _upwards(coordinate, dim)
    drawn = style.axes(ax, size=(6.4, 4.4))
    where = style.place_of_legend(ax) if legend is True else legend
    ax = drawn
    entries: dict[str, Any] = {}
    if orbits is not None:
        high = upwards(orbits.points).reshape(len(orbits.values), -1)
        across = np.repeat(orbits.values, high.shape[1])
        size = 0.9 if high.size > 20_000 else 2.0 if len(orbits.values) > 150 else 11.0
        ax.plot(
            across,
            high.ravel(),
            ".",
            color="#7a7a7a",
            markersize=size,
            markeredgewidth=0,
            zorder=1,
            rasterized=True,
        )
        entries["orbits"] = Line2D(
            [], [], linestyle="none", marker=".", color="#7a7a7a", label="orbits of the map"
        )
    for branch in branches:
        if capture and np.isfinite(branch.capture_radius).any():
            middle, reach = upwards(branch.x), np.nan_to_num(branch.capture_radius)
            color = COLORS.get(str(branch.kind[0]), "#777777")
            ax.fill_between(
                branch.values, middle - reach, middle + reach, color=color, alpha=0.15, linewidth=0, zorder=2
            )
            entries["capture"] = Patch(facecolor="#777777", alpha=0.25, label="captured")
        for first, last, kind, stability in _pieces(branch):
            high = upwards(branch.points[first : last + 1])
            dashes, width = LINES.get(stability, LINES["marginal"])
            look: dict[str, Any] = {
                "color": COLORS.get(kind, "#777777"),
                "linestyle": dashes,
                "linewidth": settings.width(width),
            }
            ax.plot(branch.values[first : last + 1], high, **look, zorder=4, solid_capstyle="butt")
            name = f"{branch.period}-cycle" if branch.period > 1 else kind
            text = f"{name}, {stability}" if kind != stability else kind
            if stability != "marginal":
                entries.setdefault(text, Line2D([], [], **look, label=text))
    if bifurcations:
        for branch in branches:
            for point in branch.bifurcations:
                entries.setdefault(point.kind, _mark(ax, branch, point, upwards))
    parameter = names.pop()
    shown = branches[0].system if branches else orbits.system if orbits else None
    style.axis_labels(ax, parameter_label(parameter, getattr(shown, "rule", None)), label)
    if shown is not None:
        ax.set_title(title_of(shown, but=parameter))
    if branches:
        low, high_value = min(b.bounds[0] for b in branches), max(b.bounds[1] for b in branches)
        ax.set_xlim(low, high_value)
    if where:
        style.legend(ax, list(entries.values()), where)
    return ax


def _mark(ax: Axes, branch: Branch, point: Any, upwards: Callable[[Array], Array]) -> Any:
    from matplotlib.lines import Line2D

    marker, size = MARKS[point.kind]
    look: dict[str, Any] = {
        "linestyle": "none",
        "marker": marker,
        "markersize": settings.mark(size),
        "markerfacecolor": style.OKABE_ITO["yellow"],
        "markeredgecolor": "black",
        "markeredgewidth": settings.width(1.0 if marker != "|" else 2.4),
    }
    states = point.x[None]
    if branch.period > 1 and branch.curve is not None:
        states = branch.curve.field.orbit(point.state, np.array([point.value]))[:, : branch.system.dim]
    high = upwards(states)
    ax.plot(np.full(len(high), point.value), high, **look, zorder=9)
    return Line2D([], [], **look, label=point.kind)


def _pieces(branch: Branch) -> Iterable[tuple[int, int, str, str]]:
    """Runs (first, last) of one kind and stability, each reaching on to its neighbours' points."""
    stability = branch.stability.copy()
    for i in range(1, len(stability)):  # a single marginal point belongs to what comes before it
        if stability[i] == "marginal" and (i + 1 == len(stability) or stability[i + 1] != "marginal"):
            stability[i] = stability[i - 1]
    if len(stability) > 1 and stability[0] == "marginal" and stability[1] != "marginal":
        stability[0] = stability[1]
    starts = [0] + [
        i
        for i in range(1, len(stability))
        if stability[i] != stability[i - 1] or branch.kind[i] != branch.kind[i - 1]
    ]
    for first, after in zip(starts, [*starts[1:], len(stability)], strict=True):
        yield max(0, first - 1) if first else 0, after - 1, str(branch.kind[first]), str(stability[first])


def _check_function(coordinate: Callable[[Array], Array], dim: int) -> None:
    """Refuse a function that does not make one number of each point, before anything is drawn."""
    try:
        shape = np.shape(coordinate(np.ones((3, dim))))
    except Exception as error:  # of a user's function: anything
        raise TypeError(f"coordinate must be a function of points (..., {dim}): {error}") from error
    if shape != (3,):
        raise ValueError(
            f"coordinate must be a function from points (..., {dim}) to numbers (...), got shape {shape} for "
            "3 points"
        )


def _upwards(coordinate: Coordinate, dim: int) -> tuple[Callable[[Array], Array], str]:
    if callable(coordinate):
        _check_function(coordinate, dim)
        return coordinate, getattr(coordinate, "__name__", "").replace("<lambda>", "") or "function of x"
    if isinstance(coordinate, str) and coordinate == "norm":
        return (lambda x: np.linalg.norm(x, axis=-1)), "$|x|$"
    if isinstance(coordinate, str):
        raise ValueError(
            f"coordinate must be an integer in [0, {dim}), 'norm' or a function, got {coordinate!r}"
        )
    index = checks.integer("coordinate", coordinate, at_least=0, below=dim)
    return (lambda x: x[..., index]), "$x$" if dim == 1 else f"$x_{{{index}}}$"


@settings.picture
def bifurcation_curves(
    curves: BifurcationCurve | Sequence[BifurcationCurve],
    ax: Axes | None = None,
    *,
    labels: Sequence[str] | None = None,
    legend: bool | str = True,
    **line: Any,
) -> Axes:
    """Curves of bifurcation points in the plane of two parameters.

    Parameters
    ----------
    curves : BifurcationCurve or sequence of BifurcationCurve
        Over the same two parameters, in the same order.
    ax : matplotlib Axes, optional
    labels : sequence of str, optional
        One for each curve; the kind of bifurcation by default.
    legend : bool or str
        As in `phase_portrait`.
    **line
        Keywords of `Axes.plot`, over the defaults.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.Landscape(lambda w, a: a * w @ w / 2, 1, parameters={"a": 4.0}), sd.GD(), lr=0.1)
    >>> branch = sd.continuation(step, [0.0], "lr", (0.01, 3.0))
    >>> curve = sd.bifurcation.bifurcation_curve(branch, branch.bifurcations[0], "a", (1.0, 8.0))
    >>> ax = sd.plot.bifurcation_curves(curve)
    """
    from matplotlib.lines import Line2D

    curves = [curves] if isinstance(curves, BifurcationCurve) else list(curves)
    for curve in curves:
        if not isinstance(curve, BifurcationCurve):
            raise TypeError(f"curves must be BifurcationCurves, got {type(curve).__name__}")
    if not curves:
        raise ValueError("curves must hold at least one BifurcationCurve, got none")
    pairs = {curve.parameters for curve in curves}
    if len(pairs) > 1:
        raise ValueError(f"curves must be over the same two parameters, got {sorted(pairs)}")
    if labels is not None and len(labels) != len(curves):
        raise ValueError(f"labels must be one for each of the {len(curves)} curves, got {len(labels)}")
    drawn = style.axes(ax, size=(6.0, 4.4))
    where = style.place_of_legend(ax) if legend is True else legend
    ax = drawn
    entries: dict[str, Any] = {}
    for i, curve in enumerate(curves):
        color, dashes = CURVES[curve.kind]
        # of several curves of one kind the later ones are dotted
        repeated = any(other.kind == curve.kind for other in curves[:i])
        look: dict[str, Any] = {
            "color": color,
            "linestyle": AGAIN if repeated else dashes,
            "linewidth": settings.width(2.4),
        }
        look |= line
        text = labels[i] if labels is not None else curve.kind
        ax.plot(*curve.values.T, **look, zorder=5)
        entries.setdefault(text, Line2D([], [], **look, label=text))
    style.axis_labels(ax, *map(parameter_label, pairs.pop()))
    ax.set_title(in_common([curve.system for curve in curves]))
    if where:
        style.legend(ax, list(entries.values()), where)
    return ax

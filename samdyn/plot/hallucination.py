"""Pictures of hallucinated minimisers: intervals of radii, branches, sphere minima, outcomes, warm starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.arguments import checks
from samdyn.equilibria.stability.wording import listed
from samdyn.hallucination.curves import HallucinatedBranches
from samdyn.hallucination.intervals import HallucinationIntervals
from samdyn.hallucination.share import OUTCOMES, HallucinatedShare
from samdyn.hallucination.spheres import SphericalMinima
from samdyn.hallucination.warm_start import WarmStartStudy
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RADIUS = "perturbation radius $\\rho$ (units of the weights)"
STABLE: dict[str, Any] = {"color": style.OKABE_ITO["blue"], "linestyle": "-"}
UNSTABLE: dict[str, Any] = {"color": style.OKABE_ITO["vermilion"], "linestyle": (0, (4, 2))}
BARS = ("blue", "green", "vermilion", "purple", "orange", "black")


@settings.picture
def intervals(result: HallucinationIntervals, ax: Axes | None = None) -> Axes:
    """Intervals of radii as bars, one row for each endpoint.

    Parameters
    ----------
    result : HallucinationIntervals
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        Not intervals, or not axes.

    Examples
    --------
    >>> import samdyn as sd
    >>> ax = intervals(sd.hallucination_intervals(sd.landscapes.double_well()))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['(-1) minimum', '(0) maximum', '(1) minimum']
    """
    if not isinstance(result, HallucinationIntervals):
        raise TypeError(f"result must be HallucinationIntervals, got {type(result).__name__}")
    rows = sorted({(tuple(i.endpoint), i.endpoint_kind) for i in result})
    ax = style.axes(ax, size=(7.2, 1.6 + 0.34 * max(3, len(rows))))
    lanes = _lanes(result)
    for interval, lift in zip(result, lanes, strict=True):
        y = rows.index((tuple(interval.endpoint), interval.endpoint_kind))
        attracts = interval.stability == "attracting"
        look = STABLE if attracts else UNSTABLE
        (line,) = ax.plot([interval.lower, interval.upper], [y + lift] * 2, **look, gid=f"interval {y}")
        line.set_linewidth(settings.width(5.0 if attracts else 1.8))
        line.set_solid_capstyle("butt")
    _names_of_endpoints(ax, rows)
    handles = _stability_handles({i.stability == "attracting" for i in result})
    ax.set_xlim(left=0)
    ax.set_xlabel(RADIUS)
    ax.set_title(f"hallucinated points of {result.loss.name}, by endpoint")
    style.legend(ax, handles, _place(ax))
    return ax


def _lanes(result: HallucinationIntervals) -> list[float]:
    """How far above its row each bar lies: bars of one endpoint whose radii overlap lie beside each other."""
    of_row: dict[tuple[float, ...], list[int]] = {}
    for i, interval in enumerate(result):
        of_row.setdefault(tuple(interval.endpoint), []).append(i)
    lifts = [0.0] * len(result)
    for members in of_row.values():
        ends: list[float] = []  # where the last bar of each lane ends
        lane = {}
        for i in sorted(members, key=lambda i: (result[i].lower, result[i].upper)):
            free = next((k for k, end in enumerate(ends) if end < result[i].lower), len(ends))
            ends[free : free + 1] = [result[i].upper]
            lane[i] = free
        for i in members:
            lifts[i] = 0.35 * (0.5 - (lane[i] + 0.5) / len(ends)) * 2
    return lifts


def _place(ax: Axes) -> str:
    """Below the axes where the figure makes room for it."""
    return "best" if ax.figure.get_layout_engine() is None else "below"


def _names_of_endpoints(ax: Axes, rows: list[tuple[tuple[float, ...], str]]) -> None:
    names = [f"{listed(y, digits=3)} {kind}" for y, kind in rows]
    few = range(0, len(rows), max(1, len(rows) // 20))  # endpoints on a curve are many
    ax.set_yticks(list(few), [names[i] for i in few], fontsize=settings.text_size(1.0))


def _stability_handles(present: set[bool]) -> list[Any]:
    from matplotlib.lines import Line2D

    both = [(True, STABLE, "attracting for small lr"), (False, UNSTABLE, "not attracting")]
    return [
        Line2D([], [], **look, linewidth=settings.width(2.4 if stable else 1.3), label=label)
        for stable, look, label in both
        if stable in present
    ]


@settings.picture
def branches(result: HallucinatedBranches, coordinate: int = 0, ax: Axes | None = None) -> Axes:
    """A coordinate of the hallucinated points over the radius.

    Parameters
    ----------
    result : HallucinatedBranches
    coordinate : int
        Which one is shown.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        Attracting parts are solid; critical points of the loss, at which branches end, are level lines.

    Raises
    ------
    TypeError, ValueError
        Not branches, not axes, or no such coordinate.

    Examples
    --------
    >>> import samdyn as sd
    >>> found = sd.hallucinated_branches(sd.landscapes.tilted_double_well())
    >>> branches(found).get_ylabel()
    '$x_{0}$ (units of the weights)'
    """
    if not isinstance(result, HallucinatedBranches):
        raise TypeError(f"result must be HallucinatedBranches, got {type(result).__name__}")
    coordinate = checks.integer("coordinate", coordinate, at_least=0, below=result.loss.dim)
    ax = style.axes(ax, size=(7.2, 4.6))
    present = set()
    for branch in result:
        stable = branch.lr_max > 0
        for of, look in ((True, STABLE), (False, UNSTABLE)):
            # a piece reaches to the first point of the next, so that there are no gaps
            shown = stable == of
            shown |= np.append(shown[1:], False) if of else False
            shown[1:] |= (stable == of)[:-1] if not of else False
            if not shown.any():
                continue
            present.add(of)
            y = np.where(shown, branch.x[:, coordinate], np.nan)
            ax.plot(
                branch.rho,
                y,
                **look,
                linewidth=settings.width(2.4 if of else 1.3),
                zorder=3 if of else 2,
                gid="branch",
            )
    for point in result.critical_points:
        if not point.dimension:
            ax.axhline(
                point.x[coordinate],
                color="#bbbbbb",
                linewidth=settings.width(0.8),
                zorder=1,
                gid="critical point",
            )
    style.axis_labels(ax, RADIUS, f"$x_{{{coordinate}}}$ (units of the weights)")
    ax.set_xlim(left=0)
    ax.set_title(f"hallucinated points of {result.loss.name}")
    style.legend(ax, _stability_handles(present), _place(ax))
    return ax


@settings.picture
def spherical(result: SphericalMinima, ax: Axes | None = None) -> Axes:
    """The lowest loss on spheres over their radius, marked where it falls.

    Parameters
    ----------
    result : SphericalMinima
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        Not sphere minima, or not axes.

    Examples
    --------
    >>> import samdyn as sd
    >>> found = sd.spherical_minima(sd.landscapes.himmelblau(), [3.0, 2.0], [1.0, 2.0, 3.0])
    >>> spherical(found).get_ylabel()
    'lowest loss on the sphere'
    """
    if not isinstance(result, SphericalMinima):
        raise TypeError(f"result must be SphericalMinima, got {type(result).__name__}")
    ax = style.axes(ax)
    order = np.argsort(result.radii)
    rho, value = result.radii[order], result.values[order]
    (line,) = ax.plot(
        rho,
        value,
        color=style.OKABE_ITO["black"],
        linewidth=settings.width(1.6),
        label="lowest loss",
        gid="m",
    )
    handles: list[Any] = [line]
    shown = result.hallucinated[order]
    if shown.any():
        look = style.fixed_point_style("hallucinated", "attracting") | {"markersize": settings.mark(9)}
        (stars,) = ax.plot(rho[shown], value[shown], **look, label="falls: hallucinated", gid="hallucinated")
        handles.append(stars)
    style.axis_labels(ax, RADIUS, "lowest loss on the sphere")
    style.legend(ax, handles, "best")
    return ax


@settings.picture
def outcomes(result: HallucinatedShare, ax: Axes | None = None) -> Axes:
    """Where runs end, as bars with 95 % Wilson intervals.

    Parameters
    ----------
    result : HallucinatedShare
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        Not shares, or not axes.

    Examples
    --------
    >>> import samdyn as sd
    >>> system = sd.Map(sd.landscapes.double_well(), sd.SAM(1.5), lr=0.05)
    >>> outcomes(sd.hallucinated_share(system, n_starts=50, n_steps=500)).get_ylabel()
    'share of starts'
    """
    if not isinstance(result, HallucinatedShare):
        raise TypeError(f"result must be HallucinatedShare, got {type(result).__name__}")
    ax = style.axes(ax)
    names = [name for name in OUTCOMES if result.count(name)]
    share = np.array([result.share(name) for name in names])
    bounds = np.array([result.confidence_interval(outcome=name) for name in names])
    colors = [style.OKABE_ITO[BARS[OUTCOMES.index(name)]] for name in names]
    ax.bar(np.arange(len(names)), share, 0.6, color=colors)
    reach = np.abs(bounds.T - share)
    ax.errorbar(
        np.arange(len(names)),
        share,
        reach,
        fmt="none",
        ecolor="black",
        capsize=5,
        elinewidth=settings.width(1.4),
    )
    style.axis_labels(ax, "where runs end", "share of starts")
    ax.set_xticks(np.arange(len(names)), names)
    ax.set_ylim(0, 1.05)
    ax.set_title(f"{title_of(result.system)}\n{len(result.x0)} starts, 95 % intervals")
    return ax


@settings.picture
def warm_start(result: WarmStartStudy, ax: Axes | None = None) -> Axes:
    """Share of hallucinated runs over the length of the warm start, with 95 % Wilson intervals.

    Parameters
    ----------
    result : WarmStartStudy
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        The axis is linear up to one step and logarithmic beyond. Decaying radii are bands.

    Raises
    ------
    TypeError
        Not a study, or not axes.

    Examples
    --------
    >>> import samdyn as sd
    >>> system = sd.Map(sd.landscapes.tilted_double_well(), sd.SAM(1.0), lr=0.05)
    >>> study = sd.warm_start_study(system, [0, 100], n_starts=50, n_steps=1000)
    >>> warm_start(study).get_xlabel()
    'steps of gradient descent before SAM'
    """
    if not isinstance(result, WarmStartStudy):
        raise TypeError(f"result must be a WarmStartStudy, got {type(result).__name__}")
    ax = style.axes(ax)
    order = np.argsort(result.steps)
    steps, share = result.steps[order], result.shares[order]
    reach = np.abs(result.confidence_intervals()[order].T - share)
    look: dict[str, Any] = {"fmt": "o-", "color": style.OKABE_ITO["blue"], "markeredgecolor": "black"}
    bars = ax.errorbar(steps, share, reach, **look, ecolor="black", capsize=4, label="SAM after a warm start")
    handles: list[Any] = [bars]
    for (name, other), color in zip(result.decaying.items(), ("vermilion", "green", "purple"), strict=False):
        low, high = other.confidence_interval()
        band = style.OKABE_ITO[color]
        ax.axhspan(low, high, color=band, alpha=0.25, linewidth=0)
        label = f"no warm start, {name}"
        handles.append(
            ax.axhline(other.share(), color=band, linestyle="--", linewidth=settings.width(1.8), label=label)
        )
    ax.set_xscale("symlog", linthresh=1.0)
    ax.set_xlim(-0.2, 1.5 * max(1, int(steps[-1])))
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("steps of gradient descent before SAM")
    ax.set_ylabel("share that hallucinates")
    ax.set_title(title_of(result.system))
    style.legend(ax, handles, "best")
    return ax

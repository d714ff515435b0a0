"""A loss in one dimension, the loss at the perturbed point, and the virtual loss that the rule descends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.equilibria.line_attractors import Attractors1D, attractors_1d
from samdyn.equilibria.virtual_gradients import perturbed_loss
from samdyn.equilibria.virtual_gradients import virtual_loss as find_virtual_loss
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import title_of
from samdyn.systems.system import System

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_POINTS = 2000  # along the line: about as many as a screen has pixels
COLORS = style.OKABE_ITO


@settings.picture
def virtual_loss(
    system: System,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    attractors: Attractors1D | None = None,
    legend: bool | str = True,
) -> Axes:
    """The loss f, f(x + e(x)) and the virtual loss J of a rule in one dimension, with its attractors.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Of dimension 1, made from a loss and a rule.
    box : sequence of one (lower, upper), optional
        What is shown; the system's own box by default.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    attractors : Attractors1D, optional
        Those to mark; found by default.
    legend : bool or str
        False for none, or a location that matplotlib knows.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        As for `samdyn.attractors_1d`.

    Notes
    -----
    J is shifted to agree with f at its lowest attractor. The attractors sit at the minima of J; their basins
    are the bands at the foot.

    Examples
    --------
    >>> import samdyn as sd
    >>> ax = sd.plot.virtual_loss(sd.Flow(sd.landscapes.double_well(), sd.SAM(1.5)))
    >>> [line.get_label() for line in ax.get_lines()][:3]
    ['loss $f$', 'perturbed loss $f(x+e(x))$', 'virtual loss $J$']
    """
    found = attractors_1d(system, box) if attractors is None else attractors
    region = found.box if box is None else checks.box("box", box, 1)
    loss = system.landscape
    assert loss is not None
    own = ax is None
    ax = style.axes(ax, size=(7.4, 4.2))
    x = np.linspace(region[0, 0], region[0, 1], N_POINTS)[:, None]
    J = find_virtual_loss(system, region.mean(axis=1))
    shift = 0.0
    if len(found):
        lowest = found.x[int(np.argmin(found.heights)), None]
        shift = float(loss.value(lowest) - J.value(lowest))
    curves = [
        (loss.value(x), "loss $f$", COLORS["black"], "-", 1.6),
        (perturbed_loss(system, x), "perturbed loss $f(x+e(x))$", COLORS["orange"], (0, (5, 1.5)), 1.5),
        (J.value(x) + shift, "virtual loss $J$", COLORS["blue"], (0, (5, 1.2, 1, 1.2)), 2.0),
    ]
    handles: list[Any] = []
    for values, label, color, dashes, width in curves:
        (drawn,) = ax.plot(
            x[:, 0], values, color=color, linestyle=dashes, linewidth=settings.width(width), label=label
        )
        handles.append(drawn)
    seen = set()
    bottom, top = ax.get_ylim()
    foot = bottom - 0.05 * (top - bottom)
    for i, position in enumerate(found.x):
        kind = found.kinds[i]
        look = style.fixed_point_style(kind, "attracting")
        height = float(J.value([position])) + shift
        (mark,) = ax.plot([position], [height], **look, zorder=8, gid=f"attractor: {kind}")
        mark.set_label(f"attractor at a {kind}" if kind != "hallucinated" else "hallucinated attractor")
        if kind not in seen:
            handles.append(mark)
            seen.add(kind)
        ax.plot(
            found.basins[i],
            [foot, foot],
            color=look["markeredgecolor"],
            linewidth=settings.width(1),
            gid="basin",
        )
        color = style.KINDS[kind][1]
        ax.plot(
            found.basins[i],
            [foot, foot],
            color=color,
            linewidth=settings.width(7),
            solid_capstyle="butt",
            gid="basin",
        )
    for position in found.repellers:
        ax.axvline(
            position,
            color="#bbbbbb",
            linewidth=settings.width(0.8),
            linestyle=":",
            zorder=0,
            gid="basin boundary",
        )
    ax.set_ylim(bottom=foot - 0.05 * (top - bottom))
    ax.set_xlim(*region[0])
    style.axis_labels(ax, "$x$", "height")
    ax.set_title(title_of(system))
    if legend is not False:
        where = legend if isinstance(legend, str) else "outside" if own else "best"
        style.legend(ax, handles, where)
    return ax

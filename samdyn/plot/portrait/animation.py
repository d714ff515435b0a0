"""Animated phase portraits: one frame for each value of a parameter.

Arguments are checked and fixed points found, for all values, before the first frame is drawn; frames share
their axes, their limits and one legend of all that occurs in any of them. Separatrices are drawn if asked for
(they cost more than all the rest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import symbol_of, title_of
from samdyn.plot.portrait.stages import Portrait, portrait
from samdyn.systems.system import System

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes


@settings.picture
def animate(
    system: System,
    parameter: str,
    values: Sequence[float] | npt.ArrayLike,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    interval: float = 200.0,
    legend: bool | str = True,
    separatrices: bool = False,
    cycles: int = 0,
    **options: Any,
) -> FuncAnimation:
    """Phase portrait over a parameter, as a matplotlib animation.

    Parameters
    ----------
    system : Map, Flow or Diffusion
    parameter : str
        A parameter of the system: "rho", "lr", "lam", "momentum", or one of the loss.
    values : array_like, shape (n,)
        Its values, one a frame.
    box : sequence of (lower, upper), optional
        As in `phase_portrait`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    interval : float
        Milliseconds from frame to frame.
    legend : bool or str
        As in `phase_portrait`; one legend for all frames.
    separatrices : bool
        Whether to draw the stable manifolds of saddles in every frame.
    cycles : int
        Attracting cycles up to this period are drawn in every frame.
    **options
        Further keywords of `phase_portrait`.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        Keep a reference to it while it is shown. ``.save("rho.gif", writer="pillow")`` writes a file, and in
        a notebook ``IPython.display.HTML(animation.to_jshtml())`` shows it.

    Raises
    ------
    TypeError, ValueError
        No such parameter, no values, or a value that the system refuses; before anything is drawn.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.double_well(2), sd.SAM(1.5))
    >>> animation = sd.plot.animate(flow, "rho", [0.5, 1.5], resolution=20, fixed_points=False)
    >>> animation.save("rho.gif", writer="pillow", dpi=40)
    """
    from matplotlib.animation import FuncAnimation

    systems, numbers = family(system, parameter, values)
    interval = checks.number("interval", interval, above=0)
    options |= {"separatrices": separatrices, "cycles": cycles}
    frames = [portrait(member, box, **options) for member in systems]
    style.check_axes(ax)
    style.check_legend(legend)
    for frame in frames:
        frame.find()
    drawn = style.axes(ax, size=frames[0].size)
    clear = style.clearing(drawn)
    entries: dict[str, Any] = {}
    heights = []
    for frame in frames:  # drawn once for legend and limits, which must not jump from frame to frame
        clear()
        entries = {entry.get_label(): entry for entry in frame.draw(drawn)} | entries
        heights.append(drawn.get_ylim())
    height = np.min(heights), np.max(heights)
    shown = [entries[label] for label in sorted(entries, key=style.legend_order)]

    def update(i: int) -> list[Any]:
        clear()
        frames[i].draw(drawn)
        symbol = symbol_of(parameter)
        title = title_of(systems[i])
        rule = systems[i].rule
        of_rule = rule is not None and parameter in rule.coefficient_names
        drawn.set_title(title if of_rule else f"{title}, ${symbol} = {numbers[i]:.4g}$")
        drawn.set_ylim(*height)
        _keep_legend(drawn, shown, legend, ax, frames)
        return []

    update(0)
    figure: Any = drawn.figure
    return FuncAnimation(figure, update, frames=len(frames), interval=interval, init_func=lambda: [])


def family(system: System, parameter: str, values: Any) -> tuple[list[System], npt.NDArray[np.float64]]:
    """The system at each value of a parameter, and the values, checked."""
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if not isinstance(parameter, str):
        raise TypeError(f"parameter must be a name, got {parameter!r}")
    if parameter not in system.parameters:
        known = ", ".join(system.parameters) or "none"
        raise ValueError(
            f"parameter must be one of the parameters of {system.name} ({known}), got {parameter!r}"
        )
    numbers = np.atleast_1d(checks.array("values", values))
    if numbers.ndim != 1 or len(numbers) == 0:
        raise ValueError(f"values must be a sequence of at least one number, got shape {numbers.shape}")
    return [system.with_parameters(**{parameter: float(value)}) for value in numbers], numbers


def _keep_legend(
    ax: Axes, entries: list[Any], legend: bool | str, given: Axes | None, frames: list[Portrait]
) -> None:
    if legend is False:
        return
    place = legend if isinstance(legend, str) else style.place_of_legend(given)
    style.legend(ax, entries, place, np.concatenate([frame.busy for frame in frames]))

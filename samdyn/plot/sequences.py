"""Animations of results: one frame for each result of a sweep, and exits from a region as time goes on.

A frame is the picture that `samdyn.plot.draw` makes of its result, in axes that are cleared before. Basins
are matched along the sequence, so that an attractor keeps its number and its colour from frame to frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.arguments import checks
from samdyn.basin import Basins
from samdyn.escape.statistics.result import ExitTimes
from samdyn.jobs.progress import paced
from samdyn.plot.appearance import settings, style
from samdyn.plot.registry import draw
from samdyn.plot.survival_curves import survival
from samdyn.results import Result

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes


@settings.picture
def animate_results(
    results: Sequence[Result],
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    interval: float = 400.0,
    progress: bool = False,
    **options: Any,
) -> FuncAnimation:
    """One frame for each result, such as basins against the perturbation radius.

    Parameters
    ----------
    results : sequence of Result
        Results of one class, in the order in which they are shown.
    labels : sequence of str, optional
        Titles of the frames; by default those of the pictures, which name the system.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    interval : float
        Milliseconds from frame to frame.
    progress : bool
        Whether to show a bar over the frames.
    **options
        Keywords of the picture of the class (``result.plot``).

    Returns
    -------
    matplotlib.animation.FuncAnimation
        Keep a reference to it while it is shown. In a notebook
        ``IPython.display.HTML(animation.to_jshtml())`` shows it with a slider, and
        ``.save("rho.gif", writer="pillow")`` writes a file.

    Raises
    ------
    TypeError, ValueError
        No results, results of several classes, or not one label for each; before anything is drawn.

    Warns
    -----
    CostWarning
        Drawing all frames would take more than ten seconds, by the time of the first.

    Notes
    -----
    Basins are matched (`Basins.matched_to`), each to the one before it: an attractor that is absent from a
    frame and comes back later gets a new number. Every picture is drawn once before the first frame is shown,
    since the limits of the axes are the widest of all.

    Examples
    --------
    >>> import samdyn as sd
    >>> maps = [sd.Map(sd.landscapes.double_well(2), sd.SAM(rho), lr=0.1) for rho in (0.2, 0.6)]
    >>> found = [sd.basins(one, [(-2, 2), (-2, 2)], resolution=16) for one in maps]
    >>> animation = sd.plot.animate_results(found, legend=False)
    >>> animation.save("rho.gif", writer="pillow", dpi=40)
    """
    from matplotlib.animation import FuncAnimation

    frames = _one_class(results)
    if labels is not None and len(labels) != len(frames):
        raise ValueError(f"labels must be one for each of the {len(frames)} results, got {len(labels)}")
    interval = checks.number("interval", interval, above=0)
    style.check_axes(ax)
    shown = _matched(frames)
    drawn = style.axes(ax)
    figure: Any = drawn.figure
    clear = style.clearing(drawn)

    def update(i: int) -> list[Any]:
        clear()
        draw(shown[i], ax=drawn, **options)
        if labels is not None:
            drawn.set_title(labels[i])
        return []

    limits = []
    # the limits must not jump from frame to frame; each is drawn once more when it is shown
    n = len(shown)
    for i in paced(range(n), "animate_results", n, "pass fewer results", show=progress, unit="frame"):
        update(i)
        limits.append([*drawn.get_xlim(), *drawn.get_ylim()])
    low, high = np.min(limits, axis=0), np.max(limits, axis=0)

    def update_within_limits(i: int) -> list[Any]:
        update(i)
        drawn.set_xlim(low[0], high[1])
        drawn.set_ylim(low[2], high[3])
        return []

    update_within_limits(0)
    return FuncAnimation(
        figure, update_within_limits, frames=len(shown), interval=interval, init_func=lambda: []
    )


@settings.picture
def animate_exits(
    result: ExitTimes, ax: Axes | None = None, *, n_frames: int = 40, interval: float = 100.0
) -> FuncAnimation:
    """Exits from a region as time goes on: the survival curve up to now, and how many paths are inside.

    Parameters
    ----------
    result : ExitTimes
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    n_frames : int
        Number of frames, evenly spaced from 0 to the last exit.
    interval : float
        Milliseconds from frame to frame.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        As from `animate_results`.

    Raises
    ------
    TypeError, ValueError
        No exit times, or no path that left.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
    >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=500, t_max=50.0)
    >>> sd.plot.animate_exits(exits, n_frames=3).save("exits.gif", writer="pillow", dpi=40)
    """
    from matplotlib.animation import FuncAnimation

    if not isinstance(result, ExitTimes):
        raise TypeError(f"result must be an ExitTimes, got {type(result).__name__}")
    if not result.n_exited:
        raise ValueError(f"result must hold at least one path that left, got {result!r}")
    n_frames = checks.integer("n_frames", n_frames, at_least=2)
    interval = checks.number("interval", interval, above=0)
    drawn = survival([result], ax=ax)
    curve, color = drawn.lines[-1], drawn.lines[-1].get_color()
    curve.set_alpha(0.25)
    curve.set_label("_all of it")
    t, p = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    (until,) = drawn.step([], [], where="post", color=color, linewidth=settings.width(2.2))
    (now,) = drawn.plot([], [], "o", color=color, markersize=settings.mark(7))
    legend = drawn.get_legend()
    if legend is not None:
        legend.remove()
    left = np.sort(result.times[result.exited])
    moments = np.linspace(0, t[-1], n_frames)
    text = drawn.text(0.97, 0.95, "", transform=drawn.transAxes, ha="right", va="top")

    def update(i: int) -> list[Any]:
        until_now = int(np.searchsorted(t, moments[i], side="right"))
        height = p[max(until_now - 1, 0)]
        until.set_data([*t[:until_now], moments[i]], [*p[:until_now], height])
        now.set_data([moments[i]], [height])
        gone = int(np.searchsorted(left, moments[i], side="right"))
        text.set_text(f"t = {moments[i]:.3g}: {gone} of {len(result.times)} paths have left")
        return []

    update(0)
    figure: Any = drawn.figure
    return FuncAnimation(figure, update, frames=n_frames, interval=interval, init_func=lambda: [])


def _one_class(results: Sequence[Result]) -> list[Result]:
    """The results as a list, checked."""
    frames = list(results)
    if not frames:
        raise ValueError("results must hold at least one result, got none")
    for frame in frames:
        if not isinstance(frame, Result):
            raise TypeError(f"results must be results of samdyn, got {checks.shown(frame)}")
    kinds = sorted({type(frame).__name__ for frame in frames})
    if len(kinds) > 1:
        raise TypeError(f"results must be of one class, got {', '.join(kinds)}")
    return frames


def _matched(frames: list[Result]) -> list[Result]:
    """The same results, basins each matched to the one before."""
    matched: list[Result] = []
    for frame in frames:
        before = matched[-1] if matched else None
        if isinstance(frame, Basins) and isinstance(before, Basins):
            frame = frame.matched_to(before)
        matched.append(frame)
    return matched

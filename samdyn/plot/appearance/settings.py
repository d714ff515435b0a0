"""What pictures take from matplotlib's own settings, and what they add to a figure of their own.

Sizes of text, widths of lines, sizes of markers and the colours of curves follow `matplotlib.rcParams`: a
style sheet for a journal changes every picture here. Widths and sizes in this package are written as they
look under matplotlib's defaults, and `width`, `mark` and `text_size` scale them by the setting.

Two defaults are replaced, and only where the setting is untouched: curves take the colours of Okabe and Ito,
which readers with any common form of colour blindness can tell apart; and a figure that a picture makes for
itself has larger text, so that it reads at half size.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from samdyn.arguments.signature import checked

P = ParamSpec("P")
R = TypeVar("R")

OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
}
CURVES = ("blue", "vermilion", "green", "purple", "orange", "sky blue", "black")
"""Order of the curves' colours: the dark ones first. Yellow is too faint for a line."""

OF_OWN_FIGURES: Any = {
    "axes.labelsize": "large",
    "axes.titlesize": "large",
    "xtick.labelsize": "medium",
    "ytick.labelsize": "medium",
    "legend.fontsize": "medium",
    "font.size": 11.0,
}


def width(points: float) -> float:
    """A line's width in points, which is `points` where ``lines.linewidth`` is matplotlib's 1.5.

    Examples
    --------
    >>> width(1.8)
    1.8
    """
    from matplotlib import rcParams

    return points * float(rcParams["lines.linewidth"]) / 1.5


def mark(points: float) -> float:
    """A marker's size in points, which is `points` where ``lines.markersize`` is matplotlib's 6.

    Examples
    --------
    >>> mark(9.0)
    9.0
    """
    from matplotlib import rcParams

    return points * float(rcParams["lines.markersize"]) / 6.0


def text_size(factor: float) -> float:
    """Size of a text inside the axes in points, as a multiple of ``font.size``.

    Examples
    --------
    >>> text_size(1.2)
    12.0
    """
    from matplotlib import rcParams

    return factor * float(rcParams["font.size"])


def curve_colors() -> list[Any]:
    """Colours of curves, to be taken in turn: the user's ``axes.prop_cycle``, or Okabe and Ito's.

    Examples
    --------
    >>> curve_colors()[0]
    '#0072B2'
    """
    from matplotlib import rcParams, rcParamsDefault

    cycle = rcParams["axes.prop_cycle"]
    colors = cycle.by_key().get("color", [])
    if cycle == rcParamsDefault["axes.prop_cycle"] or not colors:
        return [OKABE_ITO[name] for name in CURVES]
    return list(colors)


def picture(draw: Callable[P, R]) -> Callable[P, R]:
    """A drawing function whose own figures have larger text; on given axes it follows the settings alone.

    Its arguments are checked by their annotations (`samdyn.arguments.signature`) before anything is drawn,
    and so are axes and legends.

    Parameters
    ----------
    draw : callable
        With an argument `ax`, None for a figure of its own.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> @picture
    ... def size(ax=None):
    ...     return text_size(1.0)
    >>> size(), size(ax=Figure().gca())
    (11.0, 10.0)
    """
    signature, drawn = inspect.signature(draw), checked(draw)
    texts_alone = str(getattr(signature.parameters.get("legend"), "annotation", "")) == "bool | str"

    @functools.wraps(draw)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        from samdyn.plot.appearance.style import check_axes, check_legend

        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # Python's own message names the function and says how many arguments it takes
            return draw(*args, **kwargs)
        check_axes(given.get("ax"))
        if texts_alone and "legend" in given:
            check_legend(given["legend"])
        if given.get("ax") is not None:
            return drawn(*args, **kwargs)
        from matplotlib import rc_context, rcParams, rcParamsDefault

        own: Any = {
            key: value for key, value in OF_OWN_FIGURES.items() if rcParams[key] == rcParamsDefault[key]
        }
        with rc_context(own):
            return drawn(*args, **kwargs)

    return call

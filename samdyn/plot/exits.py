"""Histograms and quantiles of exit times, with the exponential laws that fit them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.arguments import checks
from samdyn.escape.statistics.result import ExitTimes
from samdyn.plot.appearance import settings, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIME = {"time": "exit time (learning rate $\\times$ steps)", "steps": "exit time (steps)"}

MOST_BINS = 10_000  # more bars than a screen has columns


@settings.picture
def exit_density(
    result: ExitTimes,
    ax: Axes | None = None,
    *,
    bins: int | None = None,
    tail: float | None = 0.5,
    **bar: Any,
) -> Axes:
    """Histogram of exit times, as a density, with the exponential law that fits.

    Parameters
    ----------
    result : ExitTimes
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    bins : int, optional
        Number of bins; by default as many as the Freedman-Diaconis rule asks for, at most 80.
    tail : float, optional
        The exponential law of the slowest rate is drawn beyond this quantile; None for none.
    **bar
        Keywords for the bars (`Axes.bar`).

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        Not exit times, or no path left.

    Notes
    -----
    The area of the bars is the share of paths that left; the rest is censored. Whiskers are +- 1 standard
    error of the counts. Times of chains watched at whole steps fall into bins of whole steps.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
    >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=500, t_max=50.0)
    >>> sd.plot.exit_density(exits).get_ylabel()
    'probability density (1 / time)'
    """
    _check(result)
    t, n = result.watched[result.exited], len(result)
    edges = _edges(t, result, None if bins is None else checks.integer("bins", bins, at_least=1))
    counts = np.histogram(t, edges)[0]
    width = np.diff(edges)
    ax = style.axes(ax)
    look = {
        "color": style.OKABE_ITO["sky blue"],
        "edgecolor": "white",
        "linewidth": settings.width(0.5),
        **bar,
    }
    share = f", {100 * result.n_exited / n:.3g} % of {n} paths" if result.n_exited < n else f", {n} paths"
    bars = ax.bar(edges[:-1], counts / (n * width), width, align="edge", label="exits" + share, **look)
    middle = edges[:-1] + width / 2
    error = np.sqrt(counts * (1 - counts / n)) / (n * width)
    ax.errorbar(
        middle,
        counts / (n * width),
        error,
        fmt="none",
        ecolor="#444444",
        elinewidth=settings.width(0.8),
        zorder=3,
    )
    x = np.linspace(0, edges[-1], 400)
    (law,) = ax.plot(
        x,
        np.exp(-x / result.mean) / result.mean,
        "--",
        color=style.OKABE_ITO["vermilion"],
        linewidth=settings.width(1.8),
        label=f"exponential, mean {result.mean:.3g}",
        gid="exponential",
    )
    handles: list[Any] = [bars, law]
    late = None if tail is None else _tail(result, tail)
    if late is not None:
        beyond = x[x >= late.start]
        density = late.n_paths / n * late.rate * np.exp(-late.rate * (beyond - late.start))
        (line,) = ax.plot(
            beyond,
            density,
            "-",
            color=style.OKABE_ITO["black"],
            linewidth=settings.width(1.8),
            gid="tail",
            label=f"tail, rate {late.rate:.3g} ± {late.standard_error:.1g}",
        )
        handles.append(line)
    ax.set_xlim(0, edges[-1])
    ax.set_ylim(bottom=0)
    per = "time" if result.unit == "time" else "step"
    style.axis_labels(ax, TIME[result.unit], f"probability density (1 / {per})")
    style.legend(ax, handles, "best")
    return ax


@settings.picture
def exit_quantiles(
    result: ExitTimes,
    ax: Axes | None = None,
    *,
    level: float = 0.95,
    tail: float | None = 0.5,
    **line: Any,
) -> Axes:
    """Quantiles of exit times against quantiles of the exponential law, with their band.

    Parameters
    ----------
    result : ExitTimes
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    level : float
        Coverage of the interval of each quantile.
    tail : float, optional
        The law of the slowest rate is drawn beyond this quantile, with the p-value of the test that the tail
        is exponential; None for none.
    **line
        Keywords for the quantiles (`Axes.plot`).

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        Not exit times, or no path left.

    Notes
    -----
    An exponential law is a straight line, through the origin if paths are memoryless from the start on.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
    >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=500, t_max=50.0)
    >>> sd.plot.exit_quantiles(exits).lines[0].get_label()
    'quantiles, 95 % intervals'
    """
    _check(result)
    n = len(result)
    last = 1 - float(result.survival(level).probability.clip(1 / (2 * n)).min())
    x = np.linspace(0, -np.log1p(-last), 300)
    q = -np.expm1(-x)
    middle = result.quantile(q)
    lower, upper = result.quantile_interval(q, level)
    known = np.isfinite(middle)
    x, middle, lower, upper = x[known], middle[known], lower[known], upper[known]
    ax = style.axes(ax)
    look = {"color": style.OKABE_ITO["blue"], "linewidth": settings.width(1.8), **line}
    top = 1.25 * float(middle.max())
    (drawn,) = ax.plot(x, middle, label=f"quantiles, {100 * level:g} % intervals", **look)
    ax.fill_between(x, lower, np.minimum(upper, 10 * top), color=drawn.get_color(), alpha=0.2, linewidth=0)
    (law,) = ax.plot(
        x,
        result.mean * x,
        "--",
        color=style.OKABE_ITO["vermilion"],
        linewidth=settings.width(1.6),
        gid="exponential",
        label=f"exponential, mean {result.mean:.3g}",
    )
    handles: list[Any] = [drawn, law]
    late = None if tail is None else _tail(result, tail)
    if late is not None:
        start = -np.log(late.n_paths / n)
        beyond = x[x >= start]
        (fit,) = ax.plot(
            beyond,
            late.start + (beyond - start) / late.rate,
            "-.",
            color="black",
            linewidth=settings.width(1.6),
            gid="tail",
            label=f"tail, rate {late.rate:.3g} ± {late.standard_error:.1g} (p = {late.p_value:.2g})",
        )
        handles.append(fit)
    ax.set_xlim(0, x[-1])
    ax.set_ylim(0, top)
    style.axis_labels(ax, "quantile of the unit exponential law, $-\\log(1 - q)$", TIME[result.unit])
    style.legend(ax, handles, "best")
    return ax


def _check(result: ExitTimes) -> None:
    if not isinstance(result, ExitTimes):
        raise TypeError(f"result must be ExitTimes, got {type(result).__name__}")
    if not result.n_exited:
        raise ValueError("result must hold a path that left, got none")


def _edges(t: Any, result: ExitTimes, bins: int | None) -> Any:
    last = float(t.max())
    if bins is not None:
        bins = checks.integer("bins", bins, at_least=1, below=MOST_BINS + 1)
    if bins is None:
        spread = float(np.subtract(*np.quantile(t, [0.75, 0.25])))
        ideal = last * len(t) ** (1 / 3) / (2 * spread) if spread > 0 else 10
        bins = int(np.clip(np.ceil(ideal), 5, 80))
    width = last / bins
    if result.correction is None:  # whole steps, each in the middle of its own place
        whole = max(1, round(width / result.dt))
        return (np.arange(0, last / result.dt + whole + 1, whole) + 0.5) * result.dt
    return np.linspace(0, last * (1 + 1e-12), bins + 1)


def _tail(result: ExitTimes, quantile: float) -> Any:
    quantile = checks.number("tail", quantile, at_least=0, below=1)
    try:
        return result.slowest_rate(quantile)
    except ValueError:  # too few exits for a tail
        return None

"""Convergence curves on logarithmic axes: means with bands, and a theorem's bound beside the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from samdyn.arguments import checks
from samdyn.plot.appearance import style
from samdyn.plot.appearance.settings import curve_colors, picture, width
from samdyn.plot.survival_curves import LINES
from samdyn.rates.curves import Convergence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Bound: TypeAlias = Callable[[Any], Any]

NAMES = {
    "gap": "gap  $f(x) - f^*$",
    "gradient_norm": "gradient norm  $|\\nabla f(x)|$",
    "distance": "distance from the minimisers",
}
MAX_CURVES = 7  # colours that a reader can tell apart


@picture
def convergence(
    result: Convergence,
    quantity: str = "gap",
    ax: Axes | None = None,
    *,
    settings: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    bound: Bound | Sequence[Bound] | None = None,
    bound_label: str = "bound",
    level: float = 0.9,
) -> Axes:
    """Curves of a convergence experiment.

    Parameters
    ----------
    result : Convergence
    quantity : {"gap", "gradient_norm", "distance"}
    ax : matplotlib Axes, optional
    settings : sequence of int, optional
        Which settings to draw; the first seven by default.
    labels : sequence of str, optional
        One for each of them.
    bound : callable or sequence of callables, optional
        Steps (n,) to a bound on the mean: one for all, or one for each setting, drawn dotted in its colour.
    bound_label : str
        Its entry in the legend.
    level : float
        Share of the replicas in the shaded bands.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import samdyn as sd
    >>> sam = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.SAM(0.1), lr=0.5)
    >>> result = sd.convergence(sam, [1.0], n_steps=100)
    >>> sd.plot.convergence(result, bound=lambda t: 0.5 * 0.75**t + 0.01).get_yscale()
    'log'
    """
    if not isinstance(result, Convergence):
        raise TypeError(f"result must be a Convergence, got {type(result).__name__}")
    if isinstance(settings, str) or not (settings is None or isinstance(settings, Iterable)):
        raise TypeError(f"settings must be a sequence of numbers of settings, got {settings!r}")
    n = len(result.settings)
    shown = (
        list(range(min(n, MAX_CURVES)))
        if settings is None
        else [checks.integer("settings", k, at_least=0, below=n) for k in settings]
    )
    if not 0 < len(shown) <= MAX_CURVES:
        raise ValueError(f"settings must name 1 to {MAX_CURVES} settings, got {len(shown)}")
    if labels is not None and len(labels) != len(shown):
        raise ValueError(f"labels must be one for each of the {len(shown)} curves, got {len(labels)}")
    if np.ndim(bound) == 0 and not (bound is None or callable(bound)):  # type: ignore[arg-type]
        raise TypeError(f"bound must be a function of the steps, or a sequence of such, got {bound!r}")
    if not (bound is None or callable(bound) or (isinstance(bound, Iterable) and all(map(callable, bound)))):
        raise TypeError(f"bound must be a function of the steps, or a sequence of such, got {bound!r}")
    bounds = [] if bound is None else ([bound] if callable(bound) else list(bound))
    if len(bounds) not in (0, 1, len(shown)):
        raise ValueError(f"bound must be one, or one for each of the {len(shown)} curves, got {len(bounds)}")
    steps = result.steps
    for one in bounds:
        _values_of(one, steps[steps > 0])
    ax = style.axes(ax)
    colors = curve_colors()
    # step 0 has no place on a logarithmic axis
    late = steps > 0
    handles: list[Any] = []
    lowest, highest = np.inf, 0.0
    for i, setting in enumerate(shown):
        mean = result.mean(quantity, setting)
        low, high = result.band(quantity, setting, level)
        drawn = late & (mean > 0) & np.isfinite(mean)
        if not drawn.any():
            continue
        label = labels[i] if labels is not None else _label(result, setting)
        (line,) = ax.plot(
            steps[drawn],
            mean[drawn],
            color=colors[i % len(colors)],
            ls=LINES[i % len(LINES)],
            lw=width(1.8),
            label=label,
        )
        handles.append(line)
        if result.n_replicas > 1:
            ax.fill_between(
                steps[drawn],
                np.maximum(low, mean * 1e-3)[drawn],
                high[drawn],
                color=colors[i % len(colors)],
                alpha=0.18,
                linewidth=0,
            )
        lowest, highest = min(lowest, float(mean[drawn].min())), max(highest, float(mean[drawn].max()))
        if len(bounds) > 1:
            handles += _draw_bound(
                ax, bounds[i], steps[late], colors[i % len(colors)], f"{bound_label}, {label}"
            )
    if len(bounds) == 1:
        handles += _draw_bound(ax, bounds[0], steps[late], style.FIELD, bound_label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    if handles and not bounds and np.isfinite(lowest):
        ax.set_ylim(lowest / 5, highest * 3)
    style.log_ticks(ax.yaxis)
    ax.set_xlabel("step")
    ax.set_ylabel(NAMES[quantity])
    ax.set_title(result.name)
    if handles:
        style.legend(ax, handles, "best")
        box = ax.get_legend()
        if result.n_replicas > 1 and box is not None:
            box.set_title(f"bands: {level:.0%} of the replicas")
    return ax


def _values_of(bound: Bound, steps: Any) -> Any:
    """A bound at steps, or an error that says what is wrong with it."""
    try:
        values = np.asarray(bound(steps), dtype=np.float64)
    except Exception as error:  # of a user's function: anything
        raise TypeError(f"bound must be a function of an array of steps: {error}") from error
    if values.shape not in ((), steps.shape):
        raise ValueError(
            f"bound must give a number for each of the {len(steps)} steps, got shape {values.shape}"
        )
    return np.broadcast_to(values, steps.shape)


def _draw_bound(ax: Axes, bound: Bound, steps: Any, color: str, label: str) -> list[Any]:
    values = _values_of(bound, steps)
    return list(ax.plot(steps, values, color=color, ls=(0, (1, 1.2)), lw=width(2.2), label=label))


def _label(result: Convergence, setting: int) -> str:
    items = result.settings[setting].items()
    text = ", ".join(f"{k} = {v:g}" if isinstance(v, float) else f"{k} = {v}" for k, v in items)
    return text or f"mean of {result.n_replicas}" if result.n_replicas > 1 else text or result.name

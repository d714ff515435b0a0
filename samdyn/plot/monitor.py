"""Sharpness and edge of a monitored training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samdyn.plot.appearance import settings, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from samdyn.network.history import History


@settings.picture
def history(result: History, ax: Axes | None = None) -> Axes:
    """The largest curvature of a `History` and the edge of stability against the training step."""
    ax = style.axes(ax)
    ax.plot(
        result.step, result.sharpness, "o-", ms=3, color=style.OKABE_ITO["blue"], label="largest curvature"
    )
    ax.plot(result.step, result.edge, "--", color=style.OKABE_ITO["vermilion"], label="edge")
    if (result.batch_sharpness == result.batch_sharpness).any():
        ax.plot(
            result.step, result.batch_sharpness, ":", color=style.OKABE_ITO["green"], label="batch sharpness"
        )
    style.axis_labels(ax, "training step", "curvature")
    ax.legend(frameon=False)
    return ax

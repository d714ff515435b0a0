"""The cosine between the gradients at the weights and at the perturbed weights, along a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.orbit.perturbation import PerturbationGeometry
from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import title_of, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CASES = {
    1: ("I: as gradient descent", "o", style.OKABE_ITO["green"]),
    2: ("II: along the saddle", "s", style.OKABE_ITO["orange"]),
    3: ("III: across the saddle", "X", style.OKABE_ITO["vermilion"]),
    0: ("basin unknown", "d", "#888888"),
}


@settings.picture
def perturbation_geometry(result: PerturbationGeometry, ax: Axes | None = None) -> Axes:
    """The cosine at every point of a path, marked by the case that it is in.

    Parameters
    ----------
    result : PerturbationGeometry
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.coupled_double_well(), sd.SAM(0.3), lr=0.01)
    >>> path = sd.trajectory(step, [0.2, 0.1], n_steps=400, save_every=20)
    >>> sd.plot.perturbation_geometry(sd.perturbation_geometry(step, path, basins=False)).get_ylabel()
    'cosine of the two gradients'
    """
    if not isinstance(result, PerturbationGeometry):
        raise TypeError(f"result must be a PerturbationGeometry, got {type(result).__name__}")
    own = ax is None
    ax = style.axes(ax, size=(6.4, 3.8))
    cosine = result.cosine.reshape(len(np.atleast_1d(result.cosine)), -1)
    case = result.case.reshape(cosine.shape)
    steps = np.broadcast_to(np.arange(len(cosine))[:, None], cosine.shape)
    ax.plot(steps, cosine, color="#999999", linewidth=settings.width(0.6), zorder=1)
    handles: list[Any] = []
    for number, (label, marker, color) in CASES.items():
        chosen = case == number
        if chosen.any():
            (drawn,) = ax.plot(
                steps[chosen],
                cosine[chosen],
                marker,
                color=color,
                markersize=settings.mark(5),
                label=label,
                zorder=2,
            )
            handles.append(drawn)
    ax.axhline(0, color="black", linewidth=settings.width(0.8))
    ax.set_ylim(-1.08, 1.08)
    style.axis_labels(ax, "point along the path", "cosine of the two gradients")
    ax.set_title(wrapped(ax, title_of(result.system)))
    style.legend(ax, handles, "outside" if own else "best")
    return ax

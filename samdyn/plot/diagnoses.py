"""The picture of a diagnosis: losses on lines through the point, and the motion there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from samdyn.plot.appearance import settings, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samdyn.network.diagnosis import Diagnosis

POINTS = 81
"""Values on a line."""
AT_REST = 1e-9
"""Moves, relative to the weights, below which the last steps are drawn as one point."""
BLUE, ORANGE, BLACK = (style.OKABE_ITO[name] for name in ("blue", "orange", "black"))


@settings.picture
def diagnosis(result: Diagnosis) -> Figure:
    """Three panels of a `Diagnosis`.

    Left, f along the gradient, f(x + s u) with u = g/|g|, where the perturbed point stands at s = |e|.
    Middle, f along the sharpest direction through x. Right, the last steps, seen along the gradient and along
    the sharpest direction, from the oldest (pale) to the newest; one point where the run rests.
    """
    from matplotlib import pyplot

    m, loss = result.measured, result.system.landscape
    if m is None or loss is None:
        raise ValueError(f"a run that diverged has no picture, got the verdict {result.verdict!r}")
    figure: Figure = pyplot.figure(figsize=(10.2, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    g = loss.gradient(m.x)
    size = float(np.linalg.norm(g))
    u = g / size if size > 0 else m.top
    reach = max(m.perturbation, float(np.abs((m.orbit - m.x) @ u).max()), 1e-12)
    s = np.linspace(-reach, 2 * reach, POINTS)
    _line(left, s, loss.value(m.x + s[:, None] * u), 0.0, m.loss)
    if m.perturbation > 0:
        left.plot(m.perturbation, m.perturbed_loss, "o", color=ORANGE)
        left.annotate("y", (m.perturbation, m.perturbed_loss), xytext=(4, 4), textcoords="offset points")
    style.axis_labels(left, "s, along the gradient", "f(x + s u)")
    across = max(float(np.abs((m.orbit - m.x) @ m.top).max()), 0.3 * reach)
    t = np.linspace(-2 * across, 2 * across, POINTS)
    _line(middle, t, loss.value(m.x + t[:, None] * m.top), 0.0, m.loss)
    style.axis_labels(middle, "t, along the sharpest direction", "f(x + t v)")
    along, beside = (m.orbit - m.x) @ u, (m.orbit - m.x) @ m.top
    shade = np.linspace(0.15, 1.0, len(along))
    right.plot(along, beside, color=BLUE, lw=0.6, alpha=0.4)
    right.scatter(along, beside, s=14, c=[(*_rgb(BLUE), a) for a in shade])
    right.plot(0.0, 0.0, "o", color=BLACK, ms=5)
    moved = float(np.linalg.norm(m.orbit - m.x, axis=1).max())
    if moved < AT_REST * max(float(np.linalg.norm(m.x)), m.perturbation):  # rounding, which has no shape
        right.set(xlim=(-reach, reach), ylim=(-reach, reach))
        right.set_title(f"at rest: steps of at most {moved:.1g}" if moved else "at rest", fontsize="medium")
    style.axis_labels(right, "along the gradient", "along the sharpest direction")
    right.locator_params(nbins=4)
    right.ticklabel_format(scilimits=(-2, 4))  # a run that rests moves by so little that numbers are long
    figure.suptitle(result.verdict, fontsize="medium")
    return figure


def _line(ax: Axes, s: np.ndarray, values: np.ndarray, at: float, loss: float) -> None:
    ax.plot(s, values, color=BLUE)
    ax.plot(at, loss, "o", color=BLACK, ms=5)


def _rgb(color: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(color)

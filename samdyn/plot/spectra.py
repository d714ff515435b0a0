"""Eigenvalues of a Hessian on a line, eigenvalues of a system in the complex plane, and their density."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from samdyn.plot.appearance import settings, style
from samdyn.plot.appearance.titles import wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from samdyn.network.spectra import Spectrum
    from samdyn.network.spectral_density import SpectralDensity

COLOR = style.OKABE_ITO["blue"]


@settings.picture
def spectrum(result: Spectrum, ax: Axes | None = None) -> Axes:
    """The eigenvalues of a `Spectrum`.

    Of a loss they stand on a line by their rank, with their residuals as bars; of a system in the complex
    plane, with the border of stability (the unit circle of a map, the imaginary axis otherwise).
    """
    ax = style.axes(ax)
    values = result.eigenvalues
    if result.symmetric:
        rank = np.arange(1, len(values) + 1)
        ax.errorbar(
            rank,
            np.real(values),
            yerr=result.residuals,
            fmt="o",
            ms=settings.mark(6.0),
            color=COLOR,
            capsize=3,
        )
        ax.axhline(0.0, color="0.7", lw=settings.width(0.8))
        style.axis_labels(ax, f"rank ({result.which})", "eigenvalue of the Hessian")
        return ax
    ax.scatter(np.real(values), np.imag(values), s=settings.mark(5.0) ** 2, color=COLOR, zorder=3)
    if result.discrete:
        angle = np.linspace(0, 2 * np.pi, 400)
        ax.plot(np.cos(angle), np.sin(angle), color="0.6", lw=settings.width(0.9))
        ax.set_aspect("equal", adjustable="datalim")
    else:
        ax.axvline(0.0, color="0.6", lw=settings.width(0.9))
    ax.axhline(0.0, color="0.85", lw=settings.width(0.6), zorder=0)
    ax.set_title(wrapped(ax, result.of))
    style.axis_labels(ax, f"real part of the {'multiplier' if result.discrete else 'rate'}", "imaginary part")
    return ax


@settings.picture
def density(result: SpectralDensity, ax: Axes | None = None) -> Axes:
    """The density of a `SpectralDensity` on a logarithmic axis, with its 95 % band.

    Values below a millionth of the largest are not drawn: the smoothing reaches there, and no eigenvalue.
    """
    ax = style.axes(ax)
    floor = 1e-6 * float(result.values.max())
    low, high = result.confidence_band()
    shown = result.values > floor
    names = (f"density, smoothed by {result.width:.2g}", "95 % band of the mean over vectors")
    band = ax.fill_between(
        result.grid, np.maximum(low, floor), high, where=shown, color=COLOR, alpha=0.25, lw=0, label=names[1]
    )
    (line,) = ax.plot(result.grid, np.where(shown, result.values, np.nan), color=COLOR, label=names[0])
    style.legend(ax, [line, band], "best")
    style.axis_labels(ax, "eigenvalue of the Hessian", "density (1 / curvature)")
    ax.set_yscale("log")  # after the labels, whose round ticks are the ticks of a linear axis
    return ax

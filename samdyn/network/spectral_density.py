"""The density of all eigenvalues of a Hessian, smoothed, with its uncertainty.

Each random vector of signs gives the spectral measure of that vector (`samdyn.network.lanczos`); their mean
is the density, their spread its standard error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.jobs.cost import announce, seconds_of
from samdyn.network.lanczos import lanczos_quadrature, smoothed
from samdyn.results import Result, Table
from samdyn.trace.product_operator import ProductOperator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID, PER_WIDTH, MOST_POINTS = 512, 4, 1 << 18
"""Points of the grid on which a density is given: at least, for each `width`, and at most."""


@dataclass(frozen=True, eq=False, repr=False)
class SpectralDensity(Result):
    """The density of the eigenvalues of a symmetric matrix, smoothed.

    Attributes
    ----------
    grid : ndarray, shape (m,)
        Eigenvalues at which the density is given.
    values : ndarray, shape (m,)
        The density there; it integrates to 1.
    standard_error : ndarray, shape (m,)
        Of `values`, from the spread over the random vectors.
    width : float
        Standard deviation of the Gaussian that stands for each eigenvalue.
    trace : tuple of float
        The matrix's trace and its standard error.
    n_vectors, n_steps : int
        Random vectors, and products with each.
    """

    row = "point"

    grid: Array
    values: Array
    standard_error: Array
    width: float
    trace: tuple[float, float]
    n_vectors: int
    n_steps: int

    def confidence_band(self, level: float = 0.95) -> tuple[Array, Array]:
        """Interval of the smoothed density at each point of `grid`, by Student's t over the vectors.

        What `n_steps` products do not resolve is not in it. Where few eigenvalues lie within `width` the law
        of an estimate is skewed: docs/calibration says how often such a band holds the density.

        Examples
        --------
        >>> import samdyn as sd
        >>> found = sd.spectrum(sd.landscapes.himmelblau(), [3.0, 2.0]).density(n_vectors=4)
        >>> low, high = found.confidence_band()
        >>> bool((low <= found.values).all() and (found.values <= high).all())
        True
        """
        reach = self._quantile(level) * self.standard_error
        return np.maximum(self.values - reach, 0.0), self.values + reach

    def trace_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the trace, by Student's t over the vectors."""
        reach = self._quantile(level) * self.trace[1]
        return self.trace[0] - reach, self.trace[0] + reach

    def _quantile(self, level: float) -> float:
        level = checks.number("level", level, above=0)
        if level >= 1:
            raise ValueError(f"level must be in (0, 1), got {level!r}")
        return float(stdtrit(self.n_vectors - 1, 0.5 + level / 2))

    def table(self) -> Table:
        """Where it is given, and the trace."""
        low, high = self.trace_interval()
        return Table(
            f"SpectralDensity on [{self.grid[0]:.4g}, {self.grid[-1]:.4g}], smoothed by {self.width:.3g}: "
            f"trace {self.trace[0]:.5g}, 95 % interval ({low:.5g}, {high:.5g}), from {self.n_vectors} vectors"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """The density on a logarithmic axis, with its 95 % band."""
        drawn: Axes = self._draw(ax)
        return drawn


def density_of(
    operator: ProductOperator, n_vectors: int, n_steps: int, width: float | None, seed: int
) -> SpectralDensity:
    """The density of the eigenvalues of a symmetric matrix; see `Spectrum.density` for the arguments."""
    n = operator.shape[0]
    # signs: in dimensions of equal variance their quadratic form has the smallest variance
    signs = np.sign(np.random.default_rng(seed).standard_normal((n_vectors, n)))
    announce(
        "Spectrum.density",
        seconds_of(lambda: operator @ signs[0]) * n_vectors * min(n_steps, n),
        "pass fewer n_vectors or n_steps",
    )
    found = [lanczos_quadrature(operator, row, n_steps) for row in signs]
    low, high = min(q.nodes[0] for q in found), max(q.nodes[-1] for q in found)
    spread = max(high - low, 1e-12 * max(abs(low), abs(high)), 1e-300)
    width = 0.01 * spread if width is None else width
    points = math.ceil(PER_WIDTH * (high - low + 8 * width) / width)
    if points > MOST_POINTS:
        least = PER_WIDTH * spread / MOST_POINTS
        raise ValueError(f"width must be at least {least:.2g} on a spectrum {spread:.4g} wide, got {width!r}")
    grid = np.linspace(low - 4 * width, high + 4 * width, max(GRID, points))
    rows = smoothed(found, grid, width)
    traces = n * np.array([q.nodes @ q.weights for q in found])
    root = n_vectors**0.5
    return SpectralDensity(
        grid,
        rows.mean(axis=0),
        rows.std(axis=0, ddof=1) / root,
        width,
        (float(traces.mean()), float(traces.std(ddof=1) / root)),
        n_vectors,
        n_steps,
    )

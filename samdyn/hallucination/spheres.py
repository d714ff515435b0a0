"""The minimum of the loss on spheres around a critical point, which finds hallucinated attractors.

With m(rho) = min of f on the sphere of radius rho around y, grad f(y) = 0, the minimiser x is a hallucinated
point with endpoint y wherever m'(rho) < 0: there grad f(x) points straight at y. These are the points at
which nothing is folded (B(x) = d(x + rho g/|g|)/dx has no negative eigenvalue), so that they attract if y is
a nondegenerate minimum and lr is small enough, except where H(y) and B(x) are too far from commuting.

Algorithm
---------
1. f is evaluated in evenly spread directions on each sphere; the `N_CANDIDATES` lowest are candidates.
2. Newton on the Lagrange equations grad f(x) + nu (x - y) = 0, |x - y| = rho from each.
3. The lowest of those that converge, and are no higher than their candidate, is m(rho); m'(rho) = -nu rho by
   the envelope theorem. A radius with none is nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.hallucination.attraction import shift_jacobian
from samdyn.hallucination.proximal_curves import Derivatives, at_radius, derivatives_of
from samdyn.jobs.progress import paced
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.scales import ACCURACY, ROUNDING, displacement_tolerance
from samdyn.numerics.sphere import directions
from samdyn.results import Result, Rows, Table

N_CANDIDATES = 8  # lowest sampled points of a sphere that are polished; chosen
N_PARTS = 16  # of the radii: steps of the progress bar


@dataclass(frozen=True, eq=False, repr=False)
class SphericalMinima(Result):
    """The lowest point of the loss on each of a family of spheres.

    Attributes
    ----------
    centre : ndarray, shape (dim,)
    radii : ndarray, shape (n,)
    x : ndarray, shape (n, dim)
        The minimisers.
    values : ndarray, shape (n,)
        m(rho), the loss there.
    slopes : ndarray, shape (n,)
        m'(rho).
    hallucinated : ndarray of bool, shape (n,)
        Whether m'(rho) < 0: x is then fixed under normalised SAM with this radius.
    shift_eigenvalues : ndarray, shape (n, dim)
        Of B(x), in ascending order; nan where x is not hallucinated.
    """

    cited = ("park2025",)
    row = "radius"
    axes = ("centre: coordinate", "x: radius coordinate")

    centre: Array
    radii: Array
    x: Array
    values: Array
    slopes: Array
    hallucinated: npt.NDArray[np.bool_]
    shift_eigenvalues: Array

    def table(self) -> Table:
        """The minimum on the sphere of each radius."""
        centre = ", ".join(f"{v:.6g}" for v in self.centre)

        def row(i: int) -> tuple[str, str]:
            place = ", ".join(f"{v:.6g}" for v in self.x[i])
            text = f"x ({place}), m {self.values[i]:.6g}, m' {self.slopes[i]:.4g}"
            return f"rho {self.radii[i]:.6g}", text + (" hallucinated" if self.hallucinated[i] else "")

        title = f"SphericalMinima around ({centre}): {len(self.radii)} radii"
        return Table(title, Rows(len(self.radii), row))

    def plot(self, ax: Any = None) -> Any:
        """m(rho), with the hallucinated radii marked; returns the matplotlib Axes."""
        return self._draw(ax)


@checked
def spherical_minima(
    loss: Landscape,
    x: checks.PointLike,
    radii: Sequence[float] | Array,
    *,
    progress: bool = False,
) -> SphericalMinima:
    """The minimum of the loss on spheres around a critical point.

    Parameters
    ----------
    loss : Landscape
        In two or more dimensions.
    x : array_like, shape (dim,), or FixedPoint
        A critical point of the loss.
    radii : array_like, shape (n,)
        Positive.
    progress : bool
        Show a progress bar over parts of the radii.

    Returns
    -------
    SphericalMinima

    Raises
    ------
    TypeError, ValueError
        One dimension, a centre that is no critical point (its gradient is reported), or a radius that is not
        positive.

    Warns
    -----
    CostWarning
        The radii will take more than ten seconds, by the time of the first of them.

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.hallucination.spheres`).

    Examples
    --------
    >>> import samdyn as sd
    >>> found = sd.spherical_minima(sd.landscapes.himmelblau(), [3.0, 2.0], [1.9, 2.0])
    >>> found.hallucinated, found.x[1].round(4)
    (array([False,  True]), array([3.3892, 0.0382]))
    """
    if not isinstance(loss, Landscape):
        raise TypeError(f"loss must be a samdyn Landscape, got {loss!r}")
    if loss.dim < 2:
        raise ValueError(
            "loss must have two dimensions or more, got one: hallucination_intervals is complete there"
        )
    y = checks.points("x", x, loss.dim)
    if y.ndim != 1:
        raise ValueError(f"x must be one point of shape ({loss.dim},), got shape {y.shape}")
    rho = np.atleast_1d(checks.points("radii", np.asarray(radii)[..., None], 1)[..., 0])
    if rho.ndim != 1 or not (rho > 0).all():
        raise ValueError(f"radii must be positive numbers in one dimension, got {radii!r}")
    size = float(np.linalg.norm(loss.gradient(y)))
    steepness = float(np.abs(loss.hessian(y)).max())
    if not size <= steepness * displacement_tolerance(loss.box, y, ACCURACY):
        raise ValueError(f"x must be a critical point of {loss.name}, got |gradient| = {size:.3g} at {y}")
    # a few radii at a time: what one part takes tells the rest
    parts = np.array_split(rho, min(N_PARTS, len(rho))) if len(rho) else []
    cheaper, derivatives = "pass fewer radii", derivatives_of(loss)
    total = len(parts)
    each = paced(parts, "spherical_minima", total, cheaper, show=progress, unit="part of the radii")
    found = [_on_spheres(loss, derivatives, y, part) for part in each]
    if not found:
        found = [_on_spheres(loss, derivatives, y, rho)]
    return SphericalMinima(y, rho, *(np.concatenate(column) for column in zip(*found, strict=True)))


def _on_spheres(
    loss: Landscape, derivatives: Derivatives, y: Array, rho: Array
) -> tuple[Array, Array, Array, npt.NDArray[np.bool_], Array]:
    """Minimisers, minima, slopes, whether they are hallucinated, and the eigenvalues of B, for radii (n,)."""
    u = directions(loss.dim)
    height = loss.value(y + rho[:, None, None] * u)
    lowest = np.argsort(np.where(np.isnan(height), np.inf, height), axis=1)[:, :N_CANDIDATES]
    n, k = lowest.shape
    starts = (y + rho[:, None, None] * u[lowest]).reshape(n * k, -1)
    of = np.repeat(rho, k)
    gradient = derivatives(starts)[0]
    nu = -(gradient * (starts - y)).sum(axis=1) / of**2
    x, nu, good = at_radius(derivatives, starts, nu, np.broadcast_to(y, starts.shape), of)
    before = np.take_along_axis(height, lowest, axis=1).ravel()
    with np.errstate(all="ignore"):
        value = loss.value(x)
        # heights are told apart next to those on the sphere, and to their own rounding
        rise = np.ptp(height, axis=1).repeat(k)
        good &= value <= before + 1e-9 * rise + ROUNDING * np.abs(before)
    value = np.where(good, value, np.inf).reshape(n, k)
    best = np.arange(n) * k + value.argmin(axis=1)
    found = np.isfinite(value.min(axis=1))
    place = np.where(found[:, None], x[best], np.nan)
    slope = np.where(found, -nu[best] * rho, np.nan)
    hallucinated = found & (slope < 0)
    eigenvalues = np.full(place.shape, np.nan)
    if hallucinated.any():
        g, hessian = derivatives(place[hallucinated])
        values = np.linalg.eigvals(shift_jacobian(g, hessian, rho[hallucinated])).real
        eigenvalues[hallucinated] = np.sort(values, axis=1)
    minima = np.where(found, value.min(axis=1), np.nan)
    return place, minima, slope, hallucinated, eigenvalues

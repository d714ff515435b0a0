"""What can be measured about where a run stands: gradients, curvatures, the edge, the motion of some steps.

The steps are steps of the noiseless map, from the point on, or the last points of a run. Of the second half
of them, x_0 .. x_n, when what they came with has settled,

- the length of the path is the sum of |x_(k+1) - x_k|, the displacement |x_n - x_0|;
- the period-2 share is 1 - sum |x_(k+2) - x_k| / (2 sum |x_(k+1) - x_k|): 1 if every second point is the
  same, 0 on a straight line;
- the centre is the mean of the last two means of neighbours, (x_(n-2) + 2 x_(n-1) + x_n)/4: of a motion with
  period 2 about a slowly moving point it is that point;
- the extent is the largest distance of a point from the mean of all;
- the direction of the motion is the direction of the last step.

The edge is the curvature at which a step across the sharpest direction just overshoots
(`samdyn.orbit.stability_edge`), with e = c g for the perturbation's length in units of the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.landscapes.landscape import Landscape
from samdyn.network.spectra import Spectrum, spectrum
from samdyn.numerics.scales import length_scale
from samdyn.results import storable
from samdyn.rules.schedules import value_at
from samdyn.systems.map import Map

TOLERANCE = 1e-4
"""Relative accuracy of the curvatures: two digits more than any threshold needs."""


@storable
@dataclass(frozen=True, eq=False)
class Measured:
    """Numbers about a point and the steps from there.

    Attributes
    ----------
    x, centre : ndarray, shape (dim,)
        The last point, and the centre of the motion.
    orbit : ndarray, shape (n + 1, dim)
        The steps that were looked at.
    loss, perturbed_loss : float
        f(x) and f(x + e).
    gradient, perturbed_gradient, ratio, cosine : float
        |g(x)|, |g(x + e)|, their ratio, and the cosine between the two.
    perturbation : float
        |e(x)|.
    curvatures, perturbed_curvatures : tuple of float
        Smallest and largest eigenvalue of the Hessian at x and at x + e.
    edge : float
        Curvature at the edge of stability of a rule that perturbs along the gradient, from |e|/|g|; 0 where g
        vanishes and the perturbation does not.
    length, displacement, extent, period_2, along_top : float
        Of the motion: path, displacement, extent, period-2 share, and the squared cosine of the last step
        with the sharpest direction.
    mean : ndarray, shape (dim,)
        Of the points.
    centre_gradient : float
        |g| at the centre of the motion.
    centre_curvatures : tuple of float
        Smallest and largest eigenvalue of the Hessian there.
    top : ndarray, shape (dim,)
        The sharpest direction at x.
    problem_length : float
        The diagonal of the loss's box, or 1 + |x| without one.
    """

    x: Array
    centre: Array
    orbit: Array
    loss: float
    perturbed_loss: float
    gradient: float
    perturbed_gradient: float
    ratio: float
    cosine: float
    perturbation: float
    curvatures: tuple[float, float]
    perturbed_curvatures: tuple[float, float]
    edge: float
    length: float
    displacement: float
    mean: Array
    extent: float
    period_2: float
    along_top: float
    centre_gradient: float
    centre_curvatures: tuple[float, float]
    top: Array
    problem_length: float

    @property
    def steepness(self) -> float:
        """|H(x)| times the problem's length: a gradient that is large for it."""
        return max(abs(h) for h in self.curvatures) * self.problem_length


def measure(system: Map, orbit: Array) -> Measured:
    """Evidence at the last point of an orbit (n + 1, dim), all of it finite, with n >= 2."""
    loss = system.landscape
    assert loss is not None
    x = orbit[-1]
    e = system.perturbation(x)
    y = x + e
    centre = (orbit[-3] + 2 * orbit[-2] + orbit[-1]) / 4
    g, gy, gc = loss.gradient(np.stack([x, y, centre]))
    values = loss.value(np.stack([x, y]))
    at_x, at_y, at_centre = (_ends(loss, point) for point in (x, y, centre))
    top = np.real(at_x.eigenvectors[:, int(np.argmax(at_x.eigenvalues))])
    settled = orbit[min(len(orbit) // 2, len(orbit) - 3) :]
    steps, two = np.diff(settled, axis=0), settled[2:] - settled[:-2]
    mean = settled.mean(axis=0)
    length = float(np.linalg.norm(steps, axis=1).sum())
    size, size_y = float(np.linalg.norm(g)), float(np.linalg.norm(gy))
    last = steps[-1]
    with np.errstate(all="ignore"):
        return Measured(
            x=x,
            centre=centre,
            orbit=orbit,
            loss=float(values[0]),
            perturbed_loss=float(values[1]),
            gradient=size,
            perturbed_gradient=size_y,
            ratio=float(np.divide(size_y, size)),
            cosine=float(np.divide(g @ gy, size * size_y)),
            perturbation=float(np.linalg.norm(e)),
            curvatures=_pair(at_x),
            perturbed_curvatures=_pair(at_y),
            edge=edge_at(system, size, float(np.linalg.norm(e))),
            length=length,
            displacement=float(np.linalg.norm(settled[-1] - settled[0])),
            mean=mean,
            extent=float(np.linalg.norm(settled - mean, axis=1).max()),
            period_2=float(1 - np.divide(np.linalg.norm(two, axis=1).sum(), 2 * length)),
            along_top=float(np.divide(last @ top, np.linalg.norm(last)) ** 2),
            centre_gradient=float(np.linalg.norm(gc)),
            centre_curvatures=_pair(at_centre),
            top=top,
            problem_length=float(length_scale(loss.box, x)),
        )


def edge_at(system: Map, gradient: float, perturbation: float) -> float:
    """The curvature at the edge of stability of a map, where |g| and |e| are given.

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.saddle(), sd.SAM(0.05), lr=0.1)
    >>> round(edge_at(step, 0.1 * 0.05 * 9 / 1.7, 0.05), 6)
    3.0
    """
    lr, damped = value_at(system.lr, 0), 1 + system.momentum
    if perturbation == 0:
        return 2 * damped / lr
    if gradient == 0:
        return 0.0
    c = perturbation / gradient
    return float((np.sqrt(1 + 8 * damped * c / lr) - 1) / (2 * c))


def measure_curvatures(system: Map, x: Array, tolerance: float = TOLERANCE) -> tuple[float, float]:
    """The smallest and the largest curvature at a point."""
    assert system.landscape is not None
    return _pair(_ends(system.landscape, x, tolerance))


def _ends(loss: Landscape, x: Array, tolerance: float = TOLERANCE) -> Spectrum:
    """The smallest and the largest curvature."""
    return spectrum(loss, x, 2, "both", tolerance=tolerance)


def _pair(ends: Spectrum) -> tuple[float, float]:
    values: Any = np.real(ends.eigenvalues)
    return float(values.min()), float(values.max())

"""Which side of a saddle SAM looks at: the three-case geometry of Kim et al. along a path.

Let d be a saddle between two minima and w a point in the basin of one of them, both for the gradient flow of
the loss. Three cases:

I.   far from d and from its stable manifold: grad f(w) and grad f(w + e) point the same way; SAM acts like
     GD;
II.  near d, with w + e still in the basin of w: the iterate is carried along the unstable manifold of d;
III. w + e has crossed the stable manifold of d into the other basin: the step points to the other minimum,
     the next one back, and the iterate oscillates about d.

What tells them apart is the cosine of the two gradients and whether w and w + e are in the same basin.

Algorithm
---------
Both points are followed along the gradient flow of the loss (an implicit Rosenbrock method of order 2 with a
step for each path, relative tolerance 1e-6) until Newton's method takes them to a minimum less than `NEAR`
times the box's diagonal (or their spread) away. The label is the number of that minimum, -1 where the path
leaves the box by half its diagonal (a valley that falls for ever is a basin too), and 0 where `MOST_STEPS`
steps do not suffice, as on the stable manifold itself. Case I is told from II by the cosine, at `ALIGNED`.

References
----------
Kim et al. (arXiv 2301.06308), the three cases and the cosine plot [second-hand: read in a summary; the
diagnostic is this library's].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.dynamics.adaptive_steps import follow
from samdyn.dynamics.rosenbrock import Rosenbrock, stacked_form
from samdyn.equilibria.virtual_gradients import ingredients
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.landscapes.landscape import Landscape, hessian_of
from samdyn.numerics.scales import diagonal_of, displacement_tolerance
from samdyn.orbit.stability_edge import perturbation_at
from samdyn.results import Result, Table
from samdyn.systems.system import System

ALIGNED = 0.9  # cosine of 26 degrees between the gradients, from which case I is told; chosen
NEAR = 0.05
MOST_STEPS = 4000  # a path that needs more counts as undecided, as on the stable manifold; chosen
CHECK_EVERY = 5  # steps between attempts of Newton's method; chosen
SAME = 1e-6  # of the box's diagonal: closer minima are one
LARGE = 50  # dimension up to which Hessians cost too little to be worth an estimate
TYPICAL_STEPS = (
    200  # of the gradient flow until it is near a minimum; the estimate is right to a factor of five
)
OPERATIONS = 3e9  # floating-point operations a second of one core, on the slow side
MOST_BYTES = 1 << 32  # 4 GiB: larger jobs are refused


@dataclass(frozen=True, eq=False, repr=False)
class PerturbationGeometry(Result):
    """What the perturbation does along a path.

    Attributes
    ----------
    points, perturbed : ndarray, shape (..., dim)
        w and w + e(w).
    cosine : ndarray, shape (...)
        Between grad f(w) and grad f(w + e): near 1 in case I, changing its sign in case III; nan where a
        gradient vanishes.
    basin, perturbed_basin : ndarray of int, shape (...), or None
        Which minimum the gradient flow of the loss carries w and w + e to: 1, 2, ... in the order of
        `minima`, -1 where it leaves the box, 0 where unknown; None if not asked for.
    minima : ndarray, shape (n, dim)
    system : Map, Flow or Diffusion
    """

    cited = ("kim2023",)
    row = "point"

    points: Array
    perturbed: Array
    cosine: Array
    basin: npt.NDArray[np.int_] | None
    perturbed_basin: npt.NDArray[np.int_] | None
    minima: Array
    system: System

    @property
    def case(self) -> npt.NDArray[np.int_]:
        """1, 2 or 3 for the three cases, 0 where a basin is unknown; by the cosine alone without basins."""
        near = np.where(self.cosine >= ALIGNED, 1, 2)
        if self.basin is None or self.perturbed_basin is None:
            return np.asarray(np.where(self.cosine < 0, 3, near))
        crossed = self.basin != self.perturbed_basin
        unknown = (self.basin == 0) | (self.perturbed_basin == 0)
        return np.asarray(np.where(unknown, 0, np.where(crossed, 3, near)))

    @property
    def first_negative_cosine(self) -> int | None:
        """Index along the path (its first axis) at which the gradients first oppose each other, or None."""
        where = np.flatnonzero((self.cosine < 0).reshape(len(self.cosine), -1).any(axis=1))
        return int(where[0]) if len(where) else None

    def table(self) -> Table:
        """Cosines, and how often each case occurs."""
        cosine, case = self.cosine[np.isfinite(self.cosine)], self.case
        counts = ", ".join(
            f"{name}: {int((case == k).sum())}" for k, name in enumerate(("unknown", "I", "II", "III"))
        )
        rows = [(f"cosine from {cosine.min():.4f} to {cosine.max():.4f}",)] if len(cosine) else []
        rows += [(f"cases {counts}",), (f"first negative cosine at {self.first_negative_cosine}",)]
        return Table(f"PerturbationGeometry of {self.system!r} at {self.cosine.size} points", rows)

    def plot(self, ax: Any = None) -> Any:
        """The cosine along the path, with the cases marked; returns the matplotlib Axes."""
        return self._draw(ax)


@checked
def perturbation_geometry(
    system: System, trajectory: npt.ArrayLike, *, basins: bool = True, progress: bool = False
) -> PerturbationGeometry:
    """The cosine of the gradients at w and at w + e, and the basins that both lie in, along a path.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Made from a loss and a rule with constant coefficients.
    trajectory : array_like, shape (..., dim)
        Points, such as `samdyn.trajectory` returns.
    basins : bool
        Whether to follow the gradient flow of the loss from every point; the cosine costs next to nothing.
    progress : bool
        Show a progress bar over paths of the gradient flow, two for each point.

    Returns
    -------
    PerturbationGeometry

    Raises
    ------
    TypeError, ValueError
        No loss or rule, a coefficient on a schedule, points of the wrong shape.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Notes
    -----
    Cost of the basins: two solutions of the gradient flow for each point, all at once. The algorithm is in
    the module's documentation (`samdyn.orbit.perturbation`).

    References
    ----------
    Kim et al. (arXiv 2301.06308) [second-hand].

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.coupled_double_well(), sd.SAM(0.3), lr=0.01)
    >>> sd.perturbation_geometry(step, [[1.6, 0.1], [0.35, 0.02], [0.2, 0.1]]).case
    array([1, 2, 3])
    """
    loss, rule = ingredients(system)
    if rule.scheduled:
        raise ValueError(f"system must have constant coefficients, got {rule!r}")
    x = checks.points("trajectory", trajectory, loss.dim)
    gradient = loss.gradient(x)
    perturbed = x + perturbation_at(rule, x, gradient)
    there = loss.gradient(perturbed)
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.linalg.norm(gradient, axis=-1) * np.linalg.norm(there, axis=-1)
        cosine = np.asarray((gradient * there).sum(axis=-1) / sizes)
    if not basins:
        return PerturbationGeometry(x, perturbed, cosine, None, None, np.empty((0, loss.dim)), system)
    both = np.concatenate([x.reshape(-1, loss.dim), perturbed.reshape(-1, loss.dim)])
    if loss.dim > LARGE:
        _announce(loss, both)
    with PartsBar(progress, "perturbation_geometry", len(both), "path") as bar:
        labels, minima = descend(loss, both, bar.update)
    half = len(both) // 2
    shape = x.shape[:-1]
    mine, other = labels[:half].reshape(shape), labels[half:].reshape(shape)
    return PerturbationGeometry(x, perturbed, cosine, mine, other, minima, system)


def _announce(loss: Landscape, x: Array) -> None:
    """Say what following the gradient flow costs, from a few products with the Hessian at one point.

    Raises
    ------
    ValueError
        The Hessians of all points together do not fit into memory.
    """
    n, dim = x.shape
    needed = 4 * 8 * n * dim**2
    cheaper = "pass basins=False: the cosine of the gradients costs next to nothing"
    if needed > MOST_BYTES:
        raise ValueError(
            f"trajectory must have fewer points in {dim} dimensions to follow its basins, got {n // 2}: the "
            f"Hessians take {needed / 2**30:.1f} GiB; {cheaper}"
        )
    one = dim * 3 * seconds_of(lambda: loss.gradient(x[:1])) + 3 * dim**3 / OPERATIONS
    announce("perturbation_geometry", n * one * TYPICAL_STEPS, cheaper)


def descend(
    loss: Landscape, x: Array, report: Callable[[int], None] | None = None
) -> tuple[npt.NDArray[np.int_], Array]:
    """The minimum to which the gradient flow of the loss carries each point (n, dim).

    `report` gets numbers of paths that have ended.

    Labels from 1, or 0 where a path has not come near a minimum, or -1 where it leaves the box; and the
    minima (m, dim).
    """
    labels = np.zeros(len(x), dtype=int)
    minima = np.empty((0, loss.dim))
    if len(x) == 0:
        return labels, minima
    field, jacobian = (stacked_form(f(loss), loss.dim) for f in (_descent, _descent_jacobian))
    formula = Rosenbrock(field, jacobian)
    spread = float(np.linalg.norm(np.ptp(x, axis=0)))
    diagonal = spread if loss.box is None else diagonal_of(loss.box)
    current, moving = x.copy(), np.arange(len(x))
    with np.errstate(all="ignore"):
        step = 0.1 / np.linalg.norm(loss.hessian(x), axis=(-1, -2))
        step = np.where(np.isfinite(step), step, 1.0)
        for _ in range(0, MOST_STEPS, CHECK_EVERY):
            z, arrived = _minimum_near(loss, current[moving], NEAR * diagonal)
            for point in z[arrived]:
                if not (np.linalg.norm(minima - point, axis=1) < SAME * diagonal).any():
                    minima = np.concatenate([minima, point[None]])
            if arrived.any():
                distance = np.linalg.norm(z[arrived][:, None] - minima, axis=-1)
                labels[moving[arrived]] = 1 + distance.argmin(axis=1)
            moving = moving[~arrived]
            left = _beyond(loss, current[moving]) > diagonal / 2
            labels[moving[left]] = -1
            moving = moving[~left]
            if report is not None:
                report(int(arrived.sum() + left.sum()))
            if len(moving) == 0:
                break
            y = np.ascontiguousarray(current[moving].T)
            followed = follow(formula, y, np.inf, step[moving], most_tries=CHECK_EVERY)
            current[moving], step[moving] = followed.x.T, followed.length
    order = np.lexsort(minima.T[::-1])
    rank = np.zeros(len(minima) + 1, dtype=int)
    rank[1 + order] = 1 + np.arange(len(minima))
    return np.where(labels > 0, rank[labels], labels), minima[order]


def _descent(loss: Landscape) -> Callable[[Tensor], Tensor]:
    gradient = torch.func.grad(loss.one_point)
    return lambda w: -gradient(w)


def _descent_jacobian(loss: Landscape) -> Callable[[Tensor], Tensor]:
    hessian = hessian_of(loss.one_point)
    return lambda w: -hessian(w)


def _beyond(loss: Landscape, x: Array) -> Array:
    """How far points are outside the box of the loss; without a box, whether they are lost to infinity."""
    if loss.box is None:
        return np.where(np.isfinite(x).all(axis=1), 0.0, np.inf)
    outside = np.maximum(loss.box[:, 0] - x, x - loss.box[:, 1]).max(axis=1)
    return np.where(np.isfinite(outside), outside, np.inf)


def _minimum_near(loss: Landscape, x: Array, near: float) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Newton's method from points inside the convex bowl of a minimum; which points are that close to one."""
    z = x.copy()
    with np.errstate(all="ignore"):
        convex = np.linalg.eigvalsh(np.nan_to_num(loss.hessian(x)))[:, 0] > 0
        for _ in range(20):
            inverse = np.linalg.pinv(np.nan_to_num(loss.hessian(z[convex])), rcond=1e-12)
            z[convex] -= np.einsum("nij,nj->ni", inverse, np.nan_to_num(loss.gradient(z[convex])))
            convex &= np.linalg.norm(z - x, axis=1) <= near
            if not convex.any():
                return z, convex
        hessian = loss.hessian(z)
        size = np.linalg.norm(loss.gradient(z), axis=1)
        steep = np.linalg.norm(hessian, axis=(1, 2))
        convex &= size <= steep * displacement_tolerance(loss.box, z, 1e-8)
        convex &= np.linalg.eigvalsh(np.nan_to_num(hessian))[:, 0] > 0
        # no higher than where it came from: a path in the bowl cannot leave it
        convex &= loss.value(z) <= loss.value(x)
    return z, convex

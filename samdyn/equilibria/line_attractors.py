"""All attractors of a rule in one dimension, with the intervals that they attract.

In one dimension the flow of a rule is a scalar field V = -G, G(x) = f'(x + e(x)), which is smooth between the
critical points of f and may jump there. Its attractors are, completely:

- kinks: critical points z, minima or maxima of f, where G jumps from negative to positive;
- smooth ones: zeros of G where it rises. Those that are no critical points are hallucinated: for SAM x = z -
  rho or z + rho with z a minimum of f and f' of the right sign at x, of slope f''(z).

The points where G falls through zero repel; they and the ends of the box bound the basins.

Algorithm
---------
1. Critical points of f: sign changes of f' on `resolution` nodes (finer where it nearly touches zero), by
   bisection to rounding.
2. Zeros of G on every piece between jumps, by the same search, with the exact one-sided limits of G at its
   ends.
3. Both in order along the line alternate between attractors and repellers; a basin reaches from one repeller
   to the next. What the field carries out of the box belongs to no attractor.

Zeros of f' or G closer to each other than a sixty-fourth of the box over `resolution` may be missed.

References
----------
Si & Yun (2023), arXiv 2306.09850, section 2 [from memory; the list is derived, and checked by simulation in
the tests]. Park et al. (2025), arXiv 2509.21818, for hallucinated minimisers.
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
from samdyn.equilibria.roots_1d import critical_points_1d, nodes, sign_changes
from samdyn.equilibria.virtual_gradients import ingredients, virtual_loss
from samdyn.jobs.progress import PacedBar
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.scales import ROUNDING
from samdyn.results import Result, Table
from samdyn.rules.rule import Rule
from samdyn.systems.flow import Flow
from samdyn.systems.jump import descent_beside
from samdyn.systems.map import Map
from samdyn.systems.system import System

SHARES = (1.0, 2.0, 1.0)  # of the time: critical points of f, zeros of G, kinds and barriers
SAME = 1e-9  # of the box: a zero of G as close as this to a critical point is that point


@dataclass(frozen=True, eq=False, repr=False)
class Attractors1D(Result):
    """The attractors of a rule on a line, in order.

    Attributes
    ----------
    x : ndarray, shape (n,)
        Positions.
    kinds : tuple of str
        "minimum", "maximum" or "degenerate" (critical points of the loss), or "hallucinated".
    basins : ndarray, shape (n, 2)
        Ends of the interval that the flow carries to each, within the box.
    slopes : ndarray, shape (n, 2)
        G just left and right of it: both 0 at a smooth attractor, negative and positive at a kink.
    curvature : ndarray, shape (n,)
        Derivative of G: the flow's rate is minus it. nan at a kink.
    heights : ndarray, shape (n,)
        The virtual loss J at each.
    barriers : ndarray, shape (n, 2)
        How far J rises from it to the left and right end of its basin.
    largest_lr : ndarray, shape (n,)
        Learning rate up to which the map stays. Smooth: 2 / curvature, exactly, for nearby starts. Kinks: a
        step across the kink must land in the basin, and both sides must contract or carry it back; exact
        where G is monotone within a step of the kink.
    repellers : ndarray, shape (m,)
        Where the field points away on both sides.
    box : ndarray, shape (1, 2)
    system : System
    """

    cited = ("siyun2023",)
    row = "attractor"

    x: Array
    kinds: tuple[str, ...]
    basins: Array
    slopes: Array
    curvature: Array
    heights: Array
    barriers: Array
    largest_lr: Array
    repellers: Array
    box: Array
    system: System

    def __len__(self) -> int:
        return len(self.x)

    @property
    def fractions(self) -> Array:
        """Share of the box that the flow carries to each attractor; the rest leaves the box."""
        return np.asarray(np.diff(self.basins, axis=1)[:, 0] / (self.box[0, 1] - self.box[0, 0]))

    @checked
    def select(self, kind: str) -> Array:
        """Positions of the attractors of one kind."""
        return self.x[[k == kind for k in self.kinds]]

    def table(self) -> Table:
        """Each attractor with its basin, share and largest learning rate."""
        kink = np.isnan(self.curvature)
        rows = [
            (
                f"{self.x[i]:.9g}",
                self.kinds[i],
                "kink" if kink[i] else "smooth",
                f"({self.basins[i, 0]:.6g}, {self.basins[i, 1]:.6g})",
                f"{share:.4f}",
                f"{self.largest_lr[i]:.4g}",
            )
            for i, share in enumerate(self.fractions)
        ]
        head = ("x", "kind", "", "basin", "share", "largest lr")
        return Table(f"Attractors1D of {self.system!r}", rows, head)

    def plot(self, ax: Any = None) -> Any:
        """The loss, the loss at the perturbed point and the virtual loss with these attractors."""
        return self._draw(ax)


@checked
def attractors_1d(
    system: System,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    *,
    resolution: int = 4096,
    progress: bool = False,
) -> Attractors1D:
    """Every attractor of a rule in one dimension, with its basin.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Of dimension 1, made from a loss and a rule with constant coefficients. The attractors belong to
        the flow, the limit of a small lr; `largest_lr` in the result says up to where the map shares them.
    box : sequence of one (lower, upper), optional
        Where to look; the system's own box by default.
    resolution : int
        Nodes on which sign changes are looked for.
    progress : bool
        Show a progress bar over the parts of the work: critical points, zeros of G, and what is said of each.

    Returns
    -------
    Attractors1D

    Raises
    ------
    TypeError, ValueError
        More than one dimension, no loss, no box, a coefficient on a schedule.

    Warns
    -----
    CostWarning
        The work will take more than ten seconds, by the time of the critical points.

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.equilibria.line_attractors`).

    References
    ----------
    Si & Yun (2023), arXiv 2306.09850, section 2 [from memory].

    Examples
    --------
    >>> import samdyn as sd
    >>> found = sd.attractors_1d(sd.Flow(sd.landscapes.two_gaussian_well(), sd.SAM(1.0)))
    >>> found.x.round(4), found.kinds
    (array([-0.9949,  1.9229]), ('hallucinated', 'minimum'))
    """
    loss, rule = ingredients(system)
    if loss.dim != 1:
        raise ValueError(f"system must be one-dimensional, got {system!r} of dimension {loss.dim}")
    if box is None and system.box is None:
        raise ValueError(f"box must be given: {system.name} has none of its own")
    region = checks.box("box", system.box if box is None else box, 1)
    resolution = checks.integer("resolution", resolution, at_least=16)
    if rule.scheduled:
        raise ValueError(f"system must have constant coefficients to have attractors, got {rule!r}")
    low, high = region[0]
    flow = Flow(loss, rule)
    cheaper = "pass a smaller resolution"
    with PacedBar(progress, "attractors_1d", sum(SHARES), cheaper, after=0.1) as bar:
        critical = critical_points_1d(loss, low, high, resolution)
        bar.update(SHARES[0], note="critical points")
        points, sides = _zeros(loss, rule, flow, critical, low, high, resolution)
        bar.update(SHARES[1], note="zeros")
        rises = (sides[:, 0] < 0) & (sides[:, 1] > 0)
        falls = (sides[:, 0] > 0) & (sides[:, 1] < 0)
        repellers = points[falls]
        x, slopes = points[rises], sides[rises]
        index = np.searchsorted(repellers, x)
        edges = np.concatenate([[low], repellers, [high]])
        basins = np.stack([edges[index], edges[index + 1]], axis=1)
        nearest = np.abs(x[:, None] - critical).min(axis=1) if len(critical) else np.full(len(x), np.inf)
        of_loss = nearest <= SAME * (high - low)
        kinds = tuple(
            _kind(float(h)) if known else "hallucinated"
            for h, known in zip(loss.hessian(x[:, None])[:, 0, 0], of_loss, strict=True)
        )
        kink = of_loss & rule.jumps & (np.abs(slopes) > 0).all(axis=1)
        curvature = np.full(len(x), np.nan)
        curvature[~kink] = -flow.jacobian(x[~kink, None])[:, 0, 0]
        slopes = np.where(kink[:, None], slopes, 0.0)
        J = virtual_loss(flow, [(low + high) / 2])
        heights = J.value(x[:, None])
        barriers = J.value(basins[..., None]) - heights[:, None]
        lr = _largest_lr(flow, x, slopes, curvature, basins, region)
        bar.update(SHARES[2])
    return Attractors1D(x, kinds, basins, slopes, curvature, heights, barriers, lr, repellers, region, system)


def _kind(curvature: float) -> str:
    if curvature == 0:
        return "degenerate"
    return "minimum" if curvature > 0 else "maximum"


def _zeros(
    loss: Landscape, rule: Rule, flow: Flow, critical: Array, low: float, high: float, resolution: int
) -> tuple[Array, Array]:
    """Zeros and jumps of G in order (n,), and its values or signs just left and right of each (n, 2)."""
    tiny = SAME * (high - low)

    def G(x: Array) -> Array:
        return -flow(x[:, None])[:, 0]

    if rule.jumps and len(critical):
        inside = critical[(critical > low) & (critical < high)]
        beside = np.stack([inside - tiny, inside + tiny], axis=1)
        direction = np.sign(loss.gradient(beside[..., None])[..., 0])
        limits = np.array(
            [
                descent_beside(loss, rule, np.array([z]), u[:, None])[:, 0]
                for z, u in zip(inside, direction, strict=True)
            ]
        ).reshape(-1, 2)
    else:
        inside, limits = np.empty(0), np.empty((0, 2))
    zeros = sign_changes_between(G, nodes(low, high, resolution), inside, tiny)
    # a zero may lie closer to a jump than `tiny`; then the limits at the jump already tell
    zeros = zeros[np.abs(zeros[:, None] - inside).min(axis=1, initial=np.inf) > tiny]
    signs = np.sign(np.stack([G(zeros - tiny), G(zeros + tiny)], axis=1)) if len(zeros) else np.empty((0, 2))
    points, sides = np.concatenate([inside, zeros]), np.concatenate([limits, signs])
    order = np.argsort(points)
    return points[order], sides[order]


def sign_changes_between(G: Any, grid: Array, jumps: Array, tiny: float) -> Array:
    """Zeros of a function that is continuous between given jumps."""
    edges = np.concatenate([[grid[0] - tiny], jumps, [grid[-1] + tiny]])
    ends = [(a, b) for a, b in zip(edges[:-1] + tiny, edges[1:] - tiny, strict=True) if b > a]
    pieces = [np.unique(np.concatenate([[a], grid[(grid > a) & (grid < b)], [b]])) for a, b in ends]
    return sign_changes(G, *pieces)


def _largest_lr(flow: Flow, x: Array, slopes: Array, curvature: Array, basins: Array, region: Array) -> Array:
    # beside a kink, farther from it than the rounding by which a point counts as lying on it
    tiny = max(SAME * float(region[0, 1] - region[0, 0]), 10 * ROUNDING * float(np.abs(region).max()))
    with np.errstate(divide="ignore"):
        smooth = np.where(curvature > 0, 2 / curvature, np.inf)
        # from the left a step reaches |G| lr to the right of the kink, and the other way round
        room = np.stack([basins[:, 1] - x, x - basins[:, 0]], axis=1)
        room[basins[:, ::-1] == region[0, ::-1]] = np.inf  # the box ends there, not the basin
        landing = (room / np.abs(slopes)).min(axis=1)
        beside = -flow.jacobian(np.stack([x - tiny, x + tiny], axis=1)[..., None])[..., 0, 0]
        steepest = beside.max(axis=1)
        overshoot = np.where(steepest > 0, 2 / steepest, np.inf)
    return np.where(np.isnan(curvature), np.minimum(landing, overshoot), smooth)


def survives(found: Attractors1D) -> npt.NDArray[np.bool_]:
    """Which attractors the map keeps at its own learning rate (all of them, for a flow).

    Examples
    --------
    >>> import samdyn as sd
    >>> well = sd.landscapes.double_well()
    >>> [survives(sd.attractors_1d(sd.Map(well, sd.SAM(0.7), lr=lr))).tolist() for lr in (0.09, 0.1)]
    [[True, True, True], [False, True, False]]
    """
    system = found.system
    if not isinstance(system, Map):
        return np.ones(len(found), dtype=bool)
    return np.asarray(system.coefficients()["lr"] < found.largest_lr)

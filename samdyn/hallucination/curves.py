"""All branches of hallucinated points of normalised SAM, with the radius as the coordinate along them.

A hallucinated point x with endpoint y solves grad f(x) + nu (x - y) = 0 with nu > 0, at the radius rho =
|x - y| (`samdyn.hallucination.proximal_curves`).

Algorithm
---------
1. Critical points of the loss in the box: isolated ones, and sets (rings, valleys).
2. Near a nondegenerate critical point c and any other one, y, there is exactly one branch:
   ``x = c - nu H^-1 (c - y) + O(nu^2)`` and ``rho = rho_0 - nu q/rho_0 + O(nu^2)``, rho_0 = |c - y|, ``q = (c
   - y) . H^-1 (c - y)``. It lives above rho_0 if q < 0 (always at a maximum) and below if q > 0 (always at a
   minimum). One curve is started for each ordered pair.
3. Near y itself, for every negative eigenpair (-a, v) of its Hessian, two more: x = y +- rho v, nu = a, at
   arbitrarily small rho.
4. Endpoints on a set: one family of curves for each of at most `N_ENDPOINTS` well-spread points of it.
   Starts on a set: its points at which the distance to y is stationary; there nu > 0 is small but not zero,
   and the limit is extrapolated.
5. All curves are followed at once. Each is met from both of its ends; one copy is kept.
6. Branches that touch neither a critical point nor their endpoint in the box are not met by steps 2-4: closed
   loops, curves that enter through an edge of the box, and all whose endpoint lies outside it. `radii` seeds
   further ones with the points that `fixed_points` finds at those radii.

Folds in rho, and changes of stability, are located by bisection along the curve to 1e-10 in rho.

References
----------
Own derivation, checked in the tests. That a maximum and a minimum give an interval of radii: Park, Jang, Ryu
& Yang (2025), arXiv 2509.21818.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.search import FixedPoint, FixedPoints, fixed_points
from samdyn.equilibria.stability.critical_kinds import kind_of
from samdyn.equilibria.stability.linearization import stability_of
from samdyn.equilibria.stability.wording import listed
from samdyn.hallucination.curve_stability import bound_along, eigenvalues_along, n_stable, refined
from samdyn.hallucination.intervals import HallucinationInterval, HallucinationIntervals
from samdyn.hallucination.proximal_curves import Curve, Derivatives, Family, at_radius, derivatives_of, follow
from samdyn.hallucination.seeds import N_ENDPOINTS, Starts, nullity, smallest_curvature, spread
from samdyn.jobs.cost import announce, part_of
from samdyn.jobs.progress import PacedBar, PartsBar
from samdyn.landscapes.landscape import Landscape
from samdyn.results import Absent, Result, Rows, Table
from samdyn.rules.family import GD, SAM
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

SAME = 1e-7  # relative difference of radii above which two cuts of a branch are different
MOST_STEPS = 3000  # ends a branch that never closes; chosen
TYPICAL_STEPS = 100
SMALLER = "pass a smaller box, or a loss of fewer coordinates"
"""Steps of all curves until most have ended: 60 to 500 over seven losses."""


@dataclass(frozen=True, eq=False, repr=False)
class HallucinatedBranch(Result):
    """A curve of hallucinated points with one endpoint.

    Attributes
    ----------
    endpoint : ndarray, shape (dim,)
        The critical point y = x + rho g/|g|.
    endpoint_kind : str
        "minimum", "saddle", "maximum" or "degenerate".
    x : ndarray, shape (n, dim)
        Points along the curve.
    nu : ndarray, shape (n,)
        Gradient norm over rho; 0 at ends that are critical points of the loss.
    rho : ndarray, shape (n,)
    gradient_norm : ndarray, shape (n,)
        Of the loss at x.
    eigenvalues : ndarray, shape (n, dim)
        Of H(y) B(x); the flow attracts where their real parts are positive. nan where the gradient is zero.
    lr_max : ndarray, shape (n,)
        The map attracts below it; 0 where the flow does not.
    start, end : str
        What x reaches: "minimum", "saddle", "maximum", "degenerate" (of the loss), "endpoint" (at rho = 0),
        "box", "loop" or "steps".
    tangent_dimension : int
        Dimension of the set of critical points on which the endpoint lies; 0 if it is isolated.
    """

    cited = ("park2025",)
    row = "point"
    axes = ("endpoint: coordinate", "x: point coordinate", "eigenvalues: point eigenvalue")

    endpoint: Array
    endpoint_kind: str
    x: Array
    nu: Array
    rho: Array
    gradient_norm: Array
    eigenvalues: npt.NDArray[Any]
    lr_max: Array
    start: str
    end: str
    tangent_dimension: int = 0

    @property
    def folds(self) -> Array:
        """Radii at which the branch turns back."""
        rise = np.diff(self.rho)
        return self.rho[1:-1][rise[:-1] * rise[1:] < 0]

    def table(self) -> Table:
        """Its endpoint, its ends and its radii."""
        stable = 100 * float((self.lr_max > 0).mean())
        return Table(
            f"HallucinatedBranch(endpoint {listed(self.endpoint)} {self.endpoint_kind}, "
            f"from {self.start} to {self.end}, rho from {self.rho.min():.6g} to {self.rho.max():.6g}, "
            f"{len(self.folds)} folds, {stable:.3g} % attracting)"
        )


@dataclass(frozen=True, eq=False, repr=False)
class HallucinatedBranches(Result, Sequence[HallucinatedBranch]):
    """The branches of hallucinated points of a loss in a box, as a sequence of `HallucinatedBranch`.

    Attributes
    ----------
    branches : tuple of HallucinatedBranch
    loss : Landscape
    box : ndarray, shape (dim, 2)
    critical_points : FixedPoints
        From which they were started.
    """

    cited = ("park2025",)
    row = "branch"

    branches: tuple[HallucinatedBranch, ...]
    loss: Landscape
    box: Array
    critical_points: FixedPoints
    _derivatives: Derivatives = field(repr=False, compare=False)

    @overload
    def __getitem__(self, index: int) -> HallucinatedBranch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[HallucinatedBranch]: ...
    def __getitem__(self, index: int | slice) -> HallucinatedBranch | Sequence[HallucinatedBranch]:
        return self.branches[index]

    def __len__(self) -> int:
        return len(self.branches)

    def __iter__(self) -> Iterator[HallucinatedBranch]:
        return iter(self.branches)

    @checked
    def at(self, rho: float, lr: float | None = None) -> FixedPoints:
        """The hallucinated points at one radius, refined by Newton, as fixed points of the flow, or of the
        map if `lr` is given.
        """
        rho = checks.number("rho", rho, above=0)
        system: System = Flow(self.loss, SAM(rho)) if lr is None else Map(self.loss, SAM(rho), lr=lr)
        x, nu, y, of = _brackets(self.branches, rho, self.loss.dim)
        x, nu, good = at_radius(self._derivatives, x, nu, y, rho)
        diagonal = float(np.linalg.norm(np.ptp(self.box, axis=1)))
        points: list[FixedPoint] = []
        for i in np.flatnonzero(good & (nu > 0)):
            if any(np.linalg.norm(p.x - x[i]) < 1e-8 * diagonal for p in points):
                continue
            values = eigenvalues_along(self._derivatives, x[i, None], y[i])[0]
            across = values[np.argsort(np.abs(values))[self.branches[of[i]].tangent_dimension :]]
            rates = -values if lr is None else 1 - lr * values
            order = np.argsort(-(rates.real if lr is None else np.abs(rates)), kind="stable")
            stability = stability_of(-across if lr is None else 1 - lr * across, lr is not None)
            residual = float(np.linalg.norm(self.loss.gradient(y[i]))) * (1.0 if lr is None else lr)
            points.append(FixedPoint(x[i], "hallucinated", stability, rates[order], residual))
        return FixedPoints(tuple(points), system, self.box)

    def intervals(self) -> HallucinationIntervals:
        """The branches as intervals of radii, cut where rho turns back and where the stability changes."""
        found = [interval for branch in self.branches for interval in _pieces(branch)]
        found.sort(key=lambda i: (i.lower, i.upper, *i.endpoint))
        return HallucinationIntervals(tuple(found), self.loss, self.box, False)

    def table(self) -> Table:
        """The branches, each as it says of itself."""
        rows = Rows(len(self), lambda i: (repr(self.branches[i]),))
        return Table(f"HallucinatedBranches of {self.loss.name}: {len(self)}", rows)

    def plot(self, coordinate: int = 0, ax: Any = None) -> Any:
        """The branches over rho; returns the matplotlib Axes."""
        return self._draw(coordinate, ax)

    @classmethod
    def _rebuilt(cls, values: dict[str, Any]) -> dict[str, Any]:
        loss = values["loss"]
        return values if isinstance(loss, Absent) else {**values, "_derivatives": derivatives_of(loss)}


@checked
def hallucinated_branches(
    loss: Landscape,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    *,
    radii: Sequence[float] = (),
    n_steps: int = MOST_STEPS,
    progress: bool = False,
) -> HallucinatedBranches:
    """Branches of fixed points of normalised SAM that are not critical points of the loss.

    Parameters
    ----------
    loss : Landscape
    box : sequence of (lower, upper), optional
        Where to look for critical points and to follow branches; the loss's own box by default. Endpoints
        and hallucinated points lie in it.
    radii : sequence of float
        Radii at which points found by `fixed_points` seed branches that no critical point leads to.
    n_steps : int
        Most steps along each branch.
    progress : bool
        Show a progress bar over curves that have been followed to their ends, and one over branches whose
        folds and changes of stability have been located.

    Returns
    -------
    HallucinatedBranches

    Raises
    ------
    TypeError, ValueError
        Not a Landscape, no box, or a radius that is not positive.

    Warns
    -----
    CostWarning
        Following the curves, by one step of all (right to a factor of five), or locating their folds, by the
        first of them, will take more than ten seconds.

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.hallucination.curves`). The list is not
    all hallucinated points of the box: those that come from outside it, by their branch or by their endpoint,
    are missing unless `radii` names a radius at which they exist. Cost: a few hundred
    batches of gradients and Hessians at one point a branch.

    References
    ----------
    Park, Jang, Ryu & Yang (2025), arXiv 2509.21818.

    Examples
    --------
    >>> import samdyn as sd
    >>> branches = sd.hallucinated_branches(sd.landscapes.tilted_hat(tilt=0.1))
    >>> [(round(float(p.x[0]), 6), p.stability) for p in branches.at(1.5) if p.stability == "attracting"]
    [(0.554351, 'attracting')]
    """
    if not isinstance(loss, Landscape):
        raise TypeError(f"loss must be a samdyn Landscape, got {loss!r}")
    if box is None and loss.box is None:
        raise ValueError(f"box must be given: {loss.name} has none of its own")
    region = checks.box("box", loss.box if box is None else box, loss.dim)
    seeds = [checks.number("radii", rho, above=0) for rho in radii]
    n_steps = checks.integer("n_steps", n_steps, at_least=1)
    return followed_branches(loss, region, seeds, n_steps, "hallucinated_branches", progress)


def followed_branches(
    loss: Landscape,
    region: Array,
    radii: Sequence[float],
    n_steps: int,
    verb: str,
    progress: bool,
) -> HallucinatedBranches:
    """The branches in a box; `verb` is the public name under which the cost is said."""
    with part_of(verb, SMALLER):
        critical = fixed_points(Flow(loss, GD()), region)
    derivatives = derivatives_of(loss)
    starts = Starts(derivatives, critical, region)
    for c in critical:
        starts.around(c)
    said = False
    with PartsBar(progress, f"{verb}: curves", len(starts.rows), "curve") as bar:

        def report(seconds: float, ended: int) -> None:
            nonlocal said
            if not said:
                said = True
                announce(verb, seconds * TYPICAL_STEPS, SMALLER)
            bar.update(ended)

        curves = starts.follow(region, n_steps, report)
    branches = []
    with PacedBar(progress, f"{verb}: folds", len(curves), SMALLER, unit="branch", after=0.5) as paced:
        for of_curve in curves:
            branches.append(_branch(derivatives, *of_curve))
            paced.update()
    result = HallucinatedBranches(tuple(branches), loss, region, critical, derivatives)
    for rho in radii:
        result = _seeded(result, rho, n_steps)
    return result


def _branch(
    derivatives: Derivatives, curve: Curve, y: Array, kind: str, tangent: int, start: str, end: str
) -> HallucinatedBranch:
    """A curve with its eigenvalues, and with points added at folds and at changes of stability."""

    def describe(x: Array, nu: Array) -> tuple[Array, npt.NDArray[Any], Array]:
        eigenvalues = eigenvalues_along(derivatives, x, y)
        eigenvalues[nu <= 0] = np.nan
        bound = bound_along(eigenvalues, tangent)
        return np.linalg.norm(x - y, axis=1), eigenvalues, bound

    family = Family(derivatives, y[None], 1.0, np.array([max(float(np.abs(curve.nu).max()), 1e-300)]))
    z = family.scaled(curve.x, np.asarray(curve.nu))
    inner = z[1:-1]
    if len(inner) > 1:
        z = np.concatenate([z[:1], refined(family, derivatives, y, inner, tangent), z[-1:]])
    x, nu = family.point(z, np.zeros(len(z), dtype=int))
    rho, eigenvalues, bound = describe(x, nu)
    size = np.linalg.norm(derivatives(x)[0], axis=1)
    return HallucinatedBranch(y, kind, x, nu, rho, size, eigenvalues, bound, start, end, tangent)


def _brackets(
    branches: Sequence[HallucinatedBranch], rho: float, dim: int
) -> tuple[Array, Array, Array, npt.NDArray[np.int_]]:
    """Points beside which branches cross a radius: x, nu, y, and the branch."""
    x, nu, y, of = [], [], [], []
    for i, branch in enumerate(branches):
        gap = branch.rho - rho
        for k in np.flatnonzero(gap[:-1] * gap[1:] <= 0):
            share = gap[k] / (gap[k] - gap[k + 1]) if gap[k] != gap[k + 1] else 0.5
            x.append(branch.x[k] + share * (branch.x[k + 1] - branch.x[k]))
            nu.append(branch.nu[k] + share * (branch.nu[k + 1] - branch.nu[k]))
            y.append(branch.endpoint)
            of.append(i)
    shape = (-1, dim)
    return (
        np.array(x).reshape(shape),
        np.array(nu, dtype=np.float64),
        np.array(y).reshape(shape),
        np.array(of, dtype=int),
    )


def _pieces(branch: HallucinatedBranch) -> list[HallucinationInterval]:
    """A branch cut at its folds and at changes of stability."""
    names = _stabilities(branch)
    n = len(branch.rho)
    rise = np.diff(branch.rho)
    small = np.abs(rise) <= 1e-10 * (1 + branch.rho[1:])  # rounding is no fold
    large = np.flatnonzero(~small)
    rise = np.sign(rise[large[np.abs(np.arange(n - 1)[:, None] - large).argmin(axis=1)]])
    cuts = {0: branch.start, n - 1: branch.end}
    for i in range(1, n - 1):
        if rise[i] != rise[i - 1]:
            cuts[i] = "fold"
        elif names[i] != names[i - 1]:
            cuts[i] = "stability"
    # where the branch turns back its stability changes too: of cuts at one radius a fold, or an end, stays
    order = sorted(cuts)
    kept = [0]
    for i in order[1:]:
        j = kept[-1]
        if abs(branch.rho[i] - branch.rho[j]) > SAME * (1 + branch.rho[i]):
            kept.append(i)
        elif cuts[j] == "stability" or i == n - 1:
            kept[-1] = i
    result = []
    for a, b in pairwise(kept):
        ends = [cuts[a], cuts[b]]
        places = [branch.x[a], branch.x[b]]
        inside = branch.lr_max[a : b + 1]
        middle = names[(a + b) // 2 if b - a > 1 else b]
        if branch.rho[b] < branch.rho[a]:
            ends, places = ends[::-1], places[::-1]
        result.append(
            HallucinationInterval(
                float(min(branch.rho[a], branch.rho[b])),
                float(max(branch.rho[a], branch.rho[b])),
                branch.endpoint,
                branch.endpoint_kind,
                middle,
                float(inside.max()) if middle == "attracting" else 0.0,
                ends[0],
                ends[1],
                places[0],
                places[1],
            )
        )
    return result


def _stabilities(branch: HallucinatedBranch) -> list[str]:
    """The stability of each point under the flow; where eigenvalues are missing, the nearest point's."""
    known = np.flatnonzero(~np.isnan(branch.eigenvalues).any(axis=1))
    if len(known) == 0:
        return ["marginal"] * len(branch.rho)
    stable = n_stable(branch.eigenvalues, branch.tangent_dimension)
    n = branch.x.shape[1] - branch.tangent_dimension
    names = ["attracting" if k == n else "saddle" if k else "repelling" for k in stable]
    nearest = known[np.abs(np.arange(len(names))[:, None] - known).argmin(axis=1)]
    return [names[i] for i in nearest]


@part_of("hallucinated_branches", "pass fewer radii or a smaller box")
def _seeded(result: HallucinatedBranches, rho: float, n_steps: int) -> HallucinatedBranches:
    """The branches with those added that pass through hallucinated points at `rho` not met so far."""
    derivatives, loss = result._derivatives, result.loss
    length = float(np.linalg.norm(np.ptp(result.box, axis=1)))
    known = result.at(rho).x
    branches = list(result.branches)
    for point in fixed_points(Flow(loss, SAM(rho)), result.box).select(kind="hallucinated"):
        for x in spread(point.points, N_ENDPOINTS) if point.dimension else point.x[None]:
            if len(known) and np.linalg.norm(known - x, axis=1).min() < 1e-6 * length:
                continue
            gradient = loss.gradient(x)
            size = float(np.linalg.norm(gradient))
            y = x + rho * gradient / size
            hessian = loss.hessian(y)
            family = Family(derivatives, y[None], length, np.array([smallest_curvature(hessian)]))
            z = family.scaled(x[None], np.array([size / rho]))
            along, _ = family.tangent(z, np.ones_like(z), np.zeros(1, dtype=int))
            halves = [
                follow(family, x[None], np.array([size / rho]), sign * along, result.box, n_steps=n_steps)[0]
                for sign in (-1.0, 1.0)
            ]
            if halves[0].end == "loop":
                whole, ends = halves[0], ("loop", "loop")
            else:
                whole = Curve(
                    np.vstack([halves[0].x[:0:-1], halves[1].x]),
                    np.concatenate([halves[0].nu[:0:-1], halves[1].nu]),
                    halves[1].end,
                )
                ends = (halves[0].end, halves[1].end)
            names = [
                kind_of(derivatives(whole.x[[0, -1]])[1][i]) if end == "critical point" else end
                for i, end in enumerate(ends)
            ]
            tangent = nullity(hessian) if point.dimension else 0
            branches.append(_branch(derivatives, whole, y, kind_of(hessian), tangent, names[0], names[1]))
            added = HallucinatedBranches(
                tuple(branches), loss, result.box, result.critical_points, derivatives
            )
            known = added.at(rho).x
    return HallucinatedBranches(tuple(branches), loss, result.box, result.critical_points, derivatives)

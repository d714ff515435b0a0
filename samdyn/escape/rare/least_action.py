r"""The most likely path against a drift, and what it costs: the geometric minimum action method.

For dX = b dt + a(X)^(1/2) dW the exponent of a transition from x to y is the least action over all paths,
whatever time they take (Freidlin and Wentzell); in the geometric form of Heymann and Vanden-Eijnden (Comm.
Pure Appl. Math. 61 (2008) 1052) it is a length of the curve alone:

.. math:: S = \int |p'|\, |b| - \langle p', b \rangle, \qquad
          \langle u, v \rangle = u^T a(p)^{-1} v, \quad |u|^2 = \langle u, u \rangle

The rate of the transition is of the order exp(-S). For b = -grad U and a = s^2 I it is 2 (U(saddle) - U(x))
/ s^2.

Algorithm
---------
1. The search begins from several paths (`samdyn.escape.rare.action_starts`): straight, bowed, along the
   drift, through points at rest, and over grids. Each is a coarse polygon, of about a dozen corners or as
   many more as the cheapest of them needs, the integrand taken at the middle of its sides
   (`samdyn.escape.rare.action_polygon`); its inner corners are moved by L-BFGS (scipy), and spaced equally
   again between rounds.
2. The `KEPT` best, and the start that was cheapest before it was moved, go through a polygon of twice as many
   corners, and the best of those through finer and finer ones. On each, rounds end when one lowers the action
   by less than `tolerance` of it (or of a tenth of integral |p'| |b|, which is the scale where the action is
   0: along the drift), or after `max_rounds`. If in the end a start that was not moved costs less, the
   finest polygon is moved from there.
3. On the second polygon the second variation is taken. Where it has an eigenvalue below zero, the path
   is a saddle of the action: it is bent both ways along the eigenvector and moved again, up to `MOST_BENDS`
   times.

`converged` says that the last round changed too little and that no bend lowers the action: the path is a
local minimum of the action. It is the least of those to which the starts led, and `n_agreeing` of `n_starts`
led to it; nothing says that a path beside which no start was does not cost less. The action that is printed
is above that minimum by the error of the polygon, of second order in its sides, and by what the descent
leaves. Both are larger on the polygon of half as many corners, and `UNRESOLVED` times the difference between
the two bounds what is left wherever halving the sides leaves 3/5 of it at most. Corners left out of one and
the same path would show the first part alone, and less of it where a path winds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.stability.wording import listed
from samdyn.escape.rare.action_field import ActionField
from samdyn.escape.rare.action_polygon import actions, path_length, respaced, softest_bend, unevenness
from samdyn.escape.rare.action_starts import first_paths
from samdyn.escape.rare.valley_floor import steep_place
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.results import Result, Table
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow

ITERATIONS = 60  # of L-BFGS in a round
FIRST_ROUNDS, USUAL_ROUNDS = 3, 5  # of the coarsest polygons; of the others, for the estimate of cost
KEPT = 3  # paths that go on from the coarsest polygon
COARSE = 1e-3  # the tolerance of polygons that only lead to finer ones
UNRESOLVED = 1.5  # (a polygon alone would leave 1/4; a path that spirals out of a focus left .53)
MOST_BENDS = 4
BEND = 0.05  # of the path's length, by which a saddle of the action is bent
SOFT = -1e-7  # least over largest eigenvalue, below which the second variation has a negative one
CLOSE = 0.05  # of the path's length: starts that were moved nearer than that led to it
COARSENESS = 0.25  # of the action, or of a tenth of the size: what a coarse polygon may get wrong
EVEN = 1.0  # weight of unequal sides, in units of integral |p'| |b|
ALONG = 0.1  # of integral |p'| |b|: what an action is compared with where it is 0


@dataclass(frozen=True, eq=False, repr=False)
class ActionPath(Result):
    """A path of least action.

    Attributes
    ----------
    x : ndarray, shape (n, dim)
        Corners, from x to y.
    action : float
        The exponent: the rate is of the order exp(-action).
    error : float
        1.5 times the difference from the least action of a polygon with half as many corners: a bound on
        what is left of the error of the polygon and of the descent, wherever twice the corners leave 3/5 of
        it at most.
    converged : bool
        Whether the path is a local minimum of the action: the last round lowered the action by less than the
        tolerance, and no bend of the path lowers it. It is the least of the minima to which the starts led,
        and a lower one may exist.
    n_starts : int
        Paths from which the search began.
    n_agreeing : int
        Those of them that led to this path: within 5 % of its length after the descent on the coarsest
        polygon.
    steep_near : ndarray, shape (dim,), or None
        A point on the path, or on one of those from which the search began, around which the drift turns
        within a layer thinner than the sides, as that of a normalised rule does on the floor of a narrow
        valley (`samdyn.escape.rare.valley_floor`). Polygons may miss the layer: a cheaper path may exist,
        and more corners tell. None where the drift was smooth at the scale of the sides.
    """

    row = "corner"
    axes = ("x: corner coordinate",)

    x: Array
    action: float
    error: float
    converged: bool
    n_starts: int
    n_agreeing: int
    steep_near: Array | None = None

    def table(self) -> Table:
        """The action and its error, and what kind of minimum it is."""
        state = "local minimum" if self.converged else "not converged"
        starts = f"the least from {self.n_starts} starts, {self.n_agreeing} of which led to it"
        if self.n_starts == 1:
            starts = "from one start"
        if self.steep_near is not None:
            near = listed(self.steep_near)
            starts += f"; the drift is nearly discontinuous near {near}: a cheaper path may exist"
        return Table(
            f"ActionPath of {len(self.x)} points: action {self.action:.6g} +- {self.error:.1g} "
            f"({state}, {starts})"
        )


@checked
def minimum_action(
    system: Diffusion | Flow,
    x: checks.PointLike,
    y: checks.PointLike,
    *,
    n_points: int = 101,
    initial: npt.ArrayLike | None = None,
    tolerance: float = 1e-5,
    max_rounds: int = 40,
    progress: bool = False,
) -> ActionPath:
    """Path of least action between two points.

    Parameters
    ----------
    system : Diffusion or Flow
        For a Flow the noise is taken as the identity, dX = b dt + dW.
    x, y : array_like, shape (dim,)
        Usually an attractor and a saddle: beyond a saddle the rest of the way costs nothing.
    n_points : int
        Corners of the polygon, the ends included, >= 5.
    initial : array_like, shape (n, dim), optional
        The one path to start from; by default several (`samdyn.escape.rare.action_starts`).
    tolerance : float
        Relative decrease of the action in a round below which it has converged.
    max_rounds : int
        On each polygon, >= 1.
    progress : bool
        Show a bar over the polygons.

    Returns
    -------
    ActionPath

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or the noise is singular on the path.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.double_well(), sd.GD())
    >>> path = sd.minimum_action(flow, [-1.0], [0.0])
    >>> round(path.action, 3)  # twice the barrier of 1/4
    0.5
    """
    if not isinstance(system, Diffusion | Flow):
        raise TypeError(f"system must be a Diffusion or a Flow, got {system!r}")
    first = checks.points("x", x, system.dim).reshape(system.dim)
    last = checks.points("y", y, system.dim).reshape(system.dim)
    n_points = checks.integer("n_points", n_points, at_least=5)
    checks.number("tolerance", tolerance, above=0)
    max_rounds = checks.integer("max_rounds", max_rounds, at_least=1)
    length = float(np.linalg.norm(last - first))
    if not length > 0:
        return ActionPath(first + np.zeros((n_points, 1)), 0.0, 0.0, True, 1, 1)
    field = ActionField(system, length)
    line = first + np.linspace(0, 1, n_points)[:, None] * (last - first)
    given = None
    if initial is not None:
        given = checks.points("initial", initial, system.dim)
        if given.ndim != 2 or len(given) < 2:
            raise ValueError(f"initial must have shape (n, {system.dim}), got {given.shape}")
        given = np.concatenate([[first], given[1:-1], [last]])
        line = respaced(given, n_points)
    with np.errstate(invalid="ignore", over="ignore"):
        straight = actions(field, line[None])[0]
    if not np.isfinite(straight).all():
        raise ValueError(
            f"system must be finite on the path from x to y, got nan or infinity ({system!r}): give "
            "initial, a path around the place where the gradient of the loss is not finite"
        )
    look = seconds_of(lambda: actions(field, line[None]))
    n_sizes = len(coarse_to_fine(n_points))
    announce(
        "minimum_action", ITERATIONS * USUAL_ROUNDS * n_sizes * look, "pass n_points=26 for a first look"
    )
    begins = first_paths(field, first, last) if given is None else [given]
    starts = np.array([respaced(path, n_points) for path in begins])
    with np.errstate(invalid="ignore", over="ignore"):
        coarse, _, size = actions(field, starts)
        # where a layer is thinner than the sides can follow, a way costs what it does with all its corners
        costs = np.array(
            [
                min(cost, actions(field, path[None])[0][0]) if len(path) > n_points else cost
                for cost, path in zip(coarse, begins, strict=True)
            ]
        )
    fits = np.isfinite(costs)
    starts, costs, size = starts[fits], costs[fits], size[fits]
    sizes = _sizes(field, starts[np.argmin(costs)], n_points)
    search = _Search(
        field, path_length(line), max(float(size.min()), 1e-300), first, n_points, tolerance, max_rounds
    )
    with PartsBar(progress, "minimum_action", len(sizes), "polygon") as bar:
        paths = search.together(np.array([respaced(path, sizes[0]) for path in starts]))
        bar.update()
        kept = search.best(paths)[: KEPT if len(sizes) > 1 else 1]
        if len(starts) > 1:
            kept.append(respaced(starts[np.argmin(costs)], sizes[0]))
        coarser = value = np.inf
        for k, n in enumerate(sizes):
            coarser = value
            found = [search.descend(path, n) for path in kept]
            if n == sizes[-1] and costs.min() < min(f[1] for f in found):
                found.append(search.descend(starts[np.argmin(costs)], n))
            best, value, converged = min(found, key=lambda f: f[1])
            if n == sizes[min(1, len(sizes) - 1)] and len(first) > 1:
                best, value, converged = search.settled(best, value, converged)
            kept = [best] if k else [f[0] for f in found]
            if k:
                bar.update(note=f"action {value:.6g}")
    if len(sizes) == 1:
        _, coarser, _ = search.descend(best, (n_points + 1) // 2)
    error = UNRESOLVED * abs(float(coarser - value))
    away = np.linalg.norm(paths - respaced(best, sizes[0]), axis=2).max(axis=1)
    agreeing = max(1, int((away <= CLOSE * path_length(best)).sum()))
    steep = steep_place(field, np.concatenate([best[None], starts])) if system.dim > 1 else None
    return ActionPath(best, float(value), error, converged, len(starts), agreeing, steep)


@dataclass(frozen=True, eq=False)
class _Search:
    """Descents of polygons with fixed ends."""

    field: ActionField
    length: float
    unit: float
    first: Array
    finest: int
    tolerance: float
    max_rounds: int

    def together(self, paths: Array) -> Array:
        """Paths (k, n, dim) moved downhill, all in one minimisation of the sum of their actions."""
        for _ in range(FIRST_ROUNDS):
            paths = np.array([respaced(x, len(x)) for x in self._moved(paths)])
        return paths

    def _objective(self, x: Array) -> tuple[float, Array]:
        """The sum of the actions of paths (k, n, dim), plus what keeps sides equal, and its derivative."""
        value, slope, _ = actions(self.field, x)
        uneven, by_corner = unevenness(x)
        total = float((value / self.unit + EVEN * uneven).sum())
        return total, self.length * (slope / self.unit + EVEN * by_corner)[:, 1:-1].ravel()

    def best(self, paths: Array) -> list[Array]:
        """Paths by their actions, the least first, without those that are like an earlier one."""
        value = actions(self.field, paths)[0]
        result: list[Array] = []
        for k in np.argsort(value, kind="stable"):
            near = 0.02 * path_length(paths[k])
            if all(np.linalg.norm(paths[k] - x, axis=1).max() > near for x in result):
                result.append(paths[k])
        return result

    def descend(self, x: Array, n: int) -> tuple[Array, float, bool]:
        """The path with n corners, its action, and whether the last round changed too little to go on."""
        x, value, converged = respaced(x, n), np.inf, False
        last = n >= self.finest
        tolerance = self.tolerance if last else max(self.tolerance, COARSE)
        for _ in range(self.max_rounds if last else min(self.max_rounds, USUAL_ROUNDS)):
            x = respaced(self._moved(x[None])[0], n)
            new, _, size = actions(self.field, x[None])
            converged = abs(value - new[0]) <= tolerance * (abs(new[0]) + ALONG * size[0])
            value = float(new[0])
            if converged:
                break
        return x, value, bool(converged)

    def _moved(self, paths: Array) -> Array:
        """Paths (k, n, dim) moved downhill, in units of the path: L-BFGS stops at absolute tolerances."""
        inner = (slice(None), slice(1, -1))

        def at(y: Array) -> Array:
            x = paths.copy()
            x[inner] = self.first + self.length * y.reshape(x[inner].shape)
            return x

        found = optimize.minimize(
            lambda y: self._objective(at(y)),
            ((paths[inner] - self.first) / self.length).ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": ITERATIONS},
        )
        return at(found.x)

    def settled(self, x: Array, value: float, converged: bool) -> tuple[Array, float, bool]:
        """A path that no bend lowers: bends along the softest direction are followed while they do."""
        for _ in range(MOST_BENDS):
            soft, bend = softest_bend(self.field, x)
            if soft > SOFT:
                return x, value, converged
            size = BEND * path_length(x)
            found = [self.descend(x + sign * size * bend, len(x)) for sign in (1, -1)]
            new = min(found, key=lambda f: f[1])
            if not new[1] < value - 10 * self.tolerance * abs(value):
                return x, value, converged
            x, value, converged = new
        return x, value, False


def coarse_to_fine(n_points: int) -> list[int]:
    """Numbers of corners, each about half the next, down to about a dozen."""
    sizes = [n_points]
    while sizes[-1] > 20:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes[::-1]


def _sizes(field: ActionField, start: Array, n_points: int) -> list[int]:
    """Numbers of corners, from the least that has about the action of a path of n_points corners."""
    sizes = coarse_to_fine(n_points)
    whole, _, size = actions(field, start[None])
    allowed = COARSENESS * (whole[0] + ALONG * size[0])
    while len(sizes) > 2 and abs(actions(field, respaced(start, sizes[0])[None])[0][0] - whole[0]) > allowed:
        sizes = sizes[1:]
    return sizes

"""Branches of fixed points in many dimensions, by products with the Jacobian alone.

The fixed points of a rule are the zeros of its flow's field F(x, p). The branch is followed by
pseudo-arclength, as in `samdyn.bifurcation.arclength`, without a matrix:

1. Tangent: the bordered system ``[[A, b], [t_x, t_p]] s = (0, 1)`` with A = dF/dx, b = dF/dp and the tangent
   t of before (at first along p), solved by GMRES; b comes from differences over `DIFFERENCE` of the range,
   which change the direction of a step a little and no zero of F.
2. Corrector: Newton on F = 0, t . (u - predicted) = 0 with the same bordered matrix. It has converged when
   |F| <= `TOLERANCE` |A| (1 + |x|), with |A| the largest eigenvalue in modulus at the start.
3. A step is halved where the corrector fails within `MAX_NEWTON` corrections, where GMRES leaves more than
   `FORCING` of its right-hand side, where the tangent turns by more than `MAX_ANGLE`, or where under a rule
   that jumps at g = 0 the gradient turns by more than 60 degrees; it grows by half after three corrections or
   fewer.
4. A way ends at the bounds, which are met exactly, after `max_points`, or where no step of `SMALLEST` is
   accepted ("lost"): at a fold GMRES still converges, since the bordered matrix is regular there; in a
   set of fixed points, such as a valley without loss, it does not.
5. Stability: ARPACK's `LISTED` largest multipliers in modulus of a map, or rates by real part of a flow.
   The search at a point starts from the eigenvectors of the point before. A point whose eigenvalues do not
   converge has the stability "".

Bifurcation points are not located: stability changes between neighbouring points tell where they are.

References
----------
Keller (1977), bordered systems. Saad and Schultz (SIAM J. Sci. Stat. Comput. 1986), GMRES.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs, eigsh, gmres

from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import MAX_ANGLE, angle
from samdyn.bifurcation.branch import Branch
from samdyn.equilibria.stability.linearization import stability_of
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.landscapes.landscape import Landscape
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.trace.product_operator import largest_singular_value

MANY = 64
"""Dimensions up to which matrices are made, and bifurcations located."""
DIFFERENCE = 1e-6
TOLERANCE = 1e-11
FORCING = 1e-6
MAX_NEWTON = 8
SMALLEST = 1e-6
"""The smallest step, as a share of the range: chosen; no measurement is recorded."""
LISTED = 6
CRITICAL = 1e-6
"""A gradient smaller than this share of |A| (1 + |x|) counts as 0: the point is a critical point."""
NULL = 1e-7
"""A curvature smaller than this share of the largest counts as 0."""
OUTSIDE = 1e-9
"""Of the range: how far rounding may leave it."""
RESTART = 200  # of GMRES: its basis of so many vectors bounds memory
TURN = 0.5
"""Least cosine of the gradients at both ends of a step under a rule that jumps."""


class _Place(NamedTuple):
    """A point of the branch in units of the curve, (x / scale, share of the range), and its tangent."""

    u: Array
    tangent: Array
    corrections: int


class _Curve:
    """F, its products and bordered solves along one parameter."""

    def __init__(self, system: System, parameter: str, bounds: tuple[float, float], x: Array) -> None:
        self.system, self.parameter = system, parameter
        self.low, self.width = bounds[0], bounds[1] - bounds[0]
        self.dim, self.scale = len(x), max(1.0, float(np.linalg.norm(x)))

    def at(self, p: float) -> System:
        """The system at a share of the range; rounding may leave it by a little."""
        return self.system.with_parameters(**{self.parameter: self.low + self.width * min(max(p, 0.0), 1.0)})

    def field(self, p: float) -> System:
        """The flow whose zeros are the fixed points."""
        system = self.at(p)
        if not isinstance(system, Map):
            return system
        assert system.landscape is not None and system.rule is not None
        return Flow(system.landscape, system.rule)

    def split(self, u: Array) -> tuple[Array, float]:
        return u[:-1] * self.scale, float(u[-1])

    def value(self, u: Array) -> Array:
        x, p = self.split(u)
        return self.field(p).evaluate(x)

    def solve(self, u: Array, border: Array, right: Array) -> Array | None:
        """The solution of the bordered system at u, or None where GMRES does not find it."""
        x, p = self.split(u)
        product = self.field(p).operator(x)
        ends = [min(max(p, 0.0) + DIFFERENCE, 1.0), max(min(p, 1.0) - DIFFERENCE, 0.0)]
        slope = (self.field(ends[0]).evaluate(x) - self.field(ends[1]).evaluate(x)) / (ends[0] - ends[1])

        def bordered(v: Array) -> Array:
            above = self.scale * product.matvec(v[:-1]) + slope * v[-1]
            return np.append(above, border @ v)

        n = len(u)
        operator = LinearOperator((n, n), matvec=bordered, dtype=np.float64)
        found, _ = gmres(operator, right, rtol=1e-9, restart=min(n, RESTART), maxiter=2)
        left = float(np.linalg.norm(right - bordered(found)))
        return found if left <= FORCING * float(np.linalg.norm(right)) else None

    def tangent(self, u: Array, along: Array) -> Array | None:
        found = self.solve(u, along, np.append(np.zeros(self.dim), 1.0))
        return None if found is None else found / np.linalg.norm(found)

    def correct(self, guess: Array, along: Array, size: float, reach: float) -> _Place | None:
        """Newton in the plane through the guess normal to `along`."""
        u = guess.copy()
        for k in range(MAX_NEWTON):
            if not -OUTSIDE <= u[-1] <= 1 + OUTSIDE:  # where the parameter need not have a meaning
                return None
            value = self.value(u)
            if not np.isfinite(value).all():
                return None
            if np.linalg.norm(value) <= TOLERANCE * size * (1 + np.linalg.norm(u[:-1] * self.scale)):
                tangent = self.tangent(u, along)
                return None if tangent is None else _Place(u, tangent, k)
            step = self.solve(u, along, -np.append(value, along @ (u - guess)))
            if step is None or np.linalg.norm(step) > reach:
                return None
            u = u + step
        return None


def follow_many(
    system: System,
    x: Array,
    parameter: str,
    bounds: tuple[float, float],
    max_step: float,
    max_points: int,
    bar: PartsBar,
) -> Branch:
    """The branch through a fixed point x (dim,) of a system in many dimensions.

    Raises
    ------
    ValueError
        x is no fixed point, or lies in a set of fixed points.
    """
    curve = _Curve(system, parameter, bounds, x)
    value = (float(system.parameters[parameter]) - curve.low) / curve.width
    start = np.append(x / curve.scale, value)
    operator = curve.field(value).operator(x)
    size = largest_singular_value(operator)
    announce(
        "continuation",
        seconds_of(lambda: operator @ np.ones(len(x))) * min(RESTART, len(x)) * 3 / max_step,
        "pass narrower bounds or a larger max_step",
    )
    vertical = np.append(np.zeros(len(x)), 1.0)
    first = curve.correct(start, vertical, size, reach=1.0)
    off = float(np.linalg.norm(curve.value(start)))
    if first is None or np.linalg.norm(first.u - start) > 1e-3:
        raise ValueError(
            f"x must be an isolated fixed point at {parameter} = {system.parameters[parameter]:g}, got one "
            f"where the field is {off:g} and Newton's method ends nowhere near: call refine first, or start "
            "from a loss with weight decay, whose fixed points are isolated"
        )
    ways, ends = [], []
    for sign in (-1.0, 1.0):
        way, end = _follow(curve, first, sign, size, max_step, max_points, bar)
        ways.append(way)
        ends.append(end)
    places = [*ways[0][::-1], first, *ways[1]]
    return _described(curve, places, (ends[0], ends[1]), bounds, size)


def _follow(
    curve: _Curve, first: _Place, sign: float, size: float, max_step: float, max_points: int, bar: PartsBar
) -> tuple[list[_Place], str]:
    """The places of one way, without the first, and why it ends."""
    place, ds, found = first._replace(tangent=sign * first.tangent), max_step, list[_Place]()
    vertical = np.append(np.zeros(curve.dim), 1.0)
    ends = ("lower bound", "upper bound")
    if not 0 < place.u[-1] < 1 and (place.u[-1] - 0.5) * place.tangent[-1] >= 0:  # it starts at a bound
        return [], ends[int(place.u[-1] > 0.5)]
    while len(found) < max_points:
        guess = place.u + ds * place.tangent
        outside = not 0 <= guess[-1] <= 1
        if outside:  # to the bound, at a fixed parameter
            guess = place.u + (np.clip(guess[-1], 0, 1) - place.u[-1]) / place.tangent[-1] * place.tangent
        new = curve.correct(guess, vertical if outside else place.tangent, size, 2 * ds)
        if new is not None and new.tangent @ place.tangent < 0:
            new = new._replace(tangent=-new.tangent)
        if new is None or angle(new.tangent, place.tangent) > MAX_ANGLE or not _alike(curve, place, new):
            ds /= 2
            if ds < SMALLEST:
                return found, "lost"
            continue
        found.append(new)
        bar.update(1)
        if outside:
            return found, ends[int(new.u[-1] > 0.5)]
        place = new
        ds = min(1.5 * ds if new.corrections <= 3 else ds, max_step)
    return found, "most points"


def _alike(curve: _Curve, old: _Place, new: _Place) -> bool:
    """Whether the perturbation has not passed a jump."""
    system = curve.system
    if system.rule is None or not system.rule.jumps:
        return True
    assert system.landscape is not None
    a, b = system.landscape.gradient(np.stack([curve.split(old.u)[0], curve.split(new.u)[0]]))
    return bool(a @ b > TURN * np.linalg.norm(a) * np.linalg.norm(b))


def _described(
    curve: _Curve, places: list[_Place], ends: tuple[str, str], bounds: tuple[float, float], size: float
) -> Branch:
    loss = curve.system.landscape
    assert loss is not None
    x = np.stack([curve.split(place.u)[0] for place in places])
    values = curve.low + curve.width * np.array([place.u[-1] for place in places])
    k = LISTED
    eigenvalues = np.full((len(places), k), np.nan + 0j)
    stability, kind, vector = [], [], None
    discrete = isinstance(curve.system, Map)
    for i, place in enumerate(places):
        eigenvalues[i], vector = _leading(curve.at(float(place.u[-1])), x[i], k, vector)
        known = np.isfinite(eigenvalues[i]).all()
        stability.append(stability_of(eigenvalues[i], discrete) if known else "")
        critical = np.linalg.norm(loss.gradient(x[i])) <= CRITICAL * size * (1 + np.linalg.norm(x[i]))
        kind.append(_kind(loss, x[i]) if critical else "hallucinated")
    none = np.full(len(places), np.nan)
    return Branch(
        curve.parameter, values, x, np.array(stability), eigenvalues, (), ends, np.array(kind), 1,
        x[:, None], none, none, curve.system, bounds,
    )  # fmt: skip


def _kind(loss: Landscape, x: Array) -> str:
    """The kind of a critical point, from both ends of its Hessian's spectrum."""
    operator, start = loss.operator(x), np.random.default_rng(0).standard_normal(len(x))
    low, high = (
        float(eigsh(operator, 1, which=end, v0=start, tol=1e-6, return_eigenvectors=False)[0])
        for end in ("SA", "LA")
    )
    if min(abs(low), abs(high)) <= NULL * max(abs(low), abs(high)):
        return "degenerate"
    return "minimum" if low > 0 else "maximum" if high < 0 else "saddle"


def _leading(
    system: System, x: Array, k: int, vector: Array | None
) -> tuple[npt.NDArray[np.complex128], Array | None]:
    """The eigenvalues that decide the stability, least stable first; nan where they do not converge."""
    operator = system.operator(x)
    which = "LM" if isinstance(system, Map) else "LR"
    start = np.random.default_rng(0).standard_normal(operator.shape[0]) if vector is None else vector
    try:
        found, vectors = eigs(operator, k=k, which=which, v0=start, tol=1e-9)
    except ArpackError:
        return np.full(k, np.nan + 0j), vector
    order = np.argsort(-(np.abs(found) if which == "LM" else found.real), kind="stable")
    return found[order], np.real(vectors).sum(axis=1)

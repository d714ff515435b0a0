r"""Curves of critical points of a proximal objective: the points that normalised SAM hallucinates.

With y a critical point of f, a point x != y is fixed under SAM with radius rho and has y as its perturbed
point, x + rho g/|g| = y, iff

.. math:: F(x, \nu) = \nabla f(x) + \nu (x - y) = 0, \qquad \nu > 0, \qquad \rho = |x - y|,

that is, iff x is a critical point of f + (nu/2) |. - y|^2. For a fixed y the solutions are curves in
(x, nu), smooth where the radius turns back, so that nu and not rho is the parameter to follow.

Algorithm (`follow`)
--------------------
All curves are followed in lockstep, one batch of gradients and Hessians a correction, in the scaled
unknowns (x / length, nu / curvature).

1. Predictor: a step along the tangent, the null vector of dF.
2. Corrector: at most `CORRECTIONS` Newton steps orthogonal to the tangent, until the last is below 1e-10.
3. Accepted if the corrector moved less than half the step and the tangent turned by less than 18 degrees;
   the step then grows by a half, and is halved otherwise.
   A step across which det (dF, tangent) changes its sign has jumped to another curve, or passed a branch
   point where two curves cross: it is halved down to `CROSSING_STEP`, where the latter is taken to be so.
4. A curve ends where nu reaches 0, at a critical point of f ("critical point", polished by Newton); where x
   reaches y ("endpoint"); where it leaves the box ("box"); where it passes its start again, in the direction
   in which it left it ("loop"); or at a step below 1e-7 or after `n_steps` steps ("steps").

References
----------
Allgower & Georg, Numerical Continuation Methods (1990), ch. 6 (pseudo-arclength). The proximal form of the
fixed points of SAM: own derivation, checked in the tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.landscapes.landscape import Landscape, hessian_of
from samdyn.numerics.scales import ROUNDING
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

CORRECTIONS = 6  # a step that needs more Newton corrections is halved instead
FIRST_STEP = 1e-3  # scaled units; grows by a half after every accepted step
LARGEST_STEP = 0.03  # scaled units; keeps the points of a curve close enough to draw
SMALLEST_STEP = 1e-7  # scaled units; a curve that needs a smaller step is given up ("steps")
STRAIGHT = 0.95  # cosine of the 18 degrees by which a tangent may turn in a step
CROSSING_STEP = 2e-5  # scaled units; a sign change in so short a step is a branch point
CLOSED = 0.1  # of the step: a chord of a curve that turns by 18 degrees is off it by 0.04 of its length
SINGULAR = 1e-9  # of the largest singular value: a smaller one counts as 0

Derivatives = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Curve:
    """One followed curve.

    Attributes
    ----------
    x : ndarray, shape (n, dim)
    nu : ndarray, shape (n,)
    end : str
        "critical point", "endpoint", "box", "loop" or "steps".
    """

    x: Array
    nu: Array
    end: str


def derivatives_of(loss: Landscape) -> Derivatives:
    """Gradients (n, dim) and Hessians (n, dim, dim) at points (n, dim), by printed code where possible."""
    gradient, hessian = torch.func.grad(loss.one_point), hessian_of(loss.one_point)
    dim = loss.dim

    def both(w: Tensor) -> Tensor:
        return torch.cat([gradient(w), hessian(w).reshape(-1)])

    form = numpy_form(traced_or_batched(both, dim))

    def evaluate(x: Array) -> tuple[Array, Array]:
        if len(x) == 0:
            return np.empty((0, dim)), np.empty((0, dim, dim))
        with np.errstate(all="ignore"):
            out = np.stack(form(*np.ascontiguousarray(x.T)), axis=1)
        return out[:, :dim], out[:, dim:].reshape(-1, dim, dim)

    return evaluate


def solve(matrices: Array, right: Array) -> Array:
    """Least-squares solutions of smallest norm of (n, k, k), (n, k); nan where a system is not finite.

    Where curves fill a surface (a symmetric loss) the matrices are singular, and the solution must not run
    off along it.
    """
    result = np.full_like(right, np.nan)
    good = np.isfinite(matrices).all(axis=(1, 2)) & np.isfinite(right).all(axis=1)
    if good.any():
        result[good] = np.einsum("nij,nj->ni", np.linalg.pinv(matrices[good], rcond=SINGULAR), right[good])
    return result


class Family:
    """The curves of a batch: their endpoints y (n, dim), and the scales of x and of nu (n,)."""

    def __init__(self, derivatives: Derivatives, y: Array, length: float, curvature: Array) -> None:
        self.derivatives, self.y, self.length, self.curvature = derivatives, y, length, curvature

    def scaled(self, x: Array, nu: Array) -> Array:
        """(x, nu) in scaled unknowns, (n, dim + 1)."""
        return np.concatenate([x / self.length, (nu / self.curvature)[:, None]], axis=1)

    def point(self, z: Array, of: npt.NDArray[np.int_]) -> tuple[Array, Array]:
        """X and nu of scaled unknowns of the curves with indices `of`."""
        return z[:, :-1] * self.length, z[:, -1] * self.curvature[of]

    def equation(self, z: Array, of: npt.NDArray[np.int_]) -> tuple[Array, Array]:
        """F and its Jacobian (n, dim, dim + 1) in scaled unknowns."""
        x, nu = self.point(z, of)
        gradient, hessian = self.derivatives(x)
        away, scale = x - self.y[of], self.length * self.curvature[of]
        value = (gradient + nu[:, None] * away) / scale[:, None]
        in_x = (hessian + nu[:, None, None] * np.eye(x.shape[1])) / self.curvature[of, None, None]
        return value, np.concatenate([in_x, away[:, :, None] / self.length], axis=2)

    def correct(
        self, z: Array, normal: Array, of: npt.NDArray[np.int_]
    ) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Newton onto the curves within the planes through z orthogonal to `normal`; the points, and which
        converged.
        """
        z, last = z.copy(), np.full(len(z), np.inf)
        for _ in range(CORRECTIONS):
            value, jacobian = self.equation(z, of)
            square = np.concatenate([jacobian, normal[:, None, :]], axis=1)
            right = np.concatenate([-value, np.zeros((len(z), 1))], axis=1)
            step = solve(square, right)
            z += step
            last = np.linalg.norm(step, axis=1)
            if not (last > 1e-13).any():
                break
        return z, last < 1e-10

    def tangent(self, z: Array, along: Array, of: npt.NDArray[np.int_]) -> tuple[Array, Array]:
        """Unit null vectors of dF that point along `along`, nan where dF is not finite; and the sign of
        det (dF, tangent), which is constant along a curve (0 where curves fill a surface).
        """
        _, jacobian = self.equation(z, of)
        result, side = np.full_like(z, np.nan), np.zeros(len(z))
        good = np.isfinite(jacobian).all(axis=(1, 2))
        if good.any():
            _, size, rows = np.linalg.svd(jacobian[good])
            null = np.ones(rows.shape[:2])
            null[:, :-1] = size <= SINGULAR * size[:, :1]
            onto = np.einsum("nk,nki,nkj,nj->ni", null, rows, rows, along[good])
            onto = np.where(np.abs(onto).max(axis=1, keepdims=True) > 1e-12, onto, rows[:, -1])
            result[good] = onto / np.linalg.norm(onto, axis=1, keepdims=True)
            square = np.concatenate([jacobian[good], result[good][:, None, :]], axis=1)
            side[good] = np.where(null.sum(axis=1) > 1, 0.0, np.sign(np.linalg.det(square)))
        return result, side


def follow(
    family: Family,
    x: Array,
    nu: Array,
    along: Array,
    box: Array,
    *,
    n_steps: int,
    report: Callable[[float, int], None] | None = None,
) -> list[Curve]:
    """Follow curves from points on them.

    Parameters
    ----------
    family : Family
        Of n curves.
    x : ndarray, shape (n, dim)
        Starts.
    nu : ndarray, shape (n,)
    along : ndarray, shape (n, dim + 1)
        Directions in scaled unknowns.
    box : ndarray, shape (dim, 2)
        Where to stay.
    n_steps : int
        Most steps, refused ones included.
    report : callable, optional
        Called after every step of all curves with its seconds and the number of curves that have ended.

    Returns
    -------
    list of Curve
        From the start, which is the first point, to the end.
    """
    n, y = len(x), family.y
    z, t = family.scaled(x, nu), along / np.linalg.norm(along, axis=1, keepdims=True)
    step = np.full(n, FIRST_STEP)
    side = np.zeros(n)  # not known before the first step: starts may be branch points
    stored: list[tuple[npt.NDArray[np.int_], Array]] = [(np.arange(n), z.copy())]
    end = np.full(n, "steps", dtype=object)
    count, start, first = np.zeros(n, dtype=int), z.copy(), t.copy()
    live = np.arange(n)
    for _ in range(n_steps):
        if len(live) == 0:
            break
        began = time.perf_counter()
        with np.errstate(all="ignore"):
            predicted = z[live] + step[live, None] * t[live]
            new, converged = family.correct(predicted, t[live], live)
            turned, now = family.tangent(new, t[live], live)
            moved = np.linalg.norm(new - predicted, axis=1)
            ok = converged & (moved < 0.5 * step[live]) & ((turned * t[live]).sum(axis=1) > STRAIGHT)
            ok &= (now * side[live] >= 0) | (step[live] < CROSSING_STEP)
        step[live] = np.where(ok, np.minimum(1.5 * step[live], LARGEST_STEP), 0.5 * step[live])
        who, before, after = live[ok], z[live[ok]], new[ok]
        z[who], t[who], side[who] = after, turned[ok], now[ok]
        count[who] += 1
        ended, last = _ends(family, box, who, before, after, start[who], first[who], t[who], count[who])
        for name, rows in ended.items():
            end[who[rows]] = name
        keep = np.ones(len(who), dtype=bool)
        keep[ended["box"]] = False
        z[who] = last
        stored.append((who[keep], last[keep]))
        finished = np.concatenate([who[rows] for rows in ended.values()])
        lost = live[step[live] < SMALLEST_STEP]
        live, n_live = np.setdiff1d(live, np.concatenate([finished, lost])), len(live)
        if report is not None:
            report(time.perf_counter() - began, n_live - len(live))
    owners = np.concatenate([who for who, _ in stored])
    points = np.concatenate([z for _, z in stored])
    curves = []
    for i in range(n):
        own_x, own_nu = family.point(points[owners == i], np.full(int((owners == i).sum()), i))
        if end[i] == "endpoint":
            own_x[-1] = y[i]
        curves.append(Curve(own_x, own_nu, str(end[i])))
    return curves


def _ends(
    family: Family,
    box: Array,
    who: npt.NDArray[np.int_],
    before: Array,
    after: Array,
    start: Array,
    first: Array,
    along: Array,
    count: npt.NDArray[np.int_],
) -> tuple[dict[str, npt.NDArray[np.int_]], Array]:
    """Which of the steps end their curves, and the points with the last ones put onto the ends."""
    after = after.copy()
    dim, y = len(box), family.y[who] / family.length
    old, new = before[:, :dim] - y, after[:, :dim] - y
    at_zero = after[:, dim] <= 0
    small = np.linalg.norm(new, axis=1) < 1e-5
    at_y = ~at_zero & (((old * new).sum(axis=1) <= 0) | (small & (np.linalg.norm(old, axis=1) >= 1e-5)))
    x = after[:, :dim] * family.length
    outside = ~at_zero & ~at_y & ((x < box[:, 0]) | (x > box[:, 1])).any(axis=1)
    # closed: the step passes the plane through the start, close to it and along the first tangent; another
    # sheet of the curve may come as near, but not along it
    length = np.linalg.norm(after - before, axis=1)
    left, right = (((z - start) * first).sum(axis=1) for z in (before, after))
    with np.errstate(all="ignore"):
        crossing = before + (left / (left - right))[:, None] * (after - before)
    back = ~at_zero & ~at_y & ~outside & (count > 4) & (left < 0) & (right >= 0)
    back &= (along * first).sum(axis=1) > STRAIGHT
    back &= np.linalg.norm(crossing - start, axis=1) < CLOSED * length
    # a curve that began at its endpoint comes back to that
    back &= np.linalg.norm(start[:, :dim] - y, axis=1) > 1e-3
    rows = np.flatnonzero(at_zero)
    if len(rows):  # interpolate to nu = 0, then Newton on the gradient
        share = before[rows, dim] / (before[rows, dim] - after[rows, dim])
        end = before[rows] + share[:, None] * (after[rows] - before[rows])
        at = end[:, :dim] * family.length
        for _ in range(8):
            gradient, hessian = family.derivatives(at)
            # along a set of critical points the Hessian has no inverse
            at = at - np.einsum("nij,nj->ni", np.linalg.pinv(hessian, rcond=1e-9), gradient)
        after[rows, :dim], after[rows, dim] = at / family.length, 0.0
    flags = {"critical point": at_zero, "endpoint": at_y, "box": outside, "loop": back}
    return {name: np.flatnonzero(flag) for name, flag in flags.items()}, after


def at_radius(
    derivatives: Derivatives, x: Array, nu: Array, y: Array, rho: float | Array
) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Newton for the points of curves at |x - y| = rho, a number or (n,), from points (n, dim) nearby.

    Returns
    -------
    x : ndarray, shape (n, dim)
    nu : ndarray, shape (n,)
    converged : ndarray of bool, shape (n,)
    """
    x, nu, dim = x.copy(), nu.copy(), x.shape[1]
    last, radius = np.full(len(x), np.inf), np.maximum(np.broadcast_to(rho, len(x)), 1e-300)
    rounding = np.zeros(len(x))
    with np.errstate(all="ignore"):
        for _ in range(30):
            gradient, hessian = derivatives(x)
            away = x - y
            # in units of the radius and of the curvature: `solve` drops what is small next to the largest
            curvature = np.maximum(np.abs(hessian).max(axis=(1, 2)), np.abs(nu)) + 1e-300
            square = np.zeros((len(x), dim + 1, dim + 1))
            square[:, :dim, :dim] = (hessian + nu[:, None, None] * np.eye(dim)) / curvature[:, None, None]
            square[:, :dim, dim] = square[:, dim, :dim] = away / radius[:, None]
            force = (gradient + nu[:, None] * away) / (curvature * radius)[:, None]
            right = -np.concatenate(
                [force, (((away / radius[:, None]) ** 2).sum(axis=1) - 1)[:, None] / 2], axis=1
            )
            step = solve(square, right)
            x, nu = x + step[:, :dim] * radius[:, None], nu + step[:, dim] * curvature
            last = np.linalg.norm(step[:, :dim], axis=1)
            rounding = ROUNDING * (1 + np.linalg.norm(x, axis=1) / radius)
            if not (last > rounding).any():
                break
    return x, nu, last <= 1e-10 + rounding

"""The ball that a critical point captures under a normalised rule, where the field jumps.

At a critical point z of the loss a normalised perturbation has length r = rho lam (rho for SAM) however
small the gradient is, so the field just beside z is -grad f(z + r u) with u the gradient's direction: a
jump. What decides is a Lyapunov function that falls along the flow. Two are used, with F the descent
direction:

- the squared distance ``|w - z|^2``, which falls where ``(w - z) . F > 0``. On a quadratic F = Hw + r Hw/|Hw|
  and w . F = w . Hw + r |Hw| >= (r - |w|) |Hw|: every nondegenerate critical point captures the whole ball of
  radius r, and where H has a negative eigenvalue no larger ball, since the flow has equilibria at the
  distance r along its eigenvector. With an unnormalised part c = rho (1 - lam), for which F has c H^2 w as
  well, the radius is r / (1 - c a), a the smallest eigenvalue in modulus, if that is negative; it is
  infinite if c a >= 1 or H > 0.
- ``|grad f|^2``, which falls where ``grad f . H F > 0``. On a quadratic that holds wherever |Hw| < r
  min|l| (l the negative eigenvalues): an ellipsoid, inside the basin, that reaches farther than
  r along directions in which the Hessian is small.

Algorithm
---------
1. Both functions are sampled on shells around z, of radii geometric between 1e-4 r and `reach`, along
   directions that cover the sphere, the same mapped by the inverse Hessian, and the Hessian's eigenvectors;
   then on `REFINEMENTS` times `N_FINER` more about the result. What one shell has shown stays known.
2. `reach` ends before the nearest other critical point, which rests where it is: Newton's method looks for
   it where the smallest gradient on a shell is smaller than on both neighbours.
3. ``|w - z|^2``: the largest shell below the first that has a sample where it does not fall.
4. ``|grad f|^2``: for an outermost shell S let v be the smaller of its minimum on S and of its values
   wherever it rises inside S. The part of the set below v around z is forward invariant and, with no other
   critical point inside, shrinks onto z; the largest ball in it, over all S, counts.
5. The larger of the two is the result.

It is 0 when both rise somewhere on the smallest shell. The point may still attract (`samdyn.systems.jump`
decides that), but no ball around it is drawn onto it monotonically. The test is by sampling, not a proof.

References
----------
The quadratic case and the discrete windows: Monzio Compagnoni et al. (arXiv 2301.08203), Bartlett, Long &
Bousquet (2022), and own derivation, checked in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.equilibria.newton import newton_steps
from samdyn.jobs.cost import seconds_of
from samdyn.numerics.scales import diagonal_of
from samdyn.numerics.sphere import directions
from samdyn.systems.flow import Flow
from samdyn.systems.jump import jump_length, seconds_of_attracts
from samdyn.systems.system import System
from samdyn.trace import batch
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

MOST_BYTES = 1 << 31  # of the Hessians on one shell
TILE_BYTES = 1 << 28  # of the Hessians held at a time, where one shell has fewer
N_SHELLS = 48
N_FINER = 24
REFINEMENTS = 3
NEWTON_STEPS = 8

Evaluation = Callable[[Array], tuple[Array, Array, Array]]


def capture_radius(flow: Flow, z: Array, reach: float, evaluate: Evaluation | None = None) -> float:
    """Radius of a ball around the critical point `z` from which the flow is drawn onto it.

    Parameters
    ----------
    flow : Flow
        Of a rule that jumps.
    z : ndarray, shape (dim,)
        A critical point of the loss.
    reach : float
        Largest radius that is tested.
    evaluate : callable, optional
        What `evaluation` returns for the flow; made here by default.

    Returns
    -------
    float
        A lower bound, by sampling: 0 if |grad f| rises along the flow arbitrarily close to the point.
    """
    assert flow.rule is not None and flow.landscape is not None
    evaluate = evaluation(flow) if evaluate is None else evaluate
    smallest = min(1e-4 * jump_length(flow.rule, z), 0.1 * reach)
    u = _sampled_directions(evaluate(z)[1])
    shells = _on_shells(evaluate, z, u, np.geomspace(smallest, reach, N_SHELLS))
    reach = min(reach, _nearest_other(evaluate, z, shells))
    found = _falling_ball(shells, reach)
    for _ in range(REFINEMENTS):
        if found == 0.0:
            break
        k = int(np.searchsorted(shells.radius, found))
        low, high = shells.radius[max(k - 1, 0)], shells.radius[min(k + 2, len(shells.radius) - 1)]
        finer = np.geomspace(low, min(high, reach), N_FINER + 2)[1:-1]
        shells = _merged(shells, _on_shells(evaluate, z, u, finer))
        found = _falling_ball(shells, reach)
    return found


def reach_of(system: System, length: float) -> float:
    """How far from a critical point capture is tested: across the box, or ten lengths of the perturbation."""
    return 10 * float(length) if system.box is None else diagonal_of(system.box)


def evaluation(flow: Flow, many: bool = False) -> Evaluation:
    """Gradient (..., dim), Hessian (..., dim, dim) and descent direction (..., dim) at points (..., dim).

    With `many` it is traced first, which pays off from some ten calls on.
    """
    loss, field, dim = flow.landscape, flow.point_function(), flow.dim
    assert loss is not None
    gradient = torch.func.grad(loss.one_point)
    hessian = torch.func.jacrev(gradient)

    def packed(x: Tensor) -> Tensor:
        return torch.cat([gradient(x), -field(x), hessian(x).reshape(-1)])

    form = numpy_form(traced_or_batched(packed, dim)) if many else None

    def evaluate(x: Array) -> tuple[Array, Array, Array]:
        flat = x.reshape(-1, dim)
        if form is None:
            values = batch.evaluate(packed, flat)
        else:
            columns = form(*np.ascontiguousarray(flat.T))
            values = np.stack([np.broadcast_to(column, len(flat)) for column in columns], axis=-1)
        g, descent, h = np.split(values.reshape(*x.shape[:-1], -1), [dim, 2 * dim], axis=-1)
        return g, h.reshape(*x.shape, dim), descent

    return evaluate


class _Shells(NamedTuple):
    """What was seen on shells around a point, in order of their radii."""

    radius: Array  # (n,)
    nearer: npt.NDArray[np.bool_]  # the distance falls at every sample
    lowest: Array  # |grad f|^2: its smallest value,
    lowest_at: Array  # (n, dim), where,
    highest: Array  # its largest value,
    rising: Array  # and its smallest value where it does not fall, inf if it falls everywhere


def _sampled_directions(hessian: Array) -> Array:
    """Directions of w, and the directions of w for which the gradient Hw takes them: in a narrow valley
    directions of w that are spread evenly hardly sample the directions of Hw.
    """
    u = directions(len(hessian))
    of_gradient = u @ np.linalg.pinv(hessian)
    size = np.linalg.norm(of_gradient, axis=1, keepdims=True)
    of_gradient = (of_gradient / np.where(size > 0, size, 1.0))[size[:, 0] > 0]  # none where H = 0
    axes = np.linalg.eigh(hessian)[1].T
    return np.concatenate([u, of_gradient, axes, -axes])


def seconds_of_capture(flow: Flow, z: Array) -> float:
    """Estimate of what capture takes to be tested and measured.

    The time of the radius is the time of Hessians at one point and at several; the directions beside the
    point are followed for three points.
    """
    evaluate, u = evaluation(flow), _sampled_directions(np.eye(len(z)))
    few = z + 1e-3 * u[: max(2, min(len(u), TILE_BYTES // (64 * len(z) ** 2)))]
    one = seconds_of(lambda: evaluate(few[:1]), repeats=2)
    several = seconds_of(lambda: evaluate(few), repeats=2)
    n_shells = N_SHELLS + REFINEMENTS * N_FINER
    calls = max(1 + REFINEMENTS, n_shells * 8 * u.size * len(z) // TILE_BYTES)
    shells = calls * one + n_shells * len(u) * max(several - one, 0.0) / max(len(few) - 1, 1)
    assert flow.landscape is not None and flow.rule is not None
    return shells + seconds_of_attracts(flow.landscape, flow.rule, z, flow.form)


def check_size(dim: int) -> None:
    """Refuse a dimension in which one shell of Hessians does not fit into memory."""
    needed = 2 * (2 * dim + 2048) * dim**2 * 8
    if needed > MOST_BYTES:
        raise ValueError(
            f"system must have a dimension in which the Hessians on one shell fit memory, got {dim}: "
            f"they take {needed / 2**30:.1f} GiB (at most {MOST_BYTES / 2**30:.0f}); restrict the loss to "
            "the plane of a few eigenvectors of its Hessian, as a Landscape of c -> f(x + V c)"
        )


def _on_shells(evaluate: Evaluation, z: Array, u: Array, radius: Array) -> _Shells:
    """What is seen on shells of the given radii, a few of them at a time."""
    each = max(1, TILE_BYTES // (8 * u.size * u.shape[1]))
    if len(radius) > each:
        parts = [_on_shells(evaluate, z, u, radius[k : k + each]) for k in range(0, len(radius), each)]
        return _Shells(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    samples = z + radius[:, None, None] * u
    gradient, hessian, descent = evaluate(samples)
    nearer = ((samples - z) * descent).sum(axis=-1) > 0
    falls = np.einsum("sni,snij,snj->sn", gradient, hessian, descent) > 0
    square = (gradient**2).sum(axis=-1)
    lowest_at = samples[np.arange(len(radius)), square.argmin(axis=1)]
    rising = np.where(falls, np.inf, square).min(axis=1)
    return _Shells(radius, nearer.all(axis=1), square.min(axis=1), lowest_at, square.max(axis=1), rising)


def _merged(a: _Shells, b: _Shells) -> _Shells:
    order = np.argsort(np.concatenate([a.radius, b.radius]), kind="stable")
    return _Shells(*(np.concatenate(pair)[order] for pair in zip(a, b, strict=True)))


def _nearest_other(evaluate: Evaluation, z: Array, shells: _Shells) -> float:
    """Distance of the nearest other critical point to which Newton's method leads from the shells, or inf."""
    inner = shells.lowest[1:-1]
    dips = np.flatnonzero((inner < shells.lowest[:-2]) & (inner <= shells.lowest[2:])) + 1
    if shells.lowest[-1] < shells.lowest[-2]:
        dips = np.append(dips, len(shells.lowest) - 1)
    if len(dips) == 0:
        return float("inf")
    c = shells.lowest_at[dips].copy()
    step = np.full_like(c, np.inf)
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            step = np.nan_to_num(newton_steps(*evaluate(c)[:2]), nan=np.inf)
            c = np.where(np.isfinite(c + step), c + step, c)
    away = np.linalg.norm(c - z, axis=1)
    arrived = (np.linalg.norm(step, axis=1) <= 1e-6 * away) & (away > 1e-3 * shells.radius[dips])
    return float(away[arrived].min(initial=np.inf))


def _falling_ball(shells: _Shells, reach: float) -> float:
    """Largest of the shells' radii below `reach` within which either function falls at every sample, less one
    shell.
    """
    n = int(np.searchsorted(shells.radius, reach * (1 + 1e-12)))
    nearer, lowest, highest, rising = (
        v[:n] for v in (shells.nearer, shells.lowest, shells.highest, shells.rising)
    )
    # for each outermost shell S: V must stay below its values on S, and wherever it rises inside S
    level = np.minimum(lowest, np.minimum.accumulate(rising))
    inside = np.minimum(np.searchsorted(np.maximum.accumulate(highest), level), np.arange(n))
    k = max(int(np.cumprod(nearer).sum()), int(inside.max(initial=0)))
    return float(shells.radius[k - 1]) if k > 0 else 0.0

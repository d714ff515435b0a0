"""Points at rest on a kink of the loss, where the gradient jumps and no Newton method on it arrives.

A point x rests, in Filippov's sense, if 0 lies in the convex hull of the values that the field takes beside
it. |w| + ... has such a point at w = 0, and no zero of its gradient.

Algorithm
---------
1. The signs of the kinks become variables sigma (`samdyn.equilibria.kinks.relaxed_kinks`), first as
   tanh(s/width): the zeros of this smooth gradient are searched for with `samdyn.equilibria.newton`, for a
   width of `WIDE` times the median of abs(s) in the box, and from there and from fresh starts for one of
   `WIDTH`.
2. From each, Newton's method on ``G(x, sigma) = 0`` with s_i(x) = 0 for the kinks that the point is on
   (sigma_i within `SETTLED`) and the other sigma_i held at +-1. What arrives in the box with all sigma_i in
   [-1, 1] is a point of the list if the jump is real (dG/dsigma_i is not 0) and the matrix is regular;
   singular ones lie on curves or surfaces of such points, which are counted and not listed.
3. The same for the field of the flow, which finds points whose perturbed point is on a kink ("hallucinated").
4. A point counts for a system only if 0 is in the hull of its own field beside it: least squares with
   non-negative weights on the field along many directions, at the distance `BESIDE` of the diagonal.
5. Kind, of those from the loss: at a corner, where the kinks' normals span the space, from its values
   around. Otherwise with N the kinks' normals, dG/dsigma = N^T C. All of C positive and the
   Hessian along the kink positive: "minimum"; all negative: "maximum"; "degenerate" where an eigenvalue is
   below 1e-6 of the largest, or abs(sigma_i) = 1; otherwise "saddle".
6. Stability: by following orbits (`samdyn.equilibria.kinks.following_orbits`).

Served are losses of up to `MOST_DIM` coordinates with at most `MOST_SWITCHES` switching functions, which
covers a one-hidden-layer ReLU network on a handful of data; others are named as not searched.

References
----------
Filippov, Differential Equations with Discontinuous Righthand Sides (1988), section 4. Clarke, Optimization
and Nonsmooth Analysis (1983) for the critical points of losses with kinks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import nnls
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.equilibria.kinks.relaxed_kinks import RelaxedKinks
from samdyn.equilibria.newton import (
    LARGEST_TRACED_DIM,
    merge_index,
    newton_steps,
    search_zeros,
    sobol_starts,
    value_and_jacobian,
)
from samdyn.jobs.cost import announce
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.scales import diagonal_of
from samdyn.numerics.sphere import directions
from samdyn.trace.scalar_graph import NotTraceable

WIDTH, WIDE = 1e-3, 5e-2
SETTLED = 1 - 1e-7
MOST_DIM = 12
MOST_SWITCHES = 32
MOST_OF_RULE = 8
"""With more switching functions only the kinks of the loss are searched, not what a rule makes of them."""
TRACES, TRACES_OF_RULE = 80, 200
"""What the search takes in units of one trace of the gradient: on ReLU networks, within a factor of 2."""
N_STARTS = 256
N_STARTS_LARGE = 64  # where the augmented system is too large to be traced
N_NEWTON = 20
BESIDE = 1e-7
HULL = 1e-3  # of the field beside the point: how near to 0 the hull must come
FLAT = 1e-6


@dataclass(frozen=True)
class KinkedPoint:
    """A point at rest on a kink."""

    x: Array
    kind: str


@dataclass(frozen=True)
class KinkSearch:
    """Points at rest on kinks, and what the search could not serve.

    Attributes
    ----------
    points : list of KinkedPoint
    n_in_families : int
        Points found on curves or surfaces of such points, which are not listed.
    refused : str
        Why the kinks were not searched; empty if they were.
    only_loss : bool
        Whether points whose perturbed point is on a kink were not searched for, since there are too many.
    """

    points: list[KinkedPoint]
    n_in_families: int = 0
    refused: str = ""
    only_loss: bool = False


def search_kinks(
    loss: Landscape, field: Callable[[Tensor], Tensor], box: Array, perturbed: bool
) -> KinkSearch:
    """Points at rest on kinks of a loss, for a flow with this field (or a map with it as displacement).

    `perturbed` says whether the field is another than the negative gradient.
    """
    dim = loss.dim
    if dim > MOST_DIM:
        return KinkSearch([], refused=f"more than {MOST_DIM} coordinates")
    gradient = torch.func.grad(loss.one_point)
    started = time.perf_counter()
    try:
        relaxed = [RelaxedKinks(gradient, dim)]
        traced = time.perf_counter() - started
        only_loss = perturbed and relaxed[0].n_switches > MOST_OF_RULE
        if perturbed and not only_loss:
            relaxed.append(RelaxedKinks(field, dim))
    except NotTraceable as error:
        return KinkSearch([], refused=f"it cannot be traced: {error}")
    announce(
        "fixed_points",
        traced * (TRACES_OF_RULE if len(relaxed) > 1 else TRACES),
        "its loss has kinks, whose search is cheaper with fewer of them (fewer samples or units)",
    )
    most = max(r.n_switches for r in relaxed)
    if most > MOST_SWITCHES:
        return KinkSearch([], refused=f"{most} kinks and comparisons, more than {MOST_SWITCHES}")
    diagonal = diagonal_of(box)
    evaluate = value_and_jacobian(field, dim)
    found: list[KinkedPoint] = []
    n_families = 0
    for relaxation, own in zip(relaxed, (True, False), strict=False):
        x, sigma, jacobian, regular = _resting(relaxation, box)
        for k in range(len(x)):
            if not in_hull(lambda y: evaluate(y)[0], x[k], BESIDE * diagonal):
                continue
            if any(np.linalg.norm(x[k] - p.x) <= 1e-7 * diagonal for p in found):
                continue
            if not regular[k]:
                n_families += 1
                continue
            kind = _kind(loss, x[k], jacobian[k], sigma[k], diagonal) if own else "hallucinated"
            found.append(KinkedPoint(x[k], kind))
    return KinkSearch(sorted(found, key=lambda p: tuple(np.round(p.x, 9))), n_families, "", only_loss)


def _resting(relaxed: RelaxedKinks, box: Array) -> tuple[Array, Array, Array, npt.NDArray[np.bool_]]:
    """Solutions: points (n, dim), sides (n, k), Jacobians (n, dim + k, dim + k), and which are isolated."""
    dim, k = len(box), relaxed.n_switches
    nothing = (np.empty((0, dim)), np.empty((0, k)), np.empty((0, dim + k, dim + k)), np.empty(0, dtype=bool))
    if k == 0:
        return nothing
    diagonal = diagonal_of(box)

    def switches(w: Tensor) -> Tensor:
        return relaxed(w, lambda _, s: torch.sign(s))[1]

    around = torch.func.vmap(switches)(torch.from_numpy(sobol_starts(box, 256))).numpy()
    width = WIDTH * np.maximum(np.nanmedian(np.abs(around), axis=0), 1e-300)

    def smooth(factor: float) -> Callable[[Tensor], Tensor]:
        return lambda w: relaxed(w, lambda i, s: torch.tanh(s / (factor * float(width[i]))))[0]

    def augmented(v: Tensor) -> Tensor:
        return torch.cat(relaxed(v[:dim], lambda i, _: v[dim + i]))

    options: dict[str, Any] = {"n_starts": N_STARTS, "tolerance": 1e-9}
    if dim + k > LARGEST_TRACED_DIM:
        options["n_starts"] = N_STARTS_LARGE
    coarse = search_zeros(value_and_jacobian(smooth(WIDE / WIDTH), dim), box, **options)[0]
    coarse = search_zeros(value_and_jacobian(smooth(1.0), dim), box, starts=coarse, **options)[0]
    if len(coarse) == 0:
        return nothing
    with torch.no_grad():
        s = torch.func.vmap(lambda w: relaxed(w, lambda i, s: torch.tanh(s / float(width[i])))[1])(
            torch.from_numpy(coarse)
        ).numpy()
    sigma = np.tanh(s / width)
    active = np.abs(sigma) < SETTLED
    kinked = active.any(axis=1)
    x, sigma, active = coarse[kinked], sigma[kinked], active[kinked]
    if len(x) == 0:
        return nothing
    side = np.sign(sigma)
    evaluate = value_and_jacobian(augmented, dim + k)
    v = np.concatenate([x, np.where(active, sigma, side)], axis=1)
    v0 = v
    with np.errstate(all="ignore"):
        for _ in range(N_NEWTON):
            value, jacobian = _held(evaluate, v, active, side, dim)
            v = v + np.nan_to_num(newton_steps(value, jacobian))
        value, jacobian = _held(evaluate, v, active, side, dim)
    step = newton_steps(value, jacobian)
    scaled = _scaled(jacobian, diagonal, width / WIDTH, active, dim)
    margin = 1e-9 * (box[:, 1] - box[:, 0])
    good = ((v[:, :dim] >= box[:, 0] - margin) & (v[:, :dim] <= box[:, 1] + margin)).all(axis=1)
    good &= np.linalg.norm(step[:, :dim], axis=1) <= 1e-9 * diagonal
    good &= (np.abs(v[:, dim:]) <= 1 + 1e-9).all(axis=1)
    good &= np.linalg.norm(v[:, :dim] - v0[:, :dim], axis=1) <= 0.05 * diagonal
    jumps = np.abs(jacobian[:, :dim, dim:]).max(axis=1)
    good &= (active & (jumps > 1e-9 * np.abs(jacobian[:, :dim]).max(axis=(1, 2))[:, None])).any(axis=1)
    v, jacobian, scaled = v[good], jacobian[good], scaled[good]
    if len(v) == 0:
        return nothing
    keep = merge_index(v[:, :dim], np.zeros(len(v)), 1e-7 * diagonal)
    v, jacobian, scaled = v[keep], jacobian[keep], scaled[keep]
    _, singular, vectors = np.linalg.svd(scaled)
    # the sides may be free at a point that is alone
    free = (singular <= 1e-7 * singular[:, :1])[:, :, None] * vectors[:, :, :dim]
    return v[:, :dim], v[:, dim:], jacobian, np.abs(free).max(axis=(1, 2)) <= 1e-6


def _held(
    evaluate: Callable[[Array], tuple[Array, Array]],
    v: Array,
    active: npt.NDArray[np.bool_],
    side: Array,
    dim: int,
) -> tuple[Array, Array]:
    """G, and s of the kinks that the point is on, sigma - (+-1) of the others; with the Jacobian."""
    value, jacobian = (np.array(a) for a in evaluate(v))
    row, kink = np.nonzero(~active)
    value[row, dim + kink] = v[row, dim + kink] - side[row, kink]
    jacobian[row, dim + kink] = 0.0
    jacobian[row, dim + kink, dim + kink] = 1.0
    return value, jacobian


def _scaled(jacobian: Array, diagonal: float, sizes: Array, active: npt.NDArray[np.bool_], dim: int) -> Array:
    """The Jacobian in units of the box, of the switching functions and of the gradient."""
    scaled = jacobian.copy()
    scaled[:, :, :dim] *= diagonal
    scaled[:, dim:] /= np.where(active, sizes, 1.0)[:, :, None]
    size = np.abs(scaled[:, :dim]).max(axis=(1, 2), keepdims=True)
    scaled[:, :dim] /= np.where(size > 0, size, 1.0)
    return scaled


def in_hull(field: Callable[[Array], Array], x: Array, distance: float) -> bool:
    """Whether 0 is in the convex hull of the field beside x."""
    u = directions(len(x))
    values = field(x + distance * np.concatenate([u, -u]))
    values = values[np.isfinite(values).all(axis=1)]
    size = float(np.linalg.norm(values, axis=1).max(initial=0.0))
    if size == 0:
        return False
    rows = np.concatenate([values.T / size, np.ones((1, len(values)))])
    return bool(nnls(rows, np.append(np.zeros(len(x)), 1.0))[1] <= HULL)


def _kind(loss: Landscape, x: Array, jacobian: Array, sigma: Array, diagonal: float) -> str:
    """The kind of a point at rest on a kink of the loss, from d(G, s)/d(x, sigma)."""
    dim = loss.dim
    on = np.abs(sigma) < SETTLED
    held = jacobian[dim:, dim:]
    met = ~((np.diag(held) == 1) & (np.abs(jacobian[dim:, :dim]).max(axis=1) == 0))
    normals, jumps = jacobian[dim:, :dim][met], jacobian[:dim, dim:][:, met]
    if np.linalg.matrix_rank(normals) == dim:  # a corner, about which the loss is of first order
        rises = loss.value(x + BESIDE * diagonal * directions(dim)) - loss.value(x)
        if (rises > 0).all():
            return "minimum"
        return "maximum" if (rises < 0).all() else "saddle"
    across = (normals * jumps.T).sum(axis=1)
    tangent = np.linalg.svd(normals)[2][np.linalg.matrix_rank(normals) :]
    reduced = tangent @ jacobian[:dim, :dim] @ tangent.T
    curvature = np.linalg.eigvalsh((reduced + reduced.T) / 2) if len(reduced) else np.empty(0)
    size = max(float(np.abs(jacobian[:dim, :dim]).max()), 1e-300)
    if (np.abs(curvature) <= FLAT * size).any() or not on[met].all() or (across == 0).any():
        return "degenerate"
    if (across > 0).all() and (curvature > 0).all():
        return "minimum"
    if (across < 0).all() and (curvature < 0).all():
        return "maximum"
    return "saddle"

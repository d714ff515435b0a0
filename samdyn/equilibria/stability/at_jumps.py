"""Capture sets of critical points under a normalised rule, where the field jumps and no Jacobian exists.

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

Algorithm (`capture_radius`)
----------------------------
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

Algorithm (`chatter_radii`)
---------------------------
A map cannot stop at a jump: it hovers within O(lr r): on the attracting 2-cycle of the top mode or, where
only negative modes exist, in bounded chaos. How far is read off a simulation of the map itself from
`N_ORBITS` points around z, at the scale lr r |lambda|_max, over `CHATTER_STEPS` steps or, if that is longer,
one e-folding time of the slowest negative mode (at most `MOST_CHATTER_STEPS`). The radius is the largest
distance over the last quarter. It is infinite, and the point does not trap the map, if

- that exceeds 1.2 times the largest distance over the second quarter (the orbits are leaving) or ten times
  the scale (they have left); or
- the orbits drift along a negative mode, without crossing z, by more in each quarter than in the one before
  (they leave slowly: most of those that move steadily along the mode must agree); or
- an orbit hovers beside z, not about it: over the last quarter its mean is more than `FEW_SWINGS` times as
  far from z as the orbit from its mean. So is one that came to rest at a hallucinated point. A 2-cycle across
  a valley that drifted to where the valley is flatter, a few swings from z, still belongs to z.

Of a map whose rule has memory the orbits begin with memory that has settled at their starts, and are followed
for `MEMORIES` times as long as memory takes to fade, at most `LONGEST` steps: second moments that fade slowly
let steps grow in bursts. They may swing as far as the perturbation reaches. Whether the point traps is then
read off these orbits alone; the capture radius remains the radius of the flow, where the rule has one.

References
----------
The quadratic case and the discrete windows: Monzio Compagnoni et al. (arXiv 2301.08203), Bartlett, Long &
Bousquet (2022), and own derivation, checked in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.equilibria.newton import newton_steps
from samdyn.jobs.cost import seconds_of
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.scales import diagonal_of
from samdyn.numerics.sphere import directions
from samdyn.rules.rule import Rule
from samdyn.systems.flow import Flow
from samdyn.systems.jump import attracts, descent_beside, jump_length, seconds_of_attracts
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.trace import batch
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

FLAT = 1e-6  # of the largest Hessian eigenvalue: one below it makes a point degenerate
NO_HESSIAN = 1e-8  # of its size at the distance r: a Hessian below it is rounding
MOST_BYTES = 1 << 31  # of the Hessians on one shell
TILE_BYTES = 1 << 28  # of the Hessians held at a time, where one shell has fewer
N_SHELLS = 48
N_FINER = 24
REFINEMENTS = 3
NEWTON_STEPS = 8
N_ORBITS = 32
CHATTER_STEPS = 800
MOST_CHATTER_STEPS = 4000  # a slower negative mode is judged by what the run shows of it
MEMORIES = 16  # memories after which a run about a point ends,
LONGEST = 16_000  # or after so many steps
INNER = (
    0.25  # of the perturbation's length, which is the capture radius of a quadratic: orbits start within it
)
FEW_SWINGS = 10.0  # how far beside z an orbit about it may have its mean
CONFINED = 1e-9  # ratio of the singular values of directions that span no more than a hyperplane
STEADY = 1e-4  # relative change over half a run, above what averages over a 2-cycle leave to rounding

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
    of_gradient /= np.linalg.norm(of_gradient, axis=1, keepdims=True)
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


def chatter_radii(system: Map, z: Array) -> Array:
    """How far from each critical point the map hovers.

    Parameters
    ----------
    system : Map
        Made from a loss and a rule that jumps.
    z : ndarray, shape (n, dim)
        Critical points of the loss.

    Returns
    -------
    ndarray, shape (n,)
        Largest distance over the last quarter of the run; inf where the orbits leave.
    """
    assert system.landscape is not None
    hessian = system.landscape.hessian(z)
    eigenvalues = np.linalg.eigvalsh(hessian)
    scale = hover_scale(system, z, eigenvalues)
    start = hover_starts(system, z, scale)
    step = numpy_form(traced_or_batched(system.point_function(), system.state_dim))
    state: Sequence[Array] = list(np.ascontiguousarray(start.reshape(-1, system.state_dim).T))
    return hover_radii(
        lambda state: step(*state),
        state,
        z,
        scale,
        negative_modes(hessian),
        max(hover_steps(eigenvalues, system.coefficients()["lr"]), steps_of_memory(system, start[0, 0])),
    )


def has_memory(system: Map) -> bool:
    """Whether the rule of a map has memory."""
    return system.rule is not None and system.rule.memory


def steps_of_memory(system: Map, state: Array) -> int:
    """Steps in which the memory of the rule fades many times over, 0 without memory: from the part of the
    Jacobian at a state that maps memory to memory, whose largest multiplier below 1 fades last.
    """
    if not has_memory(system):
        return 0
    assert system.rule is not None
    own = system.state_dim - system.rule.memory_length(system.dim)
    fades = np.abs(np.linalg.eigvals(system.jacobian(state)[own:, own:]))
    slowest = float(fades[fades < 1 - 1 / LONGEST].max(initial=0.0))
    return int(min(LONGEST, MEMORIES / (1 - slowest)))


def hover_scale(system: Map, z: Array, eigenvalues: npt.NDArray[np.floating]) -> Array:
    """How far the map should hover about critical points (n, dim) with Hessians of these eigenvalues."""
    assert system.landscape is not None and system.rule is not None
    lr = system.coefficients()["lr"]
    length = _lengths(system.rule, z)
    # the 2-cycle of a positive mode has the amplitude lr r lambda / (2 - lr lambda)
    widened = np.abs(eigenvalues) / np.where(eigenvalues > 0, np.maximum(1 - lr * eigenvalues / 2, 1e-3), 1.0)
    scale = lr * length * widened.max(axis=-1) / (1 - system.momentum)
    # a degenerate point has no such scale: there it is the step from just beside the point
    beside = z[:, None] + 1e-6 * length[:, None, None] * directions(system.dim)
    if has_memory(system):
        kick = np.linalg.norm(_first_moves(system, beside), axis=-1).max(axis=-1)
        scale = np.maximum(scale, length / 10)  # averages turn late: orbits swing as far as e reaches
    else:
        kick = lr * np.linalg.norm(Flow(system.landscape, system.rule)(beside), axis=-1).max(axis=-1)
    kick = kick / (1 - system.momentum)
    return np.asarray(np.where(scale < 1e-3 * kick, kick, scale))


def hover_starts(system: Map, z: Array, scale: Array) -> Array:
    """States (n, m, state_dim) about critical points: velocities are 0, memory is what settles there."""
    assert system.rule is not None
    around = directions(system.dim)
    around = around[:: max(1, len(around) // N_ORBITS)]
    around = around * np.linspace(0.1, 0.9, len(around))[:, None]
    # with a large lr or momentum the scale reaches beyond what any point captures
    reach = np.minimum(scale, INNER * _lengths(system.rule, z))
    return system.settled(z[:, None] + reach[:, None, None] * around)


def _lengths(rule: Rule, z: Array) -> Array:
    """Lengths (n,) of the perturbation beside points (n, dim)."""
    return np.array([jump_length(rule, point) for point in z])


def _first_moves(system: Map, x: Array) -> Array:
    """x' - x from states whose memory has settled at points (..., dim)."""
    return np.asarray(system.evaluate(system.settled(x))[..., : system.dim] - x)


def hover_radii(
    step: Callable[[Sequence[Array]], Sequence[Array]],
    state: Sequence[Array],
    z: Array,
    scale: Array,
    modes: Array,
    n_steps: int = CHATTER_STEPS,
) -> Array:
    """Largest distances (n,) over the last quarter of orbits about points z (n, dim); inf where one leaves.

    Parameters
    ----------
    step : callable
        The states after a step, from the states.
    state : sequence of ndarray, each of shape (n * m,)
        Coordinates of m starts around each point, followed by any other variables.
    z : ndarray, shape (n, dim)
    scale : ndarray, shape (n,)
        How far the orbits should hover.
    modes : ndarray, shape (n, k, dim)
        Unit eigenvectors of the negative eigenvalues of the Hessian at each point (`negative_modes`), along
        which orbits may leave slowly; rows of zeros are no modes.
    n_steps : int
        Length of the run (`hover_steps`).
    """
    n, dim = z.shape
    m = len(state[0]) // n
    centre = np.repeat(z, m, axis=0).T
    farthest = np.zeros((4, n * m))
    mean, square_sum = np.zeros((4, dim, n * m)), np.zeros((n * m, dim, dim))
    lowest = np.full((dim, n * m), np.inf)
    highest = -lowest
    count = np.zeros(4)
    with np.errstate(all="ignore"):
        for k in range(n_steps):
            state = step(state)
            offset = np.stack([x - c for x, c in zip(state, centre, strict=False)])
            quarter = 4 * k // n_steps
            square = np.nan_to_num((offset**2).sum(axis=0), nan=np.inf)
            farthest[quarter] = np.maximum(farthest[quarter], square)
            mean[quarter] += offset
            count[quarter] += 1
            if quarter == 3:
                square_sum += offset.T[:, :, None] * offset.T[:, None, :]
                lowest, highest = np.minimum(lowest, offset), np.maximum(highest, offset)
        mean /= count[:, None, None]
        last = mean[3]
        extent = (np.maximum(highest - last, last - lowest) ** 2).sum(axis=0)
        # what came to rest elsewhere has hardly any swing; what swings across a valley may do so beside z,
        # where the valley is flatter
        beside = ~((last**2).sum(axis=0) <= FEW_SWINGS**2 * extent).reshape(n, m).all(axis=1)
        covariance = square_sum / count[3] - last.T[:, :, None] * last.T[:, None, :]
        drifting = _drifts_away(mean.reshape(4, dim, n, m), covariance.reshape(n, m, dim, dim), modes)
    before, after = np.sqrt(farthest[[1, 3]].reshape(2, n, m).max(axis=2))
    stays = (after <= 1.2 * before) & (after <= 10 * scale) & ~beside & ~drifting
    return np.where(stays, after, np.inf)


def _drifts_away(mean: Array, covariance: Array, modes: Array) -> npt.NDArray[np.bool_]:
    """Which of n points are left along a negative mode, more slowly than the run is long.

    The component of an orbit along the mode is then steady (its mean over a quarter of the run exceeds its
    fluctuation, whereas an orbit that jumps to and fro across z has a mean near 0), and grows from quarter to
    quarter by ever larger amounts (an orbit that settles beside z grows by ever smaller ones).
    """
    along = np.abs(np.einsum("qdnm,nkd->qnkm", mean, modes))
    spread = np.sqrt(np.maximum(np.einsum("nkd,nmde,nke->nkm", modes, covariance, modes), 0.0))
    steady = along[3] > spread
    growth = np.where(steady, np.log(along[3] / along[1]), np.nan)
    faster = along[3] - along[2] >= (along[2] - along[1]) * (1 - STEADY)
    growing = steady & faster & (growth > STEADY)
    # noise of the fast modes makes single orbits drift either way: most of the steady ones must agree
    agree = growing.sum(axis=2) > 0.75 * np.maximum(steady.sum(axis=2), along.shape[3] / 4)
    return np.asarray(agree.any(axis=1))


def negative_modes(hessian: Array) -> Array:
    """Unit eigenvectors (n, dim, dim), in rows, of the negative eigenvalues of Hessians; zeros for others."""
    eigenvalues, vectors = np.linalg.eigh(hessian)
    size = np.abs(eigenvalues).max(axis=-1, keepdims=True)
    return np.asarray(np.swapaxes(vectors, -1, -2) * (eigenvalues < -FLAT * size)[..., None])


def hover_steps(eigenvalues: npt.NDArray[np.floating], lr: npt.ArrayLike) -> int:
    """Length of a run in which the slowest negative mode shows which way it goes, within bounds."""
    size = np.abs(eigenvalues).max(axis=-1, keepdims=True, initial=1e-300)
    negative = np.where(eigenvalues < -FLAT * size, -eigenvalues, np.inf)
    rate = np.asarray(lr)[..., None] * negative
    slowest = float(np.where(np.isfinite(rate), rate, np.inf).min(initial=np.inf))
    return int(np.clip(1 / max(slowest, 1e-300), CHATTER_STEPS, MOST_CHATTER_STEPS))


def kind_of(hessian: Array) -> str:
    """The kind of a critical point from its Hessian."""
    eigenvalues = np.linalg.eigvalsh(hessian)
    if (np.abs(eigenvalues) <= FLAT * max(np.abs(eigenvalues).max(), 1e-300)).any():
        return "degenerate"
    if (eigenvalues > 0).all():
        return "minimum"
    return "maximum" if (eigenvalues < 0).all() else "saddle"


def _confined(loss: Landscape, rule: Rule, z: Array) -> bool:
    """Whether the rule's direction stays in a hyperplane beside z, so that it rests on a curve through z."""
    size = np.linalg.svd(descent_beside(loss, rule, z, directions(loss.dim)), compute_uv=False)
    return bool(size[-1] <= CONFINED * size[0])


def label_where_left(system: System, z: Array, drawn: bool = True) -> str:
    """The label of a critical point z (dim,) that a system leaves: "repelling" or "saddle".

    It repels if all directions beside it lead away; and, if it is no saddle of the loss, where the flow is
    `drawn` onto it but the map leaves, or the rule has memory, of which the flow says nothing.
    """
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    aside = 1e-6 * (jump_length(rule, z) or 1.0) * directions(system.dim)
    if isinstance(system, Map) and rule.memory:
        moves = _first_moves(system, z + aside)
    else:
        moves = (system if isinstance(system, Flow) else Flow(loss, rule))(z + aside)
    if ((moves * aside).sum(axis=-1) > 0).all():
        return "repelling"
    return "repelling" if drawn and kind_of(loss.hessian(z)) != "saddle" else "saddle"


def jump_stability(system: System, z: Array, reach: float | None = None) -> list[tuple[str, float, float]]:
    """Stability of critical points (n, dim) under a rule that jumps there, with their capture and chatter
    radii.
    """
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    check_size(system.dim)
    if isinstance(system, Map) and rule.memory:
        return _stability_has_memory(system, z, reach)
    flow = system if isinstance(system, Flow) else Flow(loss, rule)
    length = _lengths(rule, z)
    reaches = [reach_of(system, each) if reach is None else reach for each in length]
    # where the Hessian vanishes, if for rounding, it cannot say what attracts: a ball does, or nothing
    around = np.abs(loss.hessian(z[:, None] + length[:, None, None] * directions(system.dim))).max(
        axis=(1, 2, 3)
    )
    flat = np.abs(loss.hessian(z)).max(axis=(1, 2)) <= NO_HESSIAN * around
    drawn = flat | np.array([attracts(loss, rule, point, flow.form) for point in z], dtype=bool)
    evaluate = evaluation(flow, many=len(z) > 2)
    capture = np.array(
        [
            capture_radius(flow, point, float(far), evaluate) if ok else np.nan
            for point, far, ok in zip(z, reaches, drawn, strict=True)
        ]
    )
    drawn &= ~flat | (capture > 0)
    capture[~drawn] = np.nan
    chatter = chatter_radii(system, z) if isinstance(system, Map) else np.zeros(len(z))
    result = []
    for i in range(len(z)):
        if not rule.plain and _confined(loss, rule, z[i]):
            result.append(("marginal", float("nan"), float("nan")))
            continue
        # of a map its own simulation decides: it hovers, and need not do what its flow does
        if np.isfinite(chatter[i]) if isinstance(system, Map) else drawn[i]:
            result.append(("trapping", float(capture[i]), float(chatter[i])))
        else:
            result.append((label_where_left(system, z[i], bool(drawn[i])), float("nan"), float("nan")))
    return result


def _stability_has_memory(system: Map, z: Array, reach: float | None) -> list[tuple[str, float, float]]:
    """`jump_stability` of a map whose rule has memory: its own orbits decide.

    What perturbs is remembered, so that the flow beside the point says nothing on whether the map stays.
    """
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    chatter, length = chatter_radii(system, z), _lengths(rule, z)
    flow = None if rule.without_flow else Flow(loss, rule)
    result = []
    for i in range(len(z)):
        if np.isfinite(chatter[i]):
            far = reach_of(system, length[i]) if reach is None else reach
            # whether the flow attracts is not looked at: 0 would say that it does
            capture = 0.0 if flow is None else capture_radius(flow, z[i], float(far))
            result.append(("trapping", capture or float("nan"), float(chatter[i])))
        else:
            result.append((label_where_left(system, z[i]), float("nan"), float("nan")))
    return result

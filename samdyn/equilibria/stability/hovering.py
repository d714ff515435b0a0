"""How far about a critical point a map hovers where its field jumps: it cannot rest there.

Algorithm
---------
A map cannot stop at a jump: it hovers within O(lr r): on the attracting 2-cycle of the top mode or, where
only negative modes exist, in bounded chaos. How far is read off a simulation of the map itself from
`N_ORBITS` points around z, at the scale lr r |lambda|_max, over `CHATTER_STEPS` steps or, if that is longer,
one e-folding time of the slowest negative mode (at most `MOST_CHATTER_STEPS`). The radius is the largest
distance over the last quarter. It is infinite, and the point does not trap the map, if

- that exceeds 1.2 times the largest distance over the second quarter, and the largest root mean square of an
  orbit's distances does so too (the orbits are leaving; of chaos that stays, which second moments cause, the
  largest distance alone is an extreme value, and may grow by more than that), or it exceeds ten times the
  scale (they have left); or
- the orbits drift along a negative mode, without crossing z, by more in each quarter than in the one before
  (they leave slowly: most of those that move steadily along the mode must agree); or
- an orbit hovers beside z, not about it: over the last quarter its mean is more than `FEW_SWINGS` times as
  far from z as the orbit from its mean. So is one that came to rest at a hallucinated point. A 2-cycle across
  a valley that drifted to where the valley is flatter, a few swings from z, still belongs to z, and so does
  an orbit within `AT_REST` scales of z: some rules have steps that shrink to nothing there.

Of a map whose rule has memory the orbits begin with memory that has settled at their starts, and are followed
for `MEMORIES` times as long as memory takes to fade, at most `LONGEST` steps: second moments that fade slowly
let steps grow in bursts. They may swing as far as the perturbation reaches. Whether the point traps is then
read off these orbits alone; the capture radius remains the radius of the flow, where the rule has one.

References
----------
The discrete windows on quadratics: Bartlett, Long & Bousquet (2022), and own derivation, checked in the
tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.equilibria.stability.critical_kinds import FLAT
from samdyn.numerics.sphere import directions
from samdyn.rules.rule import Rule
from samdyn.systems.flow import Flow
from samdyn.systems.jump import jump_length
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

N_ORBITS = 32
CHATTER_STEPS = 800
MOST_CHATTER_STEPS = 4000  # a slower negative mode is judged by what the run shows of it
MEMORIES = 16  # memories after which a run about a point ends,
LONGEST = 16_000  # or after so many steps
INNER = (
    0.25  # of the perturbation's length, which is the capture radius of a quadratic: orbits start within it
)
FEW_SWINGS = 10.0  # how far beside z an orbit about it may have its mean
AT_REST = 1e-6  # of the scale: an orbit within it has come to z, however small its swings are
GROWN = 1.2  # ratio of the last quarter to the second one, of orbits that leave
STEADY = 1e-4  # relative change over half a run, above what averages over a 2-cycle leave to rounding


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


def has_memory(system: System) -> bool:
    """Whether a system is a map whose rule has memory: a flow does not say whether it stays near a point."""
    return isinstance(system, Map) and system.rule is not None and system.rule.memory


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
    length = lengths_beside(system.rule, z)
    # the 2-cycle of a positive mode has the amplitude lr r lambda / (2 - lr lambda)
    widened = np.abs(eigenvalues) / np.where(eigenvalues > 0, np.maximum(1 - lr * eigenvalues / 2, 1e-3), 1.0)
    scale = lr * length * widened.max(axis=-1) / (1 - system.momentum)
    # a degenerate point has no such scale: there it is the step from just beside the point
    beside = z[:, None] + 1e-6 * length[:, None, None] * directions(system.dim)
    if has_memory(system):
        kick = np.linalg.norm(first_moves(system, beside), axis=-1).max(axis=-1)
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
    reach = np.minimum(scale, INNER * lengths_beside(system.rule, z))
    return system.settled(z[:, None] + reach[:, None, None] * around)


def lengths_beside(rule: Rule, z: Array) -> Array:
    """Lengths (n,) of the perturbation beside points (n, dim)."""
    return np.array([jump_length(rule, point) for point in z])


def first_moves(system: Map, x: Array) -> Array:
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
    farthest, squares = np.zeros((4, n * m)), np.zeros((4, n * m))
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
            squares[quarter] += square
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
        at_z = (
            farthest[3] <= (AT_REST * np.repeat(scale, m)) ** 2
        )  # steps of some rules shrink to nothing there
        beside = ~(at_z | ((last**2).sum(axis=0) <= FEW_SWINGS**2 * extent)).reshape(n, m).all(axis=1)
        covariance = square_sum / count[3] - last.T[:, :, None] * last.T[:, None, :]
        drifting = _drifts_away(mean.reshape(4, dim, n, m), covariance.reshape(n, m, dim, dim), modes)
        squares /= count[:, None]
    before, after = np.sqrt(farthest[[1, 3]].reshape(2, n, m).max(axis=2))
    usual_before, usual_after = np.sqrt(squares[[1, 3]].reshape(2, n, m).max(axis=2))
    leaving = (after > GROWN * before) & (usual_after > GROWN * usual_before)
    stays = ~leaving & (after <= 10 * scale) & ~beside & ~drifting
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

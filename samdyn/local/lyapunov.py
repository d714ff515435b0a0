"""Lyapunov exponents of maps and flows: the QR method on many pieces of an orbit at once.

Algorithm
---------
1. A flow is replaced by the map of one Runge-Kutta step of order 4, whose derivative is what the same method
   gives for the variational equation; its exponents are divided by dt.
2. The orbit is followed for `transient` steps, which are dropped, then for `n_steps`.
3. It is cut into segments, and a frame is carried through all of them at once: Q <- J(x) Q, Q = Q' R by
   Gram-Schmidt, with log|R_ii| summed. A segment's frame starts early, by a quarter of its length, with a
   fixed random orientation, so that it can turn to where the frame of the uncut orbit is. Whether it has is
   tested: if frames are off by more than `MISALIGNED` from those with which the segments before ended (and
   the logs do change along the segments), it is done again with a quarter of the segments. Many starts
   need no segments.
4. The exponents are means over the segments; the standard error is that of independent batches of them,
   which the segments are to a good approximation when they are long.
It stops after `n_steps` steps and never before. An orbit that diverges has nan exponents.

Error: beside the statistical one, O(dt^4) for a flow. Where two exponents are equal the frame does not settle
on single directions, but the sum of the two is right.

References
----------
Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15 (1980) 9-30. Shimada & Nagashima, Prog. Theor. Phys. 61
(1979) 1605-1616.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.compute.iterate import iterate_scalar
from samdyn.compute.printing import numpy_form
from samdyn.compute.tracing import traced_or_batched
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

LANES = 512  # frames that are carried at once
SHORTEST = 256  # steps in a segment of a map; a flow takes short steps, and eight times as many
EARLIEST = 100  # steps of the transient, at least
N_BATCHES = 16  # at least, for the standard error
MISALIGNED = 1e-3  # 1 - cosine
MOST_STORED = 1 << 25  # numbers of an orbit that is kept to be cut into segments
STEP = 0.25  # dt |J| of a flow's step by default


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum:
    """Lyapunov exponents, of one start or of many.

    Attributes
    ----------
    exponents : ndarray, shape (..., k)
        Largest first: per step of a map, per unit of time of a flow. nan where the orbit diverged.
    standard_error : ndarray, shape (..., k)
        Of each; of the time average over this orbit, not of the method.
    n_steps : int
        Steps averaged over.
    dt : float
        Length of a step: 1 for a map.
    system : str
        Whose they are.
    """

    exponents: Array
    standard_error: Array
    n_steps: int
    dt: float
    system: str

    @property
    def largest(self) -> Array:
        """The largest exponent of each start, shape (...)."""
        return np.asarray(self.exponents[..., 0])

    @property
    def sum(self) -> Array:
        """Sum of the exponents: the rate at which volumes grow, if all were computed."""
        return np.asarray(self.exponents.sum(axis=-1))

    @property
    def dimension(self) -> Array:
        """Kaplan-Yorke dimension of each start, shape (...)."""
        flat = self.exponents.reshape(-1, self.exponents.shape[-1])
        return np.array([_kaplan_yorke(row) for row in flat]).reshape(self.exponents.shape[:-1])

    def _rows(self) -> list[str]:
        values = self.exponents.reshape(-1, self.exponents.shape[-1])
        errors = self.standard_error.reshape(values.shape)
        return [
            ", ".join(f"{v:.6g} ± {e:.1g}" for v, e in zip(value, error, strict=True))
            for value, error in zip(values[:8], errors[:8], strict=True)
        ]

    def __repr__(self) -> str:
        unit = "per step" if self.dt == 1 else "per unit of time"
        n = int(np.prod(self.exponents.shape[:-1]))
        more = [f"  ... of {n} starts"] if n > 8 else []
        head = f"LyapunovSpectrum of {self.system}, {unit}, {self.n_steps} steps"
        return "\n".join([head, *("  " + row for row in self._rows()), *more])

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{row}</td></tr>" for row in self._rows())
        return f"<p>Lyapunov exponents of <code>{self.system}</code></p><table>{rows}</table>"


def lyapunov_exponents(
    system: System,
    x0: npt.ArrayLike,
    n_steps: int,
    *,
    n_exponents: int | None = None,
    dt: float | None = None,
    transient: int | None = None,
) -> LyapunovSpectrum:
    """Lyapunov exponents along orbits of a map or a flow.

    Parameters
    ----------
    system : Map or Flow
        Of a Map the noiseless step. A flow whose field jumps is refused: it stops at the jumps.
    x0 : array_like, shape (..., dim)
        Starts, or states (..., 2 dim) of a map with momentum.
    n_steps : int
        Steps to average over; of a flow each has the length dt.
    n_exponents : int, optional
        How many, from the largest; all by default.
    dt : float, optional
        Step of a flow; by default a quarter of 1/|J| at the starts.
    transient : int, optional
        Steps dropped before; by default a tenth of n_steps and at least 100.

    Returns
    -------
    LyapunovSpectrum

    Raises
    ------
    TypeError, ValueError
        Not a map or a flow, a coefficient on a schedule, a start of the wrong shape, a flow that jumps.

    Notes
    -----
    Cost: n_steps evaluations of the step and its Jacobian for each start, vectorised over starts and over
    segments of the orbit. The algorithm is in the module's documentation (`samdyn.local.lyapunov`). Under
    normalised SAM the orbit around a minimum settles on a 2-cycle (negative exponents); around a maximum it
    is bounded chaos: on a quadratic of curvature -a the exponent is log(1 + lr a).

    References
    ----------
    Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15 (1980) 9-30.

    Examples
    --------
    >>> import samdyn as sd
    >>> hover = sd.Map(sd.landscapes.quadratic([[-1.0]]), sd.SAM(0.5), lr=0.2)
    >>> sd.lyapunov_exponents(hover, [0.05], 1000).exponents.round(6)  # log 1.2
    array([0.182322])
    """
    if not isinstance(system, Map | Flow):
        raise TypeError(f"system must be a Map or a Flow, got {system!r}")
    if getattr(system, "scheduled", False):
        raise ValueError(f"system must have constant coefficients to have exponents, got {system!r}")
    if isinstance(system, Flow) and system.rule is not None and system.rule.jumps:
        raise ValueError(
            f"system must not jump to have exponents as a flow, got {system!r}: its paths stop at the jumps; "
            "the Map with a small lr has exponents"
        )
    n = system.state_dim
    starts = _states(system, x0)
    n_steps = checks.integer("n_steps", n_steps, at_least=1)
    k = n if n_exponents is None else checks.integer("n_exponents", n_exponents, at_least=1, below=n + 1)
    if transient is None:
        transient = max(EARLIEST, n_steps // 10)
    transient = checks.integer("transient", transient, at_least=0)
    flat = starts.reshape(-1, n)
    if isinstance(system, Flow):
        dt = _step_length(system, flat) if dt is None else checks.number("dt", dt, above=0)
        step = runge_kutta(system.point_function(), dt)
    else:
        if dt is not None:
            raise ValueError(f"dt must be left out for a Map, whose time is its step, got {dt!r}")
        dt, step = 1.0, system.point_function()
    with np.errstate(all="ignore"):
        shortest = SHORTEST if isinstance(system, Map) else 8 * SHORTEST
        sums = _sums(step, flat, n_steps, k, transient, shortest)  # (starts, batches, k)
        exponents = sums.mean(axis=1) / dt
        error = sums.std(axis=1, ddof=1) / dt / sums.shape[1] ** 0.5 if sums.shape[1] > 1 else 0 * exponents
        order = np.argsort(-exponents, axis=-1, kind="stable")
        exponents, error = (np.take_along_axis(v, order, axis=-1) for v in (exponents, error))
    shape = (*starts.shape[:-1], k)
    return LyapunovSpectrum(exponents.reshape(shape), error.reshape(shape), n_steps, dt, repr(system))


def runge_kutta(field: Callable[[Tensor], Tensor], dt: float) -> Callable[[Tensor], Tensor]:
    """One step of the classical Runge-Kutta method as a torch function of one point."""

    def step(x: Tensor) -> Tensor:
        k1 = field(x)
        k2 = field(x + dt / 2 * k1)
        k3 = field(x + dt / 2 * k2)
        k4 = field(x + dt * k3)
        return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return step


def _states(system: System, x0: npt.ArrayLike) -> Array:
    """Starts as states; points of a map with momentum start from rest."""
    value: Any = getattr(x0, "x", x0)
    if system.state_dim != system.dim and np.shape(value)[-1:] == (system.state_dim,):
        return checks.points("x0", value, system.state_dim)
    x = checks.points("x0", value, system.dim)
    rest = np.zeros((*x.shape[:-1], system.state_dim - system.dim))
    return np.concatenate([x, rest], axis=-1)


def _step_length(system: Flow, starts: Array) -> float:
    steepness = np.linalg.norm(system.jacobian(starts), ord=2, axis=(-1, -2))
    largest = float(steepness.max()) if len(steepness) else 0.0
    if not np.isfinite(largest) or largest == 0:
        raise ValueError("dt must be given: the Jacobian at the starts gives no time scale")
    return STEP / largest


def _sums(
    step: Callable[[Tensor], Tensor], starts: Array, n_steps: int, k: int, transient: int, shortest: int
) -> Array:
    """Mean log growth per step in each batch: (starts, batches, k)."""
    n_starts, n = starts.shape
    form = traced_or_batched(step, n)
    advance = numpy_form(form)
    jacobian = numpy_form(traced_or_batched(torch.func.jacrev(step), n))
    n_segments = min(LANES // max(n_starts, 1), n_steps // shortest)
    if n_segments > 1 and n_starts * (n_steps + transient + 1) * n <= MOST_STORED:
        orbit = _orbit(form, advance, starts, transient + n_steps)  # (steps, starts, n)
        while n_segments > 1:
            means, aligned = _in_segments(jacobian, orbit, n_segments, n_steps, k)
            if aligned:
                return means
            n_segments //= 4
        states = list(orbit[transient:].transpose(0, 2, 1))
        return _carry(jacobian, lambda j: states[j], n_starts, n, k, 0, n_steps)[0]
    current = _orbit(form, advance, starts, transient)[-1] if transient else starts
    return _carry(jacobian, _follow(advance, current), n_starts, n, k, 0, n_steps)[0]


def _in_segments(
    jacobian: Callable[..., Any], orbit: Array, n_segments: int, n_steps: int, k: int
) -> tuple[Array, bool]:
    """Means of all segments (starts, batches, k), and whether their frames were aligned from the start."""
    n_starts, n = orbit.shape[1:]
    transient, length = len(orbit) - 1 - n_steps, n_steps // n_segments
    first = transient + length * np.arange(n_segments)
    early = min(max(EARLIEST, length // 4), transient)

    def at(j: int) -> list[Array]:
        return [np.ascontiguousarray(orbit[first - early + j, :, i].T).ravel() for i in range(n)]

    means, before, after = _carry(jacobian, at, n_starts * n_segments, n, k, early, length)
    before, after = (v.reshape(n_starts, n_segments, n, k) for v in (before, after))
    cosine = np.abs(np.einsum("asik,asik->ask", before[:, 1:], after[:, :-1]))
    half = means.shape[1] // 2
    change = means[:, half:].mean(axis=1) - means[:, :half].mean(axis=1)
    settled = bool((np.abs(change) <= 1e-9).all())
    aligned = settled or bool(np.median(1 - cosine, axis=(0, 1)).max() < MISALIGNED)
    return means.reshape(n_starts, -1, k), aligned or not np.isfinite(means).all()


def _follow(advance: Callable[..., Any], current: Array) -> Callable[[int], list[Array]]:
    state = list(np.ascontiguousarray(current.T))

    def at(j: int) -> list[Array]:
        nonlocal state
        here = state
        state = [np.broadcast_to(v, len(current)) for v in advance(*state)]
        return here

    return at


def _orbit(form: Any, advance: Callable[..., Any], starts: Array, n_steps: int) -> Array:
    """States after 0, ..., n_steps steps: (n_steps + 1, starts, n)."""
    if form.traced and len(starts) <= 24:
        return np.stack([iterate_scalar(form, list(s), (), n_steps=n_steps) for s in starts], axis=1)
    following = _follow(advance, starts)
    return np.stack([np.stack(following(j), axis=1) for j in range(n_steps + 1)])


def _carry(
    jacobian: Callable[..., Any],
    at: Callable[[int], list[Array]],
    lanes: int,
    n: int,
    k: int,
    early: int,
    length: int,
) -> tuple[Array, Array, Array]:
    """Carry a frame along each lane: mean logs in batches of steps (lanes, batches, k), and the frames
    (lanes, n, k) when the sums begin and at the end.
    """
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0][:, :k]
    frame = np.repeat(rotation[None], lanes, axis=0)
    n_batches = min(2 if early and lanes >= N_BATCHES else N_BATCHES, length)
    first = frame
    sums = np.zeros((lanes, n_batches, k))
    counts = np.zeros(n_batches)
    for j in range(early + length):
        if j == early:
            first = frame.copy()
        rows = [np.broadcast_to(v, lanes) for v in jacobian(*at(j))]
        matrix = np.stack(rows, axis=-1).reshape(lanes, n, n)
        frame, sizes = _gram_schmidt(matrix @ frame)
        if j >= early:
            batch = (j - early) * n_batches // length
            sums[:, batch] += np.log(sizes)
            counts[batch] += 1
    return sums / counts[:, None], first, frame


def _gram_schmidt(frame: Array) -> tuple[Array, Array]:
    """Orthonormal frames (lanes, n, k) and the diagonals of R (lanes, k)."""
    sizes = np.empty((len(frame), frame.shape[2]))
    for i in range(frame.shape[2]):
        column = frame[:, :, i]
        sizes[:, i] = np.sqrt((column * column).sum(axis=1))
        # a direction that the map annihilates has the exponent -inf and stays zero
        column /= np.where(sizes[:, i] > 0, sizes[:, i], 1.0)[:, None]
        rest = frame[:, :, i + 1 :]
        rest -= column[:, :, None] * np.einsum("ln,lnk->lk", column, rest)[:, None, :]
    return frame, sizes


def _kaplan_yorke(exponents: Array) -> float:
    if not np.isfinite(exponents).all():
        return float("nan")
    total = np.cumsum(exponents)
    whole = int((total >= 0).sum())
    if whole == 0 or whole == len(exponents):
        return float(whole)
    return whole + float(total[whole - 1] / abs(exponents[whole]))

"""Lyapunov exponents of maps and flows: the QR method, with frames carried along whole orbits.

Algorithm
---------
1. A flow is replaced by the map of one Runge-Kutta step of order 4, whose derivative is what the same method
   gives for the variational equation; its exponents are divided by dt. Where dt times the norm of the
   Jacobian at the starts or along the orbit exceeds `LONGEST`, each dt is divided into as many equal steps as
   make it smaller, and the orbit is followed again: a step that is long against the stiffness is never used.
2. A frame of k directions is carried along the orbit for `transient` steps, which are dropped, then for
   `n_steps`, without a break (`samdyn.orbit.lyapunov_frames`): Q <- J(x) Q, Q = Q' R by Gram-Schmidt, with
   log|R_ii| summed.
3. The exponents are means over the orbit. Their error is the error of the time average, from batches
   (`samdyn.orbit.lyapunov_error`: independent ones, or, where the orbit is short against its correlation time
   or the mean still moves, the range of its quarters), and for a flow the error of the step: the logs of one
   step against the logs of four steps of a quarter of its length, at `N_COMPARED` points of the orbit.

It stops after `n_steps` steps and never before. An orbit that diverges has nan exponents.

References
----------
Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15 (1980) 9-30. Shimada & Nagashima, Prog. Theor. Phys. 61
(1979) 1605-1616.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.orbit.lyapunov_error import N_FINE, AverageError, average_error
from samdyn.orbit.lyapunov_frames import FEW_COORDINATES, Frames
from samdyn.results import Result, Rows, Table
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.systems.tangent import pushed

EARLIEST = 100  # steps of the transient, at least
MOST_STORED = 1 << 25  # numbers that are kept of the states along the orbit
STEP = 0.25  # dt |J| of a flow's step by default
LONGEST = 0.5  # dt |J| of a flow's step at most, at the states looked at
ROUNDS = 6  # times that an orbit is followed again with shorter steps
REST = 1.1  # the error of the step over its difference to shorter ones: 256/255 for order 4, with a margin
N_COMPARED = 64  # states at which a step is compared with four shorter ones


@dataclass(frozen=True, eq=False, repr=False)
class LyapunovSpectrum(Result):
    """Lyapunov exponents, of one start or of many.

    Attributes
    ----------
    exponents : ndarray, shape (..., k)
        Largest first: per step of a map, per unit of time of a flow. nan where the orbit diverged.
    standard_error : ndarray, shape (..., k)
        Of each as a time average over this orbit. Where `correlated`, half the range of the means of the
        orbit's quarters.
    n_steps : int
        Steps averaged over.
    dt : float
        Length of a step: 1 for a map.
    system : str
        Whose they are.
    correlated : ndarray of bool, shape (..., k)
        Where batches of the orbit are not independent: it is short against its correlation time, or the mean
        still moves.
    discretisation : ndarray, shape (k,)
        Error of the Runge-Kutta step of a flow; 0 for a map.
    n_batches : int
        Independent batches behind the standard error.
    """

    cited = ("benettin1980",)
    row = "start"

    exponents: Array
    standard_error: Array
    n_steps: int
    dt: float
    system: str
    correlated: npt.NDArray[np.bool_] | None = None
    discretisation: Array | None = None
    n_batches: int = 20

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

    @checked
    def interval(self, level: float = 0.95) -> Array:
        """Intervals of this confidence, shape (..., k, 2): of the time average by Student's law over batches,
        widened by the error of the step. Where `correlated` they are as wide as the quarters of the orbit
        differ, and their confidence is not known more closely than that.
        """
        level = checks.number("level", level, above=0, below=1)
        flags = np.zeros(self.exponents.shape, dtype=bool) if self.correlated is None else self.correlated
        half = AverageError(self.standard_error, flags, self.n_batches).half_width(level)
        if self.discretisation is not None:
            half = half + self.discretisation
        return np.stack([self.exponents - half, self.exponents + half], axis=-1)

    def table(self) -> Table:
        """The exponents of each start, with their intervals."""
        unit = "per step" if self.dt == 1 else "per unit of time"
        values = self.exponents.reshape(-1, self.exponents.shape[-1])
        errors = np.diff(self.interval(), axis=-1).reshape(values.shape) / 2

        def row(i: int) -> tuple[str]:
            pairs = zip(values[i], errors[i], strict=True)
            return (", ".join(f"{v:.6g} ± {e:.1g}" for v, e in pairs),)

        moving = self.correlated is not None and bool(self.correlated.any())
        note = ["batches are correlated: ± is how far the quarters of the orbit differ"] if moving else []
        title = f"LyapunovSpectrum of {self.system}, {unit}, {self.n_steps} steps, ± 95 %"
        return Table(title, Rows(len(values), row), notes=note)


@checked
def lyapunov_exponents(
    system: System,
    x0: npt.ArrayLike,
    n_steps: int,
    *,
    n_exponents: int | None = None,
    dt: float | None = None,
    transient: int | None = None,
    progress: bool = False,
) -> LyapunovSpectrum:
    """Lyapunov exponents along orbits of a map or a flow.

    Parameters
    ----------
    system : Map or Flow
        Of a Map the noiseless step. A flow whose field jumps is refused: it stops at the jumps.
    x0 : array_like, shape (..., dim)
        Starts, or states (..., 2 dim) of a map with momentum.
    n_steps : int
        Steps to average over; of a flow each stands for the time dt.
    n_exponents : int, optional
        How many, from the largest; all by default.
    dt : float, optional
        Step of a flow; by default a quarter of 1/|J| at the starts. It is divided where the flow is stiffer.
    transient : int, optional
        Steps dropped before; by default a tenth of n_steps and at least 100.
    progress : bool
        Show a bar that counts steps.

    Returns
    -------
    LyapunovSpectrum

    Raises
    ------
    TypeError, ValueError
        Not a map or a flow, a coefficient on a schedule, a start of the wrong shape, a flow that jumps.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Notes
    -----
    Cost: n_steps evaluations of the step and its Jacobian for each start, vectorised over starts; above 24
    coordinates n_steps times n_exponents derivatives along one direction, so that a few exponents of a large
    system are cheap and all of them are not. The algorithm is in the module's documentation
    (`samdyn.orbit.lyapunov`). Under
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
    if system.scheduled:
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
    discretisation = np.zeros(k)
    with np.errstate(all="ignore"), PartsBar(progress, "lyapunov_exponents", None, "step") as bar:
        if isinstance(system, Flow):
            dt = _step_length(system, flat) if dt is None else checks.number("dt", dt, above=0)
            means, total, discretisation = _of_flow(system, flat, n_steps, k, transient, dt, bar)
        else:
            if dt is not None:
                raise ValueError(f"dt must be left out for a Map, whose time is its step, got {dt!r}")
            dt = 1.0
            frames = Frames(system.point_function(), n, k, len(flat), transient + n_steps)
            states, every = _follow(frames, flat, n_steps, transient, bar)
            means, total = _growth(frames, states, n_steps, every)
        error = average_error(means)
        order = np.argsort(-total, axis=-1, kind="stable")
        exponents, standard, correlated = (
            np.take_along_axis(v, order, axis=-1)
            for v in (total, error.standard_error, np.asarray(error.correlated))
        )
    shape = (*starts.shape[:-1], k)
    return LyapunovSpectrum(
        exponents.reshape(shape),
        standard.reshape(shape),
        n_steps,
        dt,
        repr(system),
        correlated.reshape(shape).astype(bool),
        discretisation,
        error.n_batches,
    )


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
    value = checks.point_of(x0)
    if system.state_dim != system.dim and np.shape(value)[-1:] == (system.state_dim,):
        return checks.points("x0", value, system.state_dim)
    x = checks.points("x0", value, system.dim)
    return system.at_rest(x)


def _step_length(system: Flow, starts: Array) -> float:
    largest = _steepness(system, starts) if len(starts) else 0.0
    if not np.isfinite(largest) or largest == 0:
        raise ValueError("dt must be given: the Jacobian at the starts gives no time scale")
    return STEP / largest


def _steepness(system: Flow, points: Array) -> float:
    """The largest norm of the Jacobian at points (m, n); for many coordinates by the power method."""
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) == 0:
        return 0.0
    if system.dim <= FEW_COORDINATES:
        return float(np.linalg.norm(system.jacobian(points), ord=2, axis=(-1, -2)).max())
    field, largest = system.point_function(), 0.0
    for point in points[:: max(1, len(points) // 4)]:
        x = torch.from_numpy(point.copy())
        v = torch.from_numpy(np.random.default_rng(0).standard_normal(len(point)))
        for _ in range(12):
            along = pushed(field, x, v / v.norm())[1]
            v = torch.func.vjp(field, x)[1](along)[0]
        largest = max(largest, float(along.norm()))
    return 1.2 * largest  # the power method approaches from below


def _follow(frames: Frames, starts: Array, n_steps: int, transient: int, bar: PartsBar) -> tuple[Array, int]:
    """States along the orbits after the transient, with the sums at 0 first: (stored, starts, size), and the
    number of steps between them.
    """
    state = frames.start(starts)
    frames.run(state, 1, 1)  # what is made once
    trial = min(max(transient, 1), 20)
    once = seconds_of(lambda: frames.run(state, trial, trial)) / trial
    cheaper = "fewer n_steps or n_exponents make it cheaper"
    announce("lyapunov_exponents", once * (transient + n_steps), cheaper)
    if transient:
        state = frames.run(state, transient, transient)[-1]
    state[:, -frames.k :] = 0
    every = max(1, n_steps // N_FINE, -(-n_steps * state.size // MOST_STORED))
    stored, left = [state[None]], n_steps
    while left > 0:
        now = min(left, 25 * every)
        stored.append(frames.run(stored[-1][-1], now, every)[1:])
        left -= now
        bar.update(now)
    return np.concatenate(stored), every


def _growth(frames: Frames, states: Array, n_steps: int, every: int) -> tuple[Array, Array]:
    """Mean growth per step: over equal stretches (starts, m, k), and over all steps (starts, k)."""
    sums = frames.split(states)[2]
    whole = n_steps // every
    means = np.diff(sums[: whole + 1], axis=0) / every
    return np.moveaxis(means, 0, 1), sums[-1] / n_steps


def _of_flow(
    system: Flow, starts: Array, n_steps: int, k: int, transient: int, dt: float, bar: PartsBar
) -> tuple[Array, Array, Array]:
    """Growth per unit of time in stretches and over all, and the error of the step for each direction."""
    field = system.point_function()
    parts = max(1, int(np.ceil(dt * _steepness(system, starts) / LONGEST - 1e-9)))
    for _ in range(ROUNDS):
        h = dt / parts
        frames = Frames(runge_kutta(field, h), system.dim, k, len(starts), (transient + n_steps) * parts)
        states, every = _follow(frames, starts, n_steps * parts, transient * parts, bar)
        places = frames.split(states)[0].reshape(-1, system.dim)
        steepest = _steepness(system, places)
        needed = int(np.ceil(dt * steepest / LONGEST - 1e-9))
        if needed <= parts and (np.isfinite(places).all() or not np.isfinite(starts).all()):
            break
        parts = min(max(needed, 2 * parts), 8 * parts)  # an orbit that diverged may do so by its step
    means, total = _growth(frames, states, n_steps * parts, every)
    chosen = states[:: max(1, len(states) // N_COMPARED)].reshape(-1, states.shape[-1])
    chosen = chosen[np.isfinite(chosen).all(axis=1)][:N_COMPARED]
    off = np.zeros(k)
    if len(chosen):
        one, four = (
            Frames(runge_kutta(field, length), system.dim, k, len(chosen), printed=False)
            for length in (h, h / 4)
        )
        difference = one.split(one.run(chosen, 1, 1)[-1])[2] - four.split(four.run(chosen, 4, 4)[-1])[2]
        off = np.abs(difference.mean(axis=0)) + 2 * difference.std(axis=0) / len(chosen) ** 0.5
    return means / h, total / h, REST * off / h


def _kaplan_yorke(exponents: Array) -> float:
    if not np.isfinite(exponents).all():
        return float("nan")
    total = np.cumsum(exponents)
    whole = int((total >= 0).sum())
    if whole == 0 or whole == len(exponents):
        return float(whole)
    return whole + float(total[whole - 1] / abs(exponents[whole]))

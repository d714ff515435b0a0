"""What a critical point under a normalised rule does, where no Jacobian exists: it captures, and how.

The flow is drawn onto the point from a ball (`samdyn.equilibria.stability.captured_ball`) and rests there. On
a quadratic that ball has exactly the radius rho lam / (1 - rho (1 - lam) a), a the smallest eigenvalue of the
Hessian in modulus, if that is negative; for SAM, rho.

The map cannot rest: it hovers within O(lr rho). How, is read off its own orbit: after `TRANSIENT` steps from
`N_ORBITS` starts within the chatter radius, the orbit either repeats after some period (a 2-cycle along the
top positive mode where the Hessian has one, see `samdyn.equilibria.stability.windows.two_cycle`) or it does
not; then a positive Lyapunov exponent makes it bounded chaos. Where all modes are negative the map expands at
every step, |J| >= 1 + lr a, and what is bounded must be chaotic; in one dimension the exponent is log(1 + lr
a), and the orbit stays within lr rho a if lr a <= 1.

References
----------
Monzio Compagnoni et al. (arXiv 2301.08203) for the flow near quadratic saddles [the statement agrees with
memory]; Bartlett, Long & Bousquet (2022) for the 2-cycle; the rest is own derivation, checked in the tests.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.dynamics.trajectories import trajectory
from samdyn.equilibria.stability.at_jumps import flow_of, is_drawn, jump_stability
from samdyn.equilibria.stability.captured_ball import check_size, seconds_of_capture
from samdyn.equilibria.stability.critical_kinds import FLAT, kind_of
from samdyn.equilibria.stability.hovering import CHATTER_STEPS, has_memory
from samdyn.equilibria.stability.wording import listed
from samdyn.jobs.cost import CostWarning, announce, is_long, part_of, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.numerics.scales import ACCURACY, displacement_tolerance
from samdyn.orbit.lyapunov import lyapunov_exponents
from samdyn.results import Result, Table
from samdyn.rules.rule import Rule
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.jump import (
    along_the_gradient,
    jump_length,
    perturbations_beside,
    same_length,
    seconds_of_attracts,
)
from samdyn.systems.map import Map
from samdyn.systems.system import System

TRANSIENT = 4000  # steps dropped before an orbit is judged; chosen
OBSERVED = 4000  # steps of an orbit from which its Lyapunov exponent is taken; chosen
N_ORBITS = 8  # starts about the point; chosen
PILOT = 1000  # steps that are timed at most for the estimate of cost, or a few more
FEWER = "restrict the loss to fewer coordinates (samdyn.restrict)"
LONGEST_PERIOD = 24  # longer periods are called aperiodic; chosen


@dataclass(frozen=True, eq=False, repr=False)
class CaptureSet(Result):
    """How a critical point of the loss holds a flow or a map whose field jumps there.

    Attributes
    ----------
    x : ndarray, shape (dim,)
        The critical point.
    kind : str
        What the loss has there: "minimum", "saddle", "maximum" or "degenerate".
    stability : str
        "trapping", or what it does instead: "saddle", "repelling".
    radius : float
        The flow is drawn onto the point from a ball of this radius, by sampling; nan if it does not trap,
        and where a map stays though its flow leaves the point, or may do so.
    quadratic_radius : float
        The same for the quadratic with the Hessian at x, exactly; inf if that captures everything, nan for a
        rule whose perturbation is not along the gradient or depends on the point.
    chatter_radius : float
        The map hovers within this distance; 0 for a flow, nan if it does not trap.
    motion : str
        "rest" (a flow), "cycle", "bounded chaos", "hovering" (neither could be told), or "escape".
    period : int
        Of the cycle; 0 if it is none.
    orbit : ndarray, shape (n, dim)
        Points of the cycle, or of the orbit observed; the point itself for a flow.
    lyapunov_exponent : float
        Largest exponent of the map's orbit, per step; nan for a flow.
    lyapunov_error : float
        Its standard error.
    """

    cited = ("filippov1988",)
    row = "step"
    axes = ("x: coordinate", "orbit: step coordinate")

    x: Array
    kind: str
    stability: str
    radius: float
    quadratic_radius: float
    chatter_radius: float
    motion: str
    period: int
    orbit: Array
    lyapunov_exponent: float
    lyapunov_error: float

    def table(self) -> Table:
        """What the flow and the map do near the point."""
        rows = [("point", f"{listed(self.x)}, {self.kind}, {self.stability}")]
        if self.stability == "trapping":
            within = f"{self.radius:.6g} (quadratic: {self.quadratic_radius:.6g})"
            rows.append(("the flow is captured within", within))
        if self.motion not in ("rest", "escape"):
            rows.append(("the map hovers within", f"{self.chatter_radius:.6g}"))
            how = f"{self.period}-cycle" if self.motion == "cycle" else self.motion
            exponent = f"{self.lyapunov_exponent:.6g} ± {self.lyapunov_error:.1g}"
            rows.append(("motion", f"{how}, Lyapunov exponent {exponent}"))
        return Table("CaptureSet", rows)


@checked
def capture_set(system: System, x: checks.PointLike, *, progress: bool = False) -> CaptureSet:
    """How the critical point `x` captures a flow, or holds a map, of a rule that jumps there.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Made from a loss and a normalised rule with constant coefficients; of a Diffusion the drift.
    x : FixedPoint or array_like, shape (dim,)
        A critical point of the loss.
    progress : bool
        Show a progress bar over the parts: radii, and of a map the orbit and its exponent.

    Returns
    -------
    CaptureSet

    Raises
    ------
    TypeError, ValueError
        The rule does not jump, or x is not a critical point (its gradient is reported).

    Warns
    -----
    CostWarning
        The work will take more than ten seconds, by the time of Hessians at a few points, and of a map of a
        few steps of its orbits.

    Notes
    -----
    Cost: of a map some 8000 steps of 8 orbits. The algorithm is in the module's documentation
    (`samdyn.orbit.capture_sets`).

    References
    ----------
    Monzio Compagnoni et al. (arXiv 2301.08203); Bartlett, Long & Bousquet (2022).

    Examples
    --------
    >>> import samdyn as sd
    >>> maximum = sd.landscapes.quadratic([[-1.0]])
    >>> held = sd.capture_set(sd.Map(maximum, sd.SAM(0.5), lr=0.1), [0.0])
    >>> held.motion, round(held.lyapunov_exponent, 6), held.quadratic_radius  # log 1.1
    ('bounded chaos', 0.09531, 0.5)
    """
    if not isinstance(system, Map | Flow | Diffusion):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    loss, rule = system.landscape, system.rule
    if loss is None or rule is None or not rule.jumps:
        raise ValueError(
            f"system must be of a loss and a rule that jumps where its gradient vanishes, got {system!r}"
        )
    if system.scheduled or rule.scheduled:
        raise ValueError(f"system must have constant coefficients, got {system!r}")
    point = checks.points("x", x, system.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {point.shape}")
    check_size(system.dim)
    hessian = loss.hessian(point)
    size = float(np.linalg.norm(loss.gradient(point)))
    if not size <= np.abs(hessian).max() * displacement_tolerance(loss.box, point, ACCURACY):
        raise ValueError(f"x must be a critical point of {loss.name}, got |gradient| = {size:.3g} at {point}")
    _announce(system, point)
    # the parts have been announced together
    with (
        PartsBar(progress, "capture_set", 3 if isinstance(system, Map) else 1) as bar,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", CostWarning)
        stability, radius, chatter = jump_stability(system, point[None])[0]
        bar.update(note="radii")
        quadratic = float("nan")
        if along_the_gradient(rule, point):
            eigenvalues, length = np.linalg.eigvalsh(hessian), jump_length(rule, point)
            eigenvalues[np.abs(eigenvalues) <= FLAT * np.abs(eigenvalues).max()] = 0.0  # but for rounding
            smooth = _smooth(rule, point, length, length * float(np.abs(eigenvalues).max()))
            quadratic = quadratic_capture_radius(eigenvalues, length, smooth)
        kind = kind_of(hessian)
        if stability != "trapping" or not isinstance(system, Map):
            motion = "rest" if stability == "trapping" else "escape"
            radii = (radius, quadratic, chatter) if stability == "trapping" else (np.nan, quadratic, np.nan)
            return CaptureSet(point, kind, stability, *radii, motion, 0, point[None], np.nan, np.nan)
        orbit, period = _observe(system, point, chatter)
        bar.update(note="orbit")
        with part_of("capture_set", FEWER):
            spectrum = lyapunov_exponents(system, orbit[0], OBSERVED, n_exponents=1, transient=100)
    exponent, error = float(spectrum.exponents[0]), float(spectrum.standard_error[0])
    if period:
        motion, orbit = "cycle", orbit[:period]
    else:
        motion = "bounded chaos" if exponent > 4 * error else "hovering"
    return CaptureSet(
        point, kind, stability, radius, quadratic, chatter, motion, period, orbit, exponent, error
    )


def _announce(system: System, x: Array) -> None:
    """Say what the radii, and of a map its orbits, will cost."""
    loss, rule, flow = system.landscape, system.rule, flow_of(system)
    assert loss is not None
    assert rule is not None
    seconds = 0.0
    if flow is not None:
        seconds = seconds_of_attracts(loss, rule, x, flow.form)
        # a ball is looked for only where the flow is drawn onto the point; to ask takes what is estimated
        if is_long(seconds) or has_memory(system) or is_drawn(flow, x):
            seconds = seconds_of_capture(flow, x)
    if isinstance(system, Map):
        beside = x + 1e-3 * np.random.default_rng(0).standard_normal((N_ORBITS, len(x)))
        # what is done once for a run, such as tracing a network, may take longer than thousands of steps
        once = seconds_of(lambda: trajectory(system, beside, n_steps=2), repeats=2)
        n_steps, whole = 2, once
        while whole < 2 * once and n_steps < PILOT:
            n_steps *= 8
            whole = seconds_of(lambda: trajectory(system, beside, n_steps=n_steps))  # noqa: B023, called at once
        each = max(whole - once, 0.0) / (n_steps - 2)
        # three runs; a tangent moves beside the last orbit
        seconds += 3 * once + each * (CHATTER_STEPS + TRANSIENT + 2 * OBSERVED)
    announce("capture_set", seconds, FEWER)


def _smooth(rule: Rule, x: Array, length: float, gradient: float) -> float:
    """Coefficient c of a perturbation (length + c abs(g)) g/abs(g): rho (1 - lam).

    Of a rule that does not say so it is read off at gradients like those at the distance `length`; nan where
    the length is not of this form.
    """
    parts = rule.parts()
    if parts is not None:
        return float(parts[0])
    u = np.eye(len(x))[:1]
    lengths = np.array([perturbations_beside(rule, x, u, size) for size in (gradient, 2 * gradient)])
    first, second = np.linalg.norm(lengths[:, 0], axis=-1)
    if abs(second - 2 * first + length) > same_length(rule) * second:
        return float("nan")
    return float((first - length) / gradient) if first - length > same_length(rule) * length else 0.0


def quadratic_capture_radius(eigenvalues: npt.ArrayLike, length: float, smooth: float = 0.0) -> float:
    """Radius of the ball that the flow of a normalised rule on a quadratic draws onto its critical point.

    Parameters
    ----------
    eigenvalues : array_like, shape (n,)
        Of the Hessian.
    length : float
        rho lam: length of the perturbation beside the critical point (rho for SAM).
    smooth : float
        rho (1 - lam): coefficient of the part proportional to the gradient.

    Returns
    -------
    float
        length / (1 - smooth a) with a the smallest size of a negative eigenvalue, inf if smooth a >= 1 or no
        eigenvalue is negative, 0 if one is zero. A lower bound if a positive eigenvalue is smaller in
        size than all negative ones and smooth > 0, exact otherwise.

    Notes
    -----
    d|w|^2/dt = -2 (w . Hw + smooth |Hw|^2 + length |Hw|) <= 2 |Hw| (|w| - smooth |Hw| - length), and on the
    eigenvector of -a the flow rests at the distance length / (1 - smooth a).

    References
    ----------
    Own derivation, checked in the tests.

    Examples
    --------
    >>> quadratic_capture_radius([3.0, -2.0], length=0.3), quadratic_capture_radius([3.0, 1.0], length=0.3)
    (0.3, inf)
    """
    h = np.asarray(eigenvalues, dtype=np.float64)
    if np.isnan(smooth):
        return float("nan")
    if (h == 0).any():
        return 0.0
    if not (h < 0).any():
        return float("inf")
    smallest = float(np.abs(h).min())
    return float("inf") if smooth * smallest >= 1 else length / (1 - smooth * smallest)


def _observe(system: Map, point: Array, chatter: float) -> tuple[Array, int]:
    """The orbit that most starts near the point settle on, and its period (0 if it does not repeat)."""
    rng = np.random.default_rng(0)
    around = rng.standard_normal((N_ORBITS, system.dim))
    around *= (chatter * rng.uniform(0.2, 0.9, (N_ORBITS, 1))) / np.linalg.norm(around, axis=1, keepdims=True)
    path = trajectory(system, point + around, n_steps=TRANSIENT + 2 * LONGEST_PERIOD)[TRANSIENT:]
    near = np.linalg.norm(path - point, axis=-1).max(axis=0) <= 2 * chatter
    path = path[:, near] if near.any() else path
    periods = []
    for orbit in path.transpose(1, 0, 2):
        shift = [np.linalg.norm(orbit[k:] - orbit[:-k], axis=1).max() for k in range(1, LONGEST_PERIOD + 1)]
        repeats = np.flatnonzero(np.array(shift) <= 1e-6 * chatter)
        periods.append(int(repeats[0]) + 1 if len(repeats) else 0)
    period = max(set(periods), key=periods.count)
    return np.asarray(path[:, periods.index(period)]), period

"""Where has a run stopped, and why: the verdicts, and what each of them takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import linregress

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.cost import announce, part_of, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.network.evidence import Measured, measure, measure_curvatures
from samdyn.network.newton_krylov import Search
from samdyn.network.refined_point import RefinedPoint
from samdyn.network.refinement import find_critical, refine
from samdyn.network.spectra import spectrum
from samdyn.numerics.scales import length_scale
from samdyn.results import Result, Table, storable
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICTS = (
    "diverged",
    "at rest: minimum",
    "at rest: saddle",
    "at rest: maximum",
    "at rest: degenerate critical point",
    "hallucinated, attracting",
    "hallucinated, not attracting",
    "hovers about a minimum",
    "trapped at a saddle",
    "trapped at a maximum",
    "bounces on the edge",
    "still descending",
    "cannot tell",
)
REST = 1e-6
"""Share of |H| L: a point whose gradient is smaller counts as at rest."""
SMALL_RATIO = 0.1
"""|g(y)|/|g| below which a point may be hallucinated; one that hovers has a ratio of order one or above."""
NOT_SMALL = 1e-4
"""Share of |H| L: the gradient of a hallucinated point is above it, the gradient of a critical point is
not."""
CLOSE = 0.1
"""Of the perturbation's length: how near the hallucinated point has to be that a run is said to be at."""
AT = 1e-3
"""Of the perturbation's length: a run so near a hallucinated point is at it, wherever the steps lead."""
REPEATS = 0.8
"""Period-2 share from which on a motion goes to and fro."""
GONE = 0.5
"""Displacement over the length of the path from which on a run goes somewhere."""
ON_EDGE = (0.9, 1.3)
"""Largest curvature over the edge, where a run bounces: above 1 it overshoots, and higher derivatives turn it
back (digits, SAM: 1.02 to 1.22)."""
ACROSS = 0.5
"""Squared cosine of a step with the sharpest direction from which on it goes along that."""
SEVERAL = 2.0
"""|g(y)| over |g| from which on the perturbed point lies on the other side of a valley."""
FLAT = 1e-3
"""Of the largest curvature in modulus: a smallest one above minus this is no direction of descent that a run
of some hundred steps could follow."""
CONFINED = 0.1
"""Displacement over the length of the path below which a run goes nowhere."""
EXACT = 1e-6
"""As `FLAT`, for a point that is at rest: what the accuracy of curvatures leaves."""
AT_REST = 1e-3
"""Of the problem's length: how near the critical point has to be that a run is said to rest at."""
STEADY, TREND = 6.0, 1.3
"""Standard errors of its slope, and growth over the steps, from which on a motion grows or dies down."""
MOST_APART = 10.0
"""Times the longest step of a history that its last point may be from the end of the run."""
FAR = 1e3
"""Growth of |x| over the steps that counts as divergence."""


@storable
class Evidence(NamedTuple):
    """One number with what it is compared with.

    Attributes
    ----------
    name : str
    value : float
    threshold : str
        What it would have to be for which verdict; empty where it only informs.
    """

    name: str
    value: float
    threshold: str


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis(Result):
    """Where a run has stopped, with the evidence.

    Attributes
    ----------
    verdict : str
        One of `samdyn.network.diagnosis.VERDICTS`.
    reason : str
        What decided, in a sentence.
    evidence : tuple of Evidence
        Numbers with their thresholds.
    x : ndarray, shape (dim,)
        The point that the evidence is about: the end of the steps that were looked at.
    endpoint : str
        Of a hallucinated point: what the loss has at x + e ("minimum", "saddle", "maximum" or "degenerate"; a
        degenerate one with a direction of descent counts as a saddle). Otherwise "".
    point : RefinedPoint or None
        The fixed point nearby, where one was looked for.
    measured : Measured or None
        All numbers; None where the run diverged.
    system : Map
        The map whose steps were looked at.
    """

    row = "coordinate"

    verdict: str
    reason: str
    evidence: tuple[Evidence, ...]
    x: Array
    endpoint: str
    point: RefinedPoint | None
    measured: Measured | None = field(repr=False)
    system: Map = field(repr=False)

    def table(self) -> Table:
        """The verdict, and the numbers with their thresholds."""
        rows = [(e.name, f"{e.value:.5g}", e.threshold) for e in self.evidence]
        title = f"{self.verdict}: {self.reason}\n  {self.system!r}"
        return Table(title, rows, ("evidence", "value", "threshold"))

    def plot(self) -> Figure:
        """Losses along the gradient and along the sharpest direction through x, and the motion."""
        drawn: Figure = self._draw()
        return drawn

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        names = ("name", "value", "threshold")
        columns = {name: [getattr(e, name) for e in self.evidence] for name in names}
        return columns, {"verdict": self.verdict, "reason": self.reason, "system": repr(self.system)}


@checked
def diagnose(
    system: System,
    x: checks.PointLike,
    history: npt.ArrayLike | None = None,
    *,
    n_steps: int = 60,
    progress: bool = False,
) -> Diagnosis:
    """Where a run of SAM, or of another rule, has stopped, and why.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Made from a loss and a rule with constant coefficients. Noise plays no part: the steps looked at
        are noiseless. Steps of a Diffusion have its lr; steps of a Flow have a tenth of the time that the
        largest curvature sets.
    x : array_like, shape (dim,)
        Where the run stopped.
    history : array_like, shape (n, dim), optional
        Its last points, in order, at least three, up to `x` or to just before it; every step of them. By
        default the map goes on from `x`.
    n_steps : int
        How many steps it goes on for, at least 4.
    progress : bool
        Show a bar over the steps, then those of the searches.

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError, ValueError
        A system without a loss or with schedules, points of the wrong shape.

    Warns
    -----
    CostWarning
        The steps will take more than ten seconds; spectra and searches come on top, and say so themselves.

    Notes
    -----
    The first of these that holds is the verdict; y = x + e(x), g and H belong to the loss, and L is the
    diagonal of its box, or 1 + |x| without one:

    1. diverged: a point or a loss is not finite, or |x| has grown a thousandfold (beyond a thousand L).
    2. at rest, by the kind of the point: |g(x)| < 1e-6 |H| L, and a critical point of the loss lies within
       1e-3 L, found by the search of `refine`. Curvatures below 1e-6 of the largest do not count.
    3. hallucinated: |g(y)| < 0.1 |g(x)| with |g(x)| > 1e-4 |H| L, at the start or at the end of the
       steps, and `refine` finds a point with g(y) = 0 and g != 0 within a tenth of the perturbation's length,
       which the steps approach, or within a thousandth.
       It attracts if all eigenvalues of the step's Jacobian are inside the unit circle; where it is one of a
       set, those that do not belong to the set.
    4. hovers, or trapped: a period-2 share above 0.8, or a displacement of less than a tenth of the path's
       length, and a critical point of the loss among the points of the motion, found by the search of
       `refine`. By the signs of the curvatures there it is a minimum, a saddle or a maximum; curvatures below
       1e-3 of the largest do not count. Where steps become longer or shorter, at a rate beyond six standard
       errors and by three tenths over all of them, the motion has not settled: where they become longer the
       verdict is "cannot tell", where they become shorter it is still descending.
    5. bounces on the edge: the largest curvature at x is 0.9 to 1.3 times the edge, the steps have a period-2
       share above 0.8, go along the sharpest direction or get nowhere (a displacement below a tenth of the
       path), and do not become longer as above; and, for rules that perturb, |g(y)| > 2 |g(x)|.
    6. still descending: the displacement is more than half of the path's length.
    7. cannot tell.

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.double_well(), sd.SAM(1.5), lr=0.1)
    >>> sd.diagnose(step, [-0.49]).verdict
    'hallucinated, attracting'
    >>> sd.diagnose(sd.Map(sd.landscapes.double_well(), sd.SAM(0.5), lr=0.1), [0.02]).verdict
    'trapped at a maximum'
    """
    system_map = _map_of(system, x)
    n_steps = checks.integer("n_steps", n_steps, at_least=4)
    point = checks.points("x", x, system.dim, finite=False)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {point.shape}")
    if history is None and np.isfinite(point).all():
        announce("diagnose", n_steps * seconds_of(lambda: system_map(point)), "pass a smaller n_steps")
    if history is None:
        with PartsBar(progress, "diagnose", n_steps, "step") as bar:
            orbit = _orbit(system_map, point, n_steps, bar)
    else:
        orbit = _history(history, point)
    lost = _lost(system_map, orbit)
    if lost:
        return Diagnosis("diverged", lost, (), orbit[-1], "", None, None, system_map)
    end = measure(system_map, orbit)
    # an unstable point is left during the steps, an attracting one is reached by them: both ends count
    start = measure(system_map, orbit[2::-1]) if history is None else end
    found = None
    for place in (start, end):
        if _may_be_hallucinated(place):
            with part_of("diagnose", "pass a loss of fewer samples or coordinates"):
                found = refine(system_map, place.x, reach=CLOSE * place.perturbation, progress=progress)
            if _is_at(found, place, orbit):
                return _hallucinated(system_map, place, found)
    verdict, reason = _decide(system_map, start, end)
    return Diagnosis(verdict, reason, _listed(end), end.x, "", found, end, system_map)


def _map_of(system: System, x: checks.PointLike) -> Map:
    """The noiseless map whose steps are looked at."""
    if system.landscape is None or system.rule is None:
        raise ValueError(f"system must be made from a loss and a rule, got {system!r}")
    if system.scheduled or system.rule.scheduled:
        raise ValueError(
            f"system must have constant coefficients, those at the end of the run, got {system!r}"
        )
    loss, rule = system.landscape, system.rule
    if isinstance(system, Map):
        return system if system.noise is None else Map(loss, rule, system.lr, system.momentum)
    if isinstance(system, Diffusion) and system.lr is not None:
        return Map(loss, rule, system.lr)
    assert isinstance(system, Flow | Diffusion)
    point = checks.points("x", x, system.dim, finite=False)
    if not np.isfinite(point).all() or not np.isfinite(loss.value(point)):
        return Map(loss, rule, 1.0)
    moved = point + system.perturbation(point)
    curvature = max(
        float(np.abs(spectrum(loss, p, 1, "magnitude", tolerance=1e-2).eigenvalues[0]))
        for p in (point, moved)
    )
    return Map(loss, rule, 0.1 / curvature if curvature > 0 else 1.0)


def _orbit(system: Map, x: Array, n_steps: int, bar: PartsBar) -> Array:
    """Noiseless steps from x, from rest, up to the first point that is not finite."""
    states = [system.at_rest(x)]
    for _ in range(n_steps):
        if not np.isfinite(states[-1]).all():
            break
        states.append(system.evaluate(states[-1]))
        bar.update()
    return np.stack(states)[:, : system.dim]


def _history(history: npt.ArrayLike, x: Array) -> Array:
    points = checks.points("history", history, len(x), finite=False)
    if points.ndim != 2 or len(points) < 3:
        raise ValueError(f"history must hold at least three points (n, {len(x)}), got shape {points.shape}")
    if np.array_equal(points[-1], x):
        return points
    if np.isfinite(points).all() and np.isfinite(x).all():
        longest = float(np.linalg.norm(np.diff(points, axis=0), axis=1).max())
        away = float(np.linalg.norm(points[-1] - x))
        if away > MOST_APART * longest:
            raise ValueError(
                f"history must end at x or just before it, got a last point {away:.3g} from x after steps of "
                f"at most {longest:.3g}"
            )
    return np.concatenate([points, x[None]])


def _lost(system: Map, orbit: Array) -> str:
    """Why a run has diverged; "" if it has not."""
    assert system.landscape is not None
    if not np.isfinite(orbit).all():
        return "a point is not finite"
    if not np.isfinite(system.landscape.value(orbit[[0, -1]])).all():
        return "the loss is not finite"
    size = max(float(length_scale(system.box, orbit[0])), float(np.linalg.norm(orbit[0])))
    if np.linalg.norm(orbit[-1]) > FAR * size:
        return f"|x| has grown from {np.linalg.norm(orbit[0]):.3g} to {np.linalg.norm(orbit[-1]):.3g}"
    return ""


def _may_be_hallucinated(m: Measured) -> bool:
    return m.perturbation > 0 and m.ratio < SMALL_RATIO and m.gradient > NOT_SMALL * m.steepness


def _is_at(found: RefinedPoint, m: Measured, orbit: Array) -> bool:
    """Whether a run is at a hallucinated point: on it, or drawn into an attracting one."""
    if found.ended != "hallucinated point" or not found.gradient_norm > NOT_SMALL * m.steepness:
        return False
    before, after = (float(np.linalg.norm(p - found.x)) for p in orbit[[0, -1]])
    return found.distance <= AT * m.perturbation or (_attracts(found) and after < before)


def _attracts(found: RefinedPoint) -> bool:
    return (found.transversal_stability or found.stability) == "attracting"


def _hallucinated(system: Map, m: Measured, found: RefinedPoint) -> Diagnosis:
    verdict = "hallucinated, attracting" if _attracts(found) else "hallucinated, not attracting"
    assert system.landscape is not None
    endpoint = _kind_by_signs(m.perturbed_curvatures)
    in_set = f", in a set of such points of dimension {found.dimension}" if found.dimension else ""
    what = f"g vanishes at y = x + e but not at x, {found.distance:.2g} away{in_set}"
    reason = f"{what}; the loss has a {endpoint} at y"
    return Diagnosis(verdict, reason, _listed(m), m.x, endpoint, found, m, system)


def _kind_by_signs(curvatures: tuple[float, float], flat: float = FLAT) -> str:
    """What the smallest and the largest curvature say of a critical point."""
    low, high = curvatures
    zero = flat * max(abs(low), abs(high))
    if low >= -zero:
        return "minimum" if high > zero else "degenerate"
    return "saddle" if high > zero else "maximum"


def _decide(system: Map, start: Measured, m: Measured) -> tuple[str, str]:
    """The verdict on what is not hallucinated."""
    assert system.landscape is not None
    if start.gradient <= REST * start.steepness:
        near = find_critical(system.landscape, start.x, reach=AT_REST * start.problem_length)
        if near.reached:
            kind = _kind_by_signs(measure_curvatures(system, near.x, EXACT / 10), EXACT)
            name = "degenerate critical point" if kind == "degenerate" else kind
            return f"at rest: {name}", (
                f"|g| = {start.gradient:.2g}, and a critical point is {near.distance:.2g} away"
            )
    to_and_fro = m.period_2 > REPEATS
    held = _critical_among(system, m, to_and_fro)
    growth = _growth(m.orbit)
    if held is not None and growth > 0:
        return "cannot tell", f"about a critical point the steps become longer by {growth:.2%} each"
    if held is not None and growth < 0:
        return "still descending", f"about a critical point the steps become shorter by {-growth:.2%} each"
    if held is not None:
        kind = _kind_by_signs(measure_curvatures(system, held.x))
        where = (
            f"the steps stay within {m.extent:.2g} of a critical point {held.distance:.2g} from their centre"
        )
        name = "hovers about a minimum" if kind in ("minimum", "degenerate") else f"trapped at a {kind}"
        return name, where
    sharp = m.curvatures[1] / m.edge if m.edge > 0 else float("inf")
    across = to_and_fro or m.along_top > ACROSS or m.displacement < CONFINED * m.length
    other_side = m.perturbation == 0 or m.ratio > SEVERAL
    if ON_EDGE[0] <= sharp <= ON_EDGE[1] and across and other_side and growth <= 0:
        return "bounces on the edge", (
            f"the largest curvature is {sharp:.2f} times the edge, and no critical point is near"
        )
    if m.length > 0 and m.displacement > GONE * m.length:
        return "still descending", (
            f"the second half of the steps went {m.displacement:.2g} on a path of {m.length:.2g}"
        )
    return "cannot tell", "no pattern holds: look at the evidence, or at a longer history"


def _growth(orbit: Array) -> float:
    """By which share steps are longer than those before them, in the settled half of an orbit; 0 without a
    trend.
    """
    settled = orbit[min(len(orbit) // 2, len(orbit) - 3) :]
    lengths = np.linalg.norm(np.diff(settled, axis=0), axis=1)
    if len(lengths) < 4 or not (lengths > 0).all():
        return 0.0
    numbers = np.arange(len(lengths))
    line = linregress(numbers, np.log(lengths))
    clear = abs(line.slope) > STEADY * line.stderr and abs(line.slope) * numbers[-1] > np.log(TREND)
    return float(np.expm1(line.slope)) if clear else 0.0


def _critical_among(system: Map, m: Measured, to_and_fro: bool) -> Search | None:
    """The critical point among the points of a motion that goes nowhere."""
    assert system.landscape is not None
    if not (to_and_fro or m.displacement < CONFINED * m.length):
        return None
    found = find_critical(system.landscape, m.centre if to_and_fro else m.mean, reach=2 * m.extent)
    return found if found.reached and found.distance <= m.extent else None


def _listed(m: Measured) -> tuple[Evidence, ...]:
    """The evidence as a table."""
    sharp = m.curvatures[1] / m.edge if m.edge > 0 else float("nan")
    share = m.displacement / m.length if m.length else float("nan")
    rest, not_small = REST * m.steepness, NOT_SMALL * m.steepness
    rows: list[Any] = [
        ("f(x)", m.loss, ""),
        ("f(y), y = x + e", m.perturbed_loss, ""),
        ("|g(x)|", m.gradient, f"< {rest:.2g} at rest; > {not_small:.2g} hallucinated"),
        ("|g(y)|", m.perturbed_gradient, ""),
        ("|g(y)|/|g(x)|", m.ratio, f"< {SMALL_RATIO:g} hallucinated; > {SEVERAL:g} on the edge"),
        ("cosine of g(x) and g(y)", m.cosine, ""),
        ("smallest curvature at x", m.curvatures[0], ""),
        ("largest curvature at x", m.curvatures[1], ""),
        ("smallest curvature at y", m.perturbed_curvatures[0], ""),
        ("largest curvature at y", m.perturbed_curvatures[1], ""),
        ("edge", m.edge, ""),
        ("largest curvature / edge", sharp, f"{ON_EDGE[0]:g} to {ON_EDGE[1]:g} on the edge"),
        ("displacement / path", share, f"> {GONE:g} descending"),
        ("period-2 share", m.period_2, f"> {REPEATS:g} to and fro"),
        ("step along sharpest direction", m.along_top, f"> {ACROSS:g} on the edge"),
        ("|g(centre)|/|g(x)|", m.centre_gradient / max(m.gradient, 1e-300), ""),
        ("smallest curvature at centre", m.centre_curvatures[0], "< 0 trapped"),
    ]
    return tuple(Evidence(*row) for row in rows)

"""Curves of bifurcation points in the plane of two parameters.

Algorithm
---------
The defining system of the bifurcation (`samdyn.bifurcation.defining_systems`) with a second free parameter
has one more unknown than equations; its zeros are followed by pseudo-arclength both ways
(`samdyn.bifurcation.arclength`, which also says how steps are controlled) until a parameter leaves its range
(met exactly). When the null vector has grown to twice its length it is normalised afresh. A step across which
the determinant of the Jacobian with the tangent changes its sign has led to another curve: it is refused
down to `CROSSING`, where two curves cross.

A curve is closed where it meets its first point again in all unknowns: state, parameters, frequency and null
vector. A curve of branch points is one as long as the branches keep crossing, as they do at critical points
of the loss for every lr and rho: "the saddle becomes an attractor". Where the crossing unfolds the curve
ends ("unfolds"). A curve of Hopf points ends where the frequency vanishes, one of Neimark-Sacker points where
the pair becomes real. Newton on the equations of the double eigenvalue then gives the end to rounding, and
its name: "Bogdanov-Takens", "1:1 resonance" or "1:2 resonance". Where that does not converge (a double
eigenvalue with two eigenvectors) it is called "zero frequency" or "resonance".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import SMALLEST, Point, closes, correct, next_point, scaled_rows, tangent_of
from samdyn.bifurcation.bifurcations import Bifurcation
from samdyn.bifurcation.branch import Branch
from samdyn.bifurcation.defining_systems import (
    BRANCHING,
    COMPLEX,
    DefiningSystem,
    Scale,
    null_vector,
    size_of,
)
from samdyn.bifurcation.start import check_parameter
from samdyn.dynamics.parametric import Parametric, full_state
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.results import Result, Table

UNFOLDED = 1e-7  # a larger unfolding parameter means that the branch point no longer exists
SINGULAR = 1e-7  # of the largest singular value: a smaller one counts as 0
CROSSING = 1e-6  # scaled step below which a change of orientation is a crossing of two curves
PATH = 1.5  # length of a typical curve over the whole range of both parameters


@dataclass(frozen=True, eq=False, repr=False)
class BifurcationCurve(Result):
    """A curve of bifurcation points in the plane of two parameters.

    Attributes
    ----------
    kind : str
    parameters : (str, str)
    values : ndarray, shape (n, 2)
        Of the two parameters, in the order along the curve.
    x : ndarray, shape (n, dim)
    frequency : ndarray, shape (n,)
        Angle of the multipliers (Neimark-Sacker) or imaginary part (Hopf); nan otherwise.
    ends : (str, str)
        "bounds", "unfolds", "Bogdanov-Takens" (of Hopf points), "1:1 resonance" or "1:2 resonance" (of
        Neimark-Sacker points), "zero frequency" or "resonance" (the same, not located), "most points",
        "closed" or "lost".
    period : int
    system : str
    """

    cited = ("kuznetsov2004",)
    row = "point"

    kind: str
    parameters: tuple[str, str]
    values: Array
    x: Array
    frequency: Array = field(repr=False)
    ends: tuple[str, str]
    period: int
    system: str

    def __len__(self) -> int:
        return len(self.values)

    def table(self) -> Table:
        """Its kind, the ranges of both parameters and its ends."""
        low, high = self.values.min(axis=0), self.values.max(axis=0)
        ranges = ", ".join(
            f"{name} in [{a:.6g}, {b:.6g}]" for name, a, b in zip(self.parameters, low, high, strict=True)
        )
        head = f"BifurcationCurve of {self.kind}s of {self.system}: {len(self)} points"
        return Table(f"{head}, {ranges}, ends: {', '.join(self.ends)}")

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """The curve in the plane of its parameters; returns the matplotlib Axes."""
        return self._draw(ax=ax, **options)


def bifurcation_curve(
    branch: Branch,
    bifurcation: Bifurcation,
    parameter: str,
    bounds: Sequence[float],
    *,
    first_bounds: Sequence[float] | None = None,
    max_step: float = 0.01,
    max_points: int = 2000,
    progress: bool = False,
) -> BifurcationCurve:
    """Follow a bifurcation point in its branch's parameter and a second one.

    Parameters
    ----------
    branch : Branch
    bifurcation : Bifurcation
        A fold, flip, Neimark-Sacker or Hopf point, branch point or pitchfork of the branch.
    parameter : str
        The second parameter.
    bounds : (float, float)
        Its range, which must hold the system's own value.
    first_bounds : (float, float), optional
        Range of the branch's parameter; the range of the branch by default.
    max_step : float
        Longest step, as a share of the range of the second parameter.
    max_points : int
        Most points in each direction.
    progress : bool
        Show a bar that counts points.

    Returns
    -------
    BifurcationCurve

    Raises
    ------
    TypeError, ValueError
        Not a bifurcation of the branch, a border, a parameter that the system lacks, a bad range.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Examples
    --------
    A step of gradient descent flips at lr = 2/lambda:

    >>> import samdyn as sd
    >>> step = sd.Map(sd.Landscape(lambda w, a: a * w @ w / 2, 1, parameters={"a": 4.0}), sd.GD(), lr=0.1)
    >>> branch = sd.continuation(step, [0.0], "lr", (0.01, 3.0))
    >>> curve = sd.bifurcation.bifurcation_curve(branch, branch.bifurcations[0], "a", (1.0, 8.0))
    >>> bool(abs(curve.values.prod(axis=1) - 2).max() < 1e-9)
    True
    """
    if not isinstance(branch, Branch):
        raise TypeError(f"branch must be a Branch, got {branch!r}")
    if not any(bifurcation is b for b in branch.bifurcations):
        raise ValueError(f"bifurcation must be one of branch.bifurcations, got {bifurcation!r}")
    if bifurcation.kind == "border" or branch.curve is None:
        raise ValueError(f"bifurcation must be one with a Jacobian, got a {bifurcation.kind}")
    first = check_parameter(
        branch.system,
        branch.parameter,
        branch.bounds if first_bounds is None else first_bounds,
        "first_bounds",
    )
    second = check_parameter(branch.system, parameter, bounds)
    if parameter == branch.parameter:
        raise ValueError(f"parameter must be another one than the branch's, got {parameter!r}")
    own = float(branch.system.parameters[parameter])
    for argument, name, value, (low, high) in (
        ("first_bounds", branch.parameter, bifurcation.value, first),
        ("bounds", parameter, own, second),
    ):
        if not low <= value <= high:
            raise ValueError(f"{argument} must hold the start at {name} = {value:g}, got ({low:g}, {high:g})")
    max_step = checks.number("max_step", max_step, above=0)
    max_points = checks.integer("max_points", max_points, at_least=2)
    both = Parametric(branch.system, (branch.parameter, parameter), branch.period)
    corner = np.array([first[0], second[0]])
    scale = Scale(
        branch.curve.scale.state,
        corner,
        np.array([first[1], second[1]]) - corner,
        branch.curve.scale.origin,
    )
    state = bifurcation.state
    if len(state) < both.n:
        state = full_state(branch.system, (branch.parameter, parameter), state)
    u = scale.join(state, np.array([bifurcation.value, own]))
    system, start = _start(both, scale, bifurcation, u)
    jacobian = scaled_rows(*system.equations(start))[1]
    _, singular, rows = np.linalg.svd(jacobian)
    null: Array = rows[int((singular > SINGULAR * singular[0]).sum()) :]
    tangent = null[-1]
    if len(null) > 1:  # hold all but the direction in which the second parameter changes most
        tangent = null[:, both.n + 1] @ null
        tangent = tangent / max(float(np.linalg.norm(tangent)), 1e-300)
        others = np.linalg.svd(null - np.outer(null @ tangent, tangent))[2][: len(null) - 1]
        system = dataclasses.replace(system, anchors=others, anchored_at=start)
        jacobian = scaled_rows(*system.equations(start))[1]
    first_point = Point(start, tangent * (1 if tangent[both.n + 1] >= 0 else -1), jacobian, 0)
    once = seconds_of(lambda: system.equations(start), repeats=2)
    steps = min(PATH / max_step, 2.0 * max_points)
    announce("bifurcation_curve", 8 * once * steps, "a longer max_step or narrower bounds make it cheaper")
    with PartsBar(progress, "bifurcation_curve", None, "point") as bar:
        forward, end = _follow(system, first_point, max_step, max_points, bar)
        if end == "closed":
            path, ends = forward, ("closed", "closed")
        else:
            reverse = Point(start, -first_point.tangent, jacobian, 0)
            backward, beginning = _follow(system, reverse, max_step, max_points, bar)
            path, ends = backward[:0:-1] + forward, (beginning, end)
    w = np.array([row[: both.n + 2] for row in path])
    frequency = [row[-1] if bifurcation.kind in COMPLEX else np.nan for row in path]
    return BifurcationCurve(
        bifurcation.kind,
        (branch.parameter, parameter),
        corner + scale.width * w[:, both.n :],
        scale.states(w[:, : len(scale.origin)])[:, : branch.system.dim],
        np.array(frequency),
        ends,
        branch.period,
        repr(branch.system),
    )


def _start(both: Parametric, scale: Scale, point: Bifurcation, u: Array) -> tuple[DefiningSystem, Array]:
    """The defining system with its null vector, and its unknowns."""
    z, p = scale.split(u, both.n)
    _, a, slope = both.evaluate(z, p)
    one = np.eye(both.n)
    reference: npt.NDArray[Any]
    frequency = 0.0
    if point.kind in COMPLEX:
        reference = null_vector(a - point.eigenvalue * one)
        frequency = float(np.angle(point.eigenvalue) if both.discrete else point.eigenvalue.imag)
    elif point.kind in BRANCHING:
        fz = a - one if both.discrete else a
        whole = np.concatenate([fz * scale.state, slope[:, :1] * scale.width[0]], axis=1)
        reference = null_vector(whole, left=True)
    else:
        shift = -1.0 if point.kind == "flip" else 1.0 if both.discrete else 0.0
        reference = null_vector(a - shift * one)
    system = DefiningSystem(point.kind, both, scale, reference, size_of(both, scale, u))
    return system, system.unknowns(u, frequency)


def _follow(
    system: DefiningSystem, first: Point, max_step: float, max_points: int, bar: PartsBar
) -> tuple[list[Array], str]:
    """Follow a curve of bifurcation points one way: the unknowns of its points, and why it ends."""
    n = system.field.n
    original, parameters = system, slice(n, n + 2)
    rows = [first.u]
    point, ds = first, max_step / 4
    while len(rows) < max_points:
        old = point
        new, used, ds = next_point(
            system.equations, old, ds, SMALLEST, max_step, _same_orientation, parameters
        )
        if new is None:
            return rows, "lost"
        outside = [i for i in (n, n + 1) if not -1e-12 <= new.u[i] <= 1 + 1e-12]
        if outside:
            landed = _landing(system.equations, old, new, outside)
            if landed is None and used > CROSSING:
                ds = used / 4
                continue
            return (rows if landed is None else [*rows, landed]), "bounds"
        if system.kind in BRANCHING and abs(new.u[-1]) > UNFOLDED:
            return rows, "unfolds"
        if system.kind == "Neimark-Sacker" and np.sin(new.u[-1]) * np.sin(old.u[-1]) <= 0:
            name = "1:1 resonance" if np.cos(old.u[-1]) > 0 else "1:2 resonance"
            met = _double(system, name, old, used)
            return ([*rows, met], name) if met is not None else (rows, "resonance")
        if system.kind == "Hopf" and new.u[-1] * old.u[-1] <= 0:
            met = _double(system, "Bogdanov-Takens", old, used)
            return ([*rows, met], "Bogdanov-Takens") if met is not None else (rows, "zero frequency")
        rows.append(new.u)
        bar.update()
        if len(rows) > 3:
            before, after = (dataclasses.replace(p, u=_normalised(original, p.u)) for p in (old, new))
            if closes(original.equations, first, before, after) is not None:
                rows[-1] = first.u
                return rows, "closed"
        system, point = _renewed(system, new)
    return rows, "most points"


def _same_orientation(old: Point, new: Point) -> bool:
    """Whether the determinant with the tangent has one sign at both points, or they are very near."""
    if new.jacobian.shape[0] + 1 != new.jacobian.shape[1]:
        return True  # redundant rows hold a curve that is not isolated
    if float(np.linalg.norm(new.u - old.u)) <= CROSSING:
        return True
    before, after = (np.linalg.slogdet(np.vstack([p.jacobian, p.tangent]))[0] for p in (old, new))
    return bool(before == after)


def _normalised(system: DefiningSystem, w: Array) -> Array:
    """Unknowns with the null vector in the length and phase that a system gives it."""
    n, m, w = system.field.n, system.field.m, w.copy()
    pair = system.kind in COMPLEX
    v = w[n + m : 2 * n + m] + (1j * w[2 * n + m : 3 * n + m] if pair else 0)
    size = np.vdot(system.reference, v)
    v = v / (size if abs(size) > 1e-8 else 1e-8)
    w[n + m : 2 * n + m] = v.real
    if pair:
        w[2 * n + m : 3 * n + m] = v.imag
    return w


def _landing(
    equations: Callable[[Array], tuple[Array, Array]], old: Point, new: Point, outside: list[int]
) -> Array | None:
    """The point between two points at which the curve meets the bound that it crosses first."""

    def share(i: int) -> float:
        return float(((1.0 if new.u[i] > 1 else 0.0) - old.u[i]) / (new.u[i] - old.u[i]))

    i = min(outside, key=share)
    if share(i) <= 1e-13:
        return old.u
    guess = old.u + share(i) * (new.u - old.u)
    guess[i] = round(float(guess[i]))
    across = np.zeros(len(guess))
    across[i] = 1.0
    point = correct(equations, guess, across, max(float(np.linalg.norm(new.u - old.u)), 1e-9))
    return None if point is None else point.u


def _double(system: DefiningSystem, name: str, old: Point, ds: float) -> Array | None:
    """The point at which the pair of eigenvalues meets, from the last point before it; the unknowns that
    only the pair has are 0.
    """
    n, m = system.field.n, system.field.m
    v = old.u[n + m : 2 * n + m] + 1j * old.u[2 * n + m : 3 * n + m]
    v = v * np.exp(-0.5j * np.angle(v @ v))  # real and imaginary part orthogonal, the first one longer
    v = v / float(np.linalg.norm(v.real))
    frequency = float(old.u[-1])
    target = np.pi * round(frequency / np.pi) if name == "1:2 resonance" else 0.0
    distance = frequency - target
    if distance == 0:
        return None
    double = DefiningSystem(name, system.field, system.scale, v.real.copy(), system.size)
    second = v.imag / distance
    second = second - v.real * float(v.real @ second)
    solved = double.solve(np.concatenate([old.u[: n + m], v.real, second]), reach=1.0)
    if solved is None:
        return None
    place = solved[0][: n + m]
    inside = ((place[n:] >= -1e-9) & (place[n:] <= 1 + 1e-9)).all()
    if not inside or float(np.linalg.norm(place - old.u[: n + m])) > 4 * ds:
        return None
    result = np.zeros_like(old.u)
    result[: n + m], result[-1] = place, target
    return result


def _renewed(system: DefiningSystem, point: Point) -> tuple[DefiningSystem, Point]:
    """The defining system with its null vector as the new reference, once that has doubled in length."""
    n, m = system.field.n, system.field.m
    w = point.u.copy()
    pair = system.kind in COMPLEX
    v = w[n + m : 2 * n + m] + (1j * w[2 * n + m : 3 * n + m] if pair else 0)
    length = float(np.linalg.norm(v))
    if length < 2:
        return system, point
    v = v / length
    renewed = dataclasses.replace(system, reference=v if pair else v.real)
    w[n + m : 2 * n + m] = v.real
    along = point.tangent.copy()
    along[n + m : 2 * n + m] /= length
    if pair:
        w[2 * n + m : 3 * n + m] = v.imag
        along[2 * n + m : 3 * n + m] /= length
    jacobian = scaled_rows(*renewed.equations(w))[1]
    tangent = tangent_of(jacobian, along)
    return renewed, Point(w, point.tangent if tangent is None else tangent, jacobian, point.corrections)

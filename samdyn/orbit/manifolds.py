"""One-dimensional stable and unstable manifolds of saddles, with controlled spacing.

A saddle whose unstable subspace is a line has an unstable manifold that is a curve: all points whose past
leads to it. A saddle whose stable subspace is a line has a stable manifold that is a curve: all points whose
future leads to it; for a flow between two wells the stable manifold is the border of the basins. Both arms
start at p + d v and p - d v, with v the eigenvector and d = `SEED` of the length wanted; the curvature of the
manifold makes an error of the order d^2 there. The two ways to grow them are in
`samdyn.orbit.manifold_of_flow` and `samdyn.orbit.manifold_of_map`.

References
----------
Krauskopf et al., A survey of methods for computing (un)stable manifolds of vector fields, Int. J. Bifurcation
Chaos 15 (2005) 763-791; Krauskopf & Osinga, J. Comput. Phys. 146 (1998) 404-419 (maps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.stability.linearization import MARGIN
from samdyn.jobs.progress import PacedBar
from samdyn.numerics.scales import ACCURACY, diagonal_of, displacement_tolerance, units_of
from samdyn.orbit.curve_spacing import Limits, lengths, needed
from samdyn.orbit.manifold_of_flow import flow_arm
from samdyn.orbit.manifold_of_map import map_arm
from samdyn.results import Result, Table
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

SEED = 1e-7  # of the length wanted: the manifold's curvature then costs 1e-14 of it, the size of rounding
SAMPLE_SECONDS = 1.0
"""Work after which the arclength reached tells what the rest will take."""
KINDS = ("unstable", "stable")


@dataclass(frozen=True, eq=False, repr=False)
class Manifold(Result):
    """The two arms of a one-dimensional invariant manifold.

    Attributes
    ----------
    points : tuple of two ndarrays, shape (n, dim)
        Each arm in order, from the fixed point outwards, the fixed point first. (n, 2 dim) states for a map
        with momentum.
    arclength : tuple of two ndarrays, shape (n,)
        Length of the polygon up to each point.
    ends : tuple of two str
        Why each arm ends: "length", "left the box", "fixed point" (or a critical point that traps), "fold" (a
        branch of the inverse ends), "diverged", "jump" (the field could not be followed further), or "points"
        and "slow" (too many points or generations).
    which : str
        "unstable" or "stable".
    fixed_point : ndarray, shape (dim,)
    direction : ndarray, shape (dim,)
        The unit eigenvector along which the first arm starts; the second starts against it.
    eigenvalue : float
        The multiplier or rate of that direction.
    system : System
    """

    cited = ("krauskopf1998", "hobson1993")
    row = "point"

    points: tuple[Array, Array]
    arclength: tuple[Array, Array]
    ends: tuple[str, str]
    which: str
    fixed_point: Array
    direction: Array
    eigenvalue: float
    system: System

    @property
    def curve(self) -> Array:
        """Both arms as one curve through the fixed point, shape (n, dim)."""
        return np.concatenate([self.points[1][:0:-1], self.points[0]])

    def table(self) -> Table:
        """The two arms, and why they end."""
        title = f"Manifold, {self.which}, of ({_format(self.fixed_point)}) of {self.system!r}"
        rows = []
        for i, (p, s, why) in enumerate(zip(self.points, self.arclength, self.ends, strict=True)):
            arm = f"{len(p)} points, length {s[-1]:.6g}, ends at ({_format(p[-1])})"
            rows.append((f"arm {i + 1}", arm, why))
        return Table(title, rows)

    def plot(self, ax: Any = None, **line: Any) -> Any:
        """Draw the curve; returns the matplotlib Axes."""
        return self._draw(ax, **line)

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        points, lengths = np.concatenate(self.points), np.concatenate(self.arclength)
        columns: dict[str, Any] = {"arm": np.repeat([1, 2], [len(p) for p in self.points])}
        columns["arclength"] = lengths
        columns |= {f"x_{i}": coordinate for i, coordinate in enumerate(points.T)}
        return columns, {"which": self.which, "eigenvalue": self.eigenvalue, "system": repr(self.system)}


def _format(point: Array) -> str:
    return ", ".join(f"{v:.6g}" for v in point)


@checked
def manifold(
    system: System,
    x: checks.PointLike,
    which: str = "unstable",
    *,
    length: float | None = None,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    max_distance: float | None = None,
    max_angle: float = 0.1,
    strong: bool = False,
    progress: bool = False,
) -> Manifold:
    """The one-dimensional stable or unstable manifold of a saddle of a map or a flow.

    Parameters
    ----------
    system : Map or Flow
    x : FixedPoint or array_like, shape (dim,)
        The saddle. A `FixedPoint` of period k > 1 is one of the k-fold map.
    which : {"unstable", "stable"}
    length : float, optional
        Arclength of each arm; by default four diagonals of the box, which then also ends the arms.
    box : sequence of (lower, upper), optional
        Arms end where they leave it. By default the system's own box, enlarged by half its width on every
        side, where no length is given, and no box otherwise.
    max_distance : float, optional
        Largest distance of neighbours; by default a five-hundredth of the length or of the box's diagonal,
        whichever is smaller. By default coordinates count in it, and in angles, by their share of their side
        of the box, where one side is more than 20 times as long as another.
    max_angle : float
        Largest angle in radians by which the curve turns at a point.
    strong : bool
        Where the (un)stable subspace has more than one dimension: follow the fastest direction of it, whose
        manifold is one-dimensional. Without it that is an error.
    progress : bool
        Show a progress bar over the arclength of both arms, as far as it can be foreseen.

    Returns
    -------
    Manifold

    Raises
    ------
    TypeError, ValueError
        Not a map or a flow, not a fixed point (how far off is said), a point where the field jumps, or no
        single real direction of the kind wanted.

    Warns
    -----
    CostWarning
        The arms will take more than ten seconds, by the arclength that the first second has reached, if they
        become as long as the box's diagonal (or `length` where that is shorter), and once they are longer, as
        long again. An arm that ends before takes less.

    Notes
    -----
    Cost: a flow, some ten evaluations of the field a point; a map, as many steps for each point as lie
    between it and the fixed point. The algorithm is in the module's documentation
    (`samdyn.orbit.manifolds`).

    References
    ----------
    Krauskopf & Osinga (1998), Hobson (1993), England, Krauskopf & Osinga (2004).

    Examples
    --------
    The stable manifold of the saddle is the border between the two wells:

    >>> import numpy as np
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.coupled_double_well(), sd.GD())
    >>> unstable = sd.manifold(flow, [0.0, 0.0])
    >>> [bool(np.allclose(abs(arm[-1]), [1, 0], atol=1e-6)) for arm in unstable.points], unstable.ends
    ([True, True], ('fixed point', 'fixed point'))
    """
    if not isinstance(system, Map | Flow):
        raise TypeError(f"system must be a Map or a Flow, got {system!r}")
    if which not in KINDS:
        raise ValueError(f"which must be 'unstable' or 'stable', got {which!r}")
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients to have manifolds, got {system!r}")
    max_angle = checks.number("max_angle", max_angle, above=0)
    period = int(getattr(x, "period", 1))
    point = _state(system, x)
    region, length = _extent(system, box, length)
    reach = length if region is None else min(length, diagonal_of(region))
    units: Array | float = 1.0
    if max_distance is None:
        spacing = reach / 500
        if region is not None and system.state_dim == system.dim:
            units = units_of(region)
            spacing = min(spacing, diagonal_of(region * np.asarray(units)[:, None]) / 500)
    else:
        spacing = checks.number("max_distance", max_distance, above=0)
    function = _repeated(system.point_function(), period)
    vector, value = _direction(system, function, point, which, strong)
    limits = Limits(length, region, spacing, max_angle, units)
    arms: list[tuple[Array, str]] = []
    cheaper = "pass a smaller length or box, or larger max_distance and max_angle"
    with PacedBar(
        progress, "manifold", 2 * reach, cheaper, unit="length", after=SAMPLE_SECONDS, untimed=1
    ) as bar:
        before, expected = 0.0, reach

        def report(grown: float) -> None:
            nonlocal expected
            while grown > expected:  # it winds: each arm may become longer than the box is wide
                expected *= 2
                bar.stretch(2 * min(expected, length))
            if isinstance(system, Map) and grown < expected:
                # a map's arm grows by a factor in each generation: generations are what takes time
                grown = expected * np.log1p(grown / (SEED * reach)) / np.log1p(expected / (SEED * reach))
            bar.reach(before + grown)

        for sign in (1.0, -1.0):
            seed = SEED * reach * sign * vector
            if isinstance(system, Flow):
                backwards = -1.0 if which == "stable" else 1.0
                arms.append(flow_arm(system, point, seed, backwards, limits, report))
            else:
                arms.append(map_arm(function, point, seed, value, which, limits, report))
            before = min(expected, length)
            bar.reach(before)  # an arm that ended early leaves nothing to do
    points = (arms[0][0][needed(arms[0][0], limits)], arms[1][0][needed(arms[1][0], limits)])
    distances = (lengths(points[0]), lengths(points[1]))
    return Manifold(points, distances, (arms[0][1], arms[1][1]), which, point, vector, value, system)


def _state(system: System, x: checks.PointLike) -> Array:
    value = checks.point_of(x)
    if system.state_dim != system.dim and np.shape(value) == (system.state_dim,):
        return checks.points("x", value, system.state_dim)
    point = checks.points("x", value, system.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {point.shape}")
    return system.settled(point)


def _extent(system: System, box: Any, length: float | None) -> tuple[Array | None, float]:
    if length is not None:
        region = None if box is None else checks.box("box", box, system.dim)
        return region, checks.number("length", length, above=0)
    if box is None:
        if system.box is None:
            raise ValueError(f"length or box must be given: {system.name} has no box of its own")
        half = (system.box[:, 1] - system.box[:, 0]) / 2
        region = np.stack([system.box[:, 0] - half, system.box[:, 1] + half], axis=1)
    else:
        region = checks.box("box", box, system.dim)
    return region, 4 * diagonal_of(region)


def _repeated(function: Callable[[Tensor], Tensor], period: int) -> Callable[[Tensor], Tensor]:
    def repeated(x: Tensor) -> Tensor:
        for _ in range(period):
            x = function(x)
        return x

    return repeated if period > 1 else function


def _direction(
    system: System, function: Callable[[Tensor], Tensor], point: Array, which: str, strong: bool
) -> tuple[Array, float]:
    """The unit eigenvector of the one direction wanted, and its eigenvalue."""
    if bool(system.on_jump(point)):
        raise ValueError(
            f"x must have a Jacobian: at ({_format(point)}) the field of {system.rule!r} jumps and "
            "the point has no manifolds; see samdyn.capture_set"
        )
    at = torch.from_numpy(point.copy())
    jacobian = torch.func.jacrev(function)(at).detach().numpy()
    discrete = isinstance(system, Map)
    image = function(at).detach().numpy()
    residual = float(np.linalg.norm(image - point if discrete else image))
    # of x' - x, whose derivative a small learning rate makes small too
    scale = float(np.abs(jacobian - np.eye(len(point)) * discrete).max()) + 1e-300
    if not residual <= scale * displacement_tolerance(system.box, point, ACCURACY):
        how = "|x' - x|" if discrete else "|velocity|"
        raise ValueError(
            f"x must be a fixed point of {system!r}, got ({_format(point)}) where {how} = {residual:.3g}"
        )
    values, vectors = np.linalg.eig(jacobian)
    growth = np.log(np.maximum(np.abs(values), 1e-300)) if discrete else values.real
    growth = growth if which == "unstable" else -growth
    wanted = np.flatnonzero(growth > MARGIN * max(float(np.abs(values).max()), 1.0 if discrete else 0.0))
    if len(wanted) == 0:
        raise ValueError(f"x must have an {which} direction, got eigenvalues {np.round(values, 9)}")
    if len(wanted) > 1 and not strong:
        raise ValueError(
            f"which={which!r} must be one direction, got {len(wanted)} eigenvalues "
            f"{np.round(values[wanted], 9)}: strong=True follows the fastest"
        )
    best = wanted[int(np.argmax(growth[wanted]))]
    if abs(values[best].imag) > 1e-12 * abs(values[best]):
        raise ValueError(f"which={which!r} must be a real direction, got the complex pair {values[best]:.6g}")
    if which == "stable" and discrete and abs(values[best]) < 1e-12:
        raise ValueError("x must have an invertible Jacobian to have a stable manifold, got multiplier 0")
    vector = vectors[:, best].real
    # the same every time: the largest component is positive
    vector = vector / np.linalg.norm(vector) * np.sign(vector[int(np.argmax(np.abs(vector)))])
    return vector, float(values[best].real)

"""A branch of fixed points or cycles over a parameter, and a set of branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.bifurcation.bifurcations import Bifurcation, Curve
from samdyn.equilibria.stability.wording import listed
from samdyn.numerics.scales import displacement_tolerance
from samdyn.results import Result, Table
from samdyn.systems.system import System

if TYPE_CHECKING:
    from samdyn.bifurcation.two_parameter import BifurcationCurve


@dataclass(frozen=True, eq=False, repr=False)
class Branch(Result):
    """Fixed points (or cycles) along one parameter, in the order in which the curve runs through them.

    Attributes
    ----------
    parameter : str
    values : ndarray, shape (n,)
        Of the parameter; not monotonic where the branch has folds.
    x : ndarray, shape (n, dim)
        Positions (of one point of each cycle).
    stability : ndarray of str, shape (n,)
        "attracting", "repelling", "saddle", "marginal", or "trapping" at critical points of the loss where
        the field jumps.
    eigenvalues : ndarray of complex, shape (n, state_dim)
        Multipliers of one period of a map, rates of a flow, most unstable first; nan where no Jacobian
        exists.
    bifurcations : tuple of Bifurcation
        In the order in which the branch meets them.
    ends : tuple of two str
        Why the branch ends where it begins and where it ends: "lower bound", "upper bound", "border", "left
        the box", "closed", "start", "most points" or "lost".
    kind : ndarray of str, shape (n,)
        What the loss has there, as in `FixedPoint.kind`.
    period : int
        1 for fixed points.
    points : ndarray, shape (n, period, dim)
        All points of each cycle.
    capture_radius, chatter_radius : ndarray, shape (n,)
        Of trapping points, nan elsewhere; see `FixedPoint`.
    system : Map or Flow
    bounds : tuple of two float
        The range of the parameter.
    """

    cited = ("allgower2003", "kuznetsov2004")
    row = "point"
    axes = ("x: point coordinate", "eigenvalues: point eigenvalue", "points: point step coordinate")

    parameter: str
    values: Array
    x: Array
    stability: npt.NDArray[np.str_]
    eigenvalues: npt.NDArray[np.complex128]
    bifurcations: tuple[Bifurcation, ...]
    ends: tuple[str, str]
    kind: npt.NDArray[np.str_]
    period: int
    points: Array = field(repr=False)
    capture_radius: Array = field(repr=False)
    chatter_radius: Array = field(repr=False)
    system: System
    bounds: tuple[float, float]
    curve: Curve | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.values)

    def at(self, value: float) -> Array:
        """Positions (k, dim) of the branch at a parameter value, interpolated linearly between its points.

        Examples
        --------
        >>> import samdyn as sd
        >>> flow = sd.Flow(sd.landscapes.double_well(), sd.USAM(0.5))
        >>> branch = sd.continuation(flow, [1.0], "rho", (0, 0.9))
        >>> branch.at(0.25)
        array([[1.]])
        """
        value = checks.number("value", value)
        left, right = self.values[:-1], self.values[1:]
        inside = (np.minimum(left, right) <= value) & (value < np.maximum(left, right))
        i = np.flatnonzero(inside)
        weight = ((value - left[i]) / (right[i] - left[i]))[:, None]
        found = self.x[i] + weight * (self.x[i + 1] - self.x[i])
        if len(self) and value == self.values.max():
            found = np.concatenate([found, self.x[[int(np.argmax(self.values))]]])
        return found

    @checked
    def select(self, kind: str) -> tuple[Bifurcation, ...]:
        """The bifurcations of one kind."""
        return tuple(b for b in self.bifurcations if b.kind == kind)

    def switch(
        self,
        bifurcation: Bifurcation,
        *,
        bounds: Sequence[float] | None = None,
        max_step: float = 0.005,
        max_points: int = 4000,
        box: Sequence[Sequence[float]] | None = None,
        progress: bool = False,
    ) -> Branch:
        """The other branch through one of the bifurcation points: `samdyn.bifurcation.switch_branch`.

        Examples
        --------
        >>> import samdyn as sd
        >>> logistic = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 2.8}, box=[(0, 1)])
        >>> branch = sd.continuation(logistic, [1 - 1 / 2.8], "r", (2.6, 3.3))
        >>> branch.switch(branch.bifurcations[0]).period
        2
        """
        from samdyn.bifurcation.switching import switch_branch

        return switch_branch(
            self,
            bifurcation,
            bounds=bounds,
            max_step=max_step,
            max_points=max_points,
            box=box,
            progress=progress,
        )

    def bifurcation_curve(
        self,
        bifurcation: Bifurcation,
        parameter: str,
        bounds: Sequence[float],
        *,
        first_bounds: Sequence[float] | None = None,
        max_step: float = 0.01,
        max_points: int = 2000,
        progress: bool = False,
    ) -> BifurcationCurve:
        """One of the bifurcation points over a second parameter: `samdyn.bifurcation.bifurcation_curve`."""
        from samdyn.bifurcation.two_parameter import bifurcation_curve

        return bifurcation_curve(
            self,
            bifurcation,
            parameter,
            bounds,
            first_bounds=first_bounds,
            max_step=max_step,
            max_points=max_points,
            progress=progress,
        )

    def table(self) -> Table:
        """What it is of, how stable, how it ends, and its bifurcations."""
        what = "fixed points" if self.period == 1 else f"{self.period}-cycles"
        low, high = float(self.values.min()), float(self.values.max())
        title = (
            f"Branch of {what} of {self.system!r}: {len(self)} points, "
            f"{self.parameter} in [{low:.6g}, {high:.6g}]"
        )
        share = ", ".join(f"{name} {n}" for name, n in Counter(self.stability.tolist()).items())
        notes = [f"stability: {share}", f"ends: {self.ends[0]}, {self.ends[1]}"]
        rows = [
            (
                f"{b.kind} at {b.parameter} = {b.value:.10g}",
                listed(b.x),
                ", ".join(word for word in (b.criticality, "at the end" if b.at_end else "") if word),
            )
            for b in self.bifurcations
        ]
        return Table(title, rows, ("bifurcation", "x", "") if rows else (), notes, most=18)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Bifurcation diagram of this branch; returns the matplotlib Axes."""
        return self._draw(ax=ax, **options)


@dataclass(frozen=True, eq=False, repr=False)
class BifurcationDiagram(Result, Sequence[Branch]):
    """A set of branches over the same parameter.

    Parameters
    ----------
    branches : sequence of Branch

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.double_well(), sd.USAM(0.5))
    >>> top = sd.continuation(flow, [0.0], "rho", (0.0, 2.0))
    >>> diagram = sd.bifurcation.BifurcationDiagram([top, top.switch(top.bifurcations[0])])
    >>> [b.kind for b in diagram.bifurcations]
    ['pitchfork']
    """

    cited = Branch.cited
    row = "branch"

    branches: Sequence[Branch]

    def __post_init__(self) -> None:
        branches = tuple(self.branches)
        if not branches:
            raise ValueError("branches must hold at least one Branch, got none")
        for branch in branches:
            if not isinstance(branch, Branch):
                raise TypeError(f"branches must be Branches, got {type(branch).__name__}")
        names = sorted({branch.parameter for branch in branches})
        if len(names) > 1:
            raise ValueError(f"branches must be over one parameter, got {', '.join(names)}")
        object.__setattr__(self, "branches", branches)

    @overload
    def __getitem__(self, index: int) -> Branch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Branch]: ...
    def __getitem__(self, index: int | slice) -> Branch | Sequence[Branch]:
        return self.branches[index]

    def __len__(self) -> int:
        return len(self.branches)

    def __iter__(self) -> Iterator[Branch]:
        return iter(self.branches)

    @property
    def parameter(self) -> str:
        """The parameter that the branches are over."""
        return self.branches[0].parameter

    @property
    def bifurcations(self) -> tuple[Bifurcation, ...]:
        """The bifurcations of all branches, each once where branches share it, sorted by value."""
        found: list[Bifurcation] = []
        for point in sorted(
            (b for branch in self.branches for b in branch.bifurcations), key=lambda b: b.value
        ):
            tolerance = 1e-6 * (self.branches[0].bounds[1] - self.branches[0].bounds[0])
            apart = displacement_tolerance(self.branches[0].system.box, point.x, 1e-4)
            shared = any(
                abs(other.value - point.value) < tolerance
                and np.linalg.norm(other.x - point.x) < apart
                and other.kind == point.kind
                for other in found
            )
            if not shared:
                found.append(point)
        return tuple(found)

    def table(self) -> Table:
        """The branches, each as it says of itself."""
        notes = [line for branch in self.branches for line in repr(branch).splitlines()]
        return Table(f"BifurcationDiagram of {len(self)} branches over {self.parameter}", notes=notes)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """The diagram; returns the matplotlib Axes. Options go to `sd.plot.bifurcation_diagram`."""
        return self._draw(ax=ax, **options)

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The points of all branches below each other."""
        found: dict[str, Any] = {}
        parts = [branch._columns()[0] for branch in self.branches]
        for name in dict.fromkeys(name for part in parts for name in part):
            if all(name in part for part in parts):
                found[name] = np.concatenate([np.asarray(part[name]) for part in parts])
        counts = [len(branch) for branch in self.branches]
        return {"branch": np.repeat(np.arange(len(counts)), counts), **found}, {"parameter": self.parameter}

"""The result of a basin computation: labels of cells, attractors, shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.basin.arguments import MAX_STEPS
from samdyn.basin.consistency import inconsistency
from samdyn.basin.grid import Grid
from samdyn.basin.matching import matched
from samdyn.basin.paths.course import Course, Starts, memory_at_rest
from samdyn.basin.paths.pieces import REASONS, name_of
from samdyn.basin.rounds import follow
from samdyn.basin.search.attractors import Attractor, as_candidates
from samdyn.basin.wilson import Fraction, shares
from samdyn.results import Absent, Result, Table
from samdyn.systems.system import System

if TYPE_CHECKING:
    from samdyn.basin.boundary.edge_states import EdgeState
    from samdyn.basin.boundary.kicks import Kick
    from samdyn.basin.boundary.measures import BasinEntropy, Exponent
    from samdyn.basin.boundary.wada import WadaMerge
    from samdyn.results.graphs import BasinGraph


@dataclass(frozen=True, eq=False, repr=False)
class Basins(Result):
    """Basins of attraction on a grid of cells.

    Attributes
    ----------
    labels : ndarray of int, shape `resolution`
        The attractor (> 0) that each cell goes to, or why none (< 0): see `reasons`. With noise the most
        probable end.
    attractors : dict of int to Attractor
    box : ndarray, shape (dim, 2)
    resolution : tuple of int
    system : Map, Flow or Diffusion, or Absent
        Absent in a loaded result of a user's own functions, unless the system was given to `load`.
    steps : ndarray of int, shape `resolution`
        Steps (strides of a flow) until arrival; -1 where there was none. With noise the mean, rounded.
    unit : float
        Time of a step: 1 for a map.
    probabilities : ndarray, shape ``(*resolution, k)``, or None
        With noise, the share of replicas that first came close to each attractor, in the order of
        `attractors`.
    replicas : int
    unresolved : dict of int to float
        With noise, the share of all replicas that ended for each reason.
    interrupted : bool
        Whether Ctrl-C came before all paths had ended: those then count as out of steps.
    """

    cited = ("datseris2022",)

    labels: npt.NDArray[np.int16]
    attractors: dict[int, Attractor]
    box: Array
    resolution: tuple[int, ...]
    system: System | Absent
    steps: npt.NDArray[np.int32]
    unit: float = 1.0
    probabilities: Array | None = None
    replicas: int = 1
    unresolved: dict[int, float] = field(default_factory=dict)
    interrupted: bool = False
    course: Course | None = field(default=None, repr=False, compare=False)
    radius: float | None = None
    max_steps: int = MAX_STEPS

    reasons = REASONS

    @property
    def grid(self) -> Grid:
        """The cells and their points."""
        return Grid(self.box, self.resolution)

    @property
    def fractions(self) -> dict[int, Fraction]:
        """Share of the box of each attractor, and of each reason that occurs, with Wilson intervals.

        The intervals are computed as for as many random starts, which for a grid is on the wide side. With
        noise the shares of probability, with the intervals of one replica a cell.
        """
        if self.probabilities is None:
            return shares(self.labels, self.attractors)
        n = self.labels.size
        mean = self.probabilities.reshape(n, -1).mean(axis=0)
        result = {k: Fraction(m * n, n) for k, m in zip(self.attractors, mean, strict=True)}
        return result | {k: Fraction(p * n, n) for k, p in self.unresolved.items()}

    @checked
    def name_of(self, label: int) -> str:
        """What a label stands for."""
        return name_of(label, self.attractors)

    @checked
    def label_at(self, x: npt.ArrayLike) -> npt.NDArray[np.int16]:
        """Labels of any points (..., dim), by following each to its end; without noise."""
        if self.course is None or isinstance(self.system, Absent):
            raise ValueError("system must be known to follow points, got a result that was loaded without it")
        points = checks.points("x", x, len(self.box))
        course = self.course.without_noise()
        flat = np.ascontiguousarray(points.reshape(-1, len(self.box)))
        starts = Starts(flat, 1, memory_at_rest(course.system))
        followed = follow(course, as_candidates(self.attractors), starts, self.max_steps, self.radius)
        ids = np.array([0, *sorted(self.attractors)], dtype=np.int16)
        labels = np.where(followed.labels > 0, ids[np.maximum(followed.labels, 0)], followed.labels)
        return labels.reshape(points.shape[:-1]).astype(np.int16)

    @checked
    def matched_to(self, other: Basins, **options: Any) -> Basins:
        """The result with the ids, and so the colours in pictures, of another result.

        An attractor that has a partner in `other` gets that one's id, the others ids that are not used there
        (`samdyn.basin.match_attractors` with `near`, whose other options are accepted). Without it ids count
        the attractors by their place, coordinate by coordinate: one more attractor moves all after it.

        Examples
        --------
        >>> import samdyn as sd
        >>> well = sd.landscapes.double_well()
        >>> gd, sam = (sd.basins(sd.Map(well, r, lr=0.05), [(-2, 2)], 40) for r in (sd.GD(), sd.SAM(0.3)))
        >>> {k: a.name for k, a in sam.matched_to(gd).attractors.items()}
        {1: 'minimum (-1)', 3: 'trapping maximum (0)', 2: 'minimum (1)'}
        """
        return cast("Basins", matched(self, other, **options))

    # What is asked of a result is its method. The work is done in samdyn.basin.boundary and
    # samdyn.basin.graph, whose modules import this one and so are loaded when they are needed.

    def uncertainty_exponent(self, distances: Sequence[int] | None = None) -> Exponent:
        """How the share of uncertain cells grows with the distance: `samdyn.basin.uncertainty_exponent`.

        Examples
        --------
        >>> import samdyn as sd
        >>> gd = sd.Map(sd.landscapes.himmelblau(), sd.GD(), lr=0.01)
        >>> sd.basins(gd, resolution=64).uncertainty_exponent().value > 0.8  # 1 for a smooth boundary
        True
        """
        from samdyn.basin.boundary.measures import uncertainty_exponent

        return uncertainty_exponent(self, distances)

    def box_dimension(self, sizes: Sequence[int] | None = None) -> Exponent:
        """Box-counting dimension of the boundary: `samdyn.basin.box_dimension`."""
        from samdyn.basin.boundary.measures import box_dimension

        return box_dimension(self, sizes)

    def entropy(self, size: int = 5) -> BasinEntropy:
        """Basin entropy and the entropy of the boundary: `samdyn.basin.basin_entropy`."""
        from samdyn.basin.boundary.measures import basin_entropy

        return basin_entropy(self, size)

    def boundary_cells(self, distance: int = 1) -> npt.NDArray[np.bool_]:
        """Cells that have a cell of another basin within a distance: `samdyn.basin.boundary_cells`."""
        from samdyn.basin.boundary.measures import boundary_cells

        return boundary_cells(self, distance)

    def boundary_pairs(self, a: int, b: int) -> tuple[Array, Array]:
        """Neighbouring cells of two basins: `samdyn.basin.boundary_pairs`."""
        from samdyn.basin.boundary.edge_states import boundary_pairs

        return boundary_pairs(self, a, b)

    def wada_merge(self, radius: float = 1, ids: Sequence[int] | None = None) -> WadaMerge:
        """Whether all basins share one boundary: `samdyn.basin.wada_merge`."""
        from samdyn.basin.boundary.wada import wada_merge

        return wada_merge(self, radius, ids)

    def edge_state(
        self,
        a: int,
        b: int,
        *,
        start: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        bisection: float = 1e-9,
        divergence: float = 1e-5,
        tolerance: float = 1e-6,
        max_rounds: int = 300,
        progress: bool = False,
    ) -> EdgeState:
        """The state on the boundary between two basins: `samdyn.basin.edge_state`.

        Examples
        --------
        >>> import samdyn as sd
        >>> well = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
        >>> abs(sd.basins(well, [(-2, 2)], 40).edge_state(1, 2).x).max() < 1e-6  # the maximum at 0
        np.True_
        """
        from samdyn.basin.boundary.edge_states import edge_state

        return edge_state(
            self,
            a,
            b,
            start=start,
            bisection=bisection,
            divergence=divergence,
            tolerance=tolerance,
            max_rounds=max_rounds,
            progress=progress,
        )

    def smallest_kick(
        self, attractor: int, target: int | None = None, *, seed: int = 0, progress: bool = False
    ) -> Kick:
        """The shortest displacement found into another basin: `samdyn.basin.smallest_kick`."""
        from samdyn.basin.boundary.kicks import smallest_kick

        return smallest_kick(self, attractor, target, seed=seed, progress=progress)

    def graph(self, *, action: bool = False, progress: bool = False) -> BasinGraph:
        """The attractors, joined through the saddles between their basins: `samdyn.basin_graph`."""
        from samdyn.basin.graph.connections import basin_graph

        return basin_graph(self, action=action, progress=progress)

    @classmethod
    def _rebuilt(cls, values: dict[str, Any]) -> dict[str, Any]:
        course = values.get("course")
        return values if course is None else {**values, "course": replace(course, system=values["system"])}

    @classmethod
    def _inconsistency(cls, values: Mapping[str, Any]) -> str:
        return inconsistency(values)

    def table(self) -> Table:
        """The share of each attractor with its interval."""
        size = " x ".join(map(str, self.resolution))
        title = f"Basins of {self.system!r}: {size} cells" + (", interrupted" if self.interrupted else "")
        rows = [
            (str(k), self.name_of(k), f"{float(f):.4f}", f"{f.lower:.4f}-{f.upper:.4f}")
            for k, f in self.fractions.items()
        ]
        return Table(title, rows, ("id", "attractor", "share", "95 % interval"))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Picture of the basins (`samdyn.plot.basin_maps`); returns the matplotlib Axes."""
        return self._draw(ax=ax, **options)

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        points = self.grid.points(np.arange(self.labels.size))
        columns = {f"x_{i}": coordinate for i, coordinate in enumerate(points.T)}
        columns |= {"label": self.labels.ravel(), "steps": self.steps.ravel()}
        return columns, {"system": repr(self.system), "unit": self.unit, "replicas": self.replicas}

    def _axis_names(self) -> dict[str, tuple[str, ...]]:
        cells = tuple(f"x_{i}" for i in range(self.labels.ndim))
        return {
            "labels": cells,
            "steps": cells,
            "probabilities": (*cells, "attractor"),
            "box": ("coordinate", "end"),
        }

    def _coordinates(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        """The centres of the cells along each axis."""
        names = [f"x_{i}" for i in range(self.labels.ndim)]
        return {name: ((name,), self.grid.axis(i)) for i, name in enumerate(names)}

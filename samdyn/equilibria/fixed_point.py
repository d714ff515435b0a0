"""What a search for fixed points returns: `FixedPoint` and `FixedPoints`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.coverage import Coverage
from samdyn.equilibria.proof.krawczyk import Certificate, Proof
from samdyn.equilibria.stability.wording import listed
from samdyn.results import Result, Table
from samdyn.systems.system import System

KINDS = ("minimum", "saddle", "maximum", "degenerate", "hallucinated", "fixed point", "cycle")
STABILITIES = ("attracting", "repelling", "saddle", "marginal", "trapping", "jump")


@dataclass(frozen=True, eq=False, repr=False)
class FixedPoint(Result):
    """A fixed point or a cycle.

    Attributes
    ----------
    x : ndarray, shape (dim,)
        Position (of one point of a cycle).
    kind : str
        What the loss has there: "minimum", "saddle", "maximum", "degenerate", or "hallucinated" (the
        gradient at x is not zero, the one at x + e(x) is); "fixed point" for systems without a loss,
        "cycle" for period > 1.
    stability : str
        What the dynamics does there: "attracting", "repelling", "saddle", "marginal", or "trapping" (the
        field jumps; see `capture_radius`). "jump": the field jumps, and nothing is claimed: orbits
        followed from around the point did not settle what it does
        (`samdyn.equilibria.kinks.following_orbits`), or what the rule
        normalises vanishes where it looks.
    eigenvalues : ndarray
        Of the Jacobian; nan where there is none. For a cycle the multipliers of one period.
    residual : float
        |x' - x| for a map, |velocity| for a flow or a drift.
    period : int
        1 for a fixed point.
    capture_radius : float
        Trapping points: from a ball of this radius the flow is drawn onto the point; at most the box's
        diagonal, and 0 where it attracts but no such ball is known. nan otherwise, and where a map stays
        though its flow leaves the point, or may do so.
    chatter_radius : float
        Trapping points of a map: the map hovers within this distance instead of stopping. 0 for a flow, nan
        where not trapping.
    dimension : int
        Dimension of the set of fixed points that this entry stands for: 0 for an isolated one.
    points : ndarray, shape (n, dim)
        The points of the cycle, or sample points of the set.
    on_kink : bool
        Whether the gradient of the loss jumps there, or at its perturbed point.
    certificate : Certificate or None
        Proof that the point exists and is alone, where ``certify=True`` asked for it and it succeeded.
    """

    row = "coordinate"

    x: Array
    kind: str
    stability: str
    eigenvalues: npt.NDArray[Any]
    residual: float
    period: int = 1
    capture_radius: float = float("nan")
    chatter_radius: float = float("nan")
    dimension: int = 0
    points: Array = field(default_factory=lambda: np.empty((0, 0)), repr=False)
    certificate: Certificate | None = field(default=None, repr=False)
    on_kink: bool = False

    def table(self) -> Table:
        """Where it is and of what kind."""
        return Table(f"FixedPoint({listed(self.x)}, {self.kind}, {self.stability}{_remark(self)})")


def _remark(point: FixedPoint) -> str:
    if point.on_kink:
        hovers = f", hovers within {point.chatter_radius:.3g}" if point.chatter_radius > 0 else ""
        return f", on a kink of the loss{hovers}"
    if point.stability == "trapping":
        if np.isnan(point.capture_radius):
            return f", hovers within {point.chatter_radius:.3g}"
        known = point.capture_radius > 0
        return f", captures within {point.capture_radius:.3g}" if known else ", locally"
    if point.dimension:
        return f", a set of dimension {point.dimension}"
    return f", period {point.period}" if point.period > 1 else ""


@dataclass(frozen=True, eq=False, repr=False)
class FixedPoints(Result, Sequence[FixedPoint]):
    """The fixed points of a system in a box, as a sequence of `FixedPoint`.

    Attributes
    ----------
    points : tuple of FixedPoint
    system : Map, Flow or Diffusion
    box : ndarray, shape (dim, 2)
    coverage : dict of str to Coverage
        How thoroughly the box was searched, for each search: "genuine" (critical points of the loss),
        "hallucinated", or "all" for systems without a loss.
    proofs : dict of str to Proof
        With ``certify=True`` what was proved, for each search.
    notes : tuple of str
        What the search did not serve, such as kinks of the loss, and what does not add up.
    """

    cited = ("farrell2015", "chao1984")
    row = "point"

    points: tuple[FixedPoint, ...]
    system: System
    box: Array
    coverage: dict[str, Coverage] = field(default_factory=dict)
    proofs: dict[str, Proof] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> FixedPoint: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FixedPoint]: ...
    def __getitem__(self, index: int | slice) -> FixedPoint | Sequence[FixedPoint]:
        return self.points[index]

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[FixedPoint]:
        return iter(self.points)

    @property
    def x(self) -> Array:
        """All positions, shape (n, dim)."""
        return np.array([p.x for p in self.points]).reshape(-1, self.system.dim)

    @property
    def genuine(self) -> FixedPoints:
        """The points that are critical points of the loss (all points, for systems without a loss)."""
        return self._subset(p for p in self if p.kind != "hallucinated")

    @property
    def hallucinated(self) -> FixedPoints:
        """The points where the gradient does not vanish, but the gradient at x + e(x) does."""
        return self._subset(p for p in self if p.kind == "hallucinated")

    @property
    def families(self) -> FixedPoints:
        """Curves and surfaces of fixed points: entries with a `dimension`, and sample `points`."""
        return self._subset(p for p in self if p.dimension)

    @property
    def undecided(self) -> Array:
        """Boxes (n, dim, 2) in which ``certify=True`` could not exclude further points."""
        none = np.empty((0, len(self.box), 2))
        return np.concatenate([none, *(proof.undecided for proof in self.proofs.values())])

    @property
    def certified(self) -> bool:
        """Whether the list is proven complete, and every point of it to exist."""
        proven = all(p.certificate is not None for p in self.points)
        return bool(self.proofs) and len(self.undecided) == 0 and proven

    def _subset(self, points: Iterable[FixedPoint]) -> FixedPoints:
        return FixedPoints(tuple(points), self.system, self.box, self.coverage, self.proofs, self.notes)

    @checked
    def select(self, kind: str | None = None, stability: str | None = None) -> FixedPoints:
        """The points of a kind, of a stability, or both."""
        for name, value, known in (("kind", kind, KINDS), ("stability", stability, STABILITIES)):
            if value is not None and value not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
        return self._subset(p for p in self if kind in (None, p.kind) and stability in (None, p.stability))

    def _remarks(self) -> list[str]:
        lines = [f"{name}: {coverage!r}" for name, coverage in self.coverage.items()]
        lines += self.notes
        for name, proof in self.proofs.items():
            n = len(proof.undecided)
            if n == 0:
                lines.append(f"{name}: proven complete ({proof.n_boxes} boxes)")
                continue
            volume = np.prod(proof.undecided[..., 1] - proof.undecided[..., 0], axis=1).sum()
            share = volume / np.prod(self.box[:, 1] - self.box[:, 0])
            lines.append(f"{name}: proven complete outside {n} undecided boxes, {share:.1g} of the volume")
        return lines

    def table(self) -> Table:
        """The points, and how complete the list is."""
        rows = []
        for p in self.points:
            values = (
                ", ".join(f"{v:.4g}" for v in p.eigenvalues[:4])
                if not np.isnan(p.eigenvalues).any()
                else "none: no Jacobian"
            )
            rows.append((listed(p.x), p.kind, p.stability, values, _remark(p).lstrip(", ")))
        head = ("x", "kind", "stability", "eigenvalues", "")
        return Table(f"FixedPoints of {self.system!r}: {len(self)} in the box", rows, head, self._remarks())

    def plot(self, ax: Any = None) -> Any:
        """Phase portrait with these points; returns the matplotlib Axes."""
        return self._draw(ax)

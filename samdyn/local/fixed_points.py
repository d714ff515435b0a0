"""Fixed points of a map, a flow or a drift in a box, found, classified and counted once.

Algorithm
---------
1. Critical points of the loss: batched Newton on the gradient (`newton_zeros`). They are fixed points of
   every rule, since e = 0 where g = 0.
2. Hallucinated points: batched Newton on grad f(x + e(x)); zeros with a vanishing gradient belong to step 1
   and are dropped.
3. Kind, from the Hessian's eigenvalues at a critical point: "minimum", "saddle", "maximum", or "degenerate"
   if one is below 1e-6 of the largest in modulus.
4. Stability, from the Jacobian where there is one; at a critical point under a normalised rule from the
   capture set (`samdyn.local.trapping`).
5. Degenerate points that hang together within 15 % of the box's diagonal, ten or more, are a curve or
   surface: one entry, with its dimension and sample points.
Systems given by a function skip 1 and 3. With period k > 1: zeros of the k-fold map that are not of a lower
period, one entry a cycle.

The search is by multi-start: complete with high probability, not certainly. More starts (`n_starts`) find
points with small Newton basins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree
from torch import Tensor

from samdyn.compute import batch, checks
from samdyn.compute.checks import Array
from samdyn.local.linearization import residual_of, stability_of
from samdyn.local.newton import newton_zeros
from samdyn.local.trapping import jump_stability, kind_of
from samdyn.rules.family import GD
from samdyn.rules.rule import Rule
from samdyn.systems.flow import velocity
from samdyn.systems.jump import jump_length
from samdyn.systems.map import Map
from samdyn.systems.system import System

FAMILY_SIZE = 10
KINDS = ("minimum", "saddle", "maximum", "degenerate", "hallucinated", "fixed point", "cycle")
STABILITIES = ("attracting", "repelling", "saddle", "marginal", "trapping")


@dataclass(frozen=True)
class FixedPoint:
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
        field jumps; see `capture_radius`).
    eigenvalues : ndarray
        Of the Jacobian; nan where there is none. For a cycle the multipliers of one period.
    residual : float
        |x' - x| for a map, |velocity| for a flow or a drift.
    period : int
        1 for a fixed point.
    capture_radius : float
        Trapping points: from a ball of this radius the flow is drawn onto the point; at most the box's
        diagonal, and 0 where it attracts but no such ball is known. nan otherwise.
    chatter_radius : float
        Trapping points of a map: the map hovers within this distance instead of stopping. 0 for a flow, nan
        where not trapping.
    dimension : int
        Dimension of the set of fixed points that this entry stands for: 0 for an isolated one.
    points : ndarray, shape (n, dim)
        The points of the cycle, or sample points of the set.
    """

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

    def __repr__(self) -> str:
        position = ", ".join(f"{v:.6g}" for v in self.x)
        return f"FixedPoint(({position}), {self.kind}, {self.stability}{_remark(self)})"


def _remark(point: FixedPoint) -> str:
    if point.stability == "trapping":
        known = point.capture_radius > 0
        return f", captures within {point.capture_radius:.3g}" if known else ", locally"
    if point.dimension:
        return f", a set of dimension {point.dimension}"
    return f", period {point.period}" if point.period > 1 else ""


@dataclass(frozen=True)
class FixedPoints(Sequence[FixedPoint]):
    """The fixed points of a system in a box, as a sequence of `FixedPoint`.

    Attributes
    ----------
    points : tuple of FixedPoint
    system : Map, Flow or Diffusion
    box : ndarray, shape (dim, 2)
    """

    points: tuple[FixedPoint, ...]
    system: System
    box: Array

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

    def select(self, kind: str | None = None, stability: str | None = None) -> FixedPoints:
        """Those of a kind, of a stability, or both."""
        for name, value, known in (("kind", kind, KINDS), ("stability", stability, STABILITIES)):
            if value is not None and value not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
        keep = tuple(p for p in self if kind in (None, p.kind) and stability in (None, p.stability))
        return FixedPoints(keep, self.system, self.box)

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        rows = []
        for p in self.points:
            position = "(" + ", ".join(f"{v:.6g}" for v in p.x) + ")"
            values = (
                ", ".join(f"{v:.4g}" for v in p.eigenvalues[:4])
                if not np.isnan(p.eigenvalues).any()
                else "none: the field jumps"
            )
            rows.append((position, p.kind, p.stability, values, _remark(p).lstrip(", ")))
        return rows

    def __repr__(self) -> str:
        head = f"FixedPoints of {self.system!r}: {len(self)} in the box"
        table = [("x", "kind", "stability", "eigenvalues", ""), *self._rows()]
        widths = [max(len(row[i]) for row in table) for i in range(5)]
        return "\n".join(
            [head]
            + [
                "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
                for row in table
            ]
        )

    def _repr_html_(self) -> str:
        cells = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in self._rows())
        names = "".join(f"<th>{n}</th>" for n in ("x", "kind", "stability", "eigenvalues", ""))
        return f"<p>Fixed points of <code>{self.system!r}</code></p><table><tr>{names}</tr>{cells}</table>"

    def plot(self, ax: Any = None) -> Any:
        """Phase portrait with these points; returns the matplotlib Axes."""
        from samdyn.plot import phase_portrait

        return phase_portrait(self.system, box=self.box, ax=ax, fixed_points=self)


def fixed_points(
    system: System,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    period: int = 1,
    *,
    n_starts: int = 2048,
    tolerance: float = 1e-12,
) -> FixedPoints:
    """All fixed points (or cycles) of a system that a multi-start search finds in a box.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Of a Diffusion the zeros of the drift. The coefficients must be constant: a schedule has no fixed
        points.
    box : sequence of (lower, upper), optional
        Where to look; the system's own box by default.
    period : int
        1 for fixed points; k > 1 for the cycles of a map of least period k.
    n_starts : int
        Newton starts, rounded up to a power of two.
    tolerance : float
        Largest residual accepted, relative to 1 + |J| (1 + |x|).

    Returns
    -------
    FixedPoints

    Raises
    ------
    TypeError, ValueError
        No box, bounds reversed, a scheduled coefficient, period > 1 for a flow.

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.local.fixed_points`).

    Examples
    --------
    >>> import samdyn as sd
    >>> points = sd.fixed_points(sd.Flow(sd.landscapes.double_well(), sd.SAM(0.2)))
    >>> [(round(float(p.x[0]), 6), p.kind, p.stability) for p in points if p.kind != "hallucinated"]
    [(-1.0, 'minimum', 'trapping'), (0.0, 'maximum', 'trapping'), (1.0, 'minimum', 'trapping')]
    """
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if box is None and system.box is None:
        raise ValueError(f"box must be given: {system.name} has none of its own")
    region = checks.box("box", system.box if box is None else box, system.dim)
    period = checks.integer("period", period, at_least=1)
    n_starts = checks.integer("n_starts", n_starts, at_least=1)
    tolerance = checks.number("tolerance", tolerance, above=0)
    if getattr(system, "scheduled", False):
        raise ValueError(f"system must have constant coefficients to have fixed points, got {system!r}")
    if period > 1:
        if not isinstance(system, Map):
            raise ValueError(
                f"period must be 1 for a {type(system).__name__}: only maps have cycles of a given period"
            )
        return FixedPoints(_cycles(system, region, period, n_starts, tolerance), system, region)
    if system.landscape is None:
        zeros = newton_zeros(_displacement(system), region, n_starts=n_starts, tolerance=tolerance)
        return FixedPoints(tuple(_describe(system, z, "fixed point") for z in zeros), system, region)
    loss = system.landscape
    critical = newton_zeros(torch.func.grad(loss.one_point), region, n_starts=n_starts, tolerance=tolerance)
    kinds = [kind_of(hessian) for hessian in loss.hessian(critical)]
    isolated, families = _gather_families(
        critical, np.array([kind == "degenerate" for kind in kinds], dtype=bool), region
    )
    found = _describe_critical(system, critical[isolated], [kinds[i] for i in isolated], region)
    found += [_family(system, points, "degenerate") for points in families]
    if system.rule is not None and _perturbs(system.rule):
        zeros = newton_zeros(_displacement(system), region, n_starts=n_starts, tolerance=tolerance)
        zeros = zeros[_hallucinated(system, zeros, critical, region)]
        flat = np.array(
            [stability_of(v, False) == "marginal" for v in np.linalg.eigvals(_field_jacobian(system, zeros))],
            dtype=bool,
        )
        isolated, families = _gather_families(zeros, flat, region)
        found += [_describe(system, z, "hallucinated") for z in zeros[isolated]]
        found += [_family(system, points, "hallucinated") for points in families]
    return FixedPoints(tuple(found), system, region)


def _perturbs(rule: Rule) -> bool:
    values = rule.coefficients().values()
    return not isinstance(rule, GD) and type(rule) is not Rule and (not values or any(values))


def _displacement(system: System) -> Callable[[Tensor], Tensor]:
    """A torch function of one POINT whose zeros are the fixed points."""
    function = system.point_function()
    if not isinstance(system, Map):
        return function
    if system.landscape is not None:  # independent of lr and momentum, and better scaled than x' - x
        assert system.rule is not None
        return velocity(system.landscape.one_point, system.rule, "perturbed", **system.rule.coefficients())
    return lambda x: function(x) - x


def _describe(system: System, z: Array, kind: str) -> FixedPoint:
    discrete = isinstance(system, Map)
    eigenvalues = np.linalg.eigvals(system.jacobian(z))
    order = np.argsort(-(np.abs(eigenvalues) if discrete else eigenvalues.real), kind="stable")
    return FixedPoint(
        z, kind, stability_of(eigenvalues, discrete), eigenvalues[order], residual_of(system, z)
    )


def _hallucinated(system: System, zeros: Array, critical: Array, box: Array) -> npt.NDArray[np.bool_]:
    """Which zeros of the field are not critical points of the loss."""
    assert system.landscape is not None
    if len(zeros) == 0:
        return np.zeros(0, dtype=bool)
    gradient = np.linalg.norm(system.landscape.gradient(zeros), axis=-1)
    scale = np.abs(system.landscape.hessian(zeros)).max(axis=(-1, -2))
    diagonal = float(np.linalg.norm(box[:, 1] - box[:, 0]))
    away = np.full(len(zeros), np.inf) if len(critical) == 0 else cKDTree(critical).query(zeros)[0]
    return np.asarray((gradient > 1e-7 * scale * diagonal) & (away > 1e-7 * diagonal))


def _field_jacobian(system: System, x: Array) -> Array:
    return batch.evaluate(torch.func.jacrev(_displacement(system)), x)


def _describe_critical(system: System, z: Array, kinds: list[str], box: Array) -> list[FixedPoint]:
    assert system.landscape is not None and system.rule is not None
    if not system.rule.jumps or len(z) == 0:
        return [_describe(system, point, kind) for point, kind in zip(z, kinds, strict=True)]
    stabilities = jump_stability(system, z, reach=float(np.linalg.norm(box[:, 1] - box[:, 0])))
    none = np.full(system.state_dim, np.nan)
    return [
        FixedPoint(
            point,
            kind,
            stability,
            none,
            residual_of(system, point),
            capture_radius=capture,
            chatter_radius=chatter,
        )
        for point, kind, (stability, capture, chatter) in zip(z, kinds, stabilities, strict=True)
    ]


def _gather_families(x: Array, flat: npt.NDArray[np.bool_], box: Array) -> tuple[list[int], list[Array]]:
    """Split points into isolated ones (indices) and clouds of ten or more flat points that hang together."""
    isolated = np.flatnonzero(~flat).tolist()
    flat_index = np.flatnonzero(flat)
    if len(flat_index) < FAMILY_SIZE:
        return sorted([*isolated, *flat_index.tolist()]), []
    diagonal = float(np.linalg.norm(box[:, 1] - box[:, 0]))
    labels = fcluster(linkage(x[flat_index], "single"), 0.15 * diagonal, criterion="distance")
    families = []
    for label in np.unique(labels):
        members = flat_index[labels == label]
        if len(members) < FAMILY_SIZE:
            isolated += members.tolist()
        else:
            families.append(x[members])
    return sorted(isolated), families


def _family(system: System, cloud: Array, kind: str) -> FixedPoint:
    """One entry for a curve or surface of fixed points, at the sample nearest to the cloud's centre."""
    centre = cloud[int(np.argmin(np.linalg.norm(cloud - cloud.mean(axis=0), axis=1)))]
    # directions in which the nearest samples spread comparably to their distance
    nearest = cloud[np.argsort(np.linalg.norm(cloud - centre, axis=1))[: max(6, len(cloud) // 20)]]
    spread = np.linalg.svd(nearest - nearest.mean(axis=0), compute_uv=False)
    dimension = int((spread > 0.1 * spread[0]).sum())
    jumps = kind == "degenerate" and system.rule is not None and system.rule.jumps
    if jumps:
        none = np.full(system.state_dim, np.nan)
        return FixedPoint(
            centre, kind, "marginal", none, residual_of(system, centre), dimension=dimension, points=cloud
        )
    one = _describe(system, centre, kind)
    return FixedPoint(
        one.x, kind, one.stability, one.eigenvalues, one.residual, dimension=dimension, points=cloud
    )


def _cycles(system: Map, box: Array, period: int, n_starts: int, tolerance: float) -> tuple[FixedPoint, ...]:
    function = system.point_function()
    if system.momentum:
        raise ValueError("period must be 1 for a Map with momentum: cycles in (x, v) are not searched yet")

    def repeated(x: Tensor) -> Tensor:
        y = x
        for _ in range(period):
            y = function(y)
        return y - x

    starts = None
    if system.landscape is not None and system.rule is not None and system.rule.jumps:
        starts = _cycle_starts(system, box, n_starts)
    zeros = newton_zeros(
        repeated, box, n_starts=n_starts, tolerance=tolerance, starts=starts, separation=1e-8
    )
    diagonal = float(np.linalg.norm(box[:, 1] - box[:, 0]))
    result: list[FixedPoint] = []
    for z in zeros:
        orbit = [z]
        for _ in range(period - 1):
            orbit.append(system(orbit[-1]))
        cycle = np.array(orbit)
        distances = np.linalg.norm(cycle[1:] - z, axis=1)
        seen = any(np.linalg.norm(other.points - z, axis=1).min() < 1e-7 * diagonal for other in result)
        if seen or distances.min() < 1e-9 * diagonal:
            continue
        product = np.linalg.multi_dot(list(system.jacobian(cycle))[::-1])
        eigenvalues = np.linalg.eigvals(product)
        eigenvalues = eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")]
        residual = float(np.linalg.norm(system(cycle[-1]) - z))
        result.append(
            FixedPoint(
                z, "cycle", stability_of(eigenvalues, True), eigenvalues, residual, period, points=cycle
            )
        )
    return tuple(result)


def _cycle_starts(system: Map, box: Array, n_starts: int) -> Array:
    """Starts on the scale of the cycles that a normalised rule has around critical points: lr r |lambda|
    / 2 along each eigenvector.
    """
    assert system.landscape is not None and system.rule is not None
    critical = newton_zeros(torch.func.grad(system.landscape.one_point), box, n_starts=n_starts)
    length, lr = jump_length(system.rule), system.coefficients()["lr"]
    starts = []
    for z in critical:
        eigenvalues, vectors = np.linalg.eigh(system.landscape.hessian(z))
        for value, vector in zip(eigenvalues, vectors.T, strict=True):
            amplitude = lr * length * abs(value) / max(2 - lr * value, 1e-3)
            starts += [z + amplitude * vector * (1 + shift) for shift in (0.0, 1e-3, -1e-3)]
    return np.array(starts).reshape(-1, system.dim)

"""For which radii normalised SAM has fixed points that are not critical points of the loss.

In one dimension the list is complete (`hallucination_intervals`). With p < q consecutive stationary points or
breaks (where f' is infinite or undefined, or jumps from one sign to the other, such as a pole of f), each
stationary point y and each interval (p, q) between them give

- where f' > 0 on (p, q) and q <= y: the points x = y - rho for rho in (y - q, y - p);
- where f' < 0 on (p, q) and p >= y: the points x = y + rho for rho in (p - y, q - y);

and there are no others, since x + rho sign f'(x) = y. Their multiplier under the flow is -f''(y): every one
with a minimum as endpoint attracts, the map's for lr < 2/f''(y); the others repel.

In more dimensions the intervals are read off the branches of `hallucinated_branches`, cut where rho turns
back and where the stability changes.

References
----------
The complete list in one dimension: own derivation; Park, Jang, Ryu & Yang (2025), arXiv 2509.21818, prove
existence for an interval of radii above the distance between a minimiser and an isolated maximiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.newton import newton_zeros
from samdyn.equilibria.stability.critical_kinds import kind_of
from samdyn.equilibria.stability.linearization import stability_of
from samdyn.equilibria.stability.wording import listed
from samdyn.jobs.progress import PacedBar
from samdyn.landscapes.landscape import Landscape
from samdyn.results import Result, Table

N_NODES = 4096  # cells of the region in which roots are looked for; chosen
N_PARTS = 8  # of the region: steps of the progress bar
NEWTON_SHARE = 15
"""Time of Newton's method from half as many starts, in units of the slope at all nodes."""


@dataclass(frozen=True, eq=False, repr=False)
class HallucinationInterval(Result):
    """An open interval of radii with one hallucinated point for each.

    Attributes
    ----------
    lower, upper : float
        Its ends, in units of the weights.
    endpoint : ndarray, shape (dim,)
        The critical point y at which the perturbed point x + rho g/|g| lies.
    endpoint_kind : str
        "minimum", "saddle", "maximum" or "degenerate".
    stability : str
        Of x under the flow: "attracting", "saddle", "repelling" or "marginal".
    lr_max : float
        The map attracts below it, at the best radius of the interval; 0 where the flow does not attract.
    lower_end, upper_end : str
        What happens at the ends: x reaches a critical point of the loss ("minimum", "saddle", "maximum",
        "degenerate"), its endpoint ("endpoint", at rho = 0) or a pole or jump of f' ("break"), the branch
        turns back ("fold"), the "stability" changes, or the search ended there ("box", "steps", "loop").
    x_lower, x_upper : ndarray, shape (dim,)
        Position of the point at the ends.
    """

    cited = ("park2025",)
    row = "coordinate"

    lower: float
    upper: float
    endpoint: Array
    endpoint_kind: str
    stability: str
    lr_max: float
    lower_end: str
    upper_end: str
    x_lower: Array
    x_upper: Array

    def __contains__(self, rho: float) -> bool:
        return bool(self.lower < rho < self.upper)

    @property
    def _row(self) -> tuple[str, ...]:
        bound = f"{self.lr_max:.6g}" if self.lr_max else "-"
        ends = f"{self.lower_end}, {self.upper_end}"
        return (
            f"({self.lower:.10g}, {self.upper:.10g})",
            f"{listed(self.endpoint)} {self.endpoint_kind}",
            self.stability,
            bound,
            ends,
        )

    def table(self) -> Table:
        """Radii, endpoint, stability and ends."""
        return Table("HallucinationInterval", [(n, c) for n, c in zip(HEAD, self._row, strict=True)])


HEAD = ("rho", "endpoint", "stability", "lr below", "ends")


@dataclass(frozen=True, eq=False, repr=False)
class HallucinationIntervals(Result, Sequence[HallucinationInterval]):
    """Intervals of radii with hallucinated points, sorted by their lower ends.

    Attributes
    ----------
    intervals : tuple of HallucinationInterval
    loss : Landscape
    box : ndarray, shape (dim, 2)
    complete : bool
        Whether the list is known to be complete for the stationary points in the box (one dimension).
    """

    cited = ("park2025",)
    row = "interval"

    intervals: tuple[HallucinationInterval, ...]
    loss: Landscape
    box: Array
    complete: bool

    @overload
    def __getitem__(self, index: int) -> HallucinationInterval: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[HallucinationInterval]: ...
    def __getitem__(self, index: int | slice) -> HallucinationInterval | Sequence[HallucinationInterval]:
        return self.intervals[index]

    def __len__(self) -> int:
        return len(self.intervals)

    def __iter__(self) -> Iterator[HallucinationInterval]:
        return iter(self.intervals)

    @checked
    def select(
        self, endpoint_kind: str | None = None, stability: str | None = None
    ) -> HallucinationIntervals:
        """The intervals with an endpoint of a kind, of a stability, or both."""
        keep = tuple(
            i for i in self if endpoint_kind in (None, i.endpoint_kind) and stability in (None, i.stability)
        )
        return HallucinationIntervals(keep, self.loss, self.box, self.complete)

    def radii(self) -> Array:
        """The union of the intervals, as disjoint ones: shape (n, 2)."""
        union: list[list[float]] = []
        for interval in self:
            # intervals that share an end lie on one branch, or meet there: the point between them counts
            if union and interval.lower <= union[-1][1] * (1 + 1e-9):
                union[-1][1] = max(union[-1][1], interval.upper)
            else:
                union.append([interval.lower, interval.upper])
        return np.array(union).reshape(-1, 2)

    def table(self) -> Table:
        """The intervals, one a row."""
        how = "complete" if self.complete else "by continuation"
        title = f"HallucinationIntervals of {self.loss.name}: {len(self)}, {how}"
        return Table(title, [i._row for i in self], HEAD)

    def plot(self, ax: Any = None) -> Any:
        """The intervals as bars over rho, one row an endpoint; returns the matplotlib Axes."""
        return self._draw(ax)


@checked
def hallucination_intervals(
    loss: Landscape,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    *,
    progress: bool = False,
) -> HallucinationIntervals:
    """For which radii normalised SAM has fixed points that are not critical points of the loss.

    Parameters
    ----------
    loss : Landscape
    box : sequence of (lower, upper), optional
        Where to look for critical points and hallucinated points; the loss's own box by default. It does
        not limit rho.
    progress : bool
        Show a progress bar: in one dimension over parts of the grid, in more over branches.

    Returns
    -------
    HallucinationIntervals
        Complete in one dimension, as far as the list of stationary points in the box is (they are found by
        their changes of sign on a grid of 4096 cells and by Newton from 2048 starts; poles and jumps of f'
        on the same grid). A degenerate stationary point is an
        endpoint whose stability is "marginal". In more dimensions by continuation, see
        `hallucinated_branches`.

    Raises
    ------
    TypeError, ValueError
        Not a Landscape, or no box.

    Warns
    -----
    CostWarning
        The work will take more than ten seconds: in one dimension by the slope in the first part of the grid.

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.hallucination.intervals`).

    References
    ----------
    Park, Jang, Ryu & Yang (2025), arXiv 2509.21818.

    Examples
    --------
    >>> import samdyn as sd
    >>> found = sd.hallucination_intervals(sd.landscapes.double_well())
    >>> found.select(stability="attracting").radii()
    array([[1., 2.]])
    >>> found.select(stability="attracting")[0].lr_max
    1.0
    """
    if not isinstance(loss, Landscape):
        raise TypeError(f"loss must be a samdyn Landscape, got {loss!r}")
    if box is None and loss.box is None:
        raise ValueError(f"box must be given: {loss.name} has none of its own")
    region = checks.box("box", loss.box if box is None else box, loss.dim)
    if loss.dim > 1:
        from samdyn.hallucination.curves import MOST_STEPS, followed_branches

        verb = "hallucination_intervals"
        return followed_branches(loss, region, (), MOST_STEPS, verb, progress).intervals()
    x, slope, stationary, breaks = _signs_of_slope(loss, region, progress)
    curvature = loss.hessian(stationary[:, None])[:, 0, 0]
    kinds = [kind_of(np.array([[value]])) for value in _not_flat(loss, stationary, curvature)]
    # a stationary point on the edge of the box may lie outside it by rounding
    first, last = min([region[0, 0], *stationary]), max([region[0, 1], *stationary])
    bounds = np.concatenate([[first], stationary, breaks, [last]])
    order = np.argsort(bounds, kind="stable")
    names = ["box", *kinds, *["break"] * len(breaks), "box"]
    bounds, names = bounds[order], [names[i] for i in order]
    found = []
    for k in range(len(bounds) - 1):
        p, q = bounds[k], bounds[k + 1]
        if not p < q:
            continue
        sign = np.sign(slope[(x > p) & (x < q) & np.isfinite(slope)]).sum()
        if sign == 0:  # narrower than a cell
            sign = _slope(loss, np.array([(p + q) / 2]))[0]
        for y, kind, value in zip(stationary, kinds, curvature, strict=True):
            if sign > 0 and q <= y:
                near, far, at_near, at_far = q, p, names[k + 1], names[k]
            elif sign < 0 and p >= y:
                near, far, at_near, at_far = p, q, names[k], names[k + 1]
            else:
                continue
            stability = "marginal" if kind == "degenerate" else stability_of([-value], discrete=False)
            bound = 2 / value if stability == "attracting" else 0.0
            found.append(
                HallucinationInterval(
                    float(abs(near - y)),
                    float(abs(far - y)),
                    np.array([y]),
                    kind,
                    stability,
                    float(bound),
                    "endpoint" if near == y else at_near,
                    at_far,
                    np.array([near]),
                    np.array([far]),
                )
            )
    found.sort(key=lambda i: (i.lower, i.upper, *i.endpoint))
    return HallucinationIntervals(tuple(found), loss, region, True)


def _slope(loss: Landscape, x: Array) -> Array:
    """f' at x (n,), nan where f is infinite or undefined: automatic derivatives may exist there."""
    defined = np.isfinite(loss.value(x[..., None]))
    return np.asarray(np.where(defined, loss.gradient(x[..., None])[..., 0], np.nan))


def _signs_of_slope(loss: Landscape, region: Array, progress: bool) -> tuple[Array, Array, Array, Array]:
    """Nodes of a grid, f' at them, and where f' changes its sign: its zeros in the box, and its breaks.

    Zeros come from Newton, and from changes of sign between nodes. A change of sign that f' does not pass
    through zero is a break, and so is each end of a part of the box where it is infinite or undefined.
    """
    import torch

    x = np.linspace(region[0, 0], region[0, 1], N_NODES + 1)
    total, cheaper = len(x) * (1 + NEWTON_SHARE), "use a loss of fewer samples"
    with PacedBar(progress, "hallucination_intervals", total, cheaper, unit="node", after=0.1) as bar:
        parts = []
        for part in np.array_split(x, N_PARTS):
            parts.append(_slope(loss, part))
            bar.update(len(part))
        known = newton_zeros(torch.func.grad(loss.one_point), region)[:, 0]
        bar.reach(total)
    slope = np.concatenate(parts)
    known = known[np.isfinite(_slope(loss, known))]
    finite = np.isfinite(slope)
    left = np.flatnonzero(finite[:-1] != finite[1:])
    edges = _last_before_change(loss, x[left], x[left + 1], np.isfinite)[0]
    signed = np.flatnonzero(~finite | (slope != 0))  # a zero at a node is passed over
    a, b = signed[:-1], signed[1:]
    changes = finite[a] & finite[b] & (np.sign(slope[a]) != np.sign(slope[b]))
    a, b = a[changes], b[changes]
    new = ~((known >= x[a, None]) & (known <= x[b, None])).any(axis=1)
    a, b = a[new], b[new]
    lower, upper = _last_before_change(loss, x[a], x[b], np.sign)
    beside = np.abs(_slope(loss, np.stack([lower, upper]))).max(axis=0)
    passed = beside <= 1e-6 * np.maximum(np.abs(slope[a]), np.abs(slope[b]))
    roots = (lower + upper) / 2
    breaks = np.sort(np.concatenate([edges, roots[~passed]]))
    # the two sides of one pole
    breaks = breaks[np.diff(breaks, prepend=-np.inf) > 1e-9 * (x[1] - x[0])]
    return x, slope, np.sort(np.concatenate([known, roots[passed]])), breaks


def _last_before_change(
    loss: Landscape, lower: Array, upper: Array, of: Callable[[Array], npt.NDArray[Any]]
) -> tuple[Array, Array]:
    """Neighbouring numbers between which a property of f' stops being what it is at `lower` (bisection)."""
    if len(lower) == 0:
        return lower, upper
    first = of(_slope(loss, lower))
    for _ in range(64):
        middle = (lower + upper) / 2
        same = of(_slope(loss, middle)) == first
        lower, upper = np.where(same, middle, lower), np.where(same, upper, middle)
    return lower, upper


def _not_flat(loss: Landscape, stationary: Array, curvature: Array) -> Array:
    """The curvatures, with 0 for those that are 0 on the scale of the box."""
    if len(stationary) == 0:
        return curvature
    scale = float(np.abs(curvature).max())
    return np.asarray(np.where(np.abs(curvature) <= 1e-7 * scale, 0.0, curvature))

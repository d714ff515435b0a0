"""What a convergence experiment found: curves of many replicas, their plateaus, rates, and limit sets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.rates.fits import Estimate, exponential_rate, power_rate, scaling_exponent
from samdyn.rates.settling import Plateau, at_rest, judge
from samdyn.results import Result, Rows, Table, storable
from samdyn.results.consistency import consistent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = ("gap", "gradient_norm", "distance")
KINDS = ("fixed point", "cycle", "bounded set", "moving", "diverged", "undecided")


@storable
class LimitSet(NamedTuple):
    """Where some of the replicas end up.

    Attributes
    ----------
    kind : str
        "fixed point", "cycle", "bounded set", "moving", "diverged" or "undecided": see
        `samdyn.rates.observation`.
    period : int
        Of a fixed point 1, of a cycle its period, else 0.
    centre : ndarray, shape (dim,)
        Mean over the last steps, and over the replicas of the set.
    extent : float
        Largest distance from a replica's own centre.
    share : float
        Of the setting's replicas.
    """

    kind: str
    period: int
    centre: Array
    extent: float
    share: float


@dataclass(frozen=True, eq=False, repr=False)
class Convergence(Result):
    """Result of a convergence experiment.

    Attributes
    ----------
    steps : ndarray of int, shape (n_times,)
        When the curves were recorded.
    gap, gradient_norm, distance : ndarray, shape (n_settings, n_times, n_replicas)
        f(x) - f*, the norm of the gradient, the distance from the nearest minimiser; of shape (n_settings, 0,
        n_replicas) where it was not recorded.
    final : ndarray, shape (n_settings, n_replicas, dim)
        The last points.
    kind, period : ndarray of int, shape (n_settings, n_replicas)
        The kind of each replica's limit set, as its number in ``KINDS``, and its period.
    centre : ndarray, shape (n_settings, n_replicas, dim)
        The centre of each replica's limit set.
    extent : ndarray, shape (n_settings, n_replicas)
        The extent of each replica's limit set: its largest distance from the centre.
    minimisers : ndarray, shape (n_minimisers, dim)
    infimum : float
        f*. Minimisers and infimum belong to the first setting; where parameters of the loss are swept, gaps
        and distances of the others refer to their own.
    settings : list of dict
        What differs between the settings.
    name : str
        The system.
    seed : int
    noisy : bool
        Whether the steps are random.
    times : ndarray, shape (n_settings, 3)
        Relaxation times of second moments and of the mean near the minimiser in steps, nan where they are not
        known, and the gap at the mean of the last points.

    Examples
    --------
    >>> import samdyn as sd
    >>> sam = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.SAM(0.3), lr=0.25)
    >>> result = sd.convergence(sam, [1.0], n_steps=200)
    >>> result.limit_sets()[0].kind, round(result.plateau().value, 6)
    ('cycle', 0.01)
    """

    row = "step"
    axes = (
        "steps: step",
        "gap: setting step replica",
        "gradient_norm: setting step replica",
        "distance: setting step replica",
        "final: setting replica coordinate",
        "kind: setting replica",
        "period: setting replica",
        "centre: setting replica coordinate",
        "extent: setting replica",
        "minimisers: minimiser coordinate",
        "times: setting time",
    )

    steps: npt.NDArray[np.int64]
    gap: Array
    gradient_norm: Array
    distance: Array
    final: Array
    kind: npt.NDArray[np.int64]
    period: npt.NDArray[np.int64]
    centre: Array
    extent: Array
    minimisers: Array
    infimum: float
    settings: list[dict[str, Any]]
    name: str
    seed: int
    noisy: bool = False
    times: Array = field(default_factory=lambda: np.full((0, 3), math.nan))

    @property
    def n_replicas(self) -> int:
        """Replicas of each setting."""
        return self.final.shape[1]

    @checked
    def curves(self, quantity: str = "gap", setting: int = 0) -> Array:
        """The recorded curves of one quantity and setting: shape (n_times, n_replicas)."""
        if quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {', '.join(map(repr, QUANTITIES))}, got {quantity!r}")
        values: Array = getattr(self, quantity)
        if not values.shape[1]:
            raise ValueError(f"quantity must be one that was recorded, got {quantity!r}")
        whole = isinstance(setting, int | np.integer) and not isinstance(setting, bool)
        if not whole or not -len(self.settings) <= setting < len(self.settings):
            raise ValueError(f"setting must be one of the {len(self.settings)} settings, got {setting!r}")
        return values[setting]

    @checked
    def mean(self, quantity: str = "gap", setting: int = 0) -> Array:
        """Mean over the replicas: shape (n_times,)."""
        return np.asarray(self.curves(quantity, setting).mean(axis=1))

    @checked
    def standard_error(self, quantity: str = "gap", setting: int = 0) -> Array:
        """Standard error of `mean`; nan with one replica."""
        curves = self.curves(quantity, setting)
        if curves.shape[1] < 2:
            return np.full(len(curves), np.nan)
        return np.asarray(curves.std(axis=1, ddof=1) / math.sqrt(curves.shape[1]))

    @checked
    def band(self, quantity: str = "gap", setting: int = 0, level: float = 0.9) -> tuple[Array, Array]:
        """Values of two replicas between which at least a share `level` of them lies: two arrays (n_times,).

        It describes the replicas and is no interval for their mean: with few of them it is their range, which
        a further replica leaves with probability 2 / (n_replicas + 1).
        """
        if not 0 < checks.number("level", level) < 1:
            raise ValueError(f"level must be a number in (0, 1), got {level!r}")
        values = self.curves(quantity, setting)
        # an interpolated quantile lies inside of the replicas: of three, "90 %" would hold one
        low = np.quantile(values, (1 - level) / 2, axis=1, method="lower")
        return low, np.quantile(values, (1 + level) / 2, axis=1, method="higher")

    @checked
    def plateau(self, quantity: str = "gap", setting: int = 0, tail: float = 0.5) -> Plateau:
        """Mean over the replicas and over the last share `tail` of the steps, if that is a plateau.

        Returns
        -------
        Plateau
            Its `state` is "settled", "moving" or "undecided". Only a settled one has an error; the others
            say how many steps a run would need, about, where that is known.

        Notes
        -----
        See `samdyn.rates.settling`. Without noise a curve is settled if all replicas have come to fixed
        points or cycles.
        """
        curves = self.curves(quantity, setting)
        if not 0 < checks.number("tail", tail) <= 1:
            raise ValueError(f"tail must be a number in (0, 1], got {tail!r}")
        if not self.noisy and (self.kind[setting] != KINDS.index("bounded set")).any():
            resting = np.isin(self.kind[setting], [KINDS.index("fixed point"), KINDS.index("cycle")])
            return at_rest(self.steps, curves, tail, bool(resting.all()))
        known = self.times[setting] if len(self.times) else np.full(3, math.nan)
        if not self.noisy:  # chaos has no relaxation time of its own
            known = np.full(3, math.nan)
        times = (float(known[0]), float(known[1]), float(known[2]))
        return judge(self.steps, curves, tail, times, squared=quantity == "gap")

    @checked
    def rate(
        self,
        quantity: str = "gap",
        setting: int = 0,
        *,
        law: str = "exponential",
        between: tuple[float, float] | None = None,
    ) -> Estimate:
        """Rate of decay of the mean curve.

        Parameters
        ----------
        quantity : str
        setting : int
        law : {"exponential", "power"}
            exp(-r t) or t^-p; what is returned is r or p.
        between : (first, last) step, optional
            Where to fit. By default for "exponential" the times before the mean first comes below 10 times
            its plateau, for "power" the last nine tenths of the steps.
        """
        curves = self.curves(quantity, setting)
        mean = curves.mean(axis=1)
        if law not in ("exponential", "power"):
            raise ValueError(f"law must be 'exponential' or 'power', got {law!r}")
        if between is not None and (np.shape(between) != (2,) or not between[0] <= between[1]):
            raise ValueError(f"between must be a pair (first, last) of steps, got {between!r}")
        if between is not None:
            used = (self.steps >= between[0]) & (self.steps <= between[1])
        elif law == "power":
            used = self.steps >= max(self.steps[-1] / 10, 1)
        else:
            low = mean <= 10 * self.plateau(quantity, setting).value
            used = self.steps < (self.steps[np.argmax(low)] if low.any() else math.inf)
        used &= (mean > 0) & np.isfinite(mean)
        if law == "power":
            used &= self.steps > 0
            return power_rate(self.steps[used], curves[used])
        return exponential_rate(self.steps[used], curves[used])

    @checked
    def scaling(self, parameter: str, quantity: str = "gap", tail: float = 0.5) -> Estimate:
        """Exponent s of plateau ~ parameter^s over the settings of a sweep.

        Its error is nan where not all of the plateaus are settled.

        Examples
        --------
        >>> import samdyn as sd
        >>> sam = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.SAM(0.1), lr=0.5)
        >>> result = sd.convergence(sam, [1.0], n_steps=200, parameters={"rho": [0.1, 0.2, 0.4]})
        >>> round(result.scaling("rho").value, 6)
        2.0
        """
        try:
            values = [float(setting[parameter]) for setting in self.settings]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"parameter must be a number that was swept, got {parameter!r}") from error
        plateaus = [self.plateau(quantity, i, tail) for i in range(len(values))]
        found = scaling_exponent(values, plateaus)
        if any(one.state != "settled" for one in plateaus):
            return Estimate(found.value, math.nan)
        return found

    @checked
    def limit_sets(self, setting: int = 0, within: float = 1e-3) -> list[LimitSet]:
        """The limit sets of a setting's replicas, the most frequent first.

        Parameters
        ----------
        setting : int
        within : float
            Replicas of one kind belong together if their centres are closer than this, relative to one plus
            the centre's size, plus their extent. Sets that are not points or cycles have centres that
            scatter: there four extents are allowed, from one replica to its neighbour and on to the next.
        """
        setting = checks.integer("setting", setting, at_least=0, below=len(self.settings))
        within = checks.number("within", within, at_least=0)
        found: list[LimitSet] = []
        left = np.ones(self.n_replicas, dtype=bool)
        kind, period = self.kind[setting], self.period[setting]
        centre, extent = self.centre[setting], self.extent[setting]
        while left.any():
            i = int(np.argmax(left))
            group = left & (kind == kind[i])
            if KINDS[kind[i]] != "diverged":
                reach = within * (1 + np.linalg.norm(centre, axis=1)) + extent
                if KINDS[kind[i]] in ("fixed point", "cycle"):
                    group &= period == period[i]
                    group &= np.linalg.norm(centre - centre[i], axis=1) <= reach[i]
                else:
                    members = np.flatnonzero(group)
                    group[members] = _linked(centre[members], reach[members] + 3 * extent[members])
            found.append(
                LimitSet(
                    KINDS[kind[i]],
                    int(period[i]),
                    centre[group].mean(axis=0),
                    float(extent[group].max()),
                    float(group.mean()),
                )
            )
            left &= ~group
        return sorted(found, key=lambda one: -one.share)

    def table(self) -> Table:
        """The plateaus of each setting, and where its replicas end."""
        recorded = [q for q in QUANTITIES if getattr(self, q).shape[1]]
        title = f"Convergence of {self.name}: {self.n_replicas} replicas, {self.steps[-1]} steps; plateaus"

        def row(i: int) -> tuple[str, ...]:
            items = self.settings[i].items()
            name = ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in items)
            sets = self.limit_sets(i)
            most = f"{sets[0].kind}" + (f" of period {sets[0].period}" if sets[0].kind == "cycle" else "")
            most += f" ({sets[0].share:.0%})" if len(sets) > 1 else ""
            return (name or "-", *(repr(self.plateau(q, i)) for q in recorded), most)

        return Table(title, Rows(len(self.settings), row), ("setting", *recorded, "limit set"))

    def plot(self, quantity: str = "gap", ax: Axes | None = None, **options: Any) -> Axes:
        """Curves with bands on logarithmic axes: see `samdyn.plot.convergence_curves`."""
        drawn: Axes = self._draw(quantity, ax, **options)
        return drawn

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        recorded = [q for q in QUANTITIES if getattr(self, q).shape[1]]
        columns: dict[str, Any] = {
            "step": np.tile(self.steps, len(self.settings)),
            "setting": np.repeat(np.arange(len(self.settings)), len(self.steps)),
        }
        for name in dict.fromkeys(name for setting in self.settings for name in setting):
            values = [setting.get(name) for setting in self.settings]
            columns[name] = [value for value in values for _ in self.steps]
        for quantity in recorded:
            indices = range(len(self.settings))
            columns[f"{quantity}_mean"] = np.concatenate([self.mean(quantity, i) for i in indices])
            errors = [self.standard_error(quantity, i) for i in indices]
            columns[f"{quantity}_standard_error"] = np.concatenate(errors)
        return columns, {"name": self.name, "seed": self.seed, "n_replicas": self.n_replicas}

    def _coordinates(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        return {"step": (("step",), self.steps)}

    @classmethod
    def _inconsistency(cls, values: Mapping[str, Any]) -> str:
        return consistent("Convergence", values)


def _linked(points: Array, reach: Array) -> npt.NDArray[np.bool_]:
    """Which points (n, dim) hang together with the first one by steps within reach between neighbours."""
    if len(points) == 1:
        return np.ones(1, dtype=bool)
    distance, other = KDTree(points).query(points, k=min(len(points), 9))
    near = distance <= reach[:, None]
    rows = np.repeat(np.arange(len(points)), near.sum(axis=1))
    links = coo_array((np.ones(len(rows)), (rows, other[near])), shape=(len(points), len(points)))
    label = connected_components(links, directed=False)[1]
    return np.asarray(label == label[0])

"""Statistics of first exit times, censored or not.

Mean: total time watched over the number of exits; without censoring that is the sample mean. With censoring
it is the maximum-likelihood mean of an exponential law. Whatever the law, it estimates
E[min(T, c)] / P(T <= c) for censoring at c, which is the mean where the hazard is constant. Its standard
error is that of a ratio, sqrt(sum (w_i - m d_i)^2) / sum d_i with w the watched times and d the exit flags;
without censoring that is the usual standard deviation over sqrt(n).

Survival: Kaplan-Meier with the log-log confidence band (scipy.stats.ecdf).
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import warnings
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.escape.location import ExitLocation, locate
from samdyn.escape.tail import TailRate, checks_level, fit_tail

if TYPE_CHECKING:
    from samdyn.escape.comparison import ExactComparison

SCHEMA = 1
METHODS = ("normal", "exact", "bootstrap")
PLOTS = ("survival", "density", "location")


@dataclass(frozen=True)
class Survival:
    """Kaplan-Meier estimate of the probability that a path is still inside.

    Attributes
    ----------
    times : ndarray, shape (m,)
        Exit times, sorted, after a leading 0.
    probability, lower, upper : ndarray, shape (m,)
        Estimate and confidence band at and after each time.
    """

    times: Array
    probability: Array
    lower: Array
    upper: Array

    def __call__(self, t: npt.ArrayLike) -> Array:
        """The estimate at times t."""
        at = np.searchsorted(self.times, np.asarray(t, dtype=float), side="right") - 1
        return np.asarray(np.where(at < 0, 1.0, self.probability[np.maximum(at, 0)]))

    def first_time(self, curve: Array, level: npt.ArrayLike) -> Array:
        """First of `times` at which a curve over them is at or below a level; nan where it never is."""
        # the curve is a product of shares, 0.6000000000000001 where it should be 0.6
        falling = 1e-12 - np.minimum.accumulate(curve)
        index = np.searchsorted(falling, -np.asarray(level, dtype=float), side="left")
        return np.where(index < len(self.times), self.times[np.minimum(index, len(self.times) - 1)], np.nan)


@dataclass(frozen=True)
class ExitTimes:
    """First exit times of an ensemble of paths.

    Attributes
    ----------
    times : ndarray, shape (n,)
        Exit times, nan where the path had not left (censored) or diverged. In the time of the diffusion, or
        in steps of the map.
    exited : ndarray of bool, shape (n,)
    exit_points : ndarray, shape (n, dim)
        Where the paths left; nan where they did not.
    diverged : ndarray of bool, shape (n,)
        Paths whose state stopped being finite; they count as censored at that time.
    faces : ndarray of int, shape (n,)
        Index into `face_names` of the face that was crossed; -1 where none was.
    watched : ndarray, shape (n,)
        Time that each path was watched for: its exit time, or the time at which it was given up.
    face_names : tuple of str
        The faces of the region.
    t_max, dt : float
        Censoring time and step.
    seed : int
    correction : str or None
        "bridge", or None for a chain watched at whole steps.
    discrete : bool
        Whether times are steps of a map.
    system, region : str
        What was simulated, as text.
    problem : (system, region, x0), optional
        What was simulated, as objects, x0 of shape (n, dim): `compare_exact` needs it. It takes no part in
        comparisons and is neither saved nor pickled, for the functions in it may not be picklable.
    """

    times: Array
    exited: npt.NDArray[np.bool_]
    exit_points: Array
    diverged: npt.NDArray[np.bool_]
    faces: npt.NDArray[np.int16]
    watched: Array
    face_names: tuple[str, ...]
    t_max: float
    dt: float
    seed: int
    correction: str | None
    discrete: bool
    system: str
    region: str
    # not a field: it would be saved and compared
    problem: InitVar[Any] = None

    def __post_init__(self, problem: Any) -> None:
        object.__setattr__(self, "problem", problem)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "problem"}

    def __len__(self) -> int:
        return len(self.times)

    @property
    def unit(self) -> str:
        """Unit of the times: "steps" of a map, or "time", the learning rate times steps."""
        return "steps" if self.discrete else "time"

    @property
    def n_exited(self) -> int:
        """Number of paths that left."""
        return int(self.exited.sum())

    @property
    def n_censored(self) -> int:
        """Number of paths still inside when they were given up."""
        return len(self) - self.n_exited - self.n_diverged

    @property
    def n_diverged(self) -> int:
        """Number of paths whose state stopped being finite."""
        return int(self.diverged.sum())

    @property
    def mean(self) -> float:
        """Mean exit time: time watched over number of exits; inf if no path left."""
        return float(self.watched.sum() / self.n_exited) if self.n_exited else math.inf

    @property
    def standard_error(self) -> float:
        """Standard error of `mean`; inf if no path left."""
        if not self.n_exited:
            return math.inf
        deviation = self.watched - self.mean * self.exited
        scale = len(self) / max(len(self) - 1, 1)
        return float(math.sqrt(scale * (deviation**2).sum()) / self.n_exited)

    @property
    def rate(self) -> float:
        """Exits per unit of time, 1 / mean."""
        return 1 / self.mean if self.mean else math.inf

    def confidence_interval(self, level: float = 0.95, method: str = "normal") -> tuple[float, float]:
        """Confidence interval of the mean exit time.

        Parameters
        ----------
        level : float
            Coverage, in (0, 1).
        method : {"normal", "exact", "bootstrap"}
            "normal": mean +- z standard errors. "exact": chi-squared, exact if exit times are exponential.
            "bootstrap": percentiles over 2000 resamples of the paths, deterministic.

        Returns
        -------
        (lower, upper) : tuple of float
            With no exit at all, the exact lower bound and inf.

        Examples
        --------
        >>> import samdyn as sd
        >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
        >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0)
        >>> low, high = exits.confidence_interval(0.95)
        >>> low < exits.mean < high
        True
        """
        level = checks_level(level)
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
        exposure, events = float(self.watched.sum()), self.n_exited
        tail = (1 - level) / 2
        if events == 0:
            return exposure / float(-math.log(1 - level)), math.inf
        if method == "exact":
            # Exits of a path that is watched to the end: 2 exposure / mean is chi-squared with 2 events
            # degrees of freedom; with censoring by time the upper end takes one event more, which makes the
            # interval conservative
            more = 2 * events + (0 if self.exited.all() else 2)
            upper = 2 * exposure / float(stats.chi2.ppf(tail, 2 * events))
            return 2 * exposure / float(stats.chi2.ppf(1 - tail, more)), upper
        if len(self) < 2:  # one path says nothing about the spread
            return 0.0, math.inf
        if method == "bootstrap":
            low, high = np.quantile(self._bootstrap_means(2000), [tail, 1 - tail])
            return float(low), float(high)
        reach = float(stats.norm.ppf(1 - tail)) * self.standard_error
        return self.mean - reach, self.mean + reach

    def _bootstrap_means(self, n_resamples: int) -> Array:
        rng = np.random.default_rng(self.seed)
        means = np.empty(n_resamples)
        for i in range(n_resamples):  # one resample at a time: memory stays at one index array
            pick = rng.integers(0, len(self), len(self))
            means[i] = self.watched[pick].sum() / max(int(self.exited[pick].sum()), 1)
        return means

    def survival(self, level: float = 0.95) -> Survival:
        """Kaplan-Meier survival curve with its confidence band.

        Parameters
        ----------
        level : float
            Coverage of the band at each time.

        Returns
        -------
        Survival
        """
        level = checks_level(level)
        if not self.n_exited:
            one = np.ones(1)
            return Survival(np.zeros(1), one, one * 0, one)
        data = stats.CensoredData(uncensored=self.watched[self.exited], right=self.watched[~self.exited])
        curve = stats.ecdf(data).sf
        with np.errstate(all="ignore"), warnings.catch_warnings():
            # the log-log band is undefined where all paths are inside, or none
            warnings.simplefilter("ignore", RuntimeWarning)
            band = curve.confidence_interval(level, method="log-log")
        probability = curve.probabilities
        lower, upper = band.low.probabilities, band.high.probabilities
        # before the first exit it starts at 1, after the last its limits are 0 and the previous upper end
        last = np.nanmin(upper) if np.isfinite(upper).any() else 1.0
        lower = np.where(np.isnan(lower), np.where(probability == 1, 1.0, 0.0), lower)
        upper = np.where(np.isnan(upper), np.where(probability == 1, 1.0, last), upper)
        lead = np.zeros(1)
        return Survival(
            np.concatenate([lead, curve.quantiles]),
            np.concatenate([lead + 1, probability]),
            np.concatenate([lead + 1, lower]),
            np.concatenate([lead + 1, upper]),
        )

    def quantile(self, q: npt.ArrayLike) -> Array:
        """Exit-time quantiles from the survival curve; nan where it does not come down that far.

        Examples
        --------
        >>> import samdyn as sd
        >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
        >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0)
        >>> bool(exits.quantile(0.5) < exits.quantile(0.9))
        True
        """
        curve = self.survival()
        return curve.first_time(curve.probability, 1 - _quantiles(q))

    def quantile_interval(self, q: npt.ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
        """Confidence interval of quantiles: where the band of the survival curve crosses 1 - q.

        Parameters
        ----------
        q : array_like, shape (...)
            In [0, 1].
        level : float
            Coverage.

        Returns
        -------
        (lower, upper) : ndarray, shape (...)
            The upper end is inf, and the lower end the longest time watched, where the band does not come
            down that far.

        References
        ----------
        Brookmeyer & Crowley, Biometrics 38 (1982) 29-41.

        Examples
        --------
        >>> import samdyn as sd
        >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
        >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0)
        >>> low, high = exits.quantile_interval(0.5)
        >>> bool(low < exits.quantile(0.5) < high)
        True
        """
        wanted = 1 - _quantiles(q)
        curve = self.survival(level)
        lower, upper = (curve.first_time(band, wanted) for band in (curve.lower, curve.upper))
        return (
            np.where(np.isnan(lower), self.watched.max(), lower)[()],
            np.where(np.isnan(upper), np.inf, upper)[()],
        )

    def slowest_rate(self, quantile: float = 0.5) -> TailRate:
        """Rate at which the survival probability decays at late times, with a test that it is constant.

        Parameters
        ----------
        quantile : float
            The tail is what lies beyond this quantile of the exit times, in [0, 1).

        Returns
        -------
        TailRate
            Raise `quantile` where its `p_value` is small: paths still remember their start.

        Raises
        ------
        ValueError
            The survival curve does not come down that far, or too few paths left beyond.

        Notes
        -----
        See `samdyn.escape.tail`. The p-value is that of one look; a quantile chosen because its p-value is
        large has passed an easier test. The deterministic answer is `exit_rate`.

        Examples
        --------
        >>> import samdyn as sd
        >>> noise = sd.GaussianNoise(std=20**0.5)
        >>> sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.01, noise=noise)
        >>> exits = sd.exit_times(sde, [-1.0], sd.HalfSpace([1.0], 0.0), 2000, t_max=60.0, dt=0.1, seed=1)
        >>> tail = exits.slowest_rate()
        >>> bool(abs(tail.rate - 0.03533) < 3 * tail.standard_error)  # the exact rate of this chain
        True
        """
        share = checks.number("quantile", quantile, at_least=0)
        if share >= 1:
            raise ValueError(f"quantile must be in [0, 1), got {quantile!r}")
        start = float(self.quantile(share)) if share else 0.0
        if math.isnan(start):
            left = 1 - float(self.survival().probability[-1])
            raise ValueError(
                f"quantile must be at most {left:.3g}, the share of paths that left, got {quantile!r}; "
                "raise t_max for a later one"
            )
        step = self.dt if self.correction is None else None
        return fit_tail(self.watched, self.exited, start, step=step, unit=self.unit, seed=self.seed)

    def face_counts(self) -> dict[str, int]:
        """How many paths left through each face."""
        return {name: int((self.faces == i).sum()) for i, name in enumerate(self.face_names)}

    def exit_location(self, level: float = 0.95, region: Any = None) -> ExitLocation:
        """Where the paths left: the share of each face with its interval, and positions along the boundary.

        Parameters
        ----------
        level : float
            Coverage of the interval of each share.
        region : region, optional
            The region that was left, for a result read from a file: positions along the boundary need it.

        Returns
        -------
        ExitLocation

        Notes
        -----
        Shares are of the paths that left until t_max. Where early exits prefer one face and many paths are
        censored they differ from the shares of all exits.

        Examples
        --------
        >>> import samdyn as sd
        >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
        >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Box([-1, -1], [1, 1]), n_paths=500, t_max=50.0)
        >>> exits.exit_location().shares.sum()
        np.float64(1.0)
        """
        problem = vars(self).get("problem")
        if region is None and problem is not None:
            region = problem[1]
        gone = self.exited
        return locate(self.exit_points[gone], self.faces[gone], self.face_names, region, level)

    def compare_exact(self, *, resolution: Any = 256, box: npt.ArrayLike | None = None) -> ExactComparison:
        """The exact mean exit time of the same problem beside the sampled one.

        Parameters
        ----------
        resolution, box
            Of the solver in two dimensions, see `mean_exit_time`.

        Returns
        -------
        ExactComparison
            In one dimension the mean of the simulated chain itself, which the sample must meet; in two that
            of the diffusion, which lacks the bias of the time step.

        Raises
        ------
        ValueError
            There is no exact answer: more than two dimensions, momentum, a schedule, a map in two dimensions,
            no path that left, or a result read from a file.

        Examples
        --------
        >>> import samdyn as sd
        >>> noise = sd.GaussianNoise(std=20**0.5)
        >>> sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.01, noise=noise)
        >>> edge = sd.HalfSpace([1.0], 0.0)
        >>> exits = sd.exit_times(sde, [-1.0], edge, 500, t_max=1000.0, dt=0.1)
        >>> check = exits.compare_exact()
        >>> round(check.exact, 4), abs(check.z) < 4
        (29.312, True)
        """
        from samdyn.escape.comparison import compare_exact

        return compare_exact(self, resolution=resolution, box=box)

    def plot(self, kind: str = "survival", ax: Any = None, **style: Any) -> Any:
        """Draw the result.

        Parameters
        ----------
        kind : {"survival", "density", "location"}
            Survival curve with its band on a logarithmic axis; histogram of the times with the exponential
            law that fits them; where paths left.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        **style
            Keywords of the functions of that name in `samdyn.plot`.

        Returns
        -------
        matplotlib Axes
        """
        from samdyn.plot import exits
        from samdyn.plot.survival import survival

        if kind == "survival":
            return survival([self], ax=ax, **style)
        if kind == "density":
            return exits.exit_density(self, ax=ax, **style)
        if kind == "location":
            return exits.exit_locations(self, ax=ax, **style)
        raise ValueError(f"kind must be one of {', '.join(map(repr, PLOTS))}, got {kind!r}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a compressed .npz file: arrays and a JSON header with a schema number, no pickle."""
        header: dict[str, Any] = {"schema": SCHEMA, "kind": "ExitTimes"}
        arrays = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, np.ndarray):
                arrays[entry.name] = value
            else:
                header[entry.name] = value
        temporary = os.fspath(path) + ".partial"
        with open(temporary, "wb") as file:  # np.savez would append .npz to the name given
            np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ExitTimes:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            Not such a file, or one of another schema.
        """
        try:
            # opened here, since np.load leaves a broken file open
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                header = json.loads(str(stored["header"]))
                arrays = {name: stored[name] for name in stored.files if name != "header"}
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(
                f"path must be a file written by ExitTimes.save, got {os.fspath(path)!r}: {error}"
            ) from error
        if header.pop("kind", None) != "ExitTimes" or header.pop("schema", None) != SCHEMA:
            raise ValueError(
                f"path must hold ExitTimes of schema {SCHEMA}, got another file: {os.fspath(path)!r}"
            )
        header["face_names"] = tuple(header["face_names"])
        return cls(**header, **arrays)

    def _summary(self) -> list[tuple[str, str]]:
        unit = " steps" if self.discrete else ""
        if self.n_exited:
            low, high = self.confidence_interval(0.95)
            mean = f"{self.mean:.6g}{unit}, 95 % interval ({low:.6g}, {high:.6g})"
        else:
            mean = f"above {self.confidence_interval(0.95)[0]:.6g}{unit} (95 %): no path left"
        counts = f"{self.n_exited} exited, {self.n_censored} censored at {self.t_max:g}{unit}"
        counts += f", {self.n_diverged} diverged" if self.n_diverged else ""
        scheme = "at whole steps" if self.correction is None else "with Brownian-bridge crossings"
        return [
            ("paths", f"{len(self)}: {counts}"),
            ("mean", mean),
            ("scheme", f"step {self.dt:g}, {scheme}, seed {self.seed}"),
            ("system", self.system),
            ("region", self.region),
        ]

    def __repr__(self) -> str:
        return "ExitTimes\n" + "\n".join(f"  {name}: {text}" for name, text in self._summary())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{text}</td></tr>" for name, text in self._summary())
        return f"<table>{rows}</table>"


def _quantiles(q: npt.ArrayLike) -> Array:
    wanted = np.asarray(q, dtype=float)
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError(f"q must be in [0, 1], got {q!r}")
    return wanted

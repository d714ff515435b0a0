"""Statistics of first exit times, censored or not.

Mean: total time watched over the number of exits; without censoring that is the sample mean. With censoring
it is the maximum-likelihood mean of an exponential law, and right for other laws only as far as their
hazard is constant. Its standard error is that of a ratio, sqrt(sum (w_i - m d_i)^2) / sum d_i with w the
watched times and d the exit flags; without censoring that is the usual standard deviation over sqrt(n).

Survival: Kaplan-Meier with the log-log confidence band (scipy.stats.ecdf).
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.compute import checks
from samdyn.compute.checks import Array

SCHEMA = 1
METHODS = ("normal", "exact", "bootstrap")


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

    def __len__(self) -> int:
        return len(self.times)

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
            "normal": mean +- z standard errors. "exact": chi-squared, exact if exit times "
            "are exponential. "bootstrap": percentiles over 2000 resamples (BCa is of no
            use for a ratio of sums this smooth), deterministic.

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
        level = checks.number("level", level, above=0)
        if level >= 1:
            raise ValueError(f"level must be in (0, 1), got {level!r}")
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
        """Kaplan-Meier survival curve with its confidence band."""
        if not self.n_exited:
            one = np.ones(1)
            return Survival(np.zeros(1), one, one * 0, one)
        data = stats.CensoredData(uncensored=self.watched[self.exited], right=self.watched[~self.exited])
        curve = stats.ecdf(data).sf
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # the band is undefined where nothing is left; see below
            band = curve.confidence_interval(level, method="log-log")
        probability = curve.probabilities
        # where nothing is left the log-log band is nan: its limits are 0 and the previous upper end
        lower = np.nan_to_num(band.low.probabilities, nan=0.0)
        upper = band.high.probabilities
        upper = np.where(np.isnan(upper), np.nanmin(upper) if np.isfinite(upper).any() else 1.0, upper)
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
        wanted = np.asarray(q, dtype=float)
        if ((wanted < 0) | (wanted > 1)).any():
            raise ValueError(f"q must be in [0, 1], got {q!r}")
        curve = self.survival()
        index = np.searchsorted(-curve.probability, wanted - 1, side="left")
        return np.where(
            index < len(curve.times), curve.times[np.minimum(index, len(curve.times) - 1)], np.nan
        )

    def face_counts(self) -> dict[str, int]:
        """How many paths left through each face."""
        return {name: int((self.faces == i).sum()) for i, name in enumerate(self.face_names)}

    def plot(self, ax: Any = None, **style: Any) -> Any:
        """Survival curve with its band on a logarithmic axis; returns the matplotlib Axes."""
        from samdyn.plot.survival import survival

        return survival([self], ax=ax, **style)

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
            with np.load(path, allow_pickle=False) as stored:
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


def ratio_of_means(a: ExitTimes, b: ExitTimes, level: float = 0.95) -> tuple[float, float, float]:
    """Ratio of two mean exit times with its confidence interval.

    Parameters
    ----------
    a, b : ExitTimes
        Results of independent runs (different seeds, or different systems).
    level : float
        Coverage.

    Returns
    -------
    (ratio, lower, upper) : tuple of float
        mean(a) / mean(b); the interval by the delta method on the logarithm.

    Examples
    --------
    >>> import samdyn as sd
    >>> def exits(rule, seed):
    ...     sde = sd.Diffusion(sd.landscapes.saddle(1, 1), rule, lr=0.01, noise=sd.GaussianNoise(std=1.0))
    ...     return sd.exit_times(sde, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0,
    ...     seed=seed)
    >>> ratio, low, high = sd.ratio_of_means(exits(sd.USAM(0.5), 1), exits(sd.GD(), 2))
    >>> low < ratio < high and ratio > 1
    True
    """
    z = float(stats.norm.ppf((1 + checks.number("level", level, above=0)) / 2))
    ratio = a.mean / b.mean
    spread = z * math.hypot(a.standard_error / a.mean, b.standard_error / b.mean)
    return ratio, ratio * math.exp(-spread), ratio * math.exp(spread)

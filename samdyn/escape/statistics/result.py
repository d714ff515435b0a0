"""The result of `exit_times`: first exit times of an ensemble, censored or not, and their statistics.

The methods present what other modules work out: the mean and its intervals (`mean_interval`), the survival
curve and quantiles (`survival`), the slowest rate (`tail`), where paths leave (`location`), and the exact
answer (`exact_comparison`). Text, files and pictures come from the base `samdyn.results.Result`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.dynamics.step_length import MOST_POINTS, step_bias
from samdyn.escape.statistics.censored_mean import exposure_mean, mean_error, mean_interval
from samdyn.escape.statistics.extrapolation import RefinedExitTimes, refine
from samdyn.escape.statistics.location import ExitLocation, locate
from samdyn.escape.statistics.observations import first_of_each_start
from samdyn.escape.statistics.survival import Survival, kaplan_meier
from samdyn.escape.statistics.tail import TailRate, checks_level, fit_tail
from samdyn.results import Result, Table
from samdyn.results.absent import whole
from samdyn.results.consistency import consistent

if TYPE_CHECKING:
    from samdyn.escape.statistics.comparison import Comparison, LogRank
    from samdyn.escape.statistics.exact_comparison import ExactComparison

# a bias that a user must know of
SMALL_BIAS = 0.01
PLOTS = ("survival", "density", "quantiles", "location")


@dataclass(frozen=True, eq=False, repr=False)
class ExitTimes(Result):
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
        Censoring time and step. A chain that is watched at whole steps, and a result that was interrupted, is
        censored at the last step before the time asked for.
    seed : int
    correction : str or None
        "bridge", or None for a chain watched at whole steps.
    discrete : bool
        Whether times are steps of a map.
    system, region : str
        What was simulated, as text.
    observed : ndarray of bool, shape (n,), or None
        Which paths count as observations in means, intervals and tests; None where all do. Without noise all
        paths from one start are the same path, and the first of them is the observation.
    interrupted : bool
        Whether Ctrl-C came before all paths had left or reached the time asked for.
    problem : (system, region, x0), optional
        What was simulated, as objects, x0 of shape (n, dim): `compare_exact` needs it. It takes no part in
        comparisons. It is not pickled, since functions in it may not be picklable; files hold it, where a
        system of a user's own functions is given to `load` again.
    step_effect : (float, float), optional
        `step_bias`, and dt times the largest rate, as far as they are known: copies and files keep them.
    """

    cited = ("gobet2000", "gobet2010", "kaplan1958", "brookmeyer1982")
    row = "path"
    besides = ("problem", "step_effect")
    axes = ("exit_points: path coordinate",)

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
    observed: npt.NDArray[np.bool_] | None = None
    interrupted: bool = False
    # not a field: it would be saved and compared
    problem: InitVar[Any] = None
    step_effect: InitVar[tuple[float, float] | None] = None

    def __post_init__(self, problem: Any, step_effect: tuple[float, float] | None) -> None:
        object.__setattr__(self, "problem", problem)
        object.__setattr__(self, "step_effect", step_effect)
        if whole(problem) is not None:
            object.__setattr__(self, "observed", first_of_each_start(problem, len(self.watched)))

    def __getstate__(self) -> dict[str, Any]:
        self._of_step()  # two numbers that a copy keeps, since it has no problem to find them from
        return {name: value for name, value in self.__dict__.items() if name != "problem"}

    def _besides(self) -> dict[str, Any]:
        self._of_step()
        return super()._besides()

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
    def observations(self) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Times watched and exit flags of the paths that count as observations, (m,) each; see `observed`."""
        if self.observed is None:
            return self.watched, self.exited
        return self.watched[self.observed], self.exited[self.observed]

    @property
    def certain(self) -> bool:
        """Whether there is no noise and one start: one path, whose exit time is a number, not a sample."""
        return self.observed is not None and int(self.observed.sum()) == 1

    @property
    def mean(self) -> float:
        """Mean exit time: time watched over number of exits; inf if no path left."""
        return exposure_mean(*self.observations)

    @property
    def standard_error(self) -> float:
        """Standard error of `mean`; inf if no path left, or of one path (0 if it has no noise)."""
        if self.certain and self.n_exited:
            return 0.0
        return mean_error(*self.observations)

    @property
    def rate(self) -> float:
        """Exits per unit of time, 1 / mean."""
        return 1 / self.mean if self.mean else math.inf

    @checked
    def confidence_interval(self, level: float = 0.95, method: str | None = None) -> tuple[float, float]:
        """Confidence interval of the mean exit time.

        Parameters
        ----------
        level : float
            Coverage, in (0, 1).
        method : {None, "normal", "exact", "bootstrap"}
            By default the one that fits the number of exits: "exact" below 10 exits of censored paths,
            otherwise from the scatter of the times, with Student's t below 100 paths and on a logarithmic
            scale where the law of the mean leans. "normal": mean +- t standard errors, cut off at 0. "exact":
            chi-squared, exact if exit times are exponential. "bootstrap": percentiles over 2000 resamples of
            the paths, deterministic, from 10 exits on.

        Returns
        -------
        (lower, upper) : tuple of float
            Never negative. With no exit at all, the exact lower bound and inf. Without noise and from one
            start both ends are the exit time, or the time watched and inf.

        Raises
        ------
        ValueError
            "bootstrap" with fewer than 10 exits, or another method or level than there is.

        Notes
        -----
        See `samdyn.escape.statistics.censored_mean`. Where paths are censored the interval is for the mean
        that exposure over exits estimates, which is the mean exit time as far as the rate of escape is
        constant. The bias of the time step is not in it.

        Examples
        --------
        >>> import samdyn as sd
        >>> sgd = sd.Diffusion(sd.landscapes.saddle(1, 1), sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
        >>> exits = sd.exit_times(sgd, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0)
        >>> low, high = exits.confidence_interval(0.95)
        >>> low < exits.mean < high
        True
        """
        watched, exited = self.observations
        interval = mean_interval(watched, exited, level, method, self.seed)
        if self.observed is not None and not exited.any():
            return float(watched.mean()), math.inf  # certain: without noise nothing can leave earlier
        return (self.mean, self.mean) if self.certain else interval

    @checked
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
        return kaplan_meier(*self.observations, checks_level(level), self.unit)

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
        return self.survival().quantile(q)

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
            down that far. The lower end is 0 where there are too few paths to show the quantile (q below
            about 3.7/n at 95 %).

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
        lower, upper = self.survival(level).quantile_interval(q)
        return (
            np.where(np.isnan(lower), self.watched.max(), lower)[()],
            np.where(np.isnan(upper), np.inf, upper)[()],
        )

    @checked
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
        See `samdyn.escape.statistics.tail`. The p-value holds for one look; a quantile chosen because its
        p-value is large has passed an easier test. The deterministic answer is `exit_rate`.

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
        return fit_tail(*self.observations, start, step=step, unit=self.unit, seed=self.seed)

    def face_counts(self) -> dict[str, int]:
        """How many paths left through each face."""
        return {name: int((self.faces == i).sum()) for i, name in enumerate(self.face_names)}

    @checked
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
        counted = np.ones(len(self), dtype=bool) if self.observed is None else self.observed
        gone = self.exited & counted
        left_out = int((counted & ~self.exited).sum())
        return locate(self.exit_points[gone], self.faces[gone], self.face_names, region, level, left_out)

    @checked
    def compare_exact(
        self, *, resolution: Any = 256, box: npt.ArrayLike | None = None, progress: bool = False
    ) -> ExactComparison:
        """The exact mean exit time of the same problem beside the sampled one.

        Parameters
        ----------
        resolution, box
            Of the solver in two dimensions, see `mean_exit_time`.
        progress : bool
            Show a progress bar over the parts of the work.

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

        Warns
        -----
        CostWarning
            The equation will take more than ten seconds.

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
        from samdyn.escape.statistics.exact_comparison import compare_exact

        return compare_exact(self, resolution=resolution, box=box, progress=progress)

    @property
    def step_bias(self) -> float:
        """About how much shorter, relatively, the mean comes out than the mean of the equation.

        Judged by what a step does at the starts and where paths left: see `samdyn.dynamics.step_length`. nan
        for a map, and where no path left.
        """
        return self._of_step()[0]

    def _of_step(self) -> tuple[float, float]:
        """`step_bias`, and dt times the largest rate."""
        known: tuple[float, float] | None = vars(self).get("step_effect")
        problem = whole(vars(self).get("problem"))
        if known is None:
            if self.discrete or problem is None or not self.n_exited:
                return math.nan, math.nan
            system, _, x0 = problem
            starts = np.atleast_2d(np.asarray(x0, dtype=float))  # a user may have put any points there
            known = step_bias(system, starts[:MOST_POINTS], self.exit_points[self.exited], self.dt)
            object.__setattr__(self, "step_effect", known)
        return known

    @checked
    def refine(
        self, n_paths: int | None = None, *, seed: int | None = None, **options: Any
    ) -> RefinedExitTimes:
        """The mean exit time extrapolated to step 0, from a second sample with half the step.

        Parameters
        ----------
        n_paths : int, optional
            Paths of the second sample; as many as here by default. It has twice the steps.
        seed : int, optional
            Of the second sample; this one's plus 1 by default.
        **options
            device, precision, compile, workers, executor, checkpoint, progress as for `exit_times`.

        Returns
        -------
        RefinedExitTimes

        Raises
        ------
        ValueError
            A map, a result read from a file or interrupted, or no path that left.

        Notes
        -----
        See `samdyn.escape.statistics.extrapolation`. The error is about 2.2 times the error of one sample
        with the bridge, where the bias is of first order in dt, and 4.2 times without, where it is of order
        1/2.

        Examples
        --------
        >>> import samdyn as sd
        >>> bowl, noise = sd.landscapes.quadratic([[1.0]]), sd.GaussianNoise(std=1.0)
        >>> sde = sd.Diffusion(bowl, sd.GD(), lr=0.5, noise=noise)
        >>> exits = sd.exit_times(sde, [0.0], sd.Ball([0.0], 1.0), 4000, t_max=100.0, dt=0.1)
        >>> refined = exits.refine()
        >>> bool(abs(refined.mean - 4.5016) < 4 * refined.standard_error)
        True
        """
        return refine(self, n_paths, seed, options)

    def compare(self, other: ExitTimes, level: float = 0.95) -> Comparison:
        """The ratio of two means with its interval, and the log-rank test: `samdyn.escape.compare`.

        Examples
        --------
        >>> import samdyn as sd
        >>> well, region = sd.landscapes.double_well(), sd.HalfSpace([1.0], 0.0)
        >>> sgd = sd.Diffusion(well, sd.GD(), lr=0.1, noise=sd.GaussianNoise(1.5))
        >>> sam = sd.Diffusion(well, sd.SAM(0.3), lr=0.1, noise=sd.GaussianNoise(1.5))
        >>> slow = sd.exit_times(sgd, [-1.0], region, 400, t_max=1000.0, seed=0)
        >>> fast = sd.exit_times(sam, [-1.0], region, 400, t_max=1000.0, seed=1)
        >>> fast.compare(slow).upper < 1  # from this minimum SAM leaves sooner
        True
        """
        from samdyn.escape.statistics.comparison import compare

        return compare(self, other, level)

    def ratio_of_means(self, other: ExitTimes, level: float = 0.95) -> tuple[float, float, float]:
        """The ratio of two means and the ends of its interval: `samdyn.escape.ratio_of_means`."""
        from samdyn.escape.statistics.comparison import ratio_of_means

        return ratio_of_means(self, other, level)

    def logrank(self, other: ExitTimes) -> LogRank:
        """Log-rank test that two results have one law: `samdyn.escape.logrank`."""
        from samdyn.escape.statistics.comparison import logrank

        return logrank(self, other)

    def table(self) -> Table:
        """Counts, the mean with its interval, and what was simulated."""
        unit = " steps" if self.discrete else ""
        low, high = self.confidence_interval(0.95)
        if self.certain and self.n_exited:
            mean = f"{self.mean:.6g}{unit}, without noise"
        elif self.n_exited:
            mean = f"{self.mean:.6g}{unit}, 95 % interval ({low:.6g}, {high:.6g})"
        elif self.observed is not None:
            mean = f"above {low:.6g}{unit}, without noise: no path left"
        else:
            mean = f"above {low:.6g}{unit} (95 %): no path left"
        counts = f"{self.n_exited} exited, {self.n_censored} censored at {self.t_max:g}{unit}"
        counts += f", {self.n_diverged} diverged" if self.n_diverged else ""
        if self.observed is not None and not self.observed.all():
            counts += f"; without noise, so {int(self.observed.sum())} different"
        if self.interrupted:
            counts += "; interrupted by Ctrl-C"
        scheme = "at whole steps" if self.correction is None else "with Brownian-bridge crossings"
        (bias, size), rough = self._of_step(), []
        if bias > SMALL_BIAS:
            text = (
                f"dt times the largest rate is {size:.2g}, which is not small here: the mean may be too short"
            )
            rough = [("step", f"{text} by some {100 * bias:.2g} %; refine() extrapolates")]
        rows = [
            ("paths", f"{len(self)}: {counts}"),
            ("mean", mean),
            ("scheme", f"step {self.dt:g}, {scheme}, seed {self.seed}"),
            *rough,
            ("system", self.system),
            ("region", self.region),
        ]
        return Table("ExitTimes", rows)

    @classmethod
    def _inconsistency(cls, values: Mapping[str, Any]) -> str:
        return consistent("ExitTimes", values)

    def plot(self, kind: str = "survival", ax: Any = None, **style: Any) -> Any:
        """Draw the result.

        Parameters
        ----------
        kind : {"survival", "density", "quantiles", "location"}
            Survival curve with its band on a logarithmic axis; histogram of the times with the exponential
            law that fits them; quantiles against quantiles of the exponential law, with the slowest rate;
            where paths left.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        **style
            Keywords of the functions of that name in `samdyn.plot`.

        Returns
        -------
        matplotlib Axes
        """
        if kind not in PLOTS:
            raise ValueError(f"kind must be one of {', '.join(map(repr, PLOTS))}, got {kind!r}")
        return self._draw(kind=kind, ax=ax, **style)

"""The result of `mean_squared_displacement`: how far an ensemble spread, beside the theory of its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.escape.spread.linearised_noise import chain_covariance, diffusion_covariance, linear_model
from samdyn.escape.statistics.tail import checks_level
from samdyn.results import Result, Table
from samdyn.results.absent import whole
from samdyn.theory import kim


@dataclass(frozen=True, eq=False, repr=False)
class Displacement(Result):
    """Mean squared displacement of an ensemble from its common start.

    Attributes
    ----------
    times : ndarray, shape (n_t,)
        In the time of the diffusion, or in steps of the map.
    mean, standard_error : ndarray, shape (n_t,)
        Mean over the paths of the squared distance from x0, or of the squared projection of X_t - x0 on
        `direction`, in units of the weights squared, and the standard error of that mean.
    displacement, variance : ndarray, shape (n_t, dim)
        Mean of X_t - x0 and sample variance of X_t, by coordinate.
    diverged : ndarray of int, shape (n_t,)
        Paths that were no longer finite; where there are any, the other figures are inf or nan.
    x0 : ndarray, shape (dim,)
    direction : ndarray, shape (dim,), or None
        Unit vector.
    n_paths : int
    dt : float
        Longest step.
    seed : int
    discrete : bool
        Whether times are steps of a map.
    system : str
        What was simulated, as text.
    problem : system, optional
        The same as an object: `theory` needs it. Not compared and not pickled; files hold it.
    """

    cited = ("kim2023",)
    row = "time"
    besides = ("problem",)
    axes = (
        "displacement: time coordinate",
        "variance: time coordinate",
        "x0: coordinate",
        "direction: coordinate",
    )

    times: Array
    mean: Array
    standard_error: Array
    displacement: Array
    variance: Array
    diverged: npt.NDArray[np.int64]
    x0: Array
    direction: Array | None
    n_paths: int
    dt: float
    seed: int
    discrete: bool
    system: str
    problem: InitVar[Any] = None

    def __post_init__(self, problem: Any) -> None:
        object.__setattr__(self, "problem", problem)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "problem"}

    @property
    def unit(self) -> str:
        """Unit of the times: "steps" of a map, or "time", the learning rate times steps."""
        return "steps" if self.discrete else "time"

    @checked
    def confidence_interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Confidence interval of the mean at each time, each by itself.

        Parameters
        ----------
        level : float
            Coverage, in (0, 1).

        Returns
        -------
        (lower, upper) : ndarray, shape (n_t,)
            Never negative; nan and inf where paths diverged.

        Notes
        -----
        From mean - t s.e. (at least 0) to mean exp(t s.e. / mean), with Student's t for the number of paths:
        a squared displacement is skewed, and the logarithmic upper end makes up for it. Times share their
        paths, so that intervals of neighbouring times miss together.
        """
        reach = float(stats.t.isf((1 - checks_level(level)) / 2, self.n_paths - 1)) * self.standard_error
        with np.errstate(invalid="ignore", divide="ignore"):
            stretch = np.where(self.mean > 0, np.exp(np.minimum(reach / self.mean, 700.0)), 1.0)
            return np.maximum(self.mean - reach, 0.0), self.mean * stretch

    @property
    def theory(self) -> Array | None:
        """The exact mean of the simulated process where it is linear, shape (n_t,); None where no theory
        applies. See `prediction`, which says why.
        """
        try:
            return self.prediction()
        except ValueError:
            return None

    @checked
    def prediction(self, mode: str | None = None, *, continuous: bool = False) -> Array:
        """Mean squared displacement of the linearisation at the start, at `times`.

        Parameters
        ----------
        mode : {"full", "same", "independent", "paper"}, optional
            Which gradient makes the perturbation; by default the one that the noise's `probe` names. "paper":
            Theorem 2 of Kim et al. as printed.
        continuous : bool
            The closed form of the diffusion in continuous time, which differs by O(lr), instead of the exact
            covariance of the simulated chain.

        Returns
        -------
        ndarray, shape (n_t,)
            In units of the weights squared.

        Raises
        ------
        ValueError
            x0 is no critical point, the rule is normalised or not of the SAM family, a coefficient is a
            schedule, `continuous` with momentum, or a result that was unpickled.

        Examples
        --------
        >>> import samdyn as sd
        >>> noise = sd.CurvatureNoise(batch_size=1, probe="same")
        >>> sam = sd.Map(sd.landscapes.quadratic([[-1.0]]), sd.USAM(0.5), lr=0.01, noise=noise)
        >>> result = sd.mean_squared_displacement(sam, [0.0], 100, n_paths=1000)
        >>> result.prediction(continuous=True).round(7), result.prediction("paper", continuous=True).round(7)
        (array([0.0042957]), array([0.0129744]))
        """
        if mode is not None and mode not in kim.MODES:
            raise ValueError(f"mode must be one of {', '.join(map(repr, kim.MODES))}, got {mode!r}")
        system = whole(vars(self).get("problem"))
        if system is None:
            raise ValueError(
                "the result must know its system, got a copy that does not hold it: give it to "
                "Displacement.load(path, system=...), or to dataclasses.replace(result, problem=system)"
            )
        rates, vectors, noise = linear_model(system, self.x0, mode)
        lr, momentum = system.coefficients()["lr"], getattr(system, "momentum", 0.0)
        if continuous:
            if momentum:
                raise ValueError(
                    f"continuous must be False for a Map with momentum, got momentum={momentum:g}"
                )
            times = self.times * lr if self.discrete else self.times
            covariance = diffusion_covariance(rates, noise, lr, times)
        else:
            covariance = chain_covariance(rates, noise, lr, momentum, self.times, self.dt, self.discrete)
        if self.direction is None:
            return np.asarray(np.trace(covariance, axis1=1, axis2=2))
        along = vectors.T @ self.direction
        return np.asarray(np.einsum("i,tij,j->t", along, covariance, along))

    def table(self) -> Table:
        """The mean with its interval at each time, and the theory where there is one."""
        theory = self.theory
        low, high = self.confidence_interval()
        start = ", ".join(f"{value:.6g}" for value in self.x0)
        title = f"Displacement of {self.n_paths} paths of {self.system} from ({start})"
        if self.direction is not None:
            title += f" along {self.direction.round(6).tolist()}"
        head = (self.unit, "mean", "95 % interval", *(() if theory is None else ("theory",)))
        rows = [
            (
                f"{self.times[i]:.6g}",
                f"{self.mean[i]:.6g}",
                f"({low[i]:.5g}, {high[i]:.5g})",
                *(() if theory is None else (f"{theory[i]:.6g}",)),
            )
            for i in range(len(self.times))
        ]
        notes = [f"{self.diverged[-1]} paths diverged"] if self.diverged.any() else []
        return Table(title, rows, head, notes, right=True, most=8, both_ends=True)

    def plot(self, ax: Any = None, *, modes: Sequence[str] = (), **points: Any) -> Any:
        """Draw the mean with error bars of two standard errors, and the theory as a line.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        modes : sequence of str
            Further predictions to draw, such as "paper".
        **points
            Keywords for the points (`Axes.errorbar`).

        Returns
        -------
        matplotlib Axes
        """
        return self._draw(ax, modes=modes, **points)

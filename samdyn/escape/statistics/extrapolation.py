"""Mean exit times extrapolated to the step 0: two step sizes and Richardson's formula.

With the bridge test the bias of a mean exit time is of first order in dt, without it of order 1/2 (Gobet and
Menozzi 2010). A second sample with half the step gives T(0) = T(dt/2) + (T(dt/2) - T(dt)) / (2^p - 1) up to
the next order, p the order. Both samples are independent, so that their errors add up in squares.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scipy.special import stdtrit

from samdyn.arguments import checks
from samdyn.jobs.cost import part_of
from samdyn.results import Result, Table
from samdyn.results.absent import whole

if TYPE_CHECKING:
    from samdyn.escape.statistics.result import ExitTimes


@dataclass(frozen=True, eq=False, repr=False)
class RefinedExitTimes(Result):
    """A mean exit time extrapolated from two step sizes.

    Attributes
    ----------
    coarse, fine : ExitTimes
        The samples with steps dt and dt/2.
    order : float
        Order of the bias in dt: 1 with the bridge, 1/2 without.

    References
    ----------
    Gobet & Menozzi, Stochastic Processes and their Applications 120 (2010) 130-162.
    """

    cited = ("gobet2010",)

    coarse: ExitTimes
    fine: ExitTimes
    order: float

    @property
    def weight(self) -> float:
        """1 / (2^order - 1): how much of the difference is added to the finer mean."""
        return 1 / (2**self.order - 1)

    @property
    def mean(self) -> float:
        """Mean exit time at step 0."""
        return self.fine.mean + self.weight * (self.fine.mean - self.coarse.mean)

    @property
    def standard_error(self) -> float:
        """Standard error of `mean`."""
        w = self.weight
        return math.hypot((1 + w) * self.fine.standard_error, w * self.coarse.standard_error)

    @property
    def bias(self) -> float:
        """Estimated relative bias of the coarse mean."""
        return self.coarse.mean / self.mean - 1

    def confidence_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of `mean` by Student's t, never below 0.

        The degrees of freedom follow Welch and Satterthwaite, for the two samples' exits.
        """
        level = checks.number("level", level, above=0)
        if level >= 1:
            raise ValueError(f"level must be in (0, 1), got {level!r}")
        w = self.weight
        parts = ((1 + w) * self.fine.standard_error) ** 2, (w * self.coarse.standard_error) ** 2
        counts = self.fine.n_exited, self.coarse.n_exited
        spread = sum(v**2 / max(n - 1, 1) for v, n in zip(parts, counts, strict=True))
        degrees = sum(parts) ** 2 / spread if spread else math.inf
        half = float(stdtrit(degrees, 0.5 + level / 2)) * self.standard_error
        return max(0.0, self.mean - half), self.mean + half

    def table(self) -> Table:
        """The extrapolated mean and both samples."""
        low, high = self.confidence_interval()
        coarse, fine = self.coarse, self.fine
        rows = [
            ("mean", f"{self.mean:.6g}, 95 % interval ({low:.6g}, {high:.6g}), extrapolated to step 0"),
            (f"step {coarse.dt:g}", f"{coarse.mean:.6g} +- {coarse.standard_error:.2g}"),
            (f"step {fine.dt:g}", f"{fine.mean:.6g} +- {fine.standard_error:.2g}"),
        ]
        return Table("RefinedExitTimes", rows)


def refine(
    coarse: ExitTimes, n_paths: int | None, seed: int | None, options: dict[str, Any]
) -> RefinedExitTimes:
    """Sample again with half the step: see `ExitTimes.refine`."""
    from samdyn.escape.exit.times import exit_times

    problem = whole(vars(coarse).get("problem"))
    if problem is None:
        raise ValueError(
            "refine needs the system, which this copy of the result does not hold: give it to "
            "ExitTimes.load(path, system=...), or dataclasses.replace(result, problem=(system, region, x0))"
        )
    if coarse.discrete:
        raise ValueError("refine needs a Diffusion: a Map has no other step than its own")
    if coarse.interrupted:
        raise ValueError("refine needs a finished result, got one that was interrupted")
    if not coarse.n_exited:
        raise ValueError("refine needs paths that left, got none: raise t_max")
    system, region, x0 = problem
    one_start = bool((x0 == x0[0]).all())
    if n_paths is not None and not one_start:
        raise ValueError(f"n_paths must be left out where every path has its own start, got {n_paths!r}")
    count = len(coarse) if n_paths is None else n_paths
    with warnings.catch_warnings(), part_of("ExitTimes.refine", "pass fewer n_paths"):
        warnings.filterwarnings("ignore", message="none of")
        fine = exit_times(
            system, x0[0] if one_start else x0, region, count, t_max=coarse.t_max, dt=coarse.dt / 2,
            seed=(coarse.seed + 1) % (1 << 64) if seed is None else seed,
            correction=coarse.correction, **options,
        )  # fmt: skip
    if fine.interrupted:  # half a sample would be extrapolated as if it were whole
        raise KeyboardInterrupt
    return RefinedExitTimes(coarse, fine, 0.5 if coarse.correction is None else 1.0)

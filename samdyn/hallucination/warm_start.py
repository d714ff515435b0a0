"""How many steps of plain gradient descent before SAM keep it from hallucinated minimisers.

Hallucinated points lie high on the loss, near maxima and saddles, which gradient descent leaves first: k
steps of it before SAM (`WarmStart`) move starts out of their basins. It works only as far as the minimum
that gradient descent reaches attracts SAM at this radius and learning rate; where it does not, SAM leaves it.
A radius that decays to zero is the alternative: hallucinated points need a radius above some bound.

`warm_start_study` measures both: the same starts, `n_steps` steps in all, k of them by gradient descent, for
each k; and the same with each radius schedule given.

References
----------
Park, Jang, Ryu & Yang (2025), arXiv 2509.21818 (warm start; read in the abstract and in summaries).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.hallucination.share import OUTCOMES, HallucinatedShare, hallucinated_share
from samdyn.jobs.progress import paced
from samdyn.results import Result, Table
from samdyn.rules.rule import WarmStart
from samdyn.rules.schedules import Schedule, check_coefficient
from samdyn.systems.map import Map

STEPS = (0, 10, 30, 100, 300, 1000)


@dataclass(frozen=True, eq=False, repr=False)
class WarmStartStudy(Result):
    """Shares of hallucinated runs against the length of the warm start.

    Attributes
    ----------
    steps : ndarray of int, shape (n,)
        Steps of gradient descent before SAM.
    results : tuple of HallucinatedShare
        One for each entry of `steps`.
    decaying : dict of str to HallucinatedShare
        The same starts with a decaying radius and no warm start, by the name of the schedule.
    system : Map
        The map without warm start.
    """

    cited = ("park2025", "wilson1927")
    row = "warm start"

    steps: npt.NDArray[np.int_]
    results: tuple[HallucinatedShare, ...]
    decaying: dict[str, HallucinatedShare]
    system: Map

    @property
    def shares(self) -> Array:
        """Share of hallucinated runs for each warm start, shape (n,)."""
        return np.array([result.share() for result in self.results])

    @checked
    def confidence_intervals(self, level: float = 0.95) -> Array:
        """Wilson intervals of `shares`, shape (n, 2)."""
        return np.array([result.confidence_interval(level) for result in self.results])

    def _named(self) -> list[tuple[str, HallucinatedShare]]:
        named = [(str(k), r) for k, r in zip(self.steps, self.results, strict=True)]
        return named + list(self.decaying.items())

    def table(self) -> Table:
        """The shares of each outcome, by the length of the warm start."""
        rows = []
        for name, result in self._named():
            low, high = result.confidence_interval()
            others = [f"{result.share(outcome):.4f}" for outcome in OUTCOMES[1:]]
            rows.append((name, f"{result.share():.4f}", f"{low:.4f} to {high:.4f}", *others))
        n, of = len(self.results[0].x0), self.results[0].n_steps
        return Table(f"WarmStartStudy of {self.system!r}: {n} starts, {of} steps", rows, HEAD)

    def plot(self, ax: Any = None) -> Any:
        """Shares against the length of the warm start; returns the matplotlib Axes."""
        return self._draw(ax)

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        named = self._named()
        columns: dict[str, Any] = {"warm start": [name for name, _ in named]}
        columns |= {outcome: [r.share(outcome) for _, r in named] for outcome in OUTCOMES}
        return columns, {"system": repr(self.system)}


HEAD = ("GD steps first", "hallucinated", "95 % interval", *OUTCOMES[1:])


@checked
def warm_start_study(
    system: Map,
    steps: Sequence[int] = STEPS,
    *,
    decaying: Mapping[str, Schedule] | None = None,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    x0: npt.ArrayLike | None = None,
    n_starts: int = 1024,
    n_steps: int = 10_000,
    seed: int = 0,
    progress: bool = False,
) -> WarmStartStudy:
    """Share of runs that end at hallucinated minimisers against the length of a warm start.

    Parameters
    ----------
    system : Map
        With a rule that has a radius rho.
    steps : sequence of int
        Numbers of steps of plain gradient descent before SAM.
    decaying : dict of str to schedule, optional
        Schedules of rho to run beside, without a warm start.
    box, x0, n_starts, n_steps, seed
        As in `hallucinated_share`. `n_steps` is the length of the whole run; every warm start gets the same
        starts.
    progress : bool
        Show a progress bar over runs.

    Returns
    -------
    WarmStartStudy

    Warns
    -----
    CostWarning
        The work will take more than ten seconds, by the time of its first run.

    Raises
    ------
    TypeError, ValueError
        No radius to delay, no warm start at all, or one that leaves less than a tenth of the run to SAM.

    Examples
    --------
    >>> import samdyn as sd
    >>> system = sd.Map(sd.landscapes.tilted_double_well(), sd.SAM(1.0), lr=0.02)
    >>> study = sd.warm_start_study(system, [0, 20, 400], n_starts=400, n_steps=2000)
    >>> bool((study.shares[:-1] > study.shares[1:]).all())
    True
    """
    if not isinstance(system, Map) or system.landscape is None or system.rule is None:
        raise TypeError(f"system must be a Map made from a loss and a rule, got {system!r}")
    n_steps = checks.integer("n_steps", n_steps, at_least=100)
    lengths = checks.integers("steps", steps, at_least=0)
    if max(lengths) > 0.9 * n_steps:
        raise ValueError(f"steps must be at most nine tenths of n_steps = {n_steps}, got {max(lengths)}")
    schedules = dict(decaying or {})
    for name, schedule in schedules.items():
        check_coefficient(f"decaying[{name!r}]", schedule, at_least=0)
    rules = [WarmStart(system.rule, k) if k else system.rule for k in lengths]
    if "rho" not in system.rule.coefficient_names:
        raise ValueError(f"system must have a rule with a perturbation radius rho, got {system.rule!r}")
    how: dict[str, Any] = {"box": box, "x0": x0, "n_starts": n_starts, "n_steps": n_steps, "seed": seed}
    radii = [*(vars(rule)["rho"] for rule in rules), *schedules.values()]
    cheaper = "pass fewer steps, n_starts or n_steps"
    results = [
        hallucinated_share(system.with_parameters(rho=rho), **how)
        for rho in paced(radii, "warm_start_study", len(radii), cheaper, show=progress, unit="run")
    ]
    others = dict(zip(schedules, results[len(rules) :], strict=True))
    return WarmStartStudy(np.array(lengths), tuple(results[: len(rules)]), others, system)

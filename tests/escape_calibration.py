"""How often the intervals of `samdyn.escape` hold the exact value: the cases, and the page that shows them.

``PYTHONPATH=tests python tests/escape_calibration.py`` measures every case and writes the table
docs/calibration/escape.md; `tests/escape/statistics/test_calibration.py` asserts the same cases.

Exit times are drawn from exact laws, so that only the statistics are at trial: exponential (a constant rate
of escape), inverse Gaussian (Brownian motion with a drift towards a wall, whose rate rises and falls) and
geometric (a chain watched at whole steps). Splitting is carried out.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import problems
from scipy import stats

import samdyn as sd
from samdyn.escape import RareExitTime, RareProbability, logrank
from samdyn.escape.spread.result import Displacement
from samdyn.escape.statistics.censored_mean import mean_deviation, mean_interval
from samdyn.escape.statistics.extrapolation import RefinedExitTimes
from samdyn.escape.statistics.location import locate
from samdyn.escape.statistics.survival import kaplan_meier
from samdyn.escape.statistics.tail import fit_tail

RUNS = 400
Law = Callable[[np.random.Generator, int], np.ndarray]
Hits = Iterator[bool]


class Case(NamedTuple):
    """An interval, on data of one kind, whose coverage lies within `bounds`; why, if not 92 to 98 %."""

    interval: str
    data: str
    hits: Callable[[], Hits]
    why: str = ""
    bounds: tuple[float, float] = (0.92, 0.98)


def coverage(case: Case) -> tuple[float, int]:
    """Share of runs whose interval holds the exact value, and the number of runs."""
    found = np.array(list(case.hits()), dtype=bool)
    return float(found.mean()), len(found)


def result(watched: Any, exited: Any) -> sd.escape.ExitTimes:
    """An `ExitTimes` made by hand."""
    n = len(watched)
    return sd.escape.ExitTimes(
        times=np.where(exited, watched, np.nan), exited=exited, exit_points=np.full((n, 1), np.nan),
        diverged=np.zeros(n, bool), faces=np.where(exited, 0, -1).astype(np.int16), watched=watched,
        face_names=("x",), t_max=float(watched.max()), dt=0.1, seed=3, correction="bridge", discrete=False,
        system="a system", region="a region",
    )  # fmt: skip


class Problem(NamedTuple):
    """A law of exit times."""

    name: str
    draw: Law
    law: Any

    def limit(self, end: float) -> float:
        """What exposure over exits estimates for censoring at `end`: E[min(T, end)] / P(T <= end)."""
        t = np.linspace(0, end, 20_001)
        return float(np.trapezoid(self.law.sf(t), t) / self.law.cdf(end))


EXPONENTIAL = Problem("exponential", lambda rng, n: rng.exponential(2.0, n), stats.expon(scale=2.0))
# a wall at distance 1, drift 1 and variance 0.25 a unit of time
DRIFTING = Problem("inverse Gaussian", lambda rng, n: rng.wald(1.0, 4.0, n), stats.invgauss(0.25, scale=4.0))


def samples(problem: Problem, n: int, end: float, runs: int = RUNS, seed: int = 1) -> Iterator[Any]:
    """Watched times and exit flags of many ensembles of n paths, censored at `end`."""
    rng = np.random.default_rng(seed)
    for _ in range(runs):
        t = problem.draw(rng, n)
        yield np.minimum(t, end), t <= end


def means(problem: Problem, n: int, end: float, method: str | None = None, runs: int = RUNS) -> Hits:
    exact = problem.law.mean() if math.isinf(end) else problem.limit(end)
    for watched, exited in samples(problem, n, end, runs):
        if method == "bootstrap" and exited.sum() < 10:
            continue
        low, high = mean_interval(watched, exited, 0.95, method)
        yield low <= exact <= high


def deviations(problem: Problem, n: int, end: float) -> Hits:
    exact = problem.law.mean() if math.isinf(end) else problem.limit(end)
    for watched, exited in samples(problem, n, end):
        if exited.any():
            yield abs(mean_deviation(watched, exited, exact)) < 1.96


def extrapolated(problem: Problem, n: int, order: float) -> Hits:
    """Samples whose bias in the step is exactly of the order: 10 % of the mean at the coarser step."""
    one, other = samples(problem, n, math.inf), samples(problem, n, math.inf, seed=2)
    for (coarse, exited), (fine, _) in zip(one, other, strict=True):
        two = RefinedExitTimes(
            result(1.1 * coarse, exited), result((1 + 0.1 / 2**order) * fine, exited), order
        )
        low, high = two.confidence_interval()
        yield bool(low <= problem.law.mean() <= high)


def quantiles(problem: Problem, n: int, q: float, end: float) -> Hits:
    exact = float(problem.law.ppf(q))
    for watched, exited in samples(problem, n, end):
        low, high = result(watched, exited).quantile_interval(q)
        yield bool(low <= exact <= high)


def bands(problem: Problem, n: int, share: float, end: float) -> Hits:
    time = float(problem.law.isf(share))
    for watched, exited in samples(problem, n, end):
        curve = kaplan_meier(watched, exited)
        at = int(np.searchsorted(curve.times, time, side="right")) - 1
        yield bool(curve.lower[at] <= share <= curve.upper[at])


def ratios(problem: Problem, n: int, m: int, end: float, correlated: bool = False) -> Hits:
    exact = 3.0  # the first takes three times as long
    one, other = samples(problem, n, end), samples(problem, m, end, seed=1 if correlated else 2)
    for (wa, ea), (wb, eb) in zip(one, other, strict=True):
        _, low, high = sd.escape.ratio_of_means(result(3 * wa, ea), result(wb, eb))
        yield low <= exact <= high


def tests(n: int, m: int, end: float, later: float) -> Hits:
    """Log-rank tests of equal laws that find nothing at 5 %."""
    one, other = samples(EXPONENTIAL, n, end), samples(EXPONENTIAL, m, later, seed=2)
    for (wa, ea), (wb, eb) in zip(one, other, strict=True):
        if ea.any() or eb.any():
            yield logrank(result(wa, ea), result(wb, eb)).p_value >= 0.05


def tails(step: float | None, n: int, end: float, exits: int = 2) -> Hits:
    for watched, exited in samples(EXPONENTIAL, n, end):
        if step is not None:
            watched = np.ceil(watched / step) * step
        if exited.sum() >= exits:
            low, high = fit_tail(watched, exited, 0.0, step=step).confidence_interval()
            yield low <= 0.5 <= high


def locations(share: float, n: int) -> Hits:
    rng = np.random.default_rng(1)
    for _ in range(RUNS):
        faces = (rng.random(n) > share).astype(np.int16)
        place = locate(np.zeros((n, 2)), faces, ["a", "b"])
        yield bool(place.lower[0] <= share <= place.upper[0])


def wilson(share: float, n: int) -> Hits:
    for count in np.random.default_rng(1).binomial(n, share, RUNS):
        low, high = sd.basin.wilson_interval(count, n)
        yield low <= share <= high


def displacements(dim: int, n: int) -> Hits:
    """Gaussian clouds, which is what linear SAM makes, of standard deviations 1, 1/2, ..."""
    rng, scale = np.random.default_rng(1), 1 / np.arange(1.0, dim + 1)
    exact = (scale**2).sum()
    for _ in range(RUNS):
        square = ((scale * rng.standard_normal((n, dim))) ** 2).sum(axis=1)
        one = np.ones(1)
        low, high = Displacement(
            one, square.mean() * one, square.std(ddof=1) / n**0.5 * one, np.zeros((1, dim)),
            np.zeros((1, dim)), np.zeros(1, int), np.zeros(dim), None, n, 1.0, 0, True, "a system",
        ).confidence_interval()  # fmt: skip
        yield bool(low[0] <= exact <= high[0])


@functools.cache
def committors(flat: bool) -> tuple[float, RareProbability]:
    """The exact committor of the chain, and 3200 repeats of its estimate."""
    options: dict[str, Any] = {"n_clones": 10, "levels": 20, "n_repeats": 3200, "seed": 7}
    if flat:  # Brownian motion from 0.05 to 1 before 0
        loss = sd.Landscape(lambda w: 0.0 * w[0], dim=1, name="flat")
        system = sd.Diffusion(loss, sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=1.0))
        a, b = sd.HalfSpace([1.0], 0.0), sd.HalfSpace([-1.0], -1.0)
        return 0.05, sd.rare_committor(system, [0.05], a, b, dt=0.3, **options)
    well = problems.diffusion(sd.landscapes.double_well(), sd.GD(), 0.1)
    a, b = sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], 0.0)
    # from `chain_committor` of tests/escape/rare/test_splitting.py
    return 0.0193780, sd.rare_committor(well, [-0.9], a, b, dt=0.1, **options)


@functools.cache
def rare_exits(line: bool) -> tuple[float, RareExitTime]:
    """The exact mean of the chain in the time that splitting counts, and 3200 repeats of its estimate."""
    options: dict[str, Any] = {"n_clones": 10, "levels": 30, "n_repeats": 3200, "seed": 7, "dt": 0.1}
    if line:  # an Ornstein-Uhlenbeck process from 0 to 2
        D, x0, edge, loss = 1.0, 0.0, 2.0, sd.landscapes.quadratic([[1.0]])
        options["dt"] = 0.05
    else:
        D, x0, edge, loss = 0.1, -1.0, 0.0, sd.landscapes.double_well()
    system, region = problems.diffusion(loss, sd.GD(), D), sd.HalfSpace([1.0], edge)
    case = problems.ExitCase(system, D, x0, region, None, edge, 1.0)
    exact = case.chain_mean(options["dt"], bridge=True, whole_steps=True)
    return exact, sd.rare_exit_time(system, [x0], region, sd.Ball([x0], 0.5 if line else 0.2), **options)


def split(function: Any, which: bool, size: int) -> Hits:
    """The interval from each group of repeats of a splitting run."""
    exact, whole = function(which)
    probability = whole.probability if isinstance(whole, RareExitTime) else whole
    fields = {field.name: getattr(probability, field.name) for field in dataclasses.fields(probability)}
    for i in range(0, len(probability.estimates) - size + 1, size):
        rows = slice(i, i + size)
        part: Any = RareProbability(**{**fields, "estimates": probability.estimates[rows]})
        if isinstance(whole, RareExitTime):
            times = (whole.time_first, whole.time_out, whole.time_back, whole.time_reactive)
            part = RareExitTime(part, *(t[rows] for t in times), whole.path_steps)
        low, high = part.confidence_interval()
        yield low <= exact <= high


INF, FEWER = math.inf, "safe: the far end counts one exit more, and counts are whole numbers"
NONE = "without an exit there is a lower end only, which alone misses in up to 5 % of the runs"
SKEW = "the tail of the law is longer than so few times show"
SMALL = "counts are whole numbers, so that the coverage jumps from share to share"


def cases() -> list[Case]:
    """All cases."""
    found: list[Case] = []

    def add(interval: str, data: str, function: Any, *args: Any, why: str = "", bounds: Any = None) -> None:
        bounds = bounds or (0.92, 0.98)
        found.append(Case(interval, data, functools.partial(function, *args), why, bounds))

    for p in (EXPONENTIAL, DRIFTING):
        for n in (5, 20, 200):
            add("mean", f"{p.name}, {n} exits", means, p, n, INF)
        end = float(p.law.ppf(0.5))
        for n in (20, 200):
            add("mean", f"{p.name}, {n} paths, half censored", means, p, n, end)
        end = float(p.law.ppf(0.003))
        add("mean", f"{p.name}, 1000 paths, 3 exits", means, p, 1000, end, why=NONE, bounds=(0.90, 0.995))
    median = float(EXPONENTIAL.law.ppf(0.5))
    add('mean, "normal"', "exponential, 200 exits", means, EXPONENTIAL, 200, INF, "normal")
    add('mean, "exact"', "exponential, 20 exits", means, EXPONENTIAL, 20, INF, "exact")
    add('mean, "exact"', "inverse Gaussian, 20 exits", means, DRIFTING, 20, INF, "exact",
        why="made for exponential laws, and this one is narrower", bounds=(0.98, 1.0))  # fmt: skip
    add('mean, "bootstrap"', "exponential, 100 exits", means, EXPONENTIAL, 100, INF, "bootstrap", 300)
    add('mean, "bootstrap"', "exponential, 100 paths, half censored", means, EXPONENTIAL, 100, median,
        "bootstrap", 300)  # fmt: skip
    add("z of `compare_exact`", "exponential, 5 exits", deviations, EXPONENTIAL, 5, INF,
        why=SKEW, bounds=(0.86, 0.92))  # fmt: skip
    add("z of `compare_exact`", "exponential, 200 exits", deviations, EXPONENTIAL, 200, INF)
    add("z of `compare_exact`", "exponential, 1000 paths, 3 exits", deviations, EXPONENTIAL, 1000, 0.006)
    for p in (EXPONENTIAL, DRIFTING):
        for n, order in ((5, 1.0), (5, 0.5), (20, 1.0), (200, 1.0), (200, 0.5)):
            how = "with" if order == 1 else "without"
            data = f"{p.name}, {n} and {n} exits, {how} bridge"
            add("mean extrapolated to step 0", data, extrapolated, p, n, order,
                why=SKEW if n == 5 else "", bounds=(0.88, 0.98) if n == 5 else None)  # fmt: skip
    for p in (EXPONENTIAL, DRIFTING):
        for n, q in ((30, 0.05), (30, 0.5), (30, 0.9), (200, 0.05), (200, 0.5), (200, 0.9)):
            add("quantile", f"{p.name}, {n} exits, q = {q:g}", quantiles, p, n, q, INF,
                why=SMALL, bounds=(0.92, 0.99))  # fmt: skip
        add(
            "quantile", f"{p.name}, 30 paths, half censored, q = 0.25", quantiles, p, 30, 0.25, p.law.ppf(0.5)
        )
    for p in (EXPONENTIAL, DRIFTING):
        for n, share in ((10, 0.95), (10, 0.5), (30, 0.95), (200, 0.95), (200, 0.1)):
            bounds = (0.87, 1.0) if n == 10 else (0.92, 0.99)
            add("survival band", f"{p.name}, {n} exits, where S = {share:g}", bands, p, n, share, INF,
                why=SMALL, bounds=bounds)  # fmt: skip
    for p in (EXPONENTIAL, DRIFTING):
        for n, m in ((5, 5), (5, 200), (200, 200)):
            add("ratio of means", f"{p.name}, {n} and {m} exits", ratios, p, n, m, INF)
    add("ratio of means", "exponential, 100 and 200 paths, 3 and 6 exits", ratios, EXPONENTIAL, 100, 200,
        0.06, why=FEWER, bounds=(0.92, 1.0))  # fmt: skip
    add("ratio of means", "exponential, the same random numbers", ratios, EXPONENTIAL, 100, 100, INF, True,
        why="taken as independent, while the ratio is known better", bounds=(0.98, 1.0))  # fmt: skip
    add("log-rank test, at 5 %", "100 and 100 exits", tests, 100, 100, INF, INF)
    add("log-rank test, at 5 %", "10 of 20 and 20 of 30 exits", tests, 20, 30, 1.4, 2.2)
    add("log-rank test, at 5 %", "10 paths beside 1000, 1 % exits", tests, 10, 1000, 0.02, 0.02,
        why="few outcomes are possible", bounds=(0.95, 1.0))  # fmt: skip
    for step in (None, 1.0):
        law = "exponential" if step is None else "geometric"
        for n in (10, 100):
            add("tail rate", f"{law}, {n} exits", tails, step, n, INF)
    add("tail rate", "exponential, 2 exits", tails, None, 2, INF, why="the logarithm of two times is skewed",
        bounds=(0.86, 0.94))  # fmt: skip
    add("tail rate", "exponential, 100 paths, half censored", tails, None, 100, median)
    for share, n in ((0.25, 8), (0.25, 200), (0.02, 200)):
        add("exit location, share", f"share {share:g}, {n} exits", locations, share, n)
    for share, n in ((0.5, 20), (0.05, 20), (0.5, 1000)):
        add("Wilson interval, exit probability", f"share {share:g} of {n}", wilson, share, n, why=SMALL,
            bounds=(0.89, 0.98))  # fmt: skip
    for dim in (1, 2):
        for n in (5, 50, 1000):
            add("mean squared displacement", f"{dim} modes, {n} paths", displacements, dim, n,
                why=SKEW if n == 5 else "", bounds=(0.86, 0.98) if n == 5 else None)  # fmt: skip
    for name, flag in (("double well, p = 0.019", False), ("Brownian motion, p = 0.05", True)):
        for size in (4, 10):
            add("rare committor", f"{name}, {size} repeats of 10 clones", split, committors, flag, size)
    for name, flag in (("double well", False), ("Ornstein-Uhlenbeck", True)):
        for size in (4, 10):
            add("rare exit time", f"{name}, {size} repeats of 10 clones", split, rare_exits, flag, size)
    return found


def table() -> str:
    """The measured coverages as a Markdown table."""
    rows = ["| 95 % interval | data | holds the exact value | why, if not 92 to 98 % |", "|---|---|---|---|"]
    for case in cases():
        share, runs = coverage(case)
        error = math.sqrt(share * (1 - share) / runs)
        outside = "" if 0.92 <= share <= 0.98 else case.why or "?"
        rows.append(
            f"| {case.interval} | {case.data} | {100 * share:.1f} ± {100 * error:.1f} % | {outside} |"
        )
        print(rows[-1], flush=True)
    return "\n".join(rows)


if __name__ == "__main__":
    page = Path(__file__).parents[1] / "docs" / "calibration" / "escape.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text(table() + "\n", encoding="utf-8")

"""The table of what networks did, made from the numbers that `make studies` stored, when the manual is built.

Every number and every verdict is read off or decided by the files in demos/networks/results; the claims are
written here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from math import hypot
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import fisher_exact

RESULTS = Path(__file__).parents[1] / "demos" / "networks" / "results"
Numbers = Mapping[str, Any]
LEVEL = 0.05
"""Of the one-sided exact test by which one share of runs is called larger than another."""
CLOSE = 0.2
"""Relative error below which a predicted stay or edge is called right: the intervals of a mean stay over 100
runs are half as wide, and the curvature at the edge goes up and down by a tenth.
"""


class Row(NamedTuple):
    """A claim, how sure it is that a paper makes it, what came out here, and the verdict on it."""

    claim: str
    paper: str
    here: str
    verdict: str


def points(interval: list[float], digits: int = 1) -> str:
    """A difference of shares and the half width of its interval, in points of a hundred."""
    return f"{100 * interval[0]:.{digits}f} ± {100 * interval[1]:.{digits}f}"


def steps(interval: list[float]) -> str:
    """A mean number of steps with its interval."""
    mean, low, high = interval
    return f"{mean:.0f} ({low:.0f} to {high:.0f})"


def by_radius(results: Numbers) -> list[list[int]]:
    """Hallucinated and other ends of runs from the start, and the same after a warm start."""
    found = [[0, 0], [0, 0]]
    for name, verdicts in results["verdicts"].items():
        for verdict in verdicts:
            found[name.startswith("after")][not verdict.startswith("hallucinated")] += 1
    return found


def hallucinations(results: Numbers) -> list[Row]:
    """Runs at large radii, with and without a warm start."""
    counts = Counter(v for verdicts in results["verdicts"].values() for v in verdicts)
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    ends = by_radius(results)
    (plain, other), (warm, _) = ends
    radii = results["radii"]
    here = (
        f"breast cancer, {results['weights']} weights, {results['seeds']} seeds, $\\rho$ = {radii[0]:g} to "
        f"{radii[-1]:g}, {results['steps']} steps: of {sum(counts.values())} runs {plain + warm} "
        f"hallucinated ({told})"
    )
    verdict = "not as stated on these data"
    if plain:
        removed = fisher_exact(ends, alternative="greater").pvalue < LEVEL
        verdict = "reproduced" if removed else "with a caveat: that a warm start removes it is not decided"
        if plain <= other:
            verdict = f"with a caveat: {plain} of {plain + other} runs from the start are hallucinated"
    claim = (
        "SAM fails at large radii because it stops at hallucinated points, and a warm start of a tenth "
        "removes it"
    )
    return [Row(claim, "Park et al., arXiv 2509.21818 (found)", here, verdict)]


def edges(results: Numbers) -> list[Row]:
    """The largest curvature beside the edge, and two runs at large radii."""
    ratios = results["lambda over edge in the last third, least, median and largest"]
    limits = results["edge in the last third, least and largest"]
    told = "; ".join(
        f"{name} {low:.3f} to {high:.3f} (edge {limits[name][0]:.2f} to {limits[name][1]:.2f})"
        for name, (low, _, high) in ratios.items()
    )
    worst = max(abs(r - 1) for low, _, high in ratios.values() for r in (low, high))
    here = (
        f"digits, {results['weights']} weights, lr {results['lr']:g}, {results['steps']} steps, one seed: "
        f"curvature over edge in the last third {told}"
    )
    settles = f"reproduced, to {100 * worst:.1f} %" if worst < CLOSE else "not as stated"
    stalled = results["at lr 0.02, after 1000 steps"]
    told = "; ".join(
        f"$\\rho$ = {name.split()[1]}: {one['verdict']}, at a loss of {one['loss']:.3f}"
        for name, one in stalled.items()
    )
    traps = any(one["verdict"].startswith("hallucinated") for one in stalled.values())
    return [
        Row("the largest curvature settles at SAM's edge", "Long and Bartlett (found: code)", here, settles),
        Row(
            "at large radii a run stalls at hallucinated points (a control of the claim above)",
            "Park et al., arXiv 2509.21818 (found)",
            f"the same network, lr 0.02, 1000 steps: {told}",
            "reproduced" if traps else "not on these data",
        ),
    ]


def widths(results: Numbers) -> list[Row]:
    """Gains of SAM by width."""
    gains = {tuple(name.split(", ")): gain for name, gain in results["gain"].items()}
    at, radii = ([*dict.fromkeys(name[i].split()[1] for name in gains)] for i in (0, 1))
    best = [max(radii, key=lambda r: gains[f"width {w}", f"rho {r}"][0]) for w in at]
    told = "; ".join(
        f"$\\rho$ = {r}: " + ", ".join(points(gains[f"width {w}", f"rho {r}"]) for w in at) for r in radii[1:]
    )
    low, high = (gains[f"width {w}", f"rho {radii[-1]}"] for w in (at[0], at[-1]))
    here = (
        f"digits with a fifth of labels drawn at random, {results['seeds']} seeds, points of test accuracy "
        f"with {', '.join(at)} units: {told}; best radii {', '.join(best)} of {', '.join(radii)}"
    )
    grows = high[0] - low[0] > hypot(low[1], high[1]) and float(best[-1]) > float(best[0])
    claim = "SAM's gain and its best radius grow with width"
    return [Row(claim, "Shin et al. (memory)", here, "reproduced" if grows else "not decided")]


def schedules(results: Numbers) -> list[Row]:
    """Schedules of lambda beside constants."""
    gains = results["accuracy minus SAM's"]
    told = ", ".join(f"{name} {points(gain, 2)}" for name, gain in gains.items() if any(gain))
    scheduled = [gain for name, gain in gains.items() if "1/t" in name]
    constant = max(gain for name, gain in gains.items() if "1/t" not in name)
    above = [(gain[0] - constant[0], hypot(gain[1], constant[1])) for gain in scheduled]
    better, worse = ([sign * mean > half for mean, half in above] for sign in (1, -1))
    here = (
        f"digits, batches of {results['batch size']}, {results['seeds']} seeds, "
        f"$\\rho$ = {results['rho']:g}, {results['steps']} steps, points of test accuracy above SAM: {told}"
    )
    claim = "$\\lambda$ = 1/t or 1 - 1/t is better than a constant"
    paper = "Oikonomou and Loizou, arXiv 2503.02225 (memory)"
    verdict = "not decided at this size: no schedule differs from the best constant beyond its interval"
    if all(worse):
        verdict = "not as stated: no schedule is better than the best constant"
    return [Row(claim, paper, here, "reproduced" if any(better) else verdict)]


def saddles(results: Numbers) -> list[Row]:
    """Stays at saddles, and what the linear diffusion says of them."""
    stays, linear = results["steps"], results["steps of the linear diffusion"]
    told, shorter, longer = [], 0, 0
    for share in ("0.5", "0.3"):
        for size in (5, 100):
            case = f"share {share}, batches of {size}"
            sgd, sam = stays[f"{case}: SGD"], stays[f"{case}: SAM, rho 0.2"]
            told.append(f"share {share}, batches of {size}: SGD {steps(sgd)}, SAM {steps(sam)}")
            longer, shorter = longer + (sam[1] > sgd[2]), shorter + (sam[2] < sgd[1])
    here = (
        "saddles of a tanh network on the iris data, a hidden unit written twice with shares $t$, $1 - t$ of "
        f"its outgoing weight; {results['paths']} runs, steps to a distance of {results['radius']:g}, "
        f"$\\rho$ = 0.2: {'; '.join(told)}"
    )
    verdict = "not as stated"
    if longer:
        verdict = "with a caveat: not at every saddle" if shorter else "reproduced"
    shares = list(dict.fromkeys(name.partition(",")[0] for name in linear))
    small = {share: _worst_error(stays, linear, share, large=False) for share in shares}
    large = {share: _worst_error(stays, linear, share, large=True) for share in shares}
    told = [
        f"$t$ = {share.removeprefix('share ')}: up to {100 * small[share]:.0f} % for SGD and $\\rho$ = 0.05, "
        f"{100 * large[share]:.0f} % for $\\rho$ = 0.2"
        for share in shares
    ]
    close = [share.removeprefix("share ") for share in shares if small[share] < CLOSE]
    describes = "not as stated"
    if len(close) == len(shares):
        describes = "reproduced" if max(large.values()) < CLOSE else "for SGD and small $\\rho$ alone"
    elif close:
        describes = f"not as stated, but for SGD and small $\\rho$ at $t$ = {', '.join(close)}"
    return [
        Row(
            "SAM leaves saddles more slowly than SGD; batch size and momentum matter",
            "Kim et al. (found)",
            here,
            verdict,
        ),
        Row(
            "the diffusion with the batches' covariance describes the escape",
            "not claimed of networks",
            "linear diffusion of `sd.rates.batch_linearization`, errors of the predicted stays with batches "
            f"of 5, 20 and 100: {'; '.join(told)}",
            describes,
        ),
    ]


def _worst_error(stays: Numbers, linear: Numbers, share: str, *, large: bool) -> float:
    """The largest relative error of the linear diffusion's stays, for the large radius or for the others."""
    return max(
        abs(told / stays[name][0] - 1)
        for name, told in linear.items()
        if name.startswith(f"{share},") and ("rho 0.2" in name) == large
    )


def masks(results: Numbers) -> list[Row]:
    """SAM-ON beside SAM and other masks, AdaSAM beside AMSGrad."""
    pairs, gains = results["difference"], results["gain"]
    told = "; ".join(f"{name} {points(pair)}" for name, pair in pairs.items())
    adaptive = {name: gain for name, gain in gains.items() if name.startswith("AdaSAM")}
    more = ", ".join(f"{name} {points(gain)}" for name, gain in adaptive.items())
    lost = [n for n, (mean, half) in gains.items() if n.startswith("SAM, ") and mean < -half]
    # to beat a SAM that is worse than gradient descent says nothing about SAM at a radius of its own
    fair = [p for n, p in pairs.items() if n.replace("SAM-ON", "SAM").removesuffix(" over SAM") not in lost]
    better, worse = (any(sign * mean > half for mean, half in fair) for sign in (1, -1))
    helps = any(gain[0] > gain[1] for gain in adaptive.values())
    data = (
        f"MNIST-1D, a fifth of labels drawn at random, {results['weights']} weights, "
        f"{results['training samples']} samples, {len(results['seeds'])} seeds, {results['steps']} steps, "
        "points of test accuracy"
    )
    verdict = "not decided at this size: no difference is beyond its interval"
    if lost:
        verdict += f", but that to a SAM that is worse than gradient descent ({'; '.join(lost)})"
    if better or worse:
        verdict = "with a caveat" if better and worse else "reproduced" if better else "not as stated"
    return [
        Row(
            "perturbing the normalisation layers alone beats SAM, and other masks of as few weights",
            "Mueller et al., arXiv 2306.04226 (memory)",
            f"{data}: {told}",
            verdict,
        ),
        Row(
            "SAM helps AMSGrad",
            "Sun et al., arXiv 2303.00565 (memory)",
            f"the same, above AMSGrad: {more}",
            "reproduced" if helps else "not decided at this size",
        ),
    ]


def biases(results: Numbers) -> list[Row]:
    """Bias and variance of SAM's estimates."""
    ends = results["end: squared bias, error, variance, error"]
    told = "; ".join(
        f"{name} {bias:.3f} ± {e:.3f} and {variance:.2f} ± {d:.2f}"
        for name, (bias, e, variance, d) in ends.items()
    )
    base, sam = ends["GD"], ends["SAM, 0.1"]
    here = (
        f"a tanh network of {results['weights']} weights on {results['training samples']} digits, a known "
        f"function with noise drawn {len(results['seeds'])} times, one start; squared bias and variance "
        f"after {results['steps']} steps: {told} (standard errors)"
    )
    lower = base[0] - sam[0] > 2 * hypot(base[1], sam[1])
    higher = sam[0] - base[0] > 2 * hypot(base[1], sam[1])
    wider = sam[2] - base[2] > 2 * hypot(base[3], sam[3])
    lower_bias = "reproduced" if wider else "with a caveat: the bias is lower, the variance not higher"
    opposite = "not as stated for a network that is trained: the bias is higher (the claim is about kernels)"
    return [
        Row(
            "SAM estimates with lower bias and higher variance",
            "Behdin and Mazumder, arXiv 2302.11836 (memory)",
            here,
            lower_bias if lower else opposite if higher else "not decided",
        )
    ]


STUDIES: dict[str, Callable[[Numbers], list[Row]]] = {
    "did_sam_fail_because_it_hallucinated": hallucinations,
    "is_my_run_beyond_the_sam_edge": edges,
    "does_width_help": widths,
    "which_lambda_schedule": schedules,
    "how_long_does_sam_stay_at_a_saddle_of_a_network": saddles,
    "is_it_enough_to_perturb_the_normalisation_layers": masks,
    "does_sam_have_a_lower_bias": biases,
}
"""What is read off the results of each notebook."""


def seeds(results: Numbers) -> str:
    """The seeds of a study: a list, a number n for 0 to n - 1, or one."""
    given = results.get("seeds", [results.get("seed")])
    given = list(range(given)) if isinstance(given, int) else given
    return f"{given[0]} to {given[-1]}" if len(given) > 1 else str(given[0])


def text(folder: Path = RESULTS) -> str:
    """The table, and which run each line is of."""
    head = ("Claim", "In the paper", "Here", "Verdict", "Run")
    lines = [head, ("---",) * len(head)]
    runs = [("Run", "Notebook", "Seeds", "Processor seconds", "Day", "Revision"), ("---",) * 6]
    for number, (name, rows) in enumerate(STUDIES.items(), start=1):
        path = folder / f"{name}.json"
        if not path.exists():
            runs.append((str(number), f"`{name}.ipynb`", *("not run yet",) * 4))
            continue
        results = json.loads(path.read_text(encoding="utf-8"))
        lines += [(*row, str(number)) for row in rows(results)]
        how = [str(results.get(key, "not stored")) for key in ("processor seconds", "date", "revision")]
        runs.append((str(number), f"`{name}.ipynb`", seeds(results), *how))
    return "\n\n".join("\n".join(f"| {' | '.join(line)} |" for line in part) for part in (lines, runs)) + "\n"


def write(target: Path) -> None:
    """Write the table to `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text(), encoding="utf-8")

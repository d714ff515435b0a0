"""Analyses around a point, timed: each checks its answer before it reports a time.

    python benchmarks/local.py [--clock cpu] [--repeats 3]

Branches: fixed points and cycles followed through a parameter by pseudo-arclength, with every bifurcation
located. The first call traces the system; the repeats after it trace again (nothing is kept between calls).
One function a table; `BENCHMARKS` lists them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import samdyn as sd

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Row = tuple[str, str, float, float]


def timed(
    work: Callable[[], object], clock: Callable[[], float], repeats: int
) -> tuple[object, float, float]:
    """What the work returns, the seconds of its first call, and the best of the repeats."""
    seconds = []
    result: object = None
    for _ in range(repeats + 1):
        start = clock()
        result = work()
        seconds.append(clock() - start)
    return result, seconds[0], min(seconds[1:])


def branches(clock: Callable[[], float], repeats: int) -> list[Row]:
    """Branches of 400 points and more, their bifurcations against closed forms."""
    beale = sd.landscapes.beale()
    x = (-0.7 + np.sqrt(0.49 + 0.4)) / 0.2
    henon = sd.Map.from_function(
        lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]),
        2,
        {"a": 0.1, "b": 0.3},
        box=[(-2, 2), (-0.6, 0.6)],
    )
    well = sd.Flow(sd.landscapes.double_well(dim=2), sd.SAM(1.5))
    cases: list[tuple[str, Callable[[], sd.bifurcation.Branch], list[float]]] = [
        (
            "saddle of Beale's function, USAM flow, rho",
            lambda: sd.continuation(sd.Flow(beale, sd.USAM(0.01)), [0, 1], "rho", (0, 0.1), max_step=0.0025),
            [1 / 27.75],
        ),
        (
            "saddle of Beale's function, USAM map, lr",
            lambda: sd.continuation(
                sd.Map(beale, sd.USAM(0.05), lr=0.01), [0, 1], "lr", (1e-3, 0.3), max_step=0.0025
            ),
            [2 / (27.75 * (27.75 * 0.05 + 1)), 2 / (27.75 * (27.75 * 0.05 - 1))],
        ),
        (
            "fixed point of the Henon map, a",
            lambda: sd.continuation(henon, [x, 0.3 * x], "a", (-0.2, 1.4), max_step=0.0025),
            [-0.1225, 0.3675],
        ),
        (
            "hallucinated point of the double well, SAM flow, rho",
            lambda: sd.continuation(well, [-0.5, 0.0], "rho", (0.5, 2.5), max_step=0.00125),
            [1.0, 2.0],
        ),
    ]
    rows = []
    for name, work, exact in cases:
        branch, first, best = timed(work, clock, repeats)
        assert isinstance(branch, sd.bifurcation.Branch)
        values = sorted(b.value for b in branch.bifurcations)
        if len(values) != len(exact) or not np.allclose(values, sorted(exact), rtol=0, atol=1e-8):
            raise SystemExit(
                f"{name}: bifurcations at {values}, expected {sorted(exact)}: no time is reported"
            )
        rows.append((name, f"{len(branch)} points, {len(values)} bifurcations", first, best))
    return rows


BENCHMARKS: dict[str, Callable[[Callable[[], float], int], list[Row]]] = {"branches": branches}


def main() -> int:
    """Run every benchmark and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    options = parser.parse_args()
    for name in options.only:
        print(f"{name}: seconds by the {options.clock} clock, the first call and the best of the repeats\n")
        for row in BENCHMARKS[name](CLOCKS[options.clock], options.repeats):
            print(f"{row[0]:55s} {row[1]:32s} {row[2]:7.2f} {row[3]:7.2f}", flush=True)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())

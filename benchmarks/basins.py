"""Basins of attraction beside other software: answers are checked first, then time and memory are taken.

    python benchmarks/basins.py [--resolution 1000] [--workers 2]

1. Normalised SAM on Himmelblau's function, lr 0.01, rho 0.5, on [-5, 5]^2. Check: a lattice of 40 x 40 cells
   is followed for 4000 steps by the map itself; the attractor nearest to the mean of the last 1000 points
   must be the one that `basins` says, in all but 1 of 1000 cells (those on a boundary may turn on rounding).
   The others (`basins_peers.py`), which are told the attractors, must agree with `basins` to 1 %.
2. The Henon map, a = 1.4, b = 0.3, on [-2, 2]^2: the share of starts that stay bounded, .4319 on 1000^2
   cells.
3. Memory of the first: peak above what the process held before, per cell.

Times are of the processor, in microseconds a cell, and include samdyn's search for attractors. What takes one
start a call is given fewer cells.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

import samdyn as sd

FEW = 100  # cells along a side for what is called start by start
AGREE, BOUNDED = 0.99, 0.4319


def check(system: sd.Map, found: sd.basin.Basins) -> float:
    """Share of cells whose label is that of the long orbit."""
    every = max(1, found.labels.shape[0] // 40)
    cells = np.arange(found.labels.size).reshape(found.labels.shape)[::every, ::every].ravel()
    x = found.grid.points(cells)
    orbit = sd.trajectory(system, x, n_steps=4000, save_every=1)[-1000:]
    middle = orbit.mean(axis=0)
    ids = np.array(list(found.attractors))
    # the middle of what hovers about a point, not the point: at this lr the cycles are wide and lopsided
    homes = np.array([a.states.mean(axis=0) for a in found.attractors.values()])
    nearest = ids[np.linalg.norm(middle[:, None] - homes, axis=2).argmin(axis=1)]
    return float((nearest == found.labels.ravel()[cells]).mean())


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """The result and the seconds of processor time."""
    start = time.process_time()
    result = run()
    return result, time.process_time() - start


def row(name: str, answer: str, cells: int, seconds: float) -> None:
    print(f"  {name:34} {answer:34} {cells:>9} {1e6 * seconds / cells:>9.2f} {seconds:>8.2f}")


def head(title: str) -> None:
    print(f"{title}\n  {'':34} {'answer':34} {'cells':>9} {'us / cell':>9} {'seconds':>8}")


def points(n: int, low: float, high: float) -> Any:
    middle = low + (np.arange(n) + 0.5) * (high - low) / n
    return np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 2)


def himmelblau(resolution: int, workers: int) -> None:
    """The first problem, with memory."""
    system = sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.5), lr=0.01)
    small = sd.basins(system, resolution=200)
    agreement = check(system, small)
    print(f"check: {agreement:.4%} of cells agree with orbits of 4000 steps")
    if agreement < 0.999:
        raise SystemExit("the answer is wrong: no time is given")
    with suppress(OSError):  # Linux: start the peak anew
        Path("/proc/self/clear_refs").write_text("5")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall = time.perf_counter()
    found, seconds = timed(lambda: sd.basins(system, resolution=resolution, workers=workers))
    wall = time.perf_counter() - wall
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / found.labels.size
    print(found)
    print(f"wall clock {wall:.1f} s; memory {peak:.0f} bytes a cell above the start\n")
    head("Himmelblau, SAM(0.5), lr 0.01")
    row("samdyn, attractors unknown", f"{len(found.attractors)} attractors", found.labels.size, seconds)
    try:
        from basins_peers import numba_basins, pynamicalsys_basins
    except ImportError as error:
        print(f"  others are absent: {error}")
        return
    p = np.array([0.01, 0.5])
    rows = (("numba by hand, attractors given", numba_basins, resolution),
            ("pynamicalsys, attractors given", pynamicalsys_basins, FEW))  # fmt: skip
    for name, run, n in rows:
        starts = points(n, -5.0, 5.0)
        labels = sd.basins(system, resolution=n).labels.ravel() if n != resolution else found.labels.ravel()
        try:
            run(found, starts[:10], p)  # compiled here
        except ImportError:
            print(f"  {name:34} absent")
            continue
        other, seconds = timed(lambda run=run, starts=starts: run(found, starts, p))
        share = float((other == labels).mean())
        if share < AGREE:
            print(f"  {name:34} agrees in {share:.2%} of cells only: no time is given")
            continue
        row(name, f"agrees in {share:.2%} of cells", len(starts), seconds)


def henon(resolution: int) -> None:
    """The second problem."""
    system = sd.Map.from_function(
        lambda w: torch.stack([1 - 1.4 * w[0] ** 2 + w[1], 0.3 * w[0]]), 2, name="Henon"
    )
    found, seconds = timed(lambda: sd.basins(system, [(-2, 2), (-2, 2)], resolution=resolution))
    share = float((found.labels > 0).mean())
    if abs(share - BOUNDED) > 0.01:
        raise SystemExit(f"a share of {share:.4f} is bounded, not {BOUNDED}: no time is given")
    head("Henon map, bounded share of [-2, 2]^2")
    row("samdyn, attractor unknown", f"{share:.4f}", found.labels.size, seconds)
    try:
        from basins_peers import numba_bounded, pynamicalsys_bounded
    except ImportError:
        return
    p = np.array([1.4, 0.3])
    rows = (("numba by hand, 1000 steps", numba_bounded, resolution),
            ("pynamicalsys, 1000 steps", pynamicalsys_bounded, FEW))  # fmt: skip
    for name, run, n in rows:
        starts = points(n, -2.0, 2.0)
        try:
            run(starts[:10], p, 100.0, 1000)
        except ImportError:
            print(f"  {name:34} absent")
            continue
        other, seconds = timed(lambda run=run, starts=starts: run(starts, p, 100.0, 1000))
        if abs(other - share) > 0.01:
            print(f"  {name:34} {other:.4f} is wrong: no time is given")
            continue
        row(name, f"{other:.4f}", len(starts), seconds)


def main() -> None:
    """Check, then time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolution", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    himmelblau(options.resolution, options.workers)
    print()
    henon(options.resolution)


if __name__ == "__main__":
    main()

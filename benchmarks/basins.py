"""Basins of attraction: the answer is checked first, then the time and the memory are taken.

    python benchmarks/basins.py [--resolution 1000] [--workers 2]

Problem: normalised SAM on Himmelblau's function, lr 0.01, rho 0.5, on [-5, 5]^2.

1. Check. A lattice of 40 x 40 cells is followed for 4000 steps by the map itself; the attractor nearest to
   the mean of the last 1000 points must be the one that `basins` says, in all but 1 of 1000 cells (those on a
   boundary may turn on rounding).
2. Time: wall clock and processor time of one call, which includes the search for attractors.
3. Memory: peak above what the process held before, per cell.
"""

from __future__ import annotations

import argparse
import resource
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

import samdyn as sd


def check(system: sd.Map, found: sd.Basins) -> float:
    """Share of cells whose label is that of the long orbit."""
    every = max(1, found.labels.shape[0] // 40)
    cells = np.arange(found.labels.size).reshape(found.labels.shape)[::every, ::every].ravel()
    x = found.grid.points(cells)
    orbit = sd.trajectory(system, x, n_steps=4000, every=1)[-1000:]
    middle = orbit.mean(axis=0)
    ids = np.array(list(found.attractors))
    # the middle of what hovers about a point, not the point: at this lr the cycles are wide and lopsided
    homes = np.array([a.states.mean(axis=0) for a in found.attractors.values()])
    nearest = ids[np.linalg.norm(middle[:, None] - homes, axis=2).argmin(axis=1)]
    return float((nearest == found.labels.ravel()[cells]).mean())


def main() -> None:
    """Check, then time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolution", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    system = sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.5), lr=0.01)
    small = sd.basins(system, resolution=200)
    agreement = check(system, small)
    print(f"check: {agreement:.4%} of cells agree with orbits of 4000 steps")
    if agreement < 0.999:
        raise SystemExit("the answer is wrong: no time is given")
    with suppress(OSError):  # Linux: start the peak anew
        Path("/proc/self/clear_refs").write_text("5")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    found = sd.basins(system, resolution=options.resolution, workers=options.workers)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / found.labels.size
    print(found)
    print(
        f"{found.labels.size} cells: {wall:.1f} s wall clock, {cpu:.1f} s of processor time in this process"
    )
    print(f"memory: {peak:.0f} bytes a cell above the start; steps per cell {found.steps.mean():.1f}")


if __name__ == "__main__":
    main()

"""The compiled inner loop of samdyn alone: cost of the bridge test, of the region and of the tile.

    python benchmarks/kernel.py [--tiles 16384 65536] [--repeats 8] [--dim 2]

A sweep of 16 blocks of four steps a call with the first-exit test, no bookkeeping; single precision, one
thread, processor time.
The kernels take turns, and the best of `--repeats` turns counts, so that other work on the machine hits all
of them alike. The problem is that of benchmarks/escape.py.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import torch
from contestants.problem import DIFFUSIVITY, DT, RHO, start

import samdyn as sd
from samdyn.dynamics.backends.devices import Registers
from samdyn.dynamics.steppers import build_stepper
from samdyn.escape.kernel.coefficients import Coefficients
from samdyn.escape.kernel.crossing import exit_probability, projected_variance
from samdyn.escape.kernel.exit_replay import Notes
from samdyn.escape.kernel.exit_test import ExitTest
from samdyn.escape.kernel.sweep_native import native_sweep
from samdyn.numerics.random import split_seed

RULES = {"GD": sd.GD(), "SAM(0.2)": sd.SAM(RHO)}
PATH_STEPS = 1 << 24  # of one turn
BLOCKS = 16  # of a call
Timer = Callable[[int], float]


def regions(dim: int) -> dict[str, sd.Box | sd.Ball | sd.HalfSpace]:
    open_sides = [math.inf] * (dim - 1)
    found: dict[str, sd.Box | sd.Ball | sd.HalfSpace] = {
        "half-space": sd.HalfSpace([1.0] + [0.0] * (dim - 1), 0.0),
        "ball": sd.Ball(start(dim), 1.0),
        "strip": sd.Box([-2.0, *[-side for side in open_sides]], [0.0, *open_sides]),
    }
    if dim > 1:
        found["box"] = sd.Box([-2.0] + [-1.5] * (dim - 1), [0.0] + [1.5] * (dim - 1))
    return found


def timer(rule: sd.Rule, region: sd.Box | sd.Ball | sd.HalfSpace, bridge: bool, dim: int) -> Timer:
    """A function of the tile: nanoseconds for a path-step."""
    noise = sd.GaussianNoise(math.sqrt(2 * DIFFUSIVITY / DT))
    system = sd.Diffusion(sd.landscapes.double_well(dim), rule, lr=DT, noise=noise)
    test = ExitTest(region.faces, bridge, exit_probability, projected_variance)
    values = tuple(system.coefficients().values())
    coefficients = Coefficients((lambda step: values,), (DT,), (1 << 30,), 1 << 30, False)
    sweep = native_sweep(build_stepper(system), test, coefficients, torch.float32, split_seed(3), Registers())
    block = coefficients.block(0, torch.float32, torch.device("cpu"))

    def run(tile: int) -> float:
        pool = torch.tensor(start(dim)).repeat(tile, 1).T.contiguous()
        rows, notes = torch.arange(tile), Notes()
        # a path that left is followed no further if its whole register has: here nobody counts as gone
        gone = torch.zeros(tile, dtype=torch.bool)
        calls = PATH_STEPS // (4 * BLOCKS * tile)
        begin = time.process_time()
        for call in range(calls):
            sweep(pool, rows, gone, BLOCKS * call, [block] * BLOCKS, notes)
            gone.zero_()
        return (time.process_time() - begin) / (4 * BLOCKS * tile * calls) * 1e9

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description="The compiled inner loop alone")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1 << 14, 1 << 15, 1 << 16])
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--dim", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    timers: dict[tuple[str, str, bool], Timer] = {}
    for rule, region in (("GD", "half-space"), *(("SAM(0.2)", name) for name in regions(options.dim))):
        for bridge in (False, True):
            chosen = timer(RULES[rule], regions(options.dim)[region], bridge, options.dim)
            chosen(options.tiles[0])  # compiles
            timers[rule, region, bridge] = chosen
    best = {(name, tile): math.inf for name in timers for tile in options.tiles}
    for _ in range(options.repeats):
        for name, run in timers.items():
            for tile in options.tiles:
                best[name, tile] = min(best[name, tile], run(tile))
    print(f"{options.dim} dimensions: million path-steps a second, at whole steps and with the bridge\n")
    for rule, region, bridge in timers:
        if bridge:
            pairs = [
                (best[(rule, region, False), tile], best[(rule, region, True), tile])
                for tile in options.tiles
            ]
            cells = [f"{1e3 / p:.0f} {1e3 / b:.0f} ({b / p - 1:+.1%})" for p, b in pairs]
            line = "  ".join(f"{tile}: {cell}" for tile, cell in zip(options.tiles, cells, strict=True))
            print(f"{rule:9s} {region:11s} {line}")


if __name__ == "__main__":
    main()

"""Paths on a GPU: the CUDA loop against the same steps as torch operations on the same GPU.

    python benchmarks/gpu.py [--paths 1000000] [--repeats 5]

Leaving x < 0 and a box in the double well of benchmarks/escape.py, with and without the Brownian bridge, in
single and double precision, and exit times of minibatch SAM on 1000 samples. Before anything is timed the
answers are checked: the exits of the CUDA loop are those of the C++ loop on the CPU, path by path but for a
thousandth of them (a hundredth in single precision) that rounding turns, and in one dimension the mean agrees
with the exact mean exit time of the chain at four standard errors. The numbers are million path-steps a
second by the clock, the best of `--repeats` turns, compiling not counted.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from contestants.problem import DIFFUSIVITY, DT, RHO, start

import samdyn as sd

T_MAX = 2.0  # 200 steps: few paths have left by then, so that nearly all are followed to the end
NOISE = sd.GaussianNoise(math.sqrt(2 * DIFFUSIVITY / DT))


def cases() -> dict[str, tuple[Any, list[float], Any, float, dict[str, Any]]]:
    """For each row: a system, a start, a region, t_max, and options of `exit_times`."""
    well = sd.Diffusion(sd.landscapes.double_well(2), sd.SAM(RHO), lr=DT, noise=NOISE)
    plain = sd.Diffusion(sd.landscapes.double_well(2), sd.GD(), lr=DT, noise=NOISE)
    half, box = sd.HalfSpace([1.0, 0.0], 0.0), sd.Box([-2.0, -1.5], [0.0, 1.5])
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 2))
    loss = sd.FiniteSum.least_squares(rows, rows @ [1.0, -1.0] + rng.normal(size=1000))
    batches = sd.Map(loss, sd.SAM(RHO), lr=0.1, noise=sd.Minibatch(batch_size=4))
    found: dict[str, tuple[Any, list[float], Any, float, dict[str, Any]]] = {}
    for precision in ("single", "double"):
        own = {"precision": precision}
        found[f"GD, half-space, bridge, {precision}"] = plain, start(2), half, T_MAX, own
        found[f"SAM({RHO}), half-space, bridge, {precision}"] = well, start(2), half, T_MAX, own
        found[f"SAM({RHO}), half-space, whole steps, {precision}"] = (
            well, start(2), half, T_MAX, {**own, "correction": None},
        )  # fmt: skip
        found[f"SAM({RHO}), box, bridge, {precision}"] = well, start(2), box, T_MAX, own
        found[f"SAM({RHO}), batches of 4 of 1000, {precision}"] = (
            batches, [1.0, -1.0], sd.Ball([1.0, -1.0], 1.0), 200.0, own,
        )  # fmt: skip
    return found


def runner(case: tuple[Any, list[float], Any, float, dict[str, Any]], n_paths: int) -> Callable[..., Any]:
    system, x0, region, t_max, options = case

    def run(**more: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning)  # of paths that have not left
            warnings.filterwarnings("error", "the step runs without")  # torch would race against torch
            return sd.exit_times(system, x0, region, n_paths, t_max=t_max, seed=1, **{**options, **more})

    return run


def check_paths(name: str, run: Callable[..., Any], precision: str) -> float:
    """The share of paths whose exit differs from that of the C++ loop, which must be small."""
    here, there = run(device="cpu", compile=True), run(device="cuda", compile=True)
    close = np.isclose(here.watched, there.watched, rtol=1e-6 if precision == "double" else 1e-2)
    share = float(((here.exited != there.exited) | (here.faces != there.faces) | ~close).mean())
    allowed = 1e-3 if precision == "double" else 1e-2
    if share > allowed:
        raise SystemExit(f"{name}: {share:.2%} of the paths leave otherwise than on the CPU")
    return share


def check_mean() -> None:
    """Mean exit time in one dimension against the solution of the chain's equation."""
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.SAM(RHO), lr=DT, noise=NOISE)
    region = sd.Box([-2.5], [0.0])
    exact = float(sd.chain_exit_time(sde, [-1.0], region, dt=DT).mean)
    found = sd.exit_times(
        sde, [-1.0], region, 100_000, t_max=1e4, correction=None, seed=2, device="cuda", compile=True
    )
    error = abs(found.mean - exact) / found.standard_error
    print(f"mean exit time: {found.mean:.4f}, exactly {exact:.4f}: {error:.1f} standard errors apart")
    if error > 4:
        raise SystemExit("the mean exit time is wrong")


def rate(run: Callable[..., Any], repeats: int, **more: Any) -> float:
    """Million path-steps a second, the best of some turns."""
    best = math.inf
    for turn in range(repeats + 1):  # the first compiles
        torch.cuda.synchronize()
        begin = time.perf_counter()
        result = run(device="cuda", **more)
        torch.cuda.synchronize()
        if turn:
            best = min(best, time.perf_counter() - begin)
    return float(result.watched.sum() / result.dt / best / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description="Paths on a GPU")
    parser.add_argument("--paths", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA device here, so nothing is measured. On one, CUDA is compared with torch on")
        print(*(f"  {name}" for name in cases()), sep="\n")
        return
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    check_mean()
    print(f"\n{options.paths} paths; million path-steps a second\n")
    print(f"{'':44s} {'CUDA':>10s} {'torch':>10s} {'ratio':>7s}  paths that rounding turns")
    for name, case in cases().items():
        share = check_paths(name, runner(case, min(options.paths, 100_000)), case[4]["precision"])
        run = runner(case, options.paths)
        cuda, torch_rate = rate(run, options.repeats, compile=True), rate(run, options.repeats, compile=False)
        print(f"{name:44s} {cuda:10.0f} {torch_rate:10.0f} {cuda / torch_rate:7.1f}  {share:.1e}")


if __name__ == "__main__":
    main()

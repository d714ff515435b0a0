"""First exit times in samdyn and in other software: the same problem, checked, then timed.

    python benchmarks/escape.py [--paths 10000 100000] [--peers none] [--only numba] [--markdown]

The problem is in contestants/problem.py. Each contestant runs in a process of its own, on one core and one
thread, in single precision where it has it.

1. Check. Each contestant follows `--check-paths` paths until all have left. Their mean exit time must lie
   within 4 standard errors of the exact value for the discrete chain (`samdyn.escape.solver.chain`) under
   gradient descent and USAM, where the first coordinate moves by itself. Under normalised SAM the coordinates
   are coupled: each contestant must lie within 4 combined standard errors of the mean of the others that
   watch the path in the same way (bridge, or whole steps).
2. Timing. First exits up to `--steps` steps, fewer where that takes longer than `--seconds`; the better
   of two runs after one that compiles (the first call is given by itself). A path-step is one step of a
   path still inside. A contestant that cannot stop at exits follows every path to the end; all of its steps
   count, and it is marked.
3. Cost of the bridge, and cost against dimension, number of processes, and memory.

benchmarks/kernel.py times the inner loop of samdyn by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import itertools
import json
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

MODULES = {
    "samdyn_": "samdyn",
    "torch_eager": "torch",
    "jax_scan": "jax",
    "numba_loop": "numba",
    "diffrax_": "diffrax",
    "torchsde_": "torchsde",
    "jitcsde_": "jitcsde",
}
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PEERS = tuple(package for package in MODULES.values() if package != "samdyn")
REFERENCE = "samdyn compiled, bridge"
WITH_DIMENSIONS = (REFERENCE, "torch eager, closed gradient", "jax.lax.scan", "torchsde")


# ---- in the process of a contestant


def child(task: dict[str, Any]) -> dict[str, Any]:
    if task["core"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {task["core"]})
    make = importlib.import_module("contestants." + task["module"]).VARIANTS[task["variant"]]
    from contestants.problem import DT

    more = {}
    if task.get("processes"):  # kept, so that they start and compile before the clock does
        pool = ProcessPoolExecutor(task["processes"], mp_context=multiprocessing.get_context("spawn"))
        more = {"executor": pool}
    elif task.get("workers"):
        more = {"workers": task["workers"]}
    answer: dict[str, Any] = {"check": {}, "rate": {}}
    clock = CLOCKS[task["clock"]]
    for rule in task["rules"]:
        begin = clock()
        make(rule, 1000, task["dim"], DT, 2).advance(128)
        first, slowest = clock() - begin, 1e9  # path-steps a second, of the sizes done so far
        if task["check_paths"]:
            # a seed of its own: equal paths would agree with each other whatever they are
            own = zlib.crc32(task["variant"].encode()) % 1_000_000
            times = make(rule, task["check_paths"], 2, DT, own).exit_times()
            answer["check"][rule] = [float(times.mean()), float(times.std() / len(times) ** 0.5)]
        for n in task["paths"]:
            job = make(rule, n, task["dim"], DT, 2, **more)
            answer["rate"][f"{rule}|{n}"] = cell = rate(job, n, (first, slowest), task)
            slowest = min(slowest, 1e6 * cell["rate"])
    if task.get("memory"):
        n = task["memory"]
        answer["memory"] = memory(make("SAM(0.2)", n, 2, DT, 2), make("SAM(0.2)", 1000, 2, DT, 2), n)
    return answer


def rate(job: Any, n_paths: int, before: tuple[float, float], task: dict[str, Any]) -> dict[str, Any]:
    """Path-steps a second of the best run; `before` is how long the very first, small job took, and the
    lowest speed seen so far, which keeps the first run of a slow contestant short.
    """
    first_of_all, slowest = before
    clock = CLOCKS[task["clock"]]

    def timed(n_steps: int) -> tuple[float, Any]:
        start = clock()
        work = job.advance(n_steps)
        return clock() - start, work

    def affordable(speed: float, limit: int) -> int:
        return int(min(max(speed * task["seconds"] / n_paths // 8, 1) * 8, limit))

    n_probe = affordable(slowest, 128)
    first, _ = timed(n_probe)
    probe, work = timed(n_probe)
    n_steps = affordable(work.path_steps / probe, task["steps"])
    best, work = min((timed(n_steps) for _ in range(2)), key=lambda run: run[0])
    return {
        "rate": work.path_steps / best / 1e6,
        "stops": work.stopped_at_exit,
        "compile": max(first_of_all, first - probe),
        "n_steps": n_steps,
    }


def memory(job: Any, small: Any, n_paths: int) -> float:
    """Peak bytes a path above what the process held before, after a small job has loaded everything."""
    small.advance(128)
    with contextlib.suppress(OSError):  # Linux: start the peak anew
        Path("/proc/self/clear_refs").write_text("5")
    before = peak_bytes()
    job.advance(128)
    return (peak_bytes() - before) / n_paths


def peak_bytes() -> float:
    """Peak memory of this process; on Linux since it was last cleared, which getrusage does not know."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024.0 * float(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


# ---- in the main process


def start_child(options: argparse.Namespace, module: str, variant: str, **task: Any) -> dict[str, Any]:
    standard = {"rules": ["SAM(0.2)"], "paths": [], "dim": 2, "check_paths": 0, "core": options.core}
    limits = {"clock": options.clock, "seconds": options.seconds, "steps": options.steps}
    task = {"module": module, "variant": variant, **standard, **limits, **task}
    command = [sys.executable, __file__, "--child", json.dumps(task)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}, check=False
    )
    if done.returncode:
        return {"error": (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def exact_means() -> dict[tuple[str, str], float]:
    """The exact mean exit times of the chain, from (rule, how the path is watched)."""
    import numpy as np
    from contestants.problem import DT, drift, noise_per_step

    from samdyn.escape.solver.chain import chain_mean_exit_time

    means = {}
    for rule, correction in itertools.product(("GD", "USAM(0.2)"), ("bridge", None)):
        solution = chain_mean_exit_time(
            lambda x, rule=rule: drift(rule, [x], np.sqrt)[0],
            noise_per_step(DT),
            (-np.inf, 0.0),
            DT,
            -1.0,
            correction=correction,
        )
        means[rule, correction or "plain"] = float(solution.mean)
    return means


def way(variant: str) -> str:
    return "bridge" if variant.endswith("bridge") else "plain"


def check(results: dict[str, dict[str, Any]], rules: list[str]) -> dict[str, list[str]]:
    """A table row for each contestant: mean +- standard error and z, "WRONG" beyond 4."""
    exact = exact_means()
    rows: dict[str, list[str]] = {}
    for name, result in results.items():
        cells = []
        for rule in rules:
            mean, se = result["check"][rule]
            value, error = exact.get((rule, way(name))), 0.0
            if value is None:
                others = [
                    r["check"][rule]
                    for other, r in results.items()
                    if other != name and way(other) == way(name)
                ]
                weight = sum(s**-2 for _, s in others)
                value = sum(m * s**-2 for m, s in others) / weight if others else mean
                error = weight**-0.5 if others else 0.0
            z = (mean - value) / (se**2 + error**2) ** 0.5
            cells.append(f"{mean:.2f} ± {se:.2f} (z {z:+.1f})" + ("" if abs(z) <= 4 else " WRONG"))
        rows[name] = cells
    return rows


def table(head: list[str], rows: list[list[str]], markdown: bool) -> str:
    if markdown:
        lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
    return (
        "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in [head, *rows])
        + "\n"
    )


def machine() -> str:
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    load = " ".join(f"{v:.1f}" for v in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    versions = []
    for name in MODULES.values():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return f"{date.today()}, {model}, {os.cpu_count()} cores, load average {load}; {', '.join(versions)}"


def main() -> int:
    parser = argparse.ArgumentParser(description="First exit times: samdyn and other software")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--paths", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rules", nargs="+", default=["GD", "USAM(0.2)", "SAM(0.2)"])
    parser.add_argument("--only", nargs="+", help="contestants whose name contains one of these")
    parser.add_argument(
        "--peers", nargs="+", default=["all"], help="packages besides samdyn, or none: " + ", ".join(PEERS)
    )
    parser.add_argument("--steps", type=int, default=2000, help="step limit of a timed job")
    parser.add_argument("--seconds", type=float, default=2.0, help="time allowed to a timed run")
    parser.add_argument("--check-paths", type=int, default=4000)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu on a busy machine")
    parser.add_argument("--core", type=int, help="core that contestants are bound to; the last by default")
    parser.add_argument("--sweep-paths", type=int, default=100_000, help="paths of the other tables")
    parser.add_argument("--worker-paths", type=int, default=4_000_000)
    parser.add_argument("--memory-paths", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--no-sweeps", action="store_true", help="the throughput table only")
    parser.add_argument("--markdown", action="store_true", help="write the tables in markdown")
    options = parser.parse_args()
    unknown = set(options.peers) - {"all", "none", *PEERS}
    if unknown:
        parser.error(f"--peers must be among all, none, {', '.join(PEERS)}, got {', '.join(unknown)}")
    if options.child:
        print(json.dumps(child(json.loads(options.child))))
        return 0
    if options.core is None and hasattr(os, "sched_getaffinity"):
        options.core = max(os.sched_getaffinity(0))
    print(machine() + f"; {options.clock} clock\n", flush=True)

    contestants: dict[str, str] = {}
    broken: list[str] = []
    for module, package in MODULES.items():
        if package != "samdyn" and not {package, "all"} & set(options.peers):
            continue
        if importlib.util.find_spec(package) is None:
            print(f"missing, not timed: {package} is not installed\n")
            continue
        try:
            variants = importlib.import_module("contestants." + module).VARIANTS
        except Exception as error:  # one that is broken must not hide the others
            print(f"failed, not timed: {package}: {error}\n")
            broken.append(package)
            continue
        for variant in variants:
            if not options.only or any(part in variant for part in options.only):
                contestants[variant] = module
    results: dict[str, dict[str, Any]] = {}
    for variant, module in contestants.items():
        print(f"... {variant}", file=sys.stderr, flush=True)
        answer = start_child(
            options,
            module,
            variant,
            rules=options.rules,
            paths=options.paths,
            check_paths=options.check_paths,
        )
        print(json.dumps(answer), file=sys.stderr, flush=True)  # kept, should a later contestant end the run
        if "error" in answer:
            print(f"failed: {variant}: {answer['error']}\n")
        else:
            results[variant] = answer
    verdict = check(results, options.rules)
    print("Mean exit time of the check\n")
    print(table(["", *options.rules], [[name, *cells] for name, cells in verdict.items()], options.markdown))
    throughput(results, options)
    bridge_cost(results, options)
    if not options.no_sweeps:
        sweeps(options, {name: contestants[name] for name in results})
    wrong = [name for name, cells in verdict.items() if any("WRONG" in cell for cell in cells)]
    if wrong:
        print("wrong answers: " + ", ".join(wrong))
    return 1 if wrong or broken or len(results) < len(contestants) else 0


def throughput(results: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    """Million path-steps a second, and how many times slower than samdyn (compiled, bridge)."""
    for rule in options.rules:
        rows = []
        reference = results.get(REFERENCE, {}).get("rate", {})
        for name, result in results.items():
            cells = [result["rate"][f"{rule}|{n}"] for n in options.paths]
            row = [name + ("" if cells[0]["stops"] else " *")]
            for n, cell in zip(options.paths, cells, strict=True):
                own = reference.get(f"{rule}|{n}")
                ratio = f" ({own['rate'] / cell['rate']:.1f})" if own else ""
                row.append(f"{cell['rate']:.1f}{ratio}")
            rows.append([*row, f"{max(cell['compile'] for cell in cells):.1f}"])
        print(f"{rule}: million path-steps a second (how many times slower than {REFERENCE})\n")
        head = ["", *[f"{n:.0e} paths".replace("e+0", "e") for n in options.paths], "first call, s"]
        print(table(head, rows, options.markdown))
    print(
        "* does not stop at exits: the same number of steps for every path, all of them counted\n", flush=True
    )


def bridge_cost(results: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    """What the bridge adds to whole jobs; the two ran one after the other."""
    rates = [results.get(f"samdyn compiled, {way}", {}).get("rate") for way in ("plain", "bridge")]
    if None in rates:
        return
    plain, bridge = rates
    rows = [
        [rule, *(f"{plain[key]['rate'] / bridge[key]['rate'] - 1:+.0%}" for key in keys)]
        for rule in options.rules
        for keys in [[f"{rule}|{n}" for n in options.paths]]
    ]
    head = ["", *[f"{n:.0e} paths".replace("e+0", "e") for n in options.paths]]
    print("Cost of the bridge: time of a path-step with it, against whole steps, in samdyn compiled\n")
    print(table(head, rows, options.markdown), flush=True)


def sweeps(options: argparse.Namespace, contestants: dict[str, str]) -> None:
    rows, n_paths = [], options.sweep_paths
    for variant in (name for name in WITH_DIMENSIONS if name in contestants):
        row = [variant]
        for dim in options.dimensions:
            answer = start_child(options, contestants[variant], variant, dim=dim, paths=[n_paths])
            rate_of = answer.get("rate", {}).get(f"SAM(0.2)|{n_paths}")
            row.append(f"{rate_of['rate']:.1f}" if rate_of else "failed")
        rows.append(row)
    print(f"SAM(0.2), {n_paths:,} paths: million path-steps a second in dimension\n")
    print(table(["", *map(str, options.dimensions)], rows, options.markdown), flush=True)
    rows = []
    for variant, module in contestants.items():
        answer = start_child(options, module, variant, memory=options.memory_paths)
        rows.append([variant, f"{answer['memory']:.0f}" if "memory" in answer else "failed"])
    print(f"Peak memory, {options.memory_paths:,} paths, above the process before: bytes a path\n")
    print(table(["", "bytes"], rows, options.markdown), flush=True)
    if REFERENCE in contestants:
        processes(options)


def processes(options: argparse.Namespace) -> None:
    """Independent processes side by side, and one job on two threads or two processes; wall clock."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None, None]
    wall = argparse.Namespace(**{**vars(options), "clock": "wall"})
    n_paths = options.worker_paths
    key, rows = f"SAM(0.2)|{n_paths}", []

    def one(core: int | None, **more: Any) -> float:
        answer = start_child(wall, "samdyn_", REFERENCE, paths=[n_paths], core=core, **more)
        return float(answer["rate"][key]["rate"]) if "rate" in answer else float("nan")

    alone = one(cores[-1])
    rows.append(["one process", f"{alone:.1f}", ""])
    if len(cores) > 1:
        with ThreadPoolExecutor(2) as pool:
            both = sum(pool.map(one, cores[-2:]))
        rows.append(["two processes side by side", f"{both:.1f}", f"{both / alone:.2f}"])
        for name, how in (("workers=2, threads", {"workers": 2}), ("two processes", {"processes": 2})):
            two = one(None, seconds=4 * wall.seconds, **how)
            rows.append([f"one job on {name}", f"{two:.1f}", f"{two / alone:.2f}"])
    print(f"{REFERENCE}, SAM(0.2), {n_paths:,} paths: million path-steps a second by the wall clock\n")
    print(table(["", "rate", "times one"], rows, options.markdown), flush=True)


if __name__ == "__main__":
    sys.exit(main())

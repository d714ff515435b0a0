"""Networks, timed: eigenvalues, products and training of replicas, each checked before it is timed.

    python benchmarks/network.py [--clock cpu] [--large]

The data are scikit-learn's digits, all 1797 of them. Beside samdyn stand PyHessian, curvlinops and
hessian-eigenthings where they are installed and do the same: the largest eigenvalue.
`--large` adds a network of 10^6 weights, and the memory that gradients, products and its analysis take.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import samdyn as sd

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Row = tuple[str, float, str]


def data(n: int = 1797) -> tuple[torch.Tensor, torch.Tensor]:
    """The digits of scikit-learn, with inputs in [-1/2, 1/2]."""
    digits = load_digits()
    return torch.tensor(digits.data[:n] / 16 - 0.5), torch.tensor(digits.target[:n])


def network(*widths: int) -> nn.Module:
    """A tanh network."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def timed(work: Callable[[], object], clock: Callable[[], float], repeats: int = 3) -> tuple[object, float]:
    """What the work returns, and the least seconds of the calls after the first."""
    result, best = work(), float("inf")
    for _ in range(repeats):
        start = clock()
        result = work()
        best = min(best, clock() - start)
    return result, best


def eigenvalues(clock: Callable[[], float]) -> Iterator[Row]:
    """A network of 8970 weights on all samples."""
    net = network(64, 64, 64, 10)
    loss = sd.from_module(net, nn.functional.cross_entropy, data())
    x, v = loss.x0, np.random.default_rng(1).normal(size=loss.dim)
    _, one = timed(lambda: loss.gradient(x), clock)
    yield "gradient", one, ""
    _, product = timed(lambda: loss.hvp(x, v), clock)
    yield "product with the Hessian", product, f"{product / one:.1f} gradients"
    reference = sd.spectrum(loss, x, 1).eigenvalues[0]
    found, seconds = timed(lambda: sd.spectrum(loss, x, 1, tolerance=1e-2), clock)
    error = abs(found.eigenvalues[0] / reference - 1)  # type: ignore[attr-defined]
    assert error < 1e-3
    yield "largest curvature to 1e-3", seconds, f"error {error:.1e}, {found.n_products} products"  # type: ignore[attr-defined]
    warm, seconds = timed(lambda: sd.spectrum(loss, x, 1, tolerance=1e-2, start=found), clock)  # type: ignore[arg-type]
    yield "the same, from an earlier one", seconds, f"{warm.n_products} products"  # type: ignore[attr-defined]
    sam = sd.Map(loss, sd.SAM(0.05), lr=0.1)
    ten, seconds = timed(lambda: sd.spectrum(sam, x, 10, tolerance=1e-3), clock, repeats=1)
    worst = float(ten.residuals.max() / np.abs(ten.eigenvalues - 1).max())  # type: ignore[attr-defined]
    yield "ten leading eigenvalues of SAM's step", seconds, f"largest relative residual {worst:.1e}"
    yield from peers(net, float(reference), clock)


def peers(net: nn.Module, reference: float, clock: Callable[[], float]) -> Iterator[Row]:
    """The largest eigenvalue by other packages, in double precision too."""
    inputs, targets = data()
    net = net.double()
    if importlib.util.find_spec("curvlinops"):
        from curvlinops import HessianLinearOperator
        from scipy.sparse.linalg import eigsh

        parameters = [p for p in net.parameters() if p.requires_grad]

        def by_curvlinops() -> float:
            hessian = HessianLinearOperator(net, nn.CrossEntropyLoss(), parameters, [(inputs, targets)])
            return float(eigsh(hessian.to_scipy(), k=1, which="LA", tol=1e-2)[0][0])

        value, seconds = timed(by_curvlinops, clock)
        assert abs(float(value) / reference - 1) < 1e-3  # type: ignore[arg-type]
        yield "largest curvature, curvlinops and eigsh", seconds, ""
    else:
        yield "curvlinops", float("nan"), "not installed"
    if importlib.util.find_spec("pyhessian"):
        from pyhessian import hessian as pyhessian

        def by_pyhessian() -> float:
            tool = pyhessian(net, nn.CrossEntropyLoss(), data=(inputs, targets), cuda=False)
            # its tolerance is of the change from one power iteration to the next: 1e-3 leaves errors of 1 %
            return float(tool.eigenvalues(top_n=1, tol=1e-5, maxIter=300)[0][0])

        value, seconds = timed(by_pyhessian, clock)
        assert abs(float(value) / reference - 1) < 1e-3  # type: ignore[arg-type]
        yield "largest curvature in modulus, PyHessian", seconds, ""
    else:
        yield "PyHessian", float("nan"), "not installed"
    if importlib.util.find_spec("hessian_eigenthings"):
        from hessian_eigenthings import HessianOperator, lanczos, supervised_loss

        def by_eigenthings() -> float:
            batches, objective = [(inputs, targets)], supervised_loss(nn.CrossEntropyLoss())
            hessian = HessianOperator(net, batches, objective)
            # it takes as many steps as it is told and looks at the residual afterwards
            return float(lanczos(hessian, k=1, max_iter=18, which="LA", seed=0).eigenvalues[0])

        value, seconds = timed(by_eigenthings, clock)
        assert abs(float(value) / reference - 1) < 1e-3  # type: ignore[arg-type]
        yield "largest curvature, hessian-eigenthings", seconds, "18 products, their number known in advance"
    else:
        yield "hessian-eigenthings", float("nan"), "not installed"


def replicas(clock: Callable[[], float], n: int = 256, n_steps: int = 100) -> Iterator[Row]:
    """SAM on replicas of a network of 535 weights, full batches in single precision, compiled."""
    loss = sd.from_module(network(64, 7, 10), nn.functional.cross_entropy, data(), dtype=torch.float32)
    x0 = loss.x0 + 0.1 * np.random.default_rng(2).normal(size=(n, loss.dim))
    sam = sd.Map(loss, sd.SAM(0.05), lr=0.1)
    _, seconds = timed(lambda: sd.trajectory(sam, x0, n_steps=n_steps, save_every=n_steps), clock, repeats=1)
    per_thousand = 1000 / n_steps * seconds
    yield f"{n} replicas of {loss.dim} weights, 1000 steps of SAM", per_thousand, f"from {n_steps} steps"


def large(clock: Callable[[], float]) -> Iterator[Row]:
    """A network of 10^6 weights on 1797 samples."""
    loss = sd.from_module(network(64, 950, 950, 10), nn.functional.cross_entropy, data(), dtype=torch.float32)
    start = clock()
    found = sd.spectrum(loss, loss.x0, 3, tolerance=1e-2)
    seconds = clock() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield f"three curvatures of {loss.dim} weights", seconds, f"{found.n_products} products, {memory:.1f} GiB"
    sam = sd.Map(loss, sd.SAM(0.05), lr=0.1)
    start = clock()
    pair = sd.spectrum(sam, loss.x0, 2, tolerance=1e-2)
    seconds = clock() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield "two eigenvalues of SAM's step there", seconds, f"{pair.n_products} products, {memory:.1f} GiB"


PEAK = """
import sys, numpy as np, torch
sys.path.insert(0, {folder!r})
from network import data, network
from torch import nn
import samdyn as sd

def peak(work):
    open("/proc/self/clear_refs", "w").write("5")
    read = lambda name: int(next(l for l in open("/proc/self/status") if l.startswith(name)).split()[1])
    before = read("VmRSS")
    work()
    return (read("VmHWM") - before) / 1024

loss = sd.from_module(network({widths}), nn.functional.cross_entropy, data(), dtype=torch.float32)
x, v = loss.x0, np.ones(loss.dim)
loss.gradient(x), loss.hvp(x, v), loss.operator(x) @ v  # what the first calls leave behind is not counted
print(*[peak(w) for w in (lambda: loss.gradient(x), lambda: loss.hvp(x, v), lambda: loss.operator(x) @ v)])
"""


def memory() -> Iterator[Row]:
    """Peaks of a process above what it held before, which Linux counts; freed memory goes back at once."""
    surroundings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    for widths in ("64, 64, 64, 10", "64, 950, 950, 10"):
        script = PEAK.format(folder=str(Path(__file__).parent), widths=widths)
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=surroundings
        )
        gradient, product, kept = map(float, run.stdout.split())
        yield (
            f"memory of a gradient, {widths}",
            float("nan"),
            f"{gradient:.1f} MiB; of a product {product:.1f} ({product / gradient:.1f} times), of an "
            f"operator and a product with it {kept:.1f} ({kept / gradient:.1f} times)",
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    clock = CLOCKS[arguments.clock]
    parts = [eigenvalues(clock), replicas(clock), *([large(clock), memory()] if arguments.large else [])]
    for part in parts:
        for name, seconds, remark in part:
            print(f"{name:50s} {seconds:10.4f} s  {remark}", flush=True)


if __name__ == "__main__":
    main()

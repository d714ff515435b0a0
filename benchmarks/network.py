"""Networks, timed: eigenvalues, products and training of replicas, each checked before it is timed.

    python benchmarks/network.py [--clock cpu] [--large]

Data are random numbers in the shape of scikit-learn's digits (1797 x 64, ten classes), which cost the same.
Beside samdyn stand PyHessian and curvlinops where they are installed and do the same: the largest eigenvalue.
`--large` adds a network of 10^6 weights, with the memory that its analysis takes.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import resource
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

import samdyn as sd

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Row = tuple[str, float, str]


def data(n: int = 1797) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs in [-1, 1] and labels that depend on them."""
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1, 1, size=(n, 64))
    return torch.tensor(inputs), torch.tensor((inputs @ rng.normal(size=(64, 10))).argmax(axis=1))


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    clock = CLOCKS[arguments.clock]
    parts = [eigenvalues(clock), replicas(clock), *([large(clock)] if arguments.large else [])]
    for part in parts:
        for name, seconds, remark in part:
            print(f"{name:50s} {seconds:10.4f} s  {remark}", flush=True)


if __name__ == "__main__":
    main()

"""Speed of single-sample SAM on finite sums, after a check of the answers.

    python benchmarks/stochastic.py [--quick]

1. Ridge regression with n = 100 samples in 100 dimensions, 1000 replicas, 100 000 steps. Check: USAM, whose
   stationary gap has an exact value, comes within 4 standard errors of it; one SAM step is that of automatic
   differentiation.
2. n = 6 samples in 2 dimensions, SAM, many replicas, in million replica-steps a second. Check: as above.

Times are the process's own (CPU) time on one core, so that other work on the machine counts for little.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import samdyn as sd
from samdyn.dynamics.driver import drive
from samdyn.rates.stationary import stationary_law


def ridge(n: int, dim: int, seed: int = 0) -> sd.FiniteSum:
    """A random ridge regression with a noisy target."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim)) / dim**0.5
    return sd.FiniteSum.least_squares(rows, rows @ np.ones(dim) + rng.standard_normal(n), ridge=3 / n)


def small() -> sd.FiniteSum:
    """Six samples in two dimensions, without random numbers."""
    i, j = np.arange(1, 7), np.arange(1, 3)
    rows = np.cos(np.outer(i, j)) * (0.5 + 0.5 * i)[:, None]
    return sd.FiniteSum.least_squares(rows, np.sin(i), ridge=0.1)


def check(loss: sd.FiniteSum, lr: float, n_replicas: int, n_steps: int) -> None:
    """Stationary gap of USAM against its exact value, and one SAM step against automatic differentiation."""
    batches = sd.Minibatch(batch_size=1)
    usam = sd.Map(loss, sd.USAM(0.002), lr=lr, noise=batches)
    law = stationary_law(usam)
    start = np.tile(law.mean, (n_replicas, 1))
    end = drive(usam, start, n_steps, np.empty(0, np.int64), lambda *_: None, seed=1)
    gap = loss.value(end) - loss.minimum().value
    error = gap.std(ddof=1) / n_replicas**0.5
    score = (gap.mean() - law.gap) / error
    print(f"  USAM gap {gap.mean():.5g} +- {error:.1g}, exact {law.gap:.5g} ({score:+.1f} standard errors)")
    if abs(score) > 4:
        raise SystemExit("the answer is wrong")

    sam = sd.Map(loss, sd.SAM(0.05), lr=lr, noise=batches)
    moved = sd.trajectory(sam, np.tile(law.mean, (8, 1)), n_steps=1, seed=3)[-1]
    x = law.mean
    g = loss.sample_gradients(x)
    y = x + 0.05 * g / np.linalg.norm(g, axis=1, keepdims=True)
    steps = x - lr * np.stack([loss._gradients(y[i])[i] for i in range(loss.n_samples)])
    off = np.abs(moved[:, None] - steps[None]).max(axis=2).min(axis=1).max()
    print(f"  one SAM step is a sample's step to {off:.1e}")
    if off > 1e-12:
        raise SystemExit("the answer is wrong")


def measure(loss: sd.FiniteSum, lr: float, n_replicas: int, n_steps: int) -> float:
    """Million replica-steps a second of CPU time."""
    sam = sd.Map(loss, sd.SAM(0.05), lr=lr, noise=sd.Minibatch(batch_size=1))
    start = np.zeros((n_replicas, loss.dim))
    none = np.empty(0, np.int64)
    drive(sam, start, 100, none, lambda *_: None)
    began = time.process_time()
    end = drive(sam, start, n_steps, none, lambda *_: None)
    spent = time.process_time() - began
    assert np.isfinite(end).all()
    speed = n_replicas * n_steps / spent / 1e6
    print(
        f"  {n_replicas} replicas x {n_steps} steps: {spent:.1f} s of CPU time, {speed:.1f} M replica-steps/s"
    )
    return speed


def main() -> None:
    """Check, then time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a hundredth of the steps")
    share = 100 if parser.parse_args().quick else 1
    print("ridge regression, n = 100, dim = 100")
    check(ridge(100, 100), 0.2, 1000, 2000)
    speed = measure(ridge(100, 100), 0.2, 1000, 100_000 // share)
    print(f"  1000 replicas x 100 000 steps take {1e8 / speed / 1e6:.0f} s on one core")
    print("least squares, n = 6, dim = 2")
    check(small(), 0.01, 20_000, 2000)
    measure(small(), 0.01, 65_536, 20_000 // share)


if __name__ == "__main__":
    main()

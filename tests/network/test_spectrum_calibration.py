"""How often the intervals of a spectral density hold the exact value: docs/calibration/networks.md.

``PYTHONPATH=tests:tests/network python tests/network/test_spectrum_calibration.py`` writes the table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samdyn.network.spectral_density import SpectralDensity

SEEDS = 400
PAGE = Path(__file__).parents[2] / "docs" / "calibration" / "networks.md"
WHY = {
    "trace": "five eigenvalues carry the variance; within one standard error (0.014) of 0.92",
    "density": "few eigenvalues lie within the width, so that the law of an estimate is skewed",
}
CASES = [
    (problem, n_vectors) for problem in ("bulk of 20", "bulk of 200", "spikes") for n_vectors in (2, 8, 32)
]


def eigenvalues(problem: str) -> np.ndarray:
    """Of a random symmetric matrix, or of five large ones over a bulk near 0, as networks have."""
    rng = np.random.default_rng(0)
    if problem == "spikes":
        return np.concatenate([0.05 * rng.standard_normal(195), [1.0, 1.5, 2.0, 3.0, 5.0]])
    d = int(problem.split()[-1])
    g = rng.standard_normal((d, d))
    return np.linalg.eigvalsh((g + g.T) / (8 * d) ** 0.5)


def coverage(problem: str, n_vectors: int) -> tuple[float, float]:
    """Of the trace, and of the density on average over five points where there are eigenvalues.

    The random vectors are those of `Spectrum.density`, and all products are taken, so that only the
    statistics are at trial.
    """
    rng, values = np.random.default_rng(1), eigenvalues(problem)
    d = len(values)
    vectors = np.linalg.qr(rng.standard_normal((d, d)))[0]
    width = 0.01 * float(np.ptp(values))
    grid = np.quantile(values, [0.1, 0.3, 0.5, 0.7, 0.9])
    kernel = np.exp(-(((grid[:, None] - values) / width) ** 2) / 2) / (width * (2 * np.pi) ** 0.5)
    exact, trace, density = kernel.mean(axis=1), 0, np.zeros(len(grid))
    for _ in range(SEEDS):
        weights = (np.sign(rng.standard_normal((n_vectors, d))) @ vectors) ** 2
        rows, traces = weights @ kernel.T / d, weights @ values
        root = n_vectors**0.5
        error = float(traces.std(ddof=1) / root)
        found = SpectralDensity(
            grid, rows.mean(0), rows.std(0, ddof=1) / root, width, (float(traces.mean()), error), n_vectors, d
        )
        low, high = found.trace_interval()
        trace += low <= values.sum() <= high
        below, above = found.confidence_band()
        density += (below <= exact) & (exact <= above)
    return trace / SEEDS, float(density.mean()) / SEEDS


@pytest.mark.parametrize(("problem", "n_vectors"), CASES)
def test_intervals_of_a_spectrum_hold_the_exact_value(problem: str, n_vectors: int) -> None:
    trace, density = coverage(problem, n_vectors)
    assert (0.90 if problem == "spikes" else 0.92) <= trace <= 0.98
    assert (0.82 if problem == "bulk of 20" else 0.92) <= density <= 0.98
    assert f"| {problem} | {n_vectors} vectors | {SEEDS} | {density:.3f} |" in PAGE.read_text(
        encoding="utf-8"
    )


def table() -> str:
    """The measured coverages as a Markdown table."""
    rows = ["| interval | problem | observations | seeds | coverage | reason if outside 92-98 % |"]
    rows.append("|---|---|---|---|---|---|")
    for problem, n_vectors in CASES:
        names = ("`trace_interval`", "trace"), ("`confidence_band`", "density")
        for (name, of), share in zip(names, coverage(problem, n_vectors), strict=True):
            why = "" if 0.92 <= share <= 0.98 else WHY[of]
            rows.append(f"| {name} | {problem} | {n_vectors} vectors | {SEEDS} | {share:.3f} | {why} |")
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(table() + "\n", encoding="utf-8")

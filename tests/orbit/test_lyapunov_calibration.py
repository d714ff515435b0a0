"""How often the 95 % interval of a Lyapunov exponent holds the exact value, over many starts.

The table in docs/calibration/lyapunov.md comes from `coverage` with these problems.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import samdyn as sd

SKEW, STAY = 0.3, 0.95


def _tent(w: Tensor) -> Tensor:
    return torch.where(w < SKEW, w / SKEW, (1 - w) / (1 - SKEW))


def _cocycle(w: Tensor) -> Tensor:
    """A two-state Markov chain of 0.95 to stay drives a direction that shrinks by e^(1/2) in one of its
    states and by e^(3/2) in the other.
    """
    x, y = w[0], w[1]
    second = x >= 0.5
    place = torch.where(second, x - 0.5, x)
    stays = place < 0.5 * STAY
    inside = torch.where(stays, place / STAY, (place - 0.5 * STAY) / (1 - STAY))
    ahead = torch.where(stays == second, inside + 0.5, inside)
    return torch.stack([ahead, y * torch.exp(torch.where(second, -0.5 + 0 * x, -1.5 + 0 * x))])


def _entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


PROBLEMS = {
    "skew tent": (sd.Map.from_function(_tent, 1, name="skew tent"), [_entropy(SKEW)]),
    "Markov cocycle": (sd.Map.from_function(_cocycle, 2, name="cocycle"), [_entropy(STAY), -1.0]),
    "logistic": (sd.Map.from_function(lambda w: 4 * w * (1 - w), 1, name="logistic"), [math.log(2)]),
}


def coverage(problem: str, n_steps: int, n_seeds: int) -> list[float]:
    """Share of starts whose 95 % interval holds the exact value, for each exponent."""
    system, exact = PROBLEMS[problem]
    starts = np.random.default_rng(1).uniform(0.01, 0.99, (n_seeds, system.dim))
    starts[:, 1:] = 0.0
    result = sd.lyapunov_exponents(system, starts, n_steps)
    lower, upper = np.moveaxis(result.interval(), -1, 0)
    return [float(v) for v in ((lower <= exact) & (exact <= upper)).mean(axis=0)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "n_steps", "least", "most"),
    [
        ("skew tent", 400, 0.92, 0.98),
        ("skew tent", 2000, 0.92, 0.98),
        ("Markov cocycle", 4000, 0.92, 0.98),
        # the logs are log 2 plus a difference that telescopes: the batches are anticorrelated
        ("logistic", 2000, 0.98, 1.0),
    ],
)
def test_coverage(problem: str, n_steps: int, least: float, most: float) -> None:
    shares = coverage(problem, n_steps, 400)
    spread = 2 * (0.95 * 0.05 / 400) ** 0.5  # of the measured share
    for share in shares:
        assert least - spread <= share <= most + spread


def test_an_orbit_short_against_its_correlation_says_so() -> None:
    """200 steps of a chain whose state lasts 20 steps: batches of ten steps are not independent."""
    system, exact = PROBLEMS["Markov cocycle"]
    starts = np.stack([np.random.default_rng(2).uniform(0.01, 0.99, 300), np.zeros(300)], axis=1)
    result = sd.lyapunov_exponents(system, starts, 200)
    flagged = result.correlated
    assert flagged is not None
    assert flagged[:, 1].mean() > 0.6
    lower, upper = np.moveaxis(result.interval(), -1, 0)
    held = (lower[:, 1] <= exact[1]) & (upper[:, 1] >= exact[1])
    assert held.mean() > 0.9

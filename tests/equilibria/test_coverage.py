"""Coverage of a multi-start search, against simulated draws from known shares."""

from __future__ import annotations

import numpy as np
import pytest

from samdyn.equilibria.coverage import Coverage


def test_good_turing_estimates_the_unseen_share() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([0.5, 0.3, 0.1, *[0.005] * 20])
    estimates, truths, bounded, missed, truly_missed = [], [], [], [], []
    for _ in range(400):
        counts = rng.multinomial(200, shares)
        seen = counts[counts > 0]
        coverage = Coverage(300, 200, 0, seen)
        estimates.append(coverage.unseen)
        truths.append(shares[counts == 0].sum())
        bounded.append(coverage.unseen_bound >= truths[-1])
        missed.append(coverage.missed)
        truly_missed.append((counts == 0).sum())
    error = np.std(np.array(estimates) - truths) / 20
    assert abs(np.mean(estimates) - np.mean(truths)) < 4 * error
    assert np.mean(bounded) >= 0.95
    assert np.mean(missed) == pytest.approx(np.mean(truly_missed), rel=0.35)  # Chao's bound leans low


def test_no_point_at_all() -> None:
    nothing = Coverage(64, 0, 3, np.empty(0, dtype=np.int64))
    assert nothing.unseen == nothing.unseen_bound == 1
    assert nothing.missed == 0
    assert repr(nothing) == (
        "Coverage: no Newton start of 64 ended at a point; the function is infinite or nan at 3 of the starts"
    )


def test_points_found_often_leave_little_doubt() -> None:
    coverage = Coverage(2048, 2000, 0, np.array([1000, 990, 10]))
    assert coverage.unseen == 0
    assert coverage.unseen_bound == pytest.approx(3 / 2000)
    assert "the rarest 10 times" in repr(coverage)

"""Schedules: their values, and that a map follows them."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.rules import schedules
from samdyn.rules.schedules import check_coefficient, value_at


def test_values() -> None:
    assert [schedules.PowerDecay(2.0)(t) for t in (0, 3, 99)] == pytest.approx([2.0, 1.0, 0.2])
    assert schedules.PowerDecay(2.0, 1.0)(3) == 0.5
    assert schedules.ExponentialDecay(3.0, 0.5)(4) == pytest.approx(3 / 16)
    cosine = schedules.CosineDecay(1.0, 0.2, steps=10)
    assert [cosine(t) for t in (0, 5, 10, 11, 1000)] == pytest.approx([1.0, 0.6, 0.2, 0.2, 0.2])
    steps = schedules.StepDecay(1.0, 0.1, (10, 20))
    assert [steps(t) for t in (9, 10, 19, 20)] == pytest.approx([1, 0.1, 0.1, 0.01])
    delayed = schedules.Delayed(schedules.PowerDecay(1.0), 3)
    assert [delayed(t) for t in (0, 2, 3, 8)] == pytest.approx([0, 0, 0.5, 1 / 3])


def test_they_can_be_pickled_and_compared() -> None:
    for schedule in (
        schedules.PowerDecay(0.1),
        schedules.Delayed(0.5, 3),
        schedules.StepDecay(1.0, 0.5, (3,)),
    ):
        assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_a_map_follows_its_schedules() -> None:
    rho, lr = schedules.PowerDecay(0.3), schedules.CosineDecay(0.1, 0.01, steps=20)
    loss = sd.landscapes.coupled_double_well()
    step = sd.Map(loss, sd.SAM(rho), lr=lr)
    assert step.scheduled
    path = sd.trajectory(step, [0.4, 0.7], n_steps=30)
    x = np.array([0.4, 0.7])
    for t in range(30):
        g = loss.gradient(x)
        x = x - lr(t) * loss.gradient(x + rho(t) * g / np.linalg.norm(g))
        np.testing.assert_allclose(path[t + 1], x, rtol=1e-10)
        np.testing.assert_allclose(step(path[t], t), path[t + 1], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: schedules.PowerDecay(-1.0), ValueError, "initial must be a finite number >= 0, got -1.0"),
        (lambda: schedules.PowerDecay(1.0, math.nan), ValueError, "power must be a finite number, got nan"),
        (lambda: schedules.ExponentialDecay(1.0, 0.0), ValueError, "factor must be a finite number > 0"),
        (
            lambda: schedules.CosineDecay(1.0, 0.0, steps=0),
            ValueError,
            "steps must be an integer >= 1, got 0",
        ),
        (lambda: schedules.CosineDecay(1.0, -1.0, steps=5), ValueError, "final must be a finite number >= 0"),
        (
            lambda: schedules.StepDecay(1.0, 0.1, (-1,)),
            ValueError,
            "milestones must be an integer >= 0, got -1",
        ),
        (lambda: schedules.StepDecay(1.0, -0.1, (1,)), ValueError, "factor must be a finite number > 0"),
        (lambda: schedules.Delayed(1.0, -1), ValueError, "steps must be an integer >= 0, got -1"),
        (
            lambda: value_at(lambda t: 1.0 - t, 5),
            ValueError,
            "at step 5 must be a finite number >= 0, got -4.0",
        ),
        (lambda: value_at(lambda t: "a", 0), TypeError, "at step 0 must be a finite number >= 0, got 'a'"),
        (
            lambda: check_coefficient("lr", 0.0, above=0),
            ValueError,
            "lr must be a finite number > 0, got 0.0",
        ),
        (lambda: check_coefficient("lr", [0.1], above=0), TypeError, "lr must be a number or a schedule"),
    ],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_a_schedule_that_goes_wrong_later_is_caught_when_it_does() -> None:
    step = sd.Map(sd.landscapes.saddle(1, 1), sd.SAM(lambda t: 0.5 - 0.1 * t), lr=0.01)
    with pytest.raises(ValueError, match="at step 6 must be a finite number >= 0"):
        sd.trajectory(step, [0.1, 0.1], n_steps=10)

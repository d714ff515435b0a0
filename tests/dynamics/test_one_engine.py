"""The engine's formulas stand in one place each, and a new observer needs no change of the engine."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import samdyn as sd
from samdyn.dynamics.driver import drive

SOURCES = {
    str(path.relative_to(Path(sd.__file__).parent)): path.read_text(encoding="utf-8")
    for path in Path(sd.__file__).parent.rglob("*.py")
}


def files_with(pattern: str) -> set[str]:
    return {name for name, text in SOURCES.items() if re.search(pattern, text)}


TERM = r"[\w.]+(\([\w., ]*\))?(\[[^\]]*\])?"
EULER_MARUYAMA = rf"{TERM} \+ {TERM} \* {TERM} \+ (root\w*|[\w.]+ ?\*\* ?0\.5|(\w+\.)?sqrt\([\w.]+\)) \* "
"""x + dt b + sqrt(dt) s, in whatever letters."""
CLOCK = r"(int|floor|rint|round)\([^\n]*/ ?\(?[\w.]*\b(lr|step_length)\b"
"""A time over the length of a step, rounded."""


def test_the_step_of_euler_and_maruyama_is_written_once() -> None:
    assert files_with(EULER_MARUYAMA) == {"dynamics/step.py"}


def test_random_inputs_of_steps_come_from_one_place() -> None:
    """Normal numbers and batches; exits, branches and starts draw words of their own streams."""
    assert files_with(r"import .*\bnormal_block\b|^    normal_block,$") <= {"dynamics/draws.py"}
    assert files_with(r"\bstandard_normal\(\w*seed") == {"dynamics/draws.py"}
    assert files_with(r"\bminibatch_words\(") == {"numerics/random_arrays.py", "dynamics/draws.py"}


def test_a_schedule_is_read_at_one_clock() -> None:
    """The step of the algorithm at a time: its rounding is written once."""
    assert files_with(CLOCK) == {"dynamics/clock.py"}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (EULER_MARUYAMA, "x = x + drift(x) * dt + np.sqrt(dt) * z"),
        (EULER_MARUYAMA, "return y + self.h * b(y, t) + self.h ** 0.5 * noise[k]"),
        (CLOCK, "k = int(step * dt / lr)"),
        (CLOCK, "k = math.floor(time / system.step_length + 1e-9)"),
    ],
)
def test_a_second_place_would_be_found(pattern: str, text: str) -> None:
    assert re.search(pattern, text)


class TimeInside:
    """Steps that each path spends in a region, looked at after every step."""

    def __init__(self, region: sd.Region, n_paths: int) -> None:
        self.region, self.steps = region, np.zeros(n_paths, dtype=np.int64)

    def __call__(self, record: int, part: slice, points: npt.NDArray[np.float64]) -> None:
        self.steps[part] += self.region.contains(points)


def test_an_observer_of_ones_own() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.05, noise=sd.GaussianNoise(2.0))
    n, n_steps = 300, 200
    inside = TimeInside(sd.HalfSpace([1.0], 0.0), n)
    drive(system, np.full((n, 1), -1.0), n_steps, np.arange(1, n_steps + 1), inside, seed=4)
    path = sd.trajectory(system, np.full((n, 1), -1.0), n_steps=n_steps, seed=4)
    np.testing.assert_array_equal(inside.steps, (np.asarray(path)[1:, :, 0] < 0).sum(axis=0))
    assert 0 < inside.steps.min() < inside.steps.max() == n_steps

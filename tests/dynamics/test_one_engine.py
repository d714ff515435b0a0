"""The engine's formulas stand in one place each, and a new observer needs no change of the engine."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import samdyn as sd
from samdyn.arguments.checks import Array
from samdyn.dynamics.backends.native_step import NativeStep
from samdyn.dynamics.backends.squares_step import SquaresStep
from samdyn.dynamics.backends.traced_step import TracedStep
from samdyn.dynamics.contract import Step
from samdyn.dynamics.driver import drive
from samdyn.dynamics.observers import Copies, Observer

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


class TimeInside(Observer):
    """Steps that each path spends in a region, looked at after every step."""

    def __init__(self, region: sd.Region, n_paths: int, n_steps: int) -> None:
        self.at = np.arange(1, n_steps + 1)
        self.region, self.steps = region, np.zeros(n_paths, dtype=np.int64)

    def __call__(self, record: int, copies: Copies, points: Array) -> None:
        self.steps[copies] += self.region.contains(points)


class FirstTime(Observer):
    """The step at which each path is first outside a region; it goes no further then."""

    def __init__(self, region: sd.Region, at: Array, n_paths: int) -> None:
        self.at, self.region = at, region
        self.step = np.full(n_paths, -1, dtype=np.int64)
        self.shown = 0

    def __call__(self, record: int, copies: Copies, points: Array) -> Array:
        out = ~self.region.contains(points)
        self.step[np.arange(len(self.step))[copies][out]] = self.at[record]
        self.shown += len(points)
        return np.asarray(out)


WELL = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.05, noise=sd.GaussianNoise(2.0))
LINES = sd.FiniteSum.least_squares(np.random.default_rng(0).normal(size=(9, 2)), np.arange(9.0))
SYSTEMS: dict[str, tuple[sd.Map | sd.Diffusion, type[Step]]] = {
    "in numpy": (WELL, TracedStep),
    "compiled": (WELL, NativeStep),
    "momentum": (sd.Map(WELL.landscape, sd.SAM(0.3), 0.05, 0.7, sd.GaussianNoise(2.0)), NativeStep),
    "diffusion": (sd.Diffusion(WELL.landscape, sd.SAM(0.3), 0.05, sd.GaussianNoise(2.0)), TracedStep),
    "schedule": (sd.Map(WELL.landscape, sd.SAM(lambda t: 0.3 / (1 + t)), 0.05, noise=WELL.noise), NativeStep),
    "batches": (sd.Map(LINES, sd.SAM(0.1), lr=0.01, noise=sd.Minibatch(batch_size=5)), SquaresStep),
}


def built(name: str) -> tuple[sd.Map | sd.Diffusion, Step]:
    system, kind = SYSTEMS[name]
    step = SquaresStep(system) if kind is SquaresStep else kind(system)  # type: ignore[arg-type, call-arg]
    assert isinstance(step, kind)
    return system, step


def path_of(system: sd.Map | sd.Diffusion, x0: Array, n_steps: int) -> Array:
    """The points after every step, (n_steps + 1, n, dim)."""
    options = {"n_steps": n_steps} if isinstance(system, sd.Map) else {"t_max": 0.05 * n_steps, "dt": 0.05}
    return np.asarray(sd.trajectory(system, x0, seed=4, save_every=1, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_observer_of_ones_own(name: str) -> None:
    """It works with every kind of step, and the engine knows nothing of it."""
    system, step = built(name)
    n, n_steps = 300, 200
    inside = TimeInside(sd.HalfSpace([1.0] + [0.0] * (system.dim - 1), 0.0), n, n_steps)
    x0 = np.full((n, system.dim), -1.0)
    drive(system, system.at_rest(x0), n_steps, inside, seed=4, step=step)
    path = path_of(system, x0, n_steps)
    np.testing.assert_array_equal(inside.steps, (path[1:, :, 0] < 0).sum(axis=0))
    assert 0 < inside.steps.min() <= inside.steps.max() <= n_steps


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_observer_that_stops_paths(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that it calls done is moved no further, and the others are not changed by that."""
    monkeypatch.setattr("samdyn.dynamics.driver.MAX_TILE", 256)
    system, step = built(name)
    n, n_steps, radius = 300, 60, 0.5 if system.dim == 1 else 0.8
    region = sd.Ball([-1.0] + [-1.0] * (system.dim - 1), radius)
    at = np.arange(3, n_steps + 1, 3)
    first, x0 = FirstTime(region, at, n), np.full((n, system.dim), -1.0)
    last = drive(system, system.at_rest(x0), n_steps, first, seed=4, step=step)
    path = path_of(system, x0, n_steps)
    out = ~region.contains(path[at])
    expected = np.where(out.any(axis=0), at[out.argmax(axis=0)], -1)
    np.testing.assert_array_equal(first.step, expected)
    assert (expected > 0).sum() > 20
    assert first.shown == np.where(expected > 0, expected // 3, len(at)).sum()
    ends = np.where(expected > 0, expected, n_steps)
    np.testing.assert_allclose(last, path[ends, np.arange(n)], rtol=1e-9, atol=1e-12)

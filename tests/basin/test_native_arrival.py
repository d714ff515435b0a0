"""Paths that a compiled loop follows until they arrive end where those of numpy end, and at the same look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import problems
import pytest
import torch

import samdyn as sd
from samdyn.arguments.checks import Array
from samdyn.basin.paths import pieces
from samdyn.basin.paths.arrival import Proximity, Target
from samdyn.basin.paths.course import Course, Starts, course_of, memory_at_rest, motion_of
from samdyn.basin.paths.native_arrival import compiled_looks, tables_of
from samdyn.basin.paths.pieces import DIVERGED, NOT_A_NUMBER, LegJob
from samdyn.dynamics.backends.native_step import NativeStep
from samdyn.trace.printed.compiling import compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")

MANY = 1 << 20  # paths of a job whose steps are compiled
WELL = sd.landscapes.double_well(dim=2)


def henon(w: Any, a: Any, b: Any) -> Any:
    return torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]])


def roots(w: Any) -> Any:
    """Grows, and is not a number below 0."""
    return torch.sqrt(w) * 1.7


SYSTEMS: dict[str, tuple[Any, list[tuple[float, float]]]] = {
    "SAM": (sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.5), lr=0.01), [(-5, 5), (-5, 5)]),
    "momentum": (sd.Map(WELL, sd.SAM(0.1), lr=0.1, momentum=0.8), [(-2, 2), (-2, 2)]),
    "Henon": (sd.Map.from_function(henon, dim=2, parameters={"a": 1.4, "b": 0.3}), [(-2, 2), (-2, 2)]),
    "undefined": (sd.Map.from_function(roots, dim=1), [(-1, 5)]),
    "noise on a schedule": (
        sd.Diffusion(WELL, sd.USAM(0.1), lr=sd.schedules.PowerDecay(0.2), noise=sd.GaussianNoise(0.5)),
        [(-2, 2), (-2, 2)],
    ),
    "batches": (sd.Map(problems.r6(), sd.SAM(0.1), lr=0.02, noise=sd.Minibatch(2)), [(-2, 2), (-2, 2)]),
}


def targets_in(box: Array, state_dim: int) -> tuple[Target, ...]:
    """A few points, and two samples that overlap."""
    rng, dim = np.random.default_rng(1), len(box)
    centre, width = box.mean(axis=1), box[:, 1] - box[:, 0]
    result = []
    for label, (n, spread, radius) in enumerate([(3, 0.1, 0.03), (300, 0.2, 0.02), (80, 0.05, 0.1)], start=1):
        middle = centre + 0.25 * width * rng.uniform(-1, 1, dim)
        points = np.zeros((n, state_dim))
        points[:, :dim] = middle + spread * width * rng.uniform(-1, 1, (n, dim))
        result.append(Target(points, radius * float(width.max()), label))
    return tuple(result if state_dim <= 3 else result[:1])


def course_in(name: str) -> Course:
    system, box = SYSTEMS[name]
    region = np.array(box, dtype=float)
    return course_of(system, region, None, system.noisy, seed=5, far=10.0, n_paths=MANY)


@pytest.mark.parametrize("name", SYSTEMS)
def test_paths_end_where_those_of_numpy_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    course = course_in(name)
    targets = targets_in(course.box, len(course.scale))
    x = np.random.default_rng(0).uniform(course.box[:, 0], course.box[:, 1], (700, len(course.box)))
    starts = Starts(x, 1, memory_at_rest(course.system))
    numbers = np.arange(700)
    assert pieces.looks_of(course) is not None
    both = []
    for way in ("compiled", "numpy"):
        if way == "numpy":
            monkeypatch.setattr(pieces, "looks_of", lambda course: None)
        leg = LegJob(course, targets, starts, numbers, None, 0, 84)
        first = leg.run(0, 700, lambda work: None)
        under_way = first["labels"] == 0
        ends = [first]
        if under_way.any():
            later = replace(leg, paths=numbers[under_way], states=first["states"], step=84, until=350)
            ends.append(later.run(0, later.n, lambda work: None))
        both.append(ends)
    for a, b in zip(*both, strict=True):
        np.testing.assert_array_equal(a["labels"], b["labels"])
        np.testing.assert_array_equal(a["steps"], b["steps"])
        np.testing.assert_allclose(a["states"], b["states"], rtol=1e-6, atol=1e-9)
    labels = both[0][0]["labels"]
    assert (labels > 0).any()
    if name in ("Henon", "undefined"):
        assert (labels == (DIVERGED if name == "Henon" else NOT_A_NUMBER)).any()


@pytest.mark.parametrize("name", ["undefined", "Henon", "momentum"])
def test_the_grid_of_a_target_tells_who_is_near(name: str) -> None:
    """Places about the points, of which the grid's cells list a few: the labels are those of the tree."""
    course = course_in(name)
    size = len(course.scale)
    targets = targets_in(course.box, size)
    rng = np.random.default_rng(2)
    around = np.concatenate([t.states for t in targets])
    offset = rng.standard_normal((60, *around.shape)) * targets[-1].radius
    state = ((around + offset).reshape(-1, size) / course.scale).T
    motion: Any = motion_of(course)
    step = motion.native
    assert isinstance(step, NativeStep)
    looks, tables = compiled_looks(step, course.scale, *course.bounds), tables_of(targets, size)
    assert looks is not None
    assert tables is not None
    labels, _, _ = looks(state, tables, 0, np.arange(state.shape[1]), 0, 0, 8, motion.coefficients)
    expected = Proximity(targets, course.scale)(state)
    np.testing.assert_array_equal(labels, expected)
    assert 0.05 < (expected > 0).mean() < 0.95


def test_closed_orbits_and_large_sets_of_many_coordinates_are_left_to_numpy() -> None:
    points = np.random.default_rng(0).normal(size=(30, 4))
    assert tables_of((Target(points, 0.1, 1),), 4) is None
    assert tables_of((Target(points[:, :2], 0.1, 1, closed=True),), 2) is None
    assert tables_of((Target(points[:5], 0.1, 1),), 4) is not None

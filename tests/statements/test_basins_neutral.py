"""Neutral families of closed orbits are no attractors: a neighbour keeps its distance for ever.

The kind of fault: a label given before it is established (b). x'' = -x - x^3 was given three "limit cycles",
each of which captured what started beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.basin.paths.course import course_of, quiet_motion
from samdyn.basin.search.candidate import Candidate
from samdyn.basin.search.recurrences import Rules, _tail, attracting

Field = Callable[[torch.Tensor], torch.Tensor]


def oscillators(w: torch.Tensor) -> torch.Tensor:
    """Two oscillators of amplitude 1 that know nothing of each other, with one frequency: each orbit on their
    torus is closed, and neutral along it.
    """
    a, b = 1 - w[0] ** 2 - w[1] ** 2, 1 - w[2] ** 2 - w[3] ** 2
    return torch.stack([a * w[0] - w[1], a * w[1] + w[0], b * w[2] - w[3], b * w[3] + w[2]])


NEUTRAL: dict[str, tuple[Field, list[tuple[float, float]], list[float]]] = {
    "x'' = -x - x^3": (lambda w: torch.stack([w[1], -w[0] - w[0] ** 3]), [(-1, 1)] * 2, [0.7, 0.2]),
    "x'' = -x": (lambda w: torch.stack([w[1], -w[0]]), [(-1, 1)] * 2, [0.7, 0.2]),
    "pendulum": (lambda w: torch.stack([w[1], -torch.sin(w[0])]), [(-1.5, 1.5)] * 2, [1.4, 0.0]),
    "Lotka and Volterra, in logarithms": (
        lambda w: torch.stack([1 - torch.exp(w[1]), torch.exp(w[0]) - 1]),
        [(-1, 1)] * 2,
        [0.5, 0.5],
    ),
    "free rigid body": (
        lambda w: torch.stack([w[1] * w[2], -2 * w[0] * w[2], w[0] * w[1]]),
        [(-1, 1)] * 3,
        [0.5, 0.3, 0.6],
    ),
    "on an attracting plane": (
        lambda w: torch.stack([w[1], -w[0], -w[2]]),
        [(-1, 1)] * 3,
        [0.5, 0.3, 0.0],
    ),
    "on an attracting torus": (oscillators, [(-1.5, 1.5)] * 4, [1.0, 0.2, 0.3, 0.9]),
}


def judged(
    field: Field, box: list[tuple[float, float]], start: list[float]
) -> tuple[list[Candidate], list[Candidate]]:
    """The sample of an orbit, as an attractor or as a neutral set."""
    course = course_of(sd.Flow.from_function(field, len(box)), np.array(box, float), None, False, 0, 1e3)
    motion = quiet_motion(course)
    state = motion(np.array(start)[:, None], np.arange(1), 0, 600)
    tail, _ = _tail(motion, state, 0)
    sample = Candidate(tail[:, :, 0], 0.0)
    return attracting(motion, course, [], [sample], Rules(20_000, probe_steps=60))


FAST = ("x'' = -x - x^3",)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NEUTRAL]
)
def test_a_family_of_closed_orbits_attracts_nothing(name: str) -> None:
    """Of each orbit the neighbours are orbits too, at the same distance as before. Right: no attractor."""
    found, _ = judged(*NEUTRAL[name])
    assert found == []


@pytest.mark.slow
def test_what_attracts_slowly_or_as_a_whole_is_an_attractor() -> None:
    """The same test passes a torus whose two frequencies fill it, and an orbit drawn slower than linearly."""

    def torus(w: torch.Tensor) -> torch.Tensor:
        a, b, s = 1 - w[0] ** 2 - w[1] ** 2, 1 - w[2] ** 2 - w[3] ** 2, 2**0.5
        return torch.stack([a * w[0] - w[1], a * w[1] + w[0], b * w[2] - s * w[3], b * w[3] + s * w[2]])

    def slow(w: torch.Tensor) -> torch.Tensor:
        g = 1 - w[0] ** 2 - w[1] ** 2
        return torch.stack([g * abs(g) * w[0] - w[1], g * abs(g) * w[1] + w[0]])

    for field, box, start in (
        (torus, [(-1.5, 1.5)] * 4, [1.0, 0.2, 0.3, 0.9]),
        (slow, [(-2.0, 2.0)] * 2, [0.9, 0.0]),
    ):
        found, neutral = judged(field, box, start)
        assert len(found) == 1
        assert neutral == []


@pytest.mark.parametrize(
    ("power", "attracts"), [(3, True), (1, False)], ids=["cubic damping", "no damping: a centre"]
)
def test_a_marginal_point_is_an_attractor_where_it_draws(power: int, attracts: bool) -> None:
    """Eigenvalues of +-i say neither. x'' = -x - x'^3 rests at 0; x'' = -x has a centre there."""
    damping = 1.0 if attracts else 0.0
    flow = sd.Flow.from_function(lambda w: torch.stack([w[1], -w[0] - damping * w[1] ** power]), 2)
    course = course_of(flow, np.array([(-1.0, 1.0)] * 2), None, False, 0, 1e3)
    origin = Candidate(np.zeros((1, 2)), 0.0)
    found, _ = attracting(quiet_motion(course), course, [], [origin], Rules(20_000, probe_steps=60))
    assert len(found) == attracts


def test_minima_with_equal_curvatures_have_their_basins() -> None:
    """About (0, 1) and (0, -1) SAM has a 2-cycle in every direction, to first order: orbits come near those
    on the axis like one over the root of time. 92 % of the cells were out of steps, after 170 s.
    """
    loss = sd.Landscape(lambda w: w[0] ** 2 - w[1] ** 2 / 2 + w[1] ** 4 / 4, dim=2, box=[(-2, 2)] * 2)
    found = sd.basins(sd.Map(loss, sd.SAM(0.2), lr=0.05), resolution=20)
    middles = -1.9 + 0.2 * np.arange(20)
    x = np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1)

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.stack([2 * x[..., 0], x[..., 1] ** 3 - x[..., 1]], axis=-1)

    for _ in range(3000):
        g = gradient(x)
        x = x - 0.05 * gradient(x + 0.2 * g / np.maximum(np.linalg.norm(g, axis=-1, keepdims=True), 1e-300))
    ends = np.where(np.abs(x[..., 1]) < 0.5, 0, np.sign(x[..., 1]))
    assert sorted(a.position[1] for a in found.attractors.values()) == pytest.approx([-1, 0, 1], abs=1e-6)
    for label, attractor in found.attractors.items():
        np.testing.assert_array_equal(found.labels == label, ends == np.round(attractor.position[1]))

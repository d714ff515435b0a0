"""The three-case geometry along paths at saddles."""

from __future__ import annotations

from typing import Any

import numpy as np
import problems
import pytest

import samdyn as sd
from samdyn.orbit.perturbation import descend

WELLS = sd.landscapes.coupled_double_well()


def test_the_three_cases() -> None:
    step = sd.Map(WELLS, sd.SAM(0.3), lr=0.01)
    seen = sd.perturbation_geometry(step, [[1.6, 0.1], [0.35, 0.02], [0.2, 0.1]])
    assert seen.case.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(seen.basin, [2, 2, 2])
    np.testing.assert_array_equal(seen.perturbed_basin, [2, 2, 1])
    np.testing.assert_allclose(seen.minima, [[-1, 0], [1, 0]], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(seen.perturbed - seen.points, axis=1), 0.3)
    assert "III: 1" in repr(seen)


def test_cosines() -> None:
    x = np.random.default_rng(0).uniform(-1.5, 1.5, (3, 5, 2))
    flow = sd.Flow(WELLS, sd.USAM(0.4))
    seen = sd.perturbation_geometry(flow, x, basins=False)
    g, p = WELLS.gradient(x), WELLS.gradient(x + 0.4 * WELLS.gradient(x))
    expected = (g * p).sum(axis=-1) / np.linalg.norm(g, axis=-1) / np.linalg.norm(p, axis=-1)
    np.testing.assert_allclose(seen.cosine, expected, atol=1e-12)
    assert seen.basin is None
    assert seen.case.shape == (3, 5)
    assert np.isnan(sd.perturbation_geometry(flow, [[1.0, 0.0]], basins=False).cosine[0])


@pytest.mark.parametrize("rho", problems.BEALE_FIRST_NEGATIVE_COSINE)
@pytest.mark.parametrize("lr", [1e-4, 1.25e-5])
def test_beale(rho: float, lr: float) -> None:
    """From (1, 2) SAM is stuck at the saddle: the cosine covers [-1, 1], first negative at a known step."""
    expected = {1e-4: problems.BEALE_FIRST_NEGATIVE_COSINE, 1.25e-5: {0.5: 1083, 1.0: 311}}[lr]
    step = sd.Map(sd.landscapes.beale(), sd.SAM(rho), lr=lr)
    path = sd.trajectory(step, problems.BEALE_START, n_steps=6000)
    seen = sd.perturbation_geometry(step, path, basins=False)
    assert seen.first_negative_cosine == expected[rho]
    late = seen.perturbed[5000:5008, 0]
    # the perturbed points alternate between the two sides of the saddle, about rho away
    assert (np.sign(late[1:]) == -np.sign(late[:-1])).mean() > 0.7
    np.testing.assert_allclose(np.abs(late), rho, rtol=0.06)


def test_beale_is_in_the_third_case() -> None:
    step = sd.Map(sd.landscapes.beale(), sd.SAM(0.5), lr=1e-4)
    path = sd.trajectory(step, problems.BEALE_START, n_steps=12_000)
    seen = sd.perturbation_geometry(step, path[[0, 9001, 9002, 11_000, 11_001]])
    assert seen.case[0] == 1
    assert (seen.case[1:] == 3).all()
    assert set(seen.basin[1:].tolist()) <= {-1, 1}  # the minimum, or out along the valley
    np.testing.assert_allclose(seen.minima, [problems.BEALE_MINIMUM], atol=1e-8)


def test_basins_are_those_of_the_gradient_flow() -> None:
    loss = sd.landscapes.himmelblau()
    x = np.random.default_rng(3).uniform(-5, 5, (60, 2))
    labels, minima = descend(loss, x)
    end = sd.trajectory(sd.Flow(loss, sd.GD()), x, t_max=3.0, dt=3.0)[-1]
    np.testing.assert_allclose(minima[labels - 1], end, atol=1e-4)
    assert len(minima) == 4


def test_losing_paths_are_labelled() -> None:
    labels, minima = descend(sd.landscapes.saddle(1.0, 1.0), np.array([[0.3, 0.1], [0.0, 0.0]]))
    assert labels.tolist() == [-1, 0]
    assert minima.shape == (0, 2)
    assert descend(WELLS, np.empty((0, 2)))[0].shape == (0,)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.perturbation_geometry(WELLS, [[0.0, 0.0]]), TypeError, "system must be a Map"),
        (
            lambda: sd.perturbation_geometry(sd.Flow(WELLS, sd.SAM(1)), [0.0]),
            ValueError,
            "trajectory must have",
        ),
        (
            lambda: sd.perturbation_geometry(sd.Map(WELLS, sd.WarmStart(sd.SAM(1), 3), lr=1), [[0.0, 0.0]]),
            ValueError,
            "constant coefficients",
        ),
    ],
    ids=["landscape", "shape", "schedule"],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()

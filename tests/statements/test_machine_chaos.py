"""Paths that differ between the compiled and the eager step of a chaotic map differ by rounding alone."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.trace.printed.compiling import compiler

rng = np.random.default_rng(5)
WAVES = torch.tensor(rng.normal(size=(20, 2)) * 2.0)
PHASES = torch.tensor(rng.uniform(0.0, 2.0 * np.pi, 20))


def sines(w: torch.Tensor) -> torch.Tensor:
    return torch.sin(WAVES @ w + PHASES).sum() / 5.0 + 0.05 * (w @ w)


LOSS = sd.Landscape(sines, dim=2, name="20 sines")
STEP = sd.Map(LOSS, sd.SAM(0.3), lr=0.6)


def test_one_unit_in_the_last_place_grows_at_the_lyapunov_rate() -> None:
    """Two orbits that differ by rounding move apart as the derivative of the map says: their distance grows
    by the factor of the tangent vector while it is small. The rate is that of the largest Lyapunov exponent,
    about 0.86 a step here, so that 16 digits are gone after some 40 steps.
    """
    x = np.random.default_rng(0).uniform(-2.0, 2.0, (100, 2))
    for _ in range(50):
        x = STEP(x)
    near = x + np.spacing(np.abs(x)) * [4.0, 0.0]
    tangent, start = near - x, np.log(np.linalg.norm(near - x, axis=1))
    tangent /= np.linalg.norm(tangent, axis=1)[:, None]
    predicted, beyond = start.copy(), []
    for _ in range(24):
        moved = np.einsum("nij,nj->ni", STEP.jacobian(x), tangent)
        size = np.linalg.norm(moved, axis=1)
        predicted, tangent = predicted + np.log(size), moved / size[:, None]
        x, near = STEP(x), STEP(near)
        with np.errstate(divide="ignore"):
            beyond.append(np.log(np.linalg.norm(near - x, axis=1)) - predicted)
    assert 0.6 < (predicted - start).mean() / 24 < 1.2
    small = np.array(beyond)[:, predicted < np.log(1e-5)]
    assert small.shape[1] > 50
    # rounding of later steps adds to that of the first, or takes some of it away: a factor, not a rate
    assert np.abs(np.median(small, axis=1)).max() < 0.5


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
def test_compiled_and_eager_paths_are_alike_until_chaos_parts_them() -> None:
    """Paths that leave early leave alike in both; later ones need not, and then the statistics agree: means
    within four standard errors of their difference.
    """
    noisy = sd.Map(LOSS, sd.SAM(0.3), lr=0.6, noise=sd.GaussianNoise(0.3))
    run = functools.partial(
        sd.exit_times, noisy, [0.0, 0.0], sd.Ball([0.0, 0.0], 6.0), 3000, t_max=1000, seed=2, device="cpu",
        precision="double",
    )  # fmt: skip
    eager, compiled = run(compile=False), run(compile=True)
    early = (eager.watched <= 15) | (compiled.watched <= 15)
    np.testing.assert_array_equal(eager.watched[early], compiled.watched[early])
    np.testing.assert_array_equal(eager.exited[early], compiled.exited[early])
    alike = eager.watched == compiled.watched
    assert not alike.all()
    apart = float(np.hypot(eager.standard_error, compiled.standard_error))
    assert abs(eager.mean - compiled.mean) < 4.0 * apart

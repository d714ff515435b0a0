"""Workers that die cost little until the work goes on in this process; wide diffusions do not walk through
their noise roots."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.dynamics import steppers as steps
from samdyn.dynamics.step import combine
from samdyn.dynamics.steppers import build_stepper
from samdyn.dynamics.wide_root import WideRoot
from samdyn.escape.kernel.crossing import projected_variance
from samdyn.escape.kernel.exit_place import conjugate_direction
from samdyn.jobs import workers
from samdyn.numerics.vector import Coordinates


class Dying(Executor):
    """Local processes all of which die: at once, or with the first piece of work."""

    rounds = 0

    def __init__(self, answers: bool) -> None:
        self.answers = answers

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.answers and not args:
            future.set_result(1)
        else:
            future.set_exception(BrokenProcessPool("a worker died"))
        return future


@pytest.mark.parametrize(("answers", "rounds"), [(False, 1), (True, 2)])
def test_local_processes_that_die(answers: bool, rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes take seconds to start: those that cannot do anything are started once, those that die with
    their first piece twice, and then the pieces run here.
    """
    started: list[int] = []

    @contextlib.contextmanager
    def pool(*_: Any) -> Iterator[tuple[Executor, Any]]:
        started.append(1)
        yield Dying(answers), None

    monkeypatch.setattr(workers, "_pool", pool)
    found: dict[int, int] = {}
    with pytest.warns(
        RuntimeWarning, match=rf"workers failed {rounds} time.*\(BrokenProcessPool: a worker died\)"
    ):
        whole = workers.run_pieces(abs, {0: -3, 1: 4}, found.__setitem__, complete=lambda _: True, workers=2)
    assert whole
    assert found == {0: 3, 1: 4}
    assert len(started) == rounds


def wide_loss(dim: int) -> sd.Landscape:
    scale = torch.linspace(0.5, 2.0, dim, dtype=torch.float64)
    return sd.Landscape(lambda w: (scale * w**2).sum() / 2 + torch.sin(w[0] * w[1]), dim=dim)


@pytest.mark.parametrize(
    "noise", [sd.GaussianNoise(2.0), sd.GaussianNoise((1.0, 2.0, 3.0)), sd.CurvatureNoise(2.0)], ids=repr
)
def test_products_with_the_noise_root(noise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drift, B z, |B^T n|^2 and B B^T n of the wide form are those of the listed entries."""
    sde = sd.Diffusion(wide_loss(3), sd.USAM(0.1), lr=0.1, noise=noise)
    x = Coordinates(torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5))).unbind(0))
    z = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 5))).unbind(0)
    numbers = [torch.tensor(v, dtype=torch.float64) for v in sde.coefficients().values()]
    drift, listed = build_stepper(sde).local(x, numbers)
    monkeypatch.setattr(steps, "MAX_ENTRIES", 0)
    wide_drift, wide = build_stepper(sd.Diffusion(wide_loss(3), sd.USAM(0.1), lr=0.1, noise=noise)).local(
        x, numbers
    )
    assert isinstance(wide, WideRoot)

    def same(a: Any, b: Any) -> None:
        for u, v in zip(a, b, strict=True):
            np.testing.assert_allclose(np.broadcast_to(u, 5), np.broadcast_to(v, 5), rtol=1e-9, atol=1e-12)

    same(wide_drift, drift)
    same(combine(wide, z), combine(listed, z))
    unit = torch.nn.functional.normalize(torch.stack(z), dim=0)
    for normal in ((0.6, 0.0, 0.8), tuple(unit)):
        same([projected_variance(normal, wide)], [projected_variance(normal, listed)])
        same(conjugate_direction(normal, wide), conjugate_direction(normal, listed))
    same(wide[1], [torch.as_tensor(entry, dtype=torch.float64) for entry in listed[1]])


def test_exits_in_a_thousand_coordinates() -> None:
    """Four paths of 50 steps in 1210 coordinates come back in seconds. From the centre of a ball the mean of
    |x|^2 after time t is dim sigma^2 t without drift, and paths leave when that is the radius squared.
    """
    dim = 1210
    flat = sd.Landscape(lambda w: 1e-9 * (w @ w), dim=dim)
    sde = sd.Diffusion(flat, sd.SAM(0.1), lr=0.1, noise=sd.GaussianNoise(0.1))
    start = time.process_time()
    radius = (dim * 0.1 * 0.1**2 * 2.5) ** 0.5
    result = sd.exit_times(sde, np.zeros(dim), sd.Ball(np.zeros(dim), radius), 4, t_max=5.0, device="cpu")
    assert time.process_time() - start < 60.0
    assert result.n_exited == 4
    np.testing.assert_allclose(result.times, 2.5, rtol=0.2)
    np.testing.assert_allclose(np.linalg.norm(result.exit_points, axis=1), radius, rtol=1e-6)

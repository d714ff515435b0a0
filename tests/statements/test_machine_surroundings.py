"""What a user has set for a whole thread, a default device, gradient mode, numpy's errors, the default dtype,
changes nothing; and an exception at an unlucky moment does not spoil later calls."""

from __future__ import annotations

import contextlib
import functools
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd

BOX = [(-2.0, 2.0), (-2.0, 2.0)]
DATA = np.random.default_rng(0).normal(size=(12, 2))


def bent(w: torch.Tensor) -> torch.Tensor:
    """A loss that makes a tensor of its own, and whose exponential underflows in a part of the box."""
    made = torch.tensor([1.0, 2.0], dtype=torch.float64)
    return (w[0] ** 2 - 1) ** 2 / 4 + (made * w**2).sum() / 4 - torch.exp(-400.0 * (w @ w)) / 50.0


def losses() -> tuple[sd.Landscape, sd.FiniteSum]:
    logistic = sd.FiniteSum(
        lambda w, s: torch.nn.functional.softplus(-s @ w) + 0.05 * w @ w, DATA, dim=2, box=BOX
    )
    return sd.Landscape(bent, dim=2, box=BOX), logistic


def everything() -> dict[str, Any]:
    loss, logistic = losses()
    step = sd.Map(loss, sd.SAM(0.1), lr=0.1)
    sde = sd.Diffusion(loss, sd.USAM(0.1), lr=0.1, noise=sd.CurvatureNoise(0.1))
    region = sd.Region(lambda w: w.norm() - torch.ones((), dtype=torch.float64), dim=2)
    batches = sd.Map(logistic, sd.SAM(0.1), lr=0.1, noise=sd.Minibatch(2))
    return {
        "value": loss.value([[0.3, 0.2]]),
        "hessian": loss.hessian([0.3, 0.2]),
        "sum": logistic.hessian([0.3, 0.2]),
        "map": step([0.3, 0.2]),
        "jacobian": step.jacobian([0.3, 0.2]),
        "covariance": sde.covariance([0.3, 0.2]),
        "from a function": sd.Map.from_function(lambda w: torch.sin(w), dim=2)([0.3, 0.2]),
        "distance": region.signed_distance([[0.3, 0.2]]),
        "exits": sd.exit_times(sde, [0.3, 0.2], region, 20, t_max=3.0, device="cpu", compile=False).watched,
        "batches": np.asarray(sd.trajectory(batches, [0.3, 0.2], n_steps=5, seed=0)),
        "displacement": sd.mean_squared_displacement(sde, [0.3, 0.2], 0.2, n_paths=10, seed=0).mean,
        "points": sd.fixed_points(step, n_starts=32).x,
        # attractors that are points and cycles: the chaotic ones of SAM at this rate take five times as long
        "basins": sd.basins(sd.Map(loss, sd.USAM(0.1), lr=0.1), resolution=6).labels,
    }


@functools.cache
def usual() -> dict[str, Any]:
    return everything()


@contextlib.contextmanager
def device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def dtype(kind: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def strict() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # an estimate of cost depends on how busy the machine is
        warnings.simplefilter("ignore", sd.CostWarning)
        yield


SURROUNDINGS: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "the device meta": lambda: device("meta"),
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "numpy raises": lambda: np.errstate(all="raise"),
    "double precision": lambda: dtype(torch.float64),
    "half precision": lambda: dtype(torch.float16),
    "warnings are errors": strict,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_change_nothing(name: str) -> None:
    """Every number is the same to the last bit as without the setting."""
    expected = usual()
    with SURROUNDINGS[name]():
        found = everything()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def test_arrays_that_cannot_be_written_to() -> None:
    """Points, data, boxes and starts that are read-only give no warning (warnings are errors here)."""

    def fixed(values: Any) -> np.ndarray:
        array = np.array(values, dtype=np.float64)
        array.flags.writeable = False
        return array

    logistic = sd.FiniteSum(lambda w, s: torch.exp(s @ w), fixed(DATA), dim=2, box=fixed(BOX))
    with strict():
        logistic.hessian(fixed([[0.1, 0.2]]))
        logistic.gradient(np.broadcast_to(fixed([0.1, 0.2]), (3, 2)))
        sde = sd.Diffusion(losses()[0], sd.SAM(0.1), lr=0.1, noise=sd.GaussianNoise(5.0))
        region = sd.Ball(fixed([0.0, 0.0]), 1.0)
        sd.exit_times(sde, fixed([0.1, 0.2]), region, 5, t_max=3.0, device="cpu", compile=False)


class Timeout(Exception):
    """Thrown by a signal handler."""


def came_from(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether an error was raised while one of this kind was handled."""
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__context__
    return False


# torch's own generators complain when they are collected after their levels have been taken away
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_of_a_signal_handler_spoils_nothing() -> None:
    """Exceptions that a handler throws at any moment inside torch's transforms leave nothing behind: the next
    call gives the same numbers.
    """
    loss = sd.Landscape(bent, dim=2)
    right = loss.hessian([[0.3, 0.2]])

    def throw(*_: object) -> None:
        raise Timeout

    before, thrown, rng = signal.signal(signal.SIGALRM, throw), 0, np.random.default_rng(0)
    try:
        for _ in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(1e-4, 4e-3)))
                for _ in range(3):
                    loss.hessian([[0.3, 0.2]])
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            except Timeout:
                thrown += 1
            except RuntimeError as error:  # torch fails to leave its transform while it handles the signal's
                if not came_from(error, Timeout):
                    raise
                thrown += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            np.testing.assert_array_equal(loss.hessian([[0.3, 0.2]]), right)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert thrown > 5


@pytest.mark.parametrize("transform", ["grad", "vmap"])
def test_transforms_that_were_left_under_way(transform: str) -> None:
    """What an exception between two lines of torch.func leaves behind is taken away at the next call."""
    inside = torch._C._functorch
    loss = sd.Landscape(bent, dim=2)
    right = loss.gradient([0.3, 0.2])
    if transform == "grad":
        inside._grad_increment_nesting()
    else:
        inside._vmap_increment_nesting(3, "error")
    assert inside.get_dynamic_layer_stack_depth() == 1
    np.testing.assert_array_equal(loss.gradient([0.3, 0.2]), right)
    assert inside.get_dynamic_layer_stack_depth() == 0


@pytest.mark.parametrize("bad", ["a matrix", [1, 2], "1", 1.5, -1, 2**64, True, None])
def test_seeds_are_checked_first(bad: Any) -> None:
    """A seed that is no int in range is refused by name before any work."""
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(1.0))
    _, logistic = losses()
    if isinstance(bad, str) and bad == "a matrix":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's own, of matrices
            bad = np.matrix([[1, 2]])
    start = time.perf_counter()
    with pytest.raises((TypeError, ValueError), match="seed must be an integer"):
        sd.exit_times(sde, [-1.0], sd.HalfSpace([1.0], 0.0), 5, t_max=1e6, seed=bad)
    with pytest.raises((TypeError, ValueError), match="seed must be an integer"):
        logistic.smoothness(seed=bad)
    assert time.perf_counter() - start < 20.0

"""SAM as a map follows the SAM optimiser of the package pytorch_optimizer, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import problems
import pytest
import torch
from pytorch_optimizer import SAM

import samdyn as sd


def optimiser_path(
    loss: Callable[[Sequence[torch.Tensor]], torch.Tensor],
    start: Sequence[torch.Tensor],
    n_steps: int,
    **options: float,
) -> np.ndarray:
    """Parameters (n_steps + 1, dim) under the optimiser with base SGD."""
    parameters = [torch.nn.Parameter(part.clone()) for part in start]
    optimiser = SAM(parameters, torch.optim.SGD, **options)  # type: ignore[arg-type]

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss(parameters)
        value.backward()
        return value

    path = [torch.cat([p.detach().ravel() for p in parameters]).numpy()]
    for _ in range(n_steps):
        closure()
        optimiser.step(closure)
        path.append(torch.cat([p.detach().ravel() for p in parameters]).numpy())
    return np.array(path)


def largest_relative_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float((np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)).max())


BEALE = sd.landscapes.beale()
BEALE_START = [torch.tensor(problems.BEALE_START, dtype=torch.float64)]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rho", [0.05, 0.1])
def test_beale(rho: float, momentum: float) -> None:
    lr = 1e-4 * (1 - momentum)
    theirs = optimiser_path(
        lambda w: BEALE.one_point(w[0]), BEALE_START, 1000, lr=lr, rho=rho, momentum=momentum
    )
    step = sd.Map(BEALE, sd.SAM(rho), lr=lr, momentum=momentum)
    ours = sd.trajectory(step, problems.BEALE_START, n_steps=1000)
    assert np.linalg.norm(ours[-1] - ours[0]) > 0.1
    assert largest_relative_difference(ours, theirs) < 1e-6


@pytest.mark.parametrize(
    ("rho", "lr", "momentum"), [(0.05, 0.01, 0.0), (0.5, 0.01, 0.0), (0.05, 0.005, 0.9), (0.2, 0.001, 0.9)]
)
def test_network(rho: float, lr: float, momentum: float) -> None:
    start = problems.network_start()
    parts = problems.split_network(torch.from_numpy(start))
    theirs = optimiser_path(problems.network_loss, parts, 1000, lr=lr, rho=rho, momentum=momentum)
    ours = sd.trajectory(
        sd.Map(problems.network(), sd.SAM(rho), lr=lr, momentum=momentum), start, n_steps=1000
    )
    assert np.linalg.norm(ours[-1] - ours[0]) > 1
    assert largest_relative_difference(ours, theirs) < 1e-6


def plain_path(
    loss: sd.Landscape, start: np.ndarray, n_steps: int, lr: float, rho: float, momentum: float
) -> np.ndarray:
    """The same update written down once more, in double precision throughout."""
    gradient = torch.func.grad(loss.one_point)
    x = torch.from_numpy(np.array(start))
    v = torch.zeros_like(x)
    path = [x.numpy()]
    for _ in range(n_steps):
        g = gradient(x)
        v = momentum * v + gradient(x + rho * g / g.norm())
        x = x - lr * v
        path.append(x.numpy())
    return np.array(path)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_in_double_precision_throughout(momentum: float) -> None:
    # their norm is rounded to single precision, which is what limits the agreement above to 1e-9
    for loss, start, lr in (
        (BEALE, np.array(problems.BEALE_START), 1e-4),
        (problems.network(), problems.network_start(), 0.01),
    ):
        lr *= 1 - momentum
        expected = plain_path(loss, start, 1000, lr, 0.1, momentum)
        ours = sd.trajectory(sd.Map(loss, sd.SAM(0.1), lr=lr, momentum=momentum), start, n_steps=1000)
        assert largest_relative_difference(ours, expected) < 1e-12


def test_the_number_that_they_add_to_the_norm() -> None:
    # e = rho g/(|g| + eps) is shorter by the factor 1 - eps/|g|, here with |g| >= 1
    run = {
        eps: optimiser_path(
            lambda w: BEALE.one_point(w[0]), BEALE_START, 1000, lr=1e-4, rho=0.1, perturb_eps=eps
        )
        for eps in (0.0, 1e-12, 1e-3)
    }
    ours = sd.trajectory(sd.Map(BEALE, sd.SAM(0.1), lr=1e-4), problems.BEALE_START, n_steps=1000)
    size = np.linalg.norm(BEALE.gradient(ours), axis=1)
    assert size.min() > 1
    np.testing.assert_array_equal(run[1e-12], run[0.0])  # lost in the rounding of the norm
    # to first order the paths part like those of a radius that is smaller by that factor
    shorter = sd.trajectory(
        sd.Map(BEALE, sd.SAM(0.1 * (1 - 1e-3 / size.min())), lr=1e-4), problems.BEALE_START, n_steps=1000
    )
    bound = largest_relative_difference(shorter, ours)
    assert 1e-6 < largest_relative_difference(run[1e-3], ours) < bound


def test_where_the_number_matters() -> None:
    # at a gradient as small as eps their perturbation is half as long; ours keeps its length at any gradient
    eps = 1e-6
    loss = sd.landscapes.quadratic([[2.0]])
    start = torch.tensor([eps / 2], dtype=torch.float64)  # gradient eps
    theirs = optimiser_path(lambda w: loss.one_point(w[0]), [start], 1, lr=0.1, rho=0.5, perturb_eps=eps)
    ours = sd.trajectory(sd.Map(loss, sd.SAM(0.5), lr=0.1), start.numpy(), n_steps=1)
    assert theirs[1, 0] == pytest.approx(-0.1 * 2 * 0.25, rel=1e-4)
    assert ours[1, 0] == pytest.approx(-0.1 * 2 * 0.5, rel=1e-4)


def test_gd_is_their_base_optimiser() -> None:
    start = problems.network_start()
    parts = problems.split_network(torch.from_numpy(start))
    theirs = optimiser_path(problems.network_loss, parts, 300, lr=0.05, rho=0.0, momentum=0.5)
    ours = sd.trajectory(sd.Map(problems.network(), sd.GD(), lr=0.05, momentum=0.5), start, n_steps=300)
    assert largest_relative_difference(ours, theirs) < 1e-12

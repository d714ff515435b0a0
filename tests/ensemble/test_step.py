"""The step on separate coordinates is the step of the system, with coefficients and noise as inputs."""

from __future__ import annotations

import numpy as np
import problems
import pytest
import torch

import samdyn as sd
from samdyn.compute.vector import Coordinates
from samdyn.ensemble.step import build_stepper, combine

LOSS = sd.landscapes.coupled_double_well()
RULES = [sd.GD(), sd.USAM(0.3), sd.SAM(0.3), sd.UnifiedSAM(0.3, 0.4)]


def inputs(n: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1.5, 1.5, (width, n)))


def numbers(system: sd.Map | sd.Diffusion) -> list[torch.Tensor]:
    return [torch.tensor(v, dtype=torch.float64) for v in system.coefficients().values()]


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_step_of_a_map(rule: sd.Rule, momentum: float, eager: bool) -> None:
    step = sd.Map(LOSS, rule, lr=0.1, momentum=momentum)
    stepper = build_stepper(step)
    assert stepper.traced
    stepper = stepper.eager() if eager else stepper
    state = inputs(20, step.state_dim)
    result = torch.stack(tuple(stepper.iterate(Coordinates(state.unbind(0)), (), numbers(step))))
    np.testing.assert_allclose(result.T, step(state.T.numpy()), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize(
    "noise", [sd.GaussianNoise(2.0), sd.GaussianNoise((1.0, 3.0)), sd.CurvatureNoise(3.0)], ids=repr
)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_drift_and_root_of_a_diffusion(rule: sd.Rule, noise: sd.GaussianNoise, eager: bool) -> None:
    sde = sd.Diffusion(LOSS, rule, lr=0.1, noise=noise)
    stepper = build_stepper(sde)
    stepper = stepper.eager() if eager else stepper
    x = inputs(20, 2)
    drift, columns = stepper.local(Coordinates(x.unbind(0)), numbers(sde))
    np.testing.assert_allclose(torch.stack(tuple(drift)).T, sde.drift(x.T.numpy()), rtol=1e-11, atol=1e-14)
    root = np.array([[np.broadcast_to(np.asarray(e), 20) for e in column] for column in columns])  # [j][i][n]
    covariance = np.einsum("jin,jkn->nik", root, root)
    np.testing.assert_allclose(covariance, sde.covariance(x.T.numpy()), rtol=1e-9, atol=1e-13)


def test_coefficients_may_differ_from_path_to_path() -> None:
    stepper = build_stepper(sd.Map(LOSS, sd.SAM(0.3), lr=0.1))
    assert stepper.names == ("rho", "lr")
    x, rho, lr = inputs(5, 2), inputs(5, 1, 1)[0].abs(), inputs(5, 1, 2)[0].abs()
    result = torch.stack(tuple(stepper.iterate(Coordinates(x.unbind(0)), (), [rho, lr]))).T.numpy()
    for k in range(5):
        one = sd.Map(LOSS, sd.SAM(float(rho[k])), lr=float(lr[k]))
        np.testing.assert_allclose(result[k], one(x[:, k].numpy()), rtol=1e-12)


def test_a_network_goes_through_either_way() -> None:
    step = sd.Map(problems.network(), sd.SAM(0.1), lr=0.05)
    stepper = build_stepper(step)
    x = inputs(3, 21)
    result = torch.stack(tuple(stepper.iterate(Coordinates(x.unbind(0)), (), numbers(step)))).T
    np.testing.assert_allclose(result, step(x.T.numpy()), rtol=1e-10)


def test_combine_leaves_out_zeros() -> None:
    one = torch.ones(3)
    total = combine([Coordinates((one, 0.0)), Coordinates((0.0, 2 * one))], [3 * one, 5 * one])
    assert [t.tolist() for t in total] == [[3, 3, 3], [10, 10, 10]]

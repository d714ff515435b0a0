"""The step on separate coordinates is the step of the system, with coefficients and noise as inputs."""

from __future__ import annotations

import gc
import importlib
import weakref

import numpy as np
import problems
import pytest
import torch

import samdyn as sd
from samdyn.dynamics.step import combine
from samdyn.dynamics.steppers import build_stepper
from samdyn.numerics.vector import Coordinates

module = importlib.import_module("samdyn.dynamics.steppers")

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


# ---------------------------------------------------------------------- traces that are kept


def noisy(loss: sd.Landscape, rule: sd.Rule, std: float = 1.0, lr: float = 0.1) -> sd.Diffusion:
    return sd.Diffusion(loss, rule, lr=lr, noise=sd.GaussianNoise(std))


def test_a_second_call_does_not_trace_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = sd.Landscape(lambda w: (w @ w) ** 2, dim=2)
    first = build_stepper(noisy(loss, sd.SAM(0.1)))
    monkeypatch.setattr(module, "traced_or_batched", lambda *_: pytest.fail("traced again"))
    assert build_stepper(noisy(loss, sd.SAM(0.3), lr=0.02)) is first
    assert build_stepper(noisy(loss, sd.SAM(0.3)).with_parameters(rho=0.0)) is first


def test_another_structure_is_traced_again() -> None:
    loss = sd.Landscape(lambda w, a: a * w @ w, dim=2, parameters={"a": 1.0})
    systems = [
        noisy(loss, sd.SAM(0.1)),
        noisy(loss, sd.USAM(0.1)),
        noisy(loss, sd.SAM(0.1), std=2.0),
        noisy(loss.with_parameters(a=2.0), sd.SAM(0.1)),
        sd.Diffusion(loss, sd.SAM(0.1), lr=lambda step: 0.1, noise=sd.GaussianNoise(1.0)),
        sd.Diffusion(loss, sd.SAM(0.1), lr=lambda step: 0.2, noise=sd.GaussianNoise(1.0)),
        sd.Map(loss, sd.SAM(0.1), lr=0.1),
        sd.Map(loss, sd.SAM(0.1), lr=0.1, momentum=0.5),
        sd.Map(loss, sd.SAM(0.1), lr=0.1, noise=sd.GaussianNoise(1.0)),
    ]
    steppers = [build_stepper(system) for system in systems]
    assert len({id(stepper) for stepper in steppers}) == len(systems)
    assert all(build_stepper(s) is stepper for s, stepper in zip(systems, steppers, strict=True))


SCALE = 1.0


def scaled(w: torch.Tensor) -> torch.Tensor:
    return SCALE * w @ w


def test_what_a_loss_captures_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    held, edge = torch.tensor(1.0), [7.0]
    losses = {
        "global": sd.Landscape(scaled, dim=2),
        "tensor": sd.Landscape(lambda w: held * w @ w, dim=2),
        "helper": sd.Landscape(lambda w: scaled(w), dim=2),
        # only seen far from where the kept step is compared with the system's own
        "list": sd.Landscape(lambda w: (w @ w) * torch.where(w[0] > edge[0], 2.0, 1.0), dim=2),
    }
    steppers = {name: build_stepper(sd.Map(loss, sd.GD(), lr=0.1)) for name, loss in losses.items()}
    for name, loss in losses.items():
        assert build_stepper(sd.Map(loss, sd.GD(), lr=0.1)) is steppers[name]
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    held.fill_(3.0)
    edge[0] = 5.0
    for name, loss in losses.items():
        step = sd.Map(loss, sd.GD(), lr=0.1)
        stepper = build_stepper(step)
        assert stepper is not steppers[name]
        state = torch.tensor([[6.0], [0.5]])
        found = stepper.iterate(Coordinates(state.double().unbind(0)), (), numbers(step))
        np.testing.assert_allclose(torch.stack(tuple(found))[:, 0], step([6.0, 0.5]), rtol=1e-12)


def test_kept_steps_go_with_their_loss() -> None:
    loss = sd.Landscape(lambda w: w @ w, dim=2)
    function = weakref.ref(loss.function)
    build_stepper(sd.Map(loss, sd.SAM(0.1), lr=0.1))
    del loss
    gc.collect()
    assert function() is None


@pytest.mark.parametrize("name", ["std", "a", "batch_size"])
def test_numbers_of_loss_and_noise_as_inputs(name: str) -> None:
    loss = sd.Landscape(lambda w, a: a * (w @ w) ** 2 / 4 + w[0] * w[1], dim=2, parameters={"a": 1.0})
    noise = sd.CurvatureNoise(4.0) if name == "batch_size" else sd.GaussianNoise(1.0)
    sde = sd.Diffusion(loss, sd.SAM(0.1), lr=0.1, noise=noise)
    stepper = build_stepper(sde, [name])
    assert stepper.names == ("rho", "lr", name)
    assert stepper.traced
    x, values = inputs(4, 2), torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)
    drift, columns = stepper.local(Coordinates(x.unbind(0)), [*numbers(sde), values])
    root = np.array([[np.broadcast_to(np.asarray(e), 4) for e in column] for column in columns])
    for k, value in enumerate(values.tolist()):
        one = sde.with_parameters(**{name: value})
        np.testing.assert_allclose([float(b[k]) for b in drift], one.drift(x[:, k].numpy()), rtol=1e-11)
        covariance = root[:, :, k].T @ root[:, :, k]
        np.testing.assert_allclose(covariance, one.covariance(x[:, k].numpy()), rtol=1e-9, atol=1e-13)

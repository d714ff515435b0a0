"""Rules as optimisers of torch: beside the map, beside pytorch_optimizer, and as users use them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import pytorch_optimizer
import torch

import samdyn as sd

DATA = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(6, 2), torch.linspace(0, 1, 6).double()[:, None]


def network() -> torch.nn.Sequential:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)).double()


def loss_of(model: torch.nn.Module) -> torch.Tensor:
    return torch.nn.functional.mse_loss(model(DATA[0]), DATA[1])


def trained(optimizer: Any, model: torch.nn.Module, n_steps: int, closure: bool = False) -> np.ndarray:
    def evaluate() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss

    for _ in range(n_steps):
        if closure:
            optimizer.step(evaluate)
            continue
        evaluate()
        optimizer.first_step(zero_grad=True)
        loss_of(model).backward()
        optimizer.second_step(zero_grad=True)
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()


RULES = [
    sd.GD(), sd.SAM(0.1), sd.ASAM(0.1), sd.GSAM(0.1), sd.WSAM(0.1), sd.StableSAM(0.1), sd.VaSSO(0.1),
    sd.FriendlySAM(0.1), sd.MSAM(0.1), sd.LookSAM(0.1, every=3), sd.AESAM(0.1), sd.GCSAM(0.1),
    sd.ZSharp(0.1, 0.5), sd.AdamWSAM(0.1), sd.SAM(sd.schedules.PowerDecay(0.2)),
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_training_is_the_map(rule: sd.Rule) -> None:
    """Two calls, the closure, and the Map of the network's loss take the same steps, momentum included."""
    ends = []
    for closure in (False, True):
        model = network()
        optimizer = sd.optim.as_optimizer(rule, model.parameters(), lr=0.05, momentum=0.5, model=model)
        ends.append(trained(optimizer, model, 6, closure))
    loss = sd.from_module(network(), torch.nn.functional.mse_loss, DATA)
    system = sd.Map(loss, rule, lr=0.05, momentum=0.5)
    state = system.at_rest(loss.x0)
    for step in range(6):
        state = system.evaluate(state, step)
    np.testing.assert_allclose(ends[0], state[: loss.dim], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-12, atol=1e-13)


OTHERS = [
    (sd.SAM(0.1), lambda p, m: pytorch_optimizer.SAM(p, torch.optim.SGD, rho=0.1, lr=0.05, momentum=0.9)),
    (
        sd.WSAM(0.1, gamma=0.8),
        lambda p, m: pytorch_optimizer.WSAM(
            m, p, torch.optim.SGD, rho=0.1, gamma=0.8, lr=0.05, momentum=0.9, max_norm=None
        ),
    ),
    (
        sd.FriendlySAM(0.1),
        lambda p, m: pytorch_optimizer.FriendlySAM(
            p, torch.optim.SGD, rho=0.1, sigma=1.0, lmbda=0.9, lr=0.05, momentum=0.9
        ),
    ),
]


@pytest.mark.parametrize(("rule", "other"), OTHERS, ids=["SAM", "WSAM", "F-SAM"])
def test_beside_pytorch_optimizer(rule: sd.Rule, other: Any) -> None:
    """Where that library follows the authors, 1000 steps agree; it adds 1e-12 to norms."""
    model, twin = network(), network()
    mine = sd.optim.as_optimizer(rule, model.parameters(), lr=0.05, momentum=0.9)
    got = trained(mine, model, 1000)
    np.testing.assert_allclose(got, trained(other(twin.parameters(), twin), twin, 1000), rtol=0, atol=1e-6)


def test_states_go_on() -> None:
    """A run that is saved and loaded takes the steps of one that is not; JSON-like parts and tensors only."""
    rule = sd.LookSAM(0.1, every=3)
    model = network()
    optimizer = sd.optim.as_optimizer(rule, model.parameters(), torch.optim.AdamW, lr=0.01)
    trained(optimizer, model, 4)
    kept, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
    straight = trained(optimizer, model, 4)
    again = network()
    again.load_state_dict(weights)
    resumed = sd.optim.as_optimizer(rule, again.parameters(), torch.optim.AdamW, lr=0.01)
    resumed.load_state_dict(kept)
    np.testing.assert_array_equal(trained(resumed, again, 4), straight)
    with pytest.raises(ValueError, match="state_dict must be that of SAM"):
        sd.optim.as_optimizer(sd.SAM(0.1), network().parameters(), lr=0.1).load_state_dict(kept)


def test_groups_schedulers_scaling_and_accumulation() -> None:
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}]
    optimizer = sd.optim.as_optimizer(sd.SAM(0.1), groups, lr=0.05)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.05]
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    start = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()
    trained(optimizer, model, 1)
    loss = sd.from_module(network(), torch.nn.functional.mse_loss, DATA)
    g = loss.gradient(start)
    p = loss.gradient(start + 0.1 * g / np.linalg.norm(g))
    rates = np.where(np.arange(loss.dim) < 9, 0.1, 0.05)
    after = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()
    np.testing.assert_allclose(after, start - rates * p, rtol=1e-10, atol=1e-13)
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.025]
    # two halves of the data, scaled by 1024: the same step
    ends = []
    for halves, scale in ((1, 1.0), (2, 1024.0)):
        model = network()
        optimizer = sd.optim.as_optimizer(sd.GSAM(0.1), model.parameters(), lr=0.05)
        for call in (optimizer.first_step, optimizer.second_step):
            for half in range(halves):
                (loss_of(model) * scale / halves).backward()
                assert half < halves
            call(zero_grad=True, scale=scale)
        ends.append(torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy())
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-12)


def test_overflow_takes_no_step() -> None:
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = sd.optim.as_optimizer(sd.SAM(0.1), model.parameters(), lr=0.05)
    loss_of(model).backward()
    optimizer.first_step(zero_grad=True)
    (loss_of(model) * float("inf")).backward()
    optimizer.second_step(zero_grad=True)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_rules_that_ask_for_more() -> None:
    """By closure: several points, values, and random numbers; in two calls they are refused."""
    several = sd.LookbehindSAM(0.1, steps=3), sd.RSAM(0.1), sd.PolyakSAM(0.1)
    for rule in (*several, sd.SAMPa(0.1), sd.TraceSAM()):
        model = network()
        optimizer = sd.optim.as_optimizer(rule, model.parameters(), lr=0.05, seed=3)
        start = float(loss_of(model).detach())
        trained(optimizer, model, 20, closure=True)
        assert float(loss_of(model).detach()) < start
    for rule in several:
        model = network()
        optimizer = sd.optim.as_optimizer(rule, model.parameters(), lr=0.05)
        with pytest.raises(ValueError, match="call step\\(closure\\)"):
            trained(optimizer, model, 1)
    with pytest.raises(ValueError, match="closure must be given"):
        optimizer.step()
    with pytest.raises(ValueError, match="which needs outputs"):
        sd.optim.as_optimizer(sd.FunctionalSAM(0.1), network().parameters(), lr=0.1)
    with pytest.raises(TypeError, match="rule must be a samdyn rule"):
        sd.optim.as_optimizer("SAM", network().parameters(), lr=0.1)  # type: ignore[arg-type]

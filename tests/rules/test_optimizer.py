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
    sd.GD(), sd.SAM(0.1), sd.USAM(0.1), sd.UnifiedSAM(0.1, 0.5), sd.ASAM(0.1), sd.PreconditionedSAM(0.1),
    sd.InfoSAM(0.1, eps=1e-3), sd.MongeSAM(0.1), sd.LESAM(0.1, 0.02), sd.DNSAM(0.1), sd.GSAM(0.1),
    sd.WSAM(0.1), sd.WSAM(0.1, decoupled=False), sd.StableSAM(0.1), sd.VaSSO(0.1), sd.FriendlySAM(0.1),
    sd.MSAM(0.1), sd.LookSAM(0.1, every=3), sd.AESAM(0.1), sd.GCSAM(0.1), sd.ZSharp(0.1, 0.5),
    sd.SAMON(0.1, blocks=["0.bias"]), sd.AdamWSAM(0.1), sd.AdaSAM(0.1), sd.RMSPropSAM(0.1),
    sd.LightSAM(0.1), sd.LightSAM(0.1, by_entry=True), sd.Extragradient(0.1), sd.PastExtragradient(0.1),
    sd.SAM(sd.schedules.PowerDecay(0.2)),
]  # fmt: skip
BY_CLOSURE = [sd.LookbehindSAM(0.1, steps=3), sd.SAMPa(0.1), sd.PolyakSAM(0.1)]


@pytest.mark.parametrize("rule", RULES + BY_CLOSURE, ids=repr)
def test_training_is_the_map(rule: sd.Rule) -> None:
    """Twenty steps by two calls, the closure, and the Map of the network's loss, momentum included; the first
    two to the bit.
    """
    ends = []
    for closure in (False, True):
        if rule in BY_CLOSURE and not closure:
            continue
        model = network()
        optimizer = sd.optim.as_optimizer(rule, model.parameters(), lr=0.05, momentum=0.5, model=model)
        ends.append(trained(optimizer, model, 20, closure))
    np.testing.assert_array_equal(ends[0], ends[-1])
    loss = sd.from_module(network(), torch.nn.functional.mse_loss, DATA)
    system = sd.Map(loss, rule, lr=0.05, momentum=0.5)
    state = system.at_rest(loss.x0)
    for step in range(20):
        state = system.evaluate(state, step)
    np.testing.assert_allclose(ends[0], state[: loss.dim], rtol=1e-8, atol=1e-9)


class Constant:
    """What pytorch_optimizer's GSAM asks for its radius."""

    def step(self) -> float:
        return 0.1


def test_surrogate_gap_beside_pytorch_optimizer() -> None:
    """1000 steps; that library takes the module and the data instead of a closure."""
    model, twin = network(), network()
    mine = sd.optim.as_optimizer(sd.GSAM(0.1, alpha=0.4), model.parameters(), lr=0.05, momentum=0.9)
    base = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    other = pytorch_optimizer.GSAM(twin.parameters(), base, twin, Constant(), alpha=0.4)
    other.set_closure(torch.nn.functional.mse_loss, *DATA)  # type: ignore[arg-type]
    for _ in range(1000):
        other.step()
    theirs = torch.cat([p.detach().reshape(-1) for p in twin.parameters()]).numpy()
    np.testing.assert_allclose(trained(mine, model, 1000), theirs, rtol=0, atol=1e-6)


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
    with pytest.raises(ValueError, match="state_dict must come from SAM"):
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


def weights_of(model: torch.nn.Module) -> np.ndarray:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()


def test_a_gradient_scaler_end_to_end() -> None:
    """Infinities in either backward pass take no step and lower the scale; the rest is the unscaled run."""
    model, twin = network().float(), network().float()
    data = DATA[0].float(), DATA[1].float()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=10_000)
    optimizer = sd.optim.as_optimizer(sd.SAM(0.1), model.parameters(), lr=0.05, momentum=0.5)
    taken = 0
    while taken < 5:
        start = weights_of(model)
        scale = scaler.get_scale()
        for call in range(2):
            loss = torch.nn.functional.mse_loss(model(data[0]), data[1])
            # an overflow in the second pass alone: once, at the third step
            scaler.scale(
                loss * (float("inf") if taken == 2 and call and scale > 2.0**100 else 1.0)
            ).backward()
            if not call:
                optimizer.first_step(zero_grad=True, scale=scaler.get_scale())
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        moved = not np.array_equal(weights_of(model), start)
        assert moved == (scaler.get_scale() == scale)
        taken += moved
        if not moved and taken == 2:
            scaler.update(2.0**64)
    plain = sd.optim.as_optimizer(sd.SAM(0.1), twin.parameters(), lr=0.05, momentum=0.5)
    for _ in range(5):
        for closing in (plain.first_step, plain.second_step):
            torch.nn.functional.mse_loss(twin(data[0]), data[1]).backward()
            closing(zero_grad=True)
    np.testing.assert_allclose(weights_of(model), weights_of(twin), rtol=1e-4, atol=1e-6)


def test_groups_with_radii_of_their_own() -> None:
    """The share of a group's weights in the perturbation has its radius; the norm is that of all."""
    model = network()
    groups = [{"params": model[0].parameters(), "rho": 0.3}, {"params": model[2].parameters()}]
    optimizer = sd.optim.as_optimizer(sd.SAM(0.1), groups, lr=0.05)
    loss = sd.from_module(network(), torch.nn.functional.mse_loss, DATA)
    g = loss.gradient(loss.x0)
    radii = np.where(np.arange(loss.dim) < 9, 0.3, 0.1)
    p = loss.gradient(loss.x0 + radii * g / np.linalg.norm(g))
    np.testing.assert_allclose(trained(optimizer, model, 1), loss.x0 - 0.05 * p, rtol=1e-10, atol=1e-13)
    assert optimizer.state_dict()["base"]["param_groups"][0]["rho"] == 0.3
    for rule, radius, message in (
        (sd.GD(), 0.3, "params must have no rho of their own"),
        (sd.TraceSAM(), 0.3, "params must have no rho of their own"),
        (sd.SAM(0.1), -1.0, "rho must be"),
    ):
        with pytest.raises(ValueError, match=message):
            sd.optim.as_optimizer(rule, [{"params": network().parameters(), "rho": radius}], lr=0.1)


def test_the_rho_of_a_base_optimiser_is_no_radius() -> None:
    """Adadelta has a coefficient of that name, 0.9 by default: the perturbation is the rule's 0.05."""
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    for rule, moved in ((sd.SAM(0.05), 0.05), (sd.GD(), 0.0)):
        optimizer = sd.optim.as_optimizer(rule, [weight], torch.optim.Adadelta)
        (weight**2).sum().backward()
        optimizer.first_step()
        assert weight.item() == pytest.approx(1 + moved)
        weight.data.fill_(1.0)


def test_between_the_two_calls() -> None:
    """No state is given while the weights are perturbed; the second call gives them back to the bit."""
    model = network()
    start = weights_of(model).copy()
    optimizer = sd.optim.as_optimizer(sd.SAM(0.1), model.parameters(), lr=0.05)
    loss_of(model).backward()
    optimizer.first_step(zero_grad=True)
    with pytest.raises(RuntimeError, match="state_dict must be taken between steps"):
        optimizer.state_dict()
    assert not np.array_equal(weights_of(model), start)
    with pytest.raises(RuntimeError, match="call backward on the loss once more, after first_step"):
        optimizer.second_step()
    np.testing.assert_array_equal(weights_of(model), start)
    assert set(optimizer.state_dict()) == {"base", "memory", "t", "seed"}
    with pytest.raises(RuntimeError, match="needs a first_step"):
        optimizer.second_step()


def test_weights_that_are_frozen_unused_sparse_or_of_mixed_precision() -> None:
    model = network()
    model[0].bias.requires_grad_(False)
    frozen = model[0].bias.clone()
    unused = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    parameters = [*model.parameters(), unused]
    optimizer = sd.optim.as_optimizer(sd.RSAM(0.1, sigma=0.5), parameters, torch.optim.AdamW, lr=0.05)
    trained(optimizer, model, 2, closure=True)
    assert torch.equal(model[0].bias, frozen)
    assert torch.equal(unused, torch.ones(3, dtype=torch.float64))
    table = torch.nn.Embedding(4, 2, sparse=True)
    sparse = sd.optim.as_optimizer(sd.SAM(0.1), table.parameters(), lr=0.1, model=table)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(TypeError, match=r"params must have dense gradients, got .* parameter 'weight'"):
        sparse.first_step()
    # bfloat16 beside float32: what is not stepped comes back as it was
    half = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.bfloat16))
    full = torch.nn.Parameter(torch.tensor([1.0 + 2.0**-20], dtype=torch.float32))
    mixed = sd.optim.as_optimizer(sd.SAM(0.1), [half, full], lr=0.1)
    (half.float() ** 2 + full * 0).sum().backward()
    mixed.first_step()
    (half.float() ** 2).sum().backward()
    mixed.second_step()
    assert full.item() == 1.0 + 2.0**-20


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
    fresh = sd.optim.as_optimizer(sd.SAM(0.1), network().parameters(), lr=0.05)
    with pytest.raises(ValueError, match="closure must be given"):
        fresh.step()
    with pytest.raises(ValueError, match="which needs outputs"):
        sd.optim.as_optimizer(sd.FunctionalSAM(0.1), network().parameters(), lr=0.1)
    with pytest.raises(TypeError, match="rule must be a samdyn rule"):
        sd.optim.as_optimizer("SAM", network().parameters(), lr=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("rule", [sd.SAM(0.05), sd.VaSSO(0.05), sd.GSAM(0.05)], ids=lambda rule: repr(rule))
def test_autocast_with_a_scaler_and_accumulation(rule: sd.Rule, dtype: torch.dtype) -> None:
    """Half precision in the forward passes, gradients of two halves added up, losses scaled: weights stay in
    single precision, and a run ends where the one in single precision does, to the precision of the halves.
    """
    ends, losses = [], []
    for mixed in (True, False):
        model = network().float()
        inputs, targets = DATA[0].float(), DATA[1].float()
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=mixed)
        optimizer = sd.optim.as_optimizer(rule, model.parameters(), lr=0.1, momentum=0.5)
        seen = []

        def accumulate(
            scaler: Any = scaler, model: Any = model, mixed: bool = mixed, inputs: Any = inputs,
            targets: Any = targets,
        ) -> float:  # fmt: skip
            total = 0.0
            for half in (slice(0, 3), slice(3, 6)):
                with torch.autocast("cpu", dtype=dtype, enabled=mixed):
                    predicted = model(inputs[half])
                assert predicted.dtype == (dtype if mixed else torch.float32)
                loss = torch.nn.functional.mse_loss(predicted.float(), targets[half]) / 2
                scaler.scale(loss).backward()
                total += loss.item()
            return total

        for _ in range(30):
            seen.append(accumulate())
            optimizer.first_step(zero_grad=True, scale=scaler.get_scale())
            accumulate()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        assert all(p.dtype == torch.float32 for p in model.parameters())
        ends.append(weights_of(model))
        losses.append(seen)
    assert losses[0][-1] < 0.7 * losses[0][0]
    coarse = 2.0 ** (-8 if dtype == torch.bfloat16 else -11)
    np.testing.assert_allclose(losses[0], losses[1], atol=10 * coarse)
    np.testing.assert_allclose(ends[0], ends[1], atol=20 * coarse)


def test_a_step_without_gradients_is_refused() -> None:
    """Nothing would move, and a forgotten `backward` would not be seen."""
    net = torch.nn.Linear(2, 1)
    optimizer = sd.optim.as_optimizer(sd.SAM(0.1), net.parameters(), lr=0.1)
    for step in (optimizer.first_step, lambda: optimizer.step(lambda: net(torch.ones(2)).sum())):
        with pytest.raises(RuntimeError, match="no parameter has a gradient: call backward on the loss"):
            step()
    with pytest.raises(TypeError, match="base must be a class of optimisers such as"):
        sd.optim.as_optimizer(sd.SAM(0.1), net.parameters(), torch.optim.SGD(net.parameters(), lr=0.1))  # type: ignore[arg-type]


def test_a_second_gradient_that_does_not_come() -> None:
    """Weights come back, nothing is stepped, and the text says which call of backward is missing."""
    model = network()
    start = weights_of(model).copy()
    optimizer = sd.optim.as_optimizer(sd.SAM(0.1), model.parameters(), lr=0.05)
    loss_of(model).backward()
    optimizer.first_step()
    with pytest.raises(
        RuntimeError, match=r"same tensors as before first_step.* call backward on the loss once"
    ):
        optimizer.second_step()
    calls = []

    def once() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model)
        if not calls:
            loss.backward()
        calls.append(loss)
        if len(calls) > 3:
            raise KeyError("of the user")
        return loss

    with pytest.raises(RuntimeError, match="inside the closure, whenever it is called"):
        optimizer.step(once)
    with pytest.raises(RuntimeError, match="inside the closure"):  # none is left from an earlier step
        optimizer.step(once)
    with pytest.raises(KeyError):
        optimizer.step(once)
    np.testing.assert_array_equal(weights_of(model), start)
    assert optimizer.t == 0
    # gradient descent looks at one point: the gradient of the first call is enough
    plain = sd.optim.as_optimizer(sd.GD(), model.parameters(), lr=0.05)
    loss_of(model).backward()
    plain.first_step()
    plain.second_step()
    assert plain.t == 1


def test_a_closure_need_not_clear_gradients() -> None:
    """Of two gradients that add up the second would be another one's."""

    def unclear() -> torch.Tensor:
        loss = loss_of(model)
        loss.backward()
        return loss

    ends = []
    for closure in (True, False):
        model = network()
        optimizer = sd.optim.as_optimizer(sd.SAM(0.1), model.parameters(), lr=0.05)
        if closure:
            optimizer.step(unclear)
            optimizer.step(unclear)
        else:
            trained(optimizer, model, 2)
        ends.append(weights_of(model))
    np.testing.assert_array_equal(*ends)


def test_bases_and_models_that_do_not_fit() -> None:
    net = torch.nn.Linear(2, 1)
    with pytest.raises(
        ValueError, match=r"base must step along a gradient .* LBFGS, which evaluates a closure"
    ):
        sd.optim.as_optimizer(sd.SAM(0.1), net.parameters(), torch.optim.LBFGS)
    with pytest.raises(
        ValueError, match="model must have the parameters that are trained, got Linear, to which 2"
    ):
        sd.optim.as_optimizer(sd.SAM(0.1), net.parameters(), lr=0.1, model=torch.nn.Linear(2, 1))
    for base in (torch.optim.Adam, torch.optim.Rprop, torch.optim.ASGD, torch.optim.NAdam):
        sd.optim.as_optimizer(sd.SAM(0.1), net.parameters(), base, lr=0.1, model=net)


def test_what_is_no_optimiser_of_real_weights_is_refused() -> None:
    """torch takes a learning rate of nan, and complex weights failed inside a step."""
    for params in (torch.tensor([1, 2]), torch.nn.Parameter(torch.tensor([1 + 1j]))):
        with pytest.raises(TypeError, match="params must be real floating-point"):
            sd.optim.as_optimizer(sd.SAM(0.1), [params], lr=0.1)
    with pytest.raises(ValueError, match="lr must be a finite number >= 0, got nan"):
        sd.optim.as_optimizer(sd.SAM(0.1), [torch.nn.Parameter(torch.ones(2))], lr=float("nan"))


def test_calls_out_of_turn_lose_no_weights() -> None:
    """A second `first_step` in turn took the perturbed point for the weights."""
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    optimizer = sd.optim.as_optimizer(sd.MSAM(0.1), [w], lr=0.1)
    with pytest.raises(TypeError, match="closure must be callable"):
        optimizer.step("closure")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="state_dict must be a dict"):
        optimizer.load_state_dict(3)  # type: ignore[arg-type]
    other = sd.optim.as_optimizer(sd.MSAM(0.1), [torch.nn.Parameter(torch.ones(3))], lr=0.1)
    with pytest.raises(ValueError, match="state_dict must be of weights of the same shapes"):
        optimizer.load_state_dict(other.state_dict())

    optimizer = sd.optim.as_optimizer(sd.SAM(0.1), [w], lr=0.1)
    (w**4).sum().backward()
    optimizer.first_step()
    with pytest.raises(RuntimeError, match="needs a second_step after the one before"):
        optimizer.first_step()
    (w**4).sum().backward()
    optimizer.second_step()
    with pytest.raises(RuntimeError, match="needs a first_step"):
        optimizer.second_step()

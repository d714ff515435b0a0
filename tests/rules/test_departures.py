"""Where code in circulation departs from the authors' definition: each row of docs/departures.md, run.

Rows on libraries that are not installed are skipped. pytorch_optimizer is a requirement of the tests; optax
and HeavyBall are those of the benchmarks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pytorch_optimizer
import torch

import samdyn as sd

X, H = np.array([1.0, 0.5]), np.array([2.0, 1.0])
G = H * X


def halves() -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    """The two coordinates of X as two parameters of a module."""
    first, second = (torch.nn.Parameter(torch.tensor([x], dtype=torch.float64)) for x in X)
    return first, second


def quadratic(*parameters: Any) -> torch.Tensor:
    """sum h w^2/2."""
    w = torch.cat([*parameters])
    return (torch.from_numpy(H) * w**2).sum() / 2


def closure_of(loss: Any, *parameters: torch.nn.Parameter, seen: list[np.ndarray] | None = None) -> Any:
    """A closure that notes at which points it is called."""

    def closure() -> torch.Tensor:
        for p in parameters:
            p.grad = None
        value: torch.Tensor = loss(*parameters)
        value.backward()  # type: ignore[no-untyped-call]
        if seen is not None:
            seen.append(torch.cat([*parameters]).detach().numpy().copy())
        return value

    return closure


def test_bayesian_sam_of_pytorch_optimizer_walks_uphill() -> None:
    """On w^2 from 1 the authors' update ends near 0, the library's near 7.2, for the three reasons given."""
    ends = []
    for n_steps in (50, 200):
        torch.manual_seed(0)
        w = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
        library = pytorch_optimizer.BSAM([w], num_data=100, lr=0.1)
        closure = closure_of(lambda w: (w**2).sum(), w)
        closure()
        for _ in range(n_steps):
            library.step(closure)
        ends.append(w.item())
    mine = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.BSAM(0.05, n_samples=100.0), lr=0.1)
    authors = np.asarray(sd.trajectory(mine, [1.0], n_steps=200))[:, 0]
    assert ends[-1] == pytest.approx(7.2, abs=0.3)
    assert abs(authors[-1]) < 0.1
    # its noise has sd 1/(N s) = 0.01 for (N s)^-1/2 = 0.1, and its step starts from the noisy point
    seen: list[np.ndarray] = []
    w = torch.nn.Parameter(torch.zeros(20_000, dtype=torch.float64))
    library = pytorch_optimizer.BSAM([w], num_data=100, lr=0.0)
    closure = closure_of(lambda w: (w * 0.0).sum(), w, seen=seen)
    closure()
    library.step(closure)
    spread = seen[1].std()
    assert spread == pytest.approx(1 / 100, rel=4 / (2 * 20_000) ** 0.5)
    np.testing.assert_array_equal(w.detach().numpy(), seen[-1])


def test_its_scale_is_an_average_of_squares() -> None:
    """At a gradient g and s = 1: b2 + (1 - b2) (g + decay + damping)^2, where the authors have no square."""
    w = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    library = pytorch_optimizer.BSAM([w], num_data=10**12, lr=0.0, rho=0.0)
    closure = closure_of(lambda w: (3 * w).sum(), w)
    closure()
    library.step(closure)
    assert library.state[w]["s"].item() == pytest.approx(0.999 + 0.001 * (3 + 1e-4 + 0.1) ** 2, rel=1e-9)
    assert sd.BSAM(0.0).parameters["damping"] == 0.1


@pytest.mark.parametrize("parts", [1, 2])
def test_looksam_of_pytorch_optimizer_is_per_tensor(parts: int) -> None:
    """With one tensor the library is the authors' LookSAM, with two it is not."""
    ends = []
    for which in ("samdyn", "library"):
        parameters = halves() if parts == 2 else (torch.nn.Parameter(torch.from_numpy(X.copy())),)
        closure = closure_of(quadratic, *parameters)
        if which == "samdyn":
            rule = sd.LookSAM(0.1, alpha=0.7, every=3)
            optimizer: Any = sd.optim.as_optimizer(rule, parameters, lr=0.05)
            step = optimizer.step
        else:
            optimizer = pytorch_optimizer.LookSAM(
                parameters, torch.optim.SGD, rho=0.1, k=3, alpha=0.7, lr=0.05
            )

            def step(closure: Any, optimizer: Any = optimizer) -> None:
                closure()
                optimizer.step(closure)

        for _ in range(6):
            step(closure)
        ends.append(torch.cat([*parameters]).detach().numpy())
    gap = np.abs(ends[0] - ends[1]).max()
    assert gap < 1e-6 if parts == 1 else gap > 1e-3


def test_adaptive_sam_in_circulation_scales_biases_and_has_no_eta() -> None:
    """pytorch_optimizer's adaptive SAM, and davda54/sam with the same lines: T = abs(w) on everything."""
    module = torch.nn.Linear(2, 1).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.5, -2.0]]))
        module.bias.fill_(0.3)
    seen: list[np.ndarray] = []
    inputs, targets = torch.tensor([[1.0, 2.0], [0.5, -1.0]]).double(), torch.tensor([[0.2], [1.0]]).double()

    def loss() -> torch.Tensor:
        return torch.nn.functional.mse_loss(module(inputs), targets)

    net = sd.from_module(module, torch.nn.functional.mse_loss, (inputs, targets))
    library = pytorch_optimizer.SAM(module.parameters(), torch.optim.SGD, rho=0.1, adaptive=True, lr=0.0)
    loss().backward()
    library.first_step(zero_grad=True)
    seen.append(torch.cat([p.detach().reshape(-1) for p in module.parameters()]).numpy())
    x, g = net.x0, net.gradient(net.x0)
    everywhere = 0.1 * x**2 * g / np.linalg.norm(np.abs(x) * g)
    np.testing.assert_allclose(seen[0] - x, everywhere, rtol=1e-6)
    authors = sd.Map(net, sd.ASAM(0.1), lr=0.1).perturbation(x)
    t = np.array([0.51, 2.01, 1.0])
    np.testing.assert_allclose(authors, 0.1 * t**2 * g / np.linalg.norm(t * g), rtol=1e-12)
    assert np.abs(authors - everywhere)[2] > 5e-3


def test_adaptive_sam_of_heavyball_is_not_divided() -> None:
    """Its perturbation is rho w^2 g: without the norm of T g."""
    heavyball = pytest.importorskip("heavyball")
    heavyball.utils.compile_mode = None
    w, seen = torch.nn.Parameter(torch.from_numpy(X.copy())), []
    optimizer = heavyball.SAMWrapper([w], heavyball.SGD([w], lr=0.1, beta=0.0), ball=0.1)
    optimizer.step(closure_of(quadratic, w, seen=seen))
    np.testing.assert_allclose(seen[1] - X, 0.1 * X**2 * G, rtol=1e-6)
    authors = sd.Map(sd.landscapes.quadratic(np.diag(H)), sd.ASAM(0.1, eta=0.0), lr=0.1).perturbation(X)
    np.testing.assert_allclose(authors, 0.1 * X**2 * G / np.linalg.norm(X * G), rtol=1e-12)


def test_momentum_sam_of_heavyball_is_per_tensor() -> None:
    """Each of two parameters is moved by the whole radius, where the authors move both together by it."""
    heavyball = pytest.importorskip("heavyball")
    heavyball.utils.compile_mode = None
    parameters = halves()
    optimizer = heavyball.MSAMLaProp(parameters, lr=1e-9, sam_step_size=0.1)
    for _ in range(2):
        optimizer.step(closure_of(quadratic, *parameters))
    moved = np.array([p.item() for p in parameters]) - X
    np.testing.assert_allclose(np.abs(moved), [0.1, 0.1], rtol=1e-5)


def test_sam_of_optax_is_the_authors_and_nan_at_rest() -> None:
    """1000 steps to 1e-6 where the gradient does not vanish, and nan where it does."""
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    jax.config.update("jax_enable_x64", True)
    optimizer = optax.contrib.sam(
        optax.sgd(0.05), optax.chain(optax.contrib.normalize(), optax.sgd(0.1)), sync_period=2
    )

    def value(w: Any) -> Any:
        return (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 + 0.3 * w[0] * w[1] + 0.1 * w[0]

    slope = jax.jit(jax.grad(value))

    @jax.jit
    def two_calls(w: Any, state: Any) -> Any:
        for _ in range(2):
            updates, state = optimizer.update(slope(w), state, w)
            w = optax.apply_updates(w, updates)
        return w, state

    w = jax.numpy.array([0.3, -0.8])
    state = optimizer.init(w)
    for _ in range(1000):
        w, state = two_calls(w, state)
    mine = sd.Map(sd.Landscape(lambda w: value(w), dim=2), sd.SAM(0.1), lr=0.05)
    orbit = np.asarray(sd.trajectory(mine, [0.3, -0.8], n_steps=1000))
    np.testing.assert_allclose(np.asarray(w), orbit[-1], rtol=0, atol=1e-6)
    zero = jax.numpy.zeros(1)
    state = optimizer.init(zero)
    for _ in range(2):
        updates, state = optimizer.update(2 * zero, state, zero)
        zero = optax.apply_updates(zero, updates)
    assert np.isnan(np.asarray(zero)).all()
    assert float(sd.Map(sd.landscapes.quadratic([[2.0]]), sd.SAM(0.1), lr=0.05)([0.0])[0]) == 0.0

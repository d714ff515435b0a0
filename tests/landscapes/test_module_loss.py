"""Networks as losses: values and derivatives against dense ones, data in every form, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import problems
import pytest
import torch
from torch import nn
from torch.nn import functional

import samdyn as sd

RNG = np.random.default_rng(0)


def regression(n: int = 7, width: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    return torch.tensor(rng.normal(size=(n, width))), torch.tensor(rng.normal(size=(n, 2)))


def classes(n: int = 7, width: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    return torch.tensor(rng.normal(size=(n, width))), torch.tensor(rng.integers(0, 2, n))


class Attention(nn.Module):
    """One block of attention over the inputs' coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(1, 4), nn.LayerNorm(4)
        self.attend, self.out = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embed(x[..., None])
        return self.out((h + self.attend(self.norm(h), self.norm(h), self.norm(h))[0]).mean(dim=1))


class Tied(nn.Module):
    """Two layers that share one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))


def frozen() -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Linear(4, 2)).eval()
    net[0].weight.requires_grad_(False)
    return net


NETS: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    "tanh": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
        functional.mse_loss,
        regression,
    ),
    "GELU": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        classes,
    ),
    "LayerNorm": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.SiLU(), nn.Linear(4, 2)),
        functional.cross_entropy,
        classes,
    ),
    "convolution": (
        lambda: nn.Sequential(
            nn.Unflatten(1, (1, 3)),
            nn.Conv1d(1, 2, 2),
            nn.Tanh(),
            nn.AvgPool1d(2),
            nn.Flatten(),
            nn.Linear(2, 2),
        ),
        functional.mse_loss,
        regression,
    ),
    "attention": (Attention, functional.mse_loss, regression),
    "tied": (Tied, functional.mse_loss, regression),
    "frozen": (frozen, functional.cross_entropy, classes),
}


def made(name: str, **options: Any) -> sd.landscapes.ModuleLoss:
    build, objective, data = NETS[name]
    torch.manual_seed(0)
    return sd.from_module(build(), objective, data(), **options)


@pytest.mark.parametrize("name", NETS)
def test_value_and_derivatives_are_those_of_the_module(name: str) -> None:
    """Against a plain training step of torch, and a dense Hessian in reverse mode."""
    build, objective, data = NETS[name]
    torch.manual_seed(0)
    net = build().double()
    loss = sd.from_module(net, objective, data())
    trained = [p for p in net.parameters() if p.requires_grad]
    value = objective(net(data()[0]), data()[1])
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, trained)])
    assert loss.dim == sum(p.numel() for p in trained)
    np.testing.assert_allclose(loss.value(loss.x0), value.item(), rtol=1e-14)
    np.testing.assert_allclose(loss.gradient(loss.x0), gradient.numpy(), rtol=1e-12, atol=1e-14)
    dense = sd.Landscape(loss.one_point, loss.dim).hessian(loss.x0)
    vectors = RNG.normal(size=(4, loss.dim))
    np.testing.assert_allclose(loss.hvp(loss.x0, vectors), vectors @ dense, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(loss.hessian(loss.x0), dense, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_chunks_batches_and_single_precision_agree(name: str) -> None:
    loss, chunked, single = made(name), made(name, chunk=3), made(name, dtype=torch.float32)
    assert chunked.chunk == 3
    x = loss.x0 + 0.1 * RNG.normal(size=(2, 3, loss.dim))
    v = RNG.normal(size=(3, loss.dim))
    for method in ("value", "gradient"):
        whole = getattr(loss, method)(x)
        np.testing.assert_allclose(getattr(chunked, method)(x), whole, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(getattr(single, method)(x), whole, rtol=1e-4, atol=1e-5)
        one_by_one = np.array([[getattr(loss, method)(p) for p in row] for row in x])
        np.testing.assert_allclose(whole, one_by_one, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(chunked.hvp(x, v), loss.hvp(x, v), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(single.hvp(x, v), loss.hvp(x, v), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_samples_average_to_the_whole(name: str) -> None:
    loss = made(name, weight_decay=0.1)
    x = loss.x0 + 0.1 * RNG.normal(size=loss.dim)
    np.testing.assert_allclose(loss.sample_values(x).mean(), loss.value(x), rtol=1e-12)
    np.testing.assert_allclose(loss.sample_gradients(x).mean(axis=0), loss.gradient(x), atol=1e-13)
    undecayed = loss.with_parameters(weight_decay=0.0)
    np.testing.assert_allclose(loss.value(x) - undecayed.value(x), 0.05 * x @ x, rtol=1e-10)
    np.testing.assert_allclose(loss.hvp(x, x) - undecayed.hvp(x, x), 0.1 * x, atol=1e-12)


@pytest.mark.parametrize("name", problems.HALLUCINATED_NETWORKS)
def test_reference_networks_come_out_of_a_module(name: str) -> None:
    case = problems.HALLUCINATED_NETWORKS[name]
    loss, same = (make(case.width, case.weight_decay) for make in (problems.xor_module, problems.xor_network))
    x = np.array(case.x)
    g = loss.gradient(x)
    assert np.isclose(np.linalg.norm(g), case.gradient, atol=5e-11)
    y = x + case.rho * g / np.linalg.norm(g)
    assert np.linalg.norm(loss.gradient(y)) < 1e-12
    np.testing.assert_allclose(loss.value([x, y]), same.value([x, y]), rtol=1e-12, atol=1e-20)


def test_an_objective_that_reads_the_weights_sees_those_asked_at() -> None:
    net = nn.Linear(2, 1)

    def objective(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(outputs, targets) + 0.5 * sum((p**2).sum() for p in net.parameters())

    data = (torch.randn(4, 2), torch.randn(4, 1))
    loss = sd.from_module(net, objective, data)
    other = sd.from_module(net, functional.mse_loss, data, weight_decay=1.0)
    x = np.array([0.3, -2.0, 1.0])
    np.testing.assert_allclose(loss.gradient(x), other.gradient(x), rtol=1e-13)


def test_training_the_module_later_changes_nothing() -> None:
    build, objective, data = NETS["frozen"]
    net = build()
    loss = sd.from_module(net, objective, data())
    x, before = loss.x0.copy(), loss.gradient(loss.x0)
    own = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1.0)
        net(data()[0].float())
    np.testing.assert_array_equal(loss.gradient(x), before)
    assert net.training  # the mode is put back
    assert np.array_equal(loss.x0, x)
    assert not torch.equal(own["3.bias"], net.state_dict()["3.bias"])


@pytest.mark.parametrize("name", ["tied", "frozen", "attention"])
def test_points_and_state_dicts_are_inverse(name: str) -> None:
    loss = made(name)
    x = RNG.normal(size=loss.dim)
    state = loss.parameters_of(x)
    np.testing.assert_array_equal(loss.point_of(state), x)
    net = NETS[name][0]().double()
    net.load_state_dict(state)
    np.testing.assert_array_equal(loss.point_of(net), x)
    wrapped = {f"module._orig_mod.{key}": value for key, value in state.items()}
    np.testing.assert_array_equal(loss.point_of(wrapped), x)
    assert sorted(i for part in loss.blocks.values() for i in range(loss.dim)[part]) == list(range(loss.dim))
    first = next(iter(loss.blocks))
    np.testing.assert_array_equal(x[loss.blocks[first]], state[first].numpy().ravel())


def test_data_come_as_pairs_datasets_and_loaders() -> None:
    inputs, targets = classes(9)
    net = nn.Linear(3, 2)

    class Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 9

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return inputs[i], int(targets[i])

    forms = [
        (inputs, targets),
        (inputs.numpy(), targets.numpy().astype(np.int32)),
        ((inputs,), targets.tolist()),
        torch.utils.data.TensorDataset(inputs, targets),
        Pairs(),
        torch.utils.data.DataLoader(Pairs(), batch_size=4, shuffle=True, drop_last=True),
    ]
    whole = functional.cross_entropy(net.double()(inputs), targets).item()
    for data in forms:
        loss = sd.from_module(net, functional.cross_entropy, data)
        assert loss.n_samples == 9
        assert np.isclose(loss.value(loss.x0), whole, rtol=1e-14)
        np.testing.assert_array_equal(loss.data[0], inputs.numpy())  # in the order of the dataset


def test_batches_drive_a_network() -> None:
    """A step on a batch of all samples is the full step; small batches are those of autograd."""
    loss = made("GELU", weight_decay=0.01)
    full = sd.Map(loss, sd.SAM(0.2), lr=0.1, momentum=0.5)
    batched = sd.Map(loss, sd.SAM(0.2), lr=0.1, momentum=0.5, noise=sd.Minibatch(7))
    x0 = loss.x0 + 0.1 * RNG.normal(size=(3, loss.dim))
    paths = sd.trajectory(full, x0, n_steps=4)
    np.testing.assert_allclose(sd.trajectory(batched, x0, n_steps=4), paths, atol=1e-12)
    sampled = sd.trajectory(sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(2)), x0, n_steps=1)
    gradients = loss.sample_gradients(x0)
    pairs = [(i, j) for i in range(7) for j in range(i)]
    for path, own in zip(range(3), gradients, strict=True):
        moved = (x0[path] - sampled[1, path]) / 0.1
        assert min(np.abs((own[i] + own[j]) / 2 - moved).max() for i, j in pairs) < 1e-12


def test_a_network_too_large_to_be_written_out_moves_as_a_small_one() -> None:
    rng = np.random.default_rng(2)
    data = (rng.normal(size=(300, 4)), rng.normal(size=(300, 1)))
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    loss = sd.from_module(net, functional.mse_loss, data)
    assert not loss.traceable
    system = sd.Map(loss, sd.SAM(0.1), lr=0.1, momentum=0.9)
    x0 = loss.x0 + rng.normal(size=(3, loss.dim))
    x, v = x0, np.zeros_like(x0)
    for _ in range(3):
        g = loss.gradient(x)
        v = 0.9 * v + loss.gradient(x + 0.1 * g / np.linalg.norm(g, axis=-1, keepdims=True))
        x = x - 0.1 * v
    np.testing.assert_allclose(sd.trajectory(system, x0, n_steps=3)[-1], x, rtol=1e-12)


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + torch.randn(2)


def linear(*more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), *more)


REFUSED: dict[str, tuple[Callable[[], Any], Any, Any, type[Exception], str]] = {
    "no parameter": (nn.Tanh, functional.mse_loss, regression, ValueError, "model must have trainable"),
    "all frozen": (
        lambda: linear().requires_grad_(False),
        functional.mse_loss,
        regression,
        ValueError,
        "trainable",
    ),
    "class": (
        lambda: nn.Linear,
        functional.mse_loss,
        regression,
        TypeError,
        "model must be a torch.nn.Module",
    ),
    "lengths": (
        linear,
        functional.mse_loss,
        lambda: (torch.ones(3, 3), torch.ones(4, 2)),
        ValueError,
        "data must have one length",
    ),
    "labels as floats": (
        linear,
        functional.cross_entropy,
        lambda: (torch.ones(3, 3), torch.ones(3)),
        TypeError,
        "class labels must be whole numbers",
    ),
    "whole inputs": (
        linear,
        functional.mse_loss,
        lambda: (torch.ones(3, 3, dtype=torch.int64), torch.ones(3, 2)),
        TypeError,
        "pass floating-point numbers",
    ),
    "vector": (
        linear,
        nn.MSELoss(reduction="none"),
        regression,
        ValueError,
        "objective must return a scalar",
    ),
    "targets of another shape": (
        linear,
        lambda o, t: (o[:, :1] - t[:, 0]).square().mean(),
        lambda: (torch.eye(3), torch.arange(6.0).reshape(3, 2)),
        ValueError,
        r"unequal shapes do this too \(one target has shape \(2,\) here\)",
    ),
    "sum": (linear, nn.MSELoss(reduction="sum"), regression, ValueError, "objective must be the mean"),
    "detached": (
        linear,
        lambda o, t: (o.detach() - t).square().mean(),
        regression,
        TypeError,
        "carries no gradient",
    ),
    "dropout": (
        lambda: linear(nn.Dropout(0.5)),
        functional.mse_loss,
        regression,
        ValueError,
        r"model.eval\(\)",
    ),
    "random": (Noisy, functional.mse_loss, regression, ValueError, "same loss each time"),
    "batch norm": (
        lambda: linear(nn.BatchNorm1d(2)),
        functional.mse_loss,
        regression,
        ValueError,
        "changes its buffer",
    ),
    "complex": (
        lambda: nn.Linear(3, 2, dtype=torch.complex128),
        functional.mse_loss,
        regression,
        TypeError,
        "model must have real parameters",
    ),
    "lazy": (lambda: nn.LazyLinear(2), functional.mse_loss, regression, ValueError, "call the model once"),
    "batch norm without statistics": (
        lambda: linear(nn.BatchNorm1d(2, track_running_stats=False)).eval(),
        functional.mse_loss,
        regression,
        (ValueError, TypeError),  # type: ignore[dict-item]
        "normalises over the batch|more than 1 value",
    ),
    "nan inputs": (
        linear,
        functional.mse_loss,
        lambda: (torch.full((3, 3), torch.nan), torch.ones(3, 2)),
        ValueError,
        "data must hold finite inputs",
    ),
    "infinite loss": (
        lambda: linear(),
        lambda o, t: (o * 1e300).square().mean() + 0 * t.sum(),
        regression,
        ValueError,
        "finite loss",
    ),
    "shape": (
        linear,
        functional.mse_loss,
        lambda: regression(width=5),
        TypeError,
        "One sample has inputs of shape",
    ),
    "no pair": (linear, functional.mse_loss, lambda: torch.ones(3, 3), TypeError, "data must be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_loss_is_refused_with_what_to_change(case: str) -> None:
    model, objective, data, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        sd.from_module(model(), objective, data())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": torch.float16}, "dtype must be"),
        ({"chunk": 0}, "chunk must be"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"device": "tpu"}, "device must be"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sd.from_module(linear(), functional.mse_loss, regression(), **options)


def test_checkpoints_that_do_not_fit_are_refused() -> None:
    loss = made("frozen")
    state = loss.parameters_of(loss.x0)
    for changed, words in (
        ({**state, "4.weight": torch.ones(2)}, "has '4.weight'"),
        ({k: v for k, v in state.items() if k != "3.bias"}, "lacks '3.bias'"),
        ({**state, "3.bias": torch.ones(5)}, r"'3.bias' of shape \(2,\)"),
        ({**state, "1.running_mean": torch.ones(4)}, "another '1.running_mean'"),
        ({**state, "0.weight": torch.ones(4, 3)}, "another '0.weight'"),
    ):
        with pytest.raises(ValueError, match=words):
            loss.point_of(changed)
    with pytest.raises(TypeError, match="state must be a module"):
        loss.point_of([1.0])  # type: ignore[arg-type]


class Distance(nn.Module):
    """Distances to learned centres by an operation that torch differentiates once."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.ones(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cdist(x, self.centres)


def test_an_operation_without_a_second_derivative_is_named() -> None:
    loss = sd.from_module(Distance(), functional.mse_loss, regression())
    assert np.isfinite(loss.gradient(loss.x0)).all()
    with pytest.raises(TypeError, match="differentiable by torch as often"):
        loss.hvp(loss.x0, loss.x0)


def test_products_of_named_losses_and_sums() -> None:
    rng = np.random.default_rng(3)
    for loss in (sd.landscapes.himmelblau(), problems.r6(), sd.landscapes.rastrigin()):
        x, v = rng.normal(size=(5, loss.dim)), rng.normal(size=(5, loss.dim))
        np.testing.assert_allclose(
            loss.hvp(x, v), np.einsum("nij,nj->ni", loss.hessian(x), v), rtol=1e-12, atol=1e-12
        )
    with pytest.raises(ValueError, match="v must have shape"):
        sd.landscapes.himmelblau().hvp([0.0, 0.0], [1.0])


def test_the_hessian_of_a_wide_network_is_announced_or_refused() -> None:
    loss = sd.from_module(
        nn.Linear(40_000, 1), functional.mse_loss, (torch.ones(2, 40_000), torch.ones(2, 1))
    )
    assert loss.hvp(loss.x0, loss.x0).shape == (40_001,)
    with pytest.raises(ValueError, match=r"hvp\(x, v\)"):
        loss.hessian(loss.x0)

"""Watching a training loop: what is recorded, with which optimisers, at which cost, and what is refused."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import samdyn as sd

INPUTS = torch.tensor(np.random.default_rng(0).normal(size=(40, 3)))
TARGETS = torch.tensor(np.random.default_rng(1).normal(size=(40, 1)))


def network(*more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), *more, nn.Linear(4, 1)).double()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, monitor: sd.Monitor, n_steps: int) -> None:
    for _ in range(n_steps):
        optimizer.zero_grad()
        functional.mse_loss(model(INPUTS), TARGETS).backward()
        optimizer.step()
        monitor.step()


def test_it_records_what_the_loss_says() -> None:
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    monitor = sd.Monitor(
        model,
        functional.mse_loss,
        (INPUTS, TARGETS),
        optimizer=sgd,
        rho=0.05,
        every=4,
        budget=1.0,
        batch_size=8,
    )
    train(model, sgd, monitor, 10)
    history = monitor.history
    np.testing.assert_array_equal(history.step, [4, 8])
    assert len(history) == 2
    loss = sd.from_module(model, functional.mse_loss, (INPUTS, TARGETS))
    row = monitor.look()
    g = loss.gradient(loss.x0)
    y = loss.x0 + 0.05 * g / np.linalg.norm(g)
    assert row["loss"] == pytest.approx(float(loss.value(loss.x0)), rel=1e-12)
    assert row["perturbed_loss"] == pytest.approx(float(loss.value(y)), rel=1e-10)
    assert row["gradient"] == pytest.approx(np.linalg.norm(g), rel=1e-10)
    assert row["perturbed_gradient"] == pytest.approx(np.linalg.norm(loss.gradient(y)), rel=1e-8)
    assert row["sharpness"] == pytest.approx(np.linalg.eigvalsh(loss.hessian(loss.x0))[-1], rel=2e-2)
    assert row["edge"] == pytest.approx(sd.orbit.sam_edge(0.1, 0.05, np.linalg.norm(g), 0.5), rel=1e-10)
    assert row["sharpness_over_edge"] == pytest.approx(row["sharpness"] / row["edge"])
    assert 0 < row["batch_sharpness"] < 100


def test_batch_sharpness_of_one_batch_is_that_of_the_loss() -> None:
    model = network()
    monitor = sd.Monitor(model, functional.mse_loss, (INPUTS, TARGETS), lr=0.1, batch_size=40)
    loss = sd.from_module(model, functional.mse_loss, (INPUTS, TARGETS))
    g = loss.gradient(loss.x0)
    row = monitor.look()
    assert row["batch_sharpness"] == pytest.approx(g @ loss.hvp(loss.x0, g) / (g @ g), rel=1e-10)
    assert row["ratio"] == 1  # without rho the gradient is not perturbed
    assert row["edge"] == pytest.approx(20.0)


def test_training_is_not_changed_by_looking() -> None:
    """Weights, mode, buffers and random numbers of a run with dropout and batch norm are those without."""
    ends = []
    for watched in (False, True):
        model = network(nn.BatchNorm1d(4), nn.Dropout(0.3))
        sgd = torch.optim.SGD(model.parameters(), lr=0.05)
        monitor = sd.Monitor(
            model, functional.mse_loss, (INPUTS, TARGETS), optimizer=sgd, every=1, budget=1.0
        )
        torch.manual_seed(1)
        for _ in range(5):
            sgd.zero_grad()
            functional.mse_loss(model(INPUTS), TARGETS).backward()
            sgd.step()
            if watched:
                monitor.step()
        assert model.training
        assert watched == (len(monitor.history) == 5)
        ends.append({k: v.clone() for k, v in model.state_dict().items()})
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name


def test_looks_follow_the_running_statistics() -> None:
    model = network(nn.BatchNorm1d(4))
    monitor = sd.Monitor(model, functional.mse_loss, (INPUTS, TARGETS), lr=0.1)
    before = monitor.look()["loss"]
    for _ in range(20):
        model(INPUTS)
    model.eval()
    after = monitor.look()["loss"]
    assert after != before
    assert after == pytest.approx(functional.mse_loss(model(INPUTS), TARGETS).item(), rel=1e-12)


def test_optimisers_of_other_packages_are_read() -> None:
    from pytorch_optimizer import SAM

    model = network()
    sam = SAM(model.parameters(), torch.optim.SGD, rho=0.07, lr=0.03, momentum=0.9)
    row = sd.Monitor(model, functional.mse_loss, (INPUTS, TARGETS), optimizer=sam).look()
    assert (row["lr"], row["rho"]) == (pytest.approx(0.03), pytest.approx(0.07))
    sgd = torch.optim.SGD(model.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(sgd, 1, gamma=0.1)
    monitor = sd.Monitor(model, functional.mse_loss, (INPUTS, TARGETS), optimizer=sgd, rho=0.1)
    assert monitor.look()["lr"] == pytest.approx(0.5)
    sgd.step()
    schedule.step()
    assert monitor.look()["lr"] == pytest.approx(0.05)


def test_the_budget_is_kept() -> None:
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = sd.Monitor(model, functional.mse_loss, (INPUTS, TARGETS), optimizer=sgd, every=1, budget=0.2)
    monitor.look()  # what the first call builds is not what a look costs
    start, spent = time.perf_counter(), monitor._spent
    monitor._start, monitor._spent = start, 0.0
    while time.perf_counter() - start < 1.5:
        train(model, sgd, monitor, 1)
    elapsed = time.perf_counter() - start
    assert monitor._spent <= 0.35 * elapsed
    assert 1 < len(monitor.history) < monitor.n_steps
    assert spent > 0


def test_it_is_a_callback_and_survives_interruption_and_divergence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = network()
    monitor = sd.Monitor(
        model, functional.mse_loss, (INPUTS, TARGETS), lr=0.1, every=1, budget=1.0, verbose=True
    )
    monitor.on_train_batch_end("trainer", model, None, None, 0)
    with torch.no_grad():
        model[0].weight.fill_(torch.inf)
    monitor.on_train_batch_end("trainer", model, None, None, 1)
    history = monitor.history
    assert np.isfinite(history.loss[0])
    assert np.isnan(history.loss[1])
    assert capsys.readouterr().out.startswith("step 1: loss")
    assert "History of 2 looks" in repr(history)
    assert "<table>" in history._repr_html_()
    assert set(history.to_dict()) >= {"step", "sharpness", "edge", "cost"}
    assert len(history.plot().lines) == 2
    assert "2 looks" in repr(monitor)


def test_what_cannot_be_watched_is_refused() -> None:
    model, data = network(), (INPUTS, TARGETS)
    for options, words in (
        ({}, "lr must be given"),
        ({"lr": 0.0}, "lr must be"),
        ({"lr": 0.1, "rho": -1.0}, "rho must be"),
        ({"lr": 0.1, "momentum": 1.0}, "momentum must be"),
        ({"lr": 0.1, "every": 0}, "every must be"),
        ({"lr": 0.1, "budget": 0.0}, "budget must be"),
        ({"lr": 0.1, "batch_size": 41}, "batch_size must be at most"),
    ):
        with pytest.raises(ValueError, match=words):
            sd.Monitor(model, functional.mse_loss, data, **options)
    other = torch.optim.SGD(network().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="holds none of its parameters"):
        sd.Monitor(model, functional.mse_loss, data, optimizer=other)
    with pytest.raises(TypeError, match="optimizer must have param_groups"):
        sd.Monitor(model, functional.mse_loss, data, optimizer=object())
    with pytest.raises(TypeError, match="model must be"):
        sd.Monitor(print, functional.mse_loss, data, lr=0.1)  # type: ignore[arg-type]


class PublicSAM(torch.optim.Optimizer):
    """The public PyTorch SAM in outline: rho in its groups, lr in those of its base optimiser, two steps."""

    def __init__(self, parameters: object, base: type, rho: float, **options: float) -> None:
        super().__init__(parameters, {"rho": rho, **options})  # type: ignore[arg-type]
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups


def test_the_public_sam_with_two_steps_is_read_and_training_survives_an_interruption() -> None:
    model = network()
    sam = PublicSAM(model.parameters(), torch.optim.SGD, rho=0.06, lr=0.04, momentum=0.5)
    monitor = sd.Monitor(model, functional.mse_loss, (INPUTS, TARGETS), optimizer=sam, every=1, budget=1.0)
    try:
        for k in range(6):
            monitor.step()
            if k == 3:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert len(monitor.history) == 4
    assert (monitor.history.lr[-1], monitor.history.rho[-1]) == (pytest.approx(0.04), pytest.approx(0.06))
    monitor.step()  # and it goes on
    assert len(monitor.history) == 5


def test_a_notebook_sees_one_picture_that_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython
    import IPython.display
    from matplotlib.figure import Figure

    shown: list[tuple[str, object]] = []

    class Handle:
        def update(self, figure: object) -> None:
            shown.append(("update", figure))

    def display(figure: object, display_id: bool) -> Handle:
        shown.append(("display", figure))
        return Handle()

    class Shell:
        kernel = object()

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    monkeypatch.setattr(IPython.display, "display", display)
    model = network()
    monitor = sd.Monitor(model, functional.mse_loss, (INPUTS, TARGETS), lr=0.1, verbose=True)
    for _ in range(3):
        monitor.look()
    assert [kind for kind, _ in shown] == ["display", "update", "update"]
    assert all(isinstance(figure, Figure) and figure.axes for _, figure in shown)

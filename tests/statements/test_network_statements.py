"""Statements about networks that were false, each with a small input and the right value."""

from __future__ import annotations

import copy
import pickle
import time
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import samdyn as sd
from samdyn.landscapes.module_function import ModuleFunction

MSE = functional.mse_loss
SPIRALS = (
    torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]),
    torch.tensor([[-1.0], [1.0], [1.0], [-1.0]]),
)


def diagonal(values: Any) -> sd.Landscape:
    d = torch.as_tensor(np.asarray(values, dtype=float))
    return sd.Landscape(lambda w: (d * w * w).sum() / 2, dim=len(d))


def test_the_largest_curvature_is_not_the_bulk() -> None:
    """Kind (b): after two products the residual of the bulk was within a coarse tolerance: "converged"."""
    for top, n in ((3.0, 20_000), (10.0, 200_000)):
        values = np.ones(n)
        values[7] = top
        found = sd.spectrum(diagonal(values), np.zeros(n), 1, tolerance=1e-2)
        assert found.eigenvalues[0] == pytest.approx(top, rel=1e-2)


@pytest.mark.parametrize("crossing", [[0.3, 0.5, 1.0, 4.0], [0.9, 0.98, 1.05, 1.2]])
def test_an_eigenvalue_that_comes_up_is_found_from_an_old_eigenvector(crossing: list[float]) -> None:
    """Kind (b): a search that began at the last eigenvector stayed there: 164 where the truth was 2722."""
    rng, last = np.random.default_rng(0), None
    bulk = rng.uniform(0, 0.8, 498)
    for value in crossing:
        values = np.r_[bulk, 1.0, value]
        last = sd.spectrum(diagonal(values), np.zeros(500), 1, start=last, tolerance=1e-2)
        assert last.eigenvalues[0] == pytest.approx(values.max(), rel=1e-2)


def test_copies_of_an_eigenvalue_are_listed_where_the_krylov_space_closes() -> None:
    """Kind (f): of 496 zeros of a Hessian one was listed, with three of the five other eigenvalues."""
    torch.manual_seed(0)
    loss = sd.from_module(nn.Linear(500, 1), MSE, (torch.randn(5, 500), torch.randn(5, 1)))
    smallest = sd.spectrum(loss, loss.x0, 4, "smallest")
    assert np.abs(smallest.eigenvalues).max() < 1e-9
    assert smallest.converged.all()
    assert smallest.n_negative is None  # of products alone nobody can tell
    double = sd.spectrum(diagonal(np.r_[-np.ones(5), np.ones(495)]), np.zeros(500), 4, "smallest")
    np.testing.assert_allclose(double.eigenvalues, -1, rtol=1e-8)


def test_residuals_and_signs_are_judged_beside_the_whole_matrix() -> None:
    """Kind (d): exact zeros were "(not converged)", and rounding beside them a negative curvature."""
    torch.manual_seed(1)
    inputs, targets = torch.randn(5, 30), torch.randn(5, 1)
    for width in (6, 30):
        loss = sd.from_module(nn.Linear(width, 1), MSE, (inputs[:, :width], targets))
        found = sd.spectrum(loss, loss.x0, 2, "smallest")
        assert found.converged.all()
        assert found.n_negative == 0


def test_residuals_are_those_of_the_vectors() -> None:
    """Kind (a): in single precision residuals were what the process would leave without rounding."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 40), nn.Tanh(), nn.Linear(40, 3))
    data = torch.randn(30, 10), torch.randn(30, 3)
    loss = sd.from_module(net, MSE, data, dtype=torch.float32)
    found = sd.spectrum(loss, loss.x0, 3, tolerance=1e-5)
    operator = loss.operator(loss.x0)
    for value, vector, residual in zip(found.eigenvalues, found.eigenvectors.T, found.residuals, strict=True):
        assert np.linalg.norm(operator @ vector - value * vector) <= 3 * residual


def test_the_unit_circle_is_looked_for_inside_the_spectrum() -> None:
    """Kind (b): above 400 coordinates the largest multipliers were given as those nearest the circle."""
    curvatures = np.r_[np.linspace(40, 60, 20), np.linspace(0.5, 5, 480)]
    step = sd.Map(diagonal(curvatures), sd.GD(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sd.CostWarning)
        found = sd.spectrum(step, np.ones(500), 3, "unit circle").eigenvalues
    np.testing.assert_allclose(np.real(found), 1 - 0.1 * np.sort(curvatures)[:3])
    large = sd.Map(diagonal(np.ones(2001)), sd.GD(), lr=0.1)
    with pytest.raises(ValueError, match="which='unit circle' must be of a matrix of at most 2000 rows"):
        sd.spectrum(large, np.ones(2001), 3, "unit circle")


def test_a_narrow_density_integrates_to_one() -> None:
    loss = diagonal(np.linspace(0, 1, 50))
    density = sd.spectrum(loss, np.zeros(50)).density(4, 20, width=1e-4)
    assert np.trapezoid(density.values, density.grid) == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ValueError, match="width must be at least"):
        sd.spectrum(loss, np.zeros(50)).density(4, 20, width=1e-9)


@pytest.mark.parametrize(
    "layer",
    [
        nn.InstanceNorm1d(4),
        nn.InstanceNorm1d(4, affine=True),
        nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),
        nn.utils.parametrizations.weight_norm(nn.Linear(6, 6), dim=None),
    ],
    ids=["instance", "affine instance", "weight", "one length"],
)
def test_derivatives_that_torch_has_wrong(layer: nn.Module) -> None:
    """Kind (a): Hessians with weight_norm were 20 % off, third derivatives with InstanceNorm 80 %."""
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(6, 6), layer, nn.Linear(6, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.tanh(self.norm(self.first(x)))).mean((1, 2))

    net = Net().double()
    inputs = torch.randn(3, 4, 6, dtype=torch.float64)
    objective = functional.binary_cross_entropy_with_logits
    loss = sd.from_module(net, objective, (inputs, torch.rand(3, dtype=torch.float64)))
    before = objective(net(inputs), loss.module_data.targets).item()
    assert float(loss.value(loss.x0)) == pytest.approx(before, rel=1e-12)
    x, h = loss.x0, 1e-4
    u, v = np.random.default_rng(0).standard_normal((2, loss.dim))

    def slope(f: Any) -> Any:
        return (8 * (f(x + h * u) - f(x - h * u)) - (f(x + 2 * h * u) - f(x - 2 * h * u))) / (12 * h)

    np.testing.assert_allclose(loss.hvp(x, u), slope(loss.gradient), rtol=1e-6, atol=1e-8)
    third = torch.func.jvp(
        lambda y: torch.func.vjp(torch.func.grad(loss.function), y)[1](torch.from_numpy(v))[0],
        (torch.from_numpy(x),),
        (torch.from_numpy(u),),
    )[1]
    np.testing.assert_allclose(third.detach(), slope(lambda y: loss.hvp(y, v)), rtol=1e-5, atol=1e-6)


class Wrong(torch.autograd.Function):
    """The product of two numbers, whose second derivative is known to one of them alone."""

    @staticmethod
    def forward(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x * y

    @staticmethod
    def setup_context(context: Any, inputs: Any, output: Any) -> None:
        context.save_for_backward(*inputs)

    @staticmethod
    def backward(context: Any, slope: torch.Tensor) -> Any:
        x, y = context.saved_tensors
        return slope * y.detach(), slope * x


class Old(torch.autograd.Function):
    """A function in the manner that torch.func does not take."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def backward(context: Any, slope: torch.Tensor) -> torch.Tensor:
        return 2 * slope


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: Wrong.apply(x[:, :1], x[:, 1:]), "second derivatives .* whose Hessian is not symmetric"),
        (lambda x: Old.apply(x[:, :1]), "must have gradients that torch.func computes"),
    ],
)
def test_derivatives_that_a_user_has_wrong(output: Any, message: str) -> None:
    class Net(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return output(super().forward(x))

    data = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 1, dtype=torch.float64)
    with pytest.raises((TypeError, ValueError), match=message):
        sd.from_module(Net(2, 2).double(), MSE, data)


@pytest.mark.parametrize("padding", [False, True])
def test_an_objective_that_is_no_mean_is_refused_wherever_the_samples_stand(padding: bool) -> None:
    """Kind (d): the first five samples agreed, and the loss was 0.49 or 0.87 by the size of a chunk."""
    torch.manual_seed(0)
    labels = torch.tensor([0] * 10 + [-100 if padding else 1] * 10)
    objective = nn.CrossEntropyLoss() if padding else nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0]))
    with pytest.raises(ValueError, match="objective must be the mean over the samples"):
        sd.from_module(nn.Linear(2, 2), objective.double(), (torch.randn(20, 2), labels))


def test_states_under_any_wrapper() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.module(x)

    data = torch.randn(4, 2), torch.randn(4, 1)
    holder, net = Holder(), nn.Linear(2, 1)
    loss = sd.from_module(holder, MSE, data)
    np.testing.assert_array_equal(loss.point_of(holder), loss.x0)
    np.testing.assert_array_equal(loss.point_of(loss.parameters_of(loss.x0)), loss.x0)
    wrapped = nn.DataParallel(torch.compile(net))
    plain = sd.from_module(wrapped, MSE, data)
    assert list(plain.blocks) == ["weight", "bias"]
    for state in (wrapped, torch.compile(nn.DataParallel(net))):
        np.testing.assert_array_equal(plain.point_of(state.state_dict()), plain.x0)


def test_tied_names_have_one_value() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(torch.tanh(self.a(x)))

    net = Tied()
    loss = sd.from_module(net, MSE, (torch.randn(4, 2), torch.randn(4, 2)))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    state["b.weight"] += 5
    with pytest.raises(ValueError, match="state must have one value of tied parameters"):
        loss.point_of(state)
    with pytest.raises(ValueError, match=r"layer must have weights that are used once, got 'a'"):
        sd.split_unit(net, "a", 0)
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)), nn.Tanh(), nn.Linear(3, 1))
    with pytest.raises(ValueError, match="layer must have a weight that is a parameter of its own, got '0'"):
        sd.split_unit(normed, "0", 0)


def test_a_functional_gradient_needs_outputs_alone() -> None:
    """Kind (a): a term of the objective in the weights was left out of the step without a word."""
    net = nn.Linear(2, 1)
    data = torch.randn(4, 2), torch.randn(4, 1)
    loss = sd.from_module(net, lambda out, y: MSE(out, y) + net.weight.square().sum() / 2, data)
    with pytest.raises(ValueError, match=r"loss must have what FunctionalSAM.* needs"):
        sd.Map(loss, sd.FunctionalSAM(0.1), lr=0.1)


# --- monitors


def watched(net: nn.Module, optimizer: Any, **options: Any) -> sd.network.History:
    monitor = sd.Monitor(net, MSE, SPIRALS, optimizer=optimizer, every=1, budget=1.0, **options)
    monitor.step()
    return monitor.history


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_wrapped_models_are_watched(wrap: Any) -> None:
    net = small_net()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    assert watched(wrap(net), sgd).sharpness == watched(net, sgd).sharpness


def test_a_look_never_ends_the_training() -> None:
    """A learning rate of 0, as warm-ups begin with, and a loss beyond single precision raised."""
    net = small_net()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    monitor = sd.Monitor(net, MSE, SPIRALS, optimizer=sgd, every=1, budget=1.0)
    sgd.param_groups[0]["lr"] = 0.0
    assert monitor.look()["edge"] == np.inf
    with torch.no_grad():
        net[2].weight.fill_(1e20)
    row = monitor.look()
    assert row["loss"] == np.inf
    assert np.isnan(row["sharpness"])


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({"momentum": 0.9, "nesterov": True}, 2 * 1.9 / 2.8),
        ({"momentum": 0.9, "dampening": 0.9}, 2 * 1.9 / 0.1),
        ({"weight_decay": 3.0}, 2 - 0.1 * 3.0),
    ],
)
def test_the_edge_is_that_of_the_optimizer(options: dict[str, Any], factor: float) -> None:
    """Right: h lr at which a step of SGD just turns a direction round; torch's own steps agree."""
    net = small_net()
    history = watched(net, torch.optim.SGD(net.parameters(), lr=0.1, **options))
    assert history.edge[-1] == pytest.approx(factor / 0.1, rel=1e-12)
    for off, grows in ((0.98, False), (1.02, True)):
        x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
        curvature = off * float(history.edge[-1])
        sgd = torch.optim.SGD([x], lr=0.1, **options)
        for _ in range(800):
            sgd.zero_grad()
            (curvature * x.square().sum() / 2).backward()
            sgd.step()
        assert (abs(x.item()) > 1) == grows


def test_adam_has_no_edge_of_the_hessian() -> None:
    net = small_net()
    with pytest.warns(UserWarning, match="the edge of stability is recorded as nan, since a step of Adam"):
        history = watched(net, torch.optim.Adam(net.parameters()))
    assert np.isnan(history.edge).all()


@pytest.mark.parametrize("rule", [sd.SAM(0.5), sd.USAM(0.5), sd.ASAM(0.5)])
def test_the_optimizers_own_rule_perturbs(rule: sd.Rule) -> None:
    """Kind (a): a monitor of samdyn's own optimisers took them for gradient descent: edge 20 for 6.85."""
    net = small_net()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Monitor: the edge", UserWarning)
        history = watched(net, sd.optim.as_optimizer(rule, net.parameters(), lr=0.1))
    loss = sd.from_module(net, MSE, SPIRALS, dtype=torch.float32)
    step = sd.Map(loss, rule, lr=0.1)
    e = step.perturbation(loss.x0)
    gradients = [np.linalg.norm(loss.gradient(p)) for p in (loss.x0, loss.x0 + e)]
    assert history.rho[-1] == 0.5
    assert history.perturbed_gradient[-1] == pytest.approx(gradients[1], rel=1e-5)
    if rule.parts() is not None:
        edge = sd.network.evidence.edge_at(step, gradients[0], float(np.linalg.norm(e)))
        assert history.edge[-1] == pytest.approx(edge, rel=1e-5)


def test_a_layer_that_is_set_free_is_watched() -> None:
    """Layers that were frozen when the monitor was made kept their old weights in its loss."""
    net = small_net()
    net[0].requires_grad_(False)
    sgd = torch.optim.SGD(net.parameters(), lr=0.5)
    monitor = sd.Monitor(net, MSE, SPIRALS, optimizer=sgd, every=1, budget=1.0)
    net[0].requires_grad_(True)
    for _ in range(5):
        sgd.zero_grad()
        MSE(net(SPIRALS[0]), SPIRALS[1]).backward()
        sgd.step()
    assert monitor.look()["loss"] == pytest.approx(MSE(net(SPIRALS[0]), SPIRALS[1]).item(), rel=1e-6)
    assert monitor._loss.dim == 17


def test_seconds_count_from_the_first_step() -> None:
    net = small_net()
    monitor = sd.Monitor(net, MSE, SPIRALS, lr=0.1, every=1, budget=1.0)
    time.sleep(0.05)
    monitor.step()
    assert monitor.history.seconds[0] < 0.05


def test_a_layer_that_is_replaced_is_watched() -> None:
    net = small_net()
    monitor = sd.Monitor(net, MSE, SPIRALS, lr=0.1, every=1, budget=1.0)
    net[0], net[2] = nn.Linear(2, 5), nn.Linear(5, 1)
    assert monitor.look()["loss"] == pytest.approx(MSE(net(SPIRALS[0]), SPIRALS[1]).item(), rel=1e-6)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_of_an_optimizer_take_the_same_steps(copied: Any) -> None:
    """They were without their rule: torch's optimisers leave out of copies what they do not know of."""
    net = small_net()
    own = sd.optim.as_optimizer(sd.MSAM(0.1), net.parameters(), lr=0.1, momentum=0.9)

    def step(net: nn.Module, optimizer: Any) -> None:
        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = MSE(net(SPIRALS[0]), SPIRALS[1])
            loss.backward()
            return loss

        optimizer.step(closure)

    step(net, own)
    again, other = copied((net, own))
    for _ in range(3):
        step(net, own)
        step(again, other)
    for one, two in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    torch.optim.lr_scheduler.StepLR(other, 1, 0.5).step()
    assert other.base.param_groups[0]["lr"] == 0.05
    assert own.param_groups[0]["lr"] == 0.1


def test_a_checkpoint_of_a_run_that_diverged_is_a_point() -> None:
    net = small_net()
    loss = sd.from_module(net, MSE, SPIRALS)
    state = {name: value * float("nan") for name, value in net.state_dict().items()}
    assert np.isnan(loss.point_of(state)).all()
    assert sd.diagnose(sd.Map(loss, sd.SAM(0.1), lr=0.1), loss.point_of(state)).verdict == "diverged"


def test_a_block_is_said_to_be_one() -> None:
    loss = sd.from_module(small_net(), MSE, SPIRALS)
    assert "Hessian, block of 4 coordinates" in repr(sd.spectrum(loss, loss.x0, 1, block=slice(3, 7)))
    turned = sd.spectrum(loss, loss.x0, 1, block=slice(6, 2, -1)).eigenvalues
    np.testing.assert_allclose(turned, sd.spectrum(loss, loss.x0, 1, block=slice(3, 7)).eigenvalues)


# --- refine and diagnose


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("away", [1e-5, 1e-3])
def test_a_convex_quadratic_has_no_hallucinated_point(dtype: torch.dtype, away: float) -> None:
    """Kind (b): in single precision the minimum was "hallucinated, attracting" with |g(x + e)| = 0.155."""
    torch.manual_seed(0)
    loss = sd.from_module(nn.Linear(3, 1), MSE, (torch.randn(10, 3), torch.randn(10, 1)), dtype=dtype)
    found = sd.refine(sd.Flow(loss, sd.SAM(0.05)), loss.minimum().x + away / 2)
    assert (found.ended, found.kind, found.stability) == ("critical point", "minimum", "trapping")


@pytest.mark.parametrize("dim", [100, 450])
def test_a_set_of_minima_is_seen_in_many_dimensions(dim: int) -> None:
    """Kind (b): above 400 coordinates a set of minima of dimension 445 was a single, marginal point."""
    torch.manual_seed(0)
    data = torch.randn(5, dim - 1), torch.randn(5, 1)
    loss = sd.from_module(nn.Linear(dim - 1, 1), MSE, data)
    found = sd.refine(sd.Flow(loss, sd.USAM(0.01)), loss.x0, reach=10.0)
    assert found.transversal_stability == "attracting"
    assert 0 < found.dimension <= dim - 5
    assert dim > 400 or found.dimension == dim - 5
    assert ("at least" in repr(found)) == (dim > 400)


def test_refine_ends_where_nothing_falls_any_more() -> None:
    """Kind (g): 81 coordinates took minutes, unannounced, after the critical point had been reached."""
    torch.manual_seed(0)
    loss = sd.from_module(nn.Linear(80, 1), MSE, (torch.randn(200, 80), torch.randn(200, 1)))
    start = loss.minimum().x + 1e-2 * np.random.default_rng(0).normal(size=81) / 9
    found = sd.refine(sd.Flow(loss, sd.SAM(0.05)), start)
    assert found.ended == "critical point"
    assert found.n_products < 10_000


def verdict(loss: sd.Landscape, rule: sd.Rule, lr: float, x: list[float]) -> str:
    return sd.diagnose(sd.Map(loss, rule, lr=lr), x).verdict


def test_motions_that_grow_or_die_down_do_not_hover() -> None:
    """Kind (b): runs that went away by a tenth a step, for ever, "hovered about a minimum"."""
    bowl = sd.Landscape(lambda w: w[0] ** 2 / 2, dim=1)
    assert verdict(bowl, sd.GD(), 2.1, [1e-3]) == "cannot tell"
    assert verdict(bowl, sd.SAM(0.05), 2.05, [1.0]) == "cannot tell"
    assert verdict(bowl, sd.GD(), 1.9, [1e-3]) == "still descending"
    assert verdict(bowl, sd.SAM(0.5), 0.1, [0.02]) == "hovers about a minimum"
    slope = sd.Landscape(lambda w: 50 * w[0] ** 2 + 0.01 * w[1], dim=2)
    assert verdict(slope, sd.GD(), 0.0202, [1e-3, 0.0]) == "cannot tell"


def test_at_rest_means_at_a_critical_point() -> None:
    """Kind (d): a gradient that is small beside the sharpest curvature was called a minimum."""
    saddle = sd.Landscape(lambda w: 500 * w[0] ** 2 - 0.4 * w[1] ** 2 + w[1] ** 4, dim=2)
    assert verdict(saddle, sd.GD(), 1e-3, [0.0, 0.0]) == "at rest: saddle"
    valley = sd.Landscape(lambda w: 5e5 * w[0] ** 2 + 0.25 * (w[1] - 1) ** 2, dim=2)
    assert verdict(valley, sd.GD(), 1e-7, [0.0, 0.0]) == "still descending"
    for_ever = sd.Landscape(lambda w: 5e3 * w[0] ** 2 + 0.01 * torch.exp(-w[1]), dim=2)
    assert verdict(for_ever, sd.GD(), 1e-5, [0.0, 0.0]) == "still descending"


def test_units_of_relu_split_into_no_saddle() -> None:
    """The text promised negative curvatures: for piecewise linear activations there need be none."""
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    inputs = torch.randn(8, 2, dtype=torch.float64)
    wider = sd.split_unit(net, 0, 0, share=0.5)
    loss = sd.from_module(wider, MSE, (inputs, net(inputs).detach()))  # at a loss of 0
    assert np.linalg.eigvalsh(loss.hessian(loss.x0))[0] > -1e-12


def test_the_function_of_a_module_is_its_own() -> None:
    """A monitor rebuilds it when layers are set free: its parts are what from_module takes."""
    net = small_net()
    function = ModuleFunction(net, MSE, torch.float64, torch.device("cpu"))
    assert function.dim == 17

"""A hidden unit written twice: the same function, a critical point, and a saddle by the dense count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import samdyn as sd

POINTS = np.random.default_rng(0).normal(size=(30, 2))
NOISE = np.random.default_rng(1).normal(size=30)
CURVE = (
    np.tanh(POINTS[:, 0] - POINTS[:, 1])
    + 0.7 * np.tanh(2 * POINTS[:, 0] + 1)
    + 0.5 * np.cos(2 * POINTS[:, 1])
)
DATA = POINTS, (CURVE + 0.1 * NOISE)[:, None]


def at_critical_point(seed: int) -> tuple[nn.Module, sd.landscapes.ModuleLoss]:
    """A net of two hidden units at a critical point of its loss."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    loss = sd.from_module(net, functional.mse_loss, DATA)
    point = sd.refine(sd.Flow(loss, sd.GD()), loss.minimum().x)
    assert point.ended == "critical point"
    net.load_state_dict(loss.parameters_of(point.x))
    return net, sd.from_module(net, functional.mse_loss, DATA)


@pytest.mark.parametrize("seed", range(3))
def test_an_embedded_point_is_critical_with_equal_loss_and_the_index_of_the_dense_count(seed: int) -> None:
    net, loss = at_critical_point(seed)
    indices = {}
    for share in (0.3, 1.7):
        wider = sd.split_unit(net, 0, unit=1, share=share)
        large = sd.from_module(wider, functional.mse_loss, DATA)
        assert large.dim == loss.dim + 4
        assert np.isclose(large.value(large.x0), loss.value(loss.x0), rtol=1e-14)
        assert np.linalg.norm(large.gradient(large.x0)) < 1e-11
        dense = np.linalg.eigvalsh(large.hessian(large.x0))
        indices[share] = int((dense < -1e-9 * np.abs(dense).max()).sum())
        assert sd.spectrum(large, large.x0, large.dim).n_negative == indices[share]
    # on one side of t in (0, 1) at least it is a saddle
    assert max(indices.values()) >= 1


def test_deeper_and_biasless_layers_by_name() -> None:
    net = nn.Sequential(
        nn.Linear(3, 4, bias=False), nn.GELU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)
    ).double()
    inputs = torch.randn(6, 3, dtype=torch.float64)
    for layer in ("0", "2", 1):
        wider = sd.split_unit(net, layer, unit=3, share=-0.5)
        torch.testing.assert_close(wider(inputs), net(inputs))
    assert net[0].out_features == 4  # the model itself is left as it was
    assert sd.split_unit(net, "0", 0)[0].weight.shape == (5, 3)


def test_inputs_of_a_model_that_takes_others_than_its_first_linear_layer() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 4)
            self.mixing = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
            self.out = nn.Linear(4, 2)

        def forward(self, tokens: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return self.out(self.mixing(self.table(tokens)).mean(dim=1)) * scale

    torch.manual_seed(0)
    net = Tokens()
    batch = np.arange(15).reshape(3, 5) % 5, np.ones((3, 1))
    with pytest.raises(ValueError, match="inputs must be given, a batch that the model takes"):
        sd.split_unit(net, "mixing.linear1", 2)
    with pytest.raises(ValueError, match="inputs must be a batch that the model takes"):
        sd.split_unit(net, "mixing.linear1", 2, inputs=batch[0])
    with pytest.raises(TypeError, match="inputs must be an array or a tuple of arrays"):
        sd.split_unit(net, "mixing.linear1", 2, inputs=object())  # type: ignore[arg-type]
    wider = sd.split_unit(net, "mixing.linear1", 2, 0.3, inputs=batch)
    given = torch.from_numpy(batch[0]), torch.ones(3, 1)
    torch.testing.assert_close(wider(*given), net(*given))
    image = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(8, 3), nn.ReLU(), nn.Linear(3, 2))
    assert sd.split_unit(image, 0, 1, inputs=np.ones((2, 1, 3, 3)))[2].out_features == 4


def test_what_cannot_be_split_is_refused() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    mixed = nn.Sequential(nn.Linear(3, 4), nn.Softmax(dim=1), nn.Linear(4, 2))
    widths = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    unlike = nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (2, 2)), nn.Linear(2, 2))
    for call, words in (
        (lambda: sd.split_unit(net, "3", 0), "layer must be a linear layer"),
        (lambda: sd.split_unit(net, "2", 0), "linear layer after it"),
        (lambda: sd.split_unit(net, 0, 4), "unit must be"),
        (lambda: sd.split_unit(net, 0, 0, share=np.nan), "share must be"),
        (lambda: sd.split_unit(mixed, 0, 0), "unit by unit"),
        (lambda: sd.split_unit(widths, 0, 0), "unit by unit"),
        (lambda: sd.split_unit(unlike, 0, 0), "unit by unit"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="model must be"):
        sd.split_unit(lambda x: x, 0, 0)  # type: ignore[arg-type]


class Centred(nn.Module):
    """The mean of the hidden units is subtracted, and outputs are small."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        found: Tensor = 1e-9 * self.second(hidden - hidden.mean(-1, keepdim=True))
        return found


class TwoHeads(Centred):
    def forward(self, x: Tensor) -> Any:
        hidden = torch.tanh(self.first(x))
        return self.second(hidden), {"size": hidden @ self.second.weight.T}


def test_small_outputs_are_compared_on_their_own_scale() -> None:
    """Kind (d): differences below 1e-6 were taken for rounding, whatever the outputs' size."""
    with pytest.raises(ValueError, match="function changes"):
        sd.split_unit(Centred(), 0, 0, 0.4)


def test_models_of_several_outputs_and_batches_that_show_nothing() -> None:
    """Several outputs were an AttributeError, nan inputs blamed the model, an empty batch passed."""
    wider = sd.split_unit(TwoHeads(), 0, 0, 0.4)
    assert wider.first.out_features == 5  # type: ignore[union-attr]
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    for batch in (torch.full((2, 3), float("nan")), torch.zeros((0, 3))):
        with pytest.raises(ValueError, match="inputs must be at least one sample at which"):
            sd.split_unit(net, 0, 0, 0.4, inputs=batch)

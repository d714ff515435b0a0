"""Critical points that a wider network has for certain, most of them saddles: a hidden unit written twice.

Let a hidden unit with incoming weights w and outgoing weights a be replaced by two with the same incoming
weights and the outgoing weights t a and (1 - t) a. The network computes the same function, so that the loss
is the same; and where the gradient of the smaller network vanishes, the gradient of the larger network
vanishes, for every t. The Hessian there has negative eigenvalues for 0 < t < 1 or for t outside, except where
the matrix that decides it vanishes: for one output, the mean of a r s''(w . x) x x^T with the residuals r of
the outputs and the second derivative s'' of the activation. So it does at a loss of 0, for piecewise linear
activations, and for saturated units; there the point may be a minimum.

References
----------
Fukumizu & Amari, Local minima and plateaus in hierarchical structures of multilayer perceptrons (Neural
Networks 2000) [from memory; derived again and checked numerically].
"""

from __future__ import annotations

import copy
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from samdyn.arguments import checks
from samdyn.arguments.signature import checked

Batch = npt.ArrayLike | Tensor | tuple[npt.ArrayLike | Tensor, ...]
"""Inputs of a module, or several as a tuple."""
SAME = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Difference between the outputs of the two networks that rounding leaves, relative to the largest output."""
PROBES = 4
"""Random inputs on which the two are compared."""


@checked
def split_unit(
    model: nn.Module,
    layer: str | int,
    unit: int,
    share: float = 0.5,
    *,
    inputs: Batch | None = None,
) -> nn.Module:
    """A copy of a network with one hidden unit written twice: a critical point if the network was at one.

    Parameters
    ----------
    model : torch.nn.Module
        With two `torch.nn.Linear` layers, one after the other, between which every unit is treated on its own
        (an activation).
    layer : str or int
        The layer whose output the unit is: its name in ``model.named_modules()``, or its number among the
        linear layers.
    unit : int
        The unit's number.
    share : float
        The first copy's part t of the outgoing weights; the second one's is 1 - t. Not only from 0 to 1.
    inputs : array_like or tuple of such, optional
        A batch that the model takes, on which the two networks are compared; several for a model of several
        arguments. By default random numbers of the width of the first linear layer.

    Returns
    -------
    torch.nn.Module
        With one hidden unit more; the last of its layer is the copy.

    Raises
    ------
    TypeError, ValueError
        A layer or unit that does not exist, layers between which units are mixed, whose weights are used
        elsewhere too (tied) or made from others (a parametrization), or inputs that the model does not take.

    Notes
    -----
    Weight decay is not the same for both, so that critical points of a decayed loss are none of the larger
    network's.

    Examples
    --------
    >>> import torch
    >>> import samdyn as sd
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> wider = sd.split_unit(net, "0", unit=1, share=0.3)
    >>> wider[0].out_features, torch.allclose(wider(torch.ones(5, 2)), net(torch.ones(5, 2)), atol=1e-6)
    (4, True)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {checks.shown(model)}")
    wider = copy.deepcopy(model)
    names = [name for name, part in wider.named_modules() if isinstance(part, nn.Linear)]
    place = _place(layer, names)
    share = checks.number("share", share)
    if place + 1 == len(names):
        raise ValueError(
            f"layer must have a linear layer after it, got {names[place]!r}, the last of {', '.join(names)}"
        )
    first, second = wider.get_submodule(names[place]), wider.get_submodule(names[place + 1])
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    unit = checks.integer("unit", unit, at_least=0, below=first.out_features)
    if second.in_features != first.out_features:
        raise ValueError(
            f"layer must feed the next linear layer unit by unit, got {names[place]!r} with "
            f"{first.out_features} outputs before {names[place + 1]!r} with {second.in_features} inputs"
        )
    _check_own(model, names[place], names[place + 1])
    with torch.no_grad():
        incoming = first.weight[unit : unit + 1]
        first.weight = _parameter(torch.cat([first.weight, incoming]), first.weight)
        if first.bias is not None:
            first.bias = _parameter(torch.cat([first.bias, first.bias[unit : unit + 1]]), first.bias)
        outgoing = second.weight[:, unit : unit + 1].clone()
        columns = second.weight.clone()
        columns[:, unit : unit + 1] = share * outgoing
        second.weight = _parameter(torch.cat([columns, (1 - share) * outgoing], dim=1), second.weight)
        first.out_features += 1
        second.in_features += 1
        _check_same(model, wider, names, place, inputs)
    return wider


def _check_own(model: nn.Module, *layers: str) -> None:
    """Refuse layers whose weights are not parameters of their own."""
    holders: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        holders.setdefault(id(parameter), []).append(name)
    for layer in layers:
        part = model.get_submodule(layer)
        if "weight" not in part._parameters or nn.utils.parametrize.is_parametrized(part):
            raise ValueError(
                f"layer must have a weight that is a parameter of its own, got {layer!r}, whose weight is "
                "made from others (weight_norm, say): remove the parametrization first"
            )
        for parameter in part.parameters(recurse=False):
            names = holders[id(parameter)]
            if len(names) > 1:
                raise ValueError(
                    f"layer must have weights that are used once, got {layer!r}, of which {names[0]!r} is "
                    f"{names[1]!r} too: written twice they would no longer be tied"
                )


def _place(layer: str | int, names: list[str]) -> int:
    if not names:
        raise ValueError("model must have torch.nn.Linear layers, one after the other, got none")
    if isinstance(layer, str):
        if layer not in names:
            raise ValueError(
                f"layer must be a linear layer of the model ({', '.join(names) or 'none'}), got {layer!r}"
            )
        return names.index(layer)
    return checks.integer("layer", layer, at_least=0, below=max(len(names), 1))


def _parameter(value: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(value.contiguous(), requires_grad=like.requires_grad)


def _check_same(
    model: nn.Module, wider: nn.Module, names: list[str], place: int, inputs: Batch | None
) -> None:
    """Refuse a module whose function has changed: something between the two layers mixes units."""
    first = model.get_submodule(names[0])
    assert isinstance(first, nn.Linear)
    batch = _batch(inputs, first)
    kind, way = type(model).__name__, f"{names[place]!r} and {names[place + 1]!r}"
    modes = [(part, part.training) for part in (*model.modules(), *wider.modules())]
    model.eval()
    wider.eval()
    try:
        try:
            before = _entries(model(*batch))
        except Exception as error:
            shapes = ", ".join(str(tuple(part.shape)) for part in batch)
            asked = "must be" if inputs is not None else "must be given,"
            raise ValueError(
                f"inputs {asked} a batch that the model takes, to see whether it acts unit by unit between "
                f"{way}; {kind} refuses inputs of shape {shapes}: {error}"
            ) from error
        try:
            after = _entries(wider(*batch))
        except Exception as error:  # a layer that knows its width
            raise ValueError(
                f"model must act unit by unit between {way}, got {kind}, which fails once a unit is written "
                f"twice: {error}"
            ) from error
    finally:
        for part, mode in modes:
            part.training = mode
    if not (len(before) and torch.isfinite(before).all()):
        raise ValueError(
            "inputs must be at least one sample at which the outputs are finite, got "
            f"{len(before)} outputs of {kind}, {int((~torch.isfinite(before)).sum())} of them not finite"
        )
    if (after - before).abs().max() > SAME.get(before.dtype, 1e-2) * before.abs().max():
        raise ValueError(
            f"model must treat the outputs of {names[place]!r} unit by unit up to {names[place + 1]!r}, got "
            f"{kind}, whose function changes when one is written twice (LayerNorm, say)"
        )


def _entries(outputs: Any) -> Tensor:
    """All entries of what a module returns, one tensor or several in tuples, lists and dicts."""
    if isinstance(outputs, Tensor):
        return outputs.detach().reshape(-1)
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if not isinstance(outputs, tuple | list):
        raise TypeError(f"it returns {checks.shown(outputs)} and no tensors")
    parts = [_entries(part) for part in outputs]
    return torch.cat(parts) if parts else torch.zeros(0)


def _batch(inputs: Batch | None, first: nn.Linear) -> list[Tensor]:
    """The positional arguments of the model, floating-point numbers in the dtype of its weights."""
    if inputs is None:
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(PROBES, first.in_features, generator=generator, dtype=torch.float64)
    try:
        parts = [torch.as_tensor(part) for part in (inputs if isinstance(inputs, tuple) else (inputs,))]
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"inputs must be an array or a tuple of arrays, got {checks.shown(inputs)}"
        ) from error
    like = first.weight
    return [part.to(like if part.is_floating_point() else like.device) for part in parts]

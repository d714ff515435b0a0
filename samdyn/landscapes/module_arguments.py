"""`from_module`: a torch module, an objective and data, checked, as a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.landscapes.module_data import read_data
from samdyn.landscapes.module_function import ModuleFunction
from samdyn.landscapes.module_loss import ModuleLoss
from samdyn.trace.device import choose_device

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@checked
def from_module(
    model: torch.nn.Module,
    objective: Callable[..., Tensor],
    data: tuple[object, object] | Dataset[tuple[object, object]] | DataLoader[tuple[object, object]],
    *,
    chunk: int | None = None,
    dtype: torch.dtype | None = torch.float64,
    weight_decay: float = 0.0,
    device: str | torch.device | None = None,
    name: str | None = None,
) -> ModuleLoss:
    """The loss of a torch module as a function of its flattened trainable parameters.

    Parameters
    ----------
    model : torch.nn.Module
        Its trainable parameters (``requires_grad``) are the coordinates, in the order of
        ``model.named_parameters()``; a parameter that is used twice (tied weights) counts once.
    objective : callable
        ``objective(outputs, targets)``, a scalar: the mean over the samples of the batch, such as
        ``torch.nn.functional.mse_loss``. It may read the model's parameters.
    data : tuple, Dataset or DataLoader
        (inputs, targets), arrays or tensors along a first axis of n samples; inputs may be a tuple of such,
        the module's positional arguments. A Dataset or a DataLoader of such pairs is read once, in order.
    chunk : int, optional
        Samples that are evaluated together; by default as many as take about 64 MiB (1 GiB on a GPU) for a
        product with the Hessian.
    dtype : torch.dtype or None
        torch.float64 or torch.float32, in which the loss computes; None for the dtype of the module's
        parameters.
    weight_decay : float
        Adds ``(weight_decay / 2) |x|^2`` to the loss, over all trainable parameters; it can be varied as a
        parameter of the loss.
    device : str, optional
        Where the loss computes; where the module's parameters are by default.
    name : str, optional
        For titles; the module's class by default.

    Returns
    -------
    ModuleLoss
        A `FiniteSum`: batches work. `x0` is the module's own parameters, `parameters_of(x)` a state dict,
        `point_of(module or state dict)` a point, `blocks` where each parameter lies in a point.

    Raises
    ------
    TypeError, ValueError
        A module without trainable parameters, with random outputs (dropout), with buffers that a call changes
        or samples that depend on each other (batch norm in training mode); an objective that returns a vector
        or is no mean over samples; data of unequal lengths, not finite or of the wrong dtype; a loss that is
        not finite at the module's own parameters.

    Notes
    -----
    The module is called with other weights put in for the time of a call and is not changed. Frozen
    parameters, buffers and the training mode are those at the time when the loss was made. float32 results
    carry its rounding: about 1e-7 of the terms that a sum over the samples adds up.

    Examples
    --------
    >>> import torch
    >>> import samdyn as sd
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    >>> inputs = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> targets = torch.tensor([[-1.0], [1.0], [1.0], [-1.0]])
    >>> loss = sd.from_module(net, torch.nn.functional.mse_loss, (inputs, targets))
    >>> loss
    ModuleLoss('Sequential', dim=9, n=4)
    >>> loss.gradient(loss.x0).shape, loss.blocks["2.weight"]
    ((9,), slice(6, 8, None))
    """
    while type(model).__name__ in ("OptimizedModule", "DataParallel", "DistributedDataParallel"):
        inside: Any = model  # what the user wrote
        model = inside._orig_mod if hasattr(inside, "_orig_mod") else inside.module
    if isinstance(model, type) or not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {checks.shown(model)}")
    first = next((p for p in model.parameters() if p.requires_grad), None)
    chosen = _dtype(dtype, first)
    place = choose_device(device if device is not None else "cpu" if first is None else str(first.device))
    if chunk is not None:
        chunk = checks.integer("chunk", chunk, at_least=1)
    decay = checks.number("weight_decay", weight_decay, at_least=0)
    if torch.nn.Module in getattr(objective, "__mro__", ()):
        kind = checks.shown(getattr(objective, "__name__", "?"))
        raise TypeError(
            f"objective must be a function of outputs and targets, got the class {kind}: pass an object of "
            f"it, {kind.strip(chr(39))}()"
        )
    function = ModuleFunction(model, objective, chosen, place)
    return ModuleLoss(function, read_data(data, chosen, place), chunk, decay, name or type(model).__name__)


def _dtype(dtype: Any, first: Tensor | None) -> torch.dtype:
    if dtype is None:
        dtype = torch.float64 if first is None else first.dtype
    chosen = DTYPES.get(str(dtype).removeprefix("torch."))
    if chosen is None:
        raise ValueError(f"dtype must be torch.float64, torch.float32 or None, got {checks.shown(dtype)}")
    return chosen

"""Whether a module and an objective are a function of the weights, and the mean over samples of one.

The module is called a few times on samples from all over the data, at its own weights. What cannot be a loss
of a finite sum is refused with what to change: outputs that differ from call to call (dropout), buffers that
a call changes (running statistics), outputs of a sample that depend on the others in its batch (batch norm),
objectives that return a vector or a sum. The same calls tell how much memory a sample takes.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import torch
from torch import Tensor

from samdyn.landscapes.module_data import ModuleData
from samdyn.landscapes.module_function import ModuleFunction
from samdyn.trace.surroundings import own_surroundings

SAMPLES = 5
"""Samples that the probe looks at, from the first to the last; with some for the sake of their targets."""
CLASSES = 4
"""Labels of which the probe looks at a sample each."""
SAME = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Relative difference between the mean over a batch and the mean of its samples that rounding leaves."""
TINY = 1e-12
"""A loss below it may be nothing but rounding."""
SYMMETRIC = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Of the lengths, how far u . H v may be from v . H u."""


class Probe(NamedTuple):
    """What the probe found.

    Attributes
    ----------
    numbers : float
        Numbers that a gradient keeps for each sample.
    batchable : bool
        Whether torch.vmap can map the module over several weight vectors.
    forward : bool
        Whether products with the Hessian can be taken in forward over reverse mode, which takes less memory.
    through_outputs : bool
        Whether the objective depends on the weights through the outputs alone, as far as can be told.
    reverse : bool
        Whether they can be taken in reverse over reverse mode, of which a part can be kept for many products
        at one point.
    """

    numbers: float
    batchable: bool
    through_outputs: bool
    forward: bool
    reverse: bool


def probe(function: ModuleFunction, x: Tensor, data: ModuleData) -> Probe:
    """Refuse what is no mean over samples of a function of the weights; see the module's docstring.

    Parameters
    ----------
    function : ModuleFunction
    x : Tensor, shape (dim,)
        The module's own weights.
    data : ModuleData

    Raises
    ------
    TypeError, ValueError
    """
    few = some_samples(data)
    count = len(few.targets)
    with own_surroundings(gradients=True), torch.random.fork_rng(devices=_devices(function)):
        value = _value(function, x, few)
        torch.manual_seed(1)
        again = _value(function, x, few)
        # a few samples may be dropped alike by chance
        if _drops(function.model) or (not torch.equal(value, again) and bool(value.isfinite())):
            raise ValueError(_random(function.model))
        value, mean, is_mean = _beside_mean(function, x, few)
        if bool(value.isfinite()) and not is_mean:
            # a loss of 0 is rounding: beside its zero it is a mean or none
            spread = x.abs().mean() * torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).to(x)
            is_mean = bool(value.abs() < TINY) and _beside_mean(function, x + spread, few)[2]
        if bool(value.isfinite()) and not is_mean:
            raise ValueError(_no_mean(function.model, float(value), float(mean), few))
        kept = _numbers_kept(function, x, few)
        _check_gradient(function, x, few)
        if count > 1:
            kept = max(kept - _numbers_kept(function, x, one_sample(few, 0)), 0.0) / (count - 1)
        through = _is_through_outputs(function, x, few)
        return Probe(max(kept, 1.0), _is_batchable(function, x, few), through, *_modes(function, x, few))


def _beside_mean(function: ModuleFunction, x: Tensor, few: ModuleData) -> tuple[Tensor, Tensor, bool]:
    """The objective of some samples together, the mean over each alone, and whether they are the same."""
    value = _value(function, x, few)
    singles = torch.stack([_value(function, x, one_sample(few, i)) for i in range(len(few.targets))])
    size = singles.abs().mean() + value.abs()
    return value, singles.mean(), bool((value - singles.mean()).abs() <= SAME[function.dtype] * size)


def some_samples(data: ModuleData) -> ModuleData:
    """Samples from the first to the last, and with unlike targets: data may be sorted, or padded."""
    targets, n = data.targets, len(data.targets)
    chosen = set(torch.linspace(0, n - 1, min(SAMPLES, n)).round().long().tolist())
    size = targets.reshape(n, -1).to(torch.float64).mean(dim=1)
    if size.isfinite().all():
        chosen |= {int(size.argmin()), int(size.argmax())}
    if not targets.is_floating_point() and targets.ndim == 1:
        labels = targets.unique()[:CLASSES]
        chosen |= {int((targets == label).nonzero()[0]) for label in labels}
    index = torch.tensor(sorted(chosen), device=targets.device)
    return ModuleData(tuple(part[index] for part in data.inputs), targets[index])


def one_sample(data: ModuleData, i: int) -> ModuleData:
    """The i-th sample, as a batch of one."""
    return ModuleData(tuple(part[i : i + 1] for part in data.inputs), data.targets[i : i + 1])


def _devices(function: ModuleFunction) -> list[Any]:
    return [function.device] if function.device.type == "cuda" else []


def _value(function: ModuleFunction, x: Tensor, data: ModuleData) -> Tensor:
    """The objective on some samples, with everything that is wrong about it said."""
    fixed = {name: value.clone() for name, value in function.fixed.items()}
    try:
        value: Any = function.called(x, data.inputs, data.targets, fixed)
    except Exception as error:
        raise TypeError(
            "model and objective must give a loss of the data, got "
            f"{type(error).__name__}: {_first_line(error)}{_advice(error, data)}"
        ) from error
    changed = [name for name in fixed if not torch.equal(fixed[name], function.fixed[name])]
    if changed:
        raise ValueError(_changing(function.model, changed))
    if not isinstance(value, Tensor):
        raise TypeError(f"objective must return a torch scalar, got {type(value).__name__}")
    if value.ndim != 0:
        raise ValueError(
            f"objective must return a scalar, the mean over the batch, got shape {tuple(value.shape)}: "
            'pass reduction="mean", or take .mean()'
        )
    if not value.is_floating_point():
        raise TypeError(f"objective must return a floating-point scalar, got dtype {value.dtype}")
    return value.detach()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _advice(error: Exception, data: ModuleData) -> str:
    """What to change, where an error of torch has one of the usual causes."""
    text, dtype = str(error), data.targets.dtype
    whole = [str(part.dtype) for part in data.inputs if not part.is_floating_point()]
    if whole and ("dtype" in text or "long" in text.lower()):
        return f". The inputs are {whole[0]}: pass floating-point numbers to layers of weights"
    if "Long" in text or "target" in text.lower():
        if data.targets.is_floating_point():
            return (
                f". The targets are {dtype}: class labels must be whole numbers (torch.int64), of shape (n,)"
            )
        return (
            f". The targets are {dtype} of shape {tuple(data.targets.shape)}: pass what the objective wants"
        )
    if "dtype" in text:
        return ". Tensors that the module or the objective makes itself must have the dtype of the inputs"
    if "shape" in text or "size" in text:
        shapes = ", ".join(str(tuple(part.shape[1:])) for part in data.inputs)
        return (
            f". One sample has inputs of shape {shapes} and targets of shape {tuple(data.targets.shape[1:])}"
        )
    return ""


def _drops(model: torch.nn.Module) -> list[str]:
    """Names of the layers that drop at random."""
    return [
        name for name, part in model.named_modules()
        if isinstance(part, torch.nn.modules.dropout._DropoutNd) and part.training and part.p > 0
    ]  # fmt: skip


def _random(model: torch.nn.Module) -> str:
    drops = _drops(model)
    where = f" ({', '.join(map(repr, drops))} drops at random)" if drops else ""
    return (
        f"model must give the same loss each time, got {type(model).__name__}{where}, whose loss differs "
        "from call to call: call model.eval() first, or take the random part out"
    )


def _changing(model: torch.nn.Module, changed: list[str]) -> str:
    return (
        f"model must not change when it is evaluated, got {type(model).__name__}, which changes its buffer "
        f"{changed[0]!r}: call model.eval() first, so that running statistics stay as they are, or use "
        "GroupNorm or LayerNorm, which keep none"
    )


def _no_mean(model: torch.nn.Module, whole: float, mean: float, few: ModuleData) -> str:
    norms = [
        name for name, part in model.named_modules()
        if isinstance(part, torch.nn.modules.batchnorm._NormBase)
        and (part.training or part.running_mean is None)
    ]  # fmt: skip
    if norms:
        return (
            f"model must treat each sample on its own, got the layer {norms[0]!r}, which normalises over the "
            "batch: call model.eval() with running statistics, or use GroupNorm or LayerNorm"
        )
    return (
        f"objective must be the mean over the samples of the batch, got {whole:.6g} for "
        f"{len(few.targets)} samples together and {mean:.6g} as the mean of each alone: average over samples "
        '(reduction="mean"), without weights that depend on the batch; outputs and targets of unequal shapes '
        f"do this too (one target has shape {tuple(few.targets.shape[1:])} here)"
    )


def _numbers_kept(function: ModuleFunction, x: Tensor, data: ModuleData) -> float:
    """Numbers that torch keeps to differentiate the objective of some samples."""
    met: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        met[tensor.data_ptr()] = max(met.get(tensor.data_ptr(), 0), tensor.numel())
        return tensor

    w = x.detach().clone().requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = function(w, data.inputs, data.targets)
    if not value.requires_grad:
        raise TypeError(
            "objective must depend on the outputs through torch operations, got a loss that carries no "
            "gradient: write it without .item(), .detach() and numpy"
        )
    return float(sum(met.values()))


def _check_gradient(function: ModuleFunction, x: Tensor, data: ModuleData) -> None:
    try:
        torch.func.grad(lambda w: function(w, data.inputs, data.targets))(x)
    except Exception as error:  # an autograd.Function without setup_context, say
        raise TypeError(
            f"model and objective must have gradients that torch.func computes, got {type(error).__name__}: "
            f"{_first_line(error)}"
        ) from error


def _is_batchable(function: ModuleFunction, x: Tensor, data: ModuleData) -> bool:
    gradient = torch.func.grad(lambda w: function(w, data.inputs, data.targets))
    try:
        both = torch.func.vmap(gradient)(torch.stack([x, x]))
        return bool((both[0] - gradient(x)).norm() <= SAME[function.dtype] * (both[0].norm() + 1e-30))
    except Exception:  # an operation that vmap has no rule for: points are taken one by one
        return False


def _is_through_outputs(function: ModuleFunction, x: Tensor, data: ModuleData) -> bool:
    gradient = torch.func.grad(lambda w: function(w, data.inputs, data.targets))(x)
    try:
        pulled = function.functional_gradient(x, x, data.inputs, data.targets)
    except Exception:  # outputs that are not one tensor: whoever needs them is told
        return True
    size = gradient.norm() + pulled.norm() + 1e-30
    return bool((pulled - gradient).norm() <= SAME[function.dtype] * size)


def _check_symmetric(function: ModuleFunction, gradient: Any, x: Tensor, v: Tensor, hv: Tensor) -> None:
    """Refuse a module whose second derivatives torch gets wrong: u . H v must be v . H u."""
    u = torch.randn(len(x), generator=torch.Generator().manual_seed(1), dtype=x.dtype).to(x)
    hu = torch.func.vjp(gradient, x)[1](u)[0]
    size = u.norm() * hv.norm() + v.norm() * hu.norm()
    if bool(size.isfinite()) and not bool((u @ hv - v @ hu).abs() <= SYMMETRIC[function.dtype] * size):
        raise ValueError(
            "model must have second derivatives that torch computes rightly, got "
            f"{type(function.model).__name__}, whose Hessian is not symmetric: an operation has a wrong "
            "rule, write it out in plain ones"
        )


def _modes(function: ModuleFunction, x: Tensor, data: ModuleData) -> tuple[bool, bool]:
    """Whether products can be taken in forward over reverse mode and in reverse over reverse mode.

    Where the two differ, reverse mode is believed.
    """
    gradient = torch.func.grad(lambda w: function(w, data.inputs, data.targets))
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(len(x), generator=generator, dtype=x.dtype).to(x)
    ahead: Tensor | None = None
    back: Tensor | None = None
    with contextlib.suppress(Exception):  # an operation without a forward rule
        ahead = torch.func.jvp(gradient, (x,), (v,))[1]
    with contextlib.suppress(Exception):  # an operation without a second derivative in reverse mode
        back = torch.func.vjp(gradient, x)[1](v)[0]
    if back is not None:
        _check_symmetric(function, gradient, x, v, back)
    if ahead is None or back is None:
        return ahead is not None, back is not None
    return bool((ahead - back).norm() <= SAME[function.dtype] * (back.norm() + 1e-30)), True

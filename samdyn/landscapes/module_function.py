"""A torch module and an objective as a function of the flattened trainable parameters and some samples.

The module itself is not copied: its parameters are replaced by tensors for the time of a call
(`torch.func.functional_call`), so that an objective that reads the module's weights, for weight decay say,
sees those that the loss is asked at. What is not trained (frozen parameters, buffers, whether each part is in
training mode) is kept as it was when the function was made, whatever happens to the module later.

Some operations take the plain formula: attention, because torch's fused one cannot be differentiated twice
on the CPU; layer and instance normalisation, whose fused forms have wrong third derivatives in torch 2.13
(off by 12 to 83 % for small networks, in every mode), which branches and normal forms need; and weight
normalisation, whose second derivatives are wrong there (a Hessian off by 20 %, and not symmetric).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from samdyn.arguments.checks import Array


class ModuleFunction:
    """The objective of a module's outputs as a function of its trainable parameters.

    Parameters
    ----------
    model : torch.nn.Module
    objective : callable
        ``objective(outputs, targets)``, a scalar.
    dtype : torch.dtype
        In which it computes.
    device : torch.device
        On which it computes.

    Attributes
    ----------
    names : list of str
        The trainable parameters; one that is used twice (tied weights) once.
    sizes : list of int
        Their numbers of entries.
    dim : int
    """

    def __init__(
        self,
        model: torch.nn.Module,
        objective: Callable[[Any, Any], Tensor],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.model, self.dtype, self.device = model, dtype, device
        self.together = _Together(model, objective)
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not trained:
            raise ValueError(
                "model must have trainable parameters, got "
                f"{type(model).__name__} with none: set requires_grad_(True) on those that are trained"
            )
        lazy = next((n for n, p in trained.items() if is_lazy(p)), None)
        if lazy is not None:
            raise ValueError(
                f"model must know the shapes of its parameters, got {lazy!r} of a lazy layer: call the model "
                "once on a batch"
            )
        unreal = next((n for n, p in trained.items() if not p.is_floating_point()), None)
        if unreal is not None:
            raise TypeError(
                f"model must have real parameters, got {unreal!r} of {trained[unreal].dtype}: train its real "
                "and its imaginary part apart"
            )
        self.names = list(trained)
        self.shapes = [tuple(p.shape) for p in trained.values()]
        self.sizes = [p.numel() for p in trained.values()]
        self.dim = sum(self.sizes)
        first = {id(p): name for name, p in trained.items()}
        # every name of a tied parameter leads to the one that stands for it
        aliases = dict(model.named_parameters(remove_duplicate=False))
        self.names_of = {name: first[id(p)] for name, p in aliases.items() if id(p) in first}
        self.fixed = {
            name: self._own(p) for name, p in [*model.named_parameters(), *model.named_buffers()]
            if name not in trained
        }  # fmt: skip
        self.modes = [(part, part.training) for part in model.modules()]
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def _own(self, value: Tensor) -> Tensor:
        """A tensor of the module as a constant of its own."""
        dtype = self.dtype if value.is_floating_point() else value.dtype
        return value.detach().to(device=self.device, dtype=dtype, copy=True)

    def __call__(self, w: Tensor, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        """The objective at weights w (dim,), in the dtype and on the device of w."""
        return self.called(w, inputs, targets, self.fixed).to(w)

    def functional_gradient(
        self, y: Tensor, x: Tensor, inputs: tuple[Tensor, ...], targets: Tensor
    ) -> Tensor:
        """J_F(y)^T grad l(F(x)) with F the module's outputs, which have to be one tensor."""
        slope = torch.func.grad(lambda out: self.together.objective[0](out, targets))(self.outputs(x, inputs))
        pulled: Tensor = torch.func.vjp(lambda w: self.outputs(w, inputs), y)[1](slope)[0]
        return pulled.to(y)

    def outputs(self, w: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        """The module's outputs at weights w (dim,), in the dtype and on the device of the function."""
        own = w.to(device=self.device, dtype=self.dtype)
        with self._surroundings():
            result: Tensor = torch.func.functional_call(
                self.model, {**self.fixed, **self._weights(own)}, inputs
            )
        return result

    def _weights(self, w: Tensor) -> dict[str, Tensor]:
        """The trainable parameters by name."""
        # one split, whose derivative is one concatenation
        pieces = w.split(self.sizes)
        return {n: p.reshape(s) for n, p, s in zip(self.names, pieces, self.shapes, strict=True)}

    def called(
        self, w: Tensor, inputs: tuple[Tensor, ...], targets: Tensor, fixed: Mapping[str, Tensor]
    ) -> Any:
        """What the objective returns, with given values of what is not trained."""
        own = w.to(device=self.device, dtype=self.dtype)
        state = {f"model.{name}": value for name, value in {**fixed, **self._weights(own)}.items()}
        with self._surroundings():
            return torch.func.functional_call(self.together, state, (inputs, targets))

    @contextlib.contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Every part in the mode that it had, attention by the plain formula."""
        changed = [(part, part.training) for part, mode in self.modes if part.training != mode]
        fast = torch.backends.mha.get_fastpath_enabled()
        try:
            for part, mode in changed:
                part.training = not mode
            torch.backends.mha.set_fastpath_enabled(False)
            with sdpa_kernel(SDPBackend.MATH), _PlainNorms():
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for part, mode in changed:
                part.training = mode

    def flat(self, state: Mapping[str, Tensor]) -> Array:
        """The trainable parameters out of a state dict, in float64: shape (dim,)."""
        parts = [state[name].detach().to("cpu", torch.float64).reshape(-1) for name in self.names]
        return np.asarray(torch.cat(parts).numpy())

    def unflat(self, x: Array) -> dict[str, Tensor]:
        """A whole state dict with the trainable parameters x (dim,) in float64."""
        pieces = torch.from_numpy(np.array(x, dtype=np.float64)).split(self.sizes)
        trained = {n: p.reshape(s) for n, p, s in zip(self.names, pieces, self.shapes, strict=True)}
        return {
            name: trained[self.names_of[name]].clone() if name in self.names_of else value.clone()
            for name, value in self.state.items()
        }


class _PlainNorms(TorchFunctionMode):
    """Layer, instance and weight normalisation by sums, products and a root, each of which torch
    differentiates any number of times.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in (torch.nn.functional.layer_norm, torch.layer_norm):
            return _layer_norm(*args, **(kwargs or {}))
        if function is torch.nn.functional.instance_norm and _of_each_input(*args, **(kwargs or {})):
            return _instance_norm(*args, **(kwargs or {}))
        if function is torch._weight_norm:
            return _weight_norm(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """What `torch.nn.functional.layer_norm` computes."""
    axes = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(dim=axes, keepdim=True)
    result = centred * ((centred * centred).mean(dim=axes, keepdim=True) + eps).rsqrt()
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


def _of_each_input(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    *_: Any,
    **__: Any,
) -> bool:
    """Whether instance normalisation takes its statistics from more than one number of each input."""
    return use_input_stats and running_mean is None and running_var is None and input[0, 0].numel() > 1


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """What `torch.nn.functional.instance_norm` computes where it keeps no running statistics."""
    shape = (1, -1, *(1 for _ in range(input.ndim - 2)))
    result = _layer_norm(input, input.shape[2:], eps=eps)
    result = result if weight is None else result * weight.reshape(shape)
    return result if bias is None else result + bias.reshape(shape)


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """What `torch._weight_norm` computes: v scaled to the lengths g along all axes but `dim`, or all (-1)."""
    axes = [axis for axis in range(v.ndim) if dim == -1 or axis != dim]
    return v * (g * (v * v).sum(dim=axes, keepdim=True).rsqrt())


class _Together(torch.nn.Module):
    """Model and objective as one module of inputs and targets."""

    def __init__(self, model: torch.nn.Module, objective: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.model = model
        # in a list, so that an objective that is a module does not become a part of this one
        self.objective = [objective]

    def forward(self, inputs: tuple[Tensor, ...], targets: Tensor) -> Any:
        return self.objective[0](self.model(*inputs), targets)

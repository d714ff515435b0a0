"""The mean gradient of a network of linear layers at many weight vectors, as a compiled loop on the CPU.

A batched product of many small matrices, which is what torch does with replicas of a network, reaches a
fortieth of a processor's arithmetic where layers have ten units. Here a lane of a vector register is a
replica, so that layers of any width fill the registers, and a weight stays in a register while eight samples
pass by (`layers.hpp`). What stands between linear layers, and the objective, are traced and printed.

Networks that are taken: a `torch.nn.Sequential` of `torch.nn.Linear` layers, all trained, and of parts that
treat every number on its own (activations, identities, a flattening at the beginning), with an objective that
can be traced. The compiled gradient is compared with torch's before it is used. Others raise `NotTraceable`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from samdyn.arguments.checks import Array
from samdyn.dynamics.backends.native_program import function_of, header
from samdyn.landscapes.module_loss import ModuleLoss
from samdyn.trace.printed.cpp import cpp_function, lanes_header
from samdyn.trace.surroundings import own_surroundings
from samdyn.trace.tracing import NotTraceable, coordinate_form

BLOCK = 8
"""SAMPLES of `layers.hpp`."""
MAX_DIM = 20_000
"""Weights above which a register's replicas leave the cache, and torch's products are large enough."""
SAME = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Relative difference from torch's gradient that rounding leaves."""


class _Layer(NamedTuple):
    """A linear layer, the places of its weights and biases in a point, and what is done to its outputs."""

    n_in: int
    n_out: int
    weight: int
    bias: int | None
    after: list[nn.Module]


class LayeredGradient:
    """The gradient of a network at points (n, dim), as an array (n, dim) in float64.

    Parameters
    ----------
    loss : ModuleLoss
        Weight decay is added.

    Raises
    ------
    NotTraceable
        The network is not made of linear layers alone; see the module's docstring.
    CompilationError
        There is no compiler, or it fails.
    """

    def __init__(self, loss: ModuleLoss) -> None:
        layers = _layers(loss)
        self.decay, self.dim = float(loss.parameters["weight_decay"]), loss.dim
        self.real: Any = np.float32 if loss.dtype == torch.float32 else np.float64
        n, n_blocks = loss.n_samples, -(-loss.n_samples // BLOCK)
        inputs = np.zeros((n_blocks * BLOCK, layers[0].n_in), self.real)
        inputs[:n] = loss.data[0].reshape(n, -1)
        # within a block the samples of one input stand side by side
        self.inputs = np.ascontiguousarray(inputs.reshape(n_blocks, BLOCK, -1).swapaxes(1, 2))
        targets = loss.data[-1].reshape(n, -1)
        self.targets = np.zeros((n_blocks * BLOCK, targets.shape[1]), self.real)
        self.targets[:n] = targets
        self.share = np.zeros(n_blocks * BLOCK, self.real)  # a block is filled up with samples that count 0
        self.share[:n] = 1 / n
        self.lanes = 64 // self.real().itemsize
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        types = [integer, pointer, pointer, pointer, pointer, pointer, integer]
        self.function = function_of(_source(loss, layers), "gradient", types, None)
        self._compare(loss)

    def __call__(self, x: Array, n_threads: int = 1) -> Array:
        """Registers of replicas are shared out over threads; the result does not depend on how."""
        points = np.ascontiguousarray(x, dtype=self.real)
        result = np.empty_like(points)
        registers = -(-len(points) // self.lanes)
        n_parts = min(registers, n_threads)
        if n_parts <= 1:
            self._part(points, result, 0, len(points))
        else:
            cuts = [min(len(points), registers * i // n_parts * self.lanes) for i in range(n_parts + 1)]
            cuts[-1] = len(points)
            with ThreadPoolExecutor(n_parts) as pool:
                list(pool.map(lambda i: self._part(points, result, cuts[i], cuts[i + 1]), range(n_parts)))
        gradient = result.astype(np.float64)
        return gradient + self.decay * x if self.decay else gradient

    def _part(self, points: Any, result: Any, start: int, end: int) -> None:
        self.function(
            end - start, points[start:end].ctypes.data, result[start:end].ctypes.data,
            self.inputs.ctypes.data, self.targets.ctypes.data, self.share.ctypes.data, len(self.inputs),
        )  # fmt: skip

    def _compare(self, loss: ModuleLoss) -> None:
        x = loss.x0 + 0.1 * np.random.default_rng(0).standard_normal((2, loss.dim))
        own, known = self(x), loss.gradient(x)
        if not np.linalg.norm(own - known) <= SAME[loss.dtype] * np.linalg.norm(known):
            raise NotTraceable("the compiled gradient disagrees with torch's")


def _parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of nested `Sequential`s in order, with their names."""
    for name, part in model.named_children():
        if type(part) is nn.Sequential:
            yield from ((f"{name}.{inner}", one) for inner, one in _parts(part))
        else:
            yield name, part


def _layers(loss: ModuleLoss) -> list[_Layer]:
    """The linear layers of a network, in order."""
    model = loss.model
    hooked = any(
        part._forward_hooks or part._forward_pre_hooks or hasattr(part, "parametrizations")
        for part in model.modules()
    )
    if type(model) is not nn.Sequential or hooked or loss.dim > MAX_DIM or len(loss.module_data.inputs) > 1:
        raise NotTraceable("the network is no Sequential of linear layers without hooks")
    places, found, before = loss.blocks, list[_Layer](), True
    for name, part in _parts(model):
        if type(part) is nn.Linear:
            weight, bias = f"{name}.weight", f"{name}.bias"
            wanted = [weight] if part.bias is None else [weight, bias]
            if any(own not in places for own in wanted):
                raise NotTraceable("a weight is frozen or tied")
            start = None if part.bias is None else places[bias].start
            found.append(_Layer(part.in_features, part.out_features, places[weight].start, start, []))
            before = False
        elif before and isinstance(part, nn.Flatten | nn.Identity):
            continue
        elif before or list(part.parameters()) or isinstance(part, nn.Softmax | nn.LogSoftmax | nn.GLU):
            raise NotTraceable(f"{type(part).__name__} is no activation after a linear layer")
        else:
            found[-1].after.append(part)
    if not found or sum(
        layer.n_in * layer.n_out + layer.n_out * (layer.bias is not None) for layer in found
    ) != (loss.dim):
        raise NotTraceable("the network has weights outside its linear layers")
    return found


def _source(loss: ModuleLoss, layers: list[_Layer]) -> str:
    """The C++ of the gradient."""
    n_targets = int(np.prod(loss.module_data.targets.shape[1:]))
    last = len(layers) - 1
    functions: list[str] = []
    steps: list[str] = []
    back: list[str] = []
    for i, layer in enumerate(layers):
        size = f"{layer.n_in}, {layer.n_out}"
        source = "in" if i == 0 else f"a{i - 1}"
        bias, slot = (
            ("nullptr", "nullptr") if layer.bias is None else (f"x + {layer.bias}", f"g + {layer.bias}")
        )
        steps += [
            f"Vector z{i}[{layer.n_out} * SAMPLES], d{i}[{layer.n_out} * SAMPLES];",
            f"forward<{size}>(x + {layer.weight}, {bias}, {source}, z{i});",
        ]
        undone = []
        if layer.after:
            functions.append(_activation(i, layer.after))
            each = f"for (int i = 0; i < {layer.n_out} * SAMPLES; i++)"
            steps += [f"Vector a{i}[{layer.n_out} * SAMPLES], s{i}[{layer.n_out} * SAMPLES];"]
            steps += [f"{each} activation{i}(z{i}[i], a{i} + i, s{i} + i);"]
            undone = [f"{each} d{i}[i] *= s{i}[i];"]
        else:
            steps += [f"Vector *const a{i} = z{i};"]
        undone += [f"weights<{size}>(d{i}, {source}, g + {layer.weight}, {slot});"]
        if i > 0:
            undone += [f"inputs<{size}>(x + {layer.weight}, d{i}, d{i - 1});"]
        back = undone + back
    functions.append(_head(loss, layers[-1].n_out, n_targets))
    steps += [
        f"for (int s = 0; s < SAMPLES; s++) head(a{last} + s, t + s * {n_targets}, share[s], d{last} + s);"
    ]
    return "\n".join(
        [
            lanes_header(loss.dtype),
            header("layers.hpp"),
            f"constexpr int DIM = {loss.dim}, IN = {layers[0].n_in}, TARGETS = {n_targets};",
            *functions,
            "SEPARATE block(const Vector *x, Vector *g, const REAL *in, const REAL *t, const REAL *share) {",
            *("  " + line for line in [*steps, *back]),
            "}",
            header("layers_loop.hpp"),
        ]
    )


def _activation(i: int, parts: list[nn.Module]) -> str:
    """The C++ of what is done to each output of a layer, and of its derivative."""

    def whole(z: Tensor) -> Tensor:
        for part in parts:
            z = part(z)
        return z

    with own_surroundings(), torch.no_grad():
        pair = torch.tensor([[0.3, -0.7, 0.2]], dtype=torch.float64)
        if not torch.equal(whole(pair), torch.cat([whole(pair[:, j : j + 1]) for j in range(3)], dim=1)):
            raise NotTraceable("what follows a linear layer mixes its units")

    def both(v: Tensor) -> Tensor:
        slope, value = torch.func.grad_and_value(lambda z: whole(z[None])[0, 0])(v)
        return torch.stack([value, slope[0]])

    form = coordinate_form(both, 1)
    return cpp_function(form, f"activation{i}", ["z"], "Vector z, Vector *a, Vector *s", ["*a", "*s"])


def _head(loss: ModuleLoss, n_out: int, n_targets: int) -> str:
    """The C++ of the objective's gradient in the outputs, for one sample, times the sample's share."""
    targets = loss.module_data.targets
    whole = not targets.is_floating_point()
    top = int(targets.max()) + 1 if whole else 0
    if whole and int(targets.min()) < 0:
        raise NotTraceable("labels below 0")
    objective = loss.module_function.together.objective[0]

    def gradient(v: Tensor) -> Tensor:
        own = v[n_out:-1]
        if whole:  # a trace is tried at numbers of any size
            own = torch.remainder(own, top).to(targets.dtype)
        one = own.reshape(1, *targets.shape[1:])
        return v[-1] * torch.func.grad(lambda z: objective(z[None], one))(v[:n_out])

    form = coordinate_form(gradient, n_out + n_targets + 1)
    return cpp_function(
        form,
        "head",
        [
            *(f"z[{j} * SAMPLES]" for j in range(n_out)),
            *(f"t[{j}]" for j in range(n_targets)),
            "share",
        ],
        "const Vector *z, const REAL *t, REAL share, Vector *d",
        [f"d[{j} * SAMPLES]" for j in range(n_out)],
    )

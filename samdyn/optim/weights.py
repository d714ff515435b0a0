"""The parameters that an optimiser trains, as one vector, with the blocks that a rule may ask for."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


class Gradients:
    """The gradients of some parameters at one moment, to tell later whether anything was written to them."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.known = [None if p.grad is None else (p.grad, p.grad._version) for p in self.parameters]

    def are_untouched(self) -> bool:
        """Whether there are gradients, and they are the same tensors, written to by nobody since."""
        now = [None if p.grad is None else (p.grad, p.grad._version) for p in self.parameters]
        pairs = [pair for pair in zip(self.known, now, strict=True) if pair != (None, None)]
        return bool(pairs) and all(
            a is not None and b is not None and a[0] is b[0] and a[1] == b[1] for a, b in pairs
        )


class Weights:
    """The parameters of some groups, one after the other; to a rule it is a loss with blocks.

    Parameters
    ----------
    groups : iterable of dict
        Parameter groups of an optimiser.
    model : Module, optional
        Whose parameters they are: it gives blocks their names.
    """

    def __init__(self, groups: Iterable[dict[str, object]], model: torch.nn.Module | None) -> None:
        self.parameters = [p for group in groups for p in group["params"]]  # type: ignore[attr-defined]
        names = {} if model is None else {id(p): name for name, p in model.named_parameters()}
        sizes = [p.numel() for p in self.parameters]
        self.dim = sum(sizes)
        # of mixed precision the widest: weights come back as they were
        widest = functools.reduce(torch.promote_types, (p.dtype for p in self.parameters))
        self.like = torch.empty(0, dtype=widest, device=self.parameters[0].device)
        self.module_function = SimpleNamespace(
            names=[names.get(id(p), str(i)) for i, p in enumerate(self.parameters)],
            sizes=sizes,
            shapes=[tuple(p.shape) for p in self.parameters],
            model=torch.nn.Module() if model is None else model,
        )

    def __repr__(self) -> str:
        names = self.module_function.names
        return f"weights ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"

    @property
    def blocks(self) -> dict[str, slice]:
        """Where each parameter lies, by its name; by its number without a model."""
        ends = list(itertools.accumulate(self.module_function.sizes))
        starts = [0, *ends[:-1]]
        return {n: slice(a, b) for n, a, b in zip(self.module_function.names, starts, ends, strict=True)}

    def _parts(self, vector: Tensor) -> Iterator[tuple[torch.nn.Parameter, Tensor]]:
        pieces = vector.split(self.module_function.sizes)
        for p, piece in zip(self.parameters, pieces, strict=True):
            yield p, piece.reshape(p.shape).to(dtype=p.dtype, device=p.device)

    def point(self) -> Tensor:
        """A copy of the weights, in the widest of their dtypes and on the device of the first."""
        return torch.cat([p.detach().reshape(-1).to(self.like) for p in self.parameters])

    def gradient(self, scale: float = 1.0) -> Tensor:
        """The gradients over a scale; 0 where a parameter has none.

        Raises
        ------
        TypeError
            A sparse gradient, which has no place in a vector of all weights.
        """
        for name, p in zip(self.module_function.names, self.parameters, strict=True):
            if p.grad is not None and p.grad.layout != torch.strided:
                raise TypeError(
                    f"params must have dense gradients, got one of layout {p.grad.layout} for parameter "
                    f"{name!r}: build its layer with sparse=False"
                )
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        return torch.cat([part.detach().reshape(-1).to(self.like) for part in parts]) / scale

    def require_gradients(self, when: str) -> None:
        """Refuse weights none of which has a gradient: a step would do nothing, and nobody would see it."""
        if all(p.grad is None for p in self.parameters):
            raise RuntimeError(f"no parameter has a gradient: call backward on the loss {when}")

    def of_groups(self, values: Iterable[float], groups: Iterable[dict[str, object]]) -> Any:
        """One number where the groups' values agree, else a vector with the value of each weight's group."""
        values = list(values)
        if len(set(values)) == 1:
            return values[0]
        parts = zip(values, groups, strict=True)
        return torch.cat(
            [self.like.new_full((p.numel(),), value) for value, group in parts for p in group["params"]]  # type: ignore[attr-defined]
        )

    def move_to(self, point: Tensor) -> None:
        """Set the weights."""
        for p, value in self._parts(point):
            p.data.copy_(value)

    def set_gradient(self, gradient: Tensor) -> None:
        """Set the gradients of the parameters that have one."""
        for p, value in self._parts(gradient):
            if p.grad is not None:
                p.grad.copy_(value)

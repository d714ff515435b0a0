"""Steps of replicas on batches of any components.

The step of one replica, with the numbers of its samples among the inputs, is traced and printed as numpy code
where it is small, and goes through `torch.vmap` where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.compute.checks import Array
from samdyn.compute.printing import printed_form
from samdyn.compute.tracing import NotTraceable, coordinate_form
from samdyn.ensemble.replica_step import Coefficients, ReplicaStep
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch, descent_direction
from samdyn.systems.sampling import Index

MAX_TRACED_INPUTS = 96
MAX_TRACED_NODES = 3000


class BatchStep(ReplicaStep):
    """Steps on any components."""

    def __init__(self, system: Map) -> None:
        loss, noise = system.landscape, system.noise
        assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch)
        self.dim, self.state_dim = system.dim, system.state_dim
        self.sampler = noise.sampler(loss)
        self.ascent_sampler = self.sampler if noise.probe == "independent" else None
        self.step, self.names = sampled_step(system)
        self.table = np.concatenate([loss.flat_samples, self.sampler.weights[:, None]], axis=1)
        n_drawn = noise.batch_size * (2 if self.ascent_sampler else 1)
        n_inputs = self.state_dim + n_drawn * self.table.shape[1] + len(self.names)
        looks_at_all = noise.probe == "full" or (system.rule is not None and system.rule.uses_full_gradient)
        self.arrays: Callable[..., Sequence[Any]] | None = None
        if n_inputs + (loss.flat_samples.size if looks_at_all else 0) <= MAX_TRACED_INPUTS:
            try:
                form = coordinate_form(self.step, n_inputs, max_nodes=MAX_TRACED_NODES)
                self.arrays = printed_form(form).arrays
                self.table = np.ascontiguousarray(self.table.T)
            except NotTraceable:
                pass

    def load(self, state: Array) -> Any:
        """Separate coordinates for printed code, else the states."""
        return state if self.arrays is None else list(np.ascontiguousarray(state.T))

    def points(self, loaded: Any) -> Array:
        """The points."""
        if self.arrays is None:
            return np.asarray(loaded[:, : self.dim])
        return np.stack(loaded[: self.dim], axis=1)

    def advance(self, loaded: Any, random: Index, coefficients: Coefficients) -> Any:
        """One step."""
        values = [coefficients[name] for name in self.names]
        if self.arrays is not None:
            drawn = self.table.take(random, axis=1)  # (numbers, drawn, n)
            inputs = [part for sample in range(len(random)) for part in drawn[:, sample]]
            return list(self.arrays(*loaded, *inputs, *map(np.float64, values)))
        n = len(loaded)
        columns = [np.broadcast_to(value, n)[:, None] for value in values]
        numbers = self.table.take(random.T, axis=0).reshape(n, -1)
        inputs_of_all = torch.from_numpy(np.concatenate([loaded, numbers, *columns], axis=1))
        return torch.func.vmap(self.step)(inputs_of_all).detach().numpy()


def sampled_step(system: Map) -> tuple[Callable[[Tensor], Tensor], tuple[str, ...]]:
    """The step of one replica as a torch function of one vector of inputs.

    Returns
    -------
    function : callable
        The inputs are the state, for every drawn sample (descent, then ascent) its numbers and its weight,
        and the coefficients.
    names : tuple of str
        Of the coefficients.
    """
    loss, noise, rule = system.landscape, system.noise, system.rule
    assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch) and rule is not None
    dim, state_dim, size = system.dim, system.state_dim, noise.batch_size
    numbers = loss.flat_samples.shape[1]
    names = tuple(system.coefficients())
    micro = noise.micro_batch or size
    full = loss.gradient_function
    n_drawn = 2 * size if noise.probe == "independent" else size
    weighted = noise.sampler(loss).weighted

    def gradient_of(flat: Tensor) -> Callable[[Tensor], Tensor]:
        samples = torch.func.vmap(loss.unflatten)(flat[:, :numbers])
        return loss.batch_gradient(samples, flat[:, numbers] if weighted else None)

    def step(inputs: Tensor) -> Tensor:
        state = inputs[:state_dim]
        end = state_dim + n_drawn * (numbers + 1)
        drawn = inputs[state_dim:end].reshape(n_drawn, numbers + 1)
        values: dict[str, Any] = dict(zip(names, inputs[end:], strict=True))
        lr = values.pop("lr")
        x = state[:dim]
        if rule.memory:
            values["memory"] = state[dim:]
        directions = []
        for start in range(0, size, micro):
            descent = gradient_of(drawn[start : start + micro])
            ascent = descent
            if noise.probe != "same":
                ascent = full if noise.probe == "full" else gradient_of(drawn[size:])
            directions.append(descent_direction(rule, x, ascent, descent, full, **values))
        direction = directions[0] if len(directions) == 1 else torch.stack(directions).mean(dim=0)
        if not system.has_memory:
            return x - lr * direction
        direction = system.momentum * state[dim:] + direction
        return torch.cat([x - lr * direction, direction])

    return step, names

"""Steps of replicas on components that are squares of a linear form plus a ridge.

A single-sample step of a rule with e = (alpha + beta/|g|) g needs two inner products, one scaling and one sum
of vectors: with z = a.x, p = z - b, q = |a|^2 the gradient is p a + r x, and everything else is scalar. Other
batches and rules take gathered rows and matrix products.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.contract import Coefficients, Step, column
from samdyn.dynamics.draws import BatchDraws, Stream
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.systems.batch_samplers import Index
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.step_of_rule import next_state
from samdyn.trace.batch import tensor_of


class SquaresStep(Step):
    """Steps on components (a.x - b)^2 / 2 + r |x|^2 / 2."""

    def __init__(self, system: Map) -> None:
        loss, noise = system.landscape, system.noise
        assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch) and loss.squares is not None
        assert system.rule is not None
        self.rule, self.momentum = system.rule, system.momentum
        self.dim, self.state_dim = system.dim, system.state_dim
        self.memory, self.probe = system.has_memory, noise.probe
        self.rows, self.targets, self.ridge = loss.squares
        self.square = (self.rows**2).sum(axis=1)
        self.sampler = noise.sampler(loss)
        samplers = [self.sampler, self.sampler] if noise.probe == "independent" else [self.sampler]
        self.draws = BatchDraws(samplers, self.rows.T, by_index=True)
        parts = self.rule.parts()
        same = noise.probe == "same" or not self.rule.perturbs
        self.fused = parts is not None and noise.batch_size == 1 and same

    def stream(self, seed: int, paths: Index, end: int) -> Stream:
        """See `Step.stream`."""
        return Stream(self.draws.index_steps, self.draws.n_words, seed, paths, end)

    def load(self, state: Array) -> list[Array]:
        """Points, and velocities or the rule's memory where there are any."""
        parts = [state[:, : self.dim], state[:, self.dim :]] if self.memory else [state]
        return [np.array(part) for part in parts]

    def points(self, loaded: list[Array]) -> Array:
        """The points."""
        return loaded[0]

    def states(self, loaded: list[Array]) -> Array:
        """The states."""
        return np.concatenate(loaded, axis=1)

    def advance(
        self,
        loaded: list[Array],
        stream: Stream,
        step: int,
        n_steps: int,
        values: Callable[[int], Coefficients],
        dt: float | None = None,
    ) -> list[Array]:
        """See `Step.advance`; the states are changed in place."""
        with np.errstate(all="ignore"):
            for j in range(step, step + n_steps):
                index = stream(j)
                if self.fused:
                    loaded = self._fused(loaded, index[0], values(j))
                else:
                    loaded = self._general(loaded, index, values(j))
        return loaded

    def _fused(self, loaded: list[Array], index: Index, coefficients: Coefficients) -> list[Array]:
        x = loaded[0]
        lr = coefficients["lr"]
        parts = self.rule.parts(coefficients)
        assert parts is not None
        alpha, beta = parts
        ridged = bool(self.ridge.any())
        weight = self.sampler.weights.take(index) if self.sampler.weighted else 1.0
        a = self.rows.take(index, axis=0)
        z, q, b = np.vecdot(a, x), self.square.take(index), self.targets.take(index)
        r = self.ridge.take(index) if ridged else 0.0
        p = z - b
        stretch = alpha * weight
        if np.any(beta):
            if ridged:
                size = np.sqrt(np.maximum(p * p * q + 2 * r * p * z + r * r * np.vecdot(x, x), 0.0))
            else:
                size = np.abs(p) * np.sqrt(q)
            stretch = stretch + beta * np.where(size > 0, 1 / size, 0.0)
        shifted = z + stretch * (p * q + r * z)
        along_a = weight * (shifted - b + r * stretch * p)
        along_x = weight * r * (1 + stretch * r)
        if not self.memory:
            a *= (lr * along_a)[:, None]
            if ridged:
                x *= (1 - lr * along_x)[:, None]
            x -= a
            return loaded
        v = loaded[1]
        a *= along_a[:, None]
        v *= self.momentum
        v += a
        if ridged:
            v += along_x[:, None] * x
        x -= column(lr) * v
        return loaded

    def _gradient(self, x: Array, index: Index | None) -> Array:
        if index is None:
            return np.asarray(
                (x @ self.rows.T - self.targets) @ self.rows / len(self.rows) + self.ridge.mean() * x
            )
        chosen = np.ascontiguousarray(index.T)  # (n, batch)
        rows = self.rows.take(chosen, axis=0)
        weights = self.sampler.weights.take(chosen) / chosen.shape[1]
        residual = (np.matmul(rows, x[:, :, None])[:, :, 0] - self.targets.take(chosen)) * weights
        ridge = (self.ridge.take(chosen) * weights).sum(axis=1)
        return np.asarray(np.matmul(residual[:, None, :], rows)[:, 0] + ridge[:, None] * x)

    def _general(self, loaded: list[Array], random: Index, coefficients: Coefficients) -> list[Array]:
        size = self.sampler.batch_size
        descent, independent = random[:size], random[size:]
        chosen = {"same": descent, "independent": independent, "full": None}[self.probe]

        def oracle(index: Index | None) -> Callable[[Tensor], Tensor]:
            return lambda y: torch.from_numpy(self._gradient(y.numpy(), index))

        values = {
            name: torch.as_tensor(column(value), dtype=torch.float64, device="cpu")
            for name, value in coefficients.items()
        }
        lr = values.pop("lr")
        state = tensor_of(np.concatenate(loaded, axis=1) if self.memory else loaded[0])
        if self.rule.uses_full_gradient:
            values["full_gradient"] = oracle(None)(state[:, : self.dim])
        oracles = [(oracle(chosen), oracle(descent))]
        after = next_state(self.rule, self.dim, self.momentum, state, oracles, lr, values).numpy()
        return [after[:, : self.dim], after[:, self.dim :]] if self.memory else [after]

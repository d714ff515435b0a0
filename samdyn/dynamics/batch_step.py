"""The step of a Map on batches of a finite sum: one trace of the whole update, samples among its inputs.

Where the update is small, the numbers of the drawn samples (features, targets, weight) are inputs of the
traced step, which is then printed as numpy code or C++ like any other. Where it is not, the inputs are the
samples' indices: the step looks the samples up and goes through `torch.vmap`, so that networks of thousands
of parameters work too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.draws import BatchDraws, BatchesAndNormals
from samdyn.dynamics.step import Stepper
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.rules.oracle import Oracle
from samdyn.systems.batch_samplers import Sampler
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.step_of_rule import next_state
from samdyn.trace.tracing import NotTraceable, batched_form, coordinate_form

MAX_TRACED_INPUTS = 96  # numbers that a traced step takes, and all samples where it looks at all of them
MAX_TRACED_NODES = 3000  # operations above which a trace takes longer than it saves


def build_batch_stepper(system: Map, varied: Sequence[str] = ()) -> Stepper:
    """The stepper of a Map whose noise is `Minibatch`.

    Parameters
    ----------
    system : Map
    varied : sequence of str
        Coefficients that differ between systems of an ensemble: coefficients of the rule, and lr.

    Raises
    ------
    ValueError
        Another parameter varies, such as the size of a batch: it is built into the step.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum.least_squares([[1.0], [2.0]], [1.0, 1.0])
    >>> stepper = build_batch_stepper(sd.Map(loss, sd.SAM(0.1), lr=0.1, noise=sd.Minibatch(batch_size=1)))
    >>> stepper.traced, stepper.names, stepper.draws.n_inputs
    (True, ('rho', 'lr'), 3)
    """
    loss, noise = system.landscape, system.noise
    assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch)
    names = tuple(system.coefficients())
    built_in = [name for name in varied if name not in names]
    if built_in:
        raise ValueError(
            f"parameters must be among {', '.join(names)} where batches are drawn, got {built_in[0]!r}: "
            "call the verb once for each of its values"
        )
    samplers, table = samplers_of(system), sample_table(system)
    draws = BatchDraws(samplers, np.ascontiguousarray(table.T))
    width = system.state_dim + draws.n_inputs + len(names)
    assert system.rule is not None
    looks_at_all = noise.probe == "full" or system.rule.uses_full_gradient
    numbers = width + (loss.flat_samples.size if looks_at_all else 0)
    # random numbers of the rule beside batches are drawn in numpy only
    if not system.n_normals and loss.traceable and numbers <= MAX_TRACED_INPUTS:
        try:
            form = coordinate_form(sampled_step(system, names), width, max_nodes=MAX_TRACED_NODES)
            return Stepper(system.dim, system.state_dim, draws, names, False, form, frozenset())
        except NotTraceable:
            pass
    by_index = draws_by_index(system)
    width = system.state_dim + by_index.n_inputs + len(names)
    form = batched_form(sampled_step(system, names, torch.from_numpy(table)), width)
    return Stepper(system.dim, system.state_dim, by_index, names, False, form, frozenset())


def draws_by_index(system: Map) -> BatchDraws:
    """The indices of the samples of a step, and the random numbers of the rule behind them."""
    samplers, table = samplers_of(system), np.ascontiguousarray(sample_table(system).T)
    if system.n_normals:
        return BatchesAndNormals(samplers, table, system.n_normals)
    return BatchDraws(samplers, table, by_index=True)


def samplers_of(system: Map) -> list[Sampler]:
    """What draws the batch of the descent and, with an independent probe, of the perturbation."""
    loss, noise = system.landscape, system.noise
    assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch)
    sampler = noise.sampler(loss)
    return [sampler, sampler] if noise.probe == "independent" else [sampler]


def sample_table(system: Map) -> Array:
    """The numbers and the weight of every sample, shape (n_samples, m)."""
    loss, noise = system.landscape, system.noise
    assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch)
    return np.concatenate([loss.flat_samples, noise.sampler(loss).weights[:, None]], axis=1)


def sampled_step(
    system: Map, names: Sequence[str], table: Tensor | None = None
) -> Callable[[Tensor], Tensor]:
    """The step of one copy as a torch function of one vector of inputs.

    Parameters
    ----------
    system : Map
    names : sequence of str
        Of the coefficients.
    table : Tensor, shape (n_samples, m), optional
        The numbers and the weight of every sample, if the inputs are indices.

    Returns
    -------
    function : callable
        The inputs are the state, for every drawn sample (descent, then ascent) its numbers and its weight, or
        its index, the random numbers of the rule, and the coefficients.
    """
    loss, noise, rule = system.landscape, system.noise, system.rule
    assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch) and rule is not None
    dim, state_dim, size = system.dim, system.state_dim, noise.batch_size
    numbers = loss.flat_samples.shape[1]
    micro = noise.micro_batch or size
    full = loss.oracle
    own = system.n_normals
    n_drawn = 2 * size if noise.probe == "independent" else size
    weighted = noise.sampler(loss).weighted

    def drawn_samples(inputs: Tensor) -> Tensor:
        if table is None:
            return inputs.reshape(n_drawn, numbers + 1)
        return table.to(inputs)[inputs.long()]

    def oracle_of(flat: Tensor) -> Oracle:
        samples = torch.func.vmap(loss.unflatten)(flat[:, :numbers])
        return loss.batch_oracle(samples, flat[:, numbers] if weighted else None)

    def step(inputs: Tensor) -> Tensor:
        state = inputs[:state_dim]
        end = len(inputs) - len(names)
        drawn = drawn_samples(inputs[state_dim : end - own])
        values: dict[str, Any] = dict(zip(names, inputs[end:], strict=True))
        lr = values.pop("lr")
        if rule.uses_full_gradient:
            values["full_gradient"] = full(state[:dim])
        if own:
            values["normals"] = inputs[end - own : end]
        oracles = []
        for start in range(0, size, micro):
            descent = oracle_of(drawn[start : start + micro])
            ascent = descent
            if noise.probe != "same":
                ascent = full if noise.probe == "full" else oracle_of(drawn[size:])
            oracles.append((ascent, descent))
        return next_state(rule, dim, system.momentum, state, oracles, lr, values)

    return step

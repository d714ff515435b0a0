r"""The step of a `Map` from a rule: its memory taken out of the state, the base step, and memory put back.

A state is (x, velocity, memory): the velocity is there with heavy-ball momentum, the memory with a rule that
has one, first its vectors and then its numbers. With the rule's direction d and what it subtracts apart, a,

.. math:: v' = \text{momentum}\; v + d, \qquad x' = x - \eta (v' + a).

With micro-batches the rule takes its step on every part of the batch, and the directions are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from samdyn.landscapes.landscape import Landscape
from samdyn.rules.rule import Rule
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.noise import Noise

Oracles = Sequence[tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]


def next_state(
    rule: Rule,
    dim: int,
    momentum: float,
    state: Tensor,
    oracles: Oracles,
    lr: Any,
    coefficients: Mapping[str, Any],
    heavy_ball: bool | None = None,
) -> Tensor:
    """The state after one step.

    Parameters
    ----------
    rule : Rule
    dim : int
    momentum : float
    state : Tensor, shape (..., state_dim)
    oracles : sequence of (callable, callable)
        What the ascent and the descent see, for each part of the batch.
    lr : float or Tensor
    coefficients : mapping
        The rule's coefficients, and the random numbers and gradients that it asks for.
    heavy_ball : bool
        Whether the state has a velocity; by default it has where `momentum` is not 0.
    """
    x = state[..., :dim]
    given = given_to(rule, {**coefficients, "lr": lr})
    memory = memory_in(rule, dim, state)
    steps = [rule.update(x, memory, ascent, descent, **given) for ascent, descent in oracles]
    direction = steps[0].direction
    if len(steps) > 1:
        direction = torch.stack([step.direction for step in steps]).mean(dim=0)
    parts = [direction]
    if momentum if heavy_ball is None else heavy_ball:
        parts.append(momentum * state[..., dim : 2 * dim] + direction)
    subtracted = parts[-1]
    if steps[0].apart is not None:
        apart = torch.stack([step.apart for step in steps if step.apart is not None])
        subtracted = subtracted + (apart[0] if len(apart) == 1 else apart.mean(dim=0))
    parts[0] = x - lr * subtracted
    if len(parts) == 1 and not rule.memory:
        return parts[0]
    remembered = steps[0].memory
    parts += [remembered[name] for name in (*rule.vectors, *rule.numbers)]
    return torch.cat(parts, dim=-1)


def memory_in(rule: Rule, dim: int, state: Tensor) -> dict[str, Tensor]:
    """The rule's memory in a state: vectors (..., dim) and numbers (..., 1)."""
    at = state.shape[-1] - rule.memory_length(dim)
    memory = {}
    for name in (*rule.vectors, *rule.numbers):
        width = dim if name in rule.vectors else 1
        memory[name] = state[..., at : at + width]
        at += width
    return memory


def given_to(rule: Rule, coefficients: Mapping[str, Any]) -> dict[str, Any]:
    """The coefficients that a rule is handed: lr only where it asks for it."""
    return {name: value for name, value in coefficients.items() if name != "lr" or rule.uses_lr}


def check_noise(loss: Landscape, rule: Rule, noise: Noise) -> None:
    """Refuse a rule that noise leaves without what it needs."""
    if not isinstance(noise, Minibatch):
        if "samples" in rule.needs:
            raise ValueError(f"noise must be sd.Minibatch for {rule!r}, which needs samples, got {noise!r}")
        return
    if rule.memory and noise.micro_batch not in (None, noise.batch_size):
        raise ValueError(f"micro_batch must be left out with {rule!r}, which has memory, got {noise!r}")
    if "outputs" in rule.needs and not hasattr(type(loss), "blocks"):
        raise ValueError(
            f"loss must be made by sd.from_module to draw batches for {rule!r}, which needs outputs, "
            f"got {loss!r}"
        )
    if rule.n_normals(1) and noise.micro_batch not in (None, noise.batch_size):
        raise ValueError(f"micro_batch must be left out with {rule!r}, which is random, got {noise!r}")

"""Steps of replicas of a network on its whole data, with the compiled gradient of `native_layers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.dynamics.backends.native_layers import LayeredGradient
from samdyn.dynamics.backends.point_step import PointStep
from samdyn.dynamics.contract import Coefficients, column
from samdyn.dynamics.draws import Stream
from samdyn.landscapes.module_loss import ModuleLoss
from samdyn.systems.map import Map
from samdyn.systems.step_of_rule import next_state
from samdyn.trace.device import one_thread
from samdyn.trace.tracing import NotTraceable

FEW = 4
"""Replicas below which most of a register would be empty: torch's products serve them."""


class LayersStep(PointStep):
    """Steps without noise; see `PointStep`.

    Raises
    ------
    NotTraceable
        There is noise, or the network is not made of linear layers alone.
    CompilationError
        There is no compiler, or it fails.
    """

    def __init__(self, system: Map) -> None:
        super().__init__(system)
        if system.noise is not None or not isinstance(system.landscape, ModuleLoss):
            raise NotTraceable("only steps of a network on its whole data are compiled")
        assert system.rule is not None
        if not system.rule.stackable:
            raise NotTraceable("the rule asks for more than gradients, of one replica at a time")
        self.gradient = LayeredGradient(system.landscape)

    def advance(
        self,
        loaded: Tensor,
        stream: Stream,
        step: int,
        n_steps: int,
        values: Callable[[int], Coefficients],
        dt: float | None = None,
    ) -> Tensor:
        """See `Step.advance`."""
        if len(loaded) < FEW:
            return super().advance(loaded, stream, step, n_steps, values, dt)
        assert self.system.rule is not None
        dim, rule = self.dim, self.system.rule
        n_threads = torch.get_num_threads()

        def oracle(at: Tensor) -> Tensor:
            return torch.from_numpy(self.gradient(at.numpy(), n_threads))

        # what torch does here is short: its threads would wait for one another
        with torch.no_grad(), np.errstate(all="ignore"), one_thread():
            for j in range(step, step + n_steps):
                own: dict[str, Any] = {
                    name: torch.as_tensor(column(value), dtype=torch.float64, device="cpu")
                    for name, value in values(j).items()
                }
                lr = own.pop("lr")
                if rule.uses_full_gradient:
                    own["full_gradient"] = oracle(loaded[:, :dim])
                oracles = [(oracle, oracle)]
                loaded = next_state(rule, dim, self.system.momentum, loaded, oracles, lr, own)
        return loaded

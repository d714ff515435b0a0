"""torchsde: sdeint with the Euler method and its own Brownian motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torchsde
from torch import Tensor

from contestants.problem import Array, Work, drift, noise_per_step, start, until_all_left
from contestants.torch_eager import inverse_root

SEGMENT = 128  # steps in a call of the check, whose path is kept


class Equation(torch.nn.Module):
    noise_type = "diagonal"
    sde_type = "ito"

    def __init__(self, rule: str, dt: float) -> None:
        super().__init__()
        self.rule, self.amplitude = rule, noise_per_step(dt) / dt**0.5

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.stack(drift(self.rule, y.unbind(1), inverse_root), dim=1)

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.full_like(y, self.amplitude)


@dataclass
class TorchSDE:
    rule: str
    n_paths: int
    dim: int
    dt: float
    seed: int

    @torch.no_grad()
    def exit_times(self) -> Array:
        torch.manual_seed(self.seed)
        np.random.seed(self.seed)  # noqa: NPY002  (torchsde seeds its Brownian motion from it)
        equation, times = Equation(self.rule, self.dt), torch.arange(SEGMENT + 1) * self.dt

        def advance(x: Array, call: int) -> tuple[Array, Array]:
            y = torchsde.sdeint(equation, torch.from_numpy(x), times, dt=self.dt, method="euler")
            out = y[1:, :, 0] >= 0
            left = torch.where(out.any(0), out.int().argmax(0) + 1, 0)
            return left.numpy(), y[-1].numpy()

        return until_all_left(self.n_paths, SEGMENT, self.dt, advance, self.dim)

    @torch.no_grad()
    def advance(self, n_steps: int) -> Work:
        times = torch.tensor([0.0, n_steps * self.dt])
        y = torch.tensor(start(self.dim)).repeat(self.n_paths, 1)
        torchsde.sdeint(Equation(self.rule, self.dt), y, times, dt=self.dt, method="euler")
        return Work(float(self.n_paths) * n_steps, False)


VARIANTS = {"torchsde": TorchSDE}

"""Eager torch by hand: torch.randn, tiles that stay in the cache, paths that left removed now and then."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contestants.problem import RHO, TINY, Array, Work, drift, noise_per_step, start

TILE = 1 << 14
REMOVE_EVERY = 32


def inverse_root(s: Tensor) -> Tensor:
    return torch.rsqrt(s.clamp_min(TINY))


def loss_gradient(x: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradient of the loss by automatic differentiation, as for a loss that is not known beforehand."""
    points = [a.detach().requires_grad_() for a in x]
    with torch.enable_grad():
        total = ((points[0] ** 2 - 1) ** 2 / 4 + sum(a**2 for a in points[1:]) / 2).sum()
    return torch.autograd.grad(total, points)


def traced_drift(rule: str, x: Sequence[Tensor]) -> tuple[Tensor, ...]:
    g = loss_gradient(x)
    if rule != "GD":
        scale = RHO if rule == "USAM(0.2)" else RHO * inverse_root(sum(s * s for s in g))
        g = loss_gradient([a + scale * s for a, s in zip(x, g, strict=True)])
    return tuple(-s for s in g)


def closed_drift(rule: str, x: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return drift(rule, x, inverse_root)


@dataclass
class Eager:
    rule: str
    n_paths: int
    dim: int
    dt: float
    seed: int
    velocity: Callable[[str, Sequence[Tensor]], tuple[Tensor, ...]] = closed_drift

    def tile(self, n: int, limit: float) -> Tensor:
        """Steps in which the paths of a tile left, or the limit."""
        steps = torch.full((n,), float(limit), dtype=torch.float64)
        path = torch.arange(n)
        x = [torch.full((n,), value) for value in start(self.dim)]
        root, step = noise_per_step(self.dt), 0
        while len(path) and step < limit:
            left = torch.zeros(len(path))
            for _ in range(int(min(REMOVE_EVERY, limit - step))):
                step += 1
                normals = torch.randn(self.dim, len(path))
                b = self.velocity(self.rule, x)
                x = [
                    a.add(s, alpha=self.dt).add(z, alpha=root) for a, s, z in zip(x, b, normals, strict=True)
                ]
                left = torch.where((x[0] >= 0) & (left == 0), float(step), left)
            gone = left > 0
            if bool(gone.any()):
                steps[path[gone]] = left[gone].double()
                path, x = path[~gone], [a[~gone] for a in x]
        return steps

    @torch.no_grad()
    def run(self, limit: float) -> Array:
        torch.manual_seed(self.seed)
        sizes = [min(TILE, self.n_paths - a) for a in range(0, self.n_paths, TILE)]
        return torch.cat([self.tile(n, limit) for n in sizes]).numpy()

    def exit_times(self) -> Array:
        return self.run(np.inf) * self.dt

    def advance(self, n_steps: int) -> Work:
        return Work(float(self.run(n_steps).sum()), True)


VARIANTS = {
    "torch eager, closed gradient": Eager,
    "torch eager, autograd": functools.partial(Eager, velocity=traced_drift),
}

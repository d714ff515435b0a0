"""Steps of a map or a diffusion on a torch device, for basins: the traced step of the escape engine.

States come as numpy arrays, are moved to the device, take all steps to the next look there and come back:
16 bytes of traffic a coordinate for some hundred operations. Everything else, the test of arrival, the search
for attractors and their names, stays on the CPU.

The arithmetic is that of the CPU, and random numbers are the same bits; elementary functions may differ in
their last bits, which can turn a cell on a boundary.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from samdyn.compute.batch import tensor_of
from samdyn.compute.checks import Array
from samdyn.compute.random import STEPS_PER_BLOCK, normal_block, split_seed
from samdyn.compute.vector import Coordinates
from samdyn.ensemble.step import build_stepper, combine
from samdyn.ensemble.step_length import default_dt
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map


class MotionOnDevice:
    """A `samdyn.basin.motion.Motion` on a device.

    Parameters
    ----------
    system : Map or Diffusion
    device : str
    seed : int
    noisy : bool
        Whether a Map draws its noise; a Diffusion always does.
    dt : float, optional
        Length of a Diffusion's step, its lr by default.

    Examples
    --------
    >>> import samdyn as sd
    >>> gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    >>> MotionOnDevice(gd, "cpu", seed=0, noisy=False)(np.array([[0.5]]), np.array([0]), 0, 1)
    array([[0.5375]])
    """

    every, hover = 8, 0.0

    def __init__(
        self, system: Map | Diffusion, device: str, *, seed: int, noisy: bool, dt: float | None = None
    ) -> None:
        self.system, self.device, self.key = system, torch.device(device), split_seed(seed)
        self.stepper = build_stepper(system)
        self.noisy = noisy and self.stepper.n_normals > 0
        if isinstance(system, Diffusion):
            at = np.zeros((1, system.dim)) if system.box is None else system.box.mean(axis=1)[None]
            self.unit = default_dt(system, at) if dt is None else dt
            self.lr = system.step_length or self.unit
        else:
            self.unit, self.lr = dt or 1.0, 1.0

    def __call__(self, state: Array, path: npt.NDArray[np.int64], step: int, n_steps: int) -> Array:
        """States (state_dim, n) of paths with these numbers, `n_steps` after `step`."""
        x = Coordinates(tensor_of(row).to(self.device) for row in state)
        numbers = tensor_of(np.asarray(path, dtype=np.int64)).to(self.device)
        k, dt = self.stepper.n_normals, self.unit
        normals: list[tuple[torch.Tensor, ...]] = []
        block = -1
        with torch.no_grad():
            for j in range(step, step + n_steps):
                if self.noisy and j // STEPS_PER_BLOCK != block:
                    block = j // STEPS_PER_BLOCK
                    normals = normal_block(self.key, numbers, block, k, torch.float64)
                z = normals[j % STEPS_PER_BLOCK] if self.noisy else [torch.zeros_like(x[0])] * k
                at = int(j * dt / self.lr + 1e-9) if self.stepper.continuous else j
                values = [torch.full_like(x[0], c) for c in self.system.coefficients(at).values()]
                if self.stepper.continuous:
                    drift, columns = self.stepper.local(x, values)
                    moves = zip(x, drift, combine(columns, z), strict=True)
                    x = Coordinates(a + dt * b + dt**0.5 * w for a, b, w in moves)
                else:
                    x = self.stepper.iterate(x, z, values)
        return np.stack([c.expand(len(path)).cpu().numpy() for c in x])

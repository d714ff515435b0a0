"""Steps of a map or a diffusion on a torch device, for basins: on a GPU a CUDA loop, a path for each thread.

States come as numpy arrays, are moved to the device, take all steps to the next look there and come back:
16 bytes of traffic a coordinate for some hundred operations. Everything else, the test of arrival, the search
for attractors and their names, stays on the CPU. Where the step cannot be compiled, its traced form runs as
operations of torch.

The arithmetic is the same as on the CPU, and random numbers are the same bits; elementary functions may
differ in their last bits, which can turn a cell on a boundary.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from samdyn.arguments.checks import Array
from samdyn.basin.paths.contract import Motion
from samdyn.dynamics.backends.devices import backend_of
from samdyn.dynamics.backends.native_program import compiled_or_none
from samdyn.dynamics.backends.native_step import NativeStep
from samdyn.dynamics.clock import coefficients_at
from samdyn.dynamics.draws import Inputs
from samdyn.dynamics.steppers import build_stepper
from samdyn.numerics.random import STEPS_PER_BLOCK, split_seed
from samdyn.numerics.vector import Coordinates
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.trace.batch import tensor_of


class MotionOnDevice(Motion):
    """A `samdyn.basin.paths.motion.Motion` on a device.

    Parameters
    ----------
    system : Map or Diffusion
        A Map draws its noise, if it has any.
    device : str
    seed : int
    dt : float, optional
        Length of a Diffusion's step, its lr by default.

    Examples
    --------
    >>> import samdyn as sd
    >>> gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    >>> MotionOnDevice(gd, "cpu", seed=0)(np.array([[0.5]]), np.array([0]), 0, 1)
    array([[0.5375]])
    """

    every, hover, repeats = 8, 0.0, False

    def __init__(self, system: Map | Diffusion, device: str, seed: int, dt: float | None = None) -> None:
        self.device, self.key = torch.device(device), split_seed(seed)
        self.stepper = build_stepper(system)
        self.unit = system.step_length or 1.0 if dt is None else dt
        self.coefficients = coefficients_at(system, dt)
        self.seed, self.native = seed, None
        if self.device.type != "cpu":
            self.native = compiled_or_none(lambda: NativeStep(system, dt, backend_of(self.device)))

    def __call__(self, state: Array, path: npt.NDArray[np.int64], step: int, n_steps: int) -> Array:
        """States (state_dim, n) of paths with these numbers, `n_steps` after `step`."""
        if self.native is not None:
            stream = self.native.stream(self.seed, path, step + n_steps)
            return self.native.advance(state, stream, step, n_steps, self.coefficients)
        x = Coordinates(tensor_of(row).to(self.device) for row in state)
        numbers = tensor_of(np.asarray(path, dtype=np.int64)).to(self.device)
        four: Inputs = []
        with torch.no_grad():
            for j in range(step, step + n_steps):
                block, place = divmod(j, STEPS_PER_BLOCK)
                if place == 0 or not four:
                    four = self.stepper.draws.block(self.key, numbers, block, torch.float64)
                values = [torch.full_like(x[0], c) for c in self.coefficients(j).values()]
                x = self.stepper.step(x, four[place], values, self.unit)
        return np.stack([c.expand(len(path)).cpu().numpy() for c in x])

    def orbit(
        self, state: Array, path: npt.NDArray[np.int64], step: int, n_records: int, spacing: int
    ) -> Array:
        """See `Motion.orbit`; compiled steps keep the states on the way."""
        if self.native is None:
            return super().orbit(state, path, step, n_records, spacing)
        stream = self.native.stream(self.seed, path, step + n_records * spacing)
        return self.native.orbit(state, stream, step, n_records, spacing, self.coefficients)

"""Trajectories of maps, flows and diffusions, stored at regular steps.

- Map: iterated; with a noise model the draws are those of (seed, path, step), the same as in `exit_times`.
- Diffusion: Euler-Maruyama with step dt.
- Flow of a smooth rule (and of a function): torchdiffeq's Dormand-Prince 5(4) with relative tolerance 1e-9 and absolute tolerance 1e-11, stored every dt.
- Flow of a normalised rule: its field jumps where g = 0, and the flow runs into such points in finite time; there an adaptive solver would shrink its step without
  end. It is integrated by the classical Runge-Kutta method with the fixed step dt (or a tenth of it, whichever resolves the field), and a path that reaches a critical point which traps
  it (within `samdyn.local.trapping`'s sense, tested by the field pointing inwards on all sides) is held there: that is the Filippov solution, for which
  the critical point is an equilibrium.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.compute import batch, checks
from samdyn.compute.checks import Array
from samdyn.compute.random import STEPS_PER_BLOCK, normal_block, split_seed
from samdyn.compute.vector import Coordinates
from samdyn.ensemble.step import build_stepper
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

"""The three views of a loss and a rule: map, flow and diffusion; their noise; trajectories."""

from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.noise import CurvatureNoise, GaussianNoise
from samdyn.systems.system import System

__all__ = ["CurvatureNoise", "Diffusion", "Flow", "GaussianNoise", "Map", "Minibatch", "System"]

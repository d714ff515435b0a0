"""The three views of a loss and a rule: map, flow and diffusion, and their noise.

================  =====================================================================
file              what it computes or holds
================  =====================================================================
`system`          what the views share: points, derivatives, named parameters
`map`             x' = x - lr grad f(x + e(x)), with momentum and noise
`flow`            dx/dt = -grad f(x + e(x))
`diffusion`       dX = -grad f(X + e(X)) dt + sqrt(lr C) dW, and equations of one's own
`noise`           models of gradient noise, and the batch that makes the perturbation
`minibatch`       the noise of real training: batches of a finite sum
`step_of_rule`    the step of a map from a rule, its memory and its base step
`batch_samplers`  how batches are drawn, and the moments of their law
`batch_gaussian`  batches as a Gaussian: mean and covariance of the sampled direction
`noise_root`      roots of the covariance, given by a user as matrix or function
`matrix_root`     roots of small symmetric matrices that can be traced
`tangent`         products with Jacobians and their transposes
`jump`            the flow beside a critical point where the rule jumps
================  =====================================================================
"""

from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.noise import CurvatureNoise, GaussianNoise
from samdyn.systems.system import System

__all__ = ["CurvatureNoise", "Diffusion", "Flow", "GaussianNoise", "Map", "Minibatch", "System"]

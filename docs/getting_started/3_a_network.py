r"""
3. A network
============

A ``torch.nn.Module`` is a loss of its parameters, laid end to end. Nothing here makes a matrix of their
number squared.
"""

import numpy as np
import torch

import samdyn as sd

torch.manual_seed(0)
inputs = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
targets = torch.tensor([[-1.0], [1.0], [1.0], [-1.0]])
net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))


def objective(outputs, targets):  # the mean over the batch
    return ((outputs - targets) ** 2).mean() / 2


loss = sd.from_module(net, objective, (inputs, targets), weight_decay=0.03)
sd.spectrum(loss, loss.x0, k=3)  # the three largest curvatures

# %%
# Training is a trajectory of the map. Large radii are where the surprises are:

sam = sd.Map(loss, sd.SAM(rho=4.0), lr=0.02)
start = np.random.default_rng(7).normal(size=loss.dim * 128).reshape(128, loss.dim)[2]
path = sd.trajectory(sam, start, n_steps=1500, save_every=10)
print(loss.value(path[[0, 50, 100, 150]]))

# %%
# **Where has it stopped?** The verdict rests on the numbers below it.

found = sd.diagnose(sam, path[-1])
ax = found.plot()
found

# %%
# The point itself, by a Newton-Krylov method from the checkpoint, with its stability:

point = sd.refine(sam, path[-1])
print(point.kind, point.stability)
print(f"gradient of the loss {point.gradient_norm:.3f}, where SAM looks {point.perturbed_gradient_norm:.1e}")

# %%
# The loss on a plane through the checkpoint is a loss of two parameters, on which portraits and basins
# work.

directions = sd.spectrum(loss, path[-1], k=2).eigenvectors.T
plane = sd.restrict(loss, path[-1], directions, box=[(-3, 3), (-3, 3)])
ax = sd.plot.phase_portrait(sd.Flow(plane, sd.SAM(rho=4.0)), separatrices=False, cycles=0, resolution=60)

# %%
# For a training loop of your own, :class:`samdyn.Monitor` looks at it while it runs; see :doc:`/networks`.

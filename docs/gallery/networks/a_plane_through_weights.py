"""
What does the loss of a network look like around a checkpoint?
==============================================================

The loss on a plane of weights is a loss of two parameters, and all pictures work on it.
"""

import torch

import samdyn as sd

torch.manual_seed(1)
inputs = torch.randn(64, 3)
targets = torch.tanh(inputs @ torch.tensor([[1.0], [-2.0], [0.5]]))
net = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1))
loss = sd.from_module(net, torch.nn.functional.mse_loss, (inputs, targets))
end = sd.trajectory(sd.Map(loss, sd.SAM(rho=0.05), lr=0.2), loss.x0, n_steps=400, save_every=400)[-1]
directions = sd.spectrum(loss, end, k=2).eigenvectors.T
plane = sd.restrict(loss, end, directions, box=[(-1.5, 1.5), (-1.5, 1.5)])
ax = sd.plot.phase_portrait(
    sd.Flow(plane, sd.SAM(rho=0.2)), fixed_points=[], cycles=0, separatrices=False, resolution=50
)
ax.plot(0, 0, "k*", markersize=12)  # the checkpoint
plane

# %%
# **What to read off.** The field of SAM within the plane of the two sharpest directions, with the
# checkpoint at (0, 0), the star.
#
# **The wrong reading.** "This is where training would go." A step of the network leaves the plane:
# ``plane.leaving`` tells which share of the motion does.
#
# **Cost.** 6 s.
#
# **Swap this.** ``points=`` of three checkpoints in place of directions.

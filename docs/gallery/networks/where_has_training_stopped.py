"""
Where has this training run stopped?
====================================

From a checkpoint of a network to a verdict, with the numbers that it rests on.
"""

import numpy as np
import torch

import samdyn as sd

torch.manual_seed(0)
inputs = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
targets = torch.tensor([[-1.0], [1.0], [1.0], [-1.0]])
net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
loss = sd.from_module(net, lambda out, y: ((out - y) ** 2).mean() / 2, (inputs, targets), weight_decay=0.03)
sam = sd.Map(loss, sd.SAM(rho=4.0), lr=0.02)
start = np.random.default_rng(7).normal(size=(128, 9))[2]
end = sd.trajectory(sam, start, n_steps=6000, save_every=6000)[-1]
found = sd.diagnose(sam, end)
ax = found.plot()
found

# %%
# **What to read off.** The verdict and its evidence: the gradient of the loss is 0.187 at the end, and 1e-11
# at the perturbed point y, so that SAM rests on a slope. On 208 ends of runs with known truth no
# verdict was wrong and two were "cannot tell" (:doc:`/networks`).
#
# **The wrong reading.** "The loss no longer falls, so this is a minimum."
#
# **Cost.** 4 s.
#
# **Swap this.** your own module, objective and data; ``loss.point_of(state_dict)`` for a checkpoint of it.

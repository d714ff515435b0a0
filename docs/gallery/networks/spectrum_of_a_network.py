"""
How sharp is a network, and in how many directions?
===================================================

The density of curvatures by Lanczos quadrature, and the leading ones by Krylov methods: products with the
Hessian only, no matrix.
"""

import torch

import samdyn as sd

torch.manual_seed(0)
inputs = torch.randn(200, 8)
targets = torch.sin(inputs.sum(1, keepdim=True))
net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
loss = sd.from_module(net, torch.nn.functional.mse_loss, (inputs, targets))
top = sd.spectrum(loss, loss.x0, k=5)
ax = top.density().plot()
top

# %%
# **What to read off.** The largest curvatures with their residuals: an eigenvalue is within the residual of
# the number printed. The density is averaged over random vectors and smoothed; its width says over what.
#
# **The wrong reading.** "The density shows single outliers." Those are below its resolution: use the list.
#
# **Cost.** 2 s.
#
# **Swap this.** ``block="0.weight"`` for a layer; a system in place of the loss, for the eigenvalues of a
# step of SAM.

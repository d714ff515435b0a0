"""
Can I watch sharpness and the edge of stability while training?
===============================================================

A monitor hangs on the training loop of any optimiser and looks now and then, for a set share of the time.
"""

import torch

import samdyn as sd

torch.manual_seed(0)
inputs = torch.randn(100, 4)
targets = torch.sin(inputs @ torch.randn(4, 1))
net = torch.nn.Sequential(torch.nn.Linear(4, 10), torch.nn.Tanh(), torch.nn.Linear(10, 1))
objective = torch.nn.functional.mse_loss
optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
monitor = sd.Monitor(net, objective, (inputs, targets), optimizer=optimizer, rho=0.05, every=10, budget=10.0)
for _ in range(200):
    optimizer.zero_grad()
    objective(net(inputs), targets).backward()
    optimizer.step()
    monitor.step()
ax = monitor.history.plot()

# %%
# **What to read off.** The largest curvature, and the edge above which steps of SAM with this radius would
# overshoot, on the data that the monitor was given. This run is SGD, whose own edge is 2/lr = 6.7.
# ``monitor.history`` also holds the loss and both gradients.
#
# **The wrong reading.** "This is the curvature of the batches." It is the curvature of the monitor's data; a
# batch has its own.
#
# **Cost.** 1 s.
#
# **Swap this.** ``budget=0.1`` spends at most a tenth of the training time on looking.

"""
At this learning rate, is the diffusion a good model of the algorithm?
======================================================================

The diffusion takes small steps for granted. The exact mean of the chain of steps shows how far off it is.
"""

import matplotlib.pyplot as plt
import numpy as np

import samdyn as sd

loss, region = sd.landscapes.double_well(), sd.Box([-4.0], [0.0])
rates = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4])
steps, times = [], []
for lr in rates:
    noise = sd.GaussianNoise(std=float(np.sqrt(0.2 / lr)))  # the same diffusion at every learning rate
    steps.append(sd.chain_exit_time(sd.Map(loss, sd.USAM(0.1), lr=lr, noise=noise), [-1.0], region).mean)
    times.append(sd.mean_exit_time(sd.Diffusion(loss, sd.USAM(0.1), lr=lr, noise=noise), region)([-1.0]))

figure, ax = plt.subplots(layout="constrained")
ax.plot(rates, rates * steps, "o-", label="algorithm (steps times learning rate)")
ax.plot(rates, times, "s--", label="diffusion")
ax.set(ylim=(0, None), xlabel=r"learning rate $\eta$", ylabel="mean time of exit (learning rate times steps)")
legend = ax.legend()

# %%
# **What to read off.** At small learning rates the algorithm stays a little longer, by a share of the order
# of the square root of the learning rate, since it is out only where a whole step ends. At large ones its
# single steps jump over the barrier, and the diffusion overestimates the time several times. Neither has a
# sampling error.
#
# **The wrong reading.** "The diffusion's time is wrong by the same factor everywhere." It depends on the
# region.
#
# **Cost.** 1 s.
#
# **Swap this.** ``correction="bridge"`` for the chain of a simulated diffusion.

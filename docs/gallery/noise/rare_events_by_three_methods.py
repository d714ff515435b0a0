"""
How long does an escape take that is too rare to wait for?
==========================================================

A mean time of 47 000 time units, two million steps, found three times: by splitting paths, by solving an
equation, and by a chain on a line of states. Only the first goes on in many dimensions.
"""

import matplotlib.pyplot as plt

import samdyn as sd

sde = sd.Diffusion(sd.landscapes.double_well(), sd.USAM(rho=0.1), lr=0.05, noise=sd.GaussianNoise(std=1.0))
left, core = sd.HalfSpace([1.0], 0.0), sd.Ball([-1.0], 0.1)
split = sd.rare_exit_time(sde, [-1.0], left, core, levels=60, n_repeats=20, n_clones=50, dt=0.02, seed=0)
solved = sd.mean_exit_time(sde, left, box=[(-3.0, 0.0)])
chain = sd.chain_exit_time(sde, [-1.0], sd.Box([-3.0], [0.0]), dt=0.02, correction="bridge")

figure, ax = plt.subplots(layout="constrained")
low, high = split.confidence_interval(0.95)
ax.errorbar([0], [split.mean], [[split.mean - low], [high - split.mean]], fmt="o", capsize=4)
ax.plot([1, 2], [solved([-1.0]), chain.mean], "s")
ax.set_xticks([0, 1, 2], ["splitting", "equation", "chain of\nsteps"])
ax.set(
    ylabel="mean time of exit (learning rate times steps)",
    xlim=(-0.5, 2.5),
    title="one rare escape, three methods",
)
split

# %%
# **What to read off.** Splitting gives a mean with a 95 % interval from independent repeats; the other two
# have an error of their grid alone. All three agree.
#
# **The wrong reading.** "Splitting is always unbiased." Its probability is; the time is a mean of loops
# times a ratio, and needs paths that settle in ``origin`` first.
#
# **Cost.** 4 s.
#
# **Swap this.** the table in :doc:`/how-to-choose` says which of them suits which problem;
# :func:`samdyn.theory.first_passage.eyring_kramers` is the formula for weak noise.

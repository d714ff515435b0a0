"""
Where does a wide network have saddles, and does SAM leave them?
================================================================

A hidden unit written twice makes a critical point of the wider network out of a minimum of the narrow one.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import samdyn as sd

torch.manual_seed(1)
inputs = torch.linspace(-2, 2, 40)[:, None]
targets = inputs.abs()
narrow = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Tanh(), torch.nn.Linear(1, 1))
objective = torch.nn.functional.mse_loss
loss = sd.from_module(narrow, objective, (inputs, targets))
training = sd.Map(loss, sd.GD(), lr=0.05, momentum=0.9)
end = sd.trajectory(training, loss.x0, n_steps=20000, save_every=20000)[-1]
narrow.load_state_dict(loss.parameters_of(end))
wide = sd.from_module(sd.split_unit(narrow, "0", 0), objective, (inputs, targets))
curvatures = sd.spectrum(wide, wide.x0, k=6, which="smallest").eigenvalues

figure, ax = plt.subplots(layout="constrained")
ax.stem(sorted(curvatures.real))
ax.set(xlabel="number", ylabel="curvature at the split point")
ax.set_yscale("symlog", linthresh=1e-5)
print(f"gradient {np.linalg.norm(wide.gradient(wide.x0)):.1e}, smallest curvature {min(curvatures.real):.4g}")

# %%
# **What to read off.** The gradient vanishes, and a negative curvature makes the point a saddle; the one
# that is zero belongs to the line of equal networks that splitting makes.
#
# **The wrong reading.** "A wider network has no bad critical points."
#
# **Cost.** 1 s.
#
# **Swap this.** another ``unit`` or ``share``; :func:`samdyn.diagnose` at the split point.

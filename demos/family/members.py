"""The members of the family as they are compared, and the losses that they are compared on.

Every member is a function of its radius; its other coefficients are its defaults, but for those that need a
value of the loss (`PolyakSAM`, `LESAM`), a part of the weights (`SAMON`) or a metric (`PreconditionedSAM`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

import samdyn as sd

GROUPS: dict[str, dict[str, Callable[[float], sd.Rule]]] = {
    "one formula": {
        "GD": lambda rho: sd.GD(),
        "USAM": sd.USAM,
        "UnifiedSAM": lambda rho: sd.UnifiedSAM(rho, lam=0.5),
        "SAM": sd.SAM,
    },
    "metric or part": {
        "ASAM": sd.ASAM,
        "PreconditionedSAM": lambda rho: sd.PreconditionedSAM(rho, constraint=[2.0]),
        "MongeSAM": sd.MongeSAM,
        "LESAM": lambda rho: sd.LESAM(rho, budget=0.1),
        "DNSAM": sd.DNSAM,
        "SAMON": lambda rho: sd.SAMON(rho, blocks=[0]),
        "GCSAM": sd.GCSAM,
        "ZSharp": sd.ZSharp,
    },
    "combination": {
        "GSAM": sd.GSAM,
        "WSAM": sd.WSAM,
        "StableSAM": sd.StableSAM,
        "PolyakSAM": lambda rho: sd.PolyakSAM(rho, lower=-2.0),
    },
    "memory": {
        "VaSSO": sd.VaSSO,
        "FriendlySAM": sd.FriendlySAM,
        "InfoSAM": sd.InfoSAM,
        "MSAM": sd.MSAM,
        "SAMPa": sd.SAMPa,
    },
    "schedule or several ascents": {
        "LookSAM": sd.LookSAM,
        "AESAM": sd.AESAM,
        "LookbehindSAM": sd.LookbehindSAM,
    },
    "base step": {
        "AdamWSAM": sd.AdamWSAM,
        "AdaSAM": sd.AdaSAM,
        "RMSPropSAM": sd.RMSPropSAM,
        "LightSAM": sd.LightSAM,
        "LightAdamSAM": sd.LightAdamSAM,
    },
    "curvature": {"EigenSAM": sd.EigenSAM, "XSAM": sd.XSAM, "Sassha": sd.Sassha},
    "random points": {
        "RSAM": sd.RSAM,
        "TraceSAM": sd.TraceSAM,
        "DetSAM": sd.DetSAM,
        "FrobSAM": sd.FrobSAM,
        "BSAM": sd.BSAM,
    },
    "samples or outputs": {
        "ESAM": sd.ESAM,
        "RWSAM": sd.RWSAM,
        "FunctionalSAM": sd.FunctionalSAM,
        "PreconditionedFunctionalSAM": sd.PreconditionedFunctionalSAM,
    },
}
MEMBERS = {name: make for group in GROUPS.values() for name, make in group.items()}
CORNERS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])


@dataclass(frozen=True)
class Scene:
    """A loss in the three forms that members ask for: alone, as a sum of samples, as l(F(w)).

    The samples are the loss plus slopes +-`slope` along every coordinate, whose mean is 0; a batch of four
    drawn with replacement has the gradient's covariance slope^2/4. Outputs are None where the loss has no
    natural split.
    """

    loss: sd.Landscape
    function: Callable[[torch.Tensor], torch.Tensor]
    objective: Callable[[torch.Tensor], torch.Tensor] | None = None
    outputs: Callable[[torch.Tensor], torch.Tensor] | None = None
    slope: float = 2.4

    def form(self, rule: sd.Rule) -> sd.Landscape | None:
        """The form that a rule needs; None where there is none."""
        dim, box = self.loss.dim, self.loss.box
        if "samples" in rule.needs:
            slopes = self.slope * CORNERS[:, :dim]
            return sd.FiniteSum(lambda w, s: self.function(w) + s @ w, slopes, dim, box=box)
        if "outputs" in rule.needs:
            if self.objective is None or self.outputs is None:
                return None
            return sd.Landscape.composed(self.objective, self.outputs, dim, box=box)
        return self.loss


def _double_well(w: torch.Tensor) -> torch.Tensor:
    return (w[0] ** 2 - 1) ** 2 / 4 + (w[1:] ** 2).sum() / 2


def _tilted_hat(w: torch.Tensor) -> torch.Tensor:
    return ((w**2).sum() - 1) ** 2 / 4 - 0.1 * w[0]


def _himmelblau(w: torch.Tensor) -> torch.Tensor:
    return (w[0] ** 2 + w[1] - 11) ** 2 + (w[0] + w[1] ** 2 - 7) ** 2


def _two_gaussian_well(w: torch.Tensor) -> torch.Tensor:
    x = w[0]
    return 0.02 * x**2 - torch.exp(-8 * (x + 2) ** 2) - torch.exp(-((x - 2) ** 2) / 2)


DOUBLE_WELL = Scene(
    sd.landscapes.double_well(2),
    _double_well,
    lambda y: y[0] ** 2 / 4 + y[1] ** 2 / 2,
    lambda w: torch.stack([w[0] ** 2 - 1, w[1]]),
)
LINE = Scene(sd.landscapes.double_well(), _double_well, lambda y: (y**2).sum() / 4, lambda w: w**2 - 1)
TILTED_HAT = Scene(
    sd.landscapes.tilted_hat(),
    _tilted_hat,
    lambda y: y[0] ** 2 / 4 - 0.1 * y[1],
    lambda w: torch.stack([(w**2).sum() - 1, w[0]]),
)
HIMMELBLAU = Scene(
    sd.landscapes.himmelblau(),
    _himmelblau,
    lambda y: (y**2).sum(),
    lambda w: torch.stack([w[0] ** 2 + w[1] - 11, w[0] + w[1] ** 2 - 7]),
)
TWO_WELLS = Scene(sd.landscapes.two_gaussian_well(), _two_gaussian_well)
SADDLE = Scene(
    sd.landscapes.saddle(1.0, 1.0),
    lambda w: (w[0] ** 2 - w[1] ** 2) / 2,
    lambda y: (y[0] ** 2 - y[1] ** 2) / 2,
    lambda w: w,
)
BOWL = Scene(
    sd.landscapes.quadratic([[4.0, 0.0], [0.0, 1.0]]),
    lambda w: 2 * w[0] ** 2 + w[1] ** 2 / 2,
    lambda y: (y**2).sum() / 2,
    lambda w: torch.stack([2 * w[0], w[1]]),
)


def xor_network() -> sd.landscapes.ModuleLoss:
    """Two tanh units on XOR, mean square error / 2 and weight decay 0.03: nine weights."""
    inputs = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    targets = torch.tensor([[-1.0], [1.0], [1.0], [-1.0]])
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    loss = sd.from_module(net, _half_square, (inputs, targets), dtype=torch.float64, weight_decay=0.03)
    assert isinstance(loss, sd.landscapes.ModuleLoss)
    return loss


def _half_square(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return ((outputs - targets) ** 2).mean() / 2

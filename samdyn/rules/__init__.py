"""Rules: how the weights are perturbed, and the schedules of their coefficients.

===============  ==========================================================================
file             what it computes or holds
===============  ==========================================================================
`rule`           what a rule is: e(x) from the gradient; a decaying radius
`family`         GD, USAM e = rho g, SAM e = rho g/|g|, and the family between the last two
`extragradient`  extragradient and past extragradient: e = -rho g
`dnsam`          DNSAM: the direction of the batch over the norm of the full gradient
`schedules`      coefficients that depend on the step
===============  ==========================================================================
"""

from samdyn.rules import schedules
from samdyn.rules.dnsam import DNSAM
from samdyn.rules.extragradient import Extragradient, PastExtragradient, multipliers
from samdyn.rules.family import GD, SAM, USAM, UnifiedSAM
from samdyn.rules.rule import Rule, WarmStart

__all__ = [
    "DNSAM",
    "GD",
    "SAM",
    "USAM",
    "Extragradient",
    "PastExtragradient",
    "Rule",
    "UnifiedSAM",
    "WarmStart",
    "multipliers",
    "schedules",
]

"""Rules: how the weights are perturbed, and the schedules of their coefficients."""

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

"""Rules: how the weights are perturbed, and the schedules of their coefficients."""

from samdyn.rules import schedules
from samdyn.rules.family import GD, SAM, USAM, UnifiedSAM
from samdyn.rules.rule import Rule, WarmStart

__all__ = ["GD", "SAM", "USAM", "Rule", "UnifiedSAM", "WarmStart", "schedules"]

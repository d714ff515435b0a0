"""samdyn: the dynamics of Sharpness-Aware Minimization, as a map, a flow and a diffusion.

    import samdyn as sd

is the whole interface: landscapes, rules, the three views, and one verb for each analysis.
"""

from samdyn import landscapes, rules
from samdyn.landscapes.landscape import CriticalPoint, Landscape
from samdyn.rules import GD, SAM, USAM, Rule, UnifiedSAM, WarmStart, schedules
from samdyn.systems import CurvatureNoise, Diffusion, Flow, GaussianNoise, Map

__version__ = "0.1.0"

__all__ = [
    "GD",
    "SAM",
    "USAM",
    "CriticalPoint",
    "CurvatureNoise",
    "Diffusion",
    "Flow",
    "GaussianNoise",
    "Landscape",
    "Map",
    "Rule",
    "UnifiedSAM",
    "WarmStart",
    "landscapes",
    "rules",
    "schedules",
]

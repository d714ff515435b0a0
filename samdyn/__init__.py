"""samdyn: the dynamics of Sharpness-Aware Minimization, as a map, a flow and a diffusion.

    import samdyn as sd

is the whole interface: landscapes, rules, the three views, and one verb for each analysis.
"""

from samdyn import landscapes, plot, rules
from samdyn.ensemble.trajectory import trajectory
from samdyn.escape import Ball, Box, ExitTimes, HalfSpace, Region, Survival, exit_times, ratio_of_means
from samdyn.landscapes.landscape import CriticalPoint, Landscape
from samdyn.local import (
    FixedPoint,
    FixedPoints,
    Linearization,
    critical_rho,
    fixed_points,
    linearize,
)
from samdyn.rules import GD, SAM, USAM, Rule, UnifiedSAM, WarmStart, schedules
from samdyn.systems import CurvatureNoise, Diffusion, Flow, GaussianNoise, Map

__version__ = "0.1.0"

__all__ = [
    "GD",
    "SAM",
    "USAM",
    "Ball",
    "Box",
    "CriticalPoint",
    "CurvatureNoise",
    "Diffusion",
    "ExitTimes",
    "FixedPoint",
    "FixedPoints",
    "Flow",
    "GaussianNoise",
    "HalfSpace",
    "Landscape",
    "Linearization",
    "Map",
    "Region",
    "Rule",
    "Survival",
    "UnifiedSAM",
    "WarmStart",
    "critical_rho",
    "exit_times",
    "fixed_points",
    "landscapes",
    "linearize",
    "plot",
    "ratio_of_means",
    "rules",
    "schedules",
    "trajectory",
]

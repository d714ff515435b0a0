"""samdyn: the dynamics of Sharpness-Aware Minimization, as a map, a flow and a diffusion.

    import samdyn as sd

is the whole interface: landscapes, rules, the three views, and one verb for each analysis.
"""

from samdyn import landscapes, plot, rules
from samdyn.ensemble.trajectory import trajectory
from samdyn.escape import (
    Ball,
    Box,
    ChainExitTime,
    Comparison,
    Displacement,
    ExactComparison,
    ExitLocation,
    ExitRate,
    ExitTimes,
    Field,
    HalfSpace,
    LogRank,
    RareExitTime,
    RareProbability,
    Region,
    Survival,
    TailRate,
    chain_exit_time,
    chain_mean_exit_time,
    committor,
    compare,
    exit_rate,
    exit_times,
    logrank,
    mean_exit_time,
    mean_squared_displacement,
    rare_committor,
    rare_exit_time,
    ratio_of_means,
)
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
    "ChainExitTime",
    "Comparison",
    "CriticalPoint",
    "CurvatureNoise",
    "Diffusion",
    "Displacement",
    "ExactComparison",
    "ExitLocation",
    "ExitRate",
    "ExitTimes",
    "Field",
    "FixedPoint",
    "FixedPoints",
    "Flow",
    "GaussianNoise",
    "HalfSpace",
    "Landscape",
    "Linearization",
    "LogRank",
    "Map",
    "RareExitTime",
    "RareProbability",
    "Region",
    "Rule",
    "Survival",
    "TailRate",
    "UnifiedSAM",
    "WarmStart",
    "chain_exit_time",
    "chain_mean_exit_time",
    "committor",
    "compare",
    "critical_rho",
    "exit_rate",
    "exit_times",
    "fixed_points",
    "landscapes",
    "linearize",
    "logrank",
    "mean_exit_time",
    "mean_squared_displacement",
    "plot",
    "rare_committor",
    "rare_exit_time",
    "ratio_of_means",
    "rules",
    "schedules",
    "trajectory",
]

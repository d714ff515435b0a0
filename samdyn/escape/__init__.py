"""Escape: regions, first exit times and their statistics, rare exits, and exact answers.

============  ===================================================================
file          what it computes or holds
============  ===================================================================
`region`      the open sets in which paths live, and their faces
`exit`        first exit times by simulation
`kernel`      exits within a step: the Brownian bridge, in numpy, torch and C++
`statistics`  what exit times say: means, intervals, survival, comparisons
`rare`        exits too rare to wait for: splitting, least action
`solver`      exact answers: the backward Kolmogorov equation and discrete chains
`spread`      mean squared displacements
============  ===================================================================
"""

from samdyn.escape.exit.parameter_sweep import ExitTimeSweep, exit_time_sweep
from samdyn.escape.exit.times import exit_times
from samdyn.escape.rare.least_action import ActionPath, minimum_action
from samdyn.escape.rare.rare_committors import rare_committor
from samdyn.escape.rare.rare_exits import rare_exit_time
from samdyn.escape.rare.results import RareExitTime, RareProbability
from samdyn.escape.region import Ball, Box, HalfSpace, Region
from samdyn.escape.solver.chain import ChainExitTime, chain_mean_exit_time
from samdyn.escape.solver.chain_of_system import chain_exit_time
from samdyn.escape.solver.field import Field
from samdyn.escape.solver.kolmogorov import ExitRate, committor, exit_rate, mean_exit_time
from samdyn.escape.spread.displacement import mean_squared_displacement
from samdyn.escape.spread.result import Displacement
from samdyn.escape.statistics.comparison import Comparison, LogRank, compare, logrank, ratio_of_means
from samdyn.escape.statistics.exact_comparison import ExactComparison
from samdyn.escape.statistics.location import ExitLocation
from samdyn.escape.statistics.result import ExitTimes
from samdyn.escape.statistics.survival import Survival
from samdyn.escape.statistics.tail import TailRate

__all__ = [
    "ActionPath",
    "Ball",
    "Box",
    "ChainExitTime",
    "Comparison",
    "Displacement",
    "ExactComparison",
    "ExitLocation",
    "ExitRate",
    "ExitTimeSweep",
    "ExitTimes",
    "Field",
    "HalfSpace",
    "LogRank",
    "RareExitTime",
    "RareProbability",
    "Region",
    "Survival",
    "TailRate",
    "chain_exit_time",
    "chain_mean_exit_time",
    "committor",
    "compare",
    "exit_rate",
    "exit_time_sweep",
    "exit_times",
    "logrank",
    "mean_exit_time",
    "mean_squared_displacement",
    "minimum_action",
    "rare_committor",
    "rare_exit_time",
    "ratio_of_means",
]

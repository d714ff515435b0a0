"""Escape: regions, first exit times and their statistics, and the exact answers."""

from samdyn.escape.chain import ChainExitTime, chain_mean_exit_time
from samdyn.escape.chain_exit import chain_exit_time
from samdyn.escape.comparison import Comparison, LogRank, compare, logrank, ratio_of_means
from samdyn.escape.displacement import mean_squared_displacement
from samdyn.escape.displacement_result import Displacement
from samdyn.escape.exact_comparison import ExactComparison
from samdyn.escape.exit_time_sweep import ExitTimeSweep, exit_time_sweep
from samdyn.escape.exit_times import exit_times
from samdyn.escape.field import Field
from samdyn.escape.kolmogorov import ExitRate, committor, exit_rate, mean_exit_time
from samdyn.escape.location import ExitLocation
from samdyn.escape.minimum_action import ActionPath, minimum_action
from samdyn.escape.rare_exits import rare_exit_time
from samdyn.escape.rare_results import RareExitTime, RareProbability
from samdyn.escape.regions import Ball, Box, HalfSpace, Region
from samdyn.escape.splitting import rare_committor
from samdyn.escape.statistics import ExitTimes
from samdyn.escape.survival import Survival
from samdyn.escape.tail import TailRate

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

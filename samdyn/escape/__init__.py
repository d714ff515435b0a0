"""Escape: regions, first exit times and their statistics."""

from samdyn.escape.exit_times import exit_times
from samdyn.escape.regions import Ball, Box, HalfSpace, Region
from samdyn.escape.statistics import ExitTimes, Survival, ratio_of_means

__all__ = ["Ball", "Box", "ExitTimes", "HalfSpace", "Region", "Survival", "exit_times", "ratio_of_means"]

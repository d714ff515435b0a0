"""Pictures, one file a kind. matplotlib is imported when the first picture is drawn, not before."""

from samdyn.plot.exits import exit_density, exit_locations
from samdyn.plot.phase_portrait import phase_portrait
from samdyn.plot.survival import survival

__all__ = ["exit_density", "exit_locations", "phase_portrait", "survival"]

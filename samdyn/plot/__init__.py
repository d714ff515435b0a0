"""Pictures, one file a kind. matplotlib is imported when the first picture is drawn, not before."""

from samdyn.plot.phase_portrait import phase_portrait
from samdyn.plot.survival import survival

__all__ = ["phase_portrait", "survival"]

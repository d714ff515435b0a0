"""Pictures, one file a kind. matplotlib is imported when the first picture is drawn, not before."""

from samdyn.plot.animation import animate
from samdyn.plot.basin_graph import basin_graph
from samdyn.plot.basins import basins
from samdyn.plot.bifurcation import bifurcation_curves, bifurcation_diagram
from samdyn.plot.convergence import convergence
from samdyn.plot.edge_of_stability import edge_of_stability
from samdyn.plot.exit_sweep import exit_sweep
from samdyn.plot.exits import exit_density, exit_quantiles
from samdyn.plot.fraction_bands import fraction_bands
from samdyn.plot.geometry import perturbation_geometry
from samdyn.plot.interactive import interactive
from samdyn.plot.locations import exit_locations
from samdyn.plot.manifolds import manifolds
from samdyn.plot.morse_graph import morse_graph
from samdyn.plot.phase_portrait import phase_portrait
from samdyn.plot.registry import draw
from samdyn.plot.survival import survival
from samdyn.plot.virtual_loss import virtual_loss

__all__ = [
    "animate",
    "basin_graph",
    "basins",
    "bifurcation_curves",
    "bifurcation_diagram",
    "convergence",
    "draw",
    "edge_of_stability",
    "exit_density",
    "exit_locations",
    "exit_quantiles",
    "exit_sweep",
    "fraction_bands",
    "interactive",
    "manifolds",
    "morse_graph",
    "perturbation_geometry",
    "phase_portrait",
    "survival",
    "virtual_loss",
]

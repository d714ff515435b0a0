"""Pictures, one file a kind. matplotlib is imported when the first picture is drawn, not before.

====================  ================================================
file                  what it computes or holds
====================  ================================================
`registry`            which picture belongs to which result: `draw`
`portrait`            phase portraits, animated and with sliders
`appearance`          colours, legends, titles: what pictures share
`paths`               trajectories, paths of least action
`manifold_curves`     stable and unstable manifolds
`bifurcation`         bifurcation diagrams
`hallucination`       hallucinated points: intervals, branches, shares
`virtual_losses`      a loss beside its virtual loss
`basin_maps`          basins
`basin_shares`        shares across a parameter
`graphs`              basin graphs
`morse_graphs`        Morse sets and graphs
`exits`               histograms and quantiles of exit times
`exit_sweeps`         mean exit times over a parameter
`survival_curves`     survival curves
`locations`           where paths leave
`fields`              functions of position; displacements
`convergence_curves`  convergence, with bands and bounds
`geometry`            the cosine between gradients along a path
`sharpness`           the edge of stability along a path
`spectra`             eigenvalues and their density
`diagnoses`           diagnoses of a run
`monitor`             a monitored training run
`sequences`           animations of results, and of exits in time
====================  ================================================
"""

from samdyn.plot.basin_maps import basins
from samdyn.plot.basin_shares import fraction_bands
from samdyn.plot.bifurcation import bifurcation_curves, bifurcation_diagram
from samdyn.plot.convergence_curves import convergence
from samdyn.plot.exit_sweeps import exit_sweep
from samdyn.plot.exits import exit_density, exit_quantiles
from samdyn.plot.geometry import perturbation_geometry
from samdyn.plot.graphs import basin_graph
from samdyn.plot.locations import exit_locations
from samdyn.plot.manifold_curves import manifolds
from samdyn.plot.morse_graphs import morse_graph
from samdyn.plot.portrait.animation import animate
from samdyn.plot.portrait.phase_portraits import phase_portrait
from samdyn.plot.portrait.sliders import interactive
from samdyn.plot.registry import draw
from samdyn.plot.sequences import animate_exits, animate_results
from samdyn.plot.sharpness import edge_of_stability
from samdyn.plot.survival_curves import survival
from samdyn.plot.virtual_losses import virtual_loss

__all__ = [
    "animate",
    "animate_exits",
    "animate_results",
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

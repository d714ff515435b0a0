"""The engine of all sampling: how copies of a system are moved, step by step, many at a time.

====================  ==================================================================================
file                  what it computes or holds
====================  ==================================================================================
`contract`            a step of many copies: load, advance, read off the points
`step`                the formula of Euler and Maruyama, and of a step of a map, on separate coordinates
`batch_step`          the step of a map on batches of a finite sum
`steppers`            the traced step of a system, with its coefficients and random inputs as inputs
`step_cache`          traced steps are kept for the next call on the same system
`draws`               the random inputs of a step: normal numbers, batches
`clock`               the coefficients of a step: lr, rho, schedules
`wide_root`           the noise root of a system of many coordinates, as products
`driver`              many copies, step after step, with an observer: `drive`
`observers`           what is looked at on the way: records, moments
`path_job`            paths that are driven, as a job in pieces
`system_description`  all that the paths of a system depend on, as the head of a checkpoint
`step_length`         how long a step may be, and the bias of its length
`records`             points of many paths after chosen steps, as a job in pieces
`trajectories`        paths stored at regular steps: `trajectory`
`trajectory_result`   its result
`smooth_flow_paths`   paths of smooth flows, by solvers of libraries
`parametric`          a system as a function of its state and some parameters, with both Jacobians
`adaptive_steps`      the driver of step lengths: paths of a flow, each with a step of its own
`dormand_prince`      its formula for smooth flows: order 5(4)
`rosenbrock`          its formula for stiff flows, also across jumps: order 2(3), linearly implicit
`filippov`            flows of normalised rules, whose field jumps where the gradient is 0
`kinks`               flows of losses with kinks, along which paths slide
`backends`            kinds of steps: traced, compiled, closed forms, networks
====================  ==================================================================================
"""

from samdyn.dynamics.trajectories import trajectory
from samdyn.dynamics.trajectory_result import Trajectory

__all__ = ["Trajectory", "trajectory"]

"""Face, time within the step and place of an exit, drawn for paths that are known to leave in a step.

Given the ends of the step, what is drawn depends on no more than the bridge between them
(`samdyn.escape.kernel.crossing`): the random numbers are fresh ones that belong to the path's exit in that
step. A chain that is watched at whole steps leaves at the end of the step, through the face that it is
farthest beyond.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from samdyn.dynamics.step import Stepper, combine
from samdyn.escape.kernel.crossing import first_exit
from samdyn.escape.kernel.exit_place import conjugate_direction, exit_point
from samdyn.escape.kernel.exit_replay import Draws, Finish
from samdyn.escape.kernel.exit_test import ExitTest
from samdyn.numerics.vector import Coordinates


def finisher(stepper: Stepper, test: ExitTest) -> Finish:
    """The function that draws face, time within the step and place of an exit."""
    n_faces = len(test.faces)

    def watched(
        start: Coordinates,
        end: Coordinates,
        draws: Draws,
        coefficients: Sequence[Tensor],
        dt: Tensor,
    ) -> tuple[Tensor, Tensor, Coordinates]:
        outside = torch.stack([face.distance(end) for face in test.faces])
        return outside.argmax(dim=0), torch.ones_like(end[0]), end

    def bridged(
        start: Coordinates,
        end: Coordinates,
        draws: Draws,
        coefficients: Sequence[Tensor],
        dt: Tensor,
    ) -> tuple[Tensor, Tensor, Coordinates]:
        normals, uniforms = draws(2 * n_faces + stepper.n_normals)
        _, columns = stepper.local(start, coefficients)
        a, variance = test.geometry(start, columns, dt)
        c = [-face.distance(end) for face in test.faces]
        choices = uniforms[n_faces : 2 * n_faces]
        face, fraction = first_exit(a, c, variance, choices, normals[:n_faces], uniforms[:n_faces])
        noise = combine(columns, [z * dt**0.5 for z in normals[2 * n_faces :]])
        noise = Coordinates(s + torch.zeros_like(fraction) for s in noise)
        point = end
        for i, own in enumerate(test.faces):
            _, normal = own.distance_and_normal(start)
            direction = conjugate_direction(normal, columns)
            others = [other for other in test.faces if other is not own]
            here = exit_point(start, end, fraction, own, noise, direction, others)
            point = Coordinates(torch.where(face == i, u, v) for u, v in zip(here, point, strict=True))
        return face, fraction, point

    return bridged if test.bridge else watched

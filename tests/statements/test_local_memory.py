"""What is said of critical points at which a map with memory jumps, beside its orbits."""

from __future__ import annotations

import numpy as np

import samdyn as sd
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

LOSS = sd.Landscape(
    lambda w: (
        (w[0] ** 2 - 1) ** 2 / 4 + 0.3 * w[1] ** 2 * (1 + 0.5 * w[0]) + 0.25 * w[0] * w[1] + 0.07 * w[0]
    ),
    2,
    [(-2, 2)] * 2,
)


def test_labels_at_such_points_are_those_of_orbits() -> None:
    """Right, by the map itself from 12 states 1e-4 away: at the saddle VaSSO stays, and MSAM leaves."""
    u = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    saddle = sd.fixed_points(sd.Flow(LOSS, sd.GD()), n_starts=16).select(kind="saddle").x[0]
    start = saddle + 1e-4 * np.stack([np.cos(u), np.sin(u)], axis=1)
    farthest = []
    for rule in (sd.VaSSO(0.3), sd.MSAM(0.2)):
        system = sd.Map(LOSS, rule, lr=0.05)
        step = numpy_form(traced_or_batched(system.point_function(), system.state_dim))
        state, distance = list(np.ascontiguousarray(system.states(start).T)), np.zeros(len(u))
        for _ in range(4000):
            state = list(step(*state))
            distance = np.maximum(distance, np.hypot(state[0] - saddle[0], state[1] - saddle[1]))
        farthest.append(distance)
        assert (sd.linearize(system, saddle).stability == "trapping") == (distance.max() < 0.1)
    assert (farthest[0] < 0.1).all()
    assert (farthest[1] > 0.9).all()

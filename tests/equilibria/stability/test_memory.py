"""What critical points do to maps whose rule has memory: the labels beside orbits of the maps themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.bifurcation.critical_points import jump_labels
from samdyn.equilibria.stability.at_jumps import jump_words
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

WELL, SADDLE = sd.landscapes.double_well(), sd.landscapes.saddle(1.0, 2.0)
CASES = [
    (sd.VaSSO(0.2), SADDLE, 0.1, "trapping"),
    (sd.VaSSO(0.2, theta=0.01), SADDLE, 0.1, "saddle"),  # the average turns too late
    (sd.VaSSO(0.2, theta=0.01), WELL, 0.1, "repelling"),
    (sd.FriendlySAM(0.2, sigma=0.5), SADDLE, 0.1, "trapping"),
    (sd.FriendlySAM(0.2, sigma=1.5), SADDLE, 0.1, "repelling"),  # it perturbs against the gradient
    (sd.InfoSAM(0.2), SADDLE, 0.1, "trapping"),
    (sd.SAMPa(0.2), SADDLE, 0.1, "trapping"),
    (sd.EigenSAM(0.2, iterations=2), SADDLE, 0.1, "trapping"),
    (sd.XSAM(0.2, iterations=2), SADDLE, 0.1, "trapping"),
    (sd.RMSPropSAM(0.2), SADDLE, 0.01, "trapping"),
    (sd.RMSPropSAM(0.2), SADDLE, 0.3, "saddle"),  # steps of one size lr, too large for the radius
    (sd.AdamWSAM(0.2, beta2=0.99), WELL, 0.01, "trapping"),
    (sd.AdamWSAM(0.2, beta2=0.99), WELL, 0.1, "repelling"),
    (sd.MSAM(0.2), SADDLE, 0.1, "saddle"),  # ahead on its way it finds a steeper descent
    (sd.MSAM(0.2), WELL, 0.1, "repelling"),
]  # fmt: skip


def orbits(system: sd.Map, starts: list[list[float]], n_steps: int) -> np.ndarray:
    """Points (n_steps + 1, n, dim) of orbits from settled memory; what is so short is not worth compiling."""
    step = numpy_form(traced_or_batched(system.point_function(), system.state_dim))
    state, points = list(system.settled(np.array(starts)).T), [np.array(starts)]
    with np.errstate(all="ignore"):
        for _ in range(n_steps):
            state = [np.broadcast_to(column, len(starts)) for column in step(*state)]
            points.append(np.stack(state[: system.dim], axis=-1))
    return np.array(points)


@pytest.mark.parametrize(
    ("rule", "loss", "lr", "expected"), CASES, ids=lambda value: getattr(value, "name", None) or repr(value)
)
def test_labels_are_what_orbits_do(rule: sd.Rule, loss: sd.Landscape, lr: float, expected: str) -> None:
    """Orbits from a tenth of the radius beside a saddle or maximum stay within the radius, or leave it."""
    system = sd.Map(loss, rule, lr=lr)
    found = sd.linearize(system, np.zeros(loss.dim))
    assert found.stability == expected
    starts = [[0.016, -0.012], [0.006, 0.019], [-0.01, 0.01]]
    farthest = np.abs(orbits(system, [start[: loss.dim] for start in starts], 4000)[-2000:]).max()
    if expected == "trapping":
        assert farthest < 0.2
        assert farthest < 1.5 * found.chatter_radius
        assert found.capture_radius > 0
    else:
        assert not farthest < 0.5
        assert np.isnan(found.chatter_radius)


def test_momentum_sam_hovers_beside_a_minimum() -> None:
    """What rests at critical points alone need not approach one: it hovers a third of the radius away."""
    system = sd.Map(WELL, sd.MSAM(0.2), lr=0.01)
    assert sd.linearize(system, [1.0]).stability == "repelling"
    tail = orbits(system, [[1.001], [1.04]], 4000)[-1000:, :, 0]
    np.testing.assert_allclose(tail.mean(axis=0), 1 - 0.2 / 3, atol=0.01)
    assert np.abs(tail - tail.mean()).max() < 0.01


def test_multipliers_with_memory_decide_at_smooth_points() -> None:
    """A hallucinated point of VaSSO: attracting, by the spectral radius of the whole state's Jacobian."""
    for theta, lr, expected in ((0.4, 0.1, "attracting"), (0.4, 1.2, "saddle")):
        system = sd.Map(WELL, sd.VaSSO(1.5, theta=theta), lr=lr)
        at = sd.linearize(system, [-0.5])
        # the state is x, the average and whether it has begun: the last is set at every step, and forgets
        assert at.jacobian.shape == (3, 3)
        assert at.stability == expected
        assert (at.spectral_radius < 1) == (expected == "attracting")
        orbit = orbits(system, [[-0.501]], 300)[:, 0]
        assert (abs(orbit[-1] + 0.5) < 1e-6) == (expected == "attracting")


def test_labels_along_a_parameter() -> None:
    """The saddle holds VaSSO up to some learning rate, and MSAM, which has no flow, at none."""
    rates = np.array([0.05, 0.3])
    origin = np.zeros((2, 2))
    labels, capture, hover = jump_labels(sd.Map(SADDLE, sd.VaSSO(0.2), lr=0.05), "lr", rates, origin)
    assert labels.tolist() == ["trapping", "saddle"]
    assert capture[0] == pytest.approx(0.2, rel=1e-3)
    assert 0 < hover[0] < 0.1
    labels, capture, hover = jump_labels(sd.Map(SADDLE, sd.MSAM(0.2), lr=0.05), "lr", rates, origin)
    assert labels.tolist() == ["saddle", "saddle"]
    assert np.isnan(capture).all()


def test_chaos_about_a_point_is_no_departure() -> None:
    # bursts of AdamW: the largest of chaotic distances grows by a fifth from one quarter to another by chance
    loss = sd.Landscape(lambda w: torch.cos(2 * w[0]) + torch.cos(3 * w[1]) + 0.1 * (w**2).sum(), 2)
    z = sd.refine(sd.Flow(loss, sd.GD()), [1.4957, 1.0244]).x
    words = jump_words(sd.Map(loss, sd.AdamWSAM(0.3), lr=0.05), np.array([z, -z]))
    assert [word for word, *_ in words] == ["trapping", "trapping"]

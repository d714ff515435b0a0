"""Where a run has stopped: the reference networks, ends of runs with a known truth, and what is refused."""

from __future__ import annotations

from collections import Counter

import labelled_runs
import numpy as np
import problems
import pytest
import torch
from sklearn.datasets import load_digits

import samdyn as sd
from samdyn.network.diagnosis import VERDICTS


def confusion(per_case: int, n_networks: int) -> Counter[tuple[str, str]]:
    """How often each truth got each verdict."""
    counts: Counter[tuple[str, str]] = Counter()
    for run in labelled_runs.runs(per_case, n_networks):
        counts[run.truth, sd.diagnose(run.system, run.x).verdict] += 1
    return counts


def check(counts: Counter[tuple[str, str]]) -> None:
    """No false "hallucinated", no missed one, and few other mistakes."""
    for (truth, verdict), _ in counts.items():
        assert truth in VERDICTS
        assert verdict.startswith("hallucinated") == truth.startswith("hallucinated"), (truth, verdict)
    wrong = sum(n for (truth, verdict), n in counts.items() if truth != verdict)
    assert wrong <= 0.03 * counts.total()


@pytest.mark.slow
def test_ends_of_runs_get_the_verdict_that_is_true() -> None:
    counts = confusion(per_case=2, n_networks=4)
    check(counts)
    assert counts.total() >= 50
    assert len({truth for truth, _ in counts}) >= 7


@pytest.mark.parametrize("rho_and_lr", [0.01, 0.02])
def test_the_reference_networks(rho_and_lr: float) -> None:
    for name, endpoint in (
        ("isolated", "minimum"),
        ("saddle endpoint", "saddle"),
        ("zero-loss endpoint", "minimum"),
    ):
        case = problems.HALLUCINATED_NETWORKS[name]
        loss = problems.xor_module(case.width, case.weight_decay)
        found = sd.diagnose(sd.Map(loss, sd.SAM(case.rho), lr=rho_and_lr), case.x)
        assert (found.verdict, found.endpoint) == ("hallucinated, attracting", endpoint)
        assert found.point is not None
        assert found.point.distance < 1e-6
        numbers = {e.name: e.value for e in found.evidence}
        assert numbers["|g(x)|"] == pytest.approx(case.gradient, abs=1e-9)
        assert numbers["|g(y)|/|g(x)|"] < 1e-8


def test_a_learning_rate_beyond_the_bound_does_not_attract() -> None:
    case = problems.HALLUCINATED_NETWORKS["isolated"]
    loss = problems.xor_module(2, 0.03)
    for lr, verdict in ((0.073, "hallucinated, attracting"), (0.08, "hallucinated, not attracting")):
        assert sd.diagnose(sd.Map(loss, sd.SAM(4.0), lr=lr), case.x).verdict == verdict


@pytest.mark.parametrize(
    "rule", [sd.SAM(1.5), pytest.param(sd.SAM(5.0), marks=pytest.mark.slow), sd.USAM(0.02)], ids=repr
)
def test_it_agrees_with_the_fixed_points_of_the_plane(rule: sd.Rule) -> None:
    system = sd.Map(sd.landscapes.himmelblau(), rule, lr=1e-3)
    for known in sd.fixed_points(system)[::3]:
        verdict = sd.diagnose(system, known.x).verdict
        if known.kind == "hallucinated":
            attracts = known.stability == "attracting"
            assert verdict == f"hallucinated, {'attracting' if attracts else 'not attracting'}"
        elif not rule.jumps:
            assert verdict == f"at rest: {known.kind}"


@pytest.mark.slow
def test_it_agrees_with_the_capture_set() -> None:
    loss = sd.landscapes.himmelblau()
    system = sd.Map(loss, sd.SAM(0.5), lr=1e-3)
    for point in sd.fixed_points(sd.Flow(loss, sd.SAM(0.5))).select(stability="trapping")[::4]:
        held = sd.capture_set(system, point)
        inside = point.x + 0.5 * held.radius * np.array([0.6, 0.8])
        end = sd.trajectory(system, inside, n_steps=4000, save_every=4000)[-1]
        verdict = sd.diagnose(system, end).verdict
        assert verdict == (
            "hovers about a minimum" if point.kind == "minimum" else f"trapped at a {point.kind}"
        )


def test_other_verdicts() -> None:
    well = sd.landscapes.double_well()
    for system, x, verdict in (
        (sd.Map(well, sd.GD(), lr=0.01), 0.5, "still descending"),
        (sd.Map(well, sd.GD(), lr=1.0), 3.0, "diverged"),
        (sd.Map(well, sd.GD(), lr=0.1), np.nan, "diverged"),
        (sd.Map(well, sd.SAM(0.3), lr=0.1, momentum=0.5), 1.02, "hovers about a minimum"),
        (sd.Flow(well, sd.SAM(0.5)), 0.02, "trapped at a maximum"),
        (
            sd.Diffusion(well, sd.SAM(1.5), lr=0.1, noise=sd.GaussianNoise(probe="full")),
            -0.49,
            "hallucinated, attracting",
        ),
    ):
        assert sd.diagnose(system, [x]).verdict == verdict


def test_a_gorge_is_bounced_in_at_the_edge() -> None:
    """A valley that widens on the way down: SAM goes to and fro across it, far from any critical point."""
    import torch

    gorge = sd.Landscape(lambda w: 20 * torch.exp(-0.2 * w[0]) * w[1] ** 2 / 2 - 0.02 * w[0], dim=2)
    system = sd.Map(gorge, sd.SAM(0.05), lr=0.1)
    end = sd.trajectory(system, [0.0, 0.01], n_steps=500, save_every=500)[-1]
    found = sd.diagnose(system, end)
    numbers = {e.name: e.value for e in found.evidence}
    assert found.verdict == "bounces on the edge", found
    assert 0.9 < numbers["largest curvature / edge"] < 1.3


def test_a_history_says_the_same_as_the_steps() -> None:
    system = sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.5), lr=1e-3)
    path = sd.trajectory(system, [1.0, 2.0], n_steps=4000)
    for history in (path[-60:], path[-60:-1]):
        found = sd.diagnose(system, path[-1], history)
        assert found.verdict == sd.diagnose(system, path[-1]).verdict == "hovers about a minimum"
        np.testing.assert_array_equal(found.x, path[-1])


def test_text_and_picture() -> None:
    system = sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.5), lr=1e-3)
    found = sd.diagnose(system, [1.0, 2.0])
    text = repr(found)
    assert text.startswith(f"{found.verdict}: ")
    assert len(text.splitlines()) < 24
    assert max(map(len, text.splitlines())) < 120
    for name in ("|g(x)|", "edge", "period-2 share"):
        assert name in text
    assert "<table>" in found._repr_html_()
    figure = found.plot()
    assert len(figure.axes) == 3
    assert figure.get_suptitle() == found.verdict
    with pytest.raises(ValueError, match="diverged"):
        sd.diagnose(system, [np.nan, 0.0]).plot()


def test_what_does_not_fit_is_refused() -> None:
    well = sd.landscapes.double_well()
    system = sd.Map(well, sd.SAM(0.5), lr=0.1)
    for call, words in (
        (lambda: sd.diagnose(system, [[0.3]]), "x must be one point"),
        (lambda: sd.diagnose(system, [0.3], [[0.1], [0.2]]), "at least three points"),
        (lambda: sd.diagnose(system, [0.3], n_steps=1), "n_steps must be"),
        (lambda: sd.diagnose(sd.Map.from_function(lambda w: w / 2, dim=1), [0.3]), "a loss and a rule"),
        (lambda: sd.diagnose(sd.Map(well, sd.SAM(0.5), sd.schedules.PowerDecay(0.1)), [0.3]), "constant"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.slow
@pytest.mark.parametrize("rho", [3.0, 10.0])
def test_a_network_that_stalls_at_a_large_radius_bounces_on_the_edge(rho: float) -> None:
    """8970 weights on the digits: from .480 the loss ends at .44 (rho 3), |g(y)| is many times |g|.

    Right: runs of plain torch, whose largest curvature is then 1.0 to 1.2 times the edge.
    """
    digits = load_digits()
    inputs = (digits.data - digits.data.mean(axis=0)) / 16
    torch.manual_seed(0)
    layers = [torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))

    def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return ((outputs - targets) ** 2).sum(dim=1).mean() / 2

    loss = sd.from_module(net, squared_error, (inputs, np.eye(10)[digits.target]), dtype=torch.float32)
    assert loss.value(loss.x0) == pytest.approx(0.4801, abs=1e-3)
    system = sd.Map(loss, sd.SAM(rho), lr=0.02)
    end = np.asarray(sd.trajectory(system, loss.x0, n_steps=600, save_every=600))[..., -1, :].ravel()
    found = sd.diagnose(system, end)
    assert found.verdict == "bounces on the edge", found

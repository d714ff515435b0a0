"""What takes long says so before it starts, and what would not fit into memory is refused with numbers."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.jobs import cost
from samdyn.jobs.progress import PacedBar, paced

WELL = sd.landscapes.double_well()
STEP = sd.Map(WELL, sd.SAM(0.3), lr=0.1)
MANY = sd.Landscape(lambda w: ((w**2 - 1) ** 2).sum() / 4, dim=1210)


@functools.cache
def two_basins() -> sd.basin.Basins:
    """Of the double well, made once: what they cost is not the question here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sd.CostWarning)
        return sd.basins(sd.Map(WELL, sd.GD(), lr=0.1), [(-2, 2)], 20)


TILTED = sd.landscapes.tilted_hat(tilt=0.1)
FOUR_WELLS = sd.Landscape(lambda w: ((w**2 - 1) ** 2).sum() / 4, dim=2, box=[(-2, 2)] * 2)
BOWL = sd.landscapes.quadratic([[1.0]])
SDE = sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=sd.GaussianNoise(2.0))
EDGE = sd.HalfSpace([1.0], 0.0)


@functools.cache
def few_exits() -> Any:
    """Of the double well, made once."""
    return sd.exit_times(SDE, [-1.0], EDGE, 20, t_max=1000.0)


LONG: dict[str, Callable[[], Any]] = {
    "Landscape.hessian": lambda: sd.Landscape(lambda w: (w**4).sum(), dim=201).hessian(np.ones(201)),
    "edge_of_stability": lambda: sd.edge_of_stability(
        sd.Map(sd.Landscape(lambda w: (w**4).sum(), dim=64), sd.GD(), lr=0.1),
        np.ones((300, 64)),
        progress=True,
    ),
    "trajectory": lambda: sd.trajectory(STEP, [0.5], n_steps=6000, save_every=6000),
    "hallucinated_share": lambda: sd.hallucinated_share(STEP, n_starts=8, n_steps=200, progress=True),
    "warm_start_study": lambda: sd.warm_start_study(STEP, [0, 10], n_starts=8, n_steps=200, progress=True),
    "morse_continuation": lambda: sd.morse_continuation(
        sd.Map(WELL, sd.USAM(0.5), lr=0.1),
        [(-1.52, 1.5)],
        parameters={"rho": [0.5, 1.5]},
        resolution=30,
        progress=True,
    ),
    "fixed_points": lambda: sd.fixed_points(sd.Flow(WELL, sd.USAM(0.3)), n_starts=64, progress=True),
    "capture_set": lambda: sd.capture_set(
        sd.Flow(sd.landscapes.quadratic([[1.0, 0.0], [0.0, -1.0]]), sd.SAM(0.3)), [0, 0], progress=True
    ),
    "manifold": lambda: sd.manifold(sd.Flow(sd.landscapes.saddle(), sd.GD()), [0, 0], progress=True),
    "hallucinated_branches": lambda: sd.hallucinated_branches(TILTED, progress=True),
    "hallucination_intervals": lambda: sd.hallucination_intervals(TILTED, progress=True),
    "spherical_minima": lambda: sd.spherical_minima(
        sd.landscapes.himmelblau(), [3, 2], [1.0, 1.9, 2.0], progress=True
    ),
    "attractors_1d": lambda: sd.attractors_1d(sd.Flow(WELL, sd.SAM(0.3)), resolution=256, progress=True),
    "chain_exit_time": lambda: sd.chain_exit_time(SDE, [-1.0], EDGE, dt=0.1, progress=True),
    "compare_exact": lambda: few_exits().compare_exact(progress=True),
    "orbit_diagram": lambda: sd.orbit_diagram(
        STEP, parameters={"rho": [0.1, 0.2]}, n_transient=50, progress=True
    ),
    "edge_state": lambda: sd.basin.edge_state(two_basins(), 1, 2, max_rounds=20, progress=True),
    "phase_portrait": lambda: sd.plot.phase_portrait(
        sd.Flow(FOUR_WELLS, sd.GD()), field=False, nullclines=False, contours=False, resolution=8
    ),
}


@pytest.mark.parametrize("verb", LONG)
def test_a_long_verb_says_what_it_costs(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind: a cost that nobody is told before. Right: every verb that can take long estimates it and says so.

    The limit is lowered from ten seconds to a microsecond, so that short work shows what long work says.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", sd.CostWarning)
        LONG[verb]()  # short work says nothing
    monkeypatch.setattr(cost, "LONG_SECONDS", 1e-6)
    monkeypatch.setattr("samdyn.orbit.manifolds.SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr("samdyn.jobs.progress.SAMPLE_SECONDS", 0.0)
    # A bar says nothing in its first tenths of a second, in which a fast machine does all of this short work.
    patient = PacedBar.__init__
    monkeypatch.setattr(PacedBar, "__init__", lambda *a, **k: patient(*a, **{**k, "after": 0.0}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LONG[verb]()
    said = [str(w.message) for w in caught if issubclass(w.category, sd.CostWarning)]
    assert any(text.startswith(f"{verb} will take about") for text in said), said


RINGS = np.random.default_rng(0).normal(size=(40, 3))


@functools.cache
def logistic_sum() -> sd.FiniteSum:
    """A sum of logistic losses, whose components are not quadratic."""
    return sd.FiniteSum(
        lambda w, s: torch.nn.functional.softplus(-s @ w) + 0.05 * w @ w, RINGS, dim=3, box=[(-2, 2)] * 3
    )


def animated() -> Any:
    """Pictures of one result, three times."""
    one = sd.convergence(STEP, [0.5], 50)
    return sd.plot.animate_results([one, one, one])


TINKERBELL = sd.Map.from_function(
    lambda w, a: torch.stack(
        [w[0] ** 2 - w[1] ** 2 + a * w[0] - 0.6013 * w[1], 2 * w[0] * w[1] + 2 * w[0] + 0.5 * w[1]]
    ),
    2,
    {"a": 0.3},
    box=[(-1.5, 0.8), (-1.7, 0.8)],
)
MORE: dict[str, Callable[[], Any]] = {
    "FiniteSum.smoothness": lambda: logistic_sum().smoothness(n_points=64),
    "animate_results": animated,
    "cycles": lambda: sd.cycles(TINKERBELL, period=2, n_starts=16),
    "continuation": lambda: sd.continuation(TINKERBELL, [0.0, 0.0], "a", (0.1, 0.5)),
    "lyapunov_exponents": lambda: sd.lyapunov_exponents(TINKERBELL, [-0.3, -0.3], 200),
    "basin_graph": lambda: sd.basin_graph(two_basins(), action=True),
    "diagnose": lambda: sd.diagnose(sd.Map(FOUR_WELLS, sd.SAM(0.1), lr=0.1), [0.9, 0.1]),
}


@pytest.mark.parametrize("verb", MORE)
def test_other_long_verbs_say_what_they_cost(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind: the same on other systems. `FiniteSum.smoothness` and `animate_results` said nothing: 10 000
    samples in ten coordinates take half a minute, and so do a hundred frames.
    """
    monkeypatch.setattr(cost, "LONG_SECONDS", 1e-6)
    monkeypatch.setattr("samdyn.jobs.progress.SAMPLE_SECONDS", 0.0)
    patient = PacedBar.__init__
    monkeypatch.setattr(PacedBar, "__init__", lambda *a, **k: patient(*a, **{**k, "after": 0.0}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MORE[verb]()
    said = [str(w.message) for w in caught if issubclass(w.category, sd.CostWarning)]
    assert any(f"{verb} will take about" in text for text in said), said


def stopped(verb: str, call: Callable[[], Any]) -> None:
    """A long call is stopped by its own warning, taken as an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", sd.CostWarning)
        with pytest.raises(sd.CostWarning, match=f"{verb} will take about"):
            call()


SLEEPS: list[float] = []


def slow_loss(dim: int) -> sd.Landscape:
    """One that cannot be traced, whose every call takes a tenth of a second."""

    def value(w: torch.Tensor) -> torch.Tensor:
        SLEEPS.append(0.1)
        time.sleep(0.1)
        return (w.sort().values ** 4).sum() / 4 - (w**2).sum() / 2

    return sd.Landscape(value, dim, box=[(-2, 2)] * dim)


HEAVY: dict[str, Callable[[], Any]] = {
    "fixed_points": lambda: sd.fixed_points(sd.Flow(slow_loss(1), sd.GD())),
    "capture_set": lambda: sd.capture_set(sd.Map(slow_loss(2), sd.SAM(0.1), lr=0.1), [0, 0]),
    "manifold": lambda: sd.manifold(sd.Flow(slow_loss(2), sd.GD()), [0, 1], "unstable"),
    "attractors_1d": lambda: sd.attractors_1d(sd.Flow(slow_loss(1), sd.SAM(0.1))),
    "chain_exit_time": lambda: sd.chain_exit_time(
        sd.Diffusion(BOWL, sd.GD(), lr=0.1, noise=sd.GaussianNoise(0.5)), [0.0], sd.Box([-58], [58]), dt=3e-3
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("verb", HEAVY)
def test_work_of_many_seconds_is_announced_before_it(verb: str) -> None:
    """The same without a lowered limit: a loss whose every call is slow, and a very large equation.

    Calls before the warning are counted, since a busy machine may take ten seconds for other reasons.
    """
    SLEEPS.clear()
    stopped(verb, HEAVY[verb])
    assert sum(SLEEPS) < 10


def test_the_arm_of_a_map_is_not_called_long_for_its_small_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A false alarm: it grows by a factor in each generation, and by length "7 days" were left after one
    second. Right: less than a minute, judged by any generation.
    """
    monkeypatch.setattr(cost, "LONG_SECONDS", 600.0)
    monkeypatch.setattr("samdyn.orbit.manifolds.SAMPLE_SECONDS", 0.0)
    step = sd.Map(sd.landscapes.coupled_double_well(), sd.GD(), lr=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sd.CostWarning)
        assert sd.manifold(step, [0.0, 0.0]).ends == ("fixed point", "fixed point")


def test_a_bar_says_once_what_is_left_and_again_when_the_work_turns_out_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """10 of 40 in one second: 3 s to go. Of 400, 39 s."""
    clock = iter([0.0, 1.0, 1.1, 1.2])
    monkeypatch.setattr("samdyn.jobs.progress.time.perf_counter", lambda: next(clock))
    with warnings.catch_warnings(record=True) as caught, PacedBar(False, "manifold", 40.0, "stop") as bar:
        warnings.simplefilter("always")
        bar.reach(10.0)
        bar.reach(5.0)
        assert not caught
        bar.stretch(400.0)
        bar.update(1.0)
        bar.update(1.0)
    assert [str(w.message) for w in caught] == ["manifold will take about 39 s; stop"]


@pytest.mark.slow
def test_the_root_of_a_hessian_in_four_dimensions_says_what_its_trace_costs() -> None:
    """Kind: a cost that nobody is told before: 15 to 30 s, before the first step."""
    loss = sd.Landscape(lambda w: ((w**2 - 1) ** 2).sum() / 4 + w[0] * w[1], dim=4)
    sde = sd.Diffusion(loss, sd.SAM(0.1), lr=0.1, noise=sd.CurvatureNoise(8))

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    from samdyn.dynamics import steppers as step

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setattr(cost, "LONG_SECONDS", 1.0)
        patch.setattr(step, "traced_or_batched", stop)  # the announcement comes before the work
        with pytest.raises(KeyboardInterrupt):
            sd.trajectory(sde, np.full(4, 0.5), t_max=1.0)
    assert any("tracing the step of CurvatureNoise" in str(w.message) for w in caught)


REFUSED: dict[str, Callable[[], Any]] = {
    "Hessians at many points": lambda: MANY.hessian(np.ones((2000, 1210))),
    "a long orbit of a map": lambda: sd.trajectory(STEP, np.zeros((1000, 1)), n_steps=10_000_000),
    "a long path": lambda: sd.trajectory(
        sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=sd.GaussianNoise(1.0)), np.zeros((1000, 1)), t_max=1e6
    ),
    "a fine flow": lambda: sd.trajectory(sd.Flow(WELL, sd.GD()), np.zeros((1000, 1)), t_max=1e4, dt=1e-3),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_with_the_numbers(what: str) -> None:
    """Kind: the same, of memory. Right: a ValueError at once, with how much it is and what to change."""
    with pytest.raises(ValueError, match=r"at most 8 GiB, got \d+\.\d GiB: pass"):
        REFUSED[what]()


def test_the_first_part_tells_what_the_others_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate is the first part's time, by the number of parts left; one part alone says nothing."""
    clock = iter([0.0, 5.0])
    monkeypatch.setattr("samdyn.jobs.progress.time.perf_counter", lambda: next(clock))
    with pytest.warns(sd.CostWarning, match="rate_graph will take about 20 s; pass fewer"):
        assert list(paced("abcde", "rate_graph", 5, "pass fewer")) == list("abcde")


INNER: dict[str, tuple[Callable[[], Any], str]] = {
    "basin_continuation": (
        lambda: sd.basin_continuation(STEP, [(-2, 2)], 20, parameters={"rho": [0.2]}, n_starts=8),
        "n_paths or n_starts",
    ),
    "basins": (lambda: sd.basins(STEP, [(-2, 2)], 8, n_starts=8), "smaller box"),
    "basin_graph": (lambda: sd.basin_graph(two_basins()), "smaller box"),
    "morse_continuation": (
        lambda: sd.morse_continuation(
            sd.Map(WELL, sd.USAM(0.5), lr=0.1), [(-1.52, 1.5)], parameters={"rho": [0.5]}, resolution=30
        ),
        "fewer values",
    ),
    "hallucinated_branches": (lambda: sd.hallucinated_branches(TILTED), "smaller box"),
    "phase_portrait": (LONG["phase_portrait"], "fixed_points=False"),
}


@pytest.mark.parametrize("verb", INNER)
def test_a_warning_names_the_verb_that_was_called(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind: messages that blame the wrong part. `basin_continuation` warned as `basin_fractions`, and basins
    and portraits advised the `n_starts` of `fixed_points`. Right: the name and the arguments of the verb that
    the user called, on every warning.
    """
    call, advice = INNER[verb]
    two_basins()
    monkeypatch.setattr(cost, "LONG_SECONDS", 1e-9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    said = [str(w.message) for w in caught if issubclass(w.category, sd.CostWarning)]
    assert said
    assert all(text.startswith(verb) for text in said), said
    assert any(advice in text for text in said), said

"""What takes long says so before it starts, and what would not fit into memory is refused with numbers."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.compute import cost
from samdyn.compute.progress import paced

WELL = sd.landscapes.double_well()
STEP = sd.Map(WELL, sd.SAM(0.3), lr=0.1)
MANY = sd.Landscape(lambda w: ((w**2 - 1) ** 2).sum() / 4, dim=1210)


@functools.cache
def two_basins() -> sd.Basins:
    """Of the double well, made once: what they cost is not the question here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sd.CostWarning)
        return sd.basins(sd.Map(WELL, sd.GD(), lr=0.1), [(-2, 2)], 20)


LONG: dict[str, Callable[[], Any]] = {
    "Landscape.hessian": lambda: sd.Landscape(lambda w: (w**4).sum(), dim=201).hessian(np.ones(201)),
    "edge_of_stability": lambda: sd.edge_of_stability(
        sd.Map(sd.Landscape(lambda w: (w**4).sum(), dim=64), sd.GD(), lr=0.1),
        np.ones((300, 64)),
        progress=True,
    ),
    "trajectory": lambda: sd.trajectory(STEP, [0.5], n_steps=6000, every=6000),
    "hallucinated_share": lambda: sd.hallucinated_share(STEP, n_starts=8, n_steps=200, progress=True),
    "warm_start_study": lambda: sd.warm_start_study(STEP, [0, 10], n_starts=8, n_steps=200, progress=True),
    "morse_continuation": lambda: sd.morse_continuation(
        sd.Map(WELL, sd.USAM(0.5), lr=0.1), "rho", [0.5, 1.5], [(-1.52, 1.5)], resolution=30, progress=True
    ),
    "edge_state": lambda: sd.edge_state(two_basins(), 1, 2, max_rounds=20, progress=True),
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
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LONG[verb]()
    said = [str(w.message) for w in caught if issubclass(w.category, sd.CostWarning)]
    assert any(text.startswith(f"{verb} will take about") for text in said), said


@pytest.mark.slow
def test_the_root_of_a_hessian_in_four_dimensions_says_what_its_trace_costs() -> None:
    """Kind: a cost that nobody is told before: 15 to 30 s, before the first step."""
    loss = sd.Landscape(lambda w: ((w**2 - 1) ** 2).sum() / 4 + w[0] * w[1], dim=4)
    sde = sd.Diffusion(loss, sd.SAM(0.1), lr=0.1, noise=sd.CurvatureNoise(8))

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    from samdyn.dynamics import build_step as step

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
    monkeypatch.setattr("samdyn.compute.progress.time.perf_counter", lambda: next(clock))
    with pytest.warns(sd.CostWarning, match="rate_graph will take about 20 s; pass fewer"):
        assert list(paced("abcde", "rate_graph", 5, "pass fewer")) == list("abcde")
